"""Shares of the delivery connections, in which subscribers take turns.

A share is a tree. Its root is a share of all connections. Below it stands one part for each IPv4
address and each IPv6 prefix of 64 bits from which a SUBSCRIBE came, and below a prefix one part for
each address: a host has one IPv4 address, and as many IPv6 addresses of its prefix as it likes.
The members of a part are the endpoints that its subscribers named.

Each part has a number of places. An attempt occupies one in its part and in all parts above. The
parts take turns, one attempt each, and so do the endpoints of one part. So an endpoint waits for at
most one attempt of each other address before its own, however many endpoints that address has
named.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from typing import Generic, TypeVar

from propchange.core.wire.messages import Endpoint, parse_address

M = TypeVar("M", bound=Hashable)

_Turn = tuple[Hashable, ...]

_PREFIX_BYTES = 8
"""The prefix of one IPv6 link has 64 bits (RFC 4291 §2.5.1)."""


def turn_of(peer: Endpoint) -> _Turn:
    """Where the endpoints of the subscriber ``peer`` stand in a share: its address, or its IPv6
    prefix and its address; its name if it has no address."""
    return _turn_of(peer.host, peer.scope)


# A subscriber has many subscriptions, which share the tuple.
@lru_cache(maxsize=1024)
def _turn_of(host: str, scope: int) -> _Turn:
    try:
        address = parse_address(host)
    except ValueError:
        return (host,)
    if address.version == 4:
        return (address,)
    return (address.packed[:_PREFIX_BYTES], scope), address


class DeliveryShare(Generic[M]):
    """A share, or a part of one: at most ``places`` attempts at once.

    ``parts`` are the places of the parts of a share: first those of a prefix, then those of an
    address.
    """

    __slots__ = ("_key", "_members", "_parent", "_parts", "_places", "_ready", "_sizes", "in_use")

    def __init__(
        self,
        places: int,
        parts: tuple[int, int] = (0, 0),
        parent: DeliveryShare[M] | None = None,
        key: Hashable = None,
    ) -> None:
        self._places = places
        self._sizes = parts
        self._parent = parent
        self._key = key
        self._parts: dict[Hashable, DeliveryShare[M]] = {}
        self._members = 0
        self._ready: OrderedDict[DeliveryShare[M] | M, None] = OrderedDict()
        self.in_use = 0
        """The occupied places."""

    def join(self, turn: _Turn) -> DeliveryShare[M]:
        """The part for an endpoint whose subscriber has this ``turn``. Call :meth:`leave` of the
        part when the endpoint leaves the share."""
        part, last = self, len(turn) - 1
        for depth, key in enumerate(turn):
            below = part._parts.get(key)
            if below is None:
                places = self._sizes[-1] if depth == last else self._sizes[0]
                below = part._parts[key] = DeliveryShare(places, parent=part, key=key)
            part = below
        part._members += 1
        return part

    def leave(self) -> None:
        """Note that one endpoint of this part has left the share. It does not wait any more."""
        self._members -= 1
        self._drop_unused()

    def _drop_unused(self) -> None:
        part, parent = self, self._parent
        while parent is not None and not (part._members or part._parts or part.in_use):
            del parent._parts[part._key]
            part, parent = parent, parent._parent

    @property
    def has_place(self) -> bool:
        """Whether another attempt may begin in this part."""
        part: DeliveryShare[M] | None = self
        while part is not None:
            if part.in_use >= part._places:
                return False
            part = part._parent
        return True

    def occupy(self) -> None:
        """Note that an attempt of this part begins."""
        part: DeliveryShare[M] | None = self
        while part is not None:
            part.in_use += 1
            part._take_part()
            part = part._parent

    def free(self) -> None:
        """Note that an attempt of this part has given its place back."""
        part: DeliveryShare[M] | None = self
        while part is not None:
            part.in_use -= 1
            part._take_part()
            part = part._parent
        self._drop_unused()

    def _take_part(self) -> None:
        """Let this part take turns with its neighbours while something waits and it has a place."""
        parent = self._parent
        if parent is None:
            return
        if self._ready and self.in_use < self._places:
            parent._ready.setdefault(self, None)
        else:
            parent._ready.pop(self, None)

    def add(self, member: M) -> None:
        """Let ``member`` of this part wait for its turn."""
        self._ready[member] = None
        self._refresh()

    def discard(self, member: M) -> None:
        """``member`` of this part does not wait any more."""
        self._ready.pop(member, None)
        self._refresh()

    @property
    def waits(self) -> bool:
        """Whether something waits, in this part or below."""
        return bool(self._ready) or any(part.waits for part in self._parts.values())

    def __contains__(self, member: M) -> bool:
        return member in self._ready

    def _refresh(self) -> None:
        part: DeliveryShare[M] | None = self
        while part is not None:
            part._take_part()
            part = part._parent

    def pop(self) -> M | None:
        """The member of this share whose turn it is, which then waits no more. None if none waits,
        or if those that wait have no place."""
        part = self
        while part._ready and part.in_use < part._places:
            first = next(iter(part._ready))
            if not isinstance(first, DeliveryShare):
                part.discard(first)
                return first
            part._ready.move_to_end(first)
            part = first
        return None
