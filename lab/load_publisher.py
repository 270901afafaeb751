"""A publisher under load, in a process of its own: ``python -m lab.load_publisher uvloop``.

It prints its port. Then it reads commands, one JSON list per line, and prints the result of each:
``["run", changes per second, seconds]`` assigns, ``["measure"]`` begins to measure, ``["figures"]``
prints what was measured since. ``["trace"]`` begins to count the memory of Python's objects,
``["traced"]`` prints its growth in bytes, and how many ms a full garbage collection takes, as it is
and after ``gc.freeze()``. ``["collect"]`` prints the number of objects that the garbage collector
visits, and how many ms a full collection takes. ``["exhaust", number]`` uses up all file
descriptors but some, ``["relax"]`` gives them back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self, cast

from propchange.core.limits import DEFAULT_LIMITS, Limits


class Publisher:
    """The process of the publisher, with ``limits`` that differ from the defaults, and with
    ``descriptors`` file descriptors (0: as this process). ``prefix`` are the words before the
    command, such as those of a :class:`lab.networks.Host`."""

    def __init__(
        self,
        kind: str,
        limits: dict[str, Any],
        descriptors: int = 0,
        prefix: Sequence[str] = (),
    ) -> None:
        program = [*prefix, sys.executable, "-m", "lab.load_publisher", kind, json.dumps(limits)]
        if descriptors:
            program = ["prlimit", f"--nofile={descriptors}", *program]
        self.kind = kind
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask_now(self, *command: Any) -> Any:
        """The result of a command of this module."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        return json.loads(self._line())

    async def ask(self, *command: Any) -> Any:
        """The same, without blocking the loop."""
        return await asyncio.to_thread(self.ask_now, *command)

    @property
    def path(self) -> str:
        """The path of the event URL."""
        return "/" if self.kind == "twisted" else "/Load/event"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


SERVICE_TYPE = "urn:example-org:service:Load:1"
_TICK = 0.002


def limits_of(changes: dict[str, Any]) -> Limits:
    """The default limits with ``changes``."""
    return replace(DEFAULT_LIMITS, **changes)


class Measuring:
    """Time and memory since :meth:`begin`. ``pause_ms`` is the longest pause of the loop by the
    clock, with the time of other processes; ``busy_ms`` is its processor time. ``full_ms`` is the
    processor time of the longest of ``full`` collections of all objects, ``part_ms`` that of the
    longest other garbage collection."""

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._later = later
        self._last = time.monotonic()
        self._statm = open("/proc/self/statm")  # noqa: SIM115 - read again when no descriptor is left
        self.begin()
        gc.callbacks.append(self._collecting)
        self._tick()

    def begin(self) -> None:
        self._last = time.monotonic()
        self._last_cpu = time.process_time()
        self._pause = self._busy = 0.0
        self._cpu = self._collecting_since = time.process_time()
        self._full = 0
        self._longest = {True: 0.0, False: 0.0}

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        now = time.process_time()
        if phase == "start":
            self._collecting_since = now
            return
        full = info["generation"] == 2
        self._full += full
        self._longest[full] = max(self._longest[full], now - self._collecting_since)

    def _tick(self) -> None:
        now = time.monotonic()
        self._pause = max(self._pause, now - self._last - _TICK)
        self._last = now
        cpu = time.process_time()
        self._busy = max(self._busy, cpu - self._last_cpu)
        self._last_cpu = cpu
        self._later(_TICK, self._tick)

    def figures(self) -> dict[str, float]:
        self._statm.seek(0)
        resident = int(self._statm.read().split()[1]) * resource.getpagesize()
        return {
            "pause_ms": round(self._pause * 1000, 1),
            "busy_ms": round(self._busy * 1000, 1),
            "full": self._full,
            "full_ms": round(self._longest[True] * 1000, 1),
            "part_ms": round(self._longest[False] * 1000, 1),
            "cpu_seconds": round(time.process_time() - self._cpu, 2),
            "resident_kb": resident // 1024,
            "descriptors": len(os.listdir("/proc/self/fd")),
        }


class Program:
    """Assigns to a state variable, and reads commands in a thread."""

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], object],
        soon_in_loop: Callable[..., object],
        assign: Callable[[str], None],
    ) -> None:
        self._later = later
        self._soon = soon_in_loop
        self._assign = assign
        self._measuring = Measuring(later)
        self._count = 0
        self._taken: list[int] = []
        self._traced_before = 0

    def start(self, port: int, end: Callable[[], None]) -> None:
        print(port, flush=True)
        threading.Thread(target=self._read, args=(end,), daemon=True).start()

    def _read(self, end: Callable[[], None]) -> None:
        for line in sys.stdin:
            command, *arguments = json.loads(line)
            self._soon(getattr(self, f"_{command}"), *arguments)
        self._soon(end)

    def _trace(self) -> None:
        tracemalloc.start()
        gc.collect()
        self._traced_before = tracemalloc.get_traced_memory()[0]
        print("null", flush=True)

    def _traced(self) -> None:
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - self._traced_before
        tracemalloc.stop()
        collecting = _collecting_ms()
        gc.freeze()
        print(json.dumps([grown, collecting, _collecting_ms()]), flush=True)

    def _collect(self) -> None:
        collecting = _collecting_ms()
        print(json.dumps([len(gc.get_objects()), collecting]), flush=True)

    def _exhaust(self, left: int) -> None:
        """Use up all descriptors except ``left``."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 1 + left, soft), hard))
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(left):
            os.close(self._taken.pop())
        print("null", flush=True)

    def _relax(self) -> None:
        """Close the descriptors of :meth:`_exhaust`, and restore the limit."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        while self._taken:
            os.close(self._taken.pop())
        print("null", flush=True)

    def _connect(self, hosts: list[str], port: int) -> None:
        """Connect to each of ``hosts``, send an event and wait for the answer, with the functions
        of the loop alone: 320 at once. Print the seconds and the processor time."""
        body = b"<e:propertyset><e:property><Mark>0</Mark></e:property></e:propertyset>"
        notify = b"NOTIFY /0 HTTP/1.1\r\nSEQ: 1\r\nCONTENT-LENGTH: %d\r\n\r\n" % len(body) + body
        begin, cpu = time.monotonic(), time.process_time()
        waiting, transports = iter(hosts), []
        left = len(hosts)

        class Bare(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.append(cast(asyncio.Transport, transport))
                transports[-1].write(notify)

            def data_received(self, data: bytes) -> None:
                nonlocal left
                left -= 1
                if left:
                    connect()
                    return
                print([time.monotonic() - begin, time.process_time() - cpu], flush=True)
                for each in transports:
                    each.close()

        loop = asyncio.get_running_loop()

        def connect() -> None:
            host = next(waiting, None)
            if host is not None:
                tasks.add(loop.create_task(loop.create_connection(Bare, host, port)))

        tasks: set[Any] = set()
        for _ in range(320):
            connect()

    def _measure(self) -> None:
        self._measuring.begin()
        print("null", flush=True)

    def _figures(self) -> None:
        print(json.dumps(self._measuring.figures()), flush=True)

    def _run(self, per_second: float, seconds: float) -> None:
        due = time.monotonic()
        until = due + seconds

        def change() -> None:
            nonlocal due
            now = time.monotonic()
            if now >= until:
                print(json.dumps(self._count), flush=True)
                return
            self._count += 1
            self._assign(f"{self._count}:{now:.6f}")
            due += 1 / per_second
            self._later(max(due - time.monotonic(), 0.0001), change)

        change()


def _collecting_ms() -> float:
    """The processor time of a full garbage collection, the shortest of several."""
    times = []
    for _ in range(7):
        begin = time.process_time()
        gc.collect()
        times.append(time.process_time() - begin)
    return round(min(times) * 1000, 1)


def _on_asyncio(kind: str, limits: Limits) -> None:
    import uvloop

    from propchange import Device, Service, StateVariable, host

    class Loaded(Service, type=SERVICE_TYPE):
        mark = StateVariable("string", initial="0:0")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        service = Loaded()

        def assign(text: str) -> None:
            service.mark = text

        ended = asyncio.Event()
        async with host(Device("Load", services=[service]), limits=limits) as hosted:
            program = Program(loop.call_later, loop.call_soon_threadsafe, assign)
            program.start(hosted.port, ended.set)
            await ended.wait()

    (uvloop.run if kind == "uvloop" else asyncio.run)(main())


def _on_twisted(limits: Limits) -> None:
    from twisted.internet import reactor

    from propchange import StateVariable
    from propchange.twisted import Service

    class Loaded(Service, type=SERVICE_TYPE):
        mark = StateVariable("string", initial="0:0")

    loop: Any = reactor
    service = Loaded(limits=limits)

    def assign(text: str) -> None:
        service.mark = text

    port = service.listen()
    loop.callWhenRunning(
        lambda: Program(loop.callLater, loop.callFromThread, assign).start(port, loop.stop)
    )
    loop.run()


if __name__ == "__main__":
    kind = sys.argv[1]
    chosen = limits_of(json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
    if kind == "twisted":
        _on_twisted(chosen)
    else:
        _on_asyncio(kind, chosen)
