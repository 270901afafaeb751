"""The chunked transfer coding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.errors import RemoteProtocolError
from propchange.http.framing import ChunkedBody

SMALL = replace(DEFAULT_LIMITS, body_bytes=20, header_bytes=64)


def taken(wire: bytes, step: int) -> tuple[bytes, int]:
    """The body, and how many bytes of the wire it took."""
    body = ChunkedBody(SMALL)
    position = 0
    for start in range(0, len(wire), step):
        piece = wire[start : start + step]
        position = start + body.feed(piece, 0)
        if body.done:
            break
    assert body.done
    return bytes(body.body), position


def refusal(wire: bytes) -> int:
    """The status, which does not depend on how the bytes arrive."""
    statuses = set()
    for step in (len(wire), 1, 7):
        with pytest.raises(RemoteProtocolError) as caught:
            taken(wire, step)
        statuses.add(caught.value.status)
    (status,) = statuses
    return status


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\n", b"abc0123456789"),
        (b"a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n"),
        (b"3;name\r\nabc\r\n0;last=yes\r\n\r\n", b"abc"),
        (b'3 ; a="b;c" ;d=e\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3\r\nabc\r\n0\r\nExpires: never\r\nX: y\r\n\r\n", b"abc"),
        (b"14\r\n01234567890123456789\r\n0\r\n\r\n", b"01234567890123456789"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 1_000])
def test_the_body_ends_where_its_coding_ends(wire: bytes, body: bytes, step: int) -> None:
    assert taken(wire + b"NOTIFY /next", step) == (body, len(wire))


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b" 3\r\nabc\r\n",
        b"3;a\0b\r\nabc\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"0000000000000003\r\nabc\r\n",
        b"3;" + b"x" * 1_100 + b"\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 1_100,
    ],
)
def test_a_malformed_chunk_is_400(wire: bytes) -> None:
    assert refusal(wire) == 400


@pytest.mark.parametrize(
    "wire", [b"15\r\n", b"fffffffffffffff\r\n", b"14\r\n01234567890123456789\r\n1\r\nx"]
)
def test_a_body_beyond_the_limit_is_413_before_it_is_there(wire: bytes) -> None:
    assert refusal(wire) == 413


@pytest.mark.parametrize(
    "trailer", [b"x" * 2_000, b"X: " + b"y" * 80 + b"\r\n\r\n", b"X: 0123456789\r\n" * 10]
)
def test_an_endless_trailer_is_431(trailer: bytes) -> None:
    assert refusal(b"0\r\n" + trailer) == 431


def test_a_trailer_may_fill_the_limit() -> None:
    wire = b"0\r\nX: " + b"y" * (64 - 7) + b"\r\n\r\n"  # the last line end counts too
    assert taken(wire, 1) == (b"", len(wire))
    assert refusal(wire.replace(b"y", b"yy", 1)) == 431


@given(st.lists(st.binary(min_size=1, max_size=6), max_size=3), st.integers(1, 9))
def test_what_is_chunked_comes_back(chunks: list[bytes], step: int) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert taken(wire + b"behind", step) == (b"".join(chunks), len(wire))


def test_tiny_chunks_are_taken_as_long_as_there_are_not_too_many() -> None:
    # 2 bytes of chunk data cost 5 bytes of framing; 64 and an eighth of the body are allowed.
    assert taken(b"1\r\na\r\n" * 12 + b"0\r\n\r\n", 7)[0] == b"a" * 12
    assert refusal(b"1\r\na\r\n" * 14) == 400


def test_chunks_of_an_ordinary_size_are_never_too_small() -> None:
    body = ChunkedBody(DEFAULT_LIMITS)
    wire = b"40\r\n" + b"a" * 64 + b"\r\n"
    data = wire * 8_192 + b"0\r\n\r\n"
    position = 0
    while not body.done:
        position = body.feed(data, position)
    assert position == len(data)
    assert len(body.body) == 64 * 8_192


def test_one_call_decodes_a_bounded_number_of_chunks() -> None:
    body = ChunkedBody(DEFAULT_LIMITS)
    data = (b"40\r\n" + b"a" * 64 + b"\r\n") * 8_192
    assert 0 < body.feed(data, 0) <= len(data) // 8
