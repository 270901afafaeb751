from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.event_queue import EventQueue, MergedEvent, count_characters
from propchange.core.subscriber.events import Cause, Change, Event, Status, StatusChange
from tests import work
from tests.core.subscriber.test_protocol import ControlPoint

SUBSCRIPTION = object()


def event(seq: int, initial: bool = False, **values: object) -> Event:
    details = tuple(
        Change(name, value, None, None, None, str(value)) for name, value in values.items()
    )
    return Event(SUBSCRIPTION, "uuid:1", seq, values, details, is_initial=initial)


def status(cause: Cause, value: Status = Status.RESUBSCRIBING) -> StatusChange:
    return StatusChange(SUBSCRIPTION, value, cause, cause.value)


def merge_events(older: Event, newer: Event) -> Event:
    merged = MergedEvent(older)
    merged.add(newer, DEFAULT_LIMITS.waiting_event_characters)
    return merged.event()


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
    assert inbox
    assert drained(inbox) == items
    assert not inbox
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
        problems=("x", "y"),
    )
    newer = Event(
        SUBSCRIPTION,
        "uuid:1",
        5,
        {"B": 1, "A": 3},
        (Change("B", 1, 0, None, None, "1"), Change("A", 3, 2, None, None, "3")),
        is_initial=False,
        problems=("y", "z"),
    )
    merged = merge_events(older, newer)
    assert merged.details == (
        Change("C", 7, None, None, None, "7"),
        Change("B", 1, 0, None, None, "1"),
        Change("A", 3, 1, None, None, "3"),
    )
    assert merged.changes == {"A": 3, "B": 1, "C": 7}
    assert merged.problems == ("x", "y", "z")
    assert (merged.seq, merged.sid, merged.merged, merged.is_initial) == (5, "uuid:1", 1, False)


def test_merging_counts_every_event_that_went_into_it() -> None:
    first, second = (merge_events(event(seq, A=seq), event(seq + 1, A=seq + 1)) for seq in (1, 3))
    assert merge_events(first, second).merged == 3
    assert merge_events(first, second).subscription is SUBSCRIPTION


def test_an_event_of_several_messages_is_none_of_them_as_received() -> None:
    older, newer = event(1, A=1), event(2, B=2)
    older.received, newer.received = (("A", "1"),), (("B", "2"),)
    assert merge_events(older, newer).received == ()


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


# --- variables whose texts are lists of changes ---


def test_the_containers_of_all_merged_events_are_in_the_merged_one() -> None:
    merged = merge_events(
        event(1, ContainerUpdateIDs="a,1,b,1", A=1), event(2, ContainerUpdateIDs="a,2,c,1")
    )
    assert merged.changes == {"ContainerUpdateIDs": "b,1,a,2,c,1", "A": 1}
    assert [change.text for change in merged.details] == ["1", "b,1,a,2,c,1"]


def test_containers_that_changed_before_an_initial_event_are_not_lost() -> None:
    # The initial event has the last list, and no other (LC-12).
    merged = merge_events(
        event(7, ContainerUpdateIDs="a,1", Gone=1), event(0, initial=True, B=1, A=1)
    )
    assert merged.changes == {"ContainerUpdateIDs": "a,1", "B": 1, "A": 1}
    merged = merge_events(merged, event(0, initial=True, ContainerUpdateIDs="b,1"))
    assert merged.changes == {"ContainerUpdateIDs": "a,1,b,1"}


def test_containers_that_cannot_be_read_are_replaced_and_a_problem_says_so() -> None:
    merged = merge_events(event(1, ContainerUpdateIDs="a,1"), event(2, ContainerUpdateIDs="odd"))
    assert merged.changes == {"ContainerUpdateIDs": "odd"}
    (problem,) = merged.problems
    assert problem.startswith("the changes of ContainerUpdateIDs could not be merged: ValueError")


def test_the_log_of_a_content_directory_keeps_its_entries() -> None:
    def log(seq: int, number: str, initial: bool = False) -> Event:
        text = (
            f'<StateEvent xmlns="urn:schemas-upnp-org:av:cds-event">'
            f'<objMod objID="{number}" updateID="1"/></StateEvent>'
        )
        raw = Change("LastChange", text, None, None, None, text)
        entry = Change("objMod", {"objID": number}, None, None, number, text)
        changes = {"LastChange": text}
        return Event(SUBSCRIPTION, "uuid:1", seq, changes, (raw, entry), is_initial=initial)

    merged = merge_events(merge_events(log(1, "5"), log(2, "6")), log(0, "6", initial=True))
    channels = [change.channel for change in merged.details if change.variable == "objMod"]
    assert channels == ["5", "6"]
    assert merged.changes["LastChange"].count("<objMod") == 2


def test_a_merged_text_has_the_type_of_its_variable() -> None:
    point = ControlPoint()
    record = point.subscribe(
        convert={"Total": int}, merges={"Total": lambda older, newer: str(int(older) + int(newer))}
    )
    queue = EventQueue(1)
    queue.record = record
    for seq, value in enumerate((1, 2, 3)):
        queue.put(event(seq, Total=value))
    (merged,) = drained(queue)
    assert merged.changes == {"Total": 6}
    assert merged.details == (Change("Total", 6, None, None, None, "6"),)


def test_a_merged_text_that_does_not_fit_its_type_changes_nothing() -> None:
    record = ControlPoint().subscribe(
        convert={"Total": int}, merges={"Total": lambda older, newer: "many"}
    )
    queue = EventQueue(1)
    queue.record = record
    for seq, value in enumerate((1, 2)):
        queue.put(event(seq, Total=value))
    assert drained(queue)[0].changes == {"Total": 2}


def test_a_list_without_room_is_left_out_as_a_whole() -> None:
    merged = MergedEvent(event(1, ContainerUpdateIDs="a,1"))
    merged.add(event(2, B="x" * 400), 500)
    assert merged.event().changes == {"B": "x" * 400}
    assert merged.event().left_out == 1


# --- an application that stands still ---


def kept(queue: EventQueue) -> int:
    """The characters of all events that wait."""
    return sum(count_characters(item.details) for item in drained(queue) if isinstance(item, Event))


def test_new_variables_in_each_event_do_not_make_the_merged_event_grow_without_end() -> None:
    queue = EventQueue(4, 100_000)
    for seq in range(5_000):
        queue.put(event(seq, **{f"V{seq}": seq, "A": seq}))
    *_, last = items = drained(queue)
    assert len(items) == 4
    assert count_characters(last.details) <= 100_000
    assert last.changes["A"] == last.changes["V4999"] == 4_999
    assert last.changes.keys() == {change.variable for change in last.details}
    assert last.left_out + len(last.details) == 4_997 + 1


def test_large_values_are_merged_before_they_take_too_much_memory() -> None:
    queue = EventQueue(256, 1_000_000)
    for seq in range(1_000):
        queue.put(event(seq, **{f"V{seq}": "x" * 100_000}))
    assert len(queue) < 12
    assert queue.merged > 980
    assert kept(queue) < 3_000_000


@given(
    st.integers(1, 4),
    st.integers(600, 3_000),
    st.lists(
        st.tuples(
            st.booleans(),
            st.dictionaries(st.text("ABCDEFGH", min_size=1, max_size=2), st.integers(0, 9)),
            st.booleans(),
        )
    ),
)
def test_what_waits_is_bounded_and_what_is_left_out_is_said(limit, characters, puts) -> None:
    queue = EventQueue(limit, characters)
    true: dict[str, object] = {}
    seen: dict[str, object] = {}
    complete = True
    for seq, (initial, values, read) in enumerate(puts):
        if initial:
            true.clear()
        true.update(values)
        queue.put(event(seq, initial, **values))
        if read and (item := queue.get()) is not None:
            complete = _follow(seen, item, complete)
    waiting = drained(queue)
    assert len(waiting) <= limit + 1
    largest = max((len(values) for _, values, _ in puts), default=0) * 260
    assert sum(count_characters(item.details) for item in waiting) <= 2 * characters + 2 * largest
    for item in waiting:
        complete = _follow(seen, item, complete)
    if complete:
        assert seen == true
    assert seen.items() <= true.items() or not complete


def _follow(seen: dict[str, object], item: Event, complete: bool) -> bool:
    if item.is_initial:
        seen.clear()
        complete = True
    seen.update(item.changes)
    assert len(item.changes) == len(item.details)
    return complete and not item.left_out


def test_a_full_state_has_what_was_left_out_before_it() -> None:
    merged = MergedEvent(event(1, **{f"V{number}": number for number in range(9)}))
    merged.add(event(2, B=1), 600)
    assert merged.event().left_out == 8
    merged.add(event(0, initial=True, A=1), 600)
    assert merged.event().left_out == 0


def test_the_newest_variable_stays_however_large_it_is() -> None:
    merged = MergedEvent(event(1, A=1))
    merged.add(event(2, B="x" * 1_000), 100)
    assert merged.event().changes == {"B": "x" * 1_000}


def test_of_the_channels_of_a_variable_the_value_that_stands_for_all_goes_with_its_own() -> None:
    def volume(seq: int, channel: str) -> Event:
        change = Change("Volume", seq, None, 0, channel, str(seq))
        changes = {"Volume": seq} if channel == "Master" else {}
        return Event(SUBSCRIPTION, "uuid:1", seq, changes, (change,))

    merged = MergedEvent(volume(1, "LF"))
    merged.add(volume(2, "Master"), 600)
    merged.add(volume(3, "RF"), 600)
    assert merged.event().changes == {"Volume": 2}
    merged.add(volume(4, "LF"), 600)
    assert merged.event().changes == {}


def test_merging_an_event_costs_the_same_however_much_was_merged_before() -> None:
    def cost(before: int) -> int:
        queue = EventQueue(2)
        queue.put(event(0, A=0))
        queue.put(event(0, **{f"V{number}": number for number in range(before)}))
        queue.put(event(1, A=1))
        return work.steps(lambda: [queue.put(event(seq, A=seq)) for seq in range(100)])

    assert cost(5_000) < 1.1 * cost(5)
