"""The tables against ``propchange.asgi`` on uvicorn, over loopback, with each parser of uvicorn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exchange import one_feed, played_on
from fronts_on_uvicorn import UvicornFronts, UvicornStage
from publisher_messages import PublisherRow
from publisher_player import Player
from publisher_table import ROWS as PUBLISHER_ROWS
from rows_of_uvicorn import BOTH, BY_PARSER, on_uvicorn
from runtime_threads import LoopThread
from subscriber_messages import SubscriberRow
from subscriber_table import ROWS as SUBSCRIBER_ROWS
from test_subscriber_over_sockets import Played, playing, whole

PARSERS = ("httptools", "h11")


@pytest.mark.parametrize("parser", PARSERS)
def test_each_row_that_uvicorn_decides_is_in_a_table(parser: str) -> None:
    names = {row.name for row in (*PUBLISHER_ROWS, *SUBSCRIBER_ROWS)}
    assert not {*BOTH, *BY_PARSER[parser]} - names


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.mark.slow  # many seconds in all; tests/asgi plays in memory
@played_on(on_uvicorn(PUBLISHER_ROWS, "httptools"), "httptools", one_feed)
def test_a_device_on_uvicorn_with_httptools(
    row: PublisherRow, feed: str, thread: LoopThread
) -> None:
    play_device("httptools", row, feed, thread)


@pytest.mark.slow
@played_on(on_uvicorn(PUBLISHER_ROWS, "h11"), "h11", one_feed)
def test_a_device_on_uvicorn_with_h11(row: PublisherRow, feed: str, thread: LoopThread) -> None:
    play_device("h11", row, feed, thread)


def play_device(parser: str, row: PublisherRow, feed: str, thread: LoopThread) -> None:
    stage = UvicornStage(parser, row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@pytest.fixture(scope="module")
def on_httptools(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_control_point_on_uvicorn_with_httptools"
    with playing(UvicornFronts("httptools"), 12, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_h11(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_control_point_on_uvicorn_with_h11"
    with playing(UvicornFronts("h11"), 12, test, request.session) as played:
        yield played


@pytest.mark.slow
@pytest.mark.xdist_group("subscriber-httptools")
@played_on(on_uvicorn(SUBSCRIBER_ROWS, "httptools"), "httptools", whole)
def test_a_control_point_on_uvicorn_with_httptools(
    row: SubscriberRow, feed: str, on_httptools: Played
) -> None:
    on_httptools(row)


@pytest.mark.slow
@pytest.mark.xdist_group("subscriber-h11")
@played_on(on_uvicorn(SUBSCRIBER_ROWS, "h11"), "h11", whole)
def test_a_control_point_on_uvicorn_with_h11(row: SubscriberRow, feed: str, on_h11: Played) -> None:
    on_h11(row)
