"""The URL of a device on a web server of the program."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.local_addresses import LocalAddress
from propchange.upnp.hosted_url import HostedPaths, HostedURL


@pytest.mark.parametrize(
    ("url", "authority", "description_url"),
    [
        ("http://10.0.0.1", "10.0.0.1:80", "http://10.0.0.1/description.xml"),
        ("http://10.0.0.1:80/", "10.0.0.1:80", "http://10.0.0.1/description.xml"),
        ("HTTP://NAS.local:8000/a/b/", "nas.local:8000", "http://nas.local:8000/a/b/description.xml"),
        ("http://[2001:DB8:0::1]:81/a", "[2001:db8::1]:81", "http://[2001:db8::1]:81/a/description.xml"),
        ("http://[fe80::1%eth0]:81/a", "[fe80::1]:81", "http://[fe80::1]:81/a/description.xml"),
        ("http://[fe80::1%25eth0]/a", "[fe80::1]:80", "http://[fe80::1]/a/description.xml"),
    ],
)  # fmt: skip
def test_a_url_has_the_description_below_it(url: str, authority: str, description_url: str) -> None:
    read = HostedURL.of(url)
    assert (read.authority, read.description_url) == (authority, description_url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "an absolute http URL such as"),
        ("/upnp", "an absolute http URL such as"),
        ("192.168.1.5:8000/upnp", "an absolute http URL such as"),
        ("ftp://10.0.0.1/", "an absolute http URL such as"),
        ("http://", "an absolute http URL such as"),
        ("http:///upnp", "it is not an address or a name"),
        ("https://10.0.0.1/", "give an https URL of the description as secure_location"),
        ("http://me@10.0.0.1/", "without a user name"),
        ("http://10.0.0.1/a?b", "a query"),
        ("http://10.0.0.1?b", "it is not an address or a name"),
        ("http://10.0.0.1/a#b", "a fragment"),
        ("http://10.0.0.1/a%20b", "escapes"),
        ("http://10.0.0.1/a//b", "empty segments"),
        ("http://10.0.0.1/a/../b", "empty segments"),
        ("http://10.0.0.1//", "empty segments"),
        ("http://10.0.0.1/\r\nX: y", "an absolute http URL such as"),
        ("http://10.0.0.1/" + 600 * "x", "an absolute http URL such as"),
        ("http://10.0.0.1/description.xml", "leave out /description.xml"),
        ("http://10.0.0.1/upnp/description.xml/", "leave out /description.xml"),
        ("http://10.0.0.1:0/", "the port is not a number from 1 to 65535"),
        ("http://10.0.0.1:x/", "the port is not a number from 1 to 65535"),
        ("http://[2001:db8::1%eth0]/", "no IPv6 address without a zone"),
        ("http://0.0.0.0:8000/", "0.0.0.0 is no address to connect to"),
        ("http://[::]:8000/", ":: is no address to connect to"),
        ("http://239.255.255.250/", "is no address to connect to"),
    ],
)
def test_what_cannot_be_the_url_of_a_device_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match="cannot be the url of a device") as told:
        HostedURL.of(url)
    assert why in str(told.value)


def test_a_url_is_a_text() -> None:
    with pytest.raises(TypeError, match="is a str such as"):
        HostedURL.of(8000)  # type: ignore[arg-type] # that is the test


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
        ("http://10.0.0.1/", False),
        ("http://nas/", False),
    ],
)
def test_a_url_of_loopback_is_for_this_machine_alone(url: str, loopback: bool) -> None:
    assert HostedURL.of(url).is_loopback is loopback


FOUR = LocalAddress("10.0.0.1", 0, ip_network("10.0.0.0/24"), "eth0", 2)
OTHER = LocalAddress("10.0.1.1", 0, ip_network("10.0.1.0/24"), "eth1", 3)
SIX = LocalAddress("2001:db8::1", 0, ip_network("2001:db8::/64"), "eth0", 2)
LINK = LocalAddress("fe80::1", 2, ip_network("fe80::/64"), "eth0", 2)
SAME = LocalAddress("fe80::1", 3, ip_network("fe80::/64"), "eth1", 3)
ALL = (FOUR, OTHER, SIX, LINK, SAME)


@pytest.mark.parametrize(
    ("url", "announced"),
    [
        ("http://10.0.0.1/", [FOUR]),
        ("http://192.168.1.5/", [FOUR, OTHER]),
        ("http://[2001:db8::1]/", [SIX]),
        ("http://[2001:db8::2]/", [SIX, LINK, SAME]),
        ("http://[fe80::1]/", [LINK, SAME]),
        ("http://[fe80::1%eth1]/", [SAME]),
        ("http://[fe80::1%2]/", [LINK]),
        ("http://nas.local/", list(ALL)),
    ],
)
def test_a_url_is_announced_where_its_address_is_or_else_everywhere(
    url: str, announced: list[LocalAddress]
) -> None:
    assert [each for each in ALL if HostedURL.of(url).is_for(each, ALL)] == announced


# --- targets ---

SEGMENT = st.text("abc", min_size=1, max_size=3)


@given(prefix=st.lists(SEGMENT, max_size=4), path=st.lists(SEGMENT, min_size=1, max_size=3))
def test_a_request_is_found_whatever_a_mount_has_taken_from_its_path(
    prefix: list[str], path: list[str]
) -> None:
    mount, below = (f"/{'/'.join(each)}" if each else "" for each in (prefix, path))
    paths = HostedPaths(mount, [below])
    whole = mount + below
    for taken in range(len(prefix) + 1):
        received = whole.removeprefix("".join(f"/{each}" for each in prefix[:taken]))
        assert paths.path_of(received) == whole
        assert paths.path_of(f"{received}?a=/b") == f"{whole}?a=/b"
    for other in (f"/x{whole}", f"{whole}/", f"{whole}x", f"/{whole}"):
        assert paths.path_of(other) == other


@given(target=st.text("/ab%2?.", max_size=12))
def test_what_is_not_below_the_prefix_or_a_rest_of_it_is_no_path_of_the_device(target: str) -> None:
    paths = HostedPaths("/a/b", ["/ab"])
    found = paths.path_of(target)
    if target.partition("?")[0] in ("/a/b/ab", "/b/ab", "/ab"):
        assert found.partition("?")[0] == "/a/b/ab"
    else:
        assert found == target


@pytest.mark.parametrize("paths", [["/event", "/a/event"], ["/b/event", "/a/b/event", "/x"]])
def test_paths_that_a_mount_would_confuse_are_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="choose other paths for the service, or another url"):
        HostedPaths("/a", paths)


def test_paths_that_a_mount_cannot_confuse_are_taken() -> None:
    HostedPaths("/a", ["/description.xml", "/b/event", "/c/event"])
    HostedPaths("", ["/event", "/a/event"])
