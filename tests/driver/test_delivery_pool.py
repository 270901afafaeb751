"""Which connection carries a delivery, on each runtime, with sockets at the other end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Response,
)
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.machine import Interfaces, has_address
from propchange.errors import LocalProtocolError
from tests.wire import Until

OK = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"
END = b"</e>"
HERE = Endpoint("127.0.0.1", 0)


def delivery(
    endpoint: Endpoint,
    seq: int = 0,
    *,
    source: Endpoint | None = HERE,
    fresh: bool = False,
    body: bytes = b"<e></e>",
    sid: str = "uuid:1",
) -> Delivery:
    url = DeliveryURL(f"http://{endpoint}/n", endpoint, str(endpoint), "/n")
    address = DeliveryAddress(sid, url, source, "1.1")
    return Delivery(address, seq, EventMessage((("A", "1"),), body), None, fresh=fresh)


class Sender:
    """A delivery pool with what it told."""

    def __init__(self, driven: Any, **limits: Any) -> None:
        self.driven = driven
        self.limits = replace(DEFAULT_LIMITS, **limits)
        self.ended: list[tuple[int, int | DeliveryFailure]] = []
        self.on_ended: Callable[[Delivery], None] = lambda delivery: None
        self.deliveries: DeliveryPool

    def _ended(self, delivery: Delivery, result: int | DeliveryFailure, _: object) -> None:
        self.ended.append((delivery.seq, result))
        self.on_ended(delivery)

    def send(self, delivery: Delivery, **how: Any) -> None:
        self.deliveries.send(delivery, self._ended, **how)

    async def __aenter__(self) -> Sender:
        self.deliveries = DeliveryPool(self.driven.runtime, limits=self.limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driven.run(self.deliveries.close())
        assert self.deliveries.connection_count == 0


async def test_a_connection_carries_one_notify_after_the_other(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        sender.send(delivery(to, 0))
        peer = await door.accept()
        for seq in range(5):
            request = await peer.until(END)
            assert request.startswith(b"NOTIFY /n HTTP/1.1\r\n")
            assert b"SEQ: %d\r\n" % seq in request
            await peer.send(OK)
            await until(lambda seq=seq: len(sender.ended) == seq + 1)
            if seq < 4:
                sender.send(delivery(to, seq + 1))
        assert sender.ended == [(seq, 200) for seq in range(5)]
        assert (sender.deliveries.connection_count, sender.deliveries.idle_count) == (1, 1)


async def test_the_next_delivery_may_be_sent_when_one_has_ended(driven: Any, wire: Any) -> None:
    """Also from inside the call that tells so, and over the same connection."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        sender.on_ended = lambda ended: sender.send(delivery(to, ended.seq + 1))
        sender.send(delivery(to, 0))
        peer = await door.accept()
        for _ in range(20):
            await peer.until(END)
            await peer.send(OK)
        while len(sender.ended) < 20:
            await asyncio.sleep(0)
        assert sender.deliveries.connection_count == 1


async def test_deliveries_do_not_wait_for_each_other(driven: Any, wire: Any, until: Until) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        for seq in range(3):
            sender.send(delivery(to, seq))
        peers = [await door.accept() for _ in range(3)]
        requests = [await peer.until(END) for peer in peers]
        await peers[2].send(OK)
        await until(lambda: sender.ended)
        assert b"SEQ: %d\r\n" % sender.ended[0][0] in requests[2]
        assert sender.deliveries.connection_count == 3


@pytest.mark.clause("V6-14")
@pytest.mark.clause("NOT-11")
async def test_a_notify_leaves_at_once_and_from_the_address_it_should(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        sender.send(delivery(to, source=Endpoint("127.0.0.9", 1234)))
        peer = await door.accept()
        assert peer.sock.getpeername()[0] == "127.0.0.9"
        await peer.until(END)
        (connection,) = sender.deliveries._open
        transport = connection.write.__self__
        if driven.kind == "twisted":
            assert transport.transport.getTcpNoDelay()
        else:
            sock = transport._socket
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sender.send(delivery(to, source=Endpoint("127.0.0.8", 1234)))
        other = await door.accept()
        assert other.sock.getpeername()[0] == "127.0.0.8"
        sender.send(delivery(to, source=None))
        await door.accept()


async def test_a_link_local_subscriber_is_reached_on_its_link(driven: Any, wire: Any) -> None:
    own = next((address for address in Interfaces().addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")

    door = wire.listen(own.host, scope=own.scope)
    async with Sender(driven) as sender:
        to = Endpoint(own.host, door.port, own.scope)
        sender.send(delivery(to, source=own.endpoint))
        peer = await door.accept()
        request = await peer.until(END)
        assert b"HOST: [%b]:%d\r\n" % (own.host.encode(), door.port) in request
        assert peer.sock.getpeername()[3] == own.scope


# --- answers ---


@pytest.mark.parametrize(
    ("answer", "status", "kept"),
    [
        (OK, 200, True),
        (b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n", 412, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, False),
        (OK + b"HTTP", 200, False),
        (OK + OK, 200, False),
        (OK + b"\0\0\0\0\r\n\r\n", 200, False),
    ],
    ids=[
        "ok",
        "412",
        "body",
        "chunked",
        "interim",
        "close",
        "http-1.0",
        "no-length",
        "more-bytes",
        "two-answers",
        "garbage-after",
    ],
)
async def test_an_answer_tells_whether_its_connection_is_kept(
    driven: Any, wire: Any, until: Until, *, answer: bytes, status: int, kept: bool
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven, linger_seconds=0.1) as sender:
        sender.send(delivery(to))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(answer)
        await until(lambda: sender.ended)
        assert sender.ended == [(0, status)]
        await until(lambda: sender.deliveries.connection_count == kept)
        if not kept:
            assert await peer.rest() == b""
        sender.send(delivery(to, 1))
        again = peer if kept else await door.accept()
        assert b"SEQ: 1\r\n" in await again.until(END)


CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (CLOSING + b"Content-Length: 0\r\n\r\n", b"\r\n", b"\r\n"),
        (CLOSING + b"\r\n", b"a body without", b" a length"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"a body ", b"in pieces"),
        (OK + b"more", b" and more", b" and more"),
        (b"220 mail\r\n\r\n", b"this is ", b"not HTTP"),
    ],
)
async def test_a_subscriber_that_says_more_after_its_last_answer_is_not_reset(
    driven: Any, wire: Any, until: Until, pieces: tuple[bytes, ...]
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        for piece in pieces:
            await peer.send(piece)
            await asyncio.sleep(0.02)
        assert await peer.rest() == b""  # the end, no reset
        peer.close()
        await until(lambda: sender.deliveries.connection_count == 0)


@pytest.mark.parametrize("length", [b"Content-Length: 20000", b"Transfer-Encoding: chunked"])
def test_an_answer_of_any_length_takes_only_so_much_memory(memory: Any, length: bytes) -> None:
    pool, told = DeliveryPool(memory), Told()
    pool.send(delivery(A), told)
    transport = memory.connects[-1].succeed()
    transport.connection.data_received(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length)
    for _ in range(20):
        transport.connection.data_received(b"400\r\n" + bytes(1024) + b"\r\n")
    assert told.ended == [(0, DeliveryFailure.BROKEN)]
    assert transport.closing or transport.calls[-1] == "write_eof"


def test_a_subscriber_that_does_not_end_after_its_last_answer_is_ended(memory: Any) -> None:
    pool = DeliveryPool(memory)
    for endless in (False, True):
        pool.send(delivery(A), Told())
        transport = memory.connects[-1].succeed()
        transport.connection.data_received(CLOSING + b"\r\n")
        if endless:
            for _ in range(2):
                transport.connection.data_received(bytes(DEFAULT_LIMITS.answer_bytes // 2 + 1))
            assert transport.calls[-1] == "abort"
        else:
            memory.advance(DEFAULT_LIMITS.linger_seconds)
            assert transport.calls[-1] == "close"
        transport.lose()
    assert pool.connection_count == 0


async def test_an_answer_may_come_byte_by_byte(driven: Any, wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        for byte in OK:
            assert sender.ended == []
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 200)]


async def test_an_answer_that_comes_again_may_come_in_pieces(
    driven: Any, wire: Any, until: Until
) -> None:
    """The second piece looks like the whole answer that came before."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    long = b"HTTP/1.1 500 No\r\nCONTENT-LENGTH: %d\r\n\r\n" % len(OK)
    answers: list[tuple[bytes, ...]] = [(OK,), (OK,), (long, OK), (OK,), (OK[:9], OK[9:])]
    answers += [(OK.replace(b"200", b"412"),), (OK,), (OK + b"X",)]
    async with Sender(driven) as sender:
        sender.send(delivery(to))
        peer = await door.accept()
        await peer.until(END)
        (connection,) = sender.deliveries._open
        for seq, pieces in enumerate(answers):
            for piece in pieces[:-1]:
                await peer.send(piece)
                await until(lambda: connection._parser.started)
            await peer.send(pieces[-1])
            await until(lambda seq=seq: len(sender.ended) == seq + 1)
            if seq + 1 < len(answers):
                sender.send(delivery(to, seq + 1))
                await peer.until(END)
        assert [status for _, status in sender.ended] == [
            200,
            200,
            500,
            200,
            200,
            412,
            200,
            200,
        ]
        assert await peer.rest() == b""


async def test_an_answer_before_the_whole_request_ends_the_connection(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen(receive_buffer=200_000)
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port), body=bytes(9_000_000)))
        peer = await door.accept()
        await peer.receive(100)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 413)]
        await until(lambda: sender.deliveries.connection_count == 0)


def test_a_request_that_was_answered_early_has_only_so_long_to_leave(memory: Any) -> None:
    pool = DeliveryPool(memory)
    for reads in (True, False):
        pool.send(delivery(A), Told())
        transport = memory.connects[-1].succeed()
        transport.unwritten = 1
        transport.connection.data_received(OK)
        assert transport.calls[-1] == "close"
        if not reads:
            memory.advance(DEFAULT_LIMITS.linger_seconds)
            assert transport.calls[-1] == "abort"
        transport.lose()
        assert memory.armed == 0


async def test_a_long_notify_is_read_as_slowly_as_the_subscriber_likes(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen(receive_buffer=200_000)
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        sender.send(delivery(to, body=bytes(9_000_000) + END))
        peer = await door.accept()
        data = b""
        while not data.endswith(END):
            data += await peer.some()
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        await peer.send(OK)
        assert await peer.rest() == b""
        assert sender.ended == [(0, 200)]


async def test_a_body_without_length_ends_with_the_connection(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(b"HTTP/1.0 500 Oops\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 500)]
        assert await peer.rest() == b""


# --- failures ---


async def test_nobody_there_is_no_connection(driven: Any, wire: Any, until: Until) -> None:
    door = wire.listen()
    door.close()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint("127.0.0.1", door.port)))
        assert sender.ended == []
        await until(lambda: sender.ended)
        assert sender.ended == [(0, DeliveryFailure.CONNECT)]


@pytest.mark.parametrize(
    ("to", "source"),
    [
        (Endpoint("127.0.0.1", 9), Endpoint("203.0.113.1", 0)),
        (Endpoint("::1", 9), Endpoint("127.0.0.1", 0)),
        (Endpoint("fe80::1", 9, 999_999), Endpoint("fe80::2", 0, 999_999)),
    ],
    ids=["not-ours", "other-family", "no-such-interface"],
)
# Twisted leaves a socket that cannot be bound to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_source_that_cannot_be_used_is_no_connection(
    driven: Any, until: Until, to: Endpoint, source: Endpoint
) -> None:
    async with Sender(driven) as sender:
        sender.send(delivery(to, source=source))
        await until(lambda: sender.ended)
        assert sender.ended == [(0, DeliveryFailure.CONNECT)]


def test_connecting_has_a_limit_and_its_end_is_told(memory: Any) -> None:
    pool, ended = DeliveryPool(memory), []
    for seq in range(2):
        pool.send(delivery(Endpoint("192.0.2.7", 9), seq), lambda *end: ended.append(end[1]))
    assert [attempt.seconds for attempt in memory.connects] == [DEFAULT_LIMITS.connect_seconds] * 2
    for attempt in memory.connects:
        attempt.fail(TimeoutError())
    assert ended == [DeliveryFailure.CONNECT] * 2
    assert pool.connection_count == 0


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize(
    ("answered", "sent", "failure"),
    [
        (0, b"", DeliveryFailure.BROKEN),
        (1, b"", DeliveryFailure.STALE),
        (1, b"HTTP/1.1 2", DeliveryFailure.BROKEN),
        (1, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", DeliveryFailure.BROKEN),
    ],
    ids=["first", "kept", "kept-but-begun", "kept-and-half"],
)
async def test_a_connection_that_breaks_is_stale_only_when_it_was_kept_and_said_nothing(
    driven: Any,
    wire: Any,
    until: Until,
    *,
    how: str,
    answered: int,
    sent: bytes,
    failure: DeliveryFailure,
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        for seq in range(answered):
            sender.send(delivery(to, seq))
            peer = await door.accept()
            await peer.until(END)
            await peer.send(OK)
            await until(lambda: sender.deliveries.idle_count)
        sender.send(delivery(to, 7))
        if not answered:
            peer = await door.accept()
        await peer.until(END)
        if sent:
            await peer.send(sent)
            (connection,) = sender.deliveries._open
            await until(lambda: connection._parser.started)
        if how == "end":
            peer.close()
        else:
            peer.reset()
        await until(lambda: len(sender.ended) > answered)
        assert sender.ended[-1] == (7, failure)
        await until(lambda: sender.deliveries.connection_count == 0)


async def test_what_is_not_http_breaks_the_delivery(driven: Any, wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(b"220 mail.example.org ESMTP\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, DeliveryFailure.BROKEN)]
        assert await peer.rest() == b""


async def test_a_connection_that_ends_while_idle_is_dropped_at_once(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        for how in ("end", "reset"):
            sender.send(delivery(to))
            peer = await door.accept()
            await peer.until(END)
            await peer.send(OK)
            await until(lambda: sender.deliveries.idle_count)
            if how == "end":
                peer.close()
            else:
                peer.reset()
            await until(lambda: not sender.deliveries.connection_count)
        assert sender.ended == [(0, 200), (0, 200)]


async def test_a_connection_that_ends_is_not_taken_in_the_same_turn(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        (connection,) = sender.deliveries._open
        connection.eof_received()
        assert sender.deliveries.idle_count == 0


async def test_a_fresh_delivery_uses_no_connection_that_was_used(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        sender.send(delivery(to))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        sender.send(delivery(to, 1, fresh=True))
        other = await door.accept()
        assert b"SEQ: 1\r\n" in await other.until(END)


async def test_what_cannot_be_written_is_told_by_send(driven: Any) -> None:
    async with Sender(driven) as sender:
        with pytest.raises(LocalProtocolError):
            sender.send(delivery(Endpoint("127.0.0.1", 9), sid="a\r\nb"))
        assert sender.deliveries.connection_count == 0


# --- abort ---


async def test_an_aborted_delivery_ends_its_connection_and_is_not_told(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sent = delivery(Endpoint(door.host, door.port))
        sender.send(sent)
        peer = await door.accept()
        await peer.until(END)
        sender.deliveries.abort(sent)
        await peer.over()
        await until(lambda: not sender.deliveries.connection_count)
        sender.deliveries.abort(sent)
        assert sender.ended == []


async def test_a_delivery_may_be_aborted_while_it_connects(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender(driven) as sender:
        sent = delivery(Endpoint(door.host, door.port))
        sender.send(sent)
        sender.deliveries.abort(sent)
        await until(lambda: not sender.deliveries.connection_count)
        sender.send(sent)
        await asyncio.sleep(0)
        sender.deliveries.abort(sent)
        await until(lambda: not sender.deliveries.connection_count)
        assert sender.ended == []


def test_a_connection_that_is_made_after_all_is_ended(memory: Any) -> None:
    pool = DeliveryPool(memory)
    sent = delivery(Endpoint("192.0.2.7", 9))
    pool.send(sent, pytest.fail)
    pool.abort(sent)
    (attempt,) = memory.connects
    assert attempt.cancelled
    assert pool.connection_count == 0
    transport = attempt.succeed()
    assert transport.calls == ["abort"]
    transport.lose()


# --- limits ---


async def test_an_idle_connection_is_ended_after_a_while(
    driven: Any, wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven, delivery_idle_seconds=0.05) as sender:
        for seq in range(2):
            sender.send(delivery(to, seq))
        for _ in range(2):
            peer = await door.accept()
            await peer.until(END)
            await peer.send(OK)
        await until(lambda: len(sender.ended) == 2)
        assert await peer.rest() == b""
        await until(lambda: not sender.deliveries.connection_count)
        assert not sender.deliveries._routes


async def test_the_longest_idle_connection_makes_room(driven: Any, wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(3)]
    to = [Endpoint(door.host, door.port) for door in doors]
    async with Sender(driven, delivery_connections=2) as sender:
        peers = []
        for index in range(2):
            sender.send(delivery(to[index], index))
            peer = await doors[index].accept()
            await peer.until(END)
            await peer.send(OK)
            peers.append(peer)
            await until(lambda index=index: len(sender.ended) == index + 1)
        sender.send(delivery(to[2], 2))
        assert sender.deliveries.waiting_count == 1
        third = await doors[2].accept()
        await third.until(END)
        assert await peers[0].rest() == b""
        sender.send(delivery(to[1], 3))
        assert b"SEQ: 3\r\n" in await peers[1].until(END)


async def test_what_is_over_the_cap_waits_in_order(driven: Any, wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(2)]
    first, second = (Endpoint(door.host, door.port) for door in doors)
    async with Sender(driven, delivery_connections=1) as sender:
        sender.send(delivery(first, 0))
        sender.send(delivery(first, 1))
        sender.send(delivery(second, 2))
        sender.send(delivery(second, 3, fresh=True))
        aborted = delivery(second, 4)
        sender.send(aborted)
        sender.send(delivery(first, 5))
        assert sender.deliveries.waiting_count == 5
        sender.deliveries.abort(aborted)
        # What is sent while others wait goes behind them, though a connection is free.
        sender.on_ended = lambda ended: ended.seq or sender.send(delivery(first, 6))
        peer = await doors[0].accept()
        for seq in (0, 1):
            assert b"SEQ: %d\r\n" % seq in await peer.until(END)
            await peer.send(OK)
        for seq in (2, 3):
            peer = await doors[1].accept()
            assert b"SEQ: %d\r\n" % seq in await peer.until(END)
            await peer.send(OK)
        peer = await doors[0].accept()
        for seq in (5, 6):
            assert b"SEQ: %d\r\n" % seq in await peer.until(END)
            await peer.send(OK)
        await until(lambda: len(sender.ended) == 6)
        assert sender.deliveries.connection_count == 1


async def test_a_delivery_that_fails_gives_its_place_to_the_next(
    driven: Any, wire: Any, until: Until
) -> None:
    door, closed = wire.listen(), wire.listen()
    closed.close()
    async with Sender(driven, delivery_connections=1) as sender:
        sender.send(delivery(Endpoint("127.0.0.1", closed.port), 0))
        sender.send(delivery(Endpoint(door.host, door.port), 1))
        peer = await door.accept()
        await peer.until(END)
        peer.reset()
        sender.send(delivery(Endpoint(door.host, door.port), 2))
        peer = await door.accept()
        await peer.until(END)
        assert sender.ended == [(0, DeliveryFailure.CONNECT), (1, DeliveryFailure.BROKEN)]


async def test_connections_one_after_the_other_do_not_pile_up(
    driven: Any, wire: Any, until: Until
) -> None:
    """A subscriber that closes after each NOTIFY."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(driven) as sender:
        for seq in range(20):
            sender.send(delivery(to, seq))
            peer = await door.accept()
            await peer.until(END)
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            peer.close()
            await until(lambda seq=seq: len(sender.ended) == seq + 1)
        await until(lambda: not sender.deliveries.connection_count)
        assert not sender.deliveries._routes


class Told:
    """What became of deliveries: (SEQ, result)."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, int | DeliveryFailure]] = []
        self.statuses: list[int | None] = []

    def __call__(self, delivery: Delivery, result: Any, response: Response | None) -> None:
        self.ended.append((delivery.seq, result))
        self.statuses.append(response.status if response else None)


A, B = Endpoint("192.0.2.7", 80), Endpoint("192.0.2.8", 80)


def test_an_endpoint_takes_no_more_connections_than_its_share(memory: Any) -> None:
    limits = replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=2)
    pool, told = DeliveryPool(memory, limits=limits), Told()
    for seq in range(5):
        pool.send(delivery(A, seq), told)
    pool.send(delivery(B, 5), told)
    assert [attempt.endpoint for attempt in memory.connects] == [A, A, B]
    assert pool.waiting_count == 3
    first, second, _ = [attempt.succeed() for attempt in memory.connects]
    first.connection.data_received(OK)
    assert b"SEQ: 2\r\n" in first.data
    second.lose()
    assert told.ended == [(0, 200), (1, DeliveryFailure.BROKEN)]
    assert len(memory.connects) == 4
    again = memory.connects[3].succeed()
    assert b"SEQ: 3\r\n" in again.data
    for transport in (first, again):
        transport.lose()
    assert memory.connects[-1].endpoint == A


def test_all_that_waits_for_an_endpoint_goes_on_when_its_last_connection_is_gone(
    memory: Any,
) -> None:
    limits = replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1, delivery_connections=1)
    pool, told = DeliveryPool(memory, limits=limits), Told()
    pool.send(delivery(A, 0), told)
    for seq in (1, 2, 3):
        pool.send(delivery(A, seq), told)
    for number in range(4):
        memory.connects[number].fail(OSError())
    assert told.ended == [(seq, DeliveryFailure.CONNECT) for seq in range(4)]
    assert pool.connection_count == pool.waiting_count == 0
    assert pool.endpoints == set()


def test_connections_that_are_being_opened_are_bounded_by_themselves(memory: Any) -> None:
    pool = DeliveryPool(memory, limits=replace(DEFAULT_LIMITS, connecting_deliveries=2))
    told = Told()
    for seq in range(4):
        pool.send(delivery(A, seq), told)
    assert len(memory.connects) == 2
    transport = memory.connects[0].succeed()
    assert len(memory.connects) == 3
    # One that is idle, or free again, is taken all the same.
    transport.connection.data_received(OK)
    assert b"SEQ: 3\r\n" in transport.data
    pool.send(delivery(B, 4), told)
    transport.connection.data_received(OK)
    assert pool.idle_count == 1
    pool.send(delivery(A, 5), told)
    assert b"SEQ: 5\r\n" in transport.data
    memory.connects[1].fail(OSError())
    assert memory.connects[-1].endpoint == B


def test_a_delivery_that_waits_says_so(memory: Any) -> None:
    pool = DeliveryPool(memory, limits=replace(DEFAULT_LIMITS, delivery_connections=1))
    told, sent = Told(), [delivery(A, seq) for seq in range(2)]
    for one in sent:
        pool.send(one, told)
    assert [one.carrier is WAITING for one in sent] == [False, True]
    memory.connects[0].succeed().connection.data_received(OK)
    assert [one.carrier is WAITING for one in sent] == [False, False]


class Round:
    """Endpoints that are all sent each event, and answer at once."""

    def __init__(self, memory: Any, count: int, **limits: Any) -> None:
        self.memory = memory
        self.pool = DeliveryPool(
            memory, limits=replace(DEFAULT_LIMITS, **limits), has_address=lambda _: True
        )
        self.told = Told()
        self.to = [Endpoint(f"10.0.{n // 250}.{n % 250}", 80) for n in range(count)]
        self.open: list[Any] = []
        self._seq = 0

    def send(self, to: Sequence[Endpoint] | None = None) -> int:
        """One event for each endpoint. Returns how many connections were opened for it."""
        to = self.to if to is None else to
        before, done = len(self.memory.connects), len(self.told.ended)
        taken = before
        for endpoint in to:
            self.pool.send(delivery(endpoint, self._seq), self.told)
        self._seq += 1
        while len(self.told.ended) < done + len(to):
            self.memory.advance()
            while taken < len(self.memory.connects):
                self.open.append(self.memory.connects[taken].succeed())
                taken += 1
            for transport in [each for each in self.open if each.data]:
                transport.data = b""
                transport.connection.data_received(OK)
            for transport in [each for each in self.open if each.closing]:
                self.open.remove(transport)
                transport.lose()
        return len(self.memory.connects) - before


def test_every_subscription_can_have_a_connection_of_its_own(memory: Any) -> None:
    rounds = Round(memory, 600)
    assert [rounds.send() for _ in range(3)] == [600, 0, 0]


def test_above_the_cap_some_connections_are_kept_and_not_all_opened_again(memory: Any) -> None:
    """Each round needs 10 new connections at least: 50 endpoints for 40 connections."""
    rounds = Round(memory, 50, delivery_connections=40)
    rounds.send()
    opened = [rounds.send() for _ in range(10)]
    assert min(opened) >= 10
    assert sum(opened) < 10 * 50
    assert len(rounds.open) <= 40


def test_a_subscriber_with_many_events_gets_a_connection_beside_quiet_ones(memory: Any) -> None:
    rounds = Round(memory, 10, delivery_connections=8)
    rounds.send(rounds.to[:8])
    busy = rounds.to[8:]
    for _ in range(3):
        rounds.send(busy)
    assert [rounds.send(busy) for _ in range(5)] == [0] * 5


def test_connections_are_opened_in_slices_of_a_turn(memory: Any) -> None:
    turn: list[Callable[[], None]] = []
    memory.call_soon = turn.append
    pool, told = DeliveryPool(memory), Told()
    most = DEFAULT_LIMITS.delivery_connects_per_turn
    for number in range(3 * most):
        pool.send(delivery(Endpoint("192.0.2.7", 1000 + number)), told)
    assert len(memory.connects) == most
    for turns in (2, 3):
        (call,) = turn
        turn.clear()
        call()
        assert len(memory.connects) == turns * most
    assert pool.waiting_count == 0


def test_connections_that_were_idle_for_too_long_end_in_slices_of_a_turn(memory: Any) -> None:
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    most = DEFAULT_LIMITS.delivery_connects_per_turn
    for number in range(3 * most):
        pool.send(delivery(Endpoint("192.0.2.7", 1000 + number)), told)
        if pool.waiting_count:
            memory.advance()
        memory.connects[-1].succeed().connection.data_received(OK)
    assert pool.idle_count == 3 * most
    ended: list[float] = []
    end = pool.retire

    def retire(connection: Any) -> None:
        ended.append(memory.time)
        end(connection)

    pool.retire = retire  # type: ignore[method-assign] # to count
    memory.advance(DEFAULT_LIMITS.delivery_idle_seconds + 1)
    assert pool.idle_count == 0
    assert max(map(ended.count, ended)) <= most


def test_only_a_connection_with_a_request_under_way_is_reset(memory: Any) -> None:
    pool, told = DeliveryPool(memory), Told()
    for answer, last in (
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "write_eof"),
        (OK + OK, "write_eof"),
        (b"220 mail\r\n\r\n", "write_eof"),
    ):
        pool.send(delivery(A), told)
        transport = memory.connects[-1].succeed()
        transport.connection.data_received(answer)
        assert transport.calls[-1] == last
        transport.lose()
    pool.send(delivery(A), told)
    transport = memory.connects[-1].succeed()
    transport.unwritten = 1
    transport.connection.data_received(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    assert transport.calls[-1] == "abort"
    transport.lose()
    sent = delivery(A)
    pool.send(sent, told)
    transport = memory.connects[-1].succeed()
    pool.abort(sent)
    assert transport.calls[-1] == "abort"


async def test_connections_to_an_endpoint_that_is_left_end(memory: Any) -> None:
    pool, told = DeliveryPool(memory), Told()
    pool.send(delivery(A), told)
    pool.send(delivery(A, 1), told)
    pool.send(delivery(B), told)
    idle, busy, other = [attempt.succeed() for attempt in memory.connects]
    for transport in (idle, other):
        transport.connection.data_received(OK)
    left = asyncio.ensure_future(pool.leave(A))
    await asyncio.sleep(0)
    assert [one.closing for one in (idle, busy, other)] == [True, False, False]
    assert not left.done()
    idle.lose()
    await left
    assert pool.connection_count == 2
    await pool.leave(A)


# --- the end ---


async def test_closing_aborts_everything(driven: Any, wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(3)]
    to = [Endpoint(door.host, door.port) for door in doors]
    sender = Sender(driven, delivery_connections=3)
    async with sender:
        sender.send(delivery(to[0], 0))
        idle = await doors[0].accept()
        await idle.until(END)
        await idle.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        sender.send(delivery(to[1], 1))
        busy = await doors[1].accept()
        await busy.until(END)
        sender.send(delivery(to[2], 2))
        sender.send(delivery(to[2], 3))
    assert await idle.rest() == b""
    await busy.over()
    assert sender.ended == [(0, 200)]
    with pytest.raises(RuntimeError, match="closed"):
        sender.send(delivery(to[0], 4))
    await driven.run(sender.deliveries.close())


# --- a machine that is short of something, or has lost an address ---


SHORT = OSError(errno.EMFILE, "Too many open files")
NO_SUCH_ADDRESS = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_delivery_without_a_descriptor_waits_for_a_connection_that_becomes_free(
    memory: Any, number: int
) -> None:
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    pool.send(delivery(A, 0), told)
    first = memory.connects[0].succeed()
    pool.send(delivery(B, 1), told)
    memory.connects[1].fail(OSError(number, "no more"))
    memory.advance()
    assert (told.ended, pool.waiting_count, len(memory.connects)) == ([], 1, 2)
    first.connection.data_received(OK)
    assert first.closing
    first.lose()
    memory.advance()
    memory.connects[2].succeed().connection.data_received(OK)
    assert told.ended == [(0, 200), (1, 200)]


def test_without_a_descriptor_an_idle_connection_is_closed_at_once(memory: Any) -> None:
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    pool.send(delivery(A, 0), told)
    idle = memory.connects[0].succeed()
    idle.connection.data_received(OK)
    pool.send(delivery(B, 1), told)
    memory.connects[1].fail(SHORT)
    memory.advance()
    assert idle.closing
    idle.lose()
    memory.advance()
    memory.connects[2].succeed().connection.data_received(OK)
    assert told.ended == [(0, 200), (1, 200)]


def test_without_any_connection_a_delivery_is_tried_again_a_second_later(memory: Any) -> None:
    """And the pool does not try again before: each attempt would fail."""
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    sent = [delivery(A, 0), delivery(B, 1)]
    for each in sent:
        pool.send(each, told)
    for attempt in memory.connects[:]:
        attempt.fail(SHORT)
    memory.advance(DEFAULT_LIMITS.shortage_seconds / 2)
    assert (len(memory.connects), pool.waiting_count) == (2, 2)
    memory.advance(DEFAULT_LIMITS.shortage_seconds)
    for attempt in memory.connects[2:]:
        attempt.succeed().connection.data_received(OK)
    assert told.ended == [(1, 200), (0, 200)]
    memory.advance(20 * DEFAULT_LIMITS.shortage_seconds)
    assert pool._more_room_at is None


def test_deliveries_that_were_given_up_while_opening_failed_are_not_sent(memory: Any) -> None:
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    sent = delivery(A, 0)
    pool.send(sent, told)
    memory.connects[0].fail(SHORT)
    pool.abort(sent)
    memory.advance(2 * DEFAULT_LIMITS.shortage_seconds)
    assert (len(memory.connects), pool.waiting_count, told.ended) == (1, 0, [])


def test_without_a_free_port_deliveries_wait_too(memory: Any) -> None:
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    pool.send(delivery(A, 0, source=None), told)
    memory.connects[0].fail(NO_SUCH_ADDRESS)
    memory.advance(2 * DEFAULT_LIMITS.shortage_seconds)
    assert (len(memory.connects), told.ended) == (2, [])


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.ENODEV])
def test_when_the_address_has_gone_the_system_chooses_another(memory: Any, number: int) -> None:
    """A link-local address has gone with its interface: there is no such device."""
    pool, told = DeliveryPool(memory, has_address=lambda _: True), Told()
    pool.send(delivery(A, 0), told)
    memory.connects[0].fail(OSError(number, "gone"))
    assert [each.source for each in memory.connects] == [HERE, None]
    memory.connects[1].succeed().connection.data_received(OK)
    assert told.ended == [(0, 200)]
    assert (pool.connection_count, pool.idle_count) == (1, 1)


def test_connections_from_an_address_that_is_gone_end(memory: Any) -> None:
    """A delivery that is under way is tried once more. One from another address stays."""
    gone: set[str] = set()
    pool = DeliveryPool(memory, has_address=lambda address: address.host not in gone)
    told = Told()
    for seq, to in enumerate((A, B)):
        pool.send(delivery(to, seq, source=Endpoint("192.0.2.1", 0)), told)
    idle, busy = [attempt.succeed() for attempt in memory.connects]
    idle.connection.data_received(OK)
    pool.send(delivery(Endpoint("192.0.2.9", 80), 2, source=Endpoint("192.0.2.44", 0)), told)
    memory.advance(DEFAULT_LIMITS.address_seconds)
    assert [idle.closing, busy.closing] == [False, False]
    gone.add("192.0.2.1")
    memory.advance(DEFAULT_LIMITS.address_seconds)
    assert idle.closing
    assert busy.calls[-1] == "abort"
    assert told.ended == [(0, 200), (1, DeliveryFailure.STALE)]
    idle.lose()
    busy.lose()
    assert pool.connection_count == 1  # the third, from another address, is being opened


def test_an_address_of_this_machine_is_known_and_another_is_not() -> None:
    assert has_address(Endpoint("127.0.0.1", 5))
    assert not has_address(Endpoint("192.0.2.1", 5))


def test_a_pool_that_gives_descriptors_back_does_not_take_them_again_at_once(memory: Any) -> None:
    rounds = Round(memory, 20)
    rounds.send()
    assert rounds.pool.give_back(8) == 8
    rounds.send()
    assert len(rounds.open) <= 12
    memory.advance(DEFAULT_LIMITS.shortage_seconds)
    rounds.send()
    assert len(rounds.open) == 20
    assert len({seq for seq, _ in rounds.told.ended}) == 3


def test_a_pool_that_gives_descriptors_back_keeps_one_connection(memory: Any) -> None:
    rounds = Round(memory, 3)
    rounds.send()
    assert rounds.pool.give_back(8) == 2
    rounds.send()
    assert len(rounds.told.ended) == 6


def test_a_delivery_that_is_tried_again_at_once_uses_no_connection_of_the_lost_address(
    memory: Any,
) -> None:
    gone: set[str] = set()
    pool = DeliveryPool(memory, has_address=lambda address: address.host not in gone)
    results: list[int | DeliveryFailure] = []

    def ended(delivery: Delivery, result: int | DeliveryFailure, _: object) -> None:
        results.append(result)
        if result is DeliveryFailure.STALE:
            pool.send(delivery, ended)

    for seq in range(3):
        pool.send(delivery(A, seq, source=Endpoint("192.0.2.1", 0)), ended)
    transports = [attempt.succeed() for attempt in memory.connects]
    for transport in (transports[0], transports[2]):
        transport.connection.data_received(OK)
    gone.add("192.0.2.1")
    memory.advance(DEFAULT_LIMITS.address_seconds)
    assert results == [200, 200, DeliveryFailure.STALE]
    assert all(transport.closing for transport in transports)
    assert len(memory.connects) == 4
    memory.connects[3].succeed().connection.data_received(OK)
    assert results[-1] == 200


LAST = OK.replace(b"OK\r\n", b"OK\r\nCONNECTION: close\r\n")


def test_an_answer_that_ends_its_connection_ends_each_connection_that_brings_it(
    memory: Any,
) -> None:
    """Also where it is known from another connection, and needs no parser; and behind answers that
    did not end the connection."""
    pool, told = DeliveryPool(memory), Told()
    to = [Endpoint("192.0.2.9", port) for port in range(1, 6)]
    for seq, endpoint in enumerate(to):
        pool.send(delivery(endpoint, seq), told)
    transports = [attempt.succeed() for attempt in memory.connects]
    for transport in transports[:3]:
        transport.connection.data_received(LAST)
        assert transport.calls == ["write", "write_eof"]
    assert len(pool.last_answers) == 1
    kept = transports[3]
    kept.connection.data_received(OK)
    pool.send(delivery(to[3], 7), told)
    kept.connection.data_received(LAST)
    assert kept.calls == ["write", "write", "write_eof"]
    pieces = transports[4]
    pieces.connection.data_received(LAST[:9])
    pieces.connection.data_received(LAST[9:])
    assert pieces.calls == ["write", "write_eof"]
    assert [result for _, result in told.ended] == [200] * 6
    assert list(pool.last_answers) == [LAST]


def test_few_answers_that_end_their_connections_are_remembered(memory: Any) -> None:
    pool, told = DeliveryPool(memory), Told()
    answers = [LAST.replace(b"OK\r\n", b"OK\r\nDATE: %d\r\n" % number) for number in range(40)]
    answers.append(LAST.replace(b"OK\r\n", b"OK\r\nX: %b\r\n" % (b"x" * 2_000)))
    for seq, answer in enumerate(answers):
        pool.send(delivery(Endpoint("192.0.2.9", 1 + seq), seq), told)
        memory.advance()
        memory.connects[-1].succeed().connection.data_received(answer)
    assert len(told.ended) == 41
    assert list(pool.last_answers) == answers[24:40]


def test_a_connection_whose_peer_has_ended_it_with_its_answer_is_closed_at_once(
    memory: Any,
) -> None:
    pool, told = DeliveryPool(memory), Told()
    pool.send(delivery(A), told)
    transport = memory.connects[0].succeed()
    transport.peer_ended = True
    transport.connection.data_received(LAST)
    assert transport.calls == ["write", "close"]
    transport.lose()
    assert told.ended == [(0, 200)]
    assert pool.connection_count == 0
