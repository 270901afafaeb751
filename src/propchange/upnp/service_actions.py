"""The actions of a service: of its class, and of one instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from propchange.core.record import Record
from propchange.core.values.state_variables import StateVariable
from propchange.errors import ActionError
from propchange.printable import listed
from propchange.upnp.action_methods import ActionMethod, NamedArgument
from propchange.upnp.action_parameters import implement, same_name, tie
from propchange.upnp.actions import Action, Argument, ErrorCode
from propchange.upnp.instances import LAST_CHANGE, ServiceInstance
from propchange.upnp.service_declaration import is_misspelt
from propchange.upnp.tied_action import (
    CHANNEL,
    INSTANCE,
    TiedAction,
    VariableMissing,
    Variables,
)

GivenActions = Sequence[ActionMethod[Any, Any]] | Mapping[str, Callable[..., Any]]
"""Functions without ``self`` that are actions: with ``@action``, or by the action's wire name."""


class DescribedActions(NamedTuple):
    """Functions that implement the actions of a service description."""

    given: GivenActions
    described: Mapping[str, Action]


@dataclass(frozen=True, eq=False, repr=False)
class ClassActions(Record):
    """The actions of a service class, by name on the wire.

    ``left_out`` has the inherited actions that lack a state variable: ``without=`` took it away.
    ``untied`` has the methods whose arguments fit no state variable because the class has none: the
    variables come with the service description of an instance."""

    tied: Mapping[str, TiedAction] = field(default_factory=dict)
    left_out: Mapping[str, TiedAction] = field(default_factory=dict)
    untied: tuple[ActionMethod[Any, Any], ...] = ()


Chain = list[tuple[type, ActionMethod[Any, Any]]]
"""The methods of one attribute, with the classes that have them, the base classes first."""


def class_actions(
    cls: type, variables: Variables, without: frozenset[str], reserved: frozenset[str]
) -> ClassActions:
    """The actions of the class ``cls`` and its ancestors. Sets ``tied`` of the methods of ``cls``.

    ``variables`` are the variables of ``cls``, ``without`` the names that it leaves out, and
    ``reserved`` the names of attributes that no action may have. Raises TypeError for an action
    with such an attribute, for a plain function that replaces an inherited action, for a misspelt
    name of an action that a base class declares, for two actions of one name, and as
    :func:`.tie`."""
    tied: dict[str, TiedAction] = {}
    owners: dict[str, type] = {}
    left_out: dict[str, TiedAction] = {}
    untied: list[ActionMethod[Any, Any]] = []
    chains = _chains(cls, reserved)
    _refuse_misspelt(cls, chains)
    for chain in chains.values():
        current: TiedAction | None = None
        for owner, method in chain:
            inherited = method.tied if owner is not cls else None
            try:
                if inherited is not None:
                    current = inherited.with_variables(variables)
                else:
                    current = tie(method, variables, current or _same(method, owner, tied, owners))
            except VariableMissing as error:
                current = None
                if inherited is not None and error.variable in without:
                    left_out[inherited.action.name] = inherited
                elif not variables:
                    untied.append(method)
                else:
                    raise
            if owner is cls:
                method.tied = current
        if current is not None:
            tied[current.action.name] = current
            owners[current.action.name] = chain[-1][0]
            left_out.pop(current.action.name, None)
    return ClassActions(MappingProxyType(tied), MappingProxyType(left_out), tuple(untied))


def _chains(cls: type, reserved: frozenset[str]) -> dict[str, Chain]:
    chains: dict[str, Chain] = {}
    for ancestor in reversed(cls.__mro__):
        for attribute, value in vars(ancestor).items():
            if isinstance(value, ActionMethod):
                if attribute in reserved:
                    raise TypeError(
                        f"{attribute!r} is a name of Service itself: call the method something "
                        "else and give @action a name="
                    )
                if any(isinstance(vars(c).get(attribute), StateVariable) for c in cls.__mro__):
                    raise TypeError(
                        f"{attribute!r} is a state variable and an action of {cls.__name__}: call "
                        "the method something else and give @action a name="
                    )
                chains.setdefault(attribute, []).append((ancestor, value))
            elif attribute in chains:
                if callable(value):
                    raise TypeError(
                        f"{ancestor.__name__}.{attribute} would replace the action {attribute} of "
                        f"{chains[attribute][-1][0].__name__}: write @action above it"
                    )
                del chains[attribute]
    return chains


def _refuse_misspelt(cls: type, chains: Mapping[str, Chain]) -> None:
    """Raises TypeError for a new action of ``cls`` whose name is almost that of an action that a
    base class declares. Otherwise the declared action would be missing without a warning."""
    declared = [
        chain[-1][1]
        for chain in chains.values()
        if chain[-1][1].declared and chain[-1][0] is not cls
    ]
    for attribute, chain in chains.items():
        owner, method = chain[-1]
        if len(chain) > 1 or owner is not cls or method.given_name or method.declared:
            continue
        if any(method.default_name == each.default_name for each in declared):
            continue
        verb = attribute.partition("_")[0]
        for each in declared:
            known = each.attribute
            # get_volume is no misspelt set_volume.
            if known.partition("_")[0] == verb and is_misspelt(attribute, known):
                raise TypeError(
                    f"{cls.__name__}.{attribute} is almost {known}, an action of its standard that "
                    f"nothing implements: write {known}, or give @action a name="
                )


def _same(
    method: ActionMethod[Any, Any],
    owner: type,
    tied: Mapping[str, TiedAction],
    owners: Mapping[str, type],
) -> TiedAction | None:
    """The action of another attribute, if one has the same name on the wire as ``method``. Then
    ``method`` implements that action. Raises TypeError if one class implements both."""
    name = method.default_name
    other = tied.get(name)
    if other is not None and not other.declared and owners[name] is owner:
        raise TypeError(
            f"two actions of {owner.__name__} are called {name}, {other.called} and "
            f"{method.called}: give one another name="
        )
    return other


class HasInstances(Protocol):
    """The values of a service, of all its instances."""

    def __getitem__(self, name: str) -> Any:
        """The value of a variable by its wire name."""

    @property
    def instances(self) -> tuple[int, ...]:
        """The valid InstanceIDs, none for a service without instances."""

    def instance(self, number: int) -> ServiceInstance:
        """The values of one instance, by variable, or by variable and channel."""


class ServiceActions:
    """The actions of one service.

    ``variables`` are its state variables, ``given`` the functions of ``actions=``. A service with a
    service description has exactly the actions of that. ``invalid_instance`` and
    ``invalid_channel`` are the error codes of an action that answers itself. Raises TypeError as
    :func:`.tie`, and ValueError for a function whose action is not in the service description."""

    def __init__(
        self,
        of_class: ClassActions,
        variables: Variables,
        given: GivenActions | DescribedActions = (),
        *,
        invalid_instance: int = ErrorCode.VALUE_OUT_OF_RANGE,
        invalid_channel: int = ErrorCode.VALUE_OUT_OF_RANGE,
    ) -> None:
        self._variables = variables
        self._left_out = of_class.left_out
        self._invalid_instance = invalid_instance
        self._invalid_channel = invalid_channel
        self._has_values_action = False
        self._is_described = isinstance(given, DescribedActions)
        if isinstance(given, DescribedActions):
            self._tied = _implemented(of_class, given.described, _given_methods(given.given))
        else:
            self._tied = _tied(of_class, variables, _given_methods(given))
            if not self._tied and not self._left_out:
                self._has_values_action = True
                self._tied = _values_action(variables)
        self._listed: dict[bool, Mapping[str, Action]] = {}

    def listed(self, unchecked: bool) -> Mapping[str, Action]:
        """The actions of the service description: those that are implemented or answer themselves.
        ``unchecked``: also the required ones, because the program answers every POST."""
        if unchecked not in self._listed:
            self._listed[unchecked] = MappingProxyType(
                {
                    name: each.action
                    for name, each in self._tied.items()
                    if self._is_described
                    or each.function is not None
                    or (each.answers_itself and not (unchecked and self._has_values_action))
                    or (unchecked and each.required)
                }
            )
        return self._listed[unchecked]

    def missing(self) -> Mapping[str, TiedAction]:
        """The required actions that nothing implements, by name."""
        missing = {
            name: each
            for name, each in self._tied.items()
            if each.required and each.function is None and not each.answers_itself
        }
        return missing | {name: each for name, each in self._left_out.items() if each.required}

    def check(self, called: str) -> None:
        """Raises ValueError for :meth:`missing` actions of the service ``called``."""
        missing = self.missing()
        if not missing:
            return
        name, first = next(iter(missing.items()))
        parameters = ", ".join(["self", *first.parameters.values()])
        problem = f"{called} lacks required actions of its standard: {', '.join(missing)}"
        gone = {
            each.variable.name
            for action in missing.values()
            for each in action.action.arguments
            if each.variable.name not in self._variables
        }
        if gone:
            problem += f" (without= leaves out {', '.join(sorted(gone))}, which they need)"
        raise ValueError(
            f"{problem}. Implement each in a subclass; {name} is\n"
            f"    @action\n    def {first.called}({parameters}): ..."
        )

    def find(self, name: str) -> Action:
        """The action ``name``. Raises ActionError 401 if there is none, and 602 if nothing
        implements it (UDA 2.0 §3.2.2)."""
        return self._find(name).action

    def _find(self, name: str) -> TiedAction:
        tied = self._tied.get(name)
        if tied is None and name not in self._left_out:
            raise ActionError(ErrorCode.INVALID_ACTION)
        if tied is None or (tied.function is None and not tied.answers_itself):
            raise ActionError(ErrorCode.NOT_IMPLEMENTED)
        return tied

    def invoke(self, service: HasInstances, name: str, inputs: Mapping[str, Any]) -> Any:
        """Run the action ``name``; ``inputs`` are by wire name. Returns what the function returns,
        perhaps an awaitable. Raises as :meth:`find`, and what the function raises."""
        tied = self._find(name)
        if tied.function is not None:
            return tied.run(service, inputs)
        return self._answer(service, tied.action, inputs)

    def invoke_declared(
        self, service: HasInstances, method: ActionMethod[Any, Any], inputs: Mapping[str, Any]
    ) -> Any:
        """As :meth:`invoke`, for a method that is only declared. An implementation in a subclass is
        not run, because it may be the caller (``super().get_volume(…)``)."""
        name = method.action.name
        tied = self._find(name)
        if tied.function is not None and not tied.is_method:
            return tied.run(service, inputs)
        described = replace(tied, function=None, declared=True)
        if not described.answers_itself:
            raise ActionError(ErrorCode.NOT_IMPLEMENTED)
        return self._answer(service, described.action, inputs)

    def _answer(self, service: HasInstances, action: Action, inputs: Mapping[str, Any]) -> Any:
        """The present values of the variables of the out arguments."""
        number, channel = inputs.get(INSTANCE, 0), inputs.get(CHANNEL)
        if number not in (service.instances or (0,)):
            raise ActionError(self._invalid_instance, f"there is no instance {number}")
        values: dict[str, Any] = {}
        for argument in action.outputs:
            variable = argument.variable
            if variable.evented is True or not service.instances:
                values[argument.name] = service[variable.name]
                continue
            key: str | tuple[str, str] = variable.name
            if channel is not None and variable.channel is not None:
                key = variable.name, channel
            try:
                values[argument.name] = service.instance(number)[key]
            except KeyError:
                raise ActionError(
                    self._invalid_channel, f"there is no channel {channel} of {variable.name}"
                ) from None
        return values if len(values) > 1 else values[action.outputs[0].name]


def _given_methods(given: GivenActions) -> list[ActionMethod[Any, Any]]:
    if isinstance(given, Mapping):
        return [_method(each, name) for name, each in given.items()]
    if isinstance(given, str | ActionMethod) or not isinstance(given, Iterable):
        raise TypeError(
            "actions is a list of functions with @action, or a mapping of names to functions, not "
            f"{given!r}"
        )
    return [_method(each) for each in given]


def _method(given: Any, name: str | None = None) -> ActionMethod[Any, Any]:
    if not isinstance(given, ActionMethod):
        return ActionMethod(given, name=name)
    if name is None:
        return given
    return ActionMethod(
        given.function,
        name=name,
        arguments=given.arguments,
        returns=given.returns,
        retval=given.retval,
    )


GET_VALUES = "GetValues"


def _values_action(variables: Variables) -> dict[str, TiedAction]:
    """The action of a service that declares none: it answers with the evented variables.

    Kodi, and other control points on Platinum, ignore a device that has a service without an
    action: they do not subscribe."""
    outputs = tuple(
        Argument(name, "out", variable)
        for name, variable in variables.items()
        if variable.evented and name != LAST_CHANGE
    )
    tied = TiedAction(Action(GET_VALUES, outputs), declared=True, called="get_values")
    return {GET_VALUES: tied} if tied.answers_itself else {}


def _tied(
    of_class: ClassActions, variables: Variables, methods: Iterable[ActionMethod[Any, Any]]
) -> dict[str, TiedAction]:
    """The actions of a service without a service description."""
    tied = dict(of_class.tied)
    for method in of_class.untied:
        found = tie(method, variables)
        tied[found.action.name] = found
    given: set[str] = set()
    for method in methods:
        found = tie(method, variables, tied.get(method.default_name), is_method=False)
        name = found.action.name
        if name in given:
            raise ValueError(f"two actions are called {name}")
        given.add(name)
        tied[name] = found
    return tied


def _implemented(
    of_class: ClassActions,
    described: Mapping[str, Action],
    methods: Iterable[ActionMethod[Any, Any]],
) -> dict[str, TiedAction]:
    """The actions of a service description, with the functions that implement them."""
    tied = {name: TiedAction(action) for name, action in described.items()}

    def find(name: str) -> Action:
        found = [described[name]] if name in described else []
        found = found or [each for each in described.values() if _alike(each.name, name)]
        if len(found) != 1:
            raise ValueError(
                f"the service description has no action {name}; there are: {listed(described)}"
            )
        return found[0]

    for name, each in of_class.tied.items():
        if each.function is not None:
            action = find(name)
            tied[action.name] = implement(
                each.function,
                TiedAction(action, parameters=each.parameters),
                is_method=True,
                called=each.called,
            )
    own = ((method, True) for method in of_class.untied)
    for method, is_method in (*own, *((method, False) for method in methods)):
        action = find(method.default_name)
        tied[action.name] = implement(
            method.function,
            TiedAction(action, parameters=_said_parameters(method, action)),
            is_method=is_method,
            called=method.called,
        )
    return tied


def _alike(one: str, other: str) -> bool:
    return same_name(one) == same_name(other)


def _said_parameters(method: ActionMethod[Any, Any], action: Action) -> dict[str, str]:
    """The parameters that ``arguments=`` ties to in arguments of ``action``, by wire name."""
    said: dict[str, str] = {}
    for parameter, related in (method.arguments or {}).items():
        for argument in action.inputs:
            if isinstance(related, NamedArgument):
                fits = related.name == argument.name
            else:
                name = related if isinstance(related, str) else related.name
                fits = name == argument.variable.name
            if fits:
                said.setdefault(argument.name, parameter)
    return said
