"""Heads that repeat on a connection: nothing may come out otherwise than from a parser that sees
each of them for the first time."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint, Request
from propchange.http import RequestParser
from propchange.http.requests import RepeatedHeads

PEER = Endpoint("192.0.2.7", 50_000)
LOCAL = Endpoint("192.0.2.1", 8_123)


def notify(
    seq: object = 0,
    body: bytes = b"<e/>",
    *,
    length: object = None,
    method: str = "NOTIFY",
    target: str = "/secret",
    sid: str = "uuid:1",
    extra: str = "",
    length_first: bool = False,
    names: tuple[str, str] = ("SEQ", "CONTENT-LENGTH"),
    after: str = "",
) -> bytes:
    lines = [
        f"{names[0]}: {seq}{after}\r\n",
        f"{names[1]}: {len(body) if length is None else length}\r\n",
    ]
    if length_first:
        lines.reverse()
    return (
        f"{method} {target} HTTP/1.1\r\nHOST: 192.0.2.1:8123\r\nNT: upnp:event\r\n{lines[0]}"
        f"SID: {sid}\r\n{lines[1]}{extra}\r\n"
    ).encode("latin-1") + body


def told(request: Request) -> tuple[Any, ...]:
    return (
        request.method,
        request.target,
        [tuple(pair) for pair in request.headers],
        request.fields,
        request.repeated,
        request.body,
        request.http_version,
        request.keep_alive,
        request.peer,
        request.local,
    )


class Connection:
    """A parser that has seen ``lesson`` twice, so that it knows the head."""

    def __init__(self, lesson: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.parser = RequestParser(limits, peer=PEER, local=LOCAL)
        self.parser.feed(lesson)
        (self.known,) = self.parser.feed(lesson)

    def feed(self, wire: bytes) -> Request | None:
        """The request in ``wire``, which must be what a new parser makes of it."""
        found = self.parser.feed(wire)
        new = RequestParser(self.limits, peer=PEER, local=LOCAL)
        assert [told(request) for request in found] == [told(r) for r in new.feed(wire)]
        for request in found:
            if request.head is not None:
                digits = request.fields[b"seq"]
                assert request.seq == (int(digits) if len(digits) < 10 else -1)
        assert repr(self.parser.error) == repr(new.error)
        assert self.parser.in_message == new.in_message
        assert self.parser.expect_continue == new.expect_continue
        return found[0] if found else None

    def knows(self, wire: bytes) -> bool:
        request = self.feed(wire)
        return request is not None and request.head is self.known.head is not None


@pytest.mark.parametrize("length_first", [False, True])
@pytest.mark.parametrize("names", [("SEQ", "CONTENT-LENGTH"), ("seq", "Content-Length")])
def test_a_head_that_differs_in_its_numbers_alone_is_known(
    length_first: bool, names: tuple[str, str]
) -> None:
    connection = Connection(notify(7, length_first=length_first, names=names))
    for seq, body in ((8, b"<e/>"), (9, b"<e>longer</e>"), (10, b""), (4_294_967_295, b"x" * 999)):
        wire = notify(seq, body, length_first=length_first, names=names)
        assert connection.knows(wire)


def test_the_first_head_of_a_connection_is_not_learned() -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    assert parser.feed(notify(0))[0].head is None
    assert parser.feed(notify(1))[0].head is not None


@pytest.mark.parametrize(
    "wire",
    [
        notify(8, target="/other"),
        notify(8, sid="uuid:2"),
        notify(8, extra="X: 1\r\n"),
        notify(8, method="SUBSCRIBE"),
        notify("8a"),
        notify(""),
        notify("-8"),
        notify("+8"),
        notify(" 8"),
        notify(8, after=" "),
        notify("1" * 15),
        notify(8, length="4a"),
        notify(8, length=""),
        notify(8, length="1" * 16),
        notify(8, length=DEFAULT_LIMITS.body_bytes + 1),
        notify(8, length=3),
        notify(8, length=5),
        notify(8) + notify(9),
        notify(8) + b"\r\n",
        b"\r\n" + notify(8),
        notify(8)[:-1],
        notify(8)[:60],
        notify(8, names=("SEQ", "Content-Length")),
        notify(8, names=("SEQ ", "CONTENT-LENGTH")),
        notify(8, length_first=True),
        b"",
    ],
)
def test_another_head_or_another_length_is_parsed_as_ever(wire: bytes) -> None:
    assert not Connection(notify(7)).knows(wire)


@pytest.mark.parametrize(
    "lesson",
    [
        notify(7, after=" "),
        notify("7a"),
        notify(7, extra="SEQ: 8\r\n"),
        notify(7, extra="SEQ: x\r\n"),
        notify(7, extra="CONTENT-LENGTH: 4\r\n", method="GET"),
        notify(7, extra="EXPECT: 100-continue\r\n"),
        notify(7, names=("X-SEQ", "CONTENT-LENGTH")),
        notify(7, extra=f"X: {'x' * 2_000}\r\n"),
        notify(7, method="SUBSCRIBE"),
    ],
)
def test_heads_that_are_not_of_the_usual_kind_are_not_learned(lesson: bytes) -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    found = [request for _ in range(3) for request in parser.feed(lesson)]
    assert all(request.head is None for request in found)


def test_a_head_that_ends_its_connection_is_not_learned() -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    parser.feed(notify(0))
    (request,) = parser.feed(notify(1, extra="CONNECTION: close\r\n"))
    assert request.head is None
    assert parser.feed(notify(2)) == []


def test_a_head_near_a_limit_is_not_learned() -> None:
    wire = notify(1, b"")
    for limits in (
        replace(DEFAULT_LIMITS, header_bytes=len(wire) + 29),
        replace(DEFAULT_LIMITS, target_bytes=len(wire) + 29),
    ):
        assert Connection(wire, limits).known.head is None
    for limits in (
        replace(DEFAULT_LIMITS, header_bytes=len(wire) + 30),
        replace(DEFAULT_LIMITS, target_bytes=len(wire) + 30),
    ):
        connection = Connection(wire, limits)
        assert connection.known.head is not None
        for digits in (1, 14, 15, 40):
            connection = Connection(wire, limits)
            connection.feed(notify("0" * digits, b"", length="0" * digits))


def test_a_body_beyond_the_limit_is_413_behind_a_known_head_too() -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=10)
    connection = Connection(notify(0), limits)
    assert connection.knows(notify(1, b"x" * 10))
    assert connection.feed(notify(2, b"x" * 11)) is None
    assert connection.parser.error is not None
    assert connection.parser.error.status == 413
    assert connection.parser.feed(notify(3)) == []


def test_after_the_end_of_the_stream_nothing_is_known() -> None:
    connection = Connection(notify(0))
    connection.parser.end()
    assert connection.parser.feed(notify(1)) == []


def test_a_known_head_inside_of_a_body_is_the_body() -> None:
    connection = Connection(notify(0))
    inner = notify(1)
    assert connection.parser.feed(notify(2, length=len(inner), body=b"")) == []
    (request,) = connection.parser.feed(inner)
    assert request.body == inner


def test_a_known_head_behind_half_a_head_is_not_a_request() -> None:
    connection = Connection(notify(0))
    connection.parser.feed(b"NOTIFY /x HTTP/1.1\r\nX: ")
    (request,) = connection.parser.feed(notify(1))
    assert request.target == "/x"


def test_empty_lines_are_counted_anew_behind_a_known_head() -> None:
    connection = Connection(notify(0))
    for seq in range(1, 5):
        assert connection.parser.feed(b"\r\n\r\n") == []
        assert connection.parser.feed(notify(seq))[0].head is connection.known.head
    assert connection.parser.error is None


@pytest.mark.parametrize("most", [1, DEFAULT_LIMITS.learned_heads])
def test_a_device_whose_heads_never_repeat_is_not_learned_for_ever(most: int) -> None:
    limits = replace(DEFAULT_LIMITS, learned_heads=most)
    parser = RequestParser(limits, peer=PEER, local=LOCAL)
    heads = [parser.feed(notify(0, extra=f"X: {n}\r\n"))[0].head for n in range(20)]
    learned = [head for head in heads if head is not None]
    assert len(learned) == most
    assert len(set(map(id, learned))) == len(learned)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_no_body_is_kept_for_the_next_head(others: int) -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    body = bytes(100_000)
    for seq in range(3):
        assert parser.feed(notify(seq, body))[0].body == body
    for seq in range(3, 3 + others):
        assert parser.feed(notify(seq))[0].body == b"<e/>"
    assert parser.held_bytes == 0
    kept: list[Any] = [parser]
    for each in kept:  # it grows
        referents = gc.get_referents(each)
        kept += [one for one in referents if not (callable(one) or one in kept)]
    assert all(len(each) < 1_000 for each in kept if isinstance(each, bytes | bytearray))


numbers = st.one_of(
    st.integers(0, 5_000_000_000).map(str),
    st.text("0123456789 \r\nx+-\xb2", max_size=18),
)


@given(numbers, numbers | st.none(), st.binary(max_size=40), st.booleans())
@example("5", None, b"", True)
def test_whatever_stands_for_the_numbers_the_result_is_that_of_a_new_parser(
    seq: str, length: str | None, body: bytes, length_first: bool
) -> None:
    connection = Connection(notify(7, length_first=length_first))
    connection.feed(notify(seq, body, length=length, length_first=length_first))


@given(st.data())
def test_whatever_byte_is_another_one_the_result_is_that_of_a_new_parser(
    data: st.DataObject,
) -> None:
    wire = bytearray(notify(7))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] = data.draw(st.integers(0, 255))
    Connection(notify(7)).feed(bytes(wire))


@pytest.mark.parametrize("length_first", [False, True])
def test_the_numbers_may_grow_by_a_digit(length_first: bool) -> None:
    connection = Connection(notify(8, b"x" * 98, length_first=length_first))
    for seq in (9, 10, 11, 998, 999, 1_000, 999_999_999, 1_000_000_000, 1_000_000_001, 0, 1):
        for length in (98, 99, 100, 101, 9):
            assert connection.knows(notify(seq, b"x" * length, length_first=length_first))


steps = st.one_of(
    st.tuples(st.just(1), st.integers(0, 120)),  # the next SEQ, and a body of any length
    st.tuples(st.integers(-12, 1_000), st.integers(0, 120)),
)


@given(st.integers(0, 1_200), st.lists(steps, min_size=1, max_size=8), st.booleans(), st.data())
def test_whatever_came_before_the_result_is_that_of_a_new_parser(
    seq: int, moves: list[tuple[int, int]], length_first: bool, data: st.DataObject
) -> None:
    connection = Connection(notify(seq, length_first=length_first))
    for step, length in moves:
        seq = max(0, seq + step)
        assert connection.knows(notify(seq, b"x" * length, length_first=length_first))
    wire = bytearray(notify(seq + 1, b"x" * length, length_first=length_first))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] = data.draw(st.integers(0, 255))
    connection.feed(bytes(wire))


# --- heads that repeat on other connections ---

CLOSE = "CONNECTION: close\r\n"
SECOND_PEER = Endpoint("192.0.2.7", 50_001)


class Listener:
    """The heads of a listener, to which every request comes on a new connection."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.heads = RepeatedHeads(limits)

    def connect(
        self, peer: Endpoint | None = PEER, local: Endpoint | None = LOCAL
    ) -> RequestParser:
        return RequestParser(self.limits, peer=peer, local=local, heads=self.heads)

    def feed(
        self,
        *pieces: bytes,
        peer: Endpoint | None = SECOND_PEER,
        local: Endpoint | None = LOCAL,
        accepted: bool = True,
    ) -> list[Request]:
        """The requests in ``pieces``, which must be what a parser makes of them that knows no other
        connection."""
        parser = self.connect(peer, local)
        alone = RequestParser(self.limits, peer=peer, local=local)
        requests: list[Request] = []
        for piece in pieces:
            found, expected = parser.feed(piece), alone.feed(piece)
            assert [told(request) for request in found] == [told(r) for r in expected]
            for request in found:
                if request.head is not None:
                    digits = request.fields[b"seq"]
                    assert request.seq == (int(digits) if len(digits) < 10 else -1)
            if accepted and found and not requests:
                parser.accepted()
            requests += found
        assert repr(parser.error) == repr(alone.error)
        for name in ("in_message", "rest", "held_bytes", "expect_continue", "http_version"):
            assert getattr(parser, name) == getattr(alone, name)
        assert [told(each) for each in parser.feed(notify(99))] == [
            told(each) for each in alone.feed(notify(99))
        ]
        parser.end()
        alone.end()
        assert repr(parser.error) == repr(alone.error)
        return requests

    def learn(self, wire: bytes) -> Any:
        self.feed(wire, peer=PEER)
        (known,) = self.feed(wire, peer=PEER)
        return known.head


@pytest.mark.parametrize("extra", ["", CLOSE])
def test_a_device_that_connects_anew_is_known_from_its_third_event_on(extra: str) -> None:
    listener = Listener()
    heads = [listener.feed(notify(seq, extra=extra))[0].head for seq in range(9)]
    assert heads[0] is None
    assert heads[1] is not None
    assert all(head is heads[1] for head in heads[1:])


def test_a_known_head_has_the_ends_of_its_own_connection() -> None:
    listener = Listener()
    head = listener.learn(notify(0))
    for number, peer in enumerate((PEER, SECOND_PEER)):
        parser = listener.connect(peer)
        for seq in (2 * number + 1, 2 * number + 2):
            (request,) = parser.feed(notify(seq))
            assert request.head is head
            assert request.peer == peer
            assert request.local == LOCAL


def test_nothing_follows_a_known_head_that_ends_its_connection() -> None:
    listener = Listener()
    listener.learn(notify(0, extra=CLOSE))
    parser = listener.connect()
    assert len(parser.feed(notify(1, extra=CLOSE))) == 1
    assert parser.feed(notify(2, extra=CLOSE)) == []
    assert not parser.in_message


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (Endpoint("192.0.2.8", 50_000), LOCAL),
        (PEER._replace(scope=2), LOCAL),
        (PEER, Endpoint("192.0.2.2", 8_123)),
        (PEER, LOCAL._replace(scope=2)),
        (PEER, None),
        (None, LOCAL),
    ],
)
def test_another_host_and_another_end_are_judged_anew(
    peer: Endpoint | None, local: Endpoint | None
) -> None:
    listener = Listener()
    head = listener.learn(notify(0))
    (request,) = listener.feed(notify(1), peer=peer, local=local)
    assert request.head is not head


@pytest.mark.parametrize(
    "pieces",
    [
        (notify(8, sid="uuid:2"),),
        (notify(8, target="/other"),),
        (notify(8, extra=CLOSE + "X: 1\r\n"),),
        (notify(8), notify(9)),
        (notify(8) + notify(9),),
        (b"\r\n", notify(8)),
        (b"\r\n" + notify(8),),
        (notify(8)[:-1], notify(8)[-1:]),
        (notify(8)[:12], notify(8)[12:]),
        (notify(8)[:3], notify(8)[3:]),
        (notify(8, extra="EXPECT: 100-continue\r\n", length=5),),
        (notify(8, method="SUBSCRIBE"),),
        (notify(8, length=DEFAULT_LIMITS.body_bytes + 1),),
        (b"NOTIFY /" + b"x" * DEFAULT_LIMITS.target_bytes,),
        (b"\x16\x03\x01",),
        (b"",),
    ],
)
@pytest.mark.parametrize("lesson", [notify(7), notify(7, extra=CLOSE)])
def test_whatever_else_comes_is_parsed_as_on_a_first_connection(
    lesson: bytes, pieces: tuple[bytes, ...]
) -> None:
    listener = Listener()
    listener.learn(lesson)
    for _ in range(3):
        listener.feed(*pieces)


def test_bytes_that_wait_before_the_first_request_are_a_part_of_it() -> None:
    listener = Listener()
    head = listener.learn(notify(0))
    parser = listener.connect()
    parser.keep(b"\r\n")
    (request,) = parser.feed(notify(1))
    assert request.head is not head
    parser = listener.connect()
    parser.end()
    assert parser.feed(notify(1)) == []


def test_only_accepted_requests_are_remembered() -> None:
    listener = Listener()
    for _ in range(4):
        assert listener.feed(notify(0), accepted=False)[0].head is None
    assert not listener.heads
    listener.feed(notify(0, method="SUBSCRIBE"))
    assert len(listener.heads) == 0
    RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL).accepted()


def test_a_flood_of_other_requests_displaces_no_head() -> None:
    listener = Listener(replace(DEFAULT_LIMITS, repeated_heads=2))
    head = listener.learn(notify(0))
    for number in range(9):
        listener.feed(notify(0, target=f"/{number}"), accepted=False)
    assert listener.feed(notify(1))[0].head is head


def test_the_oldest_head_is_forgotten_above_the_limit() -> None:
    listener = Listener(replace(DEFAULT_LIMITS, repeated_heads=2))
    heads = [listener.learn(notify(0, target=f"/{number}")) for number in range(3)]
    assert len(listener.heads) == 2
    assert listener.feed(notify(1, target="/2"))[0].head is heads[2]
    assert listener.feed(notify(1, target="/1"))[0].head is heads[1]
    assert listener.feed(notify(1, target="/0"))[0].head is None


def test_a_connection_does_not_learn_for_ever_either() -> None:
    listener = Listener()
    learned = [listener.feed(notify(0, extra=f"X: {n}\r\n"))[0].head for n in range(20)]
    assert 0 < sum(head is not None for head in learned) < 10
    listener = Listener()
    for _ in range(20):
        (request,) = listener.feed(notify(0, extra="EXPECT: 100-continue\r\n"))
        assert request.head is None


def test_two_events_at_once_are_noted_once() -> None:
    listener = Listener()
    first, second = listener.connect(), listener.connect(SECOND_PEER)
    assert first.feed(notify(0))
    assert second.feed(notify(1))
    first.accepted()
    second.accepted()
    assert len(listener.heads) == 1
    assert listener.feed(notify(2))[0].head is not None


@given(
    numbers,
    numbers | st.none(),
    st.binary(max_size=40),
    st.booleans(),
    st.sampled_from(["", CLOSE]),
)
def test_whatever_stands_for_the_numbers_other_connections_change_nothing(
    seq: str, length: str | None, body: bytes, length_first: bool, extra: str
) -> None:
    listener = Listener()
    listener.learn(notify(7, length_first=length_first, extra=extra))
    listener.feed(notify(seq, body, length=length, length_first=length_first, extra=extra))


@given(st.data(), st.sampled_from(["", CLOSE]))
def test_whatever_byte_is_another_one_other_connections_change_nothing(
    data: st.DataObject, extra: str
) -> None:
    listener = Listener()
    listener.learn(notify(7, extra=extra))
    wire = bytearray(notify(8, extra=extra))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    listener.feed(bytes(wire))
    listener.feed(bytes(wire[:cut]), bytes(wire[cut:]))


@given(st.lists(st.tuples(steps, st.booleans(), st.sampled_from(["", CLOSE])), max_size=10))
def test_whatever_the_earlier_connections_brought_changes_nothing(
    moves: list[tuple[tuple[int, int], bool, str]],
) -> None:
    listener = Listener()
    seq = 5
    for (step, length), kept, extra in moves:
        seq = max(0, seq + step)
        wire = notify(seq, b"x" * length, extra=extra)
        pieces = (wire, notify(seq + 1, b"y" * length, extra=extra)) if kept else (wire,)
        listener.feed(*pieces)
