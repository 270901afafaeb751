"""The states of a subscription on the subscriber's side, over every state and every input."""

from __future__ import annotations

from propchange.core.subscriber.states import SUBSCRIBER, SubscriberInput, SubscriberState
from tests.core.transition_rows import check_transitions

ROWS = """
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
    GRANTED      EVENT_LOST        DEAF
    GRANTED      LAPSED            WAITING
    GRANTED      REPLACED          WAITING
    GRANTED      UNSUBSCRIBE_SENT  CLOSING
    ACTIVE       RENEWED           ACTIVE
    ACTIVE       NEW_SID           GRANTED
    ACTIVE       EVENT_LOST        DEAF
    ACTIVE       UNREACHED         UNANSWERED
    ACTIVE       LAPSED            WAITING
    ACTIVE       REPLACED          WAITING
    ACTIVE       UNSUBSCRIBE_SENT  CLOSING
    DEAF         INITIAL_EVENT     ACTIVE
    DEAF         RENEWED           DEAF
    DEAF         EVENT_LOST        DEAF
    DEAF         LAPSED            WAITING
    DEAF         REPLACED          WAITING
    DEAF         UNSUBSCRIBE_SENT  CLOSING
    UNANSWERED   RENEWED           ACTIVE
    UNANSWERED   EVENT_LOST        DEAF
    UNANSWERED   UNREACHED         UNANSWERED
    UNANSWERED   LAPSED            WAITING
    UNANSWERED   REPLACED          WAITING
    UNANSWERED   UNSUBSCRIBE_SENT  CLOSING
    CLOSING      UNSUBSCRIBED      CLOSED
    REFUSED      DROPPED           CLOSED
"""

STATES = """
    WAITING DESCRIBING SUBSCRIBING GRANTED ACTIVE DEAF UNANSWERED CLOSING REFUSED CLOSED
"""
INPUTS = """
    DUE DUE_DESCRIBING DESCRIBED GRANT ATTEMPT_FAILED GIVEN_UP INITIAL_EVENT INITIAL_OVERDUE
    RENEWED NEW_SID EVENT_LOST UNREACHED LAPSED REPLACED UNSUBSCRIBE_SENT DROPPED UNSUBSCRIBED
"""


def test_every_pair_of_state_and_input_leads_where_it_should_or_raises() -> None:
    assert [state.name for state in SubscriberState] == STATES.split()
    assert [given.name for given in SubscriberInput] == INPUTS.split()
    check_transitions(SUBSCRIBER, SubscriberState, SubscriberInput, ROWS)
