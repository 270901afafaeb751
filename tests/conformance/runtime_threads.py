"""The runtimes that rows are played against over sockets, each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.threads import blockingCallFromThread

T = TypeVar("T")

SECONDS = 30.0
"""Seconds until a test gives up."""


class LoopThread:
    """An asyncio loop. ``enter`` is called in its thread first."""

    def __init__(
        self,
        factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
        *,
        enter: Callable[[], object] = lambda: None,
    ) -> None:
        self.loop = factory()
        self._errors: list[Mapping[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self._errors.append(context))
        self._thread = threading.Thread(
            target=lambda: (enter(), self.loop.run_forever()), daemon=True
        )
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        self.loop.close()
        assert self._errors == []


class ReactorThread:
    """A reactor of Twisted, not the process's own. ``enter`` is called in its thread first."""

    def __init__(self, *, enter: Callable[[], object] = lambda: None) -> None:
        self.reactor: Any = EPollReactor()
        self._thread = threading.Thread(
            target=lambda: (enter(), self.reactor.run(False)), daemon=True
        )
        self._thread.start()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that the reactor calls, or that of its Deferred."""
        return blockingCallFromThread(self.reactor, function, *arguments)

    def close(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(SECONDS)
