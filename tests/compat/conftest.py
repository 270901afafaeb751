"""Runs Cohen3, in an environment of its own: Twisted 21.7 and what else it still runs on.

The environment is built once, from hashed pins, in the cache folder of the user. Where it cannot
be built the tests skip and say why, and fail with CI=true.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lab import cohen3_environment
from lab.programs import Missing, free_port

HERE = Path(__file__).parent
COHEN3 = HERE / "cohen3"
SOURCES = HERE.parents[1] / "src"
PATIENCE = 60.0
"""Seconds to wait for an answer before the test fails. They take milliseconds on an
idle machine, and it may not be idle."""


def missing(why: str, *, wanted: str = "environment with Cohen3") -> NoReturn:
    reason = f"no {wanted}: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)  # there is no registry here; never with CI=true


@pytest.fixture(scope="session")
def cohen3_python() -> Path:
    """The Python of an environment that has Cohen3."""
    try:
        return cohen3_environment.python()
    except Missing as error:
        missing(str(error))


class Program:
    """A process that is told commands and answers with JSON Lines."""

    def __init__(self, command: list[str], stderr: Path) -> None:
        with stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": str(SOURCES)},
                text=True,
            )
        self._stderr = stderr
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def read(self, key: str) -> dict[str, Any]:
        """The next line that has ``key``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"no line with {key!r}\n{self._stderr.read_text()}")
            told: dict[str, Any] = json.loads(line)
            if key in told:
                return told

    def ask(self, command: str) -> Any:
        """The answer to a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        name = command.partition(" ")[0]
        return self.read(name)[name]

    def until(self, command: str, right: Callable[[Any], object]) -> Any:
        """Repeat the command until its answer is right, for results that take some time."""
        deadline = time.monotonic() + PATIENCE
        while not right(answer := self.ask(command)):
            if time.monotonic() > deadline:
                pytest.fail(f"{command}: {answer}\n{self._stderr.read_text()}")
            time.sleep(0.02)  # between two questions to another process
        return answer

    def errors(self) -> str:
        return self._stderr.read_text(errors="replace")

    def stop(self) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        process.stdout.close()


Start = Callable[..., Program]


@pytest.fixture
def start(cohen3_python: Path, tmp_path: Path) -> Iterator[Start]:
    """``start("renderer", "swapped")`` runs Cohen3 in that role."""
    with contextlib.ExitStack() as running:

        def start(role: str, which: str) -> Program:
            command = [
                *(str(cohen3_python), "-W", "ignore", str(COHEN3 / "programs.py")),
                *(role, which, str(free_port())),
            ]
            program = Program(command, tmp_path / f"{role}.txt")
            running.callback(program.stop)
            return program

        yield start
