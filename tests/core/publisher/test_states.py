"""The states of a subscription on the publisher's side, over every state and every input."""

from __future__ import annotations

from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from tests.core.transition_rows import check_transitions

ROWS = """
    ANSWERING            ANSWERED          OWED
    ANSWERING            ANSWER_LOST       ENDED
    ANSWERING            RENEWED           ANSWERING
    ANSWERING            CANCELLED         ANSWERING_CANCELLED
    ANSWERING            EXPIRED           ENDED
    OWED                 TAKEN             INITIAL
    OWED                 RENEWED           OWED
    OWED                 CANCELLED         OWED_CANCELLED
    OWED                 EXPIRED           ENDED
    INITIAL              SETTLED           QUIET
    INITIAL              DISOWNED          ENDED
    INITIAL              RENEWED           INITIAL
    INITIAL              CANCELLED         INITIAL_CANCELLED
    INITIAL              EXPIRED           ENDED
    QUIET                TAKEN             SENDING
    QUIET                RENEWED           QUIET
    QUIET                CANCELLED         ENDED
    QUIET                EXPIRED           ENDED
    SENDING              SETTLED           QUIET
    SENDING              DISOWNED          ENDED
    SENDING              RENEWED           SENDING
    SENDING              CANCELLED         ENDED
    SENDING              EXPIRED           ENDED
    ANSWERING_CANCELLED  ANSWERED          OWED_CANCELLED
    ANSWERING_CANCELLED  ANSWER_LOST       ENDED
    ANSWERING_CANCELLED  EXPIRED           ENDED
    OWED_CANCELLED       TAKEN             INITIAL_CANCELLED
    OWED_CANCELLED       EXPIRED           ENDED
    INITIAL_CANCELLED    SETTLED           ENDED
    INITIAL_CANCELLED    DISOWNED          ENDED
    INITIAL_CANCELLED    EXPIRED           ENDED
"""

STATES = """
    ANSWERING OWED INITIAL QUIET SENDING ANSWERING_CANCELLED OWED_CANCELLED INITIAL_CANCELLED ENDED
"""
INPUTS = "ANSWERED ANSWER_LOST TAKEN SETTLED DISOWNED RENEWED CANCELLED EXPIRED"


def test_every_pair_of_state_and_input_leads_where_it_should_or_raises() -> None:
    assert [state.name for state in PublisherState] == STATES.split()
    assert [given.name for given in PublisherInput] == INPUTS.split()
    check_transitions(PUBLISHER, PublisherState, PublisherInput, ROWS)
