"""The values of the state variables of a service: assignments, instances, batches, and the events
that they make."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.batch import BROKEN_MESSAGE, Batch, is_inside
from propchange.upnp.instances import (
    ABSENT,
    LAST_CHANGE,
    Key,
    LastChangeVariable,
    ServiceInstance,
    changed_entries,
    state_entries,
)


class ServiceSink(Protocol):
    """The receiver of the changes of a hosted service."""

    def check_caller(self) -> None:
        """Raises in a thread in which the service must not be changed."""

    def publish(self, changes: dict[str, str]) -> None:
        """Receive the evented variables that have changed, with their texts for the wire. It must
        not wait. If it raises, the assignment is undone."""

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], object]:
        """Call ``callback`` at the next turn of the loop. The result is a function that cancels
        that."""


class ServiceValues:
    """The values of ``variables``, the state variables of a service of the type ``service_type`` by
    wire name. LastChange is added if a variable is evented through it."""

    def __init__(self, service_type: str, variables: Mapping[str, StateVariable[Any]]) -> None:
        self.__type = service_type
        self.__variables = dict(variables)
        self.__indirect = {n: v for n, v in self.__variables.items() if v.evented == LAST_CHANGE}
        self.__last_change: LastChangeVariable | None = None
        if self.__indirect:
            declared = self.__variables.get(LAST_CHANGE)
            self.__last_change = LastChangeVariable(service_type, declared)
            self.__variables[LAST_CHANGE] = self.__last_change
        self.__evented = {n: v for n, v in self.__variables.items() if v.evented is True}
        self.__values: dict[Key, Any] = {n: v.initial for n, v in self.__variables.items()}
        self.__sink: ServiceSink | None = None
        self.__batch: Batch | None = None
        self.__broken_batches: list[Batch] = []

    @property
    def variables(self) -> Mapping[str, StateVariable[Any]]:
        """Wire name -> state variable, in the order of their declaration."""
        return MappingProxyType(self.__variables)

    @property
    def evented(self) -> tuple[str, ...]:
        """The wire names of the evented variables. Empty if the service has no eventing
        (SUB-01)."""
        return tuple(self.__evented)

    @property
    def values(self) -> Mapping[str, Any]:
        """Wire name -> present value. A copy."""
        return {name: self._read_variable(v) for name, v in self.__variables.items()}

    @property
    def hosted(self) -> bool:
        """Whether the service is hosted: assignments then send events."""
        return self.__sink is not None

    # --- values ---

    def __getitem__(self, name: str) -> Any:
        """The value of a variable by its wire name. Raises ``KeyError`` for an unknown name."""
        return self._read_variable(self.__find(name))

    def __setitem__(self, name: str, value: Any) -> None:
        """Assign to a variable by its wire name, like an assignment to the attribute."""
        self._assign_variable(self.__find(name), value)

    def __contains__(self, name: object) -> bool:
        return name in self.__variables

    def __iter__(self) -> Iterator[str]:
        return iter(self.__variables)

    def _read_variable(self, variable: StateVariable[Any]) -> Any:
        """For :class:`.StateVariable`: the value of the attribute."""
        batch = self.__batch
        if batch is None or is_inside(batch):
            return self.__values[variable.name]
        return self.__settled()[variable.name]

    def _assign_variable(self, variable: StateVariable[Any], value: Any) -> None:
        """For :class:`.StateVariable`: assign to the attribute."""
        sink = self.__sink
        if sink is not None:
            sink.check_caller()
        value = variable.check(value)
        if self.__batch is not None or self.__broken_batches:
            self.__check_batch()
        name = variable.name
        values = self.__values
        previous = values[name]
        if value == previous and _same(variable, value, previous):
            return
        batch = self.__batch
        if batch is not None:
            if variable.merge is not None and batch.has(name):
                merged = variable.merge(variable.format(previous), variable.format(value))
                value = variable.check(variable.parse(merged))
            batch.before.setdefault(name, previous)
            values[name] = value
        elif sink is not None and name in self.__evented:
            changes = {name: variable.format(value)}
            values[name] = value
            try:
                sink.publish(changes)
            except BaseException:
                values[name] = previous
                raise
        elif name in self.__indirect:
            self.__write({name: value})
        else:
            values[name] = value

    def _initial_texts(self) -> dict[str, str]:
        """The evented variables with their texts for an initial event. LastChange has the full
        state (LC-07). Assignments of an open batch are not in it (UDA 2.0 §4.3)."""
        settled = self.__settled()
        texts = {name: v.format(settled[name]) for name, v in self.__evented.items()}
        if self.__last_change is not None:
            entries = list(state_entries(settled, self.__indirect, None))
            texts[LAST_CHANGE] = self.__last_change.text(entries)
        return texts

    # --- instances ---

    @property
    def instances(self) -> tuple[int, ...]:
        """The valid InstanceIDs: 0, and those that were added."""
        if not self.__indirect:
            return ()
        return (0, *(key[0] for key in self.__values if not isinstance(key, str) and not key[1]))

    def instance(self, number: int) -> ServiceInstance:
        """The variables of the instance ``number`` as a mapping::

            service.instance(0)["Volume", "LF"] = 20  # a channel other than the attribute's
            service.instance(1)["Mute"] = True        # another instance

        Assignments are evented through LastChange. Raises LookupError for an invalid instance. A
        service without LastChange has no instance."""
        if number not in self.instances:
            known = ", ".join(map(str, self.instances)) or "none"
            raise LookupError(f"{self.__type} has no instance {number}; there are: {known}")
        return ServiceInstance(self, number, self.__read_instance, self.__assign_instance)

    def add_instance(self, number: int) -> ServiceInstance:
        """Add an instance, with the initial value of every variable. This is one event. Raises
        ValueError if it exists already, or if the service has no instances."""
        DATA_TYPES["ui4"].check(number)
        self.__check_instances()
        if number in self.instances:
            raise ValueError(f"{self.__type} has an instance {number} already")
        added: dict[Key, Any] = {(number, "", None): True}
        for name, variable in self.__variables.items():
            if variable.evented is not True:
                added[number, name, variable.channel] = variable.initial
        self.__write(added)
        return self.instance(number)

    def remove_instance(self, number: int) -> None:
        """Remove the instance ``number``. Raises ValueError for instance 0, which always exists,
        and LookupError for an invalid one."""
        self.__check_instances()
        if number == 0:
            raise ValueError("instance 0 has the values of the attributes and cannot be removed")
        self.instance(number)
        self.__write(
            {key: ABSENT for key in self.__values if not isinstance(key, str) and key[0] == number}
        )

    def __read_instance(self, number: int, name: str, channel: str | None) -> Any:
        key = self.__key(number, name, channel)
        batch = self.__batch
        values = self.__values if batch is None or is_inside(batch) else self.__settled()
        if key not in values:
            where = f"channel {channel} of " if channel and number in self.instances else ""
            raise KeyError(f"there is no {where}instance {number} of {name}")
        return values[key]

    def __assign_instance(self, number: int, name: str, channel: str | None, value: Any) -> None:
        key = self.__key(number, name, channel)
        variable = self.__variables[name]
        if isinstance(key, str):
            self._assign_variable(variable, value)
            return
        self.__check_instances()
        if number not in self.instances:
            raise KeyError(f"there is no instance {number} of {name}")
        value = variable.check(value)
        if not _same(variable, value, self.__values.get(key, ABSENT)):
            self.__write({key: value})

    def __key(self, number: int, name: str, channel: str | None) -> Key:
        variable = self.__find(name)
        if variable.evented is True:
            raise KeyError(f"{name} is not a variable of instances")
        if channel is None:
            channel = variable.channel
        elif variable.channel is None:
            raise KeyError(f"{name} has no channels")
        if not number and channel == variable.channel:
            return name
        return number, name, channel

    def __check_instances(self) -> None:
        if self.__sink is not None:
            self.__sink.check_caller()
        if not self.__indirect:
            raise ValueError(f"{self.__type} has no instances: nothing is evented by LastChange")
        self.__check_batch()

    def __write(self, changes: Mapping[Key, Any]) -> None:
        """Set or remove these values, in one event."""
        before = {key: self.__values.get(key, ABSENT) for key in changes}
        _put(self.__values, changes)
        if self.__batch is not None:
            for key, value in before.items():
                self.__batch.before.setdefault(key, value)
        elif self.__sink is not None:
            self.__publish(before, self.__sink)

    # --- batches ---

    def batch(self) -> Batch:
        """``with service.batch():`` makes one event of the assignments inside, sent at the end.

        Inside, the variables have the new values. An exception undoes the assignments, and no event
        is sent. A batch inside of a batch is part of the outer one: it sends no event itself,
        and an exception in it undoes its own assignments. A value that is changed and changed back
        is not sent.

        Do not ``await`` inside: that raises ``RuntimeError``, and the assignments are undone. (This
        cannot be noticed while the service is not hosted, because there is no loop.)
        """
        return Batch(self.__enter, self.__leave)

    def __enter(self, batch: Batch) -> None:
        sink = self.__sink
        if sink is not None:
            sink.check_caller()
        self.__check_batch()
        if self.__batch is None and sink is not None:
            batch.cancel_watch = sink.when_turn_ends(self.__break_batch)
        batch.parent = self.__batch
        self.__batch = batch

    def __leave(self, batch: Batch, keep: bool) -> None:
        if batch is not self.__batch and batch not in self.__broken_batches:
            self.__break_batch()
        if batch in self.__broken_batches:
            self.__broken_batches.remove(batch)
            if keep:
                raise RuntimeError(BROKEN_MESSAGE)
            return
        parent = self.__batch = batch.parent
        batch.cancel_watch()
        if not keep:
            _put(self.__values, batch.before)
        elif parent is not None:
            for name, value in batch.before.items():
                parent.before.setdefault(name, value)
        elif self.__sink is not None:
            self.__publish(batch.before, self.__sink)

    def __publish(self, before: Mapping[Key, Any], sink: ServiceSink) -> None:
        """Send one event for the values that differ from ``before``. If that fails, restore
        ``before``."""
        values = self.__values
        try:
            changes: dict[str, str] = {}
            changed: list[Key] = []
            for key, value in before.items():
                if self.__is_changed(key, value):
                    if isinstance(key, str) and key in self.__evented:
                        changes[key] = self.__evented[key].format(values[key])
                    else:
                        changed.append(key)
            if self.__last_change is not None:
                entries = changed_entries(before, values, changed, self.__indirect)
                if entries:
                    changes[LAST_CHANGE] = self.__last_change.text(entries)
            if changes:
                sink.publish(changes)
        except BaseException:
            _put(values, before)
            raise

    def __is_changed(self, key: Key, before: Any) -> bool:
        """Whether ``key`` has a value other than ``before``."""
        variable = self.__variables.get(key if isinstance(key, str) else key[1])
        now = self.__values.get(key, ABSENT)
        return variable is not None and now is not ABSENT and not _same(variable, now, before)

    def __check_batch(self) -> None:
        """Roll the open batch back if the running code is outside of it: an ``await`` has left it
        open. Raises RuntimeError if the running code is inside of a batch that was rolled back."""
        if self.__batch is not None and not is_inside(self.__batch):
            self.__break_batch()
        if any(map(is_inside, self.__broken_batches)):
            raise RuntimeError(BROKEN_MESSAGE)

    def __break_batch(self) -> None:
        batch = self.__batch
        self.__batch = None
        while batch is not None:
            _put(self.__values, batch.before)
            self.__broken_batches.append(batch)
            batch.cancel_watch()
            batch = batch.parent

    def __settled(self) -> dict[Key, Any]:
        """The values without the assignments of an open batch."""
        settled = dict(self.__values)
        batch = self.__batch
        while batch is not None:
            _put(settled, batch.before)
            batch = batch.parent
        return settled

    # --- hosting ---

    def _attach_sink(self, sink: ServiceSink) -> None:
        """Send assignments to ``sink`` from now on. Raises ``RuntimeError`` if the service is
        hosted already: a service belongs to one device, which is hosted once."""
        if self.__sink is not None:
            raise RuntimeError(f"{self!r} is hosted already")
        self.__sink = sink

    def _detach_sink(self) -> None:
        """Assignments only set values again. Does nothing when the service is not hosted."""
        self.__sink = None

    def __find(self, name: str) -> StateVariable[Any]:
        try:
            return self.__variables[name]
        except KeyError:
            known = ", ".join(self.__variables) or "none"
            raise KeyError(
                f"{self.__type} has no state variable {name!r}; there are: {known}"
            ) from None


def _put(values: dict[Key, Any], changes: Mapping[Key, Any]) -> None:
    for key, value in changes.items():
        if value is ABSENT:
            values.pop(key, None)
        else:
            values[key] = value


def _same(variable: StateVariable[Any], value: Any, previous: Any) -> bool:
    if value != previous:
        return False
    # To Python two zoned times are equal when they are the same moment; their texts differ.
    zoned = isinstance(value, datetime.datetime | datetime.time)
    return not zoned or variable.format(value) == variable.format(previous)
