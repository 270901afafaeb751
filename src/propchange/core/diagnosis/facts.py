"""What is known of a subscription and of the ways to and from its device, as one value."""

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
    """What connecting came to."""

    ACCEPTED = "accepts connections"
    REFUSED = "refuses connections"
    SILENT = "does not answer"
    UNREACHABLE = "cannot be reached"
    UNRESOLVED = "is a name that does not resolve"
    SOMEBODY_ELSE = "is answered by another program"
    """For the own listener alone: it was not that which answered."""


class Probe(NamedTuple):
    """An attempt to connect to ``where``. ``detail`` is what the system said, if anything."""

    where: str
    reach: Reach
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.where} {self.reach.value}{detail}"


class RefusedNotify(NamedTuple):
    """A request to the listener that was refused: who sent it, the answer, and for what reason."""

    host: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one subscription and of the ways to and from its device.

    ``device`` is the address that was asked, None where it is not known; times are spans in
    seconds. None is everywhere: not known, or there is none.
    """

    event_url: str
    status: Status
    reason: str = ""
    """Why it has this status, in words."""
    device: str | None = None
    device_probe: Probe | None = None
    """Connecting to the device, now."""

    # --- SUBSCRIBE and its answer ---
    asked_for: float | None = None
    """How long a SUBSCRIBE has been without its answer."""
    failure: str = ""
    """How the last attempt failed, in words."""
    failure_status: int = 0
    """The HTTP status it was refused with, 0 where it was not answered."""
    sid: str = ""
    granted_for: float | None = None
    """How long ago the grant that is held was given."""
    duration: float | None = None
    """What was granted; ``inf`` without an end."""
    initial_due: float = 5.0
    """How long after a grant its initial event is waited for."""

    # --- the address in CALLBACK ---
    advertised: Endpoint | None = None
    callback_host: str | None = None
    callback_port: int | None = None
    """The overrides."""
    tried: tuple[str, ...] = ()
    """What CALLBACK named before, each time in vain."""
    listening: tuple[Endpoint, ...] = ()
    self_connect: Probe | None = None
    """Connecting to the address in CALLBACK, from here."""

    # --- this machine ---
    own: tuple[LocalAddress, ...] = ()
    in_container: bool | None = None
    source: str | None = None
    """The address from which the system would send to the device."""

    # --- what came ---
    connections: int | None = None
    """Connections from the device's address, ever."""
    connected_ago: float | None = None
    """Since the last of them."""
    heard: bool | None = None
    """Whether one came since the SUBSCRIBE."""
    empty: int = 0
    """Those of them, since the SUBSCRIBE, that ended without a whole request."""
    turned_away: int = 0
    """Those that the listener had no room for."""
    refused: RefusedNotify | None = None
    """The last request since the SUBSCRIBE, from the device or for the subscription's path, that
    was refused."""
    slow: bool = False
    """Whether it is known to send the initial event later than that is waited for."""
    last_event_ago: float | None = None
    others_hear: bool = False
    """Whether another subscription has events from this device at this very address."""

    @property
    def own_advertised(self) -> LocalAddress | None:
        """The address of this machine that CALLBACK names, None where it names none."""
        return None if self.advertised is None else own_address(self.advertised.host, self.own)

    @property
    def near(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine in whose network the device is."""
        return () if self.device is None else sharing_network(self.device, self.own)

    @property
    def usable(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine to which the device could send, the likeliest first."""
        return () if self.device is None else usable_towards(self.device, self.own)

    @property
    def overridden(self) -> bool:
        """Whether CALLBACK names what the application said."""
        return self.callback_host is not None or self.callback_port is not None

    def lines(self) -> tuple[tuple[str, str], ...]:
        """All of it as (what, how it is), for people. What peers have sent is in it as it came."""
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
