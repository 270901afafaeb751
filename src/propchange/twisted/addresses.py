"""Twisted's addresses as endpoints, and what this machine's own are."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import ifaddr
from twisted.internet.address import IPv4Address

from propchange.core.local_addresses import (
    CONTAINER_MARKS,
    CONTAINER_VARIABLE,
    SYSFS,
    SYSFS_FILES,
    InterfaceKind,
    interface_kind_by_sysfs,
)
from propchange.core.wire.messages import Endpoint
from propchange.driver.interfaces import Interfaces

__all__ = [
    "endpoint_of",
    "in_container",
    "local_addresses",
    "on_link_for",
    "own_interfaces",
    "source_towards",
]


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


def own_interfaces(
    *,
    clock: Callable[[], float] = time.monotonic,
    adapters: Callable[[], Iterable[Any]] = ifaddr.get_adapters,
) -> Interfaces:
    """What is known of this machine's addresses, by ifaddr and the system."""
    return Interfaces(
        clock=clock, adapters=adapters, source_towards=source_towards, kind_of=kind_of
    )


def kind_of(interface: str, index: int) -> InterfaceKind:
    """What kind of interface it is, by what Linux says of it, and elsewhere by its name."""
    of_it = Path(SYSFS, interface)
    try:
        entries = os.listdir(of_it)
        files = {name: (of_it / name).read_text("ascii") for name in SYSFS_FILES}
    except (OSError, ValueError):
        entries, files = [], {}
    return interface_kind_by_sysfs(interface, index, files, entries)


def in_container() -> bool:
    """Whether this program seems to run in a container."""
    return any(map(os.path.exists, CONTAINER_MARKS)) or CONTAINER_VARIABLE in os.environ


def source_towards(device: Endpoint) -> str | None:
    """The address that the system would send from to ``device``, an address; None without a route.
    Nothing is sent: a datagram socket that is connected learns it."""
    family = socket.AF_INET6 if ":" in device.host else socket.AF_INET
    scope = (0, device.scope) if ":" in device.host else ()
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((device.host, device.port or 1900, *scope))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


_shared = own_interfaces()
on_link_for = _shared.on_link_for
local_addresses = _shared.refresh
