"""Twisted's addresses as endpoints, and the networks that this machine is on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_interface
from typing import Any

import ifaddr
from twisted.internet.address import IPv4Address

from propchange.core.callbacks import OnLink
from propchange.core.messages import Endpoint
from propchange.core.surroundings import LocalAddress

__all__ = ["Links", "endpoint_of", "local_addresses", "on_link_for", "scoped_host"]

REFRESH_SECONDS = 5.0
"""How old the list of networks may be: a subscriber decides how often it is asked for."""


def endpoint_of(address: Any) -> Endpoint | None:
    """The endpoint of an ``IPv4Address`` or ``IPv6Address`` of Twisted: without zone, an
    IPv4-mapped address as IPv4. None for any other kind of address."""
    if type(address) is IPv4Address:
        return _four(address.host, address.port)
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        return None
    if ":" not in host:
        return Endpoint(host, port)
    literal, _, zone = host.partition("%")
    six = IPv6Address(literal)
    if six.ipv4_mapped is not None:
        return Endpoint(str(six.ipv4_mapped), port)
    scope = getattr(address, "scopeID", 0) or (int(zone) if zone.isdecimal() else 0)
    return Endpoint(str(six), port, scope if six.is_link_local else 0)


# Called twice for every event, with the ends of few connections.
@lru_cache(maxsize=1024)
def _four(host: str, port: int) -> Endpoint:
    return Endpoint(host, port)


def scoped_host(endpoint: Endpoint) -> str:
    """The host as a reactor wants it: with its scope id where it has one."""
    return f"{endpoint.host}%{endpoint.scope}" if endpoint.scope else endpoint.host


class Links:
    """The prefixes of this machine's interfaces, read again when older than
    :data:`REFRESH_SECONDS`. ``adapters`` gives what ``ifaddr.get_adapters`` gives."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        adapters: Callable[[], Iterable[Any]] = ifaddr.get_adapters,
    ) -> None:
        self._clock = clock
        self._adapters = adapters
        self._read_at: float | None = None
        self._interfaces: list[list[tuple[str, OnLink]]] = []

    def on_link_for(self, local: Endpoint) -> tuple[OnLink, ...]:
        """The prefixes of the interface that has the address ``local``, whatever its port; empty
        when none has it."""
        now = self._clock()
        if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
            self._read_at = now
            self._interfaces = list(_read(self._adapters()))
        own = ip_address(local.host)
        for interface in self._interfaces:
            if any(host == str(own) and link.scope in (0, local.scope) for host, link in interface):
                return tuple(link for _, link in interface)
        for interface in self._interfaces:
            # All of 127.0.0.0/8 is this machine's, though the interface lists one address of it.
            if own.is_loopback and any(own in link.network for _, link in interface):
                return tuple(link for _, link in interface)
        return ()


def _read(adapters: Iterable[Any]) -> Iterable[list[tuple[str, OnLink]]]:
    # An alias ("eth0:1") is its own adapter with the same index.
    by_index: dict[object, list[tuple[str, OnLink]]] = {}
    for adapter in adapters:
        links = by_index.setdefault(adapter.index or adapter.nice_name, [])
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]
            interface = ip_interface(f"{host}/{ip.network_prefix}")
            scope = (adapter.index or 0) if interface.version == 6 else 0
            links.append((str(interface.ip), OnLink(interface.network, scope)))
    return by_index.values()


def local_addresses(
    adapters: Callable[[], Iterable[Any]] = ifaddr.get_adapters,
) -> tuple[LocalAddress, ...]:
    """Every address of every interface that is up, read now. Raises OSError when they cannot be
    read."""
    found = []
    for adapter in adapters():
        index = adapter.index or 0
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]
            address = ip_interface(f"{host}/{ip.network_prefix}")
            scope = index if address.version == 6 and address.is_link_local else 0
            found.append(
                LocalAddress(str(address.ip), scope, address.network, adapter.nice_name, index)
            )
    return tuple(found)


_shared = Links()
on_link_for = _shared.on_link_for
