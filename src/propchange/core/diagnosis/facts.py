"""The facts of a diagnosis: a subscription, its device, this machine and the network between.

:func:`known_facts` has those that the protocol knows. A runtime adds the results of connecting and
the facts of this machine.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple
from urllib.parse import urlsplit

from propchange.core.limits import Limits
from propchange.core.local_addresses import (
    LocalAddress,
    address_of,
    own_address,
    sharing_network,
    usable_towards,
)
from propchange.core.record import Record
from propchange.core.shortages import SHORTAGES
from propchange.core.subscriber.connection_history import AddressHistory, ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import FailedAttempt, Loss, SubscriptionRecord
from propchange.core.subscriber.states import SubscriberState
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import Part
from propchange.printable import printable


class Reach(enum.Enum):
    """The result of an attempt to connect. The value is its wording."""

    ACCEPTED = "accepts connections"
    REFUSED = "refuses connections"
    SILENT = "does not answer"
    UNREACHABLE = "cannot be reached"
    SHORTAGE = "was not asked: this machine has no descriptor or memory for a connection"
    UNRESOLVED = "is a name that does not resolve"
    SOMEBODY_ELSE = "is answered by another program"
    """At the address of our own listener, another program answers."""
    CHANGED = "changes what it passes on"
    """The web server at the URL in CALLBACK changes the requests that it passes on, so that events
    would be refused."""


class Probe(NamedTuple):
    """An attempt to connect to ``where``. ``detail`` is the system's error message, or empty."""

    where: str
    reach: Reach
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.where} {self.reach.value}{detail}"


class RefusedNotify(NamedTuple):
    """A request to the listener that was refused: the sender's address, the status, the reason, the
    part of the request that was wrong, and the time since then."""

    host: str
    status: int
    reason: str
    part: Part = Part.HOST
    ago: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Facts(Record):
    """The facts about one subscription. Get them by ``SubscriberProtocol.facts`` or in a
    :class:`.Diagnosis`; pass them to :func:`.diagnose`.

    ``device`` is the address that SUBSCRIBE was sent to. ``status`` and ``sid`` are those of the
    subscription. ``advertised`` is the address and port in CALLBACK, ``listening`` has those that
    the listener is open on, ``own`` the addresses of this machine. ``in_container``: this process
    is in a container. ``last_event_ago`` is the time since the last event. Times are spans in
    seconds. None: unknown or absent.
    """

    event_url: str
    status: Status
    reason: str = ""
    """The reason of the status, in words."""
    device: str | None = None
    scope: int = 0
    """The scope id of the link of a link-local ``device``, 0 if unknown."""
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
    owes_event: bool = True
    """Whether the device owes an initial event: False if its service description declares no
    evented variable."""

    # --- the address in CALLBACK ---
    advertised: Endpoint | None = None
    callback_host: str | None = None
    callback_port: int | None = None
    callback_url: str | None = None
    """The overrides of the application, for ``advertised``. With ``callback_url`` a web server or a
    proxy may be in front."""
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
    """Connections since the SUBSCRIBE and the last event that ended without a whole request."""
    turned_away: int = 0
    """Those of them, since the SUBSCRIBE, that the listener had no room for."""
    refused: RefusedNotify | None = None
    """The last refused request since the SUBSCRIBE, from the device or for the subscription's
    path."""
    slow: bool = False
    """Whether its initial event has come too late before: later than ``initial_due``."""
    last_event_ago: float | None = None
    lost: Loss | None = None
    """The known losses of the current grant, or of the last one."""
    losses: int = 0
    """Event messages that are known to be lost, in all grants."""
    awaits_new_sid: bool = False
    """Whether a renewal was answered with another SID, and no event for that SID has come."""
    others_hear: bool = False
    """Whether another subscription gets events from this device at this address."""

    @property
    def own_advertised(self) -> LocalAddress | None:
        """The address of this machine that CALLBACK names, None if it names no such address."""
        return None if self.advertised is None else own_address(self.advertised.host, self._linked)

    @property
    def near(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine that share a network with the device."""
        return () if self.device is None else sharing_network(self.device, self._linked)

    @property
    def usable(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine that the device could send to, the best first."""
        return () if self.device is None else usable_towards(self.device, self._linked)

    @property
    def _linked(self) -> tuple[LocalAddress, ...]:
        """The addresses of this machine without the link-local ones of other links than that of
        the device. Each link has the network fe80::/64."""
        return tuple(each for each in self.own if not self.scope or each.scope in (0, self.scope))

    @property
    def overrides(self) -> dict[str, object]:
        """Which of the overrides the application has set."""
        names = ("callback_host", "callback_port", "callback_url")
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}

    def lines(self) -> tuple[tuple[str, str], ...]:
        """All facts as (name, text), for people. Texts of peers in them are escaped."""
        granted_for, connected_ago, refused = self.granted_for, self.connected_ago, self.refused
        subscribe = self.failure
        if granted_for is not None:
            # Without a duration, that grant has ended.
            duration = "" if self.duration is None else f" for {self.duration:g} s"
            if self.duration == inf:
                duration = " without an end"
            ago = duration_in_words(granted_for)
            subscribe = f"granted {ago} ago{duration}, SID {self.sid}"
        elif not subscribe and self.asked_for is not None:
            subscribe = f"no answer for {duration_in_words(self.asked_for)}"
        connections = None
        if self.connections is not None:
            ago = "" if connected_ago is None else f", the last {_ago_in_words(connected_ago)}"
            connections = f"{self.connections or 'none'}{ago}"
        came = "none" if self.last_event_ago is None else _ago_in_words(self.last_event_ago)
        status = self.status.value
        if self.reason and self.reason != subscribe:
            status += f": {self.reason}"
        lines: tuple[tuple[str, object], ...] = (
            ("event URL", self.event_url),
            ("status", status),
            ("device", self.device),
            ("connecting to the device", self.device_probe),
            ("SUBSCRIBE", subscribe),
            ("evented variables", None if self.owes_event else "none in the service description"),
            ("CALLBACK", self._callback()),
            ("tried before", ", ".join(self.tried)),
            ("listening on", ", ".join(map(str, self.listening))),
            ("connecting to ourselves", self.self_connect),
            ("source address", self.source),
            *((f"address {_shown(own)}", self._own(own)) for own in self.own),
            ("container", "this program runs in one" if self.in_container else None),
            (f"connections from {self.device or 'the device'}", connections),
            ("ended without a request", self.empty or None),
            ("turned away", self.turned_away or None),
            (
                "refused event messages",
                refused and f"{refused.host} was answered {refused.status}: {refused.reason}",
            ),
            ("last event", came),
            ("lost events", self.losses or None),
            ("lost since the grant", self.lost and self.lost.reason),
        )
        return tuple(
            (printable(what), printable(str(how))) for what, how in lines if how not in (None, "")
        )

    def _own(self, own: LocalAddress) -> str:
        usable = ", usable" if own in self.usable else ""
        near = ", the device's network" if own in self.near else ""
        return f"on {own.interface}, {own.kind.value}{usable}{near}"

    def _callback(self) -> str:
        if self.advertised is None:
            return ""
        own = self.own_advertised
        if self.overrides:
            why = ", ".join(f"{name}={value}" for name, value in self.overrides.items())
        elif own is not None:
            family = "IPv6" if own.network.version == 6 else "IPv4"
            why = f"{family}, the address of {own.interface} from which SUBSCRIBE was sent"
        else:
            why = "the address from which SUBSCRIBE was sent"
        return f"{self.advertised} ({why})"


# --- words ---

_REFUSALS = {
    400: "it calls the request malformed",
    401: "it wants to know who asks",
    403: "it does not admit this machine; look for a list of allowed addresses in its settings",
    404: "nothing is there; the event URL is wrong, or has moved since the description was read",
    405: "nothing at this URL takes subscriptions; read the event URL from the description again",
    412: "it will not send events to {callback}; many devices call only addresses of their own "
    "network",
    500: "it failed; start the device again if that goes on",
    501: "it has no eventing at this URL",
    503: "it has no room for another subscription; close other control points, or start it again",
}
"""The meaning of the answers to SUBSCRIBE (UDA 2.0 table 4-4, and experience with devices)."""


def refusal_in_words(status: int, callback: str | None, *, named: bool) -> str:
    """The meaning of ``status`` as an answer to SUBSCRIBE. ``callback`` is the address in CALLBACK.
    ``named``: HOST was a name."""
    if status == 400 and named:
        return f"{_REFUSALS[400]}; many devices take no names in HOST, so use its IP address"
    known = status if status in _REFUSALS or not 500 <= status < 600 else 500
    return _REFUSALS.get(known, "it does not want this subscription").format(callback=callback)


def duration_in_words(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def _ago_in_words(seconds: float) -> str:
    return f"{duration_in_words(seconds)} ago"


# --- what the protocol knows ---


def known_facts(
    record: SubscriptionRecord,
    now: float,
    *,
    asked_at: float | None,
    policy: SubscriberPolicy,
    limits: Limits,
    addresses: tuple[LocalAddress, ...],
    history: ConnectionHistory | None,
    others: Iterable[SubscriptionRecord],
) -> Facts:
    """The facts about ``record`` that need no access to the network.

    ``asked_at`` is when the pending request was sent, None without one. ``history`` is None if the
    listener does not record connections. ``others`` are the subscriptions of the same listener.

    For a deaf subscription, the facts are about the first address that was tried: the system's
    choice."""
    granted_asked_at, granted_at = record.asked_at, record.granted_at
    advertised = record.advertised_endpoint
    since, heard, empty, turned_away = granted_asked_at, False, 0, 0
    awaits_new_sid = record.awaits_new_sid
    if record.status is Status.DEAF and record.deafness is not None:
        granted_asked_at, granted_at, advertised, heard, empty, turned_away, sid = record.deafness
        # Until the fresh subscription is granted, that is why it is made.
        awaits_new_sid = awaits_new_sid or (sid is not None and sid == record.sid)
        # Connections to another address, while that is tried, are no facts about the first.
        since = record.asked_at if record.advertised_endpoint == advertised else inf
    failure = (granted_at is None and record.failure) or FailedAttempt("", 0)
    device = record.device_host
    if device is None:
        literal = address_of(urlsplit(record.event_url).hostname or "")
        remote = None if record.remote is None else record.remote.host
        device = remote if literal is None else str(literal)
    known = None if history is None or device is None else history.of(device) or AddressHistory()
    if known is not None and policy.callback.is_whole and not known.connections:
        known = None  # a proxy may have connected in place of the device
    refused = None
    if history is not None:
        for_path = history.refused_for(record.path) if record.path else None
        host, refuser = for_path or (device or "", history.of(device or ""))
        if refuser is not None and _since(refuser.refused_at, granted_asked_at):
            assert refuser.refused_at is not None  # since _since
            refused = RefusedNotify(
                host,
                refuser.refused_status,
                refuser.refused_reason,
                refuser.refused_part,
                now - refuser.refused_at,
            )
    if known is not None:
        heard = heard or _since(known.connected_at, since)
        empty = known.empty if _since(known.empty_at, since) else empty
        if record.state in (SubscriberState.ACTIVE, SubscriberState.UNANSWERED):
            wasted, heard_at = record.wasted, record.last_event_at
            counts = wasted is not None and (heard_at is None or heard_at <= wasted.at)
            empty = wasted.connections if wasted is not None and counts else 0
        if _since(known.turned_away_at, since):
            turned_away = known.turned_away
    tried = [
        str(source._replace(port=advertised.port))
        for source in record.sources.tried_in_round
        if advertised is not None and source.host != advertised.host
    ]
    return Facts(
        event_url=record.event_url,
        status=record.status,
        # The reason of DEAF is a diagnosis itself.
        reason="" if record.status is Status.DEAF else record.status_reason,
        device=device,
        scope=0 if record.source is None else record.source.scope,
        asked_for=_ago(now, asked_at),
        failure=failure.reason,
        failure_status=failure.status,
        sid=record.sid,
        granted_for=_ago(now, granted_at),
        duration=record.duration_granted,
        initial_due=limits.initial_event_seconds,
        owes_event=record.owes_event,
        advertised=advertised,
        callback_host=policy.callback_host,
        callback_port=policy.callback_port,
        callback_url=policy.callback_url,
        tried=tuple(tried),
        own=addresses,
        connections=None if known is None else known.connections,
        connected_ago=_ago(now, None if known is None else known.connected_at),
        heard=None if known is None else heard,
        empty=empty,
        turned_away=turned_away,
        refused=refused,
        slow=record.slow,
        last_event_ago=_ago(now, record.last_event_at),
        lost=record.loss or record.doubt,
        losses=record.losses,
        awaits_new_sid=awaits_new_sid,
        others_hear=any(
            other is not record
            and other.status is Status.ACTIVE
            and other.device_host == device
            and other.advertised_endpoint == advertised
            for other in others
        ),
    )


def _ago(now: float, then: float | None) -> float | None:
    return None if then is None else now - then


def _since(then: float | None, asked_at: float) -> bool:
    return then is not None and then >= asked_at


# --- probes: attempts to connect to the device and to the own listener ---

_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED)

_ABSENT = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)
"""There is a route, but no host answers: on the same link, the answer to ARP is missing."""


def failed_probe(where: str, number: int | None, words: str) -> Probe:
    """The probe of ``where`` that failed with the errno ``number`` (None: without an errno) and the
    system's message ``words``."""
    if number in _REFUSED:
        return Probe(where, Reach.REFUSED, "" if number == errno.ECONNREFUSED else words)
    if number in SHORTAGES:
        return Probe(where, Reach.SHORTAGE, words)
    return Probe(where, Reach.SILENT if number in _ABSENT else Reach.UNREACHABLE, words)


def _shown(own: LocalAddress) -> str:
    zone = f"%{own.interface}" if own.scope else ""
    return f"{own.host}{zone}/{own.network.prefixlen}"
