"""SUBSCRIBEs whose delivery URLs lead to somebody else, over sockets: what reaches the victim, and
what becomes of the other subscribers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lab.subscribers import exchange, subscribed
from propchange.core.limits import DEFAULT_LIMITS
from tests.driver.conftest import driven, pytest_generate_tests
from tests.hostile.publishers import Publisher, published
from tests.wire import Until

__all__ = ["driven", "pytest_generate_tests"]

ATTACKER = "127.66.0.1"
VICTIM = "127.99.0.1"


class Victim:
    """A host with listeners that take no event. It counts the connections and the requests."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.connections = 0
        self.requests = 0
        self.open: set[asyncio.Transport] = set()
        self.servers: list[asyncio.Server] = []

    @property
    def ports(self) -> list[int]:
        return [server.sockets[0].getsockname()[1] for server in self.servers]


class VictimConnection(asyncio.Protocol):
    """A connection to a victim."""

    transport: asyncio.Transport

    def __init__(self, victim: Victim) -> None:
        self.victim = victim

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.victim.connections += 1
        self.victim.open.add(transport)

    def data_received(self, data: bytes) -> None:
        self.victim.requests += data.count(b"NOTIFY ")
        match self.victim.kind:
            case "answers 404":
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            case "answers garbage":
                self.transport.write(b"SSH-2.0-banana\r\n")
            case "resets":
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.victim.open.discard(self.transport)


@contextlib.asynccontextmanager
async def victim_of_kind(kind: str, ports: int) -> AsyncIterator[Victim]:
    victim = Victim(kind)
    loop = asyncio.get_running_loop()
    for _ in range(ports):
        server = await loop.create_server(lambda: VictimConnection(victim), VICTIM, 0)
        victim.servers.append(server)
    try:
        yield victim
    finally:
        for server in victim.servers:
            server.close()
        for transport in tuple(victim.open):
            transport.abort()


async def forge(publisher: Publisher, *ports: int) -> None:
    """SUBSCRIBE as the attacker, with delivery URLs on the victim."""
    urls = "".join(f"<http://{VICTIM}:{port}/>" for port in ports)
    head = (
        f"SUBSCRIBE {publisher.path} HTTP/1.1\r\nHOST: 127.0.0.1:{publisher.port}\r\n"
        f"CALLBACK: {urls}\r\nNT: upnp:event\r\nTIMEOUT: Second-86400\r\n"
        "CONNECTION: close\r\n\r\n"
    )
    answer = await exchange(publisher.port, head.encode(), source=ATTACKER)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b"Second-1800\r\n" in answer


async def change_ten_times_a_second(publisher: Publisher, changes: int) -> None:
    for number in range(changes):
        publisher.service.mark = f"change {number}"
        await asyncio.sleep(0.1)


@pytest.mark.clause("CSX-05")
@pytest.mark.parametrize(
    ("kind", "subscribes"),
    [
        ("resets", 1),
        ("resets", 60),
        ("is silent", 60),
        ("answers 404", 60),
        ("answers garbage", 60),
    ],
)
async def test_a_victim_is_left_alone_however_many_subscribe_for_it(
    driven: Any, kind: str, subscribes: int
) -> None:
    changes = 15
    async with published(driven) as publisher, victim_of_kind(kind, 6) as victim:
        for _ in range(subscribes):
            await forge(publisher, *victim.ports)
        await change_ten_times_a_second(publisher, changes)
        # Before the first pause three attempts, or four at once; then after 1, 2 … s.
        per_port = DEFAULT_LIMITS.attempts_at_unproven_endpoint + 3
        assert victim.connections <= len(victim.ports) * per_port
        assert victim.requests <= len(victim.ports) * per_port
        assert victim.connections > 0


async def test_a_newcomer_is_served_beside_a_thousand_silent_endpoints_of_one_address(
    driven: Any, until: Until
) -> None:
    async with published(driven) as publisher, victim_of_kind("is silent", 170) as victim:
        ports = victim.ports
        for first in range(0, len(ports), 2):
            await forge(publisher, *ports[first : first + 2])
        await until(lambda: victim.connections >= DEFAULT_LIMITS.unproven_deliveries_per_address)
        begun = time.monotonic()
        async with subscribed(["good"] * 3, publisher.port, publisher.path) as subscribers:
            await until(lambda: all(each.received for each in subscribers.all))
            taken = time.monotonic() - begun
        # The silent ones hold their places for ``attempt_seconds``.
        assert taken < DEFAULT_LIMITS.attempt_seconds / 5
        assert victim.connections <= DEFAULT_LIMITS.unproven_deliveries_per_address
