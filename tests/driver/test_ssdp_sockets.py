"""The sockets of one link, over multicast on loopback."""

from __future__ import annotations

import asyncio
import socket
import sys
import uuid
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.discovery.advertisement import Advertisement
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint
from propchange.driver.links import Link, LinkSockets, ssdp_socket

LOOPBACK = LocalAddress("127.0.0.1", 0, ip_network("127.0.0.0/8"), "lo", 1)
GONE = LocalAddress("192.0.2.77", 0, ip_network("192.0.2.0/24"), "gone0", 9)
GONE_V6 = LocalAddress("fe80::77", 9_999, ip_network("fe80::/64"), "gone0", 9_999)
GROUP = ("239.255.255.250", 1900)
UDN = f"uuid:{uuid.uuid4()}"  # other processes run these tests at the same time
ALIVE = (
    f"NOTIFY * HTTP/1.1\r\nNT: {UDN}\r\nNTS: ssdp:alive\r\nUSN: {UDN}\r\n"
    "LOCATION: http://127.0.0.1:1/\r\n\r\n"
).encode()


class Heard:
    """The sockets of loopback, and what they have received."""

    def __init__(self) -> None:
        self.advertisements: list[tuple[LocalAddress, Endpoint, Advertisement]] = []

    def open(self, runtime: Any, address: LocalAddress = LOOPBACK) -> LinkSockets:
        return LinkSockets(
            runtime,
            address,
            self._receive,
            SubscriberPolicy(user_agent="Linux/6 UPnP/1.1 test/1"),
            DEFAULT_LIMITS,
        )

    def _receive(
        self, address: LocalAddress, source: Endpoint, advertisement: Advertisement
    ) -> None:
        if advertisement.udn == UDN:
            self.advertisements.append((address, source, advertisement))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Another program on the same link."""
    with ssdp_socket(LOOPBACK, listening=True) as peer:
        yield peer


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_what_the_group_is_sent_is_received(
    driven: Any, heard: Heard, peer: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="propchange.discovery")
    sockets = heard.open(driven.runtime)
    peer.sendto(ALIVE, GROUP)
    peer.sendto(b"what is this", GROUP)
    await until(lambda: heard.advertisements and "what is this" in caplog.text)
    address, source, _ = heard.advertisements[0]
    assert (Link.of(address), source) == (Link("lo", 1, 4), Endpoint("127.0.0.1", 1900))
    sockets.close()
    sockets.close()
    peer.sendto(ALIVE, GROUP)
    await asyncio.sleep(0.05)
    assert len(heard.advertisements) == 1


async def test_a_search_is_sent_twice_and_answered_to_its_own_port(
    driven: Any, heard: Heard, peer: socket.socket
) -> None:
    sockets = heard.open(driven.runtime)
    sockets.search(UDN)
    loop = asyncio.get_running_loop()
    searches: list[Any] = []
    while len(searches) < 2:
        data, source = await loop.sock_recvfrom(peer, 65_536)
        if data.startswith(b"M-SEARCH") and UDN.encode() in data:
            searches.append((data, source))
    first, second = searches
    assert first == second
    assert first[1][1] != 1900
    peer.sendto(b"HTTP/1.1 200 OK\r\nST" + ALIVE.partition(b"\nNT")[2], first[1])
    await until(lambda: heard.advertisements)
    sockets.search(UDN)
    sockets.close()  # the repetition goes with it
    with pytest.raises(ValueError, match="searched for"):
        sockets.search("a\nb")


@pytest.mark.parametrize("address", [GONE, GONE_V6])
async def test_an_address_that_has_gone_leaves_no_socket(
    driven: Any, heard: Heard, address: LocalAddress, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(OSError, match=r"."):
        heard.open(driven.runtime, address)
    with pytest.raises(OSError, match=r"."):
        ssdp_socket(address, listening=True)
    assert not recwarn.list


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the option")
def test_another_links_datagrams_stay_there(peer: socket.socket) -> None:
    assert peer.getsockopt(socket.IPPROTO_IP, 49) == 0


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
