"""Both tables, over every state and every input. The expected rows are written out here, so that
a changed row is noticed, not copied."""

from __future__ import annotations

import enum
import itertools
from typing import NamedTuple

import pytest

from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.subscriber.states import SUBSCRIBER, SubscriberInput, SubscriberState
from propchange.core.transitions import TransitionTable
from propchange.errors import LocalProtocolError

PUBLISHER_ROWS = """
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

SUBSCRIBER_ROWS = """
    WAITING      DUE               SUBSCRIBING
    WAITING      DUE_DESCRIBING    DESCRIBING
    WAITING      DROPPED           CLOSED
    DESCRIBING   DESCRIBED         WAITING
    DESCRIBING   ATTEMPT_FAILED    WAITING
    DESCRIBING   GIVEN_UP          REFUSED
    DESCRIBING   DROPPED           CLOSED
    SUBSCRIBING  GRANT             GRANTED
    SUBSCRIBING  ATTEMPT_FAILED    WAITING
    SUBSCRIBING  GIVEN_UP          REFUSED
    SUBSCRIBING  DROPPED           CLOSED
    GRANTED      INITIAL_EVENT     ACTIVE
    GRANTED      INITIAL_OVERDUE   DEAF
    GRANTED      RENEWED           GRANTED
    GRANTED      LAPSED            WAITING
    GRANTED      REPLACED          WAITING
    GRANTED      UNSUBSCRIBE_SENT  CLOSING
    ACTIVE       RENEWED           ACTIVE
    ACTIVE       UNREACHED         UNANSWERED
    ACTIVE       LAPSED            WAITING
    ACTIVE       REPLACED          WAITING
    ACTIVE       UNSUBSCRIBE_SENT  CLOSING
    DEAF         INITIAL_EVENT     ACTIVE
    DEAF         RENEWED           DEAF
    DEAF         LAPSED            WAITING
    DEAF         REPLACED          WAITING
    DEAF         UNSUBSCRIBE_SENT  CLOSING
    UNANSWERED   RENEWED           ACTIVE
    UNANSWERED   UNREACHED         UNANSWERED
    UNANSWERED   LAPSED            WAITING
    UNANSWERED   REPLACED          WAITING
    UNANSWERED   UNSUBSCRIBE_SENT  CLOSING
    CLOSING      UNSUBSCRIBED      CLOSED
    REFUSED      DROPPED           CLOSED
"""

PUBLISHER_STATES = """
    ANSWERING OWED INITIAL QUIET SENDING ANSWERING_CANCELLED OWED_CANCELLED INITIAL_CANCELLED ENDED
"""
PUBLISHER_INPUTS = "ANSWERED ANSWER_LOST TAKEN SETTLED DISOWNED RENEWED CANCELLED EXPIRED"
SUBSCRIBER_STATES = """
    WAITING DESCRIBING SUBSCRIBING GRANTED ACTIVE DEAF UNANSWERED CLOSING REFUSED CLOSED
"""
SUBSCRIBER_INPUTS = """
    DUE DUE_DESCRIBING DESCRIBED GRANT ATTEMPT_FAILED GIVEN_UP INITIAL_EVENT INITIAL_OVERDUE
    RENEWED UNREACHED LAPSED REPLACED UNSUBSCRIBE_SENT DROPPED UNSUBSCRIBED
"""


class Role(NamedTuple):
    table: TransitionTable
    states: type[enum.IntEnum]
    inputs: type[enum.IntEnum]
    state_names: str
    input_names: str
    rows: dict[tuple[str, str], str]


def rows(table: str) -> dict[tuple[str, str], str]:
    expected = {}
    for line in table.strip().splitlines():
        state, given, following = line.split()
        assert (state, given) not in expected
        expected[state, given] = following
    return expected


BOTH_ROLES = pytest.mark.parametrize(
    "role",
    [
        Role(
            PUBLISHER,
            PublisherState,
            PublisherInput,
            PUBLISHER_STATES,
            PUBLISHER_INPUTS,
            rows(PUBLISHER_ROWS),
        ),
        Role(
            SUBSCRIBER,
            SubscriberState,
            SubscriberInput,
            SUBSCRIBER_STATES,
            SUBSCRIBER_INPUTS,
            rows(SUBSCRIBER_ROWS),
        ),
    ],
    ids=["publisher", "subscriber"],
)


@BOTH_ROLES
def test_every_pair_of_state_and_input_leads_where_it_should_or_raises(role: Role) -> None:
    table, states, inputs, state_names, input_names, expected = role
    assert [state.name for state in states] == state_names.split()
    assert [given.name for given in inputs] == input_names.split()
    for state, given in itertools.product(states, inputs):
        following = expected.get((state.name, given.name))
        assert table.allows(state, given) is (following is not None)
        if following is None:
            with pytest.raises(LocalProtocolError) as raised:
                table.step(state, given)
            assert str(raised.value) == (f"{given.name} cannot happen in the state {state.name}")
        else:
            assert table.step(state, given) is states[following]


@BOTH_ROLES
def test_what_documents_are_drawn_from_has_the_same_rows(role: Role) -> None:
    assert {
        (state.name, given.name): following.name
        for (state, given), following in role.table.transitions.items()
    } == role.rows


@pytest.mark.parametrize(
    "members", [PublisherState, PublisherInput, SubscriberState, SubscriberInput]
)
def test_states_and_inputs_are_numbered_as_they_stand_in_the_rows(members) -> None:
    assert [int(member) for member in members] == list(range(len(members)))


def test_a_table_does_not_follow_its_mapping_later() -> None:
    mapping = {(PublisherState.OWED, PublisherInput.TAKEN): PublisherState.INITIAL}
    table = TransitionTable(PublisherState, PublisherInput, mapping)
    mapping[PublisherState.QUIET, PublisherInput.TAKEN] = PublisherState.SENDING
    assert not table.allows(PublisherState.QUIET, PublisherInput.TAKEN)
    assert len(table.transitions) == 1
    assert table.step(PublisherState.OWED, PublisherInput.TAKEN) is PublisherState.INITIAL
    assert table.allows(PublisherState.OWED, PublisherInput.TAKEN)
