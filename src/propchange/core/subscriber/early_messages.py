"""Event messages that have overtaken the answer to their SUBSCRIBE, on a path that all share.

An initial event may arrive before the answer that names its SID. On a shared path nothing else
tells which subscription it belongs to. The message is therefore held while a SUBSCRIBE is
unanswered, until an answer names the SID.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from propchange.core.limits import Limits

__all__ = ["EarlyMessages"]

T = TypeVar("T")


class EarlyMessages(Generic[T]):
    """The messages that are held. A message may be of any type.

    One SID has room for ``limits.early_messages``. All SIDs together have room for as many for
    each SUBSCRIBE that is unanswered, so that strays do not push out what is expected.
    ``replaces`` is for who judges SEQ: when a SID has no more room, its newest message takes the
    place of its last one. The SEQ then shows that something is missing.
    """

    def __init__(self, limits: Limits, *, replaces: bool = False) -> None:
        self._most = limits.early_messages
        self._replaces = replaces
        self._held: dict[str, list[T]] = {}
        self._unanswered = 0

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def expected(self) -> bool:
        """Whether a SUBSCRIBE is unanswered."""
        return self._unanswered > 0

    def expect(self) -> None:
        """A SUBSCRIBE is sent. Call :meth:`settle` when it was answered or has failed."""
        self._unanswered += 1

    def settle(self) -> None:
        """A SUBSCRIBE was answered or has failed. Without another one nothing is held."""
        self._unanswered -= 1
        if not self._unanswered:
            self._held.clear()

    def may_be_early(self, sid: str, seq: int | None) -> bool:
        """Whether a message for the unknown ``sid`` may have overtaken an answer: it is an initial
        event, has no SEQ, or follows one that is held. Others are strays, and a 412 stops their
        publisher (SUB-59, RSP-07)."""
        return self.expected and (not seq or sid in self._held)

    def hold(self, sid: str, message: T) -> bool:
        """Hold ``message``. False when there is no room."""
        held = self._held.get(sid, [])
        if len(held) < self._most and len(self) < self._most * self._unanswered:
            self._held.setdefault(sid, held).append(message)
        elif held and self._replaces:
            held[-1] = message
        else:
            return False
        return True

    def take(self, sid: str) -> list[T]:
        """An answer has named ``sid``: its messages, in order. They are held no more."""
        return self._held.pop(sid, [])
