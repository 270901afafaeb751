from __future__ import annotations

import pytest

from propchange.upnp.service import Service
from propchange.upnp.service_declaration import default_service_id, is_misspelt


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("temprature", "temperature"),
        ("tempperature", "temperature"),
        ("temperatur", "temperature"),
        ("tempearture", "temperature"),
        ("temperatire", "temperature"),
        ("Temperature", "temperature"),
        ("currentTrack", "current_track"),
        ("currenttrack", "current_track"),
        ("alrm", "alarm"),
        ("alram", "alarm"),
    ],
)
def test_a_misspelt_name_is_known(name: str, known: str) -> None:
    assert is_misspelt(name, known)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("temperatures", "temperature"),
        ("old_temperature", "temperature"),
        ("temperature_unit", "temperature"),
        ("alarms", "alarm"),
        ("node", "mode"),
        ("stage", "state"),
        ("level2", "level1"),
        ("level1", "level"),
        ("level", "level1"),
        ("target_off", "target_on"),
        ("min_level", "max_level"),
        ("room", "temperature"),
    ],
)
def test_a_name_of_its_own_is_no_misspelt_one(name: str, known: str) -> None:
    assert not is_misspelt(name, known)


@pytest.mark.parametrize(
    ("service_type", "service_id"),
    [
        (
            "urn:schemas-upnp-org:service:AVTransport:2",
            "urn:upnp-org:serviceId:AVTransport",
        ),
        ("urn:example-org:service:Thermometer:1", "urn:example-org:serviceId:Thermometer"),
        (
            "urn:microsoft.com:service:X_MS_MediaReceiverRegistrar:1",
            "urn:microsoft.com:serviceId:X_MS_MediaReceiverRegistrar",
        ),
    ],
)
def test_the_service_id_follows_from_the_type(service_type: str, service_id: str) -> None:
    assert default_service_id(service_type) == service_id
    service = Service(type=service_type)
    assert service.service_id == service_id
    assert not service.has_own_id
