"""``propchange discover``: print the devices that are around.

JSON Lines, one object for each that appears or goes::

    {"time": …, "kind": "appeared", "udn": …, "friendly_name": …, "device_type": …,
     "description_url": …, "evented": [service, …], "types": [type, …], "problem": …}

``kind`` is "appeared", "changed" or "gone". ``evented`` are the services that send events, by the
short name that ``watch --service`` takes. If the description cannot be had, ``problem`` says why,
and ``friendly_name``, ``device_type`` and ``evented`` are null.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TextIO

from rich.console import Console
from rich.text import Text

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.sightings import Sighting, SightingKind
from propchange.cli.escaping import escape, escape_json
from propchange.cli.running import CommandFailed
from propchange.cli.writing import Writer
from propchange.errors import PropchangeError
from propchange.upnp.description import DeviceDescription

__all__ = ["DiscoverOptions", "discover"]

_READERS = 16
"""Descriptions that are read at once."""

_LAST_SECONDS = 3.0
"""How long the descriptions of what appeared at last may still take after the end."""


@dataclass(frozen=True, slots=True)
class DiscoverOptions:
    """The command line of ``propchange discover``. ``seconds`` None: until it is interrupted."""

    seconds: float | None = 5.0
    type: str | None = None
    json: bool = False
    interface: str | None = None


class Found(NamedTuple):
    """A sighting with what the description says of the device, or why there is none."""

    time: datetime
    sighting: Sighting
    description: DeviceDescription | None
    problem: str | None


class Form(Protocol):
    """How devices look."""

    def line(self, found: Found) -> str:
        """Whole lines for one device."""


async def discover(options: DiscoverOptions) -> None:
    """Print devices for ``options.seconds``.

    Raises CommandFailed when none was found, or a PropchangeError, with a sentence for the user."""
    form: Form
    if options.json or sys.stdout is None or not sys.stdout.isatty():
        writer, form = Writer(sys.stdout, encoding="utf-8"), _JSONLines()
    else:
        writer, form = Writer(sys.stdout), _TerminalLines(sys.stdout)
    control_point = ControlPoint(discovery=True, interface=options.interface)
    async with writer, control_point:
        devices = _Devices(control_point, writer, form)
        ends = asyncio.ensure_future(writer.ended.wait())
        seeing = asyncio.ensure_future(devices.see(options.type))
        try:
            await asyncio.wait(
                (ends, seeing), timeout=options.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if seeing.done():
                seeing.result()
        finally:
            for task in (ends, seeing):
                task.cancel()
            await asyncio.gather(ends, seeing, return_exceptions=True)
        await devices.finish()
        if writer.failure is not None:
            raise CommandFailed(f"cannot write the output: {writer.failure.strerror}")
        if not devices.number and not writer.ended.is_set():
            raise CommandFailed(_nothing(options, control_point.discovery_links))


class _Devices:
    """Reads the descriptions of what is sighted, a few at a time, and writes what it finds."""

    def __init__(self, control_point: ControlPoint, writer: Writer, form: Form) -> None:
        self._control_point = control_point
        self._writer = writer
        self._form = form
        self._readers = asyncio.Semaphore(_READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._descriptions: dict[str, DeviceDescription] = {}
        self.number = 0

    async def see(self, wanted: str | None) -> None:
        """Take sightings for ever."""
        if wanted is not None and ":" in wanted:
            self._control_point.search(wanted)
        async for sighting in self._control_point.devices(wanted):
            self.number += sighting.kind is SightingKind.APPEARED
            if sighting.kind is SightingKind.GONE:
                description = self._descriptions.pop(sighting.udn, None)
                self._put(Found(_now(), sighting, description, None))
                continue
            task = asyncio.ensure_future(self._read(sighting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await self._writer.room()

    async def finish(self) -> None:
        """Wait a little for the descriptions that are still being read."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=_LAST_SECONDS)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, sighting: Sighting) -> None:
        description: DeviceDescription | None = None
        problem: str | None = None
        async with self._readers:
            try:
                description = await sighting.description()
            except (PropchangeError, ValueError) as error:
                problem = str(error)
            else:
                self._descriptions[sighting.udn] = description
        self._put(Found(_now(), sighting, description, problem))

    def _put(self, found: Found) -> None:
        self._writer.put(self._form.line(found))


def _evented(description: DeviceDescription) -> list[str]:
    return [service.name for service in description.all_services() if service.event_url]


def _nothing(options: DiscoverOptions, addresses: tuple[str, ...]) -> str:
    if not addresses:
        return (
            "no device can be found: no interface of this machine has an address from which "
            "multicast can be sent"
        )
    what = "no device" if options.type is None else f"no device with the type {options.type}"
    seconds = "" if options.seconds is None else f" within {options.seconds:g} s"
    return (
        f"{what} has answered{seconds} (searched from {', '.join(addresses)}). If there should be "
        "one: it must be on the same network, a firewall must let in UDP from port 1900 and to it, "
        "and neither a container's own network nor a guest Wi-Fi lets multicast pass"
    )


class _JSONLines:
    def line(self, found: Found) -> str:
        description = found.description
        return (
            escape_json(
                json.dumps(
                    {
                        "time": found.time.isoformat(timespec="milliseconds"),
                        "kind": found.sighting.kind.value,
                        "udn": found.sighting.udn,
                        "friendly_name": description and description.friendly_name,
                        "device_type": description and description.device_type,
                        "description_url": found.sighting.description_url,
                        "evented": description and _evented(description),
                        "types": list(found.sighting.types),
                        "problem": found.problem,
                    },
                    ensure_ascii=False,
                )
            )
            + "\n"
        )


class _TerminalLines:
    """A line with the name, and indented below it what one needs to go on. Everything that came
    from the network is escaped, and nothing in it is markup."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)

    def line(self, found: Found) -> str:
        sighting, description = found.sighting, found.description
        head = Text()
        if sighting.kind is not SightingKind.APPEARED:
            head.append(f"{sighting.kind.value}: ", "yellow")
        name = description.friendly_name if description else ""
        head.append(escape(name or sighting.udn), "bold")
        kind = description.device_type if description else next(iter(sighting.types), "")
        head.append(f"  {escape(_short(kind))}", "blue")
        lines = [head]
        if sighting.kind is not SightingKind.GONE:
            lines += [
                Text(f"    {escape(sighting.description_url)}"),
                Text(f"    {escape(sighting.udn)}", "dim"),
            ]
            if found.problem is not None:
                lines.append(
                    Text(f"    its description cannot be had: {escape(found.problem)}", "red")
                )
            elif description is not None:
                names = ", ".join(dict.fromkeys(_evented(description)))
                lines.append(
                    Text(f"    sends events: {escape(names)}", "green")
                    if names
                    else Text("    sends no events", "dim")
                )
        with self._console.capture() as capture:
            for line in lines:
                self._console.print(line, soft_wrap=True)
        return capture.get()


def _short(device_type: str) -> str:
    """``MediaRenderer:1`` of a whole type."""
    return ":".join(device_type.split(":")[-2:])


def _now() -> datetime:
    return datetime.now().astimezone()
