"""Collectors that share devices through a store, in memory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS
from propchange.bridge.store import Ask, Operation, Place
from tests.bridge.collector_world import World

DEVICES = [f"uuid:{number}" for number in range(30)]


def owned(world: World, name: str) -> set[str]:
    return {udn for udn, owners in world.owners().items() if name in owners}


def test_each_device_has_one_owner_and_the_shares_are_fair() -> None:
    world = World(["a", "b", "c"], DEVICES)
    world.run(5)
    world.check_settled()
    assert all(len(owned(world, name)) >= 4 for name in "abc")


def test_the_devices_of_a_collector_that_dies_are_owned_again_within_ten_seconds() -> None:
    world = World(["a", "b", "c"], DEVICES)
    world.run(5)
    world.kill("b")
    for udn in DEVICES:
        world.change(udn)
    world.run(8)
    world.check_settled()


def status(world: World, udn: str) -> str:
    there = world.store.at(Place.STATE, udn)
    assert there is not None
    return str(json.loads(there.value)["status"]) if there.value else "deleted"


def test_the_state_of_a_device_that_no_living_collector_sees_is_marked_as_unowned() -> None:
    reach = {"b": set(DEVICES[:2]), "c": set(DEVICES[:2])}
    world = World(["a", "b", "c"], DEVICES[:5], reach=reach)
    world.run(5)
    world.kill("a")
    world.run(13)
    assert [status(world, udn) for udn in DEVICES[:5]] == ["active"] * 2 + ["unowned"] * 3
    writes = len(world.store.states)
    world.run(60)
    assert len(world.store.states) == writes
    world.start("a")
    world.run(15)
    world.check_settled()
    assert status(world, DEVICES[4]) == "active"


def test_a_collector_that_starts_marks_what_has_no_owner_since_all_were_killed() -> None:
    world = World(["a", "b"], DEVICES[:3])
    world.run(5)
    world.kill("a")
    world.kill("b")
    world.run(10)
    world.reach["c"] = set()
    world.start("c")
    world.run(15)
    assert {status(world, udn) for udn in DEVICES[:3]} == {"unowned"}


def test_the_state_of_an_owner_that_was_suspended_is_active_again_without_an_event() -> None:
    world = World(["a", "b"], DEVICES[:3], reach={"b": set()})
    world.run(5)
    world.nodes["a"].paused = True
    world.run(15)
    assert {status(world, udn) for udn in DEVICES[:3]} == {"unowned"}
    world.nodes["a"].paused = False
    world.run(3)
    assert {status(world, udn) for udn in DEVICES[:3]} == {"active"}
    assert not world.nodes["a"].drops


def test_the_state_of_a_device_that_has_gone_is_deleted_if_its_collector_died_before() -> None:
    world = World(["a", "b"], DEVICES[:1], reach={"b": set()})
    world.run(5)
    node = world.nodes["a"]
    node.collector.outputs[DEVICES[0]].snapshot = lambda: {"status": "gone", "time": 1}
    node.collector.state_changed(DEVICES[0])
    world.run(1)
    assert status(world, DEVICES[0]) == "gone"
    world.kill("a")
    world.run(13)
    assert status(world, DEVICES[0]) == "deleted"


def test_the_devices_of_the_others_stay_where_they_are_when_one_dies() -> None:
    world = World(["a", "b", "c"], DEVICES)
    world.run(5)
    before = owned(world, "a")
    world.kill("b")
    world.run(10)
    assert owned(world, "a") >= before


def test_a_collector_that_ends_is_followed_at_once() -> None:
    world = World(["a", "b"], DEVICES)
    world.run(5)
    ending = world.nodes["b"].collector
    ending.end(world.now)
    world.turn()
    world.kill("b")
    world.run(2)
    world.check_settled()


def test_a_collector_that_was_suspended_past_its_lease_writes_nothing_any_more() -> None:
    world = World(["a", "b"], DEVICES)
    world.run(5)
    device = next(iter(owned(world, "b")))
    world.nodes["b"].paused = True
    world.run(10)
    world.change(device)
    world.run(1)
    # It goes on where it was: with an event that it had received, before it hears anything.
    node = world.nodes["b"]
    node.paused = False
    subscriber = world.devices[device].subscribers["b"]
    subscriber.received = -5
    node.taken += 1
    node.collector.event(device, {"n": -5}, subscriber.sid, 77, "")
    node.watch.clear()
    world.settle()
    world.check_settled()
    assert all(each.body.get("seq") != 77 for each in world.store.messages)
    drops = [each for each in node.drops if each.udn == device]
    assert [each.lost for each in drops] == [True], "it says once that it has lost the device"


def test_a_former_owner_counts_what_waits_and_sends_it_once_at_most() -> None:
    world = World(["a", "b"], DEVICES)
    world.run(5)
    device = next(iter(owned(world, "b")))
    world.cut("b")
    for _ in range(5):
        world.change(device)
    world.run(10)
    node = world.nodes["b"]
    asked: list[Operation] = []
    operations = node.collector.operations

    def noted(now: float) -> list[Operation]:
        due = operations(now)
        asked.extend(each for each in due if (each.place, each.key) == (Place.EVENTS, device))
        return due

    node.collector.operations = noted  # type: ignore[method-assign] # notes what it asks
    world.mend("b")
    world.run(20)
    world.check_settled()
    assert sum(each.ask is Ask.PUT for each in asked) == 1
    assert len(asked) <= 2
    assert (node.collector.totals.events, node.collector.totals.discarded) == (0, 5)


def test_events_of_a_device_that_repeats_its_sid_and_seq_are_all_written_in_order() -> None:
    world = World(["a"], DEVICES[:1])
    world.run(3)
    node = world.nodes["a"]
    for number in (1, 2, 3):
        node.taken += 1
        node.collector.event(DEVICES[0], {"n": number}, "uuid:1", 0, "")
        world.run(0.5)
    events = [each.body for each in world.store.messages if each.body.get("sid") == "uuid:1"]
    assert [(each["seq"], each["values"]["n"]) for each in events] == [(0, 1), (0, 2), (0, 3)]


def test_a_message_that_is_too_large_says_so_and_holds_up_no_later_one() -> None:
    limits = replace(DEFAULT_COLLECTOR_LIMITS, message_bytes=1_000)
    world = World(["a"], DEVICES[:1], limits=limits)
    world.run(3)
    node = world.nodes["a"]
    for value in ("x" * 2_000, "y"):
        node.taken += 1
        node.collector.event(DEVICES[0], {"text": value}, "uuid:1", 0, "")
        world.run(0.5)
    large, small = [each.body for each in world.store.messages][-2:]
    assert large["values"] == {}
    assert large["too_large"] > 2_000
    assert (small["values"], "too_large" in small) == ({"text": "y"}, False)
    assert node.collector.totals.too_large == 1


def test_a_collector_that_ends_claims_nothing_more() -> None:
    world = World(["a", "b"], DEVICES)
    world.run(5)
    world.nodes["a"].collector.stop_claiming()
    before = owned(world, "a")
    world.kill("b")
    world.run(20)
    assert owned(world, "a") == before


def test_a_collector_without_the_store_loses_no_event_while_nobody_else_takes_over() -> None:
    world = World(["a"], DEVICES[:2])
    world.run(3)
    world.cut("a")
    for _ in range(100):
        world.change(DEVICES[0])
        world.run(0.2)
    world.settle()
    world.check_settled()
    numbers = [
        each.body["values"]["n"]
        for each in world.store.messages
        if each.key == DEVICES[0] and each.body["kind"] == "event"
    ]
    assert numbers == list(range(101))
    assert not world.nodes["a"].drops


def test_all_owners_go_on_with_their_events_when_the_store_was_away_for_longer_than_a_lease() -> (
    None
):
    world = World(["a", "b", "c"], DEVICES)
    world.run(5)
    before = world.owners()
    for name in "abc":
        world.cut(name)
    for _ in range(30):
        world.run(1)
        for udn in DEVICES:
            world.change(udn)
    world.settle()
    world.check_settled()
    assert world.owners() == before
    for udn in DEVICES:
        numbers = [
            each.body["values"]["n"]
            for each in world.store.messages
            if each.key == udn and each.body["kind"] == "event"
        ]
        assert numbers == list(range(31))


def test_events_above_the_cap_are_merged_to_their_last_values_and_counted() -> None:
    limits = replace(DEFAULT_COLLECTOR_LIMITS, waiting_events=10)
    world = World(["a"], DEVICES[:1], limits=limits)
    world.run(3)
    world.cut("a")
    for _ in range(50):
        world.change(DEVICES[0])
        world.run(0.1)
    assert world.nodes["a"].collector.totals.events <= 11
    world.settle()
    world.check_settled()
    events = [each.body for each in world.store.messages if each.body["kind"] == "event"]
    assert sum(1 + each["merged"] for each in events) == 51
    assert events[-1]["values"] == {"n": 50}


def test_nothing_is_merged_into_an_event_that_the_store_may_have_already() -> None:
    limits = replace(DEFAULT_COLLECTOR_LIMITS, waiting_events=1)
    world = World(["a"], DEVICES[:1], limits=limits)
    world.run(3)
    world.change(DEVICES[0])
    world.receive("a")
    world.ask("a")
    for _ in range(len(world.nodes["a"].pending)):
        world.perform("a", 0, "unanswered")
    world.change(DEVICES[0])
    world.receive("a")
    world.settle()
    world.check_settled()
    events = [each.body for each in world.store.messages if each.body["kind"] == "event"]
    assert [(each["values"]["n"], each["merged"]) for each in events] == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("cap", ["waiting_in_all", "waiting_characters"])
def test_what_waits_is_bounded_over_all_services(cap: str) -> None:
    limits = replace(DEFAULT_COLLECTOR_LIMITS, **{cap: 40})
    world = World(["a"], DEVICES, limits=limits)
    world.run(3)
    world.cut("a")
    for _ in range(20):
        for udn in DEVICES:
            world.change(udn)
        world.run(0.1)
    assert world.nodes["a"].collector.totals.events <= 40 + len(DEVICES)
    world.settle()
    world.check_settled()


def test_a_collector_that_cannot_reach_a_device_leaves_it_to_another() -> None:
    world = World(["a", "b"], DEVICES[:8])
    world.run(5)
    udn = min(owned(world, "a"))
    world.nodes["a"].collector.give_up(udn, "no event arrives", world.now)
    world.reach["a"] = set(DEVICES) - {udn}
    world.run(3)
    assert world.owners()[udn] == {"b"}
    drops = world.nodes["a"].drops
    assert [(each.reason, each.lost) for each in drops] == [("no event arrives", False)]


def test_a_collector_keeps_a_device_that_nobody_else_can_take() -> None:
    world = World(["a", "b"], DEVICES[:1])
    world.run(5)
    for name in ("a", "b", "a", "b"):
        if name in world.owners()[DEVICES[0]]:
            world.nodes[name].collector.give_up(DEVICES[0], "no event arrives", world.now)
            world.run(3)
    assert len(world.owners()[DEVICES[0]]) == 1
    assert sum(len(each.drops) for each in world.nodes.values()) == 1


def test_a_new_collector_gets_a_fair_share_and_nothing_else_moves() -> None:
    world = World(["a"], DEVICES)
    world.run(5)
    world.start("b")
    world.run(120)
    world.check_settled()
    share = len(owned(world, "b"))
    assert 5 <= share <= 15
    moves = len(world.nodes["a"].drops)
    assert moves == share
    world.run(200)
    assert len(world.nodes["a"].drops) == moves


def test_a_device_that_goes_is_forgotten_by_the_store() -> None:
    world = World(["a", "b"], DEVICES[:1])
    world.run(5)
    for node in world.nodes.values():
        node.collector.leave(DEVICES[0], "it said goodbye", world.now)
    world.run(1)
    there = world.store.at(Place.CLAIMS, DEVICES[0])
    assert there is not None
    assert b"it said goodbye" in there.value
    world.run(10)
    for place in (Place.CLAIMS, Place.STATE):
        there = world.store.at(place, DEVICES[0])
        assert there is not None
        assert not there.value


def test_a_device_that_one_collector_loses_is_taken_by_another_that_sees_it() -> None:
    world = World(["a", "b"], DEVICES[:1])
    world.run(5)
    (owner,) = world.owners()[DEVICES[0]]
    world.nodes[owner].collector.leave(DEVICES[0], "expired", world.now)
    world.reach[owner] = set()
    world.run(15)
    world.check_settled()


def test_a_device_that_is_back_is_owned_again_and_nothing_of_it_is_deleted() -> None:
    world = World(["a"], DEVICES[:1])
    world.run(5)
    collector = world.nodes["a"].collector
    collector.leave(DEVICES[0], "it said goodbye", world.now)
    world.run(2)
    world.change(DEVICES[0])
    collector.see(DEVICES[0], world.now)
    world.run(20)
    world.check_settled()


@pytest.mark.parametrize("place", list(Place))
def test_what_the_store_has_lost_is_written_again(place: Place) -> None:
    world = World(["a", "b"], DEVICES[:6])
    world.run(5)
    for udn in DEVICES[:6]:
        world.change(udn)
    world.run(3)
    world.store.forget(place)
    for _ in range(3):
        for udn in DEVICES[:6]:
            world.change(udn)
        world.run(60)
    world.settle()
    world.check_settled()


def test_a_second_process_with_the_name_of_a_living_collector_owns_nothing() -> None:
    world = World(["a"], DEVICES[:4])
    world.run(5)
    first = world.nodes["a"]
    second = World(["a"], DEVICES[:4])
    second.store = world.store
    second.nodes["a"].collector.lease.value.session = "another"
    for _ in range(200):
        world.turn()
        second.turn()
        world.pass_time(0.1)
        second.now = world.now
    assert first.collector.claims.owned == 4
    assert second.nodes["a"].collector.claims.owned == 0
    since = second.nodes["a"].collector.lease.occupied_since
    assert since is not None
    assert world.now - since > 2 * DEFAULT_COLLECTOR_LIMITS.lease_seconds


def test_a_collector_keeps_its_devices_while_its_watch_is_made_again() -> None:
    # A cluster of servers without a leader makes no watch for seconds, and takes other writes.
    world = World(["a", "b", "c"], DEVICES[:6])
    world.run(5)
    before = world.owners()
    world.cut("a")
    world.run(0.5)
    world.connect("a")
    for udn in DEVICES[:6]:
        world.change(udn)
    world.run(12)
    world.mend("a")
    world.run(10)
    assert world.owners() == before
    assert not world.nodes["a"].drops
    world.check_settled()


def test_new_events_are_written_before_the_states_that_are_written_again() -> None:
    world = World(["a"], DEVICES, limits=replace(DEFAULT_COLLECTOR_LIMITS, again_operations=2))
    world.run(5)
    world.cut("a")
    world.run(1)
    world.mend("a")
    world.turn()
    world.pass_time(0.1)
    world.cut("a")
    world.mend("a")
    states = len(world.store.states)
    world.ask("a")  # the first states are under way
    world.change(DEVICES[-1])
    world.receive("a")
    written = len(world.store.messages)
    while len(world.store.messages) == written:
        world.ask("a")
        world.perform("a", 0)
        world.answer("a")
    assert len(world.store.states) - states <= 4
    world.run(5)
    assert len(world.store.states) - states >= len(DEVICES)


def test_a_device_that_moves_is_released_when_it_sends_no_event_to_the_former_owner() -> None:
    world = World(["a"], DEVICES)
    world.run(5)
    world.unsubscribes = False  # the devices do not answer UNSUBSCRIBE yet
    world.start("b")
    world.run(40)
    moving = [udn for _, udn in world.moving]
    assert len(moving) >= 5
    assert all(owners == {"a"} for owners in world.owners().values())
    for udn in moving:
        world.change(udn)
    world.run(1)
    written = {each.key: each for each in world.store.messages}
    assert all(written[udn].body["values"]["n"] == 1 for udn in moving)
    world.unsubscribes = True
    world.run(5)
    assert {udn for udn in moving if world.owners()[udn] == {"b"}} == set(moving)
    assert [node.collector.totals.discarded for node in world.nodes.values()] == [0, 0]
    world.check_settled()


def test_no_event_is_lost_that_comes_to_the_former_owner_while_a_device_moves() -> None:
    world = World(["a"], DEVICES)
    world.run(5)
    world.start("b")
    for _ in range(400):
        world.turn()
        for udn in DEVICES:
            world.change(udn)
        world.receive("a")  # before the watch shows that the other collector has it
        for _ in range(4):  # the other collector is faster
            world.show("b")
            world.ask("b")
            while world.nodes["b"].pending:
                world.perform("b", 0)
            world.answer("b")
        world.pass_time(0.1)
    assert len(world.nodes["a"].drops) >= 5
    assert [node.collector.totals.discarded for node in world.nodes.values()] == [0, 0]
    world.settle()
    world.check_settled()
