"""Discovery of one control point: what devices announce becomes sightings for the program, and
news for the subscriptions.

An advertisement comes from a socket of this machine (:class:`.Links`), or from a program that
hears SSDP by itself (:meth:`Discovery.receive`). :class:`.Presence` finds out what it means.
Devices that the program holds are followed where they go (:class:`.FollowedDevices`). A device
that it waits for is searched for until it is found (:meth:`Discovery.find`).
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

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
from propchange.core.local_addresses import OnLink
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.wire.messages import Endpoint
from propchange.driver.documents import Documents
from propchange.driver.followed_devices import FollowedDevices, ReadDescription
from propchange.driver.interfaces import Interfaces
from propchange.driver.links import EVERYTHING, Links
from propchange.driver.remote import DescribedDevice
from propchange.driver.reporting import Warnings
from propchange.driver.runtime import Future, Runtime, Tasks
from propchange.driver.sightings import SeenDevice, SightingKind, Sightings
from propchange.driver.ssdp_sockets import Link
from propchange.driver.timer import Timer
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.upnp.description import DeviceDescription
from propchange.upnp.ssdp import read_message

__all__ = ["Discovery", "DiscoveryView"]

S = TypeVar("S", bound=SeenDevice)

_DOUBTFUL_SOURCES = 16
"""Hosts of which it is logged one by one that their advertisements count for nothing."""

_TRIED = 16
"""Locations of a device that are tried between two searches for it: a host may announce others
without end."""

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 8.0
# Seconds between searches for a device that is waited for.


class Discovery:
    """What devices announce, for one control point.

    It begins with :meth:`start`, which listens and searches on the links of this machine, or with
    the first :meth:`receive`. Before that, a device to :meth:`follow` is only remembered. In the
    end call :meth:`close`.

    ``protocol`` is told what happens to the devices of its subscriptions, and ``changed`` is called
    when it has been. ``documents`` reads the descriptions that are announced;
    ``off_link_locations`` lets them be anywhere. ``search`` is called with what is searched for,
    beside the links: for a program that searches by itself. ``tap`` gets each outcome.
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
        search: Callable[[str], object] | None = None,
        tap: Callable[[object], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._protocol = protocol
        self._interfaces = interfaces
        # Where a redirect of an announced URL leads was not judged.
        read = documents.description if off_link_locations else documents.announced_description
        self._read: ReadDescription = read
        self._limits = limits
        self._search = search
        self._tap = tap
        self._warnings = Warnings(logging.getLogger("propchange.discovery"))
        self._tasks = Tasks(runtime)
        self._presence = Presence(off_link_locations=off_link_locations, limits=limits)
        self._links = Links(
            runtime,
            interfaces=interfaces,
            received=self._hear_on,
            policy=policy,
            limits=limits,
            warnings=self._warnings,
        )
        self._followed = FollowedDevices(
            runtime,
            self._tasks,
            self._presence,
            protocol,
            read=read,
            changed=changed,
            limits=limits,
            warnings=self._warnings,
        )
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=runtime.now)
        self._to_follow: weakref.WeakSet[DescribedDevice[Any]] = weakref.WeakSet()
        self._sightings: weakref.WeakSet[Sightings[Any]] = weakref.WeakSet()
        self._awaited: dict[AdvertisedDevice, set[_Awaited]] = {}
        self._doubtful: set[str] = set()
        self._active = False
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens and searches from now, an address for each link."""
        return self._links.addresses

    def start(self, host: str | None) -> None:
        """Listen on the links of this machine, or from the address ``host`` alone, and search."""
        self._activate()
        self._links.start(host)

    async def close(self) -> None:
        """End. All sightings end too, and :meth:`find` raises ConnectionFailed."""
        self._closed = True
        self._timer.close()
        self._links.close()
        for awaited in [each for many in self._awaited.values() for each in many]:
            awaited.fail(ConnectionFailed("the control point was closed"))
        await self._tasks.close()
        for sightings in self._sightings:
            sightings.close()

    def _activate(self) -> None:
        if not self._active:
            self._active = True
            for remote in tuple(self._to_follow):
                self.follow(remote)
            self._to_follow.clear()

    def _check_active(self) -> None:
        if not self._active:
            raise RuntimeError("this needs ControlPoint(discovery=True)")

    # --- advertisements ---

    def receive(self, message: Mapping[str, str] | str | bytes, source: str, local: str) -> None:
        """For a program that hears SSDP: a message, or its headers, that came from the address
        ``source`` to the interface that has the address ``local``, empty if that is not known.
        What cannot be read is passed over."""
        if self._closed:
            return
        self._activate()
        try:
            advertisement = read_message(message, self._limits)
            heard_at, sender = _endpoint(local), _endpoint(source)
        except (RemoteProtocolError, ValueError) as error:
            self._warnings.logger.debug("from %s: %s", source, error)
            return
        if advertisement is not None:
            on_link = self._interfaces.on_link_for(heard_at) if local else ()
            self._hear(local, sender, advertisement, on_link)

    def _hear_on(self, link: Link, source: Endpoint, advertisement: Advertisement) -> None:
        if not self._closed:
            self._hear(link, source, advertisement, self._links.on_link(link))

    def _hear(
        self,
        link: Hashable,
        source: Endpoint,
        advertisement: Advertisement,
        on_link: Sequence[OnLink],
    ) -> None:
        self._presence.receive(
            advertisement, link=link, source=source, on_link=on_link, now=self._runtime.now()
        )
        if self._awaited:
            device = self._presence.device(advertisement.udn)
            for awaited in self._awaited.get(device, ()) if device is not None else ():
                awaited.wake()
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
        log = self._warnings.logger
        match outcome:
            case DeviceAppeared(device) | DeviceChanged(device):
                for sightings in tuple(self._sightings):
                    sightings.see(device)
            case DeviceGone(device, by):
                log.info("%s has gone (%s)", device.udn, by.value)
                for sightings in tuple(self._sightings):
                    sightings.lose(device)
                self._followed.tell(device, self._protocol.device_gone)
            case DeviceRebooted(device, reason):
                log.info("%s has restarted: %s", device.udn, reason)
                self._followed.settle(device, self._protocol.device_rebooted)
            case DeviceReturned(device):
                log.info("%s is back", device.udn)
                self._followed.settle(device, self._protocol.device_returned)
            case DeviceMoved(device):
                self._followed.settle(device, None)
            case SearchWanted(device):
                # A UDN that no header can carry is nothing to search for.
                with contextlib.suppress(ValueError):
                    self._search_for(device.udn)
            case AdvertisementIgnored(source, udn, reason):
                # Sources are easily made up: past a few of them, all are one.
                if source in self._doubtful or len(self._doubtful) < _DOUBTFUL_SOURCES:
                    self._doubtful.add(source)
                else:
                    source = "elsewhere"
                self._warnings.warn(("ignored", source), f"{udn} from {source}: {reason}")

    # --- subscriptions ---

    def follow(self, remote: DescribedDevice[Any]) -> None:
        """Keep ``remote`` at where its device is, and its subscriptions told, as long as the
        program holds it."""
        if not self._active:
            self._to_follow.add(remote)
        elif not self._closed:
            self._followed.follow(remote)
            self._drain()

    def subscription_failed(self, udn: str) -> None:
        """A subscription to the device found no answer."""
        self._presence.subscription_failed(udn, self._runtime.now())
        self._drain()

    def subscription_granted(self, udn: str) -> None:
        """A subscription to the device was granted or renewed."""
        self._presence.subscription_granted(udn)

    # --- what a program asks for ---

    def search(self, target: str = EVERYTHING) -> None:
        """Search for a UDN, a device type, a service type, or everything.

        Raises RuntimeError before it has begun, ValueError for what cannot be searched for."""
        self._check_active()
        if not (target and target.isascii() and target.isprintable()):
            raise ValueError(f"{target!r} is nothing that can be searched for")
        self._search_for(target)

    def _search_for(self, target: str) -> None:
        self._links.search(target)
        if self._search is not None:
            self._search(target)

    def sightings(
        self, make: Callable[[SightingKind, AdvertisedDevice], S], wanted: str | None
    ) -> Sightings[S]:
        """A stream of sightings that begins with the devices that are there already; see
        :class:`.Sightings`. Raises RuntimeError before it has begun."""
        self._check_active()
        sightings = Sightings(self._runtime, make, wanted)
        for device in self._presence.devices:
            sightings.see(device)
        self._sightings.add(sightings)
        return sightings

    async def find(self, udn: str, seconds: float | None) -> DeviceDescription:
        """The description of the device ``udn``, searched for until it is found. The device that is
        made of it has to be given to :meth:`follow` at once.

        Raises TimedOut, with what stood in the way, after ``seconds``, ``limits.find_seconds`` if
        None; ValueError for what is no UDN, RuntimeError before it has begun, ConnectionFailed when
        the control point is closed meanwhile."""
        self._check_active()
        if udn[:5].lower() != "uuid:":
            raise ValueError(f"{udn!r} is no UDN: it looks like uuid:<a UUID>")
        seconds = self._limits.find_seconds if seconds is None else seconds
        device = self._presence.follow(udn, self._runtime.now())
        awaited = _Awaited(self._runtime)
        self._awaited.setdefault(device, set()).add(awaited)
        alarm = self._runtime.call_later(
            max(seconds, 0.001), lambda: awaited.fail(self._not_found(udn, seconds, awaited))
        )
        seeking = self._tasks.start(self._seek(device, udn, awaited))
        try:
            return await awaited.found
        finally:
            alarm.cancel()
            seeking.cancel()
            self._awaited[device].discard(awaited)
            if not self._awaited[device]:
                del self._awaited[device]
            # Who has the description follows the device before this.
            self._runtime.call_soon(lambda: self._presence.unfollow(device))

    def _not_found(self, udn: str, seconds: float, awaited: _Awaited) -> TimedOut:
        where = ", ".join(self._links.interfaces) or "any interface"
        heard = awaited.failure or f"nothing was heard of it on {where}"
        return TimedOut(f"{udn} was not found within {seconds:g} s: {heard}")

    async def _seek(self, device: AdvertisedDevice, udn: str, awaited: _Awaited) -> None:
        """Search for ``device``, longer apart each time, and try each location that it announces
        once between two searches."""
        now = self._runtime.now
        wait, search_at = _FIRST_WAIT, now()
        tried: set[str] = set()
        try:
            while not awaited.found.done():
                url = next((url for url in device.locations if url not in tried), None)
                if url is not None and len(tried) < _TRIED:
                    tried.add(url)
                    try:
                        awaited.succeed(await self._read_of(udn, url))
                    except (PropchangeError, ValueError) as error:
                        awaited.failure = str(error)
                    continue
                if now() >= search_at:
                    self._search_for(udn)
                    search_at = now() + wait
                    wait = min(2 * wait, _LONGEST_WAIT)
                    tried.clear()
                await awaited.wait(search_at - now())
        except Exception as error:
            if awaited.found.done():
                raise
            awaited.fail(error)

    async def describe(self, seen: SeenDevice) -> DeviceDescription:
        """The description of the device itself, from the first of its locations that has it. Raises
        what reading the first one did."""
        failures: list[Exception] = []
        for url in seen.locations:
            try:
                description = await self._read_of(seen.udn, url)
            except (PropchangeError, ValueError) as error:
                failures.append(error)
            else:
                return description.find_device(seen.udn) or description
        raise failures[0] if failures else ConnectionFailed(f"{seen.udn} is nowhere any more")

    async def _read_of(self, udn: str, url: str) -> DeviceDescription:
        description = await self._read(url)
        if description.find_device(udn) is None:
            raise DescriptionError(f"{url} describes {description.udn}, not {udn}")
        return description


class DiscoveryView(ABC, Generic[S]):
    """What a control point offers of its discovery, the same on both runtimes."""

    @abstractmethod
    def _discovery(self, *, open_only: bool) -> Discovery:
        """The discovery. Raises RuntimeError where there is none yet, and with ``open_only`` when
        the control point is closed."""

    @abstractmethod
    def _sighting(self, kind: SightingKind, device: AdvertisedDevice) -> S:
        """The sighting of a device, as the runtime's programs hold it."""

    def devices(self, type: str | None = None) -> Sightings[S]:
        """The root devices around, for ``async for``: those that are there, then each that appears,
        changes or goes, until the control point is closed. With ``type``, the devices, embedded
        ones too, that have that device or service type or a later version of it:
        ``urn:schemas-upnp-org:device:MediaRenderer:1``, or ``MediaRenderer`` for any. On Twisted
        the loop stands in a coroutine under ``Deferred.fromCoroutine``.

        Raises RuntimeError without discovery, before :meth:`receive_ssdp` was called."""
        return self._discovery(open_only=True).sightings(self._sighting, type)

    def search(self, target: str = EVERYTHING) -> None:
        """Ask all devices, or those of one type or UDN, to answer now (M-SEARCH). Found ones come
        up in :meth:`devices`. A control point searches by itself when it starts and wherever an
        interface appears.

        Raises RuntimeError without discovery, before :meth:`receive_ssdp` was called, ValueError
        for what cannot be searched for."""
        self._discovery(open_only=True).search(target)

    def receive_ssdp(
        self, message: Mapping[str, str] | str | bytes, source: str, local: str = ""
    ) -> None:
        """For a program that hears SSDP: what a device has announced, or answered to a search, as a
        datagram or as its headers. ``source`` is the address that it came from, ``local`` an
        address of the interface that it came to, empty if that is not known.

        From then on subscriptions to services of a device hear of byebye, restarts (BOOTID) and
        moves, and the device is followed to where it is, as with ``discovery``. A LOCATION counts
        if it is at ``source`` or on the link of ``local`` (UDA 2.0 §1.2). Searches, and what
        cannot be read, are passed over.
        """
        self._discovery(open_only=False).receive(message, source, local)

    @property
    def discovery_links(self) -> tuple[str, ...]:
        """The addresses from which discovery listens and searches now. Empty where no interface
        can do multicast, and without discovery."""
        return self._discovery(open_only=False).addresses


class _Awaited:
    """A device that somebody waits for. ``found`` is to become its description, ``failure`` is
    what stands in the way so far."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.found: Future[DeviceDescription] = runtime.future()
        self.failure = ""
        self._waiter: Future[None] | None = None

    def succeed(self, description: DeviceDescription) -> None:
        """It was found."""
        if not self.found.done():
            self.found.set_result(description)

    def fail(self, error: Exception) -> None:
        """It is waited for no more."""
        if not self.found.done():
            self.found.set_exception(error)

    def wake(self) -> None:
        """It has announced itself."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait until it announces itself, ``seconds`` at most."""
        self._waiter = self._runtime.future()
        alarm = self._runtime.call_later(max(seconds, 0.001), self.wake)
        try:
            await self._waiter
        finally:
            alarm.cancel()


def _endpoint(address: str) -> Endpoint:
    """The endpoint of an address, perhaps with a numeric zone."""
    host, _, zone = address.partition("%")
    return Endpoint(str(ip_address(host)) if host else "", 0, int(zone) if zone else 0)
