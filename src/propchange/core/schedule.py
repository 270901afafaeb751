"""Whose turn it is to be sent a message.

Nothing here costs more per delivery as subscriptions grow. Subscriptions that have been told
everything stand in their service's ``quiet``; a change queues the service, not each of them.
Those that are behind, or have another attempt to make, stand in the queue themselves, or with
their delivery URL's endpoint while that has as many connections in use as it may have.

Endpoints that have not answered yet, and those that failed to last time, each have a share of the
connections and no more: however many there are, those that answer are told without delay.
"""

from __future__ import annotations

from collections import deque

from propchange.core.deadlines import Deadlines
from propchange.core.headers import next_seq
from propchange.core.limits import Limits
from propchange.core.messages import Delivery, DeliveryFailure, Endpoint
from propchange.core.publication import (
    EndpointLoad,
    Lane,
    PublishedService,
    Route,
    Subscription,
)
from propchange.core.states import PUBLISHER, PublisherInput, PublisherState

__all__ = ["DeliverySchedule"]

_step = PUBLISHER.step
_TAKEN = PublisherInput.TAKEN
_ENDED = PublisherState.ENDED
_QUIET = PublisherState.QUIET
_SENDING = _step(_QUIET, _TAKEN)
_STALE = DeliveryFailure.STALE


class DeliverySchedule:
    """The queue of subscriptions that wait, and the attempts in flight with their deadlines."""

    def __init__(self, limits: Limits) -> None:
        self._most_in_flight = limits.connections_per_delivery_endpoint
        self._message_seconds = limits.message_seconds
        self._attempt_seconds = limits.attempt_seconds
        self._ready: deque[Subscription | PublishedService] = deque()
        # Ordinary attempts all have the same time, so they end in the order they began.
        self._in_flight: dict[Delivery, float] = {}
        self._shortened: Deadlines[Delivery] = Deadlines()
        self._waiting = 0
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._unproven = Lane(limits.unproven_delivery_connections)
        self._failing = Lane(limits.failing_delivery_connections)
        self._lanes: dict[Delivery, Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not (self._ready or self._in_flight or self._waiting or len(self._shortened))

    def use(self, endpoint: Endpoint) -> EndpointLoad:
        """The load of ``endpoint``, for a subscription that will send there."""
        load = self._loads.get(endpoint)
        if load is None:
            load = self._loads[endpoint] = EndpointLoad(self._unproven)
        load.users += 1
        return load

    def leave(self, route: Route) -> None:
        """The subscription of ``route`` has ended."""
        route.load.users -= 1
        self._drop_unused(route)

    def _drop_unused(self, route: Route) -> None:
        # Not while a NOTIFY is in flight: whoever cancels and subscribes again keeps their cap.
        if not route.load.users and not route.load.in_flight:
            self._loads.pop(route.address.url.endpoint, None)

    def changed(self, service: PublishedService) -> None:
        """``service`` has a new message: its quiet subscriptions are to be told."""
        if service.quiet and not service.queued:
            service.queued = True
            self._ready.append(service)

    def enqueue(self, subscription: Subscription) -> None:
        """``subscription`` has, or may have, something to send, and nothing in flight."""
        self._ready.append(subscription)

    def rest(self, subscription: Subscription) -> None:
        """``subscription`` has nothing in flight: tell it what waits, or let it be quiet."""
        service = subscription.service
        if subscription.cursor == service.backlog.head:
            service.quiet[subscription] = None
        else:
            self._ready.append(subscription)

    def take(self, limit: int, now: float) -> tuple[list[Delivery], list[Delivery]]:
        """At most ``limit`` deliveries to begin, and those of them that carry merged changes."""
        taken: list[Delivery] = []
        merged: list[Delivery] = []
        ready = self._ready
        while ready and len(taken) < limit:
            item = ready.popleft()
            if isinstance(item, Subscription):
                self._begin(item, now, taken, merged)
                continue
            quiet = item.quiet
            item.queued = False
            # One that has nothing to be told (STATEVAR) goes back into the same place.
            for _ in range(len(quiet)):
                if len(taken) >= limit:
                    item.queued = True
                    ready.appendleft(item)
                    break
                self._begin(quiet.popitem(last=False)[0], now, taken, merged)
        return taken, merged

    def _begin(
        self, subscription: Subscription, now: float, taken: list[Delivery], merged: list[Delivery]
    ) -> None:
        state = subscription.state
        route = subscription.routes[subscription.route]
        load = route.load
        lane = load.lane
        if state is _ENDED:
            self._pass_on(load)
            return
        if load.in_flight >= self._most_in_flight:
            load.waiting.append(subscription)
            self._waiting += 1
            return
        if lane is not None and lane.in_flight >= lane.most:
            lane.waiting.append(subscription)
            self._waiting += 1
            return
        message = subscription.message
        is_retry = message is not None
        if message is None:
            service = subscription.service
            if state is _QUIET:
                message, subscription.cursor, subscription.merge_at = service.backlog.take(
                    subscription.cursor, subscription.merge_at, subscription.wanted
                )
                if message is None:
                    service.quiet[subscription] = None
                    self._pass_on(load)
                    return
                subscription.state = _SENDING
            else:
                message = service.initial_event(subscription.wanted)
                subscription.cursor = service.backlog.head
                subscription.state = _step(state, _TAKEN)
            subscription.message = message
            subscription.message_deadline = now + self._message_seconds
        load.in_flight += 1
        delivery = Delivery(route.address, subscription.seq, message, subscription)
        if lane is not None:
            lane.in_flight += 1
            self._lanes[delivery] = lane
        if subscription.fresh:  # as a keyword it would cost every delivery
            delivery.fresh = True
        deadline = now + self._attempt_seconds
        if deadline <= subscription.message_deadline:
            self._in_flight[delivery] = deadline
        else:
            self._shortened.set(delivery, subscription.message_deadline)
        taken.append(delivery)
        if message.updates > 1 and not is_retry:
            merged.append(delivery)

    def ended(self, delivery: Delivery, result: int | DeliveryFailure) -> bool:
        """``delivery`` is over and frees its connection; False when it had been over before."""
        if self._in_flight.pop(delivery, None) is None:
            if delivery not in self._shortened:
                return False
            self._shortened.clear(delivery)
        subscription: Subscription = delivery.subscription
        route = subscription.routes[subscription.route]
        load = route.load
        load.in_flight -= 1
        if load.waiting:
            self._release(load.waiting)
        if self._lanes:
            lane = self._lanes.pop(delivery, None)
            if lane is not None:
                lane.in_flight -= 1
                self._release(lane.waiting)
        if isinstance(result, int):
            load.lane = None
        elif result is not _STALE:
            load.lane = self._failing
        if subscription.state is _ENDED:
            self._drop_unused(route)
        return True

    def _pass_on(self, load: EndpointLoad) -> None:
        # Whoever does not use a free connection passes it on, or the rest would wait for ever.
        self._release(load.waiting)
        if load.lane is not None:
            self._release(load.lane.waiting)

    def _release(self, waiting: deque[Subscription]) -> None:
        if waiting:
            self._waiting -= 1
            # Before those that have not waited yet: they might take the connection. One that has
            # ended meanwhile passes it on when its turn comes.
            self._ready.appendleft(waiting.popleft())

    def spend_seq(self, subscription: Subscription) -> None:
        """The message of ``subscription`` is settled: its SEQ is spent (SEQ-07)."""
        subscription.message = None
        subscription.route = 0
        subscription.fresh = False
        subscription.seq = next_seq(subscription.seq)

    def pop_timed_out(self, now: float) -> Delivery | None:
        """A delivery whose time is up, still in flight; None when there is none. The caller ends
        it with :meth:`ended`."""
        for delivery, deadline in self._in_flight.items():
            if deadline <= now:
                return delivery
            break
        when = self._shortened.next()
        if when is not None and when <= now:
            return self._shortened.first()
        return None

    def next_deadline(self) -> float | None:
        """When the next attempt in flight is out of time; None when none is in flight."""
        when = self._shortened.next()
        for deadline in self._in_flight.values():
            return deadline if when is None else min(when, deadline)
        return when
