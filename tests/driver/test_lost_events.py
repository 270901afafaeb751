"""Events that do not come whole, cannot be read or come under another SID, over sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.subscriber.events import Cause, Status, StatusChange
from tests.driver.test_control_point import Held, opened, subscribe

pytestmark = pytest.mark.slow  # waits until a loss is certain, and for the repair

Until = Callable[[Callable[[], object]], Awaitable[None]]

BODY = (
    b"<e:propertyset xmlns:e='urn:schemas-upnp-org:event-1-0'><e:property><A>1</A></e:property>"
    b"</e:propertyset>"
)


def event(record: Any, seq: int = 1, body: bytes = BODY, length: str | None = None) -> bytes:
    """The bytes of an event. ``length``: other lines than its CONTENT-LENGTH."""
    url = urlsplit(record.callback)
    length = f"CONTENT-LENGTH: {len(body)}" if length is None else length
    head = (
        f"NOTIFY {url.path} HTTP/1.1\r\nHOST: {url.netloc}\r\nNT: upnp:event\r\n"
        f"NTS: upnp:propchange\r\nSID: {record.sid}\r\nSEQ: {seq}\r\n{length}\r\n\r\n"
    )
    return head.encode() + body


async def connect(record: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(record.callback)
    return await asyncio.open_connection(url.hostname, url.port)


async def send(record: Any, data: bytes, *, end: str = "close") -> None:
    """Send ``data`` on a connection of its own, then ``end`` it: by a FIN or a reset."""
    reader, writer = await connect(record)
    writer.write(data)
    await writer.drain()
    if end == "reset":
        sock: socket.socket = writer.get_extra_info("socket")
        await asyncio.sleep(0.02)  # a reset destroys what is not read yet
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return
    if end == "close":
        writer.write_eof()
    await reader.read()
    writer.close()


class Active:
    """A subscription that has had its initial event, A=1."""

    def __init__(self, driver: Any, held: Held, record: Any, device: Any) -> None:
        self.driver, self.held, self.record, self.device = driver, held, record, device

    @property
    def causes(self) -> list[tuple[Status, Cause]]:
        return [(it.status, it.cause) for it in self.held.items if isinstance(it, StatusChange)]


@asynccontextmanager
async def active(
    driven: Any, raw_device: Any, until: Until, *, duration: str = "Second-1800", **limits: Any
) -> AsyncIterator[Active]:
    async with raw_device() as device, opened(driven, **limits) as driver:
        device.answers["SUBSCRIBE"] = lambda request: device.grant(request, timeout=duration)
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 200
        await until(lambda: record.status is Status.ACTIVE)
        held.items.clear()
        yield Active(driver, held, record, device)


CUT = {
    "inside the body": lambda record: event(record)[:-20],
    "before the body": lambda record: event(record)[: -len(BODY)],
    "inside the head": lambda record: event(record).partition(b"\r\nSEQ")[0],
    "behind the target": lambda record: event(record).partition(b"HTTP/1.1")[0],
    "inside a chunk": lambda record: event(
        record, body=b"40\r\n" + BODY[:64], length="TRANSFER-ENCODING: chunked"
    ),
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
async def test_an_event_that_is_cut_is_said_and_a_fresh_subscription_restores_the_state(
    driven: Any, raw_device: Any, until: Until, cut: Any, end: str
) -> None:
    async with active(driven, raw_device, until) as it:
        await send(it.record, cut(it.record), end=end)
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        await until(lambda: len(it.device.of("SUBSCRIBE")) == 2 and it.record.granted_at)
        await it.device.notify(it.record.callback, it.record.sid, 0, A="7")
        await until(lambda: it.record.status is Status.ACTIVE)
        assert it.record.values == {"A": "7"}
        assert [request.fields["sid"] for request in it.device.of("UNSUBSCRIBE")] == ["uuid:1"]


async def test_the_second_event_of_a_connection_that_is_cut_is_a_loss_too(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until) as it:
        await send(it.record, event(it.record, 1) + event(it.record, 2)[:-5], end="reset")
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        assert it.record.values == {"A": "1"}


STRAY = {
    "an event of nobody": b"NOTIFY /nobody HTTP/1.1\r\nHOST: %b\r\nNT: upnp:event\r\n"
    b"NTS: upnp:propchange\r\nSID: uuid:nobody\r\nSEQ: 0\r\nCONTENT-LENGTH: 0\r\n\r\n",
    "another method": b"GET / HTTP/1.1\r\nHOST: %b\r\n\r\n",
}


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
async def test_an_event_that_is_cut_behind_a_refused_request_is_lost(
    driven: Any, raw_device: Any, until: Until, cut: Any, stray: bytes
) -> None:
    async with active(driven, raw_device, until) as it:
        before = stray % urlsplit(it.record.callback).netloc.encode()
        await send(it.record, before + cut(it.record))
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])


UNREADABLE = {
    "its first bytes are missing": lambda record: event(record)[20:],
    "other bytes come first": lambda record: b"\xef\xbb\xbf" + event(record),
    "its path is mangled": lambda record: event(record).replace(b" /", b" /x", 1),
    "its method is mangled": lambda record: b"notify" + event(record)[6:],
    "its lines are in another order": lambda record: b"X: y\r\n" + event(record),
    "it is cut inside the path": lambda record: event(record)[:12],
    "it is cut inside the method": lambda record: event(record)[:1],
    "an answer comes first": lambda record: b"HTTP/1.1 200 OK\r\n\r\n" + event(record),
}


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("made", UNREADABLE.values(), ids=UNREADABLE)
async def test_one_event_whose_beginning_is_mangled_is_lost(
    driven: Any, raw_device: Any, until: Until, made: Any, pieces: int
) -> None:
    async with active(driven, raw_device, until, doubt_seconds=0.1) as it:
        reader, writer = await connect(it.record)
        data = made(it.record)
        size = max(1, len(data) // pieces)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await asyncio.sleep(0.005)
        writer.write_eof()
        await reader.read()
        writer.close()
        await until(lambda: it.record.status is Status.RESUBSCRIBING)
        diagnosis = await driven.run(it.driver.diagnose(it.record))
        assert not diagnosis.well


@pytest.mark.parametrize("sent", [0, 30, 150, -5], ids=["nothing", "a line", "a head", "a body"])
async def test_an_event_that_stalls_is_said_long_before_its_connection_ends(
    driven: Any, raw_device: Any, until: Until, sent: int
) -> None:
    async with active(driven, raw_device, until, stall_seconds=0.2) as it:
        connections = [await connect(it.record) for _ in range(1 if sent else 3)]
        for _, writer in connections:
            writer.write(event(it.record)[:sent])
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        for _, writer in connections:
            writer.close()


async def test_an_event_that_is_never_whole_is_answered_408_and_lost(
    driven: Any, raw_device: Any, until: Until
) -> None:
    limits = {"read_seconds": 0.3, "stall_seconds": 0.25, "doubt_seconds": 0.1}
    async with active(driven, raw_device, until, **limits) as it:
        reader, writer = await connect(it.record)
        for start in range(0, 40, 10):
            writer.write(event(it.record)[start : start + 10])
            await asyncio.sleep(0.04)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        writer.close()


async def test_events_that_find_no_room_in_our_own_listener_are_lost(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until, connections_per_address=1) as it:
        connections = [(await connect(it.record))[1] for _ in range(4)]
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        assert "brought no event: there was no room for them" in it.record.status_reason
        for writer in connections:
            writer.close()


async def test_an_event_that_comes_slowly_is_not_taken_for_cut(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until, stall_seconds=0.4) as it:
        reader, writer = await connect(it.record)
        data = event(it.record)
        for start in range(0, len(data), 40):
            writer.write(data[start : start + 40])
            await asyncio.sleep(0.1)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.5)
        assert it.causes == []
        writer.close()


REFUSED = {
    "too large": (413, lambda record: event(record, body=b"", length="CONTENT-LENGTH: 99999999")),
    "a length that is no number": (
        400,
        lambda record: event(record, length="CONTENT-LENGTH: many"),
    ),
    "two lengths": (
        400,
        lambda record: event(record, length="CONTENT-LENGTH: 5\r\nCONTENT-LENGTH: 7"),
    ),
    "a coding that nobody knows": (
        501,
        lambda record: event(record, length="TRANSFER-ENCODING: gzip, chunked"),
    ),
    "a chunk without a size": (
        400,
        lambda record: event(record, body=b"x\r\n", length="TRANSFER-ENCODING: chunked"),
    ),
    "a body that is shorter than its length says": (
        400,
        lambda record: event(record, length=f"CONTENT-LENGTH: {len(BODY) - 40}"),
    ),
    "no length": (400, lambda record: event(record, length="X: y")),
    "no XML": (400, lambda record: event(record, body=b"<a")),
}


@pytest.mark.parametrize(("status", "made"), REFUSED.values(), ids=REFUSED)
async def test_an_event_that_cannot_be_read_is_said_and_repaired(
    driven: Any, raw_device: Any, until: Until, status: int, made: Any
) -> None:
    async with active(driven, raw_device, until) as it:
        reader, writer = await connect(it.record)
        writer.write(made(it.record))
        assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
        writer.close()
        await until(lambda: it.causes == [(Status.RESUBSCRIBING, Cause.EVENT_UNREADABLE)])
        await until(lambda: len(it.device.of("SUBSCRIBE")) == 2)


async def test_a_body_that_is_longer_than_its_length_keeps_its_first_reason(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until, initial_event_seconds=0.3) as it:
        body = BODY.replace(b"><", b">\n<")
        short = f"CONTENT-LENGTH: {len(body) - 40}"
        await send(it.record, event(it.record, body=body, length=short))
        await until(lambda: it.device.sids == 2 and it.record.granted_at)
        await send(it.record, event(it.record, 0, body=body, length=short))
        await until(lambda: it.record.status is Status.DEAF)
        assert "does not end with CR LF" not in it.record.status_reason
        assert "malformed XML" in it.record.status_reason
        assert "the text of its event is damaged" in it.record.status_reason


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_several_connections_that_bring_nothing_are_a_lost_event_and_then_deafness(
    driven: Any, raw_device: Any, until: Until, end: str
) -> None:
    async with active(driven, raw_device, until, initial_event_seconds=0.3) as it:
        for _ in range(3):
            assert it.causes == []
            await send(it.record, b"", end=end)
        await until(lambda: it.causes[:1] == [(Status.RESUBSCRIBING, Cause.EVENT_CUT)])
        await until(lambda: it.device.sids == 2)
        await send(it.record, b"", end=end)
        await until(lambda: it.causes[-1] == (Status.DEAF, Cause.EVENT_CUT))


async def test_the_connections_of_a_diagnosis_are_no_lost_events(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until) as it:
        for _ in range(4):
            diagnosis = await driven.run(it.driver.diagnose(it.record))
            assert diagnosis.well
        assert it.causes == []


async def test_a_diagnosis_names_the_loss_until_it_is_repaired(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with active(driven, raw_device, until, initial_event_seconds=0.3) as it:
        await send(it.record, event(it.record, body=b"<a"))
        await until(lambda: it.device.sids == 2 and it.record.granted_at)
        await send(it.record, event(it.record, 0, body=b"<a"))
        await until(lambda: it.record.status is Status.DEAF)
        diagnosis = await driven.run(it.driver.diagnose(it.record))
        assert not diagnosis.well
        assert diagnosis.verdict is Verdict.NOTIFY_REFUSED
        assert "proxy" not in diagnosis.advice
        assert dict(diagnosis.facts.lines())["lost events"] == "2"


# --- another SID in the answer to a renewal ---


@asynccontextmanager
async def renamed(driven: Any, raw_device: Any, until: Until) -> AsyncIterator[Active]:
    """Its renewal after a second is answered with uuid:new."""
    limits = {"initial_event_seconds": 0.6}
    async with active(driven, raw_device, until, duration="Second-2", **limits) as it:
        device = it.device

        def answer(request: Any) -> bytes:
            if "sid" in request.fields:
                return bytes(device.reply(200, "SID: uuid:new\r\nTIMEOUT: Second-1800\r\n"))
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = answer
        await until(lambda: it.record.sid == "uuid:new")
        yield it


async def test_a_new_sid_that_brings_its_initial_event_is_an_ordinary_grant(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with renamed(driven, raw_device, until) as it:
        for seq in range(3):
            answer = await it.device.notify(it.record.callback, "uuid:new", seq, A=str(seq))
            assert answer.status == 200
        await asyncio.sleep(0.8)
        assert it.causes == []
        assert it.record.values == {"A": "2"}
        assert it.record.status is Status.ACTIVE


@pytest.mark.parametrize("goes_on", [True, False], ids=["under the old SID", "nothing comes"])
async def test_a_new_sid_without_an_initial_event_ends_in_a_fresh_subscription(
    driven: Any, raw_device: Any, until: Until, goes_on: bool
) -> None:
    async with renamed(driven, raw_device, until) as it:
        for seq in range(1, 4 if goes_on else 1):
            answer = await it.device.notify(it.record.callback, "uuid:1", seq, A=str(seq))
            assert answer.status == 200
        await until(lambda: it.causes == [(Status.DEAF, Cause.NEW_SID)])
        await until(lambda: it.record.sid == "uuid:2")
        await it.device.notify(it.record.callback, "uuid:2", 0, A="9")
        await until(lambda: it.record.status is Status.ACTIVE)
        assert it.record.values == {"A": "9"}
