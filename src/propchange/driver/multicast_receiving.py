"""Multicast events at a control point: the sockets, the descriptions, and the streams of a program.

* While a program wants multicast events, there is one socket for each interface and scope
  (:class:`.MulticastPlaces`). It has joined the group, and leaves it when nobody wants events.
* Each datagram goes to :class:`.MulticastVerification`, which gives it to the reception, or holds
  it and asks for a description or a search. This module reads the description, lets the reception
  of the protocol expect the service, and searches.
* The events are outcomes of the protocol. They go to each :class:`MulticastStream` that wants them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from propchange.core.discovery.advertisement import udn_key
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import MulticastScope, ServiceIdentity
from propchange.core.multicast.reception import ExpectedService, MulticastEvent, MulticastMissed
from propchange.core.multicast.verification import (
    DescriptionWanted,
    MulticastFilter,
    MulticastVerification,
)
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.values.state_variables import check_level
from propchange.core.wire.messages import Endpoint
from propchange.driver.discovery import Discovery
from propchange.driver.multicast_places import MulticastPlaces
from propchange.driver.multicast_sockets import joined_socket
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.requests import locate
from propchange.driver.runtime import Armed, Datagrams, Runtime, Tasks, Timer
from propchange.errors import DescriptionError, PropchangeError, RemoteProtocolError
from propchange.http.datagrams import parse_datagram
from propchange.upnp.description import DeviceDescription

MakeDevice = Callable[[DeviceDescription], DescribedDevice[Any]]
"""Makes the device of a program on one runtime from a description."""


class MulticastStream(ABC):
    """A stream of multicast events, on either runtime.

    ``make`` makes the devices that send events and that the program has no object of. ``wanted``
    says which events. ``services`` must be described before it begins; None: devices are described
    when they send an event."""

    def __init__(
        self,
        driver: Any,
        make: MakeDevice,
        wanted: MulticastFilter,
        services: Sequence[DescribedService] | None = None,
    ) -> None:
        self._driver = driver
        self._make = make
        self._wanted = wanted
        self._services = services

    @abstractmethod
    def _receive(self, item: MulticastEvent | MulticastMissed, /) -> None:
        """Take an event, or a report of missing ones. Does not raise."""

    @abstractmethod
    def _end(self) -> None:
        """No more events follow."""


def wanted_of_all(type: str | None, level: str | Collection[str] | None) -> MulticastFilter:
    """The events of all devices: of the service type ``type`` and with ``level``, None: any.
    Raises ValueError for a text that is no level."""
    return MulticastFilter(service_type=type or "", levels=_levels(level))


def wanted_of_device(
    device: DescribedDevice[Any], level: str | Collection[str] | None
) -> MulticastFilter:
    """The events of ``device`` and its embedded devices. Raises as :func:`wanted_of_all`."""
    udns = frozenset(udn_key(each.udn) for each in device.description.all_devices())
    return MulticastFilter(devices=udns, levels=_levels(level))


def wanted_of_service(
    service: DescribedService, level: str | Collection[str] | None
) -> MulticastFilter:
    """The events of ``service``. Raises as :func:`wanted_of_all`."""
    udns = frozenset({udn_key(service.description.udn)})
    return MulticastFilter(devices=udns, service_id=service.service_id, levels=_levels(level))


def _levels(level: str | Collection[str] | None) -> frozenset[str]:
    levels = frozenset((level,) if isinstance(level, str) else level or ())
    for each in levels:
        check_level(each)
    return levels


class MulticastReceiving:
    """Receives multicast events for the streams of a program.

    ``changed`` is called when the protocol may have outcomes.
    """

    def __init__(
        self,
        runtime: Runtime,
        protocol: SubscriberProtocol,
        discovery: Discovery,
        *,
        tasks: Tasks,
        uda: str,
        changed: Callable[[], None],
        limits: Limits,
    ) -> None:
        self._runtime = runtime
        self._reception = protocol.multicast
        self._discovery = discovery
        self._tasks = tasks
        self._changed = changed
        self._limits = limits
        self._warnings = Warnings(logger_named("propchange.subscriber"), limits)
        self._verification = MulticastVerification(
            self._reception, limits, discovery.device, locate
        )
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=runtime.now)
        scopes = [each for each in MulticastScope if uda != "2.0" or each.name != "GLOBAL"]
        self.places = MulticastPlaces(
            discovery.usable_addresses,
            scopes,
            self._open,
            clock=runtime.now,
            limits=limits,
            warnings=self._warnings,
            purpose="multicast events are not received",
        )
        self._next_look: Armed | None = None
        self._closed = False
        self._streams: dict[MulticastStream, None] = {}
        self._services: dict[ExpectedService, DescribedService] = {}
        self._devices: dict[str, DescribedDevice[Any]] = {}

    # --- streams ---

    async def open(self, stream: MulticastStream) -> None:
        """Give ``stream`` its events from now on. Raises RuntimeError without discovery, and
        DescriptionError if none of its services has a multicast variable, or if their descriptions
        cannot be read."""
        self._discovery.check_active()
        expected = () if stream._services is None else await self._multicast_of(stream._services)
        if self._closed:
            raise RuntimeError("the control point was closed")
        if not self._streams:
            self._look_again()
        self._streams[stream] = None
        self._verification.want(stream._wanted)
        if stream._services is None:
            self._discovery.search_all()
        for service, variables in expected:
            self._devices[udn_key(service.device.udn)] = service.device
            host = service.device.description.host
            self._expect(service, variables, "" if host is None else host.scoped_host)

    async def _multicast_of(
        self, services: Sequence[DescribedService]
    ) -> list[tuple[DescribedService, list[str]]]:
        """The services that have multicast variables, and the names of these."""
        found = []
        failure: Exception | None = None
        for service in services:
            try:
                variables = await service._read_variables()
            except (PropchangeError, ValueError) as error:
                why = f"the multicast events of {service._called} are not known yet: {error}"
                self._warnings.warn(("multicast description", service._called), why)
                failure = failure or error
                continue
            names = [name for name, variable in variables.items() if variable.multicast]
            if names:
                found.append((service, names))
        if not found:
            called = " and ".join(service._called for service in services) or "the device"
            raise failure or DescriptionError(f"{called}: no variable is multicast")
        return found

    def close(self, stream: MulticastStream) -> None:
        """Give ``stream`` no more events. After the last one, the groups are left. Safe to call
        again."""
        if stream not in self._streams:
            return
        del self._streams[stream]
        self._verification.unwant(stream._wanted)
        expected = set(self._reception.expected)
        self._services = {
            each: service for each, service in self._services.items() if each in expected
        }
        wanted = {udn_key(service.device.udn) for service in self._services.values()}
        self._devices = {udn: each for udn, each in self._devices.items() if udn in wanted}
        if not self._streams:
            self.places.close()
            self._timer.close()
            if self._next_look is not None:
                self._next_look.cancel()
        stream._end()

    def close_all(self) -> None:
        """End all streams, for good."""
        self._closed = True
        for stream in tuple(self._streams):
            self.close(stream)

    def dispatch(self, outcome: MulticastEvent | MulticastMissed) -> None:
        """Give an outcome of the protocol to the streams that want it."""
        service = self._services.get(outcome.service)
        if service is None:
            return  # The last stream that wanted it was closed.
        identity = outcome.service.identity
        item = replace(outcome, service=service)
        # SEQ counts over all levels, so nobody knows the level of a missing event.
        level = outcome.level if isinstance(outcome, MulticastEvent) else None
        for stream in tuple(self._streams):
            if stream._wanted.wants(identity.usn, identity.service_id, level):
                stream._receive(item)

    # --- sockets ---

    def _look_again(self) -> None:
        self.places.look()
        # Discovery reads the addresses this often. Here they are only compared with the sockets.
        self._next_look = self._runtime.call_later(self._limits.link_seconds, self._look_again)

    def _open(self, scope: MulticastScope, address: LocalAddress) -> Datagrams:
        sock = joined_socket(scope.group, address)
        try:
            return self._runtime.datagrams(sock, self._take)
        except OSError:
            sock.close()
            raise

    # --- datagrams ---

    def _take(self, data: bytes, source: Endpoint) -> None:
        now = self._runtime.now()
        if not self._verification.admits(source, now):
            return
        try:
            request = parse_datagram(data, self._limits, peer=source)
        except RemoteProtocolError as error:
            self._reception.unreadable(source, str(error))
        else:
            self._verification.receive(request, now)
        self._after()

    def heard(self, udn: str) -> None:
        """The device ``udn`` has announced itself."""
        if self._streams:
            self._verification.heard(udn, self._runtime.now())
            self._after()

    def _deadline(self, now: float) -> None:
        self._verification.handle_deadline(now)
        self._after()

    def _after(self) -> None:
        for wanted in self._verification.take_wanted():
            if isinstance(wanted, DescriptionWanted):
                self._tasks.start(self._describe(wanted))
            else:
                self._runtime.call_soon(partial(self._discovery.ask, wanted.udn))
        self._timer.set(self._verification.next_deadline())
        self._changed()

    async def _describe(self, wanted: DescriptionWanted) -> None:
        found = False
        try:
            if self._streams:
                found = await self._expect_at(wanted)
        except (PropchangeError, ValueError) as error:
            why = f"a multicast event of {wanted.udn} is not believed: {error}"
            self._warnings.warn(("multicast description", wanted.udn), why)
        finally:
            self._verification.described(wanted, self._runtime.now(), found=found)
        if self._streams:
            self._after()

    async def _expect_at(self, wanted: DescriptionWanted) -> bool:
        """Read the description at the address of the datagram, and expect the service that it
        names. Returns whether it has that service, with multicast variables."""
        make = next(iter(self._streams))._make
        description = await self._discovery.read_at(wanted.udn, wanted.url)
        key = udn_key(description.udn)
        device = self._devices.get(key)
        if device is None:
            device = make(description)
        for service in device.services:
            same = udn_key(service.description.udn) == wanted.udn
            if same and service.service_id == wanted.service_id:
                break
        else:
            return False
        variables = await service._read_variables()
        names = [name for name, variable in variables.items() if variable.multicast]
        if not names or not self._streams:
            return False
        self._devices.setdefault(key, device)
        self._discovery.follow(device)
        self._expect(service, names, wanted.source)
        return True

    def _expect(self, service: DescribedService, variables: list[str], source: str) -> None:
        """Believe events of ``service`` from the address ``source``."""
        described = service.description
        identity = ServiceIdentity(described.udn, described.service_type, described.service_id)
        if any(each.identity == identity for each in self._reception.expected):
            self._reception.add_source(identity.udn, source)
            return
        variables_read = service._variables.items()
        convert = {name: variable.data_type.parse for name, variable in variables_read}
        expected = self._reception.expect(
            identity, variables=variables, sources=[source], convert=convert
        )
        self._services[expected] = service
