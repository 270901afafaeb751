"""Devices as they advertise themselves, and what :class:`.Presence` tells
of them."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import NamedTuple

from propchange.core.discovery.advertisement import udn_key
from propchange.core.limits import Limits
from propchange.core.subscriber.record import TokenBucket

__all__ = [
    "AdvertisedDevice",
    "AdvertisementIgnored",
    "DeviceAppeared",
    "DeviceChanged",
    "DeviceGone",
    "DeviceMoved",
    "DeviceRebooted",
    "DeviceReturned",
    "GoneBy",
    "Heard",
    "Identity",
    "PresenceOutcome",
    "PresenceState",
    "SearchWanted",
]


class PresenceState(enum.IntEnum):
    """Whether a device is there."""

    EXPECTED = 0
    """It is followed, and nothing was heard of it yet."""
    PRESENT = 1
    GONE = 2
    """It is followed, and has gone. One that is not followed is forgotten instead."""


class Identity:
    """What a device was known by when it announced a location: None is not known."""

    __slots__ = ("boot_id", "nls")

    def __init__(self) -> None:
        self.boot_id: int | None = None
        self.nls: str | None = None

    def forget(self) -> None:
        """Take whatever comes next."""
        self.boot_id = self.nls = None


class Heard:
    """What one link has told of a device. Locations are in the order in which they were last
    heard; ``identities`` are by the host in them."""

    __slots__ = ("expires", "identities", "locations")

    def __init__(self) -> None:
        self.expires = 0.0
        self.locations: dict[str, None] = {}
        self.identities: dict[str, Identity] = {}


class AdvertisedDevice:
    """A device as it advertises itself. Read it; only :class:`Presence` writes it.

    ``types`` are the device and service types announced under its UDN, and, of a followed one,
    those of what is embedded in it. ``is_root``: it has announced itself as a root device.
    """

    __slots__ = (
        "bucket",
        "config_id",
        "failed",
        "followers",
        "is_root",
        "key",
        "links",
        "retry_at",
        "secure_location",
        "server",
        "source",
        "state",
        "told",
        "types",
        "udn",
        "url",
    )

    def __init__(self, udn: str, source: str, limits: Limits, now: float) -> None:
        self.udn = udn
        self.key = udn_key(udn)
        self.source = source
        self.state = PresenceState.EXPECTED
        self.types: dict[str, None] = {}
        self.is_root = False
        self.links: dict[Hashable, Heard] = {}
        self.server: str | None = None
        self.secure_location: str | None = None
        self.config_id: int | None = None
        self.followers = 0
        self.url = ""
        """Of the description that the followers have; empty while they have none."""
        self.told = False
        self.failed = False
        self.retry_at = now
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, now)

    @property
    def is_present(self) -> bool:
        """Whether it is there."""
        return self.state is PresenceState.PRESENT

    @property
    def locations(self) -> tuple[str, ...]:
        """Where its description is to be had, as it has announced: link by link in the order in
        which it was heard on them, the latest of each first, and last those that need a zone.
        Empty while it is not present."""
        found = (url for heard in self.links.values() for url in reversed(heard.locations))
        return tuple(sorted(dict.fromkeys(found), key=lambda url: "%" in url))

    @property
    def location(self) -> str:
        """The first of :attr:`locations`; empty when there is none."""
        return next(iter(self.locations), "")

    def __repr__(self) -> str:
        return f"<AdvertisedDevice {self.udn} {self.state.name}>"


class GoneBy(enum.Enum):
    """How a device went."""

    BYEBYE = "byebye"
    EXPIRY = "expiry"


class DeviceAppeared(NamedTuple):
    """It is there, and was not before. Told once what it announces has been gathered."""

    device: AdvertisedDevice


class DeviceChanged(NamedTuple):
    """A device that has appeared announces something else than before."""

    device: AdvertisedDevice


class DeviceGone(NamedTuple):
    """It has left every link that it was heard on: subscriptions count as cancelled (CP-07,
    CP-12)."""

    device: AdvertisedDevice
    by: GoneBy


class DeviceRebooted(NamedTuple):
    """Its BOOTID, or in a device without one its network location signature, is another one and
    was not announced: subscriptions are void (CP-08, CP-09, NLS-03). Its location may be another
    one too."""

    device: AdvertisedDevice
    reason: str


class DeviceReturned(NamedTuple):
    """A followed device that had gone, or whose subscriptions failed, is heard of again:
    subscriptions that are wanted can be tried now. Its location may be another one."""

    device: AdvertisedDevice


class DeviceMoved(NamedTuple):
    """A followed device claims to be elsewhere than at the URL its followers have. To be believed
    once its description is found there, and no longer where it was; then call
    :meth:`Presence.relocated`."""

    device: AdvertisedDevice


class SearchWanted(NamedTuple):
    """Search for this device, on all links."""

    device: AdvertisedDevice


class AdvertisementIgnored(NamedTuple):
    """An advertisement from ``source`` that counts for nothing, and why."""

    source: str
    udn: str
    reason: str


PresenceOutcome = (
    DeviceAppeared
    | DeviceChanged
    | DeviceGone
    | DeviceRebooted
    | DeviceReturned
    | DeviceMoved
    | SearchWanted
    | AdvertisementIgnored
)
