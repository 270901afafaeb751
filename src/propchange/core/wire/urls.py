"""The endpoints that the URLs of devices name."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address

from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import Endpoint, canonical_host

# A zone stands in the brackets of an IPv6 literal, behind % or %25.
_URL = re.compile(
    r"http://(?P<host>[^/?#%]*)(?:%(?:25)?(?P<zone>[^][%/?#]+)(?P<rest>\][^/?#]*))?(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)

_LITERAL = re.compile(
    r"(?P<head>https?://)\[(?P<literal>[^][%/?#]*)(?:%[^][/?#]*)?\]", re.IGNORECASE
)


def endpoint_of_url(url: str, scope_of: Callable[[str], int]) -> Endpoint:
    """The host and port of ``url``. The host is a name in lower case, or an IP literal without
    brackets and zone. ``scope_of`` returns the scope id of an interface by its name; it raises
    OSError for an unknown one.

    Raises ValueError for anything but an http URL with a usable host and port.
    """
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise ValueError(f"{url!r} is not an http URL")
    host, zone, rest = match.groups()
    try:
        name, port = parse_host((host + (rest or "")).encode())
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL to connect to: {error}") from None
    return Endpoint(name, port, _scope_id(zone, scope_of) if zone else 0)


def zone_in(url: str) -> str:
    """The zone in the host of ``url``, empty if there is none."""
    match = _URL.fullmatch(url)
    return (match["zone"] if match is not None else None) or ""


def with_zone(url: str, zone: str) -> str:
    """``url`` with ``zone``, perhaps empty, in place of its own zone, if its host is a link-local
    IPv6 literal. Any other URL is returned unchanged."""
    match = _LITERAL.match(url)
    if match is None:
        return url
    head, literal, rest = match["head"], match["literal"], url[match.end() :]
    try:
        is_link_local = IPv6Address(literal).is_link_local
    except ValueError:
        return url
    if not is_link_local:
        return url
    return f"{head}[{literal}{'%' if zone else ''}{zone}]{rest}"


def host_in(url: str) -> str:
    """The host of ``url`` in the form for comparisons, empty if there is none."""
    try:
        return canonical_host(endpoint_of_url(url, lambda _: 0).host)
    except ValueError:
        return ""


def _scope_id(zone: str, scope_of: Callable[[str], int]) -> int:
    if zone.isdecimal():
        return int(zone)
    try:
        return scope_of(zone)
    except OSError:
        raise ValueError(f"this machine has no interface {zone!r}") from None


def scoped(endpoint: Endpoint, scope: int) -> Endpoint:
    """``endpoint`` with the scope id ``scope``, if it is link-local and has none."""
    return endpoint if endpoint.scope else Endpoint.of(endpoint.host, endpoint.port, scope)
