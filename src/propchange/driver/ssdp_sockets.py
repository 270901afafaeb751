"""The SSDP sockets of one link.

A link is an interface and an address family. Each link has two sockets. The group socket listens
on port 1900, which it shares with every other program of this machine that listens to SSDP. The
search socket sends M-SEARCH; the answers come to its own port, which nobody shares.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple

from propchange.core.discovery.advertisement import Advertisement
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint
from propchange.driver.runtime import Runtime
from propchange.driver.sockets import socket_address
from propchange.driver.timer import Armed
from propchange.errors import RemoteProtocolError
from propchange.upnp.ssdp import IPV4_GROUP, IPV6_LINK_LOCAL_GROUP, read_datagram, search_request

__all__ = ["Link", "LinkSockets", "ssdp_socket"]

_AGAIN_SECONDS = 0.4
"""How long after a search it is sent again: a datagram may be lost (UDA 2.0 §1.3.2)."""

_TTL = 2
"""Routers that a datagram to the group may pass, and one (UDA 2.0 §1.2.2)."""

# Linux hands a datagram to every socket of the port, whichever link it has joined the group on,
# unless it is told not to; Python has no names for these options.
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29


class Link(NamedTuple):
    """An interface and an address family."""

    interface: str
    number: int
    version: int


class LinkSockets:
    """Listens to the SSDP group of one link, and searches there, from ``address``.

    ``received`` gets each advertisement, where it came from and the link. ``ignored`` gets where
    a datagram came from that cannot be read, and why. ``policy`` says what a search tells of the
    control point. In the end call :meth:`close`.

    Raises OSError where the group cannot be joined or the address is not this machine's any more.
    """

    def __init__(
        self,
        runtime: Runtime,
        link: Link,
        address: LocalAddress,
        *,
        received: Callable[[Link, Endpoint, Advertisement], None],
        ignored: Callable[[Endpoint, str], None],
        policy: SubscriberPolicy,
        limits: Limits,
    ) -> None:
        self.link = link
        self.address = address
        self._runtime = runtime
        self._received = received
        self._ignored = ignored
        self._policy = policy
        self._limits = limits
        self._again: set[Armed] = set()
        self._searching = runtime.datagrams(ssdp_socket(address, listening=False), self._take)
        try:
            listening = ssdp_socket(address, listening=True)
        except BaseException:
            self._searching.close()
            raise
        self._listening = runtime.datagrams(listening, self._take)

    def close(self) -> None:
        """Leave the group."""
        for armed in self._again:
            armed.cancel()
        self._again.clear()
        self._listening.close()
        self._searching.close()

    def search(self, target: str) -> None:
        """Send an M-SEARCH for ``target`` to the group, and once more a little later. Raises
        ValueError for a target that no header can carry."""
        policy = self._policy
        group = IPV4_GROUP if self.link.version == 4 else IPV6_LINK_LOCAL_GROUP
        packet = search_request(
            target,
            group=group,
            uda=policy.uda,
            user_agent=policy.user_agent,
            friendly_name=policy.friendly_name,
        ).encode()
        to = _group(self.address)

        def again() -> None:
            self._again.discard(armed)
            self._searching.send(packet, to)

        self._searching.send(packet, to)
        armed = self._runtime.call_later(_AGAIN_SECONDS, again)
        self._again.add(armed)

    def _take(self, data: bytes, source: Endpoint) -> None:
        try:
            advertisement = read_datagram(data, self._limits)
        except RemoteProtocolError as error:
            self._ignored(source, str(error))
            return
        if advertisement is not None:
            self._received(self.link, source, advertisement)


def _group(address: LocalAddress) -> Endpoint:
    """The group on the link of ``address``."""
    group = IPV4_GROUP if address.network.version == 4 else IPV6_LINK_LOCAL_GROUP
    host, _, port = group.rpartition(":")
    return Endpoint(host.strip("[]"), int(port), address.scope)


def ssdp_socket(address: LocalAddress, *, listening: bool) -> socket.socket:
    """A socket that sends to the group from ``address``. With ``listening`` it stands at port 1900
    and receives what the group is sent, else at a port that the system chooses. Raises OSError."""
    group = _group(address)
    six = address.network.version == 6
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if six:
            level, join, every = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _IPV6_MULTICAST_ALL
            interface = address.scope.to_bytes(4, sys.byteorder)
            sock.setsockopt(level, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(level, socket.IPV6_MULTICAST_IF, interface)
            sock.setsockopt(level, socket.IPV6_MULTICAST_HOPS, _TTL)
        else:
            level, join, every = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _IP_MULTICAST_ALL
            interface = socket.inet_aton(address.host)
            sock.setsockopt(level, socket.IP_MULTICAST_IF, interface)
            sock.setsockopt(level, socket.IP_MULTICAST_TTL, _TTL)
        if not listening:
            sock.bind(socket_address(address.endpoint))
            return sock
        # Both: BSDs share a multicast port by the second, Linux by either.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(level, join, socket.inet_pton(sock.family, group.host) + interface)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a kernel before 4.20
                sock.setsockopt(level, every, 0)
        sock.bind(("", group.port))
    except BaseException:
        sock.close()
        raise
    return sock
