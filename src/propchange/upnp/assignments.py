"""Assignments to the state variables of a device, written as lines of text.

A line is ``Service.Variable=value``, or an object of JSON with the values of several variables.
``docs/device-file.md`` has the whole syntax. The assignments of a line are one event of each
service that they change. If one of them is wrong, none is made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, Final, NamedTuple, NoReturn

from propchange.core.values.data_types import shown
from propchange.printable import listed
from propchange.upnp.device import PlacedDevice, PlacedService
from propchange.upnp.device_file import nearest, wire_value

MOST_KEYS: Final = 32
"""Pairs of an instance and a channel of one service that lines may add. A renderer has a few of
each; the standard names 14 channels. Bounds the LastChange of the initial event, and the memory,
for lines that count upwards."""

_NAME_CHARACTERS = 1_024
"""Characters of the name of a service and a variable. Bounds the search for the dot between them,
in a line of junk."""

_NAMES_SHOWN = 16
"""Names that an error lists."""

_TARGET = re.compile(
    r"(?P<name>[^\[\]]*)(?:\[(?P<instance>[0-9]{1,10})(?:,(?P<channel>[^\[\],]+))?\])?"
)


def names_in_lines(device: PlacedDevice) -> dict[PlacedService, str]:
    """The name of each service in lines: the name in its type, or the serviceId where several
    services have that name."""
    services = list(device.all_services())
    short = {each.service_id: each.service.service_type.split(":")[3] for each in services}
    uses = Counter(short.values())
    return {
        each: name if uses[name := short[each.service_id]] == 1 else each.service_id
        for each in services
    }


class _Assignment(NamedTuple):
    """A value for a variable. ``instance`` is None for the variable itself."""

    placed: PlacedService
    variable: str
    instance: int | None
    channel: str | None
    value: object


class Assignments:
    """Reads lines, and assigns to the services of ``device``."""

    def __init__(self, device: PlacedDevice) -> None:
        self._names = names_in_lines(device)
        # Each name that a service has, and the services with this name.
        self._services: dict[str, list[PlacedService]] = {}
        for placed, name in self._names.items():
            ids = (placed.service_id, placed.service_id.rpartition(":")[2])
            for each in {name, placed.service.service_type.split(":")[3], *ids}:
                self._services.setdefault(each, []).append(placed)
        for placed in self._names:
            # A whole serviceId is unique.
            self._services[placed.service_id] = [placed]
        self._added: dict[str, set[tuple[int, str | None]]] = {}

    @property
    def example(self) -> str:
        """A line that assigns to a variable of the device what it has now; empty if it has no
        variable that can be assigned."""
        for placed, name in self._names.items():
            for variable in placed.service.variables.values():
                if variable.evented and variable.name != "LastChange":
                    value = placed.service[variable.name]
                    return f"{name}.{variable.name}={variable.format(value)}"
        return ""

    def apply(self, line: str) -> None:
        """Make the assignments of ``line``. An empty line and one that begins with ``#`` have none.
        Raises ValueError with a sentence for the author of the line; nothing is assigned then."""
        line = line.strip()
        if not line or line[0] == "#":
            return
        try:
            found = list(self._read_json(line) if line[0] == "{" else self._read_text(line))
            self._assign(found)
        except RecursionError:
            raise ValueError("the JSON is nested too deep") from None
        except (LookupError, TypeError) as error:
            raise ValueError(error.args[0]) from None

    # --- reading ---

    def _read_text(self, line: str) -> Iterator[_Assignment]:
        target, equals, text = (part.strip() for part in line.partition("="))
        if not equals:
            example = self.example or "Service.Variable=value"
            raise ValueError(f"{shown(line)} has no =; an assignment is such as {example}")
        if text[:1] == '"':
            try:
                text = json.loads(text)
            except ValueError:
                raise ValueError(
                    f"{target}: a value in quotes is a string of JSON, not {shown(text)}"
                ) from None
        placed, variable, instance, channel = self._find(target)
        value = placed.service.variables[variable].parse(text)
        yield _Assignment(placed, variable, instance, channel, value)

    def _read_json(self, line: str) -> Iterator[_Assignment]:
        try:
            document = json.loads(
                line,
                parse_float=Decimal,
                parse_constant=_refuse_constant,
                object_pairs_hook=_refuse_repetition,
            )
        except json.JSONDecodeError as error:
            raise ValueError(f"it is not JSON: {error.msg} at character {error.pos + 1}") from None
        for key, value in document.items():
            if isinstance(value, dict):
                placed = self._find_service(key)
                for target, each in value.items():
                    yield self._typed(*self._find(target, placed), each)
            else:
                yield self._typed(*self._find(key), value)

    def _typed(
        self,
        placed: PlacedService,
        variable: str,
        instance: int | None,
        channel: str | None,
        value: object,
    ) -> _Assignment:
        kind = placed.service.variables[variable].data_type
        try:
            return _Assignment(placed, variable, instance, channel, wire_value(kind, value))
        except ValueError as error:
            raise ValueError(f"{variable}: {error}") from None

    def _find(
        self, target: str, placed: PlacedService | None = None
    ) -> tuple[PlacedService, str, int | None, str | None]:
        """The service, variable, instance and channel that ``target`` names. ``placed``: a variable
        of this service."""
        parts = _TARGET.fullmatch(target) if len(target) <= _NAME_CHARACTERS else None
        if parts is None:
            raise ValueError(
                f"{shown(target)} names no variable: write Service.Variable, or "
                "Service.Variable[0,LF] for a channel of an instance"
            )
        name, instance, channel = parts["name"].strip(), parts["instance"], parts["channel"]
        if placed is None:
            placed, name = self._find_variable(name)
        if name not in placed.service.variables:
            self._refuse_variable(name, placed)
        if instance is None:
            return placed, name, None, None
        if not placed.service.instances or placed.service.variables[name].evented is True:
            raise ValueError(f"{name} has no instances: write {self._names[placed]}.{name} alone")
        return placed, name, int(instance), channel and channel.strip()

    def _find_variable(self, name: str) -> tuple[PlacedService, str]:
        """The service and the name of the variable ``name``, with or without a service. A serviceId
        may have dots, a variable's name too."""
        service, dot, variable = name.rpartition(".")
        while dot and service not in self._services:
            service, dot, more = service.rpartition(".")
            variable = f"{more}.{variable}"
        if dot:
            return self._find_service(service), variable
        having = [placed for placed in self._names if name in placed.service.variables]
        if len(having) == 1:
            return having[0], name
        if having:
            several = " or ".join(f"{self._names[placed]}.{name}" for placed in having)
            raise ValueError(f"several services have a variable {name}: write {several}")
        service, dot, _ = name.rpartition(".")
        if dot:
            self._find_service(service)
        names = {variable for placed in self._names for variable in placed.service.variables}
        raise ValueError(f"no service has a variable {shown(name)}{nearest(name, sorted(names))}")

    def _find_service(self, name: str) -> PlacedService:
        found = self._services.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            several = " or ".join(placed.service_id for placed in found)
            raise ValueError(f"several services are called {name}: write {several}")
        near = (
            nearest(name, self._services)
            or f"; there are: {listed(self._names.values(), _NAMES_SHOWN)}"
        )
        raise ValueError(f"there is no service {shown(name)}{near}")

    def _refuse_variable(self, name: str, placed: PlacedService) -> NoReturn:
        known = list(placed.service.variables)
        near = nearest(name, known) or f"; there are: {listed(known, _NAMES_SHOWN)}"
        raise ValueError(f"{self._names[placed]} has no variable {shown(name)}{near}")

    # --- assigning ---

    def _assign(self, assignments: list[_Assignment]) -> None:
        services = list({each.placed.service_id: each.placed for each in assignments}.values())
        added = {
            placed.service_id: set(self._added.get(placed.service_id, ())) for placed in services
        }
        with ExitStack() as batches:
            if len(assignments) > 1 or any(each.instance is not None for each in assignments):
                for placed in services:
                    batches.enter_context(placed.service.batch())
            for placed, variable, instance, channel, value in assignments:
                service = placed.service
                if instance is None:
                    service[variable] = value
                    continue
                keys = added[placed.service_id]
                keys.add((instance, channel))
                if len(keys) > MOST_KEYS:
                    raise ValueError(
                        f"lines have added {MOST_KEYS} instances and channels to "
                        f"{self._names[placed]}; no more are added"
                    )
                if instance not in service.instances:
                    service.add_instance(instance)
                service.instance(instance)[(variable, channel) if channel else variable] = value
        self._added |= added


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{shown(name)} is in the object twice")
    return members
