"""Peers that take their time in every way there is: each connection ends in its time with the
documented status, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hostile.listeners import LISTENERS, SECONDS, Exchange, running
from tests.hostile.test_floods import table_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:twisted.web.resource._UnsafeNoResource"  # Twisted's own 404
)

every_listener = pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.name)

QUICK = {"read_seconds": 0.3, "idle_seconds": 0.3, "linger_seconds": 0.2, "answer_seconds": 1.0}


def drip(peer: Exchange, data: bytes) -> None:
    """Send ``data`` byte by byte, each in good time, until the other side answers."""
    for number in range(len(data)):
        if select.select([peer.sock], [], [], 0.02)[0]:
            return
        peer.send(data[number : number + 1])
    raise AssertionError("it read on")


def idle(peer: Exchange) -> None:
    """Nothing."""


def a_head_byte_by_byte(peer: Exchange) -> None:
    drip(peer, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000)


def a_body_byte_by_byte(peer: Exchange) -> None:
    drip(peer.send(b"POST / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 10000\r\n\r\n"), bytes(9_999))


def chunks_byte_by_byte(peer: Exchange) -> None:
    head = b"POST / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
    drip(peer.send(head), b"1\r\nx\r\n" * 1_000)


def a_trailer_byte_by_byte(peer: Exchange) -> None:
    head = b"POST / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n"
    drip(peer.send(head), b"X: y\r\n" * 1_000)


def a_head_that_stops(peer: Exchange) -> None:
    peer.send(b"GET / HTTP/1.1\r\nHOST: a\r\n")


def a_body_that_stops(peer: Exchange) -> None:
    peer.send(b"POST / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 10\r\n\r\nabc")


def an_expectation_without_a_body(peer: Exchange) -> None:
    peer.send(b"POST / HTTP/1.1\r\nHOST: a\r\nEXPECT: 100-continue\r\nCONTENT-LENGTH: 9\r\n\r\n")
    assert peer.status() == 100


def a_half_that_ends(peer: Exchange) -> None:
    peer.send(b"GET / HTTP/1.1\r\nHOST:").sock.shutdown(socket.SHUT_WR)


def a_tls_hello(peer: Exchange) -> None:
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


WAYS: dict[Callable[[Exchange], None], int] = {
    idle: 0,
    a_head_byte_by_byte: 408,
    a_body_byte_by_byte: 408,
    chunks_byte_by_byte: 408,
    a_trailer_byte_by_byte: 408,
    a_head_that_stops: 408,
    a_body_that_stops: 408,
    an_expectation_without_a_body: 408,
    a_half_that_ends: 400,
    a_tls_hello: 400,
}


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


@pytest.mark.slow  # there are many of them, and each takes a third of a second
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@every_listener
def test_a_slow_peer_is_given_its_time_and_no_more(
    kind: type[Any], way: Callable[[Exchange], None]
) -> None:
    with running(kind, **QUICK) as listener:
        slow = listener.dial()
        way(slow)
        assert listener.dial().send(listener.good).status() == listener.status
        assert slow.status() == WAYS[way]
        assert slow.ends()
        until(lambda: not table_of(listener).connection_count)


@every_listener
def test_a_peer_that_does_not_read_its_answers_is_let_go(kind: type[Any]) -> None:
    with running(kind, **QUICK) as listener:
        deaf = Exchange((listener.address, listener.port), listener.address, receive_buffer=4096)
        deaf.sock.setblocking(False)
        table = table_of(listener)
        data = listener.good * 200

        def let_go() -> bool:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while True:
                    deaf.sock.send(data)
            return listener.call(lambda: bool(table.writing)) or not table.connection_count

        until(let_go)
        assert listener.dial().send(listener.good).status() == listener.status
        until(lambda: not table.connection_count)
        deaf.close()


@every_listener
def test_a_peer_that_reads_on_gets_an_answer_to_each_of_its_requests(kind: type[Any]) -> None:
    with running(kind, read_seconds=0.5) as listener:
        slow = Exchange((listener.address, listener.port), listener.address, receive_buffer=4096)
        count = 600
        slow.sock.setblocking(False)
        data, got = listener.good * count, b""
        while got.count(b"HTTP/1.1 ") < count:
            with contextlib.suppress(BlockingIOError):
                data = data[slow.sock.send(data) :]
            assert select.select([slow.sock], [], [], SECONDS)[0], "nothing more came"
            piece = slow.sock.recv(4_096)
            assert piece, "it was let go"
            got += piece
            time.sleep(0.01)
        slow.close()


@every_listener
def test_more_connections_than_one_address_may_have_end_its_own_alone(kind: type[Any]) -> None:
    with running(kind, connections=20, connections_per_address=5) as listener:
        others = [listener.dial(f"127.77.0.{number + 1}") for number in range(8)]
        own = [listener.dial("127.66.0.1") for _ in range(9)]
        for peer in own[:4]:
            assert peer.ends()
        for peer in (*own[4:], *others):
            assert peer.send(listener.good).status() == listener.status
        assert table_of(listener).connection_count == 13


@every_listener
def test_more_connections_than_there_is_room_end_those_of_who_has_most(kind: type[Any]) -> None:
    with running(kind, connections=10, connections_per_address=8) as listener:
        many = [listener.dial("127.66.0.1") for _ in range(8)]
        few = [listener.dial(f"127.77.0.{number + 1}") for number in range(6)]
        for peer in many[:4]:
            assert peer.ends()
        for peer in (*many[4:], *few):
            assert peer.send(listener.good).status() == listener.status
