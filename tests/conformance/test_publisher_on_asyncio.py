"""The publisher's table against ``propchange.host``, over loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import uvloop
from exchange import one_feed, played_on
from publisher_messages import PublisherRow
from publisher_over_sockets import AsyncioStage
from publisher_player import Player
from publisher_table import ROWS, feeds
from runtime_threads import LoopThread

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


@played_on(ROWS, "asyncio", feeds)
def test_a_hosted_device_keeps_the_clauses(
    row: PublisherRow, feed: str, thread: LoopThread
) -> None:
    stage = AsyncioStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@played_on(ROWS, "asyncio", one_feed)
def test_a_hosted_device_on_uvloop_keeps_the_clauses(
    row: PublisherRow, feed: str, uvloop_thread: LoopThread
) -> None:
    test_a_hosted_device_keeps_the_clauses(row, feed, uvloop_thread)
