"""The queue of the outcomes of a protocol."""

from __future__ import annotations

from typing import TypeVar

from propchange.core.limits import Limits

O = TypeVar("O")  # noqa: E741 - O: an outcome


class OutcomeQueue(list[O]):
    """The outcomes that wait for the runtime, in order.

    ``append`` is for an outcome that needs an action, such as an event: it is never dropped.
    :meth:`log` is for an outcome that is only for a log. A peer can cause any number of those, so
    ``Limits.outcomes`` of them wait.
    """

    __slots__ = ("_limit", "logged")

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limit = limits.outcomes
        self.logged = 0
        """How many of them are only for a log."""

    def log(self, outcome: O) -> None:
        """Append an outcome that is only for a log; drop it when too many of them wait."""
        if self.logged < self._limit:
            self.logged += 1
            self.append(outcome)

    def take(self) -> list[O]:
        """Remove and return all outcomes."""
        outcomes = self[:]
        self.clear()
        self.logged = 0
        return outcomes
