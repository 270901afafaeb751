"""Contestants and their peers as processes of their own, each on a processor of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import uvloop

__all__ = ["PEER_CPU", "TARGET_CPU", "Commands", "Worker", "cpu_seconds"]

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


class Worker:
    """A process that runs ``program`` on uvloop and does what it is asked, one thing at a time.

    ``program`` is an async context manager, a function at the top of a module, that yields
    :data:`Commands`.
    """

    def __init__(self, program: Callable[[], Any], cpu: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._name = program.__name__
        self._process = context.Process(target=_work, args=(theirs, program, cpu), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, command: str, *arguments: Any) -> Any:
        """The result of a command."""
        self.tell(command, *arguments)
        return self.result()

    def tell(self, command: str, *arguments: Any) -> None:
        """Begin a command; :meth:`result` waits for it."""
        self._connection.send((command, arguments))

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
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


def _work(connection: Connection, program: Callable[[], Any], cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    uvloop.run(_serve(connection, program))


async def _serve(connection: Connection, program: Callable[[], Any]) -> None:
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(connection.fileno(), readable.set)
    async with program() as commands:
        while True:
            await readable.wait()
            readable.clear()
            try:
                command, arguments = connection.recv()
            except (EOFError, ConnectionResetError):
                break
            try:
                connection.send((False, await commands[command](*arguments)))
            except Exception:  # noqa: BLE001 - whatever it was, the other process tells it
                connection.send((True, traceback.format_exc()))
    asyncio.get_running_loop().remove_reader(connection.fileno())
