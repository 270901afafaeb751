"""A device that was seen, as a program on Twisted holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from propchange.driver.sightings import SeenDevice
from propchange.twisted.remote import RemoteDevice
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

    _device: Callable[[str], Deferred[RemoteDevice]] = field(repr=False, compare=False)
    _describe: Callable[[SeenDevice], Deferred[DeviceDescription]] = field(
        repr=False, compare=False
    )

    def device(self) -> Deferred[RemoteDevice]:
        """The device, to subscribe to its services, and followed from now on: as
        ``ControlPoint.device(udn=…)`` gives it, and with its errors."""
        return self._device(self.udn)

    def description(self) -> Deferred[DeviceDescription]:
        """Its description, read now: of an embedded device its own part of it. Fails with
        DescriptionError, ConnectionFailed or TimedOut when it cannot be had."""
        return self._describe(self)

    def friendly_name(self) -> Deferred[str]:
        """Its name for people, which stands in its description. Fails as :meth:`description`."""
        return self._describe(self).addCallback(lambda description: description.friendly_name)
