"""Requests that another server has read are judged as our own listener judges bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.http import RequestParser
from propchange.http.encode import response_headers
from propchange.http.passed_head import judge_passed_head

PEER = Endpoint("192.0.2.7", 50_000)
LOCAL = Endpoint("192.0.2.1", 8_123)
HOST = (b"host", b"192.0.2.1:8123")


def passed_head(
    method: str, target: str, *headers: tuple[bytes, bytes], version: str = "1.1"
) -> Request:
    return Request(method, target, headers, peer=PEER, local=LOCAL, http_version=version)


def judged(received: Request, limits: Limits = DEFAULT_LIMITS) -> Any:
    """The request and the length of its body, or the status of the refusal."""
    try:
        request, length = judge_passed_head(received, limits)
    except RemoteProtocolError as error:
        return error.status
    return told(request), length


def told(request: Request) -> tuple[Any, ...]:
    return (
        request.method,
        request.target,
        list(request.headers),
        request.http_version,
        request.keep_alive,
        request.peer,
        request.local,
    )


def listened(received: Request, limits: Limits) -> Any:
    """What our own listener makes of the same request: its head, or the status of the refusal."""
    head = f"{received.method} {received.target} HTTP/{received.http_version}\r\n".encode()
    head += b"".join(b"%b: %b\r\n" % pair for pair in received.headers)
    parser = RequestParser(limits, peer=PEER, local=LOCAL)
    requests = parser.feed(head + b"\r\n")
    if parser.error is not None:
        return parser.error.status
    beginning = requests[0] if requests else parser.begun
    assert beginning is not None
    return beginning.method, list(beginning.headers)


PAIRS = st.sampled_from(
    [
        HOST,
        (b"host", b"evil.example"),
        (b"nt", b"upnp:event"),
        (b"connection", b"close"),
        (b"connection", b"keep-alive"),
        (b"content-length", b"0"),
        (b"content-length", b"12"),
        (b"content-length", b"12, 12"),
        (b"content-length", b"-1"),
        (b"content-length", b"2000000"),
        (b"content-length", b"9" * 30),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"gzip, chunked"),
        (b"transfer-encoding", b"gzip"),
        (b"expect", b"100-continue"),
        (b"a b", b"1"),
        (b"", b"1"),
        (b"x", b"y" * 900),
    ]
)


@given(
    st.sampled_from(["NOTIFY", "GET", "SUBSCRIBE", "CONNECT", "X-Y", "", "GE T", "G\x00T"]),
    st.sampled_from(
        ["/", "/a?b=c", "*", "", "a", "/" + "x" * 500, "http://192.0.2.1:8123/x", "/ä", "//x"]
    ),
    st.lists(PAIRS, max_size=8),
    st.sampled_from(["1.0", "1.1"]),
)
def test_each_head_gets_the_verdict_of_our_own_listener(
    method: str, target: str, headers: list[tuple[bytes, bytes]], version: str
) -> None:
    limits = replace(DEFAULT_LIMITS, header_count=6, header_bytes=2_000, target_bytes=400)
    received = passed_head(method, target, *headers, version=version)
    verdict, expected = judged(received, limits), listened(received, limits)
    if isinstance(expected, int):
        assert verdict == expected
    else:
        assert (verdict[0][0], verdict[0][2]) == expected


@pytest.mark.parametrize(
    ("headers", "version", "length"),
    [
        ((), "1.1", 0),
        (((b"content-length", b"7"),), "1.1", 7),
        (((b"transfer-encoding", b"chunked"),), "1.1", None),
        ((), "2", None),
        (((b"content-length", b"7"),), "3", 7),
    ],
)
def test_the_length_of_the_body_is_told_before_it_is_read(
    headers: tuple[tuple[bytes, bytes], ...], version: str, length: int | None
) -> None:
    (_, _, _, http_version, keep_alive, *ends), found = judged(
        passed_head("NOTIFY", "/x", HOST, *headers, version=version)
    )
    assert found == length
    assert (http_version, keep_alive, ends) == ("1.1", True, [PEER, LOCAL])


@pytest.mark.parametrize(
    "hostile",
    [
        passed_head("GET", "/", HOST, (b"x", b"1\r\n\r\nGET /other HTTP/1.1")),
        passed_head("GET", "/", HOST, (b"x\r\nsid", b"1")),
        passed_head("GET", "/ HTTP/1.1\r\nHOST: 192.0.2.1:8123\r\n\r\n", HOST),
        passed_head("GET", "/", HOST, (b"x", b"1\n2")),
    ],
)
def test_a_line_end_in_a_header_makes_no_other_request(hostile: Request) -> None:
    assert judged(hostile) == 400


def test_the_headers_of_an_answer_are_in_lower_case_and_have_its_length() -> None:
    response = Response(200, ((b"SERVER", b"x"),), b"12345", close=True)
    expected = [(b"server", b"x"), (b"content-length", b"5"), (b"connection", b"close")]
    assert list(response_headers(response)) == expected
    assert list(response_headers(response, connection=False)) == expected[:2]
    assert list(response_headers(Response(204))) == []
    given = ((b"CONTENT-LENGTH", b"0"), (b"Connection", b"close"))
    assert len(response_headers(Response(200, given, close=True))) == 2


@pytest.mark.parametrize("bad", [(b"X", b"1\r\nY: 2"), (b"TRANSFER-ENCODING", b"chunked")])
def test_an_answer_with_a_header_that_would_break_it_is_an_error(bad: tuple[bytes, bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        response_headers(Response(200, (bad,)))
