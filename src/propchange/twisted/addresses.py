"""Twisted's addresses as endpoints, and what this machine's own are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.internet.address import IPv4Address

from propchange.core.wire.messages import Endpoint
from propchange.driver.machine import own_interfaces

__all__ = ["endpoint_of", "local_addresses", "on_link_for"]


def endpoint_of(address: Any) -> Endpoint | None:
    """The endpoint of an ``IPv4Address`` or ``IPv6Address`` of Twisted: without zone, an
    IPv4-mapped address as IPv4. None for any other kind of address."""
    if type(address) is IPv4Address:
        return _four(address.host, address.port)
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        return None
    zone = host.partition("%")[2]
    scope = getattr(address, "scopeID", 0) or (int(zone) if zone.isdecimal() else 0)
    return Endpoint.of(host, port, scope)


# Called twice for every event, with the ends of few connections.
@lru_cache(maxsize=1024)
def _four(host: str, port: int) -> Endpoint:
    return Endpoint(host, port)


_shared = own_interfaces()
on_link_for = _shared.on_link_for
local_addresses = _shared.refresh
