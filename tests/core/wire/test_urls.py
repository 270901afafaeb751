"""The endpoint of a URL."""

from __future__ import annotations

import pytest

from propchange.core.wire.messages import Endpoint
from propchange.core.wire.urls import endpoint_of_url, host_in, scoped, with_zone, zone_in


def scope_of(interface: str) -> int:
    if interface == "eth0":
        return 2
    raise OSError("no interface with this name")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://192.0.2.1/", Endpoint("192.0.2.1", 80, 0)),
        ("HTTP://device.local:8080", Endpoint("device.local", 8080, 0)),
        ("http://192.0.2.1:/x", Endpoint("192.0.2.1", 80, 0)),
        ("http://192.0.2.1?a=b#c", Endpoint("192.0.2.1", 80, 0)),
        (" http://a/%C3%A4/ä\r\n ", Endpoint("a", 80, 0)),
        ("http://a/b\r\nc", Endpoint("a", 80, 0)),
        ("http://[2001:DB8::1]:99/", Endpoint("2001:db8::1", 99, 0)),
        ("http://[fe80::1%257]/", Endpoint("fe80::1", 80, 7)),
        ("http://[fe80::1%eth0]/", Endpoint("fe80::1", 80, 2)),
        ("http://[fe80::1%7]/", Endpoint("fe80::1", 80, 7)),
    ],
)
def test_a_url_names_an_endpoint(url: str, endpoint: Endpoint) -> None:
    assert endpoint_of_url(url, scope_of) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "192.0.2.1/",
        "https://a/",
        "http:///x",
        "http://a:0/",
        "http://a:65536/",
        "http://a:1:2/",
        "http://a b/",
        "http://u:p@a/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[1.2.3.4]x/",
        "http://[:::]/",
        "http://[fe80::1%nosuchif0]/",
    ],
)
def test_what_is_no_usable_url_is_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port|interface|address"):
        endpoint_of_url(url, scope_of)


def test_a_link_local_host_is_on_the_link_that_is_known() -> None:
    assert scoped(Endpoint("fe80::1", 80), 3) == Endpoint("fe80::1", 80, 3)
    assert scoped(Endpoint("fe80::1", 80, 2), 3) == Endpoint("fe80::1", 80, 2)
    assert scoped(Endpoint("192.0.2.1", 80), 3) == Endpoint("192.0.2.1", 80)
    assert scoped(Endpoint("fe80::1", 80), 0) == Endpoint("fe80::1", 80)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://192.0.2.7:8080/evt", "192.0.2.7"),
        ("http://[FE80:0::1%25eth0]/evt", "fe80::1"),
        ("HTTP://Device.lan/evt", "device.lan"),
        ("https://192.0.2.7/", ""),
        ("/evt", ""),
    ],
)
def test_the_host_of_a_url_is_in_one_form(url: str, host: str) -> None:
    assert host_in(url) == host


@pytest.mark.parametrize(
    ("url", "zone"),
    [
        ("http://[fe80::1%eth0]:80/", "eth0"),
        ("http://[fe80::1%25eth0]/", "eth0"),
        ("http://[fe80::1]/", ""),
        ("http://192.0.2.7/100%25/", ""),
        ("not a url", ""),
    ],
)
def test_the_zone_in_a_url(url: str, zone: str) -> None:
    assert zone_in(url) == zone


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    ("url", "zoned"),
    [
        ("http://[fe80::1]:80/e?a=[b]", "http://[fe80::1%eth0]:80/e?a=[b]"),
        ("https://[FE80::1%br-lan]", "https://[FE80::1%eth0]"),
        ("http://[fe80::1%25wlan0]/", "http://[fe80::1%eth0]/"),
        ("http://[fd00::1]/", "http://[fd00::1]/"),
        ("http://[no-address]/", "http://[no-address]/"),
        ("http://192.0.2.7/[fe80::1]", "http://192.0.2.7/[fe80::1]"),
        ("http://device.lan/", "http://device.lan/"),
    ],
)
def test_only_a_link_local_host_gets_a_zone(url: str, zoned: str) -> None:
    assert with_zone(url, "eth0") == zoned


def test_the_zone_of_another_machine_can_be_taken_out() -> None:
    assert with_zone("http://[fe80::1%br-lan]:80/", "") == "http://[fe80::1]:80/"
