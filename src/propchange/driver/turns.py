"""Slices of work, for connections that have sent much at once.

An event loop runs one thing after another. A peer that sends a thousand requests in one packet
would delay every timer, event and other peer until all of them are answered. So a connection with
one request is served when its bytes arrive, and a connection with more is served in *slices*: some
requests, or some chunks of a body.

All slices of one turn of the loop together take ``Limits.turn_seconds``. The calls of actions and
the long requests that are served when they arrive count too, since many connections may bring one
each. Connections with more work then wait for the next turn, and the loop does everything else in
between. The waiting connections take turns by the block of addresses of their peers. So a host with
many connections delays another host by only one slice.
"""

from __future__ import annotations

from typing import Protocol

from propchange.driver.runtime import Armed, Runtime


class SlicedConnection(Protocol):
    """A connection that waits for its next slice."""

    def go_on(self) -> None:
        """Do the next slice."""


class Turns:
    """The turns of one listener."""

    def __init__(self, runtime: Runtime, seconds: float) -> None:
        self.over = False
        """Whether this turn has no time left."""
        self._runtime = runtime
        self._now = runtime.now
        self._seconds = seconds
        self._ends = 0.0
        self._next: Armed | None = None
        self._waiting: dict[
            str, dict[SlicedConnection, None]
        ] = {}  # by block; the next block is first

    def goes_on(self) -> bool:
        """Whether this turn has time for another slice. The first call in a turn begins it."""
        if self._next is None:
            self._begin()
        elif self._now() >= self._ends:
            self.over = True
        return not self.over

    @property
    def crowded(self) -> bool:
        """Whether a connection waits for its slice."""
        return bool(self._waiting)

    def defer(self, connection: SlicedConnection, block: str) -> None:
        """Call ``connection.go_on()`` when its turn has come."""
        self._waiting.setdefault(block, {})[connection] = None
        if self._next is None:
            self._begin()

    def forget(self, connection: SlicedConnection, block: str) -> None:
        """Note that ``connection`` has ended."""
        waiting = self._waiting.get(block)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[block]

    def close(self) -> None:
        """Leave nothing with the runtime."""
        self._waiting.clear()
        self.over = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._ends = self._now() + self._seconds
        self._next = self._runtime.call_soon(self._turn)

    def _turn(self) -> None:
        self._next = None
        self.over = False
        if not self._waiting:
            return
        self._begin()
        while True:
            block = next(iter(self._waiting))
            connections = self._waiting.pop(block)
            connection = next(iter(connections))
            del connections[connection]
            if connections:
                self._waiting[block] = connections  # behind the other blocks
            connection.go_on()
            if not (self._waiting and self.goes_on()):
                break
