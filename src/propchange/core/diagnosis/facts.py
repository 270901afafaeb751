"""The facts of a diagnosis: a subscription, its device, this machine and the network between."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from propchange.core.diagnosis.words import duration_in_words
from propchange.core.local_addresses import (
    LocalAddress,
    own_address,
    sharing_network,
    usable_towards,
)
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint

__all__ = ["Facts", "Probe", "Reach", "RefusedNotify"]


class Reach(enum.Enum):
    """The result of an attempt to connect. The value is its wording."""

    ACCEPTED = "accepts connections"
    REFUSED = "refuses connections"
    SILENT = "does not answer"
    UNREACHABLE = "cannot be reached"
    UNRESOLVED = "is a name that does not resolve"
    SOMEBODY_ELSE = "is answered by another program"
    """At the address of our own listener, another program answers."""


class Probe(NamedTuple):
    """An attempt to connect to ``where``. ``detail`` is the system's error message, or empty."""

    where: str
    reach: Reach
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.where} {self.reach.value}{detail}"


class RefusedNotify(NamedTuple):
    """A request to the listener that was refused: the sender's address, the status, the reason."""

    host: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts about one subscription. Get them by ``SubscriberProtocol.facts`` or in a
    :class:`.Diagnosis`; pass them to :func:`.diagnose`.

    ``device`` is the address that SUBSCRIBE was sent to. Times are spans in seconds. None: unknown
    or absent.
    """

    event_url: str
    status: Status
    reason: str = ""
    """The reason of the status, in words."""
    device: str | None = None
    device_probe: Probe | None = None
    """The result of connecting to the device now."""

    # --- SUBSCRIBE and its answer ---
    asked_for: float | None = None
    """Time since the SUBSCRIBE that has no answer yet."""
    failure: str = ""
    """How the last attempt failed, in words."""
    failure_status: int = 0
    """The HTTP status of a refusal, 0 without an answer."""
    sid: str = ""
    granted_for: float | None = None
    """Time since the current grant."""
    duration: float | None = None
    """The granted duration, ``inf`` for an infinite one."""
    initial_due: float = 5.0
    """Time after a grant within which the initial event must come."""

    # --- the address in CALLBACK ---
    advertised: Endpoint | None = None
    callback_host: str | None = None
    callback_port: int | None = None
    """The overrides of the application, for ``advertised``."""
    tried: tuple[str, ...] = ()
    """The addresses that CALLBACK named before, without an event at any."""
    listening: tuple[Endpoint, ...] = ()
    self_connect: Probe | None = None
    """The result of connecting to the address in CALLBACK from this machine."""

    # --- this machine ---
    own: tuple[LocalAddress, ...] = ()
    in_container: bool | None = None
    source: str | None = None
    """The address from which the system would send to the device."""

    # --- what came ---
    connections: int | None = None
    """Connections from the device's address since the listener started."""
    connected_ago: float | None = None
    """Time since the last of them."""
    heard: bool | None = None
    """Whether there was one since the SUBSCRIBE."""
    empty: int = 0
    """Those of them, since the SUBSCRIBE, that ended without a whole request."""
    turned_away: int = 0
    """Those of them, since the SUBSCRIBE, that the listener had no room for."""
    refused: RefusedNotify | None = None
    """The last refused request since the SUBSCRIBE, from the device or for the subscription's
    path."""
    slow: bool = False
    """Whether its initial event has come too late before: later than ``initial_due``."""
    last_event_ago: float | None = None
    others_hear: bool = False
    """Whether another subscription gets events from this device at this address."""

    @property
    def own_advertised(self) -> LocalAddress | None:
        """The address of this machine that CALLBACK names, None if it names no such address."""
        return None if self.advertised is None else own_address(self.advertised.host, self.own)

    @property
    def near(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine that share a network with the device."""
        return () if self.device is None else sharing_network(self.device, self.own)

    @property
    def usable(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine that the device could send to, the best first."""
        return () if self.device is None else usable_towards(self.device, self.own)

    @property
    def overridden(self) -> bool:
        """Whether the application has set the address in CALLBACK."""
        return self.callback_host is not None or self.callback_port is not None

    def lines(self) -> tuple[tuple[str, str], ...]:
        """All facts as (name, text), for people. Texts of peers are not escaped: escape them before
        they go to a terminal."""
        return _lines(self)


# --- the facts as lines ---


def _lines(facts: Facts) -> tuple[tuple[str, str], ...]:
    lines = [("event URL", facts.event_url)]

    def add(what: str, how: object) -> None:
        if how not in (None, "", ()):
            lines.append((what, str(how)))

    add("status", f"{facts.status.value}: {facts.reason}" if facts.reason else facts.status.value)
    add("device", facts.device)
    add("connecting to the device", facts.device_probe)
    if facts.granted_for is not None:
        without_end = facts.duration is None or facts.duration == float("inf")
        duration = "without an end" if without_end else f"for {facts.duration:g} s"
        ago = duration_in_words(facts.granted_for)
        add("SUBSCRIBE", f"granted {ago} ago {duration}, SID {facts.sid}")
    elif facts.failure:
        add("SUBSCRIBE", facts.failure)
    elif facts.asked_for is not None:
        add("SUBSCRIBE", f"no answer for {duration_in_words(facts.asked_for)}")
    add("CALLBACK", _callback_line(facts))
    add("tried before", ", ".join(facts.tried))
    add("listening on", ", ".join(map(str, facts.listening)))
    add("connecting to ourselves", facts.self_connect)
    add("source address", facts.source)
    for own in facts.own:
        near = ", the device's network" if own in facts.near else ""
        usable = ", usable" if own in facts.usable else ""
        add(
            f"address {own.host}/{own.network.prefixlen}",
            f"on {own.interface}, {own.kind.value}{usable}{near}",
        )
    if facts.in_container:
        add("container", "this program runs in one")
    if facts.connections is not None:
        ago = ""
        if facts.connected_ago is not None:
            ago = f", the last {duration_in_words(facts.connected_ago)} ago"
        add(
            f"connections from {facts.device or 'the device'}",
            f"{facts.connections or 'none'}{ago}",
        )
    if facts.empty:
        add("ended without a request", facts.empty)
    if facts.turned_away:
        add("turned away", facts.turned_away)
    if facts.refused is not None:
        refused = facts.refused
        add(
            "refused event messages",
            f"{refused.host} was answered {refused.status}: {refused.reason}",
        )
    if facts.last_event_ago is None:
        add("last event", "none")
    else:
        add("last event", f"{duration_in_words(facts.last_event_ago)} ago")
    return tuple(lines)


def _callback_line(facts: Facts) -> str:
    if facts.advertised is None:
        return ""
    own = facts.own_advertised
    if facts.overridden:
        parts = (("callback_host", facts.callback_host), ("callback_port", facts.callback_port))
        why = ", ".join(f"{name}={value}" for name, value in parts if value is not None)
    elif own is not None:
        family = "IPv6" if own.network.version == 6 else "IPv4"
        why = f"{family}, the address of {own.interface} from which SUBSCRIBE was sent"
    else:
        why = "the address from which SUBSCRIBE was sent"
    return f"{facts.advertised} ({why})"
