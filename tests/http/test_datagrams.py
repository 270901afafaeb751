"""Multicast datagrams: bytes to requests, messages to bytes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.message import (
    Datagram,
    MulticastMessage,
    MulticastScope,
    read_multicast,
)
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.http import encode_datagram, parse_datagram

MESSAGE = MulticastMessage(
    "uuid:1::urn:schemas-upnp-org:service:SwitchPower:1",
    "urn:upnp-org:serviceId:SwitchPower",
    7,
    "upnp:/info",
    12,
    b"<body/>",
)
WIRE = (
    b"NOTIFY * HTTP/1.1\r\n"
    b"HOST: 239.255.255.246:7900\r\n"
    b'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'
    b"USN: uuid:1::urn:schemas-upnp-org:service:SwitchPower:1\r\n"
    b"SVCID: urn:upnp-org:serviceId:SwitchPower\r\n"
    b"NT: upnp:event\r\n"
    b"NTS: upnp:propchange\r\n"
    b"SEQ: 7\r\n"
    b"LVL: upnp:/info\r\n"
    b"BOOTID.UPNP.ORG: 12\r\n"
    b"CONTENT-LENGTH: 7\r\n"
    b"\r\n"
    b"<body/>"
)


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Request:
    return parse_datagram(data, limits)


def refusal(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(RemoteProtocolError) as raised:
        parse(data, limits)
    return raised.value.args[0]


# --- writing ---


@pytest.mark.clause("MC-02", "MC-03", "MC-04", "MC-05", "MC-08")
def test_a_message_is_written_as_the_architecture_prints_it() -> None:
    assert encode_datagram(Datagram(MESSAGE, MulticastScope.IPV4)) == WIRE


@pytest.mark.clause("V6-08")
def test_over_ipv6_host_is_the_group_in_brackets() -> None:
    data = encode_datagram(Datagram(MESSAGE, MulticastScope.SITE_LOCAL))
    assert data == WIRE.replace(b"239.255.255.246", b"[FF05::130]")


@given(
    st.builds(
        MulticastMessage,
        usn=st.just(MESSAGE.usn),
        svcid=st.just(MESSAGE.svcid),
        seq=st.integers(0, 2**32 - 1),
        level=st.sampled_from(["upnp:/info", "müller.example:/Tür"]),
        boot_id=st.integers(0, 2**31 - 1),
        body=st.binary(),
    ),
    st.sampled_from(MulticastScope),
)
@pytest.mark.clause("MC-14")
def test_the_core_knows_how_long_a_datagram_is_and_reads_it_again(
    message: MulticastMessage, scope: MulticastScope
) -> None:
    data = encode_datagram(Datagram(message, scope))
    assert len(data) == message.payload_bytes(scope)
    assert read_multicast(parse(data)) == message


def test_what_would_break_the_message_is_not_written() -> None:
    broken = replace(MESSAGE, level="upnp:/info\r\nX: y")
    with pytest.raises(LocalProtocolError, match="cannot carry line ends"):
        encode_datagram(Datagram(broken, MulticastScope.IPV4))


# --- reading ---


def test_a_datagram_is_a_request_from_its_source() -> None:
    peer, local = Endpoint("10.0.0.1", 50_000), Endpoint("10.0.0.2", 7900)
    request = parse_datagram(WIRE, DEFAULT_LIMITS, peer=peer, local=local)
    assert (request.method, request.target, request.http_version) == ("NOTIFY", "*", "1.1")
    assert (request.peer, request.local) == (peer, local)
    assert request.headers[0] == (b"HOST", b"239.255.255.246:7900")
    assert request.body == b"<body/>"
    assert not request.keep_alive


@pytest.mark.clause("AMB-10", "MC-03")
def test_http_1_0_is_read() -> None:
    request = parse(WIRE.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert request.http_version == "1.0"
    assert read_multicast(request) == MESSAGE


@pytest.mark.clause("AMB-10", "MC-04")
def test_without_content_length_the_body_is_the_rest() -> None:
    request = parse(WIRE.replace(b"CONTENT-LENGTH: 7\r\n", b""))
    assert read_multicast(request) == MESSAGE


@pytest.mark.clause("MC-04")
def test_what_stands_behind_the_content_length_is_dropped() -> None:
    assert parse(WIRE + b"\r\n\0").body == b"<body/>"


@pytest.mark.clause("MC-13")
def test_names_are_read_in_any_case_and_values_without_blanks_around_them() -> None:
    request = parse(b"NOTIFY * HTTP/1.1\r\nsEq :\t 7 \r\n\r\n")
    assert request.fields == {b"seq": b"7"}
    assert request.body == b""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no empty line within 16384 bytes"),
        (WIRE.partition(b"\r\n\r\n")[0], "no empty line within 16384 bytes"),
        (WIRE.replace(b"\r\n", b"\n"), "no empty line within 16384 bytes"),
        (b"\r\n\r\n", "the start line is not that of a request"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "the start line is not that of a request"),
        (b"NOTIFY * HTTP/2.0\r\n\r\n", "the start line is not that of a request"),
        (b"NOTIFY  * HTTP/1.1\r\n\r\n", "the start line is not that of a request"),
        (b"NOTIFY * HTTP/1.1\r\nseq 7\r\n\r\n", "a header line has no name"),
        (b"NOTIFY * HTTP/1.1\r\n: 7\r\n\r\n", "a header line has no name"),
        (b"NOTIFY * HTTP/1.1\r\nA: 1\r\n 2\r\n\r\n", "a header line has no name"),
        (b"NOTIFY * HTTP/1.1\r\nA: \0\r\n\r\n", "a header line has no name"),
        (b"NOTIFY * HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", "a header line has no name"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: 8"), "shorter than its CONTENT-LENGTH says"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: -7"), "CONTENT-LENGTH is no number"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: +7"), "CONTENT-LENGTH is no number"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: "), "CONTENT-LENGTH is no number"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: 7\r\ncontent-length: 7"), "is no number"),
        (WIRE.replace(b"LENGTH: 7", b"LENGTH: " + b"9" * 5000), "CONTENT-LENGTH is no number"),
        (WIRE.replace(b"SEQ", b"Transfer-Encoding: chunked\r\nSEQ"), "is not sent in chunks"),
    ],
)
@pytest.mark.clause("MC-13")
def test_what_has_no_such_form_is_refused(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (replace(DEFAULT_LIMITS, received_datagram_bytes=len(WIRE) - 1), "longer than 2"),
        (replace(DEFAULT_LIMITS, header_bytes=len(WIRE) - 9), "no empty line within 2"),
        (replace(DEFAULT_LIMITS, header_count=9), "more than 9 header lines"),
        (replace(DEFAULT_LIMITS, body_bytes=6), "a body of more than 6 bytes"),
    ],
)
def test_a_datagram_beyond_a_limit_is_refused(limits: Limits, reason: str) -> None:
    assert reason in refusal(WIRE, limits)


def test_a_datagram_at_every_limit_is_read() -> None:
    limits = replace(
        DEFAULT_LIMITS,
        received_datagram_bytes=len(WIRE),
        header_bytes=len(WIRE) - 7,
        header_count=10,
        body_bytes=7,
    )
    assert read_multicast(parse(WIRE, limits)) == MESSAGE


pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [*WIRE.splitlines(keepends=True), b"\r\n", b"Content-Length: ", b"9", b":", b"\0"]
    ),
)


@given(st.lists(pieces, max_size=20).map(b"".join))
def test_any_bytes_are_a_request_or_the_peers_mistake(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert isinstance(read_multicast(parse(data)), MulticastMessage)


@given(st.integers(0, len(WIRE) - 1), st.integers(0, 255))
def test_any_changed_byte_is_a_request_or_the_peers_mistake(at: int, byte: int) -> None:
    with suppress(RemoteProtocolError):
        changed = WIRE[:at] + bytes([byte]) + WIRE[at + 1 :]
        assert isinstance(read_multicast(parse(changed)), MulticastMessage)


@given(st.integers(0, len(WIRE) - 1))
def test_a_datagram_that_was_cut_short_is_refused(end: int) -> None:
    assert refusal(WIRE[:end])
