"""An action of a service and the function that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from propchange.core.record import Record
from propchange.core.values.state_variables import StateVariable
from propchange.printable import listed
from propchange.upnp.actions import Action

ARGUMENT_TYPE = "A_ARG_TYPE_"
"""The beginning of the name of a state variable that only describes arguments (UDA 2.0 §2.5)."""

INSTANCE = "InstanceID"
CHANNEL = "Channel"
ADDRESSING = frozenset({INSTANCE, CHANNEL})
"""The in arguments that say of which instance and channel the values are."""

Variables = Mapping[str, StateVariable[Any]]


class VariableMissing(TypeError):
    """An argument has no related state variable. ``variable`` is its name, or "" if it is
    unknown."""

    def __init__(self, message: str, variable: str = "") -> None:
        super().__init__(message)
        self.variable = variable


@dataclass(slots=True, eq=False, repr=False)
class TiedAction(Record):
    """An action of a service, and the function that carries it out.

    ``function`` is None for an action that nothing implements: one that is only declared, or one of
    a service description. ``parameters`` has the keyword of the function for each in argument.
    ``is_method``: the function takes the service first. ``declared``: a class declares the action
    without a function; ``required``: a standard requires it. ``called`` is the name of the
    function, for errors."""

    action: Action
    function: Callable[..., Any] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_method: bool = True
    declared: bool = False
    required: bool = False
    called: str = ""

    @property
    def answers_itself(self) -> bool:
        """Whether the present values of the state variables are the answer: the action is declared
        without a function, its out arguments are variables of the service, and it has no in
        arguments but InstanceID and Channel."""
        outputs = self.action.outputs
        return (
            self.declared
            and bool(outputs)
            and not any(each.variable.name.startswith(ARGUMENT_TYPE) for each in outputs)
            and all(each.name in ADDRESSING for each in self.action.inputs)
        )

    def with_variables(self, variables: Variables) -> TiedAction:
        """The same with the state variables of a subclass. Raises VariableMissing."""
        arguments = [
            replace(each, variable=named_variable(each.variable.name, variables, self.action.name))
            for each in self.action.arguments
        ]
        return replace(self, action=Action(self.action.name, tuple(arguments)))

    def run(self, service: object, inputs: Mapping[str, Any]) -> Any:
        """What the function returns for these values of the in arguments by wire name."""
        assert self.function is not None
        keywords = {self.parameters[name]: value for name, value in inputs.items()}
        if self.is_method:
            return self.function(service, **keywords)
        return self.function(**keywords)


def named_variable(name: str, variables: Variables, called: str) -> StateVariable[Any]:
    """The variable ``name``. Raises VariableMissing, with the name ``called`` of the action."""
    try:
        return variables[name]
    except KeyError:
        named = f"the state variable {name}" if name else "a StateVariable without a name"
        raise VariableMissing(
            f"the action {called} has an argument of {named}, "
            f"which the service does not have; there are: {listed(variables)}",
            name,
        ) from None
