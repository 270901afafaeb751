"""A Mosquitto of one's own on a free port of loopback, and what it retains.

In a test: ``with Mosquitto(tmp_path) as broker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import aiomqtt

from lab.programs import Missing, free_port

__all__ = ["PROGRAM", "Mosquitto", "Watcher", "retained"]


PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Mosquitto:
    """A broker with its store and its log in ``folder``. Its configuration has ``lines`` too;
    without any, everybody may come in."""

    def __init__(self, folder: Path, *lines: str, address: str = "127.0.0.1") -> None:
        self.folder = folder
        self.address = address
        self.port = free_port()
        self.url = f"mqtt://{self.address}:{self.port}"
        self._lines = lines or ("allow_anonymous true",)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it takes connections. Raises Missing without the program."""
        if PROGRAM is None:
            raise Missing("no mosquitto on this machine: tools/install-peers installs it")
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.port} {self.address}\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_interval 1\nuser {_user()}\n"
            + "".join(f"{line}\n" for line in self._lines)
        )
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(configuration)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((self.address, self.port), 1).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "mosquitto.log").read_text())
            time.sleep(0.02)  # between two attempts to connect

    def stop(self, signal_: int = signal.SIGTERM) -> None:
        """End it, with SIGKILL as without power."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)  # a stopped one does not end
            self._process.send_signal(signal_)
            self._process.wait()
            self._process = None


def _user() -> str:
    # As root, Mosquitto would become another user, who cannot write into the folder.
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")


async def retained(broker: Mosquitto, *filters: str) -> dict[str, bytes]:
    """What the broker retains now, by topic; all of it without a filter."""
    kept: dict[str, bytes] = {}
    end = f"lab/{os.getpid()}/{time.monotonic_ns()}"
    async with aiomqtt.Client(broker.address, broker.port) as client:
        # With QoS 1 Mosquitto drops retained messages beyond a thousand.
        await client.subscribe([(each, 0) for each in (*(filters or ("#",)), end)])
        await client.publish(end, b"end")
        async with asyncio.timeout(20):
            async for message in client.messages:
                if message.topic.value == end:
                    break
                if message.retain:
                    kept[message.topic.value] = _bytes(message)
    return kept


def _bytes(message: aiomqtt.Message) -> bytes:
    payload = message.payload
    return payload if isinstance(payload, bytes) else b""


class Watcher:
    """A client that keeps every message that comes, and the last one of each topic."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.last: dict[str, bytes] = {}
        self.messages: list[tuple[str, bytes]] = []
        self._came = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, broker: Mosquitto, *filters: str) -> AsyncIterator[Self]:
        """A watcher of these topics; of all without any."""
        async with aiomqtt.Client(broker.address, broker.port) as client:
            watcher = cls(client)
            await client.subscribe([(each, 1) for each in filters or ("#",)])
            task = asyncio.create_task(watcher._hear())
            try:
                yield watcher
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _hear(self) -> None:
        async for message in self.client.messages:
            topic, payload = message.topic.value, _bytes(message)
            self.messages.append((topic, payload))
            self.last[topic] = payload
            self._came.set()

    def json(self, topic: str) -> Any:
        """The last payload of a topic; None without one, and after an empty one."""
        payload = self.last.get(topic)
        return json.loads(payload) if payload else None

    async def until(self, right: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true result of ``right``."""
        async with asyncio.timeout(seconds):
            while not (result := right()):
                self._came.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), 0.2)
        return result
