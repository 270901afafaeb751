"""Wrong and hostile calls of actions, beside a control point and a subscriber that lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from propchange import Device, Service, StateVariable
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Request, Response
from propchange.upnp.action_methods import action
from propchange.upnp.soap import build_call
from tests.asyncio.conftest import RawSubscriber, read_message
from tests.driver.conftest import driven, pytest_generate_tests
from tests.wire import Wire

__all__ = ["driven", "pytest_generate_tests"]

LAMP = "urn:example-org:service:Lamp:1"


class Lamp(Service, type=LAMP):
    level = StateVariable("ui2", maximum=60_000)
    mode = StateVariable("string", allowed=["day", "night"], initial="day")
    note = StateVariable("string", evented=False)

    def __init__(self, never: Any) -> None:
        super().__init__()
        self.never = never
        self.ran: list[int] = []
        self.given = 0
        self.costs = 0.0

    @action
    def set_level(self, level: int) -> None:
        self.ran.append(level)
        self.level = level

    @action
    def set_mode(self, mode: str) -> None:
        self.mode = mode

    @action
    def set_note(self, note: str) -> None:
        self.note = note

    @action(returns=note)
    def get_note(self) -> str:
        self.given += 1
        time.sleep(self.costs)
        return self.note

    @action
    async def wait(self, level: int) -> None:
        self.ran.append(level)
        self.level = level
        await self.never()


def right(level: object, name: str = "SetLevel", **texts: str) -> bytes:
    return build_call(LAMP, name, texts or {"Level": str(level)})


class Wrong(NamedTuple):
    """A request, and the status or the error code that answers it; 0: the connection just ends."""

    name: str
    body: bytes
    answer: int
    lines: tuple[str, ...] = ()
    """Header lines that replace those of their name, or add to them; without a value: left out."""
    first: str = "POST /Lamp/control HTTP/1.1"


def call(name: str, **texts: str) -> bytes:
    return right(0, name, **texts)


PLAIN = right(5)
DEEP = b"<a>" * 5_000 + b"</a>" * 5_000

WRONG = [
    Wrong("a name that a web page controls", PLAIN, 400, ("HOST: evil.example",)),
    Wrong("no HOST", PLAIN, 400, ("HOST:",)),
    Wrong("a web page's POST", PLAIN, 403, ("ORIGIN: http://evil.example",)),
    Wrong("the POST of a sandboxed page", PLAIN, 403, ("ORIGIN: null",)),
    Wrong("a form", PLAIN, 415, ("CONTENT-TYPE: application/x-www-form-urlencoded",)),
    Wrong("a plain text", PLAIN, 415, ("CONTENT-TYPE: text/plain;charset=UTF-8",)),
    Wrong("a file", PLAIN, 415, ("CONTENT-TYPE: multipart/form-data; boundary=text/xml",)),
    Wrong("no content type", PLAIN, 415, ("CONTENT-TYPE:",)),
    Wrong("two SOAPACTIONs", PLAIN, 400, (f'SOAPACTION+: "{LAMP}#SetMode"',)),
    Wrong("no SOAPACTION", PLAIN, -401, ("SOAPACTION:",)),
    Wrong("another SOAPACTION", PLAIN, -401, (f'SOAPACTION: "{LAMP}#SetMode"',)),
    Wrong("another service", PLAIN, -401, ('SOAPACTION: "urn:x-org:service:Lamp:1#SetLevel"',)),
    Wrong("an unknown action", call("Burn", Level="1"), -401, (f'SOAPACTION: "{LAMP}#Burn"',)),
    Wrong("a private method", call("__init__"), -401, (f'SOAPACTION: "{LAMP}#__init__"',)),
    Wrong("the method's own name", call("set_level"), -401, (f'SOAPACTION: "{LAMP}#set_level"',)),
    Wrong("a missing argument", call("SetLevel", Note="x"), -402),
    Wrong("a repeated argument", PLAIN.replace(b"<Level>5", b"<Level>1</Level><Level>5"), -402),
    Wrong("an argument too many", call("SetLevel", Level="1", Self="2"), -402),
    Wrong("ten thousand arguments", PLAIN.replace(b"<Level>", b"<A/>" * 10_000 + b"<Level>"), -402),
    Wrong("no number", right("much"), -402),
    Wrong("an empty number", right(""), -402),
    Wrong("a number of a million digits", right("1" * 1_000_000), -402),
    Wrong("a number of another script", right("५"), -402),
    Wrong("a number beyond the type", right(65_536), -601),
    Wrong("a number beyond the range", right(65_000), -601),
    Wrong(
        "a value that is not allowed",
        call("SetMode", Mode="dusk"),
        -601,
        (f'SOAPACTION: "{LAMP}#SetMode"',),
    ),
    Wrong("no XML", b"level=5", 400),
    Wrong("an empty body", b"", 400),
    Wrong("another document", b"<root/>", 400),
    Wrong("an envelope alone", PLAIN[: PLAIN.index(b"<s:Body>")] + b"</s:Envelope>", 400),
    Wrong("two actions", PLAIN.replace(b"<s:Body>", b"<s:Body><SetMode/>"), 400),
    Wrong("half of a call", PLAIN[: len(PLAIN) // 2], 400),
    Wrong("bytes that are no UTF-8", PLAIN.replace(b">5<", b">\xff\xfe<"), 400),
    Wrong("a surrogate", PLAIN.replace(b">5<", b">&#xD800;<"), 400),
    Wrong("a DTD", b"<!DOCTYPE a>" + PLAIN.partition(b"\n")[2], 400),
    Wrong(
        "entities that explode",
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        + PLAIN.partition(b"\n")[2].replace(b">5<", b">&b;<"),
        400,
    ),
    Wrong("a deep document", PLAIN.replace(b">5<", b">" + DEEP + b"<"), 400),
    Wrong("a body above the cap", b" " * 1_100_000, 413),
    Wrong("GET", b"", 405, (), "GET /Lamp/control HTTP/1.1"),
    Wrong("PUT", PLAIN, 405, (), "PUT /Lamp/control HTTP/1.1"),
    Wrong("the preflight of a browser", b"", 405, ("ORIGIN:",), "OPTIONS /Lamp/control HTTP/1.1"),
    Wrong("M-POST without MAN", PLAIN, 510, (), "M-POST /Lamp/control HTTP/1.1"),
    Wrong("a SUBSCRIBE", b"", 405, ("NT: upnp:event",), "SUBSCRIBE /Lamp/control HTTP/1.1"),
    Wrong("a POST to the event URL", PLAIN, 405, (), "POST /Lamp/event HTTP/1.1"),
    Wrong("a POST to the description", PLAIN, 405, (), "POST /description.xml HTTP/1.1"),
    Wrong("a length that is no number", PLAIN, 400, ("CONTENT-LENGTH: 5x",)),
    Wrong("two lengths", PLAIN, 400, ("CONTENT-LENGTH+: 7",)),
    Wrong("a length and chunks", PLAIN, 400, ("TRANSFER-ENCODING: chunked",)),
    Wrong("a head above the cap", PLAIN, 431, (f"X: {'x' * 20_000}",)),
    Wrong("no HTTP", PLAIN, 400, (), "POST /Lamp/control"),
]


def encode(wrong: Wrong, port: int) -> bytes:
    fields = {
        "HOST": [f"127.0.0.1:{port}"],
        "CONTENT-TYPE": ['text/xml; charset="utf-8"'],
        "SOAPACTION": [f'"{LAMP}#SetLevel"'],
        "CONTENT-LENGTH": [str(len(wrong.body))],
    }
    for line in wrong.lines:
        name, _, value = line.partition(":")
        if name.endswith("+"):
            fields[name[:-1]].append(value.strip())
        else:
            fields[name] = [value.strip()] if value else []
    lines = [f"{name}: {value}" for name, values in fields.items() for value in values]
    return "\r\n".join([wrong.first, *lines, "", ""]).encode() + wrong.body


class Scene:
    """A hosted lamp, a subscriber, and a control point that calls on one connection."""

    def __init__(self, lamp: Lamp, hosted: Any, subscriber: RawSubscriber, wire: Wire) -> None:
        self.lamp = lamp
        self.port: int = hosted.port
        self.subscriber = subscriber
        self.wire = wire
        self.hosted = hosted
        self._good: Any = None
        self._writers: list[asyncio.StreamWriter] = []
        self._called = 0
        self._seq = 0

    async def send(self, data: bytes) -> Any:
        """Send ``data`` on a connection of its own, and return its reader."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(data)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, data: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer to ``data``, on a connection of its own."""
        reader, writer = await self.send(data)
        answer = await asyncio.wait_for(read_message(reader), 20)
        writer.close()
        return answer.status, answer.body

    async def check(self) -> None:
        """A right call is answered and its event arrives, with the next SEQ."""
        if self._good is None:
            self._good = await self.send(b"")
        self._called += 1
        self._seq += 1
        good = Wrong("", right(self._called), 0)
        self._good[1].write(encode(good, self.port))
        answer = await asyncio.wait_for(read_message(self._good[0]), 20)
        assert answer.status == 200
        event = await asyncio.wait_for(self.subscriber.event(), 20)
        assert event == (self._seq, {"Level": str(self._called)})
        assert self.lamp.ran[-1] == self._called


@pytest.fixture
def scene(driven: Any) -> Callable[..., Any]:
    @contextlib.asynccontextmanager
    async def scene(**limits: Any) -> AsyncIterator[Scene]:
        lamp, wire = Lamp(driven.runtime.future), Wire()
        device = Device("House", services=[lamp])
        chosen = replace(DEFAULT_LIMITS, **limits)
        async with (
            RawSubscriber() as subscriber,
            driven.host(device, interface="127.0.0.1", limits=chosen, announce=False) as hosted,
        ):
            await subscriber.subscribe(hosted.port, "/Lamp/event")
            await subscriber.event()
            scene = Scene(lamp, hosted, subscriber, wire)
            try:
                yield scene
            finally:
                await scene.close()
                wire.close()

    return scene


async def test_each_wrong_call_has_its_answer_and_disturbs_nobody(
    scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as at:
        for wrong in WRONG:
            ran = list(at.lamp.ran)
            status, body = await at.answer(encode(wrong, at.port))
            if wrong.answer < 0:
                code = f"<errorCode>{-wrong.answer}</errorCode>".encode()
                assert (status, code in body) == (500, True), (wrong.name, status, body)
                assert len(body) < 2_000, wrong.name
            else:
                assert (status, body) == (wrong.answer, b""), wrong.name
            assert at.lamp.ran == ran, wrong.name
            await at.check()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_all_wrong_calls_at_once_disturb_nobody(scene: Any) -> None:
    async with scene() as at:
        sent = [await at.send(encode(wrong, at.port)) for wrong in WRONG for _ in range(3)]
        for _ in range(10):
            await at.check()
        for _, writer in sent:
            writer.close()


async def test_each_end_of_a_call_runs_it_not_at_all_or_once(scene: Any) -> None:
    """The connection ends after each part of the request."""
    async with scene() as at:
        await at.check()
        whole = encode(Wrong("", right(777), 0), at.port)
        for end in (1, 30, whole.index(b"\r\n\r\n") + 4, len(whole) - 1):
            reader, writer = await at.send(whole[:end])
            writer.write_eof()
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await asyncio.wait_for(reader.read(), 20)
            writer.close()
            assert 777 not in at.lamp.ran
            await at.check()
        peer = await at.wire.dial(at.port)
        await peer.send(whole)
        peer.close()
        async with asyncio.timeout(10):
            while at.lamp.ran.count(777) != 1:
                await asyncio.sleep(0.01)
        assert await asyncio.wait_for(at.subscriber.event(), 20) == (6, {"Level": "777"})
        assert at.lamp.ran.count(777) == 1


async def test_a_flood_of_slow_calls_keeps_neither_calls_nor_events_of_others_for_long(
    scene: Any,
) -> None:
    limits = {"running_actions_per_address": 8, "held_event_seconds": 0.5}
    async with scene(**limits) as at:
        soapaction = (f'SOAPACTION: "{LAMP}#Wait"',)
        flood = [
            await at.send(
                encode(Wrong("", call("Wait", Level=str(1_000 + n)), 0, soapaction), at.port)
            )
            for n in range(40)
        ]
        answers = [asyncio.ensure_future(read_message(reader)) for reader, _ in flood]
        async with asyncio.timeout(20):
            while sum(answer.done() for answer in answers) < 32:
                await asyncio.sleep(0.01)
        refused = [answer.result() for answer in answers if answer.done()]
        assert [answer.status for answer in refused] == [500] * 32
        assert all(b"too many actions are running" in answer.body for answer in refused)
        assert len(at.lamp.ran) == 8
        seen = [await asyncio.wait_for(at.subscriber.event(), 20) for _ in range(8)]
        assert [seq for seq, _ in seen] == list(range(1, 9))
        at._seq = 8
        await at.check()
        for answer, (_, writer) in zip(answers, flood, strict=True):
            answer.cancel()
            writer.close()


async def test_calls_that_come_a_byte_at_a_time_delay_nobody(scene: Any) -> None:
    async with scene() as at:
        whole = encode(Wrong("", right(777), 0), at.port)
        sent = [await at.send(whole[:1]) for _ in range(20)]
        for place in range(1, 120):
            for _, writer in sent:
                writer.write(whole[place : place + 1])
            if not place % 20:
                await at.check()
        for _, writer in sent:
            writer.close()
        assert 777 not in at.lamp.ran


async def test_the_log_says_why_a_request_was_refused(
    scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "propchange.publisher")
    async with scene() as at:
        for wrong in WRONG:
            if wrong.name in ("a plain text", "a number beyond the range"):
                await at.answer(encode(wrong, at.port))
    lines = [r.getMessage() for r in caplog.records if "/Lamp/control" in r.getMessage()]
    assert lines[0].startswith("127.0.0.1 was refused at /Lamp/control with 415: CONTENT-TYPE")
    assert "at /Lamp/control was answered with the error 601: " in lines[1]


async def test_large_calls_of_slow_actions_are_bounded_in_memory(
    scene: Any, until: Callable[..., Any]
) -> None:
    """A call keeps its place in memory until it is answered."""
    async with scene(held_bytes=4_000_000) as at:
        soapaction = (f'SOAPACTION: "{LAMP}#Wait"',)
        large = call("Wait", Level="1").replace(b"<s:Body>", b"<s:Body>" + b" " * 1_000_000)
        sent = [await at.send(encode(Wrong("", large, 0, soapaction), at.port)) for _ in range(12)]
        await until(lambda: len(at.lamp.ran) == 12)
        await until(lambda: sum(reader.at_eof() for reader, _ in sent) >= 8)
        table = at.hosted._host._listener
        assert table._held_bytes <= 4_000_000
        assert len(table._open) <= 5
        # The next call of a host with few bytes is answered.
        status, _ = await at.answer(encode(Wrong("", right(5), 0), at.port))
        assert status == 200


async def test_large_answers_that_are_not_read_are_bounded_in_memory(
    scene: Any, driven: Any, until: Callable[..., Any]
) -> None:
    """A call of a few bytes must not keep a large answer for each of many connections."""
    async with scene(held_bytes=4_000_000) as at:
        for sock in driven.listening_sockets(at.hosted):  # and those that it accepts
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        at.lamp.note = "x" * 1_000_000
        soapaction = (f'SOAPACTION: "{LAMP}#GetNote"',)
        calls = encode(Wrong("", build_call(LAMP, "GetNote", {}), 0, soapaction), at.port) * 3
        for _ in range(12):
            peer = await at.wire.dial(at.port, receive_buffer=4096)
            await peer.send(calls)
        await until(lambda: at.lamp.given >= 12)
        given = 0
        while given < (given := at.lamp.given):
            await asyncio.sleep(0.3)
        table = at.hosted._host._listener
        assert sum(each.transport.unwritten() for each in table._open) <= 4_000_000
        # A peer that reads has all of its answers.
        reader, writer = await at.send(calls)
        for _ in range(3):
            answer = await asyncio.wait_for(read_message(reader), 20)
            assert answer.body.count(b"x") > 1_000_000
        writer.close()
        await at.check()


@pytest.mark.parametrize("reads_soap", [False, True])
async def test_slow_calls_of_several_hosts_leave_connections_for_others(
    scene: Any, until: Callable[..., Any], reads_soap: bool
) -> None:
    """A connection whose answer is being made is not ended, so these calls must be fewer."""

    def on_action(request: Request) -> Any:
        at.lamp.ran.append(1)
        return at.lamp.never()

    async with scene(connections=12, connections_kept_per_address=2) as at:
        at.lamp.on_action = on_action if reads_soap else None
        soapaction = (f'SOAPACTION: "{LAMP}#Wait"',)
        slow = encode(Wrong("", call("Wait", Level="1"), 0, soapaction), at.port)
        for host in range(2, 16):
            peer = await at.wire.dial(at.port, source=f"127.0.0.{host}")
            await peer.send(slow)
        await until(lambda: len(at.lamp.ran) >= 6)
        await asyncio.sleep(0.1)
        newcomer = await at.wire.dial(at.port, source="127.0.0.99")
        if reads_soap:
            await newcomer.send(f"GET / HTTP/1.1\r\nHOST: x:{at.port}\r\n\r\n".encode())
        else:
            await newcomer.send(encode(Wrong("", right(5), 0), at.port))
        answer = await asyncio.wait_for(newcomer.some(), 5)
        assert answer.startswith(b"HTTP/1.1 ")
        assert not answer.startswith(b"HTTP/1.1 503 ")
        assert len(at.lamp.ran) == 6 + (not reads_soap)


@pytest.mark.parametrize("reads_soap", [False, True])
async def test_an_answer_that_is_too_long_is_an_error_that_the_author_hears_of(
    scene: Any, caplog: pytest.LogCaptureFixture, reads_soap: bool
) -> None:
    """It would be ended as if its peer did not read."""
    async with scene() as at:
        if reads_soap:
            at.lamp.on_action = lambda _: Response(200, (), b"x" * 2_100_000)
        soapaction = (f'SOAPACTION: "{LAMP}#GetNote"',)
        ask = encode(Wrong("", build_call(LAMP, "GetNote", {}), 0, soapaction), at.port)
        at.lamp.note = "x" * 2_100_000
        status, body = await at.answer(ask)
        assert status == 500
        assert reads_soap or b"<errorCode>501</errorCode>" in body
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.exc_text is not None
        assert "bytes, and at most" in record.exc_text
        if not reads_soap:
            at.lamp.note = "x" * 2_000_000
            status, body = await at.answer(ask)
            assert (status, body.count(b"x" * 1_000)) == (200, 2_000)
            await at.check()


async def test_costly_calls_of_many_connections_do_not_stop_the_loop(scene: Any) -> None:
    """Each connection brings one, and all arrive in the same turn of the loop."""
    many, in_one_turn = 40, [0]

    async def watch() -> None:
        while True:
            before = at.lamp.given
            await asyncio.sleep(0)
            in_one_turn.append(at.lamp.given - before)

    async with scene() as at:
        at.lamp.costs = 0.008
        soapaction = (f'SOAPACTION: "{LAMP}#GetNote"',)
        ask = encode(Wrong("", build_call(LAMP, "GetNote", {}), 0, soapaction), at.port)
        peers = [await at.wire.dial(at.port) for _ in range(many)]
        await at.check()
        watching = asyncio.ensure_future(watch())
        for peer in peers:
            peer.sock.send(ask)  # without a turn of the loop in between
        for peer in peers:
            assert (await asyncio.wait_for(peer.some(), 20)).startswith(b"HTTP/1.1 200 ")
        watching.cancel()
        assert at.lamp.given == many
        assert max(in_one_turn) <= 8
