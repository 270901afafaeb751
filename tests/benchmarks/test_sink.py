"""The sink of the benchmarks notices each event that is missing, out of order or wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from benchmarks.programs import Program, compiled, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="the load is written in C")


@pytest.fixture
def sink() -> Iterator[Program]:
    """Two subscribers, each with a port of its own."""
    with Program([compiled("sink"), "127.0.0.1", "2", "2", "2"]) as program:
        yield program


def notify(subscriber: int, seq: int, value: str) -> bytes:
    body = (
        '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
        f"<e:property><Volume>{value}</Volume></e:property></e:propertyset>"
    )
    return (
        f"NOTIFY /events/{subscriber:05} HTTP/1.1\r\nHOST: 127.0.0.1\r\n"
        f"SEQ: {seq}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def send(program: Program, subscriber: int, seqs: Sequence[int], value: str = "30") -> bytes:
    """Send these events on a connection of their own. Returns the last answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", program.first["ports"][subscriber]), 5) as client:
        for seq in seqs:
            client.sendall(notify(subscriber, seq, value))
            answer = client.recv(4096)
    return answer


def test_events_in_order_are_counted_and_answered_200(sink: Program) -> None:
    assert send(sink, 0, [0, 1, 2]).startswith(b"HTTP/1.1 200 OK\r\n")
    told = sink.ask("report")
    assert (told["received"], told["initial"], told["disorder"]) == (3, 1, 0)
    assert (told["least"], told["most"]) == (0, 3)  # of one subscriber


@pytest.mark.parametrize("seqs", [[0, 2], [0, 1, 1], [0, 2, 1], [1], [0, 1, 0]])
def test_a_gap_a_repetition_and_a_reorder_are_disorder(sink: Program, seqs: list[int]) -> None:
    send(sink, 0, seqs)
    assert sink.ask("report")["disorder"] > 0


def test_a_gap_between_two_countings_is_disorder(sink: Program) -> None:
    send(sink, 0, [0, 1])
    sink.ask("begin", "ordered")
    send(sink, 0, [3])
    assert sink.ask("report")["disorder"] == 1


def test_a_subscriber_without_the_last_value_is_counted(sink: Program) -> None:
    send(sink, 0, [0], "30")
    send(sink, 1, [0], "29")
    assert sink.ask("last", "30") == {"without": 1}
    send(sink, 1, [1], "30")
    assert sink.ask("last", "30") == {"without": 0}


def test_an_event_for_nobody_is_malformed(sink: Program) -> None:
    with socket.create_connection(("127.0.0.1", sink.first["ports"][0]), 5) as client:
        client.sendall(notify(7, 0, "30"))
        assert sink.ask("wait", 1, 100)["malformed"] == 1


def test_an_event_that_comes_in_pieces_is_one_event(sink: Program) -> None:
    message = notify(0, 0, "30") + notify(0, 1, "31")
    with socket.create_connection(("127.0.0.1", sink.first["ports"][0]), 5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(message), 7):
            client.sendall(message[at : at + 7])
        told = sink.ask("wait", 2, 2000)
    assert (told["received"], told["disorder"], told["malformed"]) == (2, 0, 0)
    assert sink.ask("last", "31") == {"without": 1}  # the other one


def test_the_time_in_a_value_gives_the_latency(sink: Program) -> None:
    send(sink, 0, [0, 1], "1:1000000000000")
    told = sink.ask("report")
    assert told["latencies"] == 1  # an initial event has none
    assert told["p50"] > 0


def test_a_closing_subscriber_closes_after_its_answer(sink: Program) -> None:
    sink.ask("mode", 0, 1, "close")
    with socket.create_connection(("127.0.0.1", sink.first["ports"][0]), 5) as client:
        client.sendall(notify(0, 0, "30"))
        assert b"Connection: close" in client.recv(4096)
        assert client.recv(4096) == b""


def test_a_slow_subscriber_answers_after_its_time(sink: Program) -> None:
    sink.ask("mode", 0, 1, "slow", 50)
    with socket.create_connection(("127.0.0.1", sink.first["ports"][0]), 5) as client:
        client.sendall(notify(0, 0, "30"))
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.recv(4096)
        client.settimeout(5)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_a_program_that_is_told_nonsense_says_so(sink: Program) -> None:
    with pytest.raises(RuntimeError, match="no command: dance"):
        sink.ask("dance")
