"""Actions: names and values of arguments, both ways, at both ends."""

from __future__ import annotations

import datetime
import string
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange import ActionError, StateVariable
from propchange.core.values.data_types import DATA_TYPES
from propchange.upnp.actions import Action, Argument, ErrorCode

VOLUME = StateVariable("ui2", name="Volume", minimum=0, maximum=100, step=5)
CHANNEL = StateVariable("string", name="A_ARG_TYPE_Channel", allowed=["Master", "LF"])
MUTE = StateVariable("boolean", name="Mute")
BASS = StateVariable("i1", name="Bass")
SET_VOLUME = Action(
    "SetVolume",
    (
        Argument("Channel", "in", CHANNEL),
        Argument("DesiredVolume", "in", VOLUME),
        Argument("NowVolume", "out", VOLUME, retval=True),
    ),
)
GET_BOTH = Action("GetBoth", (Argument("Volume", "out", VOLUME), Argument("Mute", "out", MUTE)))
STOP = Action("Stop")


def test_an_action_knows_its_in_and_out_arguments() -> None:
    assert [each.name for each in SET_VOLUME.inputs] == ["Channel", "DesiredVolume"]
    assert [each.name for each in SET_VOLUME.outputs] == ["NowVolume"]
    assert STOP.inputs == STOP.outputs == STOP.arguments == ()
    listed: Any = [Argument("A", "in", MUTE)]
    assert Action("Do", listed) == Action("Do", tuple(listed))


def test_an_argument_goes_in_or_out() -> None:
    with pytest.raises(ValueError, match="the direction of A is in or out, not 'inout'"):
        Argument("A", "inout", MUTE)


def test_an_error_code_has_the_words_of_uda() -> None:
    assert ErrorCode.VALUE_OUT_OF_RANGE.words == "Argument Value Out of Range"
    assert {code.words == ActionError(code).description for code in ErrorCode} == {True}


# --- the control point writes, the device reads ---


def test_in_arguments_are_written_in_the_order_of_the_description() -> None:
    texts = SET_VOLUME.write_inputs({"DesiredVolume": 30, "Channel": "LF"})
    assert list(texts.items()) == [("Channel", "LF"), ("DesiredVolume", "30")]
    assert SET_VOLUME.read_inputs(texts) == {"Channel": "LF", "DesiredVolume": 30}
    assert STOP.write_inputs({}) == STOP.read_inputs({}) == {}


def test_in_arguments_may_come_in_any_order() -> None:
    values = SET_VOLUME.read_inputs({"DesiredVolume": "30", "Channel": "LF"})
    assert list(values.items()) == [("Channel", "LF"), ("DesiredVolume", 30)]


@pytest.mark.parametrize(
    ("values", "kind", "problem"),
    [
        (
            {"Channel": "LF"},
            TypeError,
            "SetVolume lacks the in argument DesiredVolume; there are: Channel, DesiredVolume",
        ),
        (
            {"Channel": "LF", "Volume": 5},
            TypeError,
            "SetVolume has no in argument 'Volume' and lacks the in argument DesiredVolume; the",
        ),
        ({"Channel": "LF", "DesiredVolume": 5, "NowVolume": 5}, TypeError, "no in argument 'NowV"),
        ({"Channel": "LF", "DesiredVolume": "5"}, TypeError, "SetVolume, argument DesiredVolume: "),
        ({"Channel": "LF", "DesiredVolume": 105}, ValueError, "105 is not allowed, only "),
        ({"Channel": "LF", "DesiredVolume": 7}, ValueError, "7 is not allowed, only "),
        ({"Channel": "Sub", "DesiredVolume": 5}, ValueError, "'Sub' is not allowed, only "),
        ({"Channel": None, "DesiredVolume": 5}, TypeError, "None does not fit string"),
        ({"Channel": "LF", "DesiredVolume": 1 << 80}, ValueError, "does not fit ui2"),
    ],
)
def test_a_wrong_call_is_not_written(
    values: dict[str, object], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        SET_VOLUME.write_inputs(values)


def test_an_action_without_arguments_takes_none() -> None:
    with pytest.raises(TypeError, match="Stop has no in argument 'InstanceID'; there are: none"):
        STOP.write_inputs({"InstanceID": 0})


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({}, 402),
        ({"Channel": "LF"}, 402),
        ({"Channel": "LF", "DesiredVolume": "5", "More": ""}, 402),
        ({"Channel": "LF", "desiredvolume": "5"}, 402),
        ({"Channel": "LF", "DesiredVolume": "loud"}, 402),
        ({"Channel": "LF", "DesiredVolume": ""}, 402),
        ({"Channel": "LF", "DesiredVolume": "1.5"}, 402),
        ({"Channel": "LF", "DesiredVolume": "0x5"}, 402),
        ({"Channel": "LF", "DesiredVolume": "NaN"}, 402),
        ({"Channel": "LF", "DesiredVolume": "105"}, 601),
        ({"Channel": "LF", "DesiredVolume": "70000"}, 601),
        ({"Channel": "LF", "DesiredVolume": "-5"}, 601),
        ({"Channel": "LF", "DesiredVolume": "9" * 5_000}, 402),
        ({"Channel": "Sub", "DesiredVolume": "5"}, 601),
        ({"Channel": "", "DesiredVolume": "5"}, 601),
        ({"Channel": "lf", "DesiredVolume": "5"}, 601),
        ({"Channel": "LF", "DesiredVolume": "7"}, 600),
    ],
)
def test_a_call_that_does_not_fit_has_the_error_code_of_uda(
    texts: dict[str, str], code: int
) -> None:
    with pytest.raises(ActionError) as caught:
        SET_VOLUME.read_inputs(texts)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("variable", "text", "code"),
    [
        (BASS, "200", 402),
        (MUTE, "maybe", 402),
        (MUTE, "2", 402),
        (StateVariable("r8", name="A", minimum=0.0, maximum=1.0), "1e999", 601),
        (StateVariable("r8", name="A", minimum=0.0, maximum=1.0), "1.0001", 601),
        (StateVariable("r8", name="A"), "1e999", 402),
        (StateVariable("fixed.14.4", name="A", minimum=0), "9" * 40, 402),
        (StateVariable("fixed.14.4", name="A", maximum=5), "9" * 20, 601),
        (StateVariable("i4", name="A", minimum=0), "-1", 601),
        (StateVariable("i4", name="A", step=2), "3", 600),
        (StateVariable("date", name="A"), "2026-02-30", 402),
        (StateVariable("dateTime", name="A"), "2026-02-03T04:05:06Z", 402),
        (StateVariable("uuid", name="A"), "nobody", 402),
        (StateVariable("bin.hex", name="A"), "0", 402),
        (StateVariable("bin.base64", name="A"), "*", 402),
        (StateVariable("char", name="A"), "ab", 402),
        (StateVariable("uri", name="A"), "a b", 402),
    ],
)
def test_a_text_that_is_no_value_has_the_error_code_of_uda(
    variable: StateVariable[Any], text: str, code: int
) -> None:
    action = Action("Do", (Argument("A", "in", variable),))
    with pytest.raises(ActionError) as caught:
        action.read_inputs({"A": text})
    assert caught.value.code == code
    assert len(caught.value.description) < 400


def test_the_description_of_an_error_says_what_was_wrong() -> None:
    with pytest.raises(
        ActionError, match=r"^601: Argument Value Out of Range: DesiredVolume: Volume: 105 is not"
    ):
        SET_VOLUME.read_inputs({"Channel": "LF", "DesiredVolume": "105"})


def test_a_call_with_a_hundred_unknown_arguments_has_a_short_error() -> None:
    with pytest.raises(ActionError, match="'A7' and 92 more; there are: none") as caught:
        STOP.read_inputs({f"A{number}": "" for number in range(100)})
    assert len(caught.value.description) < 200


# --- the device writes, the control point reads ---


@pytest.mark.parametrize(
    ("action", "result", "texts"),
    [
        (STOP, None, {}),
        (STOP, {}, {}),
        (SET_VOLUME, 5, {"NowVolume": "5"}),
        (SET_VOLUME, {"NowVolume": 5}, {"NowVolume": "5"}),
        (GET_BOTH, {"Mute": True, "Volume": 5}, {"Volume": "5", "Mute": "1"}),
    ],
)
def test_a_result_becomes_out_arguments(
    action: Action, result: object, texts: dict[str, str]
) -> None:
    assert list(action.write_outputs(result).items()) == list(texts.items())
    values = action.read_outputs(texts)
    assert values[1] == ()
    assert action.write_outputs(values[0]) == texts


@pytest.mark.parametrize(
    ("action", "result", "kind", "problem"),
    [
        (STOP, 5, TypeError, r"Stop must return None, not 5: .*; say @action\(returns=…\)"),
        (STOP, {"A": 5}, TypeError, "Stop has no out argument 'A'; there are: none"),
        (SET_VOLUME, None, TypeError, "SetVolume, argument NowVolume: Volume: None does not fit"),
        (SET_VOLUME, 105, ValueError, "argument NowVolume: Volume: 105 is not allowed"),
        (SET_VOLUME, {"Volume": 5}, TypeError, "has no out argument 'Volume' and lacks the out"),
        (GET_BOTH, {"Volume": 5, "Mute": 2}, TypeError, "^GetBoth, argument Mute: 2 does not fit"),
        (GET_BOTH, None, TypeError, "GetBoth lacks the out argument Volume, Mute"),
        (GET_BOTH, 5, TypeError, "GetBoth must return a mapping of Volume, Mute, not 5"),
        (GET_BOTH, (5, True), TypeError, "must return a mapping of Volume, Mute, not"),
        (GET_BOTH, {"Volume": 5}, TypeError, "lacks the out argument Mute; there are: Volume, Mu"),
    ],
)
def test_a_wrong_result_is_named(
    action: Action, result: object, kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        action.write_outputs(result)


@pytest.mark.parametrize(
    ("texts", "values", "problems"),
    [
        ({"Mute": "0", "Volume": "5"}, {"Volume": 5, "Mute": False}, []),
        ({"Volume": "105", "Mute": "yes"}, {"Volume": 105, "Mute": True}, []),
        (
            {"Volume": "loud", "Mute": "0"},
            {"Volume": None, "Mute": False},
            ["GetBoth, out argument Volume: Volume: the text 'loud' does not fit ui2, which takes"],
        ),
        ({"Volume": "5"}, {"Volume": 5}, ["GetBoth: the out argument Mute is missing"]),
        (
            {"Volume": "5", "Mute": "1", "X_More": "m"},
            {"Volume": 5, "Mute": True, "X_More": "m"},
            ["GetBoth has no out argument 'X_More'; it was read as text"],
        ),
        (
            {"volume": "5", "Mute": "1"},
            {"Volume": 5, "Mute": True},
            ["GetBoth: 'volume' was read as Volume"],
        ),
        ({}, {}, ["argument Volume is missing", "argument Mute is missing"]),
    ],
)
def test_an_answer_is_read_leniently(
    texts: dict[str, str], values: dict[str, Any], problems: list[str]
) -> None:
    read, found = GET_BOTH.read_outputs(texts)
    assert list(read.items()) == list(values.items())
    assert len(found) == len(problems)
    for sentence, part in zip(found, problems, strict=True):
        assert part in sentence


def test_two_out_arguments_that_differ_in_case_are_not_one() -> None:
    action = Action("Get", tuple(Argument(name, "out", MUTE) for name in ("a", "A")))
    assert action.read_outputs({"a": "1"}) == (
        {"a": True},
        ("Get: the out argument A is missing",),
    )


# --- every data type ---

CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
MOMENTS = st.datetimes()
OFFSETS = st.integers(-14 * 60, 14 * 60).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{f"ui{size}": st.integers(0, 256**size - 1) for size in (1, 2, 4, 8)},
    **{f"i{size}": st.integers(-(256**size) // 2, 256**size // 2 - 1) for size in (1, 2, 4, 8)},
    "int": st.integers(),
    "r4": st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
    "r8": st.floats(allow_nan=False, allow_infinity=False),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "fixed.14.4": st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-4)),
    "char": CHARACTERS,
    "string": st.text(CHARACTERS | st.sampled_from("\t\n\r")),
    "date": st.dates(),
    "dateTime": MOMENTS,
    "dateTime.tz": st.datetimes(timezones=st.none() | OFFSETS),
    "time": st.times(),
    "time.tz": st.times(timezones=st.none() | OFFSETS),
    "boolean": st.booleans(),
    "bin.base64": st.binary(),
    "bin.hex": st.binary(),
    "uri": st.text(string.ascii_letters + string.digits + ":/?#[]@!$&'()*+,;=%-._~\u00e4"),
    "uuid": st.uuids(),
}


def test_there_are_values_of_every_data_type() -> None:
    assert set(VALUES) == set(DATA_TYPES)
    assert isinstance(DATA_TYPES["uuid"].zero, uuid.UUID)


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
@given(data=st.data())
def test_a_value_of_every_data_type_goes_there_and_back(name: str, data: st.DataObject) -> None:
    variable = StateVariable.of(name, name="Value")
    action = Action("Do", (Argument("In", "in", variable), Argument("Out", "out", variable)))
    value = data.draw(VALUES[name])
    (received,) = action.read_inputs(action.write_inputs({"In": value})).values()
    assert received == value
    returned, problems = action.read_outputs(action.write_outputs(received))
    assert (returned, problems) == ({"Out": value}, ())


@given(text=st.text())
@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_any_text_is_a_value_or_a_wrong_argument(name: str, text: str) -> None:
    variable = StateVariable.of(name, name="Value")
    action = Action("Do", (Argument("In", "in", variable),))
    codes = []
    try:
        values = action.read_inputs({"In": text})
        assert action.read_inputs(action.write_inputs(values)) == values
    except ActionError as error:
        codes.append(error.code)
    assert codes in ([], [402])
