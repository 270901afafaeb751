"""Devices as they advertise themselves, and the outcomes of :class:`.Presence`."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Hashable
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

from propchange.core.discovery.advertisement import Advertisement, udn_key
from propchange.core.limits import Limits
from propchange.core.record import Record
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import Endpoint


class PresenceState(enum.IntEnum):
    """Whether a device is present."""

    EXPECTED = 0
    """It is followed, and no advertisement has come yet."""
    PRESENT = 1
    """An advertisement has come and has not expired."""
    GONE = 2
    """It is followed, and has gone. A device that is not followed is forgotten instead."""


@dataclass(slots=True, eq=False, repr=False)
class Identity(Record):
    """BOOTID and network location signature of a device at one host. None: unknown."""

    boot_id: int | None = None
    nls: str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Heard(Record):
    """The advertisements of a device on one link. ``locations`` are in the order in which they were
    last heard, each with the address that has announced it first. ``identities`` are by the host in
    the location. ``expires`` is a time. ``closed``: this machine does not listen on the link any
    more."""

    expires: float = 0.0
    closed: bool = False
    locations: dict[str, str] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)

    def identity_at(self, location: str) -> Identity | None:
        """The identity at the host of ``location``; None: unknown."""
        return self.identities.get(_host_of(location))

    def add_identity(self, location: str, most: int) -> Identity:
        """The identity at the host of ``location``, which may be new. If there are more than
        ``most``, the oldest is forgotten."""
        identity = self.identities.setdefault(_host_of(location), Identity())
        if len(self.identities) > most:
            del self.identities[next(iter(self.identities))]
        return identity

    def add_location(self, location: str, source: Endpoint, most: int) -> bool:
        """Store a location that ``source`` has announced. Returns whether it is new. If there are
        more than ``most``, one of the source that has announced most of them is forgotten."""
        announced_by = self.locations.pop(location, "")
        self.locations[location] = announced_by or source.scoped_host
        if len(self.locations) > most:
            counts = Counter(self.locations.values())
            highest = max(counts.values())
            oldest = next(url for url, by in self.locations.items() if counts[by] == highest)
            del self.locations[oldest]
        return not announced_by

    def reboot_shown_by(self, advertisement: Advertisement) -> str:
        """The reason why ``advertisement`` shows a reboot that was not announced; empty if it shows
        none.

        A device has one BOOTID. But some devices run a stack per address, each with a BOOTID of its
        own: compare with the BOOTID at that address, if one is known.
        """
        own = self.identity_at(advertisement.location)
        known = self.identities.values() if own is None else (own,)
        befores = [each.boot_id for each in known if each.boot_id is not None]
        boot_id, nls = advertisement.boot_id, advertisement.nls
        if boot_id is not None and befores:
            if boot_id in befores:
                return ""
            return f"its BOOTID is {boot_id} and was {befores[-1]}"
        signatures = [each.nls for each in known if each.nls is not None]
        changed = bool(signatures) and nls is not None and nls not in signatures
        if boot_id is None and not befores and changed:
            return "its network location signature is another one: its addresses have changed"
        return ""


def _host_of(location: str) -> str:
    """The host of a judged location, with the brackets of IPv6."""
    authority = location[len("http://") :].partition("/")[0].partition("?")[0]
    return authority if authority.endswith("]") else authority.rpartition(":")[0] or authority


@dataclass(slots=True, eq=False, repr=False)
class AdvertisedDevice:
    """A device as it advertises itself. Only :class:`.Presence` writes it.

    ``types`` are the device and service types announced under its UDN. For a followed device they
    include those of its embedded devices. ``is_root``: it has announced itself as a root device.
    """

    udn: str
    source: str
    limits: InitVar[Limits]
    now: InitVar[float]
    key: str = field(init=False)
    bucket: TokenBucket = field(init=False)
    retry_at: float = field(init=False)
    """When a device whose subscriptions failed may be reported as returned again."""
    state: PresenceState = PresenceState.EXPECTED
    types: dict[str, None] = field(default_factory=dict)
    is_root: bool = False
    links: dict[Hashable, Heard] = field(default_factory=dict)
    boot_ids: dict[str, int] = field(default_factory=dict)
    """Address that has announced the device, with its zone -> the BOOTID in its last announcement.
    Kept after a goodbye."""
    server: str | None = None
    secure_location: str | None = None
    config_id: int | None = None
    followers: int = 0
    url: str = ""
    """The URL of the description that its followers have; empty without one."""
    reported: bool = False
    """Whether :class:`DeviceAppeared` was reported."""
    failed: bool = False
    confirmed: bool = False
    """Whether the description was read at an announced location."""

    def __post_init__(self, limits: Limits, now: float) -> None:
        self.key = udn_key(self.udn)
        self.retry_at = now
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, now)

    @property
    def is_present(self) -> bool:
        """Whether the device is present."""
        return self.state is PresenceState.PRESENT

    @property
    def locations(self) -> tuple[str, ...]:
        """The announced URLs of its description: by link, the latest of each link first. URLs with
        a zone are last. Empty while it is not present."""
        found = (url for heard in self.links.values() for url in reversed(heard.locations))
        return tuple(sorted(dict.fromkeys(found), key=lambda url: "%" in url))

    @property
    def location(self) -> str:
        """The first of :attr:`locations`; empty without one."""
        return next(iter(self.locations), "")

    def __repr__(self) -> str:
        return f"<AdvertisedDevice {self.udn} {self.state.name}>"


class GoneBy(enum.Enum):
    """Why a device counts as gone."""

    BYEBYE = "byebye"
    EXPIRY = "expiry"
    DISPLACED = "displaced"
    """Another device took its room, because its description was not read."""


class DeviceAppeared(NamedTuple):
    """A device is present that was not before. Reported once its burst of announcements is over."""

    device: AdvertisedDevice


class DeviceChanged(NamedTuple):
    """A device that has appeared announces other types, locations or versions than before."""

    device: AdvertisedDevice


class DeviceGone(NamedTuple):
    """A device has left every link that it was heard on. Call ``SubscriberProtocol.device_gone`` or
    ``device_expired``: if a check confirms it, its subscriptions count as cancelled (CP-07,
    CP-12)."""

    device: AdvertisedDevice
    by: GoneBy


class DeviceRebooted(NamedTuple):
    """The BOOTID of a device has changed without an announcement; in a device without BOOTID, its
    network location signature. Call ``SubscriberProtocol.device_rebooted``: if a check confirms it,
    its subscriptions are void (CP-08, CP-09, NLS-03). Its location may have changed too."""

    device: AdvertisedDevice
    reason: str


class DeviceReturned(NamedTuple):
    """A followed device announces itself that had gone, or whose subscriptions failed. Call
    ``SubscriberProtocol.device_returned``. Its location may have changed."""

    device: AdvertisedDevice


class DeviceMoved(NamedTuple):
    """A followed device announces another URL than its followers have. Check the claim: it has
    moved if its description is there and no longer at the former URL. Then call
    :meth:`.Presence.relocated` and ``SubscriberProtocol.device_moved``."""

    device: AdvertisedDevice


class DeviceEmbedded(NamedTuple):
    """``device``, which has appeared, is embedded in ``root``, as the description of ``root`` says.
    From now on the advertisements of ``device`` count for ``root``, which has its types too. When
    ``device`` leaves, :class:`DeviceGone` names ``root``."""

    device: AdvertisedDevice
    root: AdvertisedDevice


class SearchWanted(NamedTuple):
    """Send an M-SEARCH for this device on all links. None: for all devices.

    If nobody follows the device, it has said goodbye or was displaced. The search shows whether it
    is still there. It is of use only to a program that wants to know all devices."""

    device: AdvertisedDevice | None


class AdvertisementIgnored(NamedTuple):
    """An advertisement from ``source`` was ignored, for ``reason``."""

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
    | DeviceEmbedded
    | SearchWanted
    | AdvertisementIgnored
)
