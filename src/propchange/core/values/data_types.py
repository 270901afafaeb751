"""The data types of state variables (UDA 2.0 §2.5): Python values <-> the text of the wire.

Outgoing values are judged strictly and have one text each; the text of peers is read liberally.
"""

from __future__ import annotations

import abc
import base64
import datetime
import math
import operator
import re
import reprlib
import uuid
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from numbers import Real
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from propchange.core.wire.xml import FORBIDDEN

__all__ = [
    "DATA_TYPES",
    "BinaryName",
    "BooleanName",
    "DataType",
    "DateName",
    "DateTimeName",
    "FixedName",
    "FloatName",
    "IntegerName",
    "StringName",
    "TextName",
    "TimeName",
    "UUIDName",
    "data_type",
    "shown",
]

T = TypeVar("T")

IntegerName = Literal["ui1", "ui2", "ui4", "ui8", "i1", "i2", "i4", "i8", "int"]
FloatName = Literal["r4", "r8", "number", "float"]
FixedName = Literal["fixed.14.4"]
StringName = Literal["string"]
TextName = Literal["char", "uri"]
DateName = Literal["date"]
DateTimeName = Literal["dateTime", "dateTime.tz"]
TimeName = Literal["time", "time.tz"]
BooleanName = Literal["boolean"]
BinaryName = Literal["bin.base64", "bin.hex"]
UUIDName = Literal["uuid"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def shown(value: object) -> str:
    """``value`` as error sentences show it: its repr, cut to about 60 characters, with control
    characters escaped."""
    try:
        return _short.repr(value)
    except ValueError:
        # Python refuses to write very large ints.
        return f"a {type(value).__name__} of thousands of digits"


class DataType(abc.ABC, Generic[T]):
    """One data type (UDA 2.0 §2.5). Get one by :func:`data_type`; all are in :data:`DATA_TYPES`.

    ``name`` is its name in a service description and ``python_type`` the type of its values.
    ``takes`` describes the values in words. ``zero`` is the default value of a variable.
    ``numeric``: ranges, steps and minimum deltas apply. ``minimum`` and ``maximum`` are then the
    bounds of the type, None for a type without bounds.
    """

    numeric: bool = False
    minimum: T | None = None
    maximum: T | None = None

    def __init__(self, name: str, python_type: type[T], takes: str, zero: T) -> None:
        self.name = name
        self.python_type = python_type
        self.takes = takes
        self.zero = zero

    def __repr__(self) -> str:
        return f"<DataType {self.name}>"

    @abc.abstractmethod
    def check(self, value: object) -> T:
        """Convert ``value`` to an exact ``python_type``, for :meth:`format`.

        Raises TypeError for a value of another kind, ValueError for a value that cannot be sent as
        this type. The message has the value and the values that the type takes.
        """

    def format(self, value: T) -> str:
        """The text of ``value`` on the wire, without XML escapes. Equal values have equal texts.
        Raises as :meth:`check`."""
        return self.write(self.check(value))

    def parse(self, text: str) -> T:
        """The value of a peer's ``text``, read leniently. Raises ValueError for a text that is no
        value of this type."""
        try:
            return self.check(self._read(text))
        except (ValueError, ArithmeticError):
            raise ValueError(
                f"the text {shown(text)} does not fit {self.name}, which takes {self.takes}"
            ) from None

    @abc.abstractmethod
    def write(self, value: T) -> str:
        """The text of a value that :meth:`check` has given: :meth:`format` without the check."""

    @abc.abstractmethod
    def _read(self, text: str) -> T: ...

    def _misfit(self, value: object) -> str:
        return f"{shown(value)} does not fit {self.name}, which takes {self.takes}"


class _Integer(DataType[int]):
    numeric = True

    # Peers write signs, leading zeros and, from floats, a fraction of nothing.
    _text = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")

    def __init__(self, name: str, minimum: int, maximum: int) -> None:
        super().__init__(name, int, f"an int from {minimum} to {maximum}", 0)
        self.minimum = minimum
        self.maximum = maximum
        self._lowest = minimum
        self._highest = maximum

    def check(self, value: object) -> int:
        if type(value) is int:
            checked = value
        elif isinstance(value, bool) or not hasattr(type(value), "__index__"):
            raise TypeError(self._misfit(value))
        else:
            checked = operator.index(value)  # type: ignore[arg-type]  # it has __index__
        if not self._lowest <= checked <= self._highest:
            raise ValueError(self._misfit(value))
        return checked

    def write(self, value: int) -> str:
        return str(value)

    def _read(self, text: str) -> int:
        match = self._text.fullmatch(text)
        if match is None:
            raise ValueError
        return int(match[1])


class _UnboundedInteger(_Integer):
    def __init__(self) -> None:
        # UDA names no bound. Python reads and writes up to 4,300 digits: a larger value must fail
        # here, not when it is sent.
        super().__init__("int", -(10**1000) + 1, 10**1000 - 1)
        self.minimum = self.maximum = None
        self.takes = "an int"


class _Float(DataType[float]):
    numeric = True

    _text = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")

    def __init__(self, name: str, smallest: float, largest: float) -> None:
        super().__init__(
            name, float, f"a finite float or int from {-largest!r} to {largest!r}", 0.0
        )
        self.minimum = -largest
        self.maximum = largest
        self._smallest = smallest
        self._largest = largest

    def check(self, value: object) -> float:
        if type(value) is not float and (
            isinstance(value, bool) or not isinstance(value, Real | Decimal)
        ):
            raise TypeError(self._misfit(value))
        try:
            checked = float(value)
        except (OverflowError, ValueError):
            raise ValueError(self._misfit(value)) from None
        magnitude = abs(checked)
        if magnitude < self._smallest:
            # Also -0.0: equal values must have equal texts.
            return 0.0
        if not magnitude <= self._largest:  # NaN too
            raise ValueError(self._misfit(value))
        return checked

    def write(self, value: float) -> str:
        # UDA 2.0 §2.5 separates the exponent by a capital E.
        return repr(value).upper()

    def _read(self, text: str) -> float:
        if self._text.fullmatch(text) is None:
            raise ValueError
        return float(text)


class _Fixed(DataType[Decimal]):
    numeric = True

    # The program's own decimal context must not round or trap here.
    _context = Context(prec=40, traps=[InvalidOperation])
    _quantum = Decimal("0.0001")

    def __init__(self, name: str) -> None:
        takes = "a Decimal or an int of at most 14 digits before the point and 4 after it"
        super().__init__(name, Decimal, takes, Decimal(0))
        self.minimum = Decimal("-99999999999999.9999")
        self.maximum = Decimal("99999999999999.9999")

    def check(self, value: object) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, Decimal | int):
            raise TypeError(self._misfit(value))
        decimal = Decimal(value)
        if not decimal.is_finite() or decimal.copy_abs() >= 10**14:
            raise ValueError(self._misfit(value))
        fixed = decimal.quantize(self._quantum, context=self._context)
        if fixed != decimal:
            raise ValueError(self._misfit(value))
        return Decimal(self.write(fixed))

    def write(self, value: Decimal) -> str:
        if not value:
            return "0"
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text

    def _read(self, text: str) -> Decimal:
        if _Float._text.fullmatch(text) is None:
            raise ValueError
        decimal = Decimal(text.strip())
        if decimal.copy_abs() >= 10**14:
            raise ValueError
        return decimal.quantize(self._quantum, context=self._context)


class _String(DataType[str]):
    def __init__(
        self,
        name: str = "string",
        takes: str = "a str of characters that XML 1.0 can carry",
        zero: str = "",
    ) -> None:
        super().__init__(name, str, takes, zero)

    def check(self, value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(self._misfit(value))
        if FORBIDDEN.search(value) is not None:
            raise ValueError(self._misfit(value))
        return str.__str__(value)

    def write(self, value: str) -> str:
        return value

    def _read(self, text: str) -> str:
        return text


class _Char(_String):
    def __init__(self) -> None:
        super().__init__("char", "a str of one character that XML 1.0 can carry", " ")

    def check(self, value: object) -> str:
        checked = super().check(value)
        if len(checked) != 1:
            raise ValueError(self._misfit(value))
        return checked

    def _read(self, text: str) -> str:
        return text if len(text) == 1 else text.strip()


class _URI(_String):
    _white = re.compile(r"\s")

    def __init__(self) -> None:
        super().__init__("uri", "a str without white space or control characters")

    def check(self, value: object) -> str:
        checked = super().check(value)
        if self._white.search(checked) is not None:
            raise ValueError(self._misfit(value))
        return checked

    def _read(self, text: str) -> str:
        return text.strip()


class _Boolean(DataType[bool]):
    # UDA 2.0 §2.5: the words are deprecated, may not be sent and are to be understood.
    _texts: Mapping[str, bool] = MappingProxyType(
        {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    )

    def __init__(self) -> None:
        super().__init__("boolean", bool, "True or False", False)

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError(self._misfit(value))
        return value

    def write(self, value: bool) -> str:
        return "1" if value else "0"

    def _read(self, text: str) -> bool:
        value = self._texts.get(text.strip().lower())
        if value is None:
            raise ValueError
        return value


class _Date(DataType[datetime.date]):
    def __init__(self) -> None:
        super().__init__("date", datetime.date, "a datetime.date", datetime.date(1970, 1, 1))

    def check(self, value: object) -> datetime.date:
        # A datetime is a date to Python; its time would be lost without a word.
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise TypeError(self._misfit(value))
        return value

    def write(self, value: datetime.date) -> str:
        return datetime.date.isoformat(value)

    def _read(self, text: str) -> datetime.date:
        return datetime.date.fromisoformat(text.strip())


def _zone_fits(value: datetime.datetime | datetime.time, zoned: bool) -> bool:
    """Whether the text of ``value`` can say its time zone, or lack thereof."""
    if value.tzinfo is None:
        return True
    offset = value.utcoffset()
    return zoned and offset is not None and not offset % datetime.timedelta(minutes=1)


class _DateTime(DataType[datetime.datetime]):
    def __init__(self, name: str, *, zoned: bool) -> None:
        zone = "with or without a time zone of whole minutes" if zoned else "without a time zone"
        zero = datetime.datetime.combine(datetime.date(1970, 1, 1), datetime.time())
        super().__init__(name, datetime.datetime, f"a datetime.datetime {zone}", zero)
        self._zoned = zoned

    def check(self, value: object) -> datetime.datetime:
        if not isinstance(value, datetime.datetime):
            raise TypeError(self._misfit(value))
        if not _zone_fits(value, self._zoned):
            raise ValueError(self._misfit(value))
        return value

    def write(self, value: datetime.datetime) -> str:
        return datetime.datetime.isoformat(value)

    def _read(self, text: str) -> datetime.datetime:
        return datetime.datetime.fromisoformat(text.strip())


class _Time(DataType[datetime.time]):
    _short_hour = re.compile(r"[0-9]:")

    def __init__(self, name: str, *, zoned: bool) -> None:
        zone = "with or without a fixed UTC offset" if zoned else "without a time zone"
        super().__init__(name, datetime.time, f"a datetime.time {zone}", datetime.time())
        self._zoned = zoned

    def check(self, value: object) -> datetime.time:
        if not isinstance(value, datetime.time):
            raise TypeError(self._misfit(value))
        if not _zone_fits(value, self._zoned):
            raise ValueError(self._misfit(value))
        return value

    def write(self, value: datetime.time) -> str:
        return datetime.time.isoformat(value)

    def _read(self, text: str) -> datetime.time:
        text = text.strip()
        if self._short_hour.match(text) is not None:
            text = "0" + text
        return datetime.time.fromisoformat(text)


class _Binary(DataType[bytes]):
    def __init__(self, name: str) -> None:
        super().__init__(name, bytes, "bytes", b"")

    def check(self, value: object) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(self._misfit(value))
        return bytes(value)


class _Base64(_Binary):
    def write(self, value: bytes) -> str:
        return base64.b64encode(value).decode("ascii")

    def _read(self, text: str) -> bytes:
        # Broken into lines as in MIME, and without its padding, it is still clear.
        digits = "".join(text.split())
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


class _Hex(_Binary):
    def write(self, value: bytes) -> str:
        return value.hex().upper()

    def _read(self, text: str) -> bytes:
        return bytes.fromhex(text)


class _UUID(DataType[uuid.UUID]):
    _text = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")

    def __init__(self) -> None:
        super().__init__("uuid", uuid.UUID, "a uuid.UUID, or its text", uuid.UUID(int=0))

    def check(self, value: object) -> uuid.UUID:
        if isinstance(value, str):
            try:
                return self._read(value)
            except ValueError:
                raise ValueError(self._misfit(value)) from None
        if not isinstance(value, uuid.UUID):
            raise TypeError(self._misfit(value))
        return value

    def write(self, value: uuid.UUID) -> str:
        return str(value)

    def _read(self, text: str) -> uuid.UUID:
        digits = text.strip().lower().removeprefix("urn:").removeprefix("uuid:").strip("{}")
        if self._text.fullmatch(digits) is None:
            raise ValueError
        return uuid.UUID(digits)


def _integers() -> list[DataType[int]]:
    types: list[DataType[int]] = []
    for size in (1, 2, 4, 8):
        types.append(_Integer(f"ui{size}", 0, 256**size - 1))
        types.append(_Integer(f"i{size}", -(256**size) // 2, 256**size // 2 - 1))
    return types


_LARGEST_DOUBLE = math.nextafter(math.inf, 0)
_SMALLEST_DOUBLE = math.ulp(0.0)

_ALL: tuple[DataType[Any], ...] = (
    *_integers(),
    _UnboundedInteger(),
    # The bounds that UDA 2.0 §2.5 prints. What is nearer to zero than r4 can say is zero.
    _Float("r4", 1.17549435e-38, 3.40282347e38),
    _Float("r8", _SMALLEST_DOUBLE, _LARGEST_DOUBLE),
    _Float("number", _SMALLEST_DOUBLE, _LARGEST_DOUBLE),
    _Float("float", _SMALLEST_DOUBLE, _LARGEST_DOUBLE),
    _Fixed("fixed.14.4"),
    _Char(),
    _String(),
    _Date(),
    _DateTime("dateTime", zoned=False),
    _DateTime("dateTime.tz", zoned=True),
    _Time("time", zoned=False),
    _Time("time.tz", zoned=True),
    _Boolean(),
    _Base64("bin.base64"),
    _Hex("bin.hex"),
    _URI(),
    _UUID(),
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
