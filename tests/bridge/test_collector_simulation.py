"""Many collectors on a store that does only so much a second, simulated."""

from __future__ import annotations

import pytest

from lab.collector_simulation import Simulation


def owned(subscriptions: int, collectors: int, of_segment: int) -> Simulation:
    world = Simulation(subscriptions, collectors, of_segment)
    world.until_owned()
    world.rest(5)
    return world


@pytest.mark.slow
@pytest.mark.parametrize("per_second", [300, 500])
def test_a_store_with_too_much_to_do_costs_no_living_collector_its_devices(
    per_second: int,
) -> None:
    world = owned(5_000, 10, 10)
    before = dict(world.owner)
    world.per_second = per_second
    lost = world.kill(1)
    needed = 6 * lost  # operations: five for a service, and one for its device
    seconds = world.until_owned()
    assert seconds < 60
    kept = {udn: name for udn, name in before.items() if name in world.nodes}
    assert all(world.owner[udn] == name for udn, name in kept.items())
    assert sum(node.lease.lapses for node in world.nodes.values()) == 0
    assert sum(world.store.done.values()) < 1.3 * needed


@pytest.mark.slow
def test_the_operations_grow_with_the_subscriptions_and_the_messages_are_few_at_rest() -> None:
    few, many = owned(500, 5, 5), owned(2_000, 20, 5)
    for world in (few, many):
        world.per_second = 10_000
        lost = world.kill(1)
        assert world.until_owned() < 10
        assert sum(world.store.done.values()) < 6 * lost + 200
