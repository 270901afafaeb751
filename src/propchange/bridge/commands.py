"""Commands from the broker: a topic and a payload become the call of an action.

Each client that the broker lets publish can send commands. So a command that does not fit is
refused with one sentence, and what waits is bounded.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

from propchange.bridge.payloads import encode, exact_value
from propchange.bridge.setters import default_of, find_setter
from propchange.bridge.topics import PART_CHARACTERS, part
from propchange.core.record import Record
from propchange.core.values.state_variables import StateVariable
from propchange.printable import listed, printable
from propchange.upnp.actions import Action, Argument
from propchange.upnp.plain_values import plain
from propchange.upnp.scpd import ServiceContents

COMMAND_BYTES = 65_536
"""Bytes of the payload of a command. The longest arguments are documents of some kilobytes. Bounds
the memory for commands that wait, and what a device is sent."""

COMMANDS_OF_DEVICE = 16
"""Commands of one device that wait. A slider that is moved has one. Bounds the delay of the last
one, and a client that repeats itself without end."""

COMMANDS_WAITING = 256
"""Commands of all devices that wait. Bounds the memory, and a client that asks all devices at
once."""

COMMANDS_RUNNING = 32
"""Devices that carry out a command at the same time. Bounds the connections."""

_EXPONENT = 400
"""The largest power of ten of a number, and of the inverse of one. A double has 308. A few bytes
such as 1e999999999 would else become an integer of a billion digits."""

_MOST_NAMED = 16
_ON, _OFF = frozenset({"on"}), frozenset({"off"})


class CommandRefused(Exception):
    """A command that cannot be carried out. The message says why, and what would do."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Command(Record):
    """A command. ``udn``, ``service`` and ``name`` are parts of its topic. ``name`` is that of an
    action if it ``calls`` one, else that of the variable to set."""

    topic: str
    udn: str
    service: str
    name: str
    calls: bool
    payload: bytes = b""

    @property
    def answer_topic(self) -> str:
        """The topic of the answer."""
        return f"{self.topic}/answer"


def command_filter(base: str) -> str:
    """The topics of all commands. It is one filter: of two that a topic fits, a broker may send the
    message twice, and the action would run twice."""
    return f"{base}/+/+/+/+"


def read_command(topic: str, payload: bytes, base: str) -> Command | None:
    """The command in a message; None for a topic that is no command. Both of
    ``BASE/UDN/SERVICE/VARIABLE/set`` and ``BASE/UDN/SERVICE/call/ACTION`` are."""
    begin, udn, service, name, last = (*topic.rsplit("/", 4), "", "", "", "")[:5]
    if begin != base or not (udn and service and name and last):
        return None
    if max(map(len, (udn, service, name, last))) > PART_CHARACTERS:
        return None  # no part is as long
    if name == "call":
        return Command(topic, udn, service, last, True, payload)
    return Command(topic, udn, service, name, False, payload) if last == "set" else None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ActionRequest(Record):
    """The call that carries out a command."""

    action: Action
    inputs: Mapping[str, object]


def action_request(command: Command, contents: ServiceContents) -> ActionRequest:
    """The call for ``command`` to a service with ``contents``. Raises CommandRefused."""
    if len(command.payload) > COMMAND_BYTES:
        raise CommandRefused(f"the payload is longer than {COMMAND_BYTES} bytes")
    try:
        text = command.payload.decode()
    except UnicodeDecodeError:
        raise CommandRefused("the payload is not UTF-8") from None
    request = _call(command, text, contents) if command.calls else _set(command, text, contents)
    try:
        request.action.write_inputs(request.inputs)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise CommandRefused(printable(str(error))) from None
    return request


def _set(command: Command, text: str, contents: ServiceContents) -> ActionRequest:
    variable = _named(command.name, contents.variables, "variable")
    setter = find_setter(variable, contents.actions.values())
    if setter is None:
        actions = listed(map(printable, contents.actions), _MOST_NAMED)
        raise CommandRefused(
            f"it is not clear which action sets {variable.name}; call one of these actions: "
            f"{actions}"
        )
    return ActionRequest(setter.action, setter.inputs(_parsed(text, setter.argument.variable)))


def _call(command: Command, text: str, contents: ServiceContents) -> ActionRequest:
    action = _named(command.name, contents.actions, "action")
    given = _members(text) if text.strip() else {}
    inputs: dict[str, object] = {}
    for argument in action.inputs:
        if argument.name in given:
            inputs[argument.name] = _converted(given.pop(argument.name), argument)
        elif (default := default_of(argument)) is not None:
            inputs[argument.name] = default
    # The action says which of these it does not have, and which are missing.
    return ActionRequest(action, {**inputs, **given})


def _named(name: str, known: Mapping[str, Any], kind: str) -> Any:
    """The variable or action whose name is ``name`` in topics."""
    found = known.get(name)
    if found is not None and part(name) == name:
        return found
    found = next((each for key, each in known.items() if part(key) == name), None)
    if found is None:
        there = listed(map(printable, known), _MOST_NAMED)
        raise CommandRefused(f"the service has no {kind} {name}; there are: {there}")
    return found


def _members(text: str) -> dict[str, Any]:
    try:
        members = json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_constant=_no_number,
            parse_float=_decimal,
        )
    except RecursionError:
        raise CommandRefused("the JSON of the payload is nested too deeply") from None
    except ValueError as error:
        raise CommandRefused(f"the payload is not JSON: {printable(str(error))}") from None
    if not isinstance(members, dict):
        raise CommandRefused('the payload is no JSON object of arguments, such as {"Speed": "1"}')
    return members


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is in it twice")
    return members


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _decimal(word: str) -> Decimal:
    number: Decimal | None = None
    with suppress(ArithmeticError):
        number = Decimal(word)
    if number is None or abs(number.adjusted()) > _EXPONENT:
        raise ValueError(f"the number {word[:40]} is too large or too small")
    return number


def _parsed(text: str, variable: StateVariable[Any]) -> Any:
    """The value of the text of a command, as a device would send it; on and off too."""
    if variable.data_type.python_type is bool:
        word = text.strip().lower()
        if word in _ON or word in _OFF:
            return word in _ON
    try:
        return variable.parse(text)
    except ValueError as error:
        raise CommandRefused(printable(str(error))) from None


def _converted(value: object, argument: Argument) -> object:
    """A value of JSON as a value of the argument. A text is read as a device would send it, so a
    date, and an integer that JSON cannot hold exactly, are texts."""
    if isinstance(value, str):
        return _parsed(value, argument.variable)
    if isinstance(value, Decimal) and argument.variable.data_type.python_type is int:
        # JavaScript has one kind of number.
        return int(value) if value == value.to_integral_value() else value
    if isinstance(value, dict | list) or value is None:
        raise CommandRefused(f"{argument.name}: the value is no text, number, true or false")
    return value


# --- answers ---


def answer_payload(request: ActionRequest, outputs: Mapping[str, Any]) -> bytes:
    """The answer to a command that was carried out."""
    related = {each.name: each.variable for each in request.action.outputs}
    return encode(
        {
            "action": request.action.name,
            "outputs": {name: _plain(value, related.get(name)) for name, value in outputs.items()},
        }
    )


def _plain(value: Any, variable: StateVariable[Any] | None) -> str | int | float | bool | None:
    if value is None or variable is None:
        return None if value is None else str(value)
    text = variable.format(value)
    return exact_value(plain(value, text), text)


def refusal_payload(sentence: str, code: int | None = None) -> bytes:
    """The answer to a command that was not carried out. ``code`` is that of the device, if it has
    refused."""
    return encode({"error": printable(sentence), **({} if code is None else {"code": code})})


# --- what waits ---


@dataclass(slots=True, eq=False, repr=False)
class _Device(Record):
    waiting: deque[Command] = field(default_factory=deque)
    is_running: bool = False


class WaitingCommands:
    """Commands in their order. A device carries out one at a time.

    A command to set a variable takes the place of an older one that still waits, unless an action
    is to be called between them: of a slider that is moved, the last position counts. Call
    :meth:`add`, then carry out what :meth:`take` returns until it is None, and call :meth:`done`
    after each.
    """

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}
        self._waiting = 0
        self._running = 0

    def add(self, command: Command) -> Command | None:
        """Have ``command`` wait. Returns the command whose place it has taken. Raises
        CommandRefused if there is no room."""
        device = self._devices.get(command.udn)
        if device is not None and not command.calls:
            for index in reversed(range(len(device.waiting))):
                older = device.waiting[index]
                if older.calls:
                    break
                if older.topic == command.topic:
                    device.waiting[index] = command
                    return older
        if self._waiting >= COMMANDS_WAITING:
            raise CommandRefused(f"{COMMANDS_WAITING} commands are waiting; try again")
        if device is None:
            device = self._devices[command.udn] = _Device()
        if len(device.waiting) >= COMMANDS_OF_DEVICE:
            raise CommandRefused(f"{COMMANDS_OF_DEVICE} commands of this device wait; try again")
        device.waiting.append(command)
        self._waiting += 1
        return None

    def take(self) -> Command | None:
        """The next command to carry out; None if there is none now."""
        if self._running >= COMMANDS_RUNNING:
            return None
        for device in self._devices.values():
            if device.waiting and not device.is_running:
                device.is_running = True
                self._waiting -= 1
                self._running += 1
                return device.waiting.popleft()
        return None

    def done(self, command: Command) -> None:
        """``command`` was carried out, or has failed."""
        # The device comes behind those that wait.
        device = self._devices.pop(command.udn)
        device.is_running = False
        self._running -= 1
        if device.waiting:
            self._devices[command.udn] = device
