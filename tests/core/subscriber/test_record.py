from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.current_values import InstanceValues, LargeValues
from propchange.core.subscriber.events import Change, Status
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.states import SubscriberState
from tests.work import steps


def held_with(convert=None, limits: Limits = DEFAULT_LIMITS) -> SubscriptionRecord:
    return SubscriptionRecord(
        "http://10.0.0.1/evt",
        persistent=True,
        describable=False,
        device=None,
        convert=convert,
        duration_wanted=1800,
        limits=limits,
        begun_at=0.0,
    )


# --- decoding ---


def test_without_types_every_value_is_its_text() -> None:
    record = held_with()
    event = record.decode(0, (("A", "1"), ("B", "x")), initial=True)
    assert event.changes == record.values == {"A": "1", "B": "x"}
    assert event.details == (
        Change("A", "1", None, None, None, "1"),
        Change("B", "x", None, None, None, "x"),
    )
    assert (event.subscription, event.seq, event.is_initial) == (record, 0, True)


def test_with_types_values_are_converted_and_the_value_before_is_shown() -> None:
    record = held_with({"A": int})
    record.sid = "uuid:1"
    record.decode(0, (("A", "1"),), initial=True)
    event = record.decode(1, (("A", "2"),), initial=False)
    assert event.details == (Change("A", 2, 1, None, None, "2"),)
    assert event.changes == record.values == {"A": 2}
    assert (event.sid, event.is_initial) == ("uuid:1", False)


@pytest.mark.clause("XML-06")
def test_what_does_not_fit_or_is_not_declared_arrives_as_text_and_changes_nothing() -> None:
    record = held_with({"A": int, "B": int})
    record.decode(0, (("A", "1"), ("B", "1")), initial=True)
    event = record.decode(1, (("A", "many"), ("New", "x"), ("B", "2")), initial=False)
    assert event.details == (
        Change("A", None, 1, None, None, "many"),
        Change("New", None, None, None, None, "x"),
        Change("B", 2, 1, None, None, "2"),
    )
    assert event.changes == {"B": 2}
    assert record.values == {"A": 1, "B": 2}


def test_a_variable_that_comes_twice_ends_with_its_later_value() -> None:
    record = held_with({"A": int})
    event = record.decode(1, (("A", "1"), ("A", "2")), initial=False)
    assert [change.value for change in event.details] == [1, 2]
    assert event.changes == record.values == {"A": 2}


def test_an_event_keeps_its_changes_when_the_values_go_on() -> None:
    record = held_with()
    first = record.decode(0, (("A", "1"),), initial=True)
    record.decode(1, (("A", "2"),), initial=False)
    assert first.changes == {"A": "1"}


# --- LastChange ---


def last_change(*instances: str) -> str:
    return f'<Event xmlns="urn:x">{"".join(instances)}</Event>'


def instance(number: object, **values: object) -> str:
    inside = "".join(
        f'<{name.partition("_")[0]} channel="{name.partition("_")[2]}" val="{value}"/>'
        if "_" in name
        else f'<{name} val="{value}"/>'
        for name, value in values.items()
    )
    return f'<InstanceID val="{number}">{inside}</InstanceID>'


RENDERING = {"LastChange": str, "Volume": int, "Mute": int, "Preset": str}


@pytest.mark.clause("LC-03")
@pytest.mark.clause("LC-04")
def test_a_last_change_is_expanded_into_its_typed_variables() -> None:
    record = held_with(RENDERING)
    text = last_change(
        instance(0, Volume_Master=20, Volume_LF=5, Preset="A"), instance(1, Volume_Master=7)
    )
    event = record.decode(0, (("LastChange", text),), initial=True)
    assert event.changes == record.values == {"Volume": 20, "Preset": "A"}
    assert event.details == (
        Change("LastChange", text, None, None, None, text),
        Change("Volume", 20, None, 0, "Master", "20"),
        Change("Volume", 5, None, 0, "LF", "5"),
        Change("Preset", "A", None, 0, None, "A"),
        Change("Volume", 7, None, 1, "Master", "7"),
    )
    assert record.unreadable == ()
    later = record.decode(
        1, (("LastChange", last_change(instance(0, Volume_LF=6))),), initial=False
    )
    assert later.changes == {}
    assert later.details[1] == Change("Volume", 6, 5, 0, "LF", "6")
    assert record.values == {"Volume": 20, "Preset": "A"}


def test_an_event_has_its_message_as_received_beside_the_values_in_it() -> None:
    record = held_with(RENDERING | {"Count": int})
    texts = last_change(instance(0, Volume=20)), "<StateEvent/>", last_change(instance(0, Mute=1))
    pairs = (
        ("Count", "three"),
        *(("LastChange", text) for text in texts),
        ("Count", "3"),
        ("Vendor", "x"),
    )
    event = record.decode(0, pairs, initial=True)
    assert event.received == pairs
    assert event.changes == {"Volume": 20, "Mute": 1, "Count": 3}


def test_several_last_changes_in_one_message_are_applied_in_their_order() -> None:
    record = held_with(RENDERING)
    texts = [
        last_change(instance(0, Volume_Master=20, Mute=1), instance(1, Volume_Master=7)),
        "junk",
        last_change(instance(0, Volume_Master=21), instance(2, Preset="B")),
        "",
    ]
    pairs = tuple(("LastChange", text) for text in texts)
    event = record.decode(0, pairs, initial=True)
    assert event.changes == record.values == {"Volume": 21, "Mute": 1}
    assert [change.text for change in event.details[:4]] == texts
    assert [(c.variable, c.value, c.previous, c.instance) for c in event.details[4:]] == [
        ("Volume", 20, None, 0),
        ("Mute", 1, None, 0),
        ("Volume", 7, None, 1),
        ("Volume", 21, 20, 0),
        ("Preset", "B", None, 2),
    ]
    assert [reason.partition(":")[0] for reason in record.unreadable] == [
        "a LastChange cannot be read"
    ]
    assert {key[1] for key in record.full_state if key[1]} == {1, 2}
    # What cannot be read is said of the first few alone.
    record.decode(1, (("LastChange", "junk"),) * 50, initial=False)
    assert len(record.unreadable) == 8
    assert record.values == {"Volume": 21, "Mute": 1, "LastChange": "junk"}


def test_the_full_state_has_every_instance_and_channel_and_what_is_evented_by_itself() -> None:
    record = held_with()
    text = last_change(instance(0, Volume_Master=20, Volume_LF=5), instance(1, Volume_Master=7))
    record.decode(0, (("LastChange", text), ("SystemUpdateID", "3")), initial=True)
    assert record.full_state == {
        ("SystemUpdateID", None, None): "3",
        ("Volume", 0, "Master"): "20",
        ("Volume", 0, "LF"): "5",
        ("Volume", 1, "Master"): "7",
    }
    assert record.values == {"SystemUpdateID": "3", "Volume": "20"}


def test_a_master_channel_in_any_case_is_the_value() -> None:
    record = held_with()
    record.decode(0, (("LastChange", last_change(instance(0, Volume_MASTER=3))),), initial=True)
    assert record.values == {"Volume": "3"}


@pytest.mark.clause("XML-10")
def test_what_does_not_fit_in_a_last_change_arrives_as_text_and_changes_nothing() -> None:
    record = held_with(RENDERING)
    record.decode(0, (("LastChange", last_change(instance(0, Volume=1))),), initial=True)
    text = last_change(instance(0, Volume="loud", Vendor="x", Mute=1))
    event = record.decode(1, (("LastChange", text),), initial=False)
    assert event.changes == {"Mute": 1}
    assert event.details[1:] == (
        Change("Volume", None, 1, 0, None, "loud"),
        Change("Vendor", None, None, 0, None, "x"),
        Change("Mute", 1, None, 0, None, "1"),
    )
    assert record.values == {"Volume": 1, "Mute": 1}


@pytest.mark.parametrize("text", ["Volume=20", "<Event>", "<Other/>"])
def test_a_last_change_that_cannot_be_read_arrives_as_text_and_is_told(text) -> None:
    record = held_with(RENDERING)
    event = record.decode(1, (("LastChange", text),), initial=False)
    assert event.changes == {"LastChange": text}
    assert event.details == (Change("LastChange", text, None, None, None, text),)
    (reason,) = record.unreadable
    assert reason.startswith("a LastChange cannot be read: ")
    record.decode(2, (("Volume", "5"),), initial=False)
    assert record.unreadable == ()


@pytest.mark.parametrize(("convert", "text"), [(int, "5"), (str, ""), (str, "  ")])
def test_a_last_change_of_another_kind_or_without_a_text_is_an_ordinary_value(
    convert, text
) -> None:
    record = held_with({"LastChange": convert})
    event = record.decode(1, (("LastChange", text),), initial=False)
    assert event.changes == {"LastChange": convert(text)}
    assert record.unreadable == ()


def test_an_instance_that_is_no_number_is_told_and_the_rest_is_taken() -> None:
    record = held_with(RENDERING)
    text = last_change(instance("x", Volume=1), instance(0, Volume=2))
    assert record.decode(1, (("LastChange", text),), initial=False).changes == {"Volume": 2}
    assert record.unreadable == ("left out of a LastChange: 'x' is no InstanceID",)


@pytest.mark.clause("LC-11")
def test_what_happened_to_objects_is_in_the_details_with_its_attributes() -> None:
    record = held_with({"LastChange": str})
    text = '<StateEvent><objMod objID="7" updateID="3"/></StateEvent>'
    event = record.decode(1, (("LastChange", text),), initial=False)
    assert event.changes == {"LastChange": text}
    assert event.details[1] == Change(
        "objMod",
        {"objID": "7", "updateID": "3"},
        None,
        None,
        "7",
        '<objMod objID="7" updateID="3"/>',
    )
    assert record.instances.flat() == {}


def test_an_initial_event_forgets_the_instances_that_it_does_not_name() -> None:
    record = held_with()
    both = last_change(instance(0, A=1), instance(1, A=1), instance(2, A=1))
    record.decode(0, (("LastChange", both),), initial=True)
    record.decode(0, (("LastChange", last_change(instance(2), instance(1, A=2))),), initial=True)
    assert record.instances.flat() == {
        ("A", 0, None): "1",
        ("A", 1, None): "2",
        ("A", 2, None): "1",
    }
    record.decode(1, (("LastChange", last_change(instance(1, A=3))),), initial=False)
    record.decode(0, (("LastChange", last_change(instance(0, A=4))),), initial=True)
    assert record.instances.flat() == {("A", 0, None): "4"}


def test_an_instance_that_is_named_with_nothing_to_tell_has_gone() -> None:
    record = held_with()
    both = last_change(instance(0, A=1), instance(1, A=1, B_LF=2))
    record.decode(0, (("LastChange", both),), initial=True)
    record.decode(1, (("LastChange", last_change(instance(1), instance(0))),), initial=False)
    assert record.instances.flat() == {("A", 0, None): "1"}


def test_a_device_cannot_fill_the_memory_with_variables_that_nobody_declares() -> None:
    record = held_with(limits=replace(DEFAULT_LIMITS, fold_keys=2))
    record.decode(0, (("A", "1"), ("B", "1")), initial=True)
    event = record.decode(1, (("C", "1"), ("B", "2")), initial=False)
    assert event.changes == {"C": "1", "B": "2"}
    assert record.values == {"A": "1", "B": "2"}


def test_a_device_cannot_fill_the_memory_with_instances() -> None:
    record = held_with(limits=replace(DEFAULT_LIMITS, fold_keys=2))
    for number in range(5):
        event = record.decode(
            number, (("LastChange", last_change(instance(number, A=number))),), initial=False
        )
        assert event.details[1].instance == number
    record.decode(5, (("LastChange", last_change(instance(1, A="x"))),), initial=False)
    assert record.instances.flat() == {("A", 0, None): "0", ("A", 1, None): "x"}


def test_a_subscription_begins_with_nothing_granted() -> None:
    record = held_with()
    assert (record.state, record.status, record.status_cause) == (
        SubscriberState.WAITING,
        Status.SUBSCRIBING,
        None,
    )
    assert (record.sid, record.expires, record.duration_granted, record.values) == (
        "",
        None,
        None,
        {},
    )
    assert repr(record) == "<SubscriptionRecord http://10.0.0.1/evt WAITING >"


def test_a_lastchange_that_the_description_does_not_declare_is_read_all_the_same() -> None:
    """GMediaRender's ConnectionManager sends one."""
    record = held_with({"Volume": int})
    text = last_change(instance(0, Volume_MASTER=3))
    event = record.decode(0, (("LastChange", text),), initial=True)

    assert event.changes == {"Volume": 3}
    assert record.values == {"Volume": 3}


def test_a_declared_lastchange_that_does_not_fit_its_type_is_left_as_text() -> None:
    record = held_with({"LastChange": int})
    event = record.decode(0, (("LastChange", "loud"),), initial=True)

    assert event.details == (Change("LastChange", None, None, None, None, "loud"),)
    assert event.changes == {}


# --- the cost of instances that go ---


def removals(known: int, named: int) -> int:
    """The steps of an event that names instances without variables."""
    record = held_with()
    text = last_change(*(instance(number, A=1) for number in range(known)))
    record.decode(0, (("LastChange", text),), initial=True)
    gone = last_change(*(instance(number + 1) for number in range(named)))
    return steps(lambda: record.decode(1, (("LastChange", gone),), initial=False))


def test_an_instance_that_goes_costs_the_same_however_many_are_known() -> None:
    assert removals(2_000, 1_000) < 1.5 * removals(20, 1_000)


def test_instances_that_come_and_go_in_one_event_cost_the_same_however_many_are_known() -> None:
    come_and_go = last_change(*(instance(1) + instance(1, A=1) for _ in range(500)))
    few, many = held_with(), held_with()
    text = last_change(*(instance(number, A=1) for number in range(2_000)))
    many.decode(0, (("LastChange", text),), initial=True)
    costs = [
        steps(lambda each=each: each.decode(1, (("LastChange", come_and_go),), initial=False))
        for each in (few, many)
    ]
    assert costs[1] < 1.5 * costs[0]
    assert many.instances.flat()["A", 1, None] == "1"
    assert len(many.instances) == 2_000


# --- large values ---


def large_limits(characters: int) -> Limits:
    return replace(DEFAULT_LIMITS, state_characters=characters)


@pytest.mark.parametrize("convert", [None, {f"V{number}": str for number in range(40)}])
def test_large_values_together_are_bounded_and_what_finds_no_room_is_said(convert) -> None:
    record = held_with(convert, large_limits(10_000))
    for number in range(20):
        event = record.decode(number, ((f"V{number}", "x" * 2_000),), initial=False)
        assert event.changes == {f"V{number}": "x" * 2_000}
        assert event.problems == (
            () if number < 5 else (f"the values of the subscription have no room for 'V{number}'",)
        )
    assert list(record.values) == [f"V{number}" for number in range(5)]


def test_a_value_that_becomes_small_makes_room() -> None:
    record = held_with(limits=large_limits(3_000))
    record.decode(0, (("A", "x" * 2_000),), initial=True)
    assert record.decode(1, (("B", "x" * 2_000),), initial=False).problems
    record.decode(2, (("A", "small"),), initial=False)
    assert record.decode(3, (("B", "x" * 2_000),), initial=False).problems == ()
    assert record.values == {"A": "small", "B": "x" * 2_000}
    assert record.large.sizes == {"B": 2_000}


def test_a_value_that_becomes_too_large_is_not_left_out_of_date() -> None:
    record = held_with(limits=large_limits(3_000))
    record.decode(0, (("A", "1"), ("B", "2")), initial=True)
    record.decode(1, (("A", "x" * 4_000),), initial=False)
    assert record.values == {"B": "2"}


def test_large_values_of_a_last_change_are_bounded_too() -> None:
    record = held_with(limits=large_limits(10_000))
    for number in range(20):
        text = last_change(instance(number, A="x" * 2_000))
        record.decode(number, (("LastChange", text),), initial=False)
    kept = record.instances.flat()
    assert 3 < len(kept) < 6
    assert sum(record.large.sizes.values()) <= 10_000
    gone = last_change(*(instance(number) for number in range(1, 20)))
    record.decode(20, (("LastChange", gone),), initial=False)
    assert record.large.sizes.keys() <= {"A", ("A", 0, None)}
    event = record.decode(
        21, (("LastChange", last_change(instance(3, A="y" * 2_000))),), initial=False
    )
    assert event.problems == ()
    text = last_change(instance(3, A="y" * 20_000, B=1))
    assert record.decode(22, (("LastChange", text),), initial=False).problems == (
        "the values of the subscription have no room for 'A'",
    )
    assert ("A", 3, None) not in record.instances.flat()
    assert record.instances.flat()["B", 3, None] == "1"


def test_of_many_variables_without_room_the_first_are_named() -> None:
    record = held_with(limits=replace(DEFAULT_LIMITS, fold_keys=1))
    event = record.decode(0, tuple((f"V{number}", "1") for number in range(9)), initial=True)
    assert event.problems == (
        "the values of the subscription have no room for 'V1', 'V2', 'V3', 'V4' and 4 others",
    )
    assert record.values == {"V0": "1"}


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 2), st.sampled_from([0, 10, 1_025, 1_500])),
        max_size=12,
    ),
    st.booleans(),
)
def test_the_sizes_are_those_of_the_values_that_are_kept(puts, remove) -> None:
    large = LargeValues(3_000)
    values = InstanceValues(3, large)
    for name, number, characters in puts:
        values.put((name, number, None), "x" * characters, characters)
    if remove:
        values.remove(1)
    kept = values.flat()
    assert len(values) == len(kept) <= 3
    assert large.sizes == {key: len(str(x)) for key, x in kept.items() if len(str(x)) > 1_024}
    assert sum(large.sizes.values()) <= 3_000
    values.keep({0})
    assert {key[1] for key in values.flat()} <= {0}
