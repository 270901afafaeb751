from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.backlog import Accumulate, Backlog, Replace
from propchange.core.wire.messages import EventMessage
from propchange.core.wire.propertyset import parse_propertyset


def backlog_of(*names: str, waiting: int = 16) -> Backlog:
    return Backlog({name: Replace("0") for name in names}, waiting=waiting)


def told(message: EventMessage) -> dict[str, str]:
    """What stands in the body that is sent, which is what ``changes`` says."""
    pairs = parse_propertyset(message.body, DEFAULT_LIMITS)
    assert pairs == message.changes
    return dict(pairs)


class Reader:
    """One subscription: a cursor."""

    def __init__(self, backlog: Backlog, wanted: frozenset[str] | None = None) -> None:
        self.backlog = backlog
        self.wanted = wanted
        self.merge_at: int | None = None
        self.values = told(backlog.initial(wanted))
        self.cursor = backlog.head

    def take(self) -> EventMessage | None:
        message, self.cursor, self.merge_at = self.backlog.take(
            self.cursor, self.merge_at, self.wanted
        )
        if message is not None:
            self.values.update(told(message))
        return message

    def take_all(self) -> list[EventMessage]:
        messages = []
        while (message := self.take()) is not None:
            messages.append(message)
        return messages


def prune(backlog: Backlog, *readers: Reader) -> None:
    """As the publisher does after each message."""
    if backlog.overfull:
        backlog.prune(reader.cursor for reader in readers)


@pytest.mark.clause("EVT-01")
def test_the_initial_event_has_all_variables_in_the_order_of_the_service() -> None:
    backlog = backlog_of("B", "A")
    backlog.record({"A": "1"})
    assert backlog.initial(None).changes == (("B", "0"), ("A", "1"))


@pytest.mark.clause("SUB-51")
def test_with_statevar_the_initial_event_has_the_wanted_variables_alone() -> None:
    backlog = backlog_of("A", "B", "C")
    assert backlog.initial(frozenset({"C", "A"})).changes == (("A", "0"), ("C", "0"))


def test_a_message_is_made_once_for_all_subscriptions() -> None:
    backlog = backlog_of("A", "B")
    readers = [Reader(backlog), Reader(backlog)]
    choosy = [Reader(backlog, frozenset("A")), Reader(backlog, frozenset("A"))]
    assert backlog.initial(None) is backlog.initial(None)
    backlog.record({"A": "1", "B": "1"})
    assert readers[0].take() is readers[1].take()
    assert choosy[0].take() is choosy[1].take()


def test_an_initial_event_is_made_anew_after_each_change() -> None:
    backlog = backlog_of("A")
    before = backlog.initial(None)
    backlog.set_current("A", "held back by moderation")
    assert told(backlog.initial(None)) == {"A": "held back by moderation"}
    assert dict(backlog.initial(None).changes)["A"] == "held back by moderation"
    backlog.record({"A": "1"})
    assert told(backlog.initial(None)) == {"A": "1"}
    assert told(before) == {"A": "0"}


def test_messages_come_one_by_one_in_their_order() -> None:
    backlog = backlog_of("A", "B")
    reader = Reader(backlog)
    assert reader.take() is None
    for changes in ({"A": "1"}, {"B": "1", "A": "2"}, {"A": "3"}):
        backlog.record(changes)
    assert backlog.head == 3
    assert [told(message) for message in reader.take_all()] == [
        {"A": "1"},
        {"B": "1", "A": "2"},
        {"A": "3"},
    ]
    assert (reader.cursor, reader.merge_at) == (3, None)


def test_sixteen_messages_wait_unmerged() -> None:
    backlog = backlog_of("A")
    reader = Reader(backlog)
    for number in range(16):
        backlog.record({"A": str(number)})
    assert [message.updates for message in reader.take_all()] == [1] * 16


@pytest.mark.clause("FAIL-07")
def test_beyond_sixteen_the_newest_are_merged_into_one() -> None:
    backlog = backlog_of("A", "B", "C")
    reader = Reader(backlog)
    for number in range(1, 31):
        backlog.record({"A": str(number)} if number != 17 else {"B": "b"})
    messages = reader.take_all()
    assert [message.changes for message in messages[:15]] == [
        (("A", str(number)),) for number in range(1, 16)
    ]
    assert [message.updates for message in messages] == [1] * 15 + [15]
    assert told(messages[-1]) == {"A": "30", "B": "b"}
    assert (reader.cursor, reader.merge_at) == (30, None)


def test_what_comes_while_merged_messages_wait_goes_into_the_last_of_them() -> None:
    backlog = backlog_of("A", "B")
    reader = Reader(backlog)
    for number in range(17):
        backlog.record({"A": str(number)})
    reader.take()
    for number in range(100):
        backlog.record({"B": str(number)})
    messages = reader.take_all()
    assert [message.updates for message in messages] == [1] * 14 + [102]
    assert told(messages[-1]) == {"A": "16", "B": "99"}
    backlog.record({"A": "after"})
    assert [message.updates for message in reader.take_all()] == [1]


def test_a_merged_message_is_made_once_for_all_who_are_equally_far_behind() -> None:
    backlog = backlog_of("A", waiting=2)
    readers = [Reader(backlog), Reader(backlog)]
    for number in range(5):
        backlog.record({"A": str(number)})
    assert readers[0].take_all()[-1] is readers[1].take_all()[-1]


def test_with_room_for_one_everything_that_waits_is_merged() -> None:
    backlog = backlog_of("A", waiting=1)
    reader = Reader(backlog)
    backlog.record({"A": "1"})
    backlog.record({"A": "2"})
    assert [(message.updates, told(message)) for message in reader.take_all()] == [(2, {"A": "2"})]


@pytest.mark.clause("SUB-51")
def test_with_statevar_other_messages_are_passed_over() -> None:
    backlog = backlog_of("A", "B")
    reader = Reader(backlog, frozenset("B"))
    backlog.record({"A": "1"})
    assert reader.take() is None
    assert reader.cursor == 1
    backlog.record({"A": "2"})
    backlog.record({"A": "3", "B": "1"})
    backlog.record({"A": "4"})
    assert [told(message) for message in reader.take_all()] == [{"B": "1"}]
    assert reader.cursor == 4


def test_with_statevar_merged_messages_have_the_wanted_variables_alone() -> None:
    backlog = backlog_of("A", "B", "C", waiting=2)
    choosy = Reader(backlog, frozenset("B"))
    deaf = Reader(backlog, frozenset("C"))
    for number in range(9):
        backlog.record({"A": str(number), "B": str(number)})
    assert [told(message) for message in choosy.take_all()] == [{"B": "0"}, {"B": "8"}]
    assert deaf.take() is None
    assert deaf.cursor == 9


# --- bounds ---


def test_however_far_behind_a_subscription_is_few_messages_are_kept() -> None:
    backlog = backlog_of("A", "B")
    slow, quick = Reader(backlog), Reader(backlog)
    for number in range(5_000):
        backlog.record({"AB"[number % 2]: str(number)})
        prune(backlog, slow, quick)
        quick.take_all()
        assert len(backlog._log) <= 100
    messages = slow.take_all()
    assert len(messages) == 16
    assert slow.values == quick.values == {"A": "4998", "B": "4999"}


def test_a_service_without_subscriptions_keeps_few_messages() -> None:
    backlog = backlog_of("A")
    for number in range(1_000):
        backlog.record({"A": str(number)})
        prune(backlog)
        assert len(backlog._log) <= 65


def test_a_subscription_that_waits_for_its_initial_event_is_no_reason_to_keep_messages() -> None:
    """Its cursor is 0, and those messages are gone."""
    backlog = backlog_of("A")
    for number in range(1_000):
        backlog.record({"A": str(number)})
        if backlog.overfull:
            backlog.prune([0])
        assert len(backlog._log) <= 100
    assert Reader(backlog).values == {"A": "999"}


def test_a_subscription_that_catches_up_slowly_misses_nothing_between_prunings() -> None:
    """It is taking the messages that were kept for it while those behind them are gone."""
    backlog = backlog_of("A")
    slow = Reader(backlog)
    taken = []
    for number in range(400):
        backlog.record({"A": str(number)})
        prune(backlog, slow)
        if number % 40 == 39:
            taken.append(slow.take())
    taken += slow.take_all()
    assert slow.values == {"A": "399"}
    assert sum(message.updates for message in taken) == 400
    numbers = [int(message.changes[0][1]) for message in taken]
    assert numbers == sorted(set(numbers))


def test_subscribers_who_want_all_sorts_of_things_do_not_fill_the_memory() -> None:
    names = [f"V{number}" for number in range(12)]
    backlog = backlog_of(*names)
    for number in range(1, 2_000):
        wanted = frozenset(name for bit, name in enumerate(names) if number & 1 << bit)
        assert len(backlog.initial(wanted).changes) == number.bit_count()
        assert len(backlog._cache) <= 256


@given(
    st.integers(1, 4),
    st.lists(
        st.one_of(
            st.tuples(st.just("record"), st.sampled_from(["A", "B", "AB"])),
            st.tuples(st.just("take"), st.integers(0, 3)),
            st.tuples(st.just("enter"), st.sampled_from([None, "A", "B"])),
            st.tuples(st.just("leave"), st.integers(0, 3)),
        ),
        max_size=150,
    ),
)
def test_every_subscription_ends_with_the_true_state_and_no_update_is_uncounted(
    waiting, steps
) -> None:
    backlog = backlog_of("A", "B", waiting=waiting)
    readers: list[Reader] = []
    owed: dict[Reader, int] = {}
    for number, (step, argument) in enumerate(steps):
        if step == "record":
            backlog.record(dict.fromkeys(argument, str(number)))
            backlog.prune(reader.cursor for reader in readers)  # As often as possible.
            assert len(backlog._log) <= waiting * len(readers)
            for reader in readers:
                owed[reader] += 1
        elif step == "enter" and len(readers) < 4:
            reader = Reader(backlog, None if argument is None else frozenset(argument))
            readers.append(reader)
            owed[reader] = 0
        elif step != "enter" and argument < len(readers):
            reader = readers[argument]
            if step == "leave":
                readers.remove(reader)
            else:
                message = reader.take()
                assert message is not None or reader.cursor == backlog.head
                owed[reader] -= message.updates if message is not None else 0
    current = told(backlog.initial(None))
    for reader in readers:
        messages = reader.take_all()
        assert len(messages) <= waiting
        if reader.wanted is None:
            assert sum(message.updates for message in messages) == owed[reader]
        assert reader.values == {name: current[name] for name in reader.values}


# --- merge rules ---


def joined(older: str, newer: str) -> str:
    return f"{older},{newer}"


def test_replace_tells_the_newest_value_that_was_evented() -> None:
    rule = Replace("0")
    rule.record("1", 1)
    rule.record("2", 2)
    rule.set_current("3")
    assert (rule.since(0), rule.since(1), rule.current()) == ("2", "2", "3")


def test_accumulate_tells_all_that_came_since() -> None:
    rule = Accumulate("", joined, keep=4)
    for version, text in enumerate("abc", start=1):
        rule.record(text, version)
    assert [rule.since(version) for version in (0, 1, 2)] == ["a,b,c", "b,c", "c"]
    assert rule.current() == "c"


def test_accumulate_tells_the_value_when_nothing_came_since() -> None:
    rule = Accumulate("first", joined, keep=4)
    assert rule.since(0) == "first"
    rule.set_current("held")
    assert (rule.since(0), rule.current()) == ("held", "held")


def test_accumulate_keeps_a_bounded_number_of_texts_and_loses_none() -> None:
    rule = Accumulate("", joined, keep=3)
    for version, text in enumerate("abcdef", start=1):
        rule.record(text, version)
        assert len(rule._texts) <= 3
    assert rule.since(0) == "a,b,c,d,e,f"
    assert rule.since(2) == "a,b,c,d,e,f"  # Told again what it knows, and misses nothing.
    assert rule.since(4) == "e,f"


def test_accumulate_keeps_two_texts_at_least() -> None:
    rule = Accumulate("", joined, keep=0)
    rule.record("a", 1)
    rule.record("b", 2)
    assert rule.since(1) == "b"


@given(st.integers(2, 6), st.integers(1, 40), st.data())
def test_accumulate_never_loses_a_text(keep, versions, data) -> None:
    rule = Accumulate("", joined, keep=keep)
    for version in range(1, versions + 1):
        rule.record(str(version), version)
    since = data.draw(st.integers(0, versions - 1))
    texts = [int(text) for text in rule.since(since).split(",")]
    assert texts == list(range(texts[0], versions + 1))
    assert texts[0] <= since + 1


def test_a_merged_message_has_what_the_rule_makes_of_the_changes() -> None:
    backlog = Backlog({"Ids": Accumulate("", joined, keep=32), "Name": Replace("")}, waiting=2)
    reader = Reader(backlog)
    for text in "abcd":
        backlog.record({"Ids": text, "Name": text})
    assert [told(message) for message in reader.take_all()] == [
        {"Ids": "a", "Name": "a"},
        {"Ids": "b,c,d", "Name": "d"},
    ]
