"""How the parameters of a function are tied to the arguments of an action."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from propchange.core.values.state_variables import StateVariable, wire_name
from propchange.core.wire.propertyset import check_variable_name
from propchange.printable import listed
from propchange.upnp.action_annotations import check_annotations
from propchange.upnp.action_methods import ActionMethod, NamedArgument, Related
from propchange.upnp.actions import Action, Argument
from propchange.upnp.tied_action import (
    ARGUMENT_TYPE,
    TiedAction,
    VariableMissing,
    Variables,
    named_variable,
)

_PREFIXES = ("new", "desired", "current", "requested")


class _Parameters(NamedTuple):
    """The parameters of a function that are given by keyword."""

    names: tuple[str, ...]
    required: frozenset[str]
    takes_any: bool
    """It takes any keyword. These are the names of the arguments on the wire."""
    is_wrapper: bool = False
    """It takes anything, and passes it on to a method with the parameters of the base class."""

    @classmethod
    def of(cls, function: Callable[..., Any], is_method: bool, called: str) -> _Parameters:
        try:
            every = list(inspect.signature(function).parameters.values())
        except ValueError:
            # Some functions of C have no signature.
            return cls((), frozenset(), True)
        if is_method:
            if not every or every[0].kind is every[0].KEYWORD_ONLY:
                raise TypeError(f"the action {called} needs self as its first parameter")
            if every[0].kind is not every[0].VAR_POSITIONAL:
                every = every[1:]
        is_wrapper = any(each.kind is each.VAR_POSITIONAL for each in every)
        takes_any = any(each.kind is each.VAR_KEYWORD for each in every)
        named = []
        for each in every:
            if each.kind is each.POSITIONAL_ONLY or (
                each.kind is each.VAR_POSITIONAL and not takes_any
            ):
                raise TypeError(
                    f"the action {called} is called with keywords; its parameter {each} takes none"
                )
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                named.append(each)
        required = frozenset(each.name for each in named if each.default is each.empty)
        return cls(tuple(each.name for each in named), required, takes_any, is_wrapper)


def same_name(name: str) -> str:
    """A key that is equal for names that differ in case and underscores only."""
    return name.replace("_", "").lower()


def tie(
    method: ActionMethod[Any, Any],
    variables: Variables,
    older: TiedAction | None = None,
    *,
    is_method: bool = True,
) -> TiedAction:
    """Tie the parameters of ``method`` to ``variables``. What it does not say is that of ``older``:
    the action of a base class or of a service description that it implements.

    Raises TypeError for a function that cannot be called for the action or whose annotations
    contradict it, VariableMissing for an argument without a state variable, and ValueError for a
    name that XML cannot carry."""
    name = method.default_name if method.given_name or older is None else older.action.name
    parameters = _Parameters.of(method.function, is_method, method.called)
    if older is not None and method.arguments is None:
        inputs = older.action.inputs
        tied = _matched(method.called, parameters, older)
    else:
        inputs, tied = _own_inputs(method, parameters, variables)
    if method.returns is None:
        outputs = older.action.outputs if older is not None else ()
    else:
        outputs = _own_outputs(method, variables)
    if method.retval:
        if not outputs:
            raise TypeError(f"the action {method.called} has retval=True, and no returns=")
        outputs = (replace(outputs[0], retval=True), *outputs[1:])
    _check_names(name, inputs, outputs)
    action = Action(name, (*inputs, *outputs))
    if variables:
        check_annotations(method.function, tied, action, method.called)
    return TiedAction(
        action,
        method.function if method.declared is None else None,
        tied,
        is_method,
        method.declared is not None,
        method.declared == "required" or (older is not None and older.required),
        method.called,
    )


def implement(
    function: Callable[..., Any], described: TiedAction, *, is_method: bool, called: str
) -> TiedAction:
    """The action of a service description, carried out by ``function``. Its parameters are those
    that ``described`` has for the in arguments, or they have the names of these on the wire, in any
    case and without underscores. Raises TypeError for a function that cannot be called so."""
    parameters = _Parameters.of(function, is_method, called)
    tied = _matched(called, parameters, described)
    return TiedAction(described.action, function, tied, is_method, called=called)


def _matched(called: str, parameters: _Parameters, older: TiedAction) -> dict[str, str]:
    """The keyword of a function with ``parameters`` for each in argument of ``older``."""
    known = {same_name(each): each for each in parameters.names}
    tied: dict[str, str] = {}
    for each in older.action.inputs:
        choices = (older.parameters.get(each.name, ""), each.name)
        keyword = next((choice for choice in choices if choice in parameters.names), None)
        keyword = keyword or known.get(same_name(each.name))
        if keyword is None and parameters.takes_any:
            keyword = (parameters.is_wrapper and choices[0]) or each.name
        if keyword is None:
            raise TypeError(
                f"{called} implements the action {older.action.name} and needs a parameter "
                f"{choices[0] or each.name}; it has: {listed(parameters.names)}"
            )
        tied[each.name] = keyword
    left = sorted(parameters.required - set(tied.values()))
    if left:
        arguments = listed(older.parameters.get(each, each) for each in tied)
        raise TypeError(
            f"{called} has the parameter {', '.join(left)}, which is no in argument of the action "
            f"{older.action.name}; there are: {arguments}"
        )
    return tied


def _own_inputs(
    method: ActionMethod[Any, Any], parameters: _Parameters, variables: Variables
) -> tuple[tuple[Argument, ...], dict[str, str]]:
    """The in arguments of the parameters of ``method``."""
    given = method.arguments or {}
    unknown = [each for each in given if each not in parameters.names]
    if unknown:
        raise TypeError(
            f"{method.called} has no parameter {', '.join(unknown)}, which arguments= names; "
            f"there are: {listed(parameters.names)}"
        )
    inputs: list[Argument] = []
    tied: dict[str, str] = {}
    for parameter in parameters.names:
        related = given.get(parameter)
        if related is None:
            found = _fitting(parameter, variables)
            if found is None:
                raise VariableMissing(
                    f"the parameter {parameter!r} of the action {method.called} fits no state "
                    f"variable; there are: {listed(variables)}. Say which: "
                    f"@action(arguments={{{parameter!r}: …}})"
                )
            name, variable = found
        elif isinstance(related, NamedArgument):
            name, variable = related.name, _related(related.variable, variables, method.called)
        else:
            variable = _related(related, variables, method.called)
            name = _spelled(parameter, variable) or wire_name(parameter)
        inputs.append(Argument(name, "in", variable))
        tied[name] = parameter
    return tuple(inputs), tied


def _own_outputs(method: ActionMethod[Any, Any], variables: Variables) -> tuple[Argument, ...]:
    returns = method.returns
    if isinstance(returns, Mapping):
        named = {name: _related(each, variables, method.called) for name, each in returns.items()}
    else:
        assert returns is not None
        variable = _related(returns, variables, method.called)
        named = {variable.name: variable}
    return tuple(Argument(name, "out", variable) for name, variable in named.items())


def _related(related: Related, variables: Variables, called: str) -> StateVariable[Any]:
    if not isinstance(related, StateVariable | str):
        raise TypeError(
            f"the action {called}: an argument is tied to a StateVariable or the name of one, not "
            f"{related!r}"
        )
    return named_variable(related if isinstance(related, str) else related.name, variables, called)


def _fitting(parameter: str, variables: Variables) -> tuple[str, StateVariable[Any]] | None:
    """The name on the wire and the related state variable of a parameter, by its name."""
    exact = wire_name(parameter)
    wanted = same_name(parameter)
    dropped = [wanted.removeprefix(each) for each in _PREFIXES if wanted.startswith(each)]
    for key, marker in ((wanted, ""), (wanted, ARGUMENT_TYPE), *((key, "") for key in dropped)):
        found = [
            each
            for name, each in variables.items()
            if name.startswith(marker) and same_name(name.removeprefix(marker)) == key
        ]
        found = [each for each in found if each.name == marker + exact] or found
        if len(found) > 1:
            raise TypeError(
                f"the parameter {parameter!r} fits the state variables "
                f"{' and '.join(each.name for each in found)}: say which by arguments="
            )
        if found:
            spelled = _spelled(parameter, found[0])
            assert spelled is not None
            return spelled, found[0]
    return None


def _spelled(parameter: str, variable: StateVariable[Any]) -> str | None:
    """The name on the wire of a parameter that fits ``variable`` by its name; None for another."""
    own = variable.name.removeprefix(ARGUMENT_TYPE)
    wanted = same_name(parameter)
    if same_name(own) == wanted:
        return own
    for prefix in _PREFIXES:
        if wanted == prefix + same_name(own):
            return prefix.capitalize() + own
    return None


def _check_names(name: str, inputs: Iterable[Argument], outputs: Iterable[Argument]) -> None:
    check_variable_name(name)
    for direction, arguments in (("in", inputs), ("out", outputs)):
        seen: set[str] = set()
        for each in arguments:
            check_variable_name(each.name)
            if each.name in seen:
                raise TypeError(f"two {direction} arguments of {name} are called {each.name}")
            seen.add(each.name)
