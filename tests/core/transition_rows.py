"""A transition table against rows that a test writes out, so that a changed row is noticed."""

from __future__ import annotations

import enum
import itertools
from typing import Any

import pytest

from propchange.core.transitions import TransitionTable
from propchange.errors import LocalProtocolError


def check_transitions(
    table: TransitionTable[Any, Any],
    states: type[enum.IntEnum],
    inputs: type[enum.IntEnum],
    rows: str,
) -> None:
    """Walk every state and every input: a row is a step, any other pair raises. The rows are lines
    of a state, an input and the state that follows."""
    expected = {}
    for line in rows.strip().splitlines():
        state, given, following = line.split()
        assert (state, given) not in expected
        expected[state, given] = following
    for state, given in itertools.product(states, inputs):
        following = expected.get((state.name, given.name))
        assert table.allows(state, given) is (following is not None)
        if following is None:
            with pytest.raises(LocalProtocolError) as raised:
                table.step(state, given)
            assert str(raised.value) == f"{given.name} cannot happen in the state {state.name}"
        else:
            assert table.step(state, given) is states[following]
    assert {
        (state.name, given.name): following.name
        for (state, given), following in table.transitions.items()
    } == expected
    for members in (states, inputs):
        assert [int(member) for member in members] == list(range(len(members)))
