"""A Mosquitto of the test's own, what it retains, and a bridge in a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

import lab.mosquitto
from lab.fixtures import missing
from lab.programs import Missing
from tests.cli.conftest import PATIENCE, Loop, Workbench, loop, start, workbench

__all__ = ["Loop", "Workbench", "loop", "start", "workbench"]


class Mosquitto(lab.mosquitto.Mosquitto):
    """A broker that a test without a loop asks. ``options`` are those of its clients."""

    def __init__(self, folder: Path, *lines: str) -> None:
        super().__init__(folder, *lines)
        self.options: dict[str, Any] = {}

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


@pytest.fixture
def mosquitto_in(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start a broker, with lines of its configuration."""
    running: list[Mosquitto] = []

    def begin(*lines: str) -> Mosquitto:
        made = Mosquitto(tmp_path, *lines)
        try:
            made.start()
        except Missing as error:
            missing(error)
        running.append(made)
        return made

    yield begin
    for each in running:
        each.stop(signal.SIGKILL)


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
