"""The header fields of GENA: CALLBACK, TIMEOUT, SID, SEQ, STATEVAR, HOST and SERVER.

The parsers take a value without surrounding white space, as in ``Request.fields``. The deviations
that they accept are in :mod:`propchange.core.tolerance`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.tolerance import Role, accepts

EVENT_NT = b"upnp:event"
"""The value of NT in eventing."""

PROPCHANGE_NTS = b"upnp:propchange"
"""The value of NTS in eventing."""

LARGEST_SEQ = 4_294_967_295
"""SEQ is an unsigned number of 32 bits. The next one after this is 1, not 0 (UDA 2.0 §4.3.2)."""

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


def parse_timeout(value: bytes | None, *, lenient: bool = False) -> float | None:
    """The seconds in a TIMEOUT, at most 4294967295. None if the field is absent, malformed, zero,
    negative or infinite: all of these count as absent (UDA 2.0 §4.1.1).

    ``lenient`` accepts the forms that a subscriber accepts in an answer (``300``,
    ``Second-1800.0``, ``Second-0:30:00``). Otherwise it accepts those of a publisher.
    """
    if value is None:
        return None
    if value.startswith(b"Second-") and value[7:].isdigit():
        # The usual form, without the expression: each renewal has it.
        return min(float(value[7:]), _LONGEST_DURATION) or None
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        return None
    prefix, whole, fraction, hours, minutes, seconds = match.groups()
    deviations = {
        "timeout-bare": prefix is None,
        "timeout-case": prefix not in (None, b"Second-"),
        "timeout-clock": whole is None,
        "timeout-decimal": fraction is not None,
    }
    role: Role = "subscriber" if lenient else "publisher"
    if not all(accepts(role, name) for name, there in deviations.items() if there):
        return None
    if whole is None:
        duration = int(hours) * 3600.0 + int(minutes) * 60 + int(seconds)
    else:
        duration = float(whole + (fraction or b""))
    return min(duration, _LONGEST_DURATION) or None


def is_infinite(value: bytes | None) -> bool:
    """Whether a TIMEOUT is infinite: ``Second-infinite``, in any case, also without ``Second-``.
    Deprecated since UDA 1.1 (§4.1.2)."""
    return value is not None and value.lower() in (b"second-infinite", b"infinite")


def format_timeout(seconds: int) -> bytes:
    """``Second-1800``. Raises ``ValueError`` for less than one second."""
    if seconds < 1:
        raise ValueError(f"a duration is at least 1 second, not {seconds}")
    return b"Second-%d" % seconds


def parse_sid(value: bytes | None, limits: Limits = DEFAULT_LIMITS) -> str:
    """The text of a SID, unchanged. It need not begin with ``uuid:``. Raises ``ValueError`` for a
    SID that is absent, empty, too long, or not printable ASCII."""
    if not value:
        raise ValueError("the SID is missing or empty")
    if len(value) > limits.sid_bytes:
        raise ValueError(f"the SID is longer than {limits.sid_bytes} bytes")
    sid = value.decode("latin-1")
    if not sid.isascii() or not sid.isprintable():
        raise ValueError("the SID has characters that are not printable ASCII")
    return sid


def parse_seq(value: bytes | None) -> int | None:
    """The number in a SEQ, leading zeros ignored (UDA 2.0 §4.1.1). None if the field is absent.
    Raises ``ValueError`` for anything but a decimal number of 32 bits."""
    if value is None:
        return None
    # int() is slow for thousands of digits, or refuses them.
    digits = value if len(value) <= 10 else value.lstrip(b"0") or b"0"
    if digits.isdigit() and len(digits) <= 10:
        seq = int(digits)
        if seq <= LARGEST_SEQ:
            return seq
    raise ValueError(f"SEQ is a decimal number from 0 to {LARGEST_SEQ}")


def format_seq(seq: int) -> bytes:
    """The bytes of a SEQ: decimal, without leading zeros (UDA 2.0 §4.3.2). Raises ``ValueError``
    for a number of more than 32 bits."""
    if not 0 <= seq <= LARGEST_SEQ:
        raise ValueError(f"SEQ is a number from 0 to {LARGEST_SEQ}, not {seq}")
    return b"%d" % seq


def next_seq(seq: int) -> int:
    """The SEQ of the message after ``seq``: one more, and 1 after 4294967295."""
    return seq + 1 if seq < LARGEST_SEQ else 1


def parse_callback(value: bytes, limits: Limits) -> tuple[str, ...]:
    """The texts inside each ``<…>`` of a CALLBACK, in order. They are not judged yet: pass them to
    :func:`.judge_callbacks`. Raises ``ValueError`` without a ``<…>``, for more than
    ``limits.callback_urls``, and for anything but spaces and commas outside of them (UDA 2.0
    §4.1.2)."""
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
    """The names in a STATEVAR or ACCEPTED-STATEVAR, each once, in order. None if the field is
    absent or no valid list: then every evented variable is wanted (UDA 2.0 §4.1.2)."""
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
    """The host and the port of an authority, such as the value of HOST. The host is in lower case;
    an IPv6 literal is in its shortest form, without brackets. An absent or empty port is 80 (UDA
    2.0 §4.1.2).

    Raises ``ValueError`` for anything but ``host[:port]``, and for an IPv6 literal with a zone: a
    zone has no meaning on another host.
    """
    text = value.decode("latin-1").lower()
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        try:
            # IPv6Address accepts a zone.
            address = None if "%" in literal else IPv6Address(literal)
        except ValueError:
            address = None
        if address is None or not bracket or not (rest + ":").startswith(":"):
            raise ValueError("there is no IPv6 address without a zone in the brackets")
        host = str(address)
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        if not _NAME.fullmatch(host):
            raise ValueError("it is not an address or a name, with or without a port")
    if not port:
        return host, 80
    match = _PORT.fullmatch(port)
    if match is None or int(match[1]) > 65_535:
        raise ValueError("the port is not a number from 1 to 65535")
    return host, int(match[1])


def server_token(uda: str, product: str, os: str) -> str:
    """The value of SERVER and of USER-AGENT: ``OS/version UPnP/1.1 product/version``
    (UDA 2.0 §4.1.2). ``product`` and ``os`` are ``name/version`` in printable ASCII without
    spaces, else ``ValueError``."""
    for token in (os, product):
        if not _PRODUCT.fullmatch(token):
            raise ValueError(f"{token!r} is not name/version in printable ASCII without spaces")
    return f"{os} UPnP/{uda} {product}"
