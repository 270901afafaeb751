"""The rules of SUBSCRIBE and UNSUBSCRIBE: a request and a policy in, a verdict out.

The judges know no table of subscriptions. Whether a SID exists is for the caller to find out. A
verdict is one of the tuples below or a :class:`.Refusal`. A request that is malformed or that
contradicts itself is answered 400; only a well-formed one is answered 412 (UDA 2.0 tables 4-4 to
4-6).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink, is_loopback
from propchange.core.publisher.callback_guard import CALLBACK_POLICIES, judge_callbacks
from propchange.core.record import Record
from propchange.core.tolerance import accepts
from propchange.core.wire.headers import (
    EVENT_NT,
    PROPCHANGE_NTS,
    format_statevar,
    format_timeout,
    parse_callback,
    parse_sid,
    parse_statevar,
    parse_timeout,
    server_token,
)
from propchange.core.wire.messages import (
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    HeaderPairs,
    Request,
    Response,
    parse_address,
)
from propchange.core.wire.refusals import (
    EMPTY,
    PRODUCT,
    UNKNOWN_OS,
    Refusal,
    check_policy,
    check_product,
    empty_response,
    judge_host,
    refuse_method,
    refuse_repeated,
)
from propchange.errors import RemoteProtocolError

INITIAL_EVENT_DELAY = 0.02
"""Seconds that a hosted service waits behind the answer to SUBSCRIBE before the initial event.
Subscribers know their SID only some time after the answer has arrived; GUPnP drops an event that
comes within 5 ms (SUB-55)."""

# Seconds that a DLNA device grants, not the ones that a subscriber asks for (DLNA 7.2.22.1).
_DLNA_DURATION = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PublisherPolicy(Record):
    """What a publisher grants, and to whom.

    - ``uda``: the version of the architecture, "1.0", "1.1" or "2.0".
    - ``callbacks``: which delivery URLs may be called, one of ``CALLBACK_POLICIES``.
      ``lenient_callbacks``: leave out the URLs that may not be called, instead of refusing all.
      ``own_callback``: the one URL that may lead to the publisher's own listener, where a control
      point of the same program hears events. ``own_prefix``: the path below which all URLs of the
      publisher are; other paths at its port may be called.
    - ``default_duration``: whole seconds for a SUBSCRIBE that asks for none. Each duration is
      raised to ``minimum_duration`` and lowered to ``maximum_duration``. ``dlna``: 300 s for
      everybody.
    - ``initial_event_delay``: seconds between the answer to SUBSCRIBE and the initial event.
    - ``hosts``: names, with or without a port, that HOST may have besides the address of the
      connection.
    - ``server``: the value of SERVER; empty for one that does not name the system.

    Raises ``ValueError`` for values that contradict each other.
    """

    allowed_methods: ClassVar[bytes] = b"SUBSCRIBE, UNSUBSCRIBE"
    uda: str = "1.1"
    callbacks: str = "on-link"
    lenient_callbacks: bool = False
    own_callback: str = ""
    own_prefix: str = ""
    default_duration: int = 1800
    minimum_duration: int = 60
    maximum_duration: int = 86_400
    dlna: bool = False
    initial_event_delay: float = 0.0
    hosts: frozenset[str] = frozenset()
    server: str = ""

    def __post_init__(self) -> None:
        check_policy(self.uda, self.hosts)
        if self.callbacks not in CALLBACK_POLICIES:
            raise ValueError(f"callbacks is one of {', '.join(CALLBACK_POLICIES)}")
        if not 1 <= self.minimum_duration <= self.maximum_duration or self.default_duration < 1:
            raise ValueError(
                "durations are at least 1 second, and the minimum is not above the maximum"
            )
        check_product("server", self.server)
        if not self.server:
            object.__setattr__(self, "server", server_token(self.uda, PRODUCT, UNKNOWN_OS))

    @property
    def signature(self) -> HeaderPairs:
        """The field SERVER, which each answer has (UDA 2.0 §4.1.2)."""
        return ((b"SERVER", self.server.encode()),)


class NewSubscription(NamedTuple):
    """A SUBSCRIBE that may be granted. Make a SID and answer with :func:`subscribe_response`.

    ``statevar`` are the names of STATEVAR, not yet compared with those of the service; None without
    them and before UDA 2.0. ``local`` is the address to send events from; None: the system chooses.
    ``peer`` is :data:`UNKNOWN_PEER` if the address of the subscriber is not known.
    """

    urls: tuple[DeliveryURL, ...]
    duration: int
    statevar: tuple[str, ...] | None
    local: Endpoint | None
    peer: Endpoint


UNKNOWN_PEER = Endpoint("0.0.0.0", 0)
"""The peer of subscribers whose addresses are not known. They share the caps of one address."""


class Cancellation(NamedTuple):
    """An UNSUBSCRIBE. Answer 412 if the SID is unknown at this event URL, else 200 with
    :func:`.empty_response`."""

    sid: str


class Renewal(NamedTuple):
    """A SUBSCRIBE with a SID. Answer 412 if the SID is unknown at this event URL, else
    :func:`subscribe_response` with the same SID."""

    sid: str
    duration: int


_SUBSCRIBE = "UDA 2.0 §4.1.2"
_RENEW = "UDA 2.0 §4.1.3"
_UNSUBSCRIBE = "UDA 2.0 §4.1.4"

_ONCE = frozenset({b"sid", b"nt", b"timeout"})
_NTS_OF_SUBSCRIBE = frozenset(
    {EVENT_NT}
    | ({None} if accepts("publisher", "nt-missing") else set())
    | ({PROPCHANGE_NTS} if accepts("publisher", "nt-propchange") else set())
)


def judge_subscribe(
    request: Request,
    policy: PublisherPolicy,
    limits: Limits,
    on_link: Sequence[OnLink],
    own_hosts: Container[str] = (),
    *,
    near: Endpoint | None = None,
) -> NewSubscription | Renewal | Refusal:
    """Judge a SUBSCRIBE, new or a renewal (UDA 2.0 §4.1.2, §4.1.3, tables 4-4 and 4-5).

    ``on_link`` are the prefixes of the interface on which the request came in, ``own_hosts`` the
    addresses of this machine. ``near`` is its address on that interface if the request does not
    tell it. A new subscription without ``peer`` is granted by the policy "any" alone: the delivery
    URLs are judged by that address.
    """
    refusal = _judge_head(request, "SUBSCRIBE", policy.hosts)
    if refusal is not None:
        return refusal
    fields = request.fields
    if b"sid" in fields:
        sid = _judge_sid(fields, _RENEW)
        return sid if isinstance(sid, Refusal) else Renewal(sid, _duration(fields, policy))
    callback = fields.get(b"callback")
    if callback is None:
        return Refusal(
            412, "there is neither a CALLBACK, to subscribe, nor a SID, to renew", _SUBSCRIBE
        )
    if fields.get(b"nt") not in _NTS_OF_SUBSCRIBE:
        return Refusal(412, "NT is missing or is not upnp:event", _SUBSCRIBE)
    peer, local = request.peer, arrived_at(request)
    try:
        urls = parse_callback(callback, limits)
    except ValueError as error:
        return Refusal(412, str(error), _SUBSCRIBE)
    try:
        judged = judge_callbacks(
            urls,
            peer=peer,
            local=local or near,
            on_link=on_link,
            policy=policy.callbacks,
            lenient=policy.lenient_callbacks,
            limits=limits,
            own_hosts=own_hosts,
            own_callback=policy.own_callback,
            own_port=request.local and request.local.port,
            own_prefix=policy.own_prefix,
        )
    except RemoteProtocolError as error:
        return Refusal(error.status, str(error.args[0]), error.clause)
    return NewSubscription(
        judged,
        _duration(fields, policy),
        parse_statevar(fields.get(b"statevar"), limits) if policy.uda == "2.0" else None,
        None if local is None else _with_scope(local, on_link),
        peer or UNKNOWN_PEER,
    )


def arrived_at(request: Request) -> Endpoint | None:
    """The address of this machine to which ``request`` was sent; None if it is not known. If a peer
    on another machine has reached an address of loopback, a proxy on this machine has passed the
    request on. Nothing can be sent from there to the peer."""
    local, peer = request.local, request.peer
    if local is None or not is_loopback(local):
        return local
    return local if peer is not None and is_loopback(peer) else None


def _with_scope(local: Endpoint, on_link: Sequence[OnLink]) -> Endpoint:
    """``local`` with the scope id of its interface if it is link-local. The system leaves the scope
    id out if the peer is not link-local, and deliveries cannot leave from there without it."""
    if ":" not in local.host or local.scope:
        return local
    address = parse_address(local.host)
    if not address.is_link_local:
        return local
    scopes = [scope for network, scope in on_link if address in network]
    return local._replace(scope=next(filter(None, scopes), 0))


def judge_subscribe_anew(
    request: Request,
    policy: PublisherPolicy,
    limits: Limits,
    *,
    on_link: Callable[[Endpoint], Sequence[OnLink]],
    on_link_now: Callable[[Endpoint], Sequence[OnLink]],
    own_hosts: Callable[[], Container[str]],
    own_towards: Callable[[Endpoint], Endpoint | None] = lambda _: None,
) -> NewSubscription | Renewal | Refusal:
    """As :func:`judge_subscribe`, but a SUBSCRIBE that is refused is judged once more if the
    interface has got other prefixes. Both functions take an address of the interface: ``on_link``
    returns the prefixes that were read before, ``on_link_now`` reads them again. ``own_towards``
    returns the address of this machine on the network of a peer. Its interface counts if it is not
    known where the SUBSCRIBE came in."""
    if b"sid" in request.fields:  # a renewal is judged by its fields alone
        return judge_subscribe(request, policy, limits, ())
    local = arrived_at(request)
    if local is None and request.peer is not None:
        local = own_towards(request.peer)
    known = () if local is None else on_link(local)
    verdict = judge_subscribe(request, policy, limits, known, own_hosts(), near=local)
    if isinstance(verdict, Refusal) and local is not None and verdict.status == 412:
        now = on_link_now(local)
        if now != known:
            return judge_subscribe(request, policy, limits, now, own_hosts(), near=local)
    return verdict


def judge_room(
    address: str,
    of_address: int,
    total: int,
    limits: Limits,
    *,
    of_prefix: int = 0,
    of_service: int = 0,
) -> Refusal | None:
    """None when another subscription from ``address`` may be granted, else a 503. There are
    ``total`` subscriptions, ``of_address`` of them from that address, ``of_prefix`` from its IPv6
    prefix of 64 bits, and ``of_service`` to the same service."""
    if total >= limits.subscriptions:
        return Refusal(503, "no room for another subscription", "")
    if of_address >= limits.subscriptions_per_address:
        return Refusal(503, f"no room for another subscription from {address}", "")
    if of_prefix >= limits.subscriptions_per_prefix:
        return Refusal(503, f"no room for another subscription from the prefix of {address}", "")
    if of_service >= limits.subscriptions_per_service:
        return Refusal(503, "no room for another subscription to this service", "")
    return None


def judge_unsubscribe(request: Request, policy: PublisherPolicy) -> Cancellation | Refusal:
    """Judge an UNSUBSCRIBE (UDA 2.0 §4.1.4, table 4-6)."""
    refusal = _judge_head(request, "UNSUBSCRIBE", policy.hosts)
    if refusal is not None:
        return refusal
    sid = _judge_sid(request.fields, _UNSUBSCRIBE)
    return sid if isinstance(sid, Refusal) else Cancellation(sid)


def _judge_head(request: Request, method: str, hosts: frozenset[str]) -> Refusal | None:
    """The rules that hold for SUBSCRIBE and UNSUBSCRIBE alike."""
    if request.method != method:
        return refuse_method(request.method, method)
    fields = request.fields
    repeated = request.repeated & _ONCE
    if repeated:
        return refuse_repeated(repeated)
    refusal = judge_host(request, hosts)
    if refusal is not None:
        return refusal
    if b"sid" in fields and (b"nt" in fields or b"callback" in fields):
        return Refusal(
            400,
            "a request with a SID carries neither NT nor CALLBACK; leave the SID out to "
            "subscribe, or the others to renew or cancel",
            _SUBSCRIBE,
        )
    return None


def _judge_sid(fields: Mapping[bytes, bytes], clause: str) -> str | Refusal:
    try:
        return parse_sid(fields.get(b"sid"))
    except ValueError as error:
        return Refusal(412, str(error), clause)


def _duration(fields: Mapping[bytes, bytes], policy: PublisherPolicy) -> int:
    if policy.dlna:
        return _DLNA_DURATION
    asked = parse_timeout(fields.get(b"timeout")) or policy.default_duration
    return int(min(max(asked, policy.minimum_duration), policy.maximum_duration))


def subscribe_response(
    sid: str,
    duration: int,
    policy: PublisherPolicy,
    request: Request,
    accepted_statevar: Iterable[str] | None = None,
) -> Response:
    """The 200 to a SUBSCRIBE, new or a renewal. ``duration`` is the granted one in seconds,
    ``accepted_statevar`` the names that will be evented, None for all. After a new subscription,
    send the initial event when the response has left (UDA 2.0 §4.1.2)."""
    headers = [(b"SID", sid.encode()), EMPTY, (b"TIMEOUT", format_timeout(duration))]
    if accepted_statevar is not None:
        headers.append((b"ACCEPTED-STATEVAR", format_statevar(accepted_statevar)))
    return empty_response(200, request, policy, headers)


class AttemptVerdict(enum.Enum):
    """What happens to a message when an attempt to deliver it has ended."""

    DELIVERED = enum.auto()
    DISOWNED = enum.auto()
    """The subscriber does not know the SID: the subscription is over (FAIL-05)."""
    RETRY = enum.auto()
    """The peer had closed the kept-alive connection before. Make the same attempt again, on a
    connection that has carried no request."""
    NEXT_URL = enum.auto()
    """Make an attempt at the next delivery URL (FAIL-01, FAIL-02)."""
    ABANDONED = enum.auto()


DELIVERED = range(200, 300)
"""The statuses by which a subscriber takes an event message (UDA 2.0 §4.3.2)."""


def judge_attempt(
    result: int | DeliveryFailure, fresh: bool, has_another_url: bool
) -> AttemptVerdict:
    """Judge an attempt that was answered with the status ``result``, or that failed. ``fresh``: its
    connection had carried no request before. ``has_another_url``: there is another delivery URL,
    and time to try it."""
    if result in DELIVERED:
        return AttemptVerdict.DELIVERED
    if result == 412:
        return AttemptVerdict.DISOWNED
    if result is DeliveryFailure.STALE and not fresh:
        return AttemptVerdict.RETRY
    return AttemptVerdict.NEXT_URL if has_another_url else AttemptVerdict.ABANDONED
