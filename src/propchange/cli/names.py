"""The names of devices and services in the output of the command."""

from __future__ import annotations

from propchange import RemoteDevice, RemoteService
from propchange.cli.lines import Source


class Names:
    """The names of devices and services in the output. Two devices with one friendlyName also show
    their UDN. Services with one short name show their serviceIds or UDNs."""

    def __init__(self) -> None:
        self._devices: dict[str, str] = {}

    def of(self, device: RemoteDevice) -> dict[RemoteService, Source]:
        """The name of each service of ``device``."""
        name = self.of_device(device).device
        return {
            service: Source(name, service.unique_name, service.description.udn, service.service_id)
            for service in device.services
        }

    def of_device(self, device: RemoteDevice) -> Source:
        """The name of ``device`` itself."""
        name = device.friendly_name or device.udn or device.url
        identity = device.udn or device.url
        if self._devices.setdefault(name, identity) != identity:
            name = f"{name} {identity}"
        return Source(name, "", device.udn)
