"""A Mosquitto of the test's own, what it retains, and a bridge in a process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.cli.conftest import PATIENCE, Loop, Workbench, loop, start, workbench

__all__ = ["Loop", "Workbench", "loop", "start", "workbench"]

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Mosquitto:
    """A broker with a store in ``folder``. ``lines`` are lines of its configuration."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.options: dict[str, Any] = {}
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        if not lines:
            lines = ("allow_anonymous true",)
        settings = (f"listener {self.port} 127.0.0.1", "persistence true", f"user {_user()}")
        store = (f"persistence_location {folder}/", "autosave_interval 1")
        self._config.write_text("\n".join((*settings, *store, *lines)) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(PATIENCE)

    def retained(self, filter: str = "propchange/#") -> dict[str, Any]:
        """What is retained now: the payloads, read as JSON, by topic."""
        return {topic: json.loads(each) for topic, each in self.retained_bytes(filter).items()}

    def retained_bytes(self, filter: str = "#") -> dict[str, bytes]:
        return asyncio.run(self._retained(filter))

    async def _retained(self, filter: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        async with self.client() as client:
            await client.subscribe([(filter, 0), ("test/read", 0)])
            await client.publish("test/read", b"1", qos=1)
            async for message in client.messages:
                if message.topic.value == "test/read":
                    break
                if message.retain:
                    found[message.topic.value] = message.payload
        return found

    def client(self) -> aiomqtt.Client:
        v5 = aiomqtt.ProtocolVersion.V5
        return aiomqtt.Client("127.0.0.1", self.port, protocol=v5, **self.options)

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        async def publish() -> None:
            async with self.client() as client:
                await client.publish(topic, payload, qos=1, retain=retain)

        asyncio.run(publish())

    def wait_for(self, fits: Callable[[dict[str, Any]], object], seconds: float = PATIENCE) -> Any:
        """Wait until what is retained ``fits``; returns it."""
        deadline = time.monotonic() + seconds
        while True:
            retained = self.retained()
            if fits(retained):
                return retained
            assert time.monotonic() < deadline, json.dumps(retained, indent=1)
            time.sleep(0.1)


def _user() -> str:
    # As root, Mosquitto would become another user, who cannot write into the test's folder.
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")


@pytest.fixture
def mosquitto_in(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start a broker, with lines of its configuration."""
    if not Path(MOSQUITTO).exists():
        if os.environ.get("CI"):
            pytest.fail("mosquitto is not installed: tools/install-peers installs it")
        pytest.skip("mosquitto is not installed: tools/install-peers installs it")
    running: list[Mosquitto] = []

    def begin(*lines: str) -> Mosquitto:
        running.append(Mosquitto(tmp_path, *lines))
        return running[-1]

    yield begin
    for each in running:
        assert each.process is not None
        each.process.kill()
        each.process.wait(PATIENCE)


@pytest.fixture
def mosquitto(mosquitto_in: Callable[..., Mosquitto]) -> Mosquitto:
    return mosquitto_in()


class RunningBridge:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status, and what it has said."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


@pytest.fixture
def bridge(start: Any) -> Callable[..., RunningBridge]:
    """Start a bridge on loopback. What still runs at the end is killed."""

    def begin(*words: str, **environment: str) -> RunningBridge:
        env = os.environ | {"PYTHONUNBUFFERED": "1"} | environment
        arguments = ("bridge", *words, "--interface", "127.0.0.1")
        return RunningBridge(start(*arguments, env=env))

    return begin
