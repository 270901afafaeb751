"""Kills a publisher and a control point in the middle of their traffic: ``make crashes``.

Each end is a process of its own. One of them is killed (SIGKILL, as a power cut does), and started
again after a while. Then both must agree: the values of the subscription are the state of the
device, its status is ACTIVE, and the device has this one subscription and no older one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lab.programs import Program
from lab.soak import AsyncioEnds, TwistedEnds

RUNTIMES = ("asyncio", "twisted")
VICTIMS = ("device", "control point")
DURATION = 4
"""Seconds for which a subscription is granted."""

AGREES_WITHIN = 15.0
"""Seconds until both ends agree after a restart: three renewals, and time for a slow machine."""

FORGETS_WITHIN = DURATION + 10.0
"""Seconds after which a device has no subscription of a control point that was killed."""

_CHANGES_EVERY = 0.005


class Crash(NamedTuple):
    """The program that was killed, the seconds until both ends agreed, and the seconds until no old
    subscription was left."""

    victim: str
    agreed: float
    forgotten: float


# --- the two programs ---


def _say(**told: object) -> None:
    print(json.dumps(told), flush=True)


async def _commands() -> Any:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


def _ends(runtime: str) -> Any:
    return (AsyncioEnds if runtime == "asyncio" else TwistedEnds)(None, DURATION)


async def _run_device(runtime: str, port: int, first: int) -> None:
    ends = _ends(runtime)
    hosted, service, _, url = await ends.start(port)
    number, held = first, False

    async def change() -> None:
        nonlocal number
        while True:
            if not held:
                number += 1
                service.number = number
                if number % 7 == 0:
                    service.text = f"text {number}"
            await asyncio.sleep(_CHANGES_EVERY)

    changing = asyncio.create_task(change())
    _say(url=url)
    async for command in _commands():
        held = command == "hold"
        state = {"Number": service.number, "Text": service.text}
        _say(state=state, subscriptions=len(hosted.subscriptions))
    changing.cancel()


async def _run_control_point(runtime: str, url: str) -> None:
    ends = _ends(runtime)
    await ends.open()
    events = 0

    def count() -> None:
        nonlocal events
        events += 1

    subscription = await ends.subscribe(url, count)
    _say(subscribed=url)
    async for _ in _commands():
        values = {name: str(value) for name, value in subscription.values.items()}
        told = {"status": subscription.status.value, "reason": subscription.status_reason}
        _say(values=values, events=events, losses=subscription.losses, **told)


# --- the crashes ---


class Crashes:
    """A device and a control point on ``runtime``, and their crashes. ``seed`` makes the same
    sequence again."""

    def __init__(self, runtime: str, folder: Path, seed: int) -> None:
        self._runtime = runtime
        self._folder = folder
        self._random = random.Random(seed)
        self._started = 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self._device = self._start_device()
        self._url = str(self._device.read("url")["url"])
        self._point = self._start_point()

    def _start(self, *arguments: str) -> Program:
        self._started += 1
        command = [sys.executable, "-m", "lab.crashes", "--run", *arguments]
        return Program(command, self._folder / f"stderr-{self._runtime}-{self._started}.txt")

    def _start_device(self) -> Program:
        # Its state is another one after each start, so that old values are seen.
        first = str(self._random.randrange(1, 10**6))
        return self._start("device", self._runtime, str(self._port), first)

    def _start_point(self) -> Program:
        return self._start("control-point", self._runtime, self._url)

    def close(self) -> None:
        """End both."""
        self._point.stop()
        self._device.stop()

    def crash(self, victim: str) -> Crash:
        """Kill ``victim``, start it again, and wait until both ends agree. Raises AssertionError if
        they do not."""
        self._device.ask("go", "state")
        time.sleep(self._random.uniform(0.1, 0.5))
        if victim == "device":
            self._device.kill()
            time.sleep(self._random.choice([0.0, 0.0, 0.5, DURATION]))
            self._device = self._start_device()
            self._device.read("url")
        else:
            self._point.kill()
            time.sleep(self._random.choice([0.0, 0.0, 0.5]))
            self._point = self._start_point()
            self._point.read("subscribed")
        began = time.monotonic()
        # It starts in the middle of the traffic: hold the state only after a while.
        time.sleep(self._random.uniform(0.0, 0.5))
        agreed = self._until(self._agree, began, AGREES_WITHIN)
        forgotten = self._until(self._is_alone, began, FORGETS_WITHIN)
        return Crash(victim, agreed, forgotten)

    def _agree(self) -> str:
        state = self._device.ask("hold", "state")["state"]
        told = self._point.ask("told", "values")
        wanted = {name: str(value) for name, value in state.items()}
        # Without a description the values of a subscription are texts.
        right = told["status"] == "active" and told["values"] == wanted
        return "" if right else f"{told}, and the device has {wanted}"

    def _is_alone(self) -> str:
        count = self._device.ask("hold", "state")["subscriptions"]
        return "" if count == 1 else f"the device has {count} subscriptions"

    def _until(self, wrong: Callable[[], str], began: float, seconds: float) -> float:
        while what := wrong():
            passed = time.monotonic() - began
            assert passed < seconds, f"{self._runtime}, after {passed:.1f} s: {what}"
            time.sleep(0.05)
        return time.monotonic() - began


@contextlib.contextmanager
def crashes(runtime: str, folder: Path, seed: int) -> Iterator[Crashes]:
    """The two programs, which end with the block."""
    running = Crashes(runtime, folder, seed)
    try:
        yield running
    finally:
        running.close()


def _report(runtime: str, done: list[Crash]) -> None:
    for victim in VICTIMS:
        agreed = [crash.agreed for crash in done if crash.victim == victim]
        forgotten = [crash.forgotten for crash in done if crash.victim == victim]
        if agreed:
            middle, longest = statistics.median(agreed), max(agreed)
            print(f"{runtime}: {victim} killed {len(agreed)} times")
            print(f"  both agreed after {middle:.1f} s (median), {longest:.1f} s (longest)")
            print(f"  no old subscription after {max(forgotten):.1f} s (longest)", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        kind, runtime, *rest = sys.argv[2:]
        if kind == "device":
            asyncio.run(_run_device(runtime, int(rest[0]), int(rest[1])))
        else:
            asyncio.run(_run_control_point(runtime, rest[0]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="over both runtimes")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for runtime in RUNTIMES:
            with crashes(runtime, Path(folder), asked.seed) as running:
                victims = itertools.islice(itertools.cycle(VICTIMS), asked.kills // len(RUNTIMES))
                _report(runtime, [running.crash(victim) for victim in victims])


if __name__ == "__main__":
    main()
