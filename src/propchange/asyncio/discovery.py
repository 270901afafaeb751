"""Discovery: what devices announce, heard on every link, and told to the subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from propchange.asyncio.clock import monotonic
from propchange.asyncio.documents import Documents
from propchange.asyncio.relocation import find_description
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.asyncio.sightings import Sightings
from propchange.core.discovery.advertised import (
    AdvertisedDevice,
    AdvertisementIgnored,
    DeviceAppeared,
    DeviceChanged,
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
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import TokenBucket
from propchange.core.wire.messages import Endpoint
from propchange.driver.interfaces import REFRESH_SECONDS, Interfaces, scoped_host
from propchange.driver.reporting import Warnings
from propchange.driver.ssdp_sockets import Link, LinkSockets
from propchange.driver.timer import Timer
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    LocalProtocolError,
    PropchangeError,
    TimedOut,
)
from propchange.upnp.description import DeviceDescription
from propchange.upnp.following import Tell, places_of, relocate, udns_of

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint
    from propchange.asyncio.remote import RemoteDevice

__all__ = ["Discovery"]

EVERYTHING = "ssdp:all"
"""What all devices answer to (UDA 2.0 §1.3.2)."""

_DOUBTFUL_SOURCES = 16
"""Hosts of which it is told one by one that their advertisements count for nothing."""

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 8.0
# Seconds between searches for a device that is waited for.


class Discovery:
    """Listens to SSDP for one control point.

    ``host`` is the one address to do so from, None for all.
    ``protocol`` is told what happens to the devices of its subscriptions, and ``changed`` is called
    when it has been. ``tap`` gets each outcome.
    """

    def __init__(
        self,
        protocol: SubscriberProtocol,
        *,
        interfaces: Interfaces,
        host: str | None,
        documents: Documents,
        policy: SubscriberPolicy,
        changed: Callable[[], None],
        off_link_locations: bool,
        limits: Limits,
        tap: Callable[[object], None] | None,
    ) -> None:
        self._runtime = AsyncioRuntime()
        self._policy = policy
        self._protocol = protocol
        self._interfaces = interfaces
        self._host = host
        read = documents.description if off_link_locations else documents.announced_description
        self._read: Callable[[str], Awaitable[DeviceDescription]] = read
        self._changed = changed
        self._limits = limits
        self._tap = tap
        self._presence = Presence(off_link_locations=off_link_locations, limits=limits)
        self._links: dict[Link, LinkSockets] = {}
        self._followed: dict[AdvertisedDevice, _Followed] = {}
        self._sightings: weakref.WeakSet[Sightings] = weakref.WeakSet()
        self._waiting: dict[AdvertisedDevice, set[asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logger = logging.getLogger("propchange.discovery")
        self._warnings = Warnings(self._logger)
        self._timer = Timer(
            asyncio.get_running_loop().call_later, limits, self._deadline, clock=monotonic
        )
        self._doubtful: set[str] = set()
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens and searches from now, an address for each link."""
        return tuple(scoped_host(each.address.endpoint) for each in self._links.values())

    async def start(self) -> None:
        """Listen on the links that there are, search, and look for other links from now on."""
        self.look()
        self._spawn(self._keep_looking())

    async def close(self) -> None:
        """End. All sightings end too."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._timer.close()
        for sockets in self._links.values():
            sockets.close()
        self._links.clear()
        for sightings in self._sightings:
            sightings.close()

    # --- links ---

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            self.look()
            self.let_go()

    def look(self) -> None:
        """Listen on the links that have come, and on those no more that have gone."""
        try:
            known = self._interfaces.refresh()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        wanted = self._wanted_links(known)
        for link, sockets in tuple(self._links.items()):
            if link not in wanted or wanted[link].endpoint != sockets.address.endpoint:
                del self._links[link]
                sockets.close()
        for link, address in wanted.items():
            if link in self._links:
                continue
            try:
                sockets = LinkSockets(
                    self._runtime,
                    link,
                    address,
                    received=self._receive,
                    ignored=self._ignore,
                    policy=self._policy,
                    limits=self._limits,
                )
            except OSError as error:
                self._warnings.warn(
                    ("link", link), f"no discovery on {link.interface} (IPv{link.version}): {error}"
                )
                continue
            self._links[link] = sockets
            self._logger.info("discovery on %s from %s", link.interface, address.host)
            sockets.search(EVERYTHING)

    def _wanted_links(self, known: tuple[LocalAddress, ...]) -> dict[Link, LocalAddress]:
        """One address for each link: for IPv6 the link-local one, as its group is link-local."""
        if self._host is not None:
            own = self._host.partition("%")[0]
            at = [address for address in known if address.host == own]
            numbers = {(address.interface, address.network.version) for address in at}
            known = tuple(
                address
                for address in known
                if (address.interface, address.network.version) in numbers
                and (address.network.version == 6 or address.host == own)
            )
        else:
            outward = tuple(a for a in known if not ip_address(a.host).is_loopback)
            known = outward or known
        links: dict[Link, LocalAddress] = {}
        for address in known:
            version = address.network.version
            if version == 6 and not address.scope:
                continue
            link = Link(address.interface, address.interface_index, version)
            held = self._links.get(link)
            if held is not None and held.address.endpoint == address.endpoint:
                links[link] = address  # it need not be the first one to stay
            elif len(links) < self._limits.discovery_links:
                links.setdefault(link, address)
        return links

    # --- datagrams ---

    def _receive(self, link: Link, source: Endpoint, advertisement: Advertisement) -> None:
        sockets = self._links.get(link)
        if sockets is None or self._closed:
            return
        self._presence.receive(
            advertisement,
            link=link,
            source=source,
            on_link=self._interfaces.on_link_for(sockets.address.endpoint),
            now=monotonic(),
        )
        if self._waiting:
            device = self._presence.device(advertisement.udn)
            for event in self._waiting.get(device, ()) if device is not None else ():
                event.set()
        self._drain()

    def _ignore(self, source: Endpoint, reason: str) -> None:
        self._logger.debug("from %s: %s", source.host, reason)

    def _deadline(self, now: float) -> None:
        self._presence.handle_deadline(now)
        self._drain()

    def _drain(self) -> None:
        for outcome in self._presence.take_outcomes():
            if self._tap is not None:
                self._tap(outcome)
            self._act(outcome)
        self._timer.set(self._presence.next_deadline())

    def _act(self, outcome: PresenceOutcome) -> None:
        match outcome:
            case DeviceAppeared(device) | DeviceChanged(device):
                for sightings in tuple(self._sightings):
                    sightings.see(device)
            case DeviceGone(device, by):
                self._logger.info("%s has gone (%s)", device.udn, by.value)
                for sightings in tuple(self._sightings):
                    sightings.lose(device)
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
                # A UDN that no header can carry is nothing to search for.
                with contextlib.suppress(ValueError):
                    self.search(device.udn)
            case AdvertisementIgnored(source, udn, reason):
                # Sources are easily made up: past a few of them, all are one.
                if source in self._doubtful or len(self._doubtful) < _DOUBTFUL_SOURCES:
                    self._doubtful.add(source)
                else:
                    source = "elsewhere"
                self._warnings.warn(("ignored", source), f"{udn} from {source}: {reason}")

    def search(self, target: str = EVERYTHING) -> None:
        """Search on all links for a UDN, a device type, a service type, or everything. Raises
        ValueError for a target that no header can carry."""
        for sockets in self._links.values():
            sockets.search(target)

    # --- devices that are followed ---

    def follow(self, remote: RemoteDevice) -> None:
        """Keep ``remote`` at where its device is, and its subscriptions told, as long as somebody
        holds it."""
        if not remote.udn:
            return
        try:
            device = self._presence.follow(remote.udn, monotonic())
        except LocalProtocolError as error:
            self._warnings.warn("follow", f"{remote.udn} is not followed: {error}")
            return
        followed = self._followed.get(device)
        if followed is None:
            followed = self._followed[device] = _Followed(self._limits)
        else:
            self._presence.unfollow(device)
        followed.remotes.add(remote)
        self._presence.relocated(device, remote.url, udns_of(remote.description))
        self._drain()

    def let_go(self) -> None:
        """Follow no more what nobody holds any more."""
        for device, followed in tuple(self._followed.items()):
            if not followed.remotes and followed.task is None:
                del self._followed[device]
                self._presence.unfollow(device)

    def subscription_failed(self, udn: str) -> None:
        """A subscription to the device found no answer."""
        self._presence.subscription_failed(udn, monotonic())
        self._drain()

    def subscription_granted(self, udn: str) -> None:
        """A subscription to the device was granted or renewed."""
        self._presence.subscription_granted(udn)

    def _tell(self, device: AdvertisedDevice, tell: Tell) -> None:
        now = monotonic()
        udns = {udn for r in self._followed[device].remotes for udn in udns_of(r.description)}
        for udn in udns:
            tell(udn, now)
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
        if followed.task is None:
            followed.task = self._spawn(self._relocate(device, followed))

    async def _relocate(self, device: AdvertisedDevice, followed: _Followed) -> None:
        try:
            while followed.again:
                # Or whoever announces locations without end would aim this host at its neighbours.
                await asyncio.sleep(followed.bucket.ready_at(monotonic()) - monotonic())
                followed.bucket.spend(monotonic())
                followed.again = False
                former, others = places_of(device)
                description = await find_description(
                    device.udn,
                    former=former,
                    others=others,
                    read=self._read,
                    grace=self._limits.relocation_seconds,
                )
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
        finally:
            followed.task = None

    # --- what a program asks for ---

    def sightings(self, control_point: ControlPoint, wanted: str | None) -> Sightings:
        """A stream of sightings that begins with the devices that are there already."""
        sightings = Sightings(control_point, wanted)
        for device in self._presence.devices:
            sightings.see(device)
        self._sightings.add(sightings)
        return sightings

    async def find(self, udn: str, seconds: float) -> DeviceDescription:
        """The description of the device ``udn``, searched for until it is found.

        Raises TimedOut, with what stood in the way, after ``seconds``."""
        device = self._presence.follow(udn, monotonic())
        arrival = asyncio.Event()
        self._waiting.setdefault(device, set()).add(arrival)
        failure = ""
        try:
            async with asyncio.timeout(seconds):
                wait = _FIRST_WAIT
                search_at = monotonic()
                tried: set[str] = set()
                while True:
                    arrival.clear()
                    for url in [url for url in device.locations if url not in tried]:
                        tried.add(url)
                        try:
                            return await self._read_of(udn, url)
                        except (PropchangeError, ValueError) as error:
                            failure = str(error)
                    if monotonic() >= search_at:
                        self.search(udn)
                        search_at = monotonic() + wait
                        wait = min(2 * wait, _LONGEST_WAIT)
                        tried.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(arrival.wait(), search_at - monotonic())
        except TimeoutError:
            where = ", ".join(sorted({link.interface for link in self._links}))
            heard = failure or f"nothing was heard of it on {where or 'any interface'}"
            raise TimedOut(f"{udn} was not found within {seconds:g} s: {heard}") from None
        finally:
            waiting = self._waiting[device]
            waiting.discard(arrival)
            if not waiting:
                del self._waiting[device]
            # Whoever got the description follows the device before this.
            asyncio.get_running_loop().call_soon(self._presence.unfollow, device)

    async def describe(self, udn: str, urls: Sequence[str]) -> DeviceDescription:
        """The description of the device itself, from the first of ``urls`` that has it. Raises what
        reading the first one did."""
        failures: list[Exception] = []
        for url in urls:
            try:
                description = await self._read_of(udn, url)
            except (PropchangeError, ValueError) as error:
                failures.append(error)
            else:
                return description.find_device(udn) or description
        raise failures[0] if failures else ConnectionFailed(f"{udn} is nowhere any more")

    async def _read_of(self, udn: str, url: str) -> DeviceDescription:
        description = await self._read(url)
        if description.find_device(udn) is None:
            raise DescriptionError(f"{url} describes {description.udn}, not {udn}")
        return description

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._logger.error("discovery has failed", exc_info=task.exception())


class _Followed:
    """The RemoteDevices of one device, and what is being found out for them."""

    def __init__(self, limits: Limits) -> None:
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, monotonic())
        self.remotes: weakref.WeakSet[RemoteDevice] = weakref.WeakSet()
        self.task: asyncio.Task[None] | None = None
        self.again = False
        self.tell: Tell | None = None
