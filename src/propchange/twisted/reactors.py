"""What is asked of a reactor, and its timer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from propchange.driver.timer import Armed, Later
from propchange.twisted.runtime import Reactor, clock_of, default_reactor

__all__ = ["Reactor", "all_of", "clock_of", "default_reactor", "later_of", "result_of"]


T = TypeVar("T")


def all_of(ends: Iterable[Deferred[Any]]) -> Deferred[None]:
    """Fires once all of ``ends`` have, however."""
    return DeferredList(tuple(ends), consumeErrors=True).addCallback(lambda _: None)


def result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """What ``coroutine``, which never waits, returns. Raises what it raises."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    found: T = result
    return found


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
