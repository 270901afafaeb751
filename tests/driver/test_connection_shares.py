"""The connection that makes room for a new connection, or that holds too many bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Request, Response
from propchange.driver import listener as listeners
from tests.driver.conftest import MemoryRuntime, MemoryTransport

PARTIAL = b"GET / HTTP/1.1\r\nX: "


class Bench:
    """A listener with few places."""

    def __init__(self, *known: str, **limits: Any) -> None:
        self.memory = MemoryRuntime()
        self.known = set(known)
        settings = {"connections": 8, "connections_per_address": 6, **limits}
        self.limits = replace(DEFAULT_LIMITS, **settings)
        self.listener = listeners.Listener(
            self.memory,  # type: ignore[arg-type]  # it has what is used
            self._respond,
            limits=self.limits,
            known=lambda: self.known,
        )

    def _respond(self, request: Request) -> Response:
        return Response(200)

    def crowded(self, host: str, *unmade: str) -> bool:
        return self.listener.crowded(host, unmade)

    def connect(self, host: str, data: bytes = b"") -> MemoryTransport:
        peer = MemoryTransport(self.listener.accept(), peer=host).make()
        if data:
            peer.connection.data_received(data)
        self.memory.time += 0.001
        return peer


def test_the_host_with_most_connections_makes_room_and_idle_ones_go_first() -> None:
    bench = Bench()
    many = [bench.connect("192.0.2.1", PARTIAL) for _ in range(5)]
    few = [bench.connect("192.0.2.2") for _ in range(3)]
    many[3].connection.data_received(b"\r\n\r\n")  # this one is idle from now on
    newcomer = bench.connect("192.0.2.3")
    assert [peer.closing for peer in (*many, *few)] == [False] * 3 + [True] + [False] * 4
    bench.connect("192.0.2.4")
    assert many[0].closing
    assert not newcomer.closing


def test_a_host_with_most_connections_makes_room_itself() -> None:
    bench = Bench()
    many = [bench.connect("192.0.2.1", PARTIAL) for _ in range(6)]
    few = [bench.connect("192.0.2.2", PARTIAL) for _ in range(2)]
    for _ in range(20):
        assert not bench.connect("192.0.2.1", PARTIAL).closing
    assert all(peer.closing for peer in many)
    assert not any(peer.closing for peer in few)


def test_all_addresses_of_a_prefix_of_ipv6_are_one_host() -> None:
    bench = Bench()
    peers = [bench.connect(f"2001:db8::{number:x}", PARTIAL) for number in range(1, 7)]
    other = bench.connect("2001:db8:0:1::1", PARTIAL)
    bench.connect("2001:db8::ffff", PARTIAL)
    assert [peer.closing for peer in peers] == [True] + [False] * 5
    assert not other.closing
    assert bench.listener.connection_count == 7


def test_inside_a_prefix_the_address_with_most_connections_makes_room() -> None:
    bench = Bench()
    honest = bench.connect("2001:db8::1", PARTIAL)
    hostile = [bench.connect("2001:db8::2", PARTIAL) for _ in range(5)]
    bench.connect("2001:db8::3", PARTIAL)
    assert not honest.closing
    assert hostile[0].closing


def test_addresses_with_subscriptions_keep_some_connections() -> None:
    bench = Bench("192.0.2.1", connections_kept_per_address=2)
    known = [bench.connect("192.0.2.1", PARTIAL) for _ in range(2)]
    for number in range(2, 50):
        assert not bench.connect(f"192.0.2.{number}", PARTIAL).closing
    assert not any(peer.closing for peer in known)
    more = bench.connect("192.0.2.1", PARTIAL)
    for number in range(2, 50):
        bench.connect(f"192.0.2.{number}", PARTIAL)
    # With more than these few it is a host as all others.
    assert known[0].closing
    assert not any(peer.closing for peer in (known[1], more))


def test_hosts_without_subscriptions_keep_half_of_the_room() -> None:
    known = [f"192.0.2.{number}" for number in range(1, 9)]
    bench = Bench(*known)
    for host in known:
        bench.connect(host, PARTIAL)
    bench.memory.time += 1
    assert not bench.connect("198.51.100.1", PARTIAL).closing
    assert bench.listener.connection_count == 8


def test_who_has_subscriptions_is_asked_once_a_second() -> None:
    bench = Bench(connections_kept_per_address=2)
    for number in range(8):
        bench.connect(f"192.0.2.{number}", PARTIAL)
    bench.connect("192.0.2.100", PARTIAL)
    bench.known.add("192.0.2.1")
    bench.memory.time += 1
    kept = bench.listener.connection_count
    for number in range(101, 120):
        bench.connect(f"192.0.2.{number}", PARTIAL)
    hosts = {peer.transport.peer.host for peer in bench.listener.reading}  # type: ignore[attr-defined] # a connection
    assert "192.0.2.1" in hosts
    assert kept == 8


# --- peers that are about to ask ---

GOOD = b"GET / HTTP/1.1\r\n\r\n"


def test_a_peer_waits_while_all_others_are_about_to_ask() -> None:
    bench = Bench()
    peers = [bench.connect(f"192.0.2.{number}") for number in range(8)]
    assert bench.crowded("192.0.2.100")
    peers[3].connection.data_received(GOOD)
    assert not bench.crowded("192.0.2.100")  # the one that was answered makes room
    assert [peer.closing for peer in peers] == [False] * 3 + [True] + [False] * 4


def test_a_peer_waits_for_the_rest_of_requests_too() -> None:
    bench = Bench()
    for number in range(8):
        bench.connect(f"192.0.2.{number}", PARTIAL)
    assert bench.crowded("192.0.2.100")
    bench.memory.time += 1
    assert not bench.crowded("192.0.2.100")


def test_there_is_room_at_once_while_the_listener_is_not_full() -> None:
    bench = Bench()
    for number in range(7):
        bench.connect(f"192.0.2.{number}")
    assert not bench.crowded("192.0.2.100")
    assert bench.crowded("192.0.2.101", "192.0.2.100")  # this one is accepted, and not made yet
    assert bench.listener.connection_count == 7


def test_a_silent_peer_makes_room_after_a_moment_and_a_flood_of_them_in_less_and_less() -> None:
    bench = Bench()
    peers = [bench.connect(f"192.0.2.{number}") for number in range(8)]
    begin = bench.memory.time
    waited = []
    for number in range(200):
        since = bench.memory.time
        while bench.crowded("198.51.100.1"):
            bench.memory.time += 0.001
        waited.append(bench.memory.time - since)
        peers.append(bench.connect(f"192.0.3.{number}"))
    assert 0.5 < waited[0] <= 1
    assert sum(waited[100:]) < 0.01
    assert bench.memory.time - begin < 2
    for peer in peers[-8:]:  # a storm of peers that ask ends that
        peer.connection.data_received(GOOD)
    for number in range(200):
        bench.connect(f"192.0.4.{number}", GOOD)
    for number in range(8):
        bench.connect(f"192.0.5.{number}")
    bench.memory.time += 0.5
    assert bench.crowded("198.51.100.1")


def test_a_host_with_many_connections_makes_room_sooner_than_others() -> None:
    bench = Bench(connections_kept_per_address=2)
    many = [bench.connect("192.0.2.1") for _ in range(6)]
    few = [bench.connect(f"192.0.2.{number}") for number in (2, 3)]
    assert bench.crowded("192.0.2.4")
    bench.memory.time += 0.25
    assert not bench.crowded("192.0.2.4")
    assert [peer.closing for peer in (*many, *few)] == [True] + [False] * 7


def test_the_peers_that_are_not_made_yet_count_as_those_of_their_hosts() -> None:
    bench = Bench(connections_kept_per_address=2)
    honest = bench.connect("192.0.2.2", GOOD)
    many = [bench.connect("192.0.2.1") for _ in range(3)]
    bench.memory.time += 0.25
    assert not bench.crowded("192.0.2.1", *["192.0.2.1"] * 2)
    assert not many[0].closing
    assert not bench.crowded("192.0.2.1", *["192.0.2.1"] * 4)
    assert many[0].closing
    assert not honest.closing


def test_peers_of_one_host_that_are_not_made_yet_count_in_its_share() -> None:
    bench = Bench()
    many = [bench.connect("192.0.2.1") for _ in range(3)]
    assert not bench.crowded("192.0.2.1", *["192.0.2.1"] * 2)
    assert bench.crowded("192.0.2.1", *["192.0.2.1"] * 3)
    assert not bench.crowded("192.0.2.2", *["192.0.2.1"] * 3)
    assert not any(peer.closing for peer in many)


def test_a_connection_whose_request_was_received_and_not_read_makes_no_room() -> None:
    bench = Bench(connections_per_address=2)
    first, second = (bench.connect("192.0.2.1") for _ in range(2))
    first.unread = second.unread = 20
    bench.memory.time += 10  # something has blocked the loop
    assert bench.crowded("192.0.2.1")
    assert bench.listener.give_back(2) == 0
    for peer in (first, second):
        peer.unread = 0
        peer.connection.data_received(GOOD)
    bench.memory.time += 10
    first.unread = 20
    assert bench.listener.give_back(2) == 1
    assert (first.closing, second.closing) == (False, True)


hosts = st.sampled_from(
    [f"192.0.2.{number}" for number in range(6)] + [f"2001:db8::{number}" for number in range(6)]
)
steps = st.lists(
    st.tuples(hosts, st.sampled_from([b"", PARTIAL, b"GET / HTTP/1.1\r\n\r\n"])), max_size=60
)


@given(steps, st.sets(hosts))
def test_a_host_that_has_no_connection_always_gets_one(
    steps: list[tuple[str, bytes]], known: set[str]
) -> None:
    bench = Bench(*known)
    for host, data in steps:
        bench.connect(host, data)
        assert bench.listener.connection_count <= 8
    bench.memory.time += 1
    assert not bench.connect("203.0.113.1").closing


# --- bytes ---


def body(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nCONTENT-LENGTH: 1000\r\n\r\n" + bytes(size)


def test_the_host_that_holds_most_bytes_is_answered_503_and_its_oldest_request_ends() -> None:
    bench = Bench(held_bytes=2_000)
    honest = bench.connect("192.0.2.9", body(300))
    hostile = [bench.connect("192.0.2.1", body(500)) for _ in range(4)]
    assert [b" 503 " in peer.data for peer in hostile] == [True, False, False, False]
    assert honest.data == b""
    honest.connection.data_received(bytes(700))
    assert b" 200 " in honest.data
    assert bench.listener._held_bytes == 1_500
    for peer in (honest, *hostile):
        peer.lose()
    assert bench.listener._held_bytes == 0
    assert not bench.listener._holding


def test_a_host_with_a_subscription_is_the_last_to_be_answered_503() -> None:
    bench = Bench("192.0.2.9", held_bytes=2_000)
    known = bench.connect("192.0.2.9", body(900))
    others = [bench.connect(f"192.0.2.{number}", body(300)) for number in range(5)]
    assert known.data == b""
    assert sum(b" 503 " in peer.data for peer in others) == 2


def test_one_host_can_hold_no_more_than_all_may() -> None:
    bench = Bench(held_bytes=2_000)
    for _ in range(50):
        bench.connect("192.0.2.1", body(900))
        assert bench.listener._held_bytes <= 2_000


class Elsewhere:
    """An answer that nobody writes."""

    def begin(self, connection: Any) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def lost(self, error: Exception | None) -> None: ...


def test_bytes_behind_an_answer_that_is_being_made_are_held_too() -> None:
    bench = Bench(held_bytes=1_000)
    bench.listener.respond = lambda request: Elsewhere()
    peer = bench.connect("192.0.2.1", b"GET / HTTP/1.1\r\n\r\n")
    peer.connection.data_received(bytes(900))
    assert bench.listener._held_bytes == 900
    other = bench.connect("192.0.2.2", b"GET / HTTP/1.1\r\n\r\n" + body(200))
    assert peer.closing  # there is nobody to be told
    assert peer.data == b""
    assert not other.closing


def test_what_is_held_of_each_connection_adds_up() -> None:
    bench = Bench(held_bytes=10**9)
    peers = [bench.connect(f"192.0.2.{number}", body(number)) for number in range(5)]
    peers[0].connection.data_received(b"x" * 7)
    assert bench.listener._held_bytes == sum(range(5)) + 7
    bench.memory.advance(bench.limits.read_seconds + 1)
    assert all(b" 408 " in peer.data for peer in peers)
    assert bench.listener._held_bytes == 0
