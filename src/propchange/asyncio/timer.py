"""One timer for many deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from propchange.asyncio.clock import monotonic
from propchange.core.limits import Limits

__all__ = ["Timer", "expired", "first_deadline"]

T = TypeVar("T")

# An event loop's timer may fire a little before its time by the runtime's clock.
_SHORTEST = 0.001


class Timer:
    """Calls ``callback(now)`` once ``now`` has reached the time that was set.

    Times are those of ``clock``. The loop's own timer stands still while the machine is
    suspended, so it never waits longer than ``limits.timer_seconds`` at a time. Setting a later
    time costs nothing: the loop's timer is left alone, and armed again when it fires.

    ``jumped(seconds, now)`` is called when the loop's timer is ``limits.jump_seconds`` late or
    more, by about ``seconds``: the machine was suspended, the process stopped, or something
    blocked the loop. It is called before ``callback``, and only while a time is set.
    """

    __slots__ = (
        "_armed_for",
        "_callback",
        "_clock",
        "_handle",
        "_jump",
        "_jumped",
        "_longest",
        "_loop",
        "_stood_still",
        "_when",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        callback: Callable[[float], None],
        *,
        clock: Callable[[], float] = monotonic,
        jumped: Callable[[float, float], None] | None = None,
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._jumped = jumped
        self._jump = limits.jump_seconds
        self._stood_still = 0.0
        self._longest = limits.timer_seconds
        self._clock = clock
        self._when: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0.0

    @property
    def when(self) -> float | None:
        """The time that is set, None when there is none."""
        return self._when

    def set(self, when: float | None) -> None:
        """Call at ``when`` instead of what was set before; None: not at all.

        A time that has passed already is called at the next turn of the loop, never from here.
        """
        self._when = when
        if when is None or (self._handle is not None and self._armed_for <= when):
            return
        self._arm(when)

    def close(self) -> None:
        """Forget the time and let go of the loop."""
        self._when = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, when: float) -> None:
        now = self._clock()
        if self._handle is not None:
            self._handle.cancel()
            # Something else has woken the loop up first.
            self._notice(now)
        delay = min(max(when - now, _SHORTEST), self._longest)
        self._armed_for = now + delay
        self._handle = self._loop.call_later(delay, self._fire)

    def _notice(self, now: float) -> None:
        self._stood_still = max(self._stood_still, now - self._armed_for)

    def _fire(self) -> None:
        self._handle = None
        if self._when is None:
            return
        now = self._clock()
        self._notice(now)
        seconds, self._stood_still = self._stood_still, 0.0
        if self._jumped is not None and seconds >= self._jump:
            self._jumped(seconds, now)
        when = self._when
        if when is None:
            return
        if now < when:
            # Not if ``jumped`` has set another time, which is armed already.
            if self._handle is None:
                self._arm(when)
            return
        self._when = None
        self._callback(now)


def expired(deadlines: Mapping[T, float], now: float) -> list[T]:
    """The keys whose deadline has come, of a mapping whose deadlines stand in rising order."""
    due = []
    for key, deadline in deadlines.items():
        if deadline > now:
            break
        due.append(key)
    return due


def first_deadline(*queues: Mapping[T, float]) -> float | None:
    """The earliest deadline of mappings whose deadlines each stand in rising order."""
    return min((next(iter(queue.values())) for queue in queues if queue), default=None)
