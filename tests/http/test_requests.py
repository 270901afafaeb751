"""Requests from bytes, as they arrive and as an attacker sends them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint, Request
from propchange.http import RequestParser, requests

PEER = Endpoint("192.0.2.7", 50_000)
LOCAL = Endpoint("192.0.2.1", 8_123)
GET = b"GET /d.xml HTTP/1.1\r\nHost: 192.0.2.1:8123\r\n\r\n"
BODY = b"<e:propertyset/>\r\n\r\n"
NOTIFY = (
    b"NOTIFY /secret HTTP/1.1\r\nHOST: 192.0.2.1:8123\r\nNT: upnp:event\r\nSEQ: 0\r\n"
    b"CONTENT-LENGTH: 20\r\n\r\n" + BODY
)
CHUNKED = (
    b"NOTIFY /secret HTTP/1.1\r\nHOST: 192.0.2.1:8123\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"10;x=y\r\n" + BODY[:16] + b"\r\n4\r\n" + BODY[16:] + b"\r\n0\r\nNT: forged\r\n\r\n"
)


def new_parser(limits: Limits = DEFAULT_LIMITS) -> RequestParser:
    return RequestParser(limits, peer=PEER, local=LOCAL)


def told(request: Request) -> tuple[Any, ...]:
    return (
        request.method,
        request.target,
        list(request.headers),
        request.body,
        request.http_version,
        request.keep_alive,
        request.peer,
        request.local,
    )


def parsed(
    wire: bytes, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[tuple[Any, ...]], int | None]:
    """The requests and the status of the error, however the bytes arrive."""
    results = []
    for step in (len(wire), 1, 3):
        parser = new_parser(limits)
        found = []
        for start in range(0, len(wire), step):
            found += parser.feed(wire[start : start + step])
        status = parser.error.status if parser.error else None
        results.append(([told(request) for request in found], status))
    assert all(result == results[0] for result in results)
    return results[0]


def one(wire: bytes, *, before: bytes = b"", after: bytes = GET) -> Request:
    """The request in ``wire``, which must come out of it whole, byte by byte, and with the next
    one behind."""
    alone, error = parsed(before + wire)
    assert error is None
    assert len(alone) == 1
    both, error = parsed(before + wire + after)
    assert error is None
    if alone[0][5]:
        assert both == [*alone, *parsed(after)[0]]
    else:
        assert both == alone
    (request,) = new_parser().feed(before + wire)
    return request


def refusal(wire: bytes, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """The status for ``wire``; what stands before it is answered first, and nothing after."""
    found, status = parsed(wire, limits)
    assert found == []
    found, behind = parsed(GET + wire + GET, limits)
    assert len(found) == 1
    assert behind == status
    return status


def head(*lines: bytes, start: bytes = b"NOTIFY /secret HTTP/1.1") -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


# --- what is accepted --------------------------------------------------------------------


def test_a_request_comes_out_as_it_was_sent() -> None:
    request = one(NOTIFY)
    assert told(request) == (
        "NOTIFY",
        "/secret",
        [
            (b"HOST", b"192.0.2.1:8123"),
            (b"NT", b"upnp:event"),
            (b"SEQ", b"0"),
            (b"CONTENT-LENGTH", b"20"),
        ],
        BODY,
        "1.1",
        True,
        PEER,
        LOCAL,
    )


def test_a_request_without_a_body_is_whole_with_its_head() -> None:
    assert one(GET).body == b""
    assert one(head(b"Content-Length: 0")).body == b""


@pytest.mark.clause("SUB-34")
def test_a_chunked_request_has_its_body_without_extensions_and_trailers() -> None:
    request = one(CHUNKED)
    assert request.body == BODY
    assert b"nt" not in request.fields


@pytest.mark.clause("SUB-30")
@pytest.mark.parametrize(
    ("start", "connection", "alive"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: close", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive", True),
    ],
)
@pytest.mark.clause("SUB-31")
@pytest.mark.clause("RSP-05")
def test_the_version_and_connection_decide_whether_more_may_follow(
    start: bytes, connection: bytes, *, alive: bool
) -> None:
    request = one(head(connection, start=start) if connection else head(start=start))
    assert request.keep_alive is alive
    assert request.http_version == start[-3:].decode()


def test_what_follows_a_last_request_is_dropped() -> None:
    parser = new_parser()
    (request,) = parser.feed(head(b"Connection: close") + GET)
    assert not request.keep_alive
    assert parser.feed(GET) == []
    assert parser.feed(b"\0garbage") == []
    assert not parser.in_message
    parser.end()
    assert parser.error is None


def test_pipelined_requests_come_in_order() -> None:
    found, error = parsed(NOTIFY + GET + CHUNKED + NOTIFY)
    assert error is None
    assert [request[0] for request in found] == ["NOTIFY", "GET", "NOTIFY", "NOTIFY"]


def test_so_many_requests_are_parsed_at_once_and_the_rest_waits() -> None:
    parser = new_parser(replace(DEFAULT_LIMITS, pipelined_requests=2))
    wire = GET * 3 + NOTIFY + b"\0"
    assert [request.method for request in parser.feed(wire)] == ["GET", "GET"]
    assert parser.rest == len(GET + NOTIFY) + 1
    assert parser.held_bytes == len(wire)
    assert parser.error is None
    parser.keep(GET[:0])
    parser.keep(GET)  # it stands behind the rest
    assert [request.method for request in parser.feed(b"")] == ["GET", "NOTIFY"]
    assert parser.feed(b"") == []
    assert parser.error is not None
    assert (parser.rest, parser.held_bytes) == (0, 0)
    parser.keep(GET)
    assert parser.rest == 0


def test_what_is_held_of_a_request_is_counted() -> None:
    parser = new_parser()
    for wire, held in ((GET[:7], 7), (GET[7:] + NOTIFY[:-5], len(BODY) - 5), (NOTIFY[-5:], 0)):
        parser.feed(wire)
        assert parser.held_bytes == held
    parser.feed(CHUNKED[: CHUNKED.index(b"\r\n4")])
    assert parser.held_bytes == 16
    parser.end()
    assert parser.held_bytes == 0


def test_what_is_whole_before_an_error_is_given_first() -> None:
    parser = new_parser()
    assert len(parser.feed(NOTIFY + GET + b"\0\r\n\r\n" + GET)) == 2
    assert parser.error is not None
    assert parser.error.status == 400
    assert parser.feed(GET) == []


@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n\r\n", b"\n"])
def test_some_empty_lines_before_a_request_are_passed_over(blank: bytes) -> None:
    assert one(NOTIFY, before=blank).body == BODY
    parser = new_parser()
    parser.feed(blank)
    assert not parser.in_message


def test_empty_lines_are_counted_anew_for_each_request() -> None:
    found, error = parsed((GET + b"\r\n\r\n") * 5)
    assert (len(found), error) == (5, None)


def test_endless_empty_lines_are_400() -> None:
    assert parsed(b"\r\n" * 3) == ([], 400)
    assert parsed(b"\n" * 5) == ([], 400)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"Content-Length: 20"),
        (b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 20"),
        (b"Upgrade: TLS/1.2", b"Content-Length: 20"),
    ],
)
def test_an_upgrade_is_ignored_and_the_body_still_belongs_to_the_request(
    lines: tuple[bytes, ...],
) -> None:
    assert one(head(*lines) + BODY).body == BODY


def test_header_values_keep_bytes_that_are_not_ascii() -> None:
    assert one(head(b"USER-AGENT: caf\xc3\xa9\xff")).fields[b"user-agent"] == b"caf\xc3\xa9\xff"


@pytest.mark.clause("SUB-07")
@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://192.0.2.1:8123/a?b=c", "/a?b=c"),
        (b"HTTP://192.0.2.1:8123/", "/"),
        (b"http://192.0.2.1:8123", "/"),
        (b"*", "*"),
        (b"/a//b?c#d", "/a//b?c#d"),
        (b"//192.0.2.9/a", "//192.0.2.9/a"),
    ],
)
def test_a_target_is_a_path_or_names_this_host(target: bytes, path: str) -> None:
    request = one(head(b"HOST: 192.0.2.1:8123", start=b"SUBSCRIBE " + target + b" HTTP/1.1"))
    assert request.target == path


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"http://192.0.2.9:8123/a",
        b"http://192.0.2.1/a",
        b"https://192.0.2.1:8123/a",
        b"http://user@192.0.2.1:8123/a",
        b"192.0.2.1:8123",
        b"a/b",
        b"?x",
    ],
)
def test_another_target_is_400(target: bytes) -> None:
    assert (
        refusal(head(b"HOST: 192.0.2.1:8123", start=b"SUBSCRIBE " + target + b" HTTP/1.1")) == 400
    )


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET",
        b"GET / HTTP",
        b"GET / HTTP/1",
        b"GET / HTTP/1.1 ",
        b"GET / http/1.1",
        b"GET / FTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.11",
        b"GET / HTTP/11.1",
        b"GET\t/\tHTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"GET /a\rb HTTP/1.1",
        b"GET /\tb HTTP/1.1",
        b"G\xc9T / HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"HTTP/1.1 200 OK",
        b"DESCRIBE / HTTP/1.1",
    ],
)
@pytest.mark.clause("SUB-75")
def test_a_malformed_request_line_is_400(start: bytes) -> None:
    assert refusal(start + b"\r\nHost: a\r\n\r\n") == 400


@pytest.mark.clause("SUB-30")
@pytest.mark.parametrize(
    "wire",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/3.1\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
    ],
)
def test_another_version_of_http_is_505(wire: bytes) -> None:
    assert refusal(wire) == 505


@pytest.mark.clause("SUB-31")
@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
def test_a_higher_minor_version_is_taken_as_1_1(version: bytes) -> None:
    """RFC 9110 §2.5."""
    wire = GET.replace(b"HTTP/1.1", b"HTTP/" + version)
    assert parsed(wire) == parsed(GET)
    assert one(wire).http_version == "1.1"
    assert one(NOTIFY.replace(b"HTTP/1.1", b"HTTP/" + version)).body == BODY


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "lines",
    [
        (b"X",),
        (b"Content-Length: 2000000",),
        (b"X: y",) * 65,
        (b"X: " + b"y" * 20_000,),
        (b"Transfer-Encoding: gzip",),
    ],
)
@pytest.mark.parametrize("step", [1, 100_000])
def test_an_error_has_the_version_of_its_request_line(
    version: str, lines: tuple[bytes, ...], step: int
) -> None:
    wire = head(*lines, start=b"GET / HTTP/" + version.encode())
    parser = new_parser()
    for start in range(0, len(wire), step):
        parser.feed(wire[start : start + step])
    assert parser.error is not None
    assert parser.http_version == version


@pytest.mark.clause("SUB-75")
@pytest.mark.parametrize("method", ["FETCH", "notify", "SUBSCRIBED", "S", "FROB-NICATE", "X!"])
def test_what_an_unknown_method_is_worth_is_not_for_http_to_say(method: str) -> None:
    assert one(NOTIFY.replace(b"NOTIFY", method.encode(), 1)).method == method
    assert one(CHUNKED.replace(b"NOTIFY", method.encode(), 1)).body == BODY
    assert refusal(NOTIFY.replace(b"NOTIFY", method.encode(), 1).replace(b"NT:", b"NT :")) == 400


def test_this_is_no_proxy() -> None:
    assert refusal(b"CONNECT a:1 HTTP/1.1\r\n\r\n") == 405


@pytest.mark.parametrize(
    "line",
    [
        b"X : y",
        b": y",
        b"X",
        b" X: y",
        b"A B: y",
        b"A,B: y",
        b"A\0B: y",
        b"X: y\0",
        b"X: \x01",
        b"X: y\r\n z",
        b"X: y\r\n\tz",
        b"X: y\rHOST: z",
        b"X: y\nHOST: z",
        b"X: y\n",
        b"X: y\r",
    ],
)
@pytest.mark.parametrize("checked", [False, True])
def test_a_malformed_header_line_is_400(
    line: bytes, monkeypatch: pytest.MonkeyPatch, *, checked: bool
) -> None:
    """With an httptools that takes liberties, too."""
    if checked:
        monkeypatch.setattr(requests, "NEEDS_STRICT_CHECK", True)
    assert refusal(head(b"HOST: a", line)) == 400
    assert refusal(head(line, b"HOST: a")) == 400


def test_an_httptools_that_takes_liberties_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "NEEDS_STRICT_CHECK", True)
    assert one(NOTIFY).body == BODY
    assert one(CHUNKED).body == BODY
    monkeypatch.setattr(requests, "_STRICT_REQUEST_HEAD", re.compile(rb"nothing"))
    assert parsed(NOTIFY) == ([], 400)


@pytest.mark.parametrize(
    "wire",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\n",
        b"GET /\nHTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\n" + b"X: y\n" * 5_000,
        head(b"X: y", b"X: y\n" * 100),
        head(b"X: y", b"X: y\n" * 5_000),
        head(b"X: \n" + b"y" * 20_000),
    ],
)
@pytest.mark.clause("SUB-75")
def test_bare_line_feeds_are_400_at_once(wire: bytes) -> None:
    """No end of the head would ever come."""
    assert parsed(wire) == ([], 400)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        (b"Transfer-Encoding: gzip", b"Content-Length: 3"),
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3", b"Content-Length: 4"),
        (b"Content-Length: 3, 3",),
        (b"Content-Length: -3",),
        (b"Content-Length: +3",),
        (b"Content-Length: 0x3",),
        (b"Content-Length: 3 3",),
        (b"Content-Length: 3.0",),
        (b"Content-Length:",),
        (b"Content-Length: \xb2",),
        (b'Transfer-Encoding: "gzip"',),
        (b"Transfer-Encoding: gzip; q=1",),
        (b"Transfer-Encoding:",),
    ],
)
def test_a_body_of_doubtful_length_is_400(lines: tuple[bytes, ...]) -> None:
    assert refusal(head(*lines) + b"3\r\nabc\r\n0\r\n\r\n") == 400


@pytest.mark.clause("NOT-06")
def test_chunked_in_quotes_is_chunked_in_a_notify() -> None:
    request = one(head(b'Transfer-Encoding: "chunked"') + b"3\r\nabc\r\n0\r\n\r\n")
    assert request.body == b"abc"
    assert request.fields[b"transfer-encoding"] == b"chunked"


@pytest.mark.clause("NOT-06")
@pytest.mark.parametrize(
    "wire",
    [
        head(b'Transfer-Encoding: "chunked"', start=b"SUBSCRIBE /e HTTP/1.1"),
        head(b'Transfer-Encoding: "chunked"', start=b"POST /c HTTP/1.1"),
        head(b'Transfer-Encoding: "chunked"', start=b"NOTIFY /n HTTP/1.0"),
        head(b'Transfer-Encoding: "chunked"', b"Content-Length: 3"),
        head(b"Content-Length: 3", b'Transfer-Encoding: "chunked"'),
        head(b'Transfer-Encoding: "chunked"', b'Transfer-Encoding: "chunked"'),
        head(b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: chunked"),
        head(b'Transfer-Encoding: "Chunked"'),
        head(b'Transfer-Encoding: "chunked'),
        head(b'Transfer-Encoding: ""chunked""'),
        head(b'Transfer-Encoding: "chunked", chunked'),
        head(b'Transfer-Encoding: "chunked";q=1'),
        head(b'Transfer-Encoding: "gzip, chunked"'),
        head(b'Transfer-Encoding: "chunked"', b"A B: c"),
    ],
)
def test_anything_else_in_quotes_is_400(wire: bytes) -> None:
    assert refusal(wire + b"3\r\nabc\r\n0\r\n\r\n") == 400


def test_a_nul_at_the_end_of_a_value_is_400() -> None:
    assert refusal(head(b"NT: upnp:event\0")) == 400


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity"])
def test_another_transfer_coding_is_501(coding: bytes) -> None:
    assert refusal(head(b"Transfer-Encoding: " + coding) + b"0\r\n\r\n") == 501


def test_http_1_0_has_no_chunks() -> None:
    start = b"NOTIFY / HTTP/1.0"
    assert refusal(head(b"Transfer-Encoding: chunked", start=start) + b"0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "length", [b"21", b"999999999999999999", b"99999999999999999999999999", b"0" * 5_000 + b"1"]
)
def test_a_body_beyond_the_limit_is_413_before_it_is_there(length: bytes) -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=20)
    assert refusal(head(b"Content-Length: " + length), limits) == 413


def test_a_body_may_fill_the_limit() -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=20)
    found, error = parsed(NOTIFY + CHUNKED, limits)
    assert ([request[3] for request in found], error) == ([BODY, BODY], None)
    limits = replace(DEFAULT_LIMITS, body_bytes=19)
    assert refusal(NOTIFY, limits) == 413
    assert refusal(CHUNKED, limits) == 413


def test_an_endless_target_is_414() -> None:
    assert parsed(b"GET /" + b"a" * 4_000) == ([], 414)
    assert parsed(b"GET /" + b"a" * 2_048 + b" HTTP/1.1\r\n\r\n") == ([], 414)
    assert parsed(b"GET /" + b"a" * 4_000 + b" HTTP/1.1\r\n\r\n") == ([], 414)
    found, error = parsed(b"GET /" + b"a" * 2_047 + b" HTTP/1.1\r\n\r\n")
    assert (len(found), error) == (1, None)


@pytest.mark.parametrize(
    "wire",
    [
        head(b"X: " + b"y" * 20_000),
        head(b"X: " + b"y" * 20_000)[:-4],
        head(*[b"X: y"] * 65),
        head(*[b"X: y"] * 10_000),
        head(b"X" * 20_000 + b": y"),
        head(b"\r" * 20_000),
    ],
)
def test_a_flood_of_header_is_431(wire: bytes) -> None:
    assert parsed(wire) == ([], 431)


def test_a_header_may_fill_the_limits() -> None:
    room = DEFAULT_LIMITS.header_bytes - len(head(b"X: "))
    found, error = parsed(head(b"X: " + b"y" * room))
    assert (len(found), error) == (1, None)
    assert parsed(head(b"X: " + b"y" * (room + 1))) == ([], 431)
    found, error = parsed(head(*[b"X: y"] * 64))
    assert (len(found), error) == (1, None)


def test_no_more_is_kept_of_a_head_than_its_limit() -> None:
    limits = replace(DEFAULT_LIMITS, header_bytes=100)
    parser = new_parser(limits)
    parser.feed(b"GET / HTTP/1.1\r\n" + b"x" * 80)
    assert parser.in_message
    assert parser.feed(b"x" * 1_000_000) == []
    assert parser.error is not None
    assert parser.error.status == 431
    assert not parser.in_message


# --- the state between two calls ---------------------------------------------------------


def test_the_end_of_the_stream_inside_a_request_is_an_error() -> None:
    for wire in (NOTIFY, CHUNKED, GET):
        for cut in range(1, len(wire)):
            parser = new_parser()
            assert parser.feed(wire[:cut]) == []
            assert parser.in_message, (wire, cut)
            parser.end()
            assert parser.error is not None, (wire, cut)
            assert parser.error.status == 400
            assert not parser.in_message
            assert parser.feed(wire[cut:]) == []


def test_the_end_of_the_stream_between_requests_is_none() -> None:
    parser = new_parser()
    parser.feed(NOTIFY)
    assert not parser.in_message
    parser.end()
    assert parser.error is None
    assert parser.feed(NOTIFY) == []


def test_the_end_of_the_stream_leaves_an_earlier_error() -> None:
    parser = new_parser()
    parser.feed(b"GET / HTTP/2.0\r\n\r\n")
    parser.end()
    assert parser.error is not None
    assert parser.error.status == 505


EXPECTING = head(b"Expect: 100-Continue", b"Content-Length: 3")


def test_expect_continue_stands_until_the_first_byte_of_the_body() -> None:
    parser = new_parser()
    parser.feed(EXPECTING)
    assert parser.expect_continue
    parser.feed(b"a")
    assert not parser.expect_continue
    (request,) = parser.feed(b"bc")
    assert request.body == b"abc"


@pytest.mark.parametrize(
    "wire",
    [
        EXPECTING + b"a",
        EXPECTING + b"abc",
        EXPECTING.replace(b"3", b"0"),
        EXPECTING.replace(b"100", b"200"),
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        head(b"Content-Length: 3"),
    ],
)
def test_otherwise_nothing_is_to_be_answered_before_the_body(wire: bytes) -> None:
    parser = new_parser()
    parser.feed(wire)
    assert not parser.expect_continue


def test_an_abandoned_request_expects_nothing() -> None:
    parser = new_parser()
    parser.feed(EXPECTING)
    parser.end()
    assert not parser.expect_continue


# --- whatever arrives --------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        NOTIFY,
        CHUNKED,
        GET,
        EXPECTING + b"abc",
        b"\r\n",
        b"\n",
        b"0\r\n\r\n",
        head(b"Connection: close"),
        head(b"Transfer-Encoding: chunked"),
        b"X: y\r\n",
        b"\0",
    ]
)


@given(
    st.lists(PIECES | st.binary(max_size=12), max_size=6).map(b"".join),
    st.lists(st.integers(1, 90), min_size=1, max_size=8),
)
def test_the_same_requests_come_out_however_the_bytes_are_cut(wire: bytes, cuts: list[int]) -> None:
    whole = new_parser()
    expected = [told(request) for request in whole.feed(wire)]
    parser = new_parser()
    found = []
    position = index = 0
    while position < len(wire):
        step = cuts[index % len(cuts)]
        found += [told(request) for request in parser.feed(wire[position : position + step])]
        position += step
        index += 1
    assert found == expected
    assert (parser.error and parser.error.status) == (whole.error and whole.error.status)
    assert parser.in_message == whole.in_message
    parser.end()
    whole.end()
    assert (parser.error is None) == (whole.error is None)


def begun(wire: bytes) -> tuple[str, str, list[tuple[bytes, bytes]]] | None:
    """Method, target and fields of the request that has begun, however the bytes arrive."""
    found = []
    for step in (len(wire), 1, 3):
        parser = new_parser()
        for start in range(0, len(wire), step or 1):
            parser.feed(wire[start : start + step])
        request = parser.begun
        assert request is None or (request.peer, request.local) == (PEER, LOCAL)
        found.append(request and (request.method, request.target, list(request.headers)))
    assert all(each == found[0] for each in found)
    return found[0]


NOTIFY_FIELDS = [
    (b"HOST", b"192.0.2.1:8123"),
    (b"NT", b"upnp:event"),
    (b"SEQ", b"0"),
    (b"CONTENT-LENGTH", b"20"),
]


def test_a_request_that_has_begun_is_known_as_far_as_it_has_come() -> None:
    assert begun(b"") is None
    assert begun(b"NOTIFY /sec") is None
    assert begun(b"NOTIFY /secret ") == ("NOTIFY", "/secret", [])
    head = NOTIFY.partition(b"CONTENT")[0]
    assert begun(head + b"CONTE") == ("NOTIFY", "/secret", NOTIFY_FIELDS[:3])
    assert begun(NOTIFY[:-1]) == ("NOTIFY", "/secret", NOTIFY_FIELDS)
    assert begun(NOTIFY[:-20]) == ("NOTIFY", "/secret", NOTIFY_FIELDS)
    assert begun(NOTIFY) is None
    assert begun(CHUNKED) is None
    assert begun(GET + NOTIFY[:-1]) == ("NOTIFY", "/secret", NOTIFY_FIELDS)
    assert begun(NOTIFY + b"GET /d.xml HTTP/1.1") == ("GET", "/d.xml", [])
    assert begun(b"NOTIFY http://192.0.2.1:8123/secret HTTP/1.1\r\n") == ("NOTIFY", "/secret", [])


@pytest.mark.parametrize(
    "wire",
    [
        NOTIFY.replace(b": 20", b": 99999999"),
        NOTIFY.replace(b": 20", b": twenty"),
        NOTIFY.replace(b"CONTENT-LENGTH: 20", b"TRANSFER-ENCODING: gzip"),
        NOTIFY.replace(b"NT:", b"N T:"),
        NOTIFY.replace(b" HTTP/1.1", b" HTTP/9.9"),
        CHUNKED.replace(b"10;x=y", b"ten"),
    ],
)
def test_the_request_that_an_error_is_about_is_known(wire: bytes) -> None:
    found = begun(wire)
    assert found is not None
    assert found[:2] == ("NOTIFY", "/secret")
    assert (b"HOST", b"192.0.2.1:8123") in found[2]
    assert begun(GET + wire) == found


@pytest.mark.parametrize("first", [b"IFY /secret", b"IFY", b"1.1"])
def test_a_request_whose_first_line_cannot_be_read_is_known_by_its_sid(first: bytes) -> None:
    wire = first[:3] + b"\r\nHOST: h\r\nSID: uuid:1\r\nSE"
    parser = new_parser()
    parser.feed(wire)
    parser.end()
    assert parser.begun is not None
    assert (parser.begun.method, parser.begun.target) == ("", "")
    assert list(parser.begun.headers)[-2:] == [(b"HOST", b"h"), (b"SID", b"uuid:1")]


def test_an_error_between_two_requests_is_about_neither() -> None:
    assert begun(NOTIFY + b"\r\n\r\n\r\n") is None
    assert begun(b"no \xff HTTP/1.1\r\n\r\n") is None
    assert begun(NOTIFY + b"\r\nno HTTP\r\n\r\n") is None


def test_a_request_that_the_end_of_the_stream_cuts_is_known() -> None:
    parser = new_parser()
    parser.feed(NOTIFY[:-1])
    parser.end()
    assert parser.begun is not None
    assert parser.begun.target == "/secret"
