"""An SSDP advertisement or search response, parsed (UDA 2.0 §1.2, §1.3.3), and whether its LOCATION
may be fetched.

Anybody on the link can announce any LOCATION for any UDN. A URL that leads off the link could aim
this host's requests at another host, as CallStranger does with the requests of devices.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from propchange.core.local_addresses import OnLink
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint, parse_address

ROOT_DEVICE = "upnp:rootdevice"
"""The NT and ST of root devices."""


class AdvertisementKind(enum.Enum):
    """The kind of the message."""

    ALIVE = "ssdp:alive"
    BYEBYE = "ssdp:byebye"
    UPDATE = "ssdp:update"
    RESPONSE = "response"
    """The answer to an M-SEARCH. It means the same as ssdp:alive."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Advertisement(Record):
    """One NOTIFY or search response. ``target`` is NT or ST: ``upnp:rootdevice``, the UDN, or a
    device or service type. ``location`` is empty in a byebye. A field that is missing or cannot be
    read is None."""

    kind: AdvertisementKind
    udn: str
    target: str
    location: str = ""
    max_age: float | None = None
    """Seconds, from CACHE-CONTROL."""
    server: str | None = None
    boot_id: int | None = None
    next_boot_id: int | None = None
    """Only in an update, and in each one."""
    config_id: int | None = None
    search_port: int | None = None
    nls: str | None = None
    """The network location signature (UDA 2.0 §A.4)."""
    secure_location: str | None = None
    """The https URL of the description (UDA 2.0 §1.2.2)."""


def udn_key(udn: str) -> str:
    """The key for comparing UDNs: devices mix upper and lower case in their own."""
    return udn.strip().lower()


def type_fits(announced: str, wanted: str) -> bool:
    """Whether the type ``announced`` fits the type ``wanted``: it is the same, or a later version,
    which is compatible (UDA 2.0 §1.3.2). ``wanted`` may be a short name: ``MediaRenderer``, which
    fits any version, or ``MediaRenderer:1``."""
    if announced == wanted:
        return True
    name, _, version = announced.rpartition(":")
    if ":" not in wanted:
        return name.rpartition(":")[2] == wanted
    wanted_name, _, wanted_version = wanted.rpartition(":")
    if ":" not in wanted_name:
        name = name.rpartition(":")[2]
    numbers = version.isdecimal() and wanted_version.isdecimal()
    return name == wanted_name and numbers and int(version) >= int(wanted_version)


_URL = re.compile(
    r"http://(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%(?:25)?[^\]]*)?\]|(?P<four>[^:/?#\[\]@]+))"
    r"(?::(?P<port>[0-9]{0,5}))?(?P<rest>(?:[/?][!-~]*)?)",
    re.IGNORECASE,
)


def comes_from_beyond(source: Endpoint, on_link: Sequence[OnLink]) -> bool:
    """Whether what comes from ``source`` may come from beyond the site: ``source`` is a global
    address that is not on the link, whose prefixes are ``on_link``.

    A search to a site over IPv6 leaves from an address that the whole Internet may reach, and so
    may its port. An advertisement from beyond the site is not to be believed. Unique local
    addresses (fc00::/7) are those of the site: its routers let none in."""
    address = parse_address(source.host)
    return address.is_global and not any(address in network for network, _ in on_link)


def judge_location(
    url: str,
    *,
    source: Endpoint,
    on_link: Sequence[OnLink],
    own: Collection[str] = (),
    off_link: bool = False,
    zone_of: Callable[[int], str] = str,
) -> str:
    """The URL to fetch for the LOCATION ``url``. A link-local IPv6 address gets the zone of the
    link that the advertisement was received on; the zone in ``url`` is ignored (V6-07). ``zone_of``
    returns the zone for a scope id.

    The host must be a literal address: the source of the advertisement (``source``), or an address
    on that link (``on_link``). ``off_link`` also accepts every unicast address and every host name.
    An address of this machine, loopback or in ``own``, is accepted only from this machine. Raises
    ValueError for any other URL, with a sentence.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"LOCATION {url[:100]!a} is no http URL with a host")
    if not 1 <= int(match["port"] or 80) <= 65_535:
        raise ValueError(f"LOCATION {url[:100]!a} names no usable port")
    try:
        address = parse_address(match["six"] or match["four"])
    except ValueError:
        if off_link:
            return url
        raise ValueError(f"LOCATION {url[:100]!a} names its host by no literal address") from None
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"LOCATION leads to {address}, which is no single host")
    sender = parse_address(source.host)
    is_here = address.is_loopback or str(address) in own
    if is_here and address != sender and not sender.is_loopback:
        raise ValueError(f"LOCATION leads to {address}, this host itself, and came from {sender}")
    if isinstance(address, IPv6Address) and address.is_link_local:
        scope = next((scope for _, scope in on_link if scope), source.scope)
        if not scope:
            raise ValueError(f"LOCATION leads to {address}, and the link it is on is not known")
        port = f":{match['port']}" if match["port"] else ""
        return f"http://[{address}%{zone_of(scope)}]{port}{match['rest']}"
    if off_link or address == sender or any(address in network for network, _ in on_link):
        return url
    raise ValueError(
        f"LOCATION leads to {address}, which is not on the link that the advertisement came in "
        f"on (from {sender})"
    )
