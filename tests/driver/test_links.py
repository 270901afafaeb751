"""The links that discovery listens on, with interfaces that the test defines."""

from __future__ import annotations

import asyncio
import errno
import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import ifaddr
import pytest

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.discovery.advertisement import Advertisement
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind, LocalAddress, OnLink, interface_kind
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint
from propchange.driver import carriers
from propchange.driver import links as driver_links
from propchange.driver.links import Links
from propchange.driver.machine import Interfaces
from propchange.driver.multicast_sockets import joined_socket, sending_socket
from propchange.upnp.ssdp import IPV4_GROUP


def adapter(name: str, index: int, *hosts: str) -> ifaddr.Adapter:
    return ifaddr.Adapter(
        name,
        name,
        [
            ifaddr.IP((host, 0, index if host.startswith("fe80") else 0), 64, name)
            if ":" in host
            else ifaddr.IP(host, 24, name)
            for host in hosts
        ],
        index,
    )


def links_of(runtime: Any, read: Any, received: Any = lambda *_: None) -> Links:
    """The links of a machine whose adapters ``read`` gives."""
    interfaces = Interfaces(
        clock=lambda: 0.0,
        adapters=read,
        source_towards=lambda _: None,
        kind_of=lambda *_: InterfaceKind.ORDINARY,
    )
    return Links(runtime, interfaces, received, SubscriberPolicy(), DEFAULT_LIMITS)


def spoken_from(*adapters: ifaddr.Adapter) -> list[str]:
    """The addresses that a control point on a machine with these adapters would search from."""
    links = links_of(None, lambda: adapters)
    return [address.host for address in links.wanted(links._interfaces.addresses()).values()]


@pytest.mark.clause("V6-10")
def test_what_goes_to_the_link_leaves_from_there_and_what_goes_to_the_site_does_not() -> None:
    lan = adapter("eth0", 2, "192.168.1.5", "2001:db8::5", "fd00::5", "fe80::5", "fe80::6")
    assert spoken_from(lan) == ["192.168.1.5", "2001:db8::5", "fe80::5"]


@pytest.mark.clause("V6-10")
def test_without_a_link_local_address_only_the_site_is_spoken_to_over_ipv6() -> None:
    lan = adapter("eth0", 2, "192.168.1.5", "fd00::5", "2001:db8::5")
    assert spoken_from(lan, adapter("lo", 1, "::1")) == ["192.168.1.5", "fd00::5"]
    assert spoken_from(adapter("eth0", 2, "192.168.1.5")) == ["192.168.1.5"]


def test_a_site_is_spoken_to_from_an_address_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_links, "temporary_addresses", lambda: frozenset({"fd00::5"}))
    assert spoken_from(adapter("eth0", 2, "fd00::5", "fd00::6")) == ["fd00::6"]
    assert spoken_from(adapter("eth0", 2, "fd00::5")) == ["fd00::5"]


def test_the_cap_on_links_leaves_out_the_bridges_of_containers_first() -> None:
    adapters = [adapter("docker0", 2, "172.17.0.1"), adapter("eth0", 3, "192.168.1.5")]
    interfaces = Interfaces(
        adapters=lambda: adapters,
        kind_of=lambda name, _: interface_kind(name),
    )
    limits = replace(DEFAULT_LIMITS, discovery_links=1)
    links = Links(None, interfaces, lambda *_: None, SubscriberPolicy(), limits)  # type: ignore[arg-type] # nothing is opened
    (address,) = links.wanted(interfaces.addresses()).values()
    assert address.host == "192.168.1.5"


async def test_an_interface_that_appears_is_listened_on_and_one_that_goes_is_not(
    driven: Any,
) -> None:
    adapters: list[Any] = []

    def read() -> list[Any]:
        if None in adapters:
            raise OSError("the system says no")
        return adapters

    links = links_of(driven.runtime, read)
    links.start(None)
    assert links.addresses == ()
    adapters.append(adapter("lo", 1, "127.0.0.1"))
    links.look()
    links.look()
    assert (links.addresses, links.interfaces) == (("127.0.0.1",), ("lo",))
    # An address that is none any more when it is to be listened on, and a better interface.
    gone = adapter("gone0", 9, "192.0.2.77")
    adapters.append(gone)
    links.look()
    assert links.addresses == ("127.0.0.1",)
    adapters.remove(gone)
    links.look()
    adapters.append(None)
    links.look()
    assert links.addresses == ("127.0.0.1",)
    links.close()
    assert links.addresses == ()


async def test_a_quiet_control_point_searches_for_all_devices_when_it_is_asked_for_them(
    driven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = links_of(driven.runtime, lambda: [adapter("lo", 1, "127.0.0.1")])
    searched: list[str] = []
    monkeypatch.setattr(links, "search", lambda target, on=None: searched.append(target))
    links.start(None, quiet=True)
    assert (links.addresses, searched) == (("127.0.0.1",), [])
    for _ in range(2):
        links.search_all()
        assert searched == ["ssdp:all"]
    links.close()


async def test_a_quiet_control_point_does_not_warn_where_discovery_is_not_possible(
    driven: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for quiet in (True, False):
        links = links_of(driven.runtime, lambda: [adapter("gone0", 9, "192.0.2.77")])
        links.start(None, quiet=quiet)
        links.close()
        assert bool(caplog.records) is not quiet


async def test_an_ipv6_address_that_cannot_be_used_yet_is_warned_of_when_that_lasts(
    driven: Any, caplog: pytest.LogCaptureFixture
) -> None:
    links = links_of(driven.runtime, lambda: [adapter("gone0", 9_999, "fe80::77")])
    links.start(None)
    for _ in range(6):
        links.look()
    assert caplog.messages == []
    for _ in range(6):
        links.look()
    links.close()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("no discovery on gone0 (IPv6")


async def test_a_control_point_searches_again_where_a_carrier_is_back(
    driven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: set[str] = set()
    monkeypatch.setattr(carriers, "has_carrier", running.intersection)
    links = links_of(driven.runtime, lambda: [adapter("lo", 1, "127.0.0.1")])
    searched: list[str] = []
    monkeypatch.setattr(links, "search", lambda target, on=None: searched.append(target))
    links.start(None)
    links.look()
    assert searched == ["ssdp:all"]
    running.add("lo")
    links.look()
    links.look()
    assert searched == ["ssdp:all"] * 2
    links.close()


async def test_devices_are_searched_where_another_program_has_the_port_for_itself(
    driven: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "the port is taken")

    monkeypatch.setattr(driver_links, "joined_socket", refuse)
    links = links_of(driven.runtime, lambda: [adapter("lo", 1, "127.0.0.1")])
    searched: list[str] = []
    monkeypatch.setattr(links, "search", lambda target, on=None: searched.append(target))
    links.start(None)
    for _ in range(3):
        links.look()
    assert (links.addresses, searched) == (("127.0.0.1",), ["ssdp:all"])
    assert caplog.text.count("no announcements are heard on lo (IPv4, 239.255.255.250): ") == 1
    monkeypatch.setattr(driver_links, "joined_socket", joined_socket)
    links.look()
    assert links._sockets["lo", 1, IPV4_GROUP].listening is not None
    links.close()


# --- over multicast on loopback ---

LOOPBACK = LocalAddress("127.0.0.1", 0, ip_network("127.0.0.0/8"), "lo", 1)
GROUP = ("239.255.255.250", 1900)
UDN = f"uuid:{uuid.uuid4()}"  # other processes run these tests at the same time
ALIVE = (
    f"NOTIFY * HTTP/1.1\r\nNT: {UDN}\r\nNTS: ssdp:alive\r\nUSN: {UDN}\r\n"
    "LOCATION: http://127.0.0.1:1/\r\n\r\n"
).encode()


class Heard:
    """The links of a machine with loopback alone, and what they have received."""

    def __init__(self, runtime: Any) -> None:
        self.advertisements: list[tuple[Any, Endpoint, Advertisement, Any]] = []
        self.links = links_of(runtime, lambda: [adapter("lo", 1, "127.0.0.1")], self._receive)
        self.links.start(None)

    def _receive(
        self, link: Any, source: Endpoint, advertisement: Advertisement, on_link: Any
    ) -> None:
        if advertisement.udn == UDN:
            self.advertisements.append((link, source, advertisement, on_link))


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Another program on the same link."""
    with sending_socket(LOOPBACK) as peer:
        yield peer


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A third program, which hears what the group is sent."""
    with joined_socket(IPV4_GROUP, LOOPBACK) as listening:
        yield listening


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_what_the_group_is_sent_is_received(
    driven: Any, peer: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="propchange.discovery")
    heard = Heard(driven.runtime)
    peer.sendto(ALIVE, GROUP)
    peer.sendto(b"what is this", GROUP)
    await until(lambda: heard.advertisements and "what is this" in caplog.text)
    link, source, _, on_link = heard.advertisements[0]
    assert (link, source) == (("lo", 1, IPV4_GROUP), Endpoint(*peer.getsockname()))
    assert on_link == (OnLink(ip_network("127.0.0.0/24")),)
    heard.links.close()
    heard.links.close()
    peer.sendto(ALIVE, GROUP)
    await asyncio.sleep(0.05)
    assert len(heard.advertisements) == 1


@pytest.mark.slow
async def test_a_search_is_sent_twice_and_answered_to_its_own_port(
    driven: Any, peer: socket.socket, listening: socket.socket
) -> None:
    heard = Heard(driven.runtime)
    heard.links.search(UDN)
    loop = asyncio.get_running_loop()
    searches: list[Any] = []
    while len(searches) < 2:
        data, source = await loop.sock_recvfrom(listening, 65_536)
        if data.startswith(b"M-SEARCH") and UDN.encode() in data:
            searches.append((data, source))
    first, second = searches
    assert first == second
    assert first[1][1] != 1900
    peer.sendto(b"HTTP/1.1 200 OK\r\nST" + ALIVE.partition(b"\nNT")[2], first[1])
    await until(lambda: heard.advertisements)
    heard.links.search(UDN)
    with pytest.raises(ValueError, match="searched for"):
        heard.links.search("a\nb")
    heard.links.close()  # the repetition goes with it


async def test_a_group_that_cannot_be_joined_leaves_no_socket(
    driven: Any, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def refuse(group: Endpoint, address: LocalAddress) -> socket.socket:
        raise OSError("no such group")

    monkeypatch.setattr(driver_links, "joined_socket", refuse)
    heard = Heard(driven.runtime)
    assert heard.links.addresses == ()
    heard.links.close()
    assert not recwarn.list


@pytest.mark.parametrize(("scope", "heard"), [(2, True), (0, True), (3, False)])
def test_a_datagram_of_another_link_is_not_heard_on_this_one(scope: int, heard: bool) -> None:
    received: list[Endpoint] = []
    links = links_of(None, list, lambda link, source, *_: received.append(source))
    address = LocalAddress("fe80::2", 2, ip_network("fe80::/64"), "eth0", 2)
    source = Endpoint("fe80::1" if scope else "fd00::1", 1900, scope)
    links._take(address, ALIVE, source)
    assert received == [source] * heard


def test_a_link_local_address_is_shown_with_the_name_of_its_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, name = socket.if_nameindex()[0]
    local = LocalAddress("fe80::2", index, ip_network("fe80::/64"), name, index)
    links = links_of(None, list)
    monkeypatch.setattr(links, "_sockets", {None: SimpleNamespace(address=local)})
    assert links.addresses == (f"fe80::2%{name}",)


@pytest.mark.parametrize(("zone", "name"), [("%eth1", "eth1"), ("%3", "eth1"), ("%2", "eth0")])
def test_of_two_interfaces_with_one_link_local_address_the_zone_tells(
    zone: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = [adapter("eth0", 2, "fe80::2"), adapter("eth1", 3, "fe80::2")]
    links = links_of(None, lambda: adapters)
    monkeypatch.setattr(links, "_host", f"fe80::2{zone}")
    wanted = links.wanted(links._interfaces.addresses()).values()
    assert [address.interface for address in wanted] == [name]


@pytest.mark.parametrize(
    ("source", "heard"),
    [("fd00::9", True), ("fd77::9", True), ("2a00:1::9", True), ("2a00:2::9", False)],
)
def test_of_a_site_no_address_of_the_internet_is_heard_that_is_not_on_the_link(
    source: str, heard: bool
) -> None:
    received: list[Endpoint] = []
    lan = adapter("eth0", 2, "fe80::5", "fd00::5", "2a00:1::5")
    links = links_of(None, lambda: [lan], lambda link, source, *_: received.append(source))
    address = LocalAddress("fd00::5", 0, ip_network("fd00::/64"), "eth0", 2)
    links._take(address, ALIVE, Endpoint(source, 1900))
    assert received == [Endpoint(source, 1900)] * heard


class WithoutReaders(asyncio.SelectorEventLoop):
    """Like the loop of Windows, a loop that reads datagrams by a coroutine alone."""

    def add_reader(self, *_: Any) -> Any:
        raise NotImplementedError


async def turns_of_a_flood(runtime: Any) -> int:
    """The most datagrams of a flood on one socket that one turn of the loop reads."""
    received: list[bytes] = []
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    for _ in range(100):
        bound.sendto(b"x", bound.getsockname())
    datagrams = runtime.datagrams(bound, lambda data, _: received.append(data))
    most = 0
    while len(received) < 100:
        before = len(received)
        await asyncio.sleep(0)
        most = max(most, len(received) - before)
    datagrams.close()
    await asyncio.sleep(0)
    return most


async def test_a_flood_does_not_keep_the_rest_waiting(driven: Any) -> None:
    assert await turns_of_a_flood(driven.runtime) <= 16


@pytest.mark.parametrize("loop_factory", [WithoutReaders])
async def test_a_loop_without_readers_reads_datagrams(loop_factory: Any) -> None:
    assert await turns_of_a_flood(AsyncioRuntime()) <= 16
