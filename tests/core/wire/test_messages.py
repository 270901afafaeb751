from __future__ import annotations

import pytest

from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Request,
    Response,
    address_block,
    canonical_host,
    parse_address,
)


@pytest.mark.clause("V6-06")
@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        (Endpoint("10.0.0.2", 80), "10.0.0.2:80"),
        (Endpoint("fe80::1", 9000, 3), "[fe80::1]:9000"),
    ],
)
def test_an_endpoint_reads_as_an_authority_without_its_scope(endpoint, shown) -> None:
    assert str(endpoint) == shown


@pytest.mark.clause("V6-06")
@pytest.mark.parametrize(
    ("host", "scope", "endpoint"),
    [
        ("192.0.2.1", 0, Endpoint("192.0.2.1", 80)),
        ("192.0.2.1", 7, Endpoint("192.0.2.1", 80)),
        ("2001:db8:0:0::1", 0, Endpoint("2001:db8::1", 80)),
        ("2001:DB8::1", 7, Endpoint("2001:db8::1", 80)),
        ("fe80::1", 7, Endpoint("fe80::1", 80, 7)),
        ("fe80::1%eth0", 7, Endpoint("fe80::1", 80, 7)),
        ("::ffff:192.0.2.1", 7, Endpoint("192.0.2.1", 80)),
        ("::ffff:169.254.0.1", 7, Endpoint("169.254.0.1", 80)),
        ("device.example", 7, Endpoint("device.example", 80)),
    ],
)
def test_an_endpoint_has_no_zone_no_mapped_address_and_a_scope_where_it_means_something(
    host: str, scope: int, endpoint: Endpoint
) -> None:
    assert Endpoint.of(host, 80, scope) == endpoint
    assert canonical_host(host) == endpoint.host


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match=r"device\.example"):
        parse_address("device.example")


@pytest.mark.clause("SUB-25")
@pytest.mark.parametrize("message", [Request, Response])
def test_header_names_are_found_in_any_case_and_values_without_white_space(message) -> None:
    headers = [(b"Sid", b" uuid:A "), (b"TIMEOUT", b"Second-1")]
    made = message("NOTIFY", "/", headers) if message is Request else message(200, headers)
    assert made.fields == {b"sid": b"uuid:A", b"timeout": b"Second-1"}
    assert made.fields is made.fields


@pytest.mark.clause("AMB-12")
def test_repeated_headers_are_joined_and_named() -> None:
    headers = [(b"CALLBACK", b"<a>"), (b"callback", b" <b>"), (b"SID", b"x"), (b"Callback", b"<c>")]
    request = Request("SUBSCRIBE", "/", headers)
    assert request.repeated == {b"callback"}
    assert request.fields[b"callback"] == b"<a>, <b>, <c>"
    response = Response(200, headers)
    assert response.fields[b"callback"] == b"<a>, <b>, <c>"


def test_the_repeated_names_are_known_whichever_is_asked_first() -> None:
    headers = [(b"A", b"1"), (b"a", b"2"), (b"B", b"3"), (b"b", b"4")]
    request = Request("GET", "/", headers)
    assert request.fields == {b"a": b"1, 2", b"b": b"3, 4"}
    assert request.repeated == {b"a", b"b"}
    assert Request("GET", "/", [(b"A", b"1")]).repeated == frozenset()


def test_messages_say_what_they_are() -> None:
    request = Request("NOTIFY", "/x", (), peer=Endpoint("10.0.0.1", 5))
    assert repr(request).startswith("<Request NOTIFY /x from ")
    assert repr(Response(412)) == "<Response 412>"
    message = EventMessage((("A", "1"),), b"<xml/>")
    assert repr(message) == "<EventMessage {'A': '1'}>"
    url = DeliveryURL("http://10.0.0.2/e", Endpoint("10.0.0.2", 80), "10.0.0.2", "/e")
    delivery = Delivery(DeliveryAddress("uuid:1", url, None, "1.1"), 7, message, object())
    assert repr(delivery) == "<Delivery uuid:1 SEQ 7 to http://10.0.0.2/e>"


def test_what_is_made_for_many_begins_without_the_bytes_that_http_will_keep_in_it() -> None:
    message = EventMessage((("A", "1"),), b"<xml/>")
    url = DeliveryURL("http://10.0.0.2/e", Endpoint("10.0.0.2", 80), "10.0.0.2", "/e")
    address = DeliveryAddress("uuid:1", url, Endpoint("10.0.0.1", 0), "2.0")
    delivery = Delivery(address, 0, message, None)
    assert (message.updates, address.head, delivery.fresh) == (1, None, False)
    assert (address.source, address.uda) == (Endpoint("10.0.0.1", 0), "2.0")


def test_a_request_has_the_defaults_of_http_1_1() -> None:
    request = Request("SUBSCRIBE", "/", ())
    assert (request.body, request.http_version, request.keep_alive) == (b"", "1.1", True)
    assert (request.peer, request.local) == (None, None)
    response = Response(200)
    assert (response.headers, response.body, response.close, response.receipt) == (
        (),
        b"",
        False,
        None,
    )
    assert response.http_version == "1.1"


class Head:
    """A head with a SEQ and a CONTENT-LENGTH that are open."""

    asked = 0

    def headers(self, seq: bytes, length: bytes) -> list[tuple[bytes, bytes]]:
        self.asked += 1
        return [(b"SEQ", seq), (b"A", b"1"), (b"A", b"2"), (b"CONTENT-LENGTH", length)]


@pytest.mark.parametrize(("digits", "length"), [(b"", b""), (b"02", b"005")])
@pytest.mark.parametrize("first_look", ["headers", "fields", "repeated"])
def test_a_repeated_request_differs_in_its_numbers_and_its_body_alone(
    first_look: str, digits: bytes, length: bytes
) -> None:
    peer, local = Endpoint("10.0.0.1", 5), Endpoint("10.0.0.2", 6)
    head = Head()
    first = Request(
        "NOTIFY",
        "/x",
        head.headers(b"1", b"3"),
        b"old",
        peer=peer,
        local=local,
        http_version="1.0",
        keep_alive=False,
    )
    assert first.head is None
    assert first.fields == {b"seq": b"1", b"a": b"1, 2", b"content-length": b"3"}
    again = first.repeat(head, 2, digits, length, b"newer")
    assert head.asked == 1
    getattr(again, first_look)
    digits, length = digits or b"2", length or b"5"
    assert again.headers == head.headers(digits, length)
    assert again.fields == {b"seq": digits, b"a": b"1, 2", b"content-length": length}
    assert again.repeated == first.repeated == {b"a"}
    assert again.headers is again.headers
    assert (again.head, again.seq, again.body) == (head, 2, b"newer")
    for name in ("method", "target", "peer", "local", "http_version", "keep_alive"):
        assert getattr(again, name) == getattr(first, name)


@pytest.mark.parametrize(
    ("host", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("device.lan", "device.lan"),
        ("", ""),
    ],
)
def test_a_host_can_take_any_address_of_its_block(host: str, block: str) -> None:
    assert address_block(host) == block
