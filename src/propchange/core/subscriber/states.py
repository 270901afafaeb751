"""The states of a subscription at the subscriber, and the table of their transitions.

**Subscriber** (UDA 2.0 §4.1.2 to §4.1.4). A wanted subscription is never given up unless it was
refused at its very beginning by a caller who asked for that, or closed. Whatever ends a granted
one leads to ``WAITING`` and from there to a fresh SUBSCRIBE: either its SID is no longer good
(*lapsed*), or it may be, and is given back because another one restores what this one has missed
(*replaced*). Which address it comes from is no state: see ``callback_address``.
"""

from __future__ import annotations

import enum

from propchange.core.transitions import TransitionTable

__all__ = ["SUBSCRIBER", "SubscriberInput", "SubscriberState"]


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
