"""Many subscribers of one device, each with an endpoint of its own, over sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from lab.subscribers import Subscribers, subscribed
from propchange.core.limits import DEFAULT_LIMITS
from tests.driver.conftest import driven, pytest_generate_tests
from tests.hostile.publishers import published
from tests.wire import Until

__all__ = ["driven", "pytest_generate_tests"]


async def test_five_hundred_subscribers_keep_their_connections(driven: Any, until: Until) -> None:
    async with (
        published(driven) as publisher,
        subscribed(["good"] * 500, publisher.port, publisher.path) as subscribers,
    ):
        await until(lambda: all(each.received for each in subscribers.all))
        for number in range(1, 4):
            publisher.service.mark = f"{number}"
            await until(lambda text=f"{number}": all(e.text == text for e in subscribers.all))
        assert [each.seq for each in subscribers.all] == [3] * 500
        assert sum(each.gaps for each in subscribers.all) == 0
        assert sum(each.opened for each in subscribers.all) == 500


async def test_a_change_for_many_subscriptions_is_sent_in_slices(
    driven: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice is a turn of the loop, so that requests are answered in between."""
    async with (
        published(driven) as publisher,
        subscribed(["good"] * 600, publisher.port, publisher.path, per_address=50) as subscribers,
    ):
        await until(lambda: all(each.received for each in subscribers.all))
        taken: list[int] = []
        take = publisher.protocol.take_deliveries

        def count(limit: int, **options: Any) -> Any:
            deliveries = take(limit, **options)
            taken.append(len(deliveries))
            return deliveries

        monkeypatch.setattr(publisher.protocol, "take_deliveries", count)
        publisher.service.mark = "1"
        await until(lambda: all(each.text == "1" for each in subscribers.all))
        assert sum(taken) == 600
        assert max(taken) <= DEFAULT_LIMITS.deliveries_per_turn
        assert sum(each.gaps for each in subscribers.all) == 0


async def test_deliveries_that_take_long_to_merge_are_begun_a_few_in_each_turn(
    driven: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn of the loop is over when its time is, however many subscribers are ready."""
    async with (
        published(driven) as publisher,
        subscribed(["good"] * 60, publisher.port, publisher.path, per_address=50) as subscribers,
    ):
        await until(lambda: all(each.received for each in subscribers.all))
        loop = asyncio.get_running_loop()
        per_turn = [0]
        take = publisher.protocol.take_deliveries

        def turn() -> None:
            per_turn.append(0)
            nonlocal turning
            turning = loop.call_soon(turn)

        def merge(limit: int, *, stop_at_merged: bool) -> Any:
            deliveries = take(1 if stop_at_merged else limit)
            for delivery in deliveries:
                delivery.message.updates = 2
                time.sleep(0.004)
            per_turn[-1] += len(deliveries)
            return deliveries

        monkeypatch.setattr(publisher.protocol, "take_deliveries", merge)
        turning = loop.call_soon(turn)
        publisher.service.mark = "1"
        await until(lambda: all(each.text == "1" for each in subscribers.all))
        turning.cancel()
        assert sum(per_turn) == 60
        assert max(per_turn) <= 9


async def test_a_change_for_endpoints_without_a_connection_opens_each_once(
    driven: Any, until: Until
) -> None:
    """And all of them at once do not keep each other from it."""
    async with (
        published(driven) as publisher,
        subscribed(["good"] * 500, publisher.port, publisher.path) as subscribers,
    ):
        await until(lambda: all(each.received for each in subscribers.all))
        await until(lambda: publisher.pool.idle_count == 500)
        publisher.pool._close_idle(500)
        await until(lambda: publisher.pool.connection_count == 0)
        publisher.service.mark = "1"
        await until(lambda: all(each.text == "1" for each in subscribers.all))
        assert [each.opened for each in subscribers.all] == [2] * 500
        assert sum(each.gaps for each in subscribers.all) == 0


async def test_each_subscribe_of_a_storm_is_answered(driven: Any, until: Until) -> None:
    async with (
        published(driven, subscriptions=150) as publisher,
        Subscribers(["good"] * 400) as subscribers,
    ):
        answers = await asyncio.gather(
            *(
                subscribers.subscribe_one(each, publisher.port, publisher.path)
                for each in subscribers.all
            )
        )
        statuses = [answer[9:12] for answer in answers]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (150, 250)
        await until(lambda: sum(each.received for each in subscribers.all) == 150)
        publisher.service.mark = "1"
        await until(lambda: sum(each.text == "1" for each in subscribers.all) == 150)


async def test_peers_that_connect_all_at_once_and_ask_later_are_all_answered(
    driven: Any, until: Until
) -> None:
    """Those without room wait until the others have asked."""

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", publisher.port, local_addr=(f"127.88.{number}.1", 0)
        )
        await asyncio.sleep(0.05)
        writer.write(b"GET /nothing HTTP/1.1\r\nHOST: a\r\nCONNECTION: close\r\n\r\n")
        try:
            return await reader.read()
        finally:
            writer.close()

    async with published(driven, connections=16) as publisher:
        answers = await asyncio.gather(*map(ask, range(80)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, bytes) or not answer] == []
