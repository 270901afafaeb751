"""SSDP messages, both ways: what a device announces of itself (UDA 2.0 §1.2, §1.3.3, §A.4), and
searches (§1.3.2).

Reading is tolerant, because real devices leave out or garble headers: such a header is None, as
long as the message still names the device. Formatting follows the version of the architecture:
BOOTID, CONFIGID and SEARCHPORT from 1.1 on, SECURELOCATION in 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from propchange.core.discovery.advertisement import ROOT_DEVICE, Advertisement, AdvertisementKind
from propchange.core.discovery.search_answers import Search, Target
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint, HeaderPairs
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.upnp.device import PlacedDevice

if TYPE_CHECKING:
    from propchange.core.subscriber.judge import SubscriberPolicy  # a host has no subscriber

NLS_NAMESPACE = "http://schemas.upnp.org/upnp/1/0/"
"""The namespace of the network location signature, as OPT declares it (UDA 2.0 §A.4)."""

IPV4_GROUP = Endpoint("239.255.255.250", 1900)
"""The multicast group (UDA 2.0 §1.2.2)."""

IPV6_LINK_LOCAL_GROUP = Endpoint("FF02::C", 1900)
"""The multicast group of one link over IPv6, in HOST without a zone (UDA 2.0 §A.3)."""

IPV6_SITE_LOCAL_GROUP = Endpoint("FF05::C", 1900)
"""The multicast group of a site over IPv6 (UDA 2.0 §A.3)."""


def group_of(address: LocalAddress) -> Endpoint:
    """The group to which a device announces itself from ``address``, and to which a control point
    searches from it: over IPv6 that of the scope of the address (UDA 2.0 §A.2.3)."""
    if address.network.version == 4:
        return IPV4_GROUP
    return IPV6_LINK_LOCAL_GROUP if address.scope else IPV6_SITE_LOCAL_GROUP


MX_SECONDS = 2
"""Seconds over which devices spread their answers to a search (UDA 2.0 §1.3.2)."""

_MAX_AGE = re.compile(r"\bmax-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_NLS_LENGTH = 64
_NLS_PREFIX = re.compile("[0-9]{1,4}")
_LARGEST = 2**31 - 1

_KINDS = {kind.value: kind for kind in AdvertisementKind if kind is not AdvertisementKind.RESPONSE}
_NOTIFY = re.compile(rb"NOTIFY[ \t]+\*[ \t]+HTTP/1\.[0-9]", re.IGNORECASE)
_RESPONSE = re.compile(rb"HTTP/1\.[0-9][ \t]+200(?![0-9])", re.IGNORECASE)
_SEARCH = re.compile(rb"M-SEARCH\b", re.IGNORECASE)
_SEARCH_LINE = re.compile(rb"M-SEARCH[ \t]+\*[ \t]+HTTP/1\.1[ \t]*\r?")
_MX = re.compile("[0-9]{1,10}")


# --- reading ---


def read_datagram(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Advertisement | None:
    """The advertisement in a datagram; None for a search, which others send to the group too.

    Lines may end in LF alone, and a line that is no header is ignored, since devices send both.
    Raises RemoteProtocolError as :func:`read_advertisement`, and for a datagram that is not SSDP.
    """
    if len(data) > limits.ssdp_bytes:
        raise _refusal(f"it has more than {limits.ssdp_bytes} bytes")
    first, pairs = _split(data, limits)
    response = _RESPONSE.match(first) is not None
    if not response and not _NOTIFY.match(first):
        if _SEARCH.match(first):
            return None
        raise _refusal(f"it begins with {first[:40].decode('latin-1')!a}")
    return read_advertisement(pairs, response=response, limits=limits)


def _split(data: bytes, limits: Limits) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The first line of a datagram, and its header pairs."""
    first, *lines = data.split(b"\n", limits.header_count + 1)
    pairs = []
    for line in lines[: limits.header_count]:
        name, colon, value = line.partition(b":")
        if not line.strip():
            break
        if colon and name[:1] not in b" \t":
            pairs.append((name.strip(), value.strip()))
    return first, pairs


def read_search(data: bytes, *, multicast: bool, limits: Limits = DEFAULT_LIMITS) -> Search | None:
    """The search in a datagram; None for an advertisement. ``multicast``: it was sent to the group.

    Raises RemoteProtocolError for a datagram that is no M-SEARCH of HTTP/1.1, and for one without
    MAN or ST: a device ignores those (UDA 2.0 §1.3.2). An MX that is no number above 0 counts as
    none. HOST is not checked, and further headers are ignored."""
    if len(data) > limits.ssdp_bytes:
        raise _no_search(f"it has more than {limits.ssdp_bytes} bytes")
    first = data[:40].partition(b"\n")[0]
    if not _SEARCH.match(first):
        if _NOTIFY.match(first) or _RESPONSE.match(first):
            return None
        raise _no_search(f"it begins with {first.decode('latin-1')!a}")
    first, pairs = _split(data, limits)
    if not _SEARCH_LINE.fullmatch(first):
        raise _no_search(f"it begins with {first[:40].decode('latin-1')!a}")
    fields = {name.lower(): value.decode("utf-8", "replace") for name, value in pairs}
    if fields.get(b"man") != '"ssdp:discover"':
        raise _no_search('MAN is not "ssdp:discover", in quotes')
    target = fields.get(b"st", "")
    if not 0 < len(target) <= limits.ssdp_text_bytes or not target.isprintable():
        raise _no_search("it has no usable ST")
    mx = fields.get(b"mx", "")
    seconds = int(mx) if _MX.fullmatch(mx) else 0
    return Search(target, seconds or None, multicast)


def read_message(
    message: Mapping[str, str] | str | bytes, limits: Limits = DEFAULT_LIMITS
) -> Advertisement | None:
    """The advertisement in a datagram, in its text or in its headers; None for a search. Raises
    RemoteProtocolError as :func:`read_datagram`."""
    if isinstance(message, bytes | str):
        data = message.encode("utf-8", "replace") if isinstance(message, str) else message
        return read_datagram(data, limits)
    pairs = [
        (name.encode("latin-1", "replace"), value.encode("utf-8", "replace"))
        for name, value in message.items()
    ]
    names = {name.lower() for name in message}
    return read_advertisement(pairs, response="nts" not in names and "st" in names, limits=limits)


def read_advertisement(
    headers: HeaderPairs, *, response: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Advertisement:
    """The NOTIFY with these header pairs, or with ``response`` the answer to an M-SEARCH.

    Raises RemoteProtocolError for an unknown NTS, a USN without a UDN, and for a missing LOCATION
    or, in an update, NEXTBOOTID."""
    fields = {name.lower(): value.decode("utf-8", "replace").strip() for name, value in headers}
    nts = fields.get(b"nts", "")
    kind = AdvertisementKind.RESPONSE if response else _KINDS.get(nts.lower())
    if kind is None:
        raise _refusal(f"NTS is {nts[:40]!a}")
    udn, target = _names(fields, b"st" if response else b"nt", limits)
    location = "" if kind is AdvertisementKind.BYEBYE else fields.get(b"location", "")
    if kind is not AdvertisementKind.BYEBYE and not 0 < len(location) <= limits.ssdp_text_bytes:
        raise _refusal("there is no LOCATION, or it is too long")
    next_boot_id = None
    if kind is AdvertisementKind.UPDATE:
        next_boot_id = _number(fields.get(b"nextbootid.upnp.org"))
        if next_boot_id is None:
            raise _refusal("an ssdp:update names no NEXTBOOTID", "UDA 2.0 §1.2.4")
    max_age = _MAX_AGE.search(fields.get(b"cache-control", ""))
    return Advertisement(
        kind=kind,
        udn=udn,
        target=target,
        location=location,
        max_age=float(max_age[1]) if max_age else None,
        server=_bounded(fields.get(b"server"), limits),
        boot_id=_number(fields.get(b"bootid.upnp.org")),
        next_boot_id=next_boot_id,
        config_id=_number(fields.get(b"configid.upnp.org")),
        search_port=_number(fields.get(b"searchport.upnp.org")),
        nls=_nls(fields),
        secure_location=_bounded(fields.get(b"securelocation.upnp.org"), limits),
    )


def _names(fields: dict[bytes, str], target_name: bytes, limits: Limits) -> tuple[str, str]:
    """The UDN and the NT or ST. USN is ``uuid:…`` or ``uuid:…::<target>``. If a device leaves out
    one of the two fields, the other one is used for both."""
    usn, target = fields.get(b"usn", ""), fields.get(target_name, "")
    if not usn and target[:5].lower() == "uuid:":
        usn = target
    udn, _, rest = usn.partition("::")
    if udn[:5].lower() != "uuid:" or len(udn) == 5:
        raise _refusal("USN names no UDN")
    if len(usn) > limits.ssdp_text_bytes or len(target) > limits.ssdp_text_bytes:
        raise _refusal("USN or the target is too long")
    if not (usn + target).isprintable():
        raise _refusal("USN or the target has control characters")
    # Some devices send back the target of a search for everything, instead of their own.
    if not target or target.lower() == "ssdp:all":
        target = rest or udn
    return udn, target


def _nls(fields: dict[bytes, str]) -> str | None:
    """The signature: the field with the prefix that OPT declares, or 01-NLS without OPT."""
    for prefix in _nls_prefixes(fields.get(b"opt", "")) or ["01"]:
        value = fields.get(f"{prefix}-nls".encode(), "")
        if 0 < len(value) <= _NLS_LENGTH and value.isprintable():
            return value
    return None


def _nls_prefixes(opt: str) -> list[str]:
    """The prefixes that OPT gives the namespace of the signature.

    OPT is a list such as ``"http://a/"; ns=01, "http://b/"; ns=02``. It is split, not matched: a
    regular expression with optional white space at several places would backtrack for seconds."""
    prefixes = []
    for declaration in opt.split(","):
        uri, *parameters = [part.strip() for part in declaration.split(";")]
        if uri.strip('" \t') != NLS_NAMESPACE:
            continue
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            prefix = value.strip('" \t')
            if name.strip().lower() == "ns" and _NLS_PREFIX.fullmatch(prefix):
                prefixes.append(prefix)
    return prefixes


def _number(value: str | None) -> int | None:
    if value is None or not re.fullmatch(r"[0-9]{1,10}", value):
        return None
    number = int(value)
    return number if number <= _LARGEST else None


def _bounded(value: str | None, limits: Limits) -> str | None:
    fits = value and len(value) <= limits.ssdp_text_bytes and value.isprintable()
    return value if fits else None


def _refusal(reason: str, clause: str = "UDA 2.0 §1.2.2") -> RemoteProtocolError:
    return RemoteProtocolError(f"this is no advertisement: {reason}", clause=clause)


def _no_search(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"this is no search: {reason}", clause="UDA 2.0 §1.3.2")


# --- formatting ---

Pairs = tuple[tuple[str, str], ...]


def announced_targets(root: PlacedDevice) -> Iterator[Target]:
    """The targets that a root device announces, in the order of UDA 2.0 tables 1-1 to 1-3: three
    for the root, two for each embedded device, and one for each service type of each of them."""
    yield Target(ROOT_DEVICE, f"{root.udn}::{ROOT_DEVICE}")
    for placed in root.all_devices():
        yield Target(placed.udn, placed.udn)
        types = (placed.device.device_type, *(s.service.service_type for s in placed.services))
        for each in dict.fromkeys(types):
            yield Target(each, f"{placed.udn}::{each}")


class SSDPMessage(NamedTuple):
    """A datagram: its start line and its header pairs."""

    start_line: str
    headers: Pairs

    def encode(self) -> bytes:
        """The bytes of the datagram."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def search_request(
    target: str, policy: SubscriberPolicy, *, group: Endpoint = IPV4_GROUP
) -> SSDPMessage:
    """The M-SEARCH for ``target``, a UDN, a device or service type or ``ssdp:all``, to ``group``
    (UDA 2.0 §1.3.2). ``policy`` gives USER-AGENT, from UDA 1.1 on, and CPFN.UPNP.ORG, in 2.0.

    Raises ValueError for a target that no header can carry."""
    if not target or not target.isprintable():
        raise ValueError(f"{target!r} is nothing that can be searched for")
    headers = [
        ("HOST", str(group)),
        ("MAN", '"ssdp:discover"'),
        ("MX", str(MX_SECONDS)),
        ("ST", target),
    ]
    if policy.uda != "1.0":
        headers.append(("USER-AGENT", policy.user_agent))
    if policy.uda == "2.0":
        headers.append(("CPFN.UPNP.ORG", policy.friendly_name))
    return SSDPMessage("M-SEARCH * HTTP/1.1", tuple(headers))


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Announcement(Record):
    """The values that all messages of a root device on one link have in common.

    ``location`` is the URL of its description on that link, ``server`` the value of SERVER, ``uda``
    the version of the architecture. ``boot_id``, ``config_id`` and ``search_port`` (None: left out)
    are of UDA 1.1 and later, ``secure_location`` is of UDA 2.0. ``nls``, the network location
    signature, 1 to 64 characters, must change when any address of the device does (NLS-02);
    BOOTID may serve. ``host`` is the group.

    Raises ``ValueError`` for a value that cannot be sent.
    """

    location: str
    server: str
    uda: str = "1.1"
    max_age: int = 1_800
    boot_id: int = 1
    config_id: int = 0
    search_port: int | None = None
    nls: str | None = None
    secure_location: str | None = None
    host: str = str(IPV4_GROUP)

    def __post_init__(self) -> None:
        """Refuse values that a receiver would not understand."""
        if self.nls is not None and not re.fullmatch(r"[!-~]{1,64}", self.nls):
            raise ValueError(f"a network location signature has 1 to 64 characters: {self.nls!r}")
        if not 0 <= self.boot_id <= _LARGEST:
            raise ValueError(f"a BOOTID is from 0 to {_LARGEST}, not {self.boot_id}")
        if not 0 <= self.config_id < 2**24:
            raise ValueError(f"a CONFIGID is from 0 to 16777215, not {self.config_id}")
        for text in (self.location, self.server, self.host, self.secure_location or "-"):
            if not re.fullmatch(r"[ -~]+", text):
                raise ValueError(f"{text!r} cannot be sent in a header")

    def alive(self, target: Target) -> SSDPMessage:
        """ssdp:alive for ``target`` (UDA 2.0 §1.2.2)."""
        first = (self._lifetime(), ("LOCATION", self.location))
        return self._notify("ssdp:alive", target, first, (("SERVER", self.server), *self._state()))

    def byebye(self, target: Target) -> SSDPMessage:
        """ssdp:byebye for ``target`` (UDA 2.0 §1.2.3)."""
        last = (*self._identity(), *self._signature())
        return self._notify("ssdp:byebye", target, (), last)

    def update(self, target: Target, next_boot_id: int) -> SSDPMessage:
        """ssdp:update for ``target``: from now on BOOTID is ``next_boot_id`` (UDA 2.0 §1.2.4).

        Raises LocalProtocolError in UDA 1.0, which has none, ValueError for a number that is not
        higher than BOOTID."""
        if self.uda == "1.0":
            raise LocalProtocolError("UDA 1.0 has no ssdp:update", clause="UDA 1.1 §1.2.4")
        if not self.boot_id < next_boot_id <= _LARGEST:
            raise ValueError(f"BOOTID rises, and is at most {_LARGEST}: not {next_boot_id}")
        boot_id, *others = self._state()
        last = (boot_id, ("NEXTBOOTID.UPNP.ORG", str(next_boot_id)), *others)
        return self._notify("ssdp:update", target, (("LOCATION", self.location),), last)

    def search_response(self, target: Target, date: str = "") -> SSDPMessage:
        """The answer to an M-SEARCH that ``target`` fits (UDA 2.0 §1.3.3). ``date`` is the value of
        DATE, which is recommended."""
        headers = (
            self._lifetime(),
            *([("DATE", date)] if date else []),
            ("EXT", ""),
            ("LOCATION", self.location),
            ("SERVER", self.server),
            ("ST", target.target),
            ("USN", target.usn),
            *self._state(),
        )
        return SSDPMessage("HTTP/1.1 200 OK", headers)

    def _notify(self, nts: str, target: Target, first: Pairs, last: Pairs) -> SSDPMessage:
        names = (("NT", target.target), ("NTS", nts), ("USN", target.usn))
        return SSDPMessage("NOTIFY * HTTP/1.1", (("HOST", self.host), *first, *names, *last))

    def _lifetime(self) -> tuple[str, str]:
        return ("CACHE-CONTROL", f"max-age={self.max_age}")

    def _state(self) -> Pairs:
        port = self.search_port
        hidden = port is None or self.uda == "1.0"
        ports = () if hidden else (("SEARCHPORT.UPNP.ORG", str(port)),)
        return (*self._identity(), *ports, *self._secure(), *self._signature())

    def _identity(self) -> Pairs:
        if self.uda == "1.0":
            return ()
        return (("BOOTID.UPNP.ORG", str(self.boot_id)), ("CONFIGID.UPNP.ORG", str(self.config_id)))

    def _secure(self) -> Pairs:
        if self.uda != "2.0" or self.secure_location is None:
            return ()
        return (("SECURELOCATION.UPNP.ORG", self.secure_location),)

    def _signature(self) -> Pairs:
        if self.nls is None:
            return ()
        return (("OPT", f'"{NLS_NAMESPACE}"; ns=01'), ("01-NLS", self.nls))
