"""A device made of raw sockets that does what it is told, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Asked", "ScriptedDevice", "granted"]


class Asked:
    """A request that came: SUBSCRIBE, UNSUBSCRIBE or GET."""

    def __init__(self, head: str) -> None:
        self.at = time.monotonic()
        self.method = head.split(" ", 1)[0]
        self.fields = {
            name.strip().upper(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }

    @property
    def is_renewal(self) -> bool:
        return self.method == "SUBSCRIBE" and "SID" in self.fields


Script = Callable[[Asked], bytes | Awaitable[bytes] | None]
"""What is answered to a request: bytes, whatever they are; None closes the connection."""


def granted(sid: str, timeout: str | None = "Second-300") -> bytes:
    """A good answer to SUBSCRIBE."""
    stated = "" if timeout is None else f"TIMEOUT: {timeout}\r\n"
    return f"HTTP/1.1 200 OK\r\nSID: {sid}\r\n{stated}CONTENT-LENGTH: 0\r\n\r\n".encode()


class ScriptedDevice:
    """Serves one event URL, :attr:`event_url`, on the loopback interface.

    ``script`` answers each request; without one it grants, renews what it has granted, and sends
    the initial event. :meth:`notify` sends an event.
    """

    def __init__(self, script: Script | None = None, timeout: str = "Second-300") -> None:
        self.script = script or self.behave
        self.timeout = timeout
        self.asked: list[Asked] = []
        self.sid = ""
        self.value = "0"
        self.seq = itertools.count()
        self.callback = ""
        self._numbers = itertools.count(1)
        self._sending: set[asyncio.Task[int]] = set()
        self._connections: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.start(0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        """Listen, again if it did before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.event_url = f"http://127.0.0.1:{self.port}/events"

    async def stop(self) -> None:
        """Close all connections, listen no more and know no SID."""
        self.sid = ""
        self._server.close()
        for connection in tuple(self._connections):
            connection.close()
        await self._server.wait_closed()
        for task in tuple(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def subscribes(self) -> list[Asked]:
        """The SUBSCRIBE requests that were no renewals."""
        return [each for each in self.asked if each.method == "SUBSCRIBE" and not each.is_renewal]

    def renewals(self) -> list[Asked]:
        return [each for each in self.asked if each.is_renewal]

    # --- what a good device does ---

    def behave(self, asked: Asked) -> bytes:
        if asked.method == "UNSUBSCRIBE":
            return b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"
        if asked.is_renewal:
            if asked.fields["SID"] == self.sid:
                return granted(self.sid, self.timeout)
            return b"HTTP/1.1 412 Precondition Failed\r\nCONTENT-LENGTH: 0\r\n\r\n"
        return self.grant(asked)

    def grant(self, asked: Asked) -> bytes:
        """Grant, and send the initial event a moment later."""
        self.begin(asked)
        self.notify_soon(self.value)
        return granted(self.sid, self.timeout)

    def begin(self, asked: Asked) -> None:
        """Make a SID for a SUBSCRIBE."""
        self.sid = f"uuid:{next(self._numbers)}"
        self.seq = itertools.count()
        self.callback = asked.fields["CALLBACK"].strip("<>")

    def notify_soon(self, value: str, *, seq: int | None = None, sid: str | None = None) -> None:
        """As :meth:`notify`, and nobody waits for the answer."""
        task = asyncio.ensure_future(self.notify(value, seq=seq, sid=sid))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def notify(self, value: str, *, seq: int | None = None, sid: str | None = None) -> int:
        """Send an event and give the status it was answered with. ``seq`` is the next one."""
        self.value = value
        number = next(self.seq) if seq is None else seq
        where = urlsplit(self.callback)
        body = (
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
            f"<e:property><Value>{value}</Value></e:property></e:propertyset>"
        )
        message = (
            f"NOTIFY {where.path} HTTP/1.1\r\nHOST: {where.netloc}\r\nCONTENT-TYPE: text/xml\r\n"
            f"NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: {self.sid if sid is None else sid}\r\n"
            f"SEQ: {number}\r\nCONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n\r\n{body}"
        )
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(message.encode())
            answer = await reader.read()
        finally:
            writer.close()
        return int(answer.split(b" ", 2)[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                asked = Asked(re.sub(r"\r\n\r\n$", "", head))
                self.asked.append(asked)
                answer = self.script(asked)
                if isinstance(answer, Awaitable):
                    answer = await answer
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
        finally:
            self._connections.discard(writer)
            writer.close()
