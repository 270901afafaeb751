"""A device somewhere on the network, and its services, as its description tells them: what is the
same whichever runtime asks."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from propchange.core.limits import Limits
from propchange.core.subscriber.record import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.errors import DescriptionError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.scpd import parse_scpd

__all__ = ["DescribedDevice", "DescribedService", "conversions_by"]


class DescribedService:
    """A service of a :class:`DescribedDevice`."""

    def __init__(self, device: DescribedDevice[Any], description: ServiceDescription) -> None:
        self._variables: Mapping[str, StateVariable[Any]] | None = None
        self._device = device
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

    def check_eventing(self) -> None:
        """Raise DescriptionError when the service has no eventing, or no usable event URL."""
        if not self.event_url:
            called = f"{self.name} of {self._device.friendly_name}"
            if problem := self.description.event_url_problem:
                raise DescriptionError(f"{called} cannot be subscribed to: {problem}")
            raise DescriptionError(f"{called} sends no events (its eventSubURL is empty)")

    def _scpd_url(self) -> str:
        if not self.description.scpd_url:
            raise DescriptionError(f"{self.name} has no service description")
        return self.description.scpd_url

    def _declared(self, document: bytes, limits: Limits) -> Mapping[str, StateVariable[Any]]:
        """The state variables that ``document``, the service description, declares."""
        self._variables = parse_scpd(document, limits).variables
        return self._variables

    def _stay_texts(self, error: Exception) -> None:
        """Say that the service description cannot be had."""
        logging.getLogger("propchange.subscriber").warning(
            "the values of %s stay texts: %s", self.name, error
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self._device.friendly_name!r}>"


def conversions_by(variables: Mapping[str, StateVariable[Any]]) -> Convert:
    """What makes typed values of the texts of ``variables``."""
    return {name: variable.data_type.parse for name, variable in variables.items()}


S = TypeVar("S", bound=DescribedService)


class DescribedDevice(ABC, Generic[S]):
    """A root device with all that is embedded in it.

    ``device["Thermometer"]`` is the first of its services that is called so: by type, by
    serviceId or by the short name in either; LookupError names those there are.
    """

    def __init__(self, description: DeviceDescription) -> None:
        self.description = description
        self.services: tuple[S, ...] = tuple(map(self._service, description.all_services()))

    @abstractmethod
    def _service(self, description: ServiceDescription) -> S:
        """The service that has ``description``."""

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
                service = self._service(described)
            service.description = described
            services.append(service)
        self.description = description
        self.services = tuple(services)

    def __getitem__(self, name: str) -> S:
        found = self.description.service(name)
        return next(service for service in self.services if service.description is found)

    def same_service(self, service: S) -> S:
        """The service that ``service``, of a description that was read earlier, is here: the same
        serviceId of the same device (UDN), with eventing. DescriptionError when there is none, or
        when this is another device."""
        udn, service_id = service.description.udn, service.service_id
        udns = [device.udn for device in self.description.all_devices()]
        if udn and udn not in udns:
            raise DescriptionError(
                f"{self.url} is the description of another device now: {self.udn}, not {udn}"
            )
        for found in self.services:
            if found.service_id == service_id and udn in ("", found.description.udn):
                if not found.event_url:
                    raise DescriptionError(f"{found.name} sends no events any more")
                return found
        known = ", ".join(found.service_id for found in self.services) or "none"
        raise DescriptionError(
            f"{self.friendly_name} has no service {service_id} any more; there are: {known}"
        )

    def __contains__(self, name: object) -> bool:
        return name in self.description

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.friendly_name!r} {self.udn}>"
