"""SSDP messages: written and read."""

from __future__ import annotations

import contextlib
import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.discovery.advertisement import Advertisement, AdvertisementKind
from propchange.core.discovery.search_answers import Search, Target
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from propchange.upnp.ssdp import (
    IPV6_LINK_LOCAL_GROUP,
    Announcement,
    SSDPMessage,
    announced_targets,
    read_advertisement,
    read_datagram,
    read_search,
    search_request,
)

UDN = "uuid:00000000-0000-0000-0000-00000000000a"
LOCATION = "http://192.168.1.20:49152/d.xml"
SERVER = "Linux/6.1 UPnP/1.1 propchange/0.1"
ROOT = Target("upnp:rootdevice", f"{UDN}::upnp:rootdevice")


def pairs(text: str) -> list[tuple[bytes, bytes]]:
    lines = [line.strip() for line in text.strip().splitlines()]
    return [
        (name.encode(), value.strip().encode())
        for name, _, value in (x.partition(":") for x in lines)
    ]


def read(text: str, **options: Any) -> Advertisement:
    return read_advertisement(pairs(text), **options)


ALIVE = f"""
    HOST: 239.255.255.250:1900
    CACHE-CONTROL: max-age = 1800
    LOCATION: {LOCATION}
    NT: upnp:rootdevice
    NTS: ssdp:alive
    SERVER: {SERVER}
    USN: {UDN}::upnp:rootdevice
    BOOTID.UPNP.ORG: 7
    CONFIGID.UPNP.ORG: 3
    SEARCHPORT.UPNP.ORG: 50000
    SECURELOCATION.UPNP.ORG: https://192.168.1.20:443/d.xml
    OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01
    01-NLS: abc
"""


def test_an_alive_with_all_that_uda_knows() -> None:
    assert read(ALIVE) == Advertisement(
        kind=AdvertisementKind.ALIVE,
        udn=UDN,
        target="upnp:rootdevice",
        location=LOCATION,
        max_age=1800.0,
        server=SERVER,
        boot_id=7,
        config_id=3,
        search_port=50_000,
        secure_location="https://192.168.1.20:443/d.xml",
        nls="abc",
    )


def without(name: str) -> str:
    return "\n".join(line for line in ALIVE.splitlines() if not line.strip().startswith(name))


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (without("CACHE"), "max_age", None),
        (ALIVE.replace("max-age = 1800", "MAX-AGE=100"), "max_age", 100.0),
        (ALIVE.replace("max-age = 1800", "no-cache, max-age=60"), "max_age", 60.0),
        (ALIVE.replace("max-age = 1800", "max-age=-1"), "max_age", None),
        (ALIVE.replace("ID.UPNP.ORG: 7", "ID.UPNP.ORG: 007"), "boot_id", 7),
        (ALIVE.replace("ID.UPNP.ORG: 7", "ID.UPNP.ORG: -7"), "boot_id", None),
        (ALIVE.replace("ID.UPNP.ORG: 7", "ID.UPNP.ORG: 4294967296"), "boot_id", None),
        (ALIVE.replace("ID.UPNP.ORG: 7", "ID.UPNP.ORG: seven"), "boot_id", None),
        (ALIVE.replace("BOOTID", "NEXTBOOTID"), "next_boot_id", None),
        (ALIVE.replace("LOCATION", "Location"), "location", LOCATION),
        (ALIVE.replace("ssdp:alive", "SSDP:Alive"), "kind", AdvertisementKind.ALIVE),
        (ALIVE.replace("SERVER: Linux", "SERVER: " + "x" * 2000), "server", None),
        (ALIVE.replace("SERVER: Linux", "SERVER: \x07"), "server", None),
        (ALIVE.replace("NLS: abc", "NLS: \x07"), "nls", None),
        (ALIVE.replace("NT: upnp:rootdevice", "NT:"), "target", "upnp:rootdevice"),
        (without("NT:"), "target", "upnp:rootdevice"),
        (
            ALIVE.replace("::upnp:rootdevice", "").replace("NT: upnp:rootdevice", "NT:"),
            "target",
            UDN,
        ),
        (
            without("USN").replace("upnp:rootdevice", UDN),
            "udn",
            UDN,
        ),
    ],
)
def test_what_devices_leave_out_or_garble_costs_that_field_alone(
    text: str, field: str, value: object
) -> None:
    assert getattr(read(text), field) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ALIVE.replace("ssdp:alive", "upnp:propchange"), "NTS is"),
        (ALIVE.replace("ssdp:alive", "response"), "NTS is"),
        (without("NTS"), "NTS is"),
        (without("USN"), "no UDN"),
        (ALIVE.replace("USN: uuid:", "USN: "), "no UDN"),
        (ALIVE.replace(f"USN: {UDN}", "USN: uuid:"), "no UDN"),
        (without("LOCATION"), "LOCATION"),
        (ALIVE.replace("d.xml", "d" * 2000), "LOCATION"),
        (ALIVE.replace(f"USN: {UDN}", f"USN: {UDN}{'x' * 2000}"), "too long"),
        (ALIVE.replace("NT: upnp", "NT: upnp" + "x" * 2000), "too long"),
        (ALIVE.replace("ssdp:alive", "ssdp:update"), "NEXTBOOTID"),
        (ALIVE.replace(f"USN: {UDN}", f"USN: {UDN}\x1b[2J"), "control characters"),
        (ALIVE.replace("NT: upnp", "NT: \u202eupnp"), "control characters"),
        ("", "NTS is"),
    ],
)
def test_what_announces_no_device_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        read(text)


def test_a_byebye_needs_no_more_than_its_usn() -> None:
    said = read(f"NTS: ssdp:byebye\nNT: {UDN}\nUSN: {UDN}\nLOCATION: {LOCATION}")
    assert said == Advertisement(kind=AdvertisementKind.BYEBYE, udn=UDN, target=UDN)


def test_an_update_names_the_next_bootid() -> None:
    text = ALIVE.replace("ssdp:alive", "ssdp:update") + "NEXTBOOTID.UPNP.ORG: 9"
    assert (read(text).boot_id, read(text).next_boot_id) == (7, 9)


def test_a_search_response_says_st_where_a_notify_says_nt() -> None:
    text = f"ST: upnp:rootdevice\nUSN: {UDN}::upnp:rootdevice\nLOCATION: {LOCATION}\nEXT:"
    said = read(text, response=True)
    assert (said.kind, said.target) == (AdvertisementKind.RESPONSE, "upnp:rootdevice")
    # Some devices send back what was searched for.
    said = read(text.replace("ST: upnp:rootdevice", "ST: ssdp:all"), response=True)
    assert said.target == "upnp:rootdevice"


@pytest.mark.clause("NLS-01")
@pytest.mark.clause("NLS-02")
@pytest.mark.parametrize(
    ("headers", "nls"),
    [
        ('OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=35\n35-NLS: x', "x"),
        ('OPT: "http://schemas.upnp.org/upnp/1/0/";ns=35\n01-NLS: x\n35-NLS: y', "y"),
        ("OPT: http://schemas.upnp.org/upnp/1/0/; NS=7\n7-nls: x", "x"),
        ('OPT: "http://other.example/"; ns=35\n35-NLS: x', None),
        (
            'OPT: "http://a/"; ns=1, "http://schemas.upnp.org/upnp/1/0/"; ns=2\n1-NLS: a\n2-NLS: b',
            "b",
        ),
        ("01-NLS: x", "x"),
        ("35-NLS: x", None),
        ("01-NLS:", None),
        ("01-NLS: " + "x" * 64, "x" * 64),
        ("01-NLS: " + "x" * 65, None),
    ],
)
def test_the_signature_is_read_under_the_prefix_that_opt_gives_it(
    headers: str, nls: str | None
) -> None:
    assert read(without("OPT").replace("01-NLS: abc", "") + headers).nls == nls


def datagram(text: str = ALIVE, first: str = "NOTIFY * HTTP/1.1") -> bytes:
    lines = [first, *(line.strip() for line in text.strip().splitlines())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    "data",
    [
        datagram(),
        datagram().replace(b"\r\n", b"\n"),
        datagram().rstrip(),
        datagram(first="NOTIFY * HTTP/1.0"),
        datagram(first="notify  *  http/1.1"),
        datagram() + b"NTS: ssdp:byebye\r\n",  # behind the empty line
        datagram("no header at all\n" + ALIVE.strip()),
        datagram("X:\n:\nÄ\x01: \x7f\n" + ALIVE.strip()),
        datagram(ALIVE.replace("NTS:", "NTS :")),
        datagram(ALIVE).replace(b"NT: upnp", b"X: y\r\n\tNT: folded\r\nNT: upnp"),
    ],
)
def test_a_datagram_is_read_although_some_of_its_lines_are_odd(data: bytes) -> None:
    assert read_datagram(data) == read(ALIVE)


def test_a_response_is_read_from_its_datagram_and_a_search_is_nothing() -> None:
    text = f"ST: {UDN}\nUSN: {UDN}\nLOCATION: {LOCATION}"
    for first in ("HTTP/1.1 200 OK", "HTTP/1.0 200", "http/1.1  200 fine"):
        said = read_datagram(datagram(text, first))
        assert said is not None
        assert said.kind is AdvertisementKind.RESPONSE
    assert read_datagram(datagram("ST: ssdp:all", "M-SEARCH * HTTP/1.1")) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "begins with ''"),
        (b"\xff\xfe\r\n", r"begins with '\\xff\\xfe"),
        (datagram(first="HTTP/1.1 404 Not Found"), "begins with 'HTTP/1.1 404"),
        (datagram(first="HTTP/1.1 2000 OK"), "begins with 'HTTP/1.1 2000"),
        (datagram(first="NOTIFY /evt HTTP/1.1"), "begins with 'NOTIFY /evt"),
        (datagram("X: y\n" * 64 + ALIVE.strip()), "NTS"),
        (datagram("X: " + "y" * 9_000 + "\n" + ALIVE), "more than 8192 bytes"),
    ],
)
def test_a_datagram_that_is_none_of_ssdp_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        read_datagram(data)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_are_more_than_refused(junk: bytes, behind: bool) -> None:
    with contextlib.suppress(RemoteProtocolError):
        read_datagram(b"NOTIFY * HTTP/1.1\r\n" * behind + junk)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60))), st.booleans())
def test_junk_is_refused_or_read_and_never_anything_else(
    headers: list[tuple[bytes, bytes]], response: bool
) -> None:
    for more in ([], pairs(ALIVE)):
        with contextlib.suppress(RemoteProtocolError):
            read_advertisement([*more, *headers], response=response)


# --- formatting ---


def announcement(uda: str, **more: Any) -> Announcement:
    return Announcement(
        location=LOCATION,
        server=SERVER,
        uda=uda,
        boot_id=7,
        config_id=3,
        search_port=50_000,
        nls="abc",
        secure_location="https://192.168.1.20:443/d.xml",
        **more,
    )


def messages(uda: str) -> dict[str, SSDPMessage]:
    of = announcement(uda)
    made = {
        "alive": of.alive(ROOT),
        "byebye": of.byebye(ROOT),
        "response": of.search_response(ROOT),
    }
    return made if uda == "1.0" else made | {"update": of.update(ROOT, 9)}


def names(message: SSDPMessage) -> set[str]:
    return {name for name, _ in message.headers}


def test_an_alive_on_the_wire() -> None:
    assert announcement("1.1").alive(ROOT).encode().decode() == (
        "NOTIFY * HTTP/1.1\r\n"
        "HOST: 239.255.255.250:1900\r\n"
        "CACHE-CONTROL: max-age=1800\r\n"
        f"LOCATION: {LOCATION}\r\n"
        "NT: upnp:rootdevice\r\n"
        "NTS: ssdp:alive\r\n"
        f"USN: {UDN}::upnp:rootdevice\r\n"
        f"SERVER: {SERVER}\r\n"
        "BOOTID.UPNP.ORG: 7\r\n"
        "CONFIGID.UPNP.ORG: 3\r\n"
        "SEARCHPORT.UPNP.ORG: 50000\r\n"
        'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01\r\n'
        "01-NLS: abc\r\n"
        "\r\n"
    )


def test_a_search_response_on_the_wire() -> None:
    response = Announcement(location=LOCATION, server=SERVER, uda="1.0")
    date = "Tue, 24 Nov 2026 15:00:00 GMT"
    assert response.search_response(ROOT, date).encode().decode() == (
        "HTTP/1.1 200 OK\r\n"
        "CACHE-CONTROL: max-age=1800\r\n"
        f"DATE: {date}\r\n"
        "EXT: \r\n"
        f"LOCATION: {LOCATION}\r\n"
        f"SERVER: {SERVER}\r\n"
        "ST: upnp:rootdevice\r\n"
        f"USN: {UDN}::upnp:rootdevice\r\n"
        "\r\n"
    )


@pytest.mark.clause("NLS-01")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_every_ssdp_message_of_every_version_carries_the_signature(uda: str) -> None:
    for kind, message in messages(uda).items():
        fields = dict(message.headers)
        assert fields["01-NLS"] == "abc", kind
        assert fields["OPT"] == '"http://schemas.upnp.org/upnp/1/0/"; ns=01'


@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_bootid_and_its_like_are_of_1_1_and_later(uda: str) -> None:
    for kind, message in messages(uda).items():
        wanted = {"BOOTID.UPNP.ORG", "CONFIGID.UPNP.ORG"} if uda != "1.0" else set()
        assert names(message) & {"BOOTID.UPNP.ORG", "CONFIGID.UPNP.ORG"} == wanted, kind
        assert ("SEARCHPORT.UPNP.ORG" in names(message)) == (uda != "1.0" and kind != "byebye")
        assert ("NEXTBOOTID.UPNP.ORG" in names(message)) == (kind == "update")


@pytest.mark.clause("SEC-01")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_securelocation_is_of_2_0_alone_and_in_no_byebye(uda: str) -> None:
    for kind, message in messages(uda).items():
        there = "SECURELOCATION.UPNP.ORG" in names(message)
        assert there == (uda == "2.0" and kind != "byebye")


@pytest.mark.parametrize("uda", ["1.1", "2.0"])
def test_what_is_formatted_is_read_as_it_was_meant(uda: str) -> None:
    for kind, message in messages(uda).items():
        said = read_advertisement(
            [(name.encode(), value.encode()) for name, value in message.headers],
            response=kind == "response",
        )
        assert (said.udn, said.target, said.boot_id, said.nls) == (UDN, ROOT.target, 7, "abc")
        assert said.location == ("" if kind == "byebye" else LOCATION)
        assert said.next_boot_id == (9 if kind == "update" else None)


@pytest.mark.clause("CP-13")
def test_uda_1_0_has_no_update_and_a_bootid_only_rises() -> None:
    with pytest.raises(LocalProtocolError, match="no ssdp:update"):
        announcement("1.0").update(ROOT, 9)
    for bad in (7, 6, 2**31):
        with pytest.raises(ValueError, match="BOOTID rises"):
            announcement("1.1").update(ROOT, bad)


def test_reading_opt_costs_in_proportion_to_its_length() -> None:
    def seconds(count: int) -> float:
        headers = ALIVE + "OPT: a" + " " * count + "b\n"
        return min(timeit.repeat(lambda: read(headers), number=1, repeat=3))

    # Four times the length costs four times the time, never sixty-four times.
    assert seconds(4_000) < 16 * seconds(1_000)


@pytest.mark.clause("NLS-02")
@pytest.mark.parametrize("nls", ["", "x" * 65, "a b", "a\r\nX: y"])
def test_a_signature_has_1_to_64_characters(nls: str) -> None:
    assert Announcement(location=LOCATION, server=SERVER, nls="x" * 64)
    with pytest.raises(ValueError, match="1 to 64 characters"):
        Announcement(location=LOCATION, server=SERVER, nls=nls)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boot_id", -1),
        ("boot_id", 2**31),
        ("config_id", 2**24),
        ("location", "http://x/\r\nX: y"),
        ("server", ""),
        ("secure_location", "https://x/\n"),
    ],
)
def test_what_cannot_be_sent_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"BOOTID|CONFIGID|cannot be sent"):
        Announcement(**{"location": LOCATION, "server": SERVER, field: value})


class Clock(Service, type="urn:example-org:service:Clock:1"):
    pass


def test_a_device_announces_three_two_and_one() -> None:
    """Three for the root, two per embedded device, one per service type (tables 1-1 to 1-3)."""
    root = place_device(
        Device(
            "Root",
            services=[Clock(), Clock()],
            devices=[Device("Inner", services=[Clock()], type="urn:x:device:Inner:1")],
        ),
        UDN,
    )
    inner = root.devices[0].udn
    basic = "urn:schemas-upnp-org:device:Basic:1"
    clock = "urn:example-org:service:Clock:1"
    assert list(announced_targets(root)) == [
        ("upnp:rootdevice", f"{UDN}::upnp:rootdevice"),
        (UDN, UDN),
        (basic, f"{UDN}::{basic}"),
        (clock, f"{UDN}::{clock}"),
        (inner, inner),
        ("urn:x:device:Inner:1", f"{inner}::urn:x:device:Inner:1"),
        (clock, f"{inner}::{clock}"),
    ]


# --- searches that a device receives ---

SEARCH = (
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
    'MAN: "ssdp:discover"\r\nMX: 2\r\nST: ssdp:all\r\n\r\n'
)


def found(text: str, *, multicast: bool = True) -> Search | None:
    return read_search(text.encode(), multicast=multicast)


@pytest.mark.parametrize(
    "text",
    [
        SEARCH,
        SEARCH.replace("\r\n", "\n"),
        SEARCH.replace("HOST: 239.255.255.250:1900\r\n", ""),
        SEARCH.replace("MAN", "man").replace("MX", "mx").replace("ST:", "sT :"),
        SEARCH.replace(": ", ":"),
        SEARCH.replace("ST: ", "ST:\t  "),
        SEARCH.replace("ST:", "CPFN.UPNP.ORG: Kitchen\r\nTCPPORT.UPNP.ORG: 80\r\nST:"),
        SEARCH.replace("ST:", "junk\r\n folded\r\n: x\r\nUSER-AGENT: \xff\r\nST:"),
        SEARCH.rstrip(),
        SEARCH + "a body",
    ],
)
def test_a_search_is_read(text: str) -> None:
    assert found(text) == Search("ssdp:all", 2, True)
    assert found(text, multicast=False) == Search("ssdp:all", 2, False)


@pytest.mark.parametrize(
    ("mx", "seconds"),
    [("1", 1), ("05", 5), ("120", 120), ("1000000000", 10**9), ("0", None), ("-1", None),
     ("2.5", None), ("two", None), ("", None), ("9" * 500, None), ("\u0662", None)],
)  # fmt: skip
def test_an_mx_that_is_no_number_above_zero_counts_as_none(mx: str, seconds: int | None) -> None:
    search = found(SEARCH.replace("MX: 2", f"MX: {mx}"))
    assert search is not None
    assert search.mx == seconds
    search = found(SEARCH.replace("MX: 2\r\n", ""))
    assert search is not None
    assert search.mx is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with"),
        ("GET / HTTP/1.1\r\n\r\n", "begins with"),
        (SEARCH.replace("M-SEARCH *", "M-SEARCH /"), "begins with"),
        (SEARCH.replace("HTTP/1.1", "HTTP/1.0"), "begins with"),
        (SEARCH.replace("HTTP/1.1", "HTTP/1.1 x"), "begins with"),
        (SEARCH.replace("M-SEARCH", "m-search"), "begins with"),
        (SEARCH.replace('MAN: "ssdp:discover"\r\n', ""), "MAN"),
        (SEARCH.replace('"ssdp:discover"', "ssdp:discover"), "MAN"),
        (SEARCH.replace("ssdp:discover", "ssdp:alive"), "MAN"),
        (SEARCH.replace("ST: ssdp:all\r\n", ""), "no usable ST"),
        (SEARCH.replace("ssdp:all", ""), "no usable ST"),
        (SEARCH.replace("ssdp:all", "x" * 2_000), "no usable ST"),
        (SEARCH.replace("ssdp:all", "\x1b[2J"), "no usable ST"),
        (SEARCH.replace("\r\nHOST", "\r\n\r\nHOST"), "MAN"),
        (SEARCH + "x" * 65_000, "more than 8192 bytes"),
    ],
)
def test_what_is_no_search_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        found(text)


def test_an_advertisement_is_no_search_and_no_fault() -> None:
    for message in messages("1.1").values():
        assert read_search(message.encode(), multicast=True) is None


# --- searches ---


def test_a_search_has_the_fields_of_its_version() -> None:
    said = {"user_agent": "Linux/6 UPnP/1.1 test/1", "friendly_name": "Kitchen"}
    fields = {
        uda: search_request("ssdp:all", SubscriberPolicy(uda=uda, **said)).headers
        for uda in ("1.0", "1.1", "2.0")
    }
    assert fields["1.0"] == (
        ("HOST", "239.255.255.250:1900"),
        ("MAN", '"ssdp:discover"'),
        ("MX", "2"),
        ("ST", "ssdp:all"),
    )
    assert fields["1.1"] == (*fields["1.0"], ("USER-AGENT", "Linux/6 UPnP/1.1 test/1"))
    assert fields["2.0"] == (*fields["1.1"], ("CPFN.UPNP.ORG", "Kitchen"))


@pytest.mark.clause("V6-07")
def test_a_search_over_ipv6_names_the_group_without_a_zone() -> None:
    policy = SubscriberPolicy(uda="1.0")
    assert search_request(UDN, policy, group=IPV6_LINK_LOCAL_GROUP).encode() == (
        b"M-SEARCH * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\n"
        b'MAN: "ssdp:discover"\r\nMX: 2\r\nST: ' + UDN.encode() + b"\r\n\r\n"
    )


@pytest.mark.parametrize("target", ["", "ssdp:all\r\nX: y", "uuid:a\x00"])
def test_what_no_header_can_carry_is_not_searched_for(target: str) -> None:
    with pytest.raises(ValueError, match="searched for"):
        search_request(target, SubscriberPolicy())
