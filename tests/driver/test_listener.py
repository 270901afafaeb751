"""The listener and its connections, on each runtime, with sockets at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver import listener as listeners
from propchange.driver.machine import Interfaces
from propchange.driver.runtime import sleep
from tests.wire import Until

OK = Response(200, ((b"CONTENT-LENGTH", b"0"),))
OK_BYTES = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"


def notify(seq: int, *, version: str = "1.1", extra: str = "") -> bytes:
    head = f"NOTIFY /n{seq} HTTP/{version}\r\nHOST: a\r\n{extra}CONTENT-LENGTH: 3\r\n\r\n"
    return head.encode() + b"abc"


def named(request: Request) -> Response:
    return Response(200, (), request.target.encode())


class Listener(listeners.Listener):
    """A listener that a test opens and closes, whatever its runtime."""

    driven: Any

    @classmethod
    async def opened(
        cls, driven: Any, respond: Any, *, host: str | None = None, port: int = 0, **options: Any
    ) -> Listener:
        new = cls(driven.runtime, respond, **options)
        new.driven = driven
        await driven.run(new.open(host, (port,)))
        return new

    async def closed(self) -> None:
        await self.driven.run(self.close())


class Host:
    """A listener with what it was told."""

    def __init__(
        self, driven: Any, respond: Callable[[Request], Any] = named, **limits: Any
    ) -> None:
        self.driven = driven
        self.respond = respond
        self.limits = replace(DEFAULT_LIMITS, **limits)
        self.requests: list[Request] = []
        self.told: list[tuple[str, object]] = []
        self.on_sent: Callable[[Response], None] = lambda response: None
        self.listener: Listener

    def _respond(self, request: Request) -> Any:
        self.requests.append(request)
        return self.respond(request)

    def _sent(self, response: Response) -> None:
        self.told.append(("sent", response.receipt))
        self.on_sent(response)

    async def __aenter__(self) -> Host:
        self.listener = await Listener.opened(
            self.driven,
            self._respond,
            host="127.0.0.1",
            limits=self.limits,
            sent=self._sent,
            lost=lambda response: self.told.append(("lost", response.receipt)),
            headers=lambda: ((b"SERVER", b"os/1 UPnP/1.1 p/1"),),
        )
        self.port = self.listener.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.closed()
        assert self.listener.connection_count == 0


# --- where it listens ---


@pytest.mark.clause("V6-01")
async def test_a_listener_has_all_addresses_of_both_families_at_one_port(
    driven: Any, wire: Any
) -> None:
    listener = await Listener.opened(driven, named)
    assert [endpoint.host for endpoint in listener.endpoints] == ["0.0.0.0", "::"]
    assert {endpoint.port for endpoint in listener.endpoints} == {listener.port}
    for host in ("127.0.0.1", "::1"):
        peer = await wire.dial(listener.port, host)
        await peer.send(notify(1))
        assert (await peer.until(b"/n1")).startswith(b"HTTP/1.1 200")
    await listener.closed()


async def test_a_listener_listens_on_the_host_that_was_named(driven: Any, wire: Any) -> None:
    listener = await Listener.opened(driven, named, host="::1")
    assert listener.endpoints == (Endpoint("::1", listener.port),)
    with pytest.raises(ConnectionRefusedError):
        await wire.dial(listener.port, "127.0.0.1")
    await listener.closed()


async def test_nobody_needs_to_be_told_of_receipts(driven: Any, wire: Any) -> None:
    listener = await Listener.opened(driven, lambda request: Response(200, receipt="r"))
    peer = await wire.dial(listener.port)
    await peer.send(notify(1))
    await peer.until(b"\r\n\r\n")
    await listener.closed()


async def test_a_port_that_is_taken_is_told(driven: Any) -> None:
    first = await Listener.opened(driven, named)
    with pytest.raises(OSError) as caught:
        await Listener.opened(driven, named, port=first.port)
    assert caught.value.errno == errno.EADDRINUSE
    await first.closed()
    again = await Listener.opened(driven, named, port=first.port)
    await again.closed()


async def test_an_address_of_another_machine_is_told(driven: Any) -> None:
    with pytest.raises(OSError):
        await Listener.opened(driven, named, host="203.0.113.1")


class Binds:
    """Stands in for the operating system's answer to each bind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fail: dict[int, list[int]]) -> None:
        self._bind = socket.create_server
        self._fail = fail
        self.count = 0
        monkeypatch.setattr(socket, "create_server", self)

    def __call__(self, address: Any, *, family: int, backlog: int) -> socket.socket:
        self.count += 1
        failures = self._fail.get(family, [])
        if failures:
            raise OSError(failures.pop(0), "no")
        return self._bind(address, family=family, backlog=backlog)


async def test_a_random_port_that_one_family_has_taken_is_given_up(
    driven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    binds = Binds(monkeypatch, fail={socket.AF_INET6: [errno.EADDRINUSE] * 2})

    listener = await Listener.opened(driven, named)
    assert len({endpoint.port for endpoint in listener.endpoints}) == 1
    assert binds.count == 6
    await listener.closed()


@pytest.mark.clause("V6-01")
async def test_a_machine_without_ipv6_listens_on_ipv4(
    driven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Binds(monkeypatch, fail={socket.AF_INET6: [errno.EAFNOSUPPORT]})

    listener = await Listener.opened(driven, named)
    assert [endpoint.host for endpoint in listener.endpoints] == ["0.0.0.0"]
    await listener.closed()


async def test_a_listener_that_cannot_have_all_its_sockets_keeps_none(
    driven: Any, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    ports: list[int] = []

    def listen(bound: socket.socket, backlog: int) -> None:
        if bound.family is socket.AF_INET6 and backlog == socket.SOMAXCONN:
            ports.append(bound.getsockname()[1])
            raise OSError(errno.EMFILE, "on purpose")
        _listen(bound, backlog)

    _listen = socket.socket.listen
    monkeypatch.setattr(socket.socket, "listen", listen)
    with pytest.raises(OSError, match="on purpose"):
        await Listener.opened(driven, named)
    monkeypatch.undo()

    def refused() -> bool:
        with socket.socket() as dialling:
            return dialling.connect_ex(("127.0.0.1", ports[0])) == errno.ECONNREFUSED

    await until(refused)


@pytest.mark.clause("SUB-41", "SUB-42", "V6-14")
async def test_an_answer_goes_back_to_who_asked_from_the_address_that_was_asked(
    driven: Any, wire: Any
) -> None:
    listener = await Listener.opened(driven, named)
    peers = [await wire.dial(listener.port, host) for host in ("127.0.0.1", "::1")]
    for number, peer in reversed(list(enumerate(peers))):
        await peer.send(notify(number))
        assert (await peer.until(b"/n%d" % number)).startswith(b"HTTP/1.1 200")
    await listener.closed()


async def test_requests_carry_both_ends_of_the_connection(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1))
        await peer.until(b"/n1")
        assert host.requests[0].peer == Endpoint("127.0.0.1", peer.port)
        assert host.requests[0].local == Endpoint("127.0.0.1", host.port)


async def test_a_link_local_peer_has_its_scope(driven: Any, wire: Any) -> None:
    own = next((address for address in Interfaces().addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")
    requests: list[Request] = []

    def respond(request: Request) -> Response:
        requests.append(request)
        return OK

    listener = await Listener.opened(driven, respond)
    peer = await wire.dial(listener.port, own.host, scope=own.scope)
    await peer.send(notify(1))
    await peer.receive(len(OK_BYTES))
    assert requests[0].peer == Endpoint(own.host, peer.port, own.scope)
    assert requests[0].local == Endpoint(own.host, listener.port, own.scope)
    await listener.closed()


# --- requests and answers ---


async def test_requests_of_one_chunk_are_answered_in_order(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"".join(notify(seq) for seq in range(100)))
        answered = await peer.until(b"/n99")
        bodies = [part.rpartition(b"\r\n\r\n")[2] for part in answered.split(b"HTTP/1.1 200")]
        assert bodies[1:] == [b"/n%d" % seq for seq in range(100)]


async def test_a_request_may_come_byte_by_byte(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        for byte in notify(1) + notify(2):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await peer.until(b"/n2")
        assert [request.body for request in host.requests] == [b"abc", b"abc"]


async def test_the_same_answer_again_is_the_same_bytes(driven: Any, wire: Any) -> None:
    async with Host(driven, lambda request: OK) as host:
        peer = await wire.dial(host.port)
        for seq in range(3):
            await peer.send(notify(seq))
            assert await peer.receive(len(OK_BYTES)) == OK_BYTES
        await peer.send(notify(3) + notify(4))
        assert await peer.receive(2 * len(OK_BYTES)) == 2 * OK_BYTES


async def test_the_answer_to_head_has_no_body(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"HEAD /x HTTP/1.1\r\nHOST: a\r\n\r\n")
        await peer.send(b"GET /x HTTP/1.1\r\nHOST: a\r\n\r\n")
        answers = await peer.until(b"/x")
        assert answers.count(b"/x") == 1
        assert answers.count(b"CONTENT-LENGTH: 2") == 2


async def test_an_answer_that_takes_long_holds_up_its_own_connection_only(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()

    def respond(request: Request) -> Response | Awaitable[Response]:
        return ready if request.target == "/n1" else named(request)

    async with Host(driven, respond) as host:
        slow, quick = await wire.dial(host.port), await wire.dial(host.port)
        await slow.send(notify(0) + notify(1) + notify(2))
        assert (await slow.until(b"/n0")).endswith(b"/n0")
        await slow.send(notify(3))
        await quick.send(notify(4))
        await quick.until(b"/n4")
        assert slow.at_once() is None
        ready.set_result(Response(200, (), b"slow"))
        answers = await slow.until(b"/n3")
        assert answers.index(b"slow") < answers.index(b"/n2") < answers.index(b"/n3")


async def test_two_slow_answers_in_a_row_keep_their_order(driven: Any, wire: Any) -> None:
    async def answer(request: Request) -> Response:
        await sleep(driven.runtime, 0.001)
        return named(request)

    async with Host(driven, answer) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1))
        await peer.until(b"/n1")
        await peer.send(notify(2) + notify(3))
        answers = await peer.until(b"/n3")
        assert answers.index(b"/n2") < answers.index(b"/n3")


async def test_what_respond_raises_is_answered_500_and_logged(
    driven: Any, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError("later")

    def respond(request: Request) -> Any:
        if request.target == "/n1":
            raise RuntimeError("at once")
        return fail(request)

    async with Host(driven, respond) as host:
        for seq in (1, 2):
            peer = await wire.dial(host.port)
            await peer.send(notify(seq) + notify(seq))
            answer = await peer.rest()
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert answer.count(b"HTTP/1.1") == 1
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "at once",
        "later",
    ]


async def test_an_answer_that_cannot_be_written_is_a_500_and_its_receipt_lost(
    driven: Any, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def respond(request: Request) -> Response:
        return Response(200, ((b"X", b"a\r\nb"),), receipt="r" if request.target == "/n1" else None)

    async with Host(driven, respond) as host:
        for seq in (1, 2):
            peer = await wire.dial(host.port)
            await peer.send(notify(seq))
            assert (await peer.rest()).startswith(b"HTTP/1.1 500 ")
        assert host.told == [("lost", "r")]
    assert len(caplog.records) == 2


async def test_expect_100_continue_is_answered_once(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        request = notify(1, extra="EXPECT: 100-continue\r\n")
        await peer.send(request[:-3])
        assert await peer.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await peer.send(b"a")
        await peer.send(b"bc")
        assert (await peer.until(b"/n1")).startswith(b"HTTP/1.1 200")


async def test_what_is_no_request_is_answered_after_those_before_it(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1) + b"GARBAGE\r\n\r\n")
        answers = await peer.rest()
        assert answers.index(b"/n1") < answers.index(b"HTTP/1.1 400 ")
        assert b"SERVER: os/1 UPnP/1.1 p/1\r\n" in answers
        assert b"CONNECTION: close\r\n" in answers


async def test_an_error_behind_a_slow_answer_waits_for_it(driven: Any, wire: Any) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1) + b"GARBAGE\r\n\r\n")
        while not host.requests:
            await asyncio.sleep(0)
        ready.set_result(Response(200, (), b"slow"))
        answers = await peer.rest()
        assert answers.index(b"slow") < answers.index(b"HTTP/1.1 400 ")


async def test_the_refusal_of_a_body_survives_the_body_that_is_still_sent(
    driven: Any, wire: Any
) -> None:
    async with Host(driven, body_bytes=200_000) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"POST / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 200001\r\n\r\n")
        await peer.send(bytes(150_000))
        peer.end()
        assert (await peer.rest()).startswith(b"HTTP/1.1 413 ")


async def test_a_peer_that_sends_without_end_after_its_last_answer_is_cut_off(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(driven, body_bytes=100_000, linger_seconds=1000.0) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"GARBAGE\r\n\r\n")
        await peer.until(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                await peer.send(bytes(10_000))
        assert host.listener.connection_count == 0


async def test_a_peer_that_stays_after_its_last_answer_is_let_go(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(driven, linger_seconds=0.05) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1, version="1.0"))
        assert (await peer.rest()).endswith(b"/n1")
        assert host.listener.connection_count == 1
        await until(lambda: host.listener.connection_count == 0)


async def test_a_peer_that_ends_its_side_still_gets_its_answers(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1) + notify(2))
        peer.end()
        await until(lambda: host.requests)
        ready.set_result(Response(200, (), b"slow"))
        assert (await peer.rest()).count(b"slow") == 2
        await until(lambda: host.listener.connection_count == 0)


async def test_a_connection_that_ends_between_requests_or_inside_one_is_forgotten(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(driven) as host:
        for sent in (b"", b"NOTIFY /", notify(1)):
            peer = await wire.dial(host.port)
            await peer.send(sent)
            await until(lambda: host.listener.connection_count == 1)
            peer.end()
            await until(lambda: host.listener.connection_count == 0)
            await peer.rest()


async def test_a_peer_that_ends_its_side_early_gets_the_whole_of_its_last_answer(
    driven: Any, wire: Any, until: Until
) -> None:
    size = 9_000_000

    async with Host(
        driven, lambda request: Response(200, (), bytes(size)), write_buffer_bytes=2 * size
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(1, version="1.0"))
        await until(lambda: host.requests)
        peer.end()
        assert len(await peer.rest()) > size
        await until(lambda: host.listener.connection_count == 0)


async def test_the_end_of_a_peer_is_seen_after_a_last_answer_that_took_long(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready, linger_seconds=1000.0) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1, version="1.0"))
        await until(lambda: host.requests)
        ready.set_result(OK)
        await peer.rest()
        peer.close()
        await until(lambda: host.listener.connection_count == 0)


async def test_an_answer_that_is_given_up_ends_its_connection(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1))
        await until(lambda: host.requests)
        ready.cancel()
        if driven.kind == "twisted":  # where a cancelled Deferred is an error like others
            assert (await peer.rest()).startswith(b"HTTP/1.1 500 ")
        else:
            assert await peer.rest() == b""


def test_the_runtime_is_asked_to_tell_when_what_a_receipt_is_for_has_left(
    memory: Any, transport: Any
) -> None:
    answers = [OK, Response(200, (), b"r"), Response(200, (), b"r", receipt="r")]
    table = listeners.Listener(memory, lambda request: answers.pop(0))
    peer = transport(table.accept()).make()
    for _ in range(2):
        peer.connection.data_received(notify(1))
    assert peer.calls == ["write", "write"]
    peer.connection.data_received(notify(1))
    assert peer.calls[2:] == ["write", "exact_writing"]
    assert peer.data.endswith(b"\r\n\r\nr")


@pytest.mark.clause("SUB-55")
def test_a_receipt_is_lost_when_the_peer_has_reset_before_the_answer(
    memory: Any, transport: Any
) -> None:
    told: list[tuple[str, object]] = []
    table = listeners.Listener(
        memory,
        lambda request: Response(200, receipt="r"),
        sent=lambda response: told.append(("sent", response.receipt)),
        lost=lambda response: told.append(("lost", response.receipt)),
    )
    peer = transport(table.accept()).make()
    peer.closing = True
    peer.connection.data_received(notify(1))
    peer.lose(ConnectionResetError())
    assert told == [("lost", "r")]


async def test_a_connection_that_was_accepted_too_late_is_refused(
    memory: Any, transport: Any
) -> None:
    table = listeners.Listener(memory, named)
    await table.close()
    peer = transport(table.accept()).make()
    assert peer.calls == ["close"]
    peer.lose()
    assert table.connection_count == 0


def test_the_stream_ends_at_the_next_turn_once_the_last_answer_has_left(
    memory: Any, transport: Any
) -> None:
    table = listeners.Listener(memory, named)
    peer = transport(table.accept()).make()
    peer.unwritten = 1
    peer.connection.data_received(notify(1, version="1.0"))
    peer.connection.pause_writing()
    peer.unwritten = 0
    peer.connection.resume_writing()
    assert "write_eof" not in peer.calls
    memory.advance()
    assert peer.calls[-1] == "write_eof"


def test_a_table_without_connections_leaves_nothing_with_the_runtime(
    memory: Any, transport: Any
) -> None:
    table = listeners.Listener(memory, named)
    peers = [transport(table.accept()).make() for _ in range(2)]
    for number, peer in enumerate(peers):
        assert memory.armed == 1
        peer.lose()
        assert table.connection_count == 1 - number
    assert memory.armed == 0


# --- receipts ---


def receipt(request: Request) -> Response:
    return Response(200, (), receipt=request.target, close=not request.keep_alive)


@pytest.mark.clause("SUB-55")
async def test_a_receipt_comes_when_the_answer_has_left(driven: Any, wire: Any) -> None:
    async with Host(driven, receipt) as host:
        peer = await wire.dial(host.port)
        seen: list[bytes | None] = []
        host.on_sent = lambda response: seen.append(peer.at_once())
        await peer.send(notify(1))
        while not seen:
            await asyncio.sleep(0)
        assert host.told == [("sent", "/n1")]
        assert seen[0] is not None
        assert seen[0].startswith(b"HTTP/1.1 200")
        await peer.send(notify(2) + notify(3))
        while len(host.told) < 3:
            await asyncio.sleep(0)
        assert host.told[1:] == [("sent", "/n2"), ("sent", "/n3")]


@pytest.mark.clause("SUB-56")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_receipt_of_a_last_answer_comes_when_the_fin_has_left(
    driven: Any, wire: Any, version: str
) -> None:
    async with Host(driven, receipt) as host:
        peer = await wire.dial(host.port)
        seen: list[bytes | None] = []

        def look(response: Response) -> None:
            seen.extend([peer.at_once(), peer.at_once()])

        host.on_sent = look
        extra = "CONNECTION: close\r\n" if version == "1.1" else ""
        await peer.send(notify(1, version=version, extra=extra))
        while not seen:
            await asyncio.sleep(0)
        assert seen[0]
        assert seen[1] == b"", "the stream has not ended"
        assert host.told == [("sent", "/n1")]


@pytest.mark.clause("SUB-56")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_receipt_waits_for_a_peer_that_does_not_read(
    driven: Any, wire: Any, until: Until, version: str
) -> None:
    size = 30_000_000

    def respond(request: Request) -> Response:
        return Response(200, (), bytes(size), receipt="r", close=not request.keep_alive)

    async with Host(driven, respond, write_buffer_bytes=2 * size) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(1, version=version))
        await peer.receive(100_000)
        assert host.told == []
        got = 100_000
        while got < size:
            got += len(await peer.some())
            if got < size // 2:
                assert host.told == []
        await until(lambda: host.told)
        assert host.told == [("sent", "r")]


async def test_a_receipt_is_lost_with_its_connection(driven: Any, wire: Any, until: Until) -> None:
    size = 30_000_000

    async with Host(
        driven,
        lambda request: Response(200, (), bytes(size), receipt="r"),
        write_buffer_bytes=2 * size,
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(1))
        await peer.receive(1000)
        peer.reset()
        await until(lambda: host.told)
        assert host.told == [("lost", "r")]


# --- limits ---


async def test_an_idle_connection_is_ended(driven: Any, wire: Any) -> None:
    async with Host(driven, idle_seconds=0.05) as host:
        peer = await wire.dial(host.port)
        used = await wire.dial(host.port)
        await used.send(notify(1))
        await used.until(b"/n1")
        assert await peer.some() == b""
        assert await used.some() == b""


async def test_a_request_that_takes_too_long_is_answered_408(driven: Any, wire: Any) -> None:
    """One byte at a time does not help."""

    async with Host(driven, read_seconds=0.1) as host:
        peer = await wire.dial(host.port)
        for _ in range(1000):
            await peer.send(b"N")
            if (answer := peer.at_once()) is not None:
                break
            await asyncio.sleep(0.005)
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
async def test_each_request_has_its_own_time(driven: Any, wire: Any) -> None:
    async with Host(driven, read_seconds=0.2) as host:
        peer = await wire.dial(host.port)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await peer.send(notify(0)[:-1])
        seq = 0
        while loop.time() < start + 0.5:
            # The end of one request and the beginning of the next one.
            await peer.send(b"c" + notify(seq + 1)[:-1])
            await peer.until(b"/n%d" % seq)
            seq += 1


async def test_a_peer_that_does_not_read_is_cut_off_after_a_while(driven: Any, wire: Any) -> None:
    async with Host(
        driven,
        lambda request: Response(200, (), bytes(9_000_000)),
        read_seconds=0.05,
        write_buffer_bytes=90_000_000,
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(1))
        while not host.requests or host.listener.connection_count:
            await asyncio.sleep(0.001)


@pytest.mark.slow
async def test_a_peer_that_reads_slowly_gets_an_answer_that_takes_longer_than_its_time(
    driven: Any, wire: Any
) -> None:
    size = 6_000_000
    async with Host(
        driven,
        lambda request: Response(200, (), bytes(size)),
        read_seconds=0.3,
        write_buffer_bytes=2 * size,
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=50_000)
        await peer.send(notify(1))
        got = 0
        while got < size:  # in about a second
            got += len(await peer.receive(min(100_000, size - got)))
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_peer_that_lets_too_much_wait_is_cut_off_at_once(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(
        driven, lambda request: Response(200, (), bytes(9_000_000)), write_buffer_bytes=10_000
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(1))
        await until(lambda: host.requests and not host.listener.connection_count)


async def test_a_peer_that_sends_many_requests_before_an_answer_is_not_read_meanwhile(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()

    def respond(request: Request) -> Any:
        return ready if request.target == "/n0" else OK

    async with Host(driven, respond, pipelined_requests=4) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"".join(notify(seq) for seq in range(1000)))
        await until(lambda: host.requests)
        await asyncio.sleep(0.01)
        (connection,) = host.listener._open
        assert len(host.requests) == 1
        assert len(connection._waiting) <= 4
        assert connection._parser.rest > 0
        ready.set_result(OK)
        assert await peer.receive(1000 * len(OK_BYTES)) == 1000 * OK_BYTES


async def test_a_receipt_is_lost_if_the_peer_leaves_before_the_answer_is_made(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready, connections=1) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1))
        await until(lambda: host.requests)
        (connection,) = host.listener._open
        connection.drop()
        ready.set_result(Response(200, receipt="r"))
        await until(lambda: host.told)
        assert host.told == [("lost", "r")]


async def test_requests_behind_a_receipt_are_not_too_many_for_a_peer_that_reads(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(driven, receipt, pipelined_requests=2) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"".join(notify(seq) for seq in range(8)))
        await until(lambda: len(host.told) == 8)
        assert host.told == [("sent", f"/n{seq}") for seq in range(8)]


async def test_an_answer_without_a_receipt_may_come_too_late(
    driven: Any, wire: Any, until: Until
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready) as host:
        peer = await wire.dial(host.port)
        await peer.send(notify(1) * 3)
        await until(lambda: host.requests)
        (connection,) = host.listener._open
        connection.drop()
        await until(lambda: not host.listener.connection_count)
        ready.set_result(OK)
        await asyncio.sleep(0)
        assert host.told == []


async def test_a_peer_that_reads_later_gets_all_its_answers(driven: Any, wire: Any) -> None:
    async with Host(
        driven,
        lambda request: Response(200, (), bytes(6_000_000)),
        pipelined_requests=2,
        write_buffer_bytes=90_000_000,
    ) as host:
        peer = await wire.dial(host.port, receive_buffer=200_000)
        await peer.send(notify(0) + notify(1) + notify(2))
        got = 0
        while got < 3 * 6_000_000:
            got += len(await peer.some())
        assert len(host.requests) == 3


async def test_the_longest_idle_connection_makes_room(driven: Any, wire: Any, until: Until) -> None:
    async with Host(driven, connections=2) as host:
        first, second = await wire.dial(host.port), await wire.dial(host.port)
        for peer in (second, first):
            await peer.send(notify(1))
            await peer.until(b"/n1")
        third = await wire.dial(host.port)
        assert await second.some() == b""
        for peer in (first, third):
            await peer.send(notify(2))
            await peer.until(b"/n2")
        assert host.listener.connection_count == 2


async def test_an_address_takes_no_more_connections_than_its_share(driven: Any, wire: Any) -> None:
    async with Host(driven, connections_per_address=1) as host:
        other = await wire.dial(host.port, source="127.0.0.2")
        first = await wire.dial(host.port)
        for peer in (other, first):
            await peer.send(notify(1))
            await peer.until(b"/n1")
        second = await wire.dial(host.port)
        assert await first.some() == b""
        await second.send(notify(2))
        await second.until(b"/n2")
        await other.send(notify(2))
        await other.until(b"/n2")


async def test_connections_that_have_ended_count_no_more(
    driven: Any, wire: Any, until: Until
) -> None:
    async with Host(driven, connections=2, connections_per_address=2) as host:
        for _ in range(5):
            peer = await wire.dial(host.port)
            await peer.send(notify(1))
            await peer.until(b"/n1")
            peer.close()
            await until(lambda: host.listener.connection_count == 0)


async def test_many_peers_may_come_at_once(driven: Any, wire: Any) -> None:
    async with Host(driven) as host:
        peers = [await wire.dial(host.port) for _ in range(100)]
        for peer in peers:
            await peer.send(notify(1))
        for peer in peers:
            await peer.until(b"/n1")


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
async def test_while_the_answers_of_all_connections_are_made_a_new_one_is_refused(
    driven: Any, wire: Any, until: Until, limit: str
) -> None:
    ready = driven.runtime.future()
    async with Host(driven, lambda request: ready, **{limit: 1}) as host:
        busy = await wire.dial(host.port)
        await busy.send(notify(1))
        await until(lambda: host.requests)
        refused = await wire.dial(host.port)
        assert await refused.until(b" 503 ")
        ready.set_result(Response(200, (), b"/n1"))
        await busy.until(b"/n1")


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
async def test_the_oldest_unfinished_request_makes_room_if_no_connection_is_idle(
    driven: Any, wire: Any, until: Until, limit: str
) -> None:
    async with Host(driven, **{limit: 2}) as host:
        slow, later = await wire.dial(host.port), await wire.dial(host.port)
        for count, peer in enumerate((slow, later), 1):
            await peer.send(notify(1)[:-1])
            await until(lambda count=count: len(host.listener.reading) == count)
        fresh = await wire.dial(host.port)
        await slow.over()
        for peer, data in ((later, b"c"), (fresh, notify(1))):
            await peer.send(data)
            await peer.until(b"/n1")


@pytest.fixture
def descriptors() -> Iterator[Callable[[], None]]:
    """Takes the free file descriptors away until the test ends, or sets the limit itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def take() -> None:
        with socket.socket() as probe:
            free = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))

    yield take
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow  # the stdlib's loop waits a second before it accepts again
async def test_no_file_descriptor_left_does_not_end_the_listener(
    driven: Any, wire: Any, reports: list[dict[str, Any]], descriptors: Callable[[], None]
) -> None:

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Host(driven) as host:
        peer = wire.keep(socket.socket())
        descriptors()
        await asyncio.get_running_loop().sock_connect(peer.sock, ("127.0.0.1", host.port))
        for _ in range(20):
            await asyncio.sleep(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        while True:
            again = await wire.dial(host.port)
            await again.send(notify(1))
            if await again.some():
                break
    # One report for one failure, and the loop asks again a second later.
    assert len(reports) <= 1
    for report in reports:
        assert report["message"] == "socket.accept() out of system resource"
    reports.clear()


# --- the end ---


async def test_closing_ends_every_connection_and_gives_up_what_is_being_made(
    driven: Any, wire: Any, until: Until
) -> None:
    given_up: list[bool] = []

    async def forever(request: Request) -> Response:
        try:
            await driven.runtime.future()
        finally:
            given_up.append(True)
        raise AssertionError

    def respond(request: Request) -> Any:
        return forever(request) if request.target == "/n1" else named(request)

    host = Host(driven, respond)
    async with host:
        busy, idle = await wire.dial(host.port), await wire.dial(host.port)
        await busy.send(notify(1))
        await idle.send(notify(2))
        await idle.until(b"/n2")
        await until(lambda: len(host.requests) == 2)
    assert given_up == [True]
    assert await busy.rest() == b""
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await wire.dial(host.port)
    await host.listener.closed()


async def test_closing_lets_written_answers_leave_but_not_for_ever(driven: Any, wire: Any) -> None:
    size = 9_000_000

    for reads in (True, False):
        async with Host(
            driven,
            lambda request: Response(200, (), bytes(size), receipt="r"),
            write_buffer_bytes=2 * size,
            linger_seconds=10.0 if reads else 0.05,
        ) as host:
            peer = await wire.dial(host.port, receive_buffer=200_000)
            await peer.send(notify(1))
            await peer.receive(1000)
            closing = asyncio.ensure_future(host.listener.closed())
            if reads:
                assert len(await peer.rest()) > size - 1000
            await closing
            assert host.told == [("sent" if reads else "lost", "r")]


async def test_peers_faults_are_told_at_debug_level_only(
    driven: Any, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:

    caplog.set_level(logging.DEBUG, "propchange.http")
    async with Host(driven) as host:
        peer = await wire.dial(host.port)
        await peer.send(b"\0\0\0\0\r\n\r\n")
        await peer.rest()
    assert {record.levelno for record in caplog.records if record.name == "propchange.http"} == {
        logging.DEBUG
    }


# --- answers that somebody else writes ---


class Elsewhere:
    """An answer that the test writes."""

    def __init__(self, request: Request, *, at_once: bool = False) -> None:
        self.body = request.target.encode()
        self.at_once = at_once
        self.connection: Any = None
        self.told: list[object] = []

    def begin(self, connection: Any) -> None:
        self.connection = connection
        if self.at_once:
            self.write()

    def write(self, **how: Any) -> None:
        self.connection.transport.write(self.body)
        self.connection.answered(last=False, **how)

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def lost(self, error: Exception | None) -> None:
        self.told.append(error)


def test_answers_keep_their_order_whoever_writes_them(memory: Any, transport: Any) -> None:
    made: list[Elsewhere] = []

    def respond(request: Request) -> Any:
        if request.target in ("/n0", "/n3"):
            return OK
        made.append(Elsewhere(request, at_once=request.target == "/n1"))
        return made[-1]

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    peer.connection.data_received(b"".join(notify(seq) for seq in range(4)))
    assert peer.data == OK_BYTES + b"/n1"
    assert peer.calls[-1] == "pause_reading"
    made[1].write()
    assert peer.data == OK_BYTES + b"/n1/n2" + OK_BYTES
    assert peer.calls[-2:] == ["write", "resume_reading"]
    peer.connection.data_received(notify(1))
    assert peer.data.endswith(b"/n1")


def test_who_writes_an_answer_is_paused_and_hears_of_the_end(memory: Any, transport: Any) -> None:
    made: list[Elsewhere] = []

    def respond(request: Request) -> Any:
        made.append(Elsewhere(request))
        return made[-1]

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    peer.connection.data_received(notify(1))
    assert "pause_reading" not in peer.calls  # or nobody would see the peer's end
    peer.connection.pause_writing()
    peer.connection.resume_writing()
    error = ConnectionResetError()
    peer.lose(error)
    assert made[0].told == ["pause", "resume", error]
    left: list[bool] = []
    made[0].write(left=left.append)
    assert left == [False]


@pytest.mark.clause("SUB-55")
def test_an_answer_written_elsewhere_has_left_when_nothing_is_unwritten(
    memory: Any, transport: Any
) -> None:
    made: list[Elsewhere] = []

    def respond(request: Request) -> Any:
        made.append(Elsewhere(request))
        return made[-1]

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    left: list[bool] = []
    peer.connection.data_received(notify(1))
    made[0].write(left=left.append)
    assert left == [True]
    peer.connection.data_received(notify(2))
    peer.unwritten = 1
    peer.connection.pause_writing()
    made[1].write(left=left.append)
    assert left == [True]
    peer.unwritten = 0
    peer.connection.resume_writing()
    assert left == [True, True]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_peer_is_waited_for_while_it_reads(memory: Any, transport: Any, elsewhere: bool) -> None:
    made: list[Elsewhere] = []

    def respond(request: Request) -> Any:
        made.append(Elsewhere(request))
        return made[-1] if elsewhere else Response(200, (), b"x" * 10, close=True)

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    peer.unwritten = 9
    peer.connection.data_received(notify(1))
    peer.connection.pause_writing()
    if elsewhere:
        made[0].write()
    memory.advance(DEFAULT_LIMITS.read_seconds - 1)
    assert not peer.closing
    peer.unwritten = 5
    memory.advance(2)
    assert not peer.closing
    memory.advance(DEFAULT_LIMITS.read_seconds)
    assert peer.calls[-1] == "abort"


def test_a_peer_that_reads_from_the_buffers_of_the_system_reads(
    memory: Any, transport: Any
) -> None:
    table = listeners.Listener(memory, lambda request: Response(200, (), b"x" * 10))
    peer = transport(table.accept()).make()
    peer.unwritten, peer.unsent = 9, 1_000_000
    peer.connection.data_received(notify(1))
    peer.connection.pause_writing()
    for _ in range(3):
        peer.unsent -= 100
        memory.advance(DEFAULT_LIMITS.read_seconds)
        assert not peer.closing
    memory.advance(DEFAULT_LIMITS.read_seconds)
    assert peer.calls[-1] == "abort"


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_peer_that_reads_a_byte_now_and_then_does_not_read_for_ever(
    memory: Any, transport: Any, elsewhere: bool
) -> None:
    made: list[Elsewhere] = []

    def respond(request: Request) -> Any:
        made.append(Elsewhere(request))
        return made[-1] if elsewhere else Response(200, (), b"x" * 10)

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    peer.unwritten = 1_000_000
    peer.connection.data_received(notify(1))
    peer.connection.pause_writing()

    def read_slowly(seconds: float) -> None:
        until = memory.time + seconds
        while memory.time < until and not peer.closing:
            peer.unwritten -= 1
            memory.advance(DEFAULT_LIMITS.read_seconds - 1)

    if elsewhere:  # an answer that is still being written may take any time
        read_slowly(2 * DEFAULT_LIMITS.answer_seconds)
        assert not peer.closing
        made[0].write()
    read_slowly(0.8 * DEFAULT_LIMITS.answer_seconds)
    assert not peer.closing
    read_slowly(0.5 * DEFAULT_LIMITS.answer_seconds)
    assert peer.calls[-1] == "abort"


def test_a_connection_whose_answer_cannot_be_begun_is_ended(
    memory: Any, transport: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Elsewhere):
        def begin(self, connection: Any) -> None:
            raise ValueError("on purpose")

    table = listeners.Listener(memory, Broken)
    peer = transport(table.accept()).make()
    peer.connection.data_received(notify(1))
    assert peer.closing
    assert "on purpose" in caplog.text
