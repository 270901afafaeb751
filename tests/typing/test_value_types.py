"""The values of an event and of a subscription have the types of the variables of a class."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

from propchange import Service, StateVariable
from propchange.core.subscriber.current_values import Values
from propchange.core.subscriber.events import Changes
from propchange.upnp.standard import RenderingControl


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean")


def test_a_value_has_the_type_of_the_variable() -> None:
    for values in (Changes(Temperature=20.5, Alarm=True), Values({"Temperature": 20.5})):
        assert_type(values[Thermometer.temperature], float)
        assert_type(values.get(Thermometer.temperature), float | None)
        assert_type(values.get(Thermometer.temperature, 0.0), float)
        assert_type(values.get(Thermometer.temperature, "unknown"), float | str)
        assert_type(values["Temperature"], Any)
        assert_type(values.get("Temperature"), Any)
        assert Thermometer.temperature in values


def test_the_variables_of_the_standard_services_are_keys_too() -> None:
    changes = Changes(Volume=3, Mute=True)
    assert_type(changes[RenderingControl.volume], int)
    assert_type(changes[RenderingControl.mute], bool)


def test_a_wrong_use_is_found_before_the_program_runs() -> None:
    changes = Changes(Temperature=20.5)
    text: str = changes[Thermometer.temperature]  # type: ignore[assignment]  # it is a float
    assert text == 20.5  # type: ignore[comparison-overlap]  # nor is it at run time
    with pytest.raises(KeyError):
        changes[0]  # type: ignore[call-overload]  # a key is a name or a variable
    values = Values({"Temperature": 20.5})
    with pytest.raises(TypeError):
        values["Temperature"] = 1.5  # type: ignore[index]  # the state is the device's
