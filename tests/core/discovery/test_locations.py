"""Which description URLs of advertisements may be followed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from propchange.core.discovery.advertisement import comes_from_beyond, judge_location
from propchange.core.local_addresses import OnLink
from propchange.core.wire.messages import Endpoint

LINK = (
    OnLink(ip_network("192.168.1.0/24")),
    OnLink(ip_network("2001:db8::/64"), 3),
    OnLink(ip_network("fe80::/64"), 3),
)
DEVICE = Endpoint("192.168.1.20", 1900)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.20:49152/description.xml",
        "http://192.168.1.77/d",  # another address of the link
        "http://192.168.1.20",
        "HTTP://192.168.1.20:80?x=1",
        "http://[2001:db8::5]:8080/d",  # the other family, on the same link
    ],
)
def test_a_literal_address_on_the_link_is_followed(url: str) -> None:
    assert judge_location(url, source=DEVICE, on_link=LINK) == url


def test_the_address_it_came_from_is_followed_whatever_the_prefixes() -> None:
    far = Endpoint("10.9.8.7", 1900)
    assert judge_location("http://10.9.8.7:80/d", source=far, on_link=LINK)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://192.168.1.20/d", "no http URL"),
        ("ftp://192.168.1.20/d", "no http URL"),
        ("http://user@192.168.1.20/d", "no http URL"),
        ("http://192.168.1.20/a b", "no http URL"),
        ("http://192.168.1.20/\x1b[2J", "no http URL"),
        ("", "no http URL"),
        ("http://192.168.1.20:0/d", "no usable port"),
        ("http://192.168.1.20:70000/d", "no usable port"),
        ("http://nas.example/d", "no literal address"),
        ("http://2130706433/d", "no literal address"),
        ("http://0.0.0.0/d", "no single host"),
        ("http://239.255.255.250/d", "no single host"),
        ("http://127.0.0.1:80/admin", "this host itself"),
        ("http://8.8.8.8/d", "not on the link"),
        ("http://169.254.169.254/latest", "not on the link"),
    ],
)
def test_any_other_is_refused_with_a_sentence(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        judge_location(url, source=DEVICE, on_link=LINK)


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    "url",
    [
        "http://[fe80::1]:80/d",
        "http://[FE80::1%eth9]:80/d",
        "http://[fe80::1%2512]:80/d",
    ],
)
def test_a_link_local_location_gets_the_zone_of_the_link_it_was_heard_on(url: str) -> None:
    source = Endpoint("fe80::1", 1900, 3)
    assert judge_location(url, source=source, on_link=LINK) == "http://[fe80::1%3]:80/d"


def test_the_zone_may_be_the_name_of_the_interface() -> None:
    source = Endpoint("fe80::1", 1900, 3)
    found = judge_location(
        "http://[fe80::1]/d", source=source, on_link=LINK, zone_of={3: "eth0"}.__getitem__
    )
    assert found == "http://[fe80::1%eth0]/d"


def test_without_known_prefixes_the_zone_is_that_of_the_source() -> None:
    source = Endpoint("fe80::1", 1900, 7)
    assert judge_location("http://[fe80::1]/d", source=source, on_link=()) == "http://[fe80::1%7]/d"


def test_a_link_local_location_without_a_known_link_is_refused() -> None:
    with pytest.raises(ValueError, match="link it is on is not known"):
        judge_location("http://[fe80::1]/d", source=DEVICE, on_link=LINK[:1])


def test_a_device_on_this_host_may_be_at_loopback() -> None:
    url = "http://127.0.0.1:8123/d"
    assert judge_location(url, source=Endpoint("127.0.0.1", 1900), on_link=()) == url


@pytest.mark.parametrize("url", ["http://10.0.0.5/d", "http://nas.example/d"])
def test_relayed_networks_may_allow_locations_off_the_link(url: str) -> None:
    assert judge_location(url, source=DEVICE, on_link=LINK, off_link=True) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1/d", "http://224.0.0.1/d", "file:///etc/passwd"])
def test_even_they_take_nothing_that_is_no_device(url: str) -> None:
    with pytest.raises(ValueError, match="LOCATION"):
        judge_location(url, source=DEVICE, on_link=LINK, off_link=True)


@pytest.mark.parametrize("off_link", [False, True])
@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.9:8000/admin",
        "http://[::ffff:192.168.1.9]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[2001:db8::9]/",
        "http://[fe80::9]/",
    ],
)
def test_no_other_host_announces_an_address_of_this_machine(url: str, off_link: bool) -> None:
    own = {"127.0.0.1", "192.168.1.9", "2001:db8::9", "fe80::9"}
    with pytest.raises(ValueError, match="this host itself"):
        judge_location(url, source=DEVICE, on_link=LINK, own=own, off_link=off_link)
    here = Endpoint("127.0.0.1", 1900)
    assert judge_location(url, source=here, on_link=LINK, own=own, off_link=True)


@pytest.mark.parametrize(
    ("source", "beyond"),
    [
        ("fd00::5", False),  # the site has several links
        ("2001:db8::5", False),
        ("fe80::5", False),
        ("2a00:1::5", False),  # on the link
        ("2a00:2::5", True),
    ],
)
def test_a_global_address_that_is_not_on_the_link_may_be_beyond_the_site(
    source: str, beyond: bool
) -> None:
    link = (*LINK, OnLink(ip_network("2a00:1::/64"), 3))
    assert comes_from_beyond(Endpoint(source, 1900), link) is beyond
