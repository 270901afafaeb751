"""A device whose description is read again: which service is which."""

from __future__ import annotations

from typing import Any

from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.upnp.description import DeviceDescription, ServiceDescription

TYPE = "urn:x:service:Switch:1"


class Described(DescribedDevice[DescribedService]):
    _service_type = DescribedService


def service(
    event_path: str, *, id: str = "urn:x:serviceId:S", type: str = TYPE, port: int = 80
) -> ServiceDescription:
    url = f"http://192.0.2.7:{port}{event_path}" if event_path else ""
    return ServiceDescription(type, id, "", "", url, "uuid:1")


def description(*services: ServiceDescription, udn: str = "uuid:1") -> DeviceDescription:
    return DeviceDescription("http://192.0.2.7/d.xml", udn, "Strip", "", services=services)


def test_services_with_one_service_id_stay_the_objects_that_they_were() -> None:
    device: Any = Described(None, description(service("/1"), service("/2"), service("/3", id="B")))
    before = device.services
    device._relocate(
        description(*(service(path, port=81) for path in ("/1", "/2")), service("/3", id="B"))
    )
    assert device.services == before
    assert [each.event_url[-5:] for each in before] == [":81/1", ":81/2", ":80/3"]
    for each in before:
        assert device[each.unique_name] is each


def test_a_service_that_stands_in_the_document_twice_is_one_service() -> None:
    device = Described(None, description(service("/1"), service("/1")))
    assert len(device.services) == 1
    assert device["Switch"] is device.services[0]
    device._relocate(device.description)
    assert device["Switch"] is device.services[0]
