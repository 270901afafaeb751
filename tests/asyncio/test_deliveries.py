from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange.asyncio import deliveries as deliveries_module
from propchange.asyncio.deliveries import Deliveries
from propchange.asyncio.interfaces import addresses
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
)
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
    """Deliveries with what they told."""

    def __init__(self, **limits: Any) -> None:
        self.limits = replace(DEFAULT_LIMITS, **limits)
        self.ended: list[tuple[int, int | DeliveryFailure]] = []
        self.on_ended: Callable[[Delivery], None] = lambda delivery: None
        self.deliveries: Deliveries

    def _ended(self, delivery: Delivery, result: int | DeliveryFailure) -> None:
        self.ended.append((delivery.seq, result))
        self.on_ended(delivery)

    async def __aenter__(self) -> Sender:
        self.deliveries = Deliveries(self._ended, limits=self.limits)
        self.send = self.deliveries.send
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deliveries.close()
        assert self.deliveries.connection_count == 0


async def test_one_connection_carries_one_notify_after_the_other(wire: Any, until: Until) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
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


async def test_the_next_delivery_may_be_sent_when_one_has_ended(wire: Any) -> None:
    """Also from inside the call that tells so, and over the same connection."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
        sender.on_ended = lambda ended: sender.send(delivery(to, ended.seq + 1))
        sender.send(delivery(to, 0))
        peer = await door.accept()
        for _ in range(20):
            await peer.until(END)
            await peer.send(OK)
        while len(sender.ended) < 20:
            await asyncio.sleep(0)
        assert sender.deliveries.connection_count == 1


async def test_deliveries_do_not_wait_for_each_other(wire: Any, until: Until) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
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
    wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
        sender.send(delivery(to, source=Endpoint("127.0.0.9", 1234)))
        peer = await door.accept()
        assert peer.sock.getpeername()[0] == "127.0.0.9"
        await peer.until(END)
        (connection,) = sender.deliveries._open
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sender.send(delivery(to, source=Endpoint("127.0.0.8", 1234)))
        other = await door.accept()
        assert other.sock.getpeername()[0] == "127.0.0.8"
        sender.send(delivery(to, source=None))
        await door.accept()


async def test_a_link_local_subscriber_is_reached_on_its_link(wire: Any) -> None:
    own = next((address for address in addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")

    door = wire.listen(own.host, scope=own.scope)
    async with Sender() as sender:
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
    wire: Any, until: Until, *, answer: bytes, status: int, kept: bool
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
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


async def test_an_answer_may_come_byte_by_byte(wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        for byte in OK:
            assert sender.ended == []
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 200)]


async def test_an_answer_that_comes_again_may_come_in_pieces(wire: Any, until: Until) -> None:
    """The second piece looks like the whole answer that came before."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    long = b"HTTP/1.1 500 No\r\nCONTENT-LENGTH: %d\r\n\r\n" % len(OK)
    answers: list[tuple[bytes, ...]] = [(OK,), (OK,), (long, OK), (OK,), (OK[:9], OK[9:])]
    answers += [(OK.replace(b"200", b"412"),), (OK,), (OK + b"X",)]
    async with Sender() as sender:
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
    wire: Any, until: Until
) -> None:
    door = wire.listen(receive_buffer=200_000)
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port), body=bytes(9_000_000)))
        peer = await door.accept()
        await peer.receive(100)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 413)]
        await until(lambda: sender.deliveries.connection_count == 0)


async def test_a_long_notify_is_read_as_slowly_as_the_subscriber_likes(
    wire: Any, until: Until
) -> None:
    door = wire.listen(receive_buffer=200_000)
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
        sender.send(delivery(to, body=bytes(9_000_000) + END))
        peer = await door.accept()
        data = b""
        while not data.endswith(END):
            data += await peer.some()
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        await peer.send(OK)
        assert await peer.rest() == b""
        assert sender.ended == [(0, 200)]


async def test_a_body_without_length_ends_with_the_connection(wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(b"HTTP/1.0 500 Oops\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, 500)]
        assert await peer.rest() == b""


# --- failures ---


async def test_nobody_there_is_no_connection(wire: Any, until: Until) -> None:
    door = wire.listen()
    door.close()
    async with Sender() as sender:
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
async def test_a_source_that_cannot_be_used_is_no_connection(
    until: Until, to: Endpoint, source: Endpoint
) -> None:
    async with Sender() as sender:
        sender.send(delivery(to, source=source))
        await until(lambda: sender.ended)
        assert sender.ended == [(0, DeliveryFailure.CONNECT)]


async def test_connecting_has_a_limit(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unanswered(*arguments: object) -> None:
        """As when a host has left."""
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(deliveries_module, "connect", unanswered)

    async with Sender(connect_seconds=0.05) as sender:
        sender.send(delivery(Endpoint("127.0.0.1", 9), 0))
        sender.send(delivery(Endpoint("127.0.0.1", 9), 1))
        await until(lambda: len(sender.ended) == 2)
        assert sender.ended == [(seq, DeliveryFailure.CONNECT) for seq in range(2)]


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
    wire: Any, until: Until, *, how: str, answered: int, sent: bytes, failure: DeliveryFailure
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
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


async def test_what_is_not_http_breaks_the_delivery(wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(b"220 mail.example.org ESMTP\r\n\r\n")
        await until(lambda: sender.ended)
        assert sender.ended == [(0, DeliveryFailure.BROKEN)]
        assert await peer.rest() == b""


async def test_a_connection_that_ends_while_idle_is_dropped_at_once(
    wire: Any, until: Until
) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
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
    wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sender.send(delivery(Endpoint(door.host, door.port)))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        (connection,) = sender.deliveries._open
        connection.eof_received()
        assert sender.deliveries.idle_count == 0


async def test_a_fresh_delivery_uses_no_connection_that_was_used(wire: Any, until: Until) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
        sender.send(delivery(to))
        peer = await door.accept()
        await peer.until(END)
        await peer.send(OK)
        await until(lambda: sender.deliveries.idle_count)
        sender.send(delivery(to, 1, fresh=True))
        other = await door.accept()
        assert b"SEQ: 1\r\n" in await other.until(END)


async def test_what_cannot_be_written_is_told_by_send() -> None:
    async with Sender() as sender:
        with pytest.raises(LocalProtocolError):
            sender.send(delivery(Endpoint("127.0.0.1", 9), sid="a\r\nb"))
        assert sender.deliveries.connection_count == 0


# --- abort ---


async def test_an_aborted_delivery_ends_its_connection_and_is_not_told(
    wire: Any, until: Until
) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sent = delivery(Endpoint(door.host, door.port))
        sender.send(sent)
        peer = await door.accept()
        await peer.until(END)
        sender.deliveries.abort(sent)
        assert await peer.rest() == b""
        await until(lambda: not sender.deliveries.connection_count)
        sender.deliveries.abort(sent)
        assert sender.ended == []


async def test_a_delivery_may_be_aborted_while_it_connects(wire: Any, until: Until) -> None:
    door = wire.listen()
    async with Sender() as sender:
        sent = delivery(Endpoint(door.host, door.port))
        sender.send(sent)
        sender.deliveries.abort(sent)
        await until(lambda: not sender.deliveries.connection_count)
        sender.send(sent)
        await asyncio.sleep(0)
        sender.deliveries.abort(sent)
        await until(lambda: not sender.deliveries.connection_count)
        assert sender.ended == []


async def test_a_connection_that_is_made_after_all_is_ended(until: Until) -> None:
    class Transport:
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    async with Sender() as sender:
        sent = delivery(Endpoint("127.0.0.1", 9))
        sender.send(sent)
        (connection,) = sender.deliveries._open
        sender.deliveries.abort(sent)
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]  # what is used of one
        assert transport.aborted
        await until(lambda: not sender.deliveries.connection_count)
        connection.connection_lost(None)


# --- limits ---


async def test_an_idle_connection_is_ended_after_a_while(wire: Any, until: Until) -> None:
    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender(delivery_idle_seconds=0.05) as sender:
        for seq in range(2):
            sender.send(delivery(to, seq))
        for _ in range(2):
            peer = await door.accept()
            await peer.until(END)
            await peer.send(OK)
        await until(lambda: len(sender.ended) == 2)
        assert await peer.rest() == b""
        await until(lambda: not sender.deliveries.connection_count)
        assert not sender.deliveries._pools


async def test_the_longest_idle_connection_makes_room(wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(3)]
    to = [Endpoint(door.host, door.port) for door in doors]
    async with Sender(delivery_connections=2) as sender:
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


async def test_what_is_over_the_cap_waits_in_order(wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(2)]
    first, second = (Endpoint(door.host, door.port) for door in doors)
    async with Sender(delivery_connections=1) as sender:
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


async def test_a_delivery_that_fails_gives_its_place_to_the_next(wire: Any, until: Until) -> None:
    door, closed = wire.listen(), wire.listen()
    closed.close()
    async with Sender(delivery_connections=1) as sender:
        sender.send(delivery(Endpoint("127.0.0.1", closed.port), 0))
        sender.send(delivery(Endpoint(door.host, door.port), 1))
        peer = await door.accept()
        await peer.until(END)
        peer.reset()
        sender.send(delivery(Endpoint(door.host, door.port), 2))
        peer = await door.accept()
        await peer.until(END)
        assert sender.ended == [(0, DeliveryFailure.CONNECT), (1, DeliveryFailure.BROKEN)]


async def test_one_connection_after_the_other_does_not_pile_up(wire: Any, until: Until) -> None:
    """A subscriber that closes after each NOTIFY."""

    door = wire.listen()
    to = Endpoint(door.host, door.port)
    async with Sender() as sender:
        for seq in range(20):
            sender.send(delivery(to, seq))
            peer = await door.accept()
            await peer.until(END)
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            peer.close()
            await until(lambda seq=seq: len(sender.ended) == seq + 1)
        await until(lambda: not sender.deliveries.connection_count)
        assert not sender.deliveries._pools


# --- the end ---


async def test_closing_aborts_everything(wire: Any, until: Until) -> None:
    doors = [wire.listen() for _ in range(3)]
    to = [Endpoint(door.host, door.port) for door in doors]
    sender = Sender(delivery_connections=3)
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
    assert await busy.rest() == b""
    assert sender.ended == [(0, 200)]
    with pytest.raises(RuntimeError, match="closed"):
        sender.send(delivery(to[0], 4))
    await sender.deliveries.close()
