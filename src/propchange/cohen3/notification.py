"""Notifications of programs that write their propertysets themselves, as Cohen3 does."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol

from propchange.cohen3.dispatcher import Logger
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.requests import authority_and_target, http_url
from propchange.core.wire.headers import next_seq
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Response,
)
from propchange.errors import DeliveryError, LocalProtocolError
from propchange.http import ResponseParser, encode_delivery
from propchange.twisted.deliveries import deliveries_of
from propchange.twisted.reactors import Reactor, default_reactor

__all__ = [
    "NotificationProtocol",
    "PeerResponse",
    "Subscriber",
    "drop",
    "end",
    "hold",
    "release",
    "send_notification",
    "withdraw",
]


class PeerResponse(NamedTuple):
    """What the other side has answered: the HTTP status, and its headers by lower-case name."""

    status: int
    headers: Mapping[str, str]

    @classmethod
    def of(cls, response: Response) -> PeerResponse:
        """The same in the words of this front."""
        fields = response.fields
        if not fields:
            return cls(response.status, _NO_HEADERS)
        return cls(
            response.status,
            {name.decode("latin-1"): value.decode("latin-1") for name, value in fields.items()},
        )


_logger = logging.getLogger("notification_protocol")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class NotificationProtocol(Protocol, Logger):
    """A connection to a subscriber that was made elsewhere: reads one answer to a NOTIFY, which
    may come in any number of chunks, and ends the connection."""

    logCategory = "notification_protocol"
    transport: Any

    def __init__(self) -> None:
        self._parser = ResponseParser(DEFAULT_LIMITS)
        self._parser.expect("NOTIFY")
        self._alarm: Any = None

    def connectionMade(self) -> None:
        """The connection is there; an answer has ``attempt_seconds`` of the limits to come."""
        seconds = DEFAULT_LIMITS.attempt_seconds
        self._alarm = default_reactor().callLater(seconds, self.transport.loseConnection)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of the answer."""
        for response in self._parser.feed(data)[:1]:
            self._answered(response)
        if self._parser.error is not None:
            self.debug("the answer to a notification is not HTTP: %s", self._parser.error)
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = ConnectionDone()) -> None:  # noqa: B008 - Twisted's signature
        """The connection is gone; an answer that ends with it is whole now."""
        if self._alarm.active():
            self._alarm.cancel()
        response = self._parser.end()
        if response is not None:
            self._answered(response)

    def _answered(self, response: Response) -> None:
        _warn_unless_taken(response)
        if self._alarm.active():
            self._alarm.cancel()
        self.transport.loseConnection()


def _warn_unless_taken(response: Response) -> None:
    if not 200 <= response.status < 300:
        _logger.warning("a notification was answered with %d", response.status)


class Subscriber(dict[str, Any]):
    """The dict of a subscriber: ``sid``, ``callback``, ``seq``, ``timeout``, ``created``.

    Beside what programs read and write in it there are ``urls``, its delivery URLs as they were
    judged; ``source``, the local address to send from; ``peer``, where its SUBSCRIBE came from;
    ``uda``, the version of UDA that its messages follow;
    ``expires`` by the reactor's clock, with the ``stamp`` (created, timeout) it belongs to; and
    ``table``, the dict it stands in.
    """

    __slots__ = ("expires", "peer", "source", "stamp", "table", "uda", "urls")

    def __init__(self, fields: Mapping[str, Any], urls: tuple[DeliveryURL, ...]) -> None:
        super().__init__(fields)
        self.urls = urls
        self.source: Endpoint | None = None
        self.peer = ""
        self.uda = "1.1"
        self.table: MutableMapping[str, Any] | None = None
        self.expires: float | None = None
        self.stamp: tuple[Any, Any] = (None, None)


class _Notification:
    """One message on its way to one subscriber; ``send_notification`` returns it as its second
    value. ``deferred`` fires once."""

    __slots__ = (
        "_alarm",
        "_began",
        "_deliveries",
        "_outbox",
        "_reactor",
        "address",
        "at",
        "deferred",
        "delivery",
        "message",
        "seq",
    )

    def __init__(self, outbox: _Outbox, reactor: Reactor, message: EventMessage, seq: int) -> None:
        self._outbox = outbox
        self._reactor = reactor
        self._deliveries = deliveries_of(reactor)
        self._alarm: Any = None
        self._began: float | None = None
        self.message = message
        self.seq = seq
        self.at = 0  # which of the delivery URLs
        self.delivery: Delivery | None = None
        self.deferred: Deferred[PeerResponse] = Deferred(lambda _: self.disconnect())

    def disconnect(self) -> None:
        """Give the notification up: its Deferred fails with DeliveryError, unless it has fired.
        Its SEQ is spent. Once it has fired, end the connections to that subscriber that are kept
        for the next one."""
        if self.deferred.called:
            for address in self._outbox.addresses[self.at : self.at + 1]:
                self._deliveries.leave(address.url.endpoint)
        else:
            self.fail(f"SEQ {self.seq} was given up")

    def fail(self, reason: str) -> None:
        """End the attempt, if one is under way, and let the Deferred fail."""
        delivery, self.delivery = self.delivery, None
        if delivery is not None:
            self._deliveries.abort(delivery)
        self.disarm()
        self._outbox.done(self, DeliveryError(reason))

    def disarm(self) -> None:
        """Leave nothing with the reactor."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None and alarm.active():
            alarm.cancel()

    def begin(self, *, fresh: bool = False) -> None:
        """Make an attempt at the delivery URL whose turn it is."""
        if self._began is None:
            self._began = self._reactor.seconds()
        elif self._alarm is None:
            # One attempt is bounded by itself: this is for the second and later ones.
            left = self._began + DEFAULT_LIMITS.message_seconds - self._reactor.seconds()
            reason = f"SEQ {self.seq} reached none of the delivery URLs in time"
            self._alarm = self._reactor.callLater(max(left, 0), self.fail, reason)
        address = self._outbox.addresses[self.at]
        self.delivery = Delivery(address, self.seq, self.message, self, fresh=fresh)
        self._deliveries.send(self.delivery, self._ended)

    def _ended(self, delivery: Delivery, result: Response | DeliveryFailure) -> None:
        self.delivery = None
        if isinstance(result, Response):
            _warn_unless_taken(result)
        goes_on = self._outbox.wants(self)
        if result is DeliveryFailure.STALE and not delivery.fresh and goes_on:
            self.begin(fresh=True)
            return
        settled = isinstance(result, Response) and (
            200 <= result.status < 300 or result.status == 412
        )
        if not settled and goes_on and self.at + 1 < len(self._outbox.addresses):
            self.at += 1
            self.begin()
            return
        self.disarm()
        if isinstance(result, Response):
            self._outbox.done(self, PeerResponse.of(result))
        else:
            url = delivery.address.url.url
            self._outbox.done(self, DeliveryError(f"SEQ {self.seq} to {url}: {result.value}"))


class _Outbox:
    """What waits for one subscriber: one message at a time, in order."""

    __slots__ = (
        "_alarm",
        "_current",
        "_ended",
        "_held",
        "_others",
        "_queue",
        "addresses",
        "subscriber",
    )

    def __init__(self, others: _Outboxes, subscriber: MutableMapping[str, Any]) -> None:
        self._others = others
        self._ended = False
        self.subscriber = subscriber
        self.addresses = _addresses(subscriber)
        self._queue: deque[_Notification] = deque()
        self._current: _Notification | None = None
        self._held = False
        self._alarm: Any = None

    def push(self, notification: _Notification) -> None:
        if not self.wants(notification):
            self.done(notification, DeliveryError(_OVER))
        elif self._current is None and not self._held:
            self._current = notification
            notification.begin()
        elif len(self._queue) >= DEFAULT_LIMITS.waiting_events:
            self.done(notification, DeliveryError("the subscriber is too far behind"))
        else:
            self._queue.append(notification)

    def done(self, notification: _Notification, result: PeerResponse | DeliveryError) -> None:
        if notification is self._current:
            self._current = None
        elif notification in self._queue:
            self._queue.remove(notification)
        if isinstance(result, PeerResponse) and result.status == 412:
            withdraw(self.subscriber)
            for waiting in tuple(self._queue):
                self.done(waiting, DeliveryError(_OVER))
        self._proceed()
        deferred = notification.deferred
        if deferred.called:
            return
        if isinstance(result, PeerResponse):
            deferred.callback(result)
        else:
            _logger.info("%s: %s", self.subscriber.get("sid"), result)
            deferred.errback(result)

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._proceed()

    def release_later(self, reactor: Reactor, seconds: float) -> None:
        self._alarm = reactor.callLater(seconds, self.release)

    def drop(self) -> None:
        """Fail everything that waits."""
        self._held = False
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        waiting, self._queue = self._queue, deque()
        for notification in waiting:
            self.done(notification, DeliveryError("the subscriber does not know its SID"))
        if self._current is not None:
            self._current.disconnect()
        self._proceed()

    def wants(self, notification: _Notification) -> bool:
        """Whether it may be sent: to who has left, the initial event alone."""
        return not self._ended or notification.seq == 0

    def end(self) -> None:
        """The subscription is over: fail what waits, and make no further attempt at what is under
        way; but the initial event is still owed (UDA 2.0 §4.1.4)."""
        self._ended = True
        for notification in tuple(self._queue):
            if not self.wants(notification):
                self.done(notification, DeliveryError(_OVER))
        self._proceed()

    def _proceed(self) -> None:
        if self._current is None and not self._held:
            if self._queue:
                self._current = self._queue.popleft()
                self._current.begin()
            else:
                self._others.pop(_key(self.subscriber), None)


_OVER = "the subscription is over"

# Of each reactor, by SID and callback, since a program may keep its own copy of a subscriber, or
# make a new one each time; gone when nothing waits.
_Outboxes = dict[tuple[str, str], _Outbox]
_of_reactor: weakref.WeakKeyDictionary[Any, _Outboxes] = weakref.WeakKeyDictionary()


def _outbox(subscriber: MutableMapping[str, Any], reactor: Reactor) -> _Outbox:
    outboxes = _of_reactor.get(reactor)
    if outboxes is None:
        outboxes = _of_reactor[reactor] = {}
    key = _key(subscriber)
    outbox = outboxes.get(key)
    if outbox is None:
        outbox = outboxes[key] = _Outbox(outboxes, subscriber)
    return outbox


def _key(subscriber: MutableMapping[str, Any]) -> tuple[str, str]:
    return str(subscriber["sid"]), str(subscriber["callback"])


def hold(subscriber: Subscriber, reactor: Reactor) -> None:
    """Keep what is sent to ``subscriber`` until :func:`release`: its SUBSCRIBE is not answered
    yet (UDA 2.0 §4.1.2)."""
    _outbox(subscriber, reactor).hold()


def release(
    subscriber: Subscriber, reactor: Reactor, *, lost: bool = False, after: float = 0.0
) -> None:
    """The answer has left, and the initial event may ``after`` so many seconds; or, ``lost``, it
    cannot, so that nobody knows the SID."""
    outbox = _outbox(subscriber, reactor)
    if lost:
        withdraw(subscriber)
        outbox.drop()
    elif after > 0:
        outbox.release_later(reactor, after)
    else:
        outbox.release()


def end(subscriber: MutableMapping[str, Any], reactor: Reactor) -> None:
    """The subscription is cancelled or has expired: what waits for it fails, the initial event
    excepted."""
    _outbox(subscriber, reactor).end()


def drop(subscriber: MutableMapping[str, Any], reactor: Reactor) -> set[Endpoint]:
    """The service ends: give everything up that waits or is under way. Gives where it went."""
    outbox = _outbox(subscriber, reactor)
    outbox.drop()
    return {address.url.endpoint for address in outbox.addresses}


def withdraw(subscriber: MutableMapping[str, Any]) -> None:
    """Take ``subscriber`` out of the dict it stands in, if it is known to stand in one."""
    table = getattr(subscriber, "table", None)
    if table is not None:
        table.pop(subscriber["sid"], None)  # it, or the copy of it that a program keeps


def send_notification(
    s: MutableMapping[str, Any], xml: bytes | str, *, reactor: Reactor | None = None
) -> tuple[Deferred[PeerResponse], _Notification]:
    """Send the propertyset ``xml``, text as UTF-8, to the subscriber ``s``, a dict with at least
    ``sid``, ``callback`` and ``seq``. ``s["seq"]`` is spent at once.

    Returns a Deferred and an object whose ``disconnect()`` gives the notification up. The
    Deferred fires with the subscriber's response, a :class:`PeerResponse`, whatever its status;
    or fails with :exc:`~propchange.errors.DeliveryError` when there is none. Notifications of
    one subscriber are sent in the order of the calls, each after the answer to the one before.
    A subscriber that answers 412 is taken out of its service's dict.
    """
    reactor = reactor or default_reactor()
    message = EventMessage((), xml.encode() if isinstance(xml, str) else xml)
    seq = int(s["seq"])
    s["seq"] = next_seq(seq)
    outbox = _outbox(s, reactor)
    notification = _Notification(outbox, reactor, message, seq)
    if not outbox.addresses:
        error = DeliveryError(f"{s['callback']!r} cannot be called")
        outbox.done(notification, error)
    else:
        outbox.push(notification)
    return notification.deferred, notification


def _addresses(subscriber: MutableMapping[str, Any]) -> tuple[DeliveryAddress, ...]:
    urls: tuple[DeliveryURL, ...] = getattr(subscriber, "urls", ())
    callback = subscriber["callback"]
    if isinstance(callback, bytes):
        callback = callback.decode("latin-1")
    if not urls or urls[0].url != callback:
        url = _delivery_url(callback)
        urls = () if url is None else (url,)
    source = getattr(subscriber, "source", None)
    uda = getattr(subscriber, "uda", "1.1")
    addresses = (DeliveryAddress(str(subscriber["sid"]), url, source, uda) for url in urls)
    return tuple(address for address in addresses if _can_be_written(address))


def _can_be_written(address: DeliveryAddress) -> bool:
    try:
        encode_delivery(Delivery(address, 0, _EMPTY, None))
    except LocalProtocolError:
        return False
    return True


_EMPTY = EventMessage((), b"")


@lru_cache(maxsize=1024)
def _delivery_url(callback: str) -> DeliveryURL | None:
    url = callback.strip("<> ")
    try:
        parts = urlsplit(http_url(url))
    except ValueError:
        return None
    authority, target = authority_and_target(url)
    host, _, zone = (parts.hostname or "").partition("%")
    scope = int(zone) if zone.isdecimal() else 0
    return DeliveryURL(url, Endpoint(host, parts.port or 80, scope), authority, target)
