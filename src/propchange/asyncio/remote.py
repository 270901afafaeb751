"""A device somewhere on the network, and its services, as its description tells them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from propchange.asyncio.subscription import Subscription
from propchange.core.held import Convert
from propchange.core.variables import StateVariable
from propchange.errors import DescriptionError, PropchangeError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.scpd import parse_scpd

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint

__all__ = ["RemoteDevice", "RemoteService"]


class RemoteDevice:
    """A root device with all that is embedded in it. Made by ``ControlPoint.device``.

    ``device["Thermometer"]`` is the first of its services that is called so: by type, by
    serviceId or by the short name in either; LookupError names those there are.
    """

    def __init__(self, control_point: ControlPoint, description: DeviceDescription) -> None:
        self._control_point = control_point
        self.description = description
        self.services = tuple(
            RemoteService(control_point, self, service) for service in description.all_services()
        )

    @property
    def udn(self) -> str:
        """The unique device name, ``uuid:…``."""
        return self.description.udn

    @property
    def friendly_name(self) -> str:
        """The name for people."""
        return self.description.friendly_name

    @property
    def device_type(self) -> str:
        """``urn:<domain>:device:<name>:<version>``."""
        return self.description.device_type

    @property
    def url(self) -> str:
        """Where the description came from. With discovery it follows the device."""
        return self.description.url

    def relocate(self, description: DeviceDescription) -> None:
        """For discovery: the device is described so now, perhaps at another URL. The services stay
        the same objects."""
        known = {(each.description.udn, each.service_id): each for each in self.services}
        services = []
        for described in description.all_services():
            service = known.get((described.udn, described.service_id))
            if service is None:
                service = RemoteService(self._control_point, self, described)
            service.description = described
            services.append(service)
        self.description = description
        self.services = tuple(services)

    def __getitem__(self, name: str) -> RemoteService:
        found = self.description.service(name)
        return next(service for service in self.services if service.description is found)

    def same_service(self, service: RemoteService) -> RemoteService:
        """The service that ``service``, of a description that was read earlier, is here: the same
        serviceId of the same device (UDN). DescriptionError when there is none, or when this is
        another device."""
        udn, service_id = service.description.udn, service.service_id
        udns = [device.udn for device in self.description.all_devices()]
        if udn and udn not in udns:
            raise DescriptionError(
                f"{self.url} is the description of another device now: {self.udn}, not {udn}"
            )
        for found in self.services:
            if found.service_id == service_id and udn in ("", found.description.udn):
                return found
        known = ", ".join(found.service_id for found in self.services) or "none"
        raise DescriptionError(
            f"{self.friendly_name} has no service {service_id} any more; there are: {known}"
        )

    def __contains__(self, name: object) -> bool:
        return name in self.description

    def __repr__(self) -> str:
        return f"<RemoteDevice {self.friendly_name!r} {self.udn}>"


class RemoteService:
    """A service of a :class:`RemoteDevice`."""

    def __init__(
        self, control_point: ControlPoint, device: RemoteDevice, description: ServiceDescription
    ) -> None:
        self._control_point = control_point
        self._variables: Mapping[str, StateVariable[Any]] | None = None
        self.device = device
        self.description = description

    @property
    def service_type(self) -> str:
        """``urn:<domain>:service:<name>:<version>``."""
        return self.description.service_type

    @property
    def service_id(self) -> str:
        """The serviceId."""
        return self.description.service_id

    @property
    def name(self) -> str:
        """The short name, such as ``AVTransport``."""
        return self.description.name

    @property
    def event_url(self) -> str:
        """Where to subscribe; empty when the service has no eventing (SUB-03)."""
        return self.description.event_url

    async def variables(self) -> Mapping[str, StateVariable[Any]]:
        """The state variables that the service description declares. Fetched once.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        if self._variables is None:
            url = self.description.scpd_url
            if not url:
                raise DescriptionError(f"{self.name} has no service description")
            document, _ = await self._control_point.fetch(url)
            self._variables = parse_scpd(document, self._control_point.limits).variables
        return self._variables

    async def conversions(self) -> Convert | None:
        """What makes typed values of texts; None, and a warning, where the service description
        cannot be had: then values are texts."""
        try:
            variables = await self.variables()
        except (PropchangeError, ValueError) as error:
            logging.getLogger("propchange.subscriber").warning(
                "the values of %s stay texts: %s", self.name, error
            )
            return None
        return {name: variable.data_type.parse for name, variable in variables.items()}

    def subscribe(
        self,
        *,
        wait: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """A subscription to this service, to be entered with ``async with``. ``duration`` in
        seconds is what is asked for. ``variables`` are the evented ones that are wanted, all when
        there are none: only with ``uda="2.0"`` is the device asked for that (STATEVAR), and only if
        it accepts all of them are the others left out, see ``Subscription.accepted``.

        Raises DescriptionError when the service has no eventing, or no usable event URL."""
        if not self.event_url:
            called = f"{self.name} of {self.device.friendly_name}"
            if problem := self.description.event_url_problem:
                raise DescriptionError(f"{called} cannot be subscribed to: {problem}")
            raise DescriptionError(f"{called} sends no events (its eventSubURL is empty)")
        return Subscription(
            self._control_point,
            self.event_url,
            service=self,
            wait=wait,
            duration=duration,
            variables=variables,
        )

    def __repr__(self) -> str:
        return f"<RemoteService {self.name} of {self.device.friendly_name!r}>"
