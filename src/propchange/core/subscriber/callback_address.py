"""Which address of this machine a SUBSCRIBE comes from, and events go to.

CALLBACK has the local address of the connection that carries the SUBSCRIBE. The system chooses
it by its routes, and is right nearly always: not with a VPN that takes the default route, with
two interfaces on one network, or where only one of them has a route back. Then the grant comes
and the events do not, and the other addresses are tried in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from propchange.core.local_addresses import LocalAddress, usable_towards
from propchange.core.wire.messages import Endpoint

__all__ = ["Sources", "is_held", "usable_sources"]


def usable_sources(device: Endpoint, addresses: Sequence[LocalAddress]) -> tuple[Endpoint, ...]:
    """Those of ``addresses``, of this machine, that events from ``device`` could come to, the
    likeliest first (``surroundings.usable_towards``), and link-local ones only on the device's own
    link: a URL has no zone (V6-07). The ports are 0."""
    return tuple(
        address.endpoint
        for address in usable_towards(device.host, addresses)
        if address.scope in (0, device.scope)
    )


def is_held(source: Endpoint, addresses: Sequence[LocalAddress]) -> bool:
    """Whether ``source`` is one of ``addresses``, of this machine. Loopback always is: an
    interface lists one address of 127.0.0.0/8 and has them all."""
    if ip_address(source.host).is_loopback:
        return True
    return any(
        address.host == source.host and address.scope == source.scope for address in addresses
    )


class Sources:
    """Which address the next SUBSCRIBE of one subscription comes from, while it is deaf.

    First the system's own choice, then the other addresses, each once; after that the system's
    choice again and again, with one of the others between, so that it is never far when what has
    hindered it ends.
    """

    __slots__ = ("_own_choice", "_tried", "bound", "rounds")

    def __init__(self) -> None:
        self.bound: Endpoint | None = None
        """What the next SUBSCRIBE is bound to, None for the system's own choice. It stays when
        events have come there: what has worked is preferred."""
        self.rounds = 0
        """How often the system's choice comes up again, all others having been tried."""
        self._own_choice: Endpoint | None = None
        self._tried: dict[Endpoint, None] = {}

    @property
    def in_vain(self) -> tuple[Endpoint, ...]:
        """What has been tried in this round, in order."""
        return tuple(self._tried)

    def tried(self, source: Endpoint) -> None:
        """Nothing came to ``source``, or nothing left from it."""
        self._tried[source] = None
        if self.bound is None:
            self._own_choice = source

    def has_others(self, usable: Sequence[Endpoint]) -> bool:
        """Whether there is anything in ``usable`` but the system's choice."""
        return any(source != self._own_choice for source in usable)

    def has_untried(self, usable: Sequence[Endpoint]) -> bool:
        """Whether there is anything in ``usable`` that was not tried."""
        return self._untried(usable) is not None

    def move_on(self, usable: Sequence[Endpoint]) -> None:
        """Take the next address, the one that is :attr:`bound` having been tried."""
        following = self._untried(usable)
        if self.bound is None and following is None:
            self._tried.clear()
            if self._own_choice is not None:
                self._tried[self._own_choice] = None
            following = self._untried(usable)
        elif self.bound is not None and self.rounds:
            following = None
        self.bound = following
        if following is None:
            self.rounds += 1

    def _untried(self, usable: Sequence[Endpoint]) -> Endpoint | None:
        return next((source for source in usable if source not in self._tried), None)

    def worked(self) -> None:
        """Events have come."""
        self.rounds = 0
        self._tried.clear()

    def reset(self) -> None:
        """What is known means nothing any more: the addresses or the device have changed."""
        self.worked()
        self.bound = self._own_choice = None
