"""The addresses of this machine, and sockets' addresses as endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from propchange.core.wire.messages import Endpoint
from propchange.driver.interfaces import scoped_host
from propchange.driver.machine import own_interfaces

__all__ = [
    "addresses",
    "connect",
    "default_address",
    "endpoint_of",
    "on_link_for",
]

P = TypeVar("P", bound=asyncio.BaseProtocol)


def endpoint_of(sockaddr: Any) -> Endpoint:
    """An endpoint from what ``getsockname`` or ``getpeername`` gives for a TCP socket: without
    zone, an IPv4-mapped address as IPv4, the scope id only where it means something."""
    return Endpoint.of(sockaddr[0], sockaddr[1], sockaddr[3] if len(sockaddr) > 2 else 0)


async def connect(protocol: Callable[[], P], endpoint: Endpoint, source: Endpoint | None) -> P:
    """Open a TCP connection to ``endpoint`` from the address of ``source`` (its port is not
    used), any for None; returns what ``protocol`` made. Raises OSError, or ValueError for a host
    that cannot be one."""
    loop = asyncio.get_running_loop()
    if not endpoint.scope or source is None:
        local = None if source is None else (source.host, 0)
        host = scoped_host(endpoint)
        _, made = await loop.create_connection(protocol, host, endpoint.port, local_addr=local)
        return made
    # uvloop loses the scope id of a local address, and of one that a socket connects to; the
    # system remembers it for a socket that was bound to it.
    with contextlib.ExitStack() as stack:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        stack.callback(sock.close)
        sock.setblocking(False)
        sock.bind((source.host, 0, 0, endpoint.scope))
        await loop.sock_connect(sock, (endpoint.host, endpoint.port, 0, endpoint.scope))
        _, made = await loop.create_connection(protocol, sock=sock)
        stack.pop_all()
    return made


_shared = own_interfaces()

addresses = _shared.addresses
default_address = _shared.default_address
on_link_for = _shared.on_link_for
