"""Runs devices and a control point for a long time, with random faults: ``make soak``.

Each runtime has its own process, with ten devices and a control point that has a hundred
subscriptions to them. Events go through a proxy, which breaks, cuts and stalls connections. Devices
restart, subscriptions are closed and made, bad subscribers come, and malformed requests. At the end
there are no faults, and each subscription must have the values of its device.

The resident set of the process is printed each minute, and drawn in ``docs/soak.svg``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import propchange
import propchange.twisted
from lab.programs import free_port
from lab.subscribers import BAD, Subscribers, event_path
from propchange.core.publisher.judge import PublisherPolicy

DEVICES = 10
SUBSCRIPTIONS = 100
TYPE = "urn:example-org:service:Soak:1"
_HOST = "127.0.0.1"
_DURATION = 10
_LONGEST = 60
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PICTURE = Path(__file__).parents[1] / "docs" / "soak.svg"


class _Service(propchange.Service, type=TYPE):
    number = propchange.StateVariable("ui4", initial=0)
    text = propchange.StateVariable("string", initial="")


class _TwistedService(propchange.twisted.Service, type=TYPE):
    number = propchange.StateVariable("ui4", initial=0)
    text = propchange.StateVariable("string", initial="")


class AsyncioEnds:
    """Both ends on asyncio. A grant lasts ``duration`` seconds."""

    def __init__(self, callback_port: int | None, duration: int = _DURATION) -> None:
        self._duration = duration
        self.point = propchange.ControlPoint(
            interface=_HOST, callback_port=callback_port, duration=duration, discovery=False
        )
        self._tasks: dict[Any, asyncio.Task[None]] = {}

    async def open(self) -> int:
        await self.point.__aenter__()
        return self.point.port

    async def start(self, port: int) -> tuple[Any, Any, int, str]:
        """Start a device. Returns what :meth:`stop` needs, its service, port and event URL."""
        service = _Service()
        device = propchange.Device("Soak", services=[service])
        hosted = propchange.host(
            device,
            interface=_HOST,
            port=port,
            minimum_duration=self._duration,
            maximum_duration=_LONGEST,
        )
        await hosted.__aenter__()
        path = await event_path(hosted.port)
        return hosted, service, hosted.port, f"http://{_HOST}:{hosted.port}{path}"

    async def stop(self, hosted: Any) -> None:
        await hosted.close()

    async def subscribe(self, url: str, on_event: Callable[[], None]) -> Any:
        subscription = self.point.subscribe_url(url, wait=False)
        await subscription.__aenter__()

        async def read() -> None:
            async for _ in subscription:
                on_event()

        self._tasks[subscription] = asyncio.create_task(read())
        return subscription

    async def unsubscribe(self, subscription: Any) -> None:
        await subscription.close()
        await self._tasks.pop(subscription)

    async def close(self) -> None:
        await self.point.close()


class TwistedEnds:
    """Both ends on a Twisted reactor, which runs on the loop of asyncio."""

    def __init__(self, callback_port: int | None, duration: int = _DURATION) -> None:
        from twisted.internet.asyncioreactor import AsyncioSelectorReactor

        self._duration = duration
        self.loop = asyncio.get_running_loop()
        self.reactor: Any = AsyncioSelectorReactor(self.loop)
        self.reactor.startRunning(installSignalHandlers=False)
        self.point = propchange.twisted.ControlPoint(
            reactor=self.reactor, callback_port=callback_port, duration=duration, discovery=False
        )

    async def open(self) -> int:
        return self.point.listen(interface=_HOST)

    async def start(self, port: int) -> tuple[Any, Any, int, str]:
        policy = PublisherPolicy(
            minimum_duration=self._duration, maximum_duration=_LONGEST, initial_event_delay=0.02
        )
        service = _TwistedService(reactor=self.reactor, policy=policy)
        port = service.listen(port, interface=_HOST)
        return service, service, port, f"http://{_HOST}:{port}/"

    async def stop(self, service: Any) -> None:
        await service.close().asFuture(self.loop)

    async def subscribe(self, url: str, on_event: Callable[[], None]) -> Any:
        return self.point.subscribe(url, lambda _: on_event())

    async def unsubscribe(self, subscription: Any) -> None:
        await subscription.close().asFuture(self.loop)

    async def close(self) -> None:
        await self.point.close().asFuture(self.loop)
        self.reactor.getThreadPool().stop()


class Proxy:
    """A proxy between the devices and the listener of the control point. ``stalled``: it forwards
    nothing. ``cut_after``: it ends each new connection after so many bytes."""

    def __init__(self) -> None:
        self.to = 0
        self.port = free_port()
        self.cut_after: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, _HOST, self.port, backlog=1_024)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.break_all()

    def break_all(self) -> None:
        """Reset all connections."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def stall(self, stalled: bool) -> None:
        (self._flowing.clear if stalled else self._flowing.set)()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.cut_after
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection(_HOST, self.to)
            self._writers |= {writer, forth}
            answers = asyncio.ensure_future(self._forward(back, writer, None))
            try:
                await self._forward(reader, forth, left)
            finally:
                await answers
                self._writers -= {writer, forth}
        writer.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data if left is None else data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    break
                await writer.drain()
        writer.close()


class Soak:
    """The devices and subscriptions of one process, and their faults."""

    def __init__(self, ends: Any, proxy: Proxy, seed: int) -> None:
        self.ends, self.proxy = ends, proxy
        self.random = random.Random(seed)
        self.devices: list[list[Any]] = []  # what stop() needs, the service, port and event URL
        self.subscriptions: list[tuple[int, Any]] = []  # with the number of the device
        self.events = 0
        self.faults: Counter[str] = Counter()
        self._calm = False
        self.kinds: list[Callable[[], Awaitable[None]]] = [
            self.restart,
            self.broken,
            self.cut,
            self.stalled,
            self.refused,
            self.anew,
            self.bad_subscribers,
            self.strangers,
        ]

    async def begin(self) -> None:
        self.devices = [list(await self.ends.start(free_port())) for _ in range(DEVICES)]
        for number in range(SUBSCRIPTIONS):
            await self._subscribe(number % DEVICES)

    async def _subscribe(self, number: int) -> None:
        subscription = await self.ends.subscribe(self.devices[number][3], self._count)
        self.subscriptions.append((number, subscription))

    def _count(self) -> None:
        self.events += 1

    async def change(self) -> None:
        """Change the state of a device again and again."""
        number = 0
        while True:
            number += 1
            service = self.random.choice(self.devices)[1]
            service.number = number
            if number % 3 == 0:
                service.text = "x" * self.random.randrange(2_000)
            await asyncio.sleep(0.1)

    async def disturb(self) -> None:
        """One fault after the other."""
        while not self._calm:
            fault = self.random.choice(self.kinds)
            self.faults[fault.__name__] += 1
            await fault()
            await asyncio.sleep(self.random.uniform(0.5, 4))

    def calm_down(self) -> None:
        self._calm = True

    # --- the faults ---

    async def restart(self) -> None:
        """A device ends and comes back with other values."""
        device = self.random.choice(self.devices)
        await self.ends.stop(device[0])
        await asyncio.sleep(self.random.uniform(0, 2))
        device[:] = await self.ends.start(device[2])
        device[1].number = self.random.randrange(1_000_000)

    async def broken(self) -> None:
        self.proxy.break_all()

    async def cut(self) -> None:
        """Connections end in the middle of an event."""
        self.proxy.break_all()
        self.proxy.cut_after = self.random.randrange(1, 600)
        await asyncio.sleep(self.random.uniform(0, 2))
        self.proxy.cut_after = None
        self.proxy.break_all()

    async def stalled(self) -> None:
        self.proxy.stall(True)
        await asyncio.sleep(self.random.uniform(0, 6))
        self.proxy.stall(False)

    async def refused(self) -> None:
        """Nothing listens where events are sent to."""
        await self.proxy.close()
        await asyncio.sleep(self.random.uniform(0, 3))
        await self.proxy.open()

    async def anew(self) -> None:
        """Some subscriptions are closed, and others are made."""
        for _ in range(10):
            chosen = self.subscriptions.pop(self.random.randrange(len(self.subscriptions)))
            await self.ends.unsubscribe(chosen[1])
            await self._subscribe(chosen[0])

    async def bad_subscribers(self) -> None:
        _, _, port, url = self.random.choice(self.devices)
        kinds = self.random.choices(BAD, k=20)
        async with Subscribers(kinds) as subscribers:
            await subscribers.subscribe(port, "/" + url.split("/", 3)[3])
            await asyncio.sleep(self.random.uniform(0, 5))

    async def strangers(self) -> None:
        """Requests that are wrong, unfinished or forged, to a device and to the control point."""
        forged = (
            b"NOTIFY /x HTTP/1.1\r\nHOST: 127.0.0.1\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
            b"SID: uuid:forged\r\nSEQ: 0\r\nCONTENT-LENGTH: 0\r\n\r\n"
        )
        junk = (
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\nHOST: ",
            forged,
            b"SUBSCRIBE / HTTP/1.1\r\nHOST: 127.0.0.1\r\nCALLBACK: <http://192.0.2.1/>\r\n\r\n",
            b"A" * 20_000,
        )
        for port in (self.random.choice(self.devices)[2], self.proxy.to):
            for _ in range(20):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(_HOST, port)
                    writer.write(self.random.choice(junk))
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    writer.transport.abort()

    @property
    def astray(self) -> int:
        """Subscriptions that have other values than their device."""
        return sum(
            subscription.values
            != {
                "Number": str(self.devices[number][1].number),
                "Text": self.devices[number][1].text,
            }
            for number, subscription in self.subscriptions
        )

    async def end(self) -> None:
        for _, subscription in self.subscriptions:
            await self.ends.unsubscribe(subscription)
        for device in self.devices:
            await self.ends.stop(device[0])
        await self.ends.close()
        await self.proxy.close()


def memory() -> dict[str, float]:
    """The resident set of this process in MB, after the C library has released free memory; and the
    number of memory blocks of living objects."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
    return {"resident": round(resident, 2), "blocks": sys.getallocatedblocks()}


async def soak(runtime: str, minutes: float, seed: int) -> bool:
    """Run both ends on ``runtime``. Prints a line of JSON each 10 seconds and one at the end.
    Returns whether both ends agree then."""
    proxy = Proxy()
    await proxy.open()
    ends = (AsyncioEnds if runtime == "asyncio" else TwistedEnds)(proxy.port)
    proxy.to = await ends.open()
    running = Soak(ends, proxy, seed)
    await running.begin()
    began = time.monotonic()
    changing = asyncio.create_task(running.change())
    disturbing = asyncio.create_task(running.disturb())

    def tell(**more: Any) -> None:
        seconds = round(time.monotonic() - began, 1)
        line = {"runtime": runtime, "seconds": seconds, "events": running.events}
        print(json.dumps(line | memory() | more), flush=True)

    tell()
    while time.monotonic() - began < minutes * 60:
        await asyncio.sleep(min(10, minutes * 60))
        for task in (changing, disturbing):
            if task.done():
                task.result()
        tell()
    running.calm_down()
    await disturbing
    changing.cancel()
    calm = time.monotonic()
    for _ in range(1_200):
        if not running.astray:
            break
        await asyncio.sleep(0.1)
    tell(
        faults=running.faults,
        astray=running.astray,
        agreed_after=round(time.monotonic() - calm, 1),
    )
    agreed = not running.astray
    await running.end()
    return agreed


# --- the report ---


def growth(points: list[tuple[float, float]]) -> float:
    """The growth in percent a minute, by the points of the second half."""
    half = [p for p in points if p[0] >= points[-1][0] / 2]
    mean_x = sum(x for x, _ in half) / len(half)
    mean_y = sum(y for _, y in half) / len(half)
    spread = sum((x - mean_x) ** 2 for x, _ in half)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in half) / spread if spread else 0.0
    return 100 * slope * 60 / mean_y


_COLOURS = {"asyncio": "#1f77b4", "twisted": "#d62728"}


def picture(curves: dict[str, list[tuple[float, float]]]) -> str:
    """An SVG of the resident sets over time."""
    width, height, left, top = 720, 320, 60, 30
    right, bottom = width - 20, height - 45
    longest = max(points[-1][0] for points in curves.values())
    most = max(y for points in curves.values() for _, y in points)
    scale = 10 * (int(most * 1.1 / 10) + 1)

    def place(x: float, y: float) -> str:
        across = left + (right - left) * x / longest
        return f"{across:.1f},{bottom - (bottom - top) * y / scale:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text {font: 12px sans-serif}</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18">Resident set in MB, over minutes</text>',
    ]
    for step in range(6):
        level, minute = scale * step / 5, longest * step / 5
        x, y = place(minute, level).split(",")
        parts += [
            f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#ddd"/>',
            f'<text x="{left - 8}" y="{y}" text-anchor="end" dy="4">{level:.0f}</text>',
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{minute / 60:.0f}</text>',
        ]
    for number, (runtime, points) in enumerate(curves.items()):
        colour = _COLOURS[runtime]
        line = " ".join(place(*point) for point in points)
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{70 + 90 * number}" y="{height - 8}" fill="{colour}">{runtime}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--runtime", choices=["asyncio", "twisted", "both"], default="both")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--write", action="store_true", help="write docs/soak.svg")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        logging.disable(logging.WARNING)  # of the faults
        return not asyncio.run(soak(options.runtime, options.minutes, options.seed))
    chosen = list(_COLOURS) if options.runtime == "both" else [options.runtime]
    print(f"seed {options.seed}")
    program = [sys.executable, "-m", "lab.soak", "--alone", f"--minutes={options.minutes}"]
    program.append(f"--seed={options.seed}")
    children = [
        subprocess.Popen([*program, f"--runtime={each}"], stdout=subprocess.PIPE, text=True)
        for each in chosen
    ]
    curves: dict[str, list[tuple[float, float]]] = {runtime: [] for runtime in chosen}
    blocks: dict[str, list[tuple[float, float]]] = {runtime: [] for runtime in chosen}
    for child in children:
        assert child.stdout is not None
        for line in child.stdout:
            told = json.loads(line)
            curves[told["runtime"]].append((told["seconds"], told["resident"]))
            blocks[told["runtime"]].append((told["seconds"], told["blocks"]))
            if len(curves[told["runtime"]]) % 6 == 1 or "faults" in told:
                print(line.strip(), flush=True)
    failed = sum(child.wait() for child in children)
    for runtime in chosen:
        resident, living = growth(curves[runtime]), growth(blocks[runtime])
        print(
            f"{runtime}: in the second half the resident set grew by {resident:+.3f} % a minute, "
            f"the blocks of living objects by {living:+.3f} %"
        )
    if options.write:
        _PICTURE.write_text(picture(curves))
    return failed and 1


if __name__ == "__main__":
    sys.exit(main())
