"""Receiving: events from many connections that stay open, one message under way on each.

The peer is a device that answers GET and SUBSCRIBE, and then sends as fast as it is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import pyexpat
import re
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import httptools

from benchmarks import wire
from benchmarks.processes import Commands, cpu_seconds
from propchange import ControlPoint

__all__ = ["CONNECTIONS", "Tally", "bare", "generator", "propchange_control_point"]

CONNECTIONS = 64
_SETTLE_SECONDS = 20.0
_TAILS = [wire.notify_tail("Temperature", f"{10 + number / 8:.3f}") for number in range(64)]


# --- the peer ---


class _Sender(asyncio.Protocol):
    """One connection to a contestant, with rising SEQs of one subscription."""

    def __init__(self, group: _Group, head: bytes) -> None:
        self._group = group
        self._head = head
        self._write: Any = None
        self._seq = -1
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def connection_lost(self, exc: Exception | None) -> None:
        self._group.lost += 1

    async def send_first(self) -> None:
        """The initial event."""
        self._answered = asyncio.get_running_loop().create_future()
        self.send()
        await self._answered
        self._answered = None

    def send(self) -> None:
        self._seq = seq = self._seq + 1
        self._write(b"%b%d%b" % (self._head, seq, _TAILS[seq & 63]))

    def data_received(self, data: bytes) -> None:
        if data[:13] != b"HTTP/1.1 200 ":
            raise RuntimeError(f"answered with {data!r}")
        group = self._group
        if group.running:
            group.sent += 1
            self._seq = seq = self._seq + 1
            self._write(b"%b%d%b" % (self._head, seq, _TAILS[seq & 63]))
        elif self._answered is not None:
            self._answered.set_result(None)
        else:
            group.sent += 1
            group.outstanding -= 1
            if not group.outstanding:
                group.done.set_result(None)


class _Group:
    """The connections to one contestant."""

    def __init__(self) -> None:
        self.senders: list[_Sender] = []
        self.running = False
        self.sent = 0
        self.outstanding = 0
        self.lost = 0
        self.done: asyncio.Future[None]

    async def connect(self, port: int, target: str) -> None:
        sid = f"uuid:00000000-0000-0000-0000-{len(self.senders):012}"
        await self.add(port, target, sid)

    async def add(self, port: int, target: str, sid: str) -> None:
        head = wire.notify_head(f"127.0.0.1:{port}", target, sid)
        _, sender = await asyncio.get_running_loop().create_connection(
            lambda: _Sender(self, head), "127.0.0.1", port
        )
        self.senders.append(sender)
        await sender.send_first()

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.sent = 0
        self.running = True
        self.outstanding = len(self.senders)
        self.done = loop.create_future()
        loop.call_later(seconds, self._stop)
        for sender in self.senders:
            sender.send()
        await self.done

    def _stop(self) -> None:
        self.running = False


class _Device(asyncio.Protocol):
    """Answers GET, SUBSCRIBE and UNSUBSCRIBE; each SUBSCRIBE gets a connection of its own."""

    def __init__(self, group: _DeviceGroup) -> None:
        self._group = group
        self._transport: asyncio.Transport
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        if method == b"GET":
            return wire.response(
                wire.DESCRIPTION if target == b"/description.xml" else wire.SCPD,
                b'CONTENT-TYPE: text/xml; charset="utf-8"',
            )
        if method != b"SUBSCRIBE":
            return wire.response(b"")
        callback = re.search(rb"CALLBACK: *<http://127\.0\.0\.1:(\d+)(/[^>]*)>", head)
        assert callback is not None
        self._group.subscribed += 1
        sid = f"uuid:00000000-0000-0000-0000-{self._group.subscribed:012}"
        task = asyncio.get_running_loop().create_task(
            self._group.add(int(callback[1]), callback[2].decode(), sid)
        )
        self._group.tasks.append(task)
        return wire.response(b"", b"SID: %b" % sid.encode(), b"TIMEOUT: Second-1800")


class _DeviceGroup(_Group):
    def __init__(self) -> None:
        super().__init__()
        self.subscribed = 0
        self.tasks: list[asyncio.Task[None]] = []


@contextlib.asynccontextmanager
async def generator() -> AsyncIterator[Commands]:
    """``device`` opens the device of a contestant and gives its port; ``connect`` goes to one
    that does not subscribe; ``run`` gives the messages answered, seconds, the connections that
    broke, and seconds of CPU."""
    groups: dict[str, _Group] = {}

    async def device(name: str) -> int:
        group = groups[name] = _DeviceGroup()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Device(group), "127.0.0.1", 0
        )
        return int(server.sockets[0].getsockname()[1])

    async def connect(name: str, port: int) -> None:
        group = groups[name] = _Group()
        for number in range(CONNECTIONS):
            await group.connect(port, f"/{number:022}")

    async def run(name: str, seconds: float) -> tuple[int, float, int, float]:
        group = groups[name]
        if isinstance(group, _DeviceGroup):
            await asyncio.gather(*group.tasks)
        if len(group.senders) != CONNECTIONS:
            raise RuntimeError(f"{len(group.senders)} connections to {name}")
        cpu = cpu_seconds()
        begin = time.perf_counter()
        await group.run(seconds)
        took = time.perf_counter() - begin
        return group.sent, took, group.lost, cpu_seconds() - cpu

    yield {"device": device, "connect": connect, "run": run}


# --- the contestants ---


class Tally:
    """How many events have come, and the processor time since they were last counted."""

    def __init__(self) -> None:
        self.events = 0
        self.disorder = 0
        self._cpu = 0.0

    async def begin(self) -> None:
        self.events = self.disorder = 0
        self._cpu = cpu_seconds()

    async def end(self, expected: int) -> tuple[int, int, float]:
        """Events, those out of order, seconds of CPU."""
        used = cpu_seconds() - self._cpu
        async with asyncio.timeout(_SETTLE_SECONDS):
            while self.events < expected:  # noqa: ASYNC110 - nothing may tell it, that would cost
                await asyncio.sleep(0.01)
        return self.events, self.disorder, used


@contextlib.asynccontextmanager
async def propchange_control_point() -> AsyncIterator[Commands]:
    """propchange as a program uses it: typed values, each event consumed by ``async for``."""
    tally = Tally()
    tasks: list[asyncio.Task[None]] = []

    async with ControlPoint() as control_point:

        async def consume(subscription: Any, ready: asyncio.Event) -> None:
            seq = -1
            async with subscription:
                async for event in subscription:
                    if event.seq != seq + 1 or not isinstance(event.changes["Temperature"], float):
                        tally.disorder += 1
                    seq = event.seq
                    tally.events += 1
                    ready.set()

        async def subscribe(port: int) -> None:
            device = await control_point.device(f"http://127.0.0.1:{port}/description.xml")
            service = device["Thermometer"]
            for _ in range(CONNECTIONS):
                ready = asyncio.Event()
                tasks.append(asyncio.create_task(consume(service.subscribe(), ready)))
                await ready.wait()

        yield {"subscribe": subscribe, "begin": tally.begin, "end": tally.end}
        for task in tasks:
            task.cancel()


class _Bare(asyncio.Protocol):
    """httptools and expat with nothing around them."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._write: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = []
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if _parse_body(self._body):
            self._tally.events += 1
        self._write(wire.SHORT_ANSWER)


def _parse_body(body: bytes) -> dict[str, str]:
    changes: dict[str, str] = {}
    texts: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        texts.clear()

    def end(name: str) -> None:
        if ":" not in name:
            changes[name] = "".join(texts)

    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.Parse(body, True)
    return changes


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Commands]:
    """The least that receiving can cost on uvloop: the header collected, the body parsed, 200."""
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(lambda: _Bare(tally), "127.0.0.1", 0)

    async def port() -> int:
        return int(server.sockets[0].getsockname()[1])

    yield {"port": port, "begin": tally.begin, "end": tally.end}
    server.close()
