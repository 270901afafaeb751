"""Sockets, their addresses and their ports."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from propchange.core.wire.messages import Endpoint

if sys.platform != "win32":
    import fcntl
    import termios

SAME_PORT_ATTEMPTS = 16
"""Random ports tried until one is free in both address families."""

_PORT_TAKEN = (errno.EADDRINUSE, errno.EACCES)
"""EACCES is for ports that the system reserves: Windows reserves whole ranges."""

_ZONE = re.compile(r"(?![0-9]+$)[A-Za-z0-9._~-]+")

ADDRESS_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO)
"""Errors of a socket that is bound to an address which this machine does not have. All but the
first one are for a link-local address whose interface has gone."""

LOOKS_BEFORE_WARNING = 8
"""Failures to open a socket before a warning is logged. An IPv6 address cannot be used in its first
second or two, while the system checks that no other host has it."""

_NONBLOCKING = getattr(socket, "SOCK_NONBLOCK", 0)  # 0: the system does not have it
_FAMILY_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def endpoint_of(sockaddr: Any) -> Endpoint:
    """The endpoint of an address from ``getsockname`` or ``getpeername`` of an Internet socket. It
    has no zone. An IPv4-mapped address becomes IPv4. A scope id is kept only where it counts."""
    return Endpoint.of(sockaddr[0], sockaddr[1], sockaddr[3] if len(sockaddr) > 2 else 0)


def unsent(sock: Any) -> int:
    """The number of bytes in the send buffer of ``sock``, a socket or a runtime's stand-in, that
    the peer has not confirmed; 0 if the system does not say."""
    return 0 if sys.platform == "win32" else _bytes_in(sock, termios.TIOCOUTQ)


def unread(sock: Any) -> int:
    """The number of bytes that ``sock`` has received and that were not read yet; 0 if the system
    does not say."""
    return 0 if sys.platform == "win32" else _bytes_in(sock, termios.FIONREAD)


def readable(sock: Any) -> bool:
    """Whether ``sock``, a socket or a runtime's stand-in, has bytes or an end of the stream to
    read; False if the system does not say."""
    if sys.platform == "win32":
        return False
    try:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def acknowledge(sock: Any) -> None:
    """Confirm at once what ``sock``, a socket or a runtime's stand-in, has received. Does nothing
    if the system cannot."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def reset_when_closed(sock: Any) -> None:
    """Let the end of ``sock``, a socket or a runtime's stand-in, be a reset."""
    with contextlib.suppress(OSError):
        at_once = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


def _bytes_in(sock: Any, buffer: int) -> int:
    if sys.platform == "win32":
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), buffer, bytes(4)), sys.byteorder)
    except (OSError, ValueError, AttributeError):
        return 0


def socket_address(endpoint: Endpoint) -> tuple[Any, ...]:
    """The address of ``endpoint``, an IP literal, as a socket takes it."""
    scope = (0, endpoint.scope) if ":" in endpoint.host else ()
    return (endpoint.host, endpoint.port, *scope)


def scoped_host(endpoint: Endpoint) -> str:
    """The host as the system's functions take it: with its scope id if it has one."""
    return f"{endpoint.host}%{endpoint.scope}" if endpoint.scope else endpoint.host


def zone_of(scope: int) -> str:
    """The zone for the scope id ``scope`` in URLs: the name of the interface, which stays the same
    if the interface goes and comes back. The number if the name cannot stand in a URL."""
    try:
        name = socket.if_indextoname(scope)
    except OSError:
        return str(scope)
    return name if _ZONE.fullmatch(name) else str(scope)


def socket_from(endpoint: Endpoint, source: Endpoint | None) -> socket.socket:
    """A non-blocking TCP socket that can be connected to ``endpoint``, an IP literal. It is bound
    to the address and port ``source``, if the link of that is known; None: not bound. Raises
    OSError."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on a socket that was made with this protocol number.
    sock = socket.socket(family, socket.SOCK_STREAM | _NONBLOCKING, socket.IPPROTO_TCP)
    try:
        if not _NONBLOCKING:
            sock.setblocking(False)
        if source is not None:
            # A link-local address without a zone is on the link of the peer.
            source = source._replace(scope=source.scope or endpoint.scope)
        # If that is not known either, the system cannot bind to it.
        if source is not None and (source.scope or not _is_link_local_6(source.host)):
            choose_port_late(sock)
            sock.bind(socket_address(source))
    except BaseException:
        sock.close()
        raise
    return sock


def _is_link_local_6(host: str) -> bool:
    return host.startswith("fe") and ":" in host and ip_address(host).is_link_local


def choose_port_late(sock: socket.socket) -> None:
    """Let the system choose the port of ``sock`` when it connects, if it is bound to port 0. Linux
    only. Otherwise bind() searches for a port that no other connection of this machine has, which
    takes most of the time with hundreds of connections."""
    option = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, option, 1)


def ports_of(port: int | Sequence[int]) -> Sequence[int]:
    """The ports that ``port`` means: one (0 for any that is free), or several such as a range.
    Raises ValueError for ports that cannot be listened on, TypeError for what is no port."""
    given: Any = (port,) if isinstance(port, int) else port
    if not isinstance(given, Sequence) or not all(isinstance(each, int) for each in given):
        raise TypeError(f"a port is an int, such as 8123, not {port!r}")
    ports: Sequence[int] = given
    if not ports:
        raise ValueError("a range of ports has at least one port")
    for each in (min(ports), max(ports)):
        if not 0 <= each <= 65_535:
            raise ValueError(f"a port is from 0 to 65535, not {each}")
    if len(ports) > 1 and 0 in ports:
        raise ValueError("port 0 means any free port, so it cannot be one of several")
    return ports


def bind(host: str | None, ports: Sequence[int]) -> list[socket.socket]:
    """Sockets that listen on the first free port of ``ports`` (0: any). ``host`` is an address with
    or without a zone; None: all addresses of IPv4 and of IPv6, if this machine has both, with the
    same port.

    Raises OSError if every port is taken or the address is not this machine's.
    """
    wanted: list[tuple[int, tuple[Any, ...]]] = [
        (socket.AF_INET, ("0.0.0.0", 0)),
        (socket.AF_INET6, ("::", 0, 0, 0)),
    ]
    if host is not None:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        wanted = [(int(family), address) for family, _, _, _, address in found]
    taken = OSError()
    for port in ports if any(ports) else [0] * SAME_PORT_ATTEMPTS:
        try:
            return _bind_all(wanted, port)
        except OSError as error:
            if error.errno not in _PORT_TAKEN:
                raise
            taken = error
    raise taken


def _bind_all(wanted: list[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing = OSError()
    try:
        for family, (host, _, *rest) in wanted:
            try:
                # Two programs can bind one port at the same time, and only one of them can listen.
                one = socket.create_server((host, port, *rest), family=family, backlog=1)
            except OSError as error:
                if error.errno not in _FAMILY_MISSING:
                    raise
                missing = error
            else:
                one.setblocking(False)
                bound.append(one)
                port = one.getsockname()[1]
        if not bound:
            raise missing
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def cannot_listen(host: str | None, ports: Sequence[int], error: OSError) -> str:
    """The sentence for the OSError that :func:`bind` raised for ``ports``."""
    where = f"on {host or 'any address'}"
    several = len(ports) > 1
    named = f"ports {ports[0]} to {ports[-1]}" if several else f"port {ports[0] or 'any'}"
    if error.errno == errno.EADDRINUSE and any(ports):
        taken = "are all taken" if several else "is taken"
        return f"cannot listen {where}: {named} {taken}; name another, or 0 for any free one"
    if error.errno in ADDRESS_GONE:
        return f"cannot listen {where}: no interface of this machine has this address"
    if error.errno == errno.EACCES:
        return f"cannot listen {where}: {named}: the system does not allow it; take one above 1023"
    reason = os.strerror(error.errno) if error.errno else error
    return f"cannot listen {where}, {named}: {reason}"
