"""The publisher's table through ``hosted.receive()``, on both runtimes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exchange import one_feed, played_on
from publisher_messages import PublisherRow
from publisher_passed import PassedStage, PassedTwistedStage
from publisher_player import Player
from publisher_table import ROWS
from runtime_threads import LoopThread, ReactorThread

FRAMED = frozenset(
    {
        '"chunked" in quotes is malformed, and answered 400',
        "Content-Length beside chunks is malformed, and answered 400",
        "HTTP/0.9 is not compatible",
        "HTTP/2.0 is not compatible",
        "HTTP/3.1 is not compatible",
        "a Content-Length below zero is malformed, and answered 400",
        "a Content-Length that is no number is malformed, and answered 400",
        "a Content-Length with a sign is malformed, and answered 400",
        "a NUL in CALLBACK is answered 400",
        "a NUL in a header value is answered 400",
        "a bare carriage return in a header value is answered 400",
        "a blank before the colon is answered 400",
        "a body beyond the cap is answered 413",  # a length of thirty digits
        "a chunk longer than its size is malformed, and answered 400",
        "a chunk of a negative size is malformed, and answered 400",
        "a chunk without a size is malformed, and answered 400",
        "a folded header line is answered 400",
        "a header line without a colon is answered 400",
        "a header line without a name is answered 400",
        "a request line of four words is answered 400",
        "a request line of one word is answered 400",
        "a request line of two words is answered 400",
        "a request target on another server is answered 400",
        "a request that does not come whole in time is answered 408",
        "a request that its sender ends half-way is answered 400",
        "a transfer coding that nobody knows is answered 501",
        "a version that is none is answered 400",
        "another protocol is answered 400",
        "bare line feeds is answered 400",
        "junk is answered 400",
        "one that asks before it sends a body beyond the cap gets no 100",
        "refusals have the version of their request, and end what it ends",
        "requests before the junk are answered first",
        "two Content-Lengths is malformed, and answered 400",
    }
)
"""The rows with a request that is no HTTP, or does not come whole: the web server answers it."""

PASSED = [row for row in ROWS if row.name not in FRAMED]


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def reactor() -> Iterator[ReactorThread]:
    thread = ReactorThread()
    yield thread
    thread.close()


@pytest.mark.slow  # many seconds in all
@played_on(PASSED, "asyncio", one_feed)
def test_a_device_behind_a_web_server_keeps_the_clauses(
    row: PublisherRow, feed: str, thread: LoopThread
) -> None:
    stage = PassedStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@pytest.mark.slow
@played_on(PASSED, "asyncio", one_feed)
def test_a_device_on_twisted_behind_a_web_server_keeps_the_clauses(
    row: PublisherRow, feed: str, reactor: ReactorThread
) -> None:
    stage = PassedTwistedStage(row, reactor)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


def test_each_row_that_the_web_server_decides_is_in_the_table() -> None:
    assert not FRAMED - {row.name for row in ROWS}
