"""The least that SUBSCRIBE can cost on a loop: a prebuilt answer, and a prebuilt initial event on a
connection of its own, which is kept. No rule is kept, nothing is remembered.

    python -m benchmarks.peers.subscribe_bare uvloop|asyncio

On start: {"ready": version, "event_url": …}.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any, cast

import uvloop

from benchmarks import wire
from benchmarks.peers.lines import commands, tell

_CALLBACK = re.compile(rb"CALLBACK: <http://([\d.]+):(\d+)(/[^>]*)>")
_SID = "uuid:00000000-0000-0000-0000-000000000000"
_GRANT = wire.response(b"", b"SID: " + _SID.encode(), b"TIMEOUT: Second-1800")
_INITIAL = wire.notify_tail("Temperature", "10")


class Delivery(asyncio.Protocol):
    """Sends one message."""

    def __init__(self, message: bytes) -> None:
        self._message = message

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._message)


class Connection(asyncio.Protocol):
    """Answers each request with the same grant."""

    _tasks: set[asyncio.Task[Any]] = set()  # noqa: RUF012 - of all

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._write(_GRANT)
        callback = _CALLBACK.search(data)
        if callback is None:
            return
        address, port, path = (each.decode() for each in callback.groups())
        head = wire.notify_head(f"{address}:{port}", path, _SID)
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(
            lambda: Delivery(head + b"0" + _INITIAL), address, int(port)
        )
        task = loop.create_task(connecting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    tell(ready=type(loop).__module__, event_url=f"http://127.0.0.1:{port}/event")
    async for _ in commands():
        pass
    server.close()


if __name__ == "__main__":
    {"uvloop": uvloop.run, "asyncio": asyncio.run}[sys.argv[1]](main())
