"""The types of state variables. mypy checks this file; running it shows little."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeVar, assert_type

import pytest

from propchange.core.values.state_variables import HasVariables, StateVariable

V = TypeVar("V")


class Everything:
    ui4 = StateVariable("ui4", initial=5, minimum=0, maximum=10, step=5, minimum_delta=5)
    integer = StateVariable("int")
    r4 = StateVariable("r4", initial=20, minimum=-40.0, minimum_interval=0.2)
    number = StateVariable("number")
    fixed = StateVariable("fixed.14.4", initial=5, maximum=Decimal("5.5"))
    text = StateVariable("string", allowed=["A", "B"], initial="A")
    char = StateVariable("char", initial="x")
    uri = StateVariable("uri", evented="LastChange")
    flag = StateVariable("boolean", initial=True, multicast=True, level="upnp:/warning")
    binary = StateVariable("bin.base64", initial=b"")
    date = StateVariable("date", evented=False)
    moment = StateVariable("dateTime.tz", name="Moment")
    time = StateVariable("time", initial=datetime.time(7))
    ident = StateVariable("uuid", merge=lambda older, newer: newer or older)

    def _read_variable(self, variable: StateVariable[V], /) -> V:
        return variable.initial

    def _assign_variable(self, variable: StateVariable[V], value: V, /) -> None:
        variable.check(value)


def test_attributes_have_the_python_types() -> None:
    everything = Everything()
    assert_type(everything.ui4, int)
    assert_type(everything.integer, int)
    assert_type(everything.r4, float)
    assert_type(everything.number, float)
    assert_type(everything.fixed, Decimal)
    assert_type(everything.text, str)
    assert_type(everything.char, str)
    assert_type(everything.uri, str)
    assert_type(everything.flag, bool)
    assert_type(everything.binary, bytes)
    assert_type(everything.date, datetime.date)
    assert_type(everything.moment, datetime.datetime)
    assert_type(everything.time, datetime.time)
    assert_type(everything.ident, uuid.UUID)


def test_the_class_has_the_variables() -> None:
    assert_type(Everything.r4, StateVariable[float])
    assert_type(Everything.r4.initial, float)
    assert_type(Everything.r4.minimum, float | None)
    assert_type(Everything.r4.minimum_interval, float | None)
    assert_type(Everything.r4.check(20), float)
    assert_type(Everything.r4.parse("20"), float)
    assert_type(Everything.r4.format(20.0), str)
    assert_type(Everything.text.allowed, tuple[str, ...] | None)
    assert_type(Everything.text.evented, bool | Literal["LastChange"])
    assert_type(Everything.ident.merge, Callable[[str, str], str] | None)


def test_a_value_of_another_type_is_found_before_the_program_runs() -> None:
    everything = Everything()
    everything.r4 = 20
    with pytest.raises(TypeError):
        everything.r4 = "20"  # type: ignore[assignment]  # the error is the point
    with pytest.raises(TypeError):
        everything.flag = 1  # type: ignore[assignment]  # the error is the point
    with pytest.raises(TypeError):
        everything.ui4 = 1.5  # type: ignore[assignment]  # the error is the point


def test_a_name_known_at_run_time_only_gives_any() -> None:
    data_type = "ui4"
    assert_type(StateVariable.of(data_type, minimum=1, allowed=None), StateVariable[Any])
    assert StateVariable.of(data_type, minimum=1).minimum == 1


def test_options_of_another_data_type_are_found_before_the_program_runs() -> None:
    with pytest.raises(TypeError):
        StateVariable("ui4", initial="5")  # type: ignore[call-overload]  # the error is the point
    with pytest.raises(ValueError, match="minimum is for numeric data types"):
        StateVariable("string", minimum=1)  # type: ignore[call-overload]  # the error is the point
    with pytest.raises(ValueError, match="is no UPnP data type"):
        StateVariable("uint4")  # type: ignore[call-overload]  # the error is the point
    with pytest.raises(TypeError):
        StateVariable("boolean", multicast="yes")  # type: ignore[call-overload]  # the error is the point


def test_anything_with_the_two_methods_has_variables() -> None:
    everything = Everything()
    owner: HasVariables = everything
    assert_type(owner._read_variable(Everything.r4), float)
