"""Sightings: the devices that appear, change and go, for a program."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.advertisement import type_fits
from propchange.driver.runtime import Future, Runtime

__all__ = ["SeenDevice", "SightingKind", "Sightings"]


class SightingKind(enum.Enum):
    """The kind of a sighting."""

    APPEARED = "appeared"
    CHANGED = "changed"
    """It announces other types, another location, or another BOOTID than before."""
    GONE = "gone"
    """It has said goodbye, or its announcements have expired."""


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A device at one moment, as it announces itself."""

    kind: SightingKind
    udn: str
    types: tuple[str, ...]
    locations: tuple[str, ...]
    is_root: bool
    server: str | None

    @classmethod
    def of(cls, kind: SightingKind, device: AdvertisedDevice, **more: Any) -> Self:
        """``device`` at this moment. ``more`` are the further fields of a subclass."""
        types = tuple(device.types)
        return cls(kind, device.udn, types, device.locations, device.is_root, device.server, **more)

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
    devices of all types.
    """

    def __init__(
        self,
        runtime: Runtime,
        make: Callable[[SightingKind, AdvertisedDevice], S],
        wanted: str | None,
    ) -> None:
        self._runtime = runtime
        self._make = make
        self._wanted = wanted
        self._known: dict[str, S] = {}
        self._untold: dict[str, S] = {}
        self._waiter: Future[None] | None = None
        self._closed = False

    def see(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has appeared or changed."""
        before = self._known.get(device.key)
        if before is None and not self._fits(device):
            return
        untold = self._untold.pop(device.key, None)
        kind = SightingKind.APPEARED
        if before is not None and (untold is None or untold.kind is not kind):
            kind = SightingKind.CHANGED
        elif before is None and untold is not None:
            kind = SightingKind.CHANGED  # the program has not taken its going yet
        sighting = self._make(kind, device)
        self._known[device.key] = self._untold[device.key] = sighting
        self._wake()

    def lose(self, device: AdvertisedDevice) -> None:
        """For discovery: ``device`` has gone."""
        before = self._known.pop(device.key, None)
        if before is None:
            return
        untold = self._untold.pop(device.key, None)
        if untold is None or untold.kind is not SightingKind.APPEARED:
            self._untold[device.key] = replace(before, kind=SightingKind.GONE)
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

    async def __anext__(self) -> S:
        while not self._untold:
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("another coroutine iterates these sightings already")
            self._waiter = self._runtime.future()
            await self._waiter
        return self._untold.pop(next(iter(self._untold)))
