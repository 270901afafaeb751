from __future__ import annotations

from typing import Any

import pytest

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.device import Device, normal_udn, place_device
from propchange.upnp.hosted_documents import DESCRIPTION_PATH
from propchange.upnp.service import Service

UDN = "uuid:4d696e69-444c-164e-9d41-001122334455"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4")


class Thermometer2(Service, type="urn:example-org:service:Thermometer2:1"):
    temperature = StateVariable("r4")


class Mute(Service, type="urn:example-org:service:Mute:1"):
    version = StateVariable("string", evented=False)


def placed(*services: Service) -> list[tuple[str, str]]:
    device = place_device(Device("Workbench", services=services), UDN)
    return [(service.service_id, service.segment) for service in device.services]


def test_a_device_has_its_services_and_embedded_devices_in_order() -> None:
    first, second, third = Thermometer(), Thermometer(), Mute()
    inner = Device("Inner", services=[second])
    root = Device("Outer", services=[first], devices=[inner, Device("Last", services=[third])])
    assert [device.friendly_name for device in root.all_devices()] == ["Outer", "Inner", "Last"]
    assert list(root.all_services()) == [first, second, third]
    assert repr(inner) == "<Device 'Inner' urn:schemas-upnp-org:device:Basic:1>"


@pytest.mark.parametrize("name", ["friendly_name", "manufacturer", "model_name"])
@pytest.mark.parametrize("empty", ["", " "])
def test_a_device_needs_the_texts_that_upnp_requires(name: str, empty: str) -> None:
    texts: dict[str, Any] = {"friendly_name": "x", name: empty}
    with pytest.raises(ValueError, match=f"a device needs a {name}"):
        Device(**texts)


def test_a_text_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="serial_number holds"):
        Device("x", serial_number="\0")
    wrong: Any = None
    with pytest.raises(TypeError, match="friendly_name must be a str"):
        Device(wrong)


def test_what_is_no_device_type_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the type of a device"):
        Device("x", type="urn:example-org:service:Thermometer:1")


@pytest.mark.parametrize("written", [UDN, UDN.upper(), UDN[5:]])
def test_a_udn_may_be_given_without_uuid_in_front(written: str) -> None:
    udn = Device("x", udn=written).udn
    assert udn is not None
    assert udn.lower() == UDN
    assert udn.startswith("uuid:")


@pytest.mark.parametrize("wrong", ["", "uuid:", "uuid:a b", "uuid:\r\n", "uuid:é"])
def test_a_udn_that_cannot_stand_in_a_header_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a UDN"):
        Device("x", udn=wrong)
    with pytest.raises(ValueError, match="is not a UDN"):
        normal_udn(wrong)


def test_a_service_or_a_device_cannot_be_in_a_tree_twice() -> None:
    thermometer = Thermometer()
    inner = Device("Inner", services=[thermometer])
    with pytest.raises(ValueError, match=r"<Thermometer .* is in the device 'Outer' twice"):
        Device("Outer", services=[thermometer], devices=[inner])
    with pytest.raises(ValueError, match=r"<Device 'Inner' .* twice"):
        Device("Outer", devices=[inner, inner])


def test_two_services_cannot_be_given_the_same_service_id() -> None:
    services = [Thermometer(id="urn:x:serviceId:T"), Mute(id="urn:x:serviceId:T")]
    with pytest.raises(ValueError, match="two services have the serviceId urn:x:serviceId:T"):
        Device("x", services=services)


def test_two_devices_cannot_be_given_the_same_udn() -> None:
    with pytest.raises(ValueError, match="two devices have the UDN"):
        Device("x", udn=UDN, devices=[Device("y", udn=UDN)])
    with pytest.raises(ValueError, match="has the UDN of the root"):
        place_device(Device("x", devices=[Device("y", udn=UDN)]), UDN)


@pytest.mark.clause("SUB-04")
def test_services_of_one_type_are_numbered() -> None:
    assert placed(Thermometer(), Thermometer(), Thermometer()) == [
        ("urn:example-org:serviceId:Thermometer", "Thermometer"),
        ("urn:example-org:serviceId:Thermometer2", "Thermometer2"),
        ("urn:example-org:serviceId:Thermometer3", "Thermometer3"),
    ]


@pytest.mark.clause("SUB-04")
def test_a_number_never_takes_the_id_of_another_service() -> None:
    given = Thermometer(id="urn:example-org:serviceId:Thermometer3")
    assert [
        service_id for service_id, _ in placed(Thermometer(), Thermometer(), Thermometer2())
    ] == [
        "urn:example-org:serviceId:Thermometer",
        "urn:example-org:serviceId:Thermometer3",
        "urn:example-org:serviceId:Thermometer2",
    ]
    assert [
        service_id for service_id, _ in placed(Thermometer(), Thermometer2(), Thermometer(), given)
    ] == [
        "urn:example-org:serviceId:Thermometer",
        "urn:example-org:serviceId:Thermometer2",
        "urn:example-org:serviceId:Thermometer4",
        "urn:example-org:serviceId:Thermometer3",
    ]


@pytest.mark.clause("SUB-04")
def test_services_of_different_vendors_and_one_name_have_different_paths() -> None:
    services = [Thermometer(id="urn:a:serviceId:T"), Thermometer(id="urn:b:serviceId:T")]
    assert placed(*services) == [("urn:a:serviceId:T", "T"), ("urn:b:serviceId:T", "T2")]


def test_a_path_has_no_character_that_means_something_in_a_url() -> None:
    services = [Thermometer(id="urn:a:serviceId:a/b?c"), Thermometer(id="urn:a:serviceId:..")]
    assert [segment for _, segment in placed(*services)] == ["a-b-c", "service"]


@pytest.mark.clause("SUB-04")
def test_the_numbers_go_on_through_embedded_devices() -> None:
    inner = Device("Inner", services=[Thermometer()])
    tree = place_device(Device("Outer", services=[Thermometer()], devices=[inner]), UDN)
    assert [service.segment for service in tree.all_services()] == ["Thermometer", "Thermometer2"]
    assert [service.udn for service in tree.all_services()] == [
        device.udn for device in tree.all_devices()
    ]


def test_the_paths_of_a_service() -> None:
    thermometer, mute = place_device(Device("x", services=[Thermometer(), Mute()]), UDN).services
    assert thermometer.scpd_path == "Thermometer/scpd.xml"
    assert thermometer.control_path == "Thermometer/control"
    assert thermometer.event_path == "Thermometer/event"
    assert mute.scpd_path == "Mute/scpd.xml"


@pytest.mark.clause("SUB-02")
def test_a_service_without_evented_variables_has_no_event_path() -> None:
    (mute,) = place_device(Device("x", services=[Mute()]), UDN).services
    assert mute.event_path == ""


class Queue(
    Service,
    type="urn:example-org:service:Queue:1",
    event_path="/Media/Queue/Event",
    control_path="Media/Queue/Control",
    scpd_path="xml/Queue1.xml",
):
    length = StateVariable("ui2")


def test_a_service_has_the_paths_of_its_class_or_of_its_constructor() -> None:
    class Long(Queue, event_path="Long/Event"):
        pass

    queues = [Queue(), Long(control_path="Long/Control", scpd_path="/Long.xml")]
    first, second = place_device(Device("x", services=queues), UDN).services
    assert first.paths == ("xml/Queue1.xml", "Media/Queue/Control", "Media/Queue/Event")
    assert second.paths == ("Long.xml", "Long/Control", "Long/Event")
    assert first.event_path == "Media/Queue/Event"


@pytest.mark.clause("SUB-02")
def test_a_path_makes_no_event_path_of_a_service_without_evented_variables() -> None:
    (mute,) = place_device(Device("x", services=[Mute(event_path="a")]), UDN).services
    assert (mute.event_path, mute.subscription_path) == ("", "a")


@pytest.mark.clause("SUB-04")
@pytest.mark.parametrize("given", ["Thermometer/event", "Thermometer/control"])
def test_a_default_path_gives_way_to_one_that_was_given(given: str) -> None:
    services = [Thermometer(), Queue(event_path=given)]
    first, second = place_device(Device("x", services=services), UDN).services
    assert first.segment == "Thermometer2"
    assert second.event_path == given
    (own,) = place_device(Device("x", services=[Thermometer(event_path=given)]), UDN).services
    assert len(set(own.paths)) == 3


@pytest.mark.clause("SUB-04")
@pytest.mark.parametrize(
    ("services", "owner"),
    [
        ([Queue(), Queue(id="urn:x:serviceId:Q2")], "<Queue urn:example-org:service:Queue:1>"),
        ([Queue(event_path="a", control_path="/a")], "<Queue urn:example-org:service:Queue:1>"),
        ([Queue(scpd_path=DESCRIPTION_PATH)], "the description of the device"),
    ],
)
def test_no_two_urls_of_a_device_are_given_one_path(services: list[Service], owner: str) -> None:
    inner = Device("Inner", services=services[1:])
    with pytest.raises(ValueError, match=f"_path='.*' of <Queue.*> is the path of {owner} already"):
        place_device(Device("x", services=services[:1], devices=[inner]), UDN)


def test_embedded_devices_without_a_udn_derive_one_that_stays() -> None:
    def tree() -> Device:
        deep = Device("Deep")
        return Device(
            "Outer",
            devices=[Device("A", devices=[deep]), Device("B"), Device("C", udn="uuid:given")],
        )

    first = [device.udn for device in place_device(tree(), UDN).all_devices()]
    again = [device.udn for device in place_device(tree(), UDN[5:]).all_devices()]
    other = [device.udn for device in place_device(tree(), "uuid:other").all_devices()]
    assert first == again
    assert first[0] == UDN
    assert first[4] == "uuid:given"
    assert len({*first, *other}) == 9
    assert all(udn.startswith("uuid:") for udn in first)


def test_a_class_where_an_instance_is_meant_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="Service is a class: give an instance of it"):
        Device("x", services=[Service])
    with pytest.raises(TypeError, match="Device is a class: give an instance of it"):
        Device("x", devices=[Device])


def test_one_service_where_a_list_is_meant_is_refused_with_the_form_of_the_list():
    with pytest.raises(TypeError, match=r"services is a list, such as services=\[…\], not <"):
        Device("x", services=Service(type="urn:example-org:service:Lamp:1"))
    with pytest.raises(TypeError, match="'lamp' is not a Service"):
        Device("x", services=["lamp"])
