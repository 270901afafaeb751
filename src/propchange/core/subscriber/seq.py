"""SEQ as a subscriber judges it (UDA 2.0 §4.3.2, §4.3.1; CP-01, CP-02)."""

from __future__ import annotations

import enum

from propchange.core.wire.headers import LARGEST_SEQ, next_seq

__all__ = ["SeqVerdict", "Sequence"]

_TRUSTED_REPEATS = 1
"""Different messages with one SEQ that are believed to be an accident."""

_TRUSTED_REPAIRS = 3
"""Fresh subscriptions in a row that may begin with a gap; beyond that SEQ is unreliable."""


_TRUSTING_RUN = 8
"""Messages in order after which SEQ is believed again. The number doubles each time, so that a
device that loses count again and again costs ever fewer fresh subscriptions."""

_LONGEST_RUN = 4_096


class SeqVerdict(enum.Enum):
    """The result of judging a SEQ."""

    EXPECTED = enum.auto()
    DUPLICATE = enum.auto()
    """The message before, again: not an event."""
    REPEATED = enum.auto()
    """The SEQ of the message before, and another content: an event."""
    UNRELIABLE = enum.auto()
    """From here on SEQ is not believed: it was repeated or missing too often. An event."""
    MISSED = enum.auto()
    """Messages before this one are missing, or may be missing since SEQ was not believed. An event.
    The state has to be repaired."""
    LATE = enum.auto()
    """Older than the message before. Not an event, since its values may be out of date. The state
    has to be repaired."""


_EXPECTED = SeqVerdict.EXPECTED


class Sequence:
    """The SEQs of one subscription, over all its SIDs."""

    __slots__ = (
        "_content",
        "_expected",
        "_last",
        "_needed",
        "_repairs",
        "_repeats",
        "_run",
        "reliable",
    )

    def __init__(self) -> None:
        self.reliable = True
        """False once the device has shown that its SEQ means nothing; then every message is an
        event and gaps are not repaired, until enough of them have come in order."""
        self._repairs = 0
        self._repeats = 0
        self._needed = _TRUSTING_RUN
        self.restart()

    def restart(self) -> None:
        """A new SID: the next message is the initial event, SEQ 0."""
        self._expected = 0
        self._last: int | None = None
        self._content = 0
        self._run = 0

    def judge(self, seq: int | None, content: int) -> SeqVerdict:
        """Judge a message by its SEQ (None: it had none) and a hash of its content."""
        if not self.reliable:
            return self._follow(seq, content)
        if seq == self._expected:
            if seq:
                self._repairs = 0
            # As _advance, whose two calls make receiving a NOTIFY 6 % slower.
            self._last = seq
            self._content = content
            self._expected = seq + 1 if seq < LARGEST_SEQ else 1
            return _EXPECTED
        if seq is None:
            self.reliable = False
            return SeqVerdict.UNRELIABLE
        if seq == self._last:
            if content == self._content:
                return SeqVerdict.DUPLICATE
            self._content = content
            self._repeats += 1
            if self._repeats > _TRUSTED_REPEATS:
                self.reliable = False
                return SeqVerdict.UNRELIABLE
            return SeqVerdict.REPEATED
        self._repairs += 1
        if self._repairs > _TRUSTED_REPAIRS:
            self.reliable = False
            self._advance(seq, content)
            return SeqVerdict.UNRELIABLE
        late = self._last is not None and seq < self._last
        self._advance(seq, content)
        return SeqVerdict.LATE if late else SeqVerdict.MISSED

    def _follow(self, seq: int | None, content: int) -> SeqVerdict:
        """Judge while SEQ is not believed. After enough messages in order SEQ is believed again,
        and MISSED asks for a repair of what was lost meanwhile."""
        in_order = seq is not None and self._last is not None and seq == next_seq(self._last)
        self._run = self._run + 1 if in_order else 0
        if seq is None or self._run < self._needed:
            self._last, self._content = seq, content
            return SeqVerdict.EXPECTED
        self.reliable = True
        self._repairs = self._repeats = 0
        self._needed = min(2 * self._needed, _LONGEST_RUN)
        self._advance(seq, content)
        return SeqVerdict.MISSED

    def _advance(self, seq: int, content: int) -> None:
        self._last = seq
        self._content = content
        self._expected = next_seq(seq)
