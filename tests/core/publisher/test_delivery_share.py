"""A share of the delivery connections: its parts, their places and their turns."""

from __future__ import annotations

import pytest

from propchange.core.publisher.delivery_share import DeliveryShare, origin_of
from propchange.core.wire.messages import Endpoint

IPV4 = ["10.0.0.2", "10.0.0.3"]
NEIGHBOURS = ["fd00::1", "fd00::2"]
"""Two addresses of one prefix."""


def part_of(share: DeliveryShare[str], host: str, scope: int = 0) -> DeliveryShare[str]:
    return share.join(origin_of(Endpoint(host, 1, scope)))


def begin_all(share: DeliveryShare[str], parts: dict[str, DeliveryShare[str]]) -> list[str]:
    """Let each member begin whose turn comes, and return their hosts."""
    begun = []
    while (member := share.pop()) is not None:
        host = member.partition("/")[0]
        parts[host].occupy()
        begun.append(host)
    return begun


def filled(share: DeliveryShare[str], hosts: dict[str, int]) -> dict[str, DeliveryShare[str]]:
    parts = {}
    for host, members in hosts.items():
        parts[host] = part_of(share, host)
        for number in range(members):
            parts[host].add(f"{host}/{number}")
    return parts


def test_addresses_take_turns_however_many_endpoints_each_has() -> None:
    share: DeliveryShare[str] = DeliveryShare(6, (6, 6))
    parts = filled(share, {"10.0.0.2": 100, "10.0.0.3": 1, "fd00::1": 100})
    assert begin_all(share, parts) == [
        "10.0.0.2",
        "10.0.0.3",
        "fd00::1",
        "10.0.0.2",
        "fd00::1",
        "10.0.0.2",
    ]
    assert share.waits


def test_an_ipv6_prefix_takes_turns_like_one_ipv4_address_and_its_addresses_inside_it() -> None:
    share: DeliveryShare[str] = DeliveryShare(8, (8, 8))
    hosts = {f"fd00::{n}": 9 for n in range(1, 5)} | {"10.0.0.2": 9, "fd00:0:0:1::1": 9}
    assert begin_all(share, filled(share, hosts)) == [
        *("fd00::1", "10.0.0.2", "fd00:0:0:1::1"),
        *("fd00::2", "10.0.0.2", "fd00:0:0:1::1"),
        *("fd00::3", "10.0.0.2"),
    ]


@pytest.mark.parametrize(("hosts", "most"), [(IPV4, 4), (NEIGHBOURS, 3)])
def test_an_address_has_two_places_and_a_prefix_three(hosts: list[str], most: int) -> None:
    share: DeliveryShare[str] = DeliveryShare(9, (3, 2))
    parts = filled(share, dict.fromkeys(hosts, 9))
    begun = begin_all(share, parts)
    assert len(begun) == most
    assert max(begun.count(host) for host in hosts) == 2
    assert not parts[begun[0]].has_place
    parts[begun[0]].free()
    assert len(begin_all(share, parts)) == 1


def test_the_same_link_local_address_on_two_links_is_two_subscribers() -> None:
    share: DeliveryShare[str] = DeliveryShare(9, (9, 9))
    assert part_of(share, "fe80::1", 2) is not part_of(share, "fe80::1", 3)
    assert part_of(share, "fe80::1", 2) is part_of(share, "fe80::1", 2)


def test_an_ipv4_mapped_address_is_the_ipv4_address_and_a_name_is_itself() -> None:
    assert origin_of(Endpoint("::ffff:10.0.0.2", 1)) == origin_of(Endpoint("10.0.0.2", 2))
    assert origin_of(Endpoint("device.lan", 1)) == ("device.lan",)


def test_a_part_is_forgotten_with_its_last_endpoint_and_its_last_attempt() -> None:
    share: DeliveryShare[str] = DeliveryShare(9, (9, 9))
    part = part_of(share, "fd00::1")
    assert part_of(share, "fd00::1") is part
    part.occupy()
    part.leave()
    part.leave()
    assert part_of(share, "fd00::1") is part
    part.leave()
    assert share._parts
    part.free()
    assert not share._parts
    assert share.in_use == 0


def test_who_waits_no_more_has_no_turn() -> None:
    share: DeliveryShare[str] = DeliveryShare(9, (9, 9))
    part = part_of(share, "fd00::1")
    part.add("fd00::1/0")
    assert part.waits
    part.discard("fd00::1/0")
    assert not part.waits
    assert not share.waits
    assert share.pop() is None
