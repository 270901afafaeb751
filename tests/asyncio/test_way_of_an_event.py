"""How many functions of propchange an event passes, from an assignment to the socket and from the
socket to the application. Each of them costs time, and somebody who follows an event reads it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import propchange
from propchange import ControlPoint, Device, Service, StateVariable, host

pytestmark = pytest.mark.one_loop  # uvloop's transport is no Python function

SOURCES = str(Path(propchange.__file__).parent)
OK = b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-1800\r\nCONTENT-LENGTH: 0\r\n\r\n"
BODY = (
    b'<?xml version="1.0"?><e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    b"<e:property><Temperature>20</Temperature></e:property></e:propertyset>"
)


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


@contextmanager
def walk(*, until_written: bool) -> Iterator[list[str]]:
    """The functions of propchange that are called, until the socket is written to."""
    called: list[str] = []
    written = False

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal written
        if event == "c_call" and getattr(argument, "__name__", "") == "send":
            written = until_written
        code = frame.f_code
        if event != "call" or written:
            return
        if code.co_filename.startswith(SOURCES) and not code.co_name.startswith("<"):
            called.append(f"{code.co_filename[len(SOURCES) + 1 :]} {code.co_qualname}")

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


async def test_an_assignment_reaches_the_socket_in_26_calls() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def subscriber(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                assert length is not None
                await arrived.put(await reader.readexactly(int(length[1])))
                writer.write(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n")

    thermometer = Thermometer()
    server = await asyncio.start_server(subscriber, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with host(Device("x", services=[thermometer]), interface="127.0.0.1") as hosted:
        async with ControlPoint() as point:
            device = await point.device(hosted.description_url)
            path = "/" + device["Thermometer"].event_url.split("/", 3)[3]
        reader, writer = await asyncio.open_connection("127.0.0.1", hosted.port)
        writer.write(
            f"SUBSCRIBE {path} HTTP/1.1\r\nHOST: 127.0.0.1:{hosted.port}\r\nNT: upnp:event\r\n"
            f"CALLBACK: <http://127.0.0.1:{port}/>\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        for value in (21.0, 22.0):  # over a connection that is kept alive from the first on
            await arrived.get()
            thermometer.temperature = value
        await arrived.get()
        assert await hosted.drain(5)
        with walk(until_written=True) as called:
            thermometer.temperature = 23.0
            await arrived.get()
        writer.close()
    server.close()
    assert len(called) <= 26, "\n".join(called)


async def test_an_event_reaches_the_application_in_32_calls() -> None:
    asked: asyncio.Future[re.Match[bytes]] = asyncio.get_running_loop().create_future()

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
        if callback := re.search(rb"(?i)callback: *<http://([^/]*)(/[^>]*)>", head):
            asked.set_result(callback)

    server = await asyncio.start_server(device, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        ControlPoint() as point,
        point.subscribe_url(f"http://127.0.0.1:{port}/event") as subscription,
    ):
        callback = await asked
        address, _, callback_port = callback[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(address, int(callback_port))

        async def notify(seq: int) -> None:
            writer.write(
                b"NOTIFY %b HTTP/1.1\r\nHOST: %b\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
                b"SID: uuid:1\r\nSEQ: %d\r\nCONTENT-LENGTH: %d\r\n\r\n%b"
                % (callback[2], callback[1], seq, len(BODY), BODY)
            )
            await reader.readuntil(b"\r\n\r\n")

        for seq in range(3):
            await notify(seq)
            await anext(subscription)
        waiting = asyncio.ensure_future(subscription.__anext__())
        await asyncio.sleep(0)
        with walk(until_written=False) as called:
            await notify(3)
            assert (await waiting).seq == 3
        writer.close()
    server.close()
    assert len(called) <= 32, "\n".join(called)
