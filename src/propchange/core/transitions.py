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

__all__ = ["TransitionTable"]

S = TypeVar("S", bound=enum.IntEnum)
I = TypeVar("I", bound=enum.IntEnum)  # noqa: E741 - S and I: states and inputs


class TransitionTable(Generic[S, I]):
    """A table of transitions, looked up by position since it is asked twice per delivery."""

    __slots__ = ("_rows", "transitions")

    def __init__(self, states: type[S], inputs: type[I], transitions: Mapping[tuple[S, I], S]):
        self.transitions = dict(transitions)
        self._rows = tuple(
            tuple(self.transitions.get((state, given)) for given in inputs) for state in states
        )

    def step(self, state: S, given: I) -> S:
        """The state that follows. Raises LocalProtocolError for a pair that is not in the table."""
        following = self._rows[state][given]
        if following is None:
            raise LocalProtocolError(f"{given.name} cannot happen in the state {state.name}")
        return following

    def allows(self, state: S, given: I) -> bool:
        """Whether the pair is in the table."""
        return self._rows[state][given] is not None
