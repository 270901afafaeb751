"""The options of the sockets for multicast groups."""

from __future__ import annotations

import select
import socket
import sys
from ipaddress import ip_network

import pytest

from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.multicast_sockets import joined_socket, sending_socket

LOOPBACK = LocalAddress("127.0.0.1", 0, ip_network("127.0.0.0/8"), "lo", 1)
LOOPBACK_V6 = LocalAddress("::1", 0, ip_network("::1/128"), "lo", 1)
GONE = LocalAddress("192.0.2.77", 0, ip_network("192.0.2.0/24"), "gone0", 9)
GONE_V6 = LocalAddress("fe80::77", 9_999, ip_network("fe80::/64"), "gone0", 9_999)


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


def group_of(address: LocalAddress, port: int) -> Endpoint:
    return Endpoint("ff05::c" if address.network.version == 6 else "239.255.255.250", port)


def test_every_program_of_a_machine_hears_what_the_group_is_sent() -> None:
    group = group_of(LOOPBACK, free_port())
    with (
        joined_socket(group, LOOPBACK) as one,
        joined_socket(group, LOOPBACK) as other,
        sending_socket(LOOPBACK) as sender,
    ):
        sender.sendto(b"to all", (group.host, group.port))
        for each in (one, other):
            assert select.select([each], [], [], 5)[0]
            data, source = each.recvfrom(100)
            assert (data, source) == (b"to all", sender.getsockname())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows binds no socket to a group")
def test_what_one_program_is_sent_reaches_no_program_that_only_listens_to_the_group() -> None:
    group = group_of(LOOPBACK, free_port())
    with (
        sending_socket(LOOPBACK, group.port, shared=True) as answering,
        joined_socket(group, LOOPBACK) as listening,
        sending_socket(LOOPBACK) as sender,
    ):
        sender.sendto(b"to one", ("127.0.0.1", group.port))
        assert select.select([answering], [], [], 5)[0]
        assert answering.recv(100) == b"to one"
        assert not select.select([listening], [], [], 0)[0]


def test_a_port_that_is_not_shared_is_had_by_one_program() -> None:
    with sending_socket(LOOPBACK) as first, pytest.raises(OSError, match="in use"):
        sending_socket(LOOPBACK, first.getsockname()[1], shared=True)


@pytest.mark.parametrize(
    ("address", "level", "option"),
    [
        (LOOPBACK, socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
        (LOOPBACK_V6, socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
    ],
    ids=["IPv4", "IPv6"],
)
def test_datagrams_go_two_hops_unless_set_otherwise(
    address: LocalAddress, level: int, option: int
) -> None:
    with sending_socket(address) as usual, sending_socket(address, hops=10) as other:
        assert (usual.getsockopt(level, option), other.getsockopt(level, option)) == (2, 10)


@pytest.mark.parametrize("address", [GONE, GONE_V6], ids=["IPv4", "IPv6"])
def test_an_address_that_has_gone_leaves_no_socket(
    address: LocalAddress, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(OSError, match=r"."):
        sending_socket(address)
    with pytest.raises(OSError, match=r"."):
        joined_socket(group_of(address, 1900), address)
    assert not recwarn.list


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the option")
def test_another_links_datagrams_stay_there() -> None:
    with joined_socket(group_of(LOOPBACK, 1900), LOOPBACK) as listening:
        assert listening.getsockopt(socket.IPPROTO_IP, 49) == 0
