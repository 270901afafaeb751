"""A table of transitions; those of each side are walked in its own `test_states.py`."""

from __future__ import annotations

from propchange.core.publisher.states import PublisherInput, PublisherState
from propchange.core.transitions import TransitionTable


def test_a_table_does_not_follow_its_mapping_later() -> None:
    mapping = {(PublisherState.OWED, PublisherInput.TAKEN): PublisherState.INITIAL}
    table = TransitionTable(mapping)
    mapping[PublisherState.QUIET, PublisherInput.TAKEN] = PublisherState.SENDING
    assert not table.allows(PublisherState.QUIET, PublisherInput.TAKEN)
    assert len(table.transitions) == 1
    assert table.step(PublisherState.OWED, PublisherInput.TAKEN) is PublisherState.INITIAL
    assert table.allows(PublisherState.OWED, PublisherInput.TAKEN)
