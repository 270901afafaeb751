"""Where a service description differs from the class that a program reads the service by."""

from __future__ import annotations

from typing import Any

import pytest

from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action
from propchange.upnp.actions import Action, Argument
from propchange.upnp.class_fit import (
    ClassFit,
    class_outputs,
    class_problems,
    device_inputs,
    getters,
    is_evented,
)
from propchange.upnp.remote_state import action_of, actions_of
from propchange.upnp.scpd import ServiceContents, parse_scpd
from propchange.upnp.service import Service
from propchange.upnp.standard import RenderingControl, SwitchPower


class Oven(Service, type="urn:example-org:service:Oven:1"):
    temperature = StateVariable("r4")
    door = StateVariable("string")
    limit = StateVariable("ui4", evented=False)

    @action
    def set_temperature(self, temperature: float) -> None: ...

    @action(returns={"NowTemperature": temperature, "NowDoor": door})
    def get_state(self) -> dict[str, Any]: ...

    @action(returns=limit)
    def get_limit(self) -> int: ...


def contents(
    variables: dict[str, str] | None = None,
    actions: dict[str, str] | None = None,
    silent: tuple[str, ...] = (),
) -> ServiceContents:
    """A service description. ``variables`` are names and data types, an action is its arguments:
    ``"in Temperature, out Now:Door"``; the part behind the colon is the related variable."""
    types = {"Temperature": "r4", "Door": "string", "Limit": "ui4"} | (variables or {})
    made = {
        name: StateVariable.of(kind, name=name, evented=name not in silent)
        for name, kind in types.items()
        if kind
    }

    def arguments(text: str) -> tuple[Argument, ...]:
        found = []
        for each in filter(None, text.split(", ")):
            direction, name = each.split(" ")
            name, _, related = name.partition(":")
            found.append(Argument(name, direction, made[related or name]))  # type: ignore[arg-type]  # in or out
        return tuple(found)

    texts = {
        "SetTemperature": "in Temperature",
        "GetState": "out NowTemperature:Temperature, out NowDoor:Door",
        "GetLimit": "out Limit",
    } | (actions or {})
    declared = {n: Action(n, arguments(text)) for n, text in texts.items() if text != "none"}
    return ServiceContents(made, declared, ())


def test_a_service_that_fits_has_no_problem() -> None:
    assert class_problems(Oven, contents({"More": "ui4"}, {"More": "in More"})) == ()
    own = Oven()
    assert class_problems(Oven, parse_scpd(own.scpd())) == ()


@pytest.mark.parametrize(
    ("described", "problem"),
    [
        (
            contents({"Limit": ""}, {"GetLimit": ""}),
            "Oven: the device has no state variable Limit",
        ),
        (
            contents(silent=("Door", "Temperature")),
            "Oven: the device does not event Temperature, Door",
        ),
        (
            contents({"Temperature": "ui2", "Limit": "ui2"}),
            (
                "Oven: values are read with the data types of the device: "
                "Temperature is ui2 instead of r4, Limit is ui2 instead of ui4"
            ),
        ),
        (
            contents(actions={"GetLimit": "none", "SetTemperature": "none"}),
            "Oven: the device has no action GetLimit, SetTemperature",
        ),
        (
            contents(actions={"SetTemperature": "in Temperature, in Door"}),
            (
                "Oven: actions are different: "
                "SetTemperature takes 'Door', 'Temperature' instead of Temperature"
            ),
        ),
        (
            contents(actions={"SetTemperature": ""}),
            "Oven: actions are different: SetTemperature takes nothing instead of Temperature",
        ),
        (
            contents(actions={"GetState": "out NowDoor:Door, out Other:Door"}),
            "Oven: actions are different: GetState does not return NowTemperature",
        ),
        (
            contents(actions={"GetLimit": "out Limit:Door"}),
            "Oven: actions are different: Limit of GetLimit is string instead of ui4",
        ),
    ],
)
def test_a_difference_is_one_sentence(described: ServiceContents, problem: str) -> None:
    found = class_problems(Oven, described)
    if "Limit" not in described.variables:
        assert found[1:] == ("Oven: actions are different: GetLimit does not return Limit",)
    else:
        assert found[1:] == ()
    assert found[0] == problem


@pytest.mark.parametrize("kind", ["string", "boolean", "bin.hex", "dateTime", "uuid"])
def test_values_of_another_kind_cannot_be_read(kind: str) -> None:
    found = class_problems(Oven, contents({"Temperature": kind}))
    assert f"Oven: values cannot be read by the class: Temperature is {kind} instead of r4" in found


@pytest.mark.parametrize(
    ("ours", "theirs", "reads"),
    [
        ("ui4", "i1", True),
        ("r4", "fixed.14.4", True),
        ("fixed.14.4", "int", True),
        ("fixed.14.4", "r4", False),
        ("int", "r4", False),
        ("string", "uri", True),
        ("string", "uuid", False),
        ("uuid", "string", True),
        ("date", "dateTime", True),
        ("dateTime", "date", False),
        ("boolean", "ui1", False),
    ],
)
def test_what_can_be_read_has_values_of_the_type_of_the_class(
    ours: str, theirs: str, reads: bool
) -> None:
    class Any(Service, type="urn:x:service:Any:1"):
        value = StateVariable.of(ours)

    described = ServiceContents({"Value": StateVariable.of(theirs, name="Value")}, {}, ())
    (problem,) = class_problems(Any, described)
    assert ("with the data types of the device" in problem) is reads


TEXTS = {
    "boolean": ["1", "0"], "date": ["2024-02-29"], "dateTime": ["2024-02-29T12:00:00"],
    "dateTime.tz": ["2024-02-29T12:00:00+01:00"], "time": ["12:00:00"], "time.tz": ["12:00:00Z"],
    "bin.hex": ["00FF"], "bin.base64": ["AAA="], "uuid": ["5f9ec1b3-ed59-79bb-4530-00e3b6ac3c8d"],
    "char": ["x"], "string": ["", "on"], "uri": ["http://192.0.2.7/"], "fixed.14.4": ["-1.5"],
    "r4": ["1E10", "-0.5"], "r8": ["1E10", "-0.5"], "number": ["0.5"], "float": ["0.5"],
}  # fmt: skip
"""Data type -> texts of a device. Those of the others are integers."""


@pytest.mark.parametrize("theirs", DATA_TYPES)
@pytest.mark.parametrize("ours", DATA_TYPES)
def test_a_value_is_read_with_the_type_of_the_class_or_a_difference_is_said(
    ours: str, theirs: str
) -> None:
    """For each pair of data types: without the sentence, no value is of another type."""

    class Anything(Service, type="urn:x:service:Any:1"):
        value = StateVariable.of(ours)

    device = StateVariable.of(theirs, name="Value")
    problems = class_problems(Anything, ServiceContents({"Value": device}, {}, ()))
    unreadable = any("cannot be read by the class" in each for each in problems)
    assert bool(problems) is (ours != theirs)
    for text in TEXTS.get(theirs, ["0", "7", "100"]):
        value = device.parse(text)
        try:
            typed = Anything.value.typed(value)
        except TypeError:
            assert unreadable or (ours == "uuid" and isinstance(value, str))
        else:
            assert not unreadable
            assert isinstance(typed, DATA_TYPES[ours].python_type)


def test_a_long_list_is_cut_and_a_device_cannot_put_control_characters_into_it() -> None:
    arguments = {f"V{number}\x1b": "ui4" for number in range(20)}
    listed = ", ".join(f"in {name}" for name in arguments)
    (problem,) = class_problems(Oven, contents(arguments, {"SetTemperature": listed}))
    assert "'V0\\x1b', 'V1\\x1b'" in problem
    assert "and 12 more instead of Temperature" in problem
    assert "\x1b" not in problem


def test_what_a_standard_leaves_to_the_device_is_no_problem() -> None:
    """A device of the standard has the required actions and their variables alone."""
    methods = actions_of(RenderingControl).values()
    required = [each for each in methods if each.declared == "required"]
    actions = {method.action.name: method.action for method in required}
    variables = {
        each.variable.name: each.variable for one in actions.values() for each in one.arguments
    }
    last_change = StateVariable("string", name="LastChange")
    described = ServiceContents({**variables, "LastChange": last_change}, actions, ())
    assert class_problems(RenderingControl, described) == ()
    without = {name: each for name, each in actions.items() if name != "ListPresets"}
    assert class_problems(RenderingControl, described._replace(actions=without)) == (
        "RenderingControl: the device has no action ListPresets",
    )


def test_a_variable_is_evented_by_itself_or_in_a_lastchange() -> None:
    volume = StateVariable("ui2", name="Volume", evented=False)
    last_change = StateVariable("string", name="LastChange")
    alone = ServiceContents({"Volume": volume}, {}, ())
    both = ServiceContents({"Volume": volume, "LastChange": last_change}, {}, ())
    assert not is_evented(RenderingControl.volume, alone)
    assert is_evented(RenderingControl.volume, both)
    assert is_evented(SwitchPower.status, ServiceContents({"Status": SwitchPower.status}, {}, ()))
    assert not is_evented(SwitchPower.status, both)


def test_the_actions_that_return_a_variable_are_found() -> None:
    described = contents(actions={"Ask": "in Door, out Limit", "Tell": "out Limit"})
    assert getters("Temperature", Oven, {}) == ["get_state()"]
    assert getters("Limit", Oven, {}) == ["get_limit()"]
    assert getters("Limit", Service, described.actions) == ["call('GetLimit')", "call('Tell')"]
    assert getters("Other", Oven, described.actions) == []


class Turning:
    """Actions of several services."""

    @action
    def set_level(self, level: Any) -> None: ...

    @action(returns="Level")
    def get_level(self) -> Any: ...


class Fan(Turning, Service, type="urn:x:service:Fan:1"):
    level = StateVariable("ui1")


class FineFan(Fan):
    level = StateVariable("string")


class Undescribed(Service, type="urn:x:service:Fan:1"):
    """For a service description: it has no variables of its own."""

    @action
    def set_level(self, level: int) -> None: ...


@pytest.mark.parametrize("service_class", [Fan, FineFan])
def test_actions_that_are_inherited_have_the_variables_of_the_class(
    service_class: type[Fan],
) -> None:
    nothing = ServiceContents({}, {}, ())
    assert class_problems(service_class, nothing) == (
        f"{service_class.__name__}: the device has no state variable Level",
        f"{service_class.__name__}: the device has no action GetLevel, SetLevel",
    )
    own = parse_scpd(service_class().scpd())
    assert class_problems(service_class, own) == ()
    for method in (service_class.set_level, service_class.get_level):
        (argument,) = action_of(service_class, method).action.arguments
        assert argument.variable is service_class.level
    assert getters("Level", service_class, {}) == ["get_level()"]


def test_a_class_without_variables_says_nothing_of_its_actions() -> None:
    assert class_problems(Undescribed, ServiceContents({}, {}, ())) == ()
    assert action_of(Undescribed, Undescribed.set_level) is Undescribed.set_level
    assert action_of(Fan, Oven.set_temperature) is Oven.set_temperature


def test_a_difference_is_new_once() -> None:
    fit = ClassFit(Oven)
    good, bad = contents(), contents(silent=("Door",))
    assert not fit.compare(good)
    assert fit.problems == ()
    assert fit.compare(bad)
    assert fit.problems == ("Oven: the device does not event Door",)
    assert not fit.compare(bad)
    assert not fit.compare(contents(silent=("Door",)))
    assert not fit.compare(good)
    assert fit.problems == ()


def action_with(*arguments: str) -> Action:
    """``"in A"`` and ``"out B"``, each a string."""
    made = []
    for text in arguments:
        direction, name = text.split(" ")
        made.append(Argument(name, direction, StateVariable("string", name="X")))  # type: ignore[arg-type]  # in or out
    return Action("Do", tuple(made))


@pytest.mark.parametrize(
    ("theirs", "sent"),
    [
        (("in newValue", "in B"), {"newValue": 1, "B": 2}),
        (("in NewValue", "in b"), {"NewValue": 1, "b": 2}),
        (("in new_value", "in NEWVALUE", "in newValue", "in B"), {"newValue": 1, "B": 2}),
        (("in Other",), {"newValue": 1, "B": 2}),
    ],
)
def test_in_arguments_are_spelled_like_those_of_the_device(
    theirs: tuple[str, ...], sent: dict[str, object]
) -> None:
    assert device_inputs({"newValue": 1, "B": 2}, action_with(*theirs)) == sent


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ({"a": 1, "B": 2}, {"A": 1, "B": 2}),
        ({"a": 1, "A": 2}, {"a": 1, "A": 2}),
        ({"C": 1}, {"C": 1}),
    ],
)
def test_out_arguments_are_spelled_like_those_of_the_class(
    values: dict[str, object], read: dict[str, object]
) -> None:
    assert class_outputs(values, action_with("out A", "out B")) == read
