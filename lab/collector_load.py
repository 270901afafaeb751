"""What one collector carries: ``python -m lab.collector_load measure [SUBSCRIPTIONS:PER_SECOND…]``.

It runs a NATS server, fake devices of our own publisher in another process, and a collector in a
third one, all on this machine. How many collectors more subscriptions need:
:mod:`lab.collector_simulation`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import uvloop

from lab.programs import Program
from propchange import ControlPoint
from propchange.bridge.nats import NatsOutput
from propchange.bridge.nats_settings import NatsSettings
from propchange.bridge.service_watching import ServiceWatching
from propchange.core.limits import DEFAULT_LIMITS

SERVICES = 50
"""Services of one fake device. A device has a listener of its own, so many small ones would measure
the devices."""

# --- what one collector carries ---


@contextmanager
def _server(folder: Path, port: int) -> Iterator[str]:
    program = Path(sys.executable).with_name("nats-server")
    command = [str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    server = subprocess.Popen([*command, "-l", str(folder / "log")])
    try:
        time.sleep(1)  # it starts
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1_000_000


def _processor_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


async def _stream(client: Any, name: str) -> int:
    return int((await client.jetstream().stream_info(name)).state.messages)


def _measure(subscriptions: int, per_second: float, folder: Path) -> None:
    devices = -(-subscriptions // SERVICES)
    options = {
        "devices": devices,
        "services": SERVICES,
        "per_second": per_second,
        # One address has at most 1,024 watched services.
        "addresses": [f"127.0.1.{1 + number // 20}" for number in range(devices)],
        "host": {"announce": False},
    }
    publisher = Program(
        [sys.executable, "-m", "lab.counting_devices", json.dumps(options)],
        folder / "devices.txt",
        {"XDG_STATE_HOME": str(folder)},
    )
    with _server(folder / "store", 14_333) as url:
        try:
            urls = publisher.read("ready", timeout=120)["ready"]
            began = time.monotonic()
            command = [sys.executable, "-m", "lab.collector_load", "collect", url]
            collector = subprocess.Popen([*command, *urls])
            try:
                due = devices * SERVICES, per_second
                asyncio.run(_figures(publisher, collector.pid, url, due=due, began=began))
            finally:
                collector.kill()
                collector.wait()
        finally:
            publisher.kill()


async def _figures(
    publisher: Program, pid: int, url: str, *, due: tuple[int, float], began: float
) -> None:
    subscriptions, per_second = due
    client = await nats.connect(url)
    while True:
        try:
            there = await _stream(client, "KV_propchange-state")
        except nats.js.errors.NotFoundError:
            there = 0
        if there >= subscriptions and await _stream(client, "propchange") >= 2 * subscriptions:
            break
        if time.monotonic() > began + 150:
            print(f"{subscriptions:>7,}: {there} states after 150 s")
            return
        await asyncio.sleep(0.2)
    started = time.monotonic() - began
    await asyncio.sleep(3)
    idle = _processor_seconds(pid)
    await asyncio.sleep(5)
    idle = (_processor_seconds(pid) - idle) / 5
    publisher.tell("go")
    await asyncio.sleep(3)
    before, cpu, at = await _stream(client, "propchange"), _processor_seconds(pid), time.monotonic()
    await asyncio.sleep(8)
    after, cpu = await _stream(client, "propchange"), _processor_seconds(pid) - cpu
    seconds = time.monotonic() - at
    resident = _resident_mb(pid)
    written = max(after - before, 1)
    print(
        f"{subscriptions:>7,} subscriptions: all after {started:5.1f} s, "
        f"{written / seconds:7,.0f} of {subscriptions * per_second:7,.0f} events/s written, "
        f"{resident:5.0f} MB, {100 * cpu / seconds:3.0f} % of a core under load "
        f"({1e6 * cpu / written:4.0f} µs an event), {100 * idle:2.0f} % at rest",
        flush=True,
    )
    await client.close()


async def _collect(url: str, urls: list[str]) -> None:
    """The collector of ``measure``: that of the command, with higher limits."""
    limits = replace(
        DEFAULT_LIMITS,
        own_subscriptions=65_536,
        followed_devices=16_384,
        connections=4_096,
        connections_per_address=1_024,
    )
    async with ControlPoint(limits=limits, interface="127.0.0.1", discovery=True) as point:
        output = NatsOutput(NatsSettings((url,), "load"), say=lambda line: print(line, flush=True))

        def finder(each: str) -> Any:
            async def find() -> Any:
                return [await point.device(each)]

            return find

        output.watching = ServiceWatching(
            point, output, finders=[finder(each) for each in urls], say=print, subscribe=False
        )
        await output.watching.run()


def main() -> None:
    """See the module."""
    what, *counts = sys.argv[1:]
    if what == "collect":
        uvloop.run(_collect(counts[0], counts[1:]))
    if what == "measure":
        for each in counts or ("1000:1", "1000:5", "5000:0.2", "10000:0.2"):
            count, _, per_second = each.partition(":")
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "store").mkdir()
                _measure(int(count), float(per_second or 1), Path(folder))
        return


if __name__ == "__main__":
    main()
