"""``propchange discover``: print the devices on the network."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from propchange import ControlPoint, DeviceDescription, PropchangeError, Sighting, SightingKind
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import DeviceLine, now
from propchange.cli.output import LineFormat, Writer, output

__all__ = ["DiscoverOptions", "discover"]

_READERS = 16
"""Descriptions that are read at the same time."""

_LAST_SECONDS = 3.0
"""How long the descriptions of the last devices may take after the end."""


@dataclass(frozen=True, slots=True)
class DiscoverOptions:
    """The command line of ``propchange discover``. ``seconds`` 0: until a signal ends it."""

    seconds: float = 5.0
    type: str | None = None
    json: bool = False
    interface: str | None = None


async def discover(options: DiscoverOptions) -> None:
    """Print devices for ``options.seconds``.

    Raises CommandFailed if no device was found, or a PropchangeError, with a sentence for the
    user."""
    writer, form = output(sys.stdout, json=options.json)
    control_point = ControlPoint(discovery=True, interface=options.interface)
    async with writer, control_point:
        devices = _Devices(control_point, writer, form)
        await writer.run(devices.see(options.type), options.seconds or None)
        await devices.finish()
        writer.check()
        if not devices.number and not writer.ended.is_set():
            raise CommandFailed(_nothing(options, control_point.discovery_links))


class _Devices:
    """Reads the descriptions of the devices that appear, a few at a time, and prints a line for
    each device."""

    def __init__(self, control_point: ControlPoint, writer: Writer, form: LineFormat) -> None:
        self._control_point = control_point
        self._writer = writer
        self._form = form
        self._readers = asyncio.Semaphore(_READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._descriptions: dict[str, DeviceDescription] = {}
        self.number = 0

    async def see(self, wanted: str | None) -> None:
        """Print devices of the type ``wanted``, or all, until cancelled."""
        if wanted is not None and ":" in wanted:
            self._control_point.search(wanted)
        async for sighting in self._control_point.devices(wanted):
            self.number += sighting.kind is SightingKind.APPEARED
            if sighting.kind is SightingKind.GONE:
                self._put(sighting, self._descriptions.pop(sighting.udn, None), None)
                continue
            task = asyncio.create_task(self._read(sighting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await self._writer.room()

    async def finish(self) -> None:
        """Wait a little for the descriptions that are still being read, then cancel them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _read(self, sighting: Sighting) -> None:
        description = problem = None
        async with self._readers:
            try:
                description = self._descriptions[sighting.udn] = await sighting.description()
            except (PropchangeError, ValueError) as error:
                problem = str(error)
        self._put(sighting, description, problem)

    def _put(
        self, sighting: Sighting, description: DeviceDescription | None, problem: str | None
    ) -> None:
        self._writer.put(self._form.device(DeviceLine(now(), sighting, description, problem)))


def _nothing(options: DiscoverOptions, addresses: tuple[str, ...]) -> str:
    if not addresses:
        return (
            "no device can be found: no interface of this machine has an address from which "
            "multicast can be sent"
        )
    device = "no device" if options.type is None else f"no device with the type {options.type}"
    seconds = f" within {options.seconds:g} s" if options.seconds else ""
    return (
        f"{device} has answered{seconds} (searched from {', '.join(addresses)}). Check that the "
        "device is on the same network and that a firewall lets UDP port 1900 through both ways; "
        "multicast reaches neither the network of a container nor a guest Wi-Fi"
    )
