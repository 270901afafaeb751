"""The rules of SUBSCRIBE, UNSUBSCRIBE and NOTIFY: a request and a policy in, a verdict out.

The judges know no table of subscriptions: whether a SID exists, and what happens to it, is the
caller's business. Each verdict is one of the tuples below; a :class:`Refusal` becomes a response
with :func:`refusal_response`. 400 for what is malformed or contradicts itself comes before 412
for what is well-formed and wrong (UDA 2.0 tables 4-4 to 4-6 and §4.3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.publisher.callback_guard import CALLBACK_POLICIES, OnLink, judge_callbacks
from propchange.core.tolerance import accepts
from propchange.core.wire.headers import (
    EVENT_NT,
    PROPCHANGE_NTS,
    format_statevar,
    format_timeout,
    parse_callback,
    parse_host,
    parse_seq,
    parse_sid,
    parse_statevar,
    parse_timeout,
    server_token,
)
from propchange.core.wire.messages import DeliveryURL, Endpoint, HeaderPairs, Request, Response
from propchange.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "PRODUCT",
    "UDA_VERSIONS",
    "Cancellation",
    "NewSubscription",
    "Notification",
    "PublisherPolicy",
    "Refusal",
    "Renewal",
    "SubscriberPolicy",
    "judge_host",
    "judge_notify",
    "judge_subscribe",
    "judge_unsubscribe",
    "notify_response",
    "refusal_response",
    "subscribe_response",
    "unsubscribe_response",
]

UDA_VERSIONS = ("1.0", "1.1", "2.0")
"""The versions of the UPnP Device Architecture that a policy can follow."""

# What a device of DLNA grants, whatever was asked for (DLNA 7.2.22.1).
_DLNA_DURATION = 300

PRODUCT = "propchange/0.1"
"""The product token of SERVER and USER-AGENT (UDA 2.0 §2.1)."""

_OS = "unknown/0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPolicy:
    """What a publisher grants, and to whom. Durations are whole seconds.

    ``default_duration`` is for who asks for none, and brought between the two others;
    ``callbacks`` is one of ``CALLBACK_POLICIES``; ``lenient_callbacks`` leaves the URLs out that
    may not be called, instead of refusing all; ``initial_event_delay`` is how many seconds the
    initial event waits behind the answer, for subscribers that are certain of their SID only some
    time after they have it (SUB-55; GUPnP drops what comes within 5 ms); ``hosts`` are names, with
    or without a port, that HOST may carry besides the address of the connection; ``server`` is
    the value of SERVER.
    Raises ``ValueError`` for values that contradict each other.
    """

    uda: str = "1.1"
    callbacks: str = "on-link"
    lenient_callbacks: bool = False
    default_duration: int = 1800
    minimum_duration: int = 60
    maximum_duration: int = 86_400
    dlna: bool = False
    initial_event_delay: float = 0.0
    hosts: frozenset[str] = frozenset()
    server: str = ""

    def __post_init__(self) -> None:
        _check(self.uda, self.hosts)
        if self.callbacks not in CALLBACK_POLICIES:
            raise ValueError(f"callbacks is one of {', '.join(CALLBACK_POLICIES)}")
        if not 1 <= self.minimum_duration <= self.maximum_duration or self.default_duration < 1:
            raise ValueError(
                "durations are at least 1 second, and the minimum is not above the maximum"
            )
        if not self.server:
            object.__setattr__(self, "server", server_token(self.uda, PRODUCT, _OS))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberPolicy:
    """How a subscriber asks, and what it lets in.

    ``duration`` is what it asks for, in seconds; ``hosts`` as in :class:`PublisherPolicy`;
    ``require_device_source`` refuses events from another address than the device's;
    ``user_agent`` and ``friendly_name`` (CPFN.UPNP.ORG, 2.0 only) go out with its requests.
    ``callback_host`` and ``callback_port`` override the address in CALLBACK (NAT, containers): a
    name or an address that a device can call, never with a zone (V6-07);
    ``shared_path`` is one path for all subscriptions, None for a secret one each.
    Raises ``ValueError`` for what no request can carry.
    """

    uda: str = "1.1"
    duration: int = 1800
    hosts: frozenset[str] = frozenset()
    require_device_source: bool = False
    user_agent: str = ""
    friendly_name: str = "propchange"
    callback_host: str | None = None
    callback_port: int | None = None
    shared_path: str | None = None

    def __post_init__(self) -> None:
        _check(self.uda, self.hosts)
        if self.duration < 1:
            raise ValueError(f"a duration is at least 1 second, not {self.duration}")
        if not self.friendly_name.strip() or not self.friendly_name.isprintable():
            raise ValueError(f"{self.friendly_name!r} is no name that a header can carry")
        if self.callback_host is not None:
            _check_callback_host(self.callback_host)
        if self.callback_port is not None and not 0 < self.callback_port < 65_536:
            raise ValueError(f"a port is from 1 to 65535, not {self.callback_port}")
        if not self.user_agent:
            object.__setattr__(self, "user_agent", server_token(self.uda, PRODUCT, _OS))


def _check_callback_host(host: str) -> None:
    try:
        name, _ = parse_host(f"[{host}]".encode() if ":" in host else host.encode())
        if not _is_unspecified(name):
            return
    except ValueError:
        pass
    raise ValueError(
        f"{host!r} as callback_host is no address or name that a device can call; "
        "give one without a port, a zone or brackets"
    )


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _check(uda: str, hosts: frozenset[str]) -> None:
    if uda not in UDA_VERSIONS:
        raise ValueError(f"uda is one of {', '.join(UDA_VERSIONS)}, not {uda!r}")
    for host in hosts:
        try:
            parse_host(host.encode())
        except ValueError:
            raise ValueError(
                f"{host!r} in hosts is no name or address, with or without a port"
            ) from None


class NewSubscription(NamedTuple):
    """A SUBSCRIBE that may be granted: make a SID and answer :func:`subscribe_response`.

    ``statevar`` are the names that were asked for, not yet compared with the service's (2.0
    only, else None); ``close`` tells that the initial event has to wait for the end of the
    connection (UDA 2.0 §4.1.2).
    """

    urls: tuple[DeliveryURL, ...]
    duration: int
    statevar: tuple[str, ...] | None
    http_version: str
    local: Endpoint
    peer: Endpoint
    close: bool


class Renewal(NamedTuple):
    """A SUBSCRIBE with SID: 412 when the SID is unknown to this event URL, else
    :func:`subscribe_response` with the same SID."""

    sid: str
    duration: int


class Cancellation(NamedTuple):
    """An UNSUBSCRIBE: 412 when the SID is unknown to this event URL, else
    :func:`unsubscribe_response`."""

    sid: str


class Notification(NamedTuple):
    """A NOTIFY: 412 when the SID is unknown, 400 when ``body`` is no propertyset, else
    :func:`notify_response`. ``seq`` is None when the device sent none."""

    sid: str
    seq: int | None
    body: bytes


class Refusal(NamedTuple):
    """The status that answers a request, the reason as a sentence, and the rule behind it
    ("UDA 2.0 §4.1.2")."""

    status: int
    reason: str
    clause: str


_SUBSCRIBE = "UDA 2.0 §4.1.2"
_RENEW = "UDA 2.0 §4.1.3"
_UNSUBSCRIBE = "UDA 2.0 §4.1.4"
_NOTIFY = "UDA 2.0 §4.3.2"
_HTTP = "UDA 2.0 §2.1"

_HOST_MISSING = Refusal(400, "HOST is missing", _HTTP)

_ONCE_SUBSCRIBE = frozenset({b"sid", b"nt", b"timeout"})
_ONCE_NOTIFY = frozenset({b"host", b"sid", b"nt", b"nts", b"seq"})
_NTS_OF_SUBSCRIBE = frozenset(
    {EVENT_NT}
    | ({None} if accepts("publisher", "nt-missing") else set())
    | ({PROPCHANGE_NTS} if accepts("publisher", "nt-propchange") else set())
)
_SEQ_MAY_MISS = accepts("subscriber", "seq-missing")


def judge_subscribe(
    request: Request, policy: PublisherPolicy, limits: Limits, on_link: Sequence[OnLink]
) -> NewSubscription | Renewal | Refusal:
    """A SUBSCRIBE, new or a renewal (UDA 2.0 §4.1.2, §4.1.3, tables 4-4 and 4-5).

    ``on_link`` are the prefixes of the interface that the request came in on. Raises
    :class:`LocalProtocolError` when a new subscription has no ``peer`` or no ``local``: without
    the addresses of the connection no callback can be judged.
    """
    refusal = _judge_head(request, "SUBSCRIBE", policy.hosts, _ONCE_SUBSCRIBE)
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
    if request.peer is None or request.local is None:
        raise LocalProtocolError("a SUBSCRIBE is judged with both addresses of its connection")
    try:
        urls = parse_callback(callback, limits)
    except ValueError as error:
        return Refusal(412, str(error), _SUBSCRIBE)
    try:
        judged = judge_callbacks(
            urls,
            peer=request.peer,
            local=request.local,
            on_link=on_link,
            policy=policy.callbacks,
            lenient=policy.lenient_callbacks,
            limits=limits,
        )
    except RemoteProtocolError as error:
        return Refusal(error.status, str(error.args[0]), error.clause)
    return NewSubscription(
        judged,
        _duration(fields, policy),
        parse_statevar(fields.get(b"statevar"), limits) if policy.uda == "2.0" else None,
        request.http_version,
        request.local,
        request.peer,
        not request.keep_alive,
    )


def judge_unsubscribe(request: Request, policy: PublisherPolicy) -> Cancellation | Refusal:
    """An UNSUBSCRIBE (UDA 2.0 §4.1.4, table 4-6)."""
    refusal = _judge_head(request, "UNSUBSCRIBE", policy.hosts, _ONCE_SUBSCRIBE)
    if refusal is not None:
        return refusal
    sid = _judge_sid(request.fields, _UNSUBSCRIBE)
    return sid if isinstance(sid, Refusal) else Cancellation(sid)


def judge_notify(
    request: Request, policy: SubscriberPolicy, advertised: str | None = None
) -> Notification | Refusal:
    """A NOTIFY (UDA 2.0 §4.3.2). ``advertised`` is the authority in the CALLBACK that led to
    this path, which HOST may carry as well. The body is not looked at."""
    # Called for every event that arrives: no call here that is not needed.
    if request.method != "NOTIFY":
        return _other_method(request.method, "NOTIFY")
    fields = request.fields
    repeated = request.repeated
    if repeated and not repeated.isdisjoint(_ONCE_NOTIFY):
        return _repeated(repeated & _ONCE_NOTIFY)
    host = fields.get(b"host")
    if host is None:
        return _HOST_MISSING
    refusal = _judge_authority(host, request.local, policy.hosts, advertised)
    if refusal is not None:
        return refusal
    nt = fields.get(b"nt")
    nts = fields.get(b"nts")
    if nt is None or nts is None:
        return Refusal(400, "NT or NTS is missing", _NOTIFY)
    try:
        seq = parse_seq(fields.get(b"seq"))
    except ValueError as error:
        return Refusal(400, str(error), _NOTIFY)
    if seq is None and not _SEQ_MAY_MISS:
        return Refusal(400, "SEQ is missing", _NOTIFY)
    if nt != EVENT_NT:
        return Refusal(412, "NT is not upnp:event", _NOTIFY)
    if nts != PROPCHANGE_NTS:
        return Refusal(412, "NTS is not upnp:propchange", _NOTIFY)
    try:
        sid = parse_sid(fields.get(b"sid"))
    except ValueError as error:
        return Refusal(412, str(error), _NOTIFY)
    # Half the time of Notification(sid, seq, body), which is the same.
    return tuple.__new__(Notification, (sid, seq, request.body))


def judge_host(
    request: Request, extra: frozenset[str], advertised: str | None = None
) -> Refusal | None:
    """None when HOST names this listener, so that no web page can reach it by a name of its own
    (DNS rebinding); else a 400.

    Right is a literal equal to the address and port of ``request.local`` (80 when HOST has no
    port); ``advertised``, an authority; or one of ``extra``, where an entry without a port stands
    for every port. An IPv4-mapped address equals its IPv4 address. A request whose ``local`` is
    None is reached by ``extra`` and ``advertised`` alone. Raises ``ValueError`` when one of these
    two cannot be read.
    """
    host = request.fields.get(b"host")
    if host is None:
        return _HOST_MISSING
    if b"host" in request.repeated:
        return _repeated({b"host"})
    return _judge_authority(host, request.local, extra, advertised)


# Few listeners, few peers: nearly every request is one that was judged before.
@lru_cache(maxsize=64)
def _judge_authority(
    host: bytes, local: Endpoint | None, extra: frozenset[str], advertised: str | None
) -> Refusal | None:
    try:
        name, port = parse_host(host)
    except ValueError as error:
        return Refusal(400, str(error), _HTTP)
    name = _canonical(name)
    if local is not None and (name, port) == (_canonical(local.host), local.port):
        return None
    if advertised is not None and (name, port) == _split(advertised, 80):
        return None
    if any((name, port) == _split(entry, port) for entry in extra):
        return None
    return Refusal(
        400,
        "HOST is not the address and port of this connection; send the request to the address "
        "itself, or add the name to the accepted hosts",
        "RFC 9110 §7.4",
    )


def _split(authority: str, default_port: int) -> tuple[str, int]:
    name, port = parse_host(authority.encode())
    has_port = ":" in authority.rpartition("]")[2]
    return _canonical(name), port if has_port else default_port


def _canonical(host: str) -> str:
    """A host as it is compared: IPv6 in its shortest form, IPv4-mapped as IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _judge_head(
    request: Request, method: str, hosts: frozenset[str], once: frozenset[bytes]
) -> Refusal | None:
    """What SUBSCRIBE and UNSUBSCRIBE have in common."""
    if request.method != method:
        return _other_method(request.method, method)
    fields = request.fields
    repeated = request.repeated & once
    if repeated:
        return _repeated(repeated)
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


def _other_method(method: str, expected: str) -> Refusal:
    return Refusal(405, f"{method[:40]!a} was sent where {expected} is expected", _HTTP)


def _repeated(names: Iterable[bytes]) -> Refusal:
    shown = ", ".join(sorted(name.decode().upper() for name in names))
    return Refusal(400, f"{shown} came more than once", _HTTP)


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
    *,
    date: Callable[[], bytes] | None = None,
) -> Response:
    """The 200 to a SUBSCRIBE, new or a renewal. ``duration`` is the granted one in seconds;
    ``accepted_statevar`` the names that will be evented, None when that is all of them;
    ``date`` gives the value of DATE. After a new subscription the initial event may go out when
    the response has (UDA 2.0 §4.1.2)."""
    headers = [
        (b"SID", sid.encode()),
        (b"CONTENT-LENGTH", b"0"),
        (b"TIMEOUT", format_timeout(duration)),
    ]
    if accepted_statevar is not None:
        headers.append((b"ACCEPTED-STATEVAR", format_statevar(accepted_statevar)))
    return _response(200, request, [*_signature(policy, date), *headers])


def unsubscribe_response(
    policy: PublisherPolicy, request: Request, *, date: Callable[[], bytes] | None = None
) -> Response:
    """The 200 to an UNSUBSCRIBE (UDA 2.0 §4.1.4)."""
    return _response(200, request, [*_signature(policy, date), _EMPTY])


def notify_response(
    policy: SubscriberPolicy, request: Request, *, date: Callable[[], bytes] | None = None
) -> Response:
    """The 200 to a NOTIFY (UDA 2.0 §4.3.2). Without ``date`` the same response is given to many
    requests: it is not to be changed."""
    if date is not None:
        return _response(200, request, [*_signature(policy, date), _EMPTY])
    return _NOTIFY_RESPONSES[request.http_version == "1.0", request.keep_alive]


def refusal_response(
    refusal: Refusal,
    policy: PublisherPolicy | SubscriberPolicy,
    request: Request,
    *,
    date: Callable[[], bytes] | None = None,
) -> Response:
    """The response that tells a refusal: its status and no body."""
    headers = [*_signature(policy, date), _EMPTY]
    if refusal.status == 405:
        headers.append((b"ALLOW", _METHODS[isinstance(policy, PublisherPolicy)]))
    return _response(refusal.status, request, headers)


_EMPTY = (b"CONTENT-LENGTH", b"0")
_METHODS = {True: b"SUBSCRIBE, UNSUBSCRIBE", False: b"NOTIFY"}


def _signature(
    policy: PublisherPolicy | SubscriberPolicy, date: Callable[[], bytes] | None
) -> list[tuple[bytes, bytes]]:
    headers = [(b"DATE", date())] if date is not None else []
    if isinstance(policy, PublisherPolicy):
        headers.append((b"SERVER", policy.server.encode()))
    return headers


def _response(status: int, request: Request, headers: HeaderPairs) -> Response:
    """An answer in the highest version that the request allows (UDA 2.0 §4.1.2), which ends the
    connection when the request said so."""
    return Response(
        status,
        headers,
        http_version="1.0" if request.http_version == "1.0" else "1.1",
        close=not request.keep_alive,
    )


# The 200 to NOTIFY, by HTTP version and keep-alive: made once, because it is the same each time.
_NOTIFY_RESPONSES = {
    (version == "1.0", keep_alive): _response(
        200, Request("NOTIFY", "/", (), http_version=version, keep_alive=keep_alive), (_EMPTY,)
    )
    for version in ("1.0", "1.1")
    for keep_alive in (False, True)
}
