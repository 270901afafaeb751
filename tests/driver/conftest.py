"""The runtimes that the driver's tests run on: asyncio, uvloop, a Twisted reactor on asyncio's
loop, and one whose time a test moves and whose connections are in memory."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import pytest
import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred

from propchange.asyncio.host import host
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.stats import HostStats
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.requests import Requests
from propchange.driver.runtime import Runtime
from propchange.twisted.host import HostedDevice
from propchange.twisted.host import host as twisted_host
from propchange.twisted.runtime import TwistedRuntime
from propchange.upnp.device import Device
from tests.asyncio.conftest import marks_of, raw_device

__all__ = ["raw_device"]

T = TypeVar("T")

_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
    "twisted": asyncio.new_event_loop,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An `async def` test runs on each runtime, if it asks for one by the name of `driven`."""
    if inspect.iscoroutinefunction(metafunc.function) and "driven" in metafunc.fixturenames:
        metafunc.fixturenames.append("loop_factory")
        kinds = [
            pytest.param(kind, loop, id=kind, marks=marks_of(kind)) for kind, loop in _LOOPS.items()
        ]
        metafunc.parametrize(("driven", "loop_factory"), kinds, indirect=["driven"])


class Driven:
    """One kind of runtime. :attr:`runtime` is made in the loop of the test."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._runtime: Runtime | None = None
        self._reactor: Any = None

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            if self.kind == "twisted":
                self._reactor = AsyncioSelectorReactor(asyncio.get_running_loop())
                # It looks names up in threads, which begin with it.
                self._reactor.startRunning(installSignalHandlers=False)
                self._runtime = TwistedRuntime(self._reactor)
            else:
                self._runtime = AsyncioRuntime()
        return self._runtime

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the driver to its end."""
        if self.kind == "twisted":
            deferred: Deferred[T] = Deferred.fromCoroutine(coroutine)
            return await deferred.asFuture(asyncio.get_running_loop())
        return await coroutine

    def host(self, device: Device, **options: Any) -> Any:
        """The hosted device of a program on this runtime, to be entered by ``async with``."""
        if self.kind != "twisted":
            return host(device, **options)
        assert self.runtime
        return HostedOnTwisted(twisted_host(device, reactor=self._reactor, **options))

    def listening_sockets(self, hosted: Any) -> list[socket.socket]:
        """The sockets on which a hosted device accepts connections."""
        listening = hosted._host._listener._listening.values()
        if self.kind == "twisted":
            return [port._sock for each in listening for port in each.ports]
        return [accepting.sock for each in listening for accepting in each._accepting]

    def requests(self, **limits: Any) -> Requests:
        return Requests(self.runtime, replace(DEFAULT_LIMITS, **limits))

    def end(self) -> None:
        if self._reactor is not None:
            self._reactor.getThreadPool().stop()
            self._reactor.waker.connectionLost(None)


class HostedOnTwisted:
    """A hosted device on Twisted, whose Deferreds a coroutine of asyncio awaits."""

    def __init__(self, hosted: HostedDevice) -> None:
        self._hosted = hosted

    def __repr__(self) -> str:
        return repr(self._hosted)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._hosted, name)
        return partial(self._call, member) if callable(member) else member

    def stats(self) -> HostStats:
        return self._hosted.stats()

    def receive(self, request: Request) -> Response | Awaitable[Response]:
        answer = self._hosted.receive(request)
        if isinstance(answer, Response):
            return answer
        return answer.asFuture(asyncio.get_running_loop())

    def response_sent(self, response: Response) -> None:
        self._hosted.response_sent(response)

    def response_lost(self, response: Response) -> None:
        self._hosted.response_lost(response)

    async def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await method(*arguments, **named).asFuture(asyncio.get_running_loop())

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@pytest.fixture
def driven(request: pytest.FixtureRequest) -> Iterator[Driven]:
    driven = Driven(request.param)
    yield driven
    driven.end()


class MemoryTransport:
    """The other end of a connection, in memory. ``unwritten`` is what the test says; ``calls`` are
    the names of the functions that were called."""

    def __init__(self, connection: Any, *, peer: str = "192.0.2.7", port: int = 5) -> None:
        self.connection = connection
        self.data = b""
        self.calls: list[str] = []
        self.unwritten = 0
        self.unsent = 0
        self.unread = 0
        self.readable = False
        self.peer_ended = False
        self.closing = False
        self.endpoint = Endpoint(peer, port)
        call = self._call
        self.functions = SimpleNamespace(
            write=self.write,
            write_eof=lambda: call("write_eof"),
            close=lambda: call("close", closing=True),
            abort=lambda: call("abort", closing=True),
            pause_reading=lambda: call("pause_reading"),
            resume_reading=lambda: call("resume_reading"),
            unwritten=lambda: self.unwritten,
            unsent=lambda: self.unsent,
            unread=lambda: self.unread,
            readable=lambda: self.readable,
            peer_ended=lambda: self.peer_ended,
            acknowledge=lambda: call("acknowledge"),
            exact_writing=lambda: call("exact_writing"),
            is_closing=lambda: self.closing,
            local=Endpoint("192.0.2.1", 80),
            peer=self.endpoint,
        )

    def make(self) -> MemoryTransport:
        """Let the connection be there."""
        self.connection.connection_made(self.functions)
        return self

    def write(self, data: bytes) -> None:
        self.calls.append("write")
        self.data += data

    def _call(self, name: str, *, closing: bool = False) -> None:
        self.calls.append(name)
        self.closing = self.closing or closing

    def lose(self, error: Exception | None = None) -> None:
        self.closing = True
        self.connection.connection_lost(error)


class _Armed:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class MemoryRuntime:
    """A runtime whose time the test moves. ``connects`` are the attempts to connect, of which the
    test says what becomes; coroutines run as asyncio's tasks."""

    from_thread = "memory.call"

    def __init__(self) -> None:
        self.time = 100.0
        self._calls: list[tuple[float, int, _Armed, Callable[[], None]]] = []
        self._count = 0
        self.connects: list[Attempt] = []

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None], /) -> _Armed:
        armed = _Armed()
        self._count += 1
        self._calls.append((self.time + seconds, self._count, armed, call))
        return armed

    def call_soon(self, call: Callable[[], None], /) -> _Armed:
        return self.call_later(0.0, call)

    @property
    def armed(self) -> int:
        """Calls that are still to come."""
        return sum(not armed.cancelled for _, _, armed, _ in self._calls)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass; 0: one turn of the loop."""
        until = self.time + seconds
        while due := sorted(call for call in self._calls if call[0] <= until):
            self._calls.remove(due[0])
            when, _, armed, call = due[0]
            self.time = max(self.time, when)
            if not armed.cancelled:
                call()
        self.time = until

    def connect(
        self,
        connection: Any,
        endpoint: Endpoint,
        *,
        source: Endpoint | None,
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> Attempt:
        attempt = Attempt(connection, endpoint, source, seconds, failed)
        self.connects.append(attempt)
        return attempt

    async def listen(self, accept: Any, *, host: str | None, ports: Any, crowded: Any) -> Any:
        """Fails; what happens meanwhile is for a subclass to say."""
        raise OSError(98, "in use")

    def future(self) -> Any:
        return asyncio.get_running_loop().create_future()

    def start(self, coroutine: Coroutine[Any, Any, T], /) -> Any:
        return asyncio.get_running_loop().create_task(coroutine)


class Attempt:
    """An attempt to connect."""

    def __init__(
        self,
        connection: Any,
        endpoint: Endpoint,
        source: Endpoint | None,
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> None:
        self.connection = connection
        self.endpoint = endpoint
        self.source = source
        self.seconds = seconds
        self.fail = failed
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def succeed(self) -> MemoryTransport:
        """The peer accepts."""
        endpoint = self.endpoint
        return MemoryTransport(self.connection, peer=endpoint.host, port=endpoint.port).make()


@pytest.fixture
def memory() -> MemoryRuntime:
    return MemoryRuntime()


@pytest.fixture
def transport() -> type[MemoryTransport]:
    return MemoryTransport


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port as of a host behind a firewall that drops: connecting to it brings no answer."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield server.getsockname()[1]
