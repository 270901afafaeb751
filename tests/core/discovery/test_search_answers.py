"""Which searches a device answers: with what, when, and how much at most."""

from __future__ import annotations

from collections import Counter
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.discovery.search_answers import Target, answering_address, matching_targets
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from tests.core.discovery.announcing_device import (
    ANSWER_BYTES,
    LAN,
    LINK_LOCAL,
    PEER,
    RENDERER,
    SEARCH_BYTES,
    TARGETS,
    TRANSPORT,
    UDN,
    ULA,
    WIFI,
    AnnouncingDevice,
    address,
    many,
)


@pytest.fixture
def device() -> AnnouncingDevice:
    device = AnnouncingDevice(LAN)
    device.run(5)
    return device


# --- which ---


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("ssdp:all", list(TARGETS)),
        ("upnp:rootdevice", [TARGETS[0]]),
        (UDN, [TARGETS[1]]),
        (UDN.upper(), [Target(UDN.upper(), UDN)]),
        (RENDERER, [TARGETS[2]]),
        (
            "urn:schemas-upnp-org:device:MediaRenderer:1",
            [
                Target(
                    "urn:schemas-upnp-org:device:MediaRenderer:1",
                    f"{UDN}::urn:schemas-upnp-org:device:MediaRenderer:1",
                )
            ],
        ),
        ("urn:schemas-upnp-org:device:MediaRenderer:3", []),
        (TRANSPORT, [TARGETS[3]]),
        (
            "urn:schemas-upnp-org:service:AVTransport:2",
            [
                Target(
                    "urn:schemas-upnp-org:service:AVTransport:2",
                    f"{UDN}::urn:schemas-upnp-org:service:AVTransport:2",
                )
            ],
        ),
        ("urn:schemas-upnp-org:service:AVTransport:", []),
        ("urn:schemas-upnp-org:service:AVTransport:-1", []),
        ("urn:schemas-upnp-org:service:AVTransport", []),
        ("urn:schemas-upnp-org:service:AVTransport:" + "9" * 900, []),
        ("urn:example-org:device:MediaRenderer:1", []),
        ("MediaRenderer", []),
        ("AVTransport", []),
        ("uuid:", []),
        ("uuid:00000000-0000-0000-0000-00000000000b", []),
        ("upnp:event", []),
        ("ssdp:discover", []),
        ("*", []),
    ],
)
def test_what_fits_a_search_answers_with_the_target_that_was_asked_for(
    device: AnnouncingDevice, wanted: str, expected: list[Target]
) -> None:
    answers = device.search(wanted)
    assert [answer.target for answer in answers] == expected
    assert all(answer.to == PEER and answer.address == LAN for answer in answers)


def test_two_versions_of_a_type_answer_a_search_for_the_lower_one_once() -> None:
    both = [Target(f"urn:x:service:S:{n}", f"{UDN}::urn:x:service:S:{n}") for n in (1, 2)]
    assert matching_targets(both, "urn:x:service:S:1") == [both[0]]


# --- when ---


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
@pytest.mark.parametrize(("mx", "longest"), [(1, 1), (3, 3), (5, 5), (120, 5), (10**9, 5)])
@pytest.mark.parametrize("services", [1, 40])
def test_the_answers_come_at_a_random_time_within_mx_and_five_seconds(
    random: float, mx: int, longest: float, services: int
) -> None:
    device = AnnouncingDevice(LAN, targets=many(services), random=random)
    device.run(5)
    asked = device.now - 1_000
    answers = device.search("ssdp:all", mx)
    assert len(answers) == 3 + services
    times = [when - asked for when, message in device.sent if message.to is not None]
    assert max(times) <= longest * 0.81
    assert max(times) >= longest * 0.8 * random - 0.5
    assert max(Counter(round(when, 6) for when in times).values()) == 1


@pytest.mark.parametrize("mx", [None, 0, 3])
def test_a_unicast_search_is_answered_within_a_second_whatever_its_mx(
    device: AnnouncingDevice, mx: int | None
) -> None:
    asked = device.now - 1_000
    assert len(device.search("ssdp:all", mx, multicast=False)) == len(TARGETS)
    times = [when - asked for when, message in device.sent if message.to is not None]
    assert times[0] == 0
    assert max(times) < 0.6


def test_a_search_to_the_group_without_mx_is_not_answered(device: AnnouncingDevice) -> None:
    assert device.search("ssdp:all", None) == []


def test_the_same_search_within_its_mx_is_answered_once(device: AnnouncingDevice) -> None:
    for _ in range(3):
        device.hear("upnp:rootdevice", 2)
        device.run(0.2)
    device.hear("upnp:rootdevice", 2, PEER._replace(port=50_001))
    device.hear(UDN, 2)
    answers = [message for message in device.run(2) if message.to is not None]
    assert Counter((each.to.port, each.target.target) for each in answers if each.to) == {
        (50_000, "upnp:rootdevice"): 1,
        (50_001, "upnp:rootdevice"): 1,
        (50_000, UDN): 1,
    }
    assert len(device.search("upnp:rootdevice", 2)) == 1


def test_an_answer_carries_the_bootid_of_its_time_and_none_leaves_an_address_that_is_gone() -> None:
    device = AnnouncingDevice(LAN, WIFI)
    device.run(5)
    device.hear("upnp:rootdevice", 5)
    device.hear("upnp:rootdevice", 5, Endpoint("10.0.0.77", 50_000), own=[WIFI])
    device.become(LAN)
    answers = [message for message in device.run(6) if message.to is not None]
    assert [(answer.address, answer.boot_id) for answer in answers] == [(LAN, 8)]


def test_an_address_that_is_not_announced_yet_answers_nothing(device: AnnouncingDevice) -> None:
    peer = Endpoint("10.0.0.77", 50_000)
    assert device.search("ssdp:all", source=peer, own=[WIFI]) == []


# --- to whom ---


@pytest.mark.parametrize(
    ("source", "own", "expected"),
    [
        (PEER, [LAN], LAN),
        (Endpoint("192.168.1.5", 50_000), [LAN], LAN),  # a control point of this machine
        (Endpoint("192.168.2.77", 50_000), [LAN], None),
        (Endpoint("8.8.8.8", 50_000), [LAN], None),
        (Endpoint("192.168.1.255", 50_000), [LAN], None),
        (Endpoint("192.168.1.0", 50_000), [LAN], None),
        (Endpoint("239.255.255.250", 50_000), [LAN], None),
        (Endpoint("0.0.0.0", 50_000), [LAN], None),
        (Endpoint("127.0.0.1", 50_000), [LAN], None),
        (Endpoint("10.0.0.77", 50_000), [LAN, WIFI], WIFI),
        (Endpoint("10.1.1.1", 50_000), [address("10.1.1.0/31")], address("10.1.1.0/31")),
        (Endpoint("fe80::77", 50_000, 2), [LINK_LOCAL], LINK_LOCAL),
        (Endpoint("fe80::77", 50_000, 3), [LINK_LOCAL], None),
        (Endpoint("fe80::77", 50_000, 2), [ULA], None),
        (Endpoint("fd00::77", 50_000), [LINK_LOCAL, ULA], ULA),
        (Endpoint("fd01::77", 50_000), [LINK_LOCAL, ULA], None),
        (Endpoint("192.168.1.77", 50_000), [], None),
        (Endpoint("no address", 50_000), [LAN], None),
    ],
)
def test_a_source_on_the_link_is_answered_from_the_address_in_its_network(
    source: Endpoint, own: list[LocalAddress], expected: LocalAddress | None
) -> None:
    assert answering_address(own, source) == expected


@pytest.mark.parametrize("port", [0, 7, 19, 53, 123, 1_023])
def test_a_search_from_the_port_of_a_system_service_is_not_answered(
    device: AnnouncingDevice, port: int
) -> None:
    assert device.search("ssdp:all", source=PEER._replace(port=port)) == []


def test_a_search_from_port_1900_is_answered(device: AnnouncingDevice) -> None:
    assert device.search("ssdp:all", source=PEER._replace(port=1_900))


# --- how much ---


def bytes_out(device: AnnouncingDevice) -> int:
    return ANSWER_BYTES * sum(message.to is not None for _, message in device.sent)


def test_a_search_for_everything_on_a_device_with_fifty_services_is_answered_whole() -> None:
    device = AnnouncingDevice(LAN, targets=many(50))
    device.run(5)
    assert len(device.search("ssdp:all")) == 53
    ratio = bytes_out(device) / SEARCH_BYTES
    assert ratio <= device.announcements._limits.search_answer_ratio, f"ratio {ratio}"


@given(st.integers(1, 400), st.integers(20, 2_000), st.integers(1, 500))
def test_no_search_is_answered_with_more_bytes_than_the_ratio_allows(
    services: int, size: int, ratio: int
) -> None:
    device = AnnouncingDevice(LAN, targets=many(services), search_answer_ratio=ratio)
    device.run(5)
    answers = device.search("ssdp:all", size=size)
    assert len(answers) * ANSWER_BYTES <= ratio * size
    assert [each.target for each in answers] == list(many(services))[: len(answers)]


def flood(device: AnnouncingDevice, seconds: int, sources: Any, per_second: int = 1_000) -> int:
    """Searches that all differ. Returns the bytes that are sent meanwhile."""
    numbers = count()
    for _ in range(seconds * 10):
        for _ in range(per_second // 10):
            number = next(numbers)
            device.hear("ssdp:all", 1 + number % 5, sources(number))
        device.run(0.1)
    return bytes_out(device)


def test_a_flood_of_searches_from_one_source_is_answered_at_a_bounded_rate() -> None:
    device = AnnouncingDevice(LAN, targets=many(50))
    device.run(5)
    limits = device.announcements._limits
    sent = flood(device, 10, lambda n: PEER._replace(port=1_024 + n % 60_000))
    assert sent <= (
        limits.search_answer_bytes_per_source + 10 * limits.search_answer_rate_per_source
    )
    assert sent < 10_000 * SEARCH_BYTES  # less comes out than goes in
    other = Endpoint("192.168.1.78", 50_000)
    assert sum(each.to == other for each in device.search("ssdp:all", source=other)) == 53


def test_a_flood_of_searches_from_forged_sources_is_answered_at_a_bounded_rate() -> None:
    device = AnnouncingDevice(
        address("10.0.0.5/8"), targets=many(50), search_sources=64, waiting_search_answers=500
    )
    device.run(5)
    limits, own = device.announcements._limits, [address("10.0.0.5/8")]
    numbers = count()
    for _ in range(100):
        for _ in range(100):
            number = next(numbers)
            source = Endpoint(f"10.{number % 200}.{number // 200}.7", 50_000)
            device.hear("ssdp:all", 5, source, own=own)
        device.run(0.1)
        answers = device.announcements._answers
        assert len(answers._waiting) <= 500
        assert len(answers._sources) <= 64
        assert len(answers._answered) <= 64
    assert bytes_out(device) <= limits.search_answer_bytes + 10 * limits.search_answer_rate
    device.run(20)
    late = Endpoint("10.250.250.7", 50_000)
    assert len(device.search("ssdp:all", source=late, own=own)) == 53


def test_in_a_flood_the_device_is_announced_to_all_instead() -> None:
    """While answers are left out: each two seconds, so that who searches finds it within three."""
    targets = many(50)
    device = AnnouncingDevice(LAN, targets=targets)
    device.run(5)
    before = len(device.sent)
    flood(device, 20, lambda n: PEER._replace(port=1_024 + n % 60_000))
    device.run(10)
    alive = [message.target for _, message in device.sent[before:] if message.to is None]
    assert 9 <= len(alive) / len(targets) <= 12
    assert alive == list(targets) * (len(alive) // len(targets))
    begun = [
        at for at, each in device.sent[before:] if each.to is None and each.target == targets[0]
    ]
    assert all(later - earlier < 3 for earlier, later in pairwise(begun))


def test_targets_that_one_search_cannot_be_answered_with_are_announced() -> None:
    """A device with 300 services."""
    targets = many(300)
    device = AnnouncingDevice(LAN, targets=targets)
    device.run(5)
    device.hear("ssdp:all")
    assert {message.target for message in device.run(6)} == set(targets)


def test_a_search_that_waits_for_room_is_no_answer_and_the_device_is_announced() -> None:
    device = AnnouncingDevice(LAN, waiting_search_answers=0)
    device.run(5)
    device.hear("upnp:rootdevice")
    assert [message.to for message in device.run(2)] == [None] * 4


def test_during_the_first_sets_nothing_more_is_announced() -> None:
    device = AnnouncingDevice(LAN, waiting_search_answers=0)
    device.hear("upnp:rootdevice")
    assert len(device.run(5)) == 12
