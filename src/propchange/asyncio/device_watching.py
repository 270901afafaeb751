"""Finds devices as they come, and subscribes to their services: for ``watch --all`` and ``bridge``.

Anybody on the network can announce any device, so what an announcement causes is bounded: its
description is read once at each announced location, and a few times again if it cannot be read. The
control point bounds the reads of one host, and the devices that are known. A device, and a host,
have a part of the subscriptions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.remote import RemoteDevice, RemoteService, Sighting
from propchange.asyncio.subscription import Subscription
from propchange.core.discovery.advertisement import type_fits, udn_key
from propchange.driver.discovery import AnotherDevice
from propchange.driver.sightings import SightingKind
from propchange.errors import LocalProtocolError, PropchangeError, SubscriptionRefused
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.redescription import ServiceKey, keyed_services

_READERS = 128
"""Descriptions that are read at the same time. Many, so that forged devices at hosts that do not
exist do not delay the others."""

_READ_AGAIN = (3.0, 10.0, 30.0)
"""Seconds before a description that could not be read is read again. A device that starts announces
itself before it answers, and does not announce itself again for minutes. After the last time, it is
read when its announcements change. Bounds the requests that a forged announcement causes."""

_REREAD_SECONDS = 4.0
"""Least seconds between two readings of the description of a device that is watched. It is read
again when the device is back, and when it announces a new type, for the services that it has then.
The bridge reads it again when a subscription was interrupted.
Bounds the requests that forged announcements cause."""

_SUBSCRIBE_AGAIN = 2.0
"""Seconds before a service that has refused SUBSCRIBE is asked again. From then on the subscription
itself retries, less and less often."""

_ROOM_AGAIN = 60.0
"""Seconds before another try, if the control point had no room for a subscription."""

_SERVICES_OF_DEVICE = 128
"""Services of one root device that are watched, embedded devices included; a large device has about
30. Bounds a device that lists thousands."""

_SERVICES_OF_HOST = 1_024
"""Services of one host that are watched, a quarter of those of a control point; a bridge has some
dozens of devices. Bounds a host that announces devices without end."""

_FIND_AGAIN, _LONGEST_FIND_AGAIN = 1.0, 30.0
"""Seconds before a named device that was not found is searched for again. The first wait is doubled
up to the longest."""


@dataclass(slots=True, eq=False, repr=False)
class FoundService:
    """A service of a watched device. ``device`` is the root device. ``key`` is the same when the
    device is described again; ``device`` and ``service`` are then new ones. ``subscription`` is the
    present one; None while there is none."""

    device: RemoteDevice
    service: RemoteService
    key: ServiceKey
    subscription: Subscription | None = None


class DeviceObserver(Protocol):
    """What :class:`DeviceWatching` calls. No method may raise."""

    def start(self, work: Coroutine[Any, Any, None], /) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the watching ends."""

    def device(
        self, sighting: Sighting, description: DeviceDescription | None, problem: str | None, /
    ) -> None:
        """A device has appeared, changed or gone: ``sighting.kind``. ``description`` is None if it
        was not read; ``problem`` says why, except for a device that has gone. With a description,
        ``problem`` says why the device is not watched."""

    def left_out(self, device: RemoteDevice, problem: str, /) -> None:
        """Some services of ``device`` are not watched; ``problem`` says how many and why."""

    def found(self, services: Sequence[FoundService], /) -> None:
        """A device was described. These of its services are new; perhaps none. They are subscribed
        to next, unless the program calls :meth:`DeviceWatching.subscribe` itself."""

    def subscribe(self, service: FoundService, subscription: Subscription, /) -> None:
        """Enter ``subscription`` and read it. If entering raises, call
        :meth:`DeviceWatching.subscribe_again`."""

    def failed(self, service: FoundService, error: Exception, /) -> None:
        """The first subscription to ``service`` has failed. It is tried again."""

    def forgotten(self, service: FoundService, /) -> None:
        """``service`` is no longer watched, because another device needs the room."""


@dataclass(slots=True, eq=False, repr=False)
class _Watched:
    """A root device that is watched. ``types`` are the types that were announced or described when
    its description was last read, at the time ``read_at``. ``shown``: the observer knows it."""

    device: RemoteDevice
    host: str
    types: set[str]
    read_at: float
    url: str
    shown: bool = False
    gone: bool = False
    services: dict[ServiceKey, FoundService] = field(default_factory=dict)


class DeviceWatching:
    """Watches the devices that ``control_point`` sees, and calls ``observer``.

    ``type``: only devices and services of this type. ``services`` are names of services; empty: all
    that send events. ``finders`` are functions that find named devices, and raise PropchangeError
    or ValueError if they do not; with any, these devices alone are watched. ``subscribe=False``:
    the observer calls :meth:`subscribe` for the services that it wants. ``minimum_interval`` is
    that of each subscription.

    Run :meth:`watch`.
    """

    def __init__(
        self,
        control_point: ControlPoint,
        observer: DeviceObserver,
        *,
        type: str | None = None,
        services: Sequence[str] = (),
        finders: Sequence[Callable[[], Awaitable[Iterable[RemoteDevice]]]] = (),
        not_found: Callable[[str], object] | None = None,
        subscribe: bool = True,
        minimum_interval: float | None = None,
    ) -> None:
        self._control_point = control_point
        self._observer = observer
        self._type = type
        self._minimum_interval = minimum_interval
        self._names = services
        self._finders = finders
        self._not_found = not_found
        self._subscribes = subscribe
        self._readers = asyncio.Semaphore(_READERS)
        # By the key of the UDN that was seen: that of the root, or of an embedded device.
        self._latest: dict[str, Sighting] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        # By the key of the UDN of the root device. A device that has gone is moved to the end.
        self._watched: dict[str, _Watched] = {}
        self._roots: dict[str, str] = {}
        # URL -> the root device that was described there last.
        self._root_at: dict[str, str] = {}
        # URL -> the root device that was described there before, and may be there again.
        self._before_at: dict[str, Sighting] = {}
        # The keys of devices that have changed since their description was asked for.
        self._changed: set[str] = set()
        self._services_of_host: Counter[str] = Counter()
        self._devices_of_host: Counter[str] = Counter()
        self.number = 0
        """Devices that have appeared."""

    async def watch(self) -> None:
        """Watch until cancelled."""
        for find in self._finders:
            self._observer.start(self._find(find))
        if self._type is not None and self._type.startswith("urn:"):
            self._control_point.search(self._type)
        async for sighting in self._control_point.devices(self._type):
            if self._finders and self._watched_of(sighting) is None:
                continue
            if sighting.kind is SightingKind.GONE:
                self._lose(sighting)
            else:
                self._see(sighting)

    async def _find(self, find: Callable[[], Awaitable[Iterable[RemoteDevice]]]) -> None:
        """Find a named device and watch its services."""
        wait, said = _FIND_AGAIN, ""
        devices: Iterable[RemoteDevice] | None = None
        while devices is None:
            try:
                devices = await find()
            except (PropchangeError, ValueError) as error:
                if str(error) != said and self._not_found is not None:
                    said = str(error)
                    self._not_found(said)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_FIND_AGAIN)
        for device in devices:
            self.number += 1
            self._describe(_sighting_of(device), device)

    # --- what is seen ---

    def _see(self, sighting: Sighting) -> None:
        key = udn_key(sighting.udn)
        watched = self._watched_of(sighting)
        if watched is not None:
            if watched.gone:
                # It goes on with its subscriptions.
                watched.gone = False
                self._report(watched, replace(sighting, kind=SightingKind.APPEARED))
            elif watched.types.issuperset(sighting.types):
                return
        self._latest[key] = sighting
        if watched is not None:
            self._changed.add(key)
        if key not in self._reading:
            self.number += watched is None
            self._begin_reading(key)

    def read_again(self, found: FoundService) -> None:
        """Read the description of the device of ``found`` again. The observer calls this when the
        device was away: it may be described otherwise now, and its announcement may be lost."""
        key = udn_key(found.device.udn)
        if not self._is_watched(found):
            return
        self._changed.add(key)
        if key not in self._reading:
            self._latest[key] = _sighting_of(found.device)
            self._begin_reading(key)

    def _begin_reading(self, key: str) -> None:
        task = self._reading[key] = self._observer.start(self._read(key))
        task.add_done_callback(lambda _: self._has_read(key, task))

    def _has_read(self, key: str, task: asyncio.Task[None]) -> None:
        if self._reading.get(key) is not task:
            return
        del self._reading[key]
        latest = self._latest.pop(key, None)
        if key in self._changed:
            self._changed.discard(key)
            # The description that was read may be that of before.
            if latest is not None and not task.cancelled() and self._watched_of(latest):
                self._latest[key] = latest
                self._begin_reading(key)

    def _lose(self, sighting: Sighting) -> None:
        key = udn_key(sighting.udn)
        self._latest.pop(key, None)
        self._changed.discard(key)
        reading = self._reading.pop(key, None)
        if reading is not None:
            reading.cancel()
        watched = self._watched_of(sighting)
        if watched is None:
            # Its description was never read.
            self._observer.device(sighting, None, None)
        elif not watched.gone:
            watched.gone = True
            root = udn_key(watched.device.udn)
            self._watched[root] = self._watched.pop(root)
            self._report(watched, sighting)
            before = self._before_at.pop(watched.device.url, None)
            if before is not None:
                self._see(before)

    def _report(self, watched: _Watched, sighting: Sighting) -> None:
        if watched.shown:
            device = watched.device
            seen = replace(sighting, udn=device.udn)
            self._observer.device(seen, device.description, None)

    def _watched_of(self, sighting: Sighting) -> _Watched | None:
        """The watched device that is seen, or that embeds it."""
        key = udn_key(sighting.udn)
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched.get(self._roots.get(key, ""))
            # A root device at another location is not embedded, even if a description says so.
            if watched and sighting.is_root and watched.device.url not in sighting.locations:
                return None
        return watched

    # --- descriptions ---

    async def _read(self, key: str) -> None:
        """Read the description of a device and watch its services."""
        said, watched = "", self._watched_of(self._latest[key])
        first = 0.0 if watched is None else watched.read_at + _REREAD_SECONDS - _clock()
        for wait in (max(first, 0.0), *_READ_AGAIN):
            await asyncio.sleep(wait)
            sighting = self._latest[key]
            watched = self._watched_of(sighting)
            if watched is not None:
                # Anybody can announce another location of a known device. If it has moved, its
                # RemoteDevice has the new URL.
                known = watched.device
                sighting = replace(sighting, udn=known.udn, locations=(known.url,))
            try:
                async with self._readers:
                    self._changed.discard(key)
                    device = await sighting.device(search=False)
            except (PropchangeError, ValueError) as error:
                if isinstance(error, AnotherDevice) and watched is not None:
                    self._replace(watched, error.description)
                    return
                if str(error) != said and self._watched_of(self._latest[key]) is None:
                    said = str(error)
                    self._observer.device(self._latest[key], None, said)
                continue
            self._describe(self._latest[key], device)
            return

    def _replace(self, watched: _Watched, description: DeviceDescription) -> None:
        """Another device answers at the URL of ``watched``. Watch that one instead."""
        root = udn_key(watched.device.udn)
        if self._watched.get(root) is not watched:
            return
        before = _sighting_of(watched.device)
        self._let_go(root)
        if self._finders or not description.udn:
            return
        if udn_key(description.udn) not in self._watched:
            self._see(replace(before, udn=description.udn, types=()))
        self._before_at[before.description_url] = before

    def _take_url(self, device: RemoteDevice) -> None:
        """``device`` was described at its URL. Another one that was there is there no more."""
        url, root = device.url, udn_key(device.udn)
        former = self._root_at.get(url, root)
        watched = self._watched.get(former)
        known = self._watched.get(root)
        if known is not None and known.url != url and self._root_at.get(known.url) == root:
            del self._root_at[known.url]
        self._root_at[url] = root
        if former != root and watched is not None and watched.device.url == url:
            self._let_go(former)
            self._root_at[url] = root
            self._before_at[url] = _sighting_of(watched.device)

    def _describe(self, sighting: Sighting, device: RemoteDevice) -> None:
        """Watch the services of ``device`` that are not watched yet."""
        description, root = device.description, udn_key(device.udn)
        self._take_url(device)
        types = {*sighting.types, *_types_of(description)}
        watched = self._watched.get(root)
        kind = SightingKind.APPEARED if watched is None else SightingKind.CHANGED
        if watched is None:
            host = description.host.host if description.host is not None else ""
            if full := self._make_room(host):
                sighting = replace(sighting, udn=device.udn)
                self._observer.device(sighting, description, full)
                return
            watched = self._watched[root] = _Watched(device, host, types, _clock(), device.url)
            self._devices_of_host[host] += 1
        else:
            watched.device, watched.types = device, types
            watched.read_at, watched.url = _clock(), device.url
            services = {
                key: service
                for (key, _), service in zip(
                    keyed_services(description), device.services, strict=True
                )
            }
            for found in watched.services.values():
                found.device = device
                found.service = services.get(found.key, found.service)
        for each in description.all_devices():
            # A device belongs to the first description that contains it: a later one may be forged.
            self._roots.setdefault(udn_key(each.udn), root)
        wanted = self._wanted_of(watched, device)
        fits = self._type is None or any(
            type_fits(each, self._type) for each in _types_of(description)
        )
        if wanted or (fits and not watched.shown):
            watched.shown = True
            self._report(watched, replace(sighting, kind=kind))
        self._observer.found(wanted)
        for found in wanted:
            watched.services[found.key] = found
            self._services_of_host[watched.host] += 1
            if self._subscribes:
                self.subscribe(found)

    def _wanted_of(self, watched: _Watched, device: RemoteDevice) -> list[FoundService]:
        """The services of ``device`` to watch that are not watched yet."""
        fitting = set(device.services)
        if self._names:
            fitting = {each for name in self._names for each in device.services_named(name)}
        by_type = set(map(id, services_of_type(device.description, self._type)))
        keyed = list(keyed_services(device.description))
        # The subscription to a service goes on if the device gives the service another type.
        present = {key for key, _ in keyed}
        retyped = {key[:2] for key in watched.services if key not in present}
        wanted = [
            FoundService(device, service, key)
            for (key, described), service in zip(keyed, device.services, strict=True)
            if service.event_url
            and service in fitting
            and id(described) in by_type
            and key not in watched.services
            and key[:2] not in retyped
        ]
        room = min(
            _SERVICES_OF_DEVICE - len(watched.services),
            _SERVICES_OF_HOST - self._services_of_host[watched.host],
        )
        if len(wanted) > room:
            left_out = len(wanted) - max(room, 0)
            self._observer.left_out(
                device,
                f"{left_out} of its services are not watched: at most {_SERVICES_OF_DEVICE} of one "
                f"device and {_SERVICES_OF_HOST} of one host are",
            )
        return wanted[: max(room, 0)]

    def _make_room(self, host: str) -> str:
        """Make room for a device at ``host``: forget the watched device that has been gone longest.
        Returns why there is no room; empty if there is room."""
        limits = self._control_point.limits
        full = ""
        of_host = self._devices_of_host[host] >= limits.devices_per_source
        if of_host:
            full = f"it is not watched: {limits.devices_per_source} devices of {host} are"
        elif len(self._watched) >= limits.followed_devices:
            full = f"it is not watched: {limits.followed_devices} other devices are"
        if full:
            for root, watched in self._watched.items():
                if watched.gone and (not of_host or watched.host == host):
                    self._let_go(root)
                    return ""
        return full

    def _let_go(self, root: str) -> None:
        """Close the subscriptions of a device and forget it."""
        watched = self._watched.pop(root)
        self._roots = {key: each for key, each in self._roots.items() if each != root}
        self._root_at = {url: each for url, each in self._root_at.items() if each != root}
        self._before_at = {
            url: each for url, each in self._before_at.items() if url in self._root_at
        }
        self._devices_of_host[watched.host] -= 1
        for found in watched.services.values():
            self._services_of_host[watched.host] -= 1
            self._observer.forgotten(found)
            if found.subscription is not None:
                self._observer.start(found.subscription.close())
        watched.services = {}
        # Drop the hosts whose count is 0.
        self._devices_of_host += Counter()
        self._services_of_host += Counter()

    # --- subscriptions ---

    def subscribe(self, found: FoundService, *, wait: bool = True) -> None:
        """Subscribe to ``found``. ``wait`` is that of ``RemoteService.subscribe``. Done for each
        found service, unless ``subscribe=False`` was given."""
        try:
            found.subscription = found.service.subscribe(
                wait=wait, minimum_interval=self._minimum_interval
            )
        except PropchangeError as error:  # the device is described anew without an event URL
            found.subscription = None
            self._observer.failed(found, error)
        else:
            self._observer.subscribe(found, found.subscription)

    async def unsubscribe(self, found: FoundService) -> None:
        """Unsubscribe from ``found``, if there is a subscription. The service stays found."""
        subscription, found.subscription = found.subscription, None
        if subscription is not None:
            await subscription.close()

    async def subscribe_again(self, found: FoundService, error: Exception) -> Subscription | None:
        """Another subscription to ``found``, which keeps trying. Entering the one before has raised
        ``error``. None if ``found`` is no longer wanted, or has no event URL any more."""
        failed = found.subscription
        if failed is None or not self._is_watched(found):
            return None
        self._observer.failed(found, error)
        refused = isinstance(error, SubscriptionRefused)
        room = refused or not isinstance(error, LocalProtocolError)
        await asyncio.sleep(_SUBSCRIBE_AGAIN if room else _ROOM_AGAIN)
        if found.subscription is not failed or not self._is_watched(found):
            return None
        try:
            found.subscription = found.service.subscribe(
                wait=not room, minimum_interval=self._minimum_interval
            )
        except PropchangeError as gone:  # the device is described anew without an event URL
            found.subscription = None
            self._observer.failed(found, gone)
        return found.subscription

    def _is_watched(self, found: FoundService) -> bool:
        watched = self._watched.get(udn_key(found.device.udn))
        return watched is not None and watched.services.get(found.key) is found


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _sighting_of(device: RemoteDevice) -> Sighting:
    """A sighting of a device that the program has named."""
    types = tuple(_types_of(device.description))
    return Sighting(
        SightingKind.APPEARED, device.udn, types, (device.url,), True, None, device._driver
    )


def services_of_type(
    description: DeviceDescription, type: str | None, *, fits: bool = False
) -> Iterator[ServiceDescription]:
    """The services of the tree of ``description`` with this type, and all services of the devices
    with this type, their embedded devices included. None: all services. ``fits``: a device that
    embeds this one has the type."""
    fits = fits or type is None or type_fits(description.device_type, type)
    for service in description.services:
        if fits or (type is not None and type_fits(service.service_type, type)):
            yield service
    for device in description.devices:
        yield from services_of_type(device, type, fits=fits)


def _types_of(description: DeviceDescription) -> Iterator[str]:
    for device in description.all_devices():
        yield device.device_type
    for service in description.all_services():
        yield service.service_type
