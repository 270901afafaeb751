from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import (
    STANDARD_LEVELS,
    StateVariable,
    check_level,
    wire_name,
)


class Thermometer:
    """As much of a service as an attribute needs."""

    temperature = StateVariable("r4", initial=20.0, minimum=-40.0, maximum=85.0)
    alarm = StateVariable("boolean")
    current_track_uri = StateVariable("uri", name="CurrentTrackURI")

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def _read_variable(self, variable: StateVariable[Any], /) -> Any:
        return variable.parse(self.texts[variable.name])

    def _assign_variable(self, variable: StateVariable[Any], value: Any, /) -> None:
        self.texts[variable.name] = variable.format(variable.check(value))


def made(*arguments: Any, **options: Any) -> StateVariable[Any]:
    """A StateVariable, past the type checker."""
    return StateVariable(*arguments, **options)


# --- as an attribute ---


def test_the_wire_name_is_the_camel_case_of_the_attribute() -> None:
    assert Thermometer.temperature.name == "Temperature"


def test_a_name_that_is_given_stays() -> None:
    assert Thermometer.current_track_uri.name == "CurrentTrackURI"


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("temperature", "Temperature"),
        ("last_change", "LastChange"),
        ("system_update_ID", "SystemUpdateID"),
        ("_private__twice_", "PrivateTwice"),
        ("Already", "Already"),
        ("élan", "Élan"),
    ],
)
def test_underscores_part_the_words_and_capitals_stay(attribute: str, name: str) -> None:
    assert wire_name(attribute) == name


@pytest.mark.parametrize("attribute", ["_", "__"])
def test_an_attribute_of_underscores_gives_no_name(attribute: str) -> None:
    with pytest.raises(ValueError, match=f"the attribute '{attribute}' gives no variable name"):
        wire_name(attribute)


def test_the_class_attribute_is_the_variable_itself() -> None:
    assert isinstance(Thermometer.alarm, StateVariable)
    assert repr(Thermometer.alarm) == "<StateVariable Alarm boolean>"


def test_reading_and_assigning_go_through_the_instance() -> None:
    thermometer = Thermometer()
    thermometer.temperature = 20.5
    thermometer.alarm = True
    assert thermometer.texts == {"Temperature": "20.5", "Alarm": "1"}
    assert thermometer.temperature == 20.5
    assert thermometer.alarm is True


def test_a_variable_without_an_attribute_has_the_name_it_was_given() -> None:
    assert StateVariable("ui4", name="SystemUpdateID").name == "SystemUpdateID"
    assert repr(StateVariable("ui4")) == "<StateVariable a state variable ui4>"


# --- values ---


@pytest.mark.parametrize(
    ("value", "kind", "sentence"),
    [
        (
            "warm",
            TypeError,
            f"Temperature: 'warm' does not fit r4, which takes {DATA_TYPES['r4'].takes}",
        ),
        (100, ValueError, "Temperature: 100 is not allowed, only values from -40.0 to 85.0"),
        (-40.5, ValueError, "Temperature: -40.5 is not allowed, only values from -40.0 to 85.0"),
        (
            math.inf,
            ValueError,
            f"Temperature: inf does not fit r4, which takes {DATA_TYPES['r4'].takes}",
        ),
    ],
)
def test_the_sentence_names_the_variable_the_value_and_what_is_allowed(
    value: object, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        Thermometer.temperature.check(value)
    assert str(caught.value) == sentence
    assert type(caught.value) is kind


def test_a_checked_value_has_the_type_that_the_program_reads() -> None:
    checked = Thermometer.temperature.check(20)
    assert type(checked) is float
    assert Thermometer.temperature.format(checked) == "20.0"


def test_the_ends_of_a_range_are_in_it() -> None:
    assert Thermometer.temperature.check(-40) == -40.0
    assert Thermometer.temperature.check(85) == 85.0
    assert StateVariable("ui1", minimum=5, maximum=5).initial == 5


def test_a_range_may_have_one_end() -> None:
    assert StateVariable("i4", minimum=3).check(2**31 - 1) == 2**31 - 1
    with pytest.raises(ValueError, match=r"2 is not allowed, only values from 3$"):
        StateVariable("i4", minimum=3).check(2)
    assert StateVariable("i4", maximum=3).check(-5) == -5
    with pytest.raises(ValueError, match=r"4 is not allowed, only values to 3$"):
        StateVariable("i4", maximum=3).check(4)


def test_a_value_lies_whole_steps_above_the_minimum() -> None:
    volume = StateVariable("ui2", minimum=1, maximum=100, step=5, name="Volume")
    assert [v for v in range(1, 20) if not refused(volume, v)] == [1, 6, 11, 16]
    assert refused(volume, 7) == (
        "Volume: 7 is not allowed, only values from 1 to 100 in steps of 5"
    )


def test_without_a_minimum_steps_count_from_zero() -> None:
    variable = StateVariable("i4", step=3)
    assert [v for v in range(-5, 8) if not refused(variable, v)] == [-3, 0, 3, 6]


@given(n=st.integers(0, 100_000))
def test_a_step_of_floats_forgives_rounding(n: int) -> None:
    variable = StateVariable("r8", minimum=-7.3, step=0.1)
    assert variable.check(-7.3 + n * 0.1) == -7.3 + n * 0.1
    assert refused(variable, -7.3 + n * 0.1 + 0.01)
    assert refused(variable, -7.3 + n * 0.1 + 0.09)


@given(n=st.integers(0, 10**9), off=st.integers(1, 24))
def test_a_step_of_decimals_is_exact(n: int, off: int) -> None:
    step = Decimal("0.0025")
    variable = StateVariable("fixed.14.4", minimum=Decimal("-0.5"), step=step)
    value = Decimal("-0.5") + n * step
    assert variable.check(value) == value
    assert refused(variable, value + off * Decimal("0.0001"))


def refused(variable: StateVariable[Any], value: object) -> str:
    """The sentence that refuses ``value``, empty when it is taken."""
    try:
        variable.check(value)
    except ValueError as error:
        return str(error)
    return ""


def test_an_allowed_list_is_all_there_is() -> None:
    mode = StateVariable("string", allowed=["OFF", "HEAT", "OFF"], name="Mode")
    assert mode.allowed == ("OFF", "HEAT")
    assert mode.check("HEAT") == "HEAT"
    assert refused(mode, "heat") == "Mode: 'heat' is not allowed, only 'OFF' or 'HEAT'"


@pytest.mark.parametrize("text", ["100", " +1e2 "])
def test_a_peer_may_break_its_own_range(text: str) -> None:
    assert Thermometer.temperature.parse(text) == 100.0
    assert StateVariable("string", allowed=["OFF"]).parse(text) == text


def test_a_text_that_does_not_fit_names_the_variable() -> None:
    with pytest.raises(ValueError, match=r"^Alarm: the text 'perhaps' does not fit"):
        Thermometer.alarm.parse("perhaps")


# --- the first value ---


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_the_first_value_is_the_zero_of_the_type(name: str) -> None:
    assert StateVariable(name).initial == DATA_TYPES[name].zero


@pytest.mark.parametrize(
    ("variable", "first"),
    [
        (StateVariable("i4", minimum=-5, maximum=5), 0),
        (StateVariable("i4", minimum=5), 5),
        (StateVariable("i4", maximum=-5), -5),
        (StateVariable("i4", minimum=-5, step=2), -5),
        (StateVariable("string", allowed=["A", "B"]), "A"),
        (StateVariable("string", allowed=["A", ""]), ""),
        (StateVariable("ui4", initial=7), 7),
        (StateVariable("boolean", initial=True), True),
    ],
)
def test_where_zero_is_not_allowed_the_first_value_is_the_next_best(
    variable: StateVariable[Any], first: object
) -> None:
    assert variable.initial == first


def test_where_there_is_no_next_best_the_program_must_say() -> None:
    with pytest.raises(ValueError, match="say initial=, only values to -1 in steps of 2"):
        StateVariable("i4", maximum=-1, step=2)


def test_a_first_value_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^Mode: initial: 'A' is not allowed, only 'B'$"):
        StateVariable("string", initial="A", allowed=["B"], name="Mode")
    with pytest.raises(TypeError, match=r"^a state variable: initial: 'A' does not fit ui4"):
        made("ui4", initial="A")


# --- options ---


def test_options_have_the_defaults_of_an_ordinary_variable() -> None:
    variable = StateVariable("ui4")
    assert variable.evented is True
    assert variable.multicast is False
    assert variable.level == "upnp:/general"
    assert (variable.minimum, variable.maximum, variable.step, variable.allowed) == (None,) * 4
    assert (variable.minimum_interval, variable.minimum_delta, variable.merge) == (None,) * 3


def test_options_are_kept_as_their_types() -> None:
    def merge(older: str, newer: str) -> str:
        return f"{older},{newer}"

    variable = StateVariable(
        "r8",
        minimum=0,
        maximum=10,
        step=1,
        minimum_delta=2,
        minimum_interval=3,
        multicast=True,
        level="example.org:/door/",
        merge=merge,
    )
    kept = (variable.minimum, variable.maximum, variable.step, variable.minimum_delta)
    assert kept == (0.0, 10.0, 1.0, 2.0)
    assert {type(option) for option in (*kept, variable.minimum_interval)} == {float}
    assert variable.multicast is True
    assert variable.level == "example.org:/door/"
    assert variable.merge is merge
    assert StateVariable("ui4", evented=False).evented is False
    assert StateVariable("string", evented="LastChange").evented == "LastChange"


@pytest.mark.clause("LC-04")
def test_a_variable_of_last_change_may_have_a_channel() -> None:
    assert StateVariable("ui2", evented="LastChange").channel is None
    assert StateVariable("ui2", evented="LastChange", channel="Master").channel == "Master"


def test_a_data_type_may_be_known_at_run_time_only() -> None:
    variable = StateVariable.of("ui2", minimum=1, evented=False, name="Volume")
    assert (variable.name, variable.initial, variable.evented) == ("Volume", 1, False)


@pytest.mark.clause("SCPD-02")
def test_a_variable_that_is_declared_anew_is_evented_as_before() -> None:
    def merge(older: str, newer: str) -> str:
        return older + newer

    older = StateVariable(
        "ui2",
        minimum_interval=2,
        minimum_delta=5,
        merge=merge,
        multicast=True,
        level="upnp:/info",
    )
    anew = StateVariable("ui2", maximum=31)
    anew.inherit_eventing(older)
    assert (anew.evented, anew.multicast, anew.level) == (True, True, "upnp:/info")
    assert (anew.minimum_interval, anew.minimum_delta, anew.merge) == (2.0, 5, merge)
    silent = StateVariable("ui2")
    silent.inherit_eventing(StateVariable("ui2", evented=False))
    assert silent.evented is False


def test_what_is_said_of_eventing_counts_more_than_what_was_before() -> None:
    older = StateVariable("ui2", minimum_interval=2, minimum_delta=5, merge=max, multicast=True)
    anew = StateVariable("r4", minimum_interval=3, merge=min, multicast=True, level="upnp:/debug")
    anew.inherit_eventing(older)
    assert (anew.minimum_interval, anew.merge, anew.level) == (3.0, min, "upnp:/debug")
    assert anew.minimum_delta is None  # it was a number of another type
    explicit = StateVariable("ui2", evented=True)
    explicit.inherit_eventing(StateVariable("ui2", evented="LastChange", channel="Master"))
    assert (explicit.evented, explicit.channel) == (True, None)
    audio = StateVariable("ui2")
    audio.inherit_eventing(StateVariable("ui2", evented="LastChange", channel="LF"))
    assert (audio.evented, audio.channel) == ("LastChange", "LF")
    audio.inherit_eventing(StateVariable("ui2"))  # once is enough
    assert audio.evented == "LastChange"
    with pytest.raises(ValueError, match="Volume: LastChange is moderated as a whole"):
        StateVariable("ui2", minimum_interval=1, name="Volume").inherit_eventing(audio)


@pytest.mark.clause("SCPD-04")
@pytest.mark.parametrize("evented", [False, "LastChange"])
def test_what_is_multicast_is_evented_by_itself(evented: Any) -> None:
    with pytest.raises(ValueError, match="Door: multicast is for variables with evented=True"):
        StateVariable("boolean", evented=evented, multicast=True, name="Door")


@pytest.mark.clause("MC-10")
@pytest.mark.parametrize("level", ["upnp:/emergency", "upnp:/debug", "example.org:/door/"])
def test_a_multicast_variable_has_a_level(level: str) -> None:
    assert StateVariable("boolean", multicast=True, level=level).level == level
    assert StateVariable("boolean", multicast=True).level == "upnp:/general"


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ("ui3", {}, "'ui3' is no UPnP data type; they are ui1"),
        ("string", {"minimum": "a"}, "minimum is for numeric data types, not string"),
        ("string", {"maximum": "a"}, "maximum is for numeric data types, not string"),
        ("boolean", {"step": True}, "step is for numeric data types, not boolean"),
        ("uuid", {"minimum_delta": 1}, "minimum_delta is for numeric data types, not uuid"),
        ("ui1", {"maximum": 256}, "maximum: 256 does not fit ui1, which takes"),
        ("ui1", {"minimum": 5, "maximum": 4}, "the minimum 5 is above the maximum 4"),
        ("ui1", {"step": 0}, "step is more than 0, not 0"),
        ("i1", {"minimum_delta": -1}, "minimum_delta is more than 0, not -1"),
        ("ui1", {"allowed": ["1"]}, "allowed is for the data type string, not ui1"),
        ("string", {"allowed": []}, "allowed has no value at all"),
        ("string", {"allowed": ["\0"]}, r"allowed: '\\x00' does not fit string"),
        ("ui1", {"minimum_interval": 0}, "a finite number of seconds above 0, not 0"),
        ("ui1", {"minimum_interval": math.nan}, "a finite number of seconds above 0, not nan"),
        ("ui1", {"evented": "yes"}, "evented is True, False or 'LastChange', not 'yes'"),
        ("ui1", {"evented": 1}, "evented is True, False or 'LastChange', not 1"),
        ("ui1", {"evented": False, "minimum_interval": 1}, "it is not evented, so nothing can be"),
        ("ui1", {"evented": False, "minimum_delta": 1}, "it is not evented, so nothing can be"),
        (
            "ui1",
            {"evented": "LastChange", "minimum_interval": 1},
            "LastChange is moderated as a whole",
        ),
        (
            "ui1",
            {"evented": "LastChange", "minimum_delta": 1},
            "declare last_change = StateVariable",
        ),
        ("ui1", {"channel": "Master"}, "channels are for evented='LastChange'"),
        ("ui1", {"evented": "LastChange", "channel": ""}, "a channel has a name, Master as"),
        (
            "ui1",
            {"multicast": True, "level": "warning"},
            "a level is upnp:/.* 'warning'",
        ),
        (
            "ui1",
            {"multicast": True, "level": "upnp:/a"},
            "a level is upnp:/.* 'upnp:/a'",
        ),
        ("ui1", {"multicast": True, "level": "a.b:/c\r\nX: y"}, r"not 'a\.b:/c\\r\\nX: y'"),
        ("ui1", {"level": "upnp:/info"}, "a level is for variables with multicast=True"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    arguments: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        StateVariable(arguments, **options)


@pytest.mark.parametrize(
    ("data_type", "options", "sentence"),
    [
        ("string", {"allowed": "AB"}, "allowed is a list of str, not 'AB'"),
        ("string", {"allowed": [1]}, "allowed: 1 does not fit string"),
        ("ui1", {"minimum": 0.5}, "minimum: 0.5 does not fit ui1"),
        ("ui1", {"minimum_interval": "1"}, "minimum_interval is in seconds, not '1'"),
        ("ui1", {"minimum_interval": True}, "minimum_interval is in seconds, not True"),
        ("ui1", {"evented": "LastChange", "channel": 1}, "a channel is a str, not 1"),
        ("ui1", {"multicast": "yes"}, "multicast is True or False, not 'yes'"),
        ("ui1", {"multicast": True, "level": 1}, "a level is a str, not 1"),
        ("ui1", {"merge": "replace"}, "merge is a function, not 'replace'"),
    ],
)
def test_options_of_another_type_are_refused(
    data_type: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        StateVariable(data_type, **options)


@pytest.mark.parametrize(
    ("data_type", "value"),
    [
        ("date", datetime.date(2024, 5, 6)),
        ("time", datetime.time(7, 8)),
        ("uuid", uuid.UUID(int=5)),
        ("bin.hex", b"\x05"),
    ],
)
def test_every_kind_of_type_makes_a_variable(data_type: str, value: object) -> None:
    variable = StateVariable(data_type, initial=value)
    assert variable.parse(variable.format(variable.initial)) == value


# --- levels ---


@pytest.mark.clause("MC-10")
def test_the_standard_levels_are_the_six_of_the_architecture() -> None:
    assert STANDARD_LEVELS == (
        "upnp:/emergency",
        "upnp:/fault",
        "upnp:/warning",
        "upnp:/info",
        "upnp:/debug",
        "upnp:/general",
    )
    for level in STANDARD_LEVELS:
        check_level(level)


@pytest.mark.clause("MC-10")
@pytest.mark.parametrize("level", ["example.org:/door/", "a.b.c:/x", "müller.example:/Tür"])
def test_a_vendors_level_begins_with_its_domain(level: str) -> None:
    check_level(level)


@pytest.mark.clause("MC-10")
@pytest.mark.parametrize(
    "level",
    [
        "",
        "info",
        "upnp:/loud",
        "upnp:info",
        "UPNP:/info",
        "example:/x",
        "example.org:/",
        "example..org:/x",
        ".org:/x",
        "example.org:/a b",
        "example.org:/a\r\nX: y",
        "example.org:/\x7f",
        "example.org:/\ud800",
    ],
)
def test_any_other_level_is_refused(level: str) -> None:
    with pytest.raises(ValueError, match=r"a level is upnp:/emergency, .*, not "):
        check_level(level)


# --- the name in an error ---


def test_an_error_in_a_class_body_names_the_variable_that_is_declared_there() -> None:
    with pytest.raises(ValueError, match=r"^TargetLevel: initial: 300 does not fit ui1"):

        class Lamp:
            target_level = StateVariable("ui1", initial=300)

    with pytest.raises(ValueError, match=r"^Level: the minimum 5 is above the maximum 2$"):

        class Shade:
            level: StateVariable[int] = StateVariable(
                "ui1",
                minimum=5,
                maximum=2,
            )

    with pytest.raises(ValueError, match=r"^Dimmer: initial: 300"):

        class Other:
            level = StateVariable("ui1", initial=300, name="Dimmer")


def test_an_error_elsewhere_has_no_name_to_say() -> None:
    with pytest.raises(ValueError, match=r"^a state variable: initial: 300"):
        StateVariable("ui1", initial=300)
    with pytest.raises(ValueError, match=r"^a state variable: initial: 300"):

        class Lamp:
            StateVariable("ui1", initial=300)

    with pytest.raises(ValueError, match=r"^a state variable: initial: 300"):

        class Shade:
            __ = StateVariable("ui1", initial=300)

    with pytest.raises(ValueError, match=r"^a state variable: initial: 300"):
        exec("level = StateVariable('ui1', initial=300)", {"StateVariable": StateVariable})


def test_an_error_names_the_first_of_many_allowed_values() -> None:
    allowed = [f"{'x' * 100}{number}" for number in range(5_000)]
    variable = StateVariable("string", name="Mode", allowed=allowed)
    words = refused(variable, "?")
    assert words.endswith(" or 4984 others")
    assert len(words) < 2_000
