"""How the result of a probe connection is read."""

from __future__ import annotations

import errno
from ipaddress import ip_network

import pytest

from propchange.core.diagnosis.facts import (
    Facts,
    OwnProbes,
    Probe,
    Reach,
    failed_probe,
    with_probes,
    with_surroundings,
)
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint, Request

HERE = Endpoint("192.0.2.5", 9000)
PROBE = Probe("192.0.2.1:80", Reach.ACCEPTED)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ECONNREFUSED, "refuses connections"),
        (errno.ECONNRESET, "refuses connections (words)"),
        (errno.EHOSTUNREACH, "does not answer (words)"),
        (errno.ENETUNREACH, "cannot be reached (words)"),
        (None, "cannot be reached (words)"),
    ],
)
def test_an_error_of_the_system_says_who_is_there(number: int | None, told: str) -> None:
    assert str(failed_probe("192.0.2.1:80", number, "words")) == f"192.0.2.1:80 {told}"


def test_a_request_to_ourselves_is_known_by_its_target() -> None:
    probes = OwnProbes(iter("ab").__next__)
    first, second = probes.begin(), probes.begin()
    assert set(probes.targets) == {"/a", "/b"} == {first, second}
    assert probes.answer(Request("GET", first, ())).status == 200
    assert probes.has_come(first)
    assert not probes.has_come(second)
    probes.end(first)
    assert set(probes.targets) == {second}


def test_what_was_found_of_an_address_that_is_tried_no_more_counts_for_nothing() -> None:
    before = Facts(event_url="http://192.0.2.1/", status=Status.DEAF, advertised=HERE)
    after = Facts(event_url="http://192.0.2.1/", status=Status.DEAF)
    assert with_probes(before, before, PROBE, PROBE).self_connect is PROBE
    found = with_probes(before, after, PROBE, PROBE)
    assert (found.device_probe, found.self_connect) == (PROBE, None)


def test_the_surroundings_are_seen_from_where_everything_is_sent() -> None:
    facts = Facts(event_url="http://192.0.2.1/", status=Status.DEAF, device="192.0.2.1")
    own = (LocalAddress("192.0.2.5", 0, ip_network("192.0.2.0/24"), "eth0", 2),)

    def seen(facts: Facts, source: Endpoint | None) -> str | None:
        found = with_surroundings(
            facts,
            listening=[HERE],
            own=own,
            in_container=True,
            source=source,
            source_towards=lambda device: f"towards {device.host}",
        )
        assert (found.listening, found.own, found.in_container) == ((HERE,), own, True)
        return found.source

    assert seen(facts, None) == "towards 192.0.2.1"
    assert seen(facts, Endpoint("192.0.2.6", 0)) == "192.0.2.6"
    assert seen(Facts(event_url="http://a/", status=Status.DEAF), None) is None
