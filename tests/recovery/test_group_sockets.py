"""A socket that has joined a group on one link receives what comes by that link alone."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import sys
from pathlib import Path

import pytest

from lab.networks import Host
from lab.two_lans import TwoLans
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.multicast_sockets import joined_socket, sending_socket
from tests.interop.wire import inside


def address_of(host: Host, interface: str, version: int) -> LocalAddress:
    index = host.index(interface)
    if version == 6:
        own, scope = f"{host.link_local(interface)}/64", index
    else:
        own, scope = host.ip(f"-4 -o addr show dev {interface}").split()[3], 0
    network = ipaddress.ip_interface(own).network
    return LocalAddress(own.partition("/")[0], scope, network, interface, index)


def test_two_interfaces_with_one_ipv4_address_send_and_receive_each_by_its_own_link(network):
    lans = TwoLans(network)
    lans.here.ip("addr add 10.77.0.1/24 dev eth1")
    group = Endpoint("239.255.255.250", 1900)
    own = ipaddress.ip_network("10.77.0.0/24")
    with contextlib.ExitStack() as opened:

        def at(make, host, address):
            return opened.enter_context(inside(host.namespace, lambda: make(address)))

        def joined(address):
            return joined_socket(group, address)

        for interface, other in (("eth0", lans.near), ("eth1", lans.far)):
            index = lans.here.index(interface)
            here = LocalAddress("10.77.0.1", 0, own, interface, index)
            there = address_of(other, "eth0", 4)
            ears = at(joined, lans.here, here), at(joined, other, there)
            for sender, heard in zip(
                (at(sending_socket, other, there), at(sending_socket, lans.here, here)),
                ears,
                strict=True,
            ):
                sender.sendto(interface.encode(), (group.host, group.port))
                heard.settimeout(5)
                assert heard.recv(100) == interface.encode()


def test_a_search_to_the_link_from_an_address_of_the_site_is_answered_from_such_an_address(
    network, start, tmp_path
):
    lans = TwoLans(network)
    options = json.dumps({"state_directory": str(tmp_path)})
    program = Path(__file__).parents[1] / "interop" / "peers" / "host_propchange.py"
    hosted = start(*lans.here.prefix, sys.executable, program, options).read("ready")
    near = address_of(lans.near, "eth0", 6)
    site = near._replace(host="fd77::2", scope=0)
    with inside(lans.near.namespace, lambda: sending_socket(site)) as point:
        point.sendto(
            b"M-SEARCH * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\n"
            b'MAN: "ssdp:discover"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n',
            ("ff02::c", 1900, 0, near.interface_index),
        )
        point.settimeout(10)
        answer, source = point.recvfrom(1_500)
    assert source[0] == "fd77::1"
    assert f"http://[fd77::1]:{hosted['ready']}/description.xml".encode() in answer


@pytest.mark.parametrize("group", ["239.255.255.250", "ff02::c", "ff05::c"])
def test_each_datagram_is_received_on_the_link_that_it_came_by(network, group):
    lans = TwoLans(network)
    version = ipaddress.ip_address(group).version
    to = Endpoint(group, 1900)
    with contextlib.ExitStack() as opened:

        def at(make, host, interface):
            address = address_of(host, interface, version)
            return opened.enter_context(inside(host.namespace, lambda: make(address)))

        home, office = (
            at(lambda address: joined_socket(to, address), lans.here, interface)
            for interface in ("eth0", "eth1")
        )
        at(sending_socket, lans.near, "eth0").sendto(b"from home", (group, 1900))
        at(sending_socket, lans.far, "eth0").sendto(b"from the office", (group, 1900))
        for joined, sent in ((home, b"from home"), (office, b"from the office")):
            joined.settimeout(5)
            assert joined.recv(100) == sent
        for joined in (home, office):
            joined.settimeout(0.1)
            with pytest.raises(TimeoutError):
                joined.recv(100)
