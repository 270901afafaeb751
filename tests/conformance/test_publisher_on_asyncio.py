"""The publisher's table against ``propchange.host``, over loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import uvloop
from publisher_exchanges import Row, played_on
from publisher_player import Player
from publisher_sockets import AsyncioStage, LoopThread
from publisher_table import HTTP, ROWS

pytestmark = pytest.mark.slow  # many seconds in all; `make check` plays the tables in memory


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def uvloop_thread() -> Iterator[LoopThread]:
    thread = LoopThread(uvloop.new_event_loop)
    yield thread
    thread.close()


@pytest.mark.parametrize(("row", "feed"), played_on(ROWS, "asyncio", thoroughly=HTTP))
def test_a_hosted_device_keeps_the_clauses(row: Row, feed: str, thread: LoopThread) -> None:
    stage = AsyncioStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@pytest.mark.parametrize(("row", "feed"), played_on(ROWS, "asyncio", thoroughly=()))
def test_and_on_uvloop(row: Row, feed: str, uvloop_thread: LoopThread) -> None:
    test_a_hosted_device_keeps_the_clauses(row, feed, uvloop_thread)
