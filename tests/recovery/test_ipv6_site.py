"""Devices and control points on the group of a site over IPv6, on one link and beyond a router."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from lab.networks import Host, Network
from lab.two_lans import TwoLans
from tests.conformance.ssdp_network import Ear
from tests.interop.lans import RUNTIMES, see
from tests.interop.wire import inside

SITE = "IPv6 of a site"

runtimes = pytest.mark.parametrize("runtime", RUNTIMES)

_MRT6_INIT, _MRT6_ADD_MIF, _MRT6_ADD_MFC = 200, 202, 204
"""Linux' options of a program that routes multicasts."""


def announcement(start: str, kind: str, udn: str, location: str) -> bytes:
    return (
        f"{start}\r\n{kind}: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: {udn}::upnp:rootdevice\r\n"
        f"LOCATION: {location}\r\n\r\n"
    ).encode()


@pytest.fixture
def lans(network: Network) -> TwoLans:
    return TwoLans(network)


@pytest.fixture
def router(network: Network, lans: TwoLans) -> Iterator[Host]:
    """A host that routes between the LANs, and the group of the site too."""
    router = network.host("router")
    network.plug(router, lans.home, "eth0", "fd77::254/64")
    network.plug(router, lans.office, "eth1", "fd78::254/64")
    router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    for host, own, other in ((lans.near, 77, 78), (lans.far, 78, 77)):
        host.ip(f"-6 route add fd{other}::/64 via fd{own}::254")

    def route() -> socket.socket:
        routing = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        routing.setsockopt(socket.IPPROTO_IPV6, _MRT6_INIT, 1)
        for number, interface in enumerate(("eth0", "eth1")):
            mif = struct.pack("=HBBHxxI", number, 0, 1, router.index(interface), 0)
            routing.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MIF, mif)
        for number, source in enumerate(("fd77::2", "fd78::4")):
            addresses = [
                struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(10, each), 0)
                for each in (source, "ff05::c")
            ]
            out = struct.pack("=HxxI28x", number, 1 << (1 - number))
            routing.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MFC, b"".join((*addresses, out)))
        return routing

    with inside(router.namespace, route):
        yield router


@runtimes
def test_a_device_that_announces_itself_to_link_and_site_is_one_device(
    lans: TwoLans, start, tmp_path, runtime: str
) -> None:
    seer = see(start, lans.near, runtime)
    seer.started()
    words = (sys.executable, "-m", "lab.hosted_device", runtime)
    start(*lans.third.prefix, *words, XDG_STATE_HOME=str(tmp_path)).read("ready")
    for host in ("10.77.0.3", "[fe80:", "[fd77::3]"):
        seer.found(f"http://{host}", "uuid:counter")
    sightings = [line.told for line in seer.program.lines if "sighting" in line.told]
    assert {each["udn"] for each in sightings} == {"uuid:counter"}
    assert [each["sighting"] for each in sightings].count("appeared") == 1


@runtimes
@pytest.mark.clause("V6-10")
def test_a_device_that_announces_itself_to_the_site_alone_is_found(
    lans: TwoLans, start, runtime: str
) -> None:
    seer = see(start, lans.near, runtime)
    seer.started()
    with contextlib.closing(Ear(lans.third, SITE)) as ear:
        location = "http://[fd77::3]:1/"
        ear.send(announcement("NOTIFY * HTTP/1.1", "NT", "uuid:site", location))
        seer.found(location, "uuid:site")


@runtimes
@pytest.mark.clause("V6-10")
def test_a_device_beyond_a_router_of_the_site_is_found(
    lans: TwoLans, router: Host, start, tmp_path, runtime: str
) -> None:
    with contextlib.closing(Ear(lans.far, SITE)) as ear:
        seer = see(start, lans.near, runtime)
        seer.started()
        searches = ear.wait(
            lambda heard: [each for each in heard if each.data.startswith(b"M-SEARCH")]
        )
        assert searches, "no search comes through the router"
        search = searches[0]
        assert (search.source[0], search.hops) == ("fd77::2", 9)
        assert re.search(rb"\r\nHOST: \[FF05::C\]:1900\r\n", search.data)
        # It is heard where it names itself, and not where it names others.
        for udn, host in (("uuid:other", "fd78::99"), ("uuid:answering", "fd78::4")):
            location = f"http://[{host}]:1/"
            ear.send(announcement("HTTP/1.1 200 OK", "ST", udn, location), search.source)
        seer.found("http://[fd78::4]:1/", "uuid:answering")
        assert not [line for line in seer.program.lines if line.told.get("udn") == "uuid:other"]
    words = (sys.executable, "-m", "lab.hosted_device", runtime)
    start(*lans.far.prefix, *words, XDG_STATE_HOME=str(tmp_path)).read("ready")
    seer.found("http://[fd78::4]", "uuid:counter")
