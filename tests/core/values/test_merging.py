from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.backlog import MergeRule
from propchange.core.values.merging import CONTAINERS, Fold, FoldedChange, FoldRule, MergedText
from tests.work import steps


class Words(Fold):
    """``a.x=1 b.y=2``; ``a!`` takes all keys of ``a`` away."""

    def __init__(self, *, has_state: bool = True) -> None:
        self.has_state = has_state

    def read(self, text: str) -> Sequence[FoldedChange]:
        changes: list[FoldedChange] = []
        for word in text.split():
            if word.endswith("!"):
                changes.append(((word[:-1],), None))
            else:
                key, value = word.split("=")
                changes.append((tuple(key.split(".")), value))
        return changes

    def write(self, changes: Iterable[FoldedChange]) -> str:
        return " ".join(
            f"{key[0]}!" if content is None else f"{'.'.join(map(str, key))}={content}"
            for key, content in changes
        )


WORDS = Words()


def rule_of(text: str = "a.x=0 b.x=0", *, most: int = 100, has_state: bool = True) -> FoldRule:
    return FoldRule(Words(has_state=has_state), text, most=most)


# --- two texts in a row ---


def test_of_two_texts_the_later_change_of_a_key_counts() -> None:
    assert WORDS("a.x=1 b.x=1", "a.x=2 c.x=2") == "b.x=1 a.x=2 c.x=2"


def test_what_has_gone_is_told_to_have_gone_and_nothing_else_of_it() -> None:
    assert WORDS("a.x=1 a.y=1 b.x=1", "a!") == "b.x=1 a!"


def test_what_has_gone_and_come_back_is_told_as_both() -> None:
    assert WORDS("a.x=1", "a! a.y=2") == "a! a.y=2"
    assert WORDS("a!", "a.y=2") == "a! a.y=2"


# --- the rule ---


def test_the_rule_remembers_as_many_keys_as_the_limits_say() -> None:
    rule: MergeRule = WORDS.rule("", Limits(fold_keys=1))
    rule.record("a.x=1", 1)
    rule.record("b.x=2", 2)
    assert (rule.since(1), rule.since(0)) == ("b.x=2", "a.x=1 b.x=2")
    assert DEFAULT_LIMITS.fold_keys > 1


def test_since_tells_exactly_what_changed_after_a_version() -> None:
    rule = rule_of()
    rule.record("a.x=1", 1)
    rule.record("b.x=2 c.x=2", 2)
    rule.record("a.x=3", 3)
    assert rule.since(0) == "b.x=2 c.x=2 a.x=3"
    assert rule.since(1) == "b.x=2 c.x=2 a.x=3"
    assert rule.since(2) == "a.x=3"


@pytest.mark.clause("LC-07")
def test_the_current_state_is_the_sum_of_all_changes_in_a_steady_order() -> None:
    rule = rule_of("a.x=0 b.x=0")
    rule.record("c.x=1", 1)
    rule.record("a.x=2", 2)
    assert rule.current() == "a.x=2 b.x=0 c.x=1"


def test_what_is_held_back_is_current_and_not_told() -> None:
    rule = rule_of("a.x=0")
    rule.record("b.x=1", 1)
    rule.set_current("b.x=2")
    assert rule.current() == "a.x=0 b.x=2"
    assert rule.since(0) == "b.x=1"


def test_what_has_gone_is_not_in_the_current_state() -> None:
    rule = rule_of("a.x=0 a.y=0 b.x=0")
    rule.record("a.x=1", 1)
    rule.record("a!", 2)
    assert rule.current() == "b.x=0"
    assert rule.since(0) == "a!"
    rule.record("a.z=3", 3)
    assert rule.current() == "b.x=0 a.z=3"
    assert rule.since(0) == "a! a.z=3"


def test_whoever_is_behind_more_keys_than_are_remembered_is_told_the_whole_state() -> None:
    rule = rule_of("a.x=0 b.x=0 c.x=0", most=2)
    for version, key in enumerate("abc", 1):
        rule.record(f"{key}.x={version}", version)
    assert rule.since(0) == "a.x=1 b.x=2 c.x=3"
    assert rule.since(1) == "b.x=2 c.x=3"


def test_without_a_state_the_initial_event_has_the_last_text() -> None:
    rule = rule_of("", has_state=False)
    rule.record("a.x=1", 1)
    rule.record("b.x=2", 2)
    assert (rule.current(), rule.since(0)) == ("b.x=2", "a.x=1 b.x=2")
    rule.set_current("c.x=3")
    assert rule.current() == "c.x=3"


def test_without_a_state_whoever_is_far_behind_is_told_what_is_remembered() -> None:
    rule = rule_of("", most=2, has_state=False)
    for version, key in enumerate("abc", 1):
        rule.record(f"{key}.x={version}", version)
    assert rule.since(0) == "b.x=2 c.x=3"


changes = st.one_of(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9)).map(
        lambda it: f"{it[0]}.{it[1]}={it[2]}"
    ),
    st.sampled_from(["a!", "b!"]),
)


def applied(state: dict[tuple[object, ...], object], text: str) -> dict[tuple[object, ...], object]:
    state = dict(state)
    for key, content in WORDS.read(text):
        if content is None:
            state = {known: value for known, value in state.items() if known[0] != key[0]}
        else:
            state[key] = content
    return state


@given(
    st.lists(st.lists(changes, min_size=1, max_size=4), max_size=12), st.integers(1, 8), st.data()
)
def test_whenever_a_subscriber_is_told_its_state_becomes_the_true_one(messages, most, data) -> None:
    """A state and then since() give the same as every message, one by one, and as current()."""
    rule = rule_of("a.x=0 b.x=0", most=most)
    truth = applied({}, "a.x=0 b.x=0")
    told_until = data.draw(st.integers(0, len(messages)))
    state = truth
    for version, words in enumerate(messages, 1):
        text = " ".join(words)
        rule.record(text, version)
        truth = applied(truth, text)
        if version == told_until:
            state = truth
    assert applied({}, rule.current()) == truth
    if told_until < len(messages):
        told = applied(state, rule.since(told_until))
        # What has gone may stay with those that are behind more keys than are remembered.
        assert {key: told[key] for key in truth} == truth
        if most == 8:
            assert told == truth


@given(st.lists(st.lists(changes, max_size=4).map(" ".join), min_size=2, max_size=6))
def test_merging_in_any_order_means_the_same(texts) -> None:
    left = texts[0]
    for text in texts[1:]:
        left = WORDS(left, text)
    right = texts[-1]
    for text in reversed(texts[:-1]):
        right = WORDS(text, right)
    start = applied({}, "a.x=0 a.y=0 b.x=0")
    one_by_one = start
    for text in texts:
        one_by_one = applied(one_by_one, text)
    assert applied(start, left) == applied(start, right) == one_by_one


# --- the cost of removals ---


def words(*changes: str) -> str:
    return " ".join(changes)


@pytest.mark.parametrize("before", ["", " ".join(f"k{number}.x=1" for number in range(2_000))])
def test_many_removals_cost_as_many_steps_as_there_are_words(before: str) -> None:
    def cost(removed: int) -> int:
        rule = FoldRule(WORDS, before, most=10_000)
        rule.record(before, 1)
        text = words(*(f"a{number}!" for number in range(removed)))
        return steps(lambda: rule.record(text, 2)) + steps(lambda: WORDS(before, text))

    assert cost(2_000) - cost(1_000) < 1.2 * (cost(1_000) - cost(10))


def test_words_that_come_and_go_in_one_text_are_gone_or_there_as_the_last_of_them_says() -> None:
    rule = rule_of("a.x=0 a.y=0 b.x=0")
    rule.record("a! a.x=1 a! a.z=2 b! b!", 1)
    assert rule.current() == "a.z=2"
    assert rule.since(0) == "a! a.z=2 b!"


def test_more_keys_than_are_remembered_are_forgotten_in_one_pass() -> None:
    rule = FoldRule(WORDS, "", most=2)
    rule.record("a.x=1 b.x=1 c.x=1 d.x=1", 1)
    assert (rule.since(0), rule.since(1)) == ("a.x=1 b.x=1 c.x=1 d.x=1", "")


# --- texts that merge as they come ---


def merged(*texts: str, merge=WORDS, most: int = 10_000) -> MergedText:
    first, *others = texts
    text = MergedText(merge, first)
    for other in others:
        text.add(other, most)
    return text


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 9)).map(
                lambda word: f"{word[0]}!" if word[2] == 9 else f"{word[0]}.{word[1]}={word[2]}"
            ),
            min_size=1,
        ).map(" ".join),
        min_size=1,
    )
)
def test_texts_that_merge_as_they_come_are_those_that_merge_two_by_two(texts) -> None:
    expected = texts[0]
    for text in texts[1:]:
        expected = WORDS(expected, text)
    assert merged(*texts).text() == expected
    assert not merged(*texts).failure


def test_a_single_text_stays_as_it_is() -> None:
    assert merged("no words").text() == "no words"
    assert merged("no words").characters == 8


def test_a_function_merges_the_text_so_far_and_the_newer_one() -> None:
    text = merged("1", "2", "3", merge=lambda older, newer: str(int(older) + int(newer)))
    assert (text.text(), text.failure, text.is_state) == ("6", "", False)


def test_state_is_replaced_by_an_initial_event_and_a_list_of_changes_is_not() -> None:
    assert merged("a.x=1").is_state
    assert not merged("a,1", merge=CONTAINERS).is_state


@pytest.mark.parametrize("merge", [lambda older, newer: None, lambda older, newer: 1 / 0, WORDS])
def test_if_merging_fails_the_newest_text_counts(merge) -> None:
    text = merged("a.x=1", "broken", "b.x=", merge=merge)
    assert text.text() == "b.x="
    assert text.failure
    assert text.characters == 4


def test_if_writing_fails_the_newest_text_counts() -> None:
    class Mute(Words):
        def write(self, changes: Iterable[FoldedChange]) -> str:
            raise RuntimeError("no ink")

    text = merged("a.x=1", "b.x=1", merge=Mute())
    assert text.text() == "b.x=1"
    assert text.failure == "RuntimeError('no ink')"


def test_texts_have_at_most_the_room_that_there_is() -> None:
    text = merged(*(f"k{number}.x={number}" for number in range(1_000)), most=100)
    assert len(text.text()) <= text.characters <= 100
    assert text.text().endswith("k998.x=998 k999.x=999")
    assert text.lost + len(text.text().split()) == 1_000


def test_the_key_that_changed_last_stays_however_large_it_is() -> None:
    assert merged("a.x=1", "b.x=" + "1" * 500, most=100).text() == "b.x=" + "1" * 500


def test_a_merged_text_of_a_function_without_room_is_the_newest_one() -> None:
    text = merged(*"abcdefgh", merge=lambda older, newer: older + newer, most=4)
    assert (text.text(), text.lost) == ("efgh", 1)


@pytest.mark.parametrize("most", [10**9, 2_000])
def test_a_further_text_costs_the_same_however_many_came_before(most) -> None:
    def cost(before: int) -> int:
        text = merged(*(f"{number},1" for number in range(before)), merge=CONTAINERS, most=most)
        more = [f"{number},2" for number in range(before, before + 200)]
        return steps(lambda: [text.add(each, most) for each in more])

    assert cost(10_000) < 1.5 * cost(1_000)
