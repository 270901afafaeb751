"""What is asked of a reactor, its clock, and one timer for many deadlines."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, DeferredList

from propchange.core.limits import Limits

__all__ = ["DelayedCall", "Reactor", "Timer", "all_of", "clock_of", "default_reactor"]


class DelayedCall(Protocol):
    """What ``callLater`` returns."""

    def cancel(self) -> None:
        """Do not call."""

    def active(self) -> int | bool:
        """Whether it is still to be called."""


class Reactor(Protocol):
    """The part of ``IReactorTime`` and ``IReactorTCP`` that is used: any reactor of Twisted has
    it, and ``MemoryReactorClock`` for tests."""

    def seconds(self) -> float:
        """The reactor's time."""

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> Any:
        """Call after ``delay`` seconds."""

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        """Connect."""


def default_reactor() -> Reactor:
    """The reactor of this process. Not imported before it is needed, so that a program may
    install the one it wants."""
    from twisted.internet import reactor

    return cast(Reactor, reactor)


def clock_of(reactor: Reactor) -> Callable[[], float]:
    """The clock of durations: one that counts while the machine sleeps, where there is one, for
    a reactor that runs; the reactor's own for a ``Clock`` that a test moves."""
    if isinstance(reactor, ReactorBase) and hasattr(time, "CLOCK_BOOTTIME"):
        return functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return reactor.seconds


def all_of(ends: Iterable[Deferred[Any]]) -> Deferred[None]:
    """Fires once all of ``ends`` have, however."""
    return DeferredList(tuple(ends), consumeErrors=True).addCallback(lambda _: None)


class Timer:
    """Calls ``callback(now)`` once ``now`` has reached the time that was set, by ``clock``.

    A reactor's delayed call stands still while the machine is suspended, so it never waits longer
    than ``limits.timer_seconds``. Setting a later time costs nothing.

    ``jumped(seconds, now)`` is called before ``callback`` when the delayed call is
    ``limits.jump_seconds`` late or more, by about ``seconds``: the machine was suspended, the
    process stopped, or something blocked the reactor.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: Limits,
        callback: Callable[[float], None],
        *,
        clock: Callable[[], float] | None = None,
        jumped: Callable[[float, float], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._jumped = jumped
        self._jump = limits.jump_seconds
        self._stood_still = 0.0
        self._longest = limits.timer_seconds
        self._callback = callback
        self._clock = clock or clock_of(reactor)
        self._when: float | None = None
        self._armed_for = 0.0
        self._call: DelayedCall | None = None

    def set(self, when: float | None) -> None:
        """Call at ``when`` instead of what was set before; None: not at all."""
        self._when = when
        if when is None:
            self.close()
        elif self._call is None or when < self._armed_for:
            self._arm(when)

    def close(self) -> None:
        """Forget the time and leave nothing with the reactor."""
        self._when = None
        self._disarm()

    def _disarm(self) -> None:
        call, self._call = self._call, None
        # Somebody may have cleaned the reactor up behind our back, as trial does.
        if call is not None and call.active():
            call.cancel()

    def _arm(self, when: float) -> None:
        now = self._clock()
        if self._call is not None:
            # Something else has woken the reactor up first.
            self._notice(now)
        self._disarm()
        delay = min(max(when - now, 0.0), self._longest)
        self._armed_for = now + delay
        self._call = self._reactor.callLater(delay, self._fire)

    def _notice(self, now: float) -> None:
        self._stood_still = max(self._stood_still, now - self._armed_for)

    def _fire(self) -> None:
        self._call = None
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
        # A delayed call may come a little before its time by this clock.
        if now < when and when - now > 0.001:
            # Not if ``jumped`` has set another time, which is armed already.
            if self._call is None:
                self._arm(when)
            return
        self._when = None
        self._callback(max(now, when))
