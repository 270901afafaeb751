# ruff: noqa: PT012, SIM117 -- the statements inside a batch are what is tested
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.batch import enclosing_batch
from propchange.upnp.service import Service
from tests.upnp.sinks import Sink


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    calibration = StateVariable("i4", evented=False)


def hosted() -> tuple[Thermometer, Sink]:
    thermometer, turns = Thermometer(), Sink()
    thermometer._attach_sink(turns)
    return thermometer, turns


# --- one event ---


def test_a_batch_is_one_event_in_the_order_of_the_assignments() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.alarm = True
        thermometer.temperature = 30.0
        thermometer.temperature = 31.0
        thermometer.calibration = 5
        assert turns.published == []
    assert turns.published == [{"Alarm": "1", "Temperature": "31.0"}]
    assert list(turns.published[0]) == ["Alarm", "Temperature"]
    assert thermometer.calibration == 5
    assert turns.waiting == []


def test_inside_a_batch_the_new_value_is_read() -> None:
    thermometer, _ = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        assert thermometer.temperature == thermometer["Temperature"] == 30.0
        assert thermometer.values["Temperature"] == 30.0


def test_a_value_changed_and_changed_back_sends_nothing() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        thermometer.temperature = 20.0
    assert turns.published == []


def test_a_batch_in_which_nothing_evented_changes_sends_nothing() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 20.0
        thermometer.calibration = 1
    with thermometer.batch():
        pass
    assert turns.published == []


def test_an_exception_undoes_the_batch_and_sends_nothing() -> None:
    thermometer, turns = hosted()
    with pytest.raises(KeyError), thermometer.batch():
        thermometer.temperature = 30.0
        thermometer.calibration = 5
        raise KeyError
    assert thermometer.values == {"Temperature": 20.0, "Alarm": False, "Calibration": 0}
    assert turns.published == []
    assert turns.waiting == []
    thermometer.temperature = 30.0
    assert turns.published == [{"Temperature": "30.0"}]


def test_a_bad_value_that_is_caught_inside_leaves_the_rest_of_the_batch() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        with pytest.raises(TypeError):
            thermometer["Alarm"] = "loud"
    assert turns.published == [{"Temperature": "30.0"}]


@pytest.mark.parametrize("refusal", [RuntimeError("closed"), KeyboardInterrupt()])
def test_when_publishing_fails_the_whole_batch_is_undone(refusal: BaseException) -> None:
    thermometer, turns = hosted()
    turns.refuse = refusal
    with pytest.raises(type(refusal)), thermometer.batch():
        thermometer.temperature = 30.0
        thermometer.calibration = 5
    assert thermometer.values == {"Temperature": 20.0, "Alarm": False, "Calibration": 0}


def test_an_unhosted_batch_sets_values_and_undoes_them_on_an_exception() -> None:
    thermometer = Thermometer()
    with thermometer.batch():
        thermometer.temperature = 30.0
    with pytest.raises(KeyError), thermometer.batch():
        thermometer.temperature = 40.0
        raise KeyError
    assert thermometer.temperature == 30.0


# --- batches in batches ---


def test_a_batch_in_a_batch_sends_nothing_itself() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        with thermometer.batch():
            thermometer.temperature = 31.0
            thermometer.alarm = True
        assert turns.published == []
    assert turns.published == [{"Temperature": "31.0", "Alarm": "1"}]


def test_an_exception_in_an_inner_batch_undoes_only_what_was_assigned_in_it() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        with pytest.raises(KeyError), thermometer.batch():
            thermometer.temperature = 31.0
            thermometer.alarm = True
            raise KeyError
        assert thermometer.temperature == 30.0
        assert not thermometer.alarm
    assert turns.published == [{"Temperature": "30.0"}]


def test_an_exception_in_the_outer_batch_undoes_the_inner_one_too() -> None:
    thermometer, turns = hosted()
    with pytest.raises(KeyError), thermometer.batch():
        with thermometer.batch():
            thermometer.temperature = 31.0
        raise KeyError
    assert thermometer.temperature == 20.0
    assert turns.published == []


def test_an_exception_in_the_outer_batch_undoes_what_both_batches_assigned() -> None:
    thermometer, turns = hosted()
    with pytest.raises(KeyError), thermometer.batch():
        thermometer.temperature = 30.0
        with thermometer.batch():
            thermometer.temperature = 31.0
        raise KeyError
    assert thermometer.temperature == 20.0
    with thermometer.batch():
        thermometer.temperature = 30.0
        with thermometer.batch():
            thermometer.temperature = 20.0
    assert turns.published == []


def test_a_held_batch_of_one_service_does_not_bind_another() -> None:
    first, first_turns = hosted()
    second, second_turns = hosted()
    with second.batch():
        with pytest.raises(RuntimeError), first.batch():
            first_turns.take_turn()
            second.temperature = 31.0
            with pytest.raises(RuntimeError), second.batch():
                first.temperature = 30.0
    assert first_turns.published == []
    assert second_turns.published == [{"Temperature": "31.0"}]


def test_batches_of_two_services_are_apart() -> None:
    first, first_turns = hosted()
    second, second_turns = hosted()
    with first.batch(), second.batch():
        first.temperature = 30.0
        second.temperature = 31.0
    assert first_turns.published == [{"Temperature": "30.0"}]
    assert second_turns.published == [{"Temperature": "31.0"}]


def test_a_batch_is_entered_once() -> None:
    thermometer, _ = hosted()
    batch = thermometer.batch()
    with batch, pytest.raises(RuntimeError, match="only once"), batch:
        raise AssertionError("not entered")
    assert batch.ended
    assert enclosing_batch() is None


def test_batches_that_are_left_in_the_wrong_order_are_undone() -> None:
    thermometer, turns = hosted()
    outer, inner = thermometer.batch(), thermometer.batch()
    outer.__enter__()
    inner.__enter__()
    thermometer.temperature = 30.0
    with pytest.raises(RuntimeError, match="left open"):
        outer.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="left open"):
        inner.__exit__(None, None, None)
    assert thermometer.temperature == 20.0
    thermometer.temperature = 31.0
    assert turns.published == [{"Temperature": "31.0"}]


assignments = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from([20.0, 21.0, 22.0])),
        st.tuples(st.sampled_from(["open", "close", "fail"]), st.just(0.0)),
    )
)


@given(assignments)
def test_whatever_is_done_a_follower_of_the_events_knows_the_state(
    steps: list[tuple[str, float]],
) -> None:
    thermometer, turns = hosted()
    stack = []
    for what, value in steps:
        if what == "set":
            thermometer.temperature = value
        elif what == "open":
            stack.append(thermometer.batch())
            stack[-1].__enter__()
        elif stack:
            error = KeyError() if what == "fail" else None
            stack.pop().__exit__(type(error) if error else None, error, None)
        followed = turns.published[-1]["Temperature"] if turns.published else "20.0"
        assert thermometer._initial_texts()["Temperature"] == followed
        assert all(a != b for a, b in zip(turns.published, turns.published[1:], strict=False))
    while stack:
        stack.pop().__exit__(None, None, None)
    assert enclosing_batch() is None


# --- held across an await ---


def test_a_batch_held_across_an_await_is_undone_and_raises() -> None:
    thermometer, turns = hosted()
    with pytest.raises(RuntimeError, match="not to be held across an await"):
        with thermometer.batch():
            thermometer.temperature = 30.0
            turns.take_turn()
            assert thermometer.temperature == 20.0
    assert turns.published == []
    assert turns.waiting == []
    thermometer.temperature = 30.0
    assert turns.published == [{"Temperature": "30.0"}]


def test_an_assignment_in_a_batch_that_was_held_across_an_await_raises() -> None:
    thermometer, turns = hosted()
    with pytest.raises(RuntimeError, match="held across an await"), thermometer.batch():
        turns.take_turn()
        with pytest.raises(RuntimeError, match="held across an await"), thermometer.batch():
            raise AssertionError("not entered")
        thermometer.temperature = 30.0
    assert thermometer.temperature == 20.0
    assert turns.published == []


def test_the_exception_of_a_body_that_awaited_is_not_replaced() -> None:
    thermometer, turns = hosted()
    with pytest.raises(KeyError), thermometer.batch():
        thermometer.temperature = 30.0
        turns.take_turn()
        raise KeyError
    assert thermometer.temperature == 20.0


def test_nested_batches_held_across_an_await_are_undone_together() -> None:
    thermometer, turns = hosted()
    with pytest.raises(RuntimeError), thermometer.batch():
        thermometer.temperature = 30.0
        with pytest.raises(RuntimeError), thermometer.batch():
            thermometer.temperature = 31.0
            thermometer.alarm = True
            turns.take_turn()
    assert thermometer.values == {"Temperature": 20.0, "Alarm": False, "Calibration": 0}
    assert turns.published == []


def test_other_code_that_assigns_while_a_batch_is_held_is_not_undone_with_it() -> None:
    thermometer, turns = hosted()

    def elsewhere() -> None:
        thermometer.alarm = True
        thermometer.temperature = 25.0

    with pytest.raises(RuntimeError), thermometer.batch():
        thermometer.temperature = 30.0
        Context().run(elsewhere)
    assert turns.published == [{"Alarm": "1"}, {"Temperature": "25.0"}]
    assert thermometer.temperature == 25.0


def test_other_code_that_opens_a_batch_while_one_is_held_has_its_own() -> None:
    thermometer, turns = hosted()

    def elsewhere() -> None:
        with thermometer.batch():
            thermometer.alarm = True

    with pytest.raises(RuntimeError), thermometer.batch():
        thermometer.temperature = 30.0
        Context().run(elsewhere)
    assert turns.published == [{"Alarm": "1"}]
    assert thermometer.temperature == 20.0


def test_other_code_in_a_batch_of_another_service_is_other_code_too() -> None:
    first, first_turns = hosted()
    second, second_turns = hosted()

    def elsewhere() -> None:
        with second.batch():
            second.temperature = first.temperature + 1.0
            first.alarm = True

    with pytest.raises(RuntimeError), first.batch():
        first.temperature = 30.0
        Context().run(elsewhere)
    assert first_turns.published == [{"Alarm": "1"}]
    assert second_turns.published == [{"Temperature": "21.0"}]


def test_two_held_batches_bind_each_only_the_code_that_holds_it() -> None:
    first, first_turns = hosted()
    second, second_turns = hosted()
    elsewhere, batch = Context(), second.batch()
    elsewhere.run(batch.__enter__)
    second_turns.take_turn()
    with pytest.raises(RuntimeError), first.batch():
        first_turns.take_turn()
        second.temperature = 30.0
    with pytest.raises(RuntimeError):
        elsewhere.run(setattr, second, "temperature", 31.0)
    with pytest.raises(RuntimeError):
        elsewhere.run(batch.__exit__, None, None, None)
    assert second_turns.published == [{"Temperature": "30.0"}]


def test_other_code_reads_the_values_from_before_an_open_batch() -> None:
    thermometer, turns = hosted()
    seen: list[object] = []

    def elsewhere() -> None:
        seen.extend((thermometer.temperature, thermometer.alarm, thermometer.values["Alarm"]))

    with thermometer.batch():
        thermometer.temperature = 30.0
        with thermometer.batch():
            thermometer.temperature = 31.0
            Context().run(elsewhere)
    assert seen == [20.0, False, False]
    assert turns.published == [{"Temperature": "31.0"}]


def test_an_initial_event_does_not_show_what_an_open_batch_has_assigned() -> None:
    thermometer, _ = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        assert thermometer._initial_texts() == {"Temperature": "20.0", "Alarm": "0"}
    assert thermometer._initial_texts() == {"Temperature": "30.0", "Alarm": "0"}


def test_a_service_attached_inside_a_batch_gets_the_event_at_its_end() -> None:
    thermometer, turns = Thermometer(), Sink()
    with thermometer.batch():
        thermometer.temperature = 30.0
        thermometer._attach_sink(turns)
        assert thermometer._initial_texts()["Temperature"] == "20.0"
    assert turns.published == [{"Temperature": "30.0"}]


def test_a_service_detached_inside_a_batch_keeps_the_values() -> None:
    thermometer, turns = hosted()
    with thermometer.batch():
        thermometer.temperature = 30.0
        thermometer._detach_sink()
    assert thermometer.temperature == 30.0
    assert turns.published == []
    assert turns.waiting == []


def test_an_unhosted_batch_is_undone_when_other_code_assigns_meanwhile() -> None:
    thermometer = Thermometer()
    with pytest.raises(RuntimeError), thermometer.batch():
        thermometer.temperature = 30.0
        Context().run(setattr, thermometer, "alarm", True)
    assert thermometer.values == {"Temperature": 20.0, "Alarm": True, "Calibration": 0}


class LoopSink(Sink):
    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], None]:
        return asyncio.get_running_loop().call_soon(callback).cancel


async def test_on_a_real_loop_a_task_started_inside_a_held_batch_is_free_once_it_has_ended() -> (
    None
):
    thermometer, sink = Thermometer(), LoopSink()
    thermometer._attach_sink(sink)
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        thermometer.alarm = True

    with pytest.raises(RuntimeError, match="held across an await"), thermometer.batch():
        thermometer.temperature = 30.0
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    go.set()
    await task
    with thermometer.batch():
        thermometer.temperature = 22.0

    assert sink.published == [{"Alarm": "1"}, {"Temperature": "22.0"}]


async def test_a_batch_in_an_async_generator_that_is_closed_elsewhere_raises_nothing_odd() -> None:
    thermometer, sink = Thermometer(), LoopSink()
    thermometer._attach_sink(sink)

    async def holding() -> AsyncIterator[None]:
        with thermometer.batch():
            thermometer.temperature = 30.0
            yield

    generator = holding()
    await asyncio.create_task(anext(generator))  # type: ignore[arg-type]  # a coroutine here
    await asyncio.sleep(0)
    assert thermometer.temperature == 20.0
    with pytest.raises(RuntimeError, match="held across an await"):
        await anext(generator)
