"""Plain sockets at the other end of what a test drives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

__all__ = ["Door", "Peer", "Wire"]

Until = Callable[[Callable[[], object]], Awaitable[None]]
"""What the fixture ``until`` is."""


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
        """The next bytes; empty at the end of the stream."""
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

    async def over(self) -> None:
        """Wait for the end of the stream, or a reset; nothing may come before."""
        with contextlib.suppress(ConnectionResetError):
            assert await self.rest() == b""

    def at_once(self) -> bytes | None:
        """The bytes that have arrived, without a turn of the loop; None: no bytes."""
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
        sock.settimeout(10)
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
