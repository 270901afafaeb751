from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.requests import Failure, authority_and_target
from propchange.core.wire.messages import Endpoint, Request
from propchange.driver.exchange import Exchange, words_of
from propchange.driver.machine import Interfaces
from propchange.driver.requests import Answer, Requests, failure_of
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    LocalProtocolError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)

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


async def fetch(driven: Any, url: str, *, limits: Any = (), **how: Any) -> Answer:
    """GET ``url``."""
    answer: Answer = await driven.run(driven.requests(**dict(limits)).fetch(url, **how))
    return answer


async def send(driven: Any, build: Any, port: int, *, limits: Any = (), **how: Any) -> Answer:
    """Send what ``build`` makes of the local end to ``port`` of this machine."""
    requests = driven.requests(**dict(limits))
    url = f"http://127.0.0.1:{port}/"
    answer: Answer = await driven.run(requests.follow(url, lambda _, local: build(local), **how))
    return answer


# --- one request ---


async def test_a_request_is_built_for_the_local_end_of_its_connection(
    driven: Any, wire: Any
) -> None:
    async with answering(wire, OK) as (port, requests):
        locals_: list[Endpoint] = []

        def build(local: Endpoint) -> Request:
            locals_.append(local)
            return subscribe(local)

        source = Endpoint("127.0.0.9", 1234)
        response, *_ = await send(driven, build, port, source=source)
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
async def test_a_response_is_read_to_its_end(
    driven: Any, wire: Any, answer: bytes, body: bytes
) -> None:
    async with answering(wire, answer) as (port, _):
        found = await fetch(driven, f"http://127.0.0.1:{port}/")
        assert (found.response.status, found.response.body) == (200, body)


async def test_a_response_may_come_byte_by_byte(driven: Any, wire: Any) -> None:
    door = wire.listen()
    task = asyncio.ensure_future(fetch(driven, f"http://127.0.0.1:{door.port}/"))
    peer = await door.accept()
    for byte in OK:
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await task).response.body == b"hi"
    assert await peer.until(b"\r\n\r\n")
    assert await peer.rest() == b""


async def test_an_answer_to_subscribe_without_length_is_not_waited_for(
    driven: Any, wire: Any
) -> None:
    """Devices leave CONTENT-LENGTH out, and the connection open."""

    door = wire.listen()
    task = asyncio.ensure_future(send(driven, subscribe, door.port))
    peer = await door.accept()
    await peer.send(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-300\r\n\r\n")
    assert (await task).response.fields[b"sid"] == b"uuid:1"


def transport(written: list[bytes]) -> Any:
    """One that keeps what is written."""

    def nothing() -> None:
        pass

    here = Endpoint("127.0.0.1", 9)
    return SimpleNamespace(
        write=written.append,
        close=nothing,
        abort=nothing,
        unwritten=int,
        unsent=int,
        unread=int,
        exact_writing=nothing,
        is_closing=bool,
        local=here,
        peer=here,
    )


async def test_an_answer_that_was_there_before_the_request_counts(driven: Any) -> None:
    exchange = driven.requests().exchange(Endpoint("127.0.0.1", 9))
    written: list[bytes] = []
    exchange.connection_made(transport(written))
    exchange.data_received(b"HTTP/1.1 200 OK\r\n")
    exchange.data_received(b"SID: uuid:1\r\n\r\n")
    response = await driven.run(exchange.send(subscribe(exchange.local), 1))
    assert response.fields[b"sid"] == b"uuid:1"
    assert len(written) == 1
    # What comes after it counts no more.
    exchange.data_received(OK)
    exchange.eof_received()
    exchange.end()


@pytest.mark.parametrize(("status", "reads"), [(200, True), (200, False), (500, False)])
async def test_a_request_that_was_accepted_early_has_only_so_long_to_leave(
    memory: Any, status: int, reads: bool
) -> None:
    exchange = Requests(memory, DEFAULT_LIMITS).exchange(Endpoint("192.0.2.7", 5))
    connecting = asyncio.ensure_future(exchange.connect(None, 1))
    await asyncio.sleep(0)
    there = memory.connects[-1].succeed()
    await connecting
    sending = asyncio.ensure_future(exchange.send(subscribe(exchange.local), 1))
    await asyncio.sleep(0)
    there.unwritten = 1
    exchange.data_received(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert (await sending).status == status
    exchange.end()
    assert there.calls[-1] == ("close" if status == 200 else "abort")
    if not reads:
        memory.advance(DEFAULT_LIMITS.linger_seconds)
        assert there.calls[-1] == "abort"
    there.lose()
    assert memory.armed == 0


# --- failures ---


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # Twisted: one that it could not bind
async def test_nobody_there_is_a_failed_connection(driven: Any, wire: Any) -> None:
    door = wire.listen()
    door.close()
    for source in (None, Endpoint("127.0.0.1", 0), Endpoint("203.0.113.1", 0)):
        with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{door.port}"):
            await send(driven, subscribe, door.port, source=source)
    with pytest.raises(ConnectionFailed, match="does-not-exist"):
        await fetch(driven, "http://does-not-exist.invalid/")


async def test_connecting_has_a_limit(driven: Any, deaf_port: int) -> None:
    limits = {"connect_seconds": 0.05}
    with pytest.raises(ConnectionFailed, match=r"no answer within 0\.05 s") as failed:
        await send(driven, subscribe, deaf_port, limits=limits)
    assert failure_of(failed.value) is Failure.UNREACHABLE


@pytest.mark.slow
async def test_a_silent_address_of_a_name_leaves_time_for_the_next(
    driven: Any, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = driven.requests(connect_seconds=1.0)
    addresses = [Endpoint(host, deaf_port) for host in ("127.0.0.1", "127.0.0.2")]

    async def looked_up(named: Endpoint, seconds: float) -> list[Endpoint]:
        return addresses

    given: list[float] = []
    connect = Exchange.connect

    async def connecting(
        self: Exchange, source: Endpoint | None, seconds: float, within: float | None = None
    ) -> None:
        given.append(seconds)
        await connect(self, source, seconds, within)

    monkeypatch.setattr(requests.names, "addresses", looked_up)
    monkeypatch.setattr(Exchange, "connect", connecting)
    with socket.socket() as answering:
        answering.bind(("127.0.0.2", deaf_port))
        answering.listen()
        named = Endpoint("device.lan", deaf_port)
        exchange = await driven.run(requests.open(named, source=None, seconds=1.0))
        assert exchange.peer == addresses[1]
        exchange.end()
    assert len(given) == 2
    assert given[0] <= 0.5


async def test_a_device_that_does_not_answer_is_given_up(driven: Any, wire: Any) -> None:
    door = wire.listen()
    limits = {"request_seconds": 0.05}
    with pytest.raises(TimedOut, match=rf"127\.0\.0\.1:{door.port} did not answer within 0\.05 s"):
        await fetch(driven, f"http://127.0.0.1:{door.port}/", limits=limits)
    peer = await door.accept()
    await peer.until(b"\r\n\r\n")
    assert await peer.rest() == b""


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
@pytest.mark.parametrize("how", ["end", "reset"])
async def test_an_answer_that_is_not_whole_is_a_failed_connection(
    driven: Any, wire: Any, sent: bytes, how: str
) -> None:
    door = wire.listen()
    task = asyncio.ensure_future(fetch(driven, f"http://127.0.0.1:{door.port}/"))
    peer = await door.accept()
    await peer.until(b"\r\n\r\n")
    await peer.send(sent)
    if how == "end":
        peer.close()
    else:
        peer.reset()
    with pytest.raises(ConnectionFailed, match="before the answer was whole"):
        await task


async def test_an_answer_that_is_not_http_is_the_devices_fault(driven: Any, wire: Any) -> None:
    async with answering(wire, b"220 mail.example.org\r\n\r\n") as (port, _):
        with pytest.raises(RemoteProtocolError):
            await fetch(driven, f"http://127.0.0.1:{port}/")


async def test_a_request_that_cannot_be_built_or_written_leaves_nothing_behind(
    driven: Any, wire: Any
) -> None:
    door = wire.listen()

    def fail(local: Endpoint) -> Request:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await send(driven, fail, door.port)
    with pytest.raises(LocalProtocolError):
        await send(driven, lambda local: Request("GET", "/", ((b"X", b"a\r\nb"),)), door.port)
    for _ in range(2):
        peer = await door.accept()
        assert await peer.rest() == b""


async def test_what_is_under_way_when_all_ends_fails(
    driven: Any, wire: Any, deaf_port: int
) -> None:
    door = wire.listen()
    requests = driven.requests()
    under_way = [
        asyncio.ensure_future(driven.run(requests.fetch(f"http://127.0.0.1:{port}/")))
        for port in (door.port, deaf_port)
    ]
    peer = await door.accept()
    await peer.until(b"\r\n\r\n")
    await driven.run(requests.close())
    for task in under_way:
        with pytest.raises(ConnectionFailed):
            await task
    with contextlib.suppress(ConnectionResetError):
        assert await peer.rest() == b""


# --- what a failure means ---


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # Twisted: one that it could not bind
async def test_what_a_connection_that_fails_means(driven: Any, wire: Any) -> None:
    door = wire.listen()
    foreign = Endpoint("192.0.2.5", 0)
    with pytest.raises(ConnectionFailed) as failed:
        await send(driven, subscribe, door.port, source=foreign)
    assert failure_of(failed.value, foreign) is Failure.NO_SOURCE
    assert failure_of(failed.value) is Failure.SHORTAGE  # of ports
    door.close()
    with pytest.raises(ConnectionFailed) as failed:
        await send(driven, subscribe, door.port)
    assert failure_of(failed.value) is Failure.REFUSED
    assert str(failed.value).endswith(": Connection refused")


async def test_silence_is_another_failure_than_an_end_without_an_answer(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as device:
        for answer, failure in ((b"", Failure.BROKEN), (None, Failure.SILENCE)):
            device.answers["SUBSCRIBE"] = answer
            with pytest.raises(PropchangeError) as failed:
                await send(driven, subscribe, device.port, limits={"request_seconds": 0.2})
            assert failure_of(failed.value) is failure


async def test_an_answer_of_any_status_is_an_answer(driven: Any, raw_device: Any) -> None:
    async with raw_device() as device:
        answer = await fetch(driven, f"http://127.0.0.1:{device.port}/nothing")
        assert answer.response.status == 404


def test_a_description_that_is_none_is_another_failure_than_one_without_answer() -> None:
    assert failure_of(DescriptionError("answered with 404")) is Failure.DESCRIPTION
    assert failure_of(ValueError("no URL")) is Failure.DESCRIPTION
    assert failure_of(RemoteProtocolError("no HTTP")) is Failure.BROKEN
    assert failure_of(ConnectionFailed("it ended without an answer")) is Failure.BROKEN
    assert failure_of(TimedOut("no answer")) is Failure.SILENCE


def test_the_words_of_the_system_are_told_without_its_numbers() -> None:
    assert words_of(OSError(113, "Connect call failed ('192.0.2.1', 80)")) == os.strerror(113)
    assert words_of(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert words_of(TimeoutError()) == ""


# --- documents and redirects ---


async def test_a_document_is_asked_for_with_its_host_and_nothing_more_than_wanted(
    driven: Any,
    wire: Any,
) -> None:
    async with answering(wire, OK) as (port, requests):
        url = f"http://127.0.0.1:{port}/a b?c=%20#part"
        answer = await fetch(driven, url, headers=((b"USER-AGENT", b"x"),))
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
async def test_a_document_that_has_moved_is_followed(driven: Any, wire: Any, status: int) -> None:
    async with answering(wire, redirect(b"../new", status), OK) as (port, requests):
        answer = await fetch(driven, f"http://127.0.0.1:{port}/a/b")
        assert answer.response.body == b"hi"
        assert answer.url == f"http://127.0.0.1:{port}/new"
        assert requests[1].startswith(b"GET /new HTTP/1.1\r\n")


@pytest.mark.clause("SUB-77")
async def test_a_subscribe_is_followed_by_307_only(driven: Any, wire: Any) -> None:
    def build(url: str, local: Endpoint) -> Request:
        return Request("SUBSCRIBE", authority_and_target(url)[1], ((b"HOST", b"there"),))

    async with answering(wire, redirect(b"/new"), OK) as (port, requests):
        answer = await driven.run(driven.requests().follow(f"http://127.0.0.1:{port}/old", build))
        assert answer.response.status == 200
        assert requests[1].startswith(b"SUBSCRIBE /new HTTP/1.1\r\n")
    async with answering(wire, redirect(b"/new", 302)) as (port, requests):
        answer = await driven.run(driven.requests().follow(f"http://127.0.0.1:{port}/old", build))
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
async def test_a_redirect_that_cannot_be_followed_is_the_answer(
    driven: Any, wire: Any, answer: bytes
) -> None:
    async with answering(wire, answer) as (port, _):
        found = await fetch(driven, f"http://127.0.0.1:{port}/")
        assert found.response.status == 307
        assert found.url == f"http://127.0.0.1:{port}/"


async def test_a_redirect_without_end_is_given_up(driven: Any, wire: Any) -> None:
    limits = {"redirects": 2}
    async with answering(wire, *[redirect(b"/again")] * 3) as (port, requests):
        answer = await fetch(driven, f"http://127.0.0.1:{port}/", limits=limits)
        assert answer.response.status == 307
        assert len(requests) == 3


async def test_another_host_cannot_send_us_to_our_own_loopback(
    driven: Any,
    wire: Any,
) -> None:
    own = next(
        (
            a
            for a in Interfaces().addresses()
            if not a.scope and a.interface_index and a.interface != "lo"
        ),
        None,
    )
    if own is None:
        pytest.skip("this machine has no address but its loopback ones")

    inside = wire.listen()
    location = b"http://127.0.0.1:%d/" % inside.port
    async with answering(wire, redirect(location), host=own.host) as (port, _):
        answer = await fetch(driven, f"http://{Endpoint(own.host, port)}/")
        assert answer.response.status == 307
        assert "this machine itself" in answer.refused
    inside.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        inside.sock.accept()


async def test_the_time_that_an_error_names_is_what_the_request_had(driven: Any, wire: Any) -> None:
    door = wire.listen()
    with pytest.raises(TimedOut, match=r"did not answer within 0\.05 s"):
        await send(driven, subscribe, door.port, seconds=0.05)


async def test_a_link_local_device_is_reached_on_its_link_and_not_told_of_it(
    driven: Any, wire: Any
) -> None:
    own = next((address for address in Interfaces().addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")

    for zone, source in (
        (f"%{own.interface}", None),
        (f"%25{own.scope}", None),
        ("", own.endpoint),
    ):
        door = wire.listen(own.host, scope=own.scope)
        task = asyncio.ensure_future(
            fetch(driven, f"http://[{own.host}{zone}]:{door.port}/", source=source)
        )
        moved = redirect(b"http://[%b]:%d/" % (own.host.encode(), door.port))
        for answer in (moved, OK):
            peer = await door.accept()
            request = await peer.until(b"\r\n\r\n")
            assert b"HOST: [%b]:%d\r\n" % (own.host.encode(), door.port) in request
            await peer.send(answer)
        found = await task
        assert found.peer == Endpoint(own.host, door.port, own.scope)
        # The redirect had no zone. A URL with a zone can be used again.
        assert found.url == f"http://[{own.host}%{own.interface}]:{door.port}/"


async def test_a_link_local_url_needs_a_zone_and_the_error_shows_one(driven: Any) -> None:
    with pytest.raises(ValueError, match=r"write the interface .* http://\[fe80::1%\w+\]:8080/$"):
        await fetch(driven, "http://[fe80::1]:8080/d.xml")
