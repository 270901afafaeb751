"""The comparison and the representation of records: dataclasses of a few fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field
from enum import Enum
from typing import Any, ClassVar

_VALUE_CHARACTERS = 80
"""Characters of a value in the representation of its record."""

_RECORD_CHARACTERS = 200
"""Characters of the representation of a record: two lines of a terminal."""


def brief(text: str, most: int = _RECORD_CHARACTERS) -> str:
    """``text``, the representation of an object, in at most ``most`` characters. Its last character
    stays: the bracket or the quote that closes it."""
    return text if len(text) <= most else f"{text[: most - 2]}…{text[-1]}"


class Record:
    """Base class of dataclasses: compares, hashes and shows the fields. The representation is
    brief: it leaves out values that are the default of their field, and cuts long ones.

    Give the dataclass ``eq=False, repr=False``. Otherwise Python writes and compiles these methods
    for each class, which takes 10 ms of an import. A field with ``compare=False`` is not
    compared, and one with ``repr=False`` is not shown.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        values = (
            (name, getattr(self, name), field.default)
            for name, field in self.__dataclass_fields__.items()
            if field.repr
        )
        shown = (
            f"{name}={brief(repr(value), _VALUE_CHARACTERS)}"
            for name, value, default in values
            if default is MISSING or value != default
        )
        return brief(f"{type(self).__qualname__}({', '.join(shown)})")

    def _compared(self) -> tuple[object, ...]:
        return tuple(
            getattr(self, name)
            for name, field in self.__dataclass_fields__.items()
            if field.compare
        )


class StatsRecord(Record):
    """Base class of dataclasses of numbers. The representation is whole, but leaves out what is 0:
    ``HostStats(subscriptions=2, events=7, failed={'no-answer': 1})``."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = (
            (name, _numbers_of(getattr(self, name)))
            for name, field in self.__dataclass_fields__.items()
            if field.repr
        )
        values = ", ".join(f"{name}={value!r}" for name, value in shown if value)
        return f"{type(self).__qualname__}({values})"


def _numbers_of(value: object) -> object:
    """``value`` as it is shown: seconds have one decimal, and a mapping of numbers has those that
    are not 0."""
    if isinstance(value, Mapping):
        items = (
            (key.value if isinstance(key, Enum) else key, _numbers_of(each))
            for key, each in value.items()
        )
        return {key: each for key, each in items if each}
    return round(value, 1) if isinstance(value, float) else value
