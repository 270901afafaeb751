"""The presence of devices, and what it means for the subscriptions to them. No I/O, no clock.

**Presence.** A device is *present* until it says goodbye or all its advertisements have expired
(UDA 2.0 §1.2.2, §1.2.3). A *link* is an interface and a group. Each link counts
separately: a goodbye on one link says nothing about the others (CP-11), and the device has gone
when the last link has lost it. All advertisements of a root device, its embedded devices and its
services count for the root device.

**Followed devices.** A device that is not followed is forgotten when it has gone. A device that is
*followed* is remembered. Its outcomes are for the subscriptions of the control point: gone, back,
rebooted, moved. A device counts as rebooted if its BOOTID changes without an ssdp:update that has
announced the new one. A device without BOOTID counts as rebooted if its network location
signature changes. The identities are kept per host of the location, since some devices run one
stack per address.

**Searches.** A device is searched for ``Limits.byebye_check_seconds`` after its byebye, or after
another one has displaced it, and a followed one when a subscription fails. A token bucket per
followed device bounds the searches, and :class:`.Goodbyes` those for the others.

**Forgery.** Advertisements are not authenticated: anybody on a link can send one in the name of any
device. So an outcome is a claim. The subscriber checks it by a renewal (:mod:`.checks`): a forged
announcement costs one check and no event. The description at a LOCATION is read, within a token
bucket, before the LOCATION is believed (:class:`.DeviceMoved`).

The devices per source address, and the types and locations per device, are capped. A further device
displaces the oldest one whose description was not read. So a flood of forged devices displaces
only forged devices, and none that its description confirms. A further location of a device
displaces one of the source that has announced most of them, so one host cannot hide where a device
of another one is.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import replace

from propchange.core.deadlines import Deadlines
from propchange.core.discovery.advertised import (
    AdvertisedDevice,
    AdvertisementIgnored,
    DeviceAppeared,
    DeviceChanged,
    DeviceEmbedded,
    DeviceGone,
    DeviceMoved,
    DeviceRebooted,
    DeviceReturned,
    GoneBy,
    Heard,
    PresenceOutcome,
    PresenceState,
    SearchWanted,
)
from propchange.core.discovery.advertisement import (
    ROOT_DEVICE,
    Advertisement,
    AdvertisementKind,
    judge_location,
    udn_key,
)
from propchange.core.discovery.goodbyes import Goodbyes
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.outcomes import OutcomeQueue
from propchange.core.transitions import TransitionTable
from propchange.core.wire.messages import Endpoint
from propchange.errors import LocalProtocolError


class PresenceInput(enum.IntEnum):
    """The inputs of :data:`PRESENCE`."""

    HEARD = 0
    """An ssdp:alive, or an answer to a search."""
    LEFT = 1
    """An ssdp:byebye, on the last link that heard the device."""
    EXPIRED = 2
    """All its advertisements have expired."""


_P, _I = PresenceState, PresenceInput

PRESENCE: TransitionTable[PresenceState, PresenceInput] = TransitionTable(
    {
        (_P.EXPECTED, _I.HEARD): _P.PRESENT,
        (_P.EXPECTED, _I.LEFT): _P.GONE,
        (_P.PRESENT, _I.HEARD): _P.PRESENT,
        (_P.PRESENT, _I.LEFT): _P.GONE,
        (_P.PRESENT, _I.EXPIRED): _P.GONE,
        (_P.GONE, _I.HEARD): _P.PRESENT,
        (_P.GONE, _I.LEFT): _P.GONE,
    },
)


class _Timer(enum.Enum):
    EXPIRY = enum.auto()
    SETTLE = enum.auto()
    SEARCH = enum.auto()


class Presence:
    """The devices that are present, by their advertisements (UDA 2.0 §1.2).

    Inputs take ``now``, seconds of one monotonic clock. After each input, call
    :meth:`take_outcomes` and :meth:`next_deadline`. ``off_link_locations`` accepts a LOCATION
    with any address or host name, for networks that relay SSDP. ``zone_of`` returns the zone that
    the URL of a link-local IPv6 address gets for a scope id.
    """

    def __init__(
        self,
        *,
        off_link_locations: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        zone_of: Callable[[int], str] = str,
    ) -> None:
        self._off_link = off_link_locations
        self._zone_of = zone_of
        self._limits = limits
        self._devices: dict[str, AdvertisedDevice] = {}
        self._root_of: dict[str, AdvertisedDevice] = {}
        self._of_source: dict[str, dict[str, AdvertisedDevice]] = {}
        self._unconfirmed: dict[str, AdvertisedDevice] = {}
        self._followed = 0
        self._deadlines: Deadlines[tuple[AdvertisedDevice, _Timer]] = Deadlines()
        self._goodbyes = Goodbyes(limits)
        self._outcomes: OutcomeQueue[PresenceOutcome] = OutcomeQueue(limits)

    # --- what the application wants ---

    def follow(self, udn: str, now: float) -> AdvertisedDevice:
        """Follow the device ``udn``, present or not, until :meth:`unfollow`. Calls are counted.

        Raises LocalProtocolError beyond ``Limits.followed_devices``."""
        device, most = self.device(udn), self._limits.followed_devices
        if device is None or not device.followers:
            if self._followed >= most:
                raise LocalProtocolError(
                    f"a control point follows {most} devices at most; raise Limits.followed_devices"
                )
            self._followed += 1
            if device is None:
                device = self._devices[udn_key(udn)] = AdvertisedDevice(udn, "", self._limits, now)
            else:
                self._count(device, -1)
        device.followers += 1
        return device

    def unfollow(self, device: AdvertisedDevice) -> None:
        """Undo one :meth:`follow`. After the last one, a device that is not present is forgotten,
        and a present one counts for the caps of unfollowed devices again."""
        device.followers -= 1
        if device.followers:
            return
        self._followed -= 1
        device.failed = False
        self._deadlines.clear((device, _Timer.SEARCH))
        self.relocated(device, "")
        if device.is_present:
            self._count(device, 1)
        else:
            self._forget(device)

    def relocated(self, device: AdvertisedDevice, url: str, embedded: Iterable[str] = ()) -> None:
        """The description of ``device`` was read at ``url``. ``embedded`` are the UDNs of its
        embedded devices: their advertisements count for ``device`` from now on (CP-11).

        Anybody can describe another host's device as embedded. So a device that announces itself
        as a root device at other locations stays a device of its own."""
        device.url = url
        self._root_of = {k: root for k, root in self._root_of.items() if root is not device}
        for udn in embedded:
            key = udn_key(udn)
            own = self._devices.get(key)
            if own is device or key in self._root_of:
                continue
            if own is not None:
                if own.followers or (own.is_root and url not in own.locations):
                    continue
                self._count(own, -1)
                self._forget(own)
                for announced in own.types:
                    self._add_type(device, announced)
                if own.reported:
                    own.reported = False
                    self._outcomes.append(DeviceEmbedded(own, device))
            self._root_of[key] = device

    def greet(self, udn: str, now: float) -> None:
        """Search for the followed device ``udn`` if it has not been heard yet. Without its BOOTID a
        restart would not be noticed."""
        device = self.device(udn)
        if device is not None and device.followers and device.state is _P.EXPECTED:
            self._search(device, now)

    def ask(self, udn: str, now: float) -> None:
        """Search for the followed device ``udn``, within the limits: its BOOTID is wanted."""
        device = self.device(udn)
        if device is not None and device.followers:
            self._search(device, now)

    def subscription_failed(self, udn: str, now: float) -> None:
        """A subscription to the followed device ``udn`` got no answer to SUBSCRIBE. The device is
        searched for, within the limits, and :class:`.DeviceReturned` follows once it is heard."""
        device = self.device(udn)
        if device is None or not device.followers:
            return
        device.failed = True
        if self._search(device, now) and any(url != device.url for url in device.locations):
            self._outcomes.append(DeviceMoved(device))

    def confirm(self, udn: str) -> None:
        """Note that the description of the device ``udn`` was read at an announced location. No
        other device displaces it from then on."""
        device = self._devices.get(udn_key(udn))
        if device is not None:
            device.confirmed = True
            self._unconfirmed.pop(device.key, None)

    def subscription_granted(self, udn: str) -> None:
        """A subscription to ``udn`` was granted or renewed: its failure is over."""
        if (device := self.device(udn)) is not None:
            device.failed = False

    # --- what devices say ---

    def receive(
        self,
        advertisement: Advertisement,
        *,
        link: Hashable,
        source: Endpoint,
        on_link: Sequence[OnLink],
        now: float,
        own: Collection[str] = (),
    ) -> None:
        """``advertisement`` was received from ``source`` on ``link``: any key that stands for an
        interface and a group. ``on_link`` are the prefixes of that interface, ``own`` the
        addresses of this machine."""
        device = self.device(advertisement.udn)
        if advertisement.kind is AdvertisementKind.BYEBYE:
            if device is not None:
                self._leave(device, link, now)
            return
        url, off_link = advertisement.location, self._off_link
        try:
            location = judge_location(
                url,
                source=source,
                on_link=on_link,
                own=own,
                off_link=off_link,
                zone_of=self._zone_of,
            )
        except ValueError as error:
            self._ignore(source, advertisement, str(error))
            return
        if location != url:
            advertisement = replace(advertisement, location=location)
        if advertisement.kind is AdvertisementKind.UPDATE:
            if device is not None and device.is_present:
                self._note_boot_id(device, source, advertisement.next_boot_id)
                self._update(device, link, source, advertisement, now)
            return
        key = udn_key(advertisement.udn)
        if (
            device is not None
            and key != device.key
            and advertisement.target == ROOT_DEVICE
            and advertisement.location not in (device.url, *device.locations)
        ):
            # A root device is not embedded, even if a description says so.
            del self._root_of[key]
            device = None
        if device is None:
            device = self._admit(advertisement, source, now)
        if device is not None:
            device.source = device.source or source.host
            self._note_boot_id(device, source, advertisement.boot_id)
            self._hear(device, link, source, advertisement, now)

    def close_link(self, link: Hashable, now: float) -> None:
        """This machine does not listen on ``link`` any more: the interface has gone. No device can
        say goodbye there. So only what other links have heard of a device counts. A device that no
        other link has heard stays, until another link hears of it or its advertisements expire."""
        for device in tuple(self._devices.values()):
            heard = device.links.get(link)
            if heard is None:
                continue
            if len(device.links) > 1:
                self._leave(device, link, now)
            else:
                heard.closed = True

    def _note_boot_id(
        self, device: AdvertisedDevice, source: Endpoint, boot_id: int | None
    ) -> None:
        """The address ``source`` has announced ``device`` with ``boot_id``."""
        if boot_id is None:
            return
        known = device.boot_ids
        known.pop(source.scoped_host, None)
        known[source.scoped_host] = boot_id
        if len(known) > self._limits.boot_ids_per_device:
            del known[next(iter(known))]

    def _admit(
        self, advertisement: Advertisement, source: Endpoint, now: float
    ) -> AdvertisedDevice | None:
        limits, of_source = self._limits, self._of_source.get(source.host, {})
        if len(of_source) >= limits.devices_per_source:
            others = (each for each in of_source.values() if not each.confirmed)
            if not self._displace(next(others, None), now):
                reason = "too many devices announce themselves from there"
                self._ignore(source, advertisement, reason)
                return None
        elif len(self._devices) - self._followed >= limits.known_devices and not self._displace(
            next(iter(self._unconfirmed.values()), None), now
        ):
            self._ignore(source, advertisement, "too many devices are known already")
            return None
        device = AdvertisedDevice(advertisement.udn, source.host, limits, now)
        before = self._goodbyes.heard(device.key)
        if before is not None:
            device.is_root = before.is_root
            device.types.update(before.types)
        self._devices[device.key] = device
        self._count(device, 1)
        return device

    def _count(self, device: AdvertisedDevice, change: int) -> None:
        """Count one more, or one less, unfollowed device of the source of ``device``."""
        key, of_source = device.key, self._of_source.setdefault(device.source, {})
        if change > 0:
            of_source[key] = device
            if not device.confirmed:
                self._unconfirmed[key] = device
            return
        self._unconfirmed.pop(key, None)
        of_source.pop(key, None)
        if not of_source:
            del self._of_source[device.source]

    def _displace(self, device: AdvertisedDevice | None, now: float) -> bool:
        """Forget ``device`` to make room for another. False if ``device`` is None."""
        if device is None:
            return False
        self._count(device, -1)
        self._forget(device)
        if device.reported:
            device.reported = False
            self._outcomes.append(DeviceGone(device, GoneBy.DISPLACED))
            self._goodbyes.add(device, now)
        return True

    def _forget(self, device: AdvertisedDevice) -> None:
        del self._devices[device.key]
        for timer in _Timer:
            self._deadlines.clear((device, timer))

    def _ignore(self, source: Endpoint, advertisement: Advertisement, reason: str) -> None:
        self._outcomes.log(AdvertisementIgnored(source.host, advertisement.udn, reason))

    def _hear(
        self,
        device: AdvertisedDevice,
        link: Hashable,
        source: Endpoint,
        advertisement: Advertisement,
        now: float,
    ) -> None:
        before = device.state
        device.state = PRESENCE.step(before, _I.HEARD)
        heard = device.links.setdefault(link, Heard())
        heard.closed = False
        for other in [key for key, other in device.links.items() if other.closed]:
            del device.links[other]
        reboot = heard.reboot_shown_by(advertisement)
        if reboot:
            # What it announces on other links, and from its other addresses, is no second one.
            for other in device.links.values():
                for identity in other.identities.values():
                    identity.boot_id = identity.nls = None
            self._forget_locations(device, heard, source)
        most = self._limits.locations_per_link
        identity = heard.add_identity(advertisement.location, most)
        if advertisement.boot_id is not None:
            identity.boot_id = advertisement.boot_id
        if advertisement.nls is not None:
            identity.nls = advertisement.nls
        self._extend(device, heard, advertisement, now)
        news = self._describe(device, advertisement)
        moved = heard.add_location(advertisement.location, source, most)
        if news or moved or reboot or before is not _P.PRESENT:
            self._settle(device, now)
        self._deadlines.clear((device, _Timer.SEARCH))
        if not reboot and (before is _P.GONE or (device.failed and now >= device.retry_at)):
            device.failed = False
            device.retry_at = now + self._limits.search_refill_seconds
            self._outcomes.append(DeviceReturned(device))
            return
        device.failed = device.failed and not reboot
        self._report_change(device, reboot, moved, advertisement)

    def _update(
        self,
        device: AdvertisedDevice,
        link: Hashable,
        source: Endpoint,
        advertisement: Advertisement,
        now: float,
    ) -> None:
        """Keep the state on the link that heard the update. On any other link, the new BOOTID
        counts as not announced (CP-10)."""
        heard = device.links.get(link)
        if heard is None:
            return  # Its ssdp:alive on that link will have the same.
        announced = advertisement.next_boot_id
        # An update is sent two or three times: ignore the repetitions.
        own = heard.identity_at(advertisement.location)
        known = own is not None and own.boot_id == announced
        missed = "" if known else heard.reboot_shown_by(advertisement)
        most = self._limits.locations_per_link
        own = heard.add_identity(advertisement.location, most)
        for identity in heard.identities.values():
            if identity is own or identity.boot_id == advertisement.boot_id:
                identity.boot_id = announced
        if advertisement.nls is not None:
            own.nls = advertisement.nls
        moved = heard.add_location(advertisement.location, source, most)
        self._report_change(device, missed, moved, advertisement)
        if moved or missed:
            self._settle(device, now)

    def _report_change(
        self, device: AdvertisedDevice, reboot: str, moved: bool, advertisement: Advertisement
    ) -> None:
        if reboot:
            self._outcomes.append(DeviceRebooted(device, reboot))
        elif moved and device.url and advertisement.location != device.url:
            self._outcomes.append(DeviceMoved(device))

    def _leave(self, device: AdvertisedDevice, link: Hashable, now: float) -> None:
        """One byebye counts for the root device, all embedded devices and all services (CP-11)."""
        if device.state is _P.PRESENT:
            was_there = device.links.pop(link, None)
            if was_there is None and not any(heard.closed for heard in device.links.values()):
                return  # It is about another link than those that heard the device.
            if was_there is not None and device.links:
                self._set_expiry(device)
                self._settle(device, now)
                if device.url and device.url not in device.locations:
                    self._outcomes.append(DeviceMoved(device))
                return
        self._go(device, _I.LEFT, GoneBy.BYEBYE, now)

    def _go(self, device: AdvertisedDevice, given: PresenceInput, by: GoneBy, now: float) -> None:
        before = device.state
        device.state = PRESENCE.step(before, given)
        device.links.clear()
        was_reported = device.reported
        device.reported = device.failed = False
        self._deadlines.clear((device, _Timer.EXPIRY))
        self._deadlines.clear((device, _Timer.SETTLE))
        if before is _P.GONE:
            return
        self._outcomes.append(DeviceGone(device, by))
        if device.followers:
            self._deadlines.set((device, _Timer.SEARCH), now + self._limits.byebye_check_seconds)
        else:
            self._count(device, -1)
            self._forget(device)
            if was_reported and by is GoneBy.BYEBYE:
                self._goodbyes.add(device, now)

    # --- the parts of an advertisement ---

    def _extend(
        self, device: AdvertisedDevice, heard: Heard, advertisement: Advertisement, now: float
    ) -> None:
        max_age, limits = advertisement.max_age, self._limits
        holds = limits.max_age_seconds if max_age is None else max_age
        expires = now + min(holds, limits.max_age_most_seconds) + limits.max_age_margin_seconds
        # The device is gone when everything has expired (CP-12): keep the latest time.
        if expires > heard.expires:
            heard.expires = expires
            self._set_expiry(device)

    def _describe(self, device: AdvertisedDevice, advertisement: Advertisement) -> bool:
        """Store the fields that are the same on all links. Returns whether any is new."""
        news = False
        target, udn = advertisement.target, udn_key(advertisement.udn)
        if target == ROOT_DEVICE:
            news = udn == device.key and not device.is_root
            device.is_root = device.is_root or news
        elif udn_key(target) != udn:
            news = self._add_type(device, target)
        config_id = advertisement.config_id
        if config_id is not None and config_id != device.config_id:
            news = news or device.config_id is not None
            device.config_id = config_id
        device.server = advertisement.server or device.server
        device.secure_location = advertisement.secure_location or device.secure_location
        return news

    def _add_type(self, device: AdvertisedDevice, announced: str) -> bool:
        """Store a type. Returns whether it is new and there was room for it."""
        if announced in device.types or len(device.types) >= self._limits.types_per_device:
            return False
        device.types[announced] = None
        return True

    def _forget_locations(self, device: AdvertisedDevice, heard: Heard, source: Endpoint) -> None:
        """Forget where a device was that seems to have restarted: of a device whose URL is known,
        all locations, else those that ``source`` has announced. Another host may have forged it."""
        if device.url:
            heard.locations.clear()
        for location, announced_by in tuple(heard.locations.items()):
            if announced_by == source.scoped_host:
                del heard.locations[location]

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """Handle all deadlines up to ``now``. Early and repeated calls do nothing."""
        while (due := self._deadlines.pop_due(now)) is not None:
            device, timer = due
            if timer is _Timer.SETTLE:
                outcome = DeviceChanged if device.reported else DeviceAppeared
                self._outcomes.append(outcome(device))
                device.reported = True
            elif timer is _Timer.SEARCH:
                self._search(device, now)
            else:
                self._expire(device, now)
        for wanted in self._goodbyes.take_due(now):
            self._outcomes.append(SearchWanted(wanted))

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_deadline`. None: no deadline."""
        times = (self._deadlines.next(), self._goodbyes.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def _expire(self, device: AdvertisedDevice, now: float) -> None:
        expired = [link for link, heard in device.links.items() if heard.expires <= now]
        if len(expired) == len(device.links):
            self._go(device, _I.EXPIRED, GoneBy.EXPIRY, now)
            return
        for link in expired:
            self._leave(device, link, now)

    def _set_expiry(self, device: AdvertisedDevice) -> None:
        earliest = min(heard.expires for heard in device.links.values())
        self._deadlines.set((device, _Timer.EXPIRY), earliest)

    def _settle(self, device: AdvertisedDevice, now: float) -> None:
        if (device, _Timer.SETTLE) not in self._deadlines:
            self._deadlines.set((device, _Timer.SETTLE), now + self._limits.settle_seconds)

    def _search(self, device: AdvertisedDevice, now: float) -> bool:
        """Search now, or as soon as the bucket allows. Returns whether it is now."""
        ready_at = device.bucket.ready_at(now)
        if ready_at > now:
            self._deadlines.set((device, _Timer.SEARCH), ready_at)
            return False
        self._deadlines.clear((device, _Timer.SEARCH))
        device.bucket.spend(now)
        self._outcomes.append(SearchWanted(device))
        return True

    # --- reading ---

    def take_outcomes(self) -> list[PresenceOutcome]:
        """The outcomes since the last call, in order. ``Limits.outcomes`` of AdvertisementIgnored
        are kept; no other is dropped."""
        return self._outcomes.take()

    def device(self, udn: str) -> AdvertisedDevice | None:
        """The device with this UDN, or the followed device that embeds one with it. None:
        unknown."""
        key = udn_key(udn)
        return self._root_of.get(key) or self._devices.get(key)

    @property
    def devices(self) -> Iterable[AdvertisedDevice]:
        """The devices that have appeared and not gone, in the order in which they were heard."""
        return [device for device in self._devices.values() if device.reported]
