"""Which connection makes room for a new one.

The connections of a listener are shared fairly: by blocks of addresses, and inside a block by
address. A block is one IPv4 address, or the /64 of an IPv6 address, because one host can take any
address of it. If there is no room, a connection of the block that has most of them is ended: one
that has never brought a request in the time for it, else the one that has been idle longest, else
one that waits for the end of its peer, else the oldest unfinished request, else the one whose peer
does not read, else one that has just connected. So no number of connections from some hosts keeps
another host out. A connection whose answer is being made is never ended.

Addresses with subscriptions are *known*. Some connections of each of them stay, even while hosts
without subscriptions take all the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from propchange.core.limits import Limits
from propchange.core.wire.messages import address_block
from propchange.driver.runtime import Transport

KNOWN_SECONDS = 1.0
"""How long the addresses with subscriptions are remembered. They are asked for when there is no
room, which a flood makes the case thousands of times a second."""


class Shared(Protocol):
    """A connection that takes a share."""

    transport: Transport
    held_bytes: int
    """Bytes in memory of requests that are not answered yet."""


C = TypeVar("C", bound=Shared)

Weight = tuple[bool, int, int]
"""Whether an address has no connections that are kept, and how much its block and itself have."""


class ConnectionShares:
    """Who has how many connections. ``known`` returns the addresses with subscriptions."""

    def __init__(
        self, limits: Limits, known: Callable[[], Collection[str]], now: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._ask = known
        self._now = now
        self._known: Collection[str] = ()
        self._known_until = now()
        self._per_address: Counter[str] = Counter()
        self._per_block: Counter[str] = Counter()
        self._count = 0

    def add(self, host: str) -> None:
        """A connection from ``host`` was admitted."""
        self._count += 1
        self._per_address[host] += 1
        self._per_block[address_block(host)] += 1

    def remove(self, host: str) -> None:
        """A connection from ``host`` has ended."""
        self._count -= 1
        for counter, key in ((self._per_address, host), (self._per_block, address_block(host))):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    @property
    def full(self) -> bool:
        """Whether there is no room for any connection."""
        return self.full_with(0)

    def full_with(self, more: int) -> bool:
        """The same, with this many connections more."""
        return self._count + more >= self._limits.connections

    def few_of(self, host: str) -> bool:
        """Whether the block of ``host`` has no more connections than one peer needs."""
        return self._per_block[address_block(host)] <= self._limits.connections_kept_per_address

    def full_for(self, host: str) -> bool:
        """Whether the block of ``host`` has its share."""
        return self._per_block[address_block(host)] >= self._limits.connections_per_address

    def making_room(self, host: str, candidates: Sequence[Iterable[C]]) -> C | None:
        """The connection that ends for a new one of ``host``; None: the new one is not admitted.
        Of one host, the first one in ``candidates`` ends."""
        block, only_own = address_block(host), self.full_for(host)
        known = self._known_now()
        unknown, own, _ = self._weigh(host, known)
        weights: dict[str, Weight] = {}
        for address in self._per_address:
            weight = self._weigh(address, known)
            # No other block gives room to one that would have more than it.
            fair = not only_own and weight[:2] > (unknown, own)
            if fair or address_block(address) == block:
                weights[address] = weight
        for heaviest in sorted(set(weights.values()), reverse=True):
            for connection in chain(*candidates):
                if weights.get(connection.transport.peer.host) == heaviest:
                    return connection
        return None

    def shedding(self, holding: Iterable[C]) -> C | None:
        """The connection of ``holding`` that ends because all together hold too many bytes."""
        holding = list(holding)
        per_address: Counter[str] = Counter()
        per_block: Counter[str] = Counter()
        for connection in holding:
            host = connection.transport.peer.host
            per_address[host] += connection.held_bytes
            per_block[address_block(host)] += connection.held_bytes
        known = self._known_now()

        def weight(connection: C) -> Weight:
            host = connection.transport.peer.host
            return host not in known, per_block[address_block(host)], per_address[host]

        return max(holding, key=weight, default=None)

    def _weigh(self, host: str, known: Collection[str]) -> Weight:
        count = self._per_address[host]
        kept = host in known and count <= self._limits.connections_kept_per_address
        return not kept, self._per_block[address_block(host)], count

    def _known_now(self) -> Collection[str]:
        now = self._now()
        if now >= self._known_until:
            self._known_until = now + KNOWN_SECONDS
            known = self._ask()
            kept = sum(
                count
                for host, count in self._per_address.items()
                if host in known and count <= self._limits.connections_kept_per_address
            )
            # Hosts without subscriptions have the other half, whatever the others take.
            self._known = known if kept <= self._limits.connections // 2 else ()
        return self._known
