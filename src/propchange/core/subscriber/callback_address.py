"""Which address of this machine a SUBSCRIBE leaves from, and events go to.

CALLBACK names the URL that the device sends events to. A machine has several addresses, and a wrong
one fails without a sign: the device grants the subscription, and its events are lost. So CALLBACK
has the local address of the connection that carries the SUBSCRIBE. The system has chosen that
address by its routes, and the device has just answered to it.

That is right nearly always. It fails in three cases: a VPN that has taken the default route, two
interfaces in one network, and a route that leads back over one interface alone. Then the grant
comes and the initial event does not. GENA has no other sign of it.

The remedy is to try the other addresses, one SUBSCRIBE each. Merely another address in CALLBACK is
not enough: many devices send only to the address that the SUBSCRIBE came from, or refuse any other
as a protection against CallStranger (CSX-04). So the connection is bound to the address to be
tried. Only addresses that the device can reach are tried: of its family, link-local ones only on
its own link, the likeliest first.

The order of one *round* is: the system's choice, then every other address once. After a round the
system's choice is tried again and again, with one other address in between, and longer waits. What
kept the events away may end, such as a VPN that is closed, and then the system's choice is most
likely right. As soon as an event arrives, the address that it came to is kept for all later
SUBSCRIBEs of the subscription. A change of the addresses of this machine, or a restart of the
device, begins a new round.

An answer 403 or 412 to SUBSCRIBE may mean the address too. Then the next one is tried at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from propchange.core.local_addresses import LocalAddress, usable_towards
from propchange.core.wire.messages import Endpoint


def usable_sources(device: Endpoint, addresses: Sequence[LocalAddress]) -> tuple[Endpoint, ...]:
    """The ``addresses`` of this machine that events from ``device`` can come to, the likeliest
    first. Link-local ones only on the device's own link: a URL has no zone (V6-07)."""
    return tuple(
        address.endpoint
        for address in usable_towards(device.host, addresses)
        if address.scope in (0, device.scope)
    )


def is_own(source: Endpoint, addresses: Sequence[LocalAddress]) -> bool:
    """Whether ``source`` is one of the ``addresses`` of this machine. A loopback address always
    is: an interface lists one address of 127.0.0.0/8 and has them all."""
    if ip_address(source.host).is_loopback:
        return True
    return any(
        address.host == source.host and address.scope == source.scope for address in addresses
    )


class Sources:
    """Which address the next SUBSCRIBE of one subscription leaves from."""

    __slots__ = ("_own_choice", "_tried", "bound", "rounds")

    def __init__(self) -> None:
        self.bound: Endpoint | None = None
        """The address that the next SUBSCRIBE is bound to; None for the system's choice. An address
        that events have come to stays."""
        self.rounds = 0
        """How often the system's choice was tried again after all others."""
        self._own_choice: Endpoint | None = None
        self._tried: dict[Endpoint, None] = {}

    @property
    def tried_in_round(self) -> tuple[Endpoint, ...]:
        """The addresses that were tried in this round, in order."""
        return tuple(self._tried)

    def tried(self, source: Endpoint) -> None:
        """``source`` was tried: no event came to it, or no SUBSCRIBE left from it."""
        self._tried[source] = None
        if self.bound is None:
            self._own_choice = source

    def has_others(self, usable: Sequence[Endpoint]) -> bool:
        """Whether ``usable`` has an address other than the system's choice."""
        return any(source != self._own_choice for source in usable)

    def untried(self, usable: Sequence[Endpoint]) -> Endpoint | None:
        """The first of ``usable`` that was not tried in this round."""
        return next((source for source in usable if source not in self._tried), None)

    def move_on(self, usable: Sequence[Endpoint]) -> None:
        """Set :attr:`bound` to the next address, after the one that was tried."""
        following = self.untried(usable)
        if self.bound is None and following is None:
            self._tried.clear()
            if self._own_choice is not None:
                self._tried[self._own_choice] = None
            following = self.untried(usable)
        elif self.bound is not None and self.rounds:
            following = None
        self.bound = following
        if following is None:
            self.rounds += 1

    def worked(self) -> None:
        """Events have come: end the round, and keep the address."""
        self.rounds = 0
        self._tried.clear()
