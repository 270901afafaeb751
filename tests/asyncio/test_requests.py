from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange.asyncio import requests as requests_module
from propchange.asyncio.interfaces import addresses
from propchange.asyncio.requests import fetch, follow, locate, send
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import (
    ConnectionFailed,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
)

Until = Callable[[Callable[[], object]], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def subscribe(local: Endpoint) -> Request:
    callback = f"<http://{local}/>".encode()
    return Request("SUBSCRIBE", "/event", ((b"HOST", b"a"), (b"CALLBACK", callback)))


@contextlib.asynccontextmanager
async def answering(wire: Any, *answers: bytes, host: str = "127.0.0.1") -> Any:
    """A device that gives these answers, a connection each. Gives its port and the requests."""
    door = wire.listen(host)
    requests: list[bytes] = []

    async def serve() -> None:
        for answer in answers:
            peer = await door.accept()
            requests.append(await peer.until(b"\r\n\r\n"))
            await peer.send(answer.replace(b"PORT", b"%d" % door.port))
            if b"ontent-" not in answer:
                peer.close()

    task = asyncio.ensure_future(serve())
    yield door.port, requests
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def redirect(location: bytes, status: int = 307) -> bytes:
    return b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location)


# --- one request ---


async def test_a_request_is_built_for_the_local_end_of_its_connection(wire: Any) -> None:
    async with answering(wire, OK) as (port, requests):
        locals_: list[Endpoint] = []

        def build(local: Endpoint) -> Request:
            locals_.append(local)
            return subscribe(local)

        source = Endpoint("127.0.0.9", 1234)
        response = await send(build, Endpoint("127.0.0.1", port), source=source)
        assert (response.status, response.body) == (200, b"hi")
        assert locals_[0].host == "127.0.0.9"
        assert f"CALLBACK: <http://{locals_[0]}/>".encode() in requests[0]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (OK + b"more", b"hi"),
    ],
    ids=["length", "to-the-end", "empty", "interim", "more-bytes"],
)
async def test_a_response_is_read_to_its_end(wire: Any, answer: bytes, body: bytes) -> None:
    async with answering(wire, answer) as (port, _):
        found = await fetch(f"http://127.0.0.1:{port}/")
        assert (found.response.status, found.response.body) == (200, body)


async def test_a_response_may_come_byte_by_byte(wire: Any) -> None:
    door = wire.listen()
    task = asyncio.ensure_future(fetch(f"http://127.0.0.1:{door.port}/"))
    peer = await door.accept()
    for byte in OK:
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await task).response.body == b"hi"
    assert await peer.until(b"\r\n\r\n")
    assert await peer.rest() == b""


async def test_an_answer_to_subscribe_without_length_is_not_waited_for(wire: Any) -> None:
    """Devices leave CONTENT-LENGTH out, and the connection open."""

    door = wire.listen()
    task = asyncio.ensure_future(send(subscribe, Endpoint("127.0.0.1", door.port)))
    peer = await door.accept()
    await peer.send(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-300\r\n\r\n")
    assert (await task).fields[b"sid"] == b"uuid:1"


async def test_an_answer_that_was_there_before_the_request_counts() -> None:
    exchange = requests_module._Exchange(Endpoint("127.0.0.1", 9), DEFAULT_LIMITS)
    exchange.connection_made(Early())  # type: ignore[arg-type]  # what is used of one
    exchange.data_received(b"HTTP/1.1 200 OK\r\n")
    exchange.data_received(b"SID: uuid:1\r\n\r\n")
    assert (await exchange.send(subscribe(exchange.local))).fields[b"sid"] == b"uuid:1"
    # What comes after it counts no more.
    exchange.data_received(OK)
    exchange.eof_received()


class Early:
    """The transport of a connection whose peer does not wait for the request."""

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", 9

    def write(self, data: bytes) -> None:
        pass


# --- failures ---


async def test_nobody_there_is_a_failed_connection(wire: Any) -> None:
    door = wire.listen()
    door.close()
    for source in (None, Endpoint("127.0.0.1", 0), Endpoint("203.0.113.1", 0)):
        with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{door.port}"):
            await send(subscribe, Endpoint("127.0.0.1", door.port), source=source)
    with pytest.raises(ConnectionFailed, match="does-not-exist"):
        await fetch("http://does-not-exist.invalid/")


async def test_connecting_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unanswered(*arguments: object) -> None:
        """As when a host has left."""
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(requests_module, "connect", unanswered)

    limits = replace(DEFAULT_LIMITS, connect_seconds=0.05)
    with pytest.raises(ConnectionFailed, match=r"within 0\.05 s"):
        await send(subscribe, Endpoint("127.0.0.1", 9), limits=limits)


async def test_a_device_that_does_not_answer_is_given_up(wire: Any) -> None:
    door = wire.listen()
    limits = replace(DEFAULT_LIMITS, request_seconds=0.05)
    with pytest.raises(TimedOut, match=rf"127\.0\.0\.1:{door.port} did not answer within 0\.05 s"):
        await fetch(f"http://127.0.0.1:{door.port}/", limits=limits)
    peer = await door.accept()
    await peer.until(b"\r\n\r\n")
    assert await peer.rest() == b""


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
@pytest.mark.parametrize("how", ["end", "reset"])
async def test_an_answer_that_is_not_whole_is_a_failed_connection(
    wire: Any, sent: bytes, how: str
) -> None:
    door = wire.listen()
    task = asyncio.ensure_future(fetch(f"http://127.0.0.1:{door.port}/"))
    peer = await door.accept()
    await peer.until(b"\r\n\r\n")
    await peer.send(sent)
    if how == "end":
        peer.close()
    else:
        peer.reset()
    with pytest.raises(ConnectionFailed, match="before the answer was whole"):
        await task


async def test_an_answer_that_is_not_http_is_the_devices_fault(wire: Any) -> None:
    async with answering(wire, b"220 mail.example.org\r\n\r\n") as (port, _):
        with pytest.raises(RemoteProtocolError):
            await fetch(f"http://127.0.0.1:{port}/")


async def test_a_request_that_cannot_be_built_or_written_leaves_nothing_behind(wire: Any) -> None:
    door = wire.listen()
    to = Endpoint("127.0.0.1", door.port)

    def fail(local: Endpoint) -> Request:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await send(fail, to)
    with pytest.raises(LocalProtocolError):
        await send(lambda local: Request("GET", "/", ((b"X", b"a\r\nb"),)), to)
    for _ in range(2):
        peer = await door.accept()
        assert await peer.rest() == b""


class Gone:
    """The transport of a connection that had ended before it was told of."""

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        pass


async def test_a_connection_that_ends_at_once_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connect(protocol: Callable[[], Any], *_: object) -> Any:
        made = protocol()
        made.connection_made(Gone())
        return made

    monkeypatch.setattr(requests_module, "connect", connect)

    with pytest.raises(ConnectionFailed, match="closed at once"):
        await send(subscribe, Endpoint("127.0.0.1", 9))


# --- documents and redirects ---


async def test_a_document_is_asked_for_with_its_host_and_nothing_more_than_wanted(
    wire: Any,
) -> None:
    async with answering(wire, OK) as (port, requests):
        url = f"http://127.0.0.1:{port}/a b?c=%20#part"
        answer = await fetch(url, headers=((b"USER-AGENT", b"x"),))
        assert requests[0].split(b"\r\n")[:-2] == [
            b"GET /a%20b?c=%20 HTTP/1.1",
            b"HOST: 127.0.0.1:%d" % port,
            b"USER-AGENT: x",
            b"CONNECTION: close",
        ]
        assert answer.url == url
        assert answer.peer == Endpoint("127.0.0.1", port)
        assert answer.local.host == "127.0.0.1"


@pytest.mark.clause("SUB-77")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_document_that_has_moved_is_followed(wire: Any, status: int) -> None:
    async with answering(wire, redirect(b"../new", status), OK) as (port, requests):
        answer = await fetch(f"http://127.0.0.1:{port}/a/b")
        assert answer.response.body == b"hi"
        assert answer.url == f"http://127.0.0.1:{port}/new"
        assert requests[1].startswith(b"GET /new HTTP/1.1\r\n")


@pytest.mark.clause("SUB-77")
async def test_a_subscribe_is_followed_by_307_only(wire: Any) -> None:
    def build(url: str, local: Endpoint) -> Request:
        return Request("SUBSCRIBE", locate(url).target, ((b"HOST", b"there"),))

    async with answering(wire, redirect(b"/new"), OK) as (port, requests):
        answer = await follow(f"http://127.0.0.1:{port}/old", build)
        assert answer.response.status == 200
        assert requests[1].startswith(b"SUBSCRIBE /new HTTP/1.1\r\n")
    async with answering(wire, redirect(b"/new", 302)) as (port, requests):
        answer = await follow(f"http://127.0.0.1:{port}/old", build)
        assert answer.response.status == 302


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 307 Moved\r\nContent-Length: 0\r\n\r\n",
        redirect(b"https://127.0.0.1:PORT/"),
        redirect(b"http://user@127.0.0.1:PORT/"),
        redirect(b"http://[::1/"),
        redirect(b"\xff"),
    ],
    ids=["no-location", "https", "userinfo", "no-url", "no-text"],
)
async def test_a_redirect_that_cannot_be_followed_is_the_answer(wire: Any, answer: bytes) -> None:
    async with answering(wire, answer) as (port, _):
        found = await fetch(f"http://127.0.0.1:{port}/")
        assert found.response.status == 307
        assert found.url == f"http://127.0.0.1:{port}/"


async def test_a_redirect_without_end_is_given_up(wire: Any) -> None:
    limits = replace(DEFAULT_LIMITS, redirects=2)
    async with answering(wire, *[redirect(b"/again")] * 3) as (port, requests):
        answer = await fetch(f"http://127.0.0.1:{port}/", limits=limits)
        assert answer.response.status == 307
        assert len(requests) == 3


async def test_another_host_cannot_send_us_to_our_own_loopback(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = next(
        (a for a in addresses() if not a.scope and a.interface_index and a.interface != "lo"), None
    )
    if own is None:
        pytest.skip("this machine has no address but its loopback ones")

    inside = wire.listen()
    location = b"http://127.0.0.1:%d/" % inside.port
    async with answering(wire, redirect(location), host=own.host) as (port, _):
        answer = await fetch(f"http://{Endpoint(own.host, port)}/")
        assert answer.response.status == 307
    peer = await inside.accept()
    assert await peer.rest() == b""


async def test_a_link_local_device_is_reached_on_its_link_and_not_told_of_it(wire: Any) -> None:
    own = next((address for address in addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")

    for zone, source in (
        (f"%{own.interface}", None),
        (f"%25{own.scope}", None),
        ("", own.endpoint),
    ):
        door = wire.listen(own.host, scope=own.scope)
        task = asyncio.ensure_future(
            fetch(f"http://[{own.host}{zone}]:{door.port}/", source=source)
        )
        moved = redirect(b"http://[%b]:%d/" % (own.host.encode(), door.port))
        for answer in (moved, OK):
            peer = await door.accept()
            request = await peer.until(b"\r\n\r\n")
            assert b"HOST: [%b]:%d\r\n" % (own.host.encode(), door.port) in request
            await peer.send(answer)
        found = await task
        assert found.peer == Endpoint(own.host, door.port, own.scope)
