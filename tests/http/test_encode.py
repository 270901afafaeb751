"""Messages to bytes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Request,
    Response,
)
from propchange.errors import LocalProtocolError
from propchange.http import (
    RequestParser,
    ResponseParser,
    encode_delivery,
    encode_request,
    encode_response,
)

END = Endpoint("192.0.2.7", 49_152)
SID = "uuid:5e8c2b1a-0000-4000-8000-000000000000"


def delivery(
    seq: int = 0,
    *,
    body: bytes = b"<e:propertyset/>",
    target: str = "/cb?x=1",
    authority: str = "192.0.2.7:49152",
    sid: str = SID,
    uda: str = "1.1",
) -> Delivery:
    url = DeliveryURL(f"http://{authority}{target}", END, authority, target)
    return Delivery(DeliveryAddress(sid, url, None, uda), seq, EventMessage((), body), None)


@pytest.mark.clause("SUB-33")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_subscriber_is_sent_no_chunks_whichever_http_it_spoke(version: str) -> None:
    publisher = PublisherProtocol(
        new_sid=lambda: SID, on_link=lambda _: (OnLink(ip_network("192.0.2.0/24")),)
    )
    publisher.add_service("/evt", {"A": EventedVariable("1")})
    parser = RequestParser(DEFAULT_LIMITS, peer=END, local=Endpoint("192.0.2.1", 80))
    (subscribe,) = parser.feed(
        f"SUBSCRIBE /evt HTTP/{version}\r\nHOST: 192.0.2.1\r\nNT: upnp:event\r\n"
        "CALLBACK: <http://192.0.2.7:49152/cb>\r\n\r\n".encode()
    )
    publisher.response_sent(publisher.receive_request(subscribe, 0.0), 0.0)
    (initial,) = publisher.take_deliveries(1)
    head, _, body = encode_delivery(initial).partition(b"\r\n\r\n")
    assert b"\r\nCONTENT-LENGTH: %d" % len(body) in head
    assert b"TRANSFER-ENCODING" not in head.upper()
    assert body == initial.message.body


@pytest.mark.clause("NOT-01")
@pytest.mark.clause("NOT-03")
@pytest.mark.clause("NOT-05")
@pytest.mark.clause("NOT-07")
@pytest.mark.clause("NOT-08")
@pytest.mark.clause("NOT-09")
def test_a_delivery_is_a_notify_request() -> None:
    assert encode_delivery(delivery(4_294_967_295)) == (
        b"NOTIFY /cb?x=1 HTTP/1.1\r\n"
        b"HOST: 192.0.2.7:49152\r\n"
        b'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'
        b"NT: upnp:event\r\n"
        b"NTS: upnp:propchange\r\n"
        b"SID: uuid:5e8c2b1a-0000-4000-8000-000000000000\r\n"
        b"SEQ: 4294967295\r\n"
        b"CONTENT-LENGTH: 16\r\n"
        b"\r\n"
        b"<e:propertyset/>"
    )


@pytest.mark.clause("NOT-04")
@pytest.mark.parametrize(
    ("uda", "line"),
    [
        ("1.0", b"CONTENT-TYPE: text/xml\r\n"),
        ("1.1", b'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'),
        ("2.0", b'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'),
    ],
)
def test_the_content_type_follows_the_architecture(uda: str, line: bytes) -> None:
    assert line in encode_delivery(delivery(uda=uda))


def test_the_head_of_deliveries_is_made_once() -> None:
    first = delivery(0)
    encoded = encode_delivery(first)
    head = first.address.head
    assert head is not None
    second = Delivery(first.address, 1, first.message, None)
    assert encode_delivery(second) == head + b"1" + encoded.removeprefix(head + b"0")
    assert first.address.head is head


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4_294_967_295) | st.just(1))
    )
)
def test_each_delivery_has_its_own_address_its_own_seq_and_its_message(
    deliveries: list[tuple[int, int, int]],
) -> None:
    """What is kept of earlier deliveries of an address or of a message belongs to no other one."""
    addresses = [delivery(sid=f"uuid:{number}").address for number in range(3)]
    messages = [EventMessage((), b"<%d/>" % 10**number) for number in range(3)]
    for sid, body, seq in deliveries:
        encoded = encode_delivery(Delivery(addresses[sid], seq, messages[body], None))
        head, _, rest = encoded.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")[-3:]
        size = len(messages[body].body)
        assert lines == [b"SID: uuid:%d" % sid, b"SEQ: %d" % seq, b"CONTENT-LENGTH: %d" % size]
        assert rest == messages[body].body


@pytest.mark.parametrize("bad", ["a b", "a\r\nX: y", "a\n", "a\0", "a\rb", "é", ""])
@pytest.mark.parametrize("field", ["target", "authority", "sid"])
def test_an_address_that_would_break_the_header_is_refused(field: str, bad: str) -> None:
    broken = delivery(**{field: bad})  # type: ignore[arg-type]  # the name is a parameter
    with pytest.raises(LocalProtocolError):
        encode_delivery(broken)
    assert broken.address.head is None


def test_a_delivery_is_what_the_request_parser_reads() -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=END, local=END)
    (request,) = parser.feed(encode_delivery(delivery(7)))
    assert (request.method, request.target, request.body) == (
        "NOTIFY",
        "/cb?x=1",
        b"<e:propertyset/>",
    )
    assert request.fields[b"seq"] == b"7"
    assert request.fields[b"sid"] == SID.encode()


# --- requests ----------------------------------------------------------------------------


@pytest.mark.clause("SUB-10")
def test_a_request_without_a_body_has_no_length() -> None:
    request = Request("SUBSCRIBE", "/e", [(b"HOST", b"192.0.2.1"), (b"NT", b"upnp:event")])
    assert encode_request(request) == (
        b"SUBSCRIBE /e HTTP/1.1\r\nHOST: 192.0.2.1\r\nNT: upnp:event\r\n\r\n"
    )
    assert encode_request(Request("GET", "/", (), http_version="1.0")) == b"GET / HTTP/1.0\r\n\r\n"


def test_a_request_with_a_body_gets_its_length_once() -> None:
    assert encode_request(Request("POST", "/c", (), b"abc")) == (
        b"POST /c HTTP/1.1\r\nCONTENT-LENGTH: 3\r\n\r\nabc"
    )
    assert encode_request(Request("POST", "/c", [(b"Content-Length", b"3")], b"abc")) == (
        b"POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X", b"a\r\nY: b"),
        (b"X", b"a\nb"),
        (b"X", b"a\rb"),
        (b"X", b"a\0b"),
        (b"X\r\nY", b"a"),
        (b"Content-Length", b"4"),
        (b"Content-Length", b"03"),
        (b"Transfer-Encoding", b"chunked"),
    ],
)
def test_a_header_that_would_break_the_message_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request(Request("POST", "/", [(name, value)], b"abc"))
    with pytest.raises(LocalProtocolError):
        encode_response(Response(200, [(name, value)], b"abc"))


@pytest.mark.parametrize("word", ["", "/a b", "/a\r\nX: y", "/a\n", "/é", "/a\0"])
def test_a_request_line_that_would_break_the_message_is_refused(word: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request(Request("GET", word, ()))
    with pytest.raises(LocalProtocolError):
        encode_request(Request(word, "/", ()))


# --- responses ---------------------------------------------------------------------------


@pytest.mark.clause("SUB-48")
def test_a_response_always_has_its_length() -> None:
    assert encode_response(Response(412)) == (
        b"HTTP/1.1 412 Precondition Failed\r\nCONTENT-LENGTH: 0\r\n\r\n"
    )
    assert encode_response(Response(200, [(b"CONTENT-LENGTH", b"0"), (b"SID", b"uuid:1")])) == (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\nSID: uuid:1\r\n\r\n"
    )
    assert encode_response(Response(200, (), b"<scpd/>")) == (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 7\r\n\r\n<scpd/>"
    )


@pytest.mark.parametrize("status", [100, 204])
def test_a_response_that_has_no_body_has_no_length_either(status: int) -> None:
    assert b"LENGTH" not in encode_response(Response(status))


def test_a_status_without_a_known_reason_is_sent_without_one() -> None:
    assert encode_response(Response(599)).startswith(b"HTTP/1.1 599 \r\n")


def test_the_answer_to_head_has_the_length_of_a_body_that_is_not_sent() -> None:
    assert encode_response(Response(200, (), b"<scpd/>"), head_only=True) == (
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 7\r\n\r\n"
    )


@pytest.mark.clause("SUB-32")
@pytest.mark.parametrize(
    ("http_version", "close", "line"),
    [
        ("1.1", False, b""),
        ("1.1", True, b"CONNECTION: close\r\n"),
        ("1.0", False, b"CONNECTION: keep-alive\r\n"),
        ("1.0", True, b""),
    ],
)
def test_the_connection_header_says_what_the_version_does_not(
    http_version: str, line: bytes, *, close: bool
) -> None:
    encoded = encode_response(Response(200, http_version=http_version, close=close))
    assert encoded == (
        b"HTTP/%b 200 OK\r\nCONTENT-LENGTH: 0\r\n%b\r\n" % (http_version.encode(), line)
    )
    (response,) = ResponseParser(DEFAULT_LIMITS).feed(encoded)
    assert response.close is close
    again = Response(200, response.headers, http_version=http_version, close=close)
    assert encode_response(again) == encoded


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8")))
@example(b"a\r\nCONTENT-LENGTH: 9")
@example(b"a\n b")
@example(b"\x85\xe2\x80\xa8")
def test_no_value_can_split_a_header_or_add_one(value: bytes) -> None:
    message = (b"X", value), (b"Y", b"z")
    for kind in ("request", "response"):
        try:
            if kind == "request":
                encoded = encode_request(Request("POST", "/", message, b"abc"))
            else:
                encoded = encode_response(Response(200, message, b"abc"))
        except LocalProtocolError:
            assert any(byte in value for byte in b"\r\n\0")
            continue
        head, _, body = encoded.partition(b"\r\n\r\n")
        names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
        assert names == [b"X", b"Y", b"CONTENT-LENGTH"]
        assert body == b"abc"


@given(st.text(max_size=20), st.sampled_from(["sid", "target", "authority"]))
@example("uuid:1\r\nNT: x", "sid")
@example("/a HTTP/1.1\r\nX: y", "target")
def test_no_value_of_a_subscriber_can_split_the_head_of_a_notify(text: str, field: str) -> None:
    try:
        encoded = encode_delivery(delivery(body=b"abc", **{field: text}))
    except LocalProtocolError:
        return
    assert encoded.count(b"\r\n") == encoded.count(b"\n") == encoded.count(b"\r")
    assert encoded.count(b"\r\n") == encode_delivery(delivery(body=b"abc")).count(b"\r\n")


# --- both ways ---------------------------------------------------------------------------

NAMES = st.sampled_from([b"SID", b"X", b"SERVER"])
VALUES = st.text('abc :;/"<>=é', max_size=8).map(lambda text: text.strip().encode())
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@given(HEADERS, st.binary(max_size=30), st.sampled_from(["/", "/a?b", "*"]))
def test_an_encoded_request_is_parsed_as_it_was(
    headers: list[tuple[bytes, bytes]], body: bytes, target: str
) -> None:
    parser = RequestParser(DEFAULT_LIMITS, peer=END, local=END)
    (request,) = parser.feed(encode_request(Request("NOTIFY", target, headers, body)))
    assert (request.method, request.target, request.body) == ("NOTIFY", target, body)
    assert list(request.headers)[: len(headers)] == headers


@given(HEADERS, st.binary(max_size=30), st.sampled_from([200, 400, 412, 503]))
def test_an_encoded_response_is_parsed_as_it_was(
    headers: list[tuple[bytes, bytes]], body: bytes, status: int
) -> None:
    (response,) = ResponseParser(DEFAULT_LIMITS).feed(
        encode_response(Response(status, headers, body))
    )
    assert (response.status, response.body) == (status, body)
    assert list(response.headers)[: len(headers)] == headers
