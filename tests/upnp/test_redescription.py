"""A description that is read again: which service is which."""

from __future__ import annotations

import pytest

from propchange.errors import DescriptionError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.redescription import same_service

TYPE = "urn:x:service:Switch:1"


def service(
    event_path: str, *, id: str = "urn:x:serviceId:S", type: str = TYPE, port: int = 80
) -> ServiceDescription:
    url = f"http://192.0.2.7:{port}{event_path}" if event_path else ""
    return ServiceDescription(type, id, "", "", url, "uuid:1")


def description(*services: ServiceDescription, udn: str = "uuid:1") -> DeviceDescription:
    return DeviceDescription("http://192.0.2.7/d.xml", udn, "Strip", "", services=services)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (service("/2"), "http://192.0.2.7:81/2"),
        (service("/1", type="urn:x:service:Dimmer:1"), "http://192.0.2.7:81/3"),
        (service("/elsewhere"), "http://192.0.2.7:81/1"),
    ],
)
def test_of_several_services_with_one_service_id_the_likest_is_the_same(
    wanted: ServiceDescription, found: str
) -> None:
    again = description(
        service("/1", port=81),
        service("/2", port=81),
        service("/3", type="urn:x:service:Dimmer:1", port=81),
        udn="UUID:1",
    )
    assert same_service(again, wanted).event_url == found


def test_a_service_that_is_not_there_any_more_is_named() -> None:
    with pytest.raises(DescriptionError, match="no service B any more; there are: urn:x:service"):
        same_service(description(service("/1")), service("/1", id="B"))
    with pytest.raises(DescriptionError, match="Switch sends no events: its eventSubURL is empty"):
        same_service(description(service("")), service("/1"))
    with pytest.raises(DescriptionError, match="another device now: uuid:2, not uuid:1"):
        same_service(description(udn="uuid:2"), service("/1"))
