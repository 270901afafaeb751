"""Shares of the delivery connections, in which subscribers take turns.

Deliveries to endpoints that may not exist must not use all delivery connections, and one subscriber
with a thousand such endpoints must not use the whole share of them. So a share is a tree. Its root
is a number of places out of all delivery connections. Below the root there is one part for each
IPv4 address, and one for each IPv6 prefix of 64 bits, from which a SUBSCRIBE came. Below a prefix
there is one part for each of its addresses, because one host can use any number of them. The
members of a part are the endpoints that its subscribers named.

Each part has a number of places. An attempt occupies one place in its part and in each part above.
The parts take turns, one attempt each, and so do the endpoints of one part. Before its own attempt,
an endpoint waits for at most one attempt of each other address, even if that address has named many
endpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from typing import Generic, TypeVar

from propchange.core.wire.messages import Endpoint, parse_address

M = TypeVar("M", bound=Hashable)

Origin = tuple[Hashable, ...]

_PREFIX_BYTES = 8
"""The prefix of one IPv6 link has 64 bits (RFC 4291 §2.5.1)."""


def origin_of(peer: Endpoint) -> Origin:
    """The keys of the part for the endpoints of the subscriber ``peer``, from the root down: its
    IPv4 address; its IPv6 prefix and its address; or its name without an address."""
    return _origin_of(peer.host, peer.scope)


# A subscriber has many subscriptions, which share the tuple. The garbage collector does not visit a
# tuple of bytes.
@lru_cache(maxsize=1024)
def _origin_of(host: str, scope: int) -> Origin:
    try:
        address = parse_address(host)
    except ValueError:
        return (host,)
    if address.version == 4:
        return (address.packed,)
    return (address.packed[:_PREFIX_BYTES], scope), address.packed


class DeliveryShare(Generic[M]):
    """A share, or a part of a share: at most ``places`` attempts at once.

    ``parts`` has the places of a prefix and the places of an address in this share.
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
        """The number of occupied places."""

    def join(self, origin: Origin) -> DeliveryShare[M]:
        """The part for an endpoint whose subscriber has this ``origin``. Call :meth:`leave` of the
        part when the endpoint leaves the share."""
        part, last = self, len(origin) - 1
        for depth, key in enumerate(origin):
            below = part._parts.get(key)
            if below is None:
                places = self._sizes[-1] if depth == last else self._sizes[0]
                below = part._parts[key] = DeliveryShare(places, parent=part, key=key)
            part = below
        part._members += 1
        return part

    def leave(self) -> None:
        """Note that one endpoint of this part has left the share. It must not wait any more."""
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
            if part._parent is not None and part in part._parent._ready:
                part._parent._ready.move_to_end(part)
            part = part._parent

    def free(self) -> None:
        """Note that an attempt of this part does not occupy its place any more."""
        part: DeliveryShare[M] | None = self
        while part is not None:
            part.in_use -= 1
            part._take_part()
            part = part._parent
        self._drop_unused()

    def _take_part(self) -> None:
        """Let this part take turns with its neighbours if an endpoint in it waits and it has a
        place."""
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
        """Let ``member`` of this part wait no more."""
        self._ready.pop(member, None)
        self._refresh()

    @property
    def waits(self) -> bool:
        """Whether an endpoint waits, in this part or below."""
        return bool(self._ready) or any(part.waits for part in self._parts.values())

    def _refresh(self) -> None:
        part: DeliveryShare[M] | None = self
        while part is not None:
            part._take_part()
            part = part._parent

    def pop(self) -> M | None:
        """Remove and return the waiting member whose turn it is. None if no member waits, or if
        there is no place for those that wait. The turn passes to the next one in
        :meth:`occupy`."""
        part = self
        while part._ready and part.in_use < part._places:
            first = next(iter(part._ready))
            if not isinstance(first, DeliveryShare):
                part.discard(first)
                return first
            part = first
        return None
