"""When a subscriber renews, retries and gives up."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.timing import (
    backoff,
    grant_times,
    granted_duration,
    kept_duration,
    patience,
    renewal_retry,
)


@pytest.mark.clause("CP-05")
@pytest.mark.parametrize(
    ("timeout", "duration"),
    [
        (b"Second-300", 300),
        (b"second-300", 300),
        (b"300", 300),
        (b"Second-infinite", inf),
        (None, 600),
        (b"banana", 600),
        (b"Second-0", 600),
    ],
)
def test_a_device_is_understood_whatever_form_its_timeout_has(timeout, duration):
    assert granted_duration(timeout, 600) == duration


def test_a_grant_is_kept_for_a_week_at_most_and_an_infinite_one_for_half_an_hour():
    assert kept_duration(300, DEFAULT_LIMITS) == 300
    assert kept_duration(1e9, DEFAULT_LIMITS) == DEFAULT_LIMITS.duration_most_seconds
    assert kept_duration(inf, DEFAULT_LIMITS) == 1800


def test_an_unstated_duration_is_never_taken_for_more_than_half_an_hour():
    assert granted_duration(None, 86_400) == 1800


@pytest.mark.clause("CP-04")
@pytest.mark.parametrize(("jitter", "renews"), [(0.0, 1150.0), (0.5, 1135.0)])
def test_renewal_is_at_half_or_a_little_earlier(jitter, renews):
    times = grant_times(300, 1000.0, 1000.0, jitter, DEFAULT_LIMITS)
    assert times == (1300.0, 1300.0, renews)


@pytest.mark.parametrize(("granted", "lapses"), [(1, 2.0), (1.5, 2.0), (3, 3.0)])
def test_the_shortest_grants_are_renewed_once_a_second_and_lapse_behind_the_answer(granted, lapses):
    times = grant_times(granted, 0.0, 0.0, 0.9, DEFAULT_LIMITS)
    assert (times.expires, times.lapses) == (granted, lapses)
    assert times.renews == pytest.approx(max(1.0, granted * 0.41))


def test_a_grant_whose_answer_was_long_under_way_is_worth_a_renewal():
    times = grant_times(8, 100.0, 117.0, 0.0, DEFAULT_LIMITS)
    assert times == (108.0, 119.0, 104.0)


def test_an_infinite_grant_never_lapses_and_is_renewed_all_the_same():
    assert grant_times(inf, 0.0, 0.0, 0.0, DEFAULT_LIMITS) == (inf, None, 900.0)


def test_a_very_long_grant_is_kept_as_if_it_were_a_week():
    assert grant_times(10.0**9, 0.0, 0.0, 0.0, DEFAULT_LIMITS).expires == 604_800


@given(st.integers(1, 10_000))
def test_backoff_doubles_up_to_its_longest(failures):
    wait = backoff(failures, DEFAULT_LIMITS)
    assert wait == (2.0 ** (failures - 1) if failures < 7 else 60.0)


@pytest.mark.parametrize(("longest", "wait"), [(20.0, 20.0), (0.5, 1.0), (600.0, 60.0)])
def test_backoff_is_never_longer_than_it_may_be_nor_shorter_than_its_first(longest, wait):
    assert backoff(9, DEFAULT_LIMITS, longest) == wait


@pytest.mark.parametrize(
    ("failures", "left", "longest", "wait"),
    [(1, 900, 900, 1.0), (9, 900, 900, 60.0), (9, 900, 30, 30), (9, 20, 9, 9), (9, 0.5, 9, 1.0)],
)
def test_a_renewal_is_tried_again_several_times_before_the_grant_ends(
    failures, left, longest, wait
):
    assert renewal_retry(failures, left, longest, DEFAULT_LIMITS) == wait


@pytest.mark.parametrize(
    ("rounds", "interval", "kept"),
    [
        (0, 900, 5),
        (1, 900, 10),
        (2, 900, 20),
        (3, 900, 40),
        (4, 900, 60),
        (99, inf, 60),
        (3, 15, 15),
        (3, 1, 5),
    ],
)
def test_patience_grows_up_to_a_minute_and_ends_with_the_next_renewal(rounds, interval, kept):
    assert patience(rounds, interval, DEFAULT_LIMITS) == kept
