"""A device somewhere on the network, and its services, as its description tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.twisted.subscription import Subscription
from propchange.upnp.description import DeviceDescription, ServiceDescription

__all__ = ["RemoteDevice", "RemoteService"]


class RemoteService(DescribedService):
    """A service of a :class:`RemoteDevice`."""

    def __init__(
        self, driver: SubscriberDriver, device: RemoteDevice, description: ServiceDescription
    ) -> None:
        super().__init__(driver.documents, device, description)
        self._driver = driver

    def variables(self) -> Deferred[Mapping[str, StateVariable[Any]]]:
        """The state variables that the service description declares. Fetched once.

        Fails with DescriptionError, ConnectionFailed or TimedOut."""
        return Deferred.fromCoroutine(self.read_variables())

    def conversions(self) -> Deferred[Convert | None]:
        """The functions that make typed values of texts, by variable; None, and a warning, if the
        service description cannot be read: values are texts then."""
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
        """Subscribe to this service and keep it so, with values of the types that the service
        description declares; the rest is as for :meth:`ControlPoint.subscribe`.

        Raises DescriptionError when the service has no eventing, or no usable event URL."""
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
    """A root device with all that is embedded in it. Made by ``ControlPoint.device``.

    ``device["Thermometer"]`` is the first of its services that is called so: by type, by
    serviceId or by the short name in either; LookupError names those there are.
    """

    def __init__(self, driver: SubscriberDriver, description: DeviceDescription) -> None:
        super().__init__(description, lambda device, each: RemoteService(driver, device, each))
