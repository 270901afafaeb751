from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.events import Change, Status
from propchange.core.held import HeldSubscription, TokenBucket
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.states import SubscriberState


def held_with(convert=None) -> HeldSubscription:
    return HeldSubscription(
        "http://10.0.0.1/evt",
        persistent=True,
        describable=False,
        device=None,
        convert=convert,
        duration=1800,
        limits=DEFAULT_LIMITS,
        now=0.0,
    )


# --- the token bucket ---


def test_a_bucket_allows_a_burst_and_then_one_per_refill() -> None:
    bucket = TokenBucket(3, 2.0, 100.0)
    for _ in range(3):
        assert bucket.ready_at(100.0) == 100.0
        bucket.spend(100.0)
    assert bucket.ready_at(100.0) == 102.0
    assert bucket.ready_at(101.0) == 102.0
    assert bucket.ready_at(102.0) == 102.0
    bucket.spend(102.0)
    assert bucket.ready_at(102.0) == 104.0


def test_a_bucket_that_was_left_alone_holds_no_more_than_the_burst() -> None:
    bucket = TokenBucket(2, 1.0, 0.0)
    for _ in range(2):
        bucket.spend(1_000.0)
    assert bucket.ready_at(1_000.0) == 1_001.0


@given(
    st.integers(1, 5),
    st.floats(0.1, 10),
    st.floats(0, 1e9),
    st.lists(st.floats(0, 30), max_size=60),
)
def test_a_bucket_never_allows_more_than_its_burst_and_what_was_refilled(
    burst, refill, start, pauses
) -> None:
    bucket = TokenBucket(burst, refill, start)
    now = start
    spent = 0
    for pause in pauses:
        now += pause
        ready_at = bucket.ready_at(now)
        assert ready_at >= now
        assert ready_at <= now + refill * 1.000001
        if ready_at == now:
            bucket.spend(now)
            spent += 1
        assert spent <= burst + (now - start) / refill + 1e-4


# --- decoding ---


def test_without_types_every_value_is_its_text() -> None:
    held = held_with()
    event = held.decode(0, (("A", "1"), ("B", "x")), initial=True)
    assert event.changes == held.values == {"A": "1", "B": "x"}
    assert event.details == (
        Change("A", "1", None, None, None, "1"),
        Change("B", "x", None, None, None, "x"),
    )
    assert (event.subscription, event.seq, event.is_initial) == (held, 0, True)


def test_with_types_values_are_converted_and_the_value_before_is_shown() -> None:
    held = held_with({"A": int})
    held.sid = "uuid:1"
    held.decode(0, (("A", "1"),), initial=True)
    event = held.decode(1, (("A", "2"),), initial=False)
    assert event.details == (Change("A", 2, 1, None, None, "2"),)
    assert event.changes == held.values == {"A": 2}
    assert (event.sid, event.is_initial) == ("uuid:1", False)


@pytest.mark.clause("XML-06")
def test_what_does_not_fit_or_is_not_declared_arrives_as_text_and_changes_nothing() -> None:
    held = held_with({"A": int, "B": int})
    held.decode(0, (("A", "1"), ("B", "1")), initial=True)
    event = held.decode(1, (("A", "many"), ("New", "x"), ("B", "2")), initial=False)
    assert event.details == (
        Change("A", None, 1, None, None, "many"),
        Change("New", None, None, None, None, "x"),
        Change("B", 2, 1, None, None, "2"),
    )
    assert event.changes == {"B": 2}
    assert held.values == {"A": 1, "B": 2}


def test_a_variable_that_comes_twice_ends_with_its_later_value() -> None:
    held = held_with({"A": int})
    event = held.decode(1, (("A", "1"), ("A", "2")), initial=False)
    assert [change.value for change in event.details] == [1, 2]
    assert event.changes == held.values == {"A": 2}


def test_an_event_keeps_its_changes_when_the_values_go_on() -> None:
    held = held_with()
    first = held.decode(0, (("A", "1"),), initial=True)
    held.decode(1, (("A", "2"),), initial=False)
    assert first.changes == {"A": "1"}


def test_a_subscription_begins_with_nothing_granted() -> None:
    held = held_with()
    assert (held.state, held.status, held.status_cause) == (
        SubscriberState.WAITING,
        Status.SUBSCRIBING,
        None,
    )
    assert (held.sid, held.expires, held.duration_granted, held.values) == ("", None, None, {})
    assert repr(held) == "<HeldSubscription http://10.0.0.1/evt WAITING >"
