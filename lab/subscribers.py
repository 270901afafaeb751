"""Many good and bad subscribers in one loop, each with its own endpoint.

Each endpoint is an address of 127.0.0.0/8, and there is one port for the good ones and one for the
bad ones. So two listening sockets are enough for thousands. A subscriber subscribes from its own
address. Several may have one address: then the good ones there are one endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self, cast

__all__ = ["BAD", "Subscriber", "Subscribers", "event_path", "exchange"]

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_SEQ = re.compile(rb"\r\nSEQ: (\d+)\r")
_TEXT = re.compile(rb"<e:property><\w+>([^<]*)<")
_END = re.compile(rb"</e:propertyset>\s*$")

BAD = (
    "silent",  # accepts and never answers
    "slow",  # answers after 2 s
    "closing",  # answers, then ends the connection
    "refusing",  # no port
    "resetting",  # resets the connection when an event comes
    "half-open",  # ends its stream without an answer, and keeps the connection
    "black-holed",  # its host answers no SYN
    "dripping",  # one byte of an answer each 0.2 s
    "garbage",  # answers what is not HTTP
    "endless",  # answers with a body that does not end
)
"""The kinds of bad subscribers."""


class Subscriber:
    """One subscriber and the messages that it was sent."""

    def __init__(self, number: int, kind: str, *, per_address: int = 1) -> None:
        thousands, rest = divmod(number // per_address, 40_000)
        self.host = f"127.{1 + thousands}.{rest // 200}.{1 + rest % 200}"
        self.kind = kind
        self.path = f"/{number}"
        self.connections = 0
        self.opened = 0
        self.received = 0
        self.seq = -1
        self.gaps = 0
        """Messages whose SEQ was not the next one."""
        self.text = ""
        """The text of the last variable of the last message."""
        self.latencies: list[float] = []
        """Seconds of each event whose text ends with a colon and its time."""

    def take(self, message: bytes) -> None:
        """Note a NOTIFY."""
        seq, text = _SEQ.search(message), _TEXT.findall(message)
        assert seq is not None, message
        assert text, message
        self.received += 1
        self.gaps += int(seq[1]) != self.seq + 1
        self.seq = int(seq[1])
        self.text = text[-1].decode()
        sent = self.text.rpartition(":")[2]
        if self.seq and "." in sent:
            self.latencies.append(time.monotonic() - float(sent))


class _Receiver(asyncio.Protocol):
    """One connection to a subscriber."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers
        self._part = b""
        self._subscriber: Subscriber | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._subscribers.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._subscriber is not None:
            self._subscriber.connections -= 1
        self._subscribers.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._part += data
        if _END.search(self._part[-32:]) is None:
            return
        message, self._part = self._part, b""
        path = message[: message.index(b" HTTP/")].partition(b" ")[2].decode()
        subscriber = self._subscribers.by_path[path]
        if self._subscriber is None:
            self._subscriber = subscriber
            subscriber.connections += 1
            subscriber.opened += 1
        if subscriber.kind in ("good", "slow", "closing"):
            subscriber.take(message)
        else:
            subscriber.received += 1
        self._answer(subscriber.kind)

    def _answer(self, kind: str) -> None:
        transport, later = self._transport, asyncio.get_running_loop().call_later
        match kind:
            case "good":
                transport.write(_ANSWER)
            case "slow":
                later(2, lambda: transport.is_closing() or transport.write(_ANSWER))
            case "closing":
                transport.write(_ANSWER.replace(b"Content", b"Connection: close\r\nContent"))
                transport.close()
            case "resetting":
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            case "half-open":
                transport.write_eof()
            case "dripping":
                self._drip(_ANSWER)
            case "garbage":
                transport.write(b"\x16\x03\x01 this is not HTTP\0\xff\r\n\r\n")
            case "endless":
                transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                self._go_on()

    def _drip(self, left: bytes) -> None:
        if left and not self._transport.is_closing():
            self._transport.write(left[:1])
            asyncio.get_running_loop().call_later(0.2, self._drip, left[1:])

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"400\r\n" + bytes(1024) + b"\r\n")
            asyncio.get_running_loop().call_later(0.005, self._go_on)


class Subscribers:
    """An async context manager: subscribers of the given kinds, ``per_address`` of them with the
    same address. The first one has the number ``first``, on which its address depends."""

    def __init__(self, kinds: Sequence[str], *, per_address: int = 1, first: int = 0) -> None:
        self.all = [
            Subscriber(number, kind, per_address=per_address)
            for number, kind in enumerate(kinds, first)
        ]
        self.by_path = {each.path: each for each in self.all}
        self.transports: set[Any] = set()
        self._stack = contextlib.AsyncExitStack()
        self.ports: dict[str, int] = {}

    @property
    def good(self) -> list[Subscriber]:
        return [each for each in self.all if each.kind == "good"]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        servers = [
            await loop.create_server(lambda: _Receiver(self), "0.0.0.0", 0, backlog=4096)
            for _ in range(2)
        ]
        for server in servers:
            self._stack.callback(server.close)
        closed = self._stack.enter_context(socket.socket())
        closed.bind(("0.0.0.0", 0))  # it does not listen
        deaf = self._stack.enter_context(socket.socket())
        deaf.bind(("0.0.0.0", 0))
        deaf.listen(0)
        for _ in range(4):  # its queue is full, so the system drops each further SYN
            waiting = self._stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", deaf.getsockname()[1]))
        self.ports = {
            "refusing": closed.getsockname()[1],
            "black-holed": deaf.getsockname()[1],
            "good": servers[0].sockets[0].getsockname()[1],
            "": servers[1].sockets[0].getsockname()[1],
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in tuple(self.transports):
            transport.abort()
        await asyncio.sleep(0)
        await self._stack.aclose()

    async def subscribe(self, port: int, path: str, **headers: str) -> list[bytes]:
        """SUBSCRIBE for each of them, eight at once. Returns the answers."""
        free = asyncio.Semaphore(8)

        async def one(subscriber: Subscriber) -> bytes:
            async with free:
                return await self.subscribe_one(subscriber, port, path, **headers)

        return await asyncio.gather(*map(one, self.all))

    async def subscribe_one(
        self, subscriber: Subscriber, port: int, path: str, **headers: str
    ) -> bytes:
        """SUBSCRIBE for ``subscriber``. Returns the head of the answer."""
        to = self.ports.get(subscriber.kind, self.ports[""])
        headers = {
            "HOST": f"127.0.0.1:{port}",
            "CALLBACK": f"<http://{subscriber.host}:{to}{subscriber.path}>",
            "NT": "upnp:event",
            "TIMEOUT": "Second-1800",
            "CONNECTION": "close",
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"SUBSCRIBE {path} HTTP/1.1\r\n{lines}\r\n".encode()
        return await exchange(port, request, source=subscriber.host)


async def exchange(port: int, request: bytes, *, source: str = "127.0.0.1") -> bytes:
    """Send a request with ``CONNECTION: close`` over a connection of its own, and return all of the
    answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(request)
        return await reader.read(-1)
    finally:
        writer.close()


async def event_path(port: int) -> str:
    """The event URL of the first service of the device whose description is on ``port``."""
    head = f"GET /description.xml HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\nCONNECTION: close\r\n\r\n"
    found = re.search(rb"<eventSubURL>([^<]*)</eventSubURL>", await exchange(port, head.encode()))
    assert found is not None
    return "/" + found[1].decode().lstrip("/")


@contextlib.asynccontextmanager
async def subscribed(
    kinds: Sequence[str], port: int, path: str, *, per_address: int = 1
) -> AsyncIterator[Subscribers]:
    """Subscribers of ``kinds`` to the service at ``path``."""
    async with Subscribers(kinds, per_address=per_address) as subscribers:
        for answer in await subscribers.subscribe(port, path):
            assert answer.startswith(b"HTTP/1.1 200"), answer
        yield subscribers


async def _run(port: int, path: str, per_address: int, kinds: Sequence[str]) -> None:
    async with subscribed(kinds, port, path, per_address=per_address):
        print("subscribed", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
