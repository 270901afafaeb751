"""Which multicast events a control point believes, and what it makes of them (UDA 2.0 §4.3.3).

Any host of the segment can send one. It is believed when it names a service that the application
expects events of, comes from an address that the device is known to have, and carries the BOOTID
that was recorded for the device; what it says of variables that are not ``multicast="yes"`` is
dropped. Everything else is refused, told once per source and reason, and counted.

An event arrives several times: over each interface, and sent again. It is told once. One that
arrives behind a later event tells only the variables that no later event has told. Missing ones
are told; the protocol has no way to get them back (MC-22), reading the state has.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from propchange.core.limits import Limits
from propchange.core.multicast.message import (
    MulticastMessage,
    ServiceIdentity,
    hyphenated,
    read_multicast,
)
from propchange.core.multicast.sequence import Numbering
from propchange.core.subscriber.events import Change, Convert, read_changes
from propchange.core.wire.messages import Endpoint, Request, canonical_host, parse_address
from propchange.core.wire.propertyset import parse_propertyset
from propchange.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "ExpectedService",
    "MulticastEvent",
    "MulticastMissed",
    "MulticastOutcome",
    "MulticastReception",
    "MulticastRefused",
    "NotBelieved",
]

_Key = tuple[str, str]

_LONGEST_DETAIL = 200
"""Characters of the detail of a refusal: enough for a USN and a number."""


class NotBelieved(enum.Enum):
    """Why a datagram was refused. The value is the reason in words."""

    UNREADABLE = "it is no multicast event"
    UNKNOWN_SERVICE = "nobody expects multicast events of that service"
    UNKNOWN_SOURCE = "it does not come from an address of that device"
    OTHER_BOOT_ID = "its BOOTID.UPNP.ORG is not the one that was recorded for that device"
    UNKNOWN_VARIABLES = "none of its variables is multicast"
    OUT_OF_STEP = "its SEQ is far behind those that came before"


@dataclass(frozen=True, slots=True)
class MulticastEvent:
    """One multicast event, told once. ``changes`` maps variables to values with the types that
    ``service`` was expected with; ``details`` has a value that does not fit its type too, as text
    with the value None. ``usn``, ``svcid``, ``level`` and ``seq`` are as received."""

    service: ExpectedService
    usn: str
    svcid: str
    level: str
    seq: int
    source: Endpoint
    changes: Mapping[str, object]
    details: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class MulticastMissed:
    """``count`` events before ``seq`` have not come, or not yet: the state may be older than it
    seems until it is read, or the variables change again (MC-22)."""

    service: ExpectedService
    seq: int
    count: int


@dataclass(frozen=True, slots=True)
class MulticastRefused:
    """A datagram from ``source`` was refused; ``detail`` says more of this one. Told once per
    address and reason; ``source`` is None for those of all addresses beyond the first
    ``Limits.multicast_refusals`` of them."""

    source: Endpoint | None
    reason: NotBelieved
    detail: str = ""


MulticastOutcome = MulticastEvent | MulticastMissed | MulticastRefused


class ExpectedService:
    """A service whose multicast events are believed. Read it; only :class:`MulticastReception`
    writes it. ``values`` is what its multicast events have told, variable -> value; ``repeats``
    counts the datagrams that told nothing new."""

    __slots__ = (
        "_numbering",
        "_told",
        "boot_id",
        "convert",
        "identity",
        "repeats",
        "sources",
        "values",
        "variables",
    )

    def __init__(
        self,
        identity: ServiceIdentity,
        *,
        variables: frozenset[str],
        convert: Convert | None,
        sources: frozenset[str],
        boot_id: int,
        window: int,
    ) -> None:
        self.identity = identity
        self.variables = variables
        self.convert = convert
        self.sources = sources
        self.values: dict[str, object] = {}
        self.repeats = 0
        self._begin(boot_id, window)

    def _begin(self, boot_id: int, window: int) -> None:
        self.boot_id = boot_id
        self._numbering = Numbering(window)
        self._told: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<ExpectedService {self.identity.usn} {self.identity.service_id}>"


class MulticastReception:
    """The services whose multicast events are expected. ``report`` takes the outcomes.

    The runtime gives each datagram to :meth:`receive`, as the ``http`` room parses it, or to
    :meth:`unreadable` where it cannot.
    """

    def __init__(self, limits: Limits, report: Callable[[MulticastOutcome], None]) -> None:
        self._limits = limits
        self._report = report
        self._expected: dict[_Key, ExpectedService] = {}
        self._refusals: dict[tuple[str, NotBelieved], int] = {}

    # --- what is believed ---

    def expect(
        self,
        identity: ServiceIdentity,
        *,
        variables: Iterable[str],
        sources: Iterable[str],
        boot_id: int,
        convert: Convert | None = None,
    ) -> ExpectedService:
        """Believe multicast events of that service.

        ``variables`` are those that its service description has with ``multicast="yes"``,
        ``sources`` the IP addresses that the device is known to have, ``boot_id`` the
        BOOTID.UPNP.ORG of its advertisements. ``convert`` maps declared variables to what makes a
        value of a text; None leaves texts. Raises ValueError when the service is expected already,
        when there is no variable or no source, and for a source that is no IP address;
        LocalProtocolError beyond ``Limits.multicast_services``.
        """
        key = _key(identity.usn, identity.service_id)
        if key in self._expected:
            raise ValueError(f"multicast events of {identity.usn} are expected already")
        if len(self._expected) >= self._limits.multicast_services:
            raise LocalProtocolError(
                f"multicast events of {self._limits.multicast_services} services at most are "
                "expected; raise Limits.multicast_services"
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
            window=self._limits.multicast_window,
        )
        self._expected[key] = service
        return service

    def forget(self, service: ExpectedService) -> None:
        """Its events are refused from now on. Does nothing for one that is not expected."""
        key = _key(service.identity.usn, service.identity.service_id)
        if self._expected.get(key) is service:
            del self._expected[key]

    def record(
        self, udn: str, *, boot_id: int | None = None, sources: Iterable[str] | None = None
    ) -> None:
        """The device ``udn`` has this BOOTID now (it has started again, or has announced it in
        ssdp:update), and these addresses; None: as before. With another BOOTID the SEQs begin
        anew. Raises ValueError as :meth:`expect`."""
        addresses = None if sources is None else _addresses(sources)
        for service in self._expected.values():
            if service.identity.udn.lower() != udn.lower():
                continue
            if boot_id is not None and boot_id != service.boot_id:
                service._begin(boot_id, self._limits.multicast_window)
            if addresses is not None:
                service.sources = addresses

    # --- what arrives ---

    def receive(self, request: Request) -> None:
        """A datagram, parsed; ``request.peer`` is where it came from."""
        source = request.peer
        try:
            message = read_multicast(request)
        except RemoteProtocolError as error:
            self.unreadable(source, str(error))
            return
        service = self._expected.get(_key(message.usn, message.svcid))
        if service is None:
            self._refuse(source, NotBelieved.UNKNOWN_SERVICE, message.usn)
        elif source is None or canonical_host(source.host) not in service.sources:
            self._refuse(source, NotBelieved.UNKNOWN_SOURCE, message.usn)
        elif message.boot_id != service.boot_id:
            self._refuse(
                source,
                NotBelieved.OTHER_BOOT_ID,
                f"{message.usn}: {message.boot_id}, not {service.boot_id}",
            )
        else:
            self._believe(service, message, source)

    def unreadable(self, source: Endpoint | None, detail: str) -> None:
        """A datagram from ``source`` cannot be parsed, for the reason ``detail``."""
        self._refuse(source, NotBelieved.UNREADABLE, detail)

    def _believe(
        self, service: ExpectedService, message: MulticastMessage, source: Endpoint
    ) -> None:
        numbering = service._numbering
        index = numbering.index(message.seq)
        if numbering.has(index):
            service.repeats += 1
            return
        # Before the SEQ is spent: a body that cannot be read must not stand in for one that can.
        try:
            pairs = parse_propertyset(message.body, self._limits)
        except RemoteProtocolError as error:
            self.unreadable(source, str(error))
            return
        known = [(name, text) for name, text in pairs if name in service.variables]
        if not known:
            names = ", ".join(name for name, _ in pairs)
            self._refuse(source, NotBelieved.UNKNOWN_VARIABLES, f"{message.usn}: {names}")
            return
        if numbering.is_out_of_step(index):
            self._refuse(source, NotBelieved.OUT_OF_STEP, f"{message.usn}: SEQ {message.seq}")
            return
        if numbering.highest is None:
            # The first there is, or the first of a numbering that began anew.
            index = message.seq
            service._told.clear()
        missed = numbering.add(index)
        if missed:
            self._report(MulticastMissed(service, message.seq, missed))
        fresh = [pair for pair in known if service._told.get(pair[0], -1) < index]
        if not fresh:
            service.repeats += 1
            return
        service._told.update((name, index) for name, _ in fresh)
        self._tell(service, message, source, fresh)

    def _tell(
        self,
        service: ExpectedService,
        message: MulticastMessage,
        source: Endpoint,
        pairs: list[tuple[str, str]],
    ) -> None:
        changes, details = read_changes(pairs, service.convert, service.values)
        service.values.update(changes)
        self._report(
            MulticastEvent(
                service,
                message.usn,
                message.svcid,
                message.level,
                message.seq,
                source,
                changes,
                tuple(details),
            )
        )

    # --- what is refused ---

    @property
    def refusals(self) -> Mapping[tuple[str, NotBelieved], int]:
        """(address, reason) -> how many datagrams. The address is empty for those of all addresses
        beyond the first ``Limits.multicast_refusals`` pairs, or where it was not known."""
        return MappingProxyType(self._refusals)

    def _refuse(self, source: Endpoint | None, reason: NotBelieved, detail: str) -> None:
        key = ("" if source is None else source.host, reason)
        if key not in self._refusals and len(self._refusals) >= self._limits.multicast_refusals:
            key = ("", reason)
            source = None
        count = self._refusals.get(key, 0) + 1
        self._refusals[key] = count
        if count == 1:
            self._report(MulticastRefused(source, reason, _cut(detail)))


def _key(usn: str, svcid: str) -> _Key:
    # The hexadecimal digits of a UUID mean the same in either case, and not every device makes
    # hyphens of the dots in its vendor's domain.
    udn, _, service_type = usn.partition("::")
    return f"{udn.lower()}::{hyphenated(service_type)}", svcid


def _cut(detail: str) -> str:
    # It holds what a stranger sent.
    return detail if len(detail) <= _LONGEST_DETAIL else f"{detail[: _LONGEST_DETAIL - 1]}…"


def _addresses(sources: Iterable[str]) -> frozenset[str]:
    addresses = frozenset(map(_checked_address, sources))
    if not addresses:
        raise ValueError("a device has an address: give the sources its events come from")
    return addresses


def _checked_address(host: str) -> str:
    try:
        return str(parse_address(host))
    except ValueError:
        raise ValueError(f"{host!r} is no IP address") from None
