"""Exchanges of a device with our subscriber, through ``http`` and ``core`` together."""

from __future__ import annotations

from collections import Counter

import pytest
from subscriber_drivers import WAYS, play_in_memory
from subscriber_exchange import Exchange
from subscriber_exchanges import EXCHANGES, rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("exchange", rows("memory"))
def test_an_exchange_in_memory(exchange: Exchange, way: str) -> None:
    play_in_memory(exchange, way)


def test_no_two_exchanges_have_one_name() -> None:
    assert [name for name, times in Counter(e.name for e in EXCHANGES).items() if times > 1] == []


def test_every_exchange_is_played_on_several_fronts_or_says_why_not() -> None:
    fronts = {"memory", "asyncio", "twisted", "event", "plain site"}
    for exchange in EXCHANGES:
        assert exchange.but.keys() < fronts, exchange.name
        assert all(len(reason) > 10 for reason in exchange.but.values()), exchange.name
