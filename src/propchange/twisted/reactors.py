"""What is asked of a reactor, its clock and its timer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, DeferredList

from propchange.driver.timer import Armed, Later

__all__ = ["DelayedCall", "Reactor", "all_of", "clock_of", "default_reactor", "later_of"]


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
    if isinstance(reactor, ReactorBase):
        # The first is Linux's; on macOS the second counts through sleep.
        for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
            if hasattr(time, name):
                return functools.partial(time.clock_gettime, getattr(time, name))
    return reactor.seconds


def all_of(ends: Iterable[Deferred[Any]]) -> Deferred[None]:
    """Fires once all of ``ends`` have, however."""
    return DeferredList(tuple(ends), consumeErrors=True).addCallback(lambda _: None)


def later_of(reactor: Reactor) -> Later:
    """How ``reactor`` calls something later, for a :class:`~propchange.driver.timer.Timer`."""

    def later(delay: float, call: Callable[[], None]) -> Armed:
        return _Armed(reactor.callLater(delay, call))

    return later


class _Armed:
    __slots__ = ("_call",)

    def __init__(self, call: DelayedCall) -> None:
        self._call = call

    def cancel(self) -> None:
        # Somebody may have cleaned the reactor up behind our back, as trial does.
        if self._call.active():
            self._call.cancel()
