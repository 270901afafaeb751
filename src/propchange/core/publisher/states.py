"""The states of a subscription at the publisher, and the table of their transitions.

**Publisher** (UDA 2.0 §4.1.2, §4.3.2). A subscription begins with the answer to its SUBSCRIBE.
Until that has left, nothing may be sent (SUB-55). Then the initial event is owed, even after an
UNSUBSCRIBE (SUB-58); until it is settled no other message goes out. From there on at most one
NOTIFY is in flight. *Settled* means answered or abandoned: either way its SEQ is spent.
"""

from __future__ import annotations

import enum

from propchange.core.transitions import TransitionTable

__all__ = ["PUBLISHER", "PublisherInput", "PublisherState"]


class PublisherState(enum.IntEnum):
    """Where a subscription stands at the publisher."""

    ANSWERING = 0
    """Granted; the answer has not left yet."""
    OWED = 1
    """The initial event waits to be sent."""
    INITIAL = 2
    """The initial event is in flight."""
    QUIET = 3
    """No NOTIFY is in flight."""
    SENDING = 4
    """A NOTIFY is in flight."""
    ANSWERING_CANCELLED = 5
    """As ANSWERING, unsubscribed meanwhile."""
    OWED_CANCELLED = 6
    """As OWED, unsubscribed meanwhile."""
    INITIAL_CANCELLED = 7
    """As INITIAL, unsubscribed meanwhile."""
    ENDED = 8
    """Its SID is invalid (UDA 2.0 §4.1.2)."""


class PublisherInput(enum.IntEnum):
    """What can happen to a subscription at the publisher."""

    ANSWERED = 0
    """The answer to SUBSCRIBE has left."""
    ANSWER_LOST = 1
    """The connection died before the answer had left: the subscriber has no SID."""
    TAKEN = 2
    """The runtime has taken a message to deliver."""
    SETTLED = 3
    """The message in flight was answered, or abandoned."""
    DISOWNED = 4
    """The subscriber answered 412: it does not know the SID."""
    RENEWED = 5
    """The subscriber has asked for more time, and has it."""
    CANCELLED = 6
    """The subscriber has sent UNSUBSCRIBE."""
    EXPIRED = 7
    """The duration has ended without a renewal."""


_P, _PI = PublisherState, PublisherInput

PUBLISHER: TransitionTable[PublisherState, PublisherInput] = TransitionTable(
    {
        (_P.ANSWERING, _PI.ANSWERED): _P.OWED,
        (_P.ANSWERING, _PI.ANSWER_LOST): _P.ENDED,
        # The last byte may have arrived before this side knows that it has left.
        (_P.ANSWERING, _PI.RENEWED): _P.ANSWERING,
        (_P.ANSWERING, _PI.CANCELLED): _P.ANSWERING_CANCELLED,
        (_P.ANSWERING, _PI.EXPIRED): _P.ENDED,
        (_P.OWED, _PI.TAKEN): _P.INITIAL,
        (_P.OWED, _PI.RENEWED): _P.OWED,
        (_P.OWED, _PI.CANCELLED): _P.OWED_CANCELLED,
        (_P.OWED, _PI.EXPIRED): _P.ENDED,
        (_P.INITIAL, _PI.SETTLED): _P.QUIET,
        (_P.INITIAL, _PI.DISOWNED): _P.ENDED,
        (_P.INITIAL, _PI.RENEWED): _P.INITIAL,
        (_P.INITIAL, _PI.CANCELLED): _P.INITIAL_CANCELLED,
        (_P.INITIAL, _PI.EXPIRED): _P.ENDED,
        (_P.QUIET, _PI.TAKEN): _P.SENDING,
        (_P.QUIET, _PI.RENEWED): _P.QUIET,
        (_P.QUIET, _PI.CANCELLED): _P.ENDED,
        (_P.QUIET, _PI.EXPIRED): _P.ENDED,
        (_P.SENDING, _PI.SETTLED): _P.QUIET,
        (_P.SENDING, _PI.DISOWNED): _P.ENDED,
        (_P.SENDING, _PI.RENEWED): _P.SENDING,
        (_P.SENDING, _PI.CANCELLED): _P.ENDED,
        (_P.SENDING, _PI.EXPIRED): _P.ENDED,
        # Unsubscribed before the initial event: it goes out once, whatever is answered (AMB-14).
        (_P.ANSWERING_CANCELLED, _PI.ANSWERED): _P.OWED_CANCELLED,
        (_P.ANSWERING_CANCELLED, _PI.ANSWER_LOST): _P.ENDED,
        (_P.ANSWERING_CANCELLED, _PI.EXPIRED): _P.ENDED,
        (_P.OWED_CANCELLED, _PI.TAKEN): _P.INITIAL_CANCELLED,
        (_P.OWED_CANCELLED, _PI.EXPIRED): _P.ENDED,
        (_P.INITIAL_CANCELLED, _PI.SETTLED): _P.ENDED,
        (_P.INITIAL_CANCELLED, _PI.DISOWNED): _P.ENDED,
        (_P.INITIAL_CANCELLED, _PI.EXPIRED): _P.ENDED,
    },
)
