"""``propchange discover``: print the devices on the network."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from propchange import ControlPoint, DeviceDescription, PropchangeError, Sighting, SightingKind
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.lines import DeviceLine, now
from propchange.cli.options import (
    NO_NETWORK,
    Seconds,
    exclude_option,
    interface_option,
    make_control_point,
    nothing_found,
    wanted_type,
)
from propchange.cli.output import LineFormat, Writer, output
from propchange.core.limits import DEFAULT_LIMITS

_READERS = 128
"""Descriptions that are read at the same time. Many, so that forged devices at hosts that do not
exist do not delay the others."""

_LIMITS = replace(DEFAULT_LIMITS, connect_seconds=1.5)
"""A short time to connect: a host on the link accepts a connection at once."""

_SETTLE_SECONDS = 0.5
"""Seconds between the first announcement of a device and the reading of its description. A device
sends a message for each of its types, often from several addresses."""

_LAST_SECONDS = 3.0
"""How long the descriptions of the last devices may take after the end."""


@click.command()
@click.option(
    "--seconds",
    type=Seconds(),
    default=5.0,
    show_default=True,
    help="Listen for this many seconds. With 0, Ctrl-C ends the search.",
)
@click.option(
    "--type",
    metavar="T",
    callback=wanted_type,
    help="Print only devices with this device or service type, embedded ones included. A whole "
    "type, or a short name such as MediaRenderer or MediaRenderer:1.",
)
@click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")
@interface_option
@exclude_option
def discover(seconds: float, **options: Any) -> None:
    """Search for devices and print each of them.

    A device is printed when it has announced itself, with its services that send events, and again
    if something of what was printed has changed. The exit status is 1 if no device is found.
    """
    sys.exit(run(_discover(seconds, **options), endless=not seconds))


async def _discover(
    seconds: float, *, type: str | None, json: bool, interface: str | None, exclude: Sequence[str]
) -> None:
    """Print devices for ``seconds``, or with 0 until a signal.

    Raises CommandFailed if no device was found, or a PropchangeError, with a sentence for the
    user."""
    writer, form = output(sys.stdout, json=json)
    control_point = make_control_point(
        discovery=True, interface=interface, exclude=exclude, limits=_LIMITS
    )
    async with writer, control_point:
        if not control_point.discovery_links:
            if seconds:
                raise CommandFailed(NO_NETWORK)
            click.echo(f"propchange: {NO_NETWORK}", err=True)
        devices = _Devices(control_point, writer, form)
        await writer.run(devices.see(type), seconds or None)
        await devices.finish()
        writer.check()
        if not devices.number and not writer.ended.is_set():
            raise CommandFailed(nothing_found(seconds, type, control_point.discovery_links))


class _Devices:
    """Reads the descriptions of the devices that appear, a few at a time, and prints a line for
    each device."""

    def __init__(self, control_point: ControlPoint, writer: Writer, form: LineFormat) -> None:
        self._control_point = control_point
        self._writer = writer
        self._form = form
        self._readers = asyncio.Semaphore(_READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        # The latest sighting of each device that is to be printed.
        self._due: dict[str, Sighting] = {}
        self._descriptions: dict[str, DeviceDescription] = {}
        # The line that was printed for each device, without time and kind.
        self._printed: dict[str, str] = {}
        self._ending = asyncio.Event()
        self.number = 0

    async def see(self, wanted: str | None) -> None:
        """Print devices of the type ``wanted``, or all, until cancelled."""
        if wanted is not None and wanted.startswith("urn:"):
            self._control_point.search(wanted)
        async for sighting in self._control_point.devices(wanted):
            self.number += sighting.kind is SightingKind.APPEARED
            if sighting.kind is SightingKind.GONE:
                self._due.pop(sighting.udn, None)
                description = self._descriptions.pop(sighting.udn, None)
                if self._printed.pop(sighting.udn, None) is not None:
                    self._put(DeviceLine(now(), sighting, description, None))
                continue
            is_due = sighting.udn in self._due
            self._due[sighting.udn] = sighting
            if not is_due:
                task = asyncio.create_task(self._settle(sighting.udn))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await self._writer.room()

    async def finish(self) -> None:
        """Wait a little for the descriptions that are still being read, then cancel them."""
        self._ending.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _settle(self, udn: str) -> None:
        """Print the device ``udn`` once its announcements have come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), _SETTLE_SECONDS)
        async with self._readers:
            sighting = self._due.pop(udn, None)
            if sighting is not None:
                await self._read(sighting)

    async def _read(self, sighting: Sighting) -> None:
        description = problem = None
        try:
            description = self._descriptions[sighting.udn] = await sighting.description()
        except (PropchangeError, ValueError) as error:
            problem = str(error)
        known = self._printed.get(sighting.udn)
        kind = SightingKind.APPEARED if known is None else SightingKind.CHANGED
        line = DeviceLine(now(), replace(sighting, kind=kind), description, problem)
        shown = self._form.device(
            line._replace(time=_NO_TIME, sighting=replace(sighting, kind=SightingKind.APPEARED))
        )
        self._printed[sighting.udn] = shown
        if shown != known:
            self._put(line)

    def _put(self, line: DeviceLine) -> None:
        self._writer.put(self._form.device(line))


_NO_TIME = datetime.fromtimestamp(0, UTC)
