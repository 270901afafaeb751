"""The endpoints of delivery URLs: how long they are remembered, and their places in the shares.

An endpoint is remembered while a subscription names it, while an attempt at it is in flight or a
pause lasts, and for some time after a failure. Else a subscriber that cancels and subscribes again
would have new caps and no pause.

An endpoint that has never taken an event (*unproven*), or that failed last (*failing*), may not
exist, and each attempt can occupy a connection for 30 s. Each of these two kinds has a share of the
connections (:mod:`.delivery_share`), in which the addresses of the subscribers take turns. The
endpoints that take their events are in no share and never wait behind the two kinds. When an
endpoint changes its share, its waiting subscriptions change too.

An attempt keeps its place in the share in which it began. If it fails sooner than after
``Limits.unproven_place_seconds``, and the endpoint has never taken an event, it occupies its place
until then. This bounds the connections per second to all such endpoints together.
"""

from __future__ import annotations

from math import inf

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.publisher.delivery_share import DeliveryShare, Origin
from propchange.core.publisher.records import EndpointLoad
from propchange.core.wire.messages import Delivery, Endpoint


class DeliveryEndpoints:
    """The loads of the endpoints, by endpoint, and the two shares.

    ``due`` is not later than the time at which :meth:`handle_deadline` has something to do. Call it
    then.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.most_unproven = min(
            limits.attempts_at_unproven_endpoint, limits.connections_per_delivery_endpoint
        )
        """Attempts at once at an endpoint that has never taken an event."""
        self.loads: dict[Endpoint, EndpointLoad] = {}
        self.unproven: DeliveryShare[EndpointLoad] = DeliveryShare(
            limits.unproven_delivery_connections,
            (limits.unproven_deliveries_per_prefix, limits.unproven_deliveries_per_address),
        )
        self.failing: DeliveryShare[EndpointLoad] = DeliveryShare(
            limits.failing_delivery_connections,
            (limits.failing_deliveries_per_prefix, limits.failing_deliveries_per_address),
        )
        self.due = inf
        # Endpoints that no subscription names any more, and whose failures are remembered.
        self.unused: Deadlines[EndpointLoad] = Deadlines()
        self.places: dict[Delivery, tuple[DeliveryShare[EndpointLoad], int]] = {}
        """The share in which each attempt occupies a place, and the failures of its endpoint when
        the attempt began."""
        # The attempts that have ended and still occupy their place.
        self.occupied: Deadlines[Delivery] = Deadlines()

    # --- loads ---

    def load(self, endpoint: Endpoint, origin: Origin, now: float) -> EndpointLoad:
        """The load of ``endpoint``. A new one is unproven, with ``origin``."""
        if self.unused:
            self._forget_unused(now)
        load = self.loads.get(endpoint)
        if load is None:
            load = self.loads[endpoint] = EndpointLoad(endpoint, origin)
            self.enter(load, self.unproven)
        return load

    def use(self, load: EndpointLoad) -> None:
        """Note that one more delivery URL leads to the endpoint of ``load``. Subtract 1 from its
        ``users`` and call :meth:`drop_unused` at the end."""
        if not load.users:
            self.unused.clear(load)
        load.users += 1

    def drop_unused(self, load: EndpointLoad, now: float) -> None:
        """Forget ``load`` if nothing needs it any more, or later."""
        if load.users or load.in_flight or load.paused:
            return
        if now < load.remembered_until:
            self.unused.set(load, load.remembered_until)
            self.due = min(self.due, load.remembered_until)
            return
        del self.loads[load.endpoint]
        if load.share is not None:
            load.share.leave()

    def pause_seconds(self, failures: int, took_event: bool) -> float:
        """The pause after so many ``failures`` in a row, more than ``failures_before_pause``."""
        limits = self._limits
        doublings = min(failures, limits.unproven_attempts) - limits.failures_before_pause - 1
        seconds = limits.pause_first_seconds * 2.0**doublings
        return min(seconds, limits.pause_most_seconds) if took_event else seconds

    # --- shares ---

    def enter(self, load: EndpointLoad, share: DeliveryShare[EndpointLoad] | None) -> None:
        """Put ``load``, which waits nowhere, into ``share``, or with None into no share, because
        the endpoint takes its events."""
        if load.share is not None:
            load.share.leave()
        if share is None:
            load.share = None
            load.most = self._limits.connections_per_delivery_endpoint
        else:
            load.share = share.join(load.origin)
            load.most = 1 if load.failures else self.most_unproven

    def occupy(self, load: EndpointLoad, share: DeliveryShare[EndpointLoad], of: Delivery) -> None:
        """Note that the attempt ``of`` begins at the endpoint of ``load``, in ``share``."""
        share.occupy()
        self.places[of] = share, load.failures

    def free(self, of: Delivery, *, began: float, failed: bool, now: float) -> None:
        """Free the place of the attempt ``of``, which has ended. ``failed``: it has failed at an
        endpoint that has never taken an event."""
        until = began + self._limits.unproven_place_seconds
        if failed and now < until:
            self.occupied.set(of, until)
            self.due = min(self.due, until)
        else:
            self._vacate(of)

    def _vacate(self, delivery: Delivery) -> None:
        self.places.pop(delivery)[0].free()

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """Free the occupied places and forget the unused endpoints whose time is over."""
        if self.occupied:
            while (delivery := self.occupied.pop_due(now)) is not None:
                self._vacate(delivery)
        if self.unused:
            self._forget_unused(now)
        deadlines = (self.occupied.next(), self.unused.next())
        self.due = min((when for when in deadlines if when is not None), default=inf)

    def _forget_unused(self, now: float) -> None:
        while (load := self.unused.pop_due(now)) is not None:
            self.drop_unused(load, now)

    def next_deadline(self) -> float | None:
        """When the next occupied place is free that an unproven endpoint waits for. None if there
        is none."""
        return self.occupied.next() if self.unproven.waits else None
