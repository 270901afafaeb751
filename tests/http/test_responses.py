"""Responses from bytes, as peers send them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Response
from propchange.http import ResponseParser, responses

OK = b"HTTP/1.1 200 OK\r\nSERVER: x UPnP/1.0 y\r\nCONTENT-LENGTH: 0\r\n\r\n"
BODY = b"<root/>\r\n\r\n"
WITH_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\n<root/>\r\n4;x\r\n\r\n\r\n\r\n0\r\nServer: forged\r\n\r\n"
)
CLOSING = b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n" + BODY
LIMIT_11 = replace(DEFAULT_LIMITS, body_bytes=11)


def told(response: Response) -> tuple[Any, ...]:
    return (
        response.status,
        list(response.headers),
        response.body,
        response.http_version,
        response.close,
    )


def parsed(
    wire: bytes, method: str = "", limits: Limits = DEFAULT_LIMITS, *, ended: bool = True
) -> tuple[list[tuple[Any, ...]], bool]:
    """The responses, however the bytes arrive, and whether an error came."""
    results = []
    for step in (len(wire), 1, 3):
        parser = ResponseParser(limits)
        parser.expect(method)
        found = []
        for start in range(0, len(wire), step):
            found += parser.feed(wire[start : start + step])
        if ended:
            last = parser.end()
            found += [last] if last else []
        if parser.error:
            assert parser.error.status == 0
        results.append(([told(r) for r in found], parser.error is not None))
    assert all(result == results[0] for result in results)
    return results[0]


def one(wire: bytes, method: str = "") -> Response:
    """The response in ``wire``, which must come out of it whole, byte by byte, and with the next
    one behind."""
    alone, error = parsed(wire, method)
    assert not error
    assert len(alone) == 1
    if alone[0][-1]:
        after = b"anything" if not method else OK
        parser = ResponseParser(DEFAULT_LIMITS)
        parser.expect(method)
        found = parser.feed(wire + after)
        assert parser.error is None
        assert [told(r) for r in found] in (alone, [])
    else:
        assert parsed(wire + OK, method) == ([*alone, *parsed(OK)[0]], False)
    response, close = alone[0][:4], alone[0][4]
    return Response(response[0], response[1], response[2], http_version=response[3], close=close)


def fails(wire: bytes, limits: Limits = DEFAULT_LIMITS) -> bool:
    found, error = parsed(wire, limits=limits, ended=False)
    assert found == []
    found, _ = parsed(OK + wire, limits=limits, ended=False)
    assert len(found) == 1
    return error


# --- what is accepted --------------------------------------------------------------------


def test_a_response_comes_out_as_it_was_sent() -> None:
    assert told(one(OK)) == (
        200,
        [(b"SERVER", b"x UPnP/1.0 y"), (b"CONTENT-LENGTH", b"0")],
        b"",
        "1.1",
        False,
    )


@pytest.mark.parametrize("wire", [WITH_BODY, CHUNKED])
@pytest.mark.parametrize("method", ["", "GET", "NOTIFY", "SUBSCRIBE"])
def test_a_body_with_a_length_is_read(wire: bytes, method: str) -> None:
    response = one(wire, method)
    assert response.body == BODY
    assert b"server" not in response.fields
    assert not response.close


def test_each_response_has_its_own_body() -> None:
    other = WITH_BODY.replace(b"root", b"main")
    found, error = parsed(WITH_BODY + CHUNKED + other + WITH_BODY)
    assert not error
    assert [response[2] for response in found] == [BODY, BODY, b"<main/>\r\n\r\n", BODY]


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    response = one(CLOSING)
    assert (response.body, response.close, response.http_version) == (BODY, True, "1.0")
    response = one(CLOSING.replace(b"1.0", b"1.1"))
    assert (response.body, response.close) == (BODY, True)


@pytest.mark.parametrize("method", ["NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"])
@pytest.mark.clause("SUB-49")
def test_an_answer_without_a_length_does_not_wait_for_the_end_of_the_connection(
    method: str,
) -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.expect(method)
    (response,) = parser.feed(b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\n\r\n<html>")
    assert (response.body, response.close) == (b"", True)
    assert parser.feed(b"</html>") == []
    assert parser.end() is None
    assert parser.error is None


@pytest.mark.parametrize("line", [b"Content-Length: 11", b"Transfer-Encoding: chunked", b"A: b"])
def test_the_answer_to_head_has_no_body(line: bytes) -> None:
    response = one(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n", "HEAD")
    assert (response.body, response.close) == (b"", False)


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_some_statuses_have_no_body(status: bytes) -> None:
    assert not one(b"HTTP/1.1 " + status + b" -\r\n\r\n").close
    assert not one(b"HTTP/1.1 " + status + b" -\r\nContent-Length: 9\r\n\r\n").close


def test_after_a_switch_of_protocols_nothing_is_http() -> None:
    wire = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    response = one(wire, "GET")
    assert (response.status, response.close) == (101, True)
    assert response.fields[b"upgrade"] == b"x"


@pytest.mark.parametrize(
    ("line", "close"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close", True),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive", False),
        (b"HTTP/1.0 200 OK", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive", False),
        (b"HTTP/0.9 200 OK", True),
        (b"HTTP/2.0 200 OK", False),
    ],
)
def test_close_tells_whether_the_connection_can_be_used_again(line: bytes, *, close: bool) -> None:
    assert one(line + b"\r\nContent-Length: 0\r\n\r\n", "NOTIFY").close is close


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 -\r\nContent-Length: 5\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\n\n",
        b"HTTP/1.1 100 -\r\n\r\n" * 16,
    ],
)
def test_interim_responses_are_passed_over(interim: bytes) -> None:
    assert one(interim + WITH_BODY).body == BODY


def test_interim_responses_are_counted_anew_for_each_response() -> None:
    found, error = parsed((b"HTTP/1.1 100 -\r\n\r\n" * 16 + OK) * 3)
    assert (len(found), error) == (3, False)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 412", b"HTTP/1.1 412 ", b"HTTP/1.1  412 \xff\x01", b"HTTP/1.1\t412\tno"]
)
def test_the_reason_does_not_matter(start: bytes) -> None:
    assert one(start + b"\r\nContent-Length: 0\r\n\r\n").status == 412


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\nSID: uuid:1\nContent-Length: 11\n\n",
        b"HTTP/1.1 200 OK\r\nSID : uuid:1\r\nContent-Length : 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSID:\r\n uuid:1\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSID: uuid:1\0\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nwhat is this\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nContent-Length: 11\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\nSID: uuid:1\nContent-Length: 11\r\n\n",
    ],
)
def test_liberties_are_taken(
    wire: bytes, monkeypatch: pytest.MonkeyPatch, *, checked: bool
) -> None:
    """With every httptools alike."""
    monkeypatch.setattr(responses, "NEEDS_STRICT_CHECK", checked)
    response = one(wire + BODY)
    assert response.body == BODY
    assert response.fields[b"sid"].strip() == b"uuid:1"


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: 3\r\nTransfer-Encoding: CHUNKED",
    ],
)
def test_chunks_go_before_a_length(lines: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n"
    assert one(head + CHUNKED.partition(b"\r\n\r\n")[2]).body == BODY


def test_some_empty_lines_before_a_response_are_passed_over() -> None:
    assert told(one(b"\r\n\r\n" + OK)) == told(one(OK))
    found, error = parsed((OK + b"\r\n") * 9)
    assert (len(found), error) == (9, False)


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"HTTP/11.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"NOTIFY / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\0\r\n\r\n",
        b"\r\n" * 3,
        b"HTTP/1.1 100 -\r\n\r\n" * 17 + OK,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 65 + b"\r\n",
        b"H" * 20_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: "chunked"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    ],
)
def test_what_cannot_be_understood_is_an_error(wire: bytes) -> None:
    assert fails(wire)


@pytest.mark.parametrize("wire", [WITH_BODY, CHUNKED, CLOSING])
def test_a_body_beyond_the_limit_is_an_error(wire: bytes) -> None:
    found, error = parsed(wire, limits=LIMIT_11)
    assert (len(found), error) == (1, False)
    assert fails(wire, replace(LIMIT_11, body_bytes=10))


def test_a_header_may_fill_the_limits() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n"
    room = DEFAULT_LIMITS.header_bytes - len(head)
    found, error = parsed(head.replace(b"X: ", b"X: " + b"y" * room))
    assert (len(found), error) == (1, False)
    assert fails(head.replace(b"X: ", b"X: y" + b"y" * room))
    found, error = parsed(head.replace(b"X: ", b"\r\n".join([b"X: y"] * 63)))
    assert (len(found), error) == (1, False)


def test_no_more_is_kept_of_a_head_than_its_limit() -> None:
    parser = ResponseParser(replace(DEFAULT_LIMITS, header_bytes=100))
    parser.feed(b"HTTP/1.1 200 OK\r\n")
    assert parser.feed(b"x" * 1_000_000) == []
    assert parser.error is not None
    assert not parser.started


# --- the state between two calls ---------------------------------------------------------


def test_the_end_of_the_stream_inside_a_response_is_an_error() -> None:
    for wire in (OK, WITH_BODY, CHUNKED, b"HTTP/1.1 100 -\r\n\r\n" + OK):
        for cut in range(1, len(wire)):
            parser = ResponseParser(DEFAULT_LIMITS)
            assert parser.feed(wire[:cut]) == []
            assert parser.started, (wire, cut)
            assert parser.end() is None
            assert parser.error is not None, (wire, cut)
            assert not parser.started
            assert parser.feed(wire[cut:]) == []


def test_started_tells_that_no_byte_of_an_answer_has_come() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    assert not parser.started
    parser.feed(OK + b"\r\n")
    assert not parser.started
    assert parser.end() is None
    assert parser.error is None


def test_the_same_answer_again_is_the_same_response() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    (first,) = parser.feed(OK)
    assert parser.feed(OK) == [first]
    assert parser.feed(OK) is not parser.feed(OK)
    (other,) = parser.feed(WITH_BODY)
    assert other.body == BODY
    (again,) = parser.feed(OK)
    assert again is not first
    assert told(again) == told(first)


def test_what_was_an_answer_once_may_be_a_body_now() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.feed(OK)
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(OK)) == []
    (response,) = parser.feed(OK)
    assert response.body == OK


def test_only_a_whole_answer_is_remembered() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    for _ in range(2):
        assert parser.feed(OK[:-2]) == []
        assert len(parser.feed(OK[-2:])) == 1
    assert parser.feed(OK[-2:]) == []
    assert not parser.started


def test_the_same_answer_may_mean_another_thing_to_another_method() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.expect("HEAD")
    assert len(parser.feed(wire)) == 1
    parser.expect("GET")
    assert parser.feed(wire) == []
    assert parser.started


@pytest.mark.parametrize(
    ("wire", "again"),
    [
        (OK + OK, 2),
        (OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"), 0),
        (OK.replace(b"x UPnP", b"x" * 2_000), 1),
    ],
)
def test_what_is_not_worth_remembering_is_parsed_again(wire: bytes, again: int) -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    first = parser.feed(wire)
    second = parser.feed(wire)
    assert len(second) == again
    assert not any(response in first for response in second)


def test_an_answer_that_another_connection_has_brought_is_the_same_object() -> None:
    known: dict[bytes, Response] = {}
    first, second = ResponseParser(DEFAULT_LIMITS, known), ResponseParser(DEFAULT_LIMITS, known)
    (response,) = first.feed(OK)
    assert second.feed(OK) == [response]
    assert second.feed(OK)[0] is response
    # In the middle of an answer the same bytes mean another thing.
    second.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(OK))
    (whole,) = second.feed(OK)
    assert whole.body == OK
    second.feed(b"\r")
    assert second.feed(OK) == []
    assert second.error is not None
    second.end()
    assert second.feed(OK) == []


def test_the_answers_of_other_connections_are_few() -> None:
    known: dict[bytes, Response] = {}
    for number in range(1_000):
        ResponseParser(DEFAULT_LIMITS, known).feed(OK.replace(b"UPnP", b"%d" % number))
    assert len(known) < 100
    latest = OK.replace(b"UPnP", b"999")
    assert ResponseParser(DEFAULT_LIMITS, known).feed(latest)[0] is known[latest]


def test_nothing_is_remembered_beyond_the_end() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.feed(OK)
    parser.end()
    assert parser.feed(OK) == []


def test_responses_that_nobody_has_asked_for_are_not_parsed() -> None:
    parser = ResponseParser(DEFAULT_LIMITS)
    assert len(parser.feed(OK * 10_000)) == 16
    assert parser.started
    assert parser.rest == len(OK) * 9_984
    assert len(parser.feed(b"")) == 16
    assert parser.feed(b"x" + OK)[0].status == 200
    assert parser.rest == len(OK) * 9_952 + 1 + len(OK)


# --- whatever arrives --------------------------------------------------------------------

PIECES = st.sampled_from(
    [OK, OK, WITH_BODY, CHUNKED, CLOSING, b"HTTP/1.1 100 -\r\n\r\n", b"\r\n", b"\n", b"X: y\n"]
)


@given(
    st.lists(PIECES | st.binary(max_size=12), max_size=6).map(b"".join),
    st.lists(st.integers(1, 90), min_size=1, max_size=8),
    st.sampled_from(["", "NOTIFY", "HEAD"]),
)
def test_the_same_responses_come_out_however_the_bytes_are_cut(
    wire: bytes, cuts: list[int], method: str
) -> None:
    whole, parser = ResponseParser(DEFAULT_LIMITS), ResponseParser(DEFAULT_LIMITS)
    whole.expect(method)
    parser.expect(method)
    expected = [told(response) for response in whole.feed(wire)]
    found = []
    position = index = 0
    while position < len(wire):
        step = cuts[index % len(cuts)]
        found += [told(response) for response in parser.feed(wire[position : position + step])]
        position += step
        index += 1
    assert found == expected
    assert parser.started == whole.started
    last, whole_last = parser.end(), whole.end()
    assert (last and told(last)) == (whole_last and told(whole_last))
    assert (parser.error is None) == (whole.error is None)
