"""This machine: its clock, its addresses, the kinds of its interfaces."""

from __future__ import annotations

import re
import socket
import time
from ipaddress import ip_network
from pathlib import Path

import ifaddr
import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind, LocalAddress, OnLink, interface_kind
from propchange.core.wire.messages import Endpoint
from propchange.driver import machine as own_machine
from propchange.driver.machine import (
    LOOK_AGAIN_SECONDS,
    LOOKS_AT_ONCE,
    REFRESH_SECONDS,
    Interfaces,
    free_port,
    in_container,
    kind_of,
    random_token,
    seconds_to_next_look,
    source_towards,
    temporary_addresses,
)
from propchange.errors import ConnectionFailed


def interface(
    sysfs: Path, name: str, index: int, *, link: int | None = None, kind: int = 1
) -> Path:
    of_it = sysfs / name
    of_it.mkdir()
    (of_it / "ifindex").write_text(f"{index}\n")
    (of_it / "iflink").write_text(f"{index if link is None else link}\n")
    (of_it / "type").write_text(f"{kind}\n")
    return of_it


def test_an_interface_is_what_the_system_says(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", 2)
    interface(tmp_path, "inside", 3, link=9)
    (interface(tmp_path, "vlan7", 4, link=2) / "lower_eth0").mkdir()
    (interface(tmp_path, "docker0", 5) / "bridge").mkdir()
    interface(tmp_path, "office", 6, kind=65_534)
    interface(tmp_path, "lo", 1, kind=772)

    kinds = {
        name: kind_of(name, index, sysfs=tmp_path)
        for name, index in (
            ("eth0", 2),
            ("inside", 3),
            ("vlan7", 4),
            ("docker0", 5),
            ("office", 6),
            ("lo", 1),
        )
    }
    assert kinds == {
        "eth0": InterfaceKind.ORDINARY,
        "inside": InterfaceKind.VIRTUAL,
        "vlan7": InterfaceKind.ORDINARY,
        "docker0": InterfaceKind.BRIDGE,
        "office": InterfaceKind.TUNNEL,
        "lo": InterfaceKind.LOOPBACK,
    }


def test_another_namespace_s_interface_of_the_same_name_says_nothing(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", 2, link=9)

    (interface(tmp_path, "wg1", 4) / "iflink").write_text("odd")
    assert kind_of("eth0", 3, sysfs=tmp_path) is InterfaceKind.ORDINARY
    assert kind_of("wg1", 4, sysfs=tmp_path) is InterfaceKind.TUNNEL
    assert kind_of("wg0", 3, sysfs=tmp_path) is InterfaceKind.TUNNEL


def test_a_container_leaves_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / ".dockerenv"
    monkeypatch.setattr(own_machine, "_CONTAINER_MARKS", (str(mark),))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert not in_container()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert in_container()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    mark.touch()
    assert in_container()


def test_the_address_that_the_system_would_send_from_is_found() -> None:
    assert source_towards(Endpoint("127.0.0.1", 80)) == "127.0.0.1"
    assert source_towards(Endpoint("::1", 0)) == "::1"
    assert source_towards(Endpoint("fe80::1", 80, 99_999)) is None


def test_the_port_that_is_connected_from_is_free() -> None:
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family) as sock:
            sock.bind((host, free_port(host)))


def test_this_machine_has_addresses() -> None:
    interfaces = Interfaces()
    hosts = {address.host for address in interfaces.addresses()}
    assert "127.0.0.1" in hosts
    assert interfaces.default_address() in hosts
    assert OnLink(ip_network("127.0.0.0/8"), 0) in interfaces.on_link_for(Endpoint("127.0.0.1", 1))


@pytest.mark.parametrize("scope", [9_999, 1])
def test_a_link_local_address_is_gone_with_its_interface(scope: int) -> None:
    """The number of the interface is that of none, or of another one than that of the address."""
    assert not own_machine.has_address(Endpoint("fe80::1:2:3", 0, scope))


def test_the_clock_never_goes_back() -> None:
    readings = [own_machine.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has CLOCK_BOOTTIME")
def test_the_clock_counts_the_time_that_the_machine_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= own_machine.monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_such_a_clock_the_monotonic_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.delattr(time, "CLOCK_MONOTONIC", raising=False)
    assert own_machine._choose_clock() is time.monotonic


# --- addresses, with interfaces that the test defines ---


def adapter(name: str, index: int | None, *ips: tuple[str, int]) -> ifaddr.Adapter:
    return ifaddr.Adapter(
        name,
        name,
        [
            ifaddr.IP(
                (host, 0, (index or 0) if host.startswith("fe80") else 0) if ":" in host else host,
                prefix,
                name,
            )
            for host, prefix in ips
        ],
        index,
    )


LOOPBACK = adapter("lo", 1, ("127.0.0.1", 8), ("::1", 128))
ETHERNET = adapter("eth0", 2, ("192.168.1.5", 24), ("fd00::5", 64), ("fe80::5", 64))
WIRELESS = adapter("wlan0", 3, ("10.0.0.7", 8), ("fe80::5", 64))
ALIAS = adapter("eth0:1", 2, ("172.16.0.9", 16))


class Machine:
    """Adapters and routes that the test sets."""

    def __init__(self, *adapters: ifaddr.Adapter) -> None:
        self.adapters = adapters
        self.now = 0.0
        self.reads = 0
        self.sources: dict[str, str] = {}
        self.interfaces = Interfaces(
            clock=lambda: self.now,
            adapters=self.read,
            source_towards=lambda endpoint: self.sources.get(endpoint.host),
            kind_of=lambda name, index: interface_kind(name),
        )

    def read(self) -> tuple[ifaddr.Adapter, ...]:
        self.reads += 1
        return self.adapters

    def on_link_for(self, host: str, scope: int = 0) -> set[tuple[str, int]]:
        links = self.interfaces.on_link_for(Endpoint(host, 1234, scope))
        assert all(isinstance(link, OnLink) for link in links)
        return {(str(link.network), link.scope) for link in links}


def test_on_link_is_what_the_interface_of_the_address_is_on() -> None:
    machine = Machine(LOOPBACK, ETHERNET, WIRELESS)
    wanted = {("192.168.1.0/24", 0), ("fd00::/64", 2), ("fe80::/64", 2)}
    assert machine.on_link_for("192.168.1.5") == wanted
    assert machine.on_link_for("fd00:0:0::5") == wanted
    assert machine.on_link_for("127.0.0.1") == {("127.0.0.0/8", 0), ("::1/128", 1)}


def test_a_link_local_address_is_found_by_its_scope() -> None:
    machine = Machine(ETHERNET, WIRELESS)
    assert ("10.0.0.0/8", 0) in machine.on_link_for("fe80::5", 3)
    assert ("192.168.1.0/24", 0) in machine.on_link_for("fe80::5", 2)
    assert machine.on_link_for("fe80::5", 9) == set()


def test_every_loopback_address_belongs_to_the_loopback_interface() -> None:
    assert ("127.0.0.0/8", 0) in Machine(LOOPBACK).on_link_for("127.3.2.1")


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        (Endpoint("192.168.1.9", 5), Endpoint("192.168.1.5", 0)),
        (Endpoint("10.1.2.3", 5), Endpoint("10.0.0.7", 0)),
        (Endpoint("10.0.0.7", 5), Endpoint("10.0.0.7", 0)),
        (Endpoint("127.0.0.1", 5), Endpoint("127.0.0.1", 0)),
        (Endpoint("fd00::9", 5), Endpoint("fd00::5", 0)),
        (Endpoint("fe80::9", 5, 3), Endpoint("fe80::5", 0, 3)),
        (Endpoint("fe80::9", 5), None),  # it may be on either link
        (Endpoint("203.0.113.1", 5), None),
        (Endpoint("2001:db8::1", 5), None),
    ],
)
def test_the_address_on_the_network_of_a_peer_is_known(
    peer: Endpoint, own: Endpoint | None
) -> None:
    assert Machine(LOOPBACK, ETHERNET, WIRELESS).interfaces.own_towards(peer) == own


def test_of_two_networks_with_a_peer_the_narrower_one_counts() -> None:
    narrow = adapter("eth1", 4, ("10.0.1.1", 24))
    for adapters in ((WIRELESS, narrow), (narrow, WIRELESS)):
        interfaces = Machine(*adapters).interfaces
        assert interfaces.own_towards(Endpoint("10.0.1.9", 5)) == Endpoint("10.0.1.1", 0)
        assert interfaces.own_towards(Endpoint("10.0.2.9", 5)) == Endpoint("10.0.0.7", 0)


def test_a_link_local_peer_of_the_only_link_needs_no_zone() -> None:
    own = Machine(LOOPBACK, ETHERNET).interfaces.own_towards(Endpoint("fe80::9", 5))
    assert own == Endpoint("fe80::5", 0, 2)


def test_an_alias_is_on_the_same_link() -> None:
    machine = Machine(ETHERNET, ALIAS)
    assert ("172.16.0.0/16", 0) in machine.on_link_for("192.168.1.5")
    assert ("192.168.1.0/24", 0) in machine.on_link_for("172.16.0.9")


def test_interfaces_without_a_number_are_told_apart_by_name() -> None:
    machine = Machine(
        adapter("a", None, ("10.0.0.1", 8), ("fe80::1", 64)), adapter("b", None, ("172.16.0.1", 12))
    )
    assert machine.on_link_for("10.0.0.1") == {("10.0.0.0/8", 0), ("fe80::/64", 0)}


def test_nothing_is_on_link_for_an_address_that_is_not_ours() -> None:
    assert Machine(LOOPBACK, ETHERNET).on_link_for("192.168.1.6") == set()


def test_addresses_are_read_again_after_five_seconds() -> None:
    machine = Machine(ETHERNET, WIRELESS)
    for _ in range(3):
        assert ("10.0.0.0/8", 0) in machine.on_link_for("10.0.0.7")
    assert machine.reads == 1
    machine.adapters = (ETHERNET,)
    machine.now = REFRESH_SECONDS - 0.1
    assert ("10.0.0.0/8", 0) in machine.on_link_for("10.0.0.7")
    assert "10.0.0.7" in machine.interfaces.own_hosts()
    machine.now = REFRESH_SECONDS
    assert machine.on_link_for("10.0.0.7") == set()
    assert "10.0.0.7" not in machine.interfaces.own_hosts()
    assert machine.reads == 2


def test_a_request_to_a_new_address_makes_the_addresses_be_read_at_once() -> None:
    machine = Machine(ETHERNET)
    assert machine.on_link_for("192.168.1.5")
    machine.adapters = (ETHERNET, WIRELESS)
    assert ("10.0.0.0/8", 0) in machine.on_link_for("10.0.0.7")
    assert machine.reads == 2


def test_a_link_local_end_without_scope_is_that_of_the_one_interface_that_has_it() -> None:
    """The system gives no scope if the peer is not link-local."""
    other = adapter("eth1", 9, ("fe80::9", 64), ("fd09::9", 64))
    interfaces = Machine(ETHERNET, other).interfaces
    assert OnLink(ip_network("fd09::/64"), 9) in interfaces.on_link_for(Endpoint("fe80::9", 80))
    assert Machine(ETHERNET, WIRELESS).interfaces.on_link_for(Endpoint("fe80::5", 80)) == ()


def test_each_of_several_addresses_that_come_one_after_another_is_known_at_once() -> None:
    machine = Machine(ETHERNET)
    for number in range(1, 6):
        new = adapter("eth1", 9, *((f"10.{each}.0.7", 16) for each in range(1, number + 1)))
        machine.adapters = (ETHERNET, new)
        if number % 2:  # a request to the new address
            found = machine.interfaces.on_link_for(Endpoint(f"10.{number}.0.7", 80))
        else:  # one to an address that is known, which names the new prefix
            found = machine.interfaces.on_link_now(Endpoint("10.1.0.7", 80))
        assert OnLink(ip_network(f"10.{number}.0.0/16"), 0) in found


def test_requests_to_unknown_addresses_decide_not_how_often_the_addresses_are_read() -> None:
    machine = Machine(ETHERNET)
    for number in range(1_000):
        machine.now = number * 0.001
        assert machine.on_link_for(f"10.0.{number % 7}.7") == set()
    assert machine.reads <= 1 + LOOKS_AT_ONCE + 1.0 / LOOK_AGAIN_SECONDS


def test_addresses_say_what_their_interface_is() -> None:
    found = Machine(ETHERNET).interfaces.addresses()
    assert found[0] == LocalAddress("192.168.1.5", 0, ip_network("192.168.1.0/24"), "eth0", 2)
    assert found[2].endpoint == Endpoint("fe80::5", 0, 2)


@pytest.mark.parametrize(
    ("sources", "adapters", "chosen"),
    [
        ({"239.255.255.250": "10.0.0.7"}, (LOOPBACK, ETHERNET, WIRELESS), "10.0.0.7"),
        ({"192.0.2.1": "10.0.0.7"}, (LOOPBACK, ETHERNET, WIRELESS), "10.0.0.7"),
        ({"239.255.255.250": "9.9.9.9"}, (LOOPBACK, ETHERNET), "192.168.1.5"),
        ({}, (LOOPBACK, ETHERNET), "192.168.1.5"),
        ({}, (LOOPBACK, adapter("e", 2, ("169.254.3.4", 16), ("fd00::5", 64))), "fd00::5"),
        ({}, (LOOPBACK, adapter("e", 2, ("169.254.3.4", 16), ("fe80::5", 64))), "169.254.3.4"),
        ({}, (LOOPBACK, adapter("e", 2, ("fe80::5", 64))), "127.0.0.1"),
        ({}, (adapter("lo", 1, ("::1", 128)), adapter("e", 2, ("fe80::5", 64))), "::1"),
        ({}, (), "127.0.0.1"),
    ],
    ids=["ssdp", "route", "not-ours", "ipv4", "ula", "auto-ip", "loopback", "ipv6", "none"],
)
def test_the_default_address_is_the_one_that_peers_can_best_reach(
    sources: dict[str, str], adapters: tuple[ifaddr.Adapter, ...], chosen: str
) -> None:
    machine = Machine(*adapters)
    machine.sources.update(sources)
    assert machine.interfaces.default_address() == chosen


def test_the_name_of_an_interface_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(9, "tun0")])
    host_of = Machine(LOOPBACK, ETHERNET).interfaces.host_of
    assert host_of("eth0") is None
    assert host_of("tun0") is None  # it has no address
    assert host_of("192.168.1.5") == "192.168.1.5"
    assert host_of("localhost") == "localhost"
    with pytest.raises(ConnectionFailed, match="no interface 'eth1'; there are: eth0, lo, tun0"):
        host_of("eth1")


def test_a_link_local_address_without_a_scope_is_that_of_the_one_interface_that_has_it() -> None:
    """So the system shows the end of a connection whose peer is not link-local."""
    two = (adapter("e", 2, ("fe80::5", 64)), adapter("f", 3, ("fe80::6", 64), ("10.0.0.7", 8)))
    assert ("10.0.0.0/8", 0) in Machine(*two).on_link_for("fe80::6")
    assert Machine(*two).on_link_for("fe80::7") == set()
    both = (*two, adapter("g", 4, ("fe80::6", 64)))
    assert Machine(*both).on_link_for("fe80::6") == set()


def test_addresses_that_cannot_be_read_now_are_those_that_were_read_before() -> None:
    """Reading them takes a file descriptor, and a publisher must judge requests without one too."""
    now = [0.0]
    fails = [False]

    def adapters() -> list[ifaddr.Adapter]:
        if fails[0]:
            raise OSError(24, "Too many open files")
        return list(ifaddr.get_adapters())

    interfaces = Interfaces(clock=lambda: now[0], adapters=adapters)
    before = interfaces.addresses()
    assert before
    fails[0] = True
    now[0] += REFRESH_SECONDS
    assert interfaces.addresses() == before
    with pytest.raises(OSError, match="Too many"):
        interfaces.refresh()


def test_a_machine_with_many_addresses_reads_them_less_often() -> None:
    assert seconds_to_next_look(0.0, DEFAULT_LIMITS) == DEFAULT_LIMITS.link_seconds
    assert seconds_to_next_look(0.3, DEFAULT_LIMITS) == pytest.approx(10)


def test_an_address_of_the_privacy_extensions_is_not_to_last(tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "fd770000000000000000000000000001 02 40 00 80     eth0\n"
        "fd77000000000000abcdef0123456789 02 40 00 01     eth0\n"
        "fd770000000000000000000000000002 02 40 00 a0     eth0\n"
        "fe80000000000000000000fffe007701 02 40 20 80     eth0\n"
    )
    assert temporary_addresses(table=table) == {"fd77::abcd:ef01:2345:6789", "fd77::2"}
    table.write_text("something else\n")
    assert temporary_addresses(table=table) == frozenset()
    assert temporary_addresses(table=tmp_path / "none") == frozenset()
    temporary_addresses()


def test_a_token_is_long_enough_that_nobody_can_guess_it() -> None:
    tokens = {random_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch("[A-Za-z0-9_-]{22}", token) for token in tokens)
