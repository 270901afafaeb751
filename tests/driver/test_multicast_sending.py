"""The sockets that multicast events leave by, with addresses that the test defines."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind, LocalAddress
from propchange.core.multicast.message import Datagram, MulticastMessage, MulticastScope
from propchange.core.multicast.publication import MulticastPolicy
from propchange.driver import memberships, multicast_sending
from propchange.driver.multicast_sending import MulticastSending
from propchange.driver.multicast_sockets import joined_sending_socket, joined_socket
from tests.multicast import own_port

__all__ = ["own_port"]

MESSAGE = MulticastMessage("uuid:1::urn:x:service:Door:1", "urn:x", 0, "upnp:/info", 7, b"<e/>")


def address(text: str, interface: str = "eth0", index: int = 2) -> LocalAddress:
    own = ip_interface(text)
    scope = index if own.version == 6 and own.is_link_local else 0
    return LocalAddress(str(own.ip), scope, own.network, interface, index)


LOOPBACK = address("127.0.0.1/8", "lo", 1)
LAN = [
    address("192.168.1.5/24"),
    address("192.168.1.6/24"),
    address("fe80::5/64"),
    address("fd00::5/64"),
    address("2001:db8::5/64"),
]
OTHER = [address("10.0.0.5/24", "eth1", 3), address("fe80::5/64", "eth1", 3)]


def places_of(sending: MulticastSending) -> list[tuple[str, MulticastScope, str]]:
    return [
        (place.interface, place.scope, address.host)
        for place, (address, _) in sending.places.sockets.items()
    ]


class FakeSocket:
    """A socket that notes what is sent by it. ``fails`` is the error of the next sends."""

    def __init__(self, address: LocalAddress, hops: int) -> None:
        self.address = address
        self.hops = hops
        self.sent: list[tuple[bytes, Any]] = []
        self.fails: int | None = None
        self.closed = False

    def sendto(self, data: bytes, to: Any) -> None:
        if self.fails is not None:
            raise OSError(self.fails, "no")
        self.sent.append((data, to))

    def close(self) -> None:
        self.closed = True


class Sending:
    """A device with ``addresses``, which sends into memory."""

    def __init__(
        self,
        memory: Any,
        monkeypatch: pytest.MonkeyPatch,
        *addresses: LocalAddress,
        policy: MulticastPolicy | None = None,
        **limits: Any,
    ) -> None:
        self.memory = memory
        self.addresses: list[LocalAddress] = list(addresses)
        self.broken = False
        self.sockets: list[FakeSocket] = []
        self.sending = MulticastSending(
            memory, self._read, policy or MulticastPolicy(), replace(DEFAULT_LIMITS, **limits)
        )
        monkeypatch.setattr(multicast_sending, "joined_sending_socket", self._make)
        monkeypatch.setattr(memberships, "joined_groups", lambda: None)

    def _read(self) -> list[LocalAddress]:
        if self.broken:
            raise OSError("the system says no")
        return self.addresses

    def _make(self, group: Any, address: LocalAddress, *, hops: int) -> FakeSocket:
        if address.host == "192.0.2.77":
            raise OSError(errno.EADDRNOTAVAIL, "no such address")
        self.sockets.append(FakeSocket(address, hops))
        return self.sockets[-1]

    def send(self, *scopes: MulticastScope, seq: int = 0) -> None:
        self.sending.send(Datagram(replace(MESSAGE, seq=seq), scope) for scope in scopes)

    @property
    def places(self) -> list[tuple[str, MulticastScope, str]]:
        """The interface, the scope and the address of each socket."""
        return places_of(self.sending)

    def left_by(self) -> list[tuple[str, str]]:
        """The interface and the group of each datagram, since the last call."""
        told = []
        for sock in self.sockets:
            told += [(sock.address.interface, to[0]) for _, to in sock.sent]
            sock.sent.clear()
        return sorted(told)


@pytest.fixture
def sending(memory: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda *addresses, **options: Sending(memory, monkeypatch, *addresses, **options)


@pytest.mark.clause("MC-19")
def test_an_event_leaves_once_by_each_interface_from_an_address_of_its_scope(sending: Any) -> None:
    out = sending(LOOPBACK, address("::1/128", "lo", 1), *LAN, *OTHER)
    out.sending.look()
    assert sorted(out.places, key=str) == sorted(
        [
            ("lo", MulticastScope.IPV4, "127.0.0.1"),
            ("eth0", MulticastScope.IPV4, "192.168.1.5"),
            ("eth1", MulticastScope.IPV4, "10.0.0.5"),
            ("eth0", MulticastScope.LINK_LOCAL, "fe80::5"),
            ("eth1", MulticastScope.LINK_LOCAL, "fe80::5"),
            ("eth0", MulticastScope.SITE_LOCAL, "fd00::5"),
        ],
        key=str,
    )
    out.send(*out.sending._policy.scopes)
    assert out.left_by() == sorted(
        [
            ("lo", "239.255.255.246"),
            ("eth0", "239.255.255.246"),
            ("eth1", "239.255.255.246"),
            ("eth0", "FF02::130"),
            ("eth1", "FF02::130"),
            ("eth0", "FF05::130"),
        ]
    )


@pytest.mark.clause("MC-19")
def test_all_interfaces_get_the_same_bytes_but_for_host(sending: Any) -> None:
    out = sending(*LAN, *OTHER)
    out.send(*out.sending._policy.scopes)
    datagrams = [data for sock in out.sockets for data, _ in sock.sent]
    assert len(set(datagrams)) == 3
    rests = {
        tuple(line for line in data.split(b"\r\n") if line[:5] != b"HOST:") for data in datagrams
    }
    assert len(rests) == 1


@pytest.mark.clause("V6-12")
def test_no_other_message_is_sent_between_the_interfaces_of_one(sending: Any) -> None:
    out = sending(LOOPBACK, *LAN, *OTHER)
    out.sending.look()
    order: list[bytes] = []
    for sock in out.sockets:
        sock.sendto = lambda data, _: order.append(data)  # type: ignore[method-assign]
    out.sending.send(Datagram(replace(MESSAGE, seq=seq), MulticastScope.IPV4) for seq in range(3))
    seqs = [data.split(b"SEQ: ")[1][:1] for data in order]
    assert seqs == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3


@pytest.mark.clause("MC-17", "V6-11")
def test_the_ttl_is_2_and_can_be_set(sending: Any) -> None:
    out = sending(*LAN)
    out.sending.look()
    assert [sock.hops for sock in out.sockets] == [2, 2, 10]
    out = sending(*LAN, policy=MulticastPolicy(hops=5))
    out.sending.look()
    assert [sock.hops for sock in out.sockets] == [5, 5, 5]


def test_the_cap_on_places_leaves_out_the_bridges_of_containers_first(sending: Any) -> None:
    bridge = address("172.17.0.1/16", "docker0", 9)._replace(kind=InterfaceKind.BRIDGE)
    out = sending(bridge, *OTHER, multicast_places=2)
    out.sending.look()
    assert [interface for interface, *_ in out.places] == ["eth1", "eth1"]
    out.addresses.insert(0, LAN[0])
    out.memory.advance(DEFAULT_LIMITS.link_seconds)
    out.sending.look()
    assert [interface for interface, *_ in out.places] == ["eth1", "eth1"]  # they are used already


def test_an_interface_that_comes_is_sent_on_and_one_that_goes_is_not(sending: Any) -> None:
    out = sending(*LAN[:1])
    out.send(MulticastScope.IPV4)
    out.addresses += [OTHER[0], address("192.0.2.77/24", "gone0", 9)]
    out.memory.advance(DEFAULT_LIMITS.link_seconds)
    out.send(MulticastScope.IPV4)
    assert out.left_by() == [("eth0", "239.255.255.246")] * 2 + [("eth1", "239.255.255.246")]
    del out.addresses[0]
    out.memory.advance(DEFAULT_LIMITS.link_seconds)
    out.send(MulticastScope.IPV4)
    assert out.left_by() == [("eth1", "239.255.255.246")]
    assert [sock.closed for sock in out.sockets] == [True, False]
    out.broken = True
    out.memory.advance(DEFAULT_LIMITS.link_seconds)
    out.send(MulticastScope.IPV4)
    assert out.left_by() == [("eth1", "239.255.255.246")]
    out.sending.close()
    assert all(sock.closed for sock in out.sockets)
    out.sending.close()


def test_an_address_that_is_sent_from_stays_when_another_one_is_listed_first(sending: Any) -> None:
    out = sending(LAN[1])
    out.sending.look()
    out.addresses.insert(0, LAN[0])
    out.sending.look()
    assert out.places == [("eth0", MulticastScope.IPV4, "192.168.1.6")]
    assert len(out.sockets) == 1
    out.addresses.remove(LAN[1])
    out.sending.look()
    assert out.places == [("eth0", MulticastScope.IPV4, "192.168.1.5")]


def test_the_addresses_are_not_read_for_each_event(sending: Any) -> None:
    out = sending(*LAN)
    reads: list[int] = []
    out.sending.places._addresses = lambda: reads.append(1) or LAN
    for _ in range(100):
        out.send(MulticastScope.IPV4)
    assert len(reads) == 1


def test_an_alias_is_no_interface_of_its_own(sending: Any) -> None:
    out = sending(LAN[0], address("192.168.9.5/24", "eth0:1", 2))
    out.send(MulticastScope.IPV4)
    assert out.left_by() == [("eth0", "239.255.255.246")]


def test_a_place_without_a_socket_is_told_when_it_has_failed_twice(
    sending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An IPv6 address cannot be used in its first two seconds."""
    out = sending(address("192.0.2.77/24", "gone0", 9))
    out.sending.look()
    assert caplog.messages == []
    for _ in range(5):
        out.sending.look()
    assert [line.partition(": ")[0] for line in caplog.messages] == [
        "multicast events are not sent on gone0, group 239.255.255.246:7900"
    ]
    out.addresses[0] = address("192.0.2.78/24", "gone0", 9)
    out.sending.look()
    assert len(out.sockets) == 1


def test_the_sockets_are_bounded(sending: Any) -> None:
    many = [address(f"10.{number}.0.1/24", f"veth{number}", number) for number in range(200)]
    out = sending(*many, multicast_places=10)
    out.sending.look()
    assert len(out.sockets) == 10


@pytest.mark.parametrize("error", [errno.ENETUNREACH, errno.ENOBUFS, errno.EAGAIN, errno.EPERM])
def test_a_datagram_that_the_system_refuses_is_told_once_and_the_others_leave(
    sending: Any, caplog: pytest.LogCaptureFixture, error: int
) -> None:
    out = sending(LAN[0], OTHER[0])
    out.sending.look()
    out.sockets[0].fails = error
    for seq in range(9):
        out.send(MulticastScope.IPV4, seq=seq)
    assert out.left_by() == [("eth1", "239.255.255.246")] * 9
    (line,) = caplog.messages
    assert line.startswith("a multicast event was not sent by eth0 to 239.255.255.246:7900: ")


# --- over loopback ---


@pytest.fixture
def receiver(own_port: int) -> Iterator[socket.socket]:
    with joined_socket(MulticastScope.IPV4.group, LOOPBACK) as receiver:
        receiver.settimeout(10)
        yield receiver


@pytest.mark.clause("MC-17", "MC-18")
def test_what_is_sent_on_loopback_is_received_there(receiver: socket.socket, memory: Any) -> None:
    sending = MulticastSending(memory, lambda: [LOOPBACK], MulticastPolicy(hops=3), DEFAULT_LIMITS)
    sending.look()
    assert places_of(sending) == [("lo", MulticastScope.IPV4, "127.0.0.1")]
    ((_, sock),) = sending.places.sockets.values()
    assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 3
    joined = is_member(sock)
    sending.send([Datagram(replace(MESSAGE, usn="uuid:loopback"), MulticastScope.IPV4)])
    data = b""
    while b"uuid:loopback" not in data:
        data, (host, _) = receiver.recvfrom(65_536)
    sending.close()
    assert host == "127.0.0.1"
    assert joined


def is_member(sock: socket.socket) -> bool:
    """Whether the socket has joined the group on loopback: then it cannot join it again."""
    group = socket.inet_aton("239.255.255.246") + socket.inet_aton("127.0.0.1")
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


GONE = [address("192.0.2.77/24", "gone0", 9_999), address("fe80::77/64", "gone0", 9_999)]


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.host)
def test_an_address_that_has_gone_leaves_no_socket(
    gone: LocalAddress, recwarn: pytest.WarningsRecorder
) -> None:
    scope = MulticastScope.IPV4 if gone.network.version == 4 else MulticastScope.LINK_LOCAL
    with pytest.raises(OSError, match=r"."):
        joined_sending_socket(scope.group, gone, hops=2)
    assert not recwarn.list
