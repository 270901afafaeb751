from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.subscriber.events import (
    Cause,
    Change,
    Event,
    EventQueue,
    Status,
    StatusChange,
    merge_events,
)

SUBSCRIPTION = object()


def event(seq: int, initial: bool = False, **values: object) -> Event:
    details = tuple(
        Change(name, value, None, None, None, str(value)) for name, value in values.items()
    )
    return Event(SUBSCRIPTION, "uuid:1", seq, values, details, is_initial=initial)


def status(cause: Cause, value: Status = Status.RESUBSCRIBING) -> StatusChange:
    return StatusChange(SUBSCRIPTION, value, cause, cause.value)


def drained(inbox: EventQueue) -> list[Event | StatusChange]:
    items = []
    while (item := inbox.get()) is not None:
        items.append(item)
    return items


def test_what_is_put_in_comes_out_in_the_same_order() -> None:
    inbox = EventQueue(8)
    items = [event(0, initial=True, A=1), status(Cause.EXPIRED), event(1, A=2)]
    for item in items:
        inbox.put(item)
    assert len(inbox) == 3
    assert drained(inbox) == items
    assert inbox.get() is None
    assert inbox.merged == 0


def test_an_application_that_stands_still_finds_the_newest_values_in_the_last_event() -> None:
    inbox = EventQueue(3)
    for seq in range(10):
        inbox.put(event(seq, A=seq, **({"B": "old"} if seq == 4 else {})))
    first, second, last = drained(inbox)
    assert (first.seq, second.seq, last.seq) == (0, 1, 9)
    assert last.changes == {"A": 9, "B": "old"}
    assert last.merged == inbox.merged == 7


def test_a_status_finds_room_in_an_inbox_full_of_events() -> None:
    inbox = EventQueue(2)
    inbox.put(event(0, A=0))
    inbox.put(event(1, A=1))
    inbox.put(status(Cause.EXPIRED))
    inbox.put(event(2, A=2))
    first, told, last = drained(inbox)
    assert first.seq == 0
    assert told == status(Cause.EXPIRED)
    assert (last.seq, last.changes, last.merged) == (2, {"A": 2}, 1)


def test_of_several_statuses_in_a_full_inbox_the_last_is_kept() -> None:
    inbox = EventQueue(2)
    inbox.put(event(0, A=0))
    inbox.put(event(1, A=1))
    inbox.put(status(Cause.EXPIRED))
    inbox.put(status(Cause.REFUSED))
    assert drained(inbox)[2:] == [status(Cause.REFUSED)]


def test_an_event_finds_room_in_an_inbox_full_of_statuses() -> None:
    inbox = EventQueue(2)
    inbox.put(status(Cause.EXPIRED))
    inbox.put(status(Cause.REFUSED))
    inbox.put(event(5, A=5))
    *_, last = drained(inbox)
    assert last.changes == {"A": 5}
    assert last.merged == inbox.merged == 0


def test_merging_shows_the_value_that_the_application_knew_before_both() -> None:
    older = Event(
        SUBSCRIPTION,
        "uuid:1",
        4,
        {"A": 2, "C": 7},
        (Change("A", 2, 1, None, None, "2"), Change("C", 7, None, None, None, "7")),
        is_initial=False,
    )
    newer = Event(
        SUBSCRIPTION,
        "uuid:1",
        5,
        {"B": 1, "A": 3},
        (Change("B", 1, 0, None, None, "1"), Change("A", 3, 2, None, None, "3")),
        is_initial=False,
    )
    merged = merge_events(older, newer)
    assert merged.details == (
        Change("C", 7, None, None, None, "7"),
        Change("B", 1, 0, None, None, "1"),
        Change("A", 3, 1, None, None, "3"),
    )
    assert merged.changes == {"A": 3, "B": 1, "C": 7}
    assert (merged.seq, merged.sid, merged.merged, merged.is_initial) == (5, "uuid:1", 1, False)


def test_merging_counts_every_event_that_went_into_it() -> None:
    first, second = (merge_events(event(seq, A=seq), event(seq + 1, A=seq + 1)) for seq in (1, 3))
    assert merge_events(first, second).merged == 3
    assert merge_events(first, second).subscription is SUBSCRIPTION


def test_channels_and_instances_are_variables_of_their_own_when_merging() -> None:
    def volume(seq: int, value: int, instance: int, channel: str) -> Event:
        change = Change("Volume", value, None, instance, channel, str(value))
        return Event(SUBSCRIPTION, "uuid:1", seq, {}, (change,), is_initial=False)

    merged = volume(1, 10, 0, "LF")
    for newer in (volume(2, 20, 0, "RF"), volume(3, 30, 1, "LF"), volume(4, 11, 0, "LF")):
        merged = merge_events(merged, newer)
    assert {(c.instance, c.channel): c.value for c in merged.details} == {
        (0, "LF"): 11,
        (0, "RF"): 20,
        (1, "LF"): 30,
    }
    assert merged.merged == 3


def test_a_full_state_makes_earlier_events_superfluous() -> None:
    merged = merge_events(event(7, Gone=1, A=1), event(0, initial=True, A=2, B=3))
    assert merged.changes == {"A": 2, "B": 3}
    assert [change.variable for change in merged.details] == ["A", "B"]
    assert merged.is_initial
    assert merged.seq == 0


def test_an_initial_event_with_changes_merged_into_it_is_still_the_full_state() -> None:
    merged = merge_events(event(0, initial=True, A=1, B=1), event(1, A=2))
    assert merged.is_initial
    assert merged.changes == {"A": 2, "B": 1}


def test_a_variable_that_comes_twice_in_one_event_is_told_once_when_merged() -> None:
    twice = Event(
        SUBSCRIPTION,
        "uuid:1",
        2,
        {"A": 3},
        (Change("A", 2, 1, None, None, "2"), Change("A", 3, 2, None, None, "3")),
        is_initial=False,
    )
    assert merge_events(event(1, B=1), twice).details[1:] == (Change("A", 3, 1, None, None, "3"),)


@given(
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.sampled_from(list(Cause)),
            st.tuples(
                st.booleans(),
                st.dictionaries(st.sampled_from("ABC"), st.integers(), min_size=1),
            ),
            st.none(),
        )
    ),
)
def test_whatever_comes_it_is_bounded_and_the_application_ends_with_the_true_state(
    limit, steps
) -> None:
    inbox = EventQueue(limit)
    true: dict[str, int] = {}
    seen: dict[str, object] = {}
    counted = put = 0
    last_cause = told = None

    def take(item) -> None:
        nonlocal counted, told
        if isinstance(item, Event):
            if item.is_initial:
                seen.clear()
            seen.update(item.changes)
            counted += 1 + item.merged
        elif item is not None:
            told = item.cause

    for step in steps:
        if step is None:
            take(inbox.get())
        elif isinstance(step, Cause):
            inbox.put(status(step))
            last_cause = step
        else:
            initial, values = step
            if initial:
                values = {"A": 0, "B": 0, "C": 0, **values}
            inbox.put(event(put, initial=initial, **values))
            put += 1
            true.update(values)
        assert len(inbox) <= limit + 1
    for item in drained(inbox):
        take(item)
    assert seen == true
    assert counted == put
    assert told == last_cause
