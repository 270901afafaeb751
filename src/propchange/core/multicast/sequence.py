"""SEQ as a receiver of multicast events sees it (UDA 2.0 §4.3.3).

Datagrams are repeated, overtake each other and get lost, and nobody can be asked again. So, other
than in :mod:`propchange.core.subscriber.seq`, what has been seen is remembered one by one.
"""

from __future__ import annotations

from propchange.core.wire.headers import LARGEST_SEQ

__all__ = ["Numbering"]


class Numbering:
    """The SEQs of one service that have been seen, of the last ``window`` that there may have
    been. A SEQ stands for its index, the number of events before it: 0, then 1 to 4294967295
    again and again."""

    __slots__ = ("_follows", "_seen", "_window", "highest")

    def __init__(self, window: int) -> None:
        self._window = window
        self.highest: int | None = None
        # Bit n: whether the index ``highest - n`` has been seen.
        self._seen = 0
        # What would show that numbers too far behind are a numbering that began anew.
        self._follows: int | None = None

    def index(self, seq: int) -> int:
        """The index that ``seq`` stands for, the nearest to the highest one."""
        if self.highest is None or seq == 0:
            return seq
        rounds = (self.highest - seq + LARGEST_SEQ // 2) // LARGEST_SEQ
        return seq + LARGEST_SEQ * max(rounds, 0)

    def has(self, index: int) -> bool:
        """Whether ``index`` has been seen."""
        behind = -1 if self.highest is None else self.highest - index
        return behind >= 0 and bool(self._seen >> behind & 1)

    def is_out_of_step(self, index: int) -> bool:
        """Whether ``index`` is too far behind to know. Two such in a row, one after the other, are
        a device that began anew with the BOOTID it had: then it is not."""
        if self.highest is None or self.highest - index < self._window:
            self._follows = None
            return False
        follows = self._follows == index
        self._follows = index + 1
        if follows:
            self.highest = self._follows = None
        return not follows

    def add(self, index: int) -> int:
        """``index`` is seen now; how many are missing between it and those before."""
        missing = 0
        if self.highest is None:
            self.highest, self._seen = index, 1
        elif index > self.highest:
            ahead = index - self.highest
            missing = ahead - 1
            self.highest = index
            # Not shifted by what a peer says, but for as far as it is remembered.
            shifted = self._seen << ahead if ahead < self._window else 0
            self._seen = (shifted | 1) & ((1 << self._window) - 1)
        else:
            self._seen |= 1 << (self.highest - index)
        return missing
