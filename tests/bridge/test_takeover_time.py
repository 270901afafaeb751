"""How long a takeover takes, by a clock: the sum of the waits, in any order of the faults."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS, CollectorLimits
from tests.bridge.collector_world import World

NAMES = ["a", "b", "c", "d", "e", "f"]
DEVICES = [f"uuid:{number}" for number in range(12)]
STEP = 0.05

CONNECTED = 0.8
"""Seconds in which each collector is connected again when the server answers: 0.25 s between two
attempts, and the half of a second between two requests to a JetStream that starts."""

FORGOTTEN = 0.5
"""Seconds by which a server may be late to forget a lease."""

WITHIN = 9.0
"""Above the sum. The rest of 10 s is for the devices' answers to SUBSCRIBE."""


def bound(limits: CollectorLimits) -> float:
    """The sum of ``docs/collectors.md``."""
    return (
        limits.lease_seconds
        + FORGOTTEN
        + limits.excuse_seconds
        + limits.retry_seconds
        + limits.ranks * limits.rank_seconds
    )


@dataclass
class Outage:
    """The store is away from ``begins`` on, for ``lasts`` seconds."""

    begins: float
    lasts: float


@dataclass
class Faults:
    """Two collectors are killed, ``apart`` seconds one after the other, ``after`` seconds after all
    devices are owned; ``outages`` count from the first death."""

    after: float
    apart: float
    outages: list[Outage]
    seed: int = 0


def takeover(faults: Faults, kills: int = 2) -> float:
    """The seconds from the last death until all devices have a living owner that has written,
    without those in which the store was away."""
    chance = random.Random(faults.seed)
    world = World(NAMES, DEVICES)
    world.store.lease_seconds += FORGOTTEN
    world.run(6 + faults.after)
    began = world.now
    deaths = [began + number * faults.apart for number in range(kills)]
    connects: dict[str, float] = {}
    counted = 0.0
    while world.now < began + 60:
        since = world.now - began
        away = any(each.begins <= since < each.begins + each.lasts for each in faults.outages)
        for name, node in world.nodes.items():
            if away and not node.cut:
                world.cut(name)
            if away:
                connects[name] = world.now + chance.uniform(0.1, CONNECTED)
            elif node.cut and world.now >= connects[name]:
                world.mend(name)
        if deaths and world.now >= deaths[0]:
            # The one that owns the most: the first one to take over is killed too.
            owners = [name for each in world.owners().values() for name in each]
            world.kill(max(sorted(world.nodes), key=owners.count))
            deaths.pop(0)
        while world.turn():
            pass
        if not deaths:
            writers = {
                each.key: each.body["session"] for each in world.store.messages
            }  # the last of each
            living = {node.collector.session for node in world.nodes.values()}
            if set(writers) == set(DEVICES) and set(writers.values()) <= living:
                return counted
            counted += STEP * (not away)
        world.pass_time(STEP)
    raise AssertionError(f"not all are owned again after a minute: {world.owners()}")


times = st.floats(0, 6).map(lambda each: round(each, 2))
outages = st.builds(
    Outage,
    st.floats(0, 12).map(lambda each: round(each, 2)),
    st.floats(0.05, 12).map(lambda each: round(each, 2)),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.builds(Faults, times, times, st.lists(outages, max_size=1), st.integers(0, 1000)))
@example(Faults(2.36, 1.02, [Outage(6.03, 11.79)], 19))  # the leases had almost run out
@example(Faults(2.41, 5.62, [Outage(10.74, 8.05)], 224))
@example(Faults(1.04, 3.29, [Outage(8.44, 8.11)], 15))
def test_two_collectors_die_and_the_server_too_and_all_is_owned_again(faults: Faults) -> None:
    assert takeover(faults) <= WITHIN


@settings(deadline=None, max_examples=15)
@given(st.builds(Faults, times, times, st.just([]), st.integers(0, 1000)))
def test_deaths_one_after_the_other_do_not_add_up(faults: Faults) -> None:
    limits = DEFAULT_COLLECTOR_LIMITS
    assert takeover(faults, kills=4) <= bound(limits) - limits.excuse_seconds + 2 * STEP


def test_the_sum_of_the_waits_is_below_the_bound() -> None:
    assert bound(DEFAULT_COLLECTOR_LIMITS) <= WITHIN


@pytest.mark.parametrize("lasts", [1.0, 30.0])
def test_no_living_owner_loses_a_device_because_the_server_was_away(lasts: float) -> None:
    world = World(NAMES, DEVICES)
    world.run(6)
    before = world.owners()
    for name in NAMES:
        world.cut(name)
    world.run(lasts)
    # One after the other, within the seconds that each has at least.
    for name in NAMES:
        world.mend(name)
        world.run(DEFAULT_COLLECTOR_LIMITS.excuse_seconds / len(NAMES) / 2)
    world.run(20)
    assert world.owners() == before
    assert not any(node.drops for node in world.nodes.values())
