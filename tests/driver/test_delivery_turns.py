"""Slices of deliveries: how many begin in one turn of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.delivery_turns import TAKEN_AT_ONCE, DeliveryTurns
from tests.driver.conftest import MemoryRuntime


def _delivery(*, merged: bool) -> Any:
    return SimpleNamespace(message=SimpleNamespace(updates=2 if merged else 1))


class Bench:
    """``waiting`` are the deliveries to be taken; ``begun`` are those of each turn of the loop."""

    def __init__(
        self, waiting: int, *, seconds_each: float = 0.0, merged: bool = False, **limits: Any
    ) -> None:
        self.memory = MemoryRuntime()
        self.waiting = [_delivery(merged=merged)] * waiting
        self.begun: list[int] = [0]
        self.seconds_each = seconds_each
        self.merged = merged
        self.turns = DeliveryTurns(
            self.memory,  # type: ignore[arg-type]  # it has what is used
            replace(DEFAULT_LIMITS, **limits),
            take=self._take,
            begin=self._begin,
            go_on=self._go_on,
        )

    def _take(self, most: int) -> list[Any]:
        most = 1 if self.merged else most
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.memory.time += self.seconds_each * len(taken)
        return taken

    def _begin(self, deliveries: Sequence[Any]) -> None:
        self.begun[-1] += len(deliveries)

    def _go_on(self) -> None:
        self.begun.append(0)
        self.turns.begin_some()

    def run(self) -> list[int]:
        """The numbers that begin in each turn, until nothing is left to do."""
        self.turns.begin_some()
        while self.memory.armed:
            self.memory.advance(1)
        return self.begun


def test_few_deliveries_begin_at_once_and_leave_nothing_with_the_loop() -> None:
    bench = Bench(5)
    assert bench.run() == [5]
    assert bench.turns.in_flight == 5


def test_many_deliveries_begin_in_several_turns() -> None:
    assert Bench(300, deliveries_per_turn=128).run() == [128, 128, 44]


def test_a_turn_ends_when_its_time_is_over() -> None:
    begun = Bench(400, seconds_each=0.001, turn_seconds=0.01).run()
    assert sum(begun) == 400
    assert max(begun) <= TAKEN_AT_ONCE


def test_the_clock_is_read_after_each_merged_message() -> None:
    begun = Bench(40, seconds_each=0.004, turn_seconds=0.01, merged=True).run()
    assert sum(begun) == 40
    assert max(begun) == 3


def test_several_calls_in_one_turn_begin_no_more_than_one_call() -> None:
    bench = Bench(300, deliveries_per_turn=128)
    for _ in range(5):
        bench.turns.begin_some()
    assert bench.run() == [128, 128, 44]


@pytest.mark.parametrize("ended", [0, 7])
def test_so_many_deliveries_are_in_flight_and_others_follow_when_some_have_ended(
    ended: int,
) -> None:
    bench = Bench(100, delivery_connections=10)
    assert bench.run() == [10]
    bench.turns.in_flight -= ended
    bench.turns.begin_some()
    assert bench.begun == [10 + ended]
    assert bench.turns.in_flight == 10


def test_deliveries_that_end_while_they_begin_make_room_for_others() -> None:
    bench = Bench(100, delivery_connections=10)

    def begin(deliveries: Sequence[Any]) -> None:
        bench.begun[-1] += len(deliveries)
        bench.turns.in_flight -= len(deliveries)
        if len(bench.waiting) > 50:
            bench.turns.begin_some()  # as a program that sends the next event at once

    bench.turns._begin = begin
    assert bench.run() == [100]
    assert bench.turns.in_flight == 0
