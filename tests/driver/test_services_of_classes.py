"""``device[Thermometer]``: which service of a device a class stands for."""

from __future__ import annotations

from typing import Any

import pytest

from propchange.asyncio.remote import RemoteDevice as AsyncioDevice
from propchange.twisted.remote import RemoteDevice as TwistedDevice
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.service import Service
from propchange.upnp.standard import SwitchPower


class Thermometer(Service, type="urn:example-org:service:Thermometer:2"):
    pass


class SmartThermometer(Thermometer):
    pass


class Newest(Service, type="urn:example-org:service:Thermometer:3"):
    pass


class Untyped(Service):
    pass


def offered(*types: str, embedded: tuple[str, ...] = ()) -> DeviceDescription:
    def services(types: tuple[str, ...], udn: str) -> tuple[ServiceDescription, ...]:
        return tuple(
            ServiceDescription(each, f"urn:x:serviceId:S{number}", "", "", f"http://h/{each}", udn)
            for number, each in enumerate(types)
        )

    inner = DeviceDescription(
        "http://h/d", "uuid:2", "In", "", services=services(embedded, "uuid:2")
    )
    return DeviceDescription(
        "http://h/d", "uuid:1", "Bench", "", services=services(types, "uuid:1"), devices=(inner,)
    )


@pytest.fixture(params=[AsyncioDevice, TwistedDevice])
def device_of(request: pytest.FixtureRequest) -> Any:
    return lambda *types, **more: request.param(None, offered(*types, **more))


OTHERS = ("urn:example-org:service:Barometer:2", "urn:other-org:service:Thermometer:2", "junk")


@pytest.mark.parametrize("version", [2, 3, 10])
@pytest.mark.parametrize("inside", [False, True])
def test_the_service_has_the_type_of_the_class_or_a_later_version(
    device_of: Any, version: int, inside: bool
) -> None:
    wanted = f"urn:example-org:service:Thermometer:{version}"
    device = device_of(*OTHERS, embedded=(wanted,)) if inside else device_of(*OTHERS, wanted)
    service = device[Thermometer]
    assert service.service_type == wanted
    assert service.description is device[wanted].description
    assert Thermometer in device
    assert device[SmartThermometer].description is service.description


def test_a_class_gives_one_object_that_stays_when_the_device_moves(device_of: Any) -> None:
    device = device_of("urn:example-org:service:Thermometer:2")
    plain, typed = device["Thermometer"], device[Thermometer]
    assert device[Thermometer] is typed
    assert plain.typed(Thermometer) is typed
    assert typed.typed(Thermometer) is typed
    assert device[SmartThermometer] is not typed
    moved = offered("urn:example-org:service:Thermometer:2")
    device._relocate(moved)
    assert device[Thermometer] is typed
    assert typed.description is plain.description is moved.services[0]


def test_a_missing_service_names_those_that_are_there(device_of: Any) -> None:
    device = device_of(*OTHERS)
    with pytest.raises(LookupError) as raised:
        device[Thermometer]
    assert str(raised.value) == (
        "Bench has no service urn:example-org:service:Thermometer:2 for the class Thermometer; "
        "there are: Barometer, Thermometer, S2"
    )
    assert Thermometer not in device


def test_an_earlier_version_is_said(device_of: Any) -> None:
    device = device_of("urn:example-org:service:Thermometer:2")
    with pytest.raises(LookupError) as raised:
        device[Newest]
    assert str(raised.value) == (
        "the class Newest is for urn:example-org:service:Thermometer:3 or a later version; "
        "Bench has urn:example-org:service:Thermometer:2, which needs a class of that version"
    )
    assert Newest not in device


def test_of_several_services_one_is_taken_by_its_name(device_of: Any) -> None:
    device = device_of(*["urn:schemas-upnp-org:service:SwitchPower:1"] * 2)
    with pytest.raises(LookupError) as raised:
        device[SwitchPower]
    assert str(raised.value) == (
        "Bench has 2 services for the class SwitchPower; take one of them with "
        "device['uuid:1/urn:x:serviceId:S0'].typed(SwitchPower); they are: "
        "uuid:1/urn:x:serviceId:S0, uuid:1/urn:x:serviceId:S1"
    )
    assert SwitchPower in device
    second = device["uuid:1/urn:x:serviceId:S1"].typed(SwitchPower)
    assert second.service_id == "urn:x:serviceId:S1"
    assert [each.service_id for each in device.services_named("SwitchPower")] == [
        "urn:x:serviceId:S0",
        "urn:x:serviceId:S1",
    ]


def test_a_service_of_another_type_cannot_be_read_by_the_class(device_of: Any) -> None:
    device = device_of("urn:example-org:service:Thermometer:2")
    for wanted in (Newest, SwitchPower):
        with pytest.raises(LookupError, match=f"the class {wanted.__name__} is for urn:"):
            device["Thermometer"].typed(wanted)


@pytest.mark.parametrize("wanted", [Service, Untyped, int, 5, None, Thermometer()])
def test_what_has_no_service_type_is_a_type_error(device_of: Any, wanted: object) -> None:
    device = device_of("urn:example-org:service:Thermometer:2")
    with pytest.raises(TypeError, match=r"a service is found by|has no service type"):
        device[wanted]
    with pytest.raises(TypeError):
        device["Thermometer"].typed(wanted)
