from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.runtime import Timer, expired, first_deadline


class Handle:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time passes when the test says so. ``now`` is the clock of the runtime,
    which may be ahead of the loop's by a suspend."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept = 0.0
        self.handles: list[Handle] = []

    @property
    def now(self) -> float:
        return 1000.0 + self.time + self.slept

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        assert delay > 0
        handle = Handle(self.time + delay, callback)
        self.handles.append(handle)
        return handle

    @property
    def armed(self) -> list[Handle]:
        return [handle for handle in self.handles if not handle.cancelled]

    def run_to(self, time: float) -> None:
        while due := [handle for handle in self.armed if handle.when <= time]:
            handle = min(due, key=lambda handle: handle.when)
            self.handles.remove(handle)
            self.time = handle.when
            handle.callback()
        self.time = time


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def called() -> list[float]:
    return []


@pytest.fixture
def timer(loop: Loop, called: list[float]) -> Timer:
    limits = replace(DEFAULT_LIMITS, timer_seconds=30.0)
    return Timer(loop.call_later, limits, called.append, clock=lambda: loop.now)


def test_a_timer_calls_once_at_its_time(loop: Loop, timer: Timer, called: list[float]) -> None:
    timer.set(1010.0)
    loop.run_to(9.9)
    assert called == []
    assert timer.when == 1010.0
    loop.run_to(100.0)
    assert called == [1010.0]
    assert timer.when is None


def test_a_time_that_has_passed_is_not_called_from_inside_set(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.set(5.0)
    assert called == []
    loop.run_to(0.1)
    assert len(called) == 1


def test_an_earlier_time_takes_the_place_of_a_later_one(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.set(1020.0)
    timer.set(1010.0)
    loop.run_to(15.0)
    assert called == [1010.0]
    loop.run_to(100.0)
    assert called == [1010.0]


def test_a_later_time_leaves_the_timer_of_the_loop_alone(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.set(1010.0)
    for when in range(1011, 1020):
        timer.set(float(when))
    assert len(loop.handles) == 1
    loop.run_to(100.0)
    assert called == [1019.0]


def test_a_suspend_is_noticed_within_timer_seconds(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    """The loop's clock stood still for an hour; the deadline was half an hour away."""
    timer.set(1000.0 + 1800.0)
    loop.run_to(10.0)
    loop.slept = 3600.0
    loop.run_to(30.0)
    assert called == [1000.0 + 30.0 + 3600.0]


def test_no_wait_is_longer_than_timer_seconds(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.set(1000.0 + 100.0)
    for time in range(0, 100, 5):
        loop.run_to(float(time))
        assert all(handle.when - loop.time <= 30.0 for handle in loop.armed)
    loop.run_to(200.0)
    assert called == [1100.0]


def test_setting_none_cancels_the_timer(loop: Loop, timer: Timer, called: list[float]) -> None:
    timer.set(1010.0)
    timer.set(None)
    loop.run_to(100.0)
    assert called == []
    assert loop.armed == []


def test_a_timer_can_be_set_again_from_its_callback(loop: Loop) -> None:
    called: list[float] = []

    def call(now: float) -> None:
        called.append(now)
        if len(called) < 3:
            timer.set(now + 1.0)

    timer = Timer(loop.call_later, DEFAULT_LIMITS, call, clock=lambda: loop.now)
    timer.set(1001.0)
    loop.run_to(50.0)
    assert called == [1001.0, 1002.0, 1003.0]


def test_a_closed_timer_leaves_nothing_behind(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.close()
    timer.set(1010.0)
    timer.close()
    assert loop.armed == []
    assert timer.when is None


def test_a_timer_that_fires_a_little_early_calls_for_the_time_that_was_set(
    loop: Loop, timer: Timer, called: list[float]
) -> None:
    timer.set(1010.0)
    loop.slept = -0.0005
    loop.run_to(20.0)
    assert called == [1010.0]


def test_expired_stops_at_the_first_deadline_to_come() -> None:
    queue = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0}
    assert expired(queue, 0.5) == []
    assert expired(queue, 2.0) == ["a", "b", "c"]
    assert expired(queue, 9.0) == ["a", "b", "c", "d"]


def test_the_first_deadline_is_that_of_any_queue() -> None:
    assert first_deadline({}, {}) is None
    assert first_deadline({"a": 2.0, "b": 3.0}, {}, {"c": 1.0}) == 1.0


# --- a clock that jumps ---


@pytest.fixture
def jumps() -> list[tuple[float, float]]:
    return []


@pytest.fixture
def jumping(loop: Loop, called: list[float], jumps: list[tuple[float, float]]) -> Timer:
    return Timer(
        loop.call_later,
        DEFAULT_LIMITS,
        called.append,
        clock=lambda: loop.now,
        jumped=lambda seconds, now: jumps.append((seconds, now)),
    )


def test_a_suspend_is_told_before_what_is_due_by_it(
    loop: Loop, jumping: Timer, called: list[float], jumps: list[tuple[float, float]]
) -> None:
    jumping.set(1020.0)
    loop.run_to(10.0)
    loop.slept = 3600.0
    loop.run_to(30.0)
    assert jumps == [(3600.0, 4620.0)]
    assert called == [4620.0]


def test_a_loop_that_is_a_little_late_has_not_jumped(
    loop: Loop, jumping: Timer, called: list[float], jumps: list[tuple[float, float]]
) -> None:
    jumping.set(1020.0)
    loop.run_to(10.0)
    loop.slept = 9.0
    loop.run_to(30.0)
    assert jumps == []
    assert called == [1029.0]


def test_a_suspend_is_told_although_nothing_is_due_yet(
    loop: Loop, jumping: Timer, called: list[float], jumps: list[tuple[float, float]]
) -> None:
    jumping.set(9000.0)
    loop.run_to(10.0)
    loop.slept = 60.0
    loop.run_to(40.0)
    assert jumps == [(60.0, 1090.0)]
    assert called == []
    assert len(loop.armed) == 1


def test_a_suspend_is_told_although_something_else_woke_the_loop_up_first(
    loop: Loop, jumping: Timer, jumps: list[tuple[float, float]]
) -> None:
    jumping.set(1020.0)
    loop.run_to(10.0)
    loop.slept = 60.0
    jumping.set(1015.0)
    loop.run_to(11.0)
    assert [round(seconds) for seconds, _ in jumps] == [50]


def test_what_is_told_of_a_suspend_may_set_another_time(loop: Loop, called: list[float]) -> None:
    timer = Timer(
        loop.call_later,
        DEFAULT_LIMITS,
        called.append,
        clock=lambda: loop.now,
        jumped=lambda seconds, now: timer.set(now + 5.0),
    )
    timer.set(1020.0)
    loop.slept = 60.0
    loop.run_to(20.0)
    assert called == []
    assert len(loop.armed) == 1
    loop.run_to(25.0)
    assert called == [1085.0]


def test_what_is_told_of_a_suspend_may_take_the_time_back(loop: Loop, called: list[float]) -> None:
    timer = Timer(
        loop.call_later,
        DEFAULT_LIMITS,
        called.append,
        clock=lambda: loop.now,
        jumped=lambda seconds, now: timer.set(None),
    )
    timer.set(1020.0)
    loop.slept = 60.0
    loop.run_to(100.0)
    assert called == []
    assert loop.armed == []
