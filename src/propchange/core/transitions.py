"""A table of transitions: which state follows from a state and an input.

A pair of state and input that is not in a table cannot happen: :meth:`TransitionTable.step` raises
:class:`~propchange.errors.LocalProtocolError` for it, and the mistake is ours. What a peer may
send in which state is therefore in the tables too, as an input of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

from propchange.errors import LocalProtocolError

S = TypeVar("S", bound=enum.IntEnum)
I = TypeVar("I", bound=enum.IntEnum)  # noqa: E741 - S and I: states and inputs


class TransitionTable(Generic[S, I]):
    """A table of transitions: (state, input) -> the state that follows."""

    __slots__ = ("transitions",)

    def __init__(self, transitions: Mapping[tuple[S, I], S]) -> None:
        self.transitions = dict(transitions)

    def step(self, state: S, given: I) -> S:
        """The state that follows. Raises LocalProtocolError for a pair that is not in the table."""
        following = self.transitions.get((state, given))
        if following is None:
            raise LocalProtocolError(f"{given.name} cannot happen in the state {state.name}")
        return following

    def on(self, given: I) -> dict[S, S]:
        """The states in which ``given`` can happen, each with the state that follows: for an input
        that happens to each event, where :meth:`step` would be asked too often."""
        return {
            state: following for (state, one), following in self.transitions.items() if one is given
        }

    def allows(self, state: S, given: I) -> bool:
        """Whether the pair is in the table."""
        return (state, given) in self.transitions
