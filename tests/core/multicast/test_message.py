"""The headers and the destination of a multicast event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.message import (
    MulticastMessage,
    MulticastScope,
    ServiceIdentity,
    read_multicast,
)
from propchange.core.values.state_variables import STANDARD_LEVELS
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import RemoteProtocolError

IDENTITY = ServiceIdentity(
    "uuid:4d696e69-0000-4000-8000-000000000001",
    "urn:schemas-upnp-org:service:SwitchPower:1",
    "urn:upnp-org:serviceId:SwitchPower",
)
MESSAGE = MulticastMessage(IDENTITY.usn, IDENTITY.service_id, 7, "upnp:/info", 12, b"<body/>")


def headers(**changes: str | None) -> list[tuple[bytes, bytes]]:
    """Those of MESSAGE; a keyword, with _ for . in it, changes one, and None takes it out."""
    changed = {name.replace("_", "."): value for name, value in changes.items()}
    pairs = []
    for name, value in MESSAGE.headers(MulticastScope.IPV4):
        new = changed.pop(name.decode(), value.decode())
        if new is not None:
            pairs.append((name, new.encode("latin-1")))
    assert not changed
    return pairs


def read(**changes: str | None) -> MulticastMessage:
    return read_multicast(Request("NOTIFY", "*", headers(**changes), MESSAGE.body))


def refusal(**changes: str | None) -> str:
    with pytest.raises(RemoteProtocolError) as raised:
        read(**changes)
    assert raised.value.clause == "UDA 2.0 §4.3.3"
    return raised.value.args[0]


# --- where it goes ---


@pytest.mark.clause("MC-02")
def test_over_ipv4_it_goes_to_the_group_and_port_of_eventing_not_of_ssdp() -> None:
    assert MulticastScope.IPV4.group == Endpoint("239.255.255.246", 7900)
    assert dict(MESSAGE.headers(MulticastScope.IPV4))[b"HOST"] == b"239.255.255.246:7900"


@pytest.mark.clause("V6-08")
@pytest.mark.parametrize(
    ("scope", "host"),
    [
        (MulticastScope.LINK_LOCAL, b"[FF02::130]:7900"),
        (MulticastScope.SITE_LOCAL, b"[FF05::130]:7900"),
        (MulticastScope.GLOBAL, b"[FF0E::130]:7900"),
    ],
)
def test_over_ipv6_it_goes_to_the_group_of_its_scope(scope: MulticastScope, host: bytes) -> None:
    assert dict(MESSAGE.headers(scope))[b"HOST"] == host
    assert scope.group.port == 7900


@pytest.mark.clause("MC-19")
def test_only_host_differs_between_scopes() -> None:
    ways = [dict(MESSAGE.headers(scope)) for scope in MulticastScope]
    assert len({way.pop(b"HOST") for way in ways}) == 4
    assert all(way == ways[0] for way in ways)


def test_ipv6_leaves_a_datagram_less_room() -> None:
    assert MulticastScope.IPV4.most_bytes(DEFAULT_LIMITS) == 1472
    assert MulticastScope.LINK_LOCAL.most_bytes(DEFAULT_LIMITS) == 1452


# --- what it says ---


@pytest.mark.clause("MC-03", "MC-04", "MC-05", "MC-06", "MC-07", "MC-08", "MC-09", "MC-10", "MC-11")
def test_a_message_has_the_headers_of_the_architecture_in_its_order() -> None:
    request = MESSAGE.request(MulticastScope.IPV4)
    assert (request.method, request.target, request.body) == ("NOTIFY", "*", b"<body/>")
    assert list(request.headers) == [
        (b"HOST", b"239.255.255.246:7900"),
        (b"CONTENT-TYPE", b'text/xml; charset="utf-8"'),
        (
            b"USN",
            b"uuid:4d696e69-0000-4000-8000-000000000001::urn:schemas-upnp-org:service:SwitchPower:1",
        ),
        (b"SVCID", b"urn:upnp-org:serviceId:SwitchPower"),
        (b"NT", b"upnp:event"),
        (b"NTS", b"upnp:propchange"),
        (b"SEQ", b"7"),
        (b"LVL", b"upnp:/info"),
        (b"BOOTID.UPNP.ORG", b"12"),
        (b"CONTENT-LENGTH", b"7"),
    ]


@pytest.mark.clause("MC-06")
@pytest.mark.parametrize(
    ("service_type", "in_usn"),
    [
        ("urn:example.co.uk:service:Door.Bell:1", "urn:example-co-uk:service:Door.Bell:1"),
        (
            "urn:schemas-upnp-org:service:AVTransport:2",
            "urn:schemas-upnp-org:service:AVTransport:2",
        ),
        ("Something.else", "Something.else"),
    ],
)
def test_dots_of_a_vendors_domain_become_hyphens(service_type: str, in_usn: str) -> None:
    assert ServiceIdentity("uuid:1", service_type, "x").usn == f"uuid:1::{in_usn}"


@pytest.mark.parametrize("bad", ["", "two words", "line\r\nend", "\0"])
def test_an_identity_that_no_header_can_carry_is_refused(bad: str) -> None:
    for parts in ((bad, "t", "i"), ("u", bad, "i"), ("u", "t", bad)):
        with pytest.raises(ValueError, match="is no UDN, service type or serviceId"):
            ServiceIdentity(*parts)


# --- reading ---


def test_what_is_written_is_read_again() -> None:
    for scope in MulticastScope:
        assert read_multicast(MESSAGE.request(scope)) == MESSAGE


@given(
    st.builds(
        MulticastMessage,
        usn=st.just(IDENTITY.usn),
        svcid=st.just(IDENTITY.service_id),
        seq=st.integers(0, 2**32 - 1),
        level=st.sampled_from([*STANDARD_LEVELS, "müller.example:/Tür"]),
        boot_id=st.integers(0, 2**31 - 1),
        body=st.binary(),
    ),
    st.sampled_from(MulticastScope),
)
def test_every_message_is_read_as_it_was_written(
    message: MulticastMessage, scope: MulticastScope
) -> None:
    assert read_multicast(message.request(scope)) == message


@pytest.mark.clause("MC-09")
def test_leading_zeros_of_seq_are_ignored() -> None:
    assert read(SEQ="007").seq == 7
    assert read(SEQ="0" * 500 + "12").seq == 12


@pytest.mark.clause("MC-10")
@pytest.mark.parametrize("level", ["upnp:/loud", "whatever it is", "example.org:/x"])
def test_an_unknown_level_is_opaque(level: str) -> None:
    assert read(LVL=level).level == level


def test_a_message_without_a_level_has_an_empty_one() -> None:
    assert read(LVL=None).level == ""


@pytest.mark.clause("AMB-10", "MC-03")
def test_http_1_0_in_the_start_line_is_accepted() -> None:
    request = Request("NOTIFY", "*", headers(), MESSAGE.body, http_version="1.0")
    assert read_multicast(request) == MESSAGE


def test_host_and_content_type_do_not_matter() -> None:
    assert read(HOST="elsewhere", **{"CONTENT-TYPE": None}) == MESSAGE


@pytest.mark.clause("MC-13")
def test_headers_that_are_not_known_are_ignored() -> None:
    request = Request("NOTIFY", "*", [*headers(), (b"01-X", b"1"), (b"01-X", b"2")], MESSAGE.body)
    assert read_multicast(request) == MESSAGE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NT": None}, "NT is not upnp:event"),
        ({"NT": "upnp:rootdevice"}, "NT is not upnp:event"),
        ({"NTS": None}, "NTS is not upnp:propchange"),
        ({"NTS": "ssdp:alive"}, "NTS is not upnp:propchange"),
        ({"USN": None}, "USN or SVCID is missing"),
        ({"SVCID": ""}, "USN or SVCID is missing"),
        ({"SVCID": "\xff"}, "USN, SVCID or LVL is not UTF-8"),
        ({"SEQ": None}, "SEQ is missing"),
        ({"SEQ": "-1"}, "SEQ is no number from 0 to 4294967295"),
        ({"SEQ": "4294967296"}, "SEQ is no number from 0 to 4294967295"),
        ({"BOOTID_UPNP_ORG": None}, "BOOTID.UPNP.ORG is missing"),
        ({"BOOTID_UPNP_ORG": "x"}, "BOOTID.UPNP.ORG is no number from 0 to 4294967295"),
    ],
)
def test_what_is_no_multicast_event_is_refused(changes: dict[str, str], reason: str) -> None:
    assert refusal(**changes) == reason


@pytest.mark.parametrize("line", [("GET", "*"), ("NOTIFY", "/path")])
def test_another_start_line_is_refused(line: tuple[str, str]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"the start line is not NOTIFY \*"):
        read_multicast(Request(*line, headers(), MESSAGE.body))


def test_a_header_that_counts_may_not_be_repeated() -> None:
    request = Request("NOTIFY", "*", [*headers(), (b"Seq", b"8")], MESSAGE.body)
    with pytest.raises(RemoteProtocolError, match="SEQ stands there more than once"):
        read_multicast(request)
