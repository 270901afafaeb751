"""The event messages that wait for the subscribers of Cohen3's services.

A service of Cohen3 writes each message itself. An :class:`Outbox` has the messages of one
subscriber. :class:`.DeliveryQueue` of the core decides which outbox is next: a subscriber that does
not answer uses only its share of the connections, and the others do not wait for it. The queue sees
an outbox as a subscription, and also as a service with this one subscription.

At most ``Limits.waiting_messages`` messages wait for one subscriber. A further one is merged into
the last that waits and gets its SEQ, so that the subscriber sees no gap and misses no final value.
Merging waits until the message is sent, or has grown to twice its size. Otherwise one event of a
service with a thousand silent subscribers would merge a thousand messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any, cast

from twisted.internet.defer import Deferred

from propchange.cohen3.answer import PeerResponse
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.delivery_queue import DeliveryQueue
from propchange.core.publisher.judge import AttemptVerdict, judge_attempt
from propchange.core.publisher.records import EndpointLoad, PublishedService, Route, Subscription
from propchange.core.publisher.states import PublisherState
from propchange.core.subscriber.requests import authority_and_target, http_url
from propchange.core.values.lastchange import LastChangeFold, parse_lastchange
from propchange.core.values.merging import CONTAINERS
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Response,
)
from propchange.core.wire.propertyset import format_propertyset, parse_propertyset
from propchange.driver.delivery_turns import DeliveryTurns
from propchange.driver.publisher_reporting import report_publisher
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.requests import locate
from propchange.driver.runtime import Timer
from propchange.errors import DeliveryError, LocalProtocolError, RemoteProtocolError
from propchange.twisted.runtime import Reactor, of_reactor
from propchange.twisted.service import deliveries_of

_LIMITS = DEFAULT_LIMITS
_OVER = "the subscription is over"
_NO_ATTEMPT = DeliveryFailure.WAITED  # shows nothing about the endpoint
_UNMERGED_BYTES = 16_384
"""Bytes of unmerged bodies that may wait for one subscriber; more if the merged body is larger. An
event has some hundred bytes."""


def warnings_of(reactor: Reactor) -> Warnings:
    """The warnings about notifications that are sent on ``reactor``."""
    return of_reactor(reactor, _warnings)


def _warnings(reactor: Reactor) -> Warnings:
    return Warnings(logger_named("notification_protocol"))


def warn_unless_taken(status: int, by: str, warnings: Warnings) -> None:
    """Log that a notification was answered with another status than 2xx, ``by`` an address."""
    if not 200 <= status < 300:
        warnings.warn(("status", by, status), f"a notification was answered with {status} by {by}")


class QueuedNotification:
    """One event message for one subscriber. ``deferred`` fires once."""

    def __init__(self, outbox: Outbox, body: bytes, seq: int) -> None:
        self._bodies = [body]  # the first one may be merged already
        self._unmerged = 0  # bytes of the others
        self._updates = 1
        self.seq = seq
        self.deferred: Deferred[PeerResponse] = Deferred(lambda _: self.disconnect())
        self._outbox = outbox

    def disconnect(self) -> None:
        """Give up the notification: its Deferred fails with DeliveryError, and its SEQ is used up.
        If the Deferred has fired already, end the idle connections to the subscriber instead."""
        if self.deferred.called:
            deliveries = self._outbox.outboxes.deliveries
            Deferred.fromCoroutine(deliveries.leave(*self._outbox.endpoints))
        else:
            self._outbox.give_up(self, f"SEQ {self.seq} was given up")

    @property
    def message(self) -> EventMessage:
        """The message to send."""
        self._merge()
        return EventMessage((), self._bodies[0], updates=self._updates)

    def replace(self, last: QueuedNotification) -> bool:
        """Replace ``last``, which is not sent, and take over its content and SEQ. False if one of
        the bodies is no propertyset."""
        (body,), bodies = self._bodies, last._bodies
        if not (_is_propertyset(body) and (last._updates > 1 or _is_propertyset(bodies[0]))):
            return False
        last._bodies = [body]
        bodies.append(body)
        self._bodies = bodies
        self._unmerged = last._unmerged + len(body)
        self._updates += last._updates
        self.seq = last.seq
        if self._unmerged > max(_UNMERGED_BYTES, len(bodies[0])):
            self._merge()
        return True

    def _merge(self) -> None:
        if len(self._bodies) > 1:
            self._bodies = [merge_bodies(*self._bodies) or self._bodies[-1]]
            self._unmerged = 0

    def fail(self, reason: str) -> None:
        """Let the Deferred fail, unless it has fired."""
        if not self.deferred.called:
            self.deferred.errback(DeliveryError(reason))


class Outbox:
    """The notifications of one subscriber: sent one at a time, in order."""

    def __init__(self, subscriber: MutableMapping[str, Any], outboxes: Outboxes) -> None:
        self.outboxes = outboxes
        self.key = _key(subscriber)
        self.paused = False
        """Whether messages only wait: the SUBSCRIBE is not answered yet (SUB-55)."""
        self._subscriber = subscriber
        self._waiting: deque[QueuedNotification] = deque()
        self._current: QueuedNotification | None = None  # being sent, or between two attempts
        self._attempt: Delivery | None = None
        self._over = False
        self._owed = True  # the initial event is sent even when the subscription is over
        self._alarm: Any = None
        # What DeliveryQueue uses of a service and of its backlog.
        self.quiet: dict[Subscription, None] = {}
        self.queued = False
        self.backlog = self
        addresses = _addresses(subscriber)
        self.endpoints = {address.url.endpoint for address in addresses}
        self.subscription = Subscription(
            str(subscriber["sid"]),
            cast(PublishedService, self),
            tuple(Route(address, self._load(address.url.endpoint)) for address in addresses),
            peer=Endpoint(str(getattr(subscriber, "peer", "")), 0),
            wanted=None,
            state=PublisherState.QUIET,
        )
        self.quiet[self.subscription] = None

    def _load(self, endpoint: Endpoint) -> EndpointLoad:
        # A program that writes the callback itself has no other address of the subscriber.
        host = str(getattr(self._subscriber, "peer", "") or endpoint.host)
        return self.outboxes.queue.use(endpoint, Endpoint(host, 0), self.outboxes.now())

    @property
    def head(self) -> int:
        """For the queue: how many messages wait."""
        return len(self._waiting)

    def take(
        self, cursor: int, merge_at: int | None, wanted: frozenset[str] | None
    ) -> tuple[EventMessage | None, int, int | None]:
        """For the queue: begin with the next message."""
        if self.paused or not self._waiting:
            return None, 0, None
        self._current = self._waiting.popleft()
        self.subscription.seq = self._current.seq
        return self._current.message, 0, None

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return self._current is None and not self._waiting and not self.paused

    @property
    def unused(self) -> bool:
        """Whether the outbox is empty and its subscriber is in no table of subscribers."""
        table = getattr(self._subscriber, "table", None)
        return self.empty and (table is None or self._subscriber["sid"] not in table)

    def granted(self, duration: int, minimum: int) -> int:
        """The seconds to grant, as :meth:`DeliveryQueue.granted`."""
        return self.outboxes.queue.granted(self.subscription, duration, minimum)

    def push(self, body: bytes, seq: int) -> QueuedNotification:
        """Queue a message with ``body`` and SEQ ``seq``. A merged message has the SEQ of the
        message before it."""
        notification = QueuedNotification(self, body, seq)
        if not self.subscription.routes:
            notification.fail(f"{self._subscriber['callback']!r} cannot be called")
        elif not self._wants(notification):
            notification.fail(_OVER)
        elif len(self._waiting) < _LIMITS.waiting_messages:
            self._waiting.append(notification)
            self.outboxes.changed(self)
        else:
            self._merge(notification)
        return notification

    def _merge(self, notification: QueuedNotification) -> None:
        """Let ``notification`` take the place of the last one that waits, with both contents."""
        last = self._waiting[-1]
        if not notification.replace(last):
            notification.fail("the subscriber is too far behind")
            return
        self._waiting[-1] = notification
        last.fail(f"SEQ {last.seq} was merged with the message after it")

    def _wants(self, notification: QueuedNotification) -> bool:
        """Whether an attempt may be made. When the subscription is over, only an initial event that
        is owed is sent (UDA 2.0 §4.1.4)."""
        return not self._over or (self._owed and notification.seq == 0)

    # --- an attempt ---

    def begin(self, delivery: Delivery) -> None:
        """Send ``delivery``, unless nobody waits for it any more."""
        notification = self._current
        assert notification is not None
        reason = "" if self._wants(notification) else _OVER
        if not notification.deferred.called and not reason:
            try:
                self.outboxes.deliveries.send(delivery, self.attempt_ended)
                self._attempt = delivery
                return
            except LocalProtocolError as error:  # a SID that no header can carry
                reason = str(error)
        self.outboxes.attempt_ended(delivery, _NO_ATTEMPT)
        self._settle()
        notification.fail(reason)

    def attempt_ended(
        self, delivery: Delivery, result: int | DeliveryFailure, response: Response | None
    ) -> None:
        """``delivery`` has ended with a status and a response, or has failed."""
        self._attempt = None
        outboxes, subscription, notification = self.outboxes, self.subscription, self._current
        now = outboxes.now()
        outboxes.attempt_ended(delivery, result)
        assert notification is not None
        another_url = None
        if now < subscription.message_deadline:
            another_url = subscription.next_url(subscription.route + 1)
        address = delivery.address.url.endpoint.host
        if response is not None:
            warn_unless_taken(response.status, address, outboxes.warnings)
        verdict = judge_attempt(result, delivery.fresh, another_url is not None)
        if verdict in (AttemptVerdict.RETRY, AttemptVerdict.NEXT_URL):
            # If the subscription is over meanwhile, begin() notices it.
            if verdict is AttemptVerdict.NEXT_URL and another_url is not None:
                subscription.route = another_url
            subscription.fresh = verdict is AttemptVerdict.RETRY
            outboxes.queue.enqueue(subscription)
            outboxes.pump()
            return
        if verdict is AttemptVerdict.DISOWNED:
            self._withdraw()
            self._settle(disowned=True)
        else:
            self._settle()
        # The next message is on its way before the program hears of this one.
        outboxes.pump()
        if isinstance(result, DeliveryFailure):
            reason = f"SEQ {delivery.seq} to {delivery.address.url.url}: {result.value}"
            outboxes.warnings.warn(
                (DeliveryFailure, address, result), f"{subscription.sid}: {reason}"
            )
            notification.fail(reason)
        elif response is not None and not notification.deferred.called:
            notification.deferred.callback(PeerResponse.of(response))

    def abandon(self) -> None:
        """Give up the message that has no delivery URL left to try: the others are paused."""
        notification = self._current
        assert notification is not None
        self._settle()
        reason = f"SEQ {notification.seq}: its other delivery URLs have not taken an event"
        # The queue is taking deliveries, and the program may send the next message.
        self.outboxes.deliveries.runtime.call_soon(lambda: notification.fail(reason))

    def _settle(self, *, disowned: bool = False) -> None:
        """Note that the current message has ended."""
        self._current = None
        self.subscription.state = PublisherState.QUIET
        if disowned:
            self.end(owed=False)
        self.outboxes.queue.settled(self.subscription, self.outboxes.now())
        self.outboxes.settled(self)

    # --- the end ---

    def give_up(self, notification: QueuedNotification, reason: str) -> None:
        """End the attempt to send ``notification``, or its wait, and let it fail."""
        if notification is self._current:
            attempt, self._attempt = self._attempt, None
            if attempt is not None:
                self.outboxes.deliveries.abort(attempt)
                self.outboxes.attempt_ended(attempt, _NO_ATTEMPT)
                self._settle()
            # Without an attempt, begin() notices that nobody waits.
        elif notification in self._waiting:
            self._waiting.remove(notification)
        notification.fail(reason)
        self.outboxes.pump()
        self.outboxes.settled(self)

    def release(self, after: float = 0.0) -> None:
        """Send what waits, after ``after`` seconds."""
        if after > 0:
            self._alarm = self.outboxes.reactor.callLater(after, self.release)
            return
        self.paused = False
        self.outboxes.changed(self)

    def end(self, *, owed: bool = True) -> None:
        """The subscription is over: make no further attempts, and fail what waits except an initial
        event that is ``owed``."""
        self._over, self._owed = True, owed
        for notification in tuple(self._waiting):
            if not self._wants(notification):
                self._waiting.remove(notification)
                notification.fail(_OVER)
        self.outboxes.settled(self)

    def drop(self, *, withdraw: bool = False) -> set[Endpoint]:
        """Give up all messages, and with ``withdraw`` remove the subscriber from its table. Returns
        the endpoints of its delivery URLs."""
        if withdraw:
            self._withdraw()
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self.paused = False
        self.end(owed=False)
        if self._current is not None:
            self.give_up(self._current, _OVER)
        return self.endpoints

    @property
    def ended(self) -> bool:
        """Whether the subscription is over and nothing is left to be sent."""
        return self._over and self.empty

    def _withdraw(self) -> None:
        table = getattr(self._subscriber, "table", None)
        if table is not None:
            table.pop(self._subscriber["sid"], None)  # the subscriber, or a program's copy of it


class Outboxes:
    """The outboxes of one reactor, by SID and callback: a program may keep its own copy of a
    subscriber, or make a new one each time."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.deliveries = deliveries_of(reactor)
        runtime = self.deliveries.runtime
        self.now = runtime.now
        self.warnings = warnings_of(reactor)
        limits = self.deliveries.limits
        self.queue = DeliveryQueue(
            limits,
            lambda outcome: report_publisher(outcome, self.warnings),
            lambda subscription: cast(Outbox, subscription.service).abandon(),
        )
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=self.now)
        self._turns = DeliveryTurns(
            runtime, limits, take=self._take, begin=self._begin, go_on=self.pump
        )
        self._outboxes: dict[tuple[str, str], Outbox] = {}
        self._swept = 0  # outboxes that the last sweep has left

    def __len__(self) -> int:
        return len(self._outboxes)

    def of(self, subscriber: MutableMapping[str, Any]) -> Outbox:
        """The outbox of ``subscriber``, the same for each copy of it."""
        key = _key(subscriber)
        outbox = self._outboxes.get(key)
        if outbox is None:
            if len(self._outboxes) >= 2 * self._swept + _LIMITS.waiting_messages:
                self._sweep()
            outbox = self._outboxes[key] = Outbox(subscriber, self)
        return outbox

    def _sweep(self) -> None:
        """Forget the outboxes of subscribers that a program has taken out of their table."""
        for outbox in tuple(self._outboxes.values()):
            if outbox.unused:
                self._forget(outbox)
        self._swept = len(self._outboxes)

    def settled(self, outbox: Outbox) -> None:
        """Note that a message or the subscription of ``outbox`` has ended. Forget the outbox if it
        is not needed any more."""
        if outbox.ended and self._outboxes.get(outbox.key) is outbox:
            self._forget(outbox)

    def _forget(self, outbox: Outbox) -> None:
        del self._outboxes[outbox.key]
        subscription = outbox.subscription
        subscription.state = PublisherState.ENDED
        outbox.quiet.clear()
        self.queue.leave(subscription, self.now())

    # --- deliveries ---

    def changed(self, outbox: Outbox) -> None:
        """``outbox`` has a message that may be sent."""
        self.queue.changed(cast(PublishedService, outbox))
        self.pump()

    def pump(self) -> None:
        """Begin the deliveries for which there is room, a slice of them per turn of the loop, and
        set the timer."""
        self._turns.begin_some()
        self._timer.set(self.queue.next_deadline())

    def _take(self, most: int) -> list[Delivery]:
        return self.queue.take(most, self.now())

    def _begin(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.subscription.service.begin(delivery)

    def attempt_ended(self, delivery: Delivery, result: int | DeliveryFailure) -> None:
        """``delivery``, which the queue has given, has ended."""
        self._turns.in_flight -= 1
        self.queue.ended(delivery, result, self.now())

    def renewed(self, outbox: Outbox, peer: Endpoint) -> None:
        """``peer`` has renewed the subscription of ``outbox``: its endpoint is there."""
        self.queue.renewed(outbox.subscription, peer)
        self.pump()

    def _deadline(self, now: float) -> None:
        self.queue.handle_deadline(now)
        while (delivery := self.queue.pop_timed_out(now)) is not None:
            waited = delivery.carrier is WAITING
            self.deliveries.abort(delivery)
            failure = DeliveryFailure.WAITED if waited else DeliveryFailure.TIMED_OUT
            delivery.subscription.service.attempt_ended(delivery, failure, None)
        self.pump()


def outbox_of(subscriber: MutableMapping[str, Any], reactor: Reactor) -> Outbox:
    """The outbox of ``subscriber``, the same for each copy of it."""
    return of_reactor(reactor, Outboxes).of(subscriber)


def _key(subscriber: MutableMapping[str, Any]) -> tuple[str, str]:
    return str(subscriber["sid"]), str(subscriber["callback"])


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
    try:
        url = http_url(callback.strip("<> "))
        delivery_url = DeliveryURL(url, locate(url), *authority_and_target(url))
    except ValueError:
        return ()
    return (DeliveryAddress(str(subscriber["sid"]), delivery_url, source, uda),)


# --- messages ---


# A service sends the same bodies to all its subscribers.
@lru_cache(maxsize=32)
def _is_propertyset(body: bytes) -> bool:
    return merge_bodies(body) is not None


# Most subscribers merge the same ones.
@lru_cache(maxsize=32)
def merge_bodies(*bodies: bytes) -> bytes | None:
    """The propertyset that has the same effect as ``bodies`` one after another. None if one of the
    bodies is no propertyset."""
    texts: dict[str, list[str]] = {}
    try:
        for body in bodies:
            for name, text in parse_propertyset(body, _LIMITS):
                texts.setdefault(name, []).append(text)
        return format_propertyset((name, _merge_texts(name, each)) for name, each in texts.items())
    except (RemoteProtocolError, ValueError):
        return None


def _merge_texts(name: str, texts: list[str]) -> str:
    """The text that replaces all ``texts`` of the variable ``name``. Neighbours are merged first,
    because the time to merge a short text into a long text depends on the long one."""
    if name not in _MERGED:
        return texts[-1]
    while len(texts) > 1:
        pairs = zip(texts[::2], texts[1::2], strict=False)
        merged = [_merged(name, older, newer) for older, newer in pairs]
        texts = merged + texts[len(merged) * 2 :]
    return texts[0]


_MERGED = ("LastChange", "ContainerUpdateIDs")


def _merged(name: str, older: str, newer: str) -> str:
    """The text that replaces both texts of the variable ``name``."""
    try:
        if name == "LastChange":
            return LastChangeFold(parse_lastchange(newer, _LIMITS).namespace)(older, newer)
        return CONTAINERS(older, newer)
    except (RemoteProtocolError, ValueError):
        pass  # in a form of the program's own
    return newer
