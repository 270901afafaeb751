"""A device that is followed where it goes: which descriptions to look at, and what a new one
means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.presence import Presence
from propchange.upnp.description import DeviceDescription
from propchange.upnp.remote import DescribedDevice

__all__ = ["places_of", "relocate", "udns_of"]


def udns_of(description: DeviceDescription) -> list[str]:
    """The UDNs of the root device and of all that is embedded in it."""
    return [device.udn for device in description.all_devices() if device.udn]


def places_of(device: AdvertisedDevice) -> tuple[str, tuple[str, ...]]:
    """Where the description of ``device`` may be: at the server that is known, by the URL that it
    announces there itself where it does; and all the other URLs that there are for it."""
    server = urlsplit(device.url).netloc
    announced = (url for url in device.locations if urlsplit(url).netloc == server)
    return next(announced, device.url), (device.url, *device.locations)


def relocate(
    device: AdvertisedDevice,
    description: DeviceDescription,
    remotes: Iterable[DescribedDevice[Any]],
    presence: Presence,
) -> bool:
    """``description`` is that of ``device`` now, and of the ``remotes`` that stand for it. Whether
    its event URLs are others, so that it has moved; else it is the same place by another URL, and
    what is granted there stays."""
    moved = False
    for remote in tuple(remotes):
        moved |= not description.has_event_urls_of(remote.description)
        remote.relocate(description)
    presence.relocated(device, description.url, udns_of(description))
    return moved
