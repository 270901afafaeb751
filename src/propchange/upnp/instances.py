"""The instances of a service that events through LastChange (AVTransport, RenderingControl).

A renderer that plays several streams has one set of values for each: its *instances*, numbered
by InstanceID. Audio variables such as Volume have one value per *channel* in each of them. The
attributes of the service are instance 0 and the channel that the variable was declared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

from propchange.core.values.lastchange import (
    AVT,
    RCS,
    LastChangeEntry,
    LastChangeFold,
    format_lastchange,
)
from propchange.core.values.state_variables import StateVariable

LAST_CHANGE = "LastChange"

Key = str | tuple[int, str, str | None]
"""The key of a value: the name, for instance 0 and the declared channel; else (instance, name,
channel). The key (instance, "", None) stands for the instance itself."""

ABSENT: Final[Any] = object()
"""In place of a value: this key has none."""


class ServiceInstance:
    """One instance of a service, from ``Service.instance`` or ``Service.add_instance``.

    ``instance["Mute"]`` is the value of a variable; if the variable has channels, in the channel of
    its declaration. ``instance["Volume", "LF"]`` is the value in another channel, which exists once
    it was assigned. Assignments are events, like those of the service.
    """

    __slots__ = ("_assign", "_read", "_service", "number")

    def __init__(
        self,
        service: object,
        number: int,
        read: Callable[[int, str, str | None], Any],
        assign: Callable[[int, str, str | None, Any], None],
    ) -> None:
        self._service = service
        self.number = number
        self._read = read
        self._assign = assign

    def __getitem__(self, name: str | tuple[str, str]) -> Any:
        name, channel = (name, None) if isinstance(name, str) else name
        return self._read(self.number, name, channel)

    def __setitem__(self, name: str | tuple[str, str], value: Any) -> None:
        name, channel = (name, None) if isinstance(name, str) else name
        self._assign(self.number, name, channel, value)

    def __contains__(self, name: object) -> bool:
        """Whether the variable, or the variable in the channel, has a value here."""
        try:
            self[name]  # type: ignore[index] # another kind of object has none
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def __repr__(self) -> str:
        return f"<{self._service!r} InstanceID {self.number}>"


class LastChangeVariable(StateVariable[str]):
    """The variable LastChange of a service that events variables through it. It cannot be assigned.

    ``declared`` is the LastChange that the service declares, or None. Its ``minimum_interval``,
    ``multicast`` and ``level`` are kept, and its ``merge`` if that is a :class:`LastChangeFold`,
    which may have another namespace. Without it the interval is the 0.2 s of the AV services
    (LC-01). Raises ValueError if ``declared`` is no evented string.
    """

    __slots__ = ("namespace",)

    def __init__(self, service_type: str, declared: StateVariable[Any] | None) -> None:
        if declared is None:
            declared = StateVariable("string", minimum_interval=0.2)
        if declared.data_type.name != "string" or declared.evented is not True:
            raise ValueError("LastChange is a string, and evented")
        _, domain, _, name, _ = service_type.split(":")
        known = {"AVTransport": AVT, "RenderingControl": RCS}
        namespace = known.get(name) or f"urn:{domain}:metadata-1-0/{name}/"
        fold = declared.merge or LastChangeFold(namespace)
        if not isinstance(fold, LastChangeFold):
            raise ValueError("LastChange has a LastChangeFold for its merge, or none")
        self.namespace = fold.namespace
        super().__init__(
            "string",
            name=LAST_CHANGE,
            minimum_interval=declared.minimum_interval,
            multicast=declared.multicast,
            level=declared.level,
            merge=fold,
        )

    def check(self, value: object, option: str = "") -> NoReturn:
        """Refuse: TypeError."""
        raise TypeError("LastChange is made of the other variables: assign to those")

    def text(self, entries: Iterable[LastChangeEntry]) -> str:
        """The text of a LastChange with ``entries``."""
        return format_lastchange(self.namespace, entries)


def _entry(
    key: Key, value: Any, variables: Mapping[str, StateVariable[Any]]
) -> LastChangeEntry | None:
    number, name, channel = (0, key, None) if isinstance(key, str) else key
    variable = variables.get(name)
    if variable is None:
        return None
    if isinstance(key, str):
        channel = variable.channel
    return LastChangeEntry(number, name, channel, variable.format(value))


def state_entries(
    values: Mapping[Key, Any], variables: Mapping[str, StateVariable[Any]], instance: int | None
) -> Iterator[LastChangeEntry]:
    """The entries of a full LastChange: the values of ``variables`` in one instance, or in all for
    None (LC-07)."""
    for key, value in values.items():
        entry = _entry(key, value, variables)
        if entry is not None and instance in (None, entry.instance):
            yield entry


def changed_entries(
    before: Mapping[Key, Any],
    after: Mapping[Key, Any],
    changed: Iterable[Key],
    variables: Mapping[str, StateVariable[Any]],
) -> list[LastChangeEntry]:
    """The entries of the LastChange that says how the values ``before`` became those ``after``.
    ``changed`` has the keys whose values differ."""
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
        entry = _entry(key, after[key], variables)
        if entry is not None and entry.instance not in gone:
            entries.append(entry)
    return entries
