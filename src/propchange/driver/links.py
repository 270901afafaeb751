"""The links of this machine on which devices are listened for: they come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address

from propchange.core.discovery.advertisement import Advertisement
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, OnLink
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint
from propchange.driver.interfaces import REFRESH_SECONDS, Interfaces, scoped_host
from propchange.driver.reporting import Warnings
from propchange.driver.runtime import Runtime
from propchange.driver.ssdp_sockets import Link, LinkSockets
from propchange.driver.timer import Armed

__all__ = ["EVERYTHING", "Links"]

EVERYTHING = "ssdp:all"
"""What all devices answer to (UDA 2.0 §1.3.2)."""


class Links:
    """Listens to SSDP on each link of this machine, and searches there.

    Call :meth:`start`, and in the end :meth:`close`. The list of links is read again every
    :data:`.REFRESH_SECONDS`; a link that has come is searched for everything. ``received`` gets
    each advertisement, where it came from, and the link. ``policy`` says what a search tells of
    the control point.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        interfaces: Interfaces,
        received: Callable[[Link, Endpoint, Advertisement], None],
        policy: SubscriberPolicy,
        limits: Limits,
        warnings: Warnings,
    ) -> None:
        self._runtime = runtime
        self._interfaces = interfaces
        self._received = received
        self._policy = policy
        self._limits = limits
        self._warnings = warnings
        self._logger: logging.Logger = warnings.logger
        self._host: str | None = None
        self._sockets: dict[Link, LinkSockets] = {}
        self._next_look: Armed | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens and searches from now, an address for each link."""
        return tuple(scoped_host(each.address.endpoint) for each in self._sockets.values())

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces that it listens on, in order."""
        return tuple(sorted({link.interface for link in self._sockets}))

    def on_link(self, link: Link) -> tuple[OnLink, ...]:
        """The prefixes of ``link``; empty when it has gone."""
        sockets = self._sockets.get(link)
        return () if sockets is None else self._interfaces.on_link_for(sockets.address.endpoint)

    def start(self, host: str | None) -> None:
        """Listen from the address ``host``, None for all links, and search. Look for other links
        from now on."""
        self._host = host
        self._look_again()

    def close(self) -> None:
        """End."""
        if self._next_look is not None:
            self._next_look.cancel()
        for sockets in self._sockets.values():
            sockets.close()
        self._sockets.clear()

    def search(self, target: str = EVERYTHING) -> None:
        """Search on all links for a UDN, a device type, a service type, or everything. Raises
        ValueError for a target that no header can carry."""
        for sockets in self._sockets.values():
            sockets.search(target)

    def _look_again(self) -> None:
        self.look()
        self._next_look = self._runtime.call_later(REFRESH_SECONDS, self._look_again)

    def look(self) -> None:
        """Listen on the links that have come, and on those no more that have gone."""
        try:
            known = self._interfaces.refresh()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        wanted = self.wanted(known)
        for link, sockets in tuple(self._sockets.items()):
            if link not in wanted or wanted[link].endpoint != sockets.address.endpoint:
                del self._sockets[link]
                sockets.close()
        for link, address in wanted.items():
            if link not in self._sockets:
                self._open(link, address)

    def _open(self, link: Link, address: LocalAddress) -> None:
        try:
            sockets = LinkSockets(
                self._runtime,
                link,
                address,
                received=self._received,
                ignored=self._ignore,
                policy=self._policy,
                limits=self._limits,
            )
        except OSError as error:
            self._warnings.warn(
                ("link", link), f"no discovery on {link.interface} (IPv{link.version}): {error}"
            )
            return
        self._sockets[link] = sockets
        self._logger.info("discovery on %s from %s", link.interface, address.host)
        sockets.search(EVERYTHING)

    def _ignore(self, source: Endpoint, reason: str) -> None:
        self._logger.debug("from %s: %s", source.host, reason)

    def wanted(self, known: tuple[LocalAddress, ...]) -> dict[Link, LocalAddress]:
        """One of the addresses ``known`` for each link: for IPv6 the link-local one, as its group
        is link-local."""
        if self._host is not None:
            own = self._host.partition("%")[0]
            at = [address for address in known if address.host == own]
            numbers = {(address.interface, address.network.version) for address in at}
            known = tuple(
                address
                for address in known
                if (address.interface, address.network.version) in numbers
                and (address.network.version == 6 or address.host == own)
            )
        else:
            outward = tuple(a for a in known if not ip_address(a.host).is_loopback)
            known = outward or known
        links: dict[Link, LocalAddress] = {}
        for address in known:
            version = address.network.version
            if version == 6 and not address.scope:
                continue
            link = Link(address.interface, address.interface_index, version)
            sockets = self._sockets.get(link)
            if sockets is not None and sockets.address.endpoint == address.endpoint:
                links[link] = address  # it need not be the first one to stay
            elif len(links) < self._limits.discovery_links:
                links.setdefault(link, address)
        return links
