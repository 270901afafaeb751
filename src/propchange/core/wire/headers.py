"""The header fields of GENA: CALLBACK, TIMEOUT, SID, SEQ, STATEVAR, HOST and SERVER.

Parsing takes a field's value without surrounding white space, as ``Request.fields`` gives it.
What is read beyond the letter of UDA stands in :mod:`propchange.core.tolerance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.tolerance import Role, accepts

__all__ = [
    "EVENT_NT",
    "LARGEST_SEQ",
    "PROPCHANGE_NTS",
    "format_seq",
    "format_statevar",
    "format_timeout",
    "is_infinite",
    "next_seq",
    "parse_callback",
    "parse_host",
    "parse_seq",
    "parse_sid",
    "parse_statevar",
    "parse_timeout",
    "server_token",
]

EVENT_NT = b"upnp:event"
"""The one value of NT in eventing."""

PROPCHANGE_NTS = b"upnp:propchange"
"""The one value of NTS in eventing."""

LARGEST_SEQ = 4_294_967_295
"""SEQ is 32 bits without sign; 1 follows this one, never 0 (UDA 2.0 §4.3.2)."""

_LONGEST_DURATION = 4_294_967_295.0

_TIMEOUT = re.compile(
    rb"(?P<prefix>Second-)?"
    rb"(?:(?P<whole>[0-9]+)(?P<fraction>\.[0-9]*)?"
    rb"|(?P<hours>[0-9]{1,6}):(?P<minutes>[0-5]?[0-9]):(?P<seconds>[0-5]?[0-9])(?:\.[0-9]*)?)",
    re.IGNORECASE,
)
_CALLBACK = re.compile(rb"[ \t,]*<([^<>]*)>")
_CALLBACK_END = re.compile(rb"[ \t,]*")
_NAME = re.compile(r"[a-z0-9._~-]+")
_PORT = re.compile(r"0*([1-9][0-9]{0,4})")
_PRODUCT = re.compile(r"[!-.0-~]+/[!-~]+")


class _TimeoutForms(NamedTuple):
    case: bool
    decimal: bool
    clock: bool
    bare: bool

    @classmethod
    def of(cls, role: Role) -> _TimeoutForms:
        return cls(*(accepts(role, f"timeout-{form}") for form in cls._fields))


_PUBLISHER_FORMS = _TimeoutForms.of("publisher")
_SUBSCRIBER_FORMS = _TimeoutForms.of("subscriber")


def parse_timeout(value: bytes | None, *, lenient: bool = False) -> float | None:
    """The seconds in a TIMEOUT, at most 4294967295; None when the field is absent, malformed,
    zero, negative or infinite, all of which count as absent (UDA 2.0 §4.1.1).

    ``lenient`` reads what a subscriber accepts in an answer (``300``, ``Second-1800.0``,
    ``Second-0:30:00``), otherwise it is what a publisher accepts in a request.
    """
    match = _TIMEOUT.fullmatch(value) if value is not None else None
    if match is None:
        return None
    forms = _SUBSCRIBER_FORMS if lenient else _PUBLISHER_FORMS
    prefix, whole, fraction, hours, minutes, seconds = match.groups()
    accepted = forms.bare if prefix is None else forms.case or prefix == b"Second-"
    if whole is None:
        accepted = accepted and forms.clock
        duration = int(hours) * 3600.0 + int(minutes) * 60 + int(seconds)
    else:
        accepted = accepted and (forms.decimal or fraction is None)
        duration = float(whole + (fraction or b""))
    return min(duration, _LONGEST_DURATION) if accepted and duration else None


def is_infinite(value: bytes | None) -> bool:
    """Whether a TIMEOUT says that the subscription never expires: ``Second-infinite``, in any
    case and also without ``Second-``. Deprecated since UDA 1.1 (§4.1.2)."""
    return value is not None and value.lower() in (b"second-infinite", b"infinite")


def format_timeout(seconds: int) -> bytes:
    """``Second-1800``. Raises ``ValueError`` for less than one second."""
    if seconds < 1:
        raise ValueError(f"a duration is at least 1 second, not {seconds}")
    return b"Second-%d" % seconds


def parse_sid(value: bytes | None, limits: Limits = DEFAULT_LIMITS) -> str:
    """A SID as text, as the peer wrote it; it need not begin with ``uuid:``. Raises
    ``ValueError`` when it is absent, empty, too long, or not printable ASCII."""
    if not value:
        raise ValueError("the SID is missing or empty")
    if len(value) > limits.sid_bytes:
        raise ValueError(f"the SID is longer than {limits.sid_bytes} bytes")
    sid = value.decode("latin-1")
    if not sid.isascii() or not sid.isprintable():
        raise ValueError("the SID has characters that are not printable ASCII")
    return sid


def parse_seq(value: bytes | None) -> int | None:
    """The number in a SEQ, leading zeros ignored (UDA 2.0 §4.1.1); None when the field is
    absent. Raises ``ValueError`` when it is not a decimal number of 32 bits."""
    if value is None:
        return None
    # Only the digits that count: int() is slow to read thousands of them, or refuses to.
    digits = value if len(value) <= 10 else value.lstrip(b"0") or b"0"
    if digits.isdigit() and len(digits) <= 10:
        seq = int(digits)
        if seq <= LARGEST_SEQ:
            return seq
    raise ValueError(f"SEQ is a decimal number from 0 to {LARGEST_SEQ}")


def format_seq(seq: int) -> bytes:
    """A SEQ as it is sent: decimal, no leading zeros (UDA 2.0 §4.3.2). Raises ``ValueError``
    for a number that 32 bits do not hold."""
    if not 0 <= seq <= LARGEST_SEQ:
        raise ValueError(f"SEQ is a number from 0 to {LARGEST_SEQ}, not {seq}")
    return b"%d" % seq


def next_seq(seq: int) -> int:
    """The SEQ of the message after ``seq``: one more, and 1 after 4294967295."""
    return seq + 1 if seq < LARGEST_SEQ else 1


def parse_callback(value: bytes, limits: Limits) -> tuple[str, ...]:
    """The texts inside each ``<`` ``>`` of a CALLBACK, in order, not judged: give them to
    :func:`.judge_callbacks`. Raises ``ValueError`` when there is no
    ``<…>``, when there are more than ``limits.callback_urls``, or when anything but spaces and
    commas stands outside of them (UDA 2.0 §4.1.2)."""
    urls: list[str] = []
    position = 0
    while match := _CALLBACK.match(value, position):
        if len(urls) == limits.callback_urls:
            raise ValueError(f"CALLBACK has more than {limits.callback_urls} URLs")
        urls.append(match[1].decode("latin-1"))
        position = match.end()
    if not urls or not _CALLBACK_END.fullmatch(value, position):
        raise ValueError("CALLBACK is not a list of URLs, each inside its own < and >")
    return tuple(urls)


def parse_statevar(value: bytes | None, limits: Limits) -> tuple[str, ...] | None:
    """The names in a STATEVAR or ACCEPTED-STATEVAR, each once, in order; None when the field is
    absent or no valid list, which means that every evented variable is wanted
    (UDA 2.0 §4.1.2)."""
    if not value or value.count(b",") >= limits.statevar_names:
        return None
    try:
        names = [name.strip() for name in value.decode().split(",")]
    except UnicodeDecodeError:
        return None
    return tuple(dict.fromkeys(names)) if all(names) else None


def format_statevar(names: Iterable[str]) -> bytes:
    """``A,B,C``, for STATEVAR and ACCEPTED-STATEVAR."""
    return ",".join(names).encode()


def parse_host(value: bytes) -> tuple[str, int]:
    """The host and the port of a HOST field. The host is in lower case, an IPv6 literal without
    its brackets and in its shortest form; an absent or empty port is 80 (UDA 2.0 §4.1.2).

    Raises ``ValueError`` when the value is not ``host[:port]``, or an IPv6 literal has a zone:
    a zone means nothing outside of the host that wrote it.
    """
    text = value.decode("latin-1").lower()
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        try:
            # IPv6Address would take a zone.
            address = None if "%" in literal else IPv6Address(literal)
        except ValueError:
            address = None
        if address is None or not bracket or not (rest + ":").startswith(":"):
            raise ValueError("HOST has no IPv6 address without a zone in its brackets")
        host = str(address)
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        if not _NAME.fullmatch(host):
            raise ValueError("HOST is not an address or a name, with or without a port")
    if not port:
        return host, 80
    match = _PORT.fullmatch(port)
    if match is None or int(match[1]) > 65_535:
        raise ValueError("the port in HOST is not a number from 1 to 65535")
    return host, int(match[1])


def server_token(uda: str, product: str, os: str) -> str:
    """The value of SERVER and of USER-AGENT: ``OS/version UPnP/1.1 product/version``
    (UDA 2.0 §4.1.2). ``product`` and ``os`` are ``name/version`` in printable ASCII without
    spaces, else ``ValueError``."""
    for token in (os, product):
        if not _PRODUCT.fullmatch(token):
            raise ValueError(f"{token!r} is not name/version in printable ASCII without spaces")
    return f"{os} UPnP/{uda} {product}"
