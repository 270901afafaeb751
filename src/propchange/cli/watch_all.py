"""``propchange watch --all``: finds devices as they come, and subscribes to their services.

Anybody on the network can announce any device, so what an announcement causes is bounded: its
description is read once at each announced location, and a few times again if it cannot be read. The
control point bounds the reads of one host, and the devices that are known. A device, and a host,
have a part of the subscriptions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from propchange import (
    ControlPoint,
    DeviceDescription,
    PropchangeError,
    RemoteDevice,
    RemoteService,
    Sighting,
    SightingKind,
    Subscription,
    SubscriptionRefused,
)
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.lines import DeviceLine, Source, now
from propchange.cli.targets import Names
from propchange.core.discovery.advertisement import type_fits, udn_key
from propchange.errors import LocalProtocolError
from propchange.upnp.description import ServiceDescription
from propchange.upnp.redescription import ServiceKey, keyed_services

_READERS = 128
"""Descriptions that are read at the same time. Many, so that forged devices at hosts that do not
exist do not delay the others."""

_READ_AGAIN = (3.0, 10.0, 30.0)
"""Seconds before a description that could not be read is read again. A device that starts announces
itself before it answers, and does not announce itself again for minutes. After the last time, it is
read when its announcements change. Bounds the requests that a forged announcement causes."""

_REREAD_SECONDS = 10.0
"""Least seconds between two readings of the description of a device that is watched. It is read
again when the device is back, and when it announces a new type, for the services that it has then.
Bounds the requests that forged announcements cause."""

_SUBSCRIBE_AGAIN = 2.0
"""Seconds before a service that has refused SUBSCRIBE is asked again. From then on the subscription
itself retries, less and less often."""

_ROOM_AGAIN = 60.0
"""Seconds before another try, if the control point had no room for a subscription."""

_SERVICES_OF_DEVICE = 128
"""Services of one root device that are watched, embedded devices included; a large device has about
30. Bounds a device that lists thousands."""

_NAMES_KEPT = 4_096
"""Devices whose names are remembered, so that devices of the same name are told apart. Above that,
all names are forgotten. Bounds the memory for devices that come and go without end."""

_SERVICES_OF_HOST = 1_024
"""Services of one host that are watched, a quarter of those of a control point; a bridge has some
dozens of devices. Bounds a host that announces devices without end."""


@dataclass(slots=True, eq=False, repr=False)
class _Watched:
    """A root device that is watched. ``types`` are the types that were announced or described when
    its description was last read, at the time ``read_at``. ``services`` are watched, by UDN and
    serviceId and type. ``shown``: it was printed."""

    device: RemoteDevice
    host: str
    types: set[str]
    read_at: float
    shown: bool = False
    gone: bool = False
    services: dict[ServiceKey, Source] = field(default_factory=dict)
    subscriptions: dict[Source, Subscription] = field(default_factory=dict)


class DeviceWatching:
    """Watches all devices that ``control_point`` sees, and prints them by ``printer``.

    ``type``: only devices and services of this type. ``services`` are names of services; empty: all
    that send events. ``expect`` is called with the names of services before they are subscribed to.
    Run :meth:`watch` by ``EventPrinter.run_with``.
    """

    def __init__(
        self,
        control_point: ControlPoint,
        printer: EventPrinter,
        *,
        type: str | None = None,
        services: Sequence[str] = (),
        expect: Callable[[Iterable[Source], datetime], object] | None = None,
    ) -> None:
        self._control_point = control_point
        self._printer = printer
        self._type = type
        self._names = services
        self._expect = expect
        self._called = Names()
        self._readers = asyncio.Semaphore(_READERS)
        # By the key of the UDN that was seen: that of the root, or of an embedded device.
        self._latest: dict[str, Sighting] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        # By the key of the UDN of the root device. A device that has gone is moved to the end.
        self._watched: dict[str, _Watched] = {}
        self._roots: dict[str, str] = {}
        self._services: dict[Source, tuple[_Watched, RemoteService]] = {}
        self._services_of_host: Counter[str] = Counter()
        self._devices_of_host: Counter[str] = Counter()
        self._named = 0
        self.number = 0
        """Devices that have appeared."""
        printer.find_again = self._find_again

    async def watch(self) -> None:
        """Watch until cancelled."""
        if self._type is not None and self._type.startswith("urn:"):
            self._control_point.search(self._type)
        async for sighting in self._control_point.devices(self._type):
            if sighting.kind is SightingKind.GONE:
                self._lose(sighting)
            else:
                self._see(sighting)

    # --- what is seen ---

    def _see(self, sighting: Sighting) -> None:
        key = udn_key(sighting.udn)
        watched = self._watched_of(sighting)
        if watched is not None:
            if watched.gone:
                # It goes on with its subscriptions.
                watched.gone = False
                self._print(watched, replace(sighting, kind=SightingKind.APPEARED))
            elif watched.types.issuperset(sighting.types):
                return
        self._latest[key] = sighting
        if key not in self._reading:
            self.number += watched is None
            task = self._reading[key] = self._printer.start(self._read(key))
            task.add_done_callback(lambda _: self._has_read(key, task))

    def _has_read(self, key: str, task: asyncio.Task[None]) -> None:
        if self._reading.get(key) is task:
            del self._reading[key]
            self._latest.pop(key, None)

    def _lose(self, sighting: Sighting) -> None:
        key = udn_key(sighting.udn)
        self._latest.pop(key, None)
        reading = self._reading.pop(key, None)
        if reading is not None:
            reading.cancel()
        watched = self._watched_of(sighting)
        if watched is None:
            # Its description was never read.
            self._printer.device(DeviceLine(now(), sighting, None, None))
        elif not watched.gone:
            watched.gone = True
            root = udn_key(watched.device.udn)
            self._watched[root] = self._watched.pop(root)
            self._print(watched, sighting)

    def _print(self, watched: _Watched, sighting: Sighting) -> None:
        if watched.shown:
            device = watched.device
            seen = replace(sighting, udn=device.udn)
            self._printer.device(DeviceLine(now(), seen, device.description, None))

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
                    device = await sighting.device(search=False)
            except (PropchangeError, ValueError) as error:
                if str(error) != said and self._watched_of(self._latest[key]) is None:
                    said = str(error)
                    self._printer.device(DeviceLine(now(), self._latest[key], None, said))
                continue
            self._describe(self._latest[key], device)
            return

    def _describe(self, sighting: Sighting, device: RemoteDevice) -> None:
        """Watch the services of ``device`` that are not watched yet."""
        description, root = device.description, udn_key(device.udn)
        types = {*sighting.types, *_types_of(description)}
        watched = self._watched.get(root)
        kind = SightingKind.APPEARED if watched is None else SightingKind.CHANGED
        if watched is None:
            host = description.host.host if description.host is not None else ""
            if full := self._make_room(host):
                sighting = replace(sighting, udn=device.udn)
                self._printer.device(DeviceLine(now(), sighting, description, full))
                return
            watched = self._watched[root] = _Watched(device, host, types, _clock())
            self._devices_of_host[host] += 1
            self._named += 1
            if self._named > _NAMES_KEPT:
                self._called, self._named = Names(), 0
        else:
            watched.device, watched.types, watched.read_at = device, types, _clock()
        for each in description.all_devices():
            # A device belongs to the first description that contains it: a later one may be forged.
            self._roots.setdefault(udn_key(each.udn), root)
        wanted = self._wanted_of(watched, device)
        fits = self._type is None or any(
            type_fits(each, self._type) for each in _types_of(description)
        )
        if wanted or (fits and not watched.shown):
            watched.shown = True
            self._print(watched, replace(sighting, kind=kind))
        if self._expect is not None:
            self._expect((source for _, source, _ in wanted), now())
        for key, source, service in wanted:
            watched.services[key] = source
            self._services[source] = watched, service
            self._services_of_host[watched.host] += 1
            self._add(watched, source, service.subscribe())

    def _wanted_of(
        self, watched: _Watched, device: RemoteDevice
    ) -> list[tuple[ServiceKey, Source, RemoteService]]:
        """The services of ``device`` to watch that are not watched yet."""
        called, fitting = self._called.of(device), set(device.services)
        if self._names:
            fitting = {each for name in self._names for each in device.services_named(name)}
        by_type = set(map(id, services_of_type(device.description, self._type)))
        wanted = [
            (key, called[service], service)
            for (key, described), service in zip(
                keyed_services(device.description), device.services, strict=True
            )
            if service.event_url
            and service in fitting
            and id(described) in by_type
            and key not in watched.services
            and called[service] not in self._services
        ]
        room = min(
            _SERVICES_OF_DEVICE - len(watched.services),
            _SERVICES_OF_HOST - self._services_of_host[watched.host],
        )
        if len(wanted) > room:
            left_out = len(wanted) - max(room, 0)
            self._printer.problem(
                self._called.of_device(device),
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
        self._devices_of_host[watched.host] -= 1
        for source in watched.services.values():
            del self._services[source]
            self._printer.failed.pop(source, None)
            self._services_of_host[watched.host] -= 1
            subscription = watched.subscriptions.get(source)
            if subscription is not None:
                self._printer.start(subscription.close())
        # Drop the hosts whose count is 0.
        self._devices_of_host += Counter()
        self._services_of_host += Counter()

    # --- subscriptions ---

    def _add(self, watched: _Watched, source: Source, subscription: Subscription) -> None:
        watched.subscriptions[source] = subscription
        self._printer.add(source, subscription)

    async def _find_again(self, source: Source, error: Exception) -> Wanted:
        """Print ``error``, with which the first subscription to ``source`` has failed, and return
        another subscription to it, which keeps trying."""
        if source not in self._services:
            return []
        refused = isinstance(error, SubscriptionRefused)
        said = str(error)
        if self._printer.failed.get(source) != said:
            self._printer.failed[source] = said
            self._printer.status(source, "refused" if refused else "failed", said)
        room = refused or not isinstance(error, LocalProtocolError)
        await asyncio.sleep(_SUBSCRIBE_AGAIN if room else _ROOM_AGAIN)
        if source not in self._services:
            return []
        watched, service = self._services[source]
        try:
            subscription = service.subscribe(wait=not room)
        except PropchangeError as gone:  # the device is described anew without an event URL
            self._printer.status(source, "failed", str(gone))
            return []
        watched.subscriptions[source] = subscription
        return [(source, subscription)]


def _clock() -> float:
    return asyncio.get_running_loop().time()


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
