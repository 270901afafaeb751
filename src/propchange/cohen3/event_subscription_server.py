"""The device side: SUBSCRIBE, renewal, UNSUBSCRIBE and expiry, where the dict of subscribers that
the service keeps is the truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf
from typing import Any, cast
from uuid import uuid4

from twisted.internet.defer import Deferred

from propchange.cohen3.dispatcher import EventDispatcher, Logger
from propchange.cohen3.event_server import delivery_url
from propchange.cohen3.notification import Subscriber
from propchange.cohen3.outbox import outbox_of
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.delivery_share import origin_of
from propchange.core.publisher.judge import (
    Cancellation,
    NewSubscription,
    PublisherPolicy,
    Renewal,
    judge_room,
    judge_subscribe_anew,
    judge_unsubscribe,
    subscribe_response,
)
from propchange.core.wire.headers import format_timeout, parse_timeout
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal, empty_response
from propchange.driver.own_interfaces import INTERFACES, on_link_for, own_hosts
from propchange.driver.runtime import Timer
from propchange.twisted.runtime import Reactor, TwistedRuntime
from propchange.twisted.service import (
    DEFAULT_POLICY,
    EventRequests,
    EventURL,
    Service,
    deliveries_of,
)

_COUNT_SECONDS = 1.0
"""Least seconds between two counts of the subscribers, for any number of SUBSCRIBE requests."""

_SHORTEST_CHECK = 0.05
"""Least seconds between two looks at all subscribers, because thousands may expire in a row."""

_A_DAY = 86_400.0  # for a subscriber whose timeout or created cannot be read


class EventSubscriptionServer(EventDispatcher, EventURL, Logger):
    """The web resource at the event URL of ``service``.

    Uses ``service.id``, ``backend``, ``get_subscribers()``, the live dict of SID -> subscriber,
    and ``new_subscriber(subscriber)``, which puts a subscriber into that dict and sends its initial
    event. A subscriber is a dict of ``sid`` ("uuid:…"), ``callback`` (the first delivery URL,
    without < >), ``seq``, ``timeout`` ("Second-300", as granted) and ``created`` (seconds since the
    epoch). A subscriber that is taken out of the dict is not subscribed any more. Messages to a new
    subscriber leave after the answer to its SUBSCRIBE.

    A :class:`propchange.twisted.Service` answers itself. For each request this object dispatches
    ``event_client_message_received``, with the arguments of EventServer's event.
    """

    logCategory = "event_subscription_server"

    def __init__(
        self,
        service: Any,
        *,
        policy: PublisherPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Reactor | None = None,
        on_link: Callable[[Endpoint], Sequence[OnLink]] = on_link_for,
    ) -> None:
        ours = isinstance(service, Service)
        publisher = EventRequests(service) if ours else self
        EventURL.__init__(self, publisher, policy or DEFAULT_POLICY, limits, reactor)
        EventDispatcher.__init__(self)
        self.register_event("event_client_message_received")
        self.service = service
        self._table: MutableMapping[str, Any] = {} if ours else service.get_subscribers()
        backend = getattr(service, "backend", None)
        self.backend_name = getattr(backend, "name", backend)
        self._on_link = on_link
        self._on_link_now = INTERFACES.on_link_now if on_link is on_link_for else on_link
        # The numbers of subscribers by address and IPv6 prefix. If the program removes subscribers,
        # the numbers are too high until the next count.
        self._counts: Counter[Hashable] = Counter()
        self._counted_at = -inf
        if callable(getattr(service, "check_subscribers", None)):
            # Cohen3's services call this in a loop. Their own method removes no subscriber.
            service.check_subscribers = self.check_subscribers

    render_SUBSCRIBE = render_UNSUBSCRIBE = EventURL.render

    def received(self, request: Any, data: bytes) -> None:
        """Dispatch a request that has come."""
        self.dispatch_request("event_client_message_received", request, data)

    def refuse(self, message: Request, refusal: Refusal) -> Response:
        """The response that refuses ``message``."""
        self._log("%s answered %d: %s", message, refusal.status, refusal.reason)
        return EventURL.refuse(self, message, refusal)

    def receive_request(self, message: Request) -> Response:
        """Judge a SUBSCRIBE or UNSUBSCRIBE."""
        verdict = self._judge(message)
        if isinstance(verdict, Refusal):
            return self.refuse(message, verdict)
        if isinstance(verdict, NewSubscription):
            return self._subscribe(message, verdict)
        sid = verdict.sid
        subscriber = self._table.get(sid)
        if subscriber is not None and _seconds_left(subscriber, self._runtime.now()) <= 0:
            self._log("%s expired", sid)
            self._remove(sid, subscriber)
            subscriber = None
        if subscriber is None:
            unknown = f"{sid} is not a subscription to this service"
            return self.refuse(message, Refusal(412, unknown, "UDA 2.0 §4.1.2"))
        if isinstance(verdict, Renewal):
            duration = verdict.duration
            if isinstance(subscriber, Subscriber) and message.peer is not None:
                outbox = outbox_of(subscriber, self.reactor)
                outbox.outboxes.renewed(outbox, message.peer)
                duration = outbox.granted(duration, self._policy.minimum_duration)
            _keep(subscriber, duration, self._runtime.now())
            self.debug("%s renewed for %d s", sid, duration)
            return subscribe_response(sid, duration, self._policy, message)
        self._remove(sid, subscriber)
        self._check_after(self._limits.timer_seconds)
        self._log("%s cancelled", sid)
        return empty_response(200, message, self._policy)

    def _judge(self, message: Request) -> NewSubscription | Renewal | Cancellation | Refusal:
        if message.method == "UNSUBSCRIBE":
            return judge_unsubscribe(message, self._policy)
        if message.local is None or message.peer is None:
            return Refusal(412, "the request did not come over TCP", "")
        # Cohen3's control point hears events on the port of the devices of the same process.
        policy = replace(self._policy, own_callback=delivery_url(message.peer) or "")
        return judge_subscribe_anew(
            message,
            policy,
            self._limits,
            on_link=self._on_link,
            on_link_now=self._on_link_now,
            own_hosts=own_hosts,
        )

    def response_sent(self, response: Response) -> None:
        """The answer to a SUBSCRIBE has left: send the initial event."""
        subscriber = cast(Subscriber, response.receipt)
        outbox_of(subscriber, self.reactor).release(self._policy.initial_event_delay)

    def response_lost(self, response: Response) -> None:
        """The answer to a SUBSCRIBE did not leave: the subscriber does not know its SID."""
        outbox_of(cast(Subscriber, response.receipt), self.reactor).drop(withdraw=True)

    def _subscribe(self, message: Request, verdict: NewSubscription) -> Response:
        table = self._table
        refusal = self._judge_room(verdict.peer)
        if refusal is not None:
            return self.refuse(message, refusal)
        sid = f"uuid:{uuid4()}"
        subscriber = Subscriber(sid, verdict, self._policy.uda, table)
        outbox = outbox_of(subscriber, self.reactor)
        outbox.paused = True
        duration = outbox.granted(verdict.duration, self._policy.minimum_duration)
        _keep(subscriber, duration, self._runtime.now())
        try:
            self.service.new_subscriber(subscriber)
        except Exception:  # noqa: BLE001 - an application's fault is a 500
            self.exception("%s did not take a new subscriber", self.service.id)
            outbox.drop(withdraw=True)
            return self.refuse(message, Refusal(500, "the service failed", ""))
        # Cohen3 forgets the subscribers of a service without evented variables.
        table.setdefault(sid, subscriber)
        self._counts.update(subscriber.origin)
        self._check_after(duration)
        pending = getattr(self.service, "_pending_notifications", None)
        if isinstance(pending, dict):
            pending[self] = self
        self._log("%s subscribed", verdict.peer)
        response = subscribe_response(sid, duration, self._policy, message)
        response.receipt = subscriber
        return response

    def _judge_room(self, peer: Endpoint) -> Refusal | None:
        """None if another subscriber from ``peer`` may be granted, else the refusal."""
        refusal = self._room_of(peer)
        now = self._runtime.now()
        if refusal is None or now < self._counted_at + _COUNT_SECONDS:
            return refusal
        # The program may have removed subscribers, and others may have expired.
        self.check_subscribers()
        origins = (getattr(each, "origin", ()) for each in self._table.values())
        self._counts = Counter(part for origin in origins for part in origin)
        self._counted_at = now
        return self._room_of(peer)

    def _room_of(self, peer: Endpoint) -> Refusal | None:
        origin, total = origin_of(peer), len(self._table)
        return judge_room(
            peer.host,
            self._counts[origin[-1]],
            total,
            self._limits,
            of_prefix=self._counts[origin[0]] if len(origin) > 1 else 0,
            of_service=total,
        )

    def _remove(self, sid: str, subscriber: MutableMapping[str, Any]) -> None:
        """Note that the subscription of ``subscriber`` has ended."""
        del self._table[sid]
        for part in getattr(subscriber, "origin", ()):
            if self._counts[part] > 1:
                self._counts[part] -= 1
            else:
                self._counts.pop(part, None)
        outbox_of(subscriber, self.reactor).end()

    def _log(self, what: str, *arguments: object) -> None:
        self.info(f"%s (%s): {what}", self.service.id, self.backend_name, *arguments)

    @property
    def subscribers(self) -> MutableMapping[str, Any]:
        """SID -> subscriber: the dict of the service. For a :class:`propchange.twisted.Service` a
        copy of its subscriptions now."""
        if not isinstance(self.service, Service):
            return self._table
        origin = time.time() - self._runtime.now()
        return {
            subscription.sid: {
                "sid": subscription.sid,
                "callback": subscription.callbacks[0],
                "seq": subscription.seq,
                "timeout": format_timeout(subscription.duration).decode("ascii"),
                "created": origin + subscription.expires - subscription.duration,
            }
            for subscription in self.service.subscriptions
        }

    def check_subscribers(self, now: float = 0.0) -> None:
        """Take the expired subscribers out of the dict. A timer calls this at each deadline."""
        next_deadline = self._limits.timer_seconds
        for sid, subscriber in tuple(self._table.items()):
            left = _seconds_left(subscriber, self._runtime.now())
            if left > 0:
                next_deadline = min(next_deadline, max(left, _SHORTEST_CHECK))
                continue
            self._log("%s expired", sid)
            self._remove(sid, subscriber)
        self._check_after(next_deadline)

    def disconnect(self) -> Deferred[None]:
        """The service ends: leave nothing with the reactor and give up the messages on their way.
        Fires when the connections are gone. Cohen3's services call this when they are released,
        since this object stands among their pending notifications."""
        self._timer.close()
        endpoints: set[Endpoint] = set()
        for subscriber in tuple(self._table.values()):
            endpoints |= outbox_of(subscriber, self.reactor).drop()
        return Deferred.fromCoroutine(deliveries_of(self.reactor).leave(*endpoints))

    @cached_property
    def _runtime(self) -> TwistedRuntime:
        return TwistedRuntime(self.reactor)

    @cached_property
    def _timer(self) -> Timer:
        runtime = self._runtime
        return Timer(runtime.call_later, self._limits, self.check_subscribers, clock=runtime.now)

    def _check_after(self, seconds: float) -> None:
        """Check the subscribers in ``seconds`` at the latest, unless there are none."""
        when = self._runtime.now() + seconds
        if not self._table:
            self._timer.close()
        elif self._timer.when is None or when < self._timer.when:
            self._timer.set(when)


def _keep(subscriber: MutableMapping[str, Any], duration: int, now: float) -> None:
    """``subscriber`` is granted ``duration`` seconds from ``now``, a time of the runtime."""
    subscriber["timeout"] = format_timeout(duration).decode("ascii")
    subscriber["created"] = time.time()
    if isinstance(subscriber, Subscriber):
        subscriber.expires = now + duration
        subscriber.stamp = (subscriber["created"], subscriber["timeout"])


def _seconds_left(subscriber: MutableMapping[str, Any], now: float) -> float:
    """The seconds until ``subscriber`` expires: by ``now``, a time of the runtime, or by the date
    when a program has written another ``created`` or ``timeout``."""
    stamp = subscriber.get("created"), subscriber.get("timeout")
    if isinstance(subscriber, Subscriber) and stamp == subscriber.stamp:
        return subscriber.expires - now
    try:
        duration = parse_timeout(str(subscriber["timeout"]).encode("latin-1"))
        return float(subscriber["created"]) + (duration or _A_DAY) - time.time()
    except (KeyError, TypeError, ValueError):
        return _A_DAY
