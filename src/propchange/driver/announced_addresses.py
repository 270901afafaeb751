"""The addresses from which a hosted device announces itself, and their sockets.

A device announces itself from one address of each network of IPv4, from the link-local address of
IPv6 to the link, and from one address of each other network of IPv6 to the site (UDA 2.0 §A.2).
Each address has a socket, which sends and receives the searches to that address. Each link has a
socket for each of its groups, which receives the searches to the group.
"""

from __future__ import annotations

import errno
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.local_addresses import KIND_RANK, InterfaceKind, LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.descriptors import fit
from propchange.driver.machine import temporary_addresses
from propchange.driver.memberships import LostMemberships, membership
from propchange.driver.multicast_sockets import (
    LINK_HOPS,
    SITE_HOPS,
    joined_socket,
    sending_socket,
    share_port,
)
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Datagrams, Runtime
from propchange.driver.sockets import LOOKS_BEFORE_WARNING
from propchange.upnp.ssdp import IPV4_GROUP, IPV6_SITE_LOCAL_GROUP, group_of

SEARCH_PORTS = (49_152, 65_535)
"""The lowest and the highest port that SEARCHPORT may name (UDA 2.0 §1.2.2)."""

_PORT_ATTEMPTS = 16

SearchReceived = Callable[[bytes, Endpoint, Sequence[LocalAddress], bool], None]
"""Takes a datagram, its source, the addresses that it could be answered from, and whether it was
sent to a group."""

_Link = tuple[int | str, Endpoint]
"""An interface, and a group that is joined there."""

_logger = logger_named("propchange.discovery")


class _Own(NamedTuple):
    """The socket of one address. ``search_port`` is the value of SEARCHPORT; None: the socket has
    port 1900."""

    socket: Datagrams
    search_port: int | None


class AnnouncedAddresses:
    """The sockets of the addresses that ``serves`` accepts. Call :meth:`follow` with the addresses
    of this machine, and in the end :meth:`close`. A socket that cannot be opened is tried again at
    each call. Loopback is left out: it is no network. ``hops`` is the TTL or the hop limit of what
    is sent to a group; None: 2 on the link, 10 in the site."""

    def __init__(
        self,
        runtime: Runtime,
        received: SearchReceived,
        *,
        serves: Callable[[LocalAddress], bool],
        hops: int | None,
        limits: Limits,
    ) -> None:
        self._runtime = runtime
        self._received = received
        self._serves = serves
        self._hops = hops
        self._limits = fit(limits)
        self._own: dict[LocalAddress, _Own] = {}
        self._leaving: dict[LocalAddress, _Own] = {}
        self._groups: dict[_Link, tuple[LocalAddress, Datagrams]] = {}
        self._memberships = LostMemberships()
        self._failures: dict[LocalAddress | _Link, int] = {}
        self._warnings = Warnings(_logger, limits)

    @property
    def open(self) -> tuple[LocalAddress, ...]:
        """The addresses that have a socket."""
        return tuple(self._own)

    def search_port(self, address: LocalAddress) -> int | None:
        """The value of SEARCHPORT for ``address``; None: unicast searches go to port 1900."""
        return (self._own.get(address) or self._leaving[address]).search_port

    def send(self, address: LocalAddress, data: bytes, to: Endpoint) -> None:
        """Send a datagram from ``address``. If the system refuses it, it is dropped."""
        own = self._own.get(address) or self._leaving.get(address)
        if own is not None:
            scope = address.scope if ":" in to.host else 0
            own.socket.send(data, to._replace(scope=scope))

    # --- following the addresses of this machine ---

    def follow(self, known: Sequence[LocalAddress]) -> None:
        """Open the sockets of new addresses. Those of addresses that have gone stay open until
        :meth:`close_gone`."""
        wanted = self._wanted(known)
        for address in tuple(self._own):
            if address not in wanted:
                self._leaving[address] = self._own.pop(address)
        for address in wanted:
            if address not in self._own:
                self._open(address)
        links = {_link_of(address) for address in self._own}
        self._close_deaf()
        for address in self._own:
            self._join(address)
        self._failures = {
            each: n for each, n in self._failures.items() if each in wanted or each in links
        }
        for link in tuple(self._groups):
            if link not in links:
                self._groups.pop(link)[1].close()

    def _close_deaf(self) -> None:
        """Close the sockets of groups that receive nothing any more: they are opened anew."""
        joined = {link: membership(link[1], address) for link, (address, _) in self._groups.items()}
        for link in self._memberships.among(joined, self._runtime.now()):
            self._groups.pop(link)[1].close()

    def close_gone(self) -> None:
        """Close the sockets of addresses that have gone."""
        for own in self._leaving.values():
            own.socket.close()
        self._leaving.clear()

    def close(self) -> None:
        """Close all sockets."""
        self._leaving.update(self._own)
        self._own.clear()
        self.close_gone()
        for _, listening in self._groups.values():
            listening.close()
        self._groups.clear()

    def _wanted(self, known: Sequence[LocalAddress]) -> dict[LocalAddress, None]:
        """The addresses to announce from, as many as the cap allows. Addresses of ordinary
        interfaces come first, then those that are not temporary, then those that are used
        already."""
        usable = [
            each for each in known if each.kind is not InterfaceKind.LOOPBACK and self._serves(each)
        ]
        networks = Counter(_network_of(each) for each in usable if each.network.version == 6)
        temporary = temporary_addresses() if max(networks.values(), default=0) > 1 else frozenset()
        usable.sort(
            key=lambda each: (KIND_RANK[each.kind], each.host in temporary, each not in self._own)
        )
        chosen: dict[tuple[object, ...], LocalAddress] = {}
        for each in usable:
            if len(chosen) >= self._limits.announced_addresses:
                break
            chosen.setdefault(_network_of(each), each)
        return dict.fromkeys(chosen.values())

    # --- sockets ---

    def _open(self, address: LocalAddress) -> None:
        try:
            self._own[address] = self._open_own(address)
        except OSError as error:
            where = f"{address.host} ({address.interface})"
            self._fail(address, f"not announced on {where}: {error}")
            return
        self._failures.pop(address, None)
        _logger.info("announced on %s from %s", address.interface, address.host)

    def _join(self, address: LocalAddress) -> None:
        """Listen to the group of ``address`` on its link. If another program does not share the
        port, this fails, and the device is only announced."""
        link = _link_of(address)
        if link in self._groups:
            return
        try:
            sock = joined_socket(group_of(address), address)
            listening = self._read(sock, partial(self._take_from_group, link))
            self._groups[link] = address, listening
        except OSError as error:
            where = f"{address.interface} (IPv{address.network.version})"
            self._fail(link, f"searches on {where} are not answered: {error}")
            return
        self._failures.pop(link, None)

    def _fail(self, key: LocalAddress | _Link, what: str) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if failures == LOOKS_BEFORE_WARNING:
            self._warnings.warn(("announcing", key), what)

    def _open_own(self, address: LocalAddress) -> _Own:
        """Take port 1900 of ``address``, or, if another program has it, a port that SEARCHPORT
        names (UDA 2.0 §1.2.2)."""
        port: int | None = None
        usual = SITE_HOPS if group_of(address) is IPV6_SITE_LOCAL_GROUP else LINK_HOPS
        hops = self._hops or usual
        try:
            sock = sending_socket(address, IPV4_GROUP.port, hops=hops)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            sock = _on_search_port(address, hops)
            port = int(sock.getsockname()[1])
        else:
            share_port(sock)  # with programs that start later
        return _Own(self._read(sock, partial(self._take_own, address)), port)

    def _read(self, sock: socket.socket, received: Callable[[bytes, Endpoint], None]) -> Datagrams:
        try:
            return self._runtime.datagrams(sock, received)
        except BaseException:
            sock.close()
            raise

    def _take_own(self, address: LocalAddress, data: bytes, source: Endpoint) -> None:
        self._received(data, source, (address,), False)

    def _take_from_group(self, link: _Link, data: bytes, source: Endpoint) -> None:
        # A host may send to the link from an address that it has for the site.
        on, group = link
        version = ip_address(group.host).version
        own = [
            address
            for address in self._own
            if address.link == on and address.network.version == version
        ]
        self._received(data, source, own, True)


def _network_of(address: LocalAddress) -> tuple[object, ...]:
    return (address.link, address.network)


def _link_of(address: LocalAddress) -> _Link:
    return (address.link, group_of(address))


def _on_search_port(address: LocalAddress, hops: int) -> socket.socket:
    for _ in range(_PORT_ATTEMPTS - 1):
        try:
            return sending_socket(address, random.randint(*SEARCH_PORTS), hops=hops)  # noqa: S311 - any free port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return sending_socket(address, random.randint(*SEARCH_PORTS), hops=hops)  # noqa: S311 - any free port
