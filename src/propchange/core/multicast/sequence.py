"""SEQ at a receiver of multicast events (UDA 2.0 §4.3.3).

Datagrams are repeated, overtake each other and get lost. So each SEQ that was seen is remembered,
unlike in :mod:`propchange.core.subscriber.seq`.
"""

from __future__ import annotations

from propchange.core.wire.headers import LARGEST_SEQ

__all__ = ["Numbering"]


class Numbering:
    """The SEQs of one service that were seen, within the last ``window`` ones. A SEQ wraps from
    4294967295 to 1, so it is stored as an index: the number of events before it."""

    __slots__ = ("_follows", "_seen", "_window", "highest")

    def __init__(self, window: int) -> None:
        self._window = window
        self.highest: int | None = None
        # Bit n: whether the index ``highest - n`` has been seen.
        self._seen = 0
        # The index that would show, after one behind the window, that the numbering began anew.
        self._follows: int | None = None

    def index(self, seq: int) -> int:
        """The index of ``seq``: of all possible ones, the nearest to the highest seen."""
        if self.highest is None or seq == 0:
            return seq
        rounds = (self.highest - seq + LARGEST_SEQ // 2) // LARGEST_SEQ
        return seq + LARGEST_SEQ * max(rounds, 0)

    def has(self, index: int) -> bool:
        """Whether ``index`` has been seen."""
        behind = -1 if self.highest is None else self.highest - index
        return behind >= 0 and bool(self._seen >> behind & 1)

    def is_behind(self, index: int) -> bool:
        """Whether ``index`` is behind the window."""
        return self.highest is not None and self.highest - index >= self._window

    def has_begun_anew(self, index: int) -> bool:
        """Whether ``index`` follows the last one that was behind the window: two in sequence show a
        device that restarted without a new BOOTID. Then call :meth:`begin_anew`."""
        return self._follows == index

    def note_behind(self, index: int) -> None:
        """``index`` is behind the window: the next one may show that the numbering began anew."""
        self._follows = index + 1

    def begin_anew(self) -> None:
        """Forget all SEQs that were seen."""
        self.highest = None

    def add(self, index: int) -> int:
        """Mark ``index`` as seen. Returns the number of missing indexes directly before it."""
        self._follows = None
        missing = 0
        if self.highest is None:
            self.highest, self._seen = index, 1
        elif index > self.highest:
            ahead = index - self.highest
            missing = ahead - 1
            self.highest = index
            # A peer chooses ``ahead``: shift by no more than the window.
            shifted = self._seen << ahead if ahead < self._window else 0
            self._seen = (shifted | 1) & ((1 << self._window) - 1)
        else:
            self._seen |= 1 << (self.highest - index)
        return missing
