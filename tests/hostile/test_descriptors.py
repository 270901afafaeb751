"""A publisher and a control point in a process that has few file descriptors, or none left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab.load_publisher import Publisher
from lab.subscribers import Subscribers, exchange, subscribed
from propchange.core.subscriber.events import Cause, Status, StatusChange
from propchange.driver.descriptors import DESCRIPTORS
from propchange.driver.reporting import Warnings
from tests.driver.conftest import driven, pytest_generate_tests, raw_device
from tests.driver.test_control_point import Held, opened
from tests.hostile.publishers import published
from tests.wire import Until

__all__ = ["driven", "pytest_generate_tests", "raw_device"]


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Every descriptor of this process is in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 2, soft), hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def peers(count: int) -> Iterator[list[socket.socket]]:
    """Sockets of peers that have their descriptor already."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in made:
            each.setblocking(False)
        yield made


async def ask(peer: socket.socket, port: int, request: str) -> bytes:
    """The answer to ``request``, which ends its connection."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", port))
    head = request.replace("HERE", f"127.0.0.1:{port}").replace("\n", "\r\n")
    await loop.sock_sendall(peer, f"{head}\r\n\r\n".encode())
    answer = b""
    while data := await loop.sock_recv(peer, 65_536):
        answer += data
    return answer


async def nothing_closes() -> None:
    """Wait until no connection of before is about to end: its descriptor would become free."""
    before = -1
    while before != (now := len(os.listdir("/proc/self/fd"))):
        before = now
        await asyncio.sleep(0.1)


GET = "GET /description.xml HTTP/1.1\nHOST: HERE\nCONNECTION: close"


def is_answer(answer: bytes, driven: Any) -> bool:
    # A service of Twisted that listens by itself has no description.
    return answer.startswith(b"HTTP/1.1 404" if driven.kind == "twisted" else b"HTTP/1.1 200")


async def test_without_a_free_descriptor_connections_that_carry_nothing_make_room(
    driven: Any,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(DESCRIPTORS, "_warnings", Warnings(logging.getLogger("propchange.http")))
    async with (
        published(driven) as publisher,
        subscribed(["good"] * 40, publisher.port, publisher.path) as subscribers,
    ):
        await until(lambda: publisher.pool.idle_count == 40)
        await nothing_closes()
        with peers(20) as sockets, no_descriptor_left():
            answers = await asyncio.gather(*(ask(each, publisher.port, GET) for each in sockets))
        assert all(is_answer(answer, driven) for answer in answers), answers
        assert 0 < publisher.pool.idle_count < 40
        publisher.service.mark = "after"
        await until(lambda: all(each.text == "after" for each in subscribers.all))
        assert sum(each.gaps for each in subscribers.all) == 0
    told = [record.getMessage() for record in caplog.records if "descriptor" in record.getMessage()]
    assert len(told) <= 2, told  # the first one, and the tenth
    assert "ulimit -n" in told[0]


async def test_without_a_free_descriptor_a_listener_uses_its_reserve(driven: Any) -> None:
    """One peer after the other is answered, although there is nothing that could be closed."""
    async with published(driven) as publisher:
        assert is_answer(await ask_anew(publisher.port), driven)
        await nothing_closes()
        with peers(5) as sockets, no_descriptor_left():
            for each in sockets:
                assert is_answer(await ask(each, publisher.port, GET), driven)
                each.close()
        assert is_answer(await ask_anew(publisher.port), driven)


async def ask_anew(port: int) -> bytes:
    with peers(1) as (peer,):
        return await ask(peer, port, GET)


async def test_a_peer_that_finds_no_descriptor_waits_and_is_answered_later(
    driven: Any, until: Until
) -> None:
    async with published(driven) as publisher:
        await nothing_closes()
        with peers(8) as sockets:
            with no_descriptor_left():
                # These take the reserve, and are not done.
                for each in sockets[:4]:
                    await asyncio.get_running_loop().sock_connect(
                        each, ("127.0.0.1", publisher.port)
                    )
                    await asyncio.get_running_loop().sock_sendall(each, b"GET /")
                waiting = [
                    asyncio.ensure_future(ask(each, publisher.port, GET)) for each in sockets[4:]
                ]
                await asyncio.sleep(0.3)
                assert not any(task.done() for task in waiting)
            for answer in await asyncio.gather(*waiting):
                assert is_answer(answer, driven)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop", "twisted"])
async def test_events_go_on_over_the_connections_that_are_there(kind: str, until: Until) -> None:
    """Sixty subscribers, and descriptors for ten more connections: each gets each event."""
    publisher = Publisher(kind, {})
    try:
        path = publisher.path
        await publisher.ask("exhaust", 10)
        async with Subscribers(["good"] * 60) as subscribers:
            for answer in await subscribers.subscribe(publisher.port, path):
                assert answer.startswith(b"HTTP/1.1 200"), answer
            number = await publisher.ask("run", 4, 1)
            await until(lambda: all(each.text.startswith(f"{number}:") for each in subscribers.all))
            await publisher.ask("relax")
            number = await publisher.ask("run", 4, 3)
            await until(lambda: all(each.text.startswith(f"{number}:") for each in subscribers.all))
            assert sum(each.gaps for each in subscribers.all) == 0
            await until(lambda: sum(each.connections for each in subscribers.all) == 60)
    finally:
        publisher.close()


async def test_a_control_point_without_a_descriptor_says_so_and_goes_on(
    driven: Any, until: Until, raw_device: Any
) -> None:
    async with raw_device() as device, opened(driven, backoff_most_seconds=0.2) as control_point:
        first, second = Held(), Held()
        record = control_point.subscribe(first, device.event_url, wait=False)
        await until(lambda: first.grants)
        callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
        path = callback.partition("//")[2].partition("/")[2]
        port = int(callback.partition("//")[2].partition("/")[0].rpartition(":")[2])
        body = (
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
            "<e:property><Temperature>1</Temperature></e:property></e:propertyset>"
        )
        notify = (
            f"NOTIFY /{path} HTTP/1.1\nHOST: HERE\nNT: upnp:event\nNTS: upnp:propchange\n"
            f"SID: uuid:1\nSEQ: SEQNUMBER\nCONTENT-LENGTH: {len(body)}\nCONNECTION: close\n\n{body}"
        )
        with peers(3) as sockets, no_descriptor_left():
            for seq, each in enumerate(sockets):
                answer = await ask(each, port, notify.replace("SEQNUMBER", str(seq)))
                assert answer.startswith(b"HTTP/1.1 200")
                each.close()
            await nothing_closes()
            with no_descriptor_left():
                control_point.subscribe(second, device.event_url, wait=False)
                await until(lambda: second.items)
        change = second.items[0]
        assert isinstance(change, StatusChange)
        assert (change.status, change.cause) == (Status.SUBSCRIBING, Cause.SHORTAGE)
        assert "Too many open files" in change.reason
        await until(lambda: second.grants)
        assert first.statuses == [Status.ACTIVE]
        assert record.sid == "uuid:1"


@pytest.mark.parametrize("kind", ["asyncio", "uvloop", "twisted"])
async def test_three_hundred_subscribers_with_256_descriptors(kind: str, until: Until) -> None:
    publisher = Publisher(kind, {}, descriptors=256)
    try:
        path = publisher.path
        request = (
            f"GET /description.xml HTTP/1.1\r\nHOST: 127.0.0.1:{publisher.port}\r\n"
            "CONNECTION: close\r\n\r\n"
        ).encode()
        async with Subscribers(["good"] * 300) as subscribers:
            for answer in await subscribers.subscribe(publisher.port, path):
                assert answer.startswith(b"HTTP/1.1 200"), answer
            await until(lambda: all(each.received for each in subscribers.all))
            changes = asyncio.ensure_future(publisher.ask("run", 2, 1))
            answers = await asyncio.gather(*(exchange(publisher.port, request) for _ in range(64)))
            assert all(answer.startswith(b"HTTP/1.1 ") for answer in answers)
            number = await changes
            last = f"{number}:"
            await until(lambda: all(each.text.startswith(last) for each in subscribers.all))
            assert sum(each.gaps for each in subscribers.all) == 0
    finally:
        publisher.close()
