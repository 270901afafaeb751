"""Reads a device from a TOML file: its texts, its services, their state variables.

The keys are the arguments of :class:`.Device`, :class:`.Service` and :class:`.StateVariable`.
``docs/device-file.md`` lists them. All mistakes that can be found in one reading are reported
together, each with the path of its key, such as ``services[1].variables[0].minimum``.
"""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

from propchange.core.values.data_types import DataType, data_type, shown
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.refusals import UDA_VERSIONS
from propchange.upnp.action_methods import ActionMethod, action, argument
from propchange.upnp.device import Device
from propchange.upnp.service import Service
from propchange.upnp.service_declaration import check_path, check_service_id, default_service_id
from propchange.upnp.simulated_services import SIMULATED, setters

Table = Mapping[str, Any]

_DEVICE_TEXTS = (
    "type",
    "udn",
    "manufacturer",
    "manufacturer_url",
    "model_description",
    "model_name",
    "model_number",
    "model_url",
    "serial_number",
    "upc",
    "presentation_url",
)
_DEVICE_KEYS = ("name", *_DEVICE_TEXTS, "services", "devices")
_PATHS = ("event_path", "control_path", "scpd_path")
_SERVICE_KEYS = ("standard", "type", "service_id", "without", "actions", *_PATHS, "variables")
_VALUES = ("initial", "minimum", "maximum", "step", "minimum_delta")
_OPTIONS = (*_VALUES, "allowed", "evented", "minimum_interval", "multicast", "level", "channel")
_VARIABLE_KEYS = ("name", "type", *_OPTIONS)

_INDEX = re.compile(r"\[\d+\]")

_DEPTH = 16
"""Devices in devices in devices. Two levels occur. Bounds the recursion."""


class BadDeviceFile(ValueError):
    """A device file that cannot be used. ``problems`` has a sentence for each mistake."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class DeviceFile(NamedTuple):
    """The device of a file, and the version of the architecture that it follows."""

    device: Device
    uda: str


def read_device_file(document: str) -> DeviceFile:
    """The device that ``document``, a text in TOML, describes. Raises :exc:`BadDeviceFile`."""
    reading = _Reading()
    try:
        # A Decimal has the digits of the file. A binary fraction would not fit fixed.14.4.
        root = tomllib.loads(document, parse_float=Decimal)
        uda = reading.uda(root.pop("uda", "1.1"))
        device = reading.device(root, "", ("uda", *_DEVICE_KEYS))
    except RecursionError:
        raise BadDeviceFile(["the tables are nested too deep"]) from None
    except ValueError as error:
        raise BadDeviceFile([f"it is not TOML: {error}"]) from None
    if device is None or reading.problems:
        raise BadDeviceFile(reading.problems)
    return DeviceFile(device, uda)


def wire_value(kind: DataType[Any], value: object) -> object:
    """``value`` of a TOML or JSON document as a value for a variable of the type ``kind``. A
    string is read as the text on the wire: these documents have no type for UUIDs and bytes, and
    JSON has none for times. Other values are returned unchanged; the variable judges them. Raises
    ValueError for a text that does not fit."""
    if isinstance(value, str) and kind.python_type is not str:
        return kind.parse(value)
    return value if kind.python_type is Decimal else _plain(value)


def _plain(value: object) -> object:
    """``value``, with a float for a Decimal."""
    return float(value) if isinstance(value, Decimal) else value


def nearest(name: str, known: Iterable[str]) -> str:
    """``; was X meant?`` with the name of ``known`` that is most like ``name``, in any case of
    letters; empty if none is."""
    lower = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), lower, 1)
    return f"; was {lower[near[0]]} meant?" if near else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class _Reading:
    """One reading of a file. ``problems`` has the mistakes so far. A method returns None for a
    table with a mistake."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def _add(self, path: str, problem: object) -> None:
        self.problems.append(f"{path}: {problem}" if path else str(problem))

    def uda(self, value: object) -> str:
        """The version of the architecture. A number is taken for its text."""
        if (version := str(value)) not in UDA_VERSIONS:
            self._add("uda", f"it is one of {', '.join(UDA_VERSIONS)}, not {shown(value)}")
        return version

    def device(self, table: Table, path: str, known: tuple[str, ...]) -> Device | None:
        """The root device, or an embedded device."""
        before = len(self.problems)
        if path.count("devices[") > _DEPTH:
            self._add("devices", f"they are embedded in each other more than {_DEPTH} times")
            return None
        self._refuse_unknown(table, path, known)
        name = self._text(table, path, "name", needed=True)
        texts: dict[str, Any] = {}
        for key in _DEVICE_TEXTS:
            text = self._text(table, path, key)
            if text is not None:
                texts[key] = text
                self._try(_join(path, key), Device, "x", **{key: text})
        if name is not None:
            self._try(_join(path, "name"), Device, name)
        services = [self._service(*each) for each in self._tables(table, path, "services")]
        devices = [
            self.device(*each, _DEVICE_KEYS) for each in self._tables(table, path, "devices")
        ]
        if len(self.problems) > before:
            return None
        made = self._try(path, Device, name, services=services, devices=devices, **texts)
        return made if isinstance(made, Device) else None

    def _service(self, table: Table, path: str) -> Service | None:
        before = len(self.problems)
        self._refuse_unknown(table, path, _SERVICE_KEYS)
        base = self._standard(table, path)
        service_type = self._text(table, path, "type", needed="standard" not in table)
        if "standard" in table and "type" in table:
            self._add(path, "a service has standard or type, not both")
        if service_type is not None:
            self._try(_join(path, "type"), default_service_id, service_type)
        service_id = self._text(table, path, "service_id")
        if service_id is not None:
            self._try(_join(path, "service_id"), check_service_id, service_id)
        paths: dict[str, str] = {}
        for key in _PATHS:
            given = self._text(table, path, key)
            if given is not None:
                paths[key] = given
                self._try(_join(path, key), check_path, given, key.removesuffix("_path"))
        inherited = {} if base is None else dict(base().variables)
        without = self._without(table, path, inherited)
        actions = table.get("actions", False)
        if not isinstance(actions, bool):
            self._add(_join(path, "actions"), f"it is true or false, not {shown(_plain(actions))}")
        variables: dict[str, StateVariable[Any]] = {}
        for each, at in self._tables(table, path, "variables"):
            variable = self._variable(each, at, inherited)
            if variable is not None and variable.name in variables:
                self._add(_join(at, "name"), f"the service has a variable {variable.name} already")
            elif variable is not None:
                variables[variable.name] = variable
        if len(self.problems) > before:
            return None
        kind = Service if base is None else _subclass(base, without, variables)
        added = [variable for name, variable in variables.items() if name not in inherited]
        options = {"type": service_type, "id": service_id, **paths}
        made = self._try(path, _make_service, kind, added, actions, options)
        return made if isinstance(made, Service) else None

    def _standard(self, table: Table, path: str) -> type[Service] | None:
        name = self._text(table, path, "standard")
        if name is None or name in SIMULATED:
            return None if name is None else SIMULATED[name]
        self._add(
            _join(path, "standard"),
            f"{shown(name)} is none of the services that propchange declares: "
            f"{', '.join(SIMULATED)}{nearest(name, SIMULATED)}",
        )
        return None

    def _without(self, table: Table, path: str, inherited: Iterable[str]) -> list[str]:
        at = _join(path, "without")
        names = table.get("without", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._add(at, f"a list of names of variables, not {shown(names)}")
            return []
        for name in names:
            if name not in inherited:
                self._add(at, f"the standard has no variable {name}{nearest(name, inherited)}")
        return names

    def _variable(
        self, table: Table, path: str, inherited: Mapping[str, StateVariable[Any]]
    ) -> StateVariable[Any] | None:
        before = len(self.problems)
        self._refuse_unknown(table, path, _VARIABLE_KEYS)
        name = self._text(table, path, "name", needed=True)
        if name is not None:
            self._try(_join(path, "name"), check_variable_name, name)
        older = inherited.get(name) if name is not None else None
        type_name = self._text(table, path, "type", needed=older is None)
        kind = None
        if type_name is not None:
            kind = self._try(_join(path, "type"), data_type, type_name)
        elif older is not None:
            kind = older.data_type
        if name is None or kind is None:
            return None
        options: dict[str, Any] = {}
        for key in _OPTIONS:
            if key in table and key in _VALUES:
                options[key] = self._try(_join(path, key), wire_value, kind, table[key])
            elif key in table:
                options[key] = _plain(table[key])
        # First each option alone, so that all that are wrong are reported.
        for key, value in options.items():
            if key == "evented" and not isinstance(value, bool) and value != "LastChange":
                problem = f'it is true, false or "LastChange", not {shown(value)}'
                self._add(_join(path, key), problem)
            elif key not in ("level", "channel"):
                self._try_variable(path, kind, name, {key: value})
        if len(self.problems) > before:
            return None
        if older is not None and type_name is None:
            options = _changed(older, options)
        variable = self._try_variable(path, kind, name, options)
        if variable is not None and older is not None:
            self._try(path, variable.inherit_eventing, older)
        return variable

    def _try_variable(
        self, path: str, kind: DataType[Any], name: str, options: Mapping[str, Any]
    ) -> StateVariable[Any] | None:
        try:
            return StateVariable.of(kind.name, name=name, **options)
        except (TypeError, ValueError) as error:
            problem = str(error).removeprefix(f"{name}: ")
            for key in _OPTIONS:
                if problem.startswith(f"{key}: "):
                    path, problem = _join(path, key), problem.removeprefix(f"{key}: ")
            self._add(path, problem)
            return None

    def _try(self, path: str, make: Any, *arguments: Any, **options: Any) -> Any:
        """The result of ``make``; None if it raises TypeError or ValueError, which is noted."""
        try:
            return make(*arguments, **options)
        except (TypeError, ValueError) as error:
            self._add(path, error)
            return None

    def _refuse_unknown(self, table: Table, path: str, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                near = nearest(key, known) or f"; there are: {', '.join(known)}"
                self._add(_join(path, key), f"there is no such key{near}")

    def _text(self, table: Table, path: str, key: str, *, needed: bool = False) -> str | None:
        if key not in table:
            if needed:
                self._add(_join(path, key), "it is missing")
            return None
        value = table[key]
        if not isinstance(value, str):
            self._add(_join(path, key), f"it is a string, not {shown(_plain(value))}")
            return None
        return value

    def _tables(self, table: Table, path: str, key: str) -> list[tuple[Table, str]]:
        """The tables of the array ``key``, each with its path."""
        tables, at = table.get(key, []), _join(path, key)
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            header = _INDEX.sub("", at)
            self._add(at, f"it is an array of tables: write [[{header}]] above each")
            return []
        return [(each, f"{at}[{number}]") for number, each in enumerate(tables)]


def _changed(older: StateVariable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the variable ``older`` of a standard, with the given ones in their place. Its
    eventing is not among them: :meth:`.StateVariable.inherit_eventing` takes that."""
    changed: dict[str, Any] = {
        key: getattr(older, key) for key in ("minimum", "maximum", "step", "allowed")
    }
    changed.update(options)
    if "initial" not in options:
        try:
            StateVariable.of(older.data_type.name, **changed | {"initial": older.initial})
        except (TypeError, ValueError):
            return changed  # it does not fit any more
        changed["initial"] = older.initial
    return changed


def _subclass(
    base: type[Service], without: Collection[str], variables: Mapping[str, StateVariable[Any]]
) -> type[Service]:
    """A subclass of ``base`` without the variables ``without``, with the actions that set its
    variables. A variable of ``variables`` replaces the one of ``base`` with its name."""
    attributes: dict[str, object] = {
        attribute: variables[declared.name]
        for attribute in dir(base)
        if isinstance(declared := getattr(base, attribute), StateVariable)
        and declared.name in variables
    }
    attributes.update(setters(base, without))
    own: type[Service] = types.new_class(
        base.__name__, (base,), {"without": without}, lambda names: names.update(attributes)
    )
    return own


def _make_service(
    kind: type[Service],
    added: Iterable[StateVariable[Any]],
    with_actions: bool,
    options: Mapping[str, Any],
) -> Service:
    """A service of the class ``kind`` with the further variables ``added``. ``with_actions``: they
    have actions SetName and GetName, whose argument has the name of the variable. ``options`` are
    further arguments. Raises ValueError if an action that the standard requires lacks a
    variable."""

    def read(name: str) -> Any:
        return service[name]

    def assign(name: str, value: Any) -> None:
        service[name] = value

    actions: list[ActionMethod[..., Any]] = []
    for variable in added if with_actions else ():
        name = variable.name
        arguments = {"value": argument(variable, name=name)}
        actions += (
            action(name=f"Set{name}", arguments=arguments)(partial(assign, name)),
            action(name=f"Get{name}", returns=variable)(partial(read, name)),
        )
    service = kind(variables=added, actions=actions, **options)
    missing = service.missing_actions()
    if missing:
        raise ValueError(
            f"without leaves out variables of actions that the standard requires: "
            f"{', '.join(missing)}"
        )
    return service
