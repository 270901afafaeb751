"""Connections that have sent much take turns, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Request, Response
from propchange.driver import listener as listeners

OK = Response(200, ((b"CONTENT-LENGTH", b"0"),))
GET = b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n"
REQUEST_SECONDS = 0.001


class Bench:
    """A listener that takes a millisecond for each request."""

    def __init__(self, memory: Any, transport: Any) -> None:
        self.memory = memory
        self._transport = transport
        self.answered: list[str] = []
        self.table = listeners.Listener(memory, self._respond)

    def _respond(self, request: Request) -> Response:
        self.memory.time += REQUEST_SECONDS
        assert request.peer is not None
        self.answered.append(request.peer.host)
        return OK

    def connect(self, host: str) -> Any:
        return self._transport(self.table.accept(), peer=host).make()

    def turn(self) -> int:
        """One turn of the loop; how many requests it answers."""
        before = len(self.answered)
        calls = self.memory._calls
        due = sorted(call for call in calls if call[0] <= self.memory.time)
        for call in due:
            calls.remove(call)
            if not call[2].cancelled:
                call[3]()
        return len(self.answered) - before


MOST = round(DEFAULT_LIMITS.turn_seconds / REQUEST_SECONDS) + 1


def test_one_turn_answers_a_bounded_number_of_requests_of_all_connections(
    memory: Any, transport: Any
) -> None:
    bench = Bench(memory, transport)
    peers = [bench.connect(f"192.0.2.{number}") for number in range(60)]
    for peer in peers:
        peer.connection.data_received(GET * 100)
    assert len(bench.answered) <= MOST
    turns = 0
    while len(bench.answered) < 6_000:
        assert 0 < bench.turn() <= MOST
        turns += 1
    assert turns < 2 * 6_000 / MOST
    for peer in peers:
        assert peer.data.count(b"200 OK") == 100
        assert peer.calls[-1] == "resume_reading"


def test_a_host_with_many_connections_delays_another_by_a_slice(
    memory: Any, transport: Any
) -> None:
    bench = Bench(memory, transport)
    for number in range(60):
        bench.connect(f"2001:db8::{number + 1:x}").connection.data_received(GET * 100)
    other = bench.connect("192.0.2.1")
    other.connection.data_received(GET * 3)
    turns = 0
    while b"200 OK" not in other.data:
        bench.turn()
        turns += 1
    # The 60 connections are of one /64: one slice of them is between two of another host.
    assert turns <= 4


def test_a_connection_that_ends_does_not_have_its_turn(memory: Any, transport: Any) -> None:
    bench = Bench(memory, transport)
    peers = [bench.connect(f"192.0.2.{number}") for number in range(3)]
    for peer in peers:
        peer.connection.data_received(GET * 100)
    peers[1].lose()
    peers[2].closing = True
    while bench.turn():
        pass
    assert peers[0].data.count(b"200 OK") == 100
    assert peers[1].data.count(b"200 OK") < 100
    assert peers[2].data.count(b"200 OK") < 100
    for peer in (peers[0], peers[2]):
        peer.lose()
    assert memory.armed == 0


def test_the_end_of_a_peer_that_waits_for_its_turn_is_seen_behind_its_requests(
    memory: Any, transport: Any
) -> None:
    bench = Bench(memory, transport)
    whole, cut = bench.connect("192.0.2.1"), bench.connect("192.0.2.2")
    whole.connection.data_received(GET * 100)
    cut.connection.data_received(GET * 100 + GET[:9])
    for peer in (whole, cut):
        assert peer.connection.eof_received()
    while bench.turn():
        pass
    assert whole.data.count(b"200 OK") == cut.data.count(b"200 OK") == 100
    assert whole.calls[-1] == "close"
    assert b" 400 " in cut.data


def test_bytes_that_come_while_a_connection_waits_for_its_turn_stand_behind_the_others(
    memory: Any, transport: Any
) -> None:
    bench = Bench(memory, transport)
    peer = bench.connect("192.0.2.1")
    peer.connection.data_received(GET * 100 + GET[:9])
    assert peer.calls[-1] == "pause_reading"
    peer.connection.data_received(GET[9:])
    memory.advance(DEFAULT_LIMITS.read_seconds)  # this side was late, not the peer
    assert peer.data.count(b"200 OK") == 101
    assert b"408" not in peer.data


def test_a_single_request_waits_for_the_next_turn_when_this_one_is_over(
    memory: Any, transport: Any
) -> None:
    bench = Bench(memory, transport)
    flood, other = bench.connect("192.0.2.1"), bench.connect("192.0.2.2")
    flood.connection.data_received(GET * 100)
    other.connection.data_received(GET)
    assert other.data == b""
    bench.turn()
    bench.turn()
    assert other.data.count(b"200 OK") == 1


def test_a_peer_whose_answers_are_large_is_asked_to_read_them_before_more_are_made(
    memory: Any, transport: Any
) -> None:
    made: list[Request] = []

    def respond(request: Request) -> Response:
        made.append(request)
        return Response(200, (), bytes(50_000))

    table = listeners.Listener(memory, respond)
    peer = transport(table.accept()).make()
    write = peer.functions.write

    def fill(data: bytes) -> None:
        write(data)
        peer.unwritten = len(data)
        peer.connection.pause_writing()

    peer.connection._write_bytes = fill
    peer.connection.data_received(GET * 30)
    assert len(made) == 2
    peer.unwritten = 0
    peer.connection.resume_writing()
    memory.advance()
    assert len(made) == 4
