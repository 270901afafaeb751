"""Which addresses of this machine can be a callback, and in which order they are tried."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from propchange.core.local_addresses import LocalAddress, interface_kind
from propchange.core.subscriber.callback_address import Sources, is_own, usable_sources
from propchange.core.wire.messages import Endpoint


def local(text: str, interface: str = "eth0", *, scope: int = 0) -> LocalAddress:
    address = ip_interface(text)
    kind = interface_kind(interface)
    return LocalAddress(str(address.ip), scope, address.network, interface, scope or 1, kind)


ADDRESSES = (
    local("127.0.0.1/8", "lo"),
    local("172.17.0.1/16", "docker0"),
    local("192.168.1.5/24"),
    local("10.8.0.2/24", "tun0"),
    local("::1/128", "lo"),
    local("fe80::5/64", scope=2),
    local("fe80::9/64", "wlan0", scope=3),
    local("2001:db8:1::5/64"),
    local("fd00::5/64"),
)


@pytest.mark.parametrize(
    ("device", "usable"),
    [
        (Endpoint("192.168.1.20", 80), ["192.168.1.5", "10.8.0.2", "172.17.0.1"]),
        (Endpoint("10.8.0.7", 80), ["10.8.0.2", "192.168.1.5", "172.17.0.1"]),
        (Endpoint("8.8.8.8", 80), ["192.168.1.5", "10.8.0.2", "172.17.0.1"]),
        (Endpoint("127.0.0.1", 80), ["127.0.0.1"]),
        (Endpoint("::1", 80), ["::1"]),
        (Endpoint("fe80::20", 80, 3), ["fe80::9", "2001:db8:1::5", "fd00::5"]),
        (Endpoint("fe80::20", 80, 7), ["2001:db8:1::5", "fd00::5"]),
        (Endpoint("fd00::20", 80), ["fd00::5", "2001:db8:1::5"]),
    ],
)
def test_what_could_reach_a_device_is_of_its_family_and_its_own_network_comes_first(
    device, usable
) -> None:
    assert [source.host for source in usable_sources(device, ADDRESSES)] == usable


def test_the_scope_of_a_link_local_address_is_kept() -> None:
    source, *_ = usable_sources(Endpoint("fe80::20", 80, 3), ADDRESSES)
    assert source == Endpoint("fe80::9", 0, 3) == ADDRESSES[6].endpoint


@pytest.mark.parametrize(
    ("source", "held"),
    [
        (Endpoint("192.168.1.5", 0), True),
        (Endpoint("192.168.1.6", 0), False),
        (Endpoint("fe80::5", 0, 2), True),
        (Endpoint("fe80::5", 0, 3), False),
        (Endpoint("127.0.0.2", 0), True),
        (Endpoint("::1", 0), True),
    ],
)
def test_an_address_is_held_while_an_interface_has_it_and_loopback_always(source, held) -> None:
    assert is_own(source, ADDRESSES) is held


A, B, C = (Endpoint(f"10.0.0.{number}", 0) for number in (1, 2, 3))


def tried(sources: Sources, usable: list[Endpoint], times: int) -> list[Endpoint | None]:
    """What is bound to, when nothing ever comes and the system would take A."""
    seen = []
    for _ in range(times):
        seen.append(sources.bound)
        sources.tried(sources.bound or A)
        sources.move_on(usable)
    return seen


def test_first_all_addresses_are_tried_then_the_systems_choice_every_other_time() -> None:
    sources = Sources()
    assert tried(sources, [A, B, C], 9) == [None, B, C, None, B, None, C, None, B]
    assert sources.rounds == 4


@pytest.mark.parametrize("usable", [[], [A]])
def test_where_there_is_no_other_address_the_systems_choice_is_all(usable) -> None:
    sources = Sources()
    assert not sources.has_others([])
    assert tried(sources, usable, 4) == [None] * 4
    assert sources.rounds == 4
    assert not sources.has_others(usable)


def test_what_has_worked_is_preferred_and_the_others_come_after_it() -> None:
    sources = Sources()
    tried(sources, [A, B, C], 1)
    assert sources.bound == B
    sources.worked()
    assert (sources.bound, sources.rounds) == (B, 0)
    assert tried(sources, [A, B, C], 5) == [B, A, C, None, B]


def test_an_address_of_which_nothing_is_known_is_not_taken_for_the_systems_choice() -> None:
    sources = Sources()
    sources.move_on([])
    assert (sources.bound, sources.rounds) == (None, 1)
    assert sources.has_others([A])
