"""The names of the services of a description: each tells its service from all others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.upnp.description import ServiceDescription
from propchange.upnp.service_names import ServiceNames

_WORDS = st.sampled_from(["A", "B", "a", "2"])


@st.composite
def services(draw: st.DrawFn) -> list[ServiceDescription]:
    """Services of a device and of its embedded devices. Their types and serviceIds are few, as by a
    careless author; the pairs of UDN and serviceId, or the event URLs, differ."""
    made: list[ServiceDescription] = []
    for number in range(draw(st.integers(1, 6))):
        kind, id_ = draw(_WORDS), draw(_WORDS)
        made.append(
            ServiceDescription(
                draw(st.sampled_from([f"urn:x:service:{kind}:1", kind, ""])) or "urn:x",
                draw(st.sampled_from([f"urn:x:serviceId:{id_}", id_, ""])),
                "",
                "",
                f"http://192.0.2.7/{number}",
                draw(st.sampled_from(["uuid:1", "uuid:2", "UUID:1", ""])),
            )
        )
    return made


@given(services())
def test_each_service_is_found_by_its_short_name_and_by_the_name_that_tells_it_apart(
    made: list[ServiceDescription],
) -> None:
    names = ServiceNames(made)
    for service in made:
        assert names.named(names.short[service]) == (service,)
        assert names.named(names.telling(service)) == (service,)
    assert len(set(names.short.values())) == len(made)


@given(services(), _WORDS)
def test_a_name_finds_the_same_service_in_any_order_of_the_document(
    made: list[ServiceDescription], name: str
) -> None:
    there = set(ServiceNames(made).named(name))
    assert set(ServiceNames(reversed(made)).named(name)) == there


def test_services_without_any_difference_but_their_scpd_have_the_same_name() -> None:
    one, other = (
        ServiceDescription("urn:x", "id", scpd, "", event, "uuid:1")
        for scpd, event in (("a", ""), ("b", ""))
    )
    names = ServiceNames((one, other))
    assert names.short == {one: "uuid:1/id", other: "uuid:1/id"}
    assert names.telling(one) == "uuid:1/id"
    assert names.named("uuid:1/id") == (one, other)
