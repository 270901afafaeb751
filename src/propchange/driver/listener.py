"""A TCP server: its sockets, and the connections that it has accepted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any

from propchange.core.wire.messages import Endpoint
from propchange.driver.connection_table import ConnectionTable, Respond
from propchange.driver.runtime import Listening, Runtime
from propchange.driver.server_connection import ServerConnection


class Listener(ConnectionTable):
    """A TCP server that calls ``respond`` with each request and writes the answer.

    The arguments are those of :class:`.ConnectionTable`. For a response with a ``receipt``,
    ``sent`` is called when all its bytes have left this process, and, if the connection ends
    after it, the FIN too (UDA 2.0 §4.1.1). ``lost`` is called if the connection broke before.

    Call :meth:`open`, once for each address, and in the end :meth:`close`.
    """

    def __init__(self, runtime: Runtime, respond: Respond, **options: Any) -> None:
        super().__init__(runtime, respond, **options)
        self._listening: dict[str | None, Listening] = {}
        self._port = 0

    def accept(self) -> ServerConnection:
        """Make the connection of a new peer."""
        return ServerConnection(self)

    async def open(self, host: str | None = None, ports: Sequence[int] = (0,)) -> None:
        """Listen on the first free port of ``ports`` (0: any). ``host`` is an address; None: all
        addresses of IPv4 and of IPv6, if this machine has both, with the same port.

        Raises OSError if every port is taken or the address is not this machine's;
        :func:`.cannot_listen` makes a sentence of it.
        """
        listening = await self.runtime.listen(
            self.accept, host=host, ports=ports, crowded=self.crowded
        )
        self._listening[host] = listening
        self._port = listening.endpoints[0].port

    async def leave(self, host: str | None) -> None:
        """Listen no more on the address ``host``. Its connections stay."""
        await self._listening.pop(host).close()

    @property
    def hosts(self) -> Collection[str | None]:
        """The values of ``host`` with which :meth:`open` has opened it."""
        return self._listening.keys()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its addresses and ports; ``0.0.0.0`` and ``::`` stand for all addresses of their family.
        Empty before :meth:`open`."""
        return tuple(each for listening in self._listening.values() for each in listening.endpoints)

    @property
    def port(self) -> int:
        """The TCP port, the same for every address; 0 before :meth:`open`."""
        return self._port

    async def close(self) -> None:
        """Stop accepting and end every connection. Answers that are written still leave, for
        ``limits.linger_seconds`` at most; awaited ones are cancelled. Safe to call again."""
        self._closing = True
        async with AsyncExitStack() as ending:  # the last runs first; each runs if others raise
            ending.push_async_callback(super().close)
            for listening in self._listening.values():
                ending.push_async_callback(listening.close)
