"""Finds the action that sets a state variable, and values for its other in arguments.

A command such as "Volume is 30" becomes a call of SetVolume with InstanceID and Channel. The action
is found by its name and its arguments, never by a guess: an action whose other arguments have no
safe value is no setter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from propchange.core.record import Record
from propchange.core.values.lastchange import MASTER
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.actions import Action, Argument
from propchange.upnp.tied_action import CHANNEL, INSTANCE

_STATUS, _TARGET = "Status", "Target"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Setter(Record):
    """The action that sets a variable. ``argument`` takes the value; ``others`` has the values of
    the other in arguments, by name."""

    action: Action
    argument: Argument
    others: Mapping[str, object]

    def inputs(self, value: object) -> dict[str, object]:
        """All in arguments for ``value``, in the order of the description."""
        values = {**self.others, self.argument.name: value}
        return {each.name: values[each.name] for each in self.action.inputs}


def find_setter(variable: StateVariable[Any], actions: Iterable[Action]) -> Setter | None:
    """The action that sets ``variable``; None if there is none, or if it is not clear which.

    ``SetVolume`` sets Volume. ``SetTarget`` sets Status and ``SetLoadLevelTarget`` sets
    LoadLevelStatus: with these names a standard separates the wanted state from the actual one. If
    there is neither, it is the only action with *Set* in its name and one argument of this variable
    itself. Letters count in any case. Each other in argument must have a value by
    :func:`default_of`, and the argument takes values of the kind of the variable.
    """
    known = tuple(actions)
    for wanted in _names(variable.name):
        for action in known:
            if action.name.lower() == wanted and (found := _setter(action, variable)) is not None:
                return found
    related = [
        setter
        for action in known
        if "Set" in action.name or action.name.startswith("set")
        if any(each.variable.name == variable.name for each in action.inputs)
        if (setter := _setter(action, variable)) is not None
    ]
    return related[0] if len(related) == 1 else None


def _names(variable: str) -> Iterable[str]:
    yield f"set{variable}".lower()
    if variable.endswith(_STATUS):
        yield f"set{variable.removesuffix(_STATUS)}{_TARGET}".lower()


def _setter(action: Action, variable: StateVariable[Any]) -> Setter | None:
    related = [each for each in action.inputs if each.variable.name == variable.name]
    if not related:
        related = [each for each in action.inputs if default_of(each) is None]
    if len(related) != 1 or not _same_kind(related[0].variable, variable):
        return None
    argument = related[0]
    others = {each.name: default_of(each) for each in action.inputs if each is not argument}
    if None in others.values():
        return None
    return Setter(action, argument, others)


def _same_kind(one: StateVariable[Any], other: StateVariable[Any]) -> bool:
    """Whether a value of ``other`` can be a value of ``one``. All numbers are of one kind."""
    if one.data_type.numeric or other.data_type.numeric:
        return one.data_type.numeric and other.data_type.numeric
    return one.data_type.python_type is other.data_type.python_type


def default_of(argument: Argument) -> object | None:
    """The value of an in argument that the command leaves out: InstanceID 0, the channel Master, or
    the only allowed value. None if it must be given. The device may declare a default value for a
    variable. That is the value of the variable at first, not the value of an argument that was left
    out."""
    variable = argument.variable
    if argument.name == INSTANCE and variable.data_type.python_type is int:
        return 0
    if variable.data_type.python_type is not str:
        return None
    if argument.name == CHANNEL and (variable.allowed is None or MASTER in variable.allowed):
        return MASTER
    if variable.allowed is not None and len(variable.allowed) == 1:
        return variable.allowed[0]  # type: ignore[no-any-return]  # a str, as the data type says
    return None
