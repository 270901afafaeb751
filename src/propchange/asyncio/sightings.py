"""What a program sees of devices: that they appear, change, and go."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.advertisement import type_fits

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint
    from propchange.asyncio.remote import RemoteDevice
    from propchange.upnp.description import DeviceDescription

__all__ = ["Sighting", "SightingKind", "Sightings"]


class SightingKind(enum.Enum):
    """What a device has done."""

    APPEARED = "appeared"
    CHANGED = "changed"
    """It announces other types, another location, or another BOOTID than before."""
    GONE = "gone"
    """It has said goodbye, or what it announced has expired."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device as it announces itself, at one moment.

    ``types`` are its device and service types as far as it has announced them, ``description_url``
    where its description is to be had, ``locations`` all such URLs, those on other interfaces and
    in the other address family too. Of one that has gone they are the last that were known.
    ``is_root``: it is a root device, and not embedded in one.
    """

    kind: SightingKind
    udn: str
    types: tuple[str, ...]
    locations: tuple[str, ...]
    is_root: bool
    server: str | None
    _control_point: ControlPoint = field(repr=False, compare=False)

    @property
    def description_url(self) -> str:
        """The first of ``locations``."""
        return next(iter(self.locations), "")

    async def device(self) -> RemoteDevice:
        """The device, to subscribe to its services, and followed from now on: as
        ``ControlPoint.device(udn=…)`` gives it, and with its errors."""
        return await self._control_point.device(udn=self.udn)

    async def description(self) -> DeviceDescription:
        """Its description, read now: of one that is embedded, its own part of it. Raises
        DescriptionError, ConnectionFailed or TimedOut when it cannot be had."""
        return await self._control_point.describe(self)

    async def friendly_name(self) -> str:
        """Its name for people, which stands in its description. Raises as :meth:`description`."""
        return (await self.description()).friendly_name


class Sightings(AsyncIterator[Sighting]):
    """An endless stream of sightings; it ends when the control point closes.

    What has not been taken yet of one device is one sighting, its latest, so that it is bounded by
    the number of devices. Made by ``ControlPoint.devices``; one task at a time may iterate.
    """

    def __init__(self, control_point: ControlPoint, wanted: str | None) -> None:
        self._control_point = control_point
        self._wanted = wanted
        self._known: dict[str, Sighting] = {}
        self._untold: dict[str, Sighting] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def see(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has appeared, or is another one than before."""
        before = self._known.get(device.key)
        if before is None and not self._fits(device):
            return
        untold = self._untold.pop(device.key, None)
        kind = SightingKind.APPEARED
        if before is not None and (untold is None or untold.kind is not kind):
            kind = SightingKind.CHANGED
        elif before is None and untold is not None:
            kind = SightingKind.CHANGED  # its going was not told yet
        sighting = Sighting(
            kind,
            device.udn,
            tuple(device.types),
            device.locations,
            device.is_root,
            device.server,
            self._control_point,
        )
        self._known[device.key] = self._untold[device.key] = sighting
        self._wake()

    def lose(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has gone."""
        before = self._known.pop(device.key, None)
        if before is None:
            return
        untold = self._untold.pop(device.key, None)
        if untold is None or untold.kind is not SightingKind.APPEARED:
            self._untold[device.key] = Sighting(
                SightingKind.GONE,
                before.udn,
                before.types,
                before.locations,
                before.is_root,
                before.server,
                self._control_point,
            )
            self._wake()

    def close(self) -> None:
        """For discovery: nothing more will come."""
        self._closed = True
        self._wake()

    def _fits(self, device: AdvertisedDevice) -> bool:
        if self._wanted is None:
            return device.is_root
        return any(type_fits(announced, self._wanted) for announced in device.types)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __anext__(self) -> Sighting:
        while not self._untold:
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("another task iterates these sightings already")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._untold.pop(next(iter(self._untold)))
