"""The subscriber's table against each control point, over loopback.

All rows that are asked for are played side by side, since some of them wait for a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from exchange import Row, played_on
from subscriber_messages import SubscriberRow
from subscriber_over_sockets import AsyncioFronts, Begin, EventFronts, SocketStage, TwistedFronts
from subscriber_player import Player
from subscriber_table import ROWS
from twisted.web.server import Site as PlainSite

from propchange.twisted import Site

pytestmark = pytest.mark.slow  # many seconds in all; `make check` plays the tables in memory

Played = Callable[[SubscriberRow], None]


def whole(number: int, row: Row) -> tuple[str, ...]:
    """How bytes are cut into pieces is tested in memory."""
    return ("whole",)


def play(row: SubscriberRow, begin: Begin) -> None:
    stage = SocketStage(row, begin)
    try:
        Player(row, stage, "whole").play()
    finally:
        stage.shut()


@contextmanager
def playing(made: Any, side_by_side: int, test: str, session: pytest.Session) -> Iterator[Played]:
    """Plays the rows that ``test`` is asked for; gives what waits for the end of one."""
    rows = [
        item.callspec.params["row"]  # type: ignore[attr-defined] # of a parametrized test
        for item in session.items
        if getattr(item, "originalname", "") == test
    ]
    try:
        with ThreadPoolExecutor(side_by_side) as pool:
            played: dict[str, Future[None]] = {
                each.name: pool.submit(play, each, made) for each in rows
            }
            yield lambda row: played[row.name].result()
    finally:
        made.close()


@pytest.fixture(scope="module")
def on_asyncio(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_row_with_asyncio"
    with playing(AsyncioFronts(), 12, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_twisted(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_row_with_twisted"
    with playing(TwistedFronts(), 12, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_event(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_row_with_the_event_module"
    with playing(EventFronts(Site), 1, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_a_plain_site(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_row_with_the_event_module_in_a_site_of_twisted"
    with playing(EventFronts(PlainSite), 1, test, request.session) as played:
        yield played


@pytest.mark.xdist_group("subscriber-asyncio")
@played_on(ROWS, "asyncio", whole)
def test_a_row_with_asyncio(row: SubscriberRow, feed: str, on_asyncio: Played) -> None:
    on_asyncio(row)


@pytest.mark.xdist_group("subscriber-twisted")
@played_on(ROWS, "twisted", whole)
def test_a_row_with_twisted(row: SubscriberRow, feed: str, on_twisted: Played) -> None:
    on_twisted(row)


@pytest.mark.xdist_group("subscriber-event")
@played_on(ROWS, "event", whole)
def test_a_row_with_the_event_module(row: SubscriberRow, feed: str, on_event: Played) -> None:
    on_event(row)


@pytest.mark.xdist_group("subscriber-event")
@played_on(ROWS, "plain site", whole)
def test_a_row_with_the_event_module_in_a_site_of_twisted(
    row: SubscriberRow, feed: str, on_a_plain_site: Played
) -> None:
    on_a_plain_site(row)
