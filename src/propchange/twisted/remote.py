"""A device somewhere on the network, as it announces itself and as its description tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.sightings import SeenDevice
from propchange.twisted.subscription import Subscription
from propchange.upnp.description import DeviceDescription, ServiceDescription

__all__ = ["RemoteDevice", "RemoteService", "Sighting"]


class RemoteService(DescribedService):
    """A service of a :class:`RemoteDevice`."""

    def __init__(
        self, driver: SubscriberDriver, device: RemoteDevice, description: ServiceDescription
    ) -> None:
        super().__init__(driver.documents, device, description)
        self._driver = driver

    def variables(self) -> Deferred[Mapping[str, StateVariable[Any]]]:
        """The state variables that the service description declares, by name. It is read once.

        Fails with DescriptionError, ConnectionFailed or TimedOut."""
        return Deferred.fromCoroutine(self.read_variables())

    def conversions(self) -> Deferred[Convert | None]:
        """Variable -> function from text to typed value, for each declared variable. None if the
        service description cannot be read; a warning is then logged, and values are texts."""
        return Deferred.fromCoroutine(self.read_conversions())

    def subscribe(
        self,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        wait: bool = False,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """Subscribe to this service. Values have the types of the service description. The
        arguments are those of :meth:`ControlPoint.subscribe`.

        Raises DescriptionError if the service has no eventing, or no usable event URL."""
        self.check_eventing()
        return Subscription(
            self._driver,
            self.event_url,
            on_event,
            on_status=on_status,
            wait=wait,
            duration=duration,
            variables=variables,
            service=self,
        )


class RemoteDevice(DescribedDevice[RemoteService]):
    """A root device with its embedded devices. Made by ``ControlPoint.device``.

    ``device["Thermometer"]`` is the first service with this name: its type, its serviceId, or the
    short name in either. Raises LookupError, with the names of all services, for an unknown name.
    """

    def __init__(self, driver: SubscriberDriver, description: DeviceDescription) -> None:
        super().__init__(description, lambda device, each: RemoteService(driver, device, each))


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
