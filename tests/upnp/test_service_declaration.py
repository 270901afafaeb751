from __future__ import annotations

import pytest

from propchange.upnp.service import Service
from propchange.upnp.service_declaration import check_path, default_service_id, is_misspelt


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
    assert not service._has_own_id


@pytest.mark.parametrize("path", ["a", "/a", "MediaRenderer/AVTransport/Event", "a.b~c/D_1/x,y=z"])
def test_a_path_may_be_chosen(path: str) -> None:
    assert check_path(path, "event") == path.removeprefix("/")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "a/", "//a", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/...", "a?b", "a#b",
        "a b", "a%2e", "http://h/a", "a\\b", "\u00e4", "a\n", "a&b", '"', "<", "a" * 600,
    ],
)  # fmt: skip
def test_what_is_no_path_of_a_url_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be the event_path: it is a path such as"):
        check_path(path, "event")


def test_a_path_is_a_text() -> None:
    with pytest.raises(TypeError, match="scpd_path is a str such as 'Light/scpd', not 3"):
        check_path(3, "scpd")
