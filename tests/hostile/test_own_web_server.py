"""Attacks on a web server that passes requests on to a control point and a device, beside a
subscriber and a subscription that lose no event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange import ControlPoint, Device, Service, StateVariable, Status, host
from propchange.asgi import application
from propchange.core.limits import DEFAULT_LIMITS
from tests.asgi.uvicorn_server import PARSERS, UvicornServer
from tests.asyncio.conftest import RawDevice, RawSubscriber

LIMITS = replace(
    DEFAULT_LIMITS, read_seconds=0.4, linger_seconds=0.1, held_bytes=300_000, body_bytes=100_000
)
EVENTS = 40


class Counter(Service, type="urn:example-org:service:Counter:1"):
    count = StateVariable("ui4", initial=0)


class Attacked:
    """A device and a control point on uvicorn."""

    def __init__(self, server: UvicornServer, hosted: Any, point: ControlPoint) -> None:
        self.server = server
        self.hosted = hosted
        self.point = point
        self.path = ""

    async def exchange(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Send ``pieces`` over a connection of its own, and return all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        answers = b""

        async def read() -> None:
            nonlocal answers
            with contextlib.suppress(ConnectionError):  # behind the answer
                while piece := await reader.read(65_536):
                    answers += piece

        try:
            reading = asyncio.ensure_future(read())
            for piece in pieces:
                if answers or reading.done():
                    break
                writer.write(piece.replace(b"{host}", self.server.authority.encode()))
                await asyncio.sleep(pause)
            async with asyncio.timeout(10):
                await reading
            return answers
        finally:
            writer.transport.abort()

    def held(self) -> list[int]:
        """The bytes and the number of the bodies that are held."""
        both = (self.hosted._passed_bodies, self.point._passed_bodies)
        return [each._held_bytes + len(each._arriving) for each in both]


def head(line: str, *fields: str, host: str = "{host}") -> bytes:
    lines = (f"{line} HTTP/1.1", f"HOST: {host}", "CONNECTION: close", *fields)
    return "\r\n".join((*lines, "", "")).encode()


EVENT = ("NT: upnp:event", "NTS: upnp:propchange", "SID: uuid:1", "SEQ: 1")
NOTIFY = "NOTIFY /events/x"
SUBSCRIBE = "SUBSCRIBE /upnp/Counter/event"
CALLBACK = ("NT: upnp:event", "CALLBACK: <http://127.0.0.1:9/>")
CHUNKS = "TRANSFER-ENCODING: chunked"

ATTACKS: dict[str, tuple[list[bytes], float, set[int]]] = {
    "a slow body": (
        [head(NOTIFY, *EVENT, "CONTENT-LENGTH: 1000"), *[b"x"] * 200],
        0.02,
        {408},
    ),
    "a body that does not come": (
        [head("POST /upnp/Counter/control", "CONTENT-LENGTH: 9")],
        0.0,
        {408},
    ),
    "a huge length": ([head(NOTIFY, *EVENT, "CONTENT-LENGTH: 999999999999")], 0.0, {413}),
    "a body that is too large": (
        [head(SUBSCRIBE, *CALLBACK, CHUNKS), *[b"2000\r\n" + b"x" * 8_192 + b"\r\n"] * 20],
        0.0,
        {413, 503},
    ),
    "many header lines": (
        [head(NOTIFY, *EVENT, *(f"X-{number}: y" for number in range(200)))],
        0.0,
        {431},
    ),
    "a large header": ([head(NOTIFY, *EVENT, "X: " + "y" * 30_000)], 0.0, {431}),
    "a long target": ([head("GET /upnp/" + "x" * 5_000)], 0.0, {414}),
    "a name that a web page controls": ([head(NOTIFY, *EVENT, host="evil.example")], 0.0, {400}),
    "a web page": (
        [head("POST /upnp/Counter/control", "ORIGIN: http://evil.example", "CONTENT-LENGTH: 0")],
        0.0,
        {403},
    ),
    "another name for the description": (
        [head("GET /upnp/description.xml", host="evil.example")],
        0.0,
        {400},
    ),
    "no HOST": ([b"GET /upnp/description.xml HTTP/1.1\r\nConnection: close\r\n\r\n"], 0.0, {400}),
    "a delivery URL of somebody else": (
        [head(SUBSCRIBE, "NT: upnp:event", "CALLBACK: <http://198.51.100.1/>")],
        0.0,
        {412},
    ),
    "a guessed token": ([head(NOTIFY, *EVENT)], 0.0, {412}),
    "a SID beside a guessed token": ([head(NOTIFY, *EVENT, "CONTENT-LENGTH: 0")], 0.0, {412}),
    "two lengths of one body": (
        [head(NOTIFY, *EVENT, "CONTENT-LENGTH: 4", CHUNKS), b"0\r\n\r\n"],
        0.0,
        {400},
    ),
    "trailers that look like a header": (
        [head(NOTIFY, CHUNKS), b"0\r\nSID: uuid:1\r\nNT: upnp:event\r\n\r\n"],
        0.0,
        {400, 412},
    ),
    "a way out of the prefix": ([head("GET /upnp/../upnp/description.xml")], 0.0, {404}),
    "an escaped way out": ([head("GET /upnp/%2e%2e/description.xml")], 0.0, {404}),
    "an unknown method": ([head("LOCK /events/x")], 0.0, {405}),
    "a tunnel": (
        [b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHOST: {host}\r\n\r\n"],
        0.0,
        {400, 404, 405},
    ),
    "another protocol": (
        [
            head("GET /upnp/", "UPGRADE: websocket", "CONNECTION: upgrade").replace(
                b"CONNECTION: close\r\n", b""
            )
            + head("GET /upnp/")
        ],
        0.0,
        {404, 400, 426},
    ),
    "HTTP/1.0": ([b"NOTIFY /events/x HTTP/1.0\r\n\r\n"], 0.0, {400}),
}


@contextlib.asynccontextmanager
async def attacked(parser: str) -> AsyncIterator[tuple[Attacked, Counter]]:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    server = UvicornServer(parser)
    counter = Counter()
    hosted = host(
        Device("Counter", services=[counter]),
        listen=False,
        url=f"http://{server.authority}/upnp",
        announce=False,
        limits=LIMITS,
    )
    point = ControlPoint(
        listen=False,
        callback_url=f"http://{server.authority}/events/{{token}}",
        discovery=False,
        limits=LIMITS,
    )
    mounts = [Mount("/upnp", application(hosted)), Mount("/events", application(point))]
    server.application = Starlette(routes=mounts)
    async with server, hosted, point:
        yield Attacked(server, hosted, point), counter


async def beside(it: Attacked, counter: Counter, attack: Callable[[], Awaitable[None]]) -> None:
    """Run ``attack`` beside a subscriber and a subscription, each of which gets ``EVENTS``."""
    async with (
        RawSubscriber() as subscriber,
        RawDevice() as device,
        it.point.subscribe_url(device.event_url) as subscription,
    ):
        callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
        granted = await subscriber.subscribe(it.server.port, "/upnp/Counter/event")
        assert granted.status == 200
        assert await subscriber.event() == (0, {"Count": "0"})
        attacking = asyncio.ensure_future(attack())
        for number in range(EVENTS):
            counter.count = number + 1
            assert await subscriber.event() == (number + 1, {"Count": str(number + 1)})
            answer = await device.notify(callback, "uuid:1", number, A=str(number))
            assert answer.status == 200
            assert (await anext(subscription)).changes["A"] == str(number)
        await attacking
        assert subscription.status is Status.ACTIVE
        assert subscription.losses == 0
        assert len(it.hosted.subscriptions) == 1
    assert it.held() == [0, 0]


def statuses(answers: bytes) -> list[int]:
    heads = answers.split(b"HTTP/1.1 ")[1:]
    return [int(each[:3]) for each in heads]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("name", ATTACKS)
async def test_each_gets_its_status_and_nobody_else_loses_an_event(parser: str, name: str) -> None:
    pieces, pause, expected = ATTACKS[name]

    async def attack() -> None:
        asked = (it.exchange(*pieces, pause=pause) for _ in range(10))
        answers = await asyncio.gather(*asked)
        for answer in answers:
            assert {*statuses(answer)} & (
                expected | {400} if is_framing(parser, name) else expected
            )
            assert b"Traceback" not in answer

    async with attacked(parser) as (it, counter):
        await beside(it, counter, attack)


def is_framing(parser: str, name: str) -> bool:
    """Whether uvicorn answers the request itself."""
    return (parser, name) in {
        ("h11", "no HOST"),
        ("h11", "two lengths of one body"),
        ("httptools", "two lengths of one body"),
    }


@pytest.mark.parametrize("parser", PARSERS)
async def test_peers_that_go_away_in_their_bodies_leave_nothing(parser: str) -> None:
    async def attack() -> None:
        for _ in range(5):
            for line, fields in ((NOTIFY, EVENT), (SUBSCRIBE, CALLBACK)):
                begun = head(line, *fields, "CONTENT-LENGTH: 90000") + b"x" * 9_000
                _, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
                writer.write(begun.replace(b"{host}", it.server.authority.encode()))
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.transport.abort()
        await asyncio.sleep(0.05)

    async with attacked(parser) as (it, counter):
        await beside(it, counter, attack)


@pytest.mark.parametrize("parser", PARSERS)
async def test_pipelined_requests_are_answered_in_order(parser: str) -> None:
    asked = [head(NOTIFY, *EVENT), head("GET /upnp/description.xml"), head("LOCK /upnp/x")]
    kept = [each.replace(b"CONNECTION: close\r\n", b"") for each in asked] * 10
    found: list[int] = []

    async def attack() -> None:
        found.extend(statuses(await it.exchange(b"".join(kept) + head(NOTIFY, *EVENT))))

    async with attacked(parser) as (it, counter):
        await beside(it, counter, attack)
    assert found == [412, 200, 404] * 10 + [412]


@pytest.mark.parametrize("parser", PARSERS)
async def test_bodies_of_many_connections_hold_no_more_than_the_cap(parser: str) -> None:
    """Each holds less than a body may have; all together more than their cap."""
    answers: list[int] = []
    most = 0

    async def attack() -> None:
        begun = head(NOTIFY, *EVENT, "CONTENT-LENGTH: 90000")
        pieces = [begun, *[b"x" * 10_000] * 8]
        flood = [asyncio.ensure_future(it.exchange(*pieces, pause=0.01)) for _ in range(20)]
        nonlocal most
        while not all(each.done() for each in flood):
            most = max(most, sum(it.held()))
            await asyncio.sleep(0.005)
        for each in flood:
            answers.extend(statuses(each.result()))

    async with attacked(parser) as (it, counter):
        await beside(it, counter, attack)
    assert most <= LIMITS.held_bytes + 20
    assert {*answers} == {408, 503}
