"""Values by the variables of a class: of one event, and of the current state."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from propchange.core.multicast.event_queue import MulticastQueue
from propchange.core.multicast.reception import MulticastEvent
from propchange.core.subscriber.current_values import Values
from propchange.core.subscriber.event_queue import EventQueue
from propchange.core.subscriber.events import Change, Changes, Event
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint

TEMPERATURE = StateVariable("r4", name="Temperature")
COUNT = StateVariable("ui2", name="Count", maximum=10)
PRICE = StateVariable("fixed.14.4", name="Price")
NAME = StateVariable("string", name="Name")

VALUES: dict[str, object] = {"Temperature": 20.5, "Count": 70_000, "Name": "x"}


@pytest.fixture(params=[Changes, Values])
def values(request: pytest.FixtureRequest) -> Any:
    return request.param(VALUES)


def test_a_value_is_found_by_the_variable_of_a_class(values: Any) -> None:
    assert values[TEMPERATURE] == values["Temperature"] == 20.5
    assert values.get(TEMPERATURE) == values.get("Temperature") == 20.5
    assert TEMPERATURE in values
    assert "Temperature" in values


def test_a_value_that_is_not_there_is_a_key_error_or_the_default(values: Any) -> None:
    for key in (PRICE, "Price"):
        with pytest.raises(KeyError, match="Price"):
            values[key]
        assert values.get(key) is None
        assert values.get(key, 1) == 1
        assert key not in values


def test_a_value_of_another_kind_is_a_type_error_and_remains_there_by_name(values: Any) -> None:
    other = StateVariable("r4", name="Name")
    with pytest.raises(TypeError, match="Name: the device has sent 'x', which does not fit r4"):
        values[other]
    with pytest.raises(TypeError):
        values.get(other)
    assert values["Name"] == "x"


def test_a_value_outside_of_the_range_of_the_class_is_read(values: Any) -> None:
    assert values[COUNT] == 70_000


def test_a_number_gets_the_type_of_the_class_if_that_has_room_for_it() -> None:
    for given, kept in ((21, 21.0), (Decimal("0.5"), 0.5)):
        value = TEMPERATURE.typed(given)
        assert (value, type(value)) == (kept, float)
    price = PRICE.typed(3)
    assert (price, type(price)) == (3, Decimal)
    for variable, value in ((COUNT, 1.5), (PRICE, 1.5), (TEMPERATURE, 10**400), (NAME, 1)):
        with pytest.raises(TypeError, match=f"{variable.name}: the device has sent"):
            variable.typed(value)


def test_current_values_have_the_names_on_the_wire_as_keys(values: Any) -> None:
    assert list(values) == list(VALUES)
    assert len(values) == 3
    assert dict(values) == values == VALUES
    assert repr(values) == repr(VALUES)


def test_the_current_values_are_live_and_cannot_be_assigned() -> None:
    state: dict[str, object] = {}
    values: Any = Values(state)
    state["Temperature"] = 1.5
    assert values[TEMPERATURE] == 1.5
    with pytest.raises(TypeError):
        values["Temperature"] = 2.5


def event(seq: int, *, initial: bool = False, **values: float) -> Event:
    details = tuple(Change(n, v, None, None, None, str(v)) for n, v in values.items())
    return Event(None, "uuid:1", seq, Changes(values), details, is_initial=initial)


@pytest.mark.parametrize("initial", [False, True])
def test_merged_events_are_read_by_the_variables_of_a_class_too(initial: bool) -> None:
    queue = EventQueue(1)
    queue.put(event(1, Temperature=20.5, Count=3))
    queue.put(event(2, initial=initial, Temperature=21.5))
    merged = queue.get()
    assert isinstance(merged, Event)
    assert merged.merged == 1
    assert merged.changes[TEMPERATURE] == 21.5
    assert merged.changes.get(COUNT) == (None if initial else 3)


def test_merged_multicast_events_are_read_by_the_variables_of_a_class_too() -> None:
    queue, peer = MulticastQueue(1), Endpoint("10.0.0.1", 5)
    for number in (1, 2):
        changes = Changes(Count=number)
        details = (Change("Count", number, None, None, None, f"{number}"),)
        queue.put(MulticastEvent(None, "usn", "id", "info", number, peer, changes, details))
    merged = queue.get()
    assert isinstance(merged, MulticastEvent)
    assert (merged.merged, merged.changes[COUNT]) == (1, 2)
