"""Records the packets between the programs in a network namespace.

A packet socket inside the namespace sees every TCP segment; they are put together again into
HTTP messages, raw bytes and all. Nobody is asked to cooperate and nothing is in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import itertools
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

__all__ = ["Message", "Wire", "inside"]

_CLONE_NEWNET = 0x40000000
_ALL_PROTOCOLS = 0x0003
_IPV4, _IPV6 = 0x0800, 0x86DD
_ARPHRD_LOOPBACK = 772
_FIN, _SYN, _RST = 0x01, 0x02, 0x04


class Message(NamedTuple):
    """One HTTP message. ``source`` and ``destination`` are ``address:port``, with brackets around
    an IPv6 address; ``fields`` has header names in upper case; ``number`` counts all messages of
    the wire, ``connection`` its connections, and ``place`` the messages of this direction of the
    connection."""

    number: int
    connection: int
    place: int
    source: str
    destination: str
    start: str
    fields: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def method(self) -> str:
        """Of a request; ``HTTP/1.1`` and the like of a response."""
        return self.start.partition(" ")[0]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(" ")[1])

    def __repr__(self) -> str:
        return f"<{self.source} -> {self.destination}: {self.start}>"


class Wire:
    """All HTTP messages in the namespace ``name`` from now on."""

    def __init__(self, name: str) -> None:
        self._socket = inside(name, _packet_socket)
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._connections: dict[frozenset[str], int] = {}
        self._count = itertools.count()
        self._opened: list[tuple[str, str]] = []
        self._messages: list[Message] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages so far."""
        with self._changed:
            return tuple(self._messages)

    @property
    def opened(self) -> tuple[tuple[str, str], ...]:
        """The connections that were asked for, as (source, destination), answered or not."""
        with self._changed:
            return tuple(self._opened)

    def mark(self) -> int:
        """The number of the next message."""
        return len(self.messages)

    def wait(
        self, wanted: Callable[[Message], bool], what: str, *, after: int = 0, timeout: float = 15.0
    ) -> Message:
        """The first message from number ``after`` on that is ``wanted``."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for message in self._messages[after:]:
                    if wanted(message):
                        return message
                if not self._changed.wait(deadline - time.monotonic()):
                    seen = "\n".join(map(repr, self._messages[after:]))
                    raise AssertionError(f"no {what} on the wire in {timeout:g} s, but\n{seen}")

    def request(self, method: str, *, after: int = 0, **fields: str) -> Message:
        """The first ``method`` request from number ``after`` on with these header values."""
        wanted = {name.upper(): value for name, value in fields.items()}
        return self.wait(
            lambda message: message.method == method and wanted.items() <= message.fields.items(),
            f"{method} with {wanted}",
            after=after,
        )

    def answer(self, request: Message) -> Message:
        """The response to ``request``."""
        return self.wait(
            lambda message: (
                message.connection == request.connection
                and message.source == request.destination
                and message.place == request.place
            ),
            f"answer to {request}",
        )

    def close(self) -> None:
        """Stop recording."""
        self._closing = True
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._closing:
            try:
                packet, address = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            # On the loopback interface a packet is seen twice, on its way out and in.
            _, protocol, direction, kind, *_ = address
            if protocol not in (_IPV4, _IPV6):
                continue
            if kind != _ARPHRD_LOOPBACK or direction != socket.PACKET_OUTGOING:
                with self._changed:
                    self._take(packet, protocol)

    def _take(self, packet: bytes, protocol: int) -> None:
        if protocol == _IPV4:
            (length,) = struct.unpack_from("!H", packet, 2)
            at, kind, ends_at, size = (packet[0] & 15) * 4, packet[9], 12, 4
        else:
            length = 40 + struct.unpack_from("!H", packet, 4)[0]
            at, kind, ends_at, size = 40, packet[6], 8, 16
        if kind != socket.IPPROTO_TCP:
            return
        from_host, to_host = (
            str(ipaddress.ip_address(packet[start : start + size]))
            for start in (ends_at, ends_at + size)
        )
        ports = struct.unpack_from("!HH", packet, at)
        seq, _, offset, flags = struct.unpack_from("!IIBB", packet, at + 4)
        source, destination = (
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in zip((from_host, to_host), ports, strict=True)
        )
        payload = packet[at + (offset >> 4) * 4 : length]
        ends = frozenset((source, destination))
        if flags & _SYN:
            if (source, destination) not in self._opened:
                self._opened.append((source, destination))
            if ends not in self._connections or self._streams.get((source, destination)):
                self._connections[ends] = next(self._count)
            self._streams[source, destination] = _Stream(seq + 1)
            return
        stream = self._streams.get((source, destination))
        if stream is None:
            return
        ended = bool(flags & (_FIN | _RST))
        for start, fields, body, raw in stream.feed(seq, payload, ended=ended):
            self._messages.append(
                Message(
                    len(self._messages),
                    self._connections[ends],
                    stream.place(start),
                    source,
                    destination,
                    start,
                    fields,
                    body,
                    raw,
                )
            )
        self._changed.notify_all()


class _Stream:
    """One direction of one connection: segments in, HTTP messages out."""

    def __init__(self, seq: int) -> None:
        self._next = seq & 0xFFFFFFFF
        self._ahead: dict[int, bytes] = {}
        self._bytes = b""
        self._ended = False
        self._place = itertools.count()

    def place(self, start: str) -> int:
        # 100 Continue answers nothing.
        return -1 if start.startswith("HTTP/1.1 100") else next(self._place)

    def feed(
        self, seq: int, payload: bytes, *, ended: bool
    ) -> list[tuple[str, dict[str, str], bytes, bytes]]:
        if payload:
            self._ahead[seq] = payload
        for start in sorted(self._ahead, key=lambda seq: (seq - self._next) & 0xFFFFFFFF):
            again = (self._next - start) & 0xFFFFFFFF
            if start == self._next or again < 1 << 31:
                fresh = self._ahead.pop(start)[again if start != self._next else 0 :]
                self._bytes += fresh
                self._next = (self._next + len(fresh)) & 0xFFFFFFFF
        self._ended = self._ended or ended
        messages = []
        while (message := self._cut()) is not None:
            messages.append(message)
        return messages

    def _cut(self) -> tuple[str, dict[str, str], bytes, bytes] | None:
        data = self._bytes
        if data[:1] in b"\r\n":  # libupnp sends some behind its answers
            data = self._bytes = data.lstrip(b"\r\n")
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        start, *lines = data[: end - 4].decode("latin-1").split("\r\n")
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.strip().upper()] = value.strip()
        cut = _body(data[end:], start, fields, ended=self._ended)
        if cut is None:
            return None
        body, size = cut
        self._bytes = data[end + size :]
        return start, fields, body, data[: end + size]


def _body(
    data: bytes, start: str, fields: dict[str, str], *, ended: bool
) -> tuple[bytes, int] | None:
    """The body that ``data`` begins with, and how many bytes it takes; None when it is not all
    there yet."""
    if fields.get("TRANSFER-ENCODING", "").strip('"').lower() == "chunked":
        body, at = b"", 0
        while (line := re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n").match(data, at)) is not None:
            size = int(line[1], 16)
            chunk = data[line.end() : line.end() + size]
            at = line.end() + size + 2
            if len(data) < at:
                return None
            if size == 0:
                return body, at
            body += chunk
        return None
    if "CONTENT-LENGTH" in fields:
        size = int(fields["CONTENT-LENGTH"])
        return (data[:size], size) if len(data) >= size else None
    if start.startswith("HTTP/") and not re.match(r"HTTP/\S+ (1\d\d|204|304)", start):
        return (data, len(data)) if ended else None
    return b"", 0


def _packet_socket() -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    opened.settimeout(0.2)  # how long closing may take
    return opened


def inside(name: str, call: Callable[[], Any]) -> Any:
    """The result of ``call``, run in the network namespace ``name``. A socket stays in the
    namespace that it was made in."""

    def run() -> Any:
        enter(name)
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def enter(name: str) -> None:
    """Bring the thread that calls into the network namespace ``name``."""
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    with contextlib.closing(os.fdopen(descriptor)):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {name}")
