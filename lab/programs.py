"""Programs that write one JSON object a line, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

__all__ = ["PATIENCE", "Line", "Missing", "Program", "free_port"]

PATIENCE = 15.0
"""Seconds to wait for a line or a NOTIFY before it counts as a failure. Peers answer in
milliseconds."""


def free_port() -> int:
    """A free port below the ephemeral ones: the system gives it to no other socket meanwhile, and a
    connection to it, while nobody listens there, is not connected to itself."""
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError("fifty ports are taken")


class Missing(Exception):
    """What is needed is not on this machine, or may not be done: the text says what."""


class Line(NamedTuple):
    """What a program has told, and when, in seconds of ``time.monotonic``."""

    at: float
    told: dict[str, Any]


class Program:
    """A running process that writes one JSON object a line.

    Its lines are read as they come; those that nobody asked for yet are kept, in order. What it
    is waited for and does not tell is an AssertionError.
    """

    def __init__(
        self, command: list[str], stderr: Path, environment: dict[str, str] | None = None
    ) -> None:
        self._stderr = stderr
        with stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | (environment or {}),
                text=True,
            )
        self._name = " ".join(command)
        self._incoming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._kept: list[dict[str, Any]] = []
        self._heard: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.append((time.monotonic(), line))
            self._incoming.put(line)
        self._incoming.put(None)

    @property
    def lines(self) -> list[Line]:
        """All that it has told so far."""
        return [Line(at, json.loads(text)) for at, text in tuple(self._heard)]

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def read(self, *keys: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next line that has one of the keys."""
        wanted = set(keys)
        key = " or ".join(map(repr, keys))
        for number, kept in enumerate(self._kept):
            if wanted & kept.keys():
                return self._kept.pop(number)
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._incoming.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._give_up(f"no line with {key} in {timeout:g} s")
            if line is None:
                self._incoming.put(None)
                self._give_up(f"ended (status {self._process.wait()}) before a line with {key}")
            told = json.loads(line)
            if "error" in told:
                self._give_up(f"{told}")
            if wanted & told.keys():
                return dict(told)
            self._kept.append(told)

    def ask(self, command: str, key: str) -> dict[str, Any]:
        """Send a command line; the answer is the next line that has ``key``."""
        self.tell(command)
        return self.read(key)

    def tell(self, command: str) -> None:
        """Send a command line that is not answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def ask_until(self, command: str, key: str, wanted: object) -> dict[str, Any]:
        """Ask again and again until ``key`` of the answer is ``wanted``, and give that answer:
        for what another process does in its own time."""
        deadline = time.monotonic() + PATIENCE
        while (told := self.ask(command, key))[key] != wanted:
            if time.monotonic() > deadline:
                self._give_up(f"{told} to {command!r}, and not {wanted!r}")
            time.sleep(0.01)  # between two questions to another process
        return told

    def wait(self, *, timeout: float = PATIENCE) -> int:
        """The exit status of a program that ends by itself."""
        return self._process.wait(timeout)

    # --- what happens to programs ---

    def kill(self) -> None:
        """As a power cut does: at once, and nobody is told."""
        self._process.kill()
        self.stop()

    def freeze(self) -> None:
        """Let it do nothing, while the system keeps its sockets open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after :meth:`freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End this very process, gently first."""
        process = self._process
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()  # the C peers end with their stdin
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # or a frozen one would not notice
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _give_up(self, what: str) -> NoReturn:
        stderr = self._stderr.read_text(errors="replace")
        raise AssertionError(f"{self._name}: {what}\nunread: {self._kept}\nstderr: {stderr}")
