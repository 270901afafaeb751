"""Sockets and their addresses, as every runtime needs them."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from propchange.core.wire.messages import Endpoint

__all__ = ["bind", "cannot_listen", "endpoint_of", "is_address", "socket_address"]

_SAME_PORT_ATTEMPTS = 16
"""Random ports tried until one is free in both address families."""

# On Windows it would let two programs share a port.
_REUSE_ADDRESS = int(sys.platform != "win32")

_PORT_TAKEN = (errno.EADDRINUSE, errno.EACCES)
"""The second for ports that the system reserves: Windows does so with whole ranges of them."""

_FAMILY_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def endpoint_of(sockaddr: Any) -> Endpoint:
    """An endpoint from what ``getsockname`` or ``getpeername`` gives for an Internet socket:
    without zone, an IPv4-mapped address as IPv4, the scope id only where it means something."""
    return Endpoint.of(sockaddr[0], sockaddr[1], sockaddr[3] if len(sockaddr) > 2 else 0)


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def socket_address(endpoint: Endpoint) -> tuple[Any, ...]:
    """The address of ``endpoint``, an IP literal, as a socket takes it."""
    if ":" in endpoint.host:
        return (endpoint.host, endpoint.port, 0, endpoint.scope)
    return (endpoint.host, endpoint.port)


def bind(host: str | None, ports: Sequence[int]) -> list[socket.socket]:
    """Sockets that listen on the first free one of ``ports`` (0: any) of ``host``, an address with
    or without a zone, None being all addresses of IPv4 and of IPv6, as far as there are any: the
    port is the same in both.

    Raises OSError when every port is taken or the address is not this machine's.
    """
    if host is None:
        wanted: list[tuple[int, tuple[Any, ...]]] = [
            (socket.AF_INET, ("0.0.0.0", 0)),
            (socket.AF_INET6, ("::", 0, 0, 0)),
        ]
    else:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        wanted = [(int(family), address) for family, _, _, _, address in found]
    wanted = list(dict.fromkeys(wanted))
    taken: OSError | None = None
    for port in ports if any(ports) else [0] * _SAME_PORT_ATTEMPTS:
        try:
            return _bind_all(wanted, port)
        except OSError as error:
            if error.errno not in _PORT_TAKEN:
                raise
            taken = error
    assert taken is not None
    raise taken


def _bind_all(wanted: list[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, (host, _, *rest) in wanted:
            try:
                bound.append(_bind_one(family, (host, port, *rest)))
            except OSError as error:
                if error.errno not in _FAMILY_MISSING:
                    raise
                missing = error
            else:
                port = bound[0].getsockname()[1]
        if missing is not None and not bound:
            raise missing
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _bind_one(family: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, _REUSE_ADDRESS)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        # Two programs can bind one port at the same time, and only one of them can listen.
        one.listen(1)
    except BaseException:
        one.close()
        raise
    return one


def cannot_listen(host: str | None, ports: Sequence[int], error: OSError) -> str:
    """The sentence for the OSError that :func:`bind` raised for ``ports``."""
    where = f"on {host or 'any address'}"
    named = f"port {ports[0] or 'any'}"
    if len(ports) > 1:
        named = f"ports {ports[0]} to {ports[-1]}"
    if error.errno == errno.EADDRINUSE and any(ports):
        taken = "is taken" if len(ports) == 1 else "are all taken"
        return f"cannot listen {where}: {named} {taken}; name another, a range, or 0 for any"
    if error.errno == errno.EACCES:
        return f"cannot listen {where}: {named}: the system does not allow it; take one above 1023"
    return f"cannot listen {where}, {named}: {error.strerror or error}"
