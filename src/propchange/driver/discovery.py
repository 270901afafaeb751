"""Discovery of one control point: makes sightings for the program, and news for the subscriptions,
from advertisements.

An advertisement comes from a socket of this machine (:class:`.Links`), or from a program that
receives SSDP itself (:meth:`Discovery.receive`). :class:`.Presence` decides what it means.
:class:`.FollowedDevices` follows the devices that the program has objects of.
:meth:`Discovery.find` searches for a device until it is found.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from math import inf
from typing import Any

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
    PresenceOutcome,
    SearchWanted,
)
from propchange.core.discovery.advertisement import Advertisement, udn_key
from propchange.core.discovery.presence import Presence
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, OnLink
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.wire.messages import Endpoint
from propchange.driver.followed_devices import FollowedDevices
from propchange.driver.links import EVERYTHING, Links
from propchange.driver.location_reads import BoundedReads, LocationReads, read_first
from propchange.driver.machine import Interfaces
from propchange.driver.remote import DescribedDevice, Documents
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.requests import locate
from propchange.driver.runtime import Runtime, Signal, Tasks, Timer
from propchange.driver.sightings import S, SeenDevice, SightingKind, Sightings
from propchange.driver.sockets import zone_of
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.upnp.description import DeviceDescription
from propchange.upnp.ssdp import read_message

_DOUBTFUL_SOURCES = 16
"""Hosts whose ignored advertisements are logged for each host."""

# Seconds between searches for a device that is waited for.
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 8.0


class AnotherDevice(DescriptionError):
    """The URL of a device has the description of another one."""

    def __init__(self, message: str, description: DeviceDescription) -> None:
        super().__init__(message)
        self.description = description


@dataclass(eq=False, repr=False)
class _Awaited:
    """A device that :meth:`Discovery.find` waits for. ``heard`` is set when it announces itself,
    ``ended`` when the search for it has ended, ``failure`` is the error of its last location."""

    device: AdvertisedDevice
    heard: Signal
    ended: Signal
    failure: str = ""


class Discovery:
    """The advertisements of devices, for one control point.

    It begins with :meth:`start`, which listens and searches on the links of this machine, or with
    the first :meth:`receive`. Before that, a device to :meth:`follow` is only remembered. In the
    end call :meth:`close`.

    ``protocol`` gets the news of the devices of its subscriptions, and ``changed`` is called after
    each. ``documents`` reads the announced descriptions; ``off_link_locations`` accepts them on any
    host. ``leaves_out`` is that of :class:`.Links`. ``search`` is called with each search target,
    for a program that sends searches itself. ``tap`` gets each outcome.
    """

    def __init__(
        self,
        runtime: Runtime,
        protocol: SubscriberProtocol,
        *,
        interfaces: Interfaces,
        documents: Documents,
        policy: SubscriberPolicy,
        changed: Callable[[], None],
        off_link_locations: bool,
        limits: Limits,
        leaves_out: Callable[[LocalAddress], bool] = lambda _: False,
        search: Callable[[str], object] | None = None,
        tap: Callable[[object], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._protocol = protocol
        self._interfaces = interfaces
        announced = documents.announced_description
        read = documents.relayed_description if off_link_locations else announced
        self._read = BoundedReads(runtime, limits, read).read
        self._limits = limits
        self._search = search
        self._tap = tap
        self._warnings = Warnings(logger_named("propchange.discovery"), limits)
        self._tasks = Tasks(runtime)
        self._presence = Presence(
            off_link_locations=off_link_locations, limits=limits, zone_of=zone_of
        )
        self._links = Links(
            runtime,
            interfaces,
            self._hear,
            policy,
            limits,
            leaves_out=leaves_out,
            off_link=off_link_locations,
            gone=self._link_gone,
        )
        self._followed = FollowedDevices(
            runtime,
            self._tasks,
            self._presence,
            protocol,
            read=self._read,
            read_known=read,
            changed=changed,
            limits=limits,
        )
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=runtime.now)
        self._to_follow: weakref.WeakSet[DescribedDevice[Any]] = weakref.WeakSet()
        self._sightings: weakref.WeakSet[Sightings[Any]] = weakref.WeakSet()
        # Keeps the coroutines that wait: a program on Twisted need not keep their Deferreds.
        self._iterated: set[Sightings[Any]] = set()
        self._awaited: set[_Awaited] = set()
        self._doubtful: set[str] = set()
        self._active = False
        self._why_inactive = "call listen() first: discovery begins with it"
        self._closed = False
        self.heard: Callable[[str], None] | None = None
        """Called with the UDN of each advertisement, after it was taken."""
        self._listeners: list[Discovery] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address on each link that it listens and searches from."""
        return self._links.addresses

    def start(self, host: str | None, *, quiet: bool = False) -> None:
        """Listen on the links of this machine, or only from the address ``host``, and search.
        ``quiet``: search only for the followed devices, until the program wants others too."""
        self._activate()
        self._links.start(host, quiet=quiet)

    def leave_out(self) -> None:
        """The program wants no discovery."""
        self._why_inactive = "this needs discovery: ControlPoint(discovery=True)"

    def share(self, other: Discovery) -> None:
        """Give ``other``, the discovery of another control point of this loop, what the sockets of
        this one receive. ``other`` then needs no sockets."""
        other._activate()
        self._listeners.append(other)

    def unshare(self) -> None:
        """Share with no other one any more."""
        self._listeners.clear()

    async def close(self) -> None:
        """End. All sightings end too, and :meth:`find` raises ConnectionFailed."""
        self._closed = True
        self._timer.close()
        self._links.close()
        await self._tasks.close()
        for sightings in self._sightings:
            sightings.close()

    def _activate(self) -> None:
        if not self._active:
            self._active = True
            for remote in tuple(self._to_follow):
                self.follow(remote)
            self._to_follow.clear()

    def check_active(self) -> None:
        """Raises RuntimeError before discovery has begun."""
        if not self._active:
            raise RuntimeError(self._why_inactive)

    # --- advertisements ---

    def receive(self, message: Mapping[str, str] | str | bytes, source: str, local: str) -> None:
        """For a program that receives SSDP itself: a message, or its headers, from the address
        ``source``, received on the interface that has the address ``local``, empty if unknown. An
        unreadable message is ignored."""
        if self._closed:
            return
        self._activate()
        try:
            advertisement = read_message(message, self._limits)
            received_at, sender = _endpoint(local), _endpoint(source)
        except (RemoteProtocolError, ValueError) as error:
            self._warnings.logger.debug("from %s: %s", source, error)
            return
        if advertisement is not None:
            on_link = self._interfaces.on_link_for(received_at) if local else ()
            self._hear(local, sender, advertisement, on_link)

    def _hear(
        self,
        link: Hashable,
        source: Endpoint,
        advertisement: Advertisement,
        on_link: Sequence[OnLink],
    ) -> None:
        if self._closed:
            return
        self._presence.receive(
            advertisement,
            link=link,
            source=source,
            on_link=on_link,
            own=self._interfaces.hosts,
            now=self._runtime.now(),
        )
        if self._awaited:
            device = self._presence.device(advertisement.udn)
            for awaited in tuple(self._awaited):
                if awaited.device is device:
                    awaited.heard.set()
        self._drain()
        if self.heard is not None:
            self.heard(advertisement.udn)
        for each in self._listeners:
            each._hear(link, source, advertisement, on_link)

    def _link_gone(self, link: Hashable) -> None:
        if self._closed:
            return
        for each in self._listeners:
            each._link_gone(link)
        self._presence.close_link(link, self._runtime.now())
        self._drain()

    def _deadline(self, now: float) -> None:
        self._followed.let_go()
        self._presence.handle_deadline(now)
        self._drain()

    def _drain(self) -> None:
        for outcome in self._presence.take_outcomes():
            if self._tap is not None:
                self._tap(outcome)
            self._act(outcome)
        self._timer.set(self._presence.next_deadline())

    def _act(self, outcome: PresenceOutcome) -> None:
        info = self._warnings.info
        match outcome:
            case DeviceAppeared(device) | DeviceChanged(device):
                for sightings in tuple(self._sightings):
                    sightings.see(device)
            case DeviceGone(device, by):
                info(DeviceGone, f"{device.udn} has gone ({by.value})")
                for sightings in tuple(self._sightings):
                    sightings.lose(device)
                expired = by is GoneBy.EXPIRY
                protocol = self._protocol
                self._followed.put(
                    device, protocol.device_expired if expired else protocol.device_gone
                )
            case DeviceRebooted(device, reason):
                info(DeviceRebooted, f"{device.udn} seems to have restarted: {reason}")
                self._followed.settle(device, self._protocol.device_rebooted)
            case DeviceReturned(device):
                info(DeviceReturned, f"{device.udn} is back")
                self._followed.settle(device, self._protocol.device_returned)
            case DeviceMoved(device):
                self._followed.settle(device, None)
            case DeviceEmbedded(device, root):
                for sightings in tuple(self._sightings):
                    sightings.join(device, root)
            case SearchWanted(device):
                followed = device is not None and device.followers
                if followed or self._sightings:
                    # Raised for a UDN that no header can carry.
                    with contextlib.suppress(ValueError):
                        self._search_for(EVERYTHING if device is None else device.udn)
            case AdvertisementIgnored(source, udn, reason):
                # An attacker can forge sources, so all but a few of them share a warning.
                if source in self._doubtful or len(self._doubtful) < _DOUBTFUL_SOURCES:
                    self._doubtful.add(source)
                else:
                    source = "elsewhere"
                self._warnings.warn(("ignored", source), f"{udn} from {source}: {reason}")

    # --- subscriptions ---

    def follow(self, remote: DescribedDevice[Any]) -> None:
        """Keep the description of ``remote`` current when the device moves, and give its
        subscriptions the news of the device, as long as the program has ``remote``."""
        if not self._active:
            self._to_follow.add(remote)
        elif not self._closed:
            self._followed.follow(remote)
            self._presence.greet(remote.udn, self._runtime.now())
            self._drain()

    def subscription_failed(self, udn: str) -> None:
        """A request of a subscription to the device got no answer."""
        self._presence.subscription_failed(udn, self._runtime.now())
        self._drain()

    def subscription_granted(self, udn: str) -> None:
        """A subscription to the device was granted or renewed."""
        self._presence.subscription_granted(udn)

    def checked(self, udn: str, *, passed: bool) -> None:
        """Note that an announcement about the device ``udn`` was checked. ``passed``: the device
        has granted the renewal, so the announcement was not true."""
        device = self._presence.device(udn)
        if device is not None:
            self._followed.checked(device, passed=passed)

    # --- multicast events ---

    def device(self, udn: str) -> AdvertisedDevice | None:
        """The device with this UDN, or the followed one that embeds it. None: unknown."""
        return self._presence.device(udn)

    def usable_addresses(self) -> Sequence[LocalAddress]:
        """The addresses of this machine that the control point uses, as they were read last."""
        return self._links.usable(self._interfaces.addresses())

    def ask(self, udn: str) -> None:
        """Search for the followed device ``udn``, within the limits: its BOOTID is wanted."""
        if not self._closed:
            self._presence.ask(udn, self._runtime.now())
            self._drain()

    async def read_at(self, udn: str, url: str) -> DeviceDescription:
        """The description at the announced ``url``. Raises as :meth:`describe`, and if it does not
        contain the device ``udn``."""
        return await self._read_of(udn, url)

    def search_all(self) -> None:
        """Search for all devices, unless that was done. Raises RuntimeError before discovery has
        begun."""
        self.check_active()
        self._links.search_all()

    # --- for the program ---

    def search(self, target: str = EVERYTHING) -> None:
        """Search for a UDN, a device type, a service type, or everything.

        Raises RuntimeError before discovery has begun, ValueError if no header can carry
        ``target``."""
        self.check_active()
        if not (target and target.isascii() and target.isprintable()):
            raise ValueError(f"{target!r} cannot be searched for")
        self._search_for(target)

    def _search_for(self, target: str) -> None:
        self._links.search(target)
        if self._search is not None:
            self._search(target)

    def sightings(
        self, make: Callable[[SightingKind, AdvertisedDevice], S], wanted: str | None
    ) -> Sightings[S]:
        """A stream of sightings that begins with the present devices; see :class:`.Sightings`.
        Raises RuntimeError before discovery has begun."""
        self.search_all()
        sightings = Sightings(self._runtime, make, wanted, self._iterated)
        for device in self._presence.devices:
            sightings.see(device)
        self._sightings.add(sightings)
        return sightings

    async def find(self, udn: str, seconds: float | None) -> DeviceDescription:
        """Search for the device ``udn`` and return its description. Make the device object of it
        and call :meth:`follow` at once.

        Raises TimedOut, with the reason, after ``seconds``, ``limits.find_seconds`` if None;
        ValueError if ``udn`` is not a UDN, RuntimeError before discovery has begun,
        ConnectionFailed if the control point is closed meanwhile."""
        self.check_active()
        if udn[:5].lower() != "uuid:" or not udn[5:].strip():
            raise ValueError(f"{udn!r} is no UDN: it looks like uuid:<a UUID>")
        seconds = self._limits.find_seconds if seconds is None else seconds
        device = self._presence.follow(udn, self._runtime.now())
        awaited = _Awaited(device, Signal(self._runtime), Signal(self._runtime))
        self._awaited.add(awaited)
        seeking = self._tasks.start(self._seek(udn, awaited))
        seeking.add_done_callback(lambda _: awaited.ended.set())
        try:
            if not seeking.done():
                await awaited.ended.wait(seconds)
            if self._closed:
                raise ConnectionFailed("the control point was closed")
            if seeking.done():
                return await seeking
            where = ", ".join(self._links.interfaces) or "any interface"
            reason = awaited.failure or f"nothing was heard of it on {where}"
            raise TimedOut(f"{udn} was not found within {seconds:g} s: {reason}")
        finally:
            seeking.cancel()
            self._awaited.discard(awaited)
            # At the next turn: until then the caller has called follow().
            self._runtime.call_soon(lambda: self._presence.unfollow(device))

    async def _seek(self, udn: str, awaited: _Awaited) -> DeviceDescription:
        """Search for the device, less often each time, and read each location that it announces
        once between two searches."""
        now = self._runtime.now
        wait, search_at, searched = _FIRST_WAIT, now(), False
        read = partial(self._read_of, udn)
        reads = LocationReads(self._runtime, read, awaited.heard, self._limits)
        try:
            while True:
                due = reads.begin(awaited.device.locations)
                if reads.found is not None:
                    return reads.found
                if reads.partial is not None and not reads.busy and due == inf:
                    due = reads.partial_until
                    if now() >= due:
                        return reads.partial
                if reads.failure is not None:
                    awaited.failure = str(reads.failure)
                # The first search is only needed if no known location answers.
                if now() >= search_at and (searched or not reads.busy):
                    searched = True
                    self._search_for(udn)
                    search_at = now() + wait
                    wait = min(2 * wait, _LONGEST_WAIT)
                    if reads.partial is None:
                        reads.again()
                    continue
                due = min(due, search_at if searched else inf)
                await awaited.heard.wait(None if due == inf else due - now())
        finally:
            await reads.close()

    async def describe(self, seen: SeenDevice) -> DeviceDescription:
        """The description of the device itself. Raises as :meth:`describe_root`."""
        description = await self.describe_root(seen)
        return description.find_device(seen.udn) or description

    async def describe_root(self, seen: SeenDevice) -> DeviceDescription:
        """The description of the root device, from the first of the locations that answers with
        it. Each location is read once. Raises the error of the first location that failed."""
        read = partial(self._read_of, seen.udn)
        description = await read_first(self._runtime, seen.locations, read, self._limits)
        if description is None:
            raise ConnectionFailed(f"{seen.udn} is nowhere any more")
        return description

    async def _read_of(self, udn: str, url: str) -> DeviceDescription:
        """The description at ``url``, if it contains the device ``udn``."""
        description = await self._read(url)
        if description.find_device(udn) is None:
            raise AnotherDevice(f"{url} describes {description.udn}, not {udn}", description)
        self._check_root(udn, url, description)
        self._presence.confirm(udn)
        return description

    def _check_root(self, udn: str, url: str, description: DeviceDescription) -> None:
        """Refuse a description that names another host's device as its root device: it would put
        its own devices into that device."""
        root = self._presence.device(description.udn)
        if root is None or udn_key(udn) == udn_key(description.udn):
            return
        known = list(filter(None, (root.url, *root.locations)))
        if known and url not in known:
            raise DescriptionError(
                f"{url} says that {udn} is embedded in {description.udn}, which is at {known[0]}"
            )


def _endpoint(address: str) -> Endpoint:
    """The endpoint of an address, perhaps with a zone. Raises ValueError for another text, and for
    a zone that this machine does not have."""
    host, _, zone = address.partition("%")
    scope = locate(f"http://[{address}]/").scope if zone else 0
    return Endpoint(str(ip_address(host)) if host else "", 0, scope)
