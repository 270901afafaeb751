from __future__ import annotations

import datetime
import decimal
import enum
import math
import re
import string
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.values.data_types import DATA_TYPES, DataType, data_type, shown


class Seasonal(datetime.tzinfo):
    """A zone whose offset depends on the date, without need of the system's zone files."""

    def utcoffset(self, moment: datetime.datetime | None, /) -> datetime.timedelta | None:
        return None if moment is None else datetime.timedelta(hours=2 if moment.month == 5 else 1)

    def dst(self, moment: datetime.datetime | None, /) -> datetime.timedelta | None:
        return None

    def tzname(self, moment: datetime.datetime | None, /) -> str | None:
        return None


UTC = datetime.UTC
MOMENT = datetime.datetime.fromisoformat("2024-05-06T07:08:09")

whole_minutes = st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
xml_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda character: character >= " " or character in "\t\n\r"
)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "ui1": st.integers(0, 2**8 - 1),
    "ui2": st.integers(0, 2**16 - 1),
    "ui4": st.integers(0, 2**32 - 1),
    "ui8": st.integers(0, 2**64 - 1),
    "i1": st.integers(-(2**7), 2**7 - 1),
    "i2": st.integers(-(2**15), 2**15 - 1),
    "i4": st.integers(-(2**31), 2**31 - 1),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(),
    "r4": st.floats(-3.40282347e38, 3.40282347e38),
    "r8": st.floats(allow_nan=False, allow_infinity=False),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "fixed.14.4": st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-4)),
    "char": xml_characters,
    "string": st.text(xml_characters),
    "date": st.dates(),
    "dateTime": st.datetimes(),
    "dateTime.tz": st.datetimes(timezones=st.none() | whole_minutes),
    "time": st.times(),
    "time.tz": st.times(timezones=st.none() | whole_minutes),
    "boolean": st.booleans(),
    "bin.base64": st.binary(),
    "bin.hex": st.binary(),
    "uri": st.text(string.ascii_letters + string.digits + ":/?#%&=é"),
    "uuid": st.uuids(),
}
ALL = sorted(DATA_TYPES)


def refusal(name: str, value: object) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        data_type(name).format(value)
    return f"{type(caught.value).__name__}: {caught.value}"


# --- every data type ---


def test_all_data_types_of_the_architecture_are_there() -> None:
    assert set(DATA_TYPES) == set(VALUES)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_what_is_formatted_parses_back_to_the_value(name: str, data: st.DataObject) -> None:
    known = DATA_TYPES[name]
    value = known.check(data.draw(VALUES[name]))
    text = known.format(value)
    parsed = known.parse(text)
    assert parsed == value
    assert isinstance(parsed, known.python_type)
    assert known.format(parsed) == text


@pytest.mark.parametrize("name", ALL)
@given(text=st.text() | st.text("0123456789+-.:eETZ ={}"))
def test_any_text_of_a_peer_parses_or_is_a_value_error(name: str, text: str) -> None:
    problem = ""
    try:
        DATA_TYPES[name].format(DATA_TYPES[name].parse(text))
    except ValueError as error:
        problem = str(error)
    assert problem == "" or (f"does not fit {name}" in problem and len(problem) < 400)


@pytest.mark.parametrize("name", ALL)
def test_the_zero_of_a_type_is_a_value_of_it(name: str) -> None:
    known = DATA_TYPES[name]
    assert known.check(known.zero) == known.zero
    assert type(known.zero) is known.python_type


@pytest.mark.parametrize("name", ALL)
def test_no_type_takes_none(name: str) -> None:
    assert refusal(name, None) == (
        f"TypeError: None does not fit {name}, which takes {DATA_TYPES[name].takes}"
    )


@pytest.mark.parametrize("name", sorted(set(ALL) - {"boolean"}))
def test_only_boolean_takes_a_bool(name: str) -> None:
    assert refusal(name, True).startswith("TypeError: True does not fit")


@pytest.mark.parametrize("name", ALL)
def test_the_bounds_of_a_numeric_type_are_values_of_it(name: str) -> None:
    known: DataType[Any] = DATA_TYPES[name]
    numeric = {"ui", "i1", "i2", "i4", "i8", "in", "r4", "r8", "nu", "fl", "fi"}
    assert known.numeric == (name[:2] in numeric)
    for bound in (known.minimum, known.maximum):
        assert (bound is None) == (not known.numeric or name == "int")
        if bound is not None:
            assert known.parse(known.format(bound)) == bound


def test_a_data_type_is_found_by_its_name_in_any_case() -> None:
    assert data_type(" DATETIME.TZ\n") is DATA_TYPES["dateTime.tz"]
    assert repr(data_type("ui4")) == "<DataType ui4>"


def test_an_unknown_data_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'ui3' is no UPnP data type; they are ui1, .*, uuid$"):
        data_type("ui3")


# --- integers ---


@pytest.mark.parametrize("name", [n for n in ALL if n[0] in "ui" and n[-1].isdigit()])
def test_an_integer_out_of_the_bytes_of_its_type_is_refused(name: str) -> None:
    known: DataType[int] = DATA_TYPES[name]
    assert known.minimum is not None
    assert known.maximum is not None
    for outside in (known.minimum - 1, known.maximum + 1):
        assert refusal(name, outside) == (
            f"ValueError: {outside} does not fit {name}, "
            f"which takes an int from {known.minimum} to {known.maximum}"
        )
        with pytest.raises(ValueError, match=f"the text '{outside}' does not fit {name}"):
            known.parse(str(outside))


@pytest.mark.parametrize(
    ("text", "value"),
    [("+5", 5), (" 5\n", 5), ("005", 5), ("-0", 0), ("5.0", 5), ("5.", 5), ("-7.000", -7)],
)
def test_the_integers_of_sloppy_devices_are_read(text: str, value: int) -> None:
    assert data_type("i4").parse(text) == value


@pytest.mark.parametrize(
    "text", ["", " ", "5.5", "1_000", "1,000", "0x10", "\N{ARABIC-INDIC DIGIT THREE}", "5 6", "NaN"]
)
def test_what_is_no_integer_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="does not fit i4"):
        data_type("i4").parse(text)


def test_integers_of_other_libraries_are_taken_and_floats_are_not() -> None:
    class Preset(enum.IntEnum):
        NIGHT = 3

    value = data_type("ui1").check(Preset.NIGHT)
    assert type(value) is int
    assert data_type("ui1").format(Preset.NIGHT) == "3"
    assert refusal("ui1", 3.0).startswith("TypeError: 3.0 does not fit")


def test_int_has_no_bound_that_a_program_would_meet() -> None:
    known = data_type("int")
    assert known.parse(known.format(10**999)) == 10**999
    assert refusal("int", 10**1000).endswith("does not fit int, which takes an int")
    assert refusal("int", 10**5000) == (
        "ValueError: an integer of hundreds of digits does not fit int, which takes an int"
    )
    with pytest.raises(ValueError, match="does not fit int"):
        known.parse("9" * 5000)


# --- floating point ---


@pytest.mark.parametrize("name", ["r4", "r8", "number", "float"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Decimal("sNaN"), 10**400])
def test_what_is_not_finite_is_never_sent(name: str, value: object) -> None:
    assert refusal(name, value).startswith("ValueError: ")


@pytest.mark.parametrize("text", ["NaN", "INF", "-INF", "infinity", "1e999", "", "1,5", "1e", "."])
def test_what_is_no_finite_number_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="does not fit r8"):
        data_type("r8").parse(text)


def test_r4_keeps_to_single_precision_range() -> None:
    r4 = data_type("r4")
    assert r4.format(3.40282347e38) == "3.40282347E+38"
    assert refusal("r4", 3.403e38) == (
        "ValueError: 3.403e+38 does not fit r4, "
        "which takes a finite float or int from -3.40282347e+38 to 3.40282347e+38"
    )
    assert refusal("r4", -3.403e38).startswith("ValueError")
    assert data_type("r8").format(-3.403e38) == "-3.403E+38"


def test_what_is_nearer_to_zero_than_single_precision_goes_is_zero() -> None:
    assert data_type("r4").format(-1e-39) == "0.0"
    assert data_type("r4").format(1.17549435e-38) == "1.17549435E-38"
    assert data_type("r8").format(5e-324) == "5E-324"


@pytest.mark.parametrize("name", ["r4", "r8"])
def test_equal_numbers_have_one_text(name: str) -> None:
    known = data_type(name)
    assert {known.format(value) for value in (0, 0.0, -0.0)} == {"0.0"}
    assert {known.format(value) for value in (20, 20.0, Decimal(20), Fraction(20))} == {"20.0"}


def test_a_float_in_text_is_no_float() -> None:
    assert refusal("r4", "20.5").startswith("TypeError: '20.5' does not fit r4")


@pytest.mark.parametrize(
    ("text", "value"),
    [("+1.5", 1.5), (" 20 ", 20.0), ("007.50", 7.5), (".5", 0.5), ("5.", 5.0), ("-1e+02", -100.0)],
)
def test_the_floats_of_sloppy_devices_are_read(text: str, value: float) -> None:
    assert data_type("float").parse(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal("-0.000"), "0"),
        (Decimal("1E+3"), "1000"),
        (100, "100"),
        (Decimal("-99999999999999.9999"), "-99999999999999.9999"),
    ],
)
def test_fixed_14_4_is_written_without_exponent_and_idle_zeros(
    value: Decimal | int, text: str
) -> None:
    assert data_type("fixed.14.4").format(value) == text


@pytest.mark.parametrize(
    "value", [Decimal("0.00001"), Decimal(10**14), Decimal("NaN"), Decimal("Infinity"), -(10**14)]
)
def test_what_has_more_digits_than_fixed_14_4_is_refused(value: Decimal | int) -> None:
    assert refusal("fixed.14.4", value).startswith("ValueError: ")


def test_fixed_14_4_takes_no_float_since_it_would_be_rounded() -> None:
    assert refusal("fixed.14.4", 1.5) == (
        "TypeError: 1.5 does not fit fixed.14.4, which takes a Decimal or an int "
        "of at most 14 digits before the point and 4 after it"
    )


def test_fixed_14_4_of_a_peer_is_rounded_to_four_places() -> None:
    fixed = data_type("fixed.14.4")
    assert fixed.parse(" +1.23456 ") == Decimal("1.2346")
    assert fixed.parse("2.5e1") == Decimal(25)
    for text in ("1e14", "1e999999999999999999999", "one", ""):
        with pytest.raises(ValueError, match=r"does not fit fixed\.14\.4"):
            fixed.parse(text)


def test_fixed_14_4_does_not_depend_on_the_decimal_context_of_the_program() -> None:
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])):
        assert data_type("fixed.14.4").format(Decimal("12345678901234.5678")) == (
            "12345678901234.5678"
        )
        assert data_type("fixed.14.4").parse("1234.56789") == Decimal("1234.5679")


# --- text ---


@pytest.mark.parametrize("name", ["string", "char", "uri"])
@pytest.mark.parametrize("character", ["\0", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_a_character_that_xml_cannot_carry_is_refused(name: str, character: str) -> None:
    assert refusal(name, character).startswith("ValueError: ")


def test_a_string_is_sent_and_read_as_it_is() -> None:
    text = " <tab>\t&\r\n\u00a0\U0001f600\x85 "
    assert data_type("string").parse(data_type("string").format(text)) == text


def test_a_member_of_an_enum_of_strings_is_its_value() -> None:
    class State(enum.StrEnum):
        PLAYING = "PLAYING"

    checked = data_type("string").check(State.PLAYING)
    assert type(checked) is str
    assert checked == "PLAYING"


@pytest.mark.parametrize("value", ["", "ab"])
def test_char_is_one_character(value: str) -> None:
    assert refusal("char", value) == (
        f"ValueError: {value!r} does not fit char, "
        "which takes a str of one character that XML 1.0 can carry"
    )


def test_white_space_around_the_char_of_a_peer_is_dropped() -> None:
    assert data_type("char").parse("\n x ") == "x"
    assert data_type("char").parse("\n") == "\n"
    with pytest.raises(ValueError, match="does not fit char"):
        data_type("char").parse("  ")


def test_a_uri_has_no_white_space() -> None:
    assert refusal("uri", "http://h/a b").startswith("ValueError: 'http://h/a b' does not fit uri")
    assert data_type("uri").format("http://h/ü") == "http://h/ü"
    assert data_type("uri").parse("\n http://h/ \n") == "http://h/"


# --- dates and times ---


def test_dates_and_times_are_written_in_iso_8601() -> None:
    zoned = MOMENT.replace(microsecond=250_000, tzinfo=UTC)
    assert data_type("date").format(MOMENT.date()) == "2024-05-06"
    assert data_type("dateTime").format(MOMENT) == "2024-05-06T07:08:09"
    assert data_type("dateTime.tz").format(zoned) == "2024-05-06T07:08:09.250000+00:00"
    assert data_type("dateTime.tz").format(MOMENT) == "2024-05-06T07:08:09"
    assert data_type("time").format(MOMENT.time()) == "07:08:09"
    assert data_type("time.tz").format(zoned.timetz()) == "07:08:09.250000+00:00"


def test_a_datetime_is_no_date_since_its_time_would_be_lost() -> None:
    assert refusal("date", MOMENT).startswith("TypeError: ")
    assert refusal("dateTime", MOMENT.date()).startswith("TypeError: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("dateTime", MOMENT.replace(tzinfo=UTC)), ("time", datetime.time(7, tzinfo=UTC))],
)
def test_a_time_zone_is_not_dropped_without_a_word(name: str, value: object) -> None:
    assert refusal(name, value).endswith("without a time zone")
    with pytest.raises(ValueError, match=f"does not fit {name}"):
        data_type(name).parse("2024-05-06T07:08Z" if name == "dateTime" else "07:08Z")


@pytest.mark.parametrize(
    "value",
    [
        datetime.time(7, tzinfo=Seasonal()),
        datetime.time(7, tzinfo=datetime.timezone(datetime.timedelta(seconds=30))),
    ],
)
def test_a_time_whose_zone_the_text_cannot_say_is_refused(value: datetime.time) -> None:
    assert refusal("time.tz", value).startswith("ValueError: ")


def test_a_datetime_in_a_named_zone_is_sent_with_its_offset() -> None:
    summer = MOMENT.replace(tzinfo=Seasonal())
    assert data_type("dateTime.tz").format(summer) == "2024-05-06T07:08:09+02:00"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("date", " 20240506 ", MOMENT.date()),
        ("dateTime", "2024-05-06", MOMENT.replace(hour=0, minute=0, second=0)),
        ("dateTime", "2024-05-06 07:08:09", MOMENT),
        ("dateTime.tz", "2024-05-06T07:08:09Z", MOMENT.replace(tzinfo=UTC)),
        ("dateTime.tz", "2024-05-06T07:08:09", MOMENT),
        ("time", "7:08:09", MOMENT.time()),
        ("time", "T07:08:09\n", MOMENT.time()),
        ("time.tz", "07:08:09Z", MOMENT.time().replace(tzinfo=UTC)),
    ],
)
def test_the_dates_of_devices_are_read(name: str, text: str, value: object) -> None:
    assert data_type(name).parse(text) == value


# --- boolean, binary, uuid ---


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", " yes "])
def test_every_way_to_say_true_is_understood(text: str) -> None:
    assert data_type("boolean").parse(text) is True


@pytest.mark.parametrize("text", ["0", "false", "False", "NO", "\nno"])
def test_every_way_to_say_false_is_understood(text: str) -> None:
    assert data_type("boolean").parse(text) is False


@pytest.mark.parametrize("text", ["", "2", "on", "y"])
def test_other_words_are_no_boolean(text: str) -> None:
    with pytest.raises(ValueError, match="fit boolean, which takes yes or no, true or false, 1 or"):
        data_type("boolean").parse(text)


@pytest.mark.parametrize("name", sorted(DATA_TYPES))
def test_the_error_of_a_text_shows_a_text_and_no_type_of_python(name: str) -> None:
    if name in ("string", "uri"):
        return  # They take every text.
    with pytest.raises(ValueError, match=f"does not fit {name}, which takes ") as raised:
        data_type(name).parse("\0\0")
    assert not re.search(r"datetime\.|uuid\.|bytes|True", str(raised.value))


def test_a_boolean_is_sent_as_a_digit_and_is_no_int() -> None:
    assert data_type("boolean").format(True) == "1"
    assert data_type("boolean").format(False) == "0"
    assert refusal("boolean", 1) == ("TypeError: 1 does not fit boolean, which takes True or False")


def test_bytes_are_sent_in_base64_or_hexadecimal() -> None:
    assert data_type("bin.base64").format(bytearray(b"\x00\xff?")) == "AP8/"
    assert data_type("bin.hex").format(memoryview(b"\x00\xff")) == "00FF"
    assert refusal("bin.hex", "00FF").startswith("TypeError: ")


@pytest.mark.parametrize("text", ["AP8/Pw==", "AP8/Pw=", "AP8/Pw", " AP8/\r\n Pw== "])
def test_base64_in_lines_or_without_padding_is_read(text: str) -> None:
    assert data_type("bin.base64").parse(text) == b"\x00\xff??"


@pytest.mark.parametrize("text", ["A", "AP8_", "AP8/____", "AP=8", "é"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not fit bin\.base64"):
        data_type("bin.base64").parse(text)


def test_hexadecimal_is_read_in_either_case() -> None:
    assert data_type("bin.hex").parse(" 00fF 7f ") == b"\x00\xff\x7f"
    with pytest.raises(ValueError, match=r"does not fit bin\.hex"):
        data_type("bin.hex").parse("0")


A_UUID = uuid.UUID("2fac1234-31f8-11b4-a222-08002b34c003")


@pytest.mark.parametrize("prefix", ["", "uuid:", "URN:UUID:"])
@pytest.mark.parametrize("form", [str(A_UUID), str(A_UUID).upper(), A_UUID.hex, f"{{{A_UUID}}}"])
def test_every_common_way_to_write_a_uuid_is_read(prefix: str, form: str) -> None:
    assert data_type("uuid").parse(f" {prefix}{form} ") == A_UUID


def test_a_uuid_is_sent_in_lower_case_and_may_be_given_as_text() -> None:
    assert data_type("uuid").format(A_UUID) == str(A_UUID)
    assert data_type("uuid").check(str(A_UUID).upper()) == A_UUID
    assert refusal("uuid", "2fac") == (
        "ValueError: '2fac' does not fit uuid, which takes a uuid.UUID, or its text"
    )


# --- in sentences ---


def test_a_value_is_shown_short_and_without_control_characters() -> None:
    assert shown("a\x1b[31m") == r"'a\x1b[31m'"
    assert len(shown("x" * 10_000)) < 70
    assert shown(10**5000) == "an integer of hundreds of digits"
    assert shown([-(10**5000)]) == "[an integer of hundreds of digits]"
