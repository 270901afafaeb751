"""The queue of subscriptions that have a message to be sent.

The publisher may send to thousands of subscriptions over a few hundred connections. This module
decides which subscription is next. Two things must hold: a change costs the same for one and for
thousands of subscriptions, and a subscriber that does not answer delays no other.

**The queue.** A subscription that was sent everything is *quiet*, and stands in ``quiet`` of its
service. A change puts the service into the queue, once, and not each of its subscriptions. A
subscription that is behind, or that has another attempt to make, stands in the queue itself. A
subscription has at most one message in flight, and returns to the queue when that is settled.

**Places.** Many subscriptions can name one victim (CallStranger). So one endpoint, an (address,
port), has at most ``Limits.connections_per_delivery_endpoint`` attempts at once. Further
subscriptions wait with their endpoint.

An endpoint *takes* an event when it answers a NOTIFY with 2xx. An endpoint that has never taken an
event (*unproven*), or that failed last (*failing*), may not exist, and each attempt can occupy a
connection for 30 s. Each of these two kinds has a share of the connections
(:mod:`.delivery_share`), in which the addresses of the subscribers take turns. The endpoints that
take their events are in no share and never wait behind the two kinds. When an endpoint changes its
share, its waiting subscriptions change too. :meth:`DeliveryQueue.take` looks for free places in
the shares each time, so nothing waits for an idle share.

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
pause. An attempt at an unproven endpoint occupies its place for ``Limits.unproven_place_seconds``,
even if it fails sooner. This bounds the connections per second to all such endpoints together.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.publisher.delivery_share import DeliveryShare, origin_of
from propchange.core.publisher.outcomes import Merged
from propchange.core.publisher.records import (
    EndpointLoad,
    PublishedService,
    Subscription,
)
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.wire.headers import next_seq
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, canonical_host

_step = PUBLISHER.step
_TAKEN = PublisherInput.TAKEN
_ENDED = PublisherState.ENDED
_QUIET = PublisherState.QUIET
_OWED = (PublisherState.OWED, PublisherState.OWED_CANCELLED)
_SENDING = _step(_QUIET, _TAKEN)
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
        self._most_unproven = min(
            limits.attempts_at_unproven_endpoint, limits.connections_per_delivery_endpoint
        )
        self._message_seconds = limits.message_seconds
        self._attempt_seconds = limits.attempt_seconds
        self._ready: deque[Subscription | PublishedService] = deque()
        # The deadline of each attempt. All attempts may take the same time, so their order of
        # beginning is the order of their deadlines. _shortened has the earlier deadline of an
        # attempt whose message must end sooner.
        self._in_flight: dict[Delivery, float] = {}
        self._shortened: Deadlines[Delivery] = Deadlines()
        # Numbers of subscriptions that wait with an endpoint: _postponed if it is paused. A
        # subscription counts once for each paused endpoint that it waits with.
        self._waiting = 0
        self._postponed = 0
        self._loads: dict[Endpoint, EndpointLoad] = {}
        self._answering: OrderedDict[EndpointLoad, None] = OrderedDict()
        self._pauses: Deadlines[EndpointLoad] = Deadlines()
        # Paused subscriptions whose events their endpoint refuses.
        self._refused: Deadlines[Subscription] = Deadlines()
        # No pause, refused subscription, unused endpoint or occupied place is due before this time.
        # One comparison shows that there is nothing to do.
        self._due = inf
        # Endpoints that no subscription names any more, and whose failures are remembered.
        self._unused: Deadlines[EndpointLoad] = Deadlines()
        self._unproven: DeliveryShare[EndpointLoad] = DeliveryShare(
            limits.unproven_delivery_connections,
            (limits.unproven_deliveries_per_prefix, limits.unproven_deliveries_per_address),
        )
        self._failing: DeliveryShare[EndpointLoad] = DeliveryShare(
            limits.failing_delivery_connections,
            (limits.failing_deliveries_per_prefix, limits.failing_deliveries_per_address),
        )
        # The share in which each attempt began, and the failures of its endpoint before. The
        # attempt keeps its place there even when its endpoint changes shares. _occupied has the
        # attempts that have ended and still occupy their place.
        self._shares: dict[Delivery, tuple[DeliveryShare[EndpointLoad], int]] = {}
        self._occupied: Deadlines[Delivery] = Deadlines()

    @property
    def idle(self) -> bool:
        """Whether no attempt is in flight, and no subscription waits but for the end of a pause."""
        return not (self._ready or self._in_flight or self._waiting)

    def postpones(self, subscription: Subscription) -> bool:
        """Whether the initial event of ``subscription`` waits for the end of a pause. Call this
        only while the queue is :attr:`idle`."""
        return subscription.state in _OWED and subscription.routes[subscription.route].load.paused

    def use(self, endpoint: Endpoint, peer: Endpoint, now: float) -> EndpointLoad:
        """The load of ``endpoint``, for a new subscription of ``peer``. Call :meth:`leave` when the
        subscription ends."""
        if self._unused:
            self._forget_unused(now)
        load = self._loads.get(endpoint)
        origin = origin_of(peer)
        if load is None:
            load = self._loads[endpoint] = EndpointLoad(endpoint, origin)
            self._move(load, self._unproven)
        is_own = _is_host(load, peer)
        if is_own and load.origin != origin:
            # Another host has named this endpoint before. The endpoint must not depend on the turns
            # of that host.
            load.origin = origin
            if load.share is not None:
                self._move(load, self._failing if load.proven else self._unproven)
                self._queue_up(load)
        if not load.users:
            self._unused.clear(load)
        load.users += 1
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
            if load.proven or _is_host(load, peer):
                self._contacted(load)

    def _contacted(self, load: EndpointLoad) -> None:
        """Let attempts at ``load`` begin at once: its host is there."""
        if load.share is not None:
            load.most = self._most_unproven
        if load.paused:
            self._wake(load)
        else:
            self._queue_up(load)

    def trusts(self, load: EndpointLoad, peer: Endpoint) -> bool:
        """Whether ``load`` has taken an event, or is on the host ``peer`` itself and has not
        failed."""
        return load.proven or (not load.failures and _is_host(load, peer))

    def granted(self, subscription: Subscription, duration: int, minimum: int) -> int:
        """The duration to grant to ``subscription``: ``duration`` if an endpoint of it is trusted,
        else at most ``Limits.unproven_duration``, and at least ``minimum``."""
        if any(self.trusts(route.load, subscription.peer) for route in subscription.routes):
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
            self._drop_unused(load, now)

    def _drop_unused(self, load: EndpointLoad, now: float) -> None:
        # The load is kept while a NOTIFY is in flight and for some time after a failure. Else a
        # subscriber that cancels and subscribes again would have a new cap and no pause.
        if load.users or load.in_flight or load.paused:
            return
        if now < load.remembered_until:
            self._unused.set(load, load.remembered_until)
            self._due = min(self._due, load.remembered_until)
            return
        del self._loads[load.endpoint]
        if load.share is not None:
            load.share.leave()

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
            seconds = self._pause_seconds(subscription.refusals, subscription.took_event)
            self._refused.set(subscription, now + seconds)
            self._due = min(self._due, now + seconds)
        elif subscription.cursor == service.backlog.head:
            service.quiet[subscription] = None
        else:
            self._ready.append(subscription)

    def _pause_seconds(self, failures: int, took_event: bool) -> float:
        """The pause after so many ``failures`` in a row, more than ``failures_before_pause``."""
        limits = self._limits
        doublings = min(failures, limits.unproven_attempts) - limits.failures_before_pause - 1
        seconds = limits.pause_first_seconds * 2.0**doublings
        return min(seconds, limits.pause_most_seconds) if took_event else seconds

    def take(self, limit: int, now: float) -> list[Delivery]:
        """Begin at most ``limit`` deliveries, and return them."""
        taken: list[Delivery] = []
        if now >= self._due:
            self.handle_deadline(now)
        # Waiting subscriptions come first. Else those that have not waited yet would take the free
        # places.
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
        answering = self._answering
        while answering and len(taken) < limit:
            load = next(iter(answering))
            waiting, most = load.waiting, load.most
            while waiting and load.in_flight < most and len(taken) < limit:
                self._waiting -= 1
                self._begin(waiting.pop(), now, taken)
            if not waiting or load.in_flight >= most:
                del answering[load]
        for share in (self._unproven, self._failing):
            while len(taken) < limit:
                next_load = share.pop()
                if next_load is None:
                    break
                # A subscription that wants none of the changes (STATEVAR) uses no turn.
                before = len(taken)
                while next_load.waiting and len(taken) == before:
                    self._waiting -= 1
                    self._begin(next_load.waiting.pop(), now, taken)
                self._queue_up(next_load)

    def _queue_up(self, load: EndpointLoad) -> None:
        """Let ``load`` wait for its turn, if subscriptions wait with it and another attempt may
        begin."""
        if not load.waiting or load.paused or load.in_flight >= load.most:
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
        load.wait(subscription, own=_is_host(load, subscription.peer))
        self._waiting += 1
        self._queue_up(load)

    def _postpone(self, subscription: Subscription) -> None:
        """Let ``subscription`` wait with each of its endpoints. All of them are paused."""
        # Two delivery URLs may have one endpoint.
        for load in {route.load: None for route in subscription.routes}:
            load.wait(subscription, own=_is_host(load, subscription.peer))
            self._postponed += 1

    def _claim(self, load: EndpointLoad) -> None:
        """Let the subscriptions that wait with the paused ``load`` wait with no other endpoint."""
        for subscription in load.waiting:
            for index, route in reversed([*enumerate(subscription.routes)]):
                if route.load is load:
                    subscription.route = index
                elif route.load.waiting.discard(subscription):
                    self._postponed -= 1

    def next_url(self, subscription: Subscription, first: int) -> int | None:
        """The index of the first delivery URL of ``subscription`` from ``first`` on whose endpoint
        is not paused. None if there is none."""
        routes = subscription.routes
        return next((i for i in range(first, len(routes)) if not routes[i].load.paused), None)

    def _find_place(self, subscription: Subscription) -> bool:
        """Whether an attempt for ``subscription`` may begin, at the delivery URL of its ``route``.
        If not, the subscription waits, or its message is abandoned."""
        routes = subscription.routes
        if self._is_first_of_host(subscription):
            return True
        index = self.next_url(subscription, subscription.route)
        if index is None:
            if subscription.message is not None:
                self._abandon(subscription)
                return False
            # It has waited with one of its later delivery URLs.
            index = self.next_url(subscription, 0)
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
            and _is_host(load, subscription.peer)
            and load.in_flight < self._limits.connections_per_delivery_endpoint
            and (load.share is None or load.share.has_place)
        )

    def _begin(self, subscription: Subscription, now: float, taken: list[Delivery]) -> None:
        state = subscription.state
        if state is _ENDED:
            return
        route = subscription.routes[subscription.route]
        load = route.load
        if load.share is not None or load.in_flight >= load.most:
            if not self._find_place(subscription):
                return
            route = subscription.routes[subscription.route]
            load = route.load
        message = subscription.message
        is_retry = message is not None
        if message is None:
            service = subscription.service
            if state is _QUIET:
                message, subscription.cursor, subscription.merge_at = service.backlog.take(
                    subscription.cursor, subscription.merge_at, subscription.wanted
                )
                if message is None:
                    subscription.route = 0
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
        if load.share is not None:
            load.share.occupy()
            if load.in_flight >= load.most:
                self._unqueue(load)
            self._shares[delivery] = load.share, load.failures
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
        load = subscription.routes[subscription.route].load
        load.in_flight -= 1
        share, failures = self._shares.get(delivery, _NO_SHARE) if self._shares else _NO_SHARE
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
            until = began + self._limits.unproven_place_seconds
            if failed and not load.proven and now < until:
                self._occupied.set(delivery, until)
                self._due = min(self._due, until)
            else:
                self._vacate(delivery)
        self._queue_up(load)
        self._drop_unused(load, now)
        return True

    def _vacate(self, delivery: Delivery) -> None:
        self._shares.pop(delivery)[0].free()

    def _move(self, load: EndpointLoad, share: DeliveryShare[EndpointLoad] | None) -> None:
        """Put ``load`` into ``share``, or with None into no share, because the endpoint takes its
        events. Call :meth:`_queue_up` afterwards."""
        self._unqueue(load)
        if load.share is not None:
            load.share.leave()
        if share is None:
            load.share = None
            load.most = self._limits.connections_per_delivery_endpoint
        else:
            load.share = share.join(load.origin)
            load.most = 1 if load.failures else self._most_unproven

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
            self._move(load, self._failing)
        load.most = 1
        if load.in_flight:
            self._unqueue(load)
        load.remembered_until = now + limits.unproven_place_seconds
        if load.failures <= limits.failures_before_pause:
            return
        seconds = self._pause_seconds(load.failures, load.proven)
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
        if now < self._due:
            return
        if self._pauses:
            while (load := self._pauses.pop_due(now)) is not None:
                self._wake(load)
                self._drop_unused(load, now)
        if self._refused:
            while (subscription := self._refused.pop_due(now)) is not None:
                self._ready.append(subscription)
        if self._occupied:
            while (delivery := self._occupied.pop_due(now)) is not None:
                self._vacate(delivery)
        if self._unused:
            self._forget_unused(now)
        deadlines = (self._pauses, self._refused, self._occupied, self._unused)
        self._due = min(
            (when for each in deadlines if (when := each.next()) is not None), default=inf
        )

    def _forget_unused(self, now: float) -> None:
        while (load := self._unused.pop_due(now)) is not None:
            self._drop_unused(load, now)

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
        when = self._shortened.next()
        for deadline in self._in_flight.values():
            when = deadline if when is None else min(when, deadline)
            break
        if self._due == inf:
            return when
        for other in (
            self._pauses.next() if self._postponed else None,
            self._refused.next(),
            self._occupied.next() if self._unproven.waits else None,
        ):
            if other is not None and (when is None or other < when):
                when = other
        return when


def _is_host(load: EndpointLoad, peer: Endpoint) -> bool:
    """Whether the endpoint is on the host ``peer``."""
    return load.endpoint.host == canonical_host(peer.host)
