"""Finds out more about the sender of a multicast event before the event is refused.

:class:`.MulticastReception` believes the events of the services that it expects. But a program may
want the events of devices whose descriptions are not read yet, and a device may restart. So a
datagram that the program wants and that is not believed yet is *held* for a few seconds
(:class:`.HeldDatagrams`). Meanwhile:

- The description is read at the announced location that has the address of the datagram. If it
  contains the device, the address is one of the device, and the service is expected from then on.
- If the BOOTID is not the one that this address has announced, the device is searched for. Its
  answer has its BOOTID. A forged BOOTID costs one search, within the token bucket of the device.
- If discovery does not know the device yet, its announcement may come.

After that a datagram is believed or refused. A BOOTID is compared with those that the same address
has announced. So a host that announces a device of another host with another BOOTID does not make
that device's own events unbelievable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.advertisement import type_fits, udn_key
from propchange.core.limits import Limits
from propchange.core.multicast.held_datagrams import HeldDatagram, HeldDatagrams
from propchange.core.multicast.message import MulticastMessage, hyphenated
from propchange.core.multicast.reception import ExpectedService, MulticastReception, NotBelieved
from propchange.core.record import Record
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import Endpoint, Request


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MulticastFilter(Record):
    """The multicast events that a program wants. ``devices`` are UDNs; None: of all devices.
    ``service_id`` is a serviceId, ``service_type`` a service type;
    empty: any. ``levels`` are values of LVL; empty: all."""

    devices: frozenset[str] | None = None
    service_id: str = ""
    service_type: str = ""
    levels: frozenset[str] = frozenset()

    def wants_service(self, udn: str, service_type: str, service_id: str) -> bool:
        """Whether events of this service are wanted. ``service_type`` is in the form of a USN."""
        return (
            (self.devices is None or udn_key(udn) in self.devices)
            and self.service_id in ("", service_id)
            and (not self.service_type or type_fits(service_type, hyphenated(self.service_type)))
        )

    def wants(self, usn: str, svcid: str, level: str | None) -> bool:
        """Whether the event with these headers is wanted. ``level`` None: of any level."""
        udn, _, service_type = usn.partition("::")
        wanted = self.wants_service(udn, hyphenated(service_type), svcid)
        return wanted and (level is None or not self.levels or level in self.levels)


class DescriptionWanted(NamedTuple):
    """Read the description at ``url``, whose host is the address ``source``. If it contains the
    service ``service_id`` of the device ``udn``, let the reception expect the service, with that
    address among its sources. Then call :meth:`MulticastVerification.described`."""

    udn: str
    service_id: str
    url: str
    source: str


class BootIdWanted(NamedTuple):
    """Search for the device ``udn``: its BOOTID is unknown, or it may have restarted."""

    udn: str


Wanted = DescriptionWanted | BootIdWanted


class MulticastVerification:
    """Gives ``reception`` the datagrams that the program wants, and holds those that are not
    believed yet. ``device`` returns the advertised device with a UDN, ``locate`` the endpoint that
    a URL names; it raises ValueError for others.

    After each input, take :meth:`take_wanted`, and set a timer for :meth:`next_deadline`.
    """

    def __init__(
        self,
        reception: MulticastReception,
        limits: Limits,
        device: Callable[[str], AdvertisedDevice | None],
        locate: Callable[[str], Endpoint],
    ) -> None:
        self._reception = reception
        self._limits = limits
        self._device = device
        self._locate = locate
        self._filters: list[MulticastFilter] = []
        self._held = HeldDatagrams(limits)
        self._wanted: list[Wanted] = []
        # When a description may be read again; ``inf`` while it is being read.
        self._reads: dict[tuple[str, str, str], float] = {}
        # Address of a device that is believed -> its bucket.
        self._buckets: dict[str, TokenBucket] = {}
        self._others = TokenBucket(limits.other_datagrams, limits.other_datagram_seconds, 0.0)
        self._now = 0.0
        self._retried: HeldDatagram | None = None  # it is being judged again
        self._decides = False  # the time of the datagrams that are judged now is over
        reception.doubt = self._doubt
        reception.boot_ids = self._boot_ids

    # --- what the program wants ---

    def want(self, wanted: MulticastFilter) -> None:
        """The program wants these events, until :meth:`unwant`."""
        self._filters.append(wanted)

    def unwant(self, wanted: MulticastFilter) -> None:
        """Undo one :meth:`want`. Services that nobody wants are no longer expected."""
        self._filters.remove(wanted)
        self._buckets.clear()
        for service in self._reception.expected:
            identity = service.identity
            service_type = hyphenated(identity.service_type)
            if not any(
                each.wants_service(identity.udn, service_type, identity.service_id)
                for each in self._filters
            ):
                self._reception.forget(service)
        if not self._filters:
            for _ in self._held.take_all():
                pass
            self._reads.clear()

    # --- datagrams ---

    def admits(self, source: Endpoint, now: float) -> bool:
        """Whether a datagram from ``source`` is to be parsed. Ask before each. Each address of a
        device that is believed has a token bucket of its own; all other addresses share one."""
        limits, place = self._limits, source.scoped_host
        bucket = self._buckets.get(place)
        if bucket is None:
            if self._reception.is_source(source):
                bucket = TokenBucket(limits.device_datagrams, limits.device_datagram_seconds, now)
                self._buckets[place] = bucket
            else:
                bucket = self._others
        if bucket.ready_at(now) > now:
            self._reception.overrun(source)
            return False
        bucket.spend(now)
        return True

    def receive(self, request: Request, now: float) -> None:
        """Judge a parsed datagram, or hold it."""
        self._now = now
        self._reception.receive(request)

    def _doubt(self, request: Request, message: MulticastMessage, reason: NotBelieved) -> bool:
        """Hold ``request``, which is not believed, for ``reason``, and ask for what would show
        more. Returns whether it is held."""
        source = request.peer
        if self._decides or source is None or not self._is_wanted(message):
            return False
        udn = udn_key(message.usn.partition("::")[0])
        device = self._device(udn)
        known = device is not None and device.is_present
        if reason is NotBelieved.OTHER_BOOT_ID:
            if self._retried is None:
                self._wanted.append(BootIdWanted(udn))
        elif device is not None:
            place = source.scoped_host
            url = next((url for url in device.locations if self._is_at(url, place)), None)
            if url is None:
                known = False
            elif not self._may_read(DescriptionWanted(udn, message.svcid, url, place)):
                return False
        if self._retried is not None:
            return self._held.keep(udn, self._retried)
        return self._held.hold(udn, request, self._now, known=known)

    def _is_at(self, url: str, place: str) -> bool:
        try:
            return self._locate(url).scoped_host == place
        except ValueError:
            return False  # its interface has gone

    def _is_wanted(self, message: MulticastMessage) -> bool:
        usn, svcid, level = message.usn, message.svcid, message.level
        return any(each.wants(usn, svcid, level) for each in self._filters)

    def _may_read(self, wanted: DescriptionWanted) -> bool:
        """Ask for the description, unless that was done. Returns whether an answer is awaited."""
        key = (wanted.udn, wanted.service_id, wanted.source)
        again_at = self._reads.get(key)
        if again_at is not None and self._now < again_at:
            return again_at == inf
        if len(self._reads) >= self._limits.multicast_services:
            done = [key for key, until in self._reads.items() if until <= self._now]
            for each in done:
                del self._reads[each]
            if not done:
                return False
        own = sum(wanted.source in each.sources for each in self._reception.expected)
        if own >= self._limits.services_per_source:
            return False
        self._reads[key] = inf
        self._wanted.append(wanted)
        return True

    def _boot_ids(self, service: ExpectedService, source: Endpoint) -> Collection[int] | None:
        """The BOOTIDs that events of ``service`` from ``source`` may have; None: any."""
        device = self._device(service.identity.udn)
        if device is None:
            return ()
        announced = device.boot_ids.get(source.scoped_host)
        if announced is not None:
            return (announced,)
        if not device.boot_ids and device.is_present:
            return None  # It announces none.
        return tuple(device.boot_ids.values())

    # --- what was found out ---

    def described(self, wanted: DescriptionWanted, now: float, *, found: bool) -> None:
        """The description was read. ``found``: the service is expected now. Otherwise it is not
        read again for ``Limits.multicast_read_seconds``."""
        self._now = now
        key = (wanted.udn, wanted.service_id, wanted.source)
        if found:
            self._reads.pop(key, None)
        elif key in self._reads:
            self._reads[key] = now + self._limits.multicast_read_seconds
        self.heard(wanted.udn, now)

    def heard(self, udn: str, now: float) -> None:
        """The device ``udn`` has announced itself. Its held datagrams are judged again, and those
        of the devices that it embeds."""
        if not self._held:
            return
        self._now = now
        device = self._device(udn)
        for key in self._held.devices:
            if key == udn_key(udn) or (device is not None and self._device(key) is device):
                for each in self._held.take(key):
                    self._retried = each
                    self._reception.receive(each.request)
        self._retried = None

    def handle_deadline(self, now: float) -> None:
        """Refuse the datagrams that were held for long enough."""
        self._now = now
        self._decides = True
        for each in self._held.take_due(now):
            self._reception.receive(each.request)
        self._decides = False

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_deadline`. None: no deadline."""
        return self._held.next_deadline()

    def take_wanted(self) -> list[Wanted]:
        """What is to be found out, since the last call."""
        wanted, self._wanted = self._wanted, []
        return wanted
