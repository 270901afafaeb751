"""UDP sockets for multicast groups: a socket that receives the datagrams to a group on one link,
and a socket that sends from one address. SSDP and multicast events use both."""

from __future__ import annotations

import contextlib
import socket
import sys

from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.sockets import socket_address

LINK_HOPS = 2
"""TTL or hop limit of a datagram to a group of one link (UDA 2.0 §1.2.2, MC-17)."""

SITE_HOPS = 10
"""Hop limit of a datagram to a group of a site over IPv6 (UDA 2.0 §A.2, V6-11)."""

# By default, Linux gives a datagram to every socket of the port, even if the socket has joined the
# group on another link. Python has no names for the options that turn this off.
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29


def joined_socket(group: Endpoint, address: LocalAddress) -> socket.socket:
    """A socket that receives the datagrams to ``group`` and its port on the link of ``address``.
    It shares the port with the other programs of this machine. Raises OSError.

    If the system allows it, the socket receives no datagram to an address of this machine: those
    are for the program that listens on that address. Do not send from this socket."""
    sock = _socket(address)
    try:
        if address.network.version == 6:
            level, every = socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL
        else:
            level, every = socket.IPPROTO_IP, _IP_MULTICAST_ALL
        share_port(sock)
        _join(sock, group, address)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a kernel before 4.20
                sock.setsockopt(level, every, 0)
            # The option is not enough. For IPv6, Linux compares the group with those that the
            # socket has joined, but not the interface. For IPv4, it may give the datagram to any
            # one of the sockets that share the port by SO_REUSEPORT.
            with contextlib.suppress(OSError):  # a kernel before 5.7, without root
                device = socket.if_indextoname(address.interface_index).encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        if sys.platform == "win32":
            sock.bind(("", group.port))
        elif address.scope:
            sock.bind((group.host, group.port, 0, address.scope))
        else:
            sock.bind((group.host, group.port))
    except BaseException:
        sock.close()
        raise
    return sock


def sending_socket(
    address: LocalAddress, port: int = 0, *, hops: int = LINK_HOPS, shared: bool = False
) -> socket.socket:
    """A socket that sends to a group from ``address`` and ``port`` (0: any), and receives what is
    sent there. ``hops`` is the TTL or the hop limit to the group. ``shared``: other programs may
    bind to the port too. Raises OSError."""
    sock = _socket(address)
    try:
        if address.network.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, _interface(address))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
        else:
            # On Linux the option has the form of a membership, whose group is not used.
            empty = bytes(4) if sys.platform == "linux" else b""
            interface = empty + _interface(address)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        if shared:
            share_port(sock)
        sock.bind(socket_address(address.endpoint._replace(port=port)))
    except BaseException:
        sock.close()
        raise
    return sock


def joined_sending_socket(group: Endpoint, address: LocalAddress, *, hops: int) -> socket.socket:
    """A :func:`sending_socket` that has joined ``group``, so that switches learn of the sender. It
    receives no datagram to the group. Raises OSError."""
    sock = sending_socket(address, hops=hops)
    try:
        _join(sock, group, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, group: Endpoint, address: LocalAddress) -> None:
    member = socket.inet_pton(sock.family, group.host) + _interface(address)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _socket(address: LocalAddress) -> socket.socket:
    six = address.network.version == 6
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if six:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _interface(address: LocalAddress) -> bytes:
    """The interface of ``address``, as the socket options for multicast take it."""
    if address.network.version == 6:
        return (address.scope or address.interface_index).to_bytes(4, sys.byteorder)
    host = socket.inet_aton(address.host)
    if sys.platform != "linux":
        return host
    # Several interfaces may have the same address, so Linux is told the number too.
    return host + address.interface_index.to_bytes(4, sys.byteorder)


def share_port(sock: socket.socket) -> None:
    """Let other programs bind to the port of ``sock`` too, if they set the same options."""
    # BSD shares a multicast port by the second option, Linux by either.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
