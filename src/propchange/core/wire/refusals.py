"""What either side refuses in a request: a foreign HOST, a repeated field, another method.

A :class:`Refusal` becomes a response with :func:`refusal_response`. HOST is checked so that no web
page can reach a listener on this network by a name of its own (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol

from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import (
    Endpoint,
    HeaderPairs,
    Request,
    Response,
    canonical_host,
)

__all__ = [
    "PRODUCT",
    "UDA_VERSIONS",
    "AnsweringPolicy",
    "Refusal",
    "check_policy",
    "empty_response",
    "judge_authority",
    "judge_host",
    "refusal_response",
    "refuse_method",
    "refuse_repeated",
]

UDA_VERSIONS = ("1.0", "1.1", "2.0")
"""The versions of the UPnP Device Architecture that a policy can follow."""

PRODUCT = "propchange/0.1"
"""The product token of SERVER and USER-AGENT (UDA 2.0 §2.1)."""

UNKNOWN_OS = "unknown/0.0"
"""The system's token where the runtime names none."""

_HTTP = "UDA 2.0 §2.1"


class AnsweringPolicy(Protocol):
    """What an answer needs to know of the policy of its side."""

    allowed_methods: ClassVar[bytes]
    """The value of ALLOW in a 405."""

    @property
    def signature(self) -> HeaderPairs:
        """The fields by which this side names itself in an answer."""


def check_policy(uda: str, hosts: frozenset[str]) -> None:
    """Raise ValueError for an unknown version, or a name in ``hosts`` that HOST cannot carry."""
    if uda not in UDA_VERSIONS:
        raise ValueError(f"uda is one of {', '.join(UDA_VERSIONS)}, not {uda!r}")
    for host in hosts:
        try:
            parse_host(host.encode())
        except ValueError:
            raise ValueError(
                f"{host!r} in hosts is no name or address, with or without a port"
            ) from None


class Refusal(NamedTuple):
    """The status that answers a request, the reason as a sentence, and the rule behind it
    ("UDA 2.0 §4.1.2")."""

    status: int
    reason: str
    clause: str


HOST_MISSING = Refusal(400, "HOST is missing", _HTTP)
"""The refusal of a request without HOST."""

EMPTY = (b"CONTENT-LENGTH", b"0")
"""The field of a response without a body."""


def judge_host(
    request: Request, extra: frozenset[str], advertised: str | None = None
) -> Refusal | None:
    """None when HOST names this listener, so that no web page can reach it by a name of its own
    (DNS rebinding); else a 400.

    Right is a literal equal to the address and port of ``request.local`` (80 when HOST has no
    port); ``advertised``, an authority; or one of ``extra``, where an entry without a port stands
    for every port. An IPv4-mapped address equals its IPv4 address. A request whose ``local`` is
    None is reached by ``extra`` and ``advertised`` alone. Raises ``ValueError`` when one of these
    two cannot be read.
    """
    host = request.fields.get(b"host")
    if host is None:
        return HOST_MISSING
    if b"host" in request.repeated:
        return refuse_repeated({b"host"})
    return judge_authority(host, request.local, extra, advertised)


# Few listeners, few peers: nearly every request is one that was judged before.
@lru_cache(maxsize=64)
def judge_authority(
    host: bytes, local: Endpoint | None, extra: frozenset[str], advertised: str | None
) -> Refusal | None:
    """As :func:`judge_host`, for the value of HOST."""
    try:
        name, port = parse_host(host)
    except ValueError as error:
        return Refusal(400, str(error), _HTTP)
    name = canonical_host(name)
    if local is not None and (name, port) == (canonical_host(local.host), local.port):
        return None
    if advertised is not None and (name, port) == _split(advertised, 80):
        return None
    if any((name, port) == _split(entry, port) for entry in extra):
        return None
    return Refusal(
        400,
        "HOST is not the address and port of this connection; send the request to the address "
        "itself, or add the name to the accepted hosts",
        "RFC 9110 §7.4",
    )


def _split(authority: str, default_port: int) -> tuple[str, int]:
    name, port = parse_host(authority.encode())
    has_port = ":" in authority.rpartition("]")[2]
    return canonical_host(name), port if has_port else default_port


def refuse_method(method: str, expected: str) -> Refusal:
    """The refusal of a request with another method than ``expected``."""
    return Refusal(405, f"{method[:40]!a} was sent where {expected} is expected", _HTTP)


def refuse_repeated(names: Iterable[bytes]) -> Refusal:
    """The refusal of a request in which the fields ``names`` came more than once."""
    shown = ", ".join(sorted(name.decode().upper() for name in names))
    return Refusal(400, f"{shown} came more than once", _HTTP)


def refusal_response(
    refusal: Refusal,
    policy: AnsweringPolicy,
    request: Request,
    *,
    date: Callable[[], bytes] | None = None,
) -> Response:
    """The response to a request that was refused: the status, and no body."""
    headers = (EMPTY,) if refusal.status != 405 else (EMPTY, (b"ALLOW", policy.allowed_methods))
    return empty_response(refusal.status, request, policy, headers, date)


def empty_response(
    status: int,
    request: Request,
    policy: AnsweringPolicy,
    headers: HeaderPairs = (EMPTY,),
    date: Callable[[], bytes] | None = None,
) -> Response:
    """An answer without a body, in the highest version of HTTP that the request allows (UDA 2.0
    §4.1.2). It ends the connection when the request said so. ``date`` gives the value of DATE."""
    dated = () if date is None else ((b"DATE", date()),)
    return Response(
        status,
        (*dated, *policy.signature, *headers),
        http_version="1.0" if request.http_version == "1.0" else "1.1",
        close=not request.keep_alive,
    )
