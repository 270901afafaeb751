"""Peers that flood a listener with connections, requests and bytes: others are served meanwhile."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile.listeners import (
    LISTENERS,
    Listener,
    SiteListener,
    running,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:twisted.web.resource._UnsafeNoResource"  # Twisted's own 404
)

every_listener = pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.name)


def table_of(listener: Listener) -> Any:
    """The connection table of a listener."""
    for path in (
        ("site", "_connections"),
        ("_hosted", "_host", "_listener"),
        ("_point", "_driver", "listener"),
        ("service", "_listening"),
    ):
        found: Any = listener
        with contextlib.suppress(AttributeError):
            for name in path:
                found = getattr(found, name)
            return found[0][1]._connections if isinstance(found, list) else found
    raise AssertionError(listener)


class Turns:
    """Measures the processor time of the longest turn of a listener's loop, and counts the requests
    that are answered.

    The objects of the tests before are left out of garbage collection: a turn would take as long as
    there are many of them."""

    def __init__(self, listener: Any) -> None:
        self._table = table_of(listener)
        self._listener = listener
        self._respond = self._table.respond
        self._measuring = True
        self._last = 0.0
        self.requests = 0
        self.longest = 0.0
        self.total = 0.0

    def __enter__(self) -> Turns:
        gc.collect()
        gc.freeze()
        self._table.respond = self._count
        self._listener.call(self._begin)
        return self

    def _count(self, request: Any) -> Any:
        self.requests += 1
        return self._respond(request)

    def _begin(self) -> None:
        self._last = time.thread_time()
        self._table.runtime.call_later(0.001, self._measure)

    def _measure(self) -> None:
        spent = time.thread_time() - self._last
        self.longest = max(self.longest, spent)
        self.total += spent
        if self._measuring:
            self._begin()

    def __exit__(self, *_: object) -> None:
        self._measuring = False
        self._table.respond = self._respond
        gc.unfreeze()


@contextlib.contextmanager
def flooding(listener: Any, data: bytes, *, connections: int, sources: int) -> Iterator[None]:
    """Peers that send ``data`` again and again, each on ``connections`` connections, and read
    nothing."""
    ended = threading.Event()
    sockets: list[socket.socket] = []
    for source in range(sources):
        for _ in range(connections):
            exchange = listener.dial(f"127.66.{source}.1")
            exchange.sock.setblocking(False)
            sockets.append(exchange.sock)

    def flood() -> None:
        views = dict.fromkeys(sockets, memoryview(data))
        while not ended.wait(0.001) and views:
            for each, view in tuple(views.items()):
                try:
                    views[each] = view[each.send(view) :] or memoryview(data)
                except BlockingIOError:
                    pass
                except OSError:
                    del views[each]

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


PIPELINED = b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n" * 10_000
CHUNKS = (
    b"SUBSCRIBE / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
    + (b"40\r\n" + b"x" * 64 + b"\r\n") * 8_000
    + b"0\r\n\r\n"
)
TINY_CHUNKS = (
    b"SUBSCRIBE / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 300_000
)
EXTENSIONS = (
    b"NOTIFY / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
    + (b"400;" + b"e" * 100 + b"\r\n" + b"x" * 1024 + b"\r\n") * 900
    + b"0\r\n\r\n"
)
BODIES = (b"SUBSCRIBE / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 1000000\r\n\r\n" + bytes(10**6)) * 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PIPELINED, id="pipelined"),
        pytest.param(CHUNKS, id="chunks", marks=pytest.mark.slow),
        pytest.param(TINY_CHUNKS, id="tiny chunks", marks=pytest.mark.slow),
        pytest.param(EXTENSIONS, id="extensions", marks=pytest.mark.slow),
        pytest.param(BODIES, id="bodies", marks=pytest.mark.slow),
    ],
)
@every_listener
def test_others_are_served_while_peers_flood_and_no_turn_of_the_loop_is_long(
    kind: type[Any], data: bytes
) -> None:
    with running(kind) as listener:
        with Turns(listener) as alone:
            for _ in range(100):
                assert listener.dial().send(listener.good).status() == listener.status
        cost = alone.total / alone.requests  # of one request, with its connection
        with flooding(listener, data, connections=20, sources=3), Turns(listener) as turns:
            for _ in range(20):
                assert listener.dial().send(listener.good).status() == listener.status
        # A turn does about as much as some hundred requests, whatever has come.
        assert turns.longest < 1500 * cost, (turns.longest, cost)


def part(disposition: bytes) -> bytes:
    """A form of one field with this Content-Disposition."""
    return b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n\r\n--x--\r\n" % disposition


URLENCODED = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=x"
FORMS = {
    "many fields": (URLENCODED, b"&a=%41" * 16_000),
    "many parts": (MULTIPART, part(b"name=a")[:-8] * 1_500 + b"\r\n--x--\r\n"),
    "one part with many parameters": (MULTIPART, part(b'"' + b";" * 100_000)),
    "a part that cannot be read": (MULTIPART, part(b"name*=utf-8''%ff")),
    "a type with many parameters": (b"multipart/form-data" + b';"' * 7_500, b"x"),
}


@pytest.mark.parametrize(("media_type", "body"), FORMS.values(), ids=FORMS)
@every_listener
def test_a_form_costs_no_more_than_another_body_of_its_size(
    kind: type[Any], media_type: bytes, body: bytes
) -> None:
    def post(media_type: bytes) -> bytes:
        lines = f"POST {kind.path} HTTP/1.1\r\nHOST: {listener.authority}\r\n".encode()
        fields = b"CONTENT-TYPE: %b\r\nCONTENT-LENGTH: %d\r\n\r\n" % (media_type, len(body))
        return lines + fields + body

    with running(kind) as listener:
        with Turns(listener) as plain:
            for _ in range(10):
                assert listener.dial().send(post(b"x" * len(media_type))).status() == 405
        with Turns(listener) as forms:
            assert listener.dial().send(post(media_type)).status() == 405
        assert forms.longest < max(10 * plain.longest, plain.total), (forms.longest, plain.longest)


SLOW = {
    "idle": b"",
    "part of a head": b"GET / HTTP/1.1\r\nX: ",
    "part of a body": b"POST / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 900000\r\n\r\n" + bytes(1000),
    "a chunk of a body": b"N / HTTP/1.1\r\nHOST: a\r\nTRANSFER-ENCODING: chunked\r\n\r\nfff\r\nx",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
@every_listener
def test_peers_that_take_all_the_room_and_do_nothing_keep_nobody_out(
    kind: type[Any], data: bytes
) -> None:
    limits = {"connections": 40, "connections_per_address": 10}
    with running(kind, **limits) as listener:
        honest = listener.dial()
        assert honest.send(listener.good).status() == listener.status
        hostile = [listener.dial(f"127.66.{number % 5}.1").send(data) for number in range(50)]
        for number in range(10):
            other = listener.dial(f"127.77.0.{number + 1}")
            assert other.send(listener.good).status() == listener.status
        assert honest.send(listener.good).status() == listener.status
        assert table_of(listener).connection_count <= 40
        for each in hostile:
            each.close()


@every_listener
def test_bodies_that_are_never_finished_take_a_bounded_room_and_keep_nobody_out(
    kind: type[Any],
) -> None:
    start = b"NOTIFY / HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: 100000\r\n\r\n"
    with running(kind, held_bytes=1_000_000) as listener:
        table = table_of(listener)
        for number in range(60):
            listener.dial(f"127.66.{number % 5}.1").send(start + bytes(90_000))
        other = listener.dial()
        assert other.send(listener.good).status() == listener.status
        held = listener.call(lambda: sum(each._held() for each in table._open))
        assert held <= 1_000_000
        other.send(start + bytes(99_000)).send(bytes(1_000))
        assert other.status() in (400, 404, 405, 412)  # it is judged, and nothing is short


@pytest.mark.parametrize("half", ["reads nothing", "has ended its half"])
def test_a_streamed_answer_keeps_the_requests_behind_it_waiting(half: str) -> None:
    with running(SiteListener) as listener:
        get = listener.request("GET", "/slow")
        peer = listener.dial().send(get + listener.good * 40)
        while b"begun" not in peer.sock.recv(65_536, socket.MSG_PEEK):
            pass
        if half == "has ended its half":
            peer.sock.shutdown(socket.SHUT_WR)
        other = listener.dial()
        assert other.send(listener.good).status() == listener.status
        peer.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            assert peer.sock.recv(65_536).count(b"HTTP/1.1") == 1
        assert table_of(listener).connection_count == 2
