"""The data types of state variables (UDA 2.0 §2.5): Python values <-> the text of the wire.

Outgoing values are judged strictly and have one text each; the text of peers is read liberally.
"""

from __future__ import annotations

import base64
import datetime
import math
import operator
import re
import reprlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from numbers import Real
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from propchange.core.wire.xml import FORBIDDEN

T = TypeVar("T")
M = TypeVar("M", datetime.datetime, datetime.time)


class _ShortRepr(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write very large integers, with any bound from 640 digits on."""
        if value.bit_length() > 2_000:
            return "an integer of hundreds of digits"
        return super().repr_int(value, level)


_short = _ShortRepr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def shown(value: object) -> str:
    """``value`` as error sentences show it: its repr, cut to about 60 characters, with control
    characters escaped."""
    return _short.repr(value)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DataType(Generic[T]):
    """One data type (UDA 2.0 §2.5). Get one by :func:`data_type`, which knows all of them.

    ``name`` is its name in a service description and ``python_type`` the type of its values.
    ``takes`` describes the values in words, ``texts`` their texts on the wire, if these differ.
    ``zero`` is the default value of a variable.
    ``minimum`` and ``maximum`` are the bounds of a numeric type, None for a type without bounds.

    ``convert`` is :meth:`check` with errors that have no message, and may raise ArithmeticError
    too. ``write`` is :meth:`format` without the check. ``read`` reads a text without the check.
    """

    name: str
    python_type: type[T]
    takes: str
    zero: T
    convert: Callable[[object], T]
    write: Callable[[T], str]
    read: Callable[[str], T]
    minimum: T | None = None
    maximum: T | None = None
    texts: str = ""

    def __repr__(self) -> str:
        return f"<DataType {self.name}>"

    @property
    def numeric(self) -> bool:
        """Whether ranges, steps and minimum deltas apply."""
        return self.python_type in (int, float, Decimal)

    def check(self, value: object, prefix: str = "") -> T:
        """Convert ``value`` to an exact ``python_type``, for :meth:`format`.

        Raises TypeError for a value of another kind, ValueError for a value that cannot be sent as
        this type. The message is ``prefix``, the value and the values that the type takes.
        """
        try:
            return self.convert(value)
        except (TypeError, ValueError, ArithmeticError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{prefix}{shown(value)} does not fit {self.name}, which takes {self.takes}")

    def format(self, value: T) -> str:
        """The text of ``value`` on the wire, without XML escapes. Equal values have equal texts.
        Raises as :meth:`check`."""
        return self.write(self.check(value))

    def parse(self, text: str) -> T:
        """The value of a peer's ``text``, read leniently. Raises ValueError for a text that is no
        value of this type."""
        try:
            return self.convert(self.read(text))
        except (ValueError, ArithmeticError, LookupError):
            raise ValueError(
                f"the text {shown(text)} does not fit {self.name}, which takes "
                f"{self.texts or self.takes}"
            ) from None


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError
    return match


# --- numbers ---

# Peers write signs, leading zeros and, from floats, a fraction of nothing.
_INTEGER = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")

# The program's own decimal context must not round or trap here.
_FIXED_CONTEXT = Context(prec=40, traps=[InvalidOperation])


def _read_integer(text: str) -> int:
    if len(text) < 10 and text.isascii() and text.isdigit():  # most texts need no expression
        return int(text)
    return int(_matched(_INTEGER, text)[1])


def _read_float(text: str) -> float:
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError
    return float(text)


def _integer(name: str, lowest: int, highest: int, *, bounded: bool = True) -> DataType[int]:
    def convert(value: object) -> int:
        if type(value) is not int:
            if isinstance(value, bool):
                raise TypeError
            value = operator.index(value)  # type: ignore[arg-type]  # or it raises TypeError
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return DataType(
        name,
        int,
        f"an int from {lowest} to {highest}" if bounded else "an int",
        0,
        convert,
        str,
        _read_integer,
        lowest if bounded else None,
        highest if bounded else None,
    )


def _float(
    name: str, smallest: float = math.ulp(0.0), largest: float = math.nextafter(math.inf, 0)
) -> DataType[float]:
    def convert(value: object) -> float:
        if type(value) is float:
            checked = value
        elif isinstance(value, bool) or not isinstance(value, Real | Decimal):
            raise TypeError
        else:
            checked = float(value)
        magnitude = abs(checked)
        if magnitude < smallest:
            # Also -0.0: equal values must have equal texts.
            return 0.0
        if not magnitude <= largest:  # NaN too
            raise ValueError
        return checked

    return DataType(
        name,
        float,
        f"a finite float or int from {-largest!r} to {largest!r}",
        0.0,
        convert,
        # UDA 2.0 §2.5 separates the exponent by a capital E.
        lambda value: repr(value).upper(),
        _read_float,
        -largest,
        largest,
    )


def _four_places(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.0001"), context=_FIXED_CONTEXT)


def _convert_fixed(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError
    decimal = Decimal(value)
    if not decimal.is_finite() or decimal.copy_abs() >= 10**14:
        raise ValueError
    fixed = _four_places(decimal)
    if fixed != decimal:
        raise ValueError
    return Decimal(_write_fixed(fixed))


def _write_fixed(value: Decimal) -> str:
    text = format(value, "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- text, dates, bytes ---


def _text(
    name: str, takes: str, misfit: re.Pattern[str], read: Callable[[str], str] = str, zero: str = ""
) -> DataType[str]:
    def convert(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError
        if misfit.search(value) is not None:
            raise ValueError
        return str.__str__(value)

    return DataType(name, str, takes, zero, convert, str, read)


def _clock(name: str, kind: type[M], zero: M, example: str, zone: str = "") -> DataType[M]:
    """A type of times. ``example`` is the text of one. ``zone`` describes the time zones that it
    takes, empty for none."""

    def convert(value: object) -> M:
        if not isinstance(value, kind):
            raise TypeError
        if value.tzinfo is not None:
            offset = value.utcoffset()
            if not zone or offset is None or offset % datetime.timedelta(minutes=1):
                raise ValueError
        return value

    return DataType(
        name,
        kind,
        f"a datetime.{kind.__name__} {zone or 'without a time zone'}",
        zero,
        convert,
        kind.isoformat,
        # Some devices write the hour with one digit.
        lambda text: kind.fromisoformat(re.sub("^([0-9]):", r"0\1:", text.strip())),
        texts=f"a text such as {example}, {zone or 'without a time zone'}",
    )


def _binary(
    name: str, texts: str, write: Callable[[bytes], str], read: Callable[[str], bytes]
) -> DataType[bytes]:
    def convert(value: object) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError
        return bytes(value)

    return DataType(name, bytes, "bytes", b"", convert, write, read, texts=texts)


def _convert_date(value: object) -> datetime.date:
    # A datetime is a date to Python; its time would be lost without a word.
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise TypeError
    return value


def _convert_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_base64(text: str) -> bytes:
    # Broken into lines as in MIME, and without its padding, it is still clear.
    digits = "".join(text.split())
    return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")


def _read_uuid(text: str) -> uuid.UUID:
    digits = text.strip().lower().removeprefix("urn:").removeprefix("uuid:").strip("{}")
    return uuid.UUID(_matched(_UUID, digits)[0])


def _convert_uuid(value: object) -> uuid.UUID:
    if isinstance(value, str):
        return _read_uuid(value)
    if not isinstance(value, uuid.UUID):
        raise TypeError
    return value


# UDA 2.0 §2.5: the words are deprecated, may not be sent and are to be understood.
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

_MOMENT = datetime.datetime.combine(datetime.date(1970, 1, 1), datetime.time.min)

_ALL: tuple[DataType[Any], ...] = (
    *(_integer(f"ui{size}", 0, 256**size - 1) for size in (1, 2, 4, 8)),
    *(_integer(f"i{size}", -(256**size) // 2, 256**size // 2 - 1) for size in (1, 2, 4, 8)),
    # UDA names no bound. Python reads and writes up to 4,300 digits: a larger value must fail
    # when it is checked, not when it is sent.
    _integer("int", -(10**1000) + 1, 10**1000 - 1, bounded=False),
    # The bounds that UDA 2.0 §2.5 prints. What is nearer to zero than r4 can say is zero.
    _float("r4", 1.17549435e-38, 3.40282347e38),
    _float("r8"),
    _float("number"),
    _float("float"),
    DataType(
        "fixed.14.4",
        Decimal,
        "a Decimal or an int of at most 14 digits before the point and 4 after it",
        Decimal(0),
        _convert_fixed,
        _write_fixed,
        lambda text: _four_places(Decimal(_matched(_DECIMAL, text)[0])),
        Decimal("-99999999999999.9999"),
        Decimal("99999999999999.9999"),
    ),
    _text(
        "char",
        "a str of one character that XML 1.0 can carry",
        re.compile(rf"{FORBIDDEN.pattern}|..|\A\Z", re.DOTALL),
        lambda text: text if len(text) == 1 else text.strip(),
        " ",
    ),
    _text("string", "a str of characters that XML 1.0 can carry", FORBIDDEN),
    DataType(
        "date",
        datetime.date,
        "a datetime.date",
        datetime.date(1970, 1, 1),
        _convert_date,
        datetime.date.isoformat,
        lambda text: datetime.date.fromisoformat(text.strip()),
        texts="a text such as 2027-03-28",
    ),
    _clock("dateTime", datetime.datetime, _MOMENT, "2027-03-28T12:30:00"),
    _clock(
        "dateTime.tz",
        datetime.datetime,
        _MOMENT,
        "2027-03-28T12:30:00+01:00",
        "with or without a time zone of whole minutes",
    ),
    _clock("time", datetime.time, datetime.time.min, "12:30:00"),
    _clock(
        "time.tz",
        datetime.time,
        datetime.time.min,
        "12:30:00+01:00",
        "with or without a fixed UTC offset",
    ),
    DataType(
        "boolean",
        bool,
        "True or False",
        False,
        _convert_boolean,
        lambda value: "1" if value else "0",
        lambda text: _BOOLEANS[text.strip().lower()],
        texts="yes or no, true or false, 1 or 0",
    ),
    _binary(
        "bin.base64",
        "digits of base64",
        lambda value: base64.b64encode(value).decode("ascii"),
        _read_base64,
    ),
    _binary(
        "bin.hex",
        "hexadecimal digits, two a byte",
        lambda value: value.hex().upper(),
        bytes.fromhex,
    ),
    _text(
        "uri",
        "a str without white space or control characters",
        re.compile(rf"{FORBIDDEN.pattern}|\s"),
        str.strip,
    ),
    DataType(
        "uuid",
        uuid.UUID,
        "a uuid.UUID, or its text",
        uuid.UUID(int=0),
        _convert_uuid,
        str,
        _read_uuid,
        texts="a text such as 2fac1234-31f8-11b4-a222-08002b34c003",
    ),
)

DATA_TYPES: Mapping[str, DataType[Any]] = MappingProxyType({known.name: known for known in _ALL})
"""Every data type of UDA 2.0 §2.5 by its name in a service description."""

_BY_LOWER_NAME = {name.lower(): known for name, known in DATA_TYPES.items()}


def data_type(name: str) -> DataType[Any]:
    """The data type with this name. Case and surrounding white space do not matter, since
    descriptions of real devices differ in them. Raises ValueError, with a list of all names."""
    try:
        return _BY_LOWER_NAME[name.strip().lower()]
    except KeyError:
        known = ", ".join(DATA_TYPES)
        raise ValueError(f"{shown(name)} is no UPnP data type; they are {known}") from None
