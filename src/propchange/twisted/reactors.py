"""What is asked of a reactor, and its timer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from propchange.driver.timer import Armed, Later
from propchange.twisted.runtime import Reactor, clock_of, default_reactor

__all__ = ["Reactor", "all_of", "clock_of", "default_reactor", "later_of"]


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

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        # Somebody may have cleaned the reactor up behind our back, as trial does.
        if self._call.active():
            self._call.cancel()
