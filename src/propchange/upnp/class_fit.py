"""Compares the service description of a device with the class that a program uses for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from propchange.core.values.data_types import shown
from propchange.core.values.state_variables import StateVariable
from propchange.printable import listed, printable
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.action_parameters import same_name
from propchange.upnp.actions import Action, Argument
from propchange.upnp.instances import LAST_CHANGE
from propchange.upnp.remote_state import actions_of
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.service import Service
from propchange.upnp.tied_action import ADDRESSING

MOST_NAMED = 8
"""Names in one sentence. The others are counted."""


def class_problems(service_class: type[Service], contents: ServiceContents) -> tuple[str, ...]:
    """A sentence for each kind of difference that the program may notice. Optional actions of a
    standard, and variables that only such actions have, may be missing."""
    called = service_class.__name__
    methods = actions_of(service_class).values()
    return tuple(
        printable(f"{called}: {sentence}")
        for sentence in (
            *_variable_problems(service_class, methods, contents),
            *_action_problems(methods, contents.actions),
        )
    )


class ClassFit:
    """The differences between the service description that was read last, and a class."""

    def __init__(self, service_class: type[Service]) -> None:
        self._class = service_class
        self._contents: ServiceContents | None = None
        self.problems: tuple[str, ...] = ()

    def compare(self, contents: ServiceContents) -> bool:
        """Take a service description. Returns whether there are differences that were not there
        before."""
        if contents is self._contents:
            return False
        before, self._contents = self.problems, contents
        self.problems = class_problems(self._class, contents)
        return bool(self.problems) and self.problems != before


def device_inputs(values: Mapping[str, object], theirs: Action) -> dict[str, object]:
    """``values`` of in arguments by the names of the class, with the names of the device for those
    that differ in case only. Devices spell the arguments of one standard differently, such as
    NewTargetValue and newTargetValue of SwitchPower."""
    names = {same_name(each.name): each.name for each in theirs.inputs}
    exact = {each.name for each in theirs.inputs}
    return {
        name if name in exact else names.get(same_name(name), name): value
        for name, value in values.items()
    }


def class_outputs(outputs: Mapping[str, Any], ours: Action) -> dict[str, Any]:
    """``outputs`` of the device with the names of the class for those that differ in case only."""
    exact = {each.name for each in ours.outputs}
    names = {same_name(name): name for name in exact - outputs.keys()}
    return {
        name if name in exact else names.get(same_name(name), name): value
        for name, value in outputs.items()
    }


def is_evented(variable: StateVariable[Any], contents: ServiceContents) -> bool:
    """Whether the device events a variable of a class: by itself, or in a LastChange."""
    declared = contents.variables.get(variable.name)
    if variable.evented == LAST_CHANGE and LAST_CHANGE in contents.variables:
        return True
    return declared is not None and declared.evented is not False


def getters(name: str, service_class: type[Service], actions: Mapping[str, Action]) -> list[str]:
    """The calls that return the state variable ``name``, as a program writes them: by the methods
    of the class, else by the ``actions`` of the service description."""
    by_class = (
        (f"{attribute}()", method.action) for attribute, method in actions_of(service_class).items()
    )
    found = [call for call, action in by_class if _returns(action, name)]
    if found:
        return found
    return [f"call({each!r})" for each, action in actions.items() if _returns(action, name)]


def _returns(action: Action, name: str) -> bool:
    inputs = {each.name for each in action.inputs}
    return inputs <= ADDRESSING and any(each.variable.name == name for each in action.outputs)


def _variable_problems(
    service_class: type[Service],
    methods: Iterable[ActionMethod[Any, Any]],
    contents: ServiceContents,
) -> Iterator[str]:
    optional = _optional_variables(methods)
    missing: list[str] = []
    silent: list[str] = []
    other: list[str] = []
    unreadable: list[str] = []
    for name, variable in service_class._class_variables.items():
        declared = contents.variables.get(name)
        if declared is None:
            if name not in optional:
                missing.append(name)
            continue
        ours, theirs = variable.data_type.name, declared.data_type.name
        if ours != theirs:
            kind = other if _reads(variable, declared) else unreadable
            kind.append(f"{name} is {theirs} instead of {ours}")
        if variable.evented is not False and not is_evented(variable, contents):
            silent.append(name)
    if missing:
        yield f"the device has no state variable {_listed(missing)}"
    if silent:
        yield f"the device does not event {_listed(silent)}"
    if other:
        yield f"values are read with the data types of the device: {_listed(other)}"
    if unreadable:
        yield f"values cannot be read by the class: {_listed(unreadable)}"


def _optional_variables(methods: Iterable[ActionMethod[Any, Any]]) -> set[str]:
    """The variables of optional actions that no other action has."""
    optional: set[str] = set()
    others: set[str] = set()
    for method in methods:
        names = optional if _is_optional(method) else others
        names.update(each.variable.name for each in method.action.arguments)
    return optional - others


def _is_optional(method: ActionMethod[Any, Any]) -> bool:
    """Whether a standard leaves the action to the device. Some optional actions have a method in
    the class of the standard, which answers from the declaration of a variable."""
    module = method.function.__module__
    return method.declared == "optional" or (
        method.declared is None and f"{module}.".startswith("propchange.upnp.standard.")
    )


def _reads(ours: StateVariable[Any], theirs: StateVariable[Any]) -> bool:
    """Whether the values of the device's variable fit the class's: see StateVariable.typed."""
    if ours.data_type.python_type is UUID and theirs.data_type.python_type is str:
        return True  # a text that is a UUID
    try:
        ours.typed(theirs.data_type.zero)
    except TypeError:
        return False
    return True


def _action_problems(
    methods: Iterable[ActionMethod[Any, Any]], actions: Mapping[str, Action]
) -> Iterator[str]:
    missing: list[str] = []
    other: list[str] = []
    for method in methods:
        ours = method.action
        theirs = actions.get(ours.name)
        if theirs is None:
            if not _is_optional(method):
                missing.append(ours.name)
            continue
        if _names(ours.inputs) != _names(theirs.inputs):
            takes = _listed(map(shown, sorted(_names(theirs.inputs))))
            wanted = _listed(sorted(_names(ours.inputs)))
            other.append(f"{ours.name} takes {takes} instead of {wanted}")
        if lacking := _names(ours.outputs) - _names(theirs.outputs):
            other.append(f"{ours.name} does not return {_listed(sorted(lacking))}")
        kinds = {each.name: each.variable for each in theirs.arguments}
        other.extend(
            f"{each.name} of {ours.name} is {kinds[each.name].data_type.name} "
            f"instead of {each.variable.data_type.name}"
            for each in ours.arguments
            if each.name in kinds and not _reads(each.variable, kinds[each.name])
        )
    if missing:
        yield f"the device has no action {_listed(missing)}"
    if other:
        yield f"actions are different: {_listed(other)}"


def _names(arguments: Iterable[Argument]) -> set[str]:
    return {each.name for each in arguments}


def _listed(names: Iterable[str]) -> str:
    return listed(names, MOST_NAMED, without="nothing")
