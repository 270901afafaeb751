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
"""What a service keeps a value under: the name, for instance 0 and the declared channel; else
(instance, name, channel). An instance itself is the key (instance, "", None)."""

_NAMESPACES = {"AVTransport": AVT, "RenderingControl": RCS}
_MINIMUM_INTERVAL = 0.2


ABSENT: Final[Any] = object()
"""In the place of a value: there is none under this key."""


class InstanceOwner(Protocol):
    """What a :class:`ServiceInstance` needs of its service."""

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        """The value; KeyError when there is none."""

    def assign_instance(self, number: int, name: str, channel: str | None, value: Any) -> None:
        """Take a new value."""

    def __iter__(self) -> Iterator[str]: ...


class ServiceInstance:
    """One instance of a service, from ``Service.instance`` or ``Service.add_instance``.

    ``instance["Mute"]`` is the value of a variable, in the channel that it was declared with
    where it has channels; ``instance["Volume", "LF"]`` that of another channel, which is there
    once it has been assigned to. Assignments do what they do on the service.
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
    """LastChange itself, which nobody assigns to."""

    __slots__ = ()

    def check(self, value: object, option: str = "") -> NoReturn:
        """Refuse: TypeError."""
        raise TypeError("LastChange is made of the other variables: assign to those")


def last_change_variable(
    service_type: str, declared: StateVariable[Any] | None
) -> StateVariable[Any]:
    """The LastChange of a service of that type with variables that are evented through it.

    ``declared`` is the one that the service declares itself, or None: its ``minimum_interval``,
    ``multicast`` and ``level``, and a :class:`LastChangeFold` in its ``merge``, with another
    namespace, are kept. By default
    the interval is the 0.2 s of the AV services (LC-01). Raises ValueError when what is declared
    is no evented string.
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
    """The instance, the variable and the channel that ``key`` stands for."""
    return (0, key, variables[key].channel) if isinstance(key, str) else key


def state_entries(
    values: Mapping[Key, Any], variables: Mapping[str, StateVariable[Any]], instance: int | None
) -> Iterator[LastChangeEntry]:
    """All that LastChange can tell: of the values of ``variables`` those of one instance, or of
    all (LC-07)."""
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
    """What LastChange tells when the values under the keys of ``before`` are now those in
    ``after``; ``changed`` are the keys of ``variables`` whose values are not the same."""
    gone = dict.fromkeys(
        key[0]
        for key, value in before.items()
        if not isinstance(key, str) and value is not ABSENT and key not in after
    )
    entries = []
    for number in gone:
        # Whatever it was, and whatever it may be again.
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
    """The text of the LastChange ``variable`` that tells ``entries``."""
    assert isinstance(variable.merge, LastChangeFold)
    return format_lastchange(variable.merge.namespace, entries)
