"""The requests that a subscriber sends (UDA 2.0 §4.1.2 to §4.1.4), and their queue."""

from __future__ import annotations

import enum
import errno
import string
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from propchange.core.limits import Limits
from propchange.core.shortages import SHORTAGES
from propchange.core.subscriber.device_slots import (
    CallTurn,
    DeviceAddress,
    DeviceSlots,
    device_address,
)
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.timing import TimerKind, Timers
from propchange.core.tolerance import accepts
from propchange.core.wire.headers import format_statevar, format_timeout, parse_statevar
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import LocalProtocolError

REDIRECTS = frozenset({307})
"""The one redirect that a device may answer with (UDA 2.0 §2.1)."""

_ACCEPTED_STATEVAR = (
    b"accepted-statevar",
    *((b"accepted_statevar",) if accepts("subscriber", "accepted-statevar-underscore") else ()),
)


class RequestKind(enum.Enum):
    """What an outgoing request is for."""

    SUBSCRIBE = enum.auto()
    RENEW = enum.auto()
    UNSUBSCRIBE = enum.auto()
    DESCRIBE = enum.auto()
    """Not a message of eventing: the runtime reads the device's description again and calls
    ``SubscriberProtocol.described``."""


class Failure(enum.Enum):
    """Why a request had no answer, as far as the runtime knows."""

    SILENCE = enum.auto()
    """Nothing came in time, or nothing better is known."""
    BROKEN = enum.auto()
    """The connection ended before an answer, or the answer was not HTTP: the device is there."""
    REFUSED = enum.auto()
    """The host is there, and nothing listens on that port: the device's process has gone."""
    UNREACHABLE = enum.auto()
    """There is no route to the host, or the host does not answer."""
    NO_SOURCE = enum.auto()
    """``OutgoingRequest.source`` is not an address of this machine."""
    SHORTAGE = enum.auto()
    """This machine has no file descriptor, memory or port for another connection."""
    DESCRIPTION = enum.auto()
    """For DESCRIBE: the description was read, and the service is not in it."""


@dataclass(slots=True, eq=False, repr=False)
class OutgoingRequest:
    """A request for the runtime to send.

    The runtime connects to ``url``, from the address ``source`` if given: the interface pair of
    the subscription (REN-03), or the address that events are wanted at. It builds the message with
    :meth:`build`. It follows the URL of :func:`redirect_url`, ``Limits.redirects`` times at most,
    with the message :func:`addressed_to` there. It calls :func:`.judge_url_host` for each address
    that a description or a redirect leads to. It sets ``remote`` to the address that answered and
    ``url`` to the last URL. It ends every request by ``response_received``, ``request_failed`` or
    ``described`` with this object, even if the request is no longer :attr:`wanted`: the next
    request to the device waits for that.
    """

    kind: RequestKind
    subscription: SubscriptionRecord
    url: str
    _: KW_ONLY
    sent_at: float
    sid: str = ""
    source: Endpoint | None = None
    builder: Callable[[Endpoint], Request] | None = None
    address: DeviceAddress = field(init=False)
    """The host and port of the first ``url``, by which requests to one device are counted."""
    local: Endpoint | None = None
    """The address it was sent from, without the port; None before it is built."""
    remote: Endpoint | None = None
    wanted: bool = True
    """Whether the answer is still of use. False once the request has timed out or the subscription
    has moved on; always True for an UNSUBSCRIBE."""

    def __post_init__(self) -> None:
        self.address = device_address(self.url)

    def build(self, local: Endpoint) -> Request:
        """The message, for a connection whose local address is ``local.host``, with the listener
        at ``local.port``. Raises LocalProtocolError for DESCRIBE, and when it is no longer
        :attr:`wanted`."""
        if self.builder is None:
            raise LocalProtocolError("a DESCRIBE is no message: read the description again")
        if not self.wanted:
            raise LocalProtocolError("the time for this request is up")
        self.local = local._replace(port=0)
        return self.builder(local)

    def __repr__(self) -> str:
        return f"<OutgoingRequest {self.kind.name} {self.url}>"


def http_url(url: str) -> str:
    """``url`` if it can be subscribed to. Raises ValueError with the reason otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme.lower() != "http":
        raise ValueError(f"{url!r} is not an http:// URL")
    if not parts.hostname or port == 0:
        raise ValueError(f"{url!r} names no host and port to connect to")
    if "@" in parts.netloc:
        raise ValueError(f"{url!r} has a user name; leave it out")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{url!r} has characters that no URL may have")
    return url


@lru_cache(maxsize=256)  # calls go to few URLs
def authority_and_target(url: str) -> tuple[str, str]:
    """What HOST and the request line carry for ``url``: no zone, no credentials (V6-07). Characters
    that a request line cannot carry are percent-encoded."""
    parts = urlsplit(url)
    host = (parts.hostname or "").partition("%")[0]
    if ":" in host:
        host = f"[{host}]"
    authority = host if parts.port is None else f"{host}:{parts.port}"
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    return authority, quote(target, safe=string.punctuation)


def redirect_url(url: str, response: Response, statuses: Collection[int] = REDIRECTS) -> str | None:
    """Where the answer of ``url`` leads: the http URL in its LOCATION when its status is one of
    ``statuses``. None for any other answer, which is then the answer (SUB-77)."""
    location = response.fields.get(b"location")
    if response.status not in statuses or not location:
        return None
    try:
        # What a request line cannot hold is percent-encoded.
        led_to = urljoin(url, quote(location.decode("utf-8"), safe=string.punctuation))
        return urldefrag(http_url(led_to)).url
    except ValueError:
        return None


def addressed_to(message: Request, url: str) -> Request:
    """``message`` with the HOST and the target of ``url``, where a redirect has led."""
    authority, target = authority_and_target(url)
    headers = [
        (name, authority.encode("ascii") if name.lower() == b"host" else value)
        for name, value in message.headers
    ]
    return Request(message.method, target, headers, message.body)


def _message(method: str, url: str, *headers: tuple[bytes, bytes]) -> Request:
    authority, target = authority_and_target(url)
    return Request(method, target, [(b"HOST", authority.encode("ascii")), *headers])


def subscribe_message(
    url: str,
    callback: str,
    policy: SubscriberPolicy,
    *,
    duration: int,
    statevar: tuple[str, ...] = (),
) -> Request:
    """A SUBSCRIBE for a new subscription (UDA 2.0 §4.1.2)."""
    headers = friendly_name(policy)
    if policy.uda != "1.0" and policy.user_agent:
        # It says which form of a complex variable can be read (SUB-12, SUB-60).
        headers.insert(0, (b"USER-AGENT", policy.user_agent.encode("latin-1", "replace")))
    headers += [
        (b"CALLBACK", f"<{callback}>".encode("ascii")),
        (b"NT", b"upnp:event"),
        (b"TIMEOUT", format_timeout(duration)),
    ]
    if statevar and policy.uda == "2.0":
        headers.append((b"STATEVAR", format_statevar(statevar)))
    return _message("SUBSCRIBE", url, *headers)


def renewal_message(url: str, sid: str, policy: SubscriberPolicy, *, duration: int) -> Request:
    """A SUBSCRIBE that renews: neither CALLBACK nor NT (REN-02)."""
    timeout = (b"TIMEOUT", format_timeout(duration))
    return _message("SUBSCRIBE", url, _sid(sid), timeout, *friendly_name(policy))


def unsubscribe_message(url: str, sid: str, policy: SubscriberPolicy) -> Request:
    """An UNSUBSCRIBE (UDA 2.0 §4.1.4)."""
    return _message("UNSUBSCRIBE", url, _sid(sid), *friendly_name(policy))


def _sid(sid: str) -> tuple[bytes, bytes]:
    return b"SID", sid.encode("latin-1")


def accepted_variables(
    asked: tuple[str, ...], response: Response, policy: SubscriberPolicy, limits: Limits
) -> tuple[str, ...] | None:
    """The variables that the device events, by ACCEPTED-STATEVAR; None when it events all. That is
    so whenever STATEVAR was not sent (SUB-51, SUB-53). One clause spells the header in two ways, so
    both are read (AMB-3)."""
    if not asked or policy.uda != "2.0":
        return None
    found = (response.fields[name] for name in _ACCEPTED_STATEVAR if name in response.fields)
    return parse_statevar(next(found, None), limits)


def friendly_name(policy: SubscriberPolicy) -> list[tuple[bytes, bytes]]:
    """The header that UDA 2.0 §2.1 wants in every request of a control point (SUB-13); none for
    the versions before."""
    return [(b"CPFN.UPNP.ORG", policy.friendly_name.encode())] if policy.uda == "2.0" else []


_FAILURES = {
    **dict.fromkeys(SHORTAGES, Failure.SHORTAGE),
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.EHOSTUNREACH: Failure.UNREACHABLE,
    errno.EHOSTDOWN: Failure.UNREACHABLE,
    errno.ENETUNREACH: Failure.UNREACHABLE,
    errno.ENETDOWN: Failure.UNREACHABLE,
    errno.ETIMEDOUT: Failure.UNREACHABLE,
    errno.EADDRNOTAVAIL: Failure.NO_SOURCE,
}


def failure_of_errno(number: int | None, *, bound: bool) -> Failure:
    """The failure for a connection that could not be made, by its errno; ``number`` is None for an
    error without errno. ``bound``: the socket was bound to an address. Then EADDRNOTAVAIL means
    that this machine has not that address, and else that it has no port left."""
    failure = _FAILURES.get(number or 0, Failure.SILENCE)
    return Failure.SHORTAGE if failure is Failure.NO_SOURCE and not bound else failure


class RequestQueue:
    """The requests to devices: those that wait to be sent and those that are under way.

    :class:`.DeviceSlots` says which leaves next, beside the calls of actions. A redirect does not
    change the host and port. Each subscription waits for one answer at a time, beside that to an
    UNSUBSCRIBE.
    """

    def __init__(self, policy: SubscriberPolicy, limits: Limits, timers: Timers) -> None:
        self._policy = policy
        self._limits = limits
        self._timers = timers
        self.outstanding: dict[SubscriptionRecord, OutgoingRequest] = {}
        """The request whose answer each subscription waits for, an UNSUBSCRIBE apart."""
        # The last UNSUBSCRIBE of each that was not answered, and the SUBSCRIBE that waits for that.
        self._parting: dict[SubscriptionRecord, OutgoingRequest] = {}
        self._postponed: dict[SubscriptionRecord, OutgoingRequest] = {}
        self._now = 0.0
        self.slots: DeviceSlots[OutgoingRequest] = DeviceSlots(limits)
        """The requests that wait for their turn and those that are under way."""
        self._turns: list[CallTurn] = []

    def send(self, request: OutgoingRequest) -> None:
        """Queue ``request``, and wait for its answer. A SUBSCRIBE after an UNSUBSCRIBE leaves once
        that was answered, or ``Limits.unsubscribe_seconds`` later: a device may have no room for
        both subscriptions (CP-01)."""
        record, now = request.subscription, request.sent_at
        self.outstanding[record] = request
        self._timers.set((record, TimerKind.REQUEST), now + self._limits.request_seconds)
        if request.kind is RequestKind.SUBSCRIBE and record in self._parting:
            self._postponed[record] = request
            self._timers.set((record, TimerKind.PARTING), now + self._limits.unsubscribe_seconds)
        else:
            self._put(request, now)

    def expect_within(self, record: SubscriptionRecord, now: float, seconds: float) -> None:
        """Wait at most ``seconds`` from now for the answer to the request of ``record``."""
        self._timers.set((record, TimerKind.REQUEST), now + seconds)

    def settle(self, record: SubscriptionRecord) -> None:
        """Stop waiting for an answer, except to an UNSUBSCRIBE."""
        request = self.outstanding.pop(record, None)
        if request is not None:
            request.wanted = False
        self._timers.clear((record, TimerKind.REQUEST))

    def unsubscribe(
        self, record: SubscriptionRecord, url: str, sid: str, source: Endpoint | None, now: float
    ) -> None:
        """Queue an UNSUBSCRIBE for ``sid``, which need not be the current SID of ``record``."""
        message = unsubscribe_message(url, sid, self._policy)
        request = OutgoingRequest(RequestKind.UNSUBSCRIBE, record, url, sid=sid, sent_at=now)
        request.source, request.builder = source, lambda _: message
        self._parting[record] = request
        self._put(request, now)

    def unsubscribed(self, request: OutgoingRequest, now: float) -> None:
        """An UNSUBSCRIBE has ended. If it is the last one, the SUBSCRIBE that waits leaves."""
        if self._parting.get(request.subscription) is request:
            self.parted(request.subscription, now)

    def parted(self, record: SubscriptionRecord, now: float) -> None:
        """Stop waiting for the answer to an UNSUBSCRIBE: the SUBSCRIBE that waits for it leaves."""
        self._parting.pop(record, None)
        self._timers.clear((record, TimerKind.PARTING))
        postponed = self._postponed.pop(record, None)
        if postponed is not None and postponed.wanted:
            self._put(postponed, now)

    def forget(self, record: SubscriptionRecord) -> None:
        """``record`` is closed: wait for no answer."""
        self.settle(record)
        self._parting.pop(record, None)
        self._postponed.pop(record, None)

    def _put(self, request: OutgoingRequest, now: float) -> None:
        self._now = now
        self.slots.put(request)

    def take(self) -> list[OutgoingRequest]:
        """The requests to send now. Those that are no longer wanted are forgotten."""
        requests, turns = self.slots.take()
        self._turns += turns
        for request in requests:
            if request.kind is not RequestKind.UNSUBSCRIBE:
                # Its token was spent when it was queued, perhaps long ago.
                request.subscription.bucket.count_from(self._now)
        return requests

    def take_turns(self) -> list[CallTurn]:
        """The turns of calls that have come with :meth:`take`."""
        turns, self._turns = self._turns, []
        return turns

    def end(self, request: OutgoingRequest, now: float) -> None:
        """``request``, which was taken, has ended. Repeated calls do nothing."""
        self._now = now
        self.slots.end(request)
