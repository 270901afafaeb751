"""The comparison and the representation of records: dataclasses of a few fields."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar


class Record:
    """Base of a dataclass whose instances are equal if their fields are, and show them.

    Give the dataclass ``eq=False, repr=False``. Otherwise it writes and compiles these methods for
    each class, which takes half of the time of an import. A field with ``compare=False`` does not
    count, and one with ``repr=False`` is not shown.

    A module that mypyc compiles cannot have such a class: a compiled class has no base that is not
    compiled, and this one is not, since other classes could not have it as a base then.
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
