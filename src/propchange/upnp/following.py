"""A device that is followed where it goes: which descriptions to look at, and what a new one
means."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.presence import Presence
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.upnp.description import DeviceDescription
from propchange.upnp.remote import DescribedDevice

__all__ = ["Tell", "places_of", "relocate", "udns_of"]

Tell = Callable[[str, float], None]
"""An input of SubscriberProtocol that takes a UDN and the time."""


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
    description: DeviceDescription | None,
    remotes: Iterable[DescribedDevice[Any]],
    *,
    presence: Presence,
    protocol: SubscriberProtocol,
    tell: Tell | None,
) -> Tell | None:
    """What to tell the subscriptions to ``device``, None for nothing, once its ``description`` was
    looked for; ``tell`` is what there was to tell before that.

    A description at another URL is that of ``remotes`` from now on. Only where its event URLs are
    others too has the device moved: else it is the same place by another URL, and what is granted
    there stays."""
    if description is None or description.url == device.url:
        return tell
    logging.getLogger("propchange.discovery").info("%s is at %s now", device.udn, description.url)
    moved = False
    for remote in tuple(remotes):
        moved |= not description.has_event_urls_of(remote.description)
        remote.relocate(description)
    presence.relocated(device, description.url, udns_of(description))
    return protocol.device_moved if moved else tell or protocol.device_returned
