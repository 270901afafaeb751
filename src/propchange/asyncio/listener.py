"""The TCP listener of either role: takes requests, writes responses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Callable, Sequence

from propchange.asyncio.accepted import AcceptedConnections, Respond, Told
from propchange.asyncio.clock import monotonic
from propchange.asyncio.interfaces import endpoint_of
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Endpoint, HeaderPairs, Response

__all__ = ["Listener", "Respond", "Told", "cannot_listen"]

_SAME_PORT_ATTEMPTS = 16
"""Random ports tried until one is free in both address families."""

# On Windows it would let two programs share a port.
_REUSE_ADDRESS = int(sys.platform != "win32")

_TURNS_TO_CONNECT = 4
"""Turns of the loop: the task that accepts, the connection, its refusal, its end."""

_PORT_TAKEN = (errno.EADDRINUSE, errno.EACCES)
"""The second for ports that the system reserves: Windows does so with whole ranges of them."""

_FAMILY_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _ignore(response: Response) -> None:
    pass


def cannot_listen(host: str | None, ports: Sequence[int], error: OSError) -> str:
    """The sentence for what :meth:`Listener.open` raised for ``ports``."""
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


class Listener:
    """A TCP server that hands each request to ``respond`` and writes what it returns.

    Made by :meth:`open`; ends with :meth:`close`.
    """

    def __init__(
        self,
        servers: list[asyncio.Server],
        endpoints: tuple[Endpoint, ...],
        connections: AcceptedConnections,
    ) -> None:
        self._servers = servers
        self._connections = connections
        self.endpoints = endpoints
        """Where it listens; ``0.0.0.0`` and ``::`` stand for all addresses of their family."""

    @classmethod
    async def open(
        cls,
        respond: Respond,
        *,
        host: str | None = None,
        port: int | Sequence[int] = 0,
        limits: Limits = DEFAULT_LIMITS,
        logger: logging.Logger | None = None,
        sent: Told = _ignore,
        lost: Told = _ignore,
        headers: Callable[[], HeaderPairs] = tuple,
        clock: Callable[[], float] = monotonic,
        callers: ConnectionHistory | None = None,
    ) -> Listener:
        """Listen on ``port`` (0: any; several: the first that is free) of ``host``, None being all
        addresses of IPv4 and of IPv6, as far as there are any: the port is the same in both.

        ``respond`` is called once per request, in the order of each connection, and returns the
        :class:`Response` or an awaitable of it; an awaitable holds up later requests of its
        connection only. What it raises is logged and answered 500.

        For a response with a ``receipt``, ``sent`` is called when all its bytes have left this
        process, and, when the connection ends after it, the FIN too (UDA 2.0 §4.1.1); or else
        ``lost``, when the connection broke first. What ``headers`` gives goes on the answers that
        the listener makes by itself: to malformed (4xx, 5xx) and overdue (408) requests.
        ``callers`` is told who connects, and what comes to nothing.

        Raises OSError when every port is taken or the address is not this machine's.
        """
        loop = asyncio.get_running_loop()
        connections = AcceptedConnections(
            loop,
            respond,
            sent=sent,
            lost=lost,
            limits=limits,
            logger=logger or logging.getLogger("propchange.http"),
            clock=clock,
            headers=headers,
            callers=callers,
        )
        sockets = await _bind(loop, host, (port,) if isinstance(port, int) else port)
        endpoints = tuple(endpoint_of(bound.getsockname()) for bound in sockets)
        servers: list[asyncio.Server] = []
        # To the stdlib's loop the backlog is also how often it accepts in a row, and without a
        # free file descriptor how many failures it reports a second, each with a traceback.
        try:
            for bound in sockets:
                servers.append(await loop.create_server(connections, sock=bound, backlog=1))
                bound.listen(limits.connections)
        except BaseException:
            for server in servers:
                server.close()
            for bound in sockets:
                bound.close()
            raise
        return cls(servers, endpoints, connections)

    @property
    def port(self) -> int:
        """The TCP port, the same for every address."""
        return self.endpoints[0].port

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections.open)

    async def close(self) -> None:
        """Stop accepting and end every connection. Answers that are written still leave, for
        ``limits.linger_seconds`` at most; awaited ones are cancelled. Safe to call again."""
        self._connections.closing = True
        try:
            await self._settle()
        finally:
            for server in self._servers:
                server.close()
            await self._connections.close()
        for server in self._servers:
            await server.wait_closed()

    async def _settle(self) -> None:
        """Accept no more, and let what has been accepted become a connection. asyncio's server
        breaks when it is closed in between: AssertionError, and a socket that stays open."""
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for listening in server.sockets:
                with contextlib.suppress(NotImplementedError):  # Windows, which does better
                    loop.remove_reader(listening.fileno())
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)


async def _bind(
    loop: asyncio.AbstractEventLoop, host: str | None, ports: Sequence[int]
) -> list[socket.socket]:
    if host is None:
        wanted: list[tuple[int, str, int]] = [
            (socket.AF_INET, "0.0.0.0", 0),
            (socket.AF_INET6, "::", 0),
        ]
    else:
        found = await loop.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        wanted = [(f, str(a[0]), a[3] if len(a) == 4 else 0) for f, _, _, _, a in found]
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


def _bind_all(wanted: list[tuple[int, str, int]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, host, scope in wanted:
            try:
                bound.append(_bind_one(family, host, scope, port))
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


def _bind_one(family: int, host: str, scope: int, port: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, _REUSE_ADDRESS)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((host, port, 0, scope))
        else:
            one.bind((host, port))
        # Two programs can bind one port at the same time, and only one of them can listen.
        one.listen(1)
    except BaseException:
        one.close()
        raise
    return one
