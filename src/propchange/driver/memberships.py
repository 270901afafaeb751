"""Notices sockets that the system has taken out of their multicast group.

The system keeps the members of a group for each interface. It drops them when the interface is made
anew, when the MTU of the interface is below 1280 for a moment (IPv6), and on some systems when the
last IPv4 address goes. The socket stays open and receives nothing any more. If the interface has
the same name, number and address at the next look, nothing but its memberships shows the change.

Linux shows the memberships of each interface. On other systems each socket is opened anew once in
:data:`SECONDS_ANEW`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Mapping
from math import inf
from typing import NamedTuple, TypeVar

from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint

K = TypeVar("K")

_File = str | os.PathLike[str]
_TABLE_4, _TABLE_6 = "/proc/thread-self/net/igmp", "/proc/thread-self/net/igmp6"

SECONDS_ANEW = 60.0
"""Seconds after which a socket is opened anew if the system does not show its membership, which may
have been dropped. Routers and switches notice each socket that leaves the group and joins it again,
so the time is long."""


class Membership(NamedTuple):
    """A group that is joined on an interface: the number of the interface and the packed address
    of the group."""

    interface_index: int
    group: bytes


def membership(group: Endpoint, address: LocalAddress) -> Membership:
    """The membership of a socket that has joined ``group`` at ``address``."""
    family = socket.AF_INET6 if address.network.version == 6 else socket.AF_INET
    return Membership(address.interface_index, socket.inet_pton(family, group.host))


def joined_groups(*, four: _File = _TABLE_4, six: _File = _TABLE_6) -> frozenset[Membership] | None:
    """The memberships of all programs on this machine. None if the system does not show them.
    Raises OSError if they cannot be read now."""
    joined: set[Membership] = set()
    try:
        lines = _lines_of(four)[1:]
    except (FileNotFoundError, PermissionError):
        return None
    index = 0
    try:
        for line in lines:
            first, *_ = line.split()
            if line.startswith("\t"):
                joined.add(Membership(index, int(first, 16).to_bytes(4, sys.byteorder)))
            else:
                index = int(first)
        try:
            lines = _lines_of(six)
        except FileNotFoundError:  # a kernel without IPv6
            lines = []
        for line in lines:
            number, _, group, *_ = line.split()
            joined.add(Membership(int(number), bytes.fromhex(group)))
    except (ValueError, OverflowError, PermissionError):
        return None
    return frozenset(joined)


def _lines_of(table: _File) -> list[str]:
    with open(table, encoding="ascii", errors="replace") as opened:
        return opened.read().splitlines()


class LostMemberships:
    """Finds the memberships that were lost. Call :meth:`among` at each look.

    If the system shows others, but not a certain one, that counts as lost at once, and again once
    in :data:`SECONDS_ANEW`. If the system shows none at all, each counts as lost once in
    :data:`SECONDS_ANEW`.
    """

    def __init__(self) -> None:
        self._lost_at: dict[Membership, float] = {}
        """When each membership counts as lost if the system does not show it; minus infinity: the
        system has shown it."""

    def among(self, members: Mapping[K, Membership], now: float) -> dict[K, bool]:
        """The keys of ``members`` whose sockets must be opened anew, each with whether the system
        has shown its membership before. Close all these sockets first: one that is closed
        later takes the new membership with it."""
        lost = self._lost(frozenset(members.values()), now)
        return {key: lost[member] for key, member in members.items() if member in lost}

    def _lost(self, members: Collection[Membership], now: float) -> dict[Membership, bool]:
        if not members:
            self._lost_at.clear()
            return {}
        try:
            joined = joined_groups()
        except OSError:  # no descriptor is left
            return {}
        lost_at: dict[Membership, float] = {}
        lost: dict[Membership, bool] = {}
        for member in members:
            due = self._lost_at.get(member)
            if joined is not None and member in joined:
                due = -inf
            elif joined is None and due in (None, -inf):
                due = now + SECONDS_ANEW
            elif due is None or now >= due:
                lost[member] = due == -inf
                due = now + SECONDS_ANEW
            lost_at[member] = due
        self._lost_at = lost_at
        return lost
