"""File descriptors: the limit of this process, and the way to go on when none is left.

Every connection takes a descriptor. Two things keep a publisher and a control point working with
few descriptors:

* :func:`fit` lowers the caps on connections to the limit of the process (RLIMIT_NOFILE,
  ``ulimit -n``). propchange does not raise that limit, because programs and libraries that use
  select() fail with descriptors above 1,023. The program may raise it.
* The program may still use up all descriptors. Then :meth:`Descriptors.short` closes connections
  that carry nothing: first those to subscribers, then accepted connections.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import MutableSet
from typing import Protocol

from propchange.core.limits import Limits
from propchange.driver.reporting import Warnings, logger_named

_ADVICE = {
    errno.EMFILE: "this process has no file descriptor left for a connection: it may have {limit} "
    "(ulimit -n; LimitNOFILE= of systemd)",
    errno.ENFILE: "this machine has no file descriptor left for a connection (sysctl fs.file-max)",
    errno.EADDRNOTAVAIL: "this machine has no port left for a connection "
    "(sysctl net.ipv4.ip_local_port_range)",
}


def descriptor_limit() -> int | None:
    """The number of descriptors that this process may have; None: unknown, or without a limit."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def fit(limits: Limits) -> Limits:
    """``limits`` with caps on connections that fit into the descriptors of this process."""
    descriptors = descriptor_limit()
    return limits if descriptors is None else limits.within(descriptors)


class Giver(Protocol):
    """A pool or table of connections, some of which may carry nothing."""

    def give_back(self, count: int) -> int:
        """Close at most ``count`` connections that carry nothing. Returns their number."""


class Descriptors(threading.local):
    """The pools and tables of connections in this thread. Only their own thread may use them."""

    def __init__(self) -> None:
        self._pools: weakref.WeakSet[Giver] = weakref.WeakSet()
        self._tables: weakref.WeakSet[Giver] = weakref.WeakSet()
        self._warnings = Warnings(logger_named("propchange.http"))

    def add_pool(self, pool: Giver) -> None:
        """Add a pool of connections that this side has opened. It can open them again."""
        self._pools.add(pool)

    def add_table(self, table: Giver) -> None:
        """Add a table of accepted connections."""
        self._tables.add(table)

    def short(self, error: OSError, count: int = 0) -> int:
        """Log the shortage that ``error`` is about, once and then seldom. Close at most ``count``
        connections that carry nothing, and return their number. Their descriptors are free a few
        turns of the loop later."""
        advice = _ADVICE.get(error.errno or 0, "this machine has no memory left for a connection")
        self._warnings.warn(
            error.errno,
            f"{advice.format(limit=descriptor_limit())}: {os.strerror(error.errno or 0)}. "
            "propchange goes on with the connections that it has",
        )
        return self._give_back(self._pools, count) or self._give_back(self._tables, count)

    def _give_back(self, givers: MutableSet[Giver], count: int) -> int:
        given = 0
        for giver in tuple(givers):
            if given < count:
                try:
                    given += giver.give_back(count - given)
                except RuntimeError:  # the event loop of the giver is closed
                    givers.discard(giver)
        return given


DESCRIPTORS = Descriptors()
"""The pools and tables of this thread."""
