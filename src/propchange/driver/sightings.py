"""What a program sees of the devices on the network: a stream of sightings.

:class:`.Discovery` puts the sightings in.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.advertisement import type_fits
from propchange.core.record import Record
from propchange.driver.runtime import Runtime, Signal


class SightingKind(enum.Enum):
    """The kind of a sighting."""

    APPEARED = "appeared"
    """It is present, and no sighting before said so, or the last one said that it has gone."""
    CHANGED = "changed"
    """It announces other types, another location, or another BOOTID than before."""
    GONE = "gone"
    """It has sent ssdp:byebye, or its announcements have expired."""


@dataclass(slots=True, eq=False, repr=False)
class SeenDevice(Record):
    """A device as it announces itself, at one moment.

    ``types`` are the device and service types that it has announced so far. ``description_url`` is
    the URL of its description; ``locations`` are all such URLs, also those on other interfaces and
    of the other IP version. If it has gone, they are the last known ones. ``is_root``: it is a root
    device, not an embedded one. ``kind`` says what has happened to it. ``udn`` begins with
    ``uuid:``. ``server`` is its SERVER header, None without one.
    """

    kind: SightingKind
    udn: str
    types: tuple[str, ...]
    locations: tuple[str, ...]
    is_root: bool
    server: str | None
    _driver: Any = field(repr=False, compare=False)

    @classmethod
    def _of(cls, driver: object, kind: SightingKind, device: AdvertisedDevice) -> Self:
        types = tuple(device.types)
        return cls(kind, device.udn, types, device.locations, device.is_root, device.server, driver)

    @property
    def description_url(self) -> str:
        """The first of ``locations``; empty without one."""
        return next(iter(self.locations), "")


S = TypeVar("S", bound=SeenDevice)


class Sightings(AsyncIterator[S], Generic[S]):
    """An endless stream of sightings, for ``async for``. It ends when the control point closes.

    Made by ``ControlPoint.devices``. One coroutine at a time may iterate. Of each device, only the
    latest sighting that was not taken is kept, so the memory is bounded by the number of devices.

    ``make`` makes the sighting of a device. ``wanted`` is a device or service type; None: root
    devices of all types. These sightings are in the set ``iterated`` while a coroutine waits for
    the next one.
    """

    def __init__(
        self,
        runtime: Runtime,
        make: Callable[[SightingKind, AdvertisedDevice], S],
        wanted: str | None,
        iterated: set[Sightings[Any]],
    ) -> None:
        self._make = make
        self._wanted = wanted
        self._iterated = iterated
        self._known: dict[str, S] = {}
        self._untaken: dict[str, S] = {}
        self._more = Signal(runtime)
        self._closed = False

    def see(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has appeared or changed."""
        known = device.key in self._known
        if not known and not self._fits(device):
            return
        # If the program has not taken GONE, the device has CHANGED for it.
        untaken = self._untaken.pop(device.key, None)
        appears = not known if untaken is None else untaken.kind is SightingKind.APPEARED
        sighting = self._make(SightingKind.APPEARED if appears else SightingKind.CHANGED, device)
        self._known[device.key] = self._untaken[device.key] = sighting
        self._more.set()

    def lose(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has gone."""
        known = self._known.pop(device.key, None)
        if known is None:
            return
        untaken = self._untaken.pop(device.key, None)
        if untaken is None or untaken.kind is not SightingKind.APPEARED:
            self._untaken[device.key] = replace(known, kind=SightingKind.GONE)
            self._more.set()

    def join(self, device: AdvertisedDevice, root: AdvertisedDevice) -> None:
        """For discovery: ``device`` is embedded in ``root``. A program that has seen ``device``
        sees ``root`` from now on."""
        known = self._known.pop(device.key, None)
        self._untaken.pop(device.key, None)
        if known is not None and root.reported:
            self.see(root)

    def close(self) -> None:
        """For discovery: end the stream."""
        self._closed = True
        self._more.set()

    def _fits(self, device: AdvertisedDevice) -> bool:
        if self._wanted is None:
            return device.is_root
        return any(type_fits(announced, self._wanted) for announced in device.types)

    async def __anext__(self) -> S:
        while not self._untaken:
            if self._closed:
                raise StopAsyncIteration
            if self._more.awaited:
                raise RuntimeError("another coroutine iterates these sightings already")
            self._iterated.add(self)
            try:
                await self._more.wait()
            finally:
                self._iterated.discard(self)
        return self._untaken.pop(next(iter(self._untaken)))
