"""The queue of subscriptions that have a message to be sent.

The publisher may send to thousands of subscriptions over a few hundred connections. This module
decides which subscription is next. Two things must hold: a change costs the same for one and for
thousands of subscriptions, and a subscriber that does not answer delays no other.

**Who is ready.** A subscription that was sent everything is *quiet*, and stands in ``quiet`` of its
service. A change puts the service into the queue, once, and not each of its subscriptions. A
subscription that is behind, or that has another attempt to make, stands in the queue itself. One
subscription has at most one message in flight: it comes back when that message is settled.

**Who has a place.** One endpoint, an (address, port), may have as many attempts at once as
``Limits.connections_per_delivery_endpoint`` says, because many subscriptions can name one victim
(CallStranger). Beyond it, subscriptions wait with their endpoint. An endpoint that has never
answered, and one that failed last time, may not be there at all, and each attempt then occupies a
connection for up to 30 s. Each of these two kinds of endpoints has a *lane*: a share of the
connections, however many endpoints are in it. Endpoints that answer are in no lane, and never wait
behind the others.

Within a lane the endpoints take turns, one attempt each, so that an endpoint with many
subscriptions does not delay one with a single subscription. An endpoint that answers or fails
changes its lane, and the subscriptions that wait with it go along. :meth:`DeliveryQueue.take` looks
for free places in the lanes each time, so nothing waits for a share that is idle.
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

_step = PUBLISHER.step
_TAKEN = PublisherInput.TAKEN
_ENDED = PublisherState.ENDED
_QUIET = PublisherState.QUIET
_SENDING = _step(_QUIET, _TAKEN)
# Of the endpoint: the connection was closed before, or there was none.
_SAYS_NOTHING = (DeliveryFailure.STALE, DeliveryFailure.WAITED)


class DeliveryQueue:
    """Subscriptions that wait, and attempts in flight with their deadlines. Times are in seconds
    of the clock of the publisher. ``report`` gets an outcome for each merged message."""

    def __init__(self, limits: Limits, report: Callable[[Merged], None]) -> None:
        self._report = report
        self._most_in_flight = limits.connections_per_delivery_endpoint
        self._message_seconds = limits.message_seconds
        self._attempt_seconds = limits.attempt_seconds
        self._ready: deque[Subscription | PublishedService] = deque()
        # The latest end of each attempt. All may take the same time, so the order in which they
        # began is the order of their deadlines. Attempts whose message must end sooner are in
        # _shortened too.
        self._in_flight: dict[Delivery, float] = {}
        self._shortened: Deadlines[Delivery] = Deadlines()
        self._waiting = 0
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._answering: OrderedDict[EndpointLoad, None] = OrderedDict()
        self._unproven = Lane(limits.unproven_delivery_connections)
        self._failing = Lane(limits.failing_delivery_connections)
        # An attempt occupies the lane in which it began, even when its endpoint changes lanes.
        self._lanes: dict[Delivery, Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether no subscription waits and no attempt is in flight."""
        return not (self._ready or self._in_flight or self._waiting)

    def use(self, endpoint: Endpoint) -> EndpointLoad:
        """The load of ``endpoint``, for a new subscription. Call :meth:`leave` at its end."""
        load = self._loads.get(endpoint)
        if load is None:
            load = self._loads[endpoint] = EndpointLoad(self._unproven)
        load.users += 1
        return load

    def leave(self, route: Route) -> None:
        """Note that the subscription of ``route`` has ended."""
        route.load.users -= 1
        self._drop_unused(route)

    def _drop_unused(self, route: Route) -> None:
        load = route.load
        if load.users:
            return
        if load.waiting:  # subscriptions that have all ended
            self._waiting -= len(load.waiting)
            load.waiting.clear()
            load.queue.pop(load, None)
        # While a NOTIFY is in flight the load stays, or a subscriber that cancels and subscribes
        # again would have a new cap.
        if not load.in_flight:
            self._loads.pop(route.address.url.endpoint, None)

    def changed(self, service: PublishedService) -> None:
        """Queue ``service``, which has a new message for its quiet subscriptions."""
        if service.quiet and not service.queued:
            service.queued = True
            self._ready.append(service)

    def enqueue(self, subscription: Subscription) -> None:
        """Queue ``subscription``, which may have a message to send and has none in flight."""
        self._ready.append(subscription)

    def settled(self, subscription: Subscription) -> None:
        """Spend the SEQ of the settled message of ``subscription`` (SEQ-07). Queue the subscription
        if another message waits for it, else let it be quiet."""
        subscription.message = None
        subscription.route = 0
        subscription.fresh = False
        subscription.seq = next_seq(subscription.seq)
        service = subscription.service
        if subscription.cursor == service.backlog.head:
            service.quiet[subscription] = None
        else:
            self._ready.append(subscription)

    def take(self, limit: int, now: float) -> list[Delivery]:
        """Begin at most ``limit`` deliveries, and return them."""
        taken: list[Delivery] = []
        # First, or subscriptions that have not waited yet would take the free places.
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
            # Count first: a subscription that wants none of the changes (STATEVAR) goes back into
            # the same dict.
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
        is_full = load.in_flight >= self._most_in_flight
        if is_full or (lane is not None and lane.in_flight >= lane.most):
            load.waiting.append(subscription)
            self._waiting += 1
            # The end of any attempt to a full endpoint queues it.
            if not is_full:
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
        """Note that ``delivery`` has ended. False if it had ended before."""
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
        # If the endpoint has answered another attempt since this one began, it is not failing.
        elif result not in _SAYS_NOTHING and load.answered + self._attempt_seconds <= deadline:
            self._move(load, self._failing)
        if load.waiting:
            load.queue[load] = None
        if subscription.state is _ENDED:
            self._drop_unused(route)
        return True

    def _move(self, load: EndpointLoad, lane: Lane | None) -> None:
        """Put ``load`` into ``lane``; None is for endpoints that answer. :meth:`ended` queues the
        waiting subscriptions there."""
        if load.waiting:
            load.queue.pop(load, None)
        load.lane = lane
        load.queue = self._answering if lane is None else lane.queue

    def pop_timed_out(self, now: float) -> Delivery | None:
        """A delivery in flight whose time is over, or None. Call :meth:`ended` for it."""
        for delivery, deadline in self._in_flight.items():
            if deadline <= now:
                return delivery
            break
        return self._shortened.pop_due(now)

    def next_deadline(self) -> float | None:
        """The earliest deadline of an attempt in flight; None when none is in flight."""
        when = self._shortened.next()
        for deadline in self._in_flight.values():
            return deadline if when is None else min(when, deadline)
        return when
