"""The names in topics: whatever a device calls itself, its services and its variables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.bridge.topics import PART_CHARACTERS, Topics, part, service_parts, udn_part
from propchange.upnp.description import ServiceDescription

NAMES = st.text(st.characters(exclude_categories=()), max_size=100) | st.sampled_from(
    ["", "availability", "Bridge", "a/b", "a+b", "#", "a\0b", "$SYS", "~", "x" * 65, "x" * 100]
)


def service(type: str, service_id: str) -> ServiceDescription:
    return ServiceDescription(type, service_id, "", "", "http://192.0.2.7/evt", "uuid:1")


@given(NAMES)
def test_no_name_leaves_its_level_or_is_a_wildcard_or_too_long(name: str) -> None:
    made = part(name)
    assert 0 < len(made) <= PART_CHARACTERS
    assert not set(made) & set("/+#\0 ")
    assert made[0] != "$"
    assert made.isprintable()
    made.encode()


@given(NAMES, NAMES)
def test_two_names_never_have_one_topic(one: str, other: str) -> None:
    assert (part(one) == part(other)) == (one == other)


def test_names_of_devices_that_are_well_formed_stay_as_they_are() -> None:
    assert udn_part("uuid:RINCON_B8E93712345601400") == "rincon_b8e93712345601400"
    assert udn_part("uuid:4d696e69-444c-164e-9d41-001ec92f0378").startswith("4d696e69-")
    assert part("Volume[0,LF]") == "Volume[0,LF]"


def test_a_device_cannot_take_a_topic_of_a_bridge_or_of_its_own_service() -> None:
    topics = Topics("attic")
    assert topics.availability(udn_part("uuid:bridge"), part("attic")) != topics.bridge_availability
    assert topics.variable("1", "Lamp", "availability") != topics.availability("1", "Lamp")


def test_services_with_one_short_name_have_different_topics() -> None:
    lamp = "urn:example-org:service:Lamp:"
    every = [
        service(f"{lamp}1", "urn:example-org:serviceId:Left"),
        service(f"{lamp}1", "urn:example-org:serviceId:Right"),
        service("urn:example-org:service:Fan:1", "urn:example-org:serviceId:Fan"),
    ]
    assert list(service_parts(every).values()) == ["Fan", "Left", "Right"]
    assert service_parts(every) == service_parts(every[:])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=8, unique=True))
def test_each_service_of_a_device_has_a_topic_of_its_own(names: list[tuple[str, str]]) -> None:
    every = [service(*each) for each in names]
    parts = service_parts(every)
    assert len(parts) == len(set(parts.values())) == len(every)
