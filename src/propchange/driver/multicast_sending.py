"""The sockets that multicast events leave by: one for each interface and scope (UDA 2.0 §4.3.3)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import Datagram, MulticastScope
from propchange.core.multicast.publication import MulticastPolicy
from propchange.driver.multicast_sockets import joined_sending_socket
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime
from propchange.driver.sockets import socket_address
from propchange.http.datagrams import encode_datagram

LOOK_SECONDS = 1.0
"""Seconds after which the list of addresses is read again before an event is sent. Reading takes
about a millisecond. An event that is sent later than that reaches a new interface."""

_Place = tuple[str, int, MulticastScope]
"""The name and the number of an interface, and a scope."""


def fits_scope(address: LocalAddress, scope: MulticastScope) -> bool:
    """Whether datagrams of ``scope`` leave from ``address``: over IPv6 the scope of the address is
    that of the group (UDA 2.0 §A.2.3)."""
    if scope is MulticastScope.IPV4:
        return address.network.version == 4
    if address.network.version == 4 or ip_address(address.host).is_loopback:
        return False
    return bool(address.scope) is (scope is MulticastScope.LINK_LOCAL)


class MulticastSending:
    """Sends multicast events on every interface of this machine that the device uses.

    ``addresses`` reads the addresses of the device; it raises OSError if that fails. Call
    :meth:`look`, then :meth:`send` for the events, and in the end :meth:`close`. A datagram that
    the system refuses is dropped: the subscribers get the event by unicast too.
    """

    def __init__(
        self,
        runtime: Runtime,
        addresses: Callable[[], Sequence[LocalAddress]],
        policy: MulticastPolicy,
        limits: Limits,
    ) -> None:
        self._now = runtime.now
        self._addresses = addresses
        self._policy = policy
        self._limits = limits
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)
        self._sockets: dict[_Place, tuple[LocalAddress, socket.socket]] = {}
        self._looked_at: float | None = None

    @property
    def places(self) -> tuple[tuple[str, MulticastScope, str], ...]:
        """The name of the interface, the scope and the address that datagrams leave from."""
        return tuple(
            (name, scope, address.host) for (name, _, scope), (address, _) in self._sockets.items()
        )

    def look(self) -> None:
        """Read the addresses. Open a socket for each new interface and scope, and close those whose
        address has gone."""
        self._looked_at = self._now()
        try:
            wanted = self._wanted(self._addresses())
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        for place, (address, sock) in tuple(self._sockets.items()):
            if place not in wanted or wanted[place].endpoint != address.endpoint:
                del self._sockets[place]
                sock.close()
        for place, address in wanted.items():
            if place not in self._sockets:
                self._open(place, address)

    def _wanted(self, known: Sequence[LocalAddress]) -> dict[_Place, LocalAddress]:
        """The address to send from, for each interface and scope. An address that is used already
        stays, although another one may come first now."""
        wanted: dict[_Place, LocalAddress] = {}
        for scope in self._policy.scopes:
            for address in known:
                if not fits_scope(address, scope):
                    continue
                place = (address.interface, address.interface_index, scope)
                used = self._sockets.get(place)
                if used is not None and used[0].endpoint == address.endpoint:
                    wanted[place] = address
                elif len(wanted) < self._limits.multicast_places:
                    wanted.setdefault(place, address)
        return wanted

    def _open(self, place: _Place, address: LocalAddress) -> None:
        name, _, scope = place
        try:
            hops = self._policy.hops_of(scope)
            sock = joined_sending_socket(scope.group, address, hops=hops)
        except OSError as error:
            why = f"no multicast events leave by {name} to {scope.group}: {error}"
            self._warnings.warn(("multicast socket", name, scope), why)
            return
        self._sockets[place] = (address, sock)

    def send(self, datagrams: Iterable[Datagram]) -> None:
        """Send each of ``datagrams`` to its group, on every interface."""
        if self._looked_at is None or self._now() - self._looked_at >= LOOK_SECONDS:
            self.look()
        for datagram in datagrams:
            scope = datagram.scope
            data = b""
            for (name, _, of), (address, sock) in self._sockets.items():
                if of is not scope:
                    continue
                data = data or encode_datagram(datagram)
                group = scope.group._replace(scope=address.scope)
                try:
                    sock.sendto(data, socket_address(group))
                except OSError as error:
                    why = f"a multicast event was not sent by {name} to {scope.group}: {error}"
                    self._warnings.warn(("multicast send", name, scope, error.errno), why)

    def close(self) -> None:
        """Close all sockets."""
        for _, sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
