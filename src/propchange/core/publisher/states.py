"""The states of a subscription at the publisher, and the table of their transitions.

**Publisher** (UDA 2.0 §4.1.2, §4.3.2). GENA asks a publisher to keep this order for each
subscription:

1. The answer to SUBSCRIBE leaves first. Until then the subscriber does not know its SID, so no
   event message may be sent (SUB-55). The state is ``ANSWERING``.
2. Then the initial event is owed: one event message with SEQ 0 that has the values of all evented
   variables. It waits in ``OWED`` and is in flight in ``INITIAL``. No other message is sent before
   the initial event is settled.
3. From then on the state is ``QUIET`` without a NOTIFY in flight and ``SENDING`` with one. There is
   never a second one in flight, because two connections could deliver them in the wrong order.

A message is *settled* when it was answered, or when it was abandoned because no delivery URL took
it in time. Its SEQ is spent in both cases: the next message has the next SEQ, and the subscriber
sees from the gap that a message is missing (SEQ-07).

UNSUBSCRIBE ends a subscription at once when it is ``QUIET`` or ``SENDING``. Before that, the
initial event is still owed, once, even after an UNSUBSCRIBE (SUB-58). ``ANSWERING_CANCELLED``,
``OWED_CANCELLED`` and ``INITIAL_CANCELLED`` are the first three states for a subscription that was
cancelled; the last of them leads to ``ENDED``. A subscription also ends when its duration has
passed, when the subscriber answers 412, and when the answer to SUBSCRIBE cannot be delivered.

A renewal changes no state. It is in the table because a renewal or an UNSUBSCRIBE that has no entry
for the state is answered 412, as for an unknown SID.
"""

from __future__ import annotations

import enum

from propchange.core.transitions import TransitionTable


class PublisherState(enum.IntEnum):
    """The state of a subscription at the publisher."""

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
    """ANSWERING, and the subscriber has sent UNSUBSCRIBE."""
    OWED_CANCELLED = 6
    """OWED, and the subscriber has sent UNSUBSCRIBE."""
    INITIAL_CANCELLED = 7
    """INITIAL, and the subscriber has sent UNSUBSCRIBE."""
    ENDED = 8
    """Over: the SID is invalid (UDA 2.0 §4.1.2)."""


class PublisherInput(enum.IntEnum):
    """An input of the table: what happened to a subscription."""

    ANSWERED = 0
    """The answer to SUBSCRIBE has left."""
    ANSWER_LOST = 1
    """The connection broke before the answer had left, so the subscriber has no SID."""
    TAKEN = 2
    """The runtime has taken a message to deliver."""
    SETTLED = 3
    """The message in flight was answered or abandoned."""
    DISOWNED = 4
    """The subscriber answered 412: it does not know the SID."""
    RENEWED = 5
    """The subscriber has renewed the subscription."""
    CANCELLED = 6
    """The subscriber has sent UNSUBSCRIBE."""
    EXPIRED = 7
    """The duration has ended without a renewal."""


_P, _PI = PublisherState, PublisherInput

PUBLISHER: TransitionTable[PublisherState, PublisherInput] = TransitionTable(
    {
        (_P.ANSWERING, _PI.ANSWERED): _P.OWED,
        (_P.ANSWERING, _PI.ANSWER_LOST): _P.ENDED,
        (_P.ANSWERING, _PI.CANCELLED): _P.ANSWERING_CANCELLED,
        (_P.OWED, _PI.TAKEN): _P.INITIAL,
        (_P.OWED, _PI.CANCELLED): _P.OWED_CANCELLED,
        (_P.INITIAL, _PI.SETTLED): _P.QUIET,
        (_P.INITIAL, _PI.DISOWNED): _P.ENDED,
        (_P.INITIAL, _PI.CANCELLED): _P.INITIAL_CANCELLED,
        (_P.QUIET, _PI.TAKEN): _P.SENDING,
        (_P.QUIET, _PI.CANCELLED): _P.ENDED,
        (_P.SENDING, _PI.SETTLED): _P.QUIET,
        (_P.SENDING, _PI.DISOWNED): _P.ENDED,
        (_P.SENDING, _PI.CANCELLED): _P.ENDED,
        # Cancelled before the initial event, which is still sent once. Any answer to it ends
        # the subscription (AMB-14).
        (_P.ANSWERING_CANCELLED, _PI.ANSWERED): _P.OWED_CANCELLED,
        (_P.ANSWERING_CANCELLED, _PI.ANSWER_LOST): _P.ENDED,
        (_P.OWED_CANCELLED, _PI.TAKEN): _P.INITIAL_CANCELLED,
        (_P.INITIAL_CANCELLED, _PI.SETTLED): _P.ENDED,
        (_P.INITIAL_CANCELLED, _PI.DISOWNED): _P.ENDED,
        # ANSWERING too: the subscriber may have the answer before this side knows that it has left.
        **{
            (state, _PI.RENEWED): state
            for state in (_P.ANSWERING, _P.OWED, _P.INITIAL, _P.QUIET, _P.SENDING)
        },
        **{(state, _PI.EXPIRED): _P.ENDED for state in _P if state is not _P.ENDED},
    }
)
