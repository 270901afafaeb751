"""Reads what belongs to a loop from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from propchange.driver.runtime import Runtime
from propchange.errors import TimedOut

T = TypeVar("T")

Reading = Callable[[float], T]
"""Waits for a number of seconds at most, and returns what was read. Raises TimedOut if the loop has
not answered by then, and what the reading has raised."""


def read_in_loop(runtime: Runtime, thread: int, read: Callable[[], T]) -> Reading[T]:
    """Have ``read`` called in the thread of the loop of ``runtime``, whose ident is ``thread``. In
    that thread, and after the end of the loop, it is called at once: nothing changes meanwhile."""
    if threading.get_ident() == thread:
        return _known(read())
    # A call that comes too late puts its result there, and nobody takes it.
    results: SimpleQueue[Callable[[], T]] = SimpleQueue()

    def call() -> None:
        try:
            result = read()
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            results.put(_raising(error))
        else:
            results.put(lambda: result)

    def wait(seconds: float) -> T:
        try:
            result = results.get(timeout=max(seconds, 0.0))
        except Empty:
            raise TimedOut(
                "the loop has not answered in time: it does not run, or a function of the program "
                "blocks it"
            ) from None
        return result()

    try:
        runtime.call_from_thread(call)
    except RuntimeError:
        return _known(read())  # the loop is closed
    return wait


def _known(result: T) -> Reading[T]:
    return lambda _: result


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail
