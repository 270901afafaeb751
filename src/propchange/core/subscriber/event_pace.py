"""The minimum interval between the events of one subscription, for a program that wants fewer.

UDA moderates events at the publisher, for all subscribers alike (``maximumRate``, see
:mod:`propchange.core.publisher.moderation`). This is the same rule at the subscriber, for one
subscription: ``minimum_interval`` is the shortest time in seconds between two of its events.

- The first event after a quiet interval leaves at once. An event within the interval is held. It
  leaves at the end of the interval, merged with those that come meanwhile (:class:`.MergedEvent`).
  So intermediate values are lost, the final value never.
- The initial event of a fresh subscription waits as any other event does. It has the full state,
  so it replaces what is held. Events of polled values wait and merge too.
- A status change never waits. What is held leaves before it, so the order stays. This does not move
  the end of the interval. The last status is CLOSED, so nothing is lost at the end.
- Only the program waits. The device gets its answer at once, SEQ is judged at once, and the values
  of the subscription are current at once, as they are while events wait in an :class:`.EventQueue`.

What is held for one subscription is one event of ``Limits.waiting_event_characters`` characters at
most.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from propchange.core.limits import Limits
from propchange.core.subscriber.event_queue import MergedEvent
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.timing import TimerKind, Timers


def check_minimum_interval(seconds: float | None) -> float | None:
    """The ``minimum_interval`` of a subscription; None for 0, which leaves events as they are.
    Raises TypeError for no number, ValueError for a negative or endless one and for NaN."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"minimum_interval is a number of seconds or None, not {seconds!r}")
    try:
        interval = float(seconds)
    except OverflowError:
        interval = float("inf")
    if not isfinite(interval) or interval < 0:
        raise ValueError(f"minimum_interval is a number of seconds, 0 or more, not {seconds!r}")
    return interval or None


class EventPace:
    """Holds the events of the subscriptions that have a ``minimum_interval``. ``emit`` takes each
    event that leaves. ``timers`` has the end of the interval while an event is held: the protocol
    calls :meth:`leave` then."""

    def __init__(self, emit: Callable[[Event], None], timers: Timers, limits: Limits) -> None:
        self._emit = emit
        self._timers = timers
        self._most = limits.waiting_event_characters
        # Subscription -> the end of its interval. Those without a minimum interval are in neither.
        self._free_at: dict[SubscriptionRecord, float] = {}
        self._held: dict[SubscriptionRecord, Event | MergedEvent] = {}

    def give(self, event: Event, now: float) -> None:
        """Emit ``event`` now or at the end of the interval of its subscription, which has one."""
        record: Any = event.subscription
        held = self._held.get(record)
        free_at = self._free_at.get(record, now)
        if held is None and free_at <= now:
            self._free_at[record] = now + record.minimum_interval
            self._emit(event)
        elif held is None:
            self._held[record] = event
            self._timers.set((record, TimerKind.EVENT), free_at)
        else:
            merged = MergedEvent(held, record) if isinstance(held, Event) else held
            merged.add(event, self._most)
            record.merged += 1
            self._held[record] = merged
            if free_at <= now:  # the deadline is late
                self.leave(record, now)

    def leave(self, record: SubscriptionRecord, now: float) -> None:
        """Emit what is held for ``record`` at the end of its interval. The next one begins."""
        assert record.minimum_interval is not None
        self.release(record)
        self._free_at[record] = now + record.minimum_interval

    def release(self, record: SubscriptionRecord) -> None:
        """Emit what is held for ``record``, if anything is: a status change follows."""
        held = self._held.pop(record, None)
        if held is not None:
            self._timers.clear((record, TimerKind.EVENT))
            self._emit(held if isinstance(held, Event) else held.event())

    def forget(self, record: SubscriptionRecord) -> None:
        """Note that ``record`` is closed, and that what was held for it has left."""
        self._free_at.pop(record, None)
