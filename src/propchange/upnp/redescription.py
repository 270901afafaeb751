"""Finds a service again in a later description of its device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from propchange.core.discovery.advertisement import udn_key
from propchange.errors import DescriptionError
from propchange.upnp.description import DeviceDescription, ServiceDescription

ServiceKey = tuple[str, str, str, int]
"""The UDN, the serviceId, the type, and a number for services that share all three."""


def keyed_services(
    description: DeviceDescription,
) -> Iterator[tuple[ServiceKey, ServiceDescription]]:
    """The services of ``description``, each with a key that is the same in the next description of
    the device: the UDN, the serviceId, the type, and a number for services that share all three."""
    numbers: Counter[tuple[str, str, str]] = Counter()
    for service in dict.fromkeys(description.all_services()):
        key = (udn_key(service.udn), service.service_id, service.service_type)
        yield (*key, numbers[key]), service
        numbers[key] += 1


def same_service(description: DeviceDescription, service: ServiceDescription) -> ServiceDescription:
    """The service in ``description`` that corresponds to ``service`` of an earlier one: the same
    serviceId of the same device (UDN), with eventing. Of several, the one with the same type and
    the same path in its event URL. Raises DescriptionError if there is none, and if this is another
    device."""
    udn, service_id = service.udn, service.service_id
    if udn and description.find_device(udn) is None:
        raise DescriptionError(
            f"{description.url} is the description of another device now: "
            f"{description.udn}, not {udn}"
        )
    services = tuple(description.all_services())
    same = [
        each
        for each in services
        if each.service_id == service_id and (not udn or udn_key(each.udn) == udn_key(udn))
    ]
    if same:
        found = max(same, key=lambda each: _likeness(each, service))
        if not found.event_url:
            problem = found.event_url_problem or "its eventSubURL is empty"
            raise DescriptionError(f"{found.name} sends no events: {problem}")
        return found
    known = ", ".join(each.service_id for each in services) or "none"
    raise DescriptionError(
        f"{description.friendly_name} has no service {service_id} any more; there are: {known}"
    )


def _likeness(one: ServiceDescription, other: ServiceDescription) -> tuple[bool, bool]:
    paths = (urlsplit(each.event_url)[2:4] for each in (one, other))
    return one.service_type == other.service_type, next(paths) == next(paths)
