"""Fair shares of the connections that a listener accepts.

A listener has room for a number of connections, and anybody may connect. Without shares, one host
could take all connections and keep the others out. So the connections are shared by blocks of
addresses, and within a block by address. A block is an IPv4 address, or an IPv6 prefix of 64 bits,
because one host can use any address of its prefix.

When there is no room for a new connection, a connection of the block with the most connections is
ended. It is the first of these: a connection that has brought no request in the time for its first
request, the connection that has been idle longest, a connection that waits for the end of its peer,
the oldest unfinished request, a connection whose peer does not read, a connection that was just
made. A connection whose answer is being made is never ended.

Addresses with subscriptions are *known*. Each of them keeps some connections, even while hosts
without subscriptions take all the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from propchange.core.limits import Limits
from propchange.core.wire.messages import Endpoint, address_block

KNOWN_SECONDS = 1.0
"""Seconds for which the known addresses are remembered. They are needed when there is no room, in a
flood thousands of times a second."""


class HasPeer(Protocol):
    """An object with the address of the peer."""

    @property
    def peer(self) -> Endpoint:
        """The other end."""


class Shared(Protocol):
    """A connection that takes a share."""

    @property
    def transport(self) -> HasPeer:
        """An object with the address of the peer."""

    @property
    def held_bytes(self) -> int:
        """Bytes in memory of requests that are not answered yet, and of answers that are not
        read."""


C = TypeVar("C", bound=Shared)

Weight = tuple[bool, int, int]
"""Whether the connections of an address are not kept, the number of its block, and its own number.
The greatest weight makes room."""


class ConnectionShares:
    """The number of connections of each address. ``known`` returns the addresses with
    subscriptions."""

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
        """Whether there would be no room after ``more`` further connections."""
        return self._count + more >= self._limits.connections

    def few_of(self, host: str) -> bool:
        """Whether the block of ``host`` has no more connections than one peer needs."""
        return self._per_block[address_block(host)] <= self._limits.connections_kept_per_address

    def full_for(self, host: str, unmade: Collection[str] = ()) -> bool:
        """Whether the block of ``host`` has its share, with its connections among ``unmade``."""
        block = address_block(host)
        room = self._limits.connections_per_address - self._per_block[block]
        if len(unmade) < room:
            return False
        return sum(address_block(other) == block for other in unmade) >= room

    def making_room(self, host: str, candidates: Sequence[Iterable[C]]) -> C | None:
        """The connection to end for a new connection from ``host``, or None if the new connection
        must not be admitted. Of one host, the first connection in ``candidates`` is chosen."""
        block, only_own = address_block(host), self.full_for(host)
        known = self._known_now()
        unknown, own, _ = self._weigh(host, known)
        weights: dict[str, Weight] = {}
        for address in self._per_address:
            weight = self._weigh(address, known)
            # Another block makes room only if it has more connections.
            fair = not only_own and weight[:2] > (unknown, own)
            if fair or address_block(address) == block:
                weights[address] = weight
        for heaviest in sorted(set(weights.values()), reverse=True):
            for connection in chain(*candidates):
                if weights.get(connection.transport.peer.host) == heaviest:
                    return connection
        return None

    def shedding(self, holding: Iterable[C]) -> C | None:
        """The connection of ``holding`` to end because all of them hold too many bytes."""
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
            # Half of the connections is always for hosts without subscriptions.
            self._known = known if kept <= self._limits.connections // 2 else ()
        return self._known
