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

_PARAGRAPHS = {
    "alive": ("1.1.2", "1.2.2, tables 1-1 to 1-3"),
    "byebye": ("1.1.3", "1.2.3"),
    "search": ("1.2.2", "1.3.2"),
    "answer": ("1.2.3", "1.3.3"),
}


def paragraph(uda: str, message: str) -> str:
    """The paragraph of UDA about a kind of message. UDA 1.0 has other numbers."""
    first, later = _PARAGRAPHS[message]
    return f"UDA {uda} §{first if uda == '1.0' else later}"


@dataclass(frozen=True)
class SsdpRow(Row):
    """One exchange of datagrams. ``rule`` is the paragraph of UDA that it shows. ``families`` are
    the kinds of addresses that it is played with. ``follows``: the application subscribes to the
    device first."""

    rule: str = ""
    families: tuple[str, ...] = ("IPv4", "IPv6", "IPv6 of a site")
    follows: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


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
    """So many seconds go by. No later step looks at what the peer hears meanwhile."""

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


# --- steps with a device of ours ---


@dataclass(frozen=True, slots=True)
class Begin:
    """Our side hosts the device, with further ``options`` of ``host``."""

    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """Our side ends the device."""


@dataclass(frozen=True, slots=True)
class Announces:
    """The peer hears ``kind`` for each of ``targets``, each ``least`` to ``most`` times, and for no
    others. The peer waits ``within`` seconds for them, so long that only a device that says nothing
    is late. ``then`` are the seconds in which more could come. ``headers`` are those that the row
    expects besides or instead of the usual ones; None: it is not there. ``learn``: the values of
    BOOTID, CONFIGID and the signature become names of the row; else they are the known ones."""

    kind: str
    targets: tuple[tuple[str, str], ...] = TARGETS
    least: int = 1
    most: int = 3
    host: str = "near"
    within: float = 20.0
    then: float = 0.4
    headers: Headers = field(default_factory=dict)
    learn: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """The peer sends a search, and gets exactly ``answers``: the ST and the USN of each. ``within``
    are the seconds in which they come, and in which no other may. ``to``: ``group``, or ``port``,
    the one for unicast searches. ``source``: the address that it comes from, where it is not the
    peer's."""

    data: str
    answers: tuple[tuple[str, str], ...] = ()
    within: float = 1.0
    host: str = "near"
    to: str = "group"
    source: str = ""
    times: int = 1
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OffLink:
    """The peer gets an address that is not of the network of our side, which has a route to it."""

    address: str


@dataclass(frozen=True, slots=True)
class Flood:
    """The peer sends ``number`` searches from as many ports. The answers have at most ``most``
    bytes in all."""

    data: str
    number: int
    most: int


@dataclass(frozen=True, slots=True)
class Silence:
    """For so many seconds the peer hears nothing of the device."""

    seconds: float = 1.0
    host: str = "near"


@dataclass(frozen=True, slots=True)
class Reads:
    """The peer reads the description at LOCATION of what it heard last."""


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Our side gets another address, as ``ip addr add`` takes it."""

    address: str
    interface: str = "eth0"


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Our side loses an address."""

    address: str
    interface: str = "eth0"


def search(
    target: str = "ssdp:all", line: str = "M-SEARCH * HTTP/1.1", **changes: str | None
) -> str:
    """A search."""
    headers: dict[str, str | None] = {
        "HOST": "{group}",
        "MAN": '"ssdp:discover"',
        "MX": "1",
        "ST": target,
    }
    return message(line, headers | named(changes))


def usn(target: str, udn: str) -> tuple[str, str]:
    """ST and USN of an answer."""
    return target, udn if target == udn else f"{udn}::{target}"


ALL_ANSWERS = tuple(usn(*each) for each in TARGETS)
