"""The items of a subscription or a stream, one by one, for any number of threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from queue import Empty
from typing import Any, Generic, Self, TypeVar

from propchange.blocking.loop_thread import Closed, LoopThread

T = TypeVar("T")


class Items:
    """The items of ``source``, a subscription or a stream on asyncio, for any number of threads:
    each item goes to one of them. ``source`` has the only queue."""

    def __init__(self, thread: LoopThread, source: Any) -> None:
        self._thread = thread
        self._source = source
        self._turn = asyncio.Lock()
        # The item, one at most, of a thread whose wait was ended by a signal.
        self._unread: deque[Any] = deque()

    def get(self, kind: Any, seconds: float | None = None) -> Any:
        """The next item of ``kind``; others are dropped. Raises Empty after ``seconds``, and Closed
        at the end."""
        try:
            return self._thread.take(partial(self._take, kind, seconds), self._unread.append)
        except Closed:
            if not self._thread.ended:
                raise
        while (item := self._waiting()) is not None:
            if isinstance(item, kind):
                return item
        raise Closed("it was closed, and all its events were taken")

    async def _take(self, kind: Any, seconds: float | None) -> Any:
        try:
            async with asyncio.timeout(seconds), self._turn:
                while not isinstance(item := self._waiting() or await self._source._next(), kind):
                    pass
        except TimeoutError:
            raise Empty from None
        except StopAsyncIteration:
            raise Closed("it was closed, and all its events were taken") from None
        return item

    def _waiting(self) -> Any:
        return self._unread.popleft() if self._unread else self._source._queue.get()


class Iterated(Generic[T]):
    """What ``for`` and ``with`` do with a stream of items: ``for`` takes one after another by
    ``get``, until the stream is closed; ``with`` closes it at the end."""

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Remove and return the next item."""
        raise NotImplementedError

    def get_nowait(self) -> T:
        """``get(block=False)``."""
        return self.get(block=False)

    def close(self) -> None:
        """End the stream."""
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        with contextlib.suppress(Closed):
            return self.get()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def seconds_of(block: bool, timeout: float | None) -> float | None:
    """The time of a ``get``, by the arguments of a queue.Queue."""
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout if block else 0.0
