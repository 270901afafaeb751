"""The URLs of devices, split into their parts."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote

from propchange.core.wire.messages import Endpoint

_URL = re.compile(
    r"http://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%(?:25)?(?P<zone>[^\[\]%]+))?\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{0,5}))?"
)


class Location(NamedTuple):
    """The parts of an http URL. ``host`` is a name, or an IP literal without brackets and zone.
    ``authority`` is the value of HOST, without a zone. ``target`` begins with ``/``."""

    host: str
    port: int
    scope: int
    authority: str
    target: str

    @property
    def endpoint(self) -> Endpoint:
        """The address and port to connect to."""
        return Endpoint(self.host, self.port, self.scope)

    @classmethod
    def of(cls, url: str, scope_of: Callable[[str], int]) -> Location:
        """Split ``url``. Characters that a request line cannot carry are percent-encoded.
        ``scope_of`` returns the scope id of an interface by its name; it raises OSError for an
        unknown one.

        Raises ValueError for anything but an http URL with a usable host and port.
        """
        match = _URL.fullmatch(url.strip())
        authority = match and _AUTHORITY.fullmatch(match["authority"])
        if not match or not authority:
            raise ValueError(f"{url!r} is not an http URL with a host")
        port = int(authority["port"] or 80)
        if not 0 < port < 65536:
            raise ValueError(f"{url!r} names no usable port")
        host, zone = authority["six"] or authority["host"], authority["zone"]
        if authority["six"]:
            host = str(ip_address(host))
        shown = f"[{host}]" if authority["six"] else host
        target = quote(match["target"], safe=string.punctuation)
        return cls(
            host,
            port,
            _scope_id(zone, scope_of) if zone else 0,
            f"{shown}:{authority['port']}" if authority["port"] else shown,
            target if target.startswith("/") else "/" + target,
        )


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
