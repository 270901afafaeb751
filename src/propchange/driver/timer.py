"""One timer of a runtime for many deadlines. It notices when the clock jumps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, Protocol, TypeVar

from propchange.core.limits import Limits

T = TypeVar("T")

# A runtime's own timer may fire a little before its time by the clock.
_SHORTEST = 0.001


class Armed(Protocol):
    """A call that was scheduled."""

    def cancel(self) -> object:
        """Cancel the call."""


Later = Callable[[float, Callable[[], None]], Armed]
"""A runtime's function that calls another one after some seconds, above 0, not at once."""


class Timer:
    """Calls ``callback(now)`` once ``now``, by ``clock``, has reached the time that was set.

    The runtime's own timer, ``later``, stands still while the machine is suspended, so it never
    waits longer than ``limits.timer_seconds`` at a time. Setting a later time costs nothing: the
    runtime's timer is left alone until it fires.

    ``jumped(seconds, now)`` is called if the runtime's timer is at least ``limits.jump_seconds``
    late, by about ``seconds``: the machine was suspended, the process stopped, or something
    blocked the loop. It is called before ``callback``, and only while a time is set.
    """

    def __init__(
        self,
        later: Later,
        limits: Limits,
        callback: Callable[[float], None],
        *,
        clock: Callable[[], float],
        jumped: Callable[[float, float], None] | None = None,
    ) -> None:
        self.when: float | None = None
        """The time that is set; None: no time. Do not change it."""
        self._later = later
        self._limits = limits
        self._callback = callback
        self._clock = clock
        self._jumped = jumped
        self._late = 0.0
        self._armed: Armed | None = None
        self._armed_for = 0.0

    def set(self, when: float | None) -> None:
        """Call at ``when``, and not at the time that was set before. None: do not call, and leave
        nothing with the runtime. Never calls within this call, even if the time has passed."""
        self.when = when
        if when is None:
            self.close()
        elif self._armed is None or when < self._armed_for:
            self._arm(when)

    def close(self) -> None:
        """Forget the time and leave nothing with the runtime."""
        self.when = None
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _arm(self, when: float) -> None:
        now = self._clock()
        if self._armed is not None:
            self._armed.cancel()
            # It may be overdue already. Keep by how much: cancelling it forgets that.
            self._late = max(self._late, now - self._armed_for)
        delay = min(max(when - now, _SHORTEST), self._limits.timer_seconds)
        self._armed_for = now + delay
        self._armed = self._later(delay, self._fire)

    def _fire(self) -> None:
        self._armed = None
        now = self._clock()
        seconds, self._late = max(self._late, now - self._armed_for), 0.0
        if self._jumped is not None and seconds >= self._limits.jump_seconds:
            self._jumped(seconds, now)
        when = self.when
        if when is None:
            return
        if when - now <= _SHORTEST:
            self.when = None
            self._callback(max(now, when))
        elif self._armed is None:  # ``jumped`` may have set another time, which is armed already
            self._arm(when)


def expired(deadlines: Mapping[T, float], now: float) -> list[T]:
    """The keys whose deadline has come, of a mapping with its deadlines in rising order."""
    return [key for key, _ in takewhile(lambda item: item[1] <= now, deadlines.items())]


def first_deadline(*queues: Mapping[Any, float]) -> float | None:
    """The earliest deadline of mappings that each have their deadlines in rising order."""
    return min((next(iter(queue.values())) for queue in queues if queue), default=None)
