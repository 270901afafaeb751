"""Fan-out: events to many subscribers over connections that stay open.

The peer is a sink that subscribes, counts, looks at each SEQ and answers 200. Each subscriber has
a port of its own, as subscribers have.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast

from benchmarks import wire
from benchmarks.processes import Commands, cpu_seconds
from propchange import Device, Service, StateVariable, host

__all__ = ["SUBSCRIBERS", "Round", "bare", "propchange_host", "sink"]

SUBSCRIBERS = 100
_SETTLE_SECONDS = 20.0


class Round(NamedTuple):
    """What one round has done, and what it took."""

    operations: int
    seconds: float
    cpu_seconds: float


# --- the peer ---


class _Sink(asyncio.Protocol):
    """One connection to a subscriber."""

    def __init__(self, subscriber: _Subscriber) -> None:
        self._subscriber = subscriber
        self._part = b""
        self._write: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write
        self._subscriber.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._subscriber.connections -= 1

    def data_received(self, data: bytes) -> None:
        if self._part or not data.endswith(b"</e:propertyset>"):
            data = self._part + data
            self._part = b"" if data.rstrip().endswith(b"propertyset>") else data
            if self._part:
                return
        subscriber = self._subscriber
        start = data.index(b"SEQ: ") + 5
        seq = int(data[start : data.index(b"\r", start)])
        if seq != subscriber.seq + 1:
            subscriber.disorder += 1
        subscriber.seq = seq
        subscriber.received += 1
        subscriber.size = len(data)
        self._write(subscriber.group.answer)


class _Subscriber:
    def __init__(self, group: _Group) -> None:
        self.group = group
        self.seq = -1
        self.received = 0
        self.disorder = 0
        self.connections = 0
        self.size = 0
        self.server: asyncio.Server
        self.port = 0

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: _Sink(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]


class _Group:
    """The subscribers of one contestant."""

    def __init__(self) -> None:
        self.answer = wire.SHORT_ANSWER
        self.dated = False
        self.subscribers = [_Subscriber(self) for _ in range(SUBSCRIBERS)]

    async def listen(self) -> list[int]:
        for subscriber in self.subscribers:
            await subscriber.listen()
        return [subscriber.port for subscriber in self.subscribers]

    async def subscribe(self, port: int) -> None:
        """SUBSCRIBE for each of them, at the device that has its description on ``port``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        description = await _exchange(
            reader,
            writer,
            f"GET /description.xml HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n\r\n",
        )
        found = re.search(rb"<eventSubURL>([^<]*)</eventSubURL>", description)
        assert found is not None
        path = "/" + found[1].decode().lstrip("/")
        for number, subscriber in enumerate(self.subscribers):
            await _exchange(
                reader,
                writer,
                f"SUBSCRIBE {path} HTTP/1.1\r\n"
                f"HOST: 127.0.0.1:{port}\r\n"
                f"CALLBACK: <http://127.0.0.1:{subscriber.port}/events/{number:03}>\r\n"
                "NT: upnp:event\r\n"
                "TIMEOUT: Second-1800\r\n\r\n",
            )
        writer.close()
        await self.received(SUBSCRIBERS)

    async def received(self, expected: int) -> None:
        """Wait until that many messages are there in all."""
        async with asyncio.timeout(_SETTLE_SECONDS):
            while sum(subscriber.received for subscriber in self.subscribers) < expected:  # noqa: ASYNC110 - nothing may tell it, that would cost
                await asyncio.sleep(0.01)

    def reset(self) -> None:
        for subscriber in self.subscribers:
            subscriber.received = subscriber.disorder = 0


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str
) -> bytes:
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"{request!r} was answered {head!r}")
    length = re.search(rb"content-length: *(\d+)", head)
    return await reader.readexactly(int(length[1])) if length else b""


@contextlib.asynccontextmanager
async def sink() -> AsyncIterator[Commands]:
    """``open`` makes the subscribers of a contestant and gives their ports; ``subscribe`` lets
    them subscribe; ``prepare`` chooses the answer and begins counting; ``count`` gives what came
    since: messages, those out of order, connections, the size of a message, seconds of CPU."""
    groups: dict[str, _Group] = {}
    loop = asyncio.get_running_loop()
    cpu = 0.0

    def keep_date() -> None:
        for group in groups.values():
            if group.dated:
                group.answer = wire.dated_answer()
        loop.call_later(1.0, keep_date)

    async def open_group(name: str) -> list[int]:
        groups[name] = _Group()
        return await groups[name].listen()

    async def subscribe(name: str, port: int) -> None:
        await groups[name].subscribe(port)

    async def prepare(name: str, dated: bool) -> None:
        nonlocal cpu
        group = groups[name]
        group.dated = dated
        group.answer = wire.dated_answer() if dated else wire.SHORT_ANSWER
        group.reset()
        cpu = cpu_seconds()

    async def count(name: str, expected: int) -> tuple[int, int, int, int, float]:
        subscribers = groups[name].subscribers
        used = cpu_seconds() - cpu
        await groups[name].received(expected)
        return (
            sum(subscriber.received for subscriber in subscribers),
            sum(subscriber.disorder for subscriber in subscribers),
            sum(subscriber.connections for subscriber in subscribers),
            subscribers[0].size,
            used,
        )

    keep_date()
    yield {"open": open_group, "subscribe": subscribe, "prepare": prepare, "count": count}


# --- the contestants ---


class Thermometer(Service, type=wire.SERVICE_TYPE):
    temperature = StateVariable("r4", initial=10.0)


@contextlib.asynccontextmanager
async def propchange_host() -> AsyncIterator[Commands]:
    """propchange as a program uses it, everything at its default."""
    thermometer = Thermometer()

    async with host(Device("Workbench", services=[thermometer])) as hosted:
        number = 0

        async def port() -> int:
            return hosted.port

        async def run(seconds: float, burst: int) -> Round:
            nonlocal number
            await hosted.drain()
            events = 0
            cpu = cpu_seconds()
            begin = time.perf_counter()
            until = begin + seconds
            while time.perf_counter() < until:
                for _ in range(burst):
                    number += 1
                    thermometer.temperature = 10.0 + number % 64 / 8
                await hosted.drain()
                events += burst
            return Round(events * SUBSCRIBERS, time.perf_counter() - begin, cpu_seconds() - cpu)

        yield {"port": port, "run": run}


class _Bare(asyncio.Protocol):
    """Writes the same bytes again for each 200, and looks at nothing else."""

    def __init__(self, crowd: _Crowd, message: bytes) -> None:
        self._crowd = crowd
        self._message = message
        self._write: Any = None
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def send(self, burst: int) -> None:
        self._left = burst - 1
        self._write(self._message)

    def data_received(self, data: bytes) -> None:
        if b" 200 " not in data:
            raise RuntimeError(f"answered with {data!r}")
        if self._left:
            self._left -= 1
            self._write(self._message)
        else:
            crowd = self._crowd
            crowd.outstanding -= 1
            if not crowd.outstanding:
                crowd.all_answered()


class _Crowd:
    """All connections of the bare contestant."""

    def __init__(self) -> None:
        self.connections: list[_Bare] = []
        self.outstanding = 0
        self._burst = 1
        self._events = 0
        self._until = 0.0
        self._done: asyncio.Future[int]

    async def run(self, seconds: float, burst: int) -> int:
        self._burst = burst
        self._events = 0
        self._until = time.perf_counter() + seconds
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        return await self._done

    def _send(self) -> None:
        self.outstanding = len(self.connections)
        for connection in self.connections:
            connection.send(self._burst)

    def all_answered(self) -> None:
        self._events += self._burst
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._done.set_result(self._events)


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Commands]:
    """The least that fan-out can cost on uvloop: prebuilt bytes out, a glance at the answers."""
    crowd = _Crowd()

    async def connect(ports: list[int]) -> None:
        loop = asyncio.get_running_loop()
        tail = wire.notify_tail("Temperature", "15.125")
        for number, port in enumerate(ports):
            sid = f"uuid:00000000-0000-0000-0000-{number:012}"
            head = wire.notify_head(f"127.0.0.1:{port}", f"/events/{number:03}", sid)
            message = head + b"10000" + tail
            _, connection = await loop.create_connection(
                lambda message=message: _Bare(crowd, message),  # type: ignore[misc] # inferred wrongly
                "127.0.0.1",
                port,
            )
            crowd.connections.append(connection)

    async def run(seconds: float, burst: int) -> Round:
        cpu = cpu_seconds()
        begin = time.perf_counter()
        events = await crowd.run(seconds, burst)
        return Round(events * SUBSCRIBERS, time.perf_counter() - begin, cpu_seconds() - cpu)

    yield {"connect": connect, "run": run}
