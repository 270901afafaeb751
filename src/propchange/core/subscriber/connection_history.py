"""Connections to the listener by address: they show a diagnosis whether a device reaches it."""

from __future__ import annotations

from dataclasses import dataclass

from propchange.core.limits import Limits
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import Part

_CONSEQUENCES = (Part.FRAMING, Part.REST)


@dataclass(slots=True, eq=False, repr=False)
class AddressHistory(Record):
    """The connections from one address. Times are those of the runtime's clock; None: never."""

    connections: int = 0
    """Connections that were accepted."""
    connected_at: float | None = None
    """When the last one was."""
    turned_away: int = 0
    """Connections for which there was no room."""
    turned_away_at: float | None = None
    empty: int = 0
    """Connections that ended without a whole request."""
    empty_at: float | None = None
    refusals: int = 0
    """Requests that were answered with another status than 200."""
    refused_at: float | None = None
    refused_status: int = 0
    refused_target: str = ""
    refused_reason: str = ""
    refused_part: Part = Part.HEADER
    refused_port: int = 0
    """The status, target, reason, wrong part and peer's port of the last of these requests."""


class ConnectionHistory:
    """The histories of the last ``Limits.history_addresses`` addresses that connected."""

    __slots__ = ("_callers", "_limit", "ours")

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.history_addresses
        self._callers: dict[str, AddressHistory] = {}
        self.ours: set[int] = set()
        """Source ports of our own probe connections; not counted. The probe adds its port and
        removes it again."""

    def __len__(self) -> int:
        return len(self._callers)

    def connected(self, peer: Endpoint, now: float) -> None:
        """A connection from ``peer`` was accepted."""
        if peer.port not in self.ours:
            caller = self._newest(peer.host)
            caller.connections, caller.connected_at = caller.connections + 1, now

    def turned_away(self, peer: Endpoint, now: float) -> None:
        """There was no room for a connection from ``peer``."""
        caller = self._newest(peer.host)
        caller.turned_away, caller.turned_away_at = caller.turned_away + 1, now

    def ended_empty(self, peer: Endpoint, now: float) -> None:
        """A connection from ``peer`` has ended without a whole request."""
        if peer.port not in self.ours:
            caller = self._newest(peer.host)
            caller.empty, caller.empty_at = caller.empty + 1, now

    def refused(
        self,
        peer: Endpoint,
        target: str,
        status: int,
        reason: str,
        now: float,
        *,
        part: Part = Part.FRAMING,
    ) -> None:
        """A request from ``peer`` for ``target``, empty for an unreadable one, was answered with
        ``status``, for ``reason``. ``part`` is the part that was wrong.

        Bytes behind a refused request on the same connection that cannot be parsed are a
        consequence of it, unless they are for another target. The first reason then stays."""
        caller = self._newest(peer.host)
        follows = caller.refusals and caller.refused_port == peer.port
        if follows and part in _CONSEQUENCES and target in ("", caller.refused_target):
            return
        caller.refusals, caller.refused_at = caller.refusals + 1, now
        caller.refused_part, caller.refused_port = part, peer.port
        caller.refused_status, caller.refused_target = status, target
        caller.refused_reason = reason

    def of(self, host: str) -> AddressHistory | None:
        """The history of ``host``; None without one."""
        return self._callers.get(host)

    def refused_for(self, target: str) -> tuple[str, AddressHistory] | None:
        """The address whose last refused request was for ``target``, with its history; or None."""
        return next(
            (
                (host, caller)
                for host, caller in self._callers.items()
                if caller.refusals and caller.refused_target == target
            ),
            None,
        )

    def _newest(self, host: str) -> AddressHistory:
        caller = self._callers.pop(host, None) or AddressHistory()
        if len(self._callers) >= self._limit:
            del self._callers[next(iter(self._callers))]
        self._callers[host] = caller
        return caller
