"""The places where multicast events are sent and received: each interface in each scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from operator import itemgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from propchange.core.limits import Limits
from propchange.core.local_addresses import KIND_RANK, LocalAddress
from propchange.core.multicast.message import MulticastScope
from propchange.driver.descriptors import fit
from propchange.driver.memberships import LostMemberships, membership
from propchange.driver.reporting import Warnings


class Closable(Protocol):
    """A socket of any kind."""

    def close(self) -> None:
        """Close it."""


S = TypeVar("S", bound=Closable)


class MulticastPlace(NamedTuple):
    """An interface, by its name and its number, and a scope. An alias (``eth0:1``) is no interface
    of its own: it has the number of the interface."""

    interface: str
    number: int
    scope: MulticastScope


def fits_scope(address: LocalAddress, scope: MulticastScope) -> bool:
    """Whether datagrams of ``scope`` leave from ``address``: over IPv6 the scope of the address is
    that of the group (UDA 2.0 §A.2.3)."""
    if scope is MulticastScope.IPV4:
        return address.network.version == 4
    if address.network.version == 4 or ip_address(address.host).is_loopback:
        return False
    return bool(address.scope) is (scope is MulticastScope.LINK_LOCAL)


class MulticastPlaces(Generic[S]):
    """One socket for each place, opened and closed as interfaces come and go.

    Each socket has joined the group of its scope. ``addresses`` reads the addresses to use; it
    raises OSError if that fails. ``open_socket`` makes the socket of a scope at an address; it
    raises OSError. ``purpose`` is for the log: "multicast events are not sent".
    """

    def __init__(
        self,
        addresses: Callable[[], Sequence[LocalAddress]],
        scopes: Iterable[MulticastScope],
        open_socket: Callable[[MulticastScope, LocalAddress], S],
        *,
        clock: Callable[[], float],
        limits: Limits,
        warnings: Warnings,
        purpose: str,
    ) -> None:
        self._addresses = addresses
        self._scopes = tuple(scopes)
        self._open_socket = open_socket
        self._clock = clock
        self._limits = fit(limits)
        self._memberships = LostMemberships()
        self._warnings = warnings
        self._purpose = purpose
        self._failed: set[MulticastPlace] = set()
        self.sockets: dict[MulticastPlace, tuple[LocalAddress, S]] = {}
        """The sockets, each with its address. Do not change it."""

    def look(self) -> None:
        """Read the addresses. Open a socket for each new place, and close those whose address has
        gone."""
        try:
            wanted = self._wanted(self._addresses())
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        for place, (address, sock) in tuple(self.sockets.items()):
            if place not in wanted or wanted[place].endpoint != address.endpoint:
                del self.sockets[place]
                sock.close()
        self._failed &= wanted.keys()
        self._close_deaf()
        for place, address in wanted.items():
            if place not in self.sockets:
                self._open(place, address)

    def _close_deaf(self) -> None:
        """Close the sockets that have lost their membership: they are opened anew."""
        joined = {
            place: membership(place.scope.group, address)
            for place, (address, _) in self.sockets.items()
        }
        for place in self._memberships.among(joined, self._clock()):
            self.sockets.pop(place)[1].close()

    def _wanted(self, known: Sequence[LocalAddress]) -> dict[MulticastPlace, LocalAddress]:
        """The address of each place, as many as the cap allows: those of ordinary interfaces first,
        then those that are used already. A place keeps its address, even if another address of the
        place comes first in ``known``."""
        found: list[tuple[int, bool, MulticastPlace, LocalAddress]] = []
        names: dict[int | str, str] = {}
        for scope in self._scopes:
            for address in known:
                if not fits_scope(address, scope):
                    continue
                number = address.interface_index
                name = names.setdefault(number or address.interface, address.interface)
                place = MulticastPlace(name, number, scope)
                used = self.sockets.get(place)
                new = used is None or used[0].endpoint != address.endpoint
                found.append((KIND_RANK[address.kind], new, place, address))
        wanted: dict[MulticastPlace, LocalAddress] = {}
        for *_, place, address in sorted(found, key=itemgetter(0, 1)):
            if len(wanted) >= self._limits.multicast_places:
                break
            wanted.setdefault(place, address)
        return wanted

    def _open(self, place: MulticastPlace, address: LocalAddress) -> None:
        try:
            self.sockets[place] = (address, self._open_socket(place.scope, address))
        except OSError as error:
            where = f"{place.interface}, group {place.scope.group}"
            why = f"{self._purpose} on {where}: {error}"
            if place in self._failed:
                self._warnings.warn(("multicast socket", place), why)
            else:  # A new IPv6 address cannot be used in its first two seconds.
                self._warnings.logger.debug(why)
            self._failed.add(place)
        else:
            self._failed.discard(place)

    def close(self) -> None:
        """Close all sockets."""
        for _, sock in self.sockets.values():
            sock.close()
        self.sockets.clear()
