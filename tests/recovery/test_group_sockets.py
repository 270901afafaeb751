"""A socket that has joined a group on one link receives what comes by that link alone."""

from __future__ import annotations

import contextlib
import ipaddress

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
