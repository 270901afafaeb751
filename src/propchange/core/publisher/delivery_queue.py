"""The queue of subscriptions that have a message to be sent.

The publisher may send to thousands of subscriptions over a few hundred connections. This module
decides which subscription is next. Two things must hold: a change costs the same for one and for
thousands of subscriptions, and a subscriber that does not answer delays no other.

**The queue.** A subscription that was sent everything is *quiet*, and stands in ``quiet`` of its
service. A change puts the service into the queue, once; when the service is at the front, its quiet
subscriptions take its place. A subscription that is behind, or that has another attempt to make,
stands in the queue itself. A subscription has at most one message in flight, and returns to the
queue when that is settled.

**Places.** Many subscriptions can name one victim (CallStranger). So one endpoint, an (address,
port), has at most ``Limits.connections_per_delivery_endpoint`` attempts at once. Further
subscriptions wait with their endpoint.

An endpoint *takes* an event when it answers a NOTIFY with 2xx. An attempt at an endpoint that does
not take its events also needs a place in a share of the connections (:mod:`.delivery_endpoints`).
:meth:`DeliveryQueue.take` looks for free places in the shares each time, so nothing waits for an
idle share.

**Pauses.** A delivery URL may name a host that is no subscriber. So an endpoint that takes no event
is paused after ``Limits.failures_before_pause`` failed attempts in a row. Each further failed
attempt doubles the pause, and changes merge meanwhile. All failures count alike: a refused or reset
connection, silence, an answer that is no HTTP, another status than 2xx and 412. A subscription
whose first delivery URL is paused uses the next one. If all its delivery URLs are paused, it waits
with each of these endpoints, until the first pause ends. An endpoint that takes the events of other
subscriptions is there: if it refuses the event of one subscription, only that subscription is
paused.

A pause ends when the host of the endpoint subscribes or renews, or when a subscription is renewed
whose event the endpoint has taken. The initial event of the host's own subscription waits for no
pause.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from math import inf

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.publisher.delivery_endpoints import DeliveryEndpoints
from propchange.core.publisher.delivery_share import DeliveryShare, origin_of
from propchange.core.publisher.outcomes import Merged
from propchange.core.publisher.records import NOBODY, EndpointLoad, PublishedService, Subscription
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.wire.headers import LARGEST_SEQ, next_seq
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, EventMessage

_Ready = deque[Subscription | PublishedService]

_step = PUBLISHER.step
_TAKEN = PublisherInput.TAKEN
_ENDED = PublisherState.ENDED
_QUIET = PublisherState.QUIET
_OWED = (PublisherState.OWED, PublisherState.OWED_CANCELLED)
_SENDING = _step(_QUIET, _TAKEN)
_QUIET_AGAIN = _step(_SENDING, PublisherInput.SETTLED)
# The attempt shows nothing about the endpoint: its connection was closed before, or it had none.
_SAYS_NOTHING = (DeliveryFailure.STALE, DeliveryFailure.WAITED)
_NO_SHARE: tuple[DeliveryShare[EndpointLoad] | None, int] = (None, 0)


class DeliveryQueue:
    """Subscriptions that wait, and attempts in flight with their deadlines.

    Times are in seconds of the clock of the publisher. ``report`` gets an outcome for each merged
    message. ``abandon`` gives up the message of a subscription that has no delivery URL to try.
    """

    def __init__(
        self,
        limits: Limits,
        report: Callable[[Merged], None],
        abandon: Callable[[Subscription], None],
    ) -> None:
        self._report = report
        self._abandon = abandon
        self._limits = limits
        self._message_seconds = limits.message_seconds
        self._attempt_seconds = limits.attempt_seconds
        self._ready: _Ready = deque()
        # The deadline of each attempt. All attempts may take the same time, so their order of
        # beginning is the order of their deadlines. _shortened has the earlier deadline of an
        # attempt whose message must end sooner.
        self._in_flight: dict[Delivery, float] = {}
        self._shortened: Deadlines[Delivery] = Deadlines()
        # Numbers of subscriptions that wait with an endpoint: _postponed if it is paused. A
        # subscription counts once for each paused endpoint that it waits with.
        self._waiting = 0
        self._postponed = 0
        self._answering: OrderedDict[EndpointLoad, None] = OrderedDict()
        self._pauses: Deadlines[EndpointLoad] = Deadlines()
        # Paused subscriptions whose events their endpoint refuses.
        self._refused: Deadlines[Subscription] = Deadlines()
        # No pause or refused subscription is due before this time. One comparison shows that there
        # is nothing to do.
        self._due = inf
        self._endpoints = DeliveryEndpoints(limits)

    @property
    def idle(self) -> bool:
        """Whether no delivery is in flight, and each subscription that waits is paused."""
        return not (self._ready or self._in_flight or self._waiting)

    def postpones_only_initial_events(self, subscriptions: Iterable[Subscription]) -> bool:
        """Whether each message of ``subscriptions`` that waits for the end of a pause is an initial
        event. Call this only while the queue is :attr:`idle`."""
        return not self._postponed or all(
            each.state is _QUIET or (each.state in _OWED and each.routes[each.route].load.paused)
            for each in subscriptions
        )

    def use(self, endpoint: Endpoint, peer: Endpoint, now: float) -> EndpointLoad:
        """The load of ``endpoint``, for a new subscription of ``peer``. Call :meth:`leave` when the
        subscription ends."""
        origin = origin_of(peer)
        load = self._endpoints.load(endpoint, origin, now)
        is_own = load.is_on(peer)
        if is_own and load.origin != origin:
            # Another host has named this endpoint before. The endpoint must not depend on the turns
            # of that host.
            load.origin = origin
            if load.share is not None:
                endpoints = self._endpoints
                self._move(load, endpoints.failing if load.proven else endpoints.unproven)
                self._queue_up(load)
        self._endpoints.use(load)
        if is_own:
            self._contacted(load)
        return load

    def renewed(self, subscription: Subscription, peer: Endpoint) -> None:
        """Note that ``peer`` has renewed ``subscription``."""
        if subscription in self._refused and subscription.took_event:
            self._refused.clear(subscription)
            self._ready.append(subscription)
        for route in subscription.routes:
            load = route.load
            if load.proven or load.is_on(peer):
                self._contacted(load)

    def _contacted(self, load: EndpointLoad) -> None:
        """Let attempts at ``load`` begin at once: its host is there."""
        if load.share is not None:
            load.most = self._endpoints.most_unproven
        if load.paused:
            self._wake(load)
        else:
            self._queue_up(load)

    def granted(self, subscription: Subscription, duration: int, minimum: int) -> int:
        """The duration to grant to ``subscription``: ``duration`` if an endpoint of it is trusted,
        else at most ``Limits.unproven_duration``, and at least ``minimum``. It is trusted if it
        has taken an event, or is on the host of the subscriber and has not failed."""
        peer = subscription.peer
        for route in subscription.routes:
            load = route.load
            if load.proven or (not load.failures and load.is_on(peer)):
                return duration
        return min(duration, max(self._limits.unproven_duration, minimum))

    def leave(self, subscription: Subscription, now: float) -> None:
        """Note that ``subscription`` has ended."""
        self._refused.clear(subscription)
        for route in subscription.routes:
            load = route.load
            load.users -= 1
            if load.waiting.discard(subscription):
                if load.paused:
                    self._postponed -= 1
                else:
                    self._waiting -= 1
                    if not load.waiting:
                        self._unqueue(load)
            self._endpoints.drop_unused(load, now)

    def changed(self, service: PublishedService) -> None:
        """Queue ``service``, which has a new message for its quiet subscriptions."""
        if service.quiet and not service.queued:
            service.queued = True
            self._ready.append(service)

    def enqueue(self, subscription: Subscription) -> None:
        """Queue ``subscription``, which may have a message to send and has none in flight."""
        self._ready.append(subscription)

    def settled(self, subscription: Subscription, now: float) -> None:
        """Note that the message of ``subscription`` is settled: its SEQ is used up (SEQ-07).

        The subscription is then queued if another message waits for it, and else quiet. It is
        paused if its endpoint refuses its events and takes those of other subscriptions.
        """
        subscription.message = None
        subscription.route = 0
        subscription.fresh = False
        subscription.seq = next_seq(subscription.seq)
        service = subscription.service
        if subscription.refusals and subscription.refusals > self._limits.failures_before_pause:
            seconds = self._endpoints.pause_seconds(subscription.refusals, subscription.took_event)
            self._refused.set(subscription, now + seconds)
            self._due = min(self._due, now + seconds)
        elif subscription.cursor == service.backlog.head:
            service.quiet[subscription] = None
        else:
            self._ready.append(subscription)

    def take(self, limit: int, now: float, *, stop_at_merged: bool = False) -> list[Delivery]:
        """Begin at most ``limit`` deliveries, and return them. ``stop_at_merged``: begin no more
        after the first one whose message was merged, because merging may take long."""
        taken: list[Delivery] = []
        if now >= self._due or now >= self._endpoints.due:
            self.handle_deadline(now)
        # Waiting subscriptions come first. Else those that have not waited yet would take the free
        # places.
        if self._waiting and self._take_waiting(limit, now, taken, stop_at_merged):
            return taken
        self._begin(self._ready, limit, now, taken, stop_at_merged)
        return taken

    def _take_waiting(
        self, limit: int, now: float, taken: list[Delivery], stop_at_merged: bool
    ) -> bool:
        """Begin the deliveries of subscriptions that wait with their endpoint. Returns whether
        :meth:`take` must stop."""
        answering = self._answering
        while answering and len(taken) < limit:
            load = next(iter(answering))
            waiting, most, stopped = load.waiting, load.most, False
            while waiting and load.in_flight < most and len(taken) < limit and not stopped:
                self._waiting -= 1
                first: _Ready = deque((waiting.pop(),))
                stopped = self._begin(first, limit, now, taken, stop_at_merged)
            if not waiting or load.in_flight >= most:
                del answering[load]
            if stopped:
                return True
        for share in (self._endpoints.unproven, self._endpoints.failing):
            while len(taken) < limit:
                next_load = share.pop()
                if next_load is None:
                    break
                # A subscription that wants none of the changes (STATEVAR) uses no turn.
                before, stopped = len(taken), False
                while next_load.waiting and len(taken) == before:
                    self._waiting -= 1
                    first = deque((next_load.waiting.pop(),))
                    stopped = self._begin(first, limit, now, taken, stop_at_merged)
                self._queue_up(next_load)
                if stopped:
                    return True
        return False

    def _begin(
        self, ready: _Ready, limit: int, now: float, taken: list[Delivery], stop_at_merged: bool
    ) -> bool:
        """Begin deliveries of the subscriptions in ``ready``, in order. Returns whether it has
        stopped at a merged message.

        Subscriptions in a row that have the same cursor share one call of :meth:`.Backlog.take`. An
        endpoint in no share needs no other call. Both save 0.6 of the 7 µs of a delivery with its
        socket.
        """
        in_flight = self._in_flight
        deadline = now + self._attempt_seconds
        last_service: PublishedService | None = None
        last_cursor = cursor = 0
        last_message: EventMessage | None = None
        merge_at: int | None = None
        while ready and len(taken) < limit:
            subscription = ready.popleft()
            if not isinstance(subscription, Subscription):
                subscription.queued = False
                ready.extendleft(reversed(subscription.quiet))
                subscription.quiet.clear()
                continue
            state = subscription.state
            if state is _ENDED:
                continue
            route = subscription.routes[subscription.route]
            load = route.load
            if load.share is not None or load.in_flight >= load.most:
                if not self._find_place(subscription):
                    continue
                route = subscription.routes[subscription.route]
                load = route.load
            updates = 1
            message: EventMessage | None
            if state is _QUIET:
                service = subscription.service
                if (
                    service is not last_service
                    or subscription.cursor != last_cursor
                    or subscription.merge_at is not None
                    or subscription.wanted is not None
                ):
                    last_service, last_cursor = service, subscription.cursor
                    last_message, cursor, merge_at = service.backlog.take(
                        last_cursor, subscription.merge_at, subscription.wanted
                    )
                    if subscription.merge_at is not None or subscription.wanted is not None:
                        last_service = None  # this result is for this subscription alone
                message = last_message
                subscription.cursor = cursor
                subscription.merge_at = merge_at
                if message is None:
                    subscription.route = 0
                    service.quiet[subscription] = None
                    continue
                updates = message.updates
                subscription.state = _SENDING
                subscription.message = message
                subscription.message_deadline = now + self._message_seconds
            else:
                message = subscription.message
                if message is None:
                    message = subscription.service.initial_event(subscription.wanted)
                    subscription.cursor = subscription.service.backlog.head
                    subscription.state = _step(state, _TAKEN)
                    subscription.message = message
                    subscription.message_deadline = now + self._message_seconds
            load.in_flight += 1
            delivery = Delivery(
                route.address, subscription.seq, message, subscription, subscription.fresh
            )
            in_flight[delivery] = deadline
            if load.share is not None:
                self._endpoints.occupy(load, load.share, delivery)
                if load.in_flight >= load.most:
                    self._unqueue(load)
            if deadline > subscription.message_deadline:
                self._shortened.set(delivery, subscription.message_deadline)
            taken.append(delivery)
            if updates > 1:
                self._report(Merged(subscription.sid, delivery.seq, updates))
                if stop_at_merged:
                    return True
        return False

    def _queue_up(self, load: EndpointLoad) -> None:
        """Let ``load`` wait for its turn, if subscriptions wait with it and another attempt may
        begin."""
        if not load.waiting:
            load.waiting = NOBODY
            return
        if load.paused or load.in_flight >= load.most:
            return
        if load.share is None:
            self._answering[load] = None
        else:
            load.share.add(load)

    def _unqueue(self, load: EndpointLoad) -> None:
        if load.share is None:
            self._answering.pop(load, None)
        else:
            load.share.discard(load)

    def _wait(self, subscription: Subscription, load: EndpointLoad) -> None:
        load.wait(subscription, own=load.is_on(subscription.peer))
        self._waiting += 1
        self._queue_up(load)

    def _postpone(self, subscription: Subscription) -> None:
        """Let ``subscription`` wait with each of its endpoints. All of them are paused."""
        # Two delivery URLs may have one endpoint.
        for load in {route.load: None for route in subscription.routes}:
            load.wait(subscription, own=load.is_on(subscription.peer))
            self._postponed += 1

    def _claim(self, load: EndpointLoad) -> None:
        """Let the subscriptions that wait with the paused ``load`` wait with no other endpoint."""
        for subscription in load.waiting:
            for index, route in reversed([*enumerate(subscription.routes)]):
                if route.load is load:
                    subscription.route = index
                elif route.load.waiting.discard(subscription):
                    self._postponed -= 1

    def _find_place(self, subscription: Subscription) -> bool:
        """Whether an attempt for ``subscription`` may begin, at the delivery URL of its ``route``.
        If not, the subscription waits, or its message is abandoned."""
        routes = subscription.routes
        if self._is_first_of_host(subscription):
            return True
        index = subscription.next_url(subscription.route)
        if index is None:
            if subscription.message is not None:
                self._abandon(subscription)
                return False
            # It has waited with one of its later delivery URLs.
            index = subscription.next_url(0)
            if index is None:
                self._postpone(subscription)
                return False
        if index != subscription.route:
            subscription.route = index
            subscription.fresh = False
        load = routes[index].load
        if load.in_flight >= load.most:
            self._wait(subscription, load)
            return False
        if load.share is not None and not load.share.has_place:
            self._wait(subscription, load)
            return False
        return True

    def _is_first_of_host(self, subscription: Subscription) -> bool:
        """Whether this is the first attempt for a subscription of the endpoint's own host, and
        there is a place for it. Such an attempt waits neither for a pause nor for attempts that
        other hosts have caused, because the host has just sent its SUBSCRIBE."""
        load = subscription.routes[subscription.route].load
        return (
            subscription.message is None
            and subscription.state in _OWED
            and load.is_on(subscription.peer)
            and load.in_flight < self._limits.connections_per_delivery_endpoint
            and (load.share is None or load.share.has_place)
        )

    def delivered(
        self, deliveries: Iterable[Delivery], now: float, otherwise: Callable[[Delivery], object]
    ) -> bool:
        """Note that each of ``deliveries`` was answered with 2xx, and settle its message. Returns
        whether a subscription waits for its next delivery.

        For an active subscription, whose endpoint is in no share and has no waiting subscription,
        this does the same as :meth:`ended` and :meth:`settled`, without calling them. That saves
        0.8 of the 7 µs of a delivery with its socket. ``otherwise`` is called with each other
        delivery.
        """
        in_flight, places, ready = self._in_flight, self._endpoints.places, self._ready
        for delivery in deliveries:
            subscription: Subscription = delivery.subscription
            load = subscription.routes[subscription.route].load
            if (
                subscription.state is not _SENDING
                or load.share is not None
                or load.waiting is not NOBODY
                or (places and delivery in places)
                or (deadline := in_flight.pop(delivery, None)) is None
            ):
                otherwise(delivery)
                continue
            if deadline > subscription.message_deadline:
                self._shortened.clear(delivery)
            load.in_flight -= 1
            load.taken = now
            subscription.refusals = 0
            subscription.took_event = True
            subscription.state = _QUIET_AGAIN
            subscription.message = None
            subscription.route = 0
            subscription.fresh = False
            seq = subscription.seq
            subscription.seq = seq + 1 if seq < LARGEST_SEQ else 1
            service = subscription.service
            if subscription.cursor == service.backlog.head:
                service.quiet[subscription] = None
            else:
                ready.append(subscription)
        return bool(ready or self._waiting)

    def ended(self, delivery: Delivery, result: int | DeliveryFailure, now: float) -> bool:
        """Note that ``delivery`` has ended. False if it had ended before."""
        deadline = self._in_flight.pop(delivery, None)
        if deadline is None:
            return False
        subscription: Subscription = delivery.subscription
        if deadline > subscription.message_deadline:
            self._shortened.clear(delivery)
        load = subscription.routes[subscription.route].load
        load.in_flight -= 1
        endpoints = self._endpoints
        share, failures = endpoints.places.get(delivery, _NO_SHARE)
        began = deadline - self._attempt_seconds
        failed = False
        if isinstance(result, int) and 200 <= result < 300:
            load.taken = now
            subscription.refusals = 0
            subscription.took_event = True
            if load.share is not None:
                self._answers(load, now)
        elif isinstance(result, int) and load.proven:
            # The endpoint is there: it has taken an event.
            subscription.refusals += 1
            if load.share is not None:
                self._answers(load, now)
        elif result == 412:
            pass  # a subscriber is there, and does not know the SID
        elif result not in _SAYS_NOTHING:
            failed = True
            # An endpoint that has taken another event since this attempt began is not failing. Of
            # several attempts that began before a failure, only the first one counts.
            if load.taken <= began and failures == load.failures:
                self._fail(load, now)
        if share is not None:
            endpoints.free(delivery, began=began, failed=failed and not load.proven, now=now)
        self._queue_up(load)
        endpoints.drop_unused(load, now)
        return True

    def _move(self, load: EndpointLoad, share: DeliveryShare[EndpointLoad] | None) -> None:
        """Put ``load`` into ``share``, or with None into no share, because the endpoint takes its
        events. Call :meth:`_queue_up` afterwards."""
        self._unqueue(load)
        self._endpoints.enter(load, share)

    def _answers(self, load: EndpointLoad, now: float) -> None:
        """Note that the endpoint of ``load`` is there. It is then in no share and not paused."""
        load.failures = 0
        load.remembered_until = now
        self._move(load, None)
        if load.paused:
            self._wake(load)

    def _fail(self, load: EndpointLoad, now: float) -> None:
        """Note that the endpoint of ``load`` has not taken an event, and pause it if that is
        due."""
        limits = self._limits
        load.failures += 1
        if load.share is None:
            self._move(load, self._endpoints.failing)
        load.most = 1
        if load.in_flight:
            self._unqueue(load)
        load.remembered_until = now + limits.unproven_place_seconds
        if load.failures <= limits.failures_before_pause:
            return
        seconds = self._endpoints.pause_seconds(load.failures, load.proven)
        self._unqueue(load)
        if load.paused:  # the attempt was the first one of its host
            self._claim(load)
            self._postponed -= len(load.waiting)
        else:
            self._waiting -= len(load.waiting)
        load.paused = True
        load.paused_until = now + seconds
        load.remembered_until = max(load.remembered_until, load.paused_until + seconds)
        self._pauses.set(load, load.paused_until)
        self._due = min(self._due, load.paused_until)
        # The waiting subscriptions may have another delivery URL.
        self._ready.extend(load.waiting.take_all())

    def _wake(self, load: EndpointLoad) -> None:
        load.paused = False
        self._pauses.clear(load)
        self._claim(load)
        self._postponed -= len(load.waiting)
        self._waiting += len(load.waiting)
        self._queue_up(load)

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """End the pauses and free the occupied places whose time is over."""
        endpoints = self._endpoints
        if now >= endpoints.due:
            endpoints.handle_deadline(now)
        if now < self._due:
            return
        if self._pauses:
            while (load := self._pauses.pop_due(now)) is not None:
                self._wake(load)
                endpoints.drop_unused(load, now)
        if self._refused:
            while (subscription := self._refused.pop_due(now)) is not None:
                self._ready.append(subscription)
        deadlines = (self._pauses.next(), self._refused.next())
        self._due = min((when for when in deadlines if when is not None), default=inf)

    def pop_timed_out(self, now: float) -> Delivery | None:
        """A delivery in flight whose time is over, or None. Call :meth:`ended` with it."""
        for delivery, deadline in self._in_flight.items():
            if deadline <= now:
                return delivery
            break
        return self._shortened.pop_due(now)

    def next_deadline(self) -> float | None:
        """The earliest deadline of an attempt in flight, and of a pause or an occupied place that a
        subscription waits for. None if there is none."""
        when = self._shortened.next() if self._shortened.when else None
        for deadline in self._in_flight.values():
            when = deadline if when is None else min(when, deadline)
            break
        if self._due == inf and self._endpoints.due == inf:
            return when
        for other in (
            self._pauses.next() if self._postponed else None,
            self._refused.next(),
            self._endpoints.next_deadline(),
        ):
            if other is not None and (when is None or other < when):
                when = other
        return when
