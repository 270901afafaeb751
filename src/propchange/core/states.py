"""The states of a subscription on either side, and the two tables of their transitions.

A pair of state and input that is not in a table cannot happen: :func:`step` raises
:class:`~propchange.errors.LocalProtocolError` for it, and the mistake is ours. What a peer may
send in which state is therefore in the tables too, as an input of its own.

**Publisher** (UDA 2.0 §4.1.2, §4.3.2). A subscription begins with the answer to its SUBSCRIBE.
Until that has left, nothing may be sent (SUB-55). Then the initial event is owed, even after an
UNSUBSCRIBE (SUB-58); until it is settled no other message goes out. From there on at most one
NOTIFY is in flight. *Settled* means answered or abandoned: either way its SEQ is spent.

**Subscriber** (UDA 2.0 §4.1.2 to §4.1.4). A wanted subscription is never given up unless it was
refused at its very beginning by a caller who asked for that, or closed. Whatever ends a granted
one leads to ``WAITING`` and from there to a fresh SUBSCRIBE: either its SID is no longer good
(*lapsed*), or it may be, and is given back because another one restores what this one has missed
(*replaced*). Which address it comes from is no state: see ``callback_address``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

from propchange.errors import LocalProtocolError

__all__ = [
    "PUBLISHER",
    "SUBSCRIBER",
    "PublisherInput",
    "PublisherState",
    "SubscriberInput",
    "SubscriberState",
    "TransitionTable",
]

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
    PublisherState,
    PublisherInput,
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


class SubscriberState(enum.IntEnum):
    """Where a subscription stands at the subscriber."""

    WAITING = 0
    """A SUBSCRIBE is wanted, and is held back by backoff or by the token bucket."""
    DESCRIBING = 1
    """The description is fetched again, since the event URL may have moved."""
    SUBSCRIBING = 2
    """A SUBSCRIBE is out."""
    GRANTED = 3
    """Granted; no initial event yet."""
    ACTIVE = 4
    """Granted, and events have come."""
    DEAF = 5
    """Granted, and no initial event came in time."""
    UNANSWERED = 6
    """Granted, events have come, and nobody is there for the renewal: the device may be gone, or
    come back with the SID still good."""
    CLOSING = 7
    """The UNSUBSCRIBE is out."""
    REFUSED = 8
    """The first SUBSCRIBE failed, and the caller did not want to keep trying."""
    CLOSED = 9


class SubscriberInput(enum.IntEnum):
    """What can happen to a subscription at the subscriber."""

    DUE = 0
    """Backoff and bucket allow the next attempt."""
    DUE_DESCRIBING = 1
    """The same, and the description has to be read again first."""
    DESCRIBED = 2
    """The description has been read, and says where the event URL is."""
    GRANT = 3
    """200 to SUBSCRIBE, with a SID."""
    ATTEMPT_FAILED = 4
    """No connection, no answer, or another status than 200."""
    GIVEN_UP = 5
    """The same for the first attempt of a caller who does not want to wait."""
    INITIAL_EVENT = 6
    """The first event of the subscription has come."""
    INITIAL_OVERDUE = 7
    """None has come in time."""
    RENEWED = 8
    """200 to the renewal."""
    UNREACHED = 9
    """A renewal found nobody: no connection, or no answer again and again."""
    LAPSED = 10
    """The SID is no longer good: refused, expired, the device gone, moved or rebooted."""
    REPLACED = 11
    """The SID may be good, and is given back for a fresh one: an event was missed (UDA 2.0 §4.3.1),
    or may have been, or none ever came."""
    UNSUBSCRIBE_SENT = 12
    """Closing, with a SID to give back."""
    DROPPED = 13
    """Closing, with none."""
    UNSUBSCRIBED = 14
    """The UNSUBSCRIBE was answered, or failed: nothing more can be done."""


_S, _SI = SubscriberState, SubscriberInput

_GRANTED_STATES = (_S.GRANTED, _S.ACTIVE, _S.DEAF, _S.UNANSWERED)

SUBSCRIBER: TransitionTable[SubscriberState, SubscriberInput] = TransitionTable(
    SubscriberState,
    SubscriberInput,
    {
        (_S.WAITING, _SI.DUE): _S.SUBSCRIBING,
        (_S.WAITING, _SI.DUE_DESCRIBING): _S.DESCRIBING,
        (_S.DESCRIBING, _SI.DESCRIBED): _S.WAITING,
        (_S.DESCRIBING, _SI.ATTEMPT_FAILED): _S.WAITING,
        (_S.DESCRIBING, _SI.GIVEN_UP): _S.REFUSED,
        (_S.SUBSCRIBING, _SI.GRANT): _S.GRANTED,
        (_S.SUBSCRIBING, _SI.ATTEMPT_FAILED): _S.WAITING,
        (_S.SUBSCRIBING, _SI.GIVEN_UP): _S.REFUSED,
        (_S.GRANTED, _SI.INITIAL_EVENT): _S.ACTIVE,
        (_S.GRANTED, _SI.INITIAL_OVERDUE): _S.DEAF,
        (_S.DEAF, _SI.INITIAL_EVENT): _S.ACTIVE,
        (_S.ACTIVE, _SI.UNREACHED): _S.UNANSWERED,
        (_S.UNANSWERED, _SI.UNREACHED): _S.UNANSWERED,
        (_S.GRANTED, _SI.RENEWED): _S.GRANTED,
        (_S.ACTIVE, _SI.RENEWED): _S.ACTIVE,
        (_S.DEAF, _SI.RENEWED): _S.DEAF,
        # And replaced at once: a device that was away has given events up meanwhile.
        (_S.UNANSWERED, _SI.RENEWED): _S.ACTIVE,
        **{(state, _SI.LAPSED): _S.WAITING for state in _GRANTED_STATES},
        **{(state, _SI.REPLACED): _S.WAITING for state in _GRANTED_STATES},
        **{(state, _SI.UNSUBSCRIBE_SENT): _S.CLOSING for state in _GRANTED_STATES},
        **{
            (state, _SI.DROPPED): _S.CLOSED
            for state in (_S.WAITING, _S.DESCRIBING, _S.SUBSCRIBING, _S.REFUSED)
        },
        (_S.CLOSING, _SI.UNSUBSCRIBED): _S.CLOSED,
    },
)
