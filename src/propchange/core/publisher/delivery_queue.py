"""Whose turn it is to be sent a message.

Nothing here costs more per delivery as subscriptions grow. Subscriptions that have been told
everything stand in their service's ``quiet``; a change queues the service, not each of them.
Those that are behind, or have another attempt to make, stand in the queue themselves, or with
their delivery URL's endpoint while that has as many connections in use as it may have.

Endpoints that have not answered yet, and those that failed to last time, each have a share of the
connections and no more: however many there are, those that answer are told without delay. Endpoints
queue for a share, each with its waiting subscriptions. An endpoint that answers or fails changes
queues, and its waiting subscriptions go along. :meth:`DeliveryQueue.take` looks for free places
itself: nothing waits for a share that is idle.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.publisher.outcomes import Merged
from propchange.core.publisher.records import (
    EndpointLoad,
    Lane,
    PublishedService,
    Route,
    Subscription,
)
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.wire.headers import next_seq
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint

__all__ = ["DeliveryQueue"]

_step = PUBLISHER.step
_TAKEN = PublisherInput.TAKEN
_ENDED = PublisherState.ENDED
_QUIET = PublisherState.QUIET
_SENDING = _step(_QUIET, _TAKEN)
# Of the endpoint: the connection was closed before, or there was none.
_SAYS_NOTHING = (DeliveryFailure.STALE, DeliveryFailure.WAITED)


class DeliveryQueue:
    """The queue of subscriptions that wait, and the attempts in flight with their deadlines."""

    def __init__(self, limits: Limits, report: Callable[[Merged], None]) -> None:
        self._report = report
        self._most_in_flight = limits.connections_per_delivery_endpoint
        self._message_seconds = limits.message_seconds
        self._attempt_seconds = limits.attempt_seconds
        self._ready: deque[Subscription | PublishedService] = deque()
        # When each attempt ends at the latest, in the order they began. Those that end sooner,
        # since the time for their message is up, stand in both.
        self._in_flight: dict[Delivery, float] = {}
        self._shortened: Deadlines[Delivery] = Deadlines()
        self._waiting = 0
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._answering: OrderedDict[EndpointLoad, None] = OrderedDict()
        self._unproven = Lane(limits.unproven_delivery_connections)
        self._failing = Lane(limits.failing_delivery_connections)
        # An attempt keeps its place in the lane that it began in, wherever its endpoint moves.
        self._lanes: dict[Delivery, Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not (self._ready or self._in_flight or self._waiting)

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
        load = route.load
        if load.users:
            return
        if load.waiting:  # They have all ended.
            self._waiting -= len(load.waiting)
            load.waiting.clear()
            load.queue.pop(load, None)
        # Not while a NOTIFY is in flight: whoever cancels and subscribes again keeps their cap.
        if not load.in_flight:
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

    def take(self, limit: int, now: float) -> list[Delivery]:
        """At most ``limit`` deliveries to begin now."""
        taken: list[Delivery] = []
        # Before those that have not waited yet: they might take the places.
        if self._waiting:
            self._take_waiting(limit, now, taken)
        ready = self._ready
        while ready and len(taken) < limit:
            item = ready.popleft()
            if isinstance(item, Subscription):
                self._begin(item, now, taken)
                continue
            quiet = item.quiet
            item.queued = False
            # One that has nothing to be told (STATEVAR) goes back into the same place.
            for _ in range(len(quiet)):
                if len(taken) >= limit:
                    item.queued = True
                    ready.appendleft(item)
                    break
                self._begin(quiet.popitem(last=False)[0], now, taken)
        return taken

    def _take_waiting(self, limit: int, now: float, taken: list[Delivery]) -> None:
        answering, most = self._answering, self._most_in_flight
        while answering and len(taken) < limit:
            load = next(iter(answering))
            waiting = load.waiting
            while waiting and load.in_flight < most and len(taken) < limit:
                self._waiting -= 1
                self._begin(waiting.popleft(), now, taken)
            if not waiting or load.in_flight >= most:
                del answering[load]
        for lane in (self._unproven, self._failing):
            queue = lane.queue
            while queue and lane.in_flight < lane.most and len(taken) < limit:
                load = queue.popitem(last=False)[0]
                self._waiting -= 1
                self._begin(load.waiting.popleft(), now, taken)
                if load.waiting and load.in_flight < most:
                    queue[load] = None

    def _begin(self, subscription: Subscription, now: float, taken: list[Delivery]) -> None:
        state = subscription.state
        if state is _ENDED:
            return
        route = subscription.routes[subscription.route]
        load = route.load
        lane = load.lane
        if load.in_flight >= self._most_in_flight:
            # It does not queue at its own cap: the end of any of its attempts queues it.
            load.waiting.append(subscription)
            self._waiting += 1
            return
        if lane is not None and lane.in_flight >= lane.most:
            load.waiting.append(subscription)
            self._waiting += 1
            load.queue[load] = None
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
                    return
                subscription.state = _SENDING
            else:
                message = service.initial_event(subscription.wanted)
                subscription.cursor = service.backlog.head
                subscription.state = _step(state, _TAKEN)
            subscription.message = message
            subscription.message_deadline = now + self._message_seconds
        load.in_flight += 1
        delivery = Delivery(
            route.address, subscription.seq, message, subscription, subscription.fresh
        )
        if lane is not None:
            lane.in_flight += 1
            self._lanes[delivery] = lane
        self._in_flight[delivery] = deadline = now + self._attempt_seconds
        if deadline > subscription.message_deadline:
            self._shortened.set(delivery, subscription.message_deadline)
        taken.append(delivery)
        if message.updates > 1 and not is_retry:
            self._report(Merged(subscription.sid, delivery.seq, message.updates))

    def ended(self, delivery: Delivery, result: int | DeliveryFailure, now: float) -> bool:
        """``delivery`` is over and frees its connection; False when it had been over before."""
        deadline = self._in_flight.pop(delivery, None)
        if deadline is None:
            return False
        subscription: Subscription = delivery.subscription
        if deadline > subscription.message_deadline:
            self._shortened.clear(delivery)
        route = subscription.routes[subscription.route]
        load = route.load
        load.in_flight -= 1
        if self._lanes:
            lane = self._lanes.pop(delivery, None)
            if lane is not None:
                lane.in_flight -= 1
        if isinstance(result, int):
            load.answered = now
            if load.lane is not None:
                self._move(load, None)
        # Not when the endpoint has answered another attempt since this one began.
        elif result not in _SAYS_NOTHING and load.answered + self._attempt_seconds <= deadline:
            self._move(load, self._failing)
        if load.waiting:
            load.queue[load] = None
        if subscription.state is _ENDED:
            self._drop_unused(route)
        return True

    def _move(self, load: EndpointLoad, lane: Lane | None) -> None:
        """``load`` belongs to ``lane`` from now on, None when it answers. :meth:`ended` queues
        its waiting subscriptions there."""
        if load.waiting:
            load.queue.pop(load, None)
        load.lane = lane
        load.queue = self._answering if lane is None else lane.queue

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
