"""Bad subscribers beside good ones: each good one gets each event, in order, over sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.load_publisher import Publisher as LoadedPublisher
from lab.subscribers import BAD, Subscribers, subscribed
from propchange.core.limits import DEFAULT_LIMITS
from tests.driver.conftest import driven, pytest_generate_tests
from tests.hostile.publishers import Publisher, published
from tests.wire import Until

__all__ = ["driven", "pytest_generate_tests"]

CHANGES = 30


async def changes(publisher: Publisher, subscribers: Subscribers, until: Until) -> None:
    """Let the service change: each good subscriber gets it, without a gap, up to the last one."""
    await until(lambda: all(each.received for each in subscribers.good))
    for number in range(1, CHANGES + 1):
        publisher.service.mark = f"{number}"
        await asyncio.sleep(0.01)
    await until(lambda: all(each.text == f"{CHANGES}" for each in subscribers.good))
    assert sum(each.gaps for each in subscribers.good) == 0
    # Nobody waits for a bad one so long that events are merged.
    assert min(each.seq for each in subscribers.good) == CHANGES


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_subscriber_costs_a_good_one_no_event(
    driven: Any, until: Until, kind: str
) -> None:
    async with (
        published(driven) as publisher,
        subscribed([kind, "good"] * 8, publisher.port, publisher.path) as subscribers,
    ):
        await changes(publisher, subscribers, until)
        assert sum(each.opened for each in subscribers.good) == len(subscribers.good)


async def test_bad_subscribers_of_every_kind_may_share_the_address_of_a_good_one(
    driven: Any, until: Until
) -> None:
    kinds = [*BAD, *BAD, *["good"] * 10]
    async with (
        published(driven) as publisher,
        subscribed(kinds, publisher.port, publisher.path, per_address=30) as subscribers,
    ):
        await changes(publisher, subscribers, until)


async def test_answers_that_do_not_end_take_only_so_much_memory(driven: Any, until: Until) -> None:
    async with (
        published(driven) as publisher,
        subscribed(["endless"] * 5, publisher.port, publisher.path) as subscribers,
    ):
        await until(lambda: all(each.received for each in subscribers.all))
        # Each connection is ended: not kept until the attempt is over, half a minute later.
        await until(lambda: publisher.pool.connection_count == 0)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["uvloop", "twisted"])
async def test_fifty_bad_subscribers_of_all_kinds_take_a_bounded_number_of_descriptors_and_no_event(
    runtime: str, until: Until
) -> None:
    """The publisher is a process of its own. Half of the subscribers share an address with good
    ones."""
    with LoadedPublisher(runtime, {}) as publisher:
        # The addresses of the second half begin at another number, with 100 subscribers at each.
        own = subscribed(["good"] * 25 + [*BAD] * 2, publisher.port, publisher.path)
        one = Subscribers(["good"] * 25 + [*BAD] * 3, per_address=100, first=1_000_000)
        async with own as at_own_addresses, one as at_one_address:
            await at_one_address.subscribe(publisher.port, publisher.path)
            good = at_own_addresses.good + at_one_address.good
            await until(lambda: all(each.received for each in good))
            descriptors = []
            for _ in range(3):
                last = await publisher.ask("run", 10, 2.5)
                descriptors.append((await publisher.ask("figures"))["descriptors"])
            await until(lambda: all(each.text.startswith(f"{last}:") for each in good))
        assert [(each.seq, each.gaps) for each in good] == [(last, 0)] * 50
        assert [each.opened for each in at_own_addresses.good] == [1] * 25
        # The program, a connection to each good one, and a few to each bad one.
        assert max(descriptors) < 50 + 50 * DEFAULT_LIMITS.connections_per_delivery_endpoint
        assert descriptors[2] < descriptors[1] + 25
