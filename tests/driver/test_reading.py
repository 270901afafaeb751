"""Reading what belongs to a loop from another thread, on each runtime."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from propchange.driver.reading import read_in_loop
from propchange.errors import TimedOut


async def test_another_thread_reads_in_the_thread_of_the_loop(driven: Any) -> None:
    own, runtime = threading.get_ident(), driven.runtime

    def read() -> int:
        return read_in_loop(runtime, own, threading.get_ident)(10)

    assert await asyncio.to_thread(read) == own
    assert read() == own


async def test_a_reading_that_raises_does_so_where_it_is_waited_for(driven: Any) -> None:
    own, runtime = threading.get_ident(), driven.runtime

    def read() -> int:
        return read_in_loop(runtime, own, fail)(10)

    def fail() -> int:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await asyncio.to_thread(read)


async def test_a_loop_that_is_busy_is_waited_for_no_longer_than_said(driven: Any) -> None:
    own, runtime, reading = threading.get_ident(), driven.runtime, []

    def ask() -> None:
        reading.append(read_in_loop(runtime, own, lambda: 7))
        with pytest.raises(TimedOut, match="has not answered in time"):
            reading[0](0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)  # blocks the loop
    assert not thread.is_alive()
    assert await asyncio.to_thread(reading[0], 10) == 7
