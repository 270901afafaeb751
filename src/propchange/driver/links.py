"""SSDP on the links of this machine: opens and closes their sockets, and searches.

A link is an interface and a group: that of IPv4, of the IPv6 link, or of the IPv6 site, which needs
an address that is valid beyond the link (UDA 2.0 §A.2). Each link has two sockets. The group socket
listens on port 1900, which it shares with every other program of this machine that listens to SSDP.
The search socket sends M-SEARCH; the answers come to its own port, which no other program shares.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple

from propchange.core.discovery.advertisement import Advertisement, comes_from_beyond
from propchange.core.limits import Limits
from propchange.core.local_addresses import KIND_RANK, LocalAddress, OnLink
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint
from propchange.driver.carriers import Carriers
from propchange.driver.descriptors import fit
from propchange.driver.machine import (
    Interfaces,
    seconds_to_next_look,
    temporary_addresses,
)
from propchange.driver.memberships import LostMemberships, membership
from propchange.driver.multicast_sockets import (
    LINK_HOPS,
    SITE_HOPS,
    joined_socket,
    sending_socket,
)
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Armed, Datagrams, Runtime
from propchange.driver.sockets import ADDRESS_GONE, LOOKS_BEFORE_WARNING, zone_of
from propchange.errors import RemoteProtocolError
from propchange.upnp.ssdp import (
    IPV6_SITE_LOCAL_GROUP,
    group_of,
    read_datagram,
    search_request,
)

EVERYTHING = "ssdp:all"
"""The search target that all devices answer (UDA 2.0 §1.3.2)."""

_AGAIN_SECONDS = 0.4
"""Seconds until a search is sent again: a datagram may be lost (UDA 2.0 §1.3.2)."""

Link = tuple[str, int, Endpoint]
"""The name and the number of an interface, and the group."""

Received = Callable[[Link, Endpoint, Advertisement, Sequence[OnLink]], None]
"""Takes an advertisement: its link, its source, and the prefixes of the link."""

_logger = logger_named("propchange.discovery")


class _LinkSockets(NamedTuple):
    """The sockets of one link, bound to ``address``. ``listening`` is None while another program
    has port 1900 for itself."""

    address: LocalAddress
    searching: Datagrams
    listening: Datagrams | None


class Links:
    """Listens to SSDP on each link of this machine, and searches there.

    Call :meth:`start`, and in the end :meth:`close`. The list of links is read again every
    ``Limits.link_seconds``. On a new link, and on one whose carrier is back, it searches for all
    devices. Loopback is a link too: a device may be on this machine. ``policy`` gives the headers
    of a search that name the control point. ``leaves_out`` returns whether the link of an address
    is not used. ``off_link`` hears devices that may be beyond the site. ``gone`` is called with
    each link that is there no more.
    """

    def __init__(
        self,
        runtime: Runtime,
        interfaces: Interfaces,
        received: Received,
        policy: SubscriberPolicy,
        limits: Limits,
        *,
        leaves_out: Callable[[LocalAddress], bool] = lambda _: False,
        off_link: bool = False,
        gone: Callable[[Link], None] = lambda _: None,
    ) -> None:
        self._runtime = runtime
        self._interfaces = interfaces
        self._received = received
        self._policy = policy
        self._limits = limits = fit(limits)
        self._leaves_out = leaves_out
        self._off_link = off_link
        self._gone = gone
        self._carriers = Carriers()
        self._warnings = Warnings(_logger, limits)
        self._host: str | None = None
        self._quiet = False
        self._sockets: dict[Link, _LinkSockets] = {}
        self._failed: set[Link] = set()
        self._early: dict[Link, int] = {}  # failures in a row that are not logged yet
        self._memberships = LostMemberships()
        self._missed: set[Link] = set()
        """Links on which nothing was heard for a while, until they are searched again."""
        self._again: set[Armed] = set()
        self._next_look: Armed | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address on each link that it listens and searches from, a link-local one with the
        name of its interface."""
        endpoints = (each.address.endpoint for each in self._sockets.values())
        return tuple(
            f"{each.host}%{zone_of(each.scope)}" if each.scope else each.host for each in endpoints
        )

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces that it listens on."""
        return tuple(dict.fromkeys(name for name, _, _ in self._sockets))

    def start(self, host: str | None, *, quiet: bool = False) -> None:
        """Listen and search from the address ``host``, or with None on all links, whose list is
        read again from now on. ``quiet``: do not search for all devices until :meth:`search_all`,
        and do not warn of a link on which discovery is not possible."""
        self._host = host
        self._quiet = quiet
        self._look_again()

    def search_all(self) -> None:
        """Search for all devices now and on each new link, unless that has begun already."""
        if self._quiet:
            self._quiet = False
            self.search(EVERYTHING)

    def close(self) -> None:
        """Close all sockets."""
        if self._next_look is not None:
            self._next_look.cancel()
        for armed in self._again:
            armed.cancel()
        self._again.clear()
        for link in tuple(self._sockets):
            self._close(link)

    def search(self, target: str, on: _LinkSockets | None = None) -> None:
        """Search on all links, or on one, for a UDN, a device type, a service type, or everything.
        The search is sent once more a little later. Raises ValueError if no header can carry
        ``target``."""
        links = tuple(self._sockets.values()) if on is None else (on,)

        def send() -> None:
            for address, searching, _ in links:
                group = group_of(address)
                packet = search_request(target, self._policy, group=group).encode()
                searching.send(packet, group._replace(scope=address.scope))

        def again() -> None:
            self._again.discard(armed)
            send()

        send()
        if links:
            armed = self._runtime.call_later(_AGAIN_SECONDS, again)
            self._again.add(armed)

    def _look_again(self) -> None:
        begun = self._runtime.now()
        self.look()
        seconds = seconds_to_next_look(self._runtime.now() - begun, self._limits)
        self._next_look = self._runtime.call_later(seconds, self._look_again)

    def look(self) -> None:
        """Read the list of links. Listen on the new ones, and no longer on those that are gone."""
        try:
            wanted = self.wanted(self._interfaces.refresh())
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        for link, sockets in tuple(self._sockets.items()):
            if link not in wanted:
                self._close(link)
                self._gone(link)
            elif wanted[link].endpoint != sockets.address.endpoint:
                self._close(link)
        self._failed &= wanted.keys()
        self._early = {link: number for link, number in self._early.items() if link in wanted}
        self._close_deaf()
        for link, address in wanted.items():
            opened = self._sockets.get(link)
            if opened is None:
                self._open(link, address)
            elif opened.listening is None:
                self._listen_later(link, opened)
        returned = self._carriers.returned(wanted.values())
        for link, sockets in self._sockets.items():
            missed = link in self._missed and sockets.listening is not None
            if missed:
                self._missed.discard(link)
            if (missed or link[0] in returned) and not self._quiet:
                self.search(EVERYTHING, sockets)

    def _close_deaf(self) -> None:
        """Close the group sockets that receive nothing any more: they are opened anew."""
        joined = {
            link: membership(link[2], each.address)
            for link, each in self._sockets.items()
            if each.listening is not None
        }
        for link, was_shown in self._memberships.among(joined, self._runtime.now()).items():
            sockets = self._sockets[link]
            if sockets.listening is not None:
                sockets.listening.close()
            self._sockets[link] = sockets._replace(listening=None)
            if was_shown:
                self._missed.add(link)

    def _open(self, link: Link, address: LocalAddress) -> None:
        hops = SITE_HOPS if link[2] is IPV6_SITE_LOCAL_GROUP else LINK_HOPS
        try:
            searching = self._read(sending_socket(address, hops=hops), address)
        except OSError as error:
            if not self._is_early(address, link, error):
                self._fail(link, f"no discovery on {_name_of(link)}: {error}")
            return
        self._early.pop(link, None)
        try:
            listening = self._listen(link, address)
        except OSError as error:
            searching.close()
            self._fail(link, f"no discovery on {_name_of(link)}: {error}")
            return
        if listening is not None:
            self._failed.discard(link)
        self._sockets[link] = _LinkSockets(address, searching, listening)
        _logger.info("discovery on %s from %s", address.interface, address.host)
        if not self._quiet:
            self.search(EVERYTHING, self._sockets[link])

    def _listen_later(self, link: Link, sockets: _LinkSockets) -> None:
        with contextlib.suppress(OSError):
            listening = self._listen(link, sockets.address)
            if listening is not None:
                self._failed.discard(link)
                self._sockets[link] = sockets._replace(listening=listening)

    def _listen(self, link: Link, address: LocalAddress) -> Datagrams | None:
        """Join the group on ``link``. Returns None if another program has the port for itself:
        then devices are found by searches alone. Raises OSError if it cannot be joined."""
        try:
            return self._read(joined_socket(link[2], address), address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            self._fail(link, f"no announcements are heard on {_name_of(link)}: {error}")
            return None

    def _read(self, sock: socket.socket, address: LocalAddress) -> Datagrams:
        try:
            return self._runtime.datagrams(sock, partial(self._take, address))
        except OSError:
            sock.close()
            raise

    def _is_early(self, address: LocalAddress, link: Link, error: OSError) -> bool:
        """Whether ``address``, which cannot be used, is perhaps a new one of IPv6."""
        if address.network.version == 4 or error.errno not in ADDRESS_GONE:
            return False
        self._early[link] = self._early.get(link, 0) + 1
        return self._early[link] < LOOKS_BEFORE_WARNING

    def _fail(self, link: Link, what: str) -> None:
        """Log ``what``, once until the link works again."""
        if link not in self._failed:
            self._failed.add(link)
            _logger.log(logging.INFO if self._quiet else logging.WARNING, what)

    def _close(self, link: Link) -> None:
        self._missed.discard(link)
        _, searching, listening = self._sockets.pop(link)
        searching.close()
        if listening is not None:
            listening.close()

    def _take(self, address: LocalAddress, data: bytes, source: Endpoint) -> None:
        if source.scope and source.scope != (address.scope or address.interface_index):
            return  # From another link. The socket of that link receives it too.
        try:
            advertisement = read_datagram(data, self._limits)
        except RemoteProtocolError as error:
            _logger.debug("from %s: %s", source.host, error)
            return
        if advertisement is not None:
            link = _link_of(address)
            on_link = self._interfaces.on_link_for(address.endpoint)
            of_site = link[2] is IPV6_SITE_LOCAL_GROUP
            if of_site and not self._off_link and comes_from_beyond(source, on_link):
                _logger.debug("from %s: it may be beyond the site", source.host)
            else:
                self._received(link, source, advertisement, on_link)

    def wanted(self, known: Sequence[LocalAddress]) -> dict[Link, LocalAddress]:
        """One of the addresses ``known`` for each link, of the scope of its group, as many as the
        cap allows: those of ordinary interfaces first, then those that are used already, then those
        that are not temporary."""
        known = self.usable(known)
        of_sites = sum(each.network.version == 6 and not each.scope for each in known)
        temporary = temporary_addresses() if of_sites > 1 else frozenset()
        used = {each.address.endpoint for each in self._sockets.values()}
        links: dict[Link, LocalAddress] = {}
        for address in sorted(
            known,
            key=lambda each: (
                KIND_RANK[each.kind],
                each.endpoint not in used,
                each.host in temporary,
            ),
        ):
            if address.network.version == 6 and ip_address(address.host).is_loopback:
                continue
            if len(links) >= self._limits.discovery_links:
                break
            links.setdefault(_link_of(address), address)
        return links

    def usable(self, known: Sequence[LocalAddress]) -> Sequence[LocalAddress]:
        """Those of the addresses ``known`` that the control point uses."""
        known = [each for each in known if not self._leaves_out(each)]
        if self._host is None:
            return known
        own, _, zone = self._host.partition("%")
        there = {
            (each.interface, each.network.version)
            for each in known
            if each.host == own and zone in ("", each.interface, str(each.scope))
        }
        return [
            each
            for each in known
            if (each.interface, each.network.version) in there
            and (each.network.version == 6 or each.host == own)
        ]


def _name_of(link: Link) -> str:
    version = 6 if ":" in link[2].host else 4
    return f"{link[0]} (IPv{version}, {link[2].host})"


def _link_of(address: LocalAddress) -> Link:
    return (address.interface, address.interface_index, group_of(address))
