"""A device is read from TOML, and each mistake is reported with the path of its key."""

from __future__ import annotations

import contextlib
import datetime
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.values.data_types import DATA_TYPES
from propchange.upnp import standard
from propchange.upnp.device_file import (
    _DEVICE_KEYS,
    _SERVICE_KEYS,
    _VARIABLE_KEYS,
    BadDeviceFile,
    DeviceFile,
    read_device_file,
)
from propchange.upnp.standard import RenderingControl

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "device-file.md").read_text()


def variable(*lines: str, kind: str | None = "ui1", service: str = "") -> str:
    """A file with one service of one variable."""
    service = service or 'type = "urn:example-org:service:Any:1"'
    declared = "" if kind is None else f'type = "{kind}"\n'
    return "\n".join(
        (
            'name = "Any"\n[[services]]',
            service,
            f'[[services.variables]]\nname = "Value"\n{declared}',
            *lines,
        )
    )


def problems_of(document: str) -> tuple[str, ...]:
    with pytest.raises(BadDeviceFile) as refused:
        read_device_file(document)
    return refused.value.problems


def only_service(document: str) -> Any:
    (service,) = read_device_file(document).device.services
    return service


def test_a_name_is_enough() -> None:
    device, uda = read_device_file('name = "Lamp"')

    assert (device.friendly_name, uda) == ("Lamp", "1.1")
    assert (device.services, device.devices) == ((), ())


def test_every_text_of_the_description_can_be_given() -> None:
    others = ("name", "type", "udn", "services", "devices")
    keys = [key for key in _DEVICE_KEYS if key not in others]
    texts = "\n".join(f'{key} = "the {key}"' for key in keys)
    device = read_device_file(
        f'name = "Lamp"\nudn = "lamp-1"\ntype = "urn:a-b:device:Lamp:1"\n{texts}'
    ).device

    assert (device.udn, device.device_type) == ("uuid:lamp-1", "urn:a-b:device:Lamp:1")
    assert all(getattr(device, key) == f"the {key}" for key in keys)


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
@pytest.mark.parametrize("quote", ['"', ""])
def test_the_version_of_the_architecture_is_a_string_or_a_number(version: str, quote: str) -> None:
    assert read_device_file(f'uda = {quote}{version}{quote}\nname = "Lamp"').uda == version


def test_devices_are_embedded_and_have_services_of_their_own() -> None:
    device = read_device_file("""
        name = "Outer"
        [[devices]]
        name = "Inner"
        [[devices.services]]
        standard = "Dimming:1"
        [[devices.devices]]
        name = "Innermost"
    """).device

    assert [each.friendly_name for each in device.all_devices()] == ["Outer", "Inner", "Innermost"]
    assert isinstance(device.devices[0].services[0], standard.Dimming)


@pytest.mark.parametrize("name", standard.__all__)
def test_each_standard_service_has_the_variables_of_its_class_and_its_actions(name: str) -> None:
    service = only_service(f'name = "Any"\n[[services]]\nstandard = "{name}:1"')
    declared = getattr(standard, name)()

    assert isinstance(service, type(declared))
    assert service.service_type == declared.service_type
    assert service.values == declared.values
    assert list(service.variables) == list(declared.variables)
    assert set(service.actions) >= set(declared.actions) | set(declared.missing_actions())
    assert service.missing_actions() == ()


VALUES = [
    ("ui1", "255", 255),
    ("i8", "-5", -5),
    ("r4", "20.5", 20.5),
    ("r8", "20", 20.0),
    ("fixed.14.4", "1.0001", Decimal("1.0001")),
    ("char", '"x"', "x"),
    ("string", '"  two\\nlines "', "  two\nlines "),
    ("string", '"13"', "13"),
    ("uri", '"http://192.0.2.1/"', "http://192.0.2.1/"),
    ("boolean", "true", True),
    ("boolean", '"yes"', True),
    ("ui2", '"13"', 13),
    ("date", "2026-05-01", datetime.date(2026, 5, 1)),
    ("date", '"2026-05-01"', datetime.date(2026, 5, 1)),
    ("dateTime", "2026-05-01T12:00:00", datetime.datetime.fromisoformat("2026-05-01T12:00:00")),
    (
        "dateTime.tz",
        '"2026-05-01T12:00:00+00:00"',
        datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC),
    ),
    ("time", "12:30:00", datetime.time(12, 30)),
    ("bin.hex", '"00FF"', b"\x00\xff"),
    ("bin.base64", '"AP8="', b"\x00\xff"),
    (
        "uuid",
        '"0e8a7d5c-0000-4000-8000-000000000001"',
        uuid.UUID("0e8a7d5c-0000-4000-8000-000000000001"),
    ),
]


@pytest.mark.parametrize(("kind", "written", "value"), VALUES)
def test_a_value_is_of_the_type_of_its_variable(kind: str, written: str, value: object) -> None:
    service = only_service(variable(f"initial = {written}", kind=kind))

    assert service["Value"] == value
    assert type(service["Value"]) is type(value)


def test_the_options_of_a_variable_are_those_of_a_state_variable() -> None:
    service = only_service(
        variable(
            "initial = 20.5\nminimum = 10.5\nmaximum = 30.5\nstep = 0.5",
            "minimum_interval = 0.25\nminimum_delta = 1.0\nmulticast = true",
            'level = "upnp:/info"',
            kind="r4",
        )
    )
    declared = service.variables["Value"]

    assert (declared.initial, declared.minimum, declared.maximum) == (20.5, 10.5, 30.5)
    assert (declared.step, declared.minimum_interval, declared.minimum_delta) == (0.5, 0.25, 1.0)
    assert (declared.multicast, declared.level, declared.evented) == (True, "upnp:/info", True)


def test_a_variable_of_a_standard_keeps_what_the_file_does_not_change() -> None:
    service = only_service("""
        name = "Radio"
        [[services]]
        standard = "RenderingControl:1"
        service_id = "urn:a-b:serviceId:Sound"
        without = ["Brightness", "Sharpness"]
        [[services.variables]]
        name = "Volume"
        maximum = 31
        [[services.variables]]
        name = "PresetNameList"
        [[services.variables]]
        name = "X_Bass"
        type = "i2"
        evented = "LastChange"
    """)
    volume = service.variables["Volume"]

    assert service.service_id == "urn:a-b:serviceId:Sound"
    assert (volume.minimum, volume.maximum, volume.step) == (0, 31, 1)
    assert (volume.evented, volume.channel) == ("LastChange", "Master")
    assert service["PresetNameList"] == "FactoryDefaults"
    assert set(RenderingControl().variables) - set(service.variables) == {"Brightness", "Sharpness"}
    assert set(service.variables) - set(RenderingControl().variables) == {"X_Bass"}
    service.volume = 31  # the attribute of the class is the replaced variable
    with pytest.raises(ValueError, match="to 31"):
        service.volume = 32


def test_an_initial_value_of_the_standard_that_does_not_fit_any_more_is_dropped() -> None:
    radio = 'standard = "RenderingControl:1"'
    service = only_service(
        variable("minimum = 5", kind=None, service=radio).replace('"Value"', '"Volume"')
    )
    assert service["Volume"] == 5


def test_a_variable_of_the_standard_with_another_type_keeps_its_eventing() -> None:
    radio = 'standard = "RenderingControl:1"'
    document = variable("maximum = 1000", kind="ui4", service=radio)
    service = only_service(document.replace('"Value"', '"Volume"'))

    assert service.variables["Volume"].data_type.name == "ui4"
    assert service.variables["Volume"].evented == "LastChange"


BAD = {
    'name = "x': "it is not TOML: ",
    'name = "Any"\nname = "Other"': "it is not TOML: Cannot overwrite",
    "": "name: it is missing",
    'name = ""': "name: a device needs a friendly_name",
    "name = 5": "name: it is a string, not 5",
    "name = 1.5": "name: it is a string, not 1.5",
    'name = "Any"\nnmae = "x"': "nmae: there is no such key; was name meant?",
    'name = "Any"\nzzz = "x"': "zzz: there is no such key; there are: uda, name, type, udn",
    'name = "Any"\nuda = "3.0"': "uda: it is one of 1.0, 1.1, 2.0, not '3.0'",
    'name = "Any"\ntype = "Basic:1"': "type: 'Basic:1' is not the type of a device",
    'name = "Any"\nudn = "a b"': "udn: 'a b' is not a UDN",
    'name = "Any"\nmanufacturer = "\\u0001"': "manufacturer: ",
    'name = "Any"\nservices = 5': "services: it is an array of tables: write [[services]]",
    'name = "Any"\nservices = [5]': "services: it is an array of tables: write [[services]]",
    'name = "Any"\n[services]': "services: it is an array of tables: write [[services]]",
    'name = "Any"\n[[services]]\nstandard = "Dimming:1"\n[services.variables]': (
        "services[0].variables: it is an array of tables: write [[services.variables]] above each"
    ),
    'name = "Any"\n[[devices]]': "devices[0].name: it is missing",
    'name = "Any"\n[[devices]]\nname = "x"\nuda = "1.0"': "devices[0].uda: there is no such key",
    'name = "Any"\n[[services]]': "services[0].type: it is missing",
    'name = "Any"\n[[services]]\ntype = "x"': "services[0].type: 'x' is not the type of a service",
    'name = "Any"\n[[services]]\nstandard = "RenderingControl"': (
        "services[0].standard: 'RenderingControl' is none of the services that propchange "
        "declares: AVTransport:1,"
    ),
    'name = "Any"\n[[services]]\nstandard = "RenderingControl:1"\ntype = "urn:a-b:service:X:1"': (
        "services[0]: a service has standard or type, not both"
    ),
    'name = "Any"\n[[services]]\nstandard = "Dimming:1"\nwithout = ["RampTme"]': (
        "services[0].without: the standard has no variable RampTme; was RampTime meant?"
    ),
    'name = "Any"\n[[services]]\nstandard = "Dimming:1"\nwithout = "RampTime"': (
        "services[0].without: a list of names of variables, not 'RampTime'"
    ),
    'name = "Any"\n[[services]]\nstandard = "SwitchPower:1"\nwithout = ["Status"]': (
        "services[0]: without leaves out variables of actions that the standard requires: GetStatus"
    ),
    'name = "Any"\n[[services]]\nstandard = "SwitchPower:1"\nactions = "yes"': (
        "services[0].actions: it is true or false, not 'yes'"
    ),
    'name = "Any"\n[[services]]\nstandard = "SwitchPower:1"\nevent_path = "a?b"': (
        "services[0].event_path: 'a?b' cannot be the event_path"
    ),
    'name = "Any"\n[[services]]\ntype = "urn:a-b:service:X:1"\nservice_id = "a b"': (
        "services[0].service_id: 'a b' is not a serviceId"
    ),
    variable(kind=None): "services[0].variables[0].type: it is missing",
    variable(kind="ui3"): "services[0].variables[0].type: 'ui3' is no UPnP data type",
    variable("minimum = 300"): (
        "services[0].variables[0].minimum: 300 does not fit ui1, which takes an int from 0 to 255"
    ),
    variable("initial = 1.5"): "services[0].variables[0].initial: 1.5 does not fit ui1",
    variable('initial = "x"'): "services[0].variables[0].initial: the text 'x' does not fit ui1",
    variable("initial = true"): "services[0].variables[0].initial: True does not fit ui1",
    variable("initial = inf", kind="r4"): "services[0].variables[0].initial: inf does not fit r4",
    variable("initial = 40\nmaximum = 31"): (
        "services[0].variables[0].initial: 40 is not allowed, only values to 31"
    ),
    variable("minimum = 9\nmaximum = 8"): (
        "services[0].variables[0]: the minimum 9 is above the maximum 8"
    ),
    variable("step = 0"): "services[0].variables[0]: step is more than 0, not 0",
    variable('allowed = ["a"]'): "services[0].variables[0]: allowed is for the data type string",
    variable("allowed = [1]", kind="string"): "services[0].variables[0].allowed: 1 does not fit",
    variable('allowed = "a"', kind="string"): "services[0].variables[0]: allowed is a list of str",
    variable("evented = 1"): "services[0].variables[0].evented: it is true, false or",
    variable(
        'evented = "yes"'
    ): 'services[0].variables[0].evented: it is true, false or "LastChange"',
    variable("minimum_interval = 0"): "services[0].variables[0]: minimum_interval is a finite",
    variable("minimum_interval = 1.5\nevented = false"): (
        "services[0].variables[0]: it is not evented, so nothing can be moderated"
    ),
    variable('level = "upnp:/info"'): "services[0].variables[0]: a level is for variables with",
    variable('channel = "Master"'): "services[0].variables[0]: channels are for evented=",
    variable().replace('"Value"', '"a b"'): "services[0].variables[0].name: ",
    variable() + '\n[[services.variables]]\nname = "Value"\ntype = "ui1"': (
        "services[0].variables[1].name: the service has a variable Value already"
    ),
    variable('evented = "LastChange"')
    + '\n[[services.variables]]\nname = "LastChange"\ntype = "ui1"': (
        "services[0]: LastChange is a string, and evented"
    ),
    """
        name = "Any"
        [[services]]
        type = "urn:a-b:service:X:1"
        service_id = "same"
        [[devices]]
        name = "Inner"
        [[devices.services]]
        type = "urn:a-b:service:Y:1"
        service_id = "same"
    """: "two services have the serviceId same",
}


@pytest.mark.parametrize(("document", "problem"), BAD.items(), ids=range(len(BAD)))
def test_a_mistake_is_named_with_the_path_of_its_key(document: str, problem: str) -> None:
    (found,) = problems_of(document)
    assert found.startswith(problem)


def test_several_mistakes_are_reported_together() -> None:
    found = problems_of("""
        uda = "9"
        colour = "red"
        [[services]]
        standard = "Dimming:2"
        [[services]]
        type = "urn:a-b:service:X:1"
        [[services.variables]]
        name = "A"
        type = "ui1"
        minimum = 300
        maximum = -1
        [[services.variables]]
        type = "ui1"
        evnted = true
    """)
    assert [problem.partition(":")[0] for problem in found] == [
        "uda",
        "colour",
        "name",
        "services[0].standard",
        "services[1].variables[0].minimum",
        "services[1].variables[0].maximum",
        "services[1].variables[1].evnted",
        "services[1].variables[1].name",
    ]


def test_tables_that_are_nested_too_deep_are_refused() -> None:
    assert problems_of(f"name = {'[' * 5000}") == ("the tables are nested too deep",)
    embedded = "".join(f"[[{'.'.join(['devices'] * n)}]]\nname = 'x'\n" for n in range(1, 300))
    (problem,) = problems_of(f'name = "x"\n{embedded}')
    assert problem == "devices: they are embedded in each other more than 16 times"


@given(st.text(alphabet='[]{}="\n#.,abname services devices0123456789', max_size=60))
def test_any_text_is_a_device_or_a_bad_file(document: str) -> None:
    with contextlib.suppress(BadDeviceFile):
        assert isinstance(read_device_file(document), DeviceFile)


OWN = """
name = "Any"
[[services]]
type = "urn:example-org:service:Oven:1"
actions = true
[[services.variables]]
name = "Temperature"
type = "ui2"
maximum = 300
[[services.variables]]
name = "Door-State"
type = "string"
"""


def test_each_variable_of_an_own_service_has_a_set_and_a_get_action_if_wanted() -> None:
    oven = only_service(OWN)
    assert list(oven.actions) == [
        *("SetTemperature", "GetTemperature", "SetDoor-State", "GetDoor-State")
    ]
    (taken,) = oven.actions["SetTemperature"].arguments
    (given,) = oven.actions["GetTemperature"].arguments
    assert (taken.name, taken.direction) == ("Temperature", "in")
    assert (given.name, given.direction) == ("Temperature", "out")
    assert taken.variable is given.variable is oven.variables["Temperature"]

    oven._invoke_action("SetTemperature", {"Temperature": 200})
    assert oven["Temperature"] == oven._invoke_action("GetTemperature", {}) == 200
    oven._invoke_action("SetDoor-State", {"Door-State": "open"})
    assert oven._invoke_action("GetDoor-State", {}) == "open"
    assert list(only_service(OWN.replace("actions = true", "")).actions) == ["GetValues"]


def test_the_own_variable_of_a_standard_service_has_actions_too_if_wanted() -> None:
    service = only_service("""
        name = "Any"
        [[services]]
        standard = "SwitchPower:1"
        actions = true
        [[services.variables]]
        name = "X_Colour"
        type = "string"
    """)
    assert {"SetTarget", "GetStatus", "SetX_Colour", "GetX_Colour"} == set(service.actions) - {
        "GetTarget"
    }


def test_the_paths_can_be_chosen() -> None:
    service = only_service("""
        name = "Any"
        [[services]]
        standard = "SwitchPower:1"
        event_path = "/Lamp/Event"
        control_path = "Lamp/Control"
        scpd_path = "Lamp.xml"
    """)
    assert service._paths == {"event": "Lamp/Event", "control": "Lamp/Control", "scpd": "Lamp.xml"}


def test_the_page_has_the_keys_of_each_table_and_no_others() -> None:
    for heading, keys in (
        ("### The device", {"uda", *_DEVICE_KEYS}),
        ("### `[[services]]`", set(_SERVICE_KEYS)),
        ("### `[[services.variables]]`", set(_VARIABLE_KEYS)),
    ):
        section = PAGE.split(f"\n{heading}", 1)[1].split("\n##", 1)[0]
        cells = re.findall(r"(?m)^\| (`.*?) \|", section)
        named = re.findall(r"`(?:\[\[(?:services\.)?)?(\w+)(?:\]\])?`", " ".join(cells))
        assert sorted(named) == sorted(keys)


def test_the_example_of_the_page_is_a_device() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    device, uda = read_device_file(example)

    assert uda == "2.0"
    assert [each.service_type.split(":")[3] for each in device.services] == [
        "RenderingControl",
        "Thermometer",
    ]
    assert device.services[0]["Volume"] == 10


@pytest.mark.parametrize("kind", DATA_TYPES)
def test_each_data_type_can_be_declared(kind: str) -> None:
    assert only_service(variable(kind=kind)).variables["Value"].data_type.name == kind
