"""How bytes leave on a Twisted reactor: at once, in order and whole."""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from propchange.cohen3 import EventServer
from propchange.twisted import Site as OwnSite
from propchange.twisted.runtime import Stream
from tests.wire import Until

BODY = (
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    b"<e:property><Volume>30</Volume></e:property></e:propertyset>"
)
NOTIFY = (
    b"NOTIFY /events HTTP/1.1\r\nHOST: 127.0.0.1:80\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
    b"SID: uuid:one\r\nSEQ: 1\r\nCONTENT-LENGTH: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class Ends:
    """A connection between ``peer``, a plain socket, and ``protocol`` of Twisted."""

    def __init__(self, reactor: Any, protocol: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.socket()
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            self.peer.connect(listening.getsockname())
            accepted, client = listening.accept()
        # Small, so that a peer that does not read is soon noticed.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        self.peer.setblocking(False)
        self.protocol = protocol
        self.calls: list[str] = []
        self.transport: Any = cast(Any, Server)(accepted, protocol, client, None, 1, reactor)
        protocol.makeConnection(self.transport)

    def read(self, count: int = 65_536) -> bytes:
        """What the peer can read now, without a turn of the reactor."""
        try:
            return self.peer.recv(count)
        except BlockingIOError:
            return b""


class Recorded:
    """A connection of the driver that notes which of its callbacks are called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


@contextlib.contextmanager
def running_reactor() -> Iterator[Any]:
    reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
    yield reactor
    reactor.waker.connectionLost(None)


@contextlib.asynccontextmanager
async def stream_to_a_peer() -> AsyncIterator[Ends]:
    with running_reactor() as reactor:
        connection = Recorded()
        ends = Ends(reactor, Stream(cast(Any, connection)))
        ends.calls = connection.calls
        yield ends
        ends.protocol.abort()
        ends.peer.close()
        await asyncio.sleep(0.01)


async def test_bytes_leave_before_the_next_turn_of_the_reactor() -> None:
    async with stream_to_a_peer() as ends:
        ends.protocol.write(b"one")
        ends.protocol.write(b"two")
        assert ends.read() == b"onetwo"
        assert ends.protocol.unwritten() == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
async def test_bytes_arrive_whole_and_in_order_however_the_peer_reads(
    seed: int, until: Until
) -> None:
    chance = random.Random(seed)
    sent, read = bytearray(), bytearray()
    async with stream_to_a_peer() as ends:
        for _ in range(60):
            data = chance.randbytes(chance.choice((1, 300, 5_000, 70_000)))
            # Bytes that others write by the transport itself keep their place too.
            (ends.transport if chance.random() < 0.1 else ends.protocol).write(data)
            sent += data
            if chance.random() < 0.3:
                read += ends.read(chance.randrange(1, 50_000))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        assert ends.protocol.unwritten() > 0
        assert "pause_writing" in ends.calls

        def all_read() -> bool:
            nonlocal read
            read += ends.read(4_000_000)
            return len(read) >= len(sent)

        await until(all_read)
        assert read == sent
        await until(lambda: ends.protocol.unwritten() == 0)
        assert "resume_writing" in ends.calls


async def test_a_write_to_a_peer_that_has_reset_ends_the_connection_in_a_later_turn(
    until: Until,
) -> None:
    async with stream_to_a_peer() as ends:
        at_once = struct.pack("ii", 1, 0)
        ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        ends.peer.close()
        for _ in range(3):
            ends.protocol.write(b"lost")
        assert ends.calls == []  # none inside of a write
        await until(lambda: "connection_lost" in ends.calls)
        ends.protocol.write(b"lost")


async def test_what_is_written_to_an_aborted_connection_does_not_leave() -> None:
    async with stream_to_a_peer() as ends:
        ends.protocol.abort()
        ends.protocol.write(b"late")
        assert ends.read() == b""


async def test_a_connection_without_unwritten_bytes_ends_although_its_peer_does_not_read(
    until: Until,
) -> None:
    async with stream_to_a_peer() as ends:
        while select.select([], [ends.transport], [], 0.1)[1]:  # the system has room for a while
            ends.protocol.write(bytes(1_000))
            await asyncio.sleep(0)
        assert ends.protocol.unwritten() == 0
        ends.protocol.close()
        assert ends.calls == []
        await until(lambda: ends.calls == ["connection_lost"])


class ControlPoint:
    hostname = "127.0.0.1"
    web_server_port = 80

    def __init__(self) -> None:
        self.root: Any = Resource()  # type: ignore[no-untyped-call] # Twisted's
        self.coherence = self
        self.events: list[Any] = []

    def add_web_resource(self, name: str, resource: Any) -> None:
        self.root.putChild(name.encode(), resource)

    def propagate(self, event: Any) -> None:
        self.events.append(event)


SITES = pytest.mark.parametrize(
    "site_of", [Site, OwnSite], ids=["a site of twisted.web", "a site of propchange"]
)


@contextlib.contextmanager
def caller_of(site_of: Callable[..., Any]) -> Iterator[tuple[Ends, ControlPoint]]:
    """A peer that is connected to the site of a control point with an EventServer."""
    with running_reactor() as reactor:
        control_point = ControlPoint()
        EventServer(control_point)
        ends = Ends(reactor, site_of(control_point.root, reactor=reactor).buildProtocol(None))
        yield ends, control_point
        ends.transport.connectionLost(cast(Any, Failure)(ConnectionDone()))
        ends.peer.close()


@SITES
async def test_the_answer_to_an_event_leaves_in_the_turn_that_reads_it(site_of: Any) -> None:
    with caller_of(site_of) as (caller, control_point):
        caller.protocol.dataReceived(NOTIFY)
        assert caller.read().startswith(b"HTTP/1.1 200 ")
        assert len(control_point.events) == 1


@SITES
async def test_the_answers_to_events_in_a_row_come_in_order_behind_bytes_that_wait(
    site_of: Any, until: Until
) -> None:
    with caller_of(site_of) as (caller, _):
        caller.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        refused = NOTIFY.replace(b"upnp:event", b"upnp:none")
        for request in (NOTIFY, NOTIFY, NOTIFY, refused, NOTIFY):
            caller.protocol.dataReceived(request)
        read = b""

        def all_answered() -> bool:
            nonlocal read
            read += caller.read()
            return read.count(b"HTTP/1.1 200 ") == 4

        await until(all_answered)
        statuses = [line[9:12] for line in read.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        assert statuses == [b"100", b"200", b"200", b"200", b"412", b"200"]
