"""The SSDP sockets of one link: async-upnp-client's.

A link is an interface and an address family. Each has two sockets, since an answer to a search
goes to the port that the search came from, and port 1900 is shared with every other program here
that listens to SSDP (SO_REUSEADDR and SO_REUSEPORT, both set by async-upnp-client).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, cast

from propchange.asyncio.interfaces import endpoint_of
from propchange.core.discovery.advertisement import Advertisement
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.errors import RemoteProtocolError
from propchange.upnp.ssdp import read_datagram

__all__ = ["Link", "LinkSockets", "ssdp_library"]

Received = Callable[["Link", Endpoint, Advertisement], None]
Ignored = Callable[[Endpoint, str], None]

_MX = 2
"""Seconds over which devices spread their answers to a search (UDA 2.0 §1.3.2)."""

_AGAIN_SECONDS = 0.4
"""How long after a search it is sent again: a datagram may be lost (UDA 2.0 §1.3.2)."""

# Linux hands a datagram to every socket of the port, whichever link it has joined the group on,
# unless it is told not to; Python has no names for these options.
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29


def ssdp_library() -> ModuleType:
    """async-upnp-client's ``ssdp``. Raises ImportError with what to do when it is missing."""
    try:
        from async_upnp_client import ssdp
    except ImportError as error:
        raise ImportError(
            "discovery needs async-upnp-client: pip install 'propchange[discovery]'",
            name=error.name,
        ) from error
    return ssdp


class Link(NamedTuple):
    """An interface and an address family."""

    interface: str
    number: int
    version: int


class LinkSockets:
    """Listens to the group of one link and searches there, from ``address``.

    ``received`` gets what devices announce, ``ignored`` who has sent what cannot be read, and why.
    """

    def __init__(
        self,
        link: Link,
        address: LocalAddress,
        *,
        received: Received,
        ignored: Ignored,
        limits: Limits,
    ) -> None:
        self.link = link
        self.address = address
        self._received = received
        self._ignored = ignored
        self._limits = limits
        self._listening: asyncio.DatagramTransport | None = None
        self._searching: asyncio.DatagramTransport | None = None
        self._again: set[asyncio.TimerHandle] = set()

    async def open(self) -> None:
        """Join the group. Raises OSError where that cannot be, and what cannot be bound to."""
        try:
            self._listening = await self._endpoint(self._listening_socket)
            self._searching = await self._endpoint(self._searching_socket)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the group."""
        for handle in self._again:
            handle.cancel()
        self._again.clear()
        for transport in (self._listening, self._searching):
            if transport is not None:
                transport.abort()
        self._listening = self._searching = None

    def search(self, target: str) -> None:
        """Send an M-SEARCH for ``target`` to the group, and once more a little later."""
        self._send_search(target)
        handle: asyncio.TimerHandle

        def again() -> None:
            self._again.discard(handle)
            self._send_search(target)

        handle = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, again)
        self._again.add(handle)

    def _send_search(self, target: str) -> None:
        if self._searching is None:
            return
        ssdp = ssdp_library()
        group = self._group()
        # HOST names the group without a zone (V6-07).
        packet = ssdp.build_ssdp_search_packet((*group[:2], 0, 0)[: len(group)], _MX, target)
        with contextlib.suppress(OSError):  # the interface is going away
            self._searching.sendto(packet, group)

    # --- sockets ---

    def _group(self) -> tuple[Any, ...]:
        ssdp = ssdp_library()
        if self.link.version == 4:
            return cast(tuple[Any, ...], ssdp.SSDP_TARGET_V4)
        return (ssdp.SSDP_IP_V6_LINK_LOCAL, ssdp.SSDP_PORT, 0, self.address.scope)

    def _source(self) -> tuple[Any, ...]:
        if self.link.version == 4:
            return (self.address.host, 0)
        return (self.address.host, 0, 0, self.address.scope)

    def _socket(self) -> socket.socket:
        family = socket.AF_INET if self.link.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # An address that has gone: the library would leave a socket open behind its error.
            probe.bind(self._source())
        sock, _, _ = ssdp_library().get_ssdp_socket(self._source(), self._group())
        assert isinstance(sock, socket.socket)
        return sock

    def _listening_socket(self) -> socket.socket:
        sock = self._socket()
        try:
            if self.link.version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):  # a kernel before 4.20
                    if self.link.version == 6:
                        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
                    else:
                        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.bind(("", self._group()[1]))
        except BaseException:
            sock.close()
            raise
        return sock

    def _searching_socket(self) -> socket.socket:
        sock = self._socket()
        try:
            sock.bind(self._source())
        except BaseException:
            sock.close()
            raise
        return sock

    async def _endpoint(self, make: Callable[[], socket.socket]) -> asyncio.DatagramTransport:
        sock = make()
        sock.setblocking(False)
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(self._take), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        return transport

    # --- datagrams ---

    def _take(self, data: bytes, sockaddr: Any) -> None:
        source = endpoint_of(sockaddr)
        try:
            advertisement = read_datagram(data, self._limits)
        except RemoteProtocolError as error:
            self._ignored(source, str(error))
            return
        if advertisement is not None:
            self._received(self.link, source, advertisement)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Any], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error for a search: nobody there is no news."""
