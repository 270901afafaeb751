"""Accepting connections, also when the process has no file descriptor left.

To accept a connection takes a descriptor. The runtimes do not agree on what to do without one:
asyncio accepts nothing for a second, uvloop and Twisted end the connection of the peer. So this
module accepts for all runtimes. They call :meth:`Accepting.ready` when a peer waits at a listening
socket.

Without a descriptor, the peer waits in the queue of the system. Connections that carry nothing are
closed, and the peer is accepted some milliseconds later. If there is no such connection, the
listener closes a descriptor that it has in reserve, and accepts the peer with that.

A peer that has just connected is about to send a request. If the listener has room only in place of
such peers, it is *crowded*, and further peers wait: one that is accepted already, and the others in
the queue of the system. Otherwise honest peers that connect at the same time would end the
connections of each other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection

from propchange.core.shortages import SHORTAGES
from propchange.driver.descriptors import DESCRIPTORS
from propchange.driver.runtime import Armed, Crowded, Later, never_crowded
from propchange.driver.sockets import endpoint_of

_PER_TURN = 32
"""Peers that are accepted in one turn of the loop. More would delay everything else in a flood."""

_RESERVE = 2
"""Descriptors in reserve. Each of them serves to accept one peer when no other is left."""

_ASKED_FOR = 8
"""Connections to close at once when no descriptor is left, so that the next peers have one too."""

_SOON = 0.01
"""Seconds until the descriptors of closed connections are free, in every runtime."""

_LATER = 0.2
"""Seconds until the next try if no connection could be closed."""

_NEXT_LOOK = 0.005
"""Seconds until the next look whether there is room for a waiting peer."""


class Accepting:
    """Accepts the peers of ``sock``, a listening socket, and gives each socket to ``adopt``, with
    the address of the peer.

    ``watch(self, True)`` has the runtime call :meth:`ready` while a peer waits,
    ``watch(self, False)`` ends that. ``later`` is the runtime's ``call_later``. ``crowded`` returns
    whether a peer must wait. ``unmade`` gives the addresses of peers whose sockets the runtime has
    adopted and whose connections are not made yet. Call :meth:`open`, and in the end
    :meth:`close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        adopt: Callable[[socket.socket, str], None],
        watch: Callable[[Accepting, bool], None],
        later: Later,
        *,
        crowded: Crowded = never_crowded,
        unmade: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.sock = sock
        self._crowded = crowded
        self._unmade = unmade
        self._next: tuple[socket.socket, str] | None = None  # accepted, and waits for room
        self._adopt = adopt
        self._watch = watch
        self._later = later
        self._closed = False
        self._reserve: list[int] = []
        self._resting: Armed | None = None
        self._refilling: Armed | None = None

    def open(self) -> None:
        """Begin to accept."""
        self._refill()
        self._watch(self, True)

    def close(self) -> None:
        """Accept no more, and close the reserve. The caller closes the socket after that. Safe to
        call again."""
        if self._closed:
            return
        self._closed = True
        if self._resting is None:
            self._watch(self, False)
        else:
            self._resting.cancel()
        if self._refilling is not None:
            self._refilling.cancel()
        if self._next is not None:
            self._next[0].close()
        while self._reserve:
            os.close(self._reserve.pop())

    def ready(self) -> None:
        """For the runtime: a peer waits."""
        for number in range(_PER_TURN):
            try:
                peer, address = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # this peer has given up
                continue
            except OSError as error:
                # Without a descriptor, accept() fails even if no peer waits.
                if number:
                    return
                if error.errno not in SHORTAGES or not self._make_room(error):
                    self._rest(_LATER)
                return
            peer.setblocking(False)
            host = endpoint_of(address).host
            if self._crowded(host, self._unmade()):
                self._next = peer, host
                self._rest(_NEXT_LOOK)
                return
            self._adopt(peer, host)

    def _make_room(self, error: OSError) -> bool:
        """Whether the peer can be accepted in the next turn, or very soon."""
        given = DESCRIPTORS.short(error, _ASKED_FOR)
        if self._reserve:
            os.close(self._reserve.pop())
            if self._refilling is None:
                self._refilling = self._later(_SOON, self._refill)
        elif given:
            self._rest(_SOON)
        else:
            return False
        return True

    def _rest(self, seconds: float) -> None:
        self._watch(self, False)
        self._resting = self._later(seconds, self._resume)

    def _resume(self) -> None:
        self._resting = None
        if self._next is not None:
            peer, host = self._next
            if self._crowded(host, self._unmade()):
                self._resting = self._later(_NEXT_LOOK, self._resume)
                return
            self._next = None
            self._adopt(peer, host)
        self._watch(self, True)

    def _refill(self) -> None:
        self._refilling = None
        try:
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self._refilling = self._later(_LATER, self._refill)
