from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.subscriber.events import Sequence, SeqVerdict

V = SeqVerdict


def judged(*seqs: int | None, sequence: Sequence | None = None) -> list[SeqVerdict]:
    """The verdicts on messages of different content."""
    sequence = sequence or Sequence()
    return [sequence.judge(seq, content) for content, seq in enumerate(seqs)]


def test_messages_in_order_are_expected() -> None:
    assert judged(0, 1, 2, 3) == [V.EXPECTED] * 4


@pytest.mark.clause("SEQ-04")
def test_seq_1_follows_the_largest_seq() -> None:
    sequence = Sequence()
    sequence.judge(0, 0)
    sequence.judge(4294967294, 1)
    assert sequence.judge(4294967295, 2) is V.EXPECTED
    assert sequence.judge(1, 3) is V.EXPECTED


@pytest.mark.clause("SEQ-04")
def test_zero_after_the_largest_seq_is_not_expected() -> None:
    sequence = Sequence()
    sequence.judge(0, 0)
    sequence.judge(4294967295, 1)
    assert sequence.judge(0, 2) is V.LATE


@pytest.mark.clause("CP-01")
def test_a_gap_is_a_missed_message() -> None:
    assert judged(0, 1, 3, 4) == [V.EXPECTED, V.EXPECTED, V.MISSED, V.EXPECTED]


def test_a_first_message_other_than_the_initial_event_is_a_gap() -> None:
    assert judged(1) == [V.MISSED]


@pytest.mark.clause("CP-02")
def test_the_same_message_again_is_a_duplicate_however_often() -> None:
    sequence = Sequence()
    sequence.judge(0, 5)
    sequence.judge(1, 6)
    assert [sequence.judge(1, 6) for _ in range(4)] == [V.DUPLICATE] * 4
    assert sequence.judge(2, 7) is V.EXPECTED
    assert sequence.reliable


@pytest.mark.clause("CP-02")
def test_an_older_message_is_late() -> None:
    assert judged(0, 1, 2, 1)[-1] is V.LATE


@pytest.mark.clause("CP-02")
def test_a_device_that_always_sends_zero_is_not_believed_after_the_second_repeat() -> None:
    sequence = Sequence()
    assert judged(0, 0, 0, 0, 0, sequence=sequence) == [
        V.EXPECTED,
        V.REPEATED,
        V.UNRELIABLE,
        V.EXPECTED,
        V.EXPECTED,
    ]
    assert not sequence.reliable


def test_one_seq_used_twice_is_taken_for_an_accident() -> None:
    sequence = Sequence()
    assert judged(0, 1, 1, 2, sequence=sequence) == [V.EXPECTED, V.EXPECTED, V.REPEATED, V.EXPECTED]
    assert sequence.reliable


def test_a_repeat_whose_own_repeat_arrives_is_a_duplicate() -> None:
    sequence = Sequence()
    sequence.judge(0, 1)
    assert sequence.judge(0, 2) is V.REPEATED
    assert sequence.judge(0, 2) is V.DUPLICATE


def test_a_message_without_seq_ends_the_belief_in_seq_at_once() -> None:
    sequence = Sequence()
    assert judged(0, None, None, 17, 3, sequence=sequence) == [
        V.EXPECTED,
        V.UNRELIABLE,
        V.EXPECTED,
        V.EXPECTED,
        V.EXPECTED,
    ]
    assert not sequence.reliable


def test_an_unreliable_seq_stays_so_with_the_next_sid() -> None:
    sequence = Sequence()
    judged(None, sequence=sequence)
    sequence.restart()
    assert judged(5, 5, 1, sequence=sequence) == [V.EXPECTED] * 3


def test_after_a_restart_the_initial_event_is_expected() -> None:
    sequence = Sequence()
    judged(0, 1, 2, sequence=sequence)
    sequence.restart()
    assert judged(0, 1, sequence=sequence) == [V.EXPECTED, V.EXPECTED]


def test_a_restart_forgets_what_a_duplicate_looks_like() -> None:
    sequence = Sequence()
    sequence.judge(0, 0)
    sequence.judge(3, 7)
    sequence.restart()
    assert sequence.judge(3, 7) is V.MISSED


def test_after_three_repairs_in_a_row_that_began_with_a_gap_the_device_cannot_count() -> None:
    sequence = Sequence()
    verdicts = []
    for _ in range(5):
        verdicts += judged(0, 2, sequence=sequence)
        sequence.restart()
    assert verdicts == [V.EXPECTED, V.MISSED] * 3 + [
        V.EXPECTED,
        V.UNRELIABLE,
        V.EXPECTED,
        V.EXPECTED,
    ]
    assert not sequence.reliable


def test_messages_in_order_between_repairs_restore_the_belief() -> None:
    sequence = Sequence()
    for _ in range(10):
        assert judged(0, 1, 3, sequence=sequence) == [V.EXPECTED, V.EXPECTED, V.MISSED]
        sequence.restart()
    assert sequence.reliable


def test_after_messages_in_order_three_repairs_are_trusted_again() -> None:
    sequence = Sequence()
    for seqs in [(0, 2)] * 3 + [(0, 1, 3)] + [(0, 2)] * 2:
        assert judged(*seqs, sequence=sequence)[-1] is V.MISSED
        sequence.restart()
    assert judged(0, 2, sequence=sequence)[-1] is V.UNRELIABLE


@pytest.mark.parametrize("seq", [1, 3])
def test_the_same_message_again_is_a_duplicate_also_after_one_that_was_late_or_early(seq) -> None:
    sequence = Sequence()
    for earlier in (0, 1, 2):
        sequence.judge(earlier, earlier)
    assert sequence.judge(seq + (seq > 2), 9) in (V.LATE, V.MISSED)
    assert sequence.judge(seq + (seq > 2), 9) is V.DUPLICATE


def test_an_initial_event_alone_does_not_restore_the_belief() -> None:
    sequence = Sequence()
    for _ in range(3):
        judged(0, 2, sequence=sequence)
        sequence.restart()
    assert judged(1, sequence=sequence) == [V.UNRELIABLE]


LARGEST = 4294967295


@pytest.mark.clause("CP-02")
@pytest.mark.parametrize("last", [3, 4, 20, 4_000])
@pytest.mark.parametrize("repeated", [[1], [1, 2, 3], [2, 3], [0, 1, 2], [3, 2, 1], [1, 1, 2, 2]])
def test_messages_that_are_repeated_late_are_no_events_and_the_next_one_is_expected(
    last, repeated
) -> None:
    sequence = Sequence()
    for seq in range(last + 1):
        assert sequence.judge(seq, seq) is V.EXPECTED
    for _ in range(3):
        for seq in repeated:
            if seq < last:
                assert sequence.judge(seq, seq) in (V.LATE, V.DUPLICATE)
            else:
                assert sequence.judge(seq, seq) is V.DUPLICATE
    assert sequence.judge(last + 1, last + 1) is V.EXPECTED
    assert sequence.reliable


@pytest.mark.parametrize("beginning", [0, 1])
def test_a_count_that_begins_anew_is_followed_from_its_second_message_on(beginning) -> None:
    sequence = Sequence()
    for seq in range(10):
        sequence.judge(seq, seq)
    seqs = range(beginning, beginning + 5)
    assert [sequence.judge(seq, 100 + seq) for seq in seqs] == [V.LATE] + [V.EXPECTED] * 4


def test_a_count_that_begins_anew_with_the_same_content_is_followed_from_the_first_change_on() -> (
    None
):
    sequence = Sequence()
    for seq in range(10):
        sequence.judge(seq, seq)
    assert [sequence.judge(seq, seq if seq < 2 else 9) for seq in range(5)] == [
        V.LATE,
        V.LATE,
        V.LATE,
        V.EXPECTED,
        V.EXPECTED,
    ]


def test_a_count_may_begin_anew_several_times() -> None:
    sequence = Sequence()
    content = itertools.count()
    for _ in range(5):
        verdicts = [sequence.judge(seq, next(content)) for seq in range(4)]
        assert verdicts[1:] == [V.EXPECTED] * 3


def test_a_device_that_always_sends_zero_after_a_gap_is_not_dropped_for_long() -> None:
    assert judged(1, 0, 0, 0, 0, 0) == [
        V.MISSED,
        V.LATE,
        V.LATE,
        V.REPEATED,
        V.UNRELIABLE,
        V.EXPECTED,
    ]


def test_a_message_that_was_overtaken_does_not_bring_the_count_back() -> None:
    assert judged(0, 1, 3, 2, 4) == [V.EXPECTED, V.EXPECTED, V.MISSED, V.LATE, V.EXPECTED]


def test_a_repeated_seq_does_not_look_like_a_count_that_begins_anew() -> None:
    sequence = Sequence()
    assert [sequence.judge(*message) for message in [(0, 0), (1, 1), (1, 2), (2, 3), (1, 2)]] == [
        V.EXPECTED,
        V.EXPECTED,
        V.REPEATED,
        V.EXPECTED,
        V.LATE,
    ]
    assert sequence.judge(3, 4) is V.EXPECTED


@pytest.mark.clause("SEQ-04")
@pytest.mark.parametrize(
    ("before", "seq", "verdict"),
    [
        ([LARGEST - 1, LARGEST, 1, 2], LARGEST, V.LATE),
        ([LARGEST - 1, LARGEST, 1, 2], LARGEST - 1, V.LATE),
        ([LARGEST - 1, LARGEST, 1, 2], 1, V.LATE),
        ([LARGEST - 1, LARGEST, 1, 2], 0, V.LATE),
        ([LARGEST - 1, LARGEST, 1, 2], 5, V.MISSED),
        ([LARGEST - 1, LARGEST, 1, 2, 3, 4], 2, V.LATE),
        ([LARGEST - 2, LARGEST - 1], 1, V.MISSED),
        ([LARGEST - 1], 3, V.MISSED),
        ([LARGEST - 1, 3], LARGEST, V.LATE),
        ([0, 1], LARGEST, V.MISSED),
        ([0, 1, 2], 2**31 + 5, V.MISSED),
    ],
)
def test_older_and_later_are_told_apart_across_the_wrap(before, seq, verdict) -> None:
    sequence = Sequence()
    judged(*before, sequence=sequence)
    assert sequence.judge(seq, 99) is verdict


@pytest.mark.clause("SEQ-04")
def test_a_message_that_was_lost_at_the_wrap_may_come_again() -> None:
    sequence = Sequence()
    judged(LARGEST - 1, sequence=sequence)
    sequence.lose(LARGEST)
    assert (sequence.has_taken(LARGEST - 1), sequence.has_taken(LARGEST)) == (True, False)
    assert sequence.judge(LARGEST, 1) is V.EXPECTED
    assert sequence.judge(1, 2) is V.EXPECTED
    assert sequence.has_taken(LARGEST)
    assert not sequence.has_taken(2)


def _on_the_wire(index: int) -> int:
    """The SEQ of the message with a number that does not wrap."""
    return index if index <= LARGEST else index - LARGEST


@given(
    st.sampled_from([0, LARGEST - 5]),
    st.lists(
        st.tuples(st.sampled_from(["next"] * 4 + ["skip", "repeat"]), st.integers(1, 8)),
        max_size=80,
    ),
)
def test_while_seq_is_believed_no_event_is_older_than_the_one_before(start, steps) -> None:
    """A device that counts right, in a network that loses and repeats messages at any time."""
    sequence = Sequence()
    newest = start
    sequence.judge(_on_the_wire(start), start)
    sent = {start}
    for step, count in steps:
        if step == "repeat":
            index = max(newest - count, start)
            lost = index not in sent
            verdict = sequence.judge(_on_the_wire(index), index)
            sent.add(index)
            assert verdict in (V.LATE, V.DUPLICATE)
            assert verdict is V.LATE or not lost
            continue
        index = newest + (1 if step == "next" else 1 + count)
        verdict = sequence.judge(_on_the_wire(index), index)
        if not sequence.reliable:
            return
        assert verdict is (V.EXPECTED if step == "next" else V.MISSED)
        newest = index
        sent.add(index)
        assert sequence.has_taken(_on_the_wire(index))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=60))
def test_while_seq_is_believed_what_passes_as_expected_is_in_order(messages) -> None:
    sequence = Sequence()
    # The newest SEQ, and those of late messages: the count may have begun anew with one of them.
    counts = {-1}
    for number, (seq, content) in enumerate(messages):
        verdict = sequence.judge(seq, content)
        if not sequence.reliable:
            break
        if verdict is V.EXPECTED:
            assert seq - 1 in counts
        elif verdict is V.MISSED:
            assert seq > min(counts) + 1
        elif verdict is V.LATE:
            assert seq < max(counts)
        elif verdict is V.DUPLICATE:
            assert (seq, content) in messages[:number]
        else:
            assert verdict is V.REPEATED
            assert seq in counts
        counts.add(seq)


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**31).map(lambda n: 2 * n)), max_size=40))
def test_while_a_device_does_not_count_every_message_passes(seqs) -> None:
    sequence = Sequence()
    judged(None, sequence=sequence)
    assert set(judged(*seqs, sequence=sequence)) <= {V.EXPECTED}
    assert all(
        sequence.judge(seq, content) is V.EXPECTED for seq, content in itertools.product(seqs, "ab")
    )


def test_a_device_that_counts_again_is_believed_again() -> None:
    sequence = Sequence()
    judged(0, None, *range(20, 28), sequence=sequence)
    assert not sequence.reliable
    # What was lost meanwhile nobody knows.
    assert judged(28, sequence=sequence) == [V.MISSED]
    assert sequence.reliable
    assert judged(29, 31, sequence=sequence) == [V.EXPECTED, V.MISSED]


def test_a_fresh_sid_begins_the_count_anew() -> None:
    sequence = Sequence()
    judged(None, *range(8), sequence=sequence)
    sequence.restart()
    judged(*range(8), sequence=sequence)
    assert not sequence.reliable
    judged(8, sequence=sequence)
    assert sequence.reliable


def test_a_message_out_of_order_begins_the_count_anew() -> None:
    sequence = Sequence()
    judged(None, *range(8), 20, *range(21, 28), sequence=sequence)
    assert not sequence.reliable
    judged(28, sequence=sequence)
    assert sequence.reliable


def test_the_wrap_is_in_order_also_for_a_device_that_was_not_believed() -> None:
    sequence = Sequence()
    judged(None, *range(4294967290, 4294967296), 1, 2, 3, sequence=sequence)
    assert sequence.reliable


def test_who_loses_count_again_and_again_is_believed_ever_later() -> None:
    sequence = Sequence()
    needed = []
    for _ in range(12):
        judged(None, 0, sequence=sequence)
        count = 0
        while not sequence.reliable:
            count += 1
            sequence.judge(count, count)
        needed.append(count)
    assert needed == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]


def test_who_is_believed_again_is_trusted_as_much_as_at_first() -> None:
    sequence = Sequence()
    judged(0, 0, 0, *range(9), sequence=sequence)
    assert sequence.reliable
    assert judged(8, sequence=sequence) == [V.REPEATED]
    for _ in range(3):
        sequence.restart()
        assert judged(0, 2, sequence=sequence)[-1] is V.MISSED
    sequence.restart()
    assert judged(0, 2, sequence=sequence)[-1] is V.UNRELIABLE


def test_a_message_that_could_not_be_taken_leaves_no_gap_and_may_come_again() -> None:
    sequence = Sequence()
    assert sequence.judge(0, 0) is V.EXPECTED
    sequence.lose(1)
    assert (sequence.has_taken(0), sequence.has_taken(1)) == (True, False)
    assert sequence.judge(1, 1) is V.EXPECTED
    assert sequence.has_taken(1)
    sequence.lose(2)
    sequence.lose(1)
    assert sequence.judge(3, 3) is V.EXPECTED
    assert sequence.judge(2, 2) is V.LATE
