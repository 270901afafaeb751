"""The current values of a subscription: their room, and the values of LastChange.

A device chooses the names and the texts of its values. So two numbers are bounded: the number of
values, and the characters of the large values together. The small values need no other bound than
their number.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from propchange.core.values.data_types import shown
from propchange.core.values.state_variables import StateVariable

T = TypeVar("T")
D = TypeVar("D")

StateKey = tuple[str, int | None, str | None]
"""(variable, instance, channel). Instance and channel are None outside LastChange."""

LARGE = 1_024
"""Most characters of the text of a small value."""

_NAMES_SHOWN = 4


def no_room(names: Sequence[str]) -> str:
    """The sentence that says which values are not kept."""
    named = ", ".join(map(shown, names[:_NAMES_SHOWN]))
    others = len(names) - _NAMES_SHOWN
    more = f" and {others} others" if others > 0 else ""
    return f"the values of the subscription have no room for {named}{more}"


class Values(Mapping[str, Any]):
    """The current state of a subscription, live and read-only: name on the wire -> typed value.

    ``values[Thermometer.temperature]`` is the value by the variable that a class of the program
    declares, with the type of the class; so are :meth:`get` and ``in``. It raises KeyError before
    an event has brought the variable. If the device declares another data type whose values are of
    another kind, it raises TypeError, and the value is in ``values["Temperature"]``.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    @overload
    def __getitem__(self, key: StateVariable[T], /) -> T: ...
    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    def __getitem__(self, key: StateVariable[Any] | str, /) -> Any:
        """The value by the name on the wire, or by the variable of a class."""
        if isinstance(key, StateVariable):
            return key.typed(self._values[key.name])
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return (key.name if isinstance(key, StateVariable) else key) in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    if TYPE_CHECKING:

        @overload
        def get(self, key: StateVariable[T], default: None = None, /) -> T | None: ...
        @overload
        def get(self, key: StateVariable[T], default: D, /) -> T | D: ...
        @overload
        def get(self, key: str, default: Any = None, /) -> Any: ...
        def get(self, key: StateVariable[Any] | str, default: Any = None, /) -> Any:
            """The value, or ``default`` without one. Raises TypeError as ``values[key]``."""


class LargeValues:
    """The sizes of the large values of one subscription, ``most`` characters together."""

    __slots__ = ("_most", "_total", "sizes")

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self.sizes: dict[Hashable, int] = {}
        """Key -> characters. Read it only."""

    def fits(self, key: Hashable, characters: int) -> bool:
        """Whether there is room for a value of ``key`` whose text has so many ``characters``. The
        former value is forgotten."""
        self.forget(key)
        if characters <= LARGE:
            return True
        if self._total + characters > self._most:
            return False
        self.sizes[key] = characters
        self._total += characters
        return True

    def forget(self, key: Hashable) -> None:
        """Note that the value of ``key`` is removed."""
        self._total -= self.sizes.pop(key, 0)


class InstanceValues:
    """The values of LastChange by instance, at most ``most`` values.

    The cost of removing an instance depends only on its own values, because a LastChange can name
    thousands of instances without variables.
    """

    __slots__ = ("_by_instance", "_count", "_large", "_most")

    def __init__(self, most: int, large: LargeValues) -> None:
        self._most = most
        self._large = large
        self._count = 0
        self._by_instance: dict[int | None, dict[StateKey, object]] = {}

    def __len__(self) -> int:
        return self._count

    def get(self, key: StateKey) -> object:
        """The value of ``key``; None without one."""
        values = self._by_instance.get(key[1])
        return None if values is None else values.get(key)

    def of(self, instance: int | None) -> dict[StateKey, object]:
        """The values of ``instance``, live, or an empty dict. The caller may set a key that has a
        value to another small value, while no value of the subscription is large."""
        return self._by_instance.get(instance, {})

    def channels(self, name: str, instance: int | None) -> list[str | None]:
        """The channels with a value of the variable ``name`` of ``instance``."""
        values = self._by_instance.get(instance, {})
        return [channel for variable, _, channel in values if variable == name]

    def put(self, key: StateKey, value: object, characters: int) -> bool:
        """Set ``key`` to ``value``, whose text has so many ``characters``. False if there is no
        room; the former value, which is out of date, is then removed."""
        known = self._by_instance.get(key[1])
        if known is not None and characters <= LARGE and key in known and not self._large.sizes:
            known[key] = value  # the usual case: there is nothing to count
            return True
        values = self._by_instance.setdefault(key[1], {})
        fits = self._large.fits(key, characters)
        if key in values:
            if not fits:
                del values[key]
                self._count -= 1
        elif fits := fits and self._count < self._most:
            self._count += 1
        else:
            self._large.forget(key)
        if fits:
            values[key] = value
        elif not values:
            del self._by_instance[key[1]]
        return fits

    def remove(self, instance: int | None) -> None:
        """Remove all values of ``instance``."""
        gone = self._by_instance.pop(instance, {})
        self._count -= len(gone)
        if self._large.sizes:
            for key in gone:
                self._large.forget(key)

    def keep(self, instances: Collection[int | None]) -> None:
        """Remove the values of all instances but ``instances``."""
        for instance in [known for known in self._by_instance if known not in instances]:
            self.remove(instance)

    def flat(self) -> dict[StateKey, object]:
        """All values, a copy."""
        flat: dict[StateKey, object] = {}
        for values in self._by_instance.values():
            flat.update(values)
        return flat
