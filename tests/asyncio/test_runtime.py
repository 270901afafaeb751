"""What asyncio's runtime does where a real socket does it seldom."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

import pytest

from propchange.asyncio import runtime as runtime_module
from propchange.asyncio.runtime import AsyncioRuntime


async def test_what_was_bound_is_let_go_when_listening_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = AsyncioRuntime()
    loop = runtime.loop
    watched: list[int] = []

    def failing(descriptor: int, call: Any) -> None:
        watched.append(descriptor)
        if len(watched) == 2:
            raise OSError(errno.ENOSPC, "no more watches")
        loop.add_reader(descriptor, call)

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return failing if name == "add_reader" else getattr(loop, name)

    monkeypatch.setattr(runtime, "loop", Failing())
    with pytest.raises(OSError, match="no more watches"):
        await runtime.listen(lambda: pytest.fail("nobody connects"), host=None, ports=(0,))
    assert len(watched) == 2
    for descriptor in watched:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


class Transport:
    """A transport of asyncio on which things happen that a real one does seldom."""

    def __init__(self) -> None:
        self.peername: object = ("127.0.0.1", 5)
        self.aborted = False

    def get_extra_info(self, name: str) -> object:
        return self.peername

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: 0

    def is_closing(self) -> bool:
        return self.aborted

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    def abort(self) -> None:
        self.aborted = True


class Connection:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.calls.append("connection_made")
        self.transport = transport

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


def test_a_connection_that_has_gone_before_it_was_accepted_is_never_made() -> None:
    connection, transport = Connection(), Transport()
    stream = runtime_module._Opening(connection)  # type: ignore[arg-type] # what is used of one
    transport.peername = None
    stream.connection_made(transport)  # type: ignore[arg-type] # what is used of one
    assert transport.aborted
    stream.connection_lost(None)
    assert connection.calls == []


async def test_a_peer_that_has_gone_when_the_stream_is_to_end_is_dropped() -> None:
    for gone_first in (False, True):
        connection, transport = Connection(), Transport()
        stream = runtime_module._Opening(connection)  # type: ignore[arg-type] # what is used of one
        stream.connection_made(transport)  # type: ignore[arg-type] # what is used of one
        transport.aborted = gone_first
        connection.transport.write_eof()
        await asyncio.sleep(0)
        assert transport.aborted
        assert connection.calls == ["connection_made"]
