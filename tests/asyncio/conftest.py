"""Both event loops, and peers that are plain sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import uvloop

T = TypeVar("T")

_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Peer:
    """A socket at the other end, driven through the running loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def some(self) -> bytes:
        """What is there next; empty at the end of the stream."""
        return await asyncio.get_running_loop().sock_recv(self.sock, 65_536)

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await asyncio.get_running_loop().sock_recv(self.sock, size - len(data))
            assert part, f"the stream ended after {data!r}"
            data += part
        return data

    async def until(self, ending: bytes) -> bytes:
        data = b""
        while not data.endswith(ending):
            data += await self.receive(1)
        return data

    async def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        data = b""
        while part := await self.some():
            data += part
        return data

    def at_once(self) -> bytes | None:
        """What is there now, without a turn of the loop; None when nothing is."""
        try:
            return self.sock.recv(65_536)
        except BlockingIOError:
            return None

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def end(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()


class Wire:
    """Makes peers, and closes them all."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    async def dial(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        scope: int = 0,
        source: str | None = None,
        receive_buffer: int | None = None,
    ) -> Peer:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(sock)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        # The kernel answers this before anyone has accepted, so it blocks nobody.
        sock.connect((host, port, 0, scope) if ":" in host else (host, port))
        return Peer(sock)

    def listen(
        self, host: str = "127.0.0.1", *, scope: int = 0, receive_buffer: int | None = None
    ) -> Door:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(sock)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((host, 0, 0, scope) if ":" in host else (host, 0))
        sock.listen(100)
        return Door(self, sock)

    def keep(self, sock: socket.socket) -> Peer:
        self._sockets.append(sock)
        return Peer(sock)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


class Door:
    """A listening socket."""

    def __init__(self, wire: Wire, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._wire = wire
        self.sock = sock
        self.host: str = sock.getsockname()[0]
        self.port: int = sock.getsockname()[1]

    async def accept(self) -> Peer:
        sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        return self._wire.keep(sock)

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    """What the event loop was told by its exception handler. A test may empty it."""
    return []


@pytest.fixture(params=_LOOPS)
def run(
    request: pytest.FixtureRequest, reports: list[dict[str, Any]]
) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine on the stdlib's loop and on uvloop, for 20 seconds at most; nothing may
    have gone to the loop's exception handler."""

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: reports.append(context)
            )
            async with asyncio.timeout(20):
                return await coroutine

        with asyncio.Runner(loop_factory=_LOOPS[request.param]) as runner:
            result = runner.run(bounded())
        assert reports == []
        return result

    return run


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Coroutine[Any, Any, None]]:
    """Waits until a condition is true, turn by turn of the loop."""

    async def until(condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.001)

    return until
