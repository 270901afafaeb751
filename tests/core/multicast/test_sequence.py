"""SEQ of multicast events, as a receiver keeps count of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.multicast.reception import Numbering
from propchange.core.wire.headers import LARGEST_SEQ, next_seq


def seen(*indexes: int, window: int = 8) -> Numbering:
    numbering = Numbering(window)
    for index in indexes:
        numbering.add(index)
    return numbering


@pytest.mark.clause("MC-09")
@pytest.mark.parametrize(
    ("highest", "seq", "index"),
    [
        (0, 1, 1),
        (5, 0, 0),
        (LARGEST_SEQ, 1, LARGEST_SEQ + 1),
        (LARGEST_SEQ, LARGEST_SEQ, LARGEST_SEQ),
        (LARGEST_SEQ + 1, LARGEST_SEQ, LARGEST_SEQ),
        (LARGEST_SEQ + 1, 2, LARGEST_SEQ + 2),
        (2 * LARGEST_SEQ, 1, 2 * LARGEST_SEQ + 1),
        (3, LARGEST_SEQ, LARGEST_SEQ),
    ],
)
def test_a_seq_stands_for_the_nearest_index(highest: int, seq: int, index: int) -> None:
    assert seen(highest).index(seq) == index


@pytest.mark.clause("MC-09")
@given(st.integers(0, 3 * LARGEST_SEQ), st.integers(-40, 40))
def test_around_what_was_seen_every_seq_is_understood(highest: int, away: int) -> None:
    index = max(highest + away, 0)
    seq = index if index <= LARGEST_SEQ else (index - 1) % LARGEST_SEQ + 1
    assert seen(highest).index(seq) == index
    assert next_seq(seq) == (index if index < LARGEST_SEQ else index % LARGEST_SEQ) + 1


@pytest.mark.clause("MC-16")
def test_what_was_seen_is_known_for_as_far_as_the_window_goes() -> None:
    numbering = seen(0, 1, 3)
    assert [numbering.has(index) for index in range(5)] == [True, True, False, True, False]
    numbering.add(2)
    assert numbering.has(2)
    numbering.add(8)
    assert [numbering.has(index) for index in (0, 1, 2, 3, 4, 8)] == [
        False,
        True,
        True,
        True,
        False,
        True,
    ]


@pytest.mark.clause("MC-22")
def test_what_is_missing_is_counted_once() -> None:
    numbering = Numbering(8)
    assert [numbering.add(index) for index in (5, 6, 9, 7, 10, 10_000)] == [0, 0, 2, 0, 0, 9_989]


def out_of_step(numbering: Numbering, index: int) -> bool:
    """Whether a receiver refuses ``index``; it is added unless the numbering begins anew."""
    if not numbering.is_behind(index):
        numbering.add(index)
    elif not numbering.has_begun_anew(index):
        numbering.note_behind(index)
        return True
    return False


def test_what_is_remembered_does_not_grow_with_what_a_peer_says() -> None:
    numbering = seen(0, 1, LARGEST_SEQ, 2 * LARGEST_SEQ, window=64)
    for index in range(1_000):
        numbering.add(2 * LARGEST_SEQ + index)
    assert numbering._seen.bit_length() <= 64


def test_two_in_a_row_far_behind_are_a_new_beginning_and_one_is_not() -> None:
    numbering = seen(100)
    assert not out_of_step(numbering, 93)
    assert out_of_step(numbering, 92)
    assert out_of_step(numbering, 0)
    assert out_of_step(numbering, 0)
    assert not out_of_step(numbering, 1)
    interrupted = seen(100)
    assert out_of_step(interrupted, 0)
    assert not out_of_step(interrupted, 101)
    assert out_of_step(interrupted, 1)
