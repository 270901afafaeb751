"""The service description (SCPD): the state variables and actions of a service, both ways (UDA 2.0
§2.5)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.data_types import DataType, data_type, shown
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.xml import Element
from propchange.errors import DescriptionError
from propchange.printable import listed, printable
from propchange.upnp.actions import Action, Argument
from propchange.upnp.markup import DECLARATION, child_text, parse_root, spec_version, text_element

_NAMESPACE = "urn:schemas-upnp-org:service-1-0"
_FLAGS = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}


def build_scpd(
    variables: Iterable[StateVariable[Any]], actions: Iterable[Action] = (), uda: str = "1.1"
) -> bytes:
    """A service description with these state variables and actions, as the architecture ``uda``
    ("1.0", "1.1" or "2.0") wants it. A variable that is evented through LastChange has
    ``sendEvents="no"``. Without an action there is no actionList (UDA 2.0 §2.5). Raises ValueError
    for another ``uda``."""
    parts = [DECLARATION, f'<scpd xmlns="{_NAMESPACE}">', spec_version(uda)]
    if actions := tuple(actions):
        parts.append("<actionList>")
        for action in actions:
            _add_action(parts, action)
        parts.append("</actionList>")
    parts.append("<serviceStateTable>")
    for variable in variables:
        _add_variable(parts, variable, uda)
    parts.append("</serviceStateTable></scpd>\n")
    return "".join(parts).encode()


def _add_action(parts: list[str], action: Action) -> None:
    parts += ("<action>", text_element("name", action.name))
    if action.arguments:
        parts.append("<argumentList>")
        # All in arguments are before the out arguments, and the retval is the first of these.
        for argument in (*action.inputs, *action.outputs):
            parts += (
                "<argument>",
                text_element("name", argument.name),
                text_element("direction", argument.direction),
                "<retval/>" if argument.retval else "",
                text_element("relatedStateVariable", argument.variable.name),
                "</argument>",
            )
        parts.append("</argumentList>")
    parts.append("</action>")


def _add_variable(parts: list[str], variable: StateVariable[Any], uda: str) -> None:
    evented = variable.evented is True
    multicast = ' multicast="yes"' if evented and variable.multicast and uda != "1.0" else ""
    parts += (
        f'<stateVariable sendEvents="{"yes" if evented else "no"}"{multicast}>',
        text_element("name", variable.name),
        text_element("dataType", variable.data_type.name),
    )
    default = variable.format(variable.initial)
    # async-upnp-client refuses a service with a default value of a date or a time. It is optional.
    if default and not isinstance(variable.initial, datetime.date | datetime.time):
        parts.append(text_element("defaultValue", default))
    if variable.allowed is not None:
        parts.append("<allowedValueList>")
        parts += [text_element("allowedValue", variable.format(v)) for v in variable.allowed]
        parts.append("</allowedValueList>")
    span = _range(variable)
    if span is not None:
        parts.append("<allowedValueRange>")
        parts += [
            text_element(bound, variable.format(value))
            for bound, value in zip(("minimum", "maximum", "step"), span, strict=True)
            if value is not None
        ]
        parts.append("</allowedValueRange>")
    parts.append("</stateVariable>")


def _range(variable: StateVariable[Any]) -> tuple[Any, Any, Any] | None:
    """Minimum, maximum and step of the range in the service description; None without one. The
    schema allows no range with one end. For an integer the data type gives the other end. For other
    data types that end would be of no use to a reader, so no range is written."""
    kind = variable.data_type
    minimum, maximum, step = variable.minimum, variable.maximum, variable.step
    if minimum is maximum is None:
        return None
    if kind.python_type is int and kind.minimum is not None:
        if minimum is None:
            # The steps are counted from the minimum, and from 0 without one.
            minimum = kind.minimum + -kind.minimum % (step or 1)
        if maximum is None:
            maximum = kind.maximum
    return None if minimum is None or maximum is None else (minimum, maximum, step)


class ServiceContents(NamedTuple):
    """The state variables and actions of a service description, by name, in its order. ``problems``
    has one sentence for each kind of part that was dropped or read differently."""

    variables: Mapping[str, StateVariable[Any]]
    actions: Mapping[str, Action]
    problems: tuple[str, ...]


_MOST_NAMED = 8
"""Variables or actions that a problem names. The others are counted."""


class _Problems:
    """The problems of state variables and actions. Often each variable of a device has the same
    problem, so the problems of one kind become one sentence."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, dict[str, None]]] = {}

    def add(self, kind: str, name: str, sentence: str) -> None:
        """Add ``sentence`` about the variable or action ``name``. The first sentence of a kind
        stands for all of this kind."""
        self._kinds.setdefault(kind, (sentence, {}))[1][name] = None

    def sentences(self) -> Iterator[str]:
        """One sentence for each kind."""
        for sentence, names in self._kinds.values():
            others = list(names)[1:]
            if not others:
                yield sentence
                continue
            yield f"{sentence}; likewise {listed(map(shown, others), _MOST_NAMED)}"


def parse_scpd(document: bytes, limits: Limits = DEFAULT_LIMITS) -> ServiceContents:
    """Read the state variables and actions of a service description leniently.

    A variable without ``sendEvents`` is evented (SCPD-01); yes/no, 1/0 and true/false are read
    in any case (SCPD-05), and so is the old child element ``sendEventsAttribute`` (SCPD-06). An
    unknown data type becomes string. A range, a list or a default value that does not fit the type
    is dropped, and so is a variable without a usable name or with the name of an earlier one.

    An action or argument without a usable name, or with the name of an earlier one, is dropped, and
    so are those beyond ``limits.actions_per_service`` and ``action_arguments``. An argument
    without a direction is an in argument, unless it is the retval. An argument without a known
    related state variable is read as string.

    Raises :exc:`DescriptionError` when the document is not a service description.
    """
    root, mended = parse_root(document, limits, "the service description", "scpd")
    table = root.find("serviceStateTable")
    if table is None:
        raise DescriptionError("the service description has no serviceStateTable")
    variables: dict[str, StateVariable[Any]] = {}
    problems = _Problems()
    for element in table.all("stateVariable"):
        name = child_text(element, "name")
        try:
            check_variable_name(name, limits)
        except ValueError as error:
            problems.add("name", name, f"a state variable was dropped: {error}")
            continue
        if name in variables:
            problems.add("second", name, f"the second state variable {name} was dropped")
        else:
            variables[name] = _parse_variable(name, element, problems)
    actions = _parse_actions(root, variables, limits, problems)
    sentences = tuple(map(printable, (*mended, *problems.sentences())))
    return ServiceContents(MappingProxyType(variables), MappingProxyType(actions), sentences)


def _parse_actions(
    root: Element,
    variables: Mapping[str, StateVariable[Any]],
    limits: Limits,
    problems: _Problems,
) -> dict[str, Action]:
    actions: dict[str, Action] = {}
    in_any_case = {name.lower(): each for name, each in variables.items()}
    for element in (each for group in root.all("actionList") for each in group.all("action")):
        name = child_text(element, "name")
        try:
            check_variable_name(name, limits)
        except ValueError as error:
            problems.add("action", name, f"an action was dropped: {error}")
            continue
        if name in actions:
            problems.add("second action", name, f"the second action {name} was dropped")
        elif len(actions) == limits.actions_per_service:
            most = limits.actions_per_service
            problems.add(
                "actions",
                name,
                f"{name} and all actions behind it were dropped: there are more than {most}",
            )
            break
        else:
            arguments = _Arguments(name, variables, in_any_case, limits, problems)
            group = element.find("argumentList")
            for child in () if group is None else group.all("argument"):
                arguments.add(child)
            actions[name] = Action(name, tuple(arguments.read))
    return actions


class _Arguments:
    """The arguments of the action ``action``, as they are read."""

    def __init__(
        self,
        action: str,
        variables: Mapping[str, StateVariable[Any]],
        in_any_case: Mapping[str, StateVariable[Any]],
        limits: Limits,
        problems: _Problems,
    ) -> None:
        self.read: list[Argument] = []
        self._action = action
        self._variables = variables
        self._in_any_case = in_any_case
        self._limits = limits
        self._problems = problems
        self._known: set[tuple[str, str]] = set()

    def add(self, element: Element) -> None:
        """Read one argument, if it can be used."""
        name = child_text(element, "name")
        most = self._limits.action_arguments
        if len(self.read) == most:
            self._problem("arguments", f"arguments beyond {most} were dropped")
            return
        try:
            check_variable_name(name, self._limits)
        except ValueError as error:
            self._problem("argument", f"an argument was dropped: {error}")
            return
        retval = element.find("retval") is not None
        direction = self._direction(name, child_text(element, "direction").lower(), retval)
        if (name, direction) in self._known:
            self._problem("second argument", f"the second argument {name} was dropped")
            return
        self._known.add((name, direction))
        variable = self._related(name, child_text(element, "relatedStateVariable"))
        self.read.append(Argument(name, direction, variable, retval and direction == "out"))

    def _direction(self, name: str, text: str, retval: bool) -> Literal["in", "out"]:
        if text == "in":
            return "in"
        if text == "out":
            return "out"
        direction: Literal["in", "out"] = "out" if retval else "in"
        given = f"{shown(text)} is no direction of" if text else "there is no direction of"
        self._problem("direction", f"{given} {name}, which was read as {direction}")
        return direction

    def _related(self, name: str, related: str) -> StateVariable[Any]:
        known = self._variables.get(related) or self._in_any_case.get(related.lower())
        if known is not None:
            return known
        said = f"its state variable {shown(related)}" if related else "a related state variable"
        self._problem("related", f"{name} lacks {said}, and is read as string")
        return StateVariable("string", name=name, evented=False)

    def _problem(self, kind: str, sentence: str) -> None:
        self._problems.add(kind, self._action, f"{self._action}: {sentence}")


def _parse_variable(name: str, element: Element, problems: _Problems) -> StateVariable[Any]:
    declared = _parse_data_type(name, child_text(element, "dataType"), problems)
    evented = _parse_flag(element, "sendEvents")
    if evented is None:
        evented = _FLAGS.get(child_text(element, "sendEventsAttribute").lower(), True)
    multicast = bool(_parse_flag(element, "multicast"))
    if multicast and not evented:
        dropped = f"{name}: multicast was dropped, for it is not evented (UDA 2.0 §2.5)"
        problems.add("multicast", name, dropped)
        multicast = False
    basic: dict[str, Any] = {"name": name, "evented": evented, "multicast": multicast}
    bounds = _parse_bounds(name, declared, element, problems)
    default = _parse_value(name, declared, element, "defaultValue", problems)
    for keywords in ({**bounds, "initial": default}, bounds):
        try:
            return StateVariable.of(declared.name, **basic, **keywords)
        except ValueError as error:
            problems.add(
                "initial" if "initial" in keywords else "bounds", name, f"dropped: {error}"
            )
    return StateVariable.of(declared.name, **basic, initial=default)


def _parse_data_type(name: str, text: str, problems: _Problems) -> DataType[Any]:
    try:
        return data_type(text)
    except ValueError:
        read = f"{name}: {shown(text)} is no data type; its values are read as string"
        problems.add("type", name, read)
        return data_type("string")


def _parse_flag(element: Element, attribute: str) -> bool | None:
    return _FLAGS.get(element.attributes.get(attribute, "").strip().lower())


def _parse_bounds(
    name: str, declared: DataType[Any], element: Element, problems: _Problems
) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    span = element.find("allowedValueRange")
    if span is not None:
        if declared.numeric:
            for bound in ("minimum", "maximum", "step"):
                bounds[bound] = _parse_value(name, declared, span, bound, problems)
        else:
            problems.add("range", name, f"{name}: a range of {declared.name} was dropped")
    group = element.find("allowedValueList")
    if group is not None:
        allowed = [child.text.strip() for child in group.all("allowedValue")]
        if allowed and declared.name == "string":
            bounds["allowed"] = allowed
        else:
            dropped = f"{name}: a list of {len(allowed)} allowed values was dropped"
            problems.add("list", name, dropped)
    step = bounds.get("step")
    if step is not None and step <= 0:
        # Some devices write 0 for "any".
        problems.add("step", name, f"{name}: the step {step} was dropped")
        bounds["step"] = None
    return bounds


def _parse_value(
    name: str, declared: DataType[Any], element: Element, child: str, problems: _Problems
) -> Any:
    text = child_text(element, child)
    if not text:
        return None
    try:
        return declared.parse(text)
    except ValueError as error:
        problems.add(child, name, f"{name}: the {child} was dropped: {error}")
        return None
