from __future__ import annotations

import decimal
import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.publisher.moderation import Moderation


@pytest.mark.clause("MOD-04")
def test_the_first_change_goes_out_at_once() -> None:
    moderation = Moderation(1.0, None)
    assert moderation.changed("1", 100.0)
    assert moderation.due is None


@pytest.mark.clause("MOD-02")
def test_a_change_within_the_interval_is_held_until_its_end() -> None:
    moderation = Moderation(2.0, None)
    assert moderation.changed("1", 100.0)
    assert not moderation.changed("2", 101.0)
    assert moderation.due == 102.0


@pytest.mark.clause("MOD-03")
def test_the_held_change_goes_out_at_the_end_of_the_interval() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    moderation.changed("3", 101.5)
    assert moderation.due == 102.0
    assert not moderation.flush(101.9)
    assert moderation.due == 102.0
    assert moderation.flush(102.5)
    assert moderation.due is None
    assert not moderation.flush(103.0)


@pytest.mark.clause("MOD-02")
def test_a_flush_starts_the_interval_again() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    moderation.flush(102.5)
    assert not moderation.changed("3", 104.0)
    assert moderation.due == 104.5


@pytest.mark.clause("MOD-04")
def test_a_change_after_a_quiet_interval_goes_out_at_once() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    assert moderation.changed("2", 102.0)


def test_a_change_after_the_held_one_was_due_takes_its_place() -> None:
    """The runtime may be late; nothing is sent twice."""
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    assert moderation.changed("3", 102.1)
    assert moderation.due is None
    assert not moderation.flush(102.2)


@pytest.mark.clause("LC-10")
def test_what_changed_and_changed_back_within_the_interval_sends_nothing() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    assert not moderation.changed("1", 101.5)
    assert moderation.due is None


@pytest.mark.clause("MOD-08")
def test_an_initial_event_does_not_start_the_interval() -> None:
    moderation = Moderation(2.0, None)
    moderation.shown("1")
    assert moderation.changed("2", 100.0)


@pytest.mark.clause("MOD-03")
def test_a_change_back_goes_out_when_an_initial_event_carried_the_value_between() -> None:
    """Else the new subscriber would keep a value that is gone."""
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    moderation.shown("2")
    assert not moderation.changed("1", 101.5)
    assert moderation.due == 102.0
    assert moderation.flush(102.0)
    assert not moderation.changed("1", 110.0)


def test_an_initial_event_with_the_value_evented_last_changes_nothing() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.shown("1")
    moderation.changed("2", 101.0)
    moderation.changed("1", 101.5)
    assert moderation.due is None


@pytest.mark.clause("MOD-06")
def test_a_value_that_went_out_with_another_event_is_not_sent_again() -> None:
    moderation = Moderation(2.0, None)
    moderation.changed("1", 100.0)
    moderation.changed("2", 101.0)
    moderation.evented("2", 101.5)
    assert moderation.due is None
    assert not moderation.flush(102.0)
    assert not moderation.changed("3", 103.0)
    assert moderation.due == 103.5


@pytest.mark.clause("MOD-05")
def test_a_move_below_the_delta_is_not_evented() -> None:
    moderation = Moderation(None, Decimal("0.5"))
    assert moderation.changed("20.0", 0.0)
    assert not moderation.changed("20.4", 1.0)
    assert not moderation.changed("19.6", 2.0)
    assert moderation.due is None


@pytest.mark.clause("MOD-05")
@pytest.mark.parametrize("text", ["20.5", "19.5", "-2E+2"])
def test_a_move_of_at_least_the_delta_is_evented_in_either_direction(text: str) -> None:
    moderation = Moderation(None, 0.5)
    moderation.changed("20.0", 0.0)
    moderation.changed("20.4", 1.0)
    assert moderation.changed(text, 1.0)


@pytest.mark.clause("MOD-05")
def test_small_moves_add_up() -> None:
    """The delta counts from the value evented last, not from the value before."""
    moderation = Moderation(None, "3")
    assert [moderation.changed(str(value), value) for value in range(7)] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip


@pytest.mark.clause("MOD-05")
def test_the_delta_counts_from_the_first_initial_event_when_nothing_was_evented() -> None:
    moderation = Moderation(None, 5)
    moderation.shown("20")
    moderation.shown("21")
    assert not moderation.changed("16", 0.0)
    assert moderation.changed("25", 0.0)


def test_a_delta_is_compared_exactly() -> None:
    moderation = Moderation(None, 0.1)
    moderation.changed("20.0", 0.0)
    assert moderation.changed("20.1", 0.0)
    with decimal.localcontext(decimal.Context(prec=1, traps=[decimal.Inexact])):
        assert not moderation.changed("20.19999", 0.0)
        assert moderation.changed("20.2", 0.0)


def test_a_text_that_is_no_number_is_evented_when_it_differs() -> None:
    moderation = Moderation(None, 1)
    assert moderation.changed("NOT_IMPLEMENTED", 0.0)
    assert not moderation.changed("NOT_IMPLEMENTED", 0.0)
    assert moderation.changed("1", 0.0)
    assert moderation.changed("NaN", 0.0)
    assert not moderation.changed("NaN", 0.0)


@pytest.mark.clause("MOD-05")
def test_a_held_move_that_shrinks_below_the_delta_is_held_no_more() -> None:
    moderation = Moderation(2.0, 5)
    moderation.changed("0", 100.0)
    assert not moderation.changed("7", 100.5)
    assert moderation.due == 102.0
    assert not moderation.changed("4", 101.0)
    assert moderation.due is None
    assert moderation.changed("5", 103.0)


# --- over any sequence of changes ---

INTERVAL = 4.0
steps = st.lists(
    st.tuples(
        # Sixteenths, so that sums are exact.
        st.integers(0, 160).map(lambda n: n / 16),
        st.integers(0, 3),
        st.booleans(),
    )
)


def play(
    moderation: Moderation, steps: list[tuple[float, int, bool]], lateness: float
) -> tuple[list[tuple[float, str]], list[str]]:
    """What a publisher sends: the events as (time, text), and what each subscriber that joined on
    the way believes in the end."""
    now = 0.0
    text = ""
    sent: list[tuple[float, str]] = []
    believed: list[str] = []

    def send(at: float) -> None:
        sent.append((at, text))
        believed[:] = [text] * len(believed)

    def catch_up(until: float) -> None:
        while moderation.due is not None and moderation.due + lateness <= until:
            at = moderation.due + lateness
            assert moderation.flush(at)
            send(at)

    for pause, value, joined in steps:
        now += pause
        catch_up(now)
        if text != str(value):
            text = str(value)
            if moderation.changed(text, now):
                send(now)
        if joined:
            moderation.shown(text)
            believed.append(text)
    catch_up(now + 10 * INTERVAL)
    assert moderation.due is None
    return sent, [*believed, text]


@pytest.mark.clause("MOD-02")
@pytest.mark.clause("MOD-03")
@given(steps=steps, lateness=st.sampled_from([0.0, 0.5, 5.0]))
def test_events_keep_their_distance_and_nobody_misses_the_final_value(
    steps: list[tuple[float, int, bool]], lateness: float
) -> None:
    sent, [*believed, final] = play(Moderation(INTERVAL, None), steps, lateness)
    for (before, _), (after, _) in itertools.pairwise(sent):
        assert after - before >= INTERVAL
    if sent:
        assert sent[-1][1] == final
    assert all(text == final for text in believed)


@pytest.mark.clause("MOD-05")
@given(steps=steps)
def test_evented_values_are_a_delta_apart_and_the_final_one_is_within_it(
    steps: list[tuple[float, int, bool]],
) -> None:
    sent, [*_, final] = play(Moderation(INTERVAL, 2), [(p, v, False) for p, v, _ in steps], 0.0)
    for (before, one), (after, other) in itertools.pairwise(sent):
        assert after - before >= INTERVAL
        assert abs(int(other) - int(one)) >= 2
    if sent:
        assert abs(int(sent[-1][1]) - int(final)) < 2
