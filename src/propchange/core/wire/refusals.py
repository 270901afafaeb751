"""Refusals of both sides: a foreign HOST, a repeated field, another method.

:func:`refusal_response` makes a response of a :class:`Refusal`. HOST is checked because a web page
could otherwise reach a listener on this network by a name that the page controls (DNS rebinding).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol

from propchange.core.limits import Limits
from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response, canonical_host

UDA_VERSIONS = ("1.0", "1.1", "2.0")
"""The versions of the UPnP Device Architecture that a policy can follow."""

PRODUCT = "propchange/0.1"
"""The product token of SERVER and USER-AGENT (UDA 2.0 §2.1)."""

UNKNOWN_OS = "unknown/0.0"
"""The token of the operating system if the runtime gives none."""

_HTTP = "UDA 2.0 §2.1"


class AnsweringPolicy(Protocol):
    """The part of a policy that an answer needs."""

    allowed_methods: ClassVar[bytes]
    """The value of ALLOW in a 405."""

    @property
    def signature(self) -> HeaderPairs:
        """The header fields that name this side in an answer."""


def check_policy(uda: str, hosts: frozenset[str]) -> None:
    """Raises ValueError for an unknown ``uda``, and for an entry of ``hosts`` that is no
    authority."""
    if uda not in UDA_VERSIONS:
        raise ValueError(f"uda is one of {', '.join(UDA_VERSIONS)}, not {uda!r}")
    for host in hosts:
        try:
            parse_host(host.encode())
        except ValueError:
            raise ValueError(
                f"{host!r} in hosts is no name or address, with or without a port"
            ) from None


class Part(enum.Enum):
    """The part of a request that is the reason for its refusal."""

    BODY = "body"
    SIZE = "size"
    """The body is larger than ``Limits.body_bytes``."""
    FRAMING = "framing"
    """The head, or the length of the body, is no HTTP."""
    REST = "rest"
    """The end of the request, which did not come."""
    HEADER = "header"
    """The method or a header field: NT, NTS, SEQ."""
    HOST = "host"
    SOURCE = "source"
    """The address that the request came from."""
    SUBSCRIPTION = "subscription"
    """The path and the SID: no subscription has both."""


def check_product(name: str, value: str) -> None:
    """Raises ValueError for a ``value`` of the setting ``name`` that a header cannot carry. A value
    of several lines would add header fields to each message."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"{name} is one line of printable ASCII, not {value!r}")


class Refusal(NamedTuple):
    """The status that answers a request, the reason as a sentence, the clause ("UDA 2.0 §4.1.2"),
    and the part of the request that is wrong."""

    status: int
    reason: str
    clause: str
    part: Part = Part.HEADER


HOST_MISSING = Refusal(400, "HOST is missing", _HTTP, Part.HOST)
"""The refusal of a request without HOST."""

CONNECTION_ENDED = Refusal(0, "its connection ended", "", Part.REST)
"""A request whose connection ended before it was whole. It has no answer."""

_UNREAD_PARTS = {413: Part.SIZE, 408: Part.REST, 503: Part.REST}

EMPTY = (b"CONTENT-LENGTH", b"0")
"""The field of a response without a body."""


def unread(status: int, reason: str) -> Refusal:
    """The refusal of a request that could not be parsed, or was not received whole."""
    return Refusal(status, reason, "", _UNREAD_PARTS.get(status, Part.FRAMING))


def stalled(seconds: float) -> Refusal:
    """The report of a request of which no byte has come for ``seconds``. It has no answer yet."""
    return Refusal(0, f"nothing more came for {seconds:g} s", "", Part.REST)


def judge_host(request: Request, extra: frozenset[str]) -> Refusal | None:
    """None if the request has one HOST, which names this listener, and no web page of another site
    has sent the request; else a refusal with 400 or 403."""
    host = request.fields.get(b"host")
    if host is None:
        return HOST_MISSING
    if b"host" in request.repeated:
        return refuse_repeated({b"host"})
    return judge_origin(host, request) or judge_authority(host, request.local, extra, None)


def judge_size(request: Request, limits: Limits) -> Refusal | None:
    """None if the target, the header and the body of ``request`` are within ``limits``; else a
    refusal with 414, 431 or 413. For a request that a web server of the program has read, which
    may have other caps."""
    if len(request.target) > limits.target_bytes:
        return Refusal(414, "the request target is too long", _HTTP)
    headers = request.headers
    if len(headers) > limits.header_count:
        return Refusal(431, "too many header lines", _HTTP)
    # Of each line: the colon, a space, CR and LF.
    size = len(request.method) + len(request.target) + sum(len(n) + len(v) + 4 for n, v in headers)
    if size > limits.header_bytes:
        return Refusal(431, "the header is too large", _HTTP)
    if len(request.body) > limits.body_bytes:
        return Refusal(413, "the body is too large", _HTTP, Part.SIZE)
    return None


def judge_origin(host: bytes, request: Request) -> Refusal | None:
    """None if the request has no ORIGIN, or the authority in ORIGIN is ``host``, the value of HOST;
    else a refusal with 403. A browser sends the origin of the web page in ORIGIN. A page can make a
    browser send a POST to an address of this network, without any trick with DNS."""
    origin = request.fields.get(b"origin")
    if origin is None or origin.lower() == b"http://" + host.lower():
        return None
    return Refusal(403, "ORIGIN is not this listener: a web page has sent it", "RFC 6454 §7.3")


# There are few listeners and few peers, so most values repeat. It saves 7.6 of the 18 us in which
# the first NOTIFY of a connection is parsed and judged.
@lru_cache(maxsize=64)
def judge_authority(
    host: bytes, local: Endpoint | None, extra: frozenset[str], advertised: str | None
) -> Refusal | None:
    """None if HOST, with the value ``host``, names this listener; else a refusal with 400 (DNS
    rebinding).

    HOST names the listener if it is the address and port ``local`` (port 80 if HOST has none), the
    authority ``advertised``, or one of ``extra``. An entry of ``extra`` without a port stands for
    every port. An IPv4-mapped address equals its IPv4 address. Without ``local``, only ``extra``
    and ``advertised`` count. Raises ``ValueError`` for an ``extra`` or ``advertised`` that is no
    authority.
    """
    try:
        name, port = parse_host(host)
    except ValueError as error:
        return Refusal(400, f"HOST is malformed: {error}", _HTTP, Part.HOST)
    name = canonical_host(name)
    if local is not None and (name, port) == (canonical_host(local.host), local.port):
        return None
    if advertised is not None and (name, port) == _split(advertised, 80):
        return None
    if any((name, port) == _split(entry, port) for entry in extra):
        return None
    return Refusal(
        400,
        f"HOST is not the address and port of this connection, but {_shown(name, port)}; send the "
        "request to the address itself, add the name to the setting hosts, or let a proxy in front "
        "pass HOST on as it was, with the port",
        "RFC 9110 §7.4",
        Part.HOST,
    )


def _shown(name: str, port: int) -> str:
    shown = name if len(name) <= 64 else f"{name[:64]}…"
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def _split(authority: str, default_port: int) -> tuple[str, int]:
    name, port = parse_host(authority.encode())
    has_port = ":" in authority.rpartition("]")[2]
    return canonical_host(name), port if has_port else default_port


def refuse_method(method: str, expected: str) -> Refusal:
    """The refusal of a request with another method than ``expected``."""
    return Refusal(405, f"{method[:40]!a} was sent where {expected} is expected", _HTTP)


def refuse_repeated(names: Iterable[bytes]) -> Refusal:
    """The refusal of a request with the fields ``names`` more than once."""
    shown = ", ".join(sorted(name.decode().upper() for name in names))
    return Refusal(400, f"{shown} came more than once", _HTTP)


def refusal_response(refusal: Refusal, policy: AnsweringPolicy, request: Request) -> Response:
    """The response to a refused request, without a body."""
    headers = (EMPTY,) if refusal.status != 405 else (EMPTY, (b"ALLOW", policy.allowed_methods))
    return empty_response(refusal.status, request, policy, headers)


def empty_response(
    status: int, request: Request, policy: AnsweringPolicy, headers: HeaderPairs = (EMPTY,)
) -> Response:
    """An answer without a body, in the highest version of HTTP that the request allows (UDA 2.0
    §4.1.2). It ends the connection if the request asks for that."""
    return Response(
        status,
        (*policy.signature, *headers),
        http_version="1.0" if request.http_version == "1.0" else "1.1",
        close=not request.keep_alive,
    )
