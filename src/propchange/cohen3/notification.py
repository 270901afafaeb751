"""Notifications of programs that write their propertysets themselves, as Cohen3 does."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, MutableMapping
from functools import lru_cache, partial
from typing import Any

from twisted.internet.defer import Deferred

from propchange.cohen3.answer import AnswerProtocol, PeerResponse
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import AttemptVerdict, NewSubscription, judge_attempt
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
from propchange.driver.requests import locate
from propchange.errors import DeliveryError, LocalProtocolError
from propchange.twisted.runtime import Reactor, default_reactor
from propchange.twisted.service import deliveries_of

_logger = logging.getLogger("notification_protocol")


class NotificationProtocol(AnswerProtocol):
    """Reads the answer to a NOTIFY that was sent over this connection."""

    logCategory = "notification_protocol"

    def __init__(self) -> None:
        super().__init__(DEFAULT_LIMITS.attempt_seconds, reactor=None, limits=DEFAULT_LIMITS)

    def settled(self, result: Response | Exception) -> None:
        """The subscriber has answered, or there is no answer."""
        if isinstance(result, Response):
            _warn_unless_taken(result.status)


def _warn_unless_taken(status: int) -> None:
    if not 200 <= status < 300:
        _logger.warning("a notification was answered with %d", status)


class Subscriber(dict[str, Any]):
    """The dict of a subscriber: ``sid``, ``callback``, ``seq``, ``timeout``, ``created``.

    Programs read and write these five. ``addresses`` are the delivery URLs of its SUBSCRIBE, in
    their order, and ``peer`` is the host that sent it. ``table`` is the dict of subscribers that it
    stands in. ``expires`` is when the subscription ends, on the runtime's clock. ``stamp`` is the
    (created, timeout) that it belongs to: if a program has written others, the end is by these.
    """

    expires = 0.0
    stamp: tuple[Any, Any] = (None, None)

    def __init__(
        self, sid: str, verdict: NewSubscription, uda: str, table: MutableMapping[str, Any]
    ) -> None:
        super().__init__(sid=sid, callback=verdict.urls[0].url, seq=0)
        source = verdict.local._replace(port=0)
        self.addresses = tuple(DeliveryAddress(sid, url, source, uda) for url in verdict.urls)
        self.peer = verdict.peer.host
        self.table = table


class QueuedNotification:
    """One event message on its way to one subscriber, tried at the delivery URLs in their order.
    ``deferred`` fires once."""

    def __init__(self, outbox: Outbox, message: EventMessage, seq: int) -> None:
        self.message = message
        self.seq = seq
        self.deferred: Deferred[PeerResponse] = Deferred(lambda _: self.disconnect())
        self._outbox = outbox
        self._url = 0  # the index of the delivery URL whose turn it is
        self.attempt: Delivery | None = None  # the latest one
        self._deadline = 0.0

    def disconnect(self) -> None:
        """Give the notification up: its Deferred fails with DeliveryError, and its SEQ is spent.
        If the Deferred has fired already, end the idle connections to the delivery URL instead."""
        if not self.deferred.called:
            self.fail(f"SEQ {self.seq} was given up")
            return
        for address in self._outbox.addresses[self._url : self._url + 1]:
            Deferred.fromCoroutine(self._outbox.deliveries.leave(address.url.endpoint))

    def fail(self, reason: str) -> None:
        """End the attempt, if one is under way, and let the Deferred fail."""
        if self.attempt is not None:
            self._outbox.deliveries.abort(self.attempt)
        self._outbox.settle(self, DeliveryError(reason))

    def begin(self, *, fresh: bool = False) -> None:
        """Make an attempt at the delivery URL whose turn it is."""
        deliveries = self._outbox.deliveries
        now = deliveries.runtime.now()
        if self.attempt is None:
            self._deadline = now + DEFAULT_LIMITS.message_seconds
        until = min(now + DEFAULT_LIMITS.attempt_seconds, self._deadline)
        address = self._outbox.addresses[self._url]
        self.attempt = Delivery(address, self.seq, self.message, self, fresh=fresh)
        try:
            deliveries.send(self.attempt, self._attempt_ended, until=until)
        except LocalProtocolError as error:  # a SID that no header can carry
            self.fail(str(error))

    def _attempt_ended(
        self, delivery: Delivery, result: int | DeliveryFailure, response: Response | None
    ) -> None:
        outbox = self._outbox
        in_time = outbox.deliveries.runtime.now() < self._deadline
        has_another_url = in_time and self._url + 1 < len(outbox.addresses)
        if response is not None:
            _warn_unless_taken(response.status)
        verdict = judge_attempt(result, delivery.fresh, has_another_url)
        if verdict in (AttemptVerdict.RETRY, AttemptVerdict.NEXT_URL) and outbox.wants(self):
            self._url += verdict is AttemptVerdict.NEXT_URL
            self.begin(fresh=verdict is AttemptVerdict.RETRY)
        elif isinstance(result, DeliveryFailure):
            self.fail(f"SEQ {self.seq} to {delivery.address.url.url}: {result.value}")
        elif response is not None:
            outbox.settle(self, PeerResponse.of(response))


class Outbox:
    """The notifications of one subscriber: sent one at a time, in order. ``empty`` is called when
    none is left."""

    def __init__(
        self, subscriber: MutableMapping[str, Any], reactor: Reactor, empty: Callable[[], object]
    ) -> None:
        self.reactor = reactor
        self.deliveries = deliveries_of(reactor)
        self.addresses = _addresses(subscriber)
        self._subscriber = subscriber
        self._empty = empty
        # The first one is under way, except while paused: until the SUBSCRIBE is answered (SUB-55).
        self._queue: deque[QueuedNotification] = deque()
        self.paused = False
        self._over = False
        self._owed = True  # the initial event is sent even when the subscription is over
        self._alarm: Any = None

    def push(self, notification: QueuedNotification) -> None:
        """Send ``notification`` when it is its turn."""
        self._queue.append(notification)
        if not self.addresses:
            notification.fail(f"{self._subscriber['callback']!r} cannot be called")
        elif not self.wants(notification):
            notification.fail(_OVER)
        elif len(self._queue) > DEFAULT_LIMITS.waiting_events + 1:
            notification.fail("the subscriber is too far behind")
        else:
            self._proceed()

    def settle(
        self, notification: QueuedNotification, result: PeerResponse | DeliveryError
    ) -> None:
        """``notification`` was answered or has failed. After a 412 the subscription is over."""
        if notification not in self._queue:
            return  # a callback has given it up meanwhile
        self._queue.remove(notification)
        if isinstance(result, PeerResponse) and result.status == 412:
            self._withdraw()
            self.end(owed=False)
        self._proceed()
        if isinstance(result, PeerResponse):
            notification.deferred.callback(result)
        else:
            _logger.info("%s: %s", self._subscriber.get("sid"), result)
            notification.deferred.errback(result)

    def wants(self, notification: QueuedNotification) -> bool:
        """Whether an attempt may be made. When the subscription is over, only an initial event that
        is owed is sent (UDA 2.0 §4.1.4)."""
        return not self._over or (self._owed and notification.seq == 0)

    def release(self, after: float = 0.0) -> None:
        """Send what waits, after ``after`` seconds."""
        if after > 0:
            self._alarm = self.reactor.callLater(after, self.release)
            return
        self.paused = False
        self._proceed()

    def end(self, *, owed: bool = True) -> None:
        """The subscription is over: make no further attempts, and fail what waits except an initial
        event that is ``owed``."""
        self._over, self._owed = True, owed
        for notification in tuple(self._queue):
            if notification.attempt is None and not self.wants(notification):
                notification.fail(_OVER)

    def drop(self, *, withdraw: bool = False) -> set[Endpoint]:
        """Give up all that waits or is under way, and ``withdraw`` the subscriber from the dict
        that it stands in. Gives the endpoints that messages went to."""
        if withdraw:
            self._withdraw()
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self.end(owed=False)
        for notification in tuple(self._queue):
            notification.fail(_OVER)
        self.release()
        return {address.url.endpoint for address in self.addresses}

    def _withdraw(self) -> None:
        table = getattr(self._subscriber, "table", None)
        if table is not None:
            table.pop(self._subscriber["sid"], None)  # it, or the copy of it that a program keeps

    def _proceed(self) -> None:
        if self.paused:
            return
        if not self._queue:
            self._empty()
        elif self._queue[0].attempt is None and self.wants(self._queue[0]):
            self._queue[0].begin()


_OVER = "the subscription is over"
# By reactor, and by SID and callback, since a program may keep its own copy of a subscriber or make
# a new one each time. An outbox is gone when nothing waits in it.
_of_reactor: weakref.WeakKeyDictionary[Any, dict[Any, Outbox]] = weakref.WeakKeyDictionary()


def outbox_of(subscriber: MutableMapping[str, Any], reactor: Reactor) -> Outbox:
    """The outbox of ``subscriber``, the same for each copy of it."""
    outboxes = _of_reactor.setdefault(reactor, {})
    key = str(subscriber["sid"]), str(subscriber["callback"])
    outbox = outboxes.get(key)
    if outbox is None:
        outbox = outboxes[key] = Outbox(subscriber, reactor, partial(outboxes.pop, key, None))
    return outbox


def send_notification(
    s: MutableMapping[str, Any], xml: bytes | str, *, reactor: Reactor | None = None
) -> tuple[Deferred[PeerResponse], QueuedNotification]:
    """Send the propertyset ``xml``, text as UTF-8, to the subscriber ``s``, a dict with at least
    ``sid``, ``callback`` and ``seq``. ``s["seq"]`` is spent at once.

    Returns a Deferred and an object whose ``disconnect()`` gives the notification up. The Deferred
    fires with the subscriber's response, a :class:`PeerResponse` of any status, or fails with
    :exc:`~propchange.errors.DeliveryError` when there is none. Notifications of one subscriber
    are sent in the order of the calls, each after the answer to the one before. A subscriber that
    answers 412 is taken out of its service's dict.
    """
    seq = int(s["seq"])
    s["seq"] = next_seq(seq)
    outbox = outbox_of(s, reactor or default_reactor())
    message = EventMessage((), xml.encode() if isinstance(xml, str) else xml)
    notification = QueuedNotification(outbox, message, seq)
    outbox.push(notification)
    return notification.deferred, notification


def _addresses(subscriber: MutableMapping[str, Any]) -> tuple[DeliveryAddress, ...]:
    """The delivery URLs of the SUBSCRIBE, or the ``callback`` that a program has written; none when
    that is not an http URL."""
    addresses: tuple[DeliveryAddress, ...] = getattr(subscriber, "addresses", ())
    callback = subscriber["callback"]
    if isinstance(callback, bytes):
        callback = callback.decode("latin-1")
    if addresses and addresses[0].url.url == callback:
        return addresses
    source, uda = (addresses[0].source, addresses[0].uda) if addresses else (None, "1.1")
    address = _address(str(subscriber["sid"]), callback, source, uda)
    return () if address is None else (address,)


@lru_cache(maxsize=1024)  # an address keeps the head of its messages
def _address(sid: str, callback: str, source: Endpoint | None, uda: str) -> DeliveryAddress | None:
    try:
        url = http_url(callback.strip("<> "))
        delivery_url = DeliveryURL(url, locate(url), *authority_and_target(url))
    except ValueError:
        return None
    return DeliveryAddress(sid, delivery_url, source, uda)
