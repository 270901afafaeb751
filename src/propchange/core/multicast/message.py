"""Multicast event messages: their fields, their groups, and how they are read (UDA 2.0 §4.3.3).

A message has the form of a NOTIFY, but it is one UDP datagram without a SID and without an answer.
:mod:`.publication` sends them, :mod:`.reception` receives them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.record import Record
from propchange.core.values.data_types import shown
from propchange.core.wire.headers import (
    EVENT_NT,
    LARGEST_SEQ,
    PROPCHANGE_NTS,
    format_seq,
    parse_seq,
)
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request
from propchange.errors import RemoteProtocolError

MULTICAST_PORT = 7900
"""Where multicast events go; SSDP has a port of its own."""

_CLAUSE = "UDA 2.0 §4.3.3"
_START_LINE = b"NOTIFY * HTTP/1.1\r\n"
_VENDOR_TYPE = re.compile(r"urn:([^:]+):(.+)")
_ONCE = frozenset({b"nt", b"nts", b"usn", b"svcid", b"seq", b"lvl", b"bootid.upnp.org"})


def hyphenated(service_type: str) -> str:
    """``service_type`` in the form of a USN: the dots of a vendor's domain become hyphens."""
    vendor = _VENDOR_TYPE.fullmatch(service_type)
    if vendor is None:
        return service_type
    return f"urn:{vendor[1].replace('.', '-')}:{vendor[2]}"


class MulticastScope(enum.Enum):
    """How far a multicast event goes: over IPv4, or over IPv6 as far as the advertisements of
    the device do (UDA 2.0 §A.7). The value is the address of the group."""

    IPV4 = "239.255.255.246"
    LINK_LOCAL = "FF02::130"
    SITE_LOCAL = "FF05::130"
    GLOBAL = "FF0E::130"
    """In UDA 1.1 alone."""

    @property
    def group(self) -> Endpoint:
        """The group that datagrams are sent to. Its text is the value of HOST."""
        return Endpoint(self.value, MULTICAST_PORT)

    def most_bytes(self, limits: Limits) -> int:
        """The largest UDP payload of one event, in bytes."""
        if self is MulticastScope.IPV4:
            return limits.datagram_bytes_ipv4
        return limits.datagram_bytes_ipv6


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ServiceIdentity(Record):
    """The identity of a service: the device's UDN (``uuid:…``), service type and serviceId, as in
    the device description. Raises ValueError for a text that no header can carry."""

    udn: str
    service_type: str
    service_id: str

    def __post_init__(self) -> None:
        for text in (self.udn, self.service_type, self.service_id):
            if not text or not text.isprintable() or " " in text:
                raise ValueError(f"{shown(text)} is no UDN, service type or serviceId: it is a URI")

    @property
    def usn(self) -> str:
        """The value of USN. Dots in a vendor's domain become hyphens (UDA 2.0 §4.3.3)."""
        return f"{self.udn}::{hyphenated(self.service_type)}"


@dataclass(slots=True, eq=False, repr=False)
class MulticastMessage(Record):
    """One multicast event. ``usn`` and ``svcid`` name the service. ``seq`` counts its multicast
    events. ``body`` is a propertyset. It is the same on all interfaces and in retransmissions."""

    usn: str
    svcid: str
    seq: int
    level: str
    boot_id: int
    body: bytes

    def headers(self, scope: MulticastScope) -> HeaderPairs:
        """The header pairs. Only HOST depends on ``scope``."""
        return (
            (b"HOST", str(scope.group).encode("ascii")),
            (b"CONTENT-TYPE", b'text/xml; charset="utf-8"'),
            (b"USN", self.usn.encode()),
            (b"SVCID", self.svcid.encode()),
            (b"NT", EVENT_NT),
            (b"NTS", PROPCHANGE_NTS),
            (b"SEQ", format_seq(self.seq)),
            (b"LVL", self.level.encode()),
            (b"BOOTID.UPNP.ORG", b"%d" % self.boot_id),
            (b"CONTENT-LENGTH", b"%d" % len(self.body)),
        )

    def request(self, scope: MulticastScope) -> Request:
        """The message as a request, for ``propchange.http``."""
        return Request("NOTIFY", "*", self.headers(scope), self.body)

    def payload_bytes(self, scope: MulticastScope) -> int:
        """Bytes of the datagram."""
        head = sum(len(name) + len(value) + 4 for name, value in self.headers(scope))
        return len(_START_LINE) + head + 2 + len(self.body)


class Datagram(NamedTuple):
    """A message to send to ``scope.group``, on every interface with that address family. Encode it
    with ``propchange.http.encode_datagram``."""

    message: MulticastMessage
    scope: MulticastScope


def read_multicast(request: Request) -> MulticastMessage:
    """The message in a datagram that the ``http`` room has parsed. The body is not read.

    HOST, CONTENT-TYPE, unknown headers and the HTTP version are ignored. Any level is taken; it is
    empty without LVL. Raises RemoteProtocolError for anything but a multicast event.
    """
    if request.method != "NOTIFY" or request.target != "*":
        raise _refusal("the start line is not NOTIFY * HTTP/1.1")
    fields = request.fields
    for name in request.repeated & _ONCE:
        raise _refusal(f"{name.decode().upper()} stands there more than once")
    if fields.get(b"nt") != EVENT_NT:
        raise _refusal("NT is not upnp:event")
    if fields.get(b"nts") != PROPCHANGE_NTS:
        raise _refusal("NTS is not upnp:propchange")
    try:
        texts = [fields.get(name, b"").decode() for name in (b"usn", b"svcid", b"lvl")]
    except UnicodeDecodeError:
        raise _refusal("USN, SVCID or LVL is not UTF-8") from None
    usn, svcid, level = texts
    if not usn or not svcid:
        raise _refusal("USN or SVCID is missing")
    return MulticastMessage(
        usn,
        svcid,
        _number("SEQ", fields.get(b"seq")),
        level,
        _number("BOOTID.UPNP.ORG", fields.get(b"bootid.upnp.org")),
        request.body,
    )


def _number(name: str, value: bytes | None) -> int:
    try:
        number = parse_seq(value)  # which ignores leading zeros, as it must
    except ValueError:
        raise _refusal(f"{name} is no number from 0 to {LARGEST_SEQ}") from None
    if number is None:
        raise _refusal(f"{name} is missing")
    return number


def _refusal(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, clause=_CLAUSE)
