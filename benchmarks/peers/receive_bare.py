"""The least that receiving can cost on a loop: httptools collects the header, expat parses the
body, the answer is prebuilt. No rule is kept.

    python -m benchmarks.peers.receive_bare uvloop|asyncio plain|last-change

It has one more member in the line ``ready``: its ``port``. With last-change the text that expat
has found is parsed once more.
"""

from __future__ import annotations

import asyncio
import platform
import pyexpat
import sys
from collections.abc import Callable
from typing import Any, cast

import httptools
import uvloop

from benchmarks import wire
from benchmarks.peers.lines import Tally, commands, tell


class Connection(asyncio.Protocol):
    """One connection of the generator."""

    def __init__(self, tally: Tally, parse: Callable[[bytes], object]) -> None:
        self._tally = tally
        self._parse = parse
        self._write: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = []
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parse(self._body):
            self._tally.events += 1
        self._write(wire.SHORT_ANSWER)


def parse_propertyset(body: bytes) -> dict[str, str]:
    changes: dict[str, str] = {}
    texts: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        texts.clear()

    def end(name: str) -> None:
        if ":" not in name:
            changes[name] = "".join(texts)

    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.Parse(body, True)
    return changes


def parse_last_change(body: bytes) -> dict[str, str]:
    changes: dict[str, str] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if "val" in attributes:
            changes[name] = attributes["val"]

    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = start
    parser.Parse(parse_propertyset(body)["LastChange"], True)
    return changes


async def main(body: str) -> None:
    tally = Tally()
    parse = {"plain": parse_propertyset, "last-change": parse_last_change}[body]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(tally, parse), "127.0.0.1", 0, backlog=1024
    )
    version = f"{type(loop).__module__.partition('.')[0]}, Python {platform.python_version()}"
    tell(ready=version, port=server.sockets[0].getsockname()[1])
    async for _ in commands():
        tally.tell()
    server.close()


if __name__ == "__main__":
    run = {"uvloop": uvloop.run, "asyncio": asyncio.run}[sys.argv[1]]
    run(main(sys.argv[2]))
