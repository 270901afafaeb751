"""State variables: name, data type, allowed values, and how changes are evented."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from dis import get_instructions
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)
from uuid import UUID

from propchange.core.values.data_types import DataType, shown
from propchange.core.values.data_types import data_type as data_type_named
from propchange.core.values.merging import Merge

T = TypeVar("T")
V = TypeVar("V")

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

GENERAL = "upnp:/general"
"""The default level of a multicast variable."""

STANDARD_LEVELS = tuple(
    f"upnp:/{level}" for level in ("emergency", "fault", "warning", "info", "debug", "general")
)
"""The levels that UDA names, the most urgent first (UDA 2.0 table 4-8)."""

_VENDOR_LEVEL = re.compile(r"[^\s:/.]+(?:\.[^\s:/.]+)+:/\S+")

_ALLOWED_SHOWN = 16
"""Allowed values that an error names. A service description may have thousands."""


class HasVariables(Protocol):
    """The methods of an object that has state variables as attributes: a service."""

    def _read_variable(self, variable: StateVariable[V], /) -> V:
        """The current value."""

    def _assign_variable(self, variable: StateVariable[V], value: V, /) -> None:
        """Take a new value, after ``variable.check``."""


class StateVariableOptions(TypedDict, total=False):
    """The options that every data type takes; :class:`StateVariable` explains them."""

    evented: bool | Literal["LastChange"] | None
    minimum_interval: float | None
    multicast: bool
    level: str | None
    merge: Merge | None
    channel: str | None
    name: str | None


class InitialOptions(StateVariableOptions, Generic[V], total=False):
    """The options of a data type without constraints."""

    initial: V | None


class StringOptions(InitialOptions[str], total=False):
    """The options of the data type ``string``."""

    allowed: Iterable[str] | None


class NumericOptions(InitialOptions[V], Generic[V], total=False):
    """The options of numeric data types."""

    minimum: V | None
    maximum: V | None
    step: V | None
    minimum_delta: V | None


def wire_name(attribute: str) -> str:
    """The CamelCase of an attribute's name: ``current_track`` becomes ``CurrentTrack``. Capitals
    stay. Raises ValueError for a name of underscores only."""
    name = "".join(part[0].upper() + part[1:] for part in attribute.split("_") if part)
    if not name:
        raise ValueError(f"the attribute {attribute!r} gives no variable name; say name=")
    return name


def check_level(level: str) -> None:
    """Raises ValueError unless ``level`` is one of :data:`STANDARD_LEVELS` or a vendor's: its
    domain name, ``:/`` and a word (UDA 2.0 table 4-8)."""
    if level in STANDARD_LEVELS:
        return
    if not level.isprintable() or _VENDOR_LEVEL.fullmatch(level) is None:
        raise ValueError(
            f"a level is {', '.join(STANDARD_LEVELS)}, or your own domain name with :/ and more, "
            f"as example.org:/door/, not {shown(level)}"
        )


def _name_being_assigned() -> str:
    """The wire name of the state variable that the running statement defines, for an error in its
    options; "" if the statement assigns to no name. Python gives a class attribute its name only
    when the class is complete."""
    frame = sys._getframe()
    while frame.f_globals.get("__name__") == __name__ and frame.f_back is not None:
        frame = frame.f_back
    following = (each for each in get_instructions(frame.f_code) if each.offset > frame.f_lasti)
    stored = next((each for each in following if each.opname != "CACHE"), None)
    if stored is None or stored.opname != "STORE_NAME" or "__module__" not in frame.f_locals:
        return ""
    attribute = str(stored.argval)
    return wire_name(attribute) if attribute.strip("_") else ""


class StateVariable(Generic[T]):
    """A state variable of a service (UDA 2.0 §2.5). Declare it as a class attribute, or pass it to
    a service that is made at run time.

    ``data_type`` is the name of a type of UDA 2.0 §2.5, such as ``ui2``. The options are
    keyword-only:

    - ``initial``: the first value. The default is the zero of the type; if that is not allowed,
      the ``minimum``, the ``maximum`` or the first of ``allowed``.
    - ``minimum``, ``maximum``, ``step``: for numeric types; inclusive. A value is a whole number
      of steps above ``minimum``, or above zero without one. Floats may differ from that by a
      thousandth of a step.
    - ``allowed``: the allowed values, for ``string`` only.
    - ``evented``: True (the default), False, or ``"LastChange"``, which events it through that
      variable. A variable that replaces one of a base class inherits the eventing: see
      :meth:`inherit_eventing`.
    - ``minimum_interval``: seconds. At most one event per interval has this variable (UDA calls it
      maximumRate). ``minimum_delta``: for numeric types. An event is sent once the value has
      changed by this much.
    - ``multicast``: events are sent by multicast too (UDA 2.0 §4.3.3), with the LVL ``level``: one
      of UDA 2.0 table 4-8, by default ``upnp:/general``, or a vendor's, such as
      ``example.org:/door/``.
    - ``merge``: a function, or a :class:`.Fold`, that merges waiting changes. None: the newer
      value replaces the older.
    - ``channel``: for a per-channel variable with ``evented="LastChange"``. The attribute reads
      and assigns the value of this channel, usually ``"Master"``.
    - ``name``: the name on the wire. The default is the CamelCase of the attribute's name.

    Raises TypeError or ValueError for options that contradict each other or the data type.
    On an instance of the service, the attribute reads and assigns the value. On the class, it is
    the StateVariable. Do not change its attributes.
    """

    __slots__ = (
        "_constrained",
        "_convert",
        "_says_eventing",
        "allowed",
        "channel",
        "data_type",
        "evented",
        "format",
        "initial",
        "level",
        "maximum",
        "merge",
        "minimum",
        "minimum_delta",
        "minimum_interval",
        "multicast",
        "name",
        "step",
    )

    @overload
    def __init__(
        self: StateVariable[int], data_type: IntegerName, **options: Unpack[NumericOptions[int]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[float], data_type: FloatName, **options: Unpack[NumericOptions[float]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[Decimal],
        data_type: FixedName,
        **options: Unpack[NumericOptions[Decimal | int]],
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[str], data_type: StringName, **options: Unpack[StringOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[str], data_type: TextName, **options: Unpack[InitialOptions[str]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[bool], data_type: BooleanName, **options: Unpack[InitialOptions[bool]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[bytes], data_type: BinaryName, **options: Unpack[InitialOptions[bytes]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[date], data_type: DateName, **options: Unpack[InitialOptions[date]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[datetime],
        data_type: DateTimeName,
        **options: Unpack[InitialOptions[datetime]],
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[time], data_type: TimeName, **options: Unpack[InitialOptions[time]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateVariable[UUID], data_type: UUIDName, **options: Unpack[InitialOptions[UUID]]
    ) -> None: ...
    def __init__(
        self,
        data_type: str,
        *,
        initial: Any = None,
        minimum: Any = None,
        maximum: Any = None,
        step: Any = None,
        allowed: Iterable[str] | None = None,
        evented: bool | Literal["LastChange"] | None = None,
        minimum_interval: float | None = None,
        minimum_delta: Any = None,
        multicast: bool = False,
        level: str | None = None,
        merge: Merge | None = None,
        channel: str | None = None,
        name: str | None = None,
    ) -> None:
        self.name: str = name or ""
        """The name on the wire. Empty until the class attribute is defined, without ``name=``."""
        self.data_type: DataType[T] = data_type_named(data_type)
        self._convert = self.data_type.convert
        self.format: Callable[[T], str] = self.data_type.write
        """Returns the text on the wire of a value that :meth:`check` has returned. Values with
        equal texts are equal: no event is sent between them."""
        self._says_eventing = evented is not None
        self.evented: bool | Literal["LastChange"] = True if evented is None else evented
        self.multicast = multicast
        self.level: str = GENERAL if level is None else level
        self.merge = merge
        self.channel = channel
        self._constrained = False
        self.minimum: T | None = self._option("minimum", minimum)
        self.maximum: T | None = self._option("maximum", maximum)
        self.step: T | None = self._option("step", step, positive=True)
        self.minimum_delta: T | None = self._option("minimum_delta", minimum_delta, positive=True)
        self.allowed: tuple[T, ...] | None = self._allowed_values(allowed)
        self.minimum_interval = self._seconds(minimum_interval)
        self._check_options()
        self._constrained = not (minimum is maximum is step is allowed is None)
        self.initial: T = self._first_value(initial)

    @classmethod
    def of(cls, data_type: str, **options: Any) -> StateVariable[Any]:
        """Make a state variable whose data type is known at run time only. A type checker does not
        check its options and values."""
        make: Callable[..., StateVariable[Any]] = cls
        return make(data_type, **options)

    def __repr__(self) -> str:
        return f"<StateVariable {self._called} {self.data_type.name}>"

    if TYPE_CHECKING:
        # Two variables are equal if they are the same object. mypy takes a class that says so for
        # one that may equal a name, and allows ``Thermometer.temperature in event.changes``.

        def __eq__(self, other: object, /) -> bool: ...
        def __hash__(self) -> int: ...

    def __set_name__(self, owner: type, attribute: str) -> None:
        if not self.name:
            self.name = wire_name(attribute)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: HasVariables, owner: type) -> T: ...
    def __get__(self, instance: HasVariables | None, owner: type) -> Self | T:
        if instance is None:
            return self
        return instance._read_variable(self)

    def __set__(self, instance: HasVariables, value: T) -> None:
        instance._assign_variable(self, value)

    def inherit_eventing(self, older: StateVariable[Any]) -> None:
        """Take the eventing of ``older``, the variable that this one replaces in a subclass. Does
        nothing if ``evented`` was given.

        So a standard variable stays evented as in its standard (UDA 2.0 §2.5). ``channel``,
        ``merge``, ``minimum_interval``, ``minimum_delta``, ``multicast`` and ``level`` are taken
        too, each if it was not given. The class of a service calls this before the variable is
        used. Raises ValueError for options that contradict the inherited ones."""
        if self._says_eventing:
            return
        self._says_eventing = True
        self.evented = older.evented
        self.channel = older.channel if self.channel is None else self.channel
        self.merge = older.merge if self.merge is None else self.merge
        if self.minimum_interval is None:
            self.minimum_interval = older.minimum_interval
        if self.minimum_delta is None and self.data_type is older.data_type:
            self.minimum_delta = older.minimum_delta
        if not self.multicast:
            self.multicast, self.level = older.multicast, older.level
        self._check_options()

    def check(self, value: object, option: str = "") -> T:
        """Convert ``value`` to the data type, for :meth:`format`. ``option`` is put before
        the value in errors, such as ``"initial: "``.

        Raises TypeError for a value of another kind. Raises ValueError for a value outside of the
        data type, the range, the steps or the allowed values. The message names the variable,
        the value and the allowed values.
        """
        try:
            checked = self._convert(value)
        except (TypeError, ValueError, ArithmeticError):
            # It raises again, with the message.
            return self.data_type.check(value, f"{self._called}: {option}")
        if self._constrained and not self._fits(checked):
            raise self._error(f"{option}{shown(value)} is not allowed, only {self._allowance()}")
        return checked

    def parse(self, text: str) -> T:
        """The value of a peer's text. Raises ValueError, which names the variable, for a text that
        is no value of the data type.

        Range, steps and allowed values are not checked: devices send values outside of their own
        declarations.
        """
        try:
            return self.data_type.parse(text)
        except ValueError as error:
            raise self._error(str(error)) from None

    def typed(self, value: object) -> T:
        """A value that a device has sent, as a value of this variable. The device may declare
        another data type: an int becomes a float or a Decimal if this variable has those. Range,
        steps and allowed values are not checked. Raises TypeError for a value of another kind."""
        if isinstance(value, self.data_type.python_type):
            return value
        try:
            return self.data_type.convert(value)
        except (TypeError, ValueError, ArithmeticError):
            raise self._error(
                f"the device has sent {shown(value)}, which does not fit {self.data_type.name}: "
                f"its service description declares another data type, or cannot be read",
                TypeError,
            ) from None

    @property
    def _called(self) -> str:
        return self.name or _name_being_assigned() or "a state variable"

    def _error(self, problem: str, kind: type[Exception] = ValueError) -> Exception:
        return kind(f"{self._called}: {problem}")

    def _option(self, option: str, value: object, *, positive: bool = False) -> T | None:
        if value is None:
            return None
        if not self.data_type.numeric:
            raise self._error(f"{option} is for numeric data types, not {self.data_type.name}")
        checked: Any = self.check(value, f"{option}: ")
        if positive and not checked > 0:
            raise self._error(f"{option} is more than 0, not {shown(value)}")
        return checked  # type: ignore[no-any-return]  # compared as a number

    def _allowed_values(self, allowed: Iterable[str] | None) -> tuple[T, ...] | None:
        if allowed is None:
            return None
        if self.data_type.name != "string":
            raise self._error(f"allowed is for the data type string, not {self.data_type.name}")
        if isinstance(allowed, str):
            raise self._error(f"allowed is a list of str, not {shown(allowed)}", TypeError)
        values = tuple(dict.fromkeys(self.check(value, "allowed: ") for value in allowed))
        if not values:
            raise self._error("allowed has no value at all")
        return values

    def _seconds(self, interval: object) -> float | None:
        if interval is None:
            return None
        if isinstance(interval, bool) or not isinstance(interval, int | float):
            raise self._error(f"minimum_interval is in seconds, not {shown(interval)}", TypeError)
        if not 0 < interval < math.inf:
            raise self._error(
                f"minimum_interval is a finite number of seconds above 0, not {shown(interval)}"
            )
        return float(interval)

    def _check_options(self) -> None:
        evented, channel, level = self.evented, self.channel, self.level
        if not isinstance(evented, bool) and evented != "LastChange":
            raise self._error(f"evented is True, False or 'LastChange', not {shown(evented)}")
        if not (self.minimum_interval is self.minimum_delta is None):
            if evented is False:
                raise self._error("it is not evented, so nothing can be moderated")
            if evented == "LastChange":
                raise self._error(
                    "LastChange is moderated as a whole: declare "
                    "last_change = StateVariable('string', minimum_interval=…) instead"
                )
        if channel is not None:
            if not isinstance(channel, str):
                raise self._error(f"a channel is a str, not {shown(channel)}", TypeError)
            if evented != "LastChange":
                raise self._error("channels are for evented='LastChange'")
            if not channel:
                raise self._error("a channel has a name, Master as a rule")
        if not isinstance(self.multicast, bool):
            raise self._error(f"multicast is True or False, not {shown(self.multicast)}", TypeError)
        if self.multicast and self.evented is not True:
            # What goes out by multicast goes out by unicast too (UDA 2.0 §2.5).
            raise self._error("multicast is for variables with evented=True")
        lowest: Any = self.minimum
        if not (lowest is None or self.maximum is None or lowest <= self.maximum):
            raise self._error(f"the minimum {lowest} is above the maximum {self.maximum}")
        if not isinstance(level, str):
            raise self._error(f"a level is a str, not {shown(level)}", TypeError)
        try:
            check_level(level)
        except ValueError as error:
            raise self._error(str(error)) from None
        if level != GENERAL and not self.multicast:
            raise self._error("a level is for variables with multicast=True")
        if self.merge is not None and not callable(self.merge):
            raise self._error(f"merge is a function, not {shown(self.merge)}", TypeError)

    def _first_value(self, initial: object) -> T:
        if initial is not None:
            return self.check(initial, "initial: ")
        candidates = [self.data_type.zero, self.minimum, self.maximum, *(self.allowed or ())]
        for candidate in candidates:
            if candidate is not None and self._fits(candidate):
                return candidate
        raise self._error(f"say initial=, only {self._allowance()}")

    def _fits(self, value: Any) -> bool:
        lowest: Any = self.minimum
        highest: Any = self.maximum
        step: Any = self.step
        if (
            (self.allowed is not None and value not in self.allowed)
            or (lowest is not None and value < lowest)
            or (highest is not None and value > highest)
        ):
            return False
        if step is None:
            return True
        base: Any = self.data_type.zero if lowest is None else lowest
        if isinstance(step, int):
            return not (value - base) % step
        # Ratios of integers are exact. They do not depend on the program's decimal context.
        # (value - base) / step is above / part.
        (a, b), (c, d), (e, f) = (each.as_integer_ratio() for each in (value, base, step))
        above, part = (a * d - c * b) * f, b * d * e
        off = min(above % part, -above % part)
        return bool(1000 * off <= part if self.data_type.python_type is float else not off)

    def _allowance(self) -> str:
        if self.allowed is not None:
            named = " or ".join(map(shown, self.allowed[:_ALLOWED_SHOWN]))
            others = len(self.allowed) - _ALLOWED_SHOWN
            return f"{named} or {others} others" if others > 0 else named
        limits = (("from", self.minimum), ("to", self.maximum), ("in steps of", self.step))
        return " ".join(
            ["values", *(f"{word} {limit}" for word, limit in limits if limit is not None)]
        )
