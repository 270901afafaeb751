"""The load: C programs over epoll, compiled here; see ``native/``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any, Self

from benchmarks.processes import PEER_CPU, process_cpu_seconds, resident_bytes

__all__ = ["Program", "compiled", "compiler"]

_SOURCES = Path(__file__).parent / "native"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
_PATIENCE = 120.0


def compiler() -> str | None:
    """The path of a C compiler."""
    return shutil.which(os.environ.get("CC", "cc"))


def compiled(name: str) -> Path:
    """The path of a program of ``native/``, compiled if its sources are newer."""
    target = _SOURCES / "bin" / name
    sources = (_SOURCES / f"{name}.c", _SOURCES / "messages.h")
    if target.exists() and target.stat().st_mtime > max(s.stat().st_mtime for s in sources):
        return target
    cc = compiler()
    if cc is None:
        raise RuntimeError(
            "the benchmarks need a C compiler for their load: install gcc, or set CC"
        )
    target.parent.mkdir(exist_ok=True)
    new = target.with_suffix(f".{os.getpid()}")
    subprocess.run([cc, *_FLAGS, "-o", new, sources[0]], check=True)
    new.replace(target)
    return target


class Program:
    """A process that answers each line of its input with a line of JSON.

    It runs on the processor ``cpu``.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        cpu: int | None = PEER_CPU,
    ) -> None:
        self._name = Path(command[0]).name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})
        self.first: dict[str, Any] = self.result()
        """What it prints by itself."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process so far, the kernel's work for it included."""
        return process_cpu_seconds(self.pid)

    @property
    def resident_bytes(self) -> int:
        """The resident set of the process."""
        return resident_bytes(self.pid)

    def ask(self, *words: object) -> dict[str, Any]:
        """The answer to a command."""
        self.tell(*words)
        return self.result()

    def tell(self, *words: object) -> None:
        """Begin a command; :meth:`result` waits for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self._name} has ended") from None

    def result(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select([self._process.stdout], [], [], _PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"{self._name} {'has ended' if ready else 'does not answer'}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self._name}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
