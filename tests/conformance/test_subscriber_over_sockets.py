"""Exchanges of a device with our subscriber over sockets, with each runtime.

All that are asked for are played side by side, since some of them wait for a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from subscriber_drivers import over_sockets
from subscriber_exchange import Exchange
from subscriber_exchanges import rows
from subscriber_fronts import AsyncioFronts, EventFronts, TwistedFronts
from twisted.web.server import Site as PlainSite

from propchange.twisted import Site

pytestmark = pytest.mark.slow  # many seconds in all; `make check` plays the tables in memory

Played = Callable[[Exchange], None]


@contextmanager
def playing(made: Any, side_by_side: int, test: str, session: pytest.Session) -> Iterator[Played]:
    """Plays the exchanges that ``test`` is asked for; gives what waits for the end of one."""
    exchanges = [
        item.callspec.params["exchange"]  # type: ignore[attr-defined] # of a parametrized test
        for item in session.items
        if getattr(item, "originalname", "") == test
    ]
    try:
        with ThreadPoolExecutor(side_by_side) as pool:
            played: dict[str, Future[None]] = {
                each.name: pool.submit(over_sockets, each, made) for each in exchanges
            }
            yield lambda exchange: played[exchange.name].result()
    finally:
        made.close()


@pytest.fixture(scope="module")
def on_asyncio(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_an_exchange_with_asyncio"
    with playing(AsyncioFronts(), 12, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_twisted(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_an_exchange_with_twisted"
    with playing(TwistedFronts(), 12, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_event(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_an_exchange_with_the_event_module"
    with playing(EventFronts(Site), 1, test, request.session) as played:
        yield played


@pytest.fixture(scope="module")
def on_a_plain_site(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_an_exchange_with_the_event_module_in_a_site_of_twisted"
    with playing(EventFronts(PlainSite), 1, test, request.session) as played:
        yield played


@pytest.mark.xdist_group("subscriber-asyncio")
@pytest.mark.parametrize("exchange", rows("asyncio"))
def test_an_exchange_with_asyncio(exchange: Exchange, on_asyncio: Played) -> None:
    on_asyncio(exchange)


@pytest.mark.xdist_group("subscriber-twisted")
@pytest.mark.parametrize("exchange", rows("twisted"))
def test_an_exchange_with_twisted(exchange: Exchange, on_twisted: Played) -> None:
    on_twisted(exchange)


@pytest.mark.xdist_group("subscriber-event")
@pytest.mark.parametrize("exchange", rows("event"))
def test_an_exchange_with_the_event_module(exchange: Exchange, on_event: Played) -> None:
    on_event(exchange)


@pytest.mark.xdist_group("subscriber-event")
@pytest.mark.parametrize("exchange", rows("plain site"))
def test_an_exchange_with_the_event_module_in_a_site_of_twisted(
    exchange: Exchange, on_a_plain_site: Played
) -> None:
    on_a_plain_site(exchange)
