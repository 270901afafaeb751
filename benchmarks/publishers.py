"""Publishers: propchange, and two that send the same bytes without any rule."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from benchmarks import wire
from benchmarks.contestants import EventURL
from benchmarks.processes import TARGET_CPU, Commands, Worker
from benchmarks.programs import Program, compiled
from benchmarks.results import Incorrect
from benchmarks.sink import Target
from propchange import Device, Service, StateVariable, host
from propchange.core.limits import DEFAULT_LIMITS

__all__ = ["BarePublisher", "CPublisher", "PropchangePublisher"]


def _temperature(number: int) -> float:
    """Never a whole number: its text has four decimals everywhere."""
    return 10.0625 + number % 64 / 8


def _mark(number: int) -> str:
    """A value with the time."""
    return f"{number}:{time.monotonic_ns()}"


async def _at_a_pace(per_second: float, seconds: float, publish: Any) -> str:
    """Call ``publish`` with a mark at each due time. Returns the last mark."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    mark = ""
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(begin + number / per_second - loop.time())
        mark = _mark(number)
        publish(mark)
    return mark


# --- propchange ---


class Thermometer(Service, type=wire.SERVICE_TYPE):
    temperature = StateVariable("r4", initial=10.0)
    mark = StateVariable("string", initial="0")


@contextlib.asynccontextmanager
async def _propchange(limits: dict[str, Any]) -> AsyncIterator[Commands]:
    """propchange as a program uses it, everything at its default except ``limits``."""
    thermometer = Thermometer()
    device = Device("Workbench", services=[thermometer])
    chosen = replace(DEFAULT_LIMITS, **limits)
    async with host(device, interface="127.0.0.1", limits=chosen) as hosted:
        number = 0

        async def port() -> int:
            return hosted.port

        async def publish(events: int, at_once: int) -> str:
            nonlocal number
            for _ in range(events // at_once):
                for _ in range(at_once):
                    number += 1
                    thermometer.temperature = _temperature(number)
                await hosted.drain()
            return f"{thermometer.temperature:g}"

        async def publish_at(per_second: float, seconds: float) -> str:
            def assign(mark: str) -> None:
                thermometer.mark = mark

            return await _at_a_pace(per_second, seconds, assign)

        yield {"port": port, "publish": publish, "publish_at": publish_at}


class PropchangePublisher:
    """propchange's ``host()``, with every guard on. ``limits`` differ from the defaults."""

    paced = True

    def __init__(self, *, on_uvloop: bool = True, **limits: Any) -> None:
        self.name = "propchange"
        self._on_uvloop = on_uvloop
        self._limits = limits
        self._worker: Worker | None = None

    def start(self) -> None:
        program = partial(_propchange, self._limits)
        self._worker = Worker(program, TARGET_CPU, on_uvloop=self._on_uvloop)

    @property
    def _process(self) -> Worker:
        assert self._worker is not None
        return self._worker

    def event_url(self) -> EventURL:
        return EventURL("127.0.0.1", self._process.ask("port"), "/Thermometer/event")

    def cpu(self) -> float:
        return self._process.cpu_seconds

    def resident_bytes(self) -> int:
        """The resident set of the process."""
        return self._process.resident_bytes

    def publish(self, events: int, at_once: int) -> str:
        return str(self._process.ask("publish", events, at_once))

    def publish_at(self, per_second: float, seconds: float) -> str:
        return str(self._process.ask("publish_at", per_second, seconds))

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.close()


# --- a bare protocol on the same loop ---


class _Connection(asyncio.Protocol):
    """Writes the same bytes again for each 200, and looks at nothing else."""

    def __init__(self, crowd: _Crowd, messages: list[bytes]) -> None:
        self._crowd = crowd
        self._burst = self._messages = messages
        self._write: Any = None
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def send(self, messages: list[bytes]) -> None:
        self._burst = messages
        self._left = len(messages) - 1
        self._write(messages[0])

    def data_received(self, data: bytes) -> None:
        if b" 200 " not in data:
            raise RuntimeError(f"answered with {data!r}")
        left = self._left
        if left:
            self._left = left - 1
            self._write(self._burst[left])
        else:
            crowd = self._crowd
            crowd.outstanding -= 1
            if not crowd.outstanding:
                crowd.all_answered()


class _ClosingConnection(asyncio.Protocol):
    """Writes one message, for a peer that answers and closes."""

    def __init__(self, crowd: _Crowd, message: bytes) -> None:
        self._crowd = crowd
        self._message = message

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._message)

    def data_received(self, data: bytes) -> None:
        if b" 200 " not in data:
            raise RuntimeError(f"answered with {data!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.outstanding -= 1
        if not self._crowd.outstanding:
            self._crowd.all_answered()


class _Crowd:
    """All connections of the bare contestant, and how many of them wait for an answer."""

    def __init__(self) -> None:
        self.connections: list[tuple[_Connection, list[bytes]]] = []
        self.outstanding = 0
        self._answered: asyncio.Future[None]

    async def send(self, at_once: int) -> None:
        """Each message ``at_once`` times, and the answers to all."""
        self._answered = asyncio.get_running_loop().create_future()
        self.outstanding = len(self.connections)
        for connection, messages in self.connections:
            connection.send(messages * at_once)
        await self._answered

    async def send_closing(self, targets: Sequence[tuple[str, int, bytes]]) -> None:
        """A new connection for each message."""
        loop = asyncio.get_running_loop()
        self._answered = loop.create_future()
        self.outstanding = len(targets)
        for address, port, message in targets:
            make = partial(_ClosingConnection, self, message)
            # Kept by the loop until it has ended: it waits for a socket.
            loop.create_task(loop.create_connection(make, address, port))  # noqa: RUF006 - the loop keeps it
        await self._answered

    def all_answered(self) -> None:
        self._answered.set_result(None)


@contextlib.asynccontextmanager
async def _bare() -> AsyncIterator[Commands]:
    """The least that fan-out can cost on this loop: prebuilt bytes. Only 200 is looked for."""
    crowd = _Crowd()
    heads: list[tuple[str, int, bytes]] = []
    loop = asyncio.get_running_loop()

    async def know(targets: list[Target]) -> None:
        for number, (address, port, path) in enumerate(targets):
            sid = f"uuid:00000000-0000-0000-0000-{number:012}"
            heads.append((address, port, wire.notify_head(f"{address}:{port}", path, sid)))

    async def connect(most_at_endpoint: int) -> None:
        """Share the connections of an endpoint among its subscribers."""
        tail = b"10000" + wire.notify_tail("Temperature", "15.0625")
        shared: dict[tuple[str, int, int], list[bytes]] = {}
        counts: dict[tuple[str, int], int] = {}
        for address, port, head in heads:
            number = counts[address, port] = counts.get((address, port), -1) + 1
            shared.setdefault((address, port, number % most_at_endpoint), []).append(head + tail)
        for (address, port, _), messages in shared.items():
            make = partial(_Connection, crowd, messages)
            _, connection = await loop.create_connection(make, address, port)
            crowd.connections.append((connection, messages))

    async def publish(events: int, at_once: int) -> str:
        for _ in range(events // at_once):
            await crowd.send(at_once)
        return "15.0625"

    async def publish_closing(events: int) -> str:
        tail = b"10000" + wire.notify_tail("Temperature", "15.0625")
        targets = [(address, port, head + tail) for address, port, head in heads]
        for _ in range(events):
            await crowd.send_closing(targets)
        return "15.0625"

    async def publish_at(per_second: float, seconds: float) -> str:
        def send(mark: str) -> None:
            tail = b"10000" + wire.notify_tail("Mark", mark)
            for (connection, _), (_, _, head) in zip(crowd.connections, heads, strict=True):
                connection.send([head + tail])

        crowd.outstanding = 1 << 62  # no call waits for the answers
        mark = await _at_a_pace(per_second, seconds, send)
        await asyncio.sleep(0.1)
        return mark

    async def publish_first(at_once: int) -> str:
        """A connection to each endpoint, ``at_once`` being made, and an event on it; they are
        closed when all are answered."""
        tail = b"10000" + wire.notify_tail("Temperature", "15.0625")
        waiting = iter(heads)
        transports: list[asyncio.Transport] = []
        left = len(heads)
        done = loop.create_future()

        class First(asyncio.Protocol):
            def __init__(self, message: bytes) -> None:
                self._message = message

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.append(cast(asyncio.Transport, transport))
                transports[-1].write(self._message)

            def data_received(self, data: bytes) -> None:
                nonlocal left
                left -= 1
                connect_next()
                if not left:
                    done.set_result(None)

        tasks = set()

        def connect_next() -> None:
            found = next(waiting, None)
            if found is not None:
                address, port, head = found
                make = partial(First, head + tail)
                task = loop.create_task(loop.create_connection(make, address, port))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        for _ in range(at_once):
            connect_next()
        await done
        for transport in transports:
            transport.close()
        return "15.0625"

    yield {
        "know": know,
        "connect": connect,
        "publish": publish,
        "publish_at": publish_at,
        "publish_closing": publish_closing,
        "publish_first": publish_first,
    }


class BarePublisher:
    """A protocol on uvloop (or on asyncio's loop) that writes prebuilt NOTIFYs and looks for 200.
    Its SEQ is always the same."""

    paced = True

    def __init__(self, *, on_uvloop: bool = True, closing: bool = False) -> None:
        self.name = f"bare {'uvloop' if on_uvloop else 'asyncio'}"
        self._on_uvloop = on_uvloop
        self._closing = closing
        self._worker: Worker | None = None

    def start(self) -> None:
        self._worker = Worker(_bare, TARGET_CPU, on_uvloop=self._on_uvloop)

    @property
    def process(self) -> Worker:
        assert self._worker is not None
        return self._worker

    def connect(self, targets: Sequence[Target], most_at_endpoint: int = 1) -> None:
        """Note the subscribers, and connect to them unless they close."""
        self.process.ask("know", targets)
        if most_at_endpoint:
            self.process.ask("connect", most_at_endpoint)

    def cpu(self) -> float:
        return self.process.cpu_seconds

    def publish(self, events: int, at_once: int) -> str:
        if self._closing:
            return str(self.process.ask("publish_closing", events))
        return str(self.process.ask("publish", events, at_once))

    def publish_at(self, per_second: float, seconds: float) -> str:
        return str(self.process.ask("publish_at", per_second, seconds))

    def publish_first(self, at_once: int) -> str:
        return str(self.process.ask("publish_first", at_once))

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.close()


# --- C over epoll ---

_BODY = (
    '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
    "<e:property><Temperature>@VALUE@</Temperature></e:property>\n"
    "</e:propertyset>"
)


class CPublisher:
    """The same in C over epoll (``native/generator.c``), with rising SEQs."""

    name = "C on epoll"
    paced = True

    def __init__(self, *, closing: bool = False) -> None:
        self._manner = "close" if closing else "keep"
        self._events = 0
        self._program: Program | None = None
        self._files: TemporaryDirectory[str] | None = None

    def start(self) -> None:
        self._files = TemporaryDirectory()
        folder = Path(self._files.name)
        files = [folder / name for name in ("description.xml", "scpd.xml", "body.xml")]
        texts = (wire.DESCRIPTION, wire.SCPD, _BODY.encode())
        for file, text in zip(files, texts, strict=True):
            file.write_bytes(text)
        self._program = Program([compiled("generator"), "127.0.0.1", *files], TARGET_CPU)

    @property
    def _process(self) -> Program:
        assert self._program is not None
        return self._program

    def connect(self, targets: Sequence[Target]) -> None:
        """Connect to the subscribers, and send the initial events."""
        for number, (address, port, _) in enumerate(targets):
            told = self._process.ask("connect", address, port, "/events/", number, 1)
            if told["ready"] != number + 1:
                raise Incorrect(f"{told['ready']} of {number + 1} initial events were answered")

    def cpu(self) -> float:
        return self._process.cpu_seconds

    def publish(self, events: int, at_once: int) -> str:
        told = self._process.ask("send", events, at_once, self._manner)
        if told["bad"] or told["lost"]:
            raise Incorrect(f"{told['bad']} bad answers, {told['lost']} connections lost")
        self._events += events
        return f"{10 + self._events % 64 / 8:.3f}"

    def stop(self) -> None:
        if self._program is not None:
            self._program.__exit__(None, None, None)
        if self._files is not None:
            self._files.cleanup()
