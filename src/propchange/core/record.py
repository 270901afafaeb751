"""The comparison and the representation of records: dataclasses of a few fields."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar


class Record:
    """Base class of dataclasses: compares, hashes and shows the fields.

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
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name, field in self.__dataclass_fields__.items()
            if field.repr
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _compared(self) -> tuple[object, ...]:
        return tuple(
            getattr(self, name)
            for name, field in self.__dataclass_fields__.items()
            if field.compare
        )
