"""The annotations of a function that is an action, compared with the arguments of the action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import StateVariable
from propchange.printable import listed
from propchange.upnp.actions import Action, Argument

_TYPES: Mapping[str, type] = {
    each.python_type.__name__: each.python_type for each in DATA_TYPES.values()
} | {"dict": dict}

_CONVERTED = ((int, float), (Decimal, float), (int, Decimal), (str, UUID))
"""The types of values that are converted, each with the type of the data type that does it."""


def check_annotations(
    function: Callable[..., Any], parameters: Mapping[str, str], action: Action, called: str
) -> None:
    """Raises TypeError if an annotation of ``function`` contradicts the data type of an argument of
    ``action``. ``parameters`` has the parameter of each in argument.

    Only annotations with the types of state variables are compared, by their names: others may be
    names that only a type checker can resolve."""
    annotations = getattr(function, "__annotations__", {})
    for each in action.inputs:
        parameter = parameters[each.name]
        wanted = _annotated(annotations.get(parameter))
        if wanted is not None and not _may_be(each.variable, wanted):
            raise TypeError(
                f"the action {called}: its parameter {parameter} is annotated with "
                f"{wanted.__name__}, and gets values of {_named(each)}: "
                f"{each.variable.data_type.python_type.__name__}"
            )
    problem = _wrong_result(annotations.get("return", ...), action.outputs)
    if problem:
        raise TypeError(f"the action {called} {problem}")


def _wrong_result(annotation: object, outputs: tuple[Argument, ...]) -> str:
    """What is wrong about the annotation of the result; "" if nothing is."""
    if annotation in (None, "None") and outputs:
        return f"is annotated with -> None, and has the out argument {outputs[0].name}"
    given = _annotated(annotation)
    if given is None or (given is dict and outputs):
        return ""
    if not outputs:
        return (
            "returns a value, and has no out argument for it: say @action(returns=…), or annotate "
            "it with -> None"
        )
    if len(outputs) > 1:
        names = listed(each.name for each in outputs)
        return f"is annotated with -> {given.__name__}, and must return a mapping of {names}"
    needed = outputs[0].variable.data_type
    if given is needed.python_type or (given, needed.python_type) in _CONVERTED:
        return ""
    return (
        f"is annotated with -> {given.__name__}, and its out argument {_named(outputs[0])} takes "
        f"{needed.takes}"
    )


def _annotated(annotation: object) -> type | None:
    """The type of an annotation, or of its text, if values of state variables have it."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return _TYPES.get(text.partition("[")[0].rpartition(".")[2])


def _may_be(variable: StateVariable[Any], wanted: type) -> bool:
    """Whether the values of ``variable`` are of the type ``wanted``, as type checkers see it."""
    given = variable.data_type.python_type
    return issubclass(given, wanted) or (given is int and wanted is float)


def _named(argument: Argument) -> str:
    return f"{argument.name} ({argument.variable.data_type.name})"
