"""A TCP server: its sockets, and the connections that it has accepted."""

from __future__ import annotations

from collections.abc import Sequence

from propchange.core.wire.messages import Endpoint
from propchange.driver.connection_table import ConnectionTable
from propchange.driver.runtime import Listening
from propchange.driver.server_connection import ServerConnection


class Listener(ConnectionTable):
    """A TCP server that calls ``respond`` with each request and writes the answer.

    The arguments are those of :class:`.ConnectionTable`. For a response with a ``receipt``,
    ``sent`` is called when all its bytes have left this process, and, if the connection ends
    after it, the FIN too (UDA 2.0 §4.1.1). ``lost`` is called if the connection broke before.

    Call :meth:`open`, and in the end :meth:`close`.
    """

    _listening: Listening | None = None

    def accept(self) -> ServerConnection:
        """Make the connection of a new peer."""
        return ServerConnection(self)

    async def open(self, host: str | None = None, ports: Sequence[int] = (0,)) -> None:
        """Listen on the first free port of ``ports`` (0: any). ``host`` is an address; None: all
        addresses of IPv4 and of IPv6, if this machine has both, with the same port.

        Raises OSError if every port is taken or the address is not this machine's;
        :func:`.cannot_listen` makes a sentence of it.
        """
        self._listening = await self.runtime.listen(
            self.accept, host=host, ports=ports, crowded=self.crowded
        )

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its addresses and ports; ``0.0.0.0`` and ``::`` stand for all addresses of their family.
        Empty before :meth:`open`."""
        return () if self._listening is None else self._listening.endpoints

    @property
    def port(self) -> int:
        """The TCP port, the same for every address. Not before :meth:`open`."""
        return self.endpoints[0].port

    async def close(self) -> None:
        """Stop accepting and end every connection. Answers that are written still leave, for
        ``limits.linger_seconds`` at most; awaited ones are cancelled. Safe to call again."""
        self._closing = True
        try:
            if self._listening is not None:
                await self._listening.close()
        finally:
            await super().close()
