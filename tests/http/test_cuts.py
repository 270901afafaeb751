"""What a stream of bytes means does not depend on how the network cuts it into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint
from propchange.http import RequestParser, ResponseParser

FEW = replace(DEFAULT_LIMITS, pipelined_requests=1)
SMALL = replace(DEFAULT_LIMITS, header_bytes=120, header_count=4, target_bytes=24, body_bytes=40)


def cut(wire: bytes, sizes: Iterable[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(wire[:size])
        wire = wire[size:]
    return [piece for piece in (*pieces, wire) if piece]


def all_of(parser: Any, piece: bytes) -> Iterator[Any]:
    yield from parser.feed(piece)
    while parser.rest:
        yield from parser.feed(b"")


def requests_of(pieces: list[bytes], limits: Limits) -> tuple[Any, ...]:
    """All that a peer can see of how its requests were read."""
    parser = RequestParser(limits, peer=Endpoint("192.0.2.7", 5), local=Endpoint("192.0.2.1", 80))
    found = [
        (
            each.method,
            each.target,
            list(each.headers),
            each.body,
            each.http_version,
            each.keep_alive,
        )
        for piece in pieces
        for each in all_of(parser, piece)
    ]
    refused = parser.error and (parser.error.status, str(parser.error), parser.http_version)
    unfinished = parser.in_message
    parser.end()
    return found, refused, unfinished, parser.error and parser.error.status


def responses_of(pieces: list[bytes], limits: Limits, method: str) -> tuple[Any, ...]:
    parser = ResponseParser(limits)
    parser.expect(method)
    found = [response for piece in pieces for response in all_of(parser, piece)]
    refused = parser.error and str(parser.error)
    started = parser.started
    last = parser.end()
    told = [
        (each.status, list(each.headers), each.body, each.http_version, each.close)
        for each in (*found, *([last] if last else []))
    ]
    return told, refused, started, parser.error and str(parser.error)


LINE_ENDS = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b""])
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.1", b"HTTP/11", b"http/1.1", b""]
)
METHODS = st.sampled_from([b"NOTIFY"] * 3 + [b"GET", b"get", b"CONNECT", b"\x16\x03\x01", b"F\0O"])
TARGETS = st.sampled_from([b"/a", b"*", b"http://h/a", b"h:80", b"/" + b"x" * 30, b"/" + b"y" * 90])
FIELDS = st.sampled_from(
    [
        b"HOST: h",
        b"SEQ: 1",
        b"SEQ: 22",
        b"CONTENT-LENGTH: 3",
        b"CONTENT-LENGTH: 10",
        b"CONTENT-LENGTH: 41",
        b"CONTENT-LENGTH: +3",
        b"CONTENT-LENGTH: 99999999999999999999",
        b"TRANSFER-ENCODING: chunked",
        b'TRANSFER-ENCODING: "chunked"',
        b"TRANSFER-ENCODING: gzip, chunked",
        b"CONNECTION: close",
        b"CONNECTION: keep-alive",
        b"EXPECT: 100-continue",
        b"UPGRADE: h2c",
        b" folded",
        b"X : y",
        b"X: a\0b",
        b"X: " + b"z" * 70,
        b"X: " + b"z" * 130,
    ]
)
BODIES = st.sampled_from(
    [
        b"",
        b"abc",
        b"0123456789",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: " + b"z" * 130,
        b"29\r\n" + b"z" * 41 + b"\r\n0\r\n\r\n",
        b"1\r\nx\r\n" * 30,
    ]
)


@st.composite
def messages(draw: st.DrawFn, *, start: st.SearchStrategy[bytes]) -> bytes:
    lines = [draw(start), *draw(st.lists(FIELDS, max_size=5))]
    head = b"".join(line + draw(LINE_ENDS) for line in lines)
    return head + draw(LINE_ENDS) + draw(BODIES)


REQUESTS = messages(start=st.tuples(METHODS, TARGETS, VERSIONS).map(b" ".join)) | st.sampled_from(
    [
        # A head that repeats, so that its short way is part of this.
        b"NOTIFY /n HTTP/1.1\r\nHOST: h\r\nSEQ: 1\r\nCONTENT-LENGTH: 3\r\n\r\nabc",
        b"NOTIFY /n HTTP/1.1\r\nHOST: h\r\nSEQ: 2\r\nCONTENT-LENGTH: 3\r\n\r\nabc",
        b"GET /n HTTP/1.0\r\nCONNECTION: keep-alive\r\n\r\n",
        b"\r",
        b"\r\n",
    ]
)
RESPONSES = messages(
    start=st.tuples(VERSIONS, st.sampled_from([b"200 OK", b"200", b"100 -", b"204", b"x"])).map(
        b" ".join
    )
) | st.sampled_from([b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n", b"\r", b"\n"])
NOISE = st.binary(max_size=12)
CUTS = st.lists(st.integers(1, 60), max_size=12)
LIMITS = st.sampled_from([DEFAULT_LIMITS, SMALL, FEW])


@given(st.lists(REQUESTS | NOISE, max_size=4).map(b"".join), CUTS, LIMITS)
@example(b"GET / HTTP/2.1\nHOST: h\r\n\r\n", [], DEFAULT_LIMITS)
@example(b"GET / HTTP/1.0\r\nX: " + b"x" * 3000 + b"\n" + b"y" * 20_000, [], DEFAULT_LIMITS)
@example(b"GET /" + b"x" * 3000 + b" HTTP/1.0\nHOST: h\r\n\r\n", [], DEFAULT_LIMITS)
@example(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 90 + b"A: b\n\r\n\r\n", [], DEFAULT_LIMITS)
def test_requests_and_their_refusal_are_the_same_however_the_bytes_are_cut(
    wire: bytes, sizes: list[int], limits: Limits
) -> None:
    whole = requests_of(cut(wire, []), limits)
    assert requests_of(cut(wire, [1] * len(wire)), limits) == whole
    assert requests_of(cut(wire, sizes), limits) == whole


@given(
    st.lists(RESPONSES | NOISE, max_size=4).map(b"".join),
    CUTS,
    LIMITS,
    st.sampled_from(["", "NOTIFY", "HEAD"]),
)
def test_responses_are_the_same_however_the_bytes_are_cut(
    wire: bytes, sizes: list[int], limits: Limits, method: str
) -> None:
    whole = responses_of(cut(wire, []), limits, method)
    assert responses_of(cut(wire, [1] * len(wire)), limits, method) == whole
    assert responses_of(cut(wire, sizes), limits, method) == whole


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/2.1\nHOST: h\r\n\r\n", 400),
        (b"GET / HTTP/2.1\r\nHOST: h\r\n\r\n", 505),
        (b"\rGET / HTTP/1.1\r\nHOST: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"N /n HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\nX: y\n\r\n", 400),
        (b"N /n HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n X: y\r\n\r\n", 400),
    ],
)
def test_the_first_error_of_the_bytes_is_the_one_that_is_answered(wire: bytes, status: int) -> None:
    for sizes in ([], [1] * len(wire)):
        _, refused, _, _ = requests_of(cut(wire, sizes), DEFAULT_LIMITS)
        assert refused is not None
        assert refused[0] == status


def test_a_remembered_head_does_not_change_the_version_of_a_later_answer() -> None:
    notify = b"NOTIFY /n HTTP/1.1\r\nHOST: h\r\nSEQ: 1\r\nCONTENT-LENGTH: 3\r\n\r\nabc"
    wire = [notify] * 2 + [b"GET / HTTP/1.0\r\nCONNECTION: keep-alive\r\n\r\n", notify, b"\0"]
    assert requests_of(wire, DEFAULT_LIMITS) == requests_of(cut(b"".join(wire), []), DEFAULT_LIMITS)
