"""Begins deliveries in slices: a bounded number, in a bounded time, in each turn of the loop.

A change can concern every subscription, and a delivery may merge thousands of changes. Between two
slices the loop does everything else: it answers requests and receives events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from propchange.core.limits import Limits
from propchange.core.wire.messages import Delivery
from propchange.driver.runtime import Runtime

TAKEN_AT_ONCE = 16
"""Deliveries that are taken between two readings of the clock. Each takes some 10 µs. A delivery
that merges thousands of changes takes 8 ms, so no other one is taken after it at once."""


class DeliveryTurns:
    """Begins the deliveries of one publisher.

    ``take`` is called with a number, and returns at most that many deliveries. It returns fewer if
    there are no more, or if the last one has a merged message. ``begin`` is called with these
    deliveries. If the slice of this turn of the loop is used up, ``go_on`` is called in the next
    turn, and must call :meth:`begin_some` again. ``Limits.delivery_connections``
    deliveries may be in flight: subtract 1 from :attr:`in_flight` when a delivery has ended."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        *,
        take: Callable[[int], Sequence[Delivery]],
        begin: Callable[[Sequence[Delivery]], object],
        go_on: Callable[[], object],
    ) -> None:
        self.in_flight = 0
        """Deliveries that were taken and have not ended."""
        self._runtime = runtime
        self._now = runtime.now
        self._take = take
        self._begin = begin
        self._go_on = go_on
        self._most = limits.delivery_connections
        self._per_turn = limits.deliveries_per_turn
        self._seconds = limits.turn_seconds
        # Deliveries of the present slice, and the seconds that they took. A slice that is not used
        # up goes on in later turns.
        self._begun = 0
        self._spent = 0.0
        self._queued = False

    def begin_some(self) -> None:
        """Begin deliveries until there are no more, or until the slice is used up. ``begin`` may
        call it too."""
        before = self._now()
        while self._spent < self._seconds:
            room = min(self._most - self.in_flight, self._per_turn - self._begun, TAKEN_AT_ONCE)
            if room <= 0:
                break
            deliveries = self._take(room)
            count = len(deliveries)
            self.in_flight += count
            self._begun += count
            self._begin(deliveries)
            now = self._now()
            self._spent += now - before
            before = now
            if count < room and not (count and deliveries[-1].message.updates > 1):
                break
        if not self._queued and (self._begun >= self._per_turn or self._spent >= self._seconds):
            self._queued = True
            self._runtime.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._queued = False
        self._begun = 0
        self._spent = 0.0
        self._go_on()
