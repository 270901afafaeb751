"""What devices announce by SSDP, as a program that hears it hands it over."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address

from twisted.internet.defer import Deferred

from propchange.core.discovery.advertised import (
    AdvertisedDevice,
    AdvertisementIgnored,
    DeviceGone,
    DeviceMoved,
    DeviceRebooted,
    DeviceReturned,
    PresenceOutcome,
    SearchWanted,
)
from propchange.core.discovery.advertisement import Advertisement
from propchange.core.discovery.presence import Presence
from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import TokenBucket
from propchange.core.wire.messages import Endpoint
from propchange.driver.reporting import Warnings
from propchange.driver.timer import Armed, Later, Timer
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.twisted.relocation import find_description
from propchange.twisted.remote import RemoteDevice
from propchange.upnp.description import DeviceDescription
from propchange.upnp.following import Tell, places_of, relocate, udns_of
from propchange.upnp.ssdp import read_advertisement, read_datagram

__all__ = ["Announcements"]

_NOW = 0.001
"""Seconds: at the next turn of the reactor."""


class Announcements:
    """Tells the subscriptions of one control point what the announcements of their devices mean
    (UDA 2.0 §1.2).

    ``protocol`` is told, and ``changed`` is called when it has been; ``read`` reads a description
    at a URL that was announced. ``search`` is called with a UDN that is to be searched for, if
    there is anybody who can.
    """

    def __init__(
        self,
        protocol: SubscriberProtocol,
        *,
        read: Callable[[str], Deferred[DeviceDescription]],
        on_link_for: Callable[[Endpoint], Sequence[OnLink]],
        search: Callable[[str], object] | None,
        changed: Callable[[], None],
        later: Later,
        clock: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._protocol = protocol
        self._read = read
        self._on_link_for = on_link_for
        self._search = search
        self._changed = changed
        self._later = later
        self._clock = clock
        self._limits = limits
        self._presence = Presence(limits=limits)
        self._followed: dict[AdvertisedDevice, _Followed] = {}
        self._timer = Timer(later, limits, self._deadline, clock=clock)
        self._logger = logging.getLogger("propchange.discovery")
        self._warnings = Warnings(self._logger)
        self._closed = False

    def receive(self, message: Mapping[str, str] | str | bytes, source: str, local: str) -> None:
        """An SSDP message, or its headers, came from the address ``source`` to the interface that
        has the address ``local``, empty if that is not known."""
        if self._closed:
            return
        try:
            advertisement = _read(message, self._limits)
            heard_at, sender = _endpoint(local), _endpoint(source)
        except (RemoteProtocolError, ValueError) as error:
            self._logger.debug("from %s: %s", source, error)
            return
        if advertisement is None:
            return
        self._presence.receive(
            advertisement,
            link=local,
            source=sender,
            on_link=self._on_link_for(heard_at) if local else (),
            now=self._clock(),
        )
        self._drain()

    def follow(self, remote: RemoteDevice) -> None:
        """Keep ``remote`` at where its device is, and its subscriptions told, as long as somebody
        holds it."""
        self._let_go()
        if not remote.udn or self._closed:
            return
        try:
            device = self._presence.follow(remote.udn, self._clock())
        except LocalProtocolError as error:
            self._warnings.warn("follow", f"{remote.udn} is not followed: {error}")
            return
        followed = self._followed.get(device)
        if followed is None:
            followed = self._followed[device] = _Followed(self._limits, self._clock())
        else:
            self._presence.unfollow(device)
        followed.remotes.add(remote)
        self._presence.relocated(device, remote.url, udns_of(remote.description))
        self._drain()

    def _let_go(self) -> None:
        for device, followed in tuple(self._followed.items()):
            if not followed.remotes and not followed.moving:
                del self._followed[device]
                self._presence.unfollow(device)

    def subscription_failed(self, udn: str) -> None:
        """A subscription to the device found no answer."""
        self._presence.subscription_failed(udn, self._clock())
        self._drain()

    def subscription_granted(self, udn: str) -> None:
        """A subscription to the device was granted or renewed."""
        self._presence.subscription_granted(udn)

    def close(self) -> None:
        """Nothing more is told, and nothing is left with the reactor."""
        self._closed = True
        self._timer.close()
        for followed in self._followed.values():
            if followed.pause is not None:
                followed.pause.cancel()

    def _deadline(self, now: float) -> None:
        self._presence.handle_deadline(now)
        self._drain()

    def _drain(self) -> None:
        for outcome in self._presence.take_outcomes():
            self._act(outcome)
        self._timer.set(self._presence.next_deadline())

    def _act(self, outcome: PresenceOutcome) -> None:
        match outcome:
            case DeviceGone(device, by):
                self._logger.info("%s has gone (%s)", device.udn, by.value)
                if device in self._followed:
                    self._tell(device, self._protocol.device_gone)
            case DeviceRebooted(device, reason):
                self._logger.info("%s has restarted: %s", device.udn, reason)
                self._settle(device, self._protocol.device_rebooted)
            case DeviceReturned(device):
                self._logger.info("%s is back", device.udn)
                self._settle(device, self._protocol.device_returned)
            case DeviceMoved(device):
                self._settle(device, None)
            case SearchWanted(device):
                if self._search is not None:
                    self._search(device.udn)
            case AdvertisementIgnored(source, udn, reason):
                # Sources are easily made up, so all of them are one.
                self._warnings.warn("ignored", f"{udn} from {source}: {reason}")

    def _tell(self, device: AdvertisedDevice, tell: Tell) -> None:
        for udn in {u for r in self._followed[device].remotes for u in udns_of(r.description)}:
            tell(udn, self._clock())
        self._changed()

    def _settle(self, device: AdvertisedDevice, tell: Tell | None) -> None:
        """Find out where ``device`` is now, unless it says that it is where it was, and tell its
        subscriptions."""
        followed = self._followed.get(device)
        if followed is None:
            return
        if tell is not None and device.url in device.locations:
            self._tell(device, tell)
            return
        followed.tell = tell or followed.tell
        followed.again = True
        if not followed.moving:
            followed.moving = True
            self._relocate_soon(device, followed)

    def _relocate_soon(self, device: AdvertisedDevice, followed: _Followed) -> None:
        # Or whoever announces locations without end would aim this host at its neighbours.
        now = self._clock()
        wait = followed.bucket.ready_at(now) - now
        followed.pause = self._later(max(wait, _NOW), lambda: self._relocate(device, followed))

    def _relocate(self, device: AdvertisedDevice, followed: _Followed) -> None:
        followed.pause = None
        followed.bucket.spend(self._clock())
        followed.again = False

        def found(description: DeviceDescription | None) -> None:
            if self._closed:
                return
            before, followed.tell = followed.tell, None
            tell = relocate(
                device,
                description,
                followed.remotes,
                presence=self._presence,
                protocol=self._protocol,
                tell=before,
            )
            if tell is not None:
                self._tell(device, tell)
            followed.moving = followed.again
            if followed.again:
                self._relocate_soon(device, followed)

        former, others = places_of(device)
        find_description(
            device.udn,
            former=former,
            others=others,
            read=self._read,
            later=self._later,
            grace=self._limits.relocation_seconds,
        ).addCallback(found)


class _Followed:
    """The RemoteDevices of one device, and what is being found out for them."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, now)
        self.remotes: weakref.WeakSet[RemoteDevice] = weakref.WeakSet()
        self.pause: Armed | None = None
        self.moving = False
        self.again = False
        self.tell: Tell | None = None


def _read(message: Mapping[str, str] | str | bytes, limits: Limits) -> Advertisement | None:
    """What ``message`` announces; None for a search. Raises RemoteProtocolError."""
    if isinstance(message, bytes | str):
        data = message.encode("utf-8", "replace") if isinstance(message, str) else message
        return read_datagram(data, limits)
    pairs = [
        (name.encode("latin-1", "replace"), value.encode("utf-8", "replace"))
        for name, value in message.items()
    ]
    names = {name.lower() for name in message}
    return read_advertisement(pairs, response="nts" not in names and "st" in names, limits=limits)


def _endpoint(address: str) -> Endpoint:
    """The endpoint of an address, perhaps with a numeric zone."""
    host, _, zone = address.partition("%")
    return Endpoint(str(ip_address(host)) if host else "", 0, int(zone) if zone else 0)
