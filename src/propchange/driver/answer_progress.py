"""How far the peer of a connection has read an answer."""

from __future__ import annotations

from propchange.driver.runtime import Transport


class AnswerProgress:
    """The answer that ``transport`` carries to a peer that does not read all of it at once. It must
    have left at the time ``over_at``."""

    __slots__ = ("_over_at", "_transport", "_unread")

    def __init__(self, transport: Transport, over_at: float) -> None:
        self._transport = transport
        self._over_at = over_at
        self._unread = 0

    def look(self) -> None:
        """Note how much of it is unread now: more may have been written."""
        self._unread = self._transport.unwritten() + self._transport.unsent()

    def moves(self, now: float) -> bool:
        """Whether the peer has read some of it since the last look, and has time left: then the
        network may be slow, or the answer long."""
        before = self._unread
        self.look()
        return self._unread < before and now < self._over_at
