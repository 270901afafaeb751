"""Actions of a service: their arguments, and the conversion of values (UDA 2.0 §2.5, §3.1).

An :class:`Action` is the same at both ends. The control point writes the in arguments and reads the
out arguments; the device reads the in arguments and writes the out arguments. Writing is strict.
A device reads strictly too, with the error codes of UDA; a control point reads leniently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from propchange.core.record import Record, brief
from propchange.core.values.data_types import shown
from propchange.core.values.state_variables import StateVariable
from propchange.errors import ACTION_ERRORS, ActionError
from propchange.printable import listed, printable


class ErrorCode(IntEnum):
    """The error codes of actions that UDA defines (UDA 2.0 §3.2.2)."""

    INVALID_ACTION = 401
    INVALID_ARGUMENTS = 402
    ACTION_FAILED = 501
    VALUE_INVALID = 600
    VALUE_OUT_OF_RANGE = 601
    NOT_IMPLEMENTED = 602
    OUT_OF_MEMORY = 603
    HUMAN_INTERVENTION_REQUIRED = 604
    STRING_TOO_LONG = 605

    @property
    def words(self) -> str:
        """The errorDescription that UDA gives to the code."""
        return ACTION_ERRORS[self]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Argument(Record):
    """An argument of an action. ``name`` is its name on the wire, ``variable`` the related state
    variable, which has its data type, range and allowed values. ``retval``: the return value of the
    action (UDA 2.0 §2.5)."""

    name: str
    direction: Literal["in", "out"]
    variable: StateVariable[Any]
    retval: bool = False

    def __post_init__(self) -> None:
        if self.direction not in ("in", "out"):
            raise ValueError(f"the direction of {self.name} is in or out, not {self.direction!r}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Action(Record):
    """The description of an action: its name on the wire and its arguments, in their order."""

    name: str
    arguments: tuple[Argument, ...] = ()
    inputs: tuple[Argument, ...] = field(init=False, repr=False, compare=False)
    """The in arguments."""
    outputs: tuple[Argument, ...] = field(init=False, repr=False, compare=False)
    """The out arguments. If one is the retval, it is the first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(self.arguments))
        for direction, attribute in (("in", "inputs"), ("out", "outputs")):
            chosen = tuple(each for each in self.arguments if each.direction == direction)
            object.__setattr__(self, attribute, chosen)

    def __repr__(self) -> str:
        names = (", ".join(each.name for each in side) for side in (self.inputs, self.outputs))
        return brief(printable("<Action {}({}) -> {}>".format(self.name, *names)))

    # --- control point ---

    def write_inputs(self, values: Mapping[str, object]) -> dict[str, str]:
        """The texts of the in arguments, by name, in the order of the description.

        Raises TypeError for a missing or an unknown name and for a value of another kind,
        ValueError for a value that the related variable does not allow. The messages name what
        there is."""
        self._check_names(values, self.inputs, "in")
        return self._texts(values, self.inputs)

    def read_outputs(self, texts: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The values of the out arguments of a device's answer, and one sentence for each problem.

        A range is not checked. The value of a text that is not of the data type is None. A missing
        argument is left out. An argument that the description does not have is kept, as text. A
        name may differ in case."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        left = dict(texts)
        in_any_case: dict[str, str] = {}
        if not all(argument.name in left for argument in self.outputs):
            in_any_case = {name.lower(): name for name in left}
        for argument in self.outputs:
            given = argument.name
            if given not in left:
                given = in_any_case.get(given.lower(), "")
                if given not in left:
                    problems.append(f"{self.name}: the out argument {argument.name} is missing")
                    continue
                problems.append(f"{self.name}: {shown(given)} was read as {argument.name}")
            try:
                values[argument.name] = argument.variable.parse(left.pop(given))
            except ValueError as error:
                values[argument.name] = None
                problems.append(f"{self.name}, out argument {argument.name}: {error}")
        for name, text in left.items():
            values[name] = text
            problems.append(f"{self.name} has no out argument {shown(name)}; it was read as text")
        return values, tuple(problems)

    # --- device ---

    def read_inputs(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The values of the in arguments of a call, by name, in the order of the description.

        Raises :exc:`.ActionError`: 402 for a missing or an unknown argument and for a text that is
        not of the data type, 601 for a value outside of the range or the allowed values of the
        related variable, 600 for a number that is not a whole step (UDA 2.0 §3.2.2)."""
        try:
            self._check_names(texts, self.inputs, "in")
        except TypeError as error:
            raise ActionError(ErrorCode.INVALID_ARGUMENTS, str(error)) from None
        return {each.name: self._read_input(each, texts[each.name]) for each in self.inputs}

    def _read_input(self, argument: Argument, text: str) -> Any:
        variable = argument.variable
        try:
            value = variable.parse(text)
        except ValueError as error:
            code = ErrorCode.INVALID_ARGUMENTS
            if variable.data_type.numeric and _is_beyond_range(variable, text):
                code = ErrorCode.VALUE_OUT_OF_RANGE
            raise _refused(code, argument, error) from None
        try:
            return variable.check(value)
        except ValueError as error:
            code = ErrorCode.VALUE_OUT_OF_RANGE
            if variable.allowed is None and _is_in_range(variable, value):
                code = ErrorCode.VALUE_INVALID
            raise _refused(code, argument, error) from None

    def write_outputs(self, result: object) -> dict[str, str]:
        """The texts of the out arguments, by name, in the order of the description.

        ``result`` is what the method of the action has returned: None without an out argument, the
        value of a single one, or a mapping of names to values. Raises TypeError or ValueError for
        a result that does not fit, which is a mistake of the device's author."""
        outputs = self.outputs
        if isinstance(result, Mapping):
            values: Mapping[str, object] = result
        elif len(outputs) == 1:
            values = {outputs[0].name: result}
        elif result is None:
            values = {}
        else:
            if outputs:
                raise TypeError(
                    f"{self.name} must return a mapping of {_names(outputs)}, not {shown(result)}"
                )
            raise TypeError(
                f"{self.name} must return None, not {shown(result)}: it has no out argument; say "
                "@action(returns=…)"
            )
        self._check_names(values, outputs, "out")
        return self._texts(values, outputs)

    # --- both ---

    def _check_names(
        self, given: Mapping[str, object], arguments: tuple[Argument, ...], direction: str
    ) -> None:
        names = {argument.name: None for argument in arguments}
        missing = [name for name in names if name not in given]
        unknown = [name for name in given if name not in names]
        if not missing and not unknown:
            return
        problems = []
        if unknown:
            problems.append(
                f"has no {direction} argument {listed(map(shown, unknown), _MOST_NAMED)}"
            )
        if missing:
            problems.append(f"lacks the {direction} argument {', '.join(missing)}")
        raise TypeError(f"{self.name} {' and '.join(problems)}; there are: {_names(arguments)}")

    def _texts(
        self, values: Mapping[str, object], arguments: tuple[Argument, ...]
    ) -> dict[str, str]:
        texts: dict[str, str] = {}
        for argument in arguments:
            variable = argument.variable
            try:
                texts[argument.name] = variable.format(variable.check(values[argument.name]))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{self.name}, argument {_said(argument, error)}") from None
        return texts


def _refused(code: ErrorCode, argument: Argument, error: ValueError) -> ActionError:
    return ActionError(code, f"{code.words}: {_said(argument, error)}")


def _said(argument: Argument, error: Exception) -> str:
    """The error of the variable of ``argument``, after the name of the argument. The variable is
    named if it has another name."""
    return f"{argument.name}: {str(error).removeprefix(f'{argument.name}: ')}"


_MOST_NAMED = 8
"""Unknown arguments that an error names. A peer may send more than a hundred."""


def _names(arguments: Iterable[Argument]) -> str:
    return listed(argument.name for argument in arguments)


def _is_in_range(variable: StateVariable[Any], value: Any) -> bool:
    minimum, maximum = variable.minimum, variable.maximum
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _is_beyond_range(variable: StateVariable[Any], text: str) -> bool:
    """Whether ``text``, which is not of the data type, is a number outside of the range of
    ``variable``: 70000 for a ui2 from 0 to 100."""
    try:
        return not _is_in_range(variable, variable.data_type.read(text))
    except (ValueError, ArithmeticError):
        return False
