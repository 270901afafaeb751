"""Accepting connections, also when the process has no file descriptor left.

A runtime calls :meth:`Accepting.ready` when a listening socket has a peer. Runtimes have answers of
their own to a lack of descriptors: asyncio accepts nothing for a second, uvloop and Twisted end the
peer's connection. Here the peer waits in the queue of the system instead, for milliseconds as a
rule: connections that carry nothing are closed for it. If there are none, the listener uses a
descriptor that it has in reserve.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from propchange.core.subscriber.requests import SHORTAGES
from propchange.driver.descriptors import DESCRIPTORS
from propchange.driver.runtime import Armed, Later

_PER_TURN = 32
"""Peers accepted in one turn of the loop. More would delay everything else in a storm."""

_RESERVE = 2
"""Descriptors in reserve. Each lets one peer in while there is no other."""

_ASKED_FOR = 8
"""Connections that are closed at once for want of a descriptor, so that the next peers have one."""

_SOON = 0.01
"""Seconds until descriptors that were given back are free in every runtime."""

_LATER = 0.2
"""Seconds until the next try if nothing was given back."""


class Accepting:
    """Accepts the peers of ``sock``, a listening socket, and gives each socket to ``adopt``.

    ``watch(self, True)`` has the runtime call :meth:`ready` while a peer waits,
    ``watch(self, False)`` ends that. ``later`` is the runtime's ``call_later``. Call :meth:`open`,
    and in the end :meth:`close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        adopt: Callable[[socket.socket], None],
        watch: Callable[[Accepting, bool], None],
        later: Later,
    ) -> None:
        self.sock = sock
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
        """Accept no more, and give the reserve back. The caller closes the socket after that. Safe
        to call again."""
        if self._closed:
            return
        self._closed = True
        if self._resting is None:
            self._watch(self, False)
        else:
            self._resting.cancel()
        if self._refilling is not None:
            self._refilling.cancel()
        while self._reserve:
            os.close(self._reserve.pop())

    def ready(self) -> None:
        """For the runtime: a peer waits."""
        for number in range(_PER_TURN):
            try:
                peer = self.sock.accept()[0]
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # this peer has given up
                continue
            except OSError as error:
                # Without a descriptor accept() fails even if nobody waits.
                if number:
                    return
                if error.errno not in SHORTAGES or not self._make_room(error):
                    self._rest(_LATER)
                return
            peer.setblocking(False)
            self._adopt(peer)

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
        self._watch(self, True)

    def _refill(self) -> None:
        self._refilling = None
        try:
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self._refilling = self._later(_LATER, self._refill)
