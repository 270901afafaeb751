"""What requests and responses have in common."""

from __future__ import annotations

import httptools
import pytest

from propchange.http import framing
from propchange.http.requests import is_strict_request_head, is_transfer_codings
from propchange.http.responses import lenient_header_lines


@pytest.mark.parametrize(
    ("connection", "http_version", "alive"),
    [
        (None, "1.1", True),
        (None, "1.0", False),
        (b"close", "1.1", False),
        (b"Close", "1.1", False),
        (b"TE, close", "1.1", False),
        (b"keep-alive", "1.1", True),
        (b"Keep-Alive", "1.0", True),
        (b"keep-alive , close", "1.0", False),
        (b"closed", "1.1", True),
        (b"upgrade", "1.0", False),
        (b"", "1.1", True),
    ],
)
def test_the_connection_stays_by_version_and_option(
    connection: bytes | None, http_version: str, *, alive: bool
) -> None:
    assert framing.keeps_alive(connection, http_version) is alive


@pytest.mark.parametrize("value", [b"gzip", b"gzip, chunked", b"gzip , chunked", b"x-!#y"])
def test_codings_that_are_not_known_are_codings(value: bytes) -> None:
    assert is_transfer_codings(value)


@pytest.mark.parametrize("value", [b"", b'"chunked"', b"chunked,", b"gzip chunked", b"a;b"])
def test_what_is_no_list_of_codings_is_told_apart(value: bytes) -> None:
    assert not is_transfer_codings(value)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"M-SEARCH * HTTP/1.0\r\nX:\r\nHost: a\tb\xff\r\n\r\n",
    ],
)
def test_a_strict_head_is_seen(head: bytes) -> None:
    assert is_strict_request_head(head)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX : y\r\n\r\n",
        b"GET / HTTP/1.1\r\n: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\0\r\n\r\n",
        b"GET / HTTP/1.1\nX: y\n\n",
        b"GET /\t HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
    ],
)
def test_a_liberty_is_seen(head: bytes) -> None:
    assert not is_strict_request_head(head)


def test_an_old_httptools_is_recognised_by_what_it_accepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OldParser:
        def __init__(self, protocol: object) -> None: ...
        def feed_data(self, data: bytes) -> None: ...

    class FoldingParser(OldParser):
        def feed_data(self, data: bytes) -> None:
            if b"\r\n " not in data:
                raise httptools.HttpParserError

    class NewParser(OldParser):
        def feed_data(self, data: bytes) -> None:
            raise httptools.HttpParserError

    for parser in (OldParser, FoldingParser):
        monkeypatch.setattr(httptools, "HttpRequestParser", parser)
        assert framing.needs_strict_check()
    monkeypatch.setattr(httptools, "HttpRequestParser", NewParser)
    assert not framing.needs_strict_check()


@pytest.mark.parametrize(
    ("lines", "pairs"),
    [
        (b"SID: uuid:1\nTIMEOUT:Second-300\n", [(b"SID", b"uuid:1"), (b"TIMEOUT", b"Second-300")]),
        (b"X : y\r\n", [(b"X", b"y")]),
        (b"X: y\r\n z\r\n\tw\r\nA: b\r\n", [(b"X", b"y z w"), (b"A", b"b")]),
        (b" folded under nothing\r\nA: b\r\n", [(b"A", b"b")]),
        (b"no colon\r\nA: b:c\r\n", [(b"A", b"b:c")]),
        (b": no name\r\nA B: no token\r\n(A): no token\r\n", []),
        (b"X: y\0\r\nZ: a\0b\r\n", [(b"X", b"y")]),
        (b"X: y\rHost: z\r\n", []),
        (b"X:\r\n", [(b"X", b"")]),
    ],
)
def test_lenient_lines(lines: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
    assert lenient_header_lines(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n") == pairs


def test_httptools_fills_the_lines() -> None:
    lines = framing.HeaderLines()
    httptools.HttpRequestParser(lines).feed_data(b"GET / HTTP/1.1\r\nA: 1\r\na:  2\r\n\r\n")
    assert lines == [(b"A", b"1"), (b"a", b"2")]
