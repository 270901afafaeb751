"""What is known of this machine's addresses: read now and then, and asked often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, ip_address, ip_interface
from typing import Any

from propchange.core.local_addresses import InterfaceKind, LocalAddress, OnLink
from propchange.core.wire.messages import Endpoint
from propchange.errors import ConnectionFailed

__all__ = ["REFRESH_SECONDS", "Interfaces", "ports_of", "scoped_host"]

REFRESH_SECONDS = 5.0
"""How old the list of addresses may be. Reading it takes about a millisecond, and a subscriber
decides how often it is asked for."""

# Nothing is sent there: a datagram socket that is connected learns the address it would send
# from. The first is SSDP's group, so a multicast route counts; the second stands for the rest
# of the world (UDA 2.0 §1.1.2; RFC 5737).
_TOWARDS = (Endpoint("239.255.255.250", 1900), Endpoint("192.0.2.1", 1900))


def scoped_host(endpoint: Endpoint) -> str:
    """The host as the system's functions want it: with its scope id where it has one."""
    return f"{endpoint.host}%{endpoint.scope}" if endpoint.scope else endpoint.host


def ports_of(port: int | Sequence[int]) -> Sequence[int]:
    """The ports that ``port`` means: one (0 for any that is free), or several such as a range.
    Raises ValueError for what cannot be listened on."""
    ports = (port,) if isinstance(port, int) else port
    if not ports:
        raise ValueError("a range of ports holds at least one")
    for each in (min(ports), max(ports)):
        if not 0 <= each <= 65_535:
            raise ValueError(f"a port is from 0 to 65535, not {each}")
    if len(ports) > 1 and 0 in ports:
        raise ValueError("port 0 means any port that is free, so it stands alone")
    return ports


class Interfaces:
    """What is known of this machine's addresses, read again when older than
    :data:`REFRESH_SECONDS`.

    ``adapters`` gives what ``ifaddr.get_adapters`` gives, ``source_towards`` the address that a
    datagram to an endpoint would leave from, or None, ``kind_of`` what kind of interface has a
    name and number.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        adapters: Callable[[], Iterable[Any]],
        source_towards: Callable[[Endpoint], str | None],
        kind_of: Callable[[str, int], InterfaceKind],
    ) -> None:
        self._clock = clock
        self._adapters = adapters
        self._source_towards = source_towards
        self._kind_of = kind_of
        self._kinds: dict[tuple[str, int], InterfaceKind] = {}
        self._read_at: float | None = None
        self._addresses: tuple[LocalAddress, ...] = ()
        self._links: dict[tuple[str, int], tuple[OnLink, ...]] = {}

    def addresses(self) -> tuple[LocalAddress, ...]:
        """Every address of every interface that is up, loopback included."""
        now = self._clock()
        if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
            self.refresh()
        return self._addresses

    def refresh(self) -> tuple[LocalAddress, ...]:
        """The same, read now."""
        self._read_at = self._clock()
        self._addresses = tuple(self._read(self._adapters()))
        self._links.clear()
        return self._addresses

    def _read(self, adapters: Iterable[Any]) -> Iterator[LocalAddress]:
        before, self._kinds = self._kinds, {}
        for adapter in adapters:
            name, index = adapter.nice_name, adapter.index or 0
            kind = before.get((name, index)) or self._kind_of(name, index)
            self._kinds[name, index] = kind
            for ip in adapter.ips:
                host = ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]
                interface = ip_interface(f"{host}/{ip.network_prefix}")
                scope = 0
                if interface.version == 6 and interface.is_link_local:
                    scope = ip.ip[2] or index
                own = str(interface.ip)
                yield LocalAddress(own, scope, interface.network, name, index, kind)

    def on_link_for(self, local: Endpoint) -> tuple[OnLink, ...]:
        """The prefixes of the interface that has the address ``local``, whatever its port.

        Empty when no interface has it; then nothing but the peer itself can be judged on-link.
        """
        known = self.addresses()
        key = (local.host, local.scope)
        links = self._links.get(key)
        if links is None:
            links = self._links[key] = _links_for(local, known)
        return links

    def host_of(self, interface: str) -> str:
        """What to listen on for the name of an interface: an address of it, as the socket
        functions want it, a link-local one only if it has no other. An IP address, or the name of
        a host, is returned as it is.

        Raises ConnectionFailed, naming the interfaces there are, for what can be neither."""
        of_it = [address for address in self.addresses() if address.interface == interface]
        best = min(of_it, key=_rank, default=None)
        if best is not None:
            return scoped_host(best.endpoint)
        if "." not in interface and ":" not in interface and interface != "localhost":
            known = ", ".join(sorted({address.interface for address in self.addresses()}))
            raise ConnectionFailed(f"there is no interface {interface!r}; there are: {known}")
        return interface

    def default_address(self) -> str:
        """The address to advertise: the one that SSDP's multicast leaves from, else that of the
        default route, else the best that any interface has, else ``127.0.0.1``."""
        known = self.addresses()
        hosts = {address.host for address in known}
        for remote in _TOWARDS:
            source = self._source_towards(remote)
            if source is not None and source in hosts:
                return source
        return min(known, key=_rank, default=_LOOPBACK).host


_LOOPBACK = LocalAddress("127.0.0.1", 0, IPv4Network("127.0.0.0/8"), "lo", 0)


def _links_for(local: Endpoint, known: tuple[LocalAddress, ...]) -> tuple[OnLink, ...]:
    own = ip_address(local.host)
    at = next((a for a in known if a.host == str(own) and a.scope == local.scope), None)
    if at is None:
        # All of 127.0.0.0/8 is this machine's, though the interface lists one address of it.
        at = next((a for a in known if own.is_loopback and own in a.network), None)
    if at is None:
        return ()
    # An alias ("eth0:1") is its own adapter with the same index.
    same = [
        a
        for a in known
        if (a.interface_index and a.interface_index == at.interface_index)
        or a.interface == at.interface
    ]
    networks = {a.network: a.interface_index if a.network.version == 6 else 0 for a in same}
    return tuple(OnLink(network, scope) for network, scope in networks.items())


def _rank(address: LocalAddress) -> int:
    ip = ip_address(address.host)
    if ip.is_loopback:
        return 4 if ip.version == 4 else 5
    if ip.is_link_local:
        # A URL cannot say which interface a link-local IPv6 address belongs to (UDA 2.0 §A.4).
        return 2 if ip.version == 4 else 6
    return 0 if ip.version == 4 else 1
