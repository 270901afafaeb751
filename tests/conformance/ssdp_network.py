"""Networks that the SSDP table is played on: our side at ``here``, the peer at ``near`` and
``far``, with plain sockets."""

from __future__ import annotations

import contextlib
import ipaddress
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.networks import Host
from lab.two_lans import TwoLans
from tests.interop.wire import inside

GROUPS = {"IPv4": "239.255.255.250", "IPv6": "ff02::c", "IPv6 of a site": "ff05::c"}
"""The group of each kind of address."""

HOPS = {"IPv4": 2, "IPv6": 2, "IPv6 of a site": 10}
"""TTL or hop limit of a datagram to the group."""

PORT = 1900

_IP_RECVTTL = 12
"""Linux's; Python has no name for it before 3.14."""

PATIENCE = 10.0
"""Seconds that a test waits for what is to come at once."""


class Heard(NamedTuple):
    """A datagram that has reached the peer. ``to_group``: it was sent to the group. ``source`` is
    the address that an answer goes to."""

    at: float
    data: bytes
    source: Any
    hops: int
    to_group: bool


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a host on one network: ``own`` is without a zone."""

    own: str
    index: int


class Ear:
    """The peer at one host, with one kind of address: it sends, and keeps what it receives."""

    def __init__(self, host: Host, family: str) -> None:
        self.host = host
        self.family = family
        self.is_ipv6 = family != "IPv4"
        self.address = Addresses(address_of(host, "eth0", family), host.index())
        self.heard: list[Heard] = []
        self._changed = threading.Condition()
        self._group, self._own = inside(host.namespace, lambda: (self._joined(), self._bound()))
        self._closing = False
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        self._thread.start()

    def send(self, data: bytes, to: Any = None) -> None:
        """Send to the group, or to ``to``."""
        self._own.sendto(data, to or self.at(GROUPS[self.family], PORT))

    def wait(self, enough: Callable[[list[Heard]], Any], seconds: float = PATIENCE) -> Any:
        """The result of ``enough`` once it is true, or in ``seconds``."""
        end = time.monotonic() + seconds
        with self._changed:
            while not (found := enough(self.heard)) and time.monotonic() < end:
                self._changed.wait(end - time.monotonic())
            return found

    def close(self) -> None:
        self._closing = True
        self._thread.join(PATIENCE)
        self._group.close()
        self._own.close()

    def at(self, host: str, port: int) -> Any:
        """An address on this network, for sockets."""
        return (host, port, 0, self.address.index) if self.is_ipv6 else (host, port)

    def _joined(self) -> socket.socket:
        opened = self._opened()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(self.at(GROUPS[self.family], PORT))
        member = socket.inet_pton(opened.family, GROUPS[self.family])
        if self.is_ipv6:
            opened.setsockopt(
                socket.IPPROTO_IPV6,
                socket.IPV6_JOIN_GROUP,
                member + struct.pack("=I", self.address.index),
            )
        else:
            here = socket.inet_aton(self.address.own)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member + here)
        return opened

    def _bound(self) -> socket.socket:
        opened = self._opened()
        opened.bind(self.at(self.address.own, 0))
        if self.is_ipv6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS[self.family])
        else:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        return opened

    def _opened(self) -> socket.socket:
        family = socket.AF_INET6 if self.is_ipv6 else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if self.is_ipv6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        return opened

    def _read_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._group, self._own):
                selector.register(each, selectors.EVENT_READ)
            while not self._closing:
                for key, _ in selector.select(0.1):
                    opened: Any = key.fileobj
                    data, more, _, source = opened.recvmsg(65_536, 256)
                    hops = next((int.from_bytes(value[:4], "little") for *_, value in more), 0)
                    heard = Heard(time.monotonic(), data, source, hops, opened is self._group)
                    with self._changed:
                        self.heard.append(heard)
                        self._changed.notify_all()


def address_of(host: Host, interface: str, family: str) -> str:
    """The address of ``host`` on ``interface``."""
    if family == "IPv6":
        return host.link_local(interface)
    scope = "-4 -o addr show" if family == "IPv4" else "-6 -o addr show scope global"
    return host.ip(f"{scope} dev {interface}").split()[3].partition("/")[0]


class Lane:
    """A network for one row at a time."""

    def __init__(self, network: Any) -> None:
        self.lans = TwoLans(network)
        for host in (self.lans.here, self.lans.near, self.lans.far):
            _wait_for_addresses(host)

    def ears(self, family: str) -> dict[str, Ear]:
        """The peer on both networks."""
        return {"near": Ear(self.lans.near, family), "far": Ear(self.lans.far, family)}


def _wait_for_addresses(host: Host) -> None:
    """Wait until the IPv6 addresses of ``host`` can be used."""
    end = time.monotonic() + PATIENCE
    while "tentative" in host.ip("-6 addr show") and time.monotonic() < end:
        time.sleep(0.05)


def url_host(host: str) -> str:
    """``host`` as it stands in a URL."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 6:
            return f"[{host}]"
    return host
