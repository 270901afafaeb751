"""The words of the SSDP table: the steps of its rows, and the datagrams of the peer.

A row is one exchange of datagrams between a *peer*, which the test plays with plain sockets, and
*our side*: a control point whose peer is a device, or a device whose peer is a control point. The
peer stands at ``near``, on the same network as our side, and at ``far``, on its second network.

Text of a row has names in braces. ``{udn}`` and ``{embedded}`` are the UDNs of the device and of
its embedded device, ``{location}`` the URL of its description and ``{moved}`` another one, where
the same device can be hosted, ``{elsewhere}`` its URL on the second network; ``{seen}`` and
``{seen_elsewhere}`` are these URLs as the application gets them. ``{group}`` is the multicast group
with its port, ``{server}`` is SERVER. An expected value that begins with ``~`` is a
regular expression for the whole value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exchange import Row, message

ROOT = "upnp:rootdevice"
DEVICE = "urn:example-org:device:Bench:2"
SERVICE = "urn:example-org:service:Lamp:1"
EMBEDDED = "urn:example-org:device:Drawer:1"
EMBEDDED_SERVICE = "urn:example-org:service:Lock:3"

NLS = '"http://schemas.upnp.org/upnp/1/0/"; ns=01'

Headers = Mapping[str, str | None]


@dataclass(frozen=True)
class SsdpRow(Row):
    """One exchange of datagrams. ``rule`` is the paragraph of UDA that it shows. ``families`` are
    the IP versions that it is played over. ``follows``: the application subscribes to the device
    first."""

    rule: str = ""
    families: tuple[int, ...] = (4, 6)
    follows: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    changes_network: bool = False


# --- steps of the peer ---


@dataclass(frozen=True, slots=True)
class Datagrams:
    """The peer sends each of ``data`` to the group, from ``host``. ``answer``: instead, to the
    source of the last search."""

    data: tuple[str | bytes, ...]
    host: str = "near"
    answer: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """The device forgets its subscriptions, at the same URL, without a datagram."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The device answers no requests any more, without a datagram."""


@dataclass(frozen=True, slots=True)
class Move:
    """The device is at ``{moved}`` instead, without a datagram."""


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds go by."""

    seconds: float


# --- steps of the application ---


@dataclass(frozen=True, slots=True)
class SearchFor:
    """The application searches for ``target``."""

    target: str


@dataclass(frozen=True, slots=True)
class Find:
    """The application waits for the device ``{udn}``, whose description the peer has."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The application sees a device: it has ``appeared``, ``changed`` or ``gone``. ``shown`` are
    attributes of the sighting."""

    kind: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    udn: str = "{udn}"


@dataclass(frozen=True, slots=True)
class Sees:
    """What the application sees since the last of these steps, in order, and nothing else."""

    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class Causes:
    """The causes of the changes of the subscription since the last of these steps, in order, and
    no others."""

    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests that reach the device since the last of these steps, in order, and no others:
    ``subscribe``, ``renew``, ``unsubscribe``."""

    kinds: tuple[str, ...] = ()


# --- what the peer hears ---


@dataclass(frozen=True, slots=True)
class Hears:
    """A datagram of our side reaches the peer at ``host``, with this start line and exactly these
    headers. ``times``: so often at least, each the same. ``hops`` is its TTL or hop limit."""

    line: str
    headers: Mapping[str, str]
    host: str = "near"
    times: int = 1
    hops: int | None = None


# --- datagrams of a device ---


def notify(nts: str, target: str = ROOT, udn: str = "{udn}", **changes: str | None) -> str:
    """An advertisement. ``changes`` are further headers, with ``_`` for ``-`` and ``__`` for
    ``.``; None leaves one out."""
    usn = udn if target == udn else f"{udn}::{target}"
    headers: dict[str, str | None] = {"HOST": "{group}"}
    if nts == "ssdp:alive":
        headers |= {"CACHE-CONTROL": "max-age=1800", "LOCATION": "{location}"}
    elif nts == "ssdp:update":
        headers |= {"LOCATION": "{location}"}
    headers |= {"NT": target, "NTS": nts, "USN": usn}
    if nts == "ssdp:alive":
        headers |= {"SERVER": "{server}"}
    headers |= {"BOOTID.UPNP.ORG": "5", "CONFIGID.UPNP.ORG": "1"}
    return message("NOTIFY * HTTP/1.1", headers | named(changes))


def alive(target: str = ROOT, udn: str = "{udn}", **changes: str | None) -> str:
    """ssdp:alive."""
    return notify("ssdp:alive", target, udn, **changes)


def byebye(target: str = ROOT, udn: str = "{udn}", **changes: str | None) -> str:
    """ssdp:byebye."""
    return notify("ssdp:byebye", target, udn, **changes)


def update(next_boot_id: str | None = "6", **changes: str | None) -> str:
    """ssdp:update."""
    return notify("ssdp:update", NEXTBOOTID__UPNP__ORG=next_boot_id, **changes)


def answer(target: str = ROOT, line: str = "HTTP/1.1 200 OK", **changes: str | None) -> str:
    """The answer to a search."""
    headers: dict[str, str | None] = {
        "CACHE-CONTROL": "max-age=1800",
        "DATE": "Sat, 01 Jan 2022 00:00:00 GMT",
        "EXT": "",
        "LOCATION": "{location}",
        "SERVER": "{server}",
        "ST": target,
        "USN": "{udn}" if target == "{udn}" else f"{{udn}}::{target}",
        "BOOTID.UPNP.ORG": "5",
        "CONFIGID.UPNP.ORG": "1",
    }
    return message(line, headers | named(changes))


def named(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """``CACHE_CONTROL`` and ``BOOTID__UPNP__ORG`` as names of headers."""
    return {name.replace("__", ".").replace("_", "-"): value for name, value in changes.items()}


TARGETS = (
    (ROOT, "{udn}"),
    ("{udn}", "{udn}"),
    (DEVICE, "{udn}"),
    (SERVICE, "{udn}"),
    ("{embedded}", "{embedded}"),
    (EMBEDDED, "{embedded}"),
    (EMBEDDED_SERVICE, "{embedded}"),
)
"""NT and UDN of each advertisement of the device (UDA 2.0 tables 1-1 to 1-3)."""

ALL_ALIVE = tuple(alive(*each) for each in TARGETS)
