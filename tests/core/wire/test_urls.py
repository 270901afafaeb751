"""The endpoint and the request target of a URL."""

from __future__ import annotations

import pytest

from propchange.core.wire.messages import Endpoint
from propchange.core.wire.urls import Location, scoped


def scope_of(interface: str) -> int:
    if interface == "eth0":
        return 2
    raise OSError("no interface with this name")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://192.0.2.1/", Location("192.0.2.1", 80, 0, "192.0.2.1", "/")),
        ("HTTP://device.local:8080", Location("device.local", 8080, 0, "device.local:8080", "/")),
        ("http://192.0.2.1:/x", Location("192.0.2.1", 80, 0, "192.0.2.1", "/x")),
        ("http://192.0.2.1?a=b#c", Location("192.0.2.1", 80, 0, "192.0.2.1", "/?a=b")),
        (" http://a/%C3%A4/ä\r\n ", Location("a", 80, 0, "a", "/%C3%A4/%C3%A4")),
        ("http://a/b\r\nc", Location("a", 80, 0, "a", "/b%0D%0Ac")),
        ("http://[2001:DB8::1]:99/", Location("2001:db8::1", 99, 0, "[2001:db8::1]:99", "/")),
        ("http://[fe80::1%257]/", Location("fe80::1", 80, 7, "[fe80::1]", "/")),
        ("http://[fe80::1%eth0]/", Location("fe80::1", 80, 2, "[fe80::1]", "/")),
        ("http://[fe80::1%7]/", Location("fe80::1", 80, 7, "[fe80::1]", "/")),
    ],
)
def test_a_url_is_taken_apart(url: str, location: Location) -> None:
    assert Location.of(url, scope_of) == location


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
        Location.of(url, scope_of)


def test_a_location_says_where_to_connect() -> None:
    assert Location.of("http://[fe80::1%2]:8/x", scope_of).endpoint == Endpoint("fe80::1", 8, 2)


def test_a_link_local_host_is_on_the_link_that_is_known() -> None:
    assert scoped(Endpoint("fe80::1", 80), 3) == Endpoint("fe80::1", 80, 3)
    assert scoped(Endpoint("fe80::1", 80, 2), 3) == Endpoint("fe80::1", 80, 2)
    assert scoped(Endpoint("192.0.2.1", 80), 3) == Endpoint("192.0.2.1", 80)
    assert scoped(Endpoint("fe80::1", 80), 0) == Endpoint("fe80::1", 80)
