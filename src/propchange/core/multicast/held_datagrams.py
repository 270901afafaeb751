"""Datagrams that wait until more is known of the device that they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from propchange.core.limits import Limits
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint, Request


@dataclass(slots=True, eq=False, repr=False)
class HeldDatagram(Record):
    """A parsed datagram that is held until ``until``. ``known``: discovery knows its device."""

    request: Request
    until: float
    known: bool


class HeldDatagrams:
    """Holds datagrams by the key of the UDN that they name, for ``Limits.multicast_hold_seconds``.

    Anybody on the link can send any number of datagrams. ``Limits.held_datagrams`` are held at
    once, ``Limits.held_per_device`` of them of one device. Half of the room is for devices that
    discovery knows, so that datagrams with invented UDNs do not take it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[str, list[HeldDatagram]] = {}
        self._count = 0
        self._unknown = 0

    def __len__(self) -> int:
        return self._count

    @property
    def devices(self) -> tuple[str, ...]:
        """The keys of the UDNs of the held datagrams."""
        return tuple(self._held)

    def hold(self, udn: str, request: Request, now: float, *, known: bool) -> bool:
        """Hold ``request``. Returns False if there is no room for it. A repetition needs no
        room."""
        return self.keep(
            udn, HeldDatagram(request, now + self._limits.multicast_hold_seconds, known)
        )

    def keep(self, udn: str, datagram: HeldDatagram) -> bool:
        """Hold ``datagram`` again, until the same time as before. Returns as :meth:`hold`."""
        held = self._held.get(udn, [])
        if any(_is_same(each.request, datagram.request) for each in held):
            return True
        most = self._limits.held_datagrams
        if len(held) >= self._limits.held_per_device or self._count >= most:
            return False
        if not datagram.known and self._unknown >= most // 2:
            return False
        self._held.setdefault(udn, held).append(datagram)
        self._count += 1
        self._unknown += not datagram.known
        return True

    def take(self, udn: str) -> list[HeldDatagram]:
        """Remove and return the datagrams of one device, in the order of their arrival."""
        taken = self._held.pop(udn, [])
        self._count -= len(taken)
        self._unknown -= sum(not each.known for each in taken)
        return taken

    def take_all(self) -> Iterator[HeldDatagram]:
        """Remove and return all datagrams, by device."""
        for udn in tuple(self._held):
            yield from self.take(udn)

    def take_due(self, now: float) -> list[HeldDatagram]:
        """Remove and return the datagrams whose time is over, by device."""
        due = []
        for udn in tuple(self._held):
            for each in self.take(udn):
                if each.until <= now:
                    due.append(each)
                else:
                    self.keep(udn, each)
        return due

    def next_deadline(self) -> float | None:
        """When to call :meth:`take_due`. None: nothing is held."""
        return min((each.until for held in self._held.values() for each in held), default=None)


def _is_same(one: Request, other: Request) -> bool:
    """Whether two datagrams are the same message from the same address, whatever its port."""
    return (
        _address(one.peer) == _address(other.peer)
        and one.body == other.body
        and one.fields.get(b"seq") == other.fields.get(b"seq")
        and one.fields.get(b"svcid") == other.fields.get(b"svcid")
        and one.fields.get(b"bootid.upnp.org") == other.fields.get(b"bootid.upnp.org")
    )


def _address(endpoint: Endpoint | None) -> str | None:
    return None if endpoint is None else endpoint.scoped_host
