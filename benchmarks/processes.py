"""Contestants and their peers as processes of their own, each on a processor of its own."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import uvloop

__all__ = [
    "PEER_CPU",
    "TARGET_CPU",
    "Commands",
    "Worker",
    "cpu_seconds",
    "process_cpu_seconds",
    "resident_bytes",
]

_CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TARGET_CPU = _CPUS[0] if len(_CPUS) > 1 else None
PEER_CPU = _CPUS[-1] if len(_CPUS) > 1 else None
"""None where there is one processor, or where the system lets nobody choose."""

_PATIENCE = 60.0

Commands = dict[str, Callable[..., Awaitable[Any]]]
"""What a worker can be asked for, by name."""


def cpu_seconds() -> float:
    """Processor time of this process so far, the kernel's work for it included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def process_cpu_seconds(pid: int) -> float:
    """The same of another process, its threads included."""
    return time.clock_gettime(~pid << 3 | 2)  # its CPU-time clock: clock_getcpuclockid(3)


def resident_bytes(pid: int) -> int:
    """The resident set of another process."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


class Worker:
    """A process that runs ``program`` and does what it is asked, one thing at a time.

    ``program`` is an async context manager, a function at the top of a module (or a partial of
    one), that yields :data:`Commands`. It runs on uvloop, or on asyncio's own loop.
    """

    def __init__(
        self,
        program: Callable[[], Any],
        cpu: int | None,
        *,
        on_uvloop: bool = True,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        function = program.func if isinstance(program, partial) else program
        self._name = function.__name__
        self._process = context.Process(
            target=_work, args=(theirs, program, cpu, on_uvloop), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process so far, the kernel's work for it included."""
        assert self._process.pid is not None
        return process_cpu_seconds(self._process.pid)

    @property
    def resident_bytes(self) -> int:
        """The resident set of the process."""
        assert self._process.pid is not None
        return resident_bytes(self._process.pid)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def ask(self, command: str, *arguments: Any) -> Any:
        """The result of a command."""
        self.tell(command, *arguments)
        return self.result()

    def tell(self, command: str, *arguments: Any) -> None:
        """Begin a command; :meth:`result` waits for it."""
        try:
            self._connection.send((command, arguments))
        except BrokenPipeError:
            raise RuntimeError(f"{self._name} has died") from None

    def result(self) -> Any:
        if not self._connection.poll(_PATIENCE):
            raise RuntimeError(f"{self._name} does not answer")
        try:
            is_error, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError(f"{self._name} has died") from None
        if is_error:
            raise RuntimeError(f"{self._name} failed:\n{value}")
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _work(
    connection: Connection, program: Callable[[], Any], cpu: int | None, on_uvloop: bool
) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    # Some subscribers are bad on purpose: print no warnings about them.
    logging.getLogger("propchange").addHandler(logging.NullHandler())
    (uvloop.run if on_uvloop else asyncio.run)(_serve(connection, program))


async def _serve(connection: Connection, program: Callable[[], Any]) -> None:
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(connection.fileno(), readable.set)
    async with program() as commands:
        while True:
            await readable.wait()
            readable.clear()
            if not connection.poll():  # the loop has reported the same bytes twice
                continue
            os.set_blocking(connection.fileno(), True)  # uvloop has changed it; a rest may follow
            try:
                command, arguments = connection.recv()
            except (EOFError, ConnectionResetError):
                break
            try:
                connection.send((False, await commands[command](*arguments)))
            except Exception:  # noqa: BLE001 - the other process raises it
                connection.send((True, traceback.format_exc()))
    asyncio.get_running_loop().remove_reader(connection.fileno())
