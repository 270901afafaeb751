"""The states of a subscription at the subscriber, and the table of their transitions.

GENA (UDA 2.0 §4.1.2 to §4.1.4) gives a subscriber three requests: SUBSCRIBE asks for a SID and a
duration, SUBSCRIBE with that SID renews it, UNSUBSCRIBE gives it back. The publisher sends one full
state after the grant, the initial event, and then changes. It sends no state again. A subscriber
that has missed a change, or may have missed one, has one way to the true state: a fresh
subscription, whose initial event has all of it.

So a subscription here outlives its SIDs. It is wanted from ``subscribe`` to ``unsubscribe``, and
goes round in a circle::

    WAITING -> SUBSCRIBING -> GRANTED -> ACTIVE
       ^                         |          |
       +-------------------------+----------+

``WAITING`` lasts as long as the backoff after a failure and the limit on SUBSCRIBEs per second say.
``DESCRIBING`` comes before ``SUBSCRIBING`` when the event URL may have changed: the description is
read first. ``GRANTED`` waits for the initial event, and ``ACTIVE`` has had it. A renewal that is
answered with another SID leads from ``ACTIVE`` to ``GRANTED``. Two more states have a SID. In
``DEAF`` the initial event is overdue, because the device probably cannot reach this machine, or
events are lost again and again. In ``UNANSWERED`` events have come and renewals get no answer: the
device is away, or only its answers are lost. The SID is kept, because it may still be good.

Two inputs end a grant, and both lead to ``WAITING``. *Lapsed*: the SID is no longer good, since the
device refused the renewal, restarted, left, or the duration has ended. *Replaced*: the SID may be
good, but an event is missing or never came; it is given back by UNSUBSCRIBE.

The subscription itself ends in two ways only. ``REFUSED`` is for an application that does not want
to wait: its first attempt failed. ``CLOSED`` follows ``unsubscribe``, after ``CLOSING``
where there is a SID to give back.

A pair of state and input that is not in the table cannot happen, and raises. Which address of this
machine a SUBSCRIBE leaves from is no state: see :mod:`.callback_address`.
"""

from __future__ import annotations

import enum

from propchange.core.transitions import TransitionTable


class SubscriberState(enum.IntEnum):
    """The state of a subscription at the subscriber."""

    WAITING = 0
    """The next SUBSCRIBE waits for the backoff or for the token bucket."""
    DESCRIBING = 1
    """The description is being read again: the event URL may have changed."""
    SUBSCRIBING = 2
    """A SUBSCRIBE is sent and not answered."""
    GRANTED = 3
    """Granted; no initial event yet."""
    ACTIVE = 4
    """Granted, and events have come."""
    DEAF = 5
    """Granted, and no initial event came in time; or events are lost again and again."""
    UNANSWERED = 6
    """Granted, events have come, and renewals get no answer. The device may have gone, or it may
    come back with the SID still good."""
    CLOSING = 7
    """The UNSUBSCRIBE is sent and not answered."""
    REFUSED = 8
    """The first SUBSCRIBE failed, and the application does not want to keep trying."""
    CLOSED = 9
    """Over: the application has closed it."""


class SubscriberInput(enum.IntEnum):
    """What can happen to a subscription at the subscriber."""

    DUE = 0
    """Backoff and token bucket allow the next attempt."""
    DUE_DESCRIBING = 1
    """As DUE, but the description must be read first."""
    DESCRIBED = 2
    """The description was read and has the event URL."""
    GRANT = 3
    """200 to SUBSCRIBE, with a SID."""
    ATTEMPT_FAILED = 4
    """No connection, no answer, or another status than 200."""
    GIVEN_UP = 5
    """As ATTEMPT_FAILED, for the first attempt of an application that does not keep trying."""
    INITIAL_EVENT = 6
    """The initial event has come."""
    INITIAL_OVERDUE = 7
    """No initial event came in time."""
    RENEWED = 8
    """200 to the renewal."""
    NEW_SID = 9
    """200 to the renewal, with another SID: a new grant that owes an initial event."""
    EVENT_LOST = 10
    """An event is lost and fresh subscriptions have not helped, so the next one waits."""
    UNREACHED = 11
    """Renewals could not reach the device, or had no answer more than once."""
    LAPSED = 12
    """The SID is no longer good: the renewal was refused, the duration has ended, or the device has
    left, moved or restarted."""
    REPLACED = 13
    """The SID may be good and is given back: an event was or may have been missed (UDA 2.0
    §4.3.1), or none ever came."""
    UNSUBSCRIBE_SENT = 14
    """The application closes a subscription that has a SID."""
    DROPPED = 15
    """The application closes a subscription that has none."""
    UNSUBSCRIBED = 16
    """The UNSUBSCRIBE was answered or has failed."""


_S, _SI = SubscriberState, SubscriberInput

GRANTED = (_S.ACTIVE, _S.GRANTED, _S.DEAF, _S.UNANSWERED)
"""The states with a SID that the device has granted and that is still wanted."""

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
        **{(state, _SI.EVENT_LOST): _S.DEAF for state in GRANTED},
        (_S.GRANTED, _SI.RENEWED): _S.GRANTED,
        (_S.ACTIVE, _SI.RENEWED): _S.ACTIVE,
        (_S.ACTIVE, _SI.NEW_SID): _S.GRANTED,
        (_S.DEAF, _SI.RENEWED): _S.DEAF,
        # And REPLACED follows at once: a device that was away may have given events up meanwhile.
        (_S.UNANSWERED, _SI.RENEWED): _S.ACTIVE,
        **{(state, _SI.LAPSED): _S.WAITING for state in GRANTED},
        **{(state, _SI.REPLACED): _S.WAITING for state in GRANTED},
        **{(state, _SI.UNSUBSCRIBE_SENT): _S.CLOSING for state in GRANTED},
        **{
            (state, _SI.DROPPED): _S.CLOSED
            for state in (_S.WAITING, _S.DESCRIBING, _S.SUBSCRIBING, _S.REFUSED)
        },
        (_S.CLOSING, _SI.UNSUBSCRIBED): _S.CLOSED,
    },
)
