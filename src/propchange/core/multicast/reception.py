"""Multicast events at a control point: which are accepted, and their values (UDA 2.0 §4.3.3).

Any host of the network segment can send one. A datagram is accepted if it names a service that the
application expects, comes from a known address of the device, and has the BOOTID that is recorded
for the device. Values of variables without ``multicast="yes"`` are dropped. Other datagrams are
refused. Each pair of source and reason is reported once, and counted. :mod:`.verification` finds
out more about a device before a datagram is refused.

An event arrives several times: over each interface, and as retransmissions. It is reported once. A
late event changes only the variables that no later event has changed. Missing events are reported.
The protocol cannot get them back (MC-22): read the state instead.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any

from propchange.core.limits import Limits
from propchange.core.multicast.message import (
    MulticastMessage,
    ServiceIdentity,
    hyphenated,
    read_multicast,
)
from propchange.core.record import Record, brief
from propchange.core.subscriber.events import Change, Changes, Convert, read_changes
from propchange.core.wire.headers import LARGEST_SEQ
from propchange.core.wire.messages import Endpoint, Request, canonical_host, parse_address
from propchange.core.wire.propertyset import read_propertyset
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.printable import printable

_Key = tuple[str, str]

_LONGEST_DETAIL = 200
"""Characters of the detail of a refusal: enough for a USN and a number."""


class NotBelieved(enum.Enum):
    """Why a datagram was refused. The value is the reason in words."""

    UNREADABLE = "it is no multicast event"
    UNKNOWN_SERVICE = "no multicast events of that service are expected"
    UNKNOWN_SOURCE = "it does not come from an address of that device"
    OTHER_BOOT_ID = "its BOOTID.UPNP.ORG is not the one that was recorded for that device"
    UNKNOWN_VARIABLES = "none of its variables is multicast"
    TOO_MANY = "more datagrams come from there than are read"
    OUT_OF_STEP = "its SEQ is far behind those that came before"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MulticastEvent(Record):
    """One multicast event, reported once. ``service`` is the RemoteService of the control point, or
    the ExpectedService if the program calls the protocol itself. ``changes`` maps variables to
    values, converted by the ``convert`` of the service. ``details`` also has the values that do not
    fit their type, with the text and the value None. ``usn``, ``svcid``, ``level`` and ``seq`` are
    as received. ``merged`` counts the events that were merged into this one because the application
    was behind. ``problems`` is as in :class:`.Event`."""

    service: Any
    usn: str
    svcid: str
    level: str
    seq: int
    source: Endpoint
    changes: Changes
    details: tuple[Change, ...]
    problems: tuple[str, ...] = ()
    merged: int = 0

    def __repr__(self) -> str:
        what = f"{self.level} {self.seq} {dict(self.changes)}"
        return brief(printable(f"<MulticastEvent {what} of {self.service!r}>"))


@dataclass(slots=True, eq=False, repr=False)
class MulticastMissed(Record):
    """``count`` events of ``service`` before ``seq`` are missing, or late. The values may be out of
    date until the state is read or the variables change again (MC-22)."""

    service: Any
    seq: int
    count: int


@dataclass(slots=True, eq=False, repr=False)
class MulticastRefused(Record):
    """A datagram from ``source`` was refused for ``reason``. ``detail`` describes this datagram.
    Reported once per address and reason. Beyond ``Limits.multicast_refusals`` of these pairs,
    ``source`` is None: that outcome stands for all further addresses."""

    source: Endpoint | None
    reason: NotBelieved
    detail: str = ""


MulticastOutcome = MulticastEvent | MulticastMissed | MulticastRefused


class Numbering:
    """The SEQs of one service that were seen, within the last ``window`` ones.

    Datagrams are repeated, overtake each other and get lost. So each SEQ that was seen is kept,
    unlike in :class:`.Sequence`. A SEQ wraps from 4294967295 to 1, so it is stored as an index: the
    number of events before it."""

    __slots__ = ("_follows", "_seen", "_window", "highest")

    def __init__(self, window: int) -> None:
        self._window = window
        self.highest: int | None = None
        # Bit n: whether the index ``highest - n`` has been seen.
        self._seen = 0
        # The index after the last one that was behind the window.
        self._follows: int | None = None

    def index(self, seq: int) -> int:
        """The index of ``seq``: of all possible ones, the nearest to the highest seen."""
        if self.highest is None or seq == 0:
            return seq
        rounds = (self.highest - seq + LARGEST_SEQ // 2) // LARGEST_SEQ
        return seq + LARGEST_SEQ * max(rounds, 0)

    def has(self, index: int) -> bool:
        """Whether ``index`` has been seen."""
        behind = -1 if self.highest is None else self.highest - index
        return behind >= 0 and bool(self._seen >> behind & 1)

    def is_behind(self, index: int) -> bool:
        """Whether ``index`` is behind the window."""
        return self.highest is not None and self.highest - index >= self._window

    def has_begun_anew(self, index: int) -> bool:
        """Whether ``index`` follows the last one that was behind the window: two in sequence show a
        device that restarted without a new BOOTID."""
        return self._follows == index

    def note_behind(self, index: int) -> None:
        """``index`` is behind the window: the next one may show that the numbering began anew."""
        self._follows = index + 1

    def add(self, index: int) -> int:
        """Mark ``index`` as seen. Returns the number of missing indexes directly before it."""
        self._follows = None
        missing = 0
        if self.highest is None:
            self.highest, self._seen = index, 1
        elif index > self.highest:
            ahead = index - self.highest
            missing = ahead - 1
            self.highest = index
            # A peer chooses ``ahead``: shift by no more than the window.
            shifted = self._seen << ahead if ahead < self._window else 0
            self._seen = (shifted | 1) & ((1 << self._window) - 1)
        else:
            self._seen |= 1 << (self.highest - index)
        return missing


@dataclass(slots=True, eq=False, repr=False)
class ExpectedService:
    """A service whose multicast events are accepted. Only :class:`MulticastReception` writes it.
    ``values`` maps variables to the values of its multicast events. ``repeats`` counts the
    datagrams without a new value."""

    identity: ServiceIdentity
    _: KW_ONLY
    variables: frozenset[str]
    convert: Convert | None
    sources: frozenset[str]
    boot_id: int | None
    values: dict[str, object] = field(default_factory=dict)
    repeats: int = 0
    _numbering: Numbering
    _indexes: dict[str, int] = field(default_factory=dict)
    """Variable -> the index of the last event that has set it."""

    def has_source(self, source: Endpoint) -> bool:
        """Whether ``source`` is an address of the device."""
        return _is_among(source, self.sources)

    def has_seen(self, message: MulticastMessage) -> bool:
        """Whether the event ``message`` has come before."""
        numbering = self._numbering
        same_boot = message.boot_id == self.boot_id
        return same_boot and numbering.has(numbering.index(message.seq))

    def begin_anew(self, limits: Limits) -> Numbering:
        """Forget all SEQs that were seen."""
        self._numbering = Numbering(limits.multicast_window)
        self._indexes.clear()
        return self._numbering

    def __repr__(self) -> str:
        return f"<ExpectedService {self.identity.usn} {self.identity.service_id}>"


Doubt = Callable[[Request, MulticastMessage, NotBelieved], bool]
"""Returns whether a datagram that is not believed is held."""

BootIds = Callable[[ExpectedService, Endpoint], Collection[int] | None]
"""Returns the BOOTIDs that events of a service from an address may have; None: any."""


class MulticastReception:
    """The services whose multicast events are expected. ``report`` is called with each outcome.

    Call :meth:`expect` for each service. Parse each datagram with
    ``propchange.http.parse_datagram``; call :meth:`receive` with the result, or :meth:`unreadable`
    if it raises.
    """

    def __init__(self, limits: Limits, report: Callable[[MulticastOutcome], None]) -> None:
        self._limits = limits
        self._report = report
        self._expected: dict[_Key, ExpectedService] = {}
        self._refusals: dict[tuple[str, NotBelieved], int] = {}
        self.doubt: Doubt | None = None
        """Called before a datagram is refused that names a service, an address or a BOOTID that is
        not known. It returns True to hold the datagram and to give it again later."""
        self.boot_ids: BootIds | None = None
        """Returns the BOOTIDs that events of a service from an address may have; None: any. Without
        this function it is the recorded one."""

        # The addresses of all expected services; None when they have changed.
        self._sources: frozenset[str] | None = None

    def is_source(self, source: Endpoint) -> bool:
        """Whether ``source`` is an address of any expected service. The cost does not depend on
        their number."""
        if self._sources is None:
            self._sources = frozenset().union(*(each.sources for each in self._expected.values()))
        return _is_among(source, self._sources)

    @property
    def expected(self) -> tuple[ExpectedService, ...]:
        """The services whose events are expected."""
        return tuple(self._expected.values())

    def expect(
        self,
        identity: ServiceIdentity,
        *,
        variables: Iterable[str],
        sources: Iterable[str],
        boot_id: int | None = None,
        convert: Convert | None = None,
    ) -> ExpectedService:
        """Accept multicast events of the service ``identity``, until :meth:`forget`.

        ``variables`` are those with ``multicast="yes"`` in the service description. ``sources`` are
        the IP addresses of the device, with or without a zone. ``boot_id`` is the BOOTID.UPNP.ORG
        of its advertisements; None: unknown. Call :meth:`record` when it changes. ``convert`` maps
        variables to functions from text to value; with None, values are texts. Raises ValueError
        for a service that is expected already, without a variable or a source, and for a source
        that is no IP address. Raises LocalProtocolError beyond ``Limits.multicast_services``.
        """
        key = _key(identity.usn, identity.service_id)
        if key in self._expected:
            raise ValueError(f"multicast events of {identity.usn} are expected already")
        if len(self._expected) >= self._limits.multicast_services:
            most = f"{self._limits.multicast_services} services at most"
            raise LocalProtocolError(
                f"multicast events of {most} are expected; raise Limits.multicast_services"
            )
        names = frozenset(variables)
        if not names:
            raise ValueError(f"no variable of {identity.usn} is multicast")
        service = ExpectedService(
            identity,
            variables=names,
            convert=convert,
            sources=_addresses(sources),
            boot_id=boot_id,
            _numbering=Numbering(self._limits.multicast_window),
        )
        self._expected[key] = service
        self._sources = None
        return service

    def forget(self, service: ExpectedService) -> None:
        """Refuse the events of ``service`` from now on. A repeated call does nothing."""
        key = _key(service.identity.usn, service.identity.service_id)
        if self._expected.get(key) is service:
            del self._expected[key]
            self._sources = None

    def record(
        self, udn: str, *, boot_id: int | None = None, sources: Iterable[str] | None = None
    ) -> None:
        """The device ``udn`` has a new BOOTID, from an advertisement or an ssdp:update, or new
        addresses. None: no change. With another BOOTID the SEQs start again. Raises ValueError as
        :meth:`expect`."""
        addresses = None if sources is None else _addresses(sources)
        for service in self._expected.values():
            if service.identity.udn.lower() != udn.lower():
                continue
            if boot_id is not None and boot_id != service.boot_id:
                service.boot_id = boot_id
                service.begin_anew(self._limits)
            if addresses is not None:
                service.sources = addresses
                self._sources = None

    def add_source(self, udn: str, host: str) -> None:
        """The device ``udn`` has the IP address ``host`` too, with or without a zone. Raises
        ValueError as :meth:`expect`."""
        addresses = _addresses([host])
        for service in self._expected.values():
            if service.identity.udn.lower() == udn.lower():
                service.sources |= addresses
                self._sources = None

    # --- what arrives ---

    def receive(self, request: Request) -> None:
        """Judge a parsed datagram. ``request.peer`` is its source."""
        source = request.peer
        try:
            message = read_multicast(request)
        except RemoteProtocolError as error:
            self.unreadable(source, str(error))
            return
        service = self._expected.get(_key(message.usn, message.svcid))
        detail = message.usn
        if service is None:
            reason = NotBelieved.UNKNOWN_SERVICE
        elif source is None or not service.has_source(source):
            reason = NotBelieved.UNKNOWN_SOURCE
            if service.has_seen(message):
                service.repeats += 1
                return
        elif not self._knows_boot_id(service, message, source):
            reason = NotBelieved.OTHER_BOOT_ID
            detail = f"{message.usn}: {message.boot_id}, not {service.boot_id}"
        else:
            self._believe(service, message, source)
            return
        if self.doubt is None or not self.doubt(request, message, reason):
            self._refuse(source, reason, detail)

    def _knows_boot_id(
        self, service: ExpectedService, message: MulticastMessage, source: Endpoint
    ) -> bool:
        if self.boot_ids is None:
            return message.boot_id == service.boot_id
        known = self.boot_ids(service, source)
        if known is not None and message.boot_id not in known:
            return False
        if message.boot_id != service.boot_id:
            service.boot_id = message.boot_id
            service.begin_anew(self._limits)
        return True

    def unreadable(self, source: Endpoint | None, detail: str) -> None:
        """Refuse a datagram from ``source`` that cannot be parsed. ``detail`` is the error."""
        self._refuse(source, NotBelieved.UNREADABLE, detail)

    def overrun(self, source: Endpoint) -> None:
        """Refuse a datagram from ``source`` unread: there are too many."""
        self._refuse(source, NotBelieved.TOO_MANY, "")

    def _believe(
        self, service: ExpectedService, message: MulticastMessage, source: Endpoint
    ) -> None:
        numbering = service._numbering
        index = numbering.index(message.seq)
        if numbering.has(index):
            service.repeats += 1
            return
        # Parse before the SEQ counts as seen: an unreadable body must not displace a readable one.
        try:
            pairs, problems = read_propertyset(message.body, self._limits)
        except RemoteProtocolError as error:
            self.unreadable(source, str(error))
            return
        known = [(name, text) for name, text in pairs if name in service.variables]
        if not known:
            names = ", ".join(name for name, _ in pairs)
            self._refuse(source, NotBelieved.UNKNOWN_VARIABLES, f"{message.usn}: {names}")
            return
        if numbering.is_behind(index):
            if not numbering.has_begun_anew(index):
                numbering.note_behind(index)
                self._refuse(source, NotBelieved.OUT_OF_STEP, f"{message.usn}: SEQ {message.seq}")
                return
            numbering, index = service.begin_anew(self._limits), message.seq
        missed = numbering.add(index)
        if missed:
            self._report(MulticastMissed(service, message.seq, missed))
        fresh = [pair for pair in known if service._indexes.get(pair[0], -1) < index]
        if not fresh:
            service.repeats += 1
            return
        service._indexes.update((name, index) for name, _ in fresh)
        changes, details = read_changes(fresh, service.convert, service.values)
        service.values.update(changes)
        usn, svcid, seq, level = message.usn, message.svcid, message.seq, message.level
        self._report(
            MulticastEvent(
                service, usn, svcid, level, seq, source, changes, tuple(details), problems
            )
        )

    # --- refused datagrams ---

    @property
    def refusals(self) -> Mapping[tuple[str, NotBelieved], int]:
        """(address, reason) -> number of datagrams. An empty address stands for all addresses
        beyond the first ``Limits.multicast_refusals`` pairs, and for unknown ones."""
        return MappingProxyType(self._refusals)

    def _refuse(self, source: Endpoint | None, reason: NotBelieved, detail: str) -> None:
        key = ("" if source is None else source.host, reason)
        if key not in self._refusals and len(self._refusals) >= self._limits.multicast_refusals:
            key = ("", reason)
            source = None
        count = self._refusals.get(key, 0) + 1
        self._refusals[key] = count
        if count == 1:
            # An attacker chooses the contents and the length.
            cut = len(detail) > _LONGEST_DETAIL
            detail = f"{detail[: _LONGEST_DETAIL - 1]}…" if cut else detail
            self._report(MulticastRefused(source, reason, detail))


def _key(usn: str, svcid: str) -> _Key:
    # The case of a UUID has no meaning, and some devices leave the dots in the vendor's domain.
    udn, _, service_type = usn.partition("::")
    return f"{udn.lower()}::{hyphenated(service_type)}", svcid


def _is_among(source: Endpoint, sources: frozenset[str]) -> bool:
    host = canonical_host(source.host)
    return host in sources or (bool(source.scope) and f"{host}%{source.scope}" in sources)


def _addresses(sources: Iterable[str]) -> frozenset[str]:
    addresses = set()
    for host in sources:
        try:
            address, (_, _, zone) = parse_address(host), host.partition("%")
        except ValueError:
            raise ValueError(f"{host!r} is no IP address") from None
        addresses.add(f"{address}%{zone}" if zone else str(address))
    if not addresses:
        raise ValueError("a device has an address: give the sources its events come from")
    return frozenset(addresses)
