"""Many subscribers of one device, each with an endpoint of its own, over sockets."""

from __future__ import annotations

from typing import Any

from lab.subscribers import subscribed
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
