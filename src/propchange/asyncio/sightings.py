"""A device that was seen, as a program on asyncio holds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from propchange.asyncio.remote import RemoteDevice
from propchange.driver.sightings import SeenDevice
from propchange.upnp.description import DeviceDescription

__all__ = ["Sighting"]


@dataclass(frozen=True, slots=True)
class Sighting(SeenDevice):
    """A device as it announces itself, at one moment.

    ``types`` are its device and service types as far as it has announced them, ``description_url``
    is the URL of its description, ``locations`` are all such URLs, those on other interfaces and
    in the other address family too. Of a device that has gone they are the last that were known.
    ``is_root``: it is a root device, and not embedded in another one.
    """

    _device: Callable[[str], Awaitable[RemoteDevice]] = field(repr=False, compare=False)
    _describe: Callable[[SeenDevice], Awaitable[DeviceDescription]] = field(
        repr=False, compare=False
    )

    async def device(self) -> RemoteDevice:
        """The device, to subscribe to its services, and followed from now on: as
        ``ControlPoint.device(udn=…)`` gives it, and with its errors."""
        return await self._device(self.udn)

    async def description(self) -> DeviceDescription:
        """Its description, read now: of an embedded device its own part of it. Raises
        DescriptionError, ConnectionFailed or TimedOut when it cannot be had."""
        return await self._describe(self)

    async def friendly_name(self) -> str:
        """Its name for people, which stands in its description. Raises as :meth:`description`."""
        return (await self.description()).friendly_name
