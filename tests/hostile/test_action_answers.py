"""Devices that answer calls of actions wrongly, against the control points of both runtimes.

Each wrong answer is the documented exception. The subscription to the same device stays as it is,
the next call works, and no connection is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event
from propchange.errors import (
    ActionError,
    ConnectionFailed,
    RemoteProtocolError,
    TimedOut,
)
from propchange.upnp.soap import build_answer, build_fault
from tests.asyncio.conftest import DESCRIPTION, RawDevice, read_message
from tests.hostile.fronts import point, result

__all__ = ["point"]

TYPE = "urn:example-org:service:Thermometer:1"
LIMITS = replace(DEFAULT_LIMITS, body_bytes=65_536, action_arguments=8)
SECONDS = 0.3
"""The timeout of a call that is not answered."""

SCPD = b"""<scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList><action><name>Heat</name>
<argumentList><argument><name>Wanted</name><direction>in</direction>
<relatedStateVariable>Target</relatedStateVariable></argument><argument><name>Reached</name>
<direction>out</direction><relatedStateVariable>Target</relatedStateVariable></argument>
</argumentList></action></actionList><serviceStateTable>
<stateVariable sendEvents="yes"><name>Temperature</name><dataType>r4</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Target</name><dataType>ui2</dataType></stateVariable>
</serviceStateTable></scpd>"""


def http(body: bytes = b"", status: int = 200, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\n{more}CONTENT-LENGTH: {len(body)}\r\n\r\n"
    return head.encode() + body


def soap(**texts: str) -> bytes:
    return build_answer(TYPE, "Heat", texts)


GOOD = http(soap(Reached="21"))

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def end_with(data: bytes) -> Play:
    """Answer with ``data``, and end the connection."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return play


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte of the header at a time, without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


def flood(first: bytes, piece: bytes) -> Play:
    """``piece`` again and again, until the control point ends the connection."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    return play


_BOMB = b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>'
_DEEP = b"<a>" * 5_000 + b"</a>" * 5_000
_MANY = "".join(f"<A{number}>1</A{number}>" for number in range(9))

WRONG: dict[str, tuple[bytes | Play, type[Exception], str]] = {
    "silence": (b"", TimedOut, r"may have run"),
    "half a head": (b"HTTP/1.1 200 OK\r\nCONT", TimedOut, "may have run"),
    "half a body": (GOOD[:-5], TimedOut, "may have run"),
    "a byte at a time": (drip, TimedOut, "may have run"),
    "interim answers alone": (b"HTTP/1.1 100 Continue\r\n\r\n", TimedOut, "may have run"),
    "an end": (end_with(b""), ConnectionFailed, "may have run"),
    "a reset": (reset, ConnectionFailed, "may have run"),
    "an end in the head": (end_with(GOOD[:20]), ConnectionFailed, "may have run"),
    "an end in the body": (end_with(GOOD[:-5]), ConnectionFailed, "may have run"),
    "an end in a chunk": (
        end_with(b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked\r\n\r\nff\r\n<"),
        ConnectionFailed,
        "may have run",
    ),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", RemoteProtocolError, "status line"),
    "HTTP/2": (b"HTTP/2 200\n\n", RemoteProtocolError, "status line"),
    "an endless header": (
        flood(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
        RemoteProtocolError,
        "header of the response is too large",
    ),
    "endless interim answers": (
        flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        RemoteProtocolError,
        "interim",
    ),
    "an endless body": (
        flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 10_000),
        RemoteProtocolError,
        "body is too large",
    ),
    "endless chunks": (
        flood(b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
        RemoteProtocolError,
        "chunks are too small",
    ),
    "a length beyond the cap": (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 65537\r\n\r\n",
        RemoteProtocolError,
        "too large",
    ),
    "a length that is none": (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: many\r\n\r\n",
        RemoteProtocolError,
        "Content-Length",
    ),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 1\r\nCONTENT-LENGTH: 2\r\n\r\nxx",
        RemoteProtocolError,
        "Content-Length",
    ),
    "a coding": (
        b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: gzip, chunked\r\n\r\n0\r\n\r\n",
        RemoteProtocolError,
        "transfer coding",
    ),
    "a body in gzip": (
        http(gzip.compress(soap(Reached="1")), more="CONTENT-ENCODING: gzip\r\n"),
        RemoteProtocolError,
        "cannot be read",
    ),
    "a page of HTML": (
        http(b"<html><body>Log in<br></body></html>"),
        RemoteProtocolError,
        "cannot be read",
    ),
    "an entity": (http(_BOMB), RemoteProtocolError, "cannot be read"),
    "deep elements": (http(_DEEP), RemoteProtocolError, "cannot be read"),
    "another document": (http(SCPD), RemoteProtocolError, "no envelope"),
    "too many arguments": (
        http(soap(Reached="1").replace(b"<Reached>1</Reached>", _MANY.encode())),
        RemoteProtocolError,
        "at most 8",
    ),
    "404": (http(status=404), RemoteProtocolError, "status 404"),
    "503 with text": (http(b"busy", 503), RemoteProtocolError, "status 503"),
    "500 without a fault": (http(status=500), RemoteProtocolError, "status 500"),
    "an answer with the status 500": (
        http(soap(Reached="1"), 500),
        RemoteProtocolError,
        "status 500",
    ),
    "101": (b"HTTP/1.1 101 X\r\nUPGRADE: h2c\r\n\r\n", RemoteProtocolError, "status 101"),
    "304": (http(status=304), RemoteProtocolError, "status 304"),
    "a redirect without an end": (
        http(status=307, more="LOCATION: /control\r\n"),
        RemoteProtocolError,
        "status 307",
    ),
    "a redirect to another host": (
        http(status=307, more="LOCATION: http://192.0.2.9/control\r\n"),
        RemoteProtocolError,
        "another host|leads to",
    ),
    "a redirect to https": (
        http(status=307, more="LOCATION: https://127.0.0.1/control\r\n"),
        RemoteProtocolError,
        "status 307",
    ),
    "a fault": (http(build_fault(701, "no")), ActionError, "701: no"),
    "a fault without a code": (
        http(build_fault(701, "no").replace(b"<errorCode>701</errorCode>", b""), 500),
        ActionError,
        "501",
    ),
    "a fault with a code that is no number": (
        http(build_fault(701, "no").replace(b">701<", b">NaN<"), 500),
        ActionError,
        "501",
    ),
    "a fault with control characters": (
        http(build_fault(701, "\u202eno"), 500),
        ActionError,
        r"701: \\u202eno",
    ),
}


class Subscribed:
    """A subscription to the service of a device, and what it has received."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    @property
    def temperatures(self) -> list[float]:
        return [each.changes["Temperature"] for each in self.items if isinstance(each, Event)]

    @contextlib.asynccontextmanager
    async def to(self, service: Any) -> AsyncIterator[None]:
        if type(service).__module__.startswith("propchange.asyncio"):
            async with service.subscribe() as subscription:
                reading = asyncio.ensure_future(self._read(subscription))
                yield
                reading.cancel()
            return
        subscription = service.subscribe(self.items.append, on_status=self.items.append, wait=True)
        await result(subscription.when_granted)
        yield

    async def _read(self, subscription: Any) -> None:
        async for item in subscription.updates():
            self.items.append(item)


class Oven:
    """A device with a service that is subscribed to, and a control URL with a script."""

    def __init__(self, raw: RawDevice, play: bytes | Play) -> None:
        self.raw = raw
        self.play: bytes | Play = play
        self.calls = 0
        self.most_open = 0
        self.open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        self.most_open = max(self.most_open, len(self.open))
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await read_message(reader)
                    self.calls += 1
                    if callable(self.play):
                        await self.play(reader, writer)
                    else:
                        writer.write(self.play)
        finally:
            self.open.discard(writer)
            writer.close()

    async def event(self, temperature: float) -> int:
        callback = self.raw.of("SUBSCRIBE")[-1].fields["callback"].strip("<>")
        seq, self.seq = self.seq, self.seq + 1
        answer = await self.raw.notify(callback, "uuid:1", seq, Temperature=str(temperature))
        return answer.status

    seq = 0


@contextlib.asynccontextmanager
async def oven_of(play: bytes | Play) -> AsyncIterator[Oven]:
    async with RawDevice() as raw:
        oven = Oven(raw, play)
        server = await asyncio.start_server(oven.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        raw.documents["/scpd.xml"] = SCPD
        raw.documents["/description.xml"] = DESCRIPTION.replace(
            b">/control<", f">http://127.0.0.1:{port}/control<".encode()
        )
        yield oven
        server.close()
        for writer in tuple(oven.open):
            writer.transport.abort()
        await server.wait_closed()


@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_answer_is_the_documented_error_and_disturbs_nothing_else(
    point: Any, until: Any, kind: str
) -> None:
    play, error, words = WRONG[kind]
    async with oven_of(play) as oven, point(limits=LIMITS) as (control_point, _):
        device = await result(control_point.device(oven.raw.description_url))
        service, subscribed = device["Thermometer"], Subscribed()
        async with subscribed.to(service):
            assert await oven.event(1.0) == 200
            with pytest.raises(error, match=words) as raised:
                await result(service.call("Heat", Wanted=20, timeout=SECONDS))
            if not isinstance(raised.value, ActionError):
                assert str(raised.value).startswith("Heat of Thermometer of 'Raw'")
            redirects = LIMITS.redirects if kind == "a redirect without an end" else 0
            assert oven.calls == 1 + redirects
            # What the last call has left behind is not taken for the next answer.
            oven.play = GOOD
            for wanted in (20, 21):
                assert await result(service.call("Heat", Wanted=wanted)) == {"Reached": 21}
            assert await oven.event(2.0) == 200
            await until(lambda: subscribed.temperatures == [1.0, 2.0])
            statuses = [each.status.value for each in subscribed.items if hasattr(each, "status")]
            assert set(statuses) <= {"subscribing", "active"}
            assert len(oven.raw.of("SUBSCRIBE")) == 1
    await until(lambda: not oven.open)
    assert oven.raw.open == 0


DEVIATING = {
    "no body": (http(), {}),
    "204": (b"HTTP/1.1 204 X\r\n\r\n", {}),
    "a value that is none": (http(soap(Reached="hot")), {"Reached": None}),
    "a value out of its type's range": (http(soap(Reached="70000")), {"Reached": None}),
    "another name of the response": (
        http(soap(Reached="1").replace(b"HeatResponse", b"SetHeatResponse")),
        {"Reached": 1},
    ),
    "an argument of another name": (http(soap(Other="1")), {"Other": "1"}),
    "no content type, a SID and a cookie": (
        http(soap(Reached="1"), more="SID: uuid:other\r\nSET-COOKIE: a=b\r\n"),
        {"Reached": 1},
    ),
    "HTTP/1.0 without a length": (
        end_with(b"HTTP/1.0 200 OK\r\n\r\n" + soap(Reached="1")),
        {"Reached": 1},
    ),
    "bare line feeds": (http(soap(Reached="1")).replace(b"\r\n", b"\n"), {"Reached": 1}),
    "two answers": (http(soap(Reached="1")) + GOOD, {"Reached": 1}),
}


@pytest.mark.parametrize("kind", DEVIATING)
async def test_a_deviation_with_one_meaning_is_read(point: Any, until: Any, kind: str) -> None:
    play, outputs = DEVIATING[kind]
    async with oven_of(play) as oven, point(limits=LIMITS) as (control_point, _):
        device = await result(control_point.device(oven.raw.description_url))
        service = device["Thermometer"]
        assert await result(service.call("Heat", Wanted=20, timeout=5)) == outputs
        assert oven.calls == 1
        oven.play = GOOD
        assert await result(service.call("Heat", Wanted=20)) == {"Reached": 21}
    await until(lambda: not oven.open)


async def test_many_calls_that_are_not_answered_leave_the_device_few_connections(
    point: Any, until: Any
) -> None:
    async with oven_of(b"") as oven, point(limits=LIMITS) as (control_point, _):
        device = await result(control_point.device(oven.raw.description_url))
        service = device["Thermometer"]
        calls = [
            asyncio.ensure_future(result(service.call("Heat", Wanted=20, timeout=SECONDS)))
            for _ in range(50)
        ]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in errors} == {TimedOut}
        # The device may see an end after the next connection.
        assert oven.most_open <= 2 * LIMITS.requests_per_device
        sent = ["may have run" in str(each) for each in errors]
        assert oven.calls <= sum(sent)
        await until(lambda: not oven.open)
