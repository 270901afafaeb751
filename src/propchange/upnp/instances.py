"""The instances of a service that events through LastChange (AVTransport, RenderingControl).

A renderer that plays several streams has one set of values for each: its *instances*, numbered
by InstanceID. Audio variables such as Volume have one value per *channel* in each of them. The
attributes of the service are instance 0 and the channel that the variable was declared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, Protocol

from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.lastchange import (
    AVT,
    RCS,
    LastChangeEntry,
    LastChangeFold,
    format_lastchange,
)
from propchange.core.values.state_variables import StateVariable

__all__ = [
    "ABSENT",
    "LAST_CHANGE",
    "InstanceOwner",
    "Key",
    "ServiceInstance",
    "changed_entries",
    "check_number",
    "last_change_text",
    "last_change_variable",
    "split_key",
    "state_entries",
]

LAST_CHANGE = "LastChange"

Key = str | tuple[int, str, str | None]
"""The key of a value: the name, for instance 0 and the declared channel; else (instance, name,
channel). The key (instance, "", None) stands for the instance itself."""

_NAMESPACES = {"AVTransport": AVT, "RenderingControl": RCS}
_MINIMUM_INTERVAL = 0.2


ABSENT: Final[Any] = object()
"""In place of a value: this key has none."""


class InstanceOwner(Protocol):
    """The methods of a service that its :class:`ServiceInstance` objects call."""

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        """The value. Raises KeyError if there is none."""

    def assign_instance(self, number: int, name: str, channel: str | None, value: Any) -> None:
        """Assign a value."""

    def __iter__(self) -> Iterator[str]: ...


class ServiceInstance:
    """One instance of a service, from ``Service.instance`` or ``Service.add_instance``.

    ``instance["Mute"]`` is the value of a variable; if the variable has channels, in the channel of
    its declaration. ``instance["Volume", "LF"]`` is the value in another channel, which exists once
    it was assigned. Assignments are events, like those of the service.
    """

    __slots__ = ("_owner", "number")

    def __init__(self, owner: InstanceOwner, number: int) -> None:
        self._owner = owner
        self.number = number

    def __getitem__(self, name: str | tuple[str, str]) -> Any:
        name, channel = (name, None) if isinstance(name, str) else name
        return self._owner.read_instance(self.number, name, channel)

    def __setitem__(self, name: str | tuple[str, str], value: Any) -> None:
        name, channel = (name, None) if isinstance(name, str) else name
        self._owner.assign_instance(self.number, name, channel, value)

    def __repr__(self) -> str:
        return f"<{self._owner!r} InstanceID {self.number}>"


def check_number(number: int) -> int:
    """``number`` if it can be an InstanceID. Raises TypeError or ValueError."""
    return int(DATA_TYPES["ui4"].check(number))


class _LastChangeVariable(StateVariable[str]):
    """The variable LastChange, which cannot be assigned."""

    __slots__ = ()

    def check(self, value: object, option: str = "") -> NoReturn:
        """Refuse: TypeError."""
        raise TypeError("LastChange is made of the other variables: assign to those")


def last_change_variable(
    service_type: str, declared: StateVariable[Any] | None
) -> StateVariable[Any]:
    """The variable LastChange of a service that events variables through it.

    ``declared`` is the LastChange that the service declares, or None. Its ``minimum_interval``,
    ``multicast`` and ``level`` are kept, and its ``merge`` if that is a :class:`LastChangeFold`,
    which may have another namespace. Without it the interval is the 0.2 s of the AV services
    (LC-01). Raises ValueError if ``declared`` is no evented string.
    """
    fold: LastChangeFold | None = None
    interval: float | None = _MINIMUM_INTERVAL
    multicast, level = False, None
    if declared is not None:
        if declared.data_type.name != "string" or declared.evented is not True:
            raise ValueError("LastChange is a string, and evented")
        interval = declared.minimum_interval
        multicast, level = declared.multicast, declared.level
        if isinstance(declared.merge, LastChangeFold):
            fold = declared.merge
        elif declared.merge is not None:
            raise ValueError("LastChange has a LastChangeFold for its merge, or none")
    return _LastChangeVariable(
        "string",
        name=LAST_CHANGE,
        minimum_interval=interval,
        multicast=multicast,
        level=level,
        merge=fold or LastChangeFold(_namespace(service_type)),
    )


def _namespace(service_type: str) -> str:
    _, domain, _, name, _ = service_type.split(":")
    return _NAMESPACES.get(name) or f"urn:{domain}:metadata-1-0/{name}/"


def split_key(key: Key, variables: Mapping[str, StateVariable[Any]]) -> tuple[int, str, str | None]:
    """The instance, the variable and the channel of ``key``."""
    return (0, key, variables[key].channel) if isinstance(key, str) else key


def state_entries(
    values: Mapping[Key, Any], variables: Mapping[str, StateVariable[Any]], instance: int | None
) -> Iterator[LastChangeEntry]:
    """The entries of a full LastChange: the values of ``variables`` in one instance, or in all for
    None (LC-07)."""
    for key, value in values.items():
        if isinstance(key, str) and key not in variables:
            continue
        number, name, channel = split_key(key, variables)
        if name in variables and instance in (None, number):
            yield LastChangeEntry(number, name, channel, variables[name].format(value))


def changed_entries(
    before: Mapping[Key, Any],
    after: Mapping[Key, Any],
    changed: list[Key],
    variables: Mapping[str, StateVariable[Any]],
) -> list[LastChangeEntry]:
    """The entries of a LastChange after the values in ``before`` became those in ``after``.
    ``changed`` are the keys of ``variables`` with other values than before."""
    gone = dict.fromkeys(
        key[0]
        for key, value in before.items()
        if not isinstance(key, str) and value is not ABSENT and key not in after
    )
    entries = []
    for number in gone:
        # First that it has gone, then the state of an instance with the same number, if any.
        entries.append(LastChangeEntry(number, "", None, ""))
        entries += state_entries(after, variables, number)
    for key in changed:
        number, name, channel = split_key(key, variables)
        if number not in gone:
            entries.append(
                LastChangeEntry(number, name, channel, variables[name].format(after[key]))
            )
    return entries


def last_change_text(variable: StateVariable[Any], entries: list[LastChangeEntry]) -> str:
    """The text of ``variable``, a LastChange, with ``entries``."""
    assert isinstance(variable.merge, LastChangeFold)
    return format_lastchange(variable.merge.namespace, entries)
