from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.token_bucket import TokenBucket


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


def test_a_wait_that_is_not_to_earn_anything_earns_nothing() -> None:
    bucket = TokenBucket(1, 1.0, 0.0)
    bucket.spend(0.0)
    bucket.count_from(0.75)
    assert bucket.ready_at(0.75) == 1.75


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
