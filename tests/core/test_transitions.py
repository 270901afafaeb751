"""A table of transitions; those of each side are walked in its own `test_states.py`."""

from __future__ import annotations

from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.transitions import TransitionTable


def test_a_table_does_not_follow_its_mapping_later() -> None:
    mapping = {(PublisherState.OWED, PublisherInput.TAKEN): PublisherState.INITIAL}
    table = TransitionTable(mapping)
    mapping[PublisherState.QUIET, PublisherInput.TAKEN] = PublisherState.SENDING
    assert not table.allows(PublisherState.QUIET, PublisherInput.TAKEN)
    assert len(table.transitions) == 1
    assert table.step(PublisherState.OWED, PublisherInput.TAKEN) is PublisherState.INITIAL
    assert table.allows(PublisherState.OWED, PublisherInput.TAKEN)


def test_one_input_is_the_same_by_its_row_as_by_a_step() -> None:
    for given in PublisherInput:
        row = PUBLISHER.on(given)
        assert {state: PUBLISHER.step(state, given) for state in row} == row
        assert [PUBLISHER.allows(state, given) for state in PublisherState] == [
            state in row for state in PublisherState
        ]
