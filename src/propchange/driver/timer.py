"""One timer of a runtime for many deadlines, and a clock that jumps noticed by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from propchange.core.limits import Limits

__all__ = ["Armed", "Later", "Timer", "expired", "first_deadline"]

T = TypeVar("T")

# A runtime's own timer may fire a little before its time by the clock.
_SHORTEST = 0.001


class Armed(Protocol):
    """A call that is still to come."""

    def cancel(self) -> object:
        """Do not call."""


Later = Callable[[float, Callable[[], None]], Armed]
"""How a runtime calls something after some seconds, more than 0, and never from inside."""


class Timer:
    """Calls ``callback(now)`` once ``now`` has reached the time that was set.

    Times are those of ``clock``. The runtime's own timer, ``later``, stands still while the machine
    is suspended, so it never waits longer than ``limits.timer_seconds`` at a time. Setting a later
    time costs nothing: what is armed is left alone, and armed again when it fires.

    ``jumped(seconds, now)`` is called when the runtime's timer is ``limits.jump_seconds`` late or
    more, by about ``seconds``: the machine was suspended, the process stopped, or something
    blocked the loop. It is called before ``callback``, and only while a time is set.
    """

    __slots__ = (
        "_armed",
        "_armed_for",
        "_callback",
        "_clock",
        "_jump",
        "_jumped",
        "_later",
        "_longest",
        "_stood_still",
        "_when",
    )

    def __init__(
        self,
        later: Later,
        limits: Limits,
        callback: Callable[[float], None],
        *,
        clock: Callable[[], float],
        jumped: Callable[[float, float], None] | None = None,
    ) -> None:
        self._later = later
        self._callback = callback
        self._jumped = jumped
        self._jump = limits.jump_seconds
        self._stood_still = 0.0
        self._longest = limits.timer_seconds
        self._clock = clock
        self._when: float | None = None
        self._armed: Armed | None = None
        self._armed_for = 0.0

    @property
    def when(self) -> float | None:
        """The time that is set, None when there is none."""
        return self._when

    def set(self, when: float | None) -> None:
        """Call at ``when`` instead of what was set before; None: not at all, and nothing is left
        with the runtime.

        A time that has passed already is called soon, never from here.
        """
        self._when = when
        if when is None:
            self.close()
        elif self._armed is None or when < self._armed_for:
            self._arm(when)

    def close(self) -> None:
        """Forget the time and leave nothing with the runtime."""
        self._when = None
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _arm(self, when: float) -> None:
        now = self._clock()
        if self._armed is not None:
            self._armed.cancel()
            # Something else has woken the runtime up first.
            self._notice(now)
        delay = min(max(when - now, _SHORTEST), self._longest)
        self._armed_for = now + delay
        self._armed = self._later(delay, self._fire)

    def _notice(self, now: float) -> None:
        self._stood_still = max(self._stood_still, now - self._armed_for)

    def _fire(self) -> None:
        self._armed = None
        now = self._clock()
        self._notice(now)
        seconds, self._stood_still = self._stood_still, 0.0
        if self._jumped is not None and seconds >= self._jump:
            self._jumped(seconds, now)
        when = self._when
        if when is None:
            return
        if when - now > _SHORTEST:
            # Not if ``jumped`` has set another time, which is armed already.
            if self._armed is None:
                self._arm(when)
            return
        self._when = None
        self._callback(max(now, when))


def expired(deadlines: Mapping[T, float], now: float) -> list[T]:
    """The keys whose deadline has come, of a mapping whose deadlines stand in rising order."""
    due = []
    for key, deadline in deadlines.items():
        if deadline > now:
            break
        due.append(key)
    return due


def first_deadline(*queues: Mapping[Any, float]) -> float | None:
    """The earliest deadline of mappings whose deadlines each stand in rising order."""
    return min((next(iter(queue.values())) for queue in queues if queue), default=None)
