"""Collectors under any order of faults: lost and late requests, lost answers, suspended processes,
cut networks, deaths, and a store that forgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS
from tests.bridge.collector_world import World

NAMES = ("a", "b", "c")
DEVICES = [f"uuid:{number}" for number in range(3)]
FAULTS = ("", "", "", "lost", "unanswered", "late")

names, udns, numbers = st.sampled_from(NAMES), st.sampled_from(DEVICES), st.integers(0, 7)


class Collectors(RuleBasedStateMachine):
    @initialize(few=st.booleans(), sequence_first=st.booleans())
    def begin(self, few: bool, sequence_first: bool) -> None:
        limits = DEFAULT_COLLECTOR_LIMITS
        if few:
            limits = replace(limits, waiting_events=2, operations=3)
        self.world = World(list(NAMES), DEVICES, limits=limits)
        self.world.store.sequence_first = sequence_first
        self.world.run(3)

    @rule(udn=udns, times=st.integers(1, 4))
    def a_device_changes(self, udn: str, times: int) -> None:
        for _ in range(times):
            self.world.change(udn)

    @rule(name=names)
    def a_collector_receives(self, name: str) -> None:
        self.world.receive(name)

    @rule(name=names)
    def a_collector_asks(self, name: str) -> None:
        self.world.ask(name)

    @rule(name=names, number=numbers, fault=st.sampled_from(FAULTS))
    def the_store_performs(self, name: str, number: int, fault: str) -> None:
        self.world.perform(name, number, fault)

    @rule(name=names)
    def answers_arrive(self, name: str) -> None:
        self.world.answer(name)

    @rule(name=names)
    def the_watch_shows(self, name: str) -> None:
        self.world.show(name)

    @rule(number=numbers)
    def a_late_request_arrives(self, number: int) -> None:
        self.world.arrive_late(number)

    @rule(name=names)
    def a_process_is_suspended(self, name: str) -> None:
        self.world.nodes[name].paused = True

    @rule(name=names)
    def a_process_goes_on(self, name: str) -> None:
        self.world.nodes[name].paused = False

    @rule(name=names)
    def the_store_is_cut_off(self, name: str) -> None:
        self.world.cut(name)

    @rule(name=names)
    def the_store_is_back(self, name: str) -> None:
        if not self.world.nodes[name].paused:
            self.world.mend(name)

    @rule(name=names)
    def a_process_is_killed_and_started(self, name: str) -> None:
        self.world.kill(name)
        self.world.start(name)

    @rule(name=names, udn=udns)
    def a_collector_cannot_reach_a_device(self, name: str, udn: str) -> None:
        node = self.world.nodes[name]
        if not node.paused:
            node.collector.give_up(udn, "no event arrives", self.world.now)

    @rule(name=names, udn=udns)
    def a_device_goes_and_is_back(self, name: str, udn: str) -> None:
        node = self.world.nodes[name]
        if not node.paused:
            node.collector.leave(udn, "it said goodbye", self.world.now)
            self.world.turn()
            node.collector.see(udn, self.world.now)

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(seconds=st.sampled_from([1.0, 7.0]))
    def the_clock_runs(self, seconds: float) -> None:
        self.world.run(seconds)

    @invariant()
    def one_owner_writes(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            self.world.check_settled()


Collectors.TestCase.settings = settings(deadline=None, stateful_step_count=50)
TestCollectors: Any = Collectors.TestCase
