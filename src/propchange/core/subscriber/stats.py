"""The numbers that a control point gives its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from propchange.core.multicast.reception import NotBelieved
from propchange.core.record import StatsRecord
from propchange.core.subscriber.events import Cause, Status

FAILED_ATTEMPTS = (Cause.REFUSED, Cause.UNREACHABLE, Cause.SHORTAGE, Cause.DESCRIPTION)
"""The keys of :attr:`ControlPointStats.failed_attempts`."""


@dataclass(slots=True, eq=False, repr=False)
class ControlPointStats(StatsRecord):
    """What a control point has counted since it was made, and what is true now.

    A counter never goes down, also when subscriptions close. A key that is missing in a mapping of
    counters stands for 0. ``events + polled`` is the number of events that were given to the
    program, plus ``merged``, plus the events that still wait for it.
    """

    subscriptions: Mapping[Status, int]
    """Subscriptions now, by status. The sum is the number of subscriptions that are not closed."""
    status_changes: Mapping[Status, int]
    """Counter: how often a subscription has got this status."""
    last_event_age: Mapping[Status, float]
    """Seconds since the last event, the largest of the subscriptions with that status. Of one that
    has had no event: since it was wanted. A status without a subscription is missing."""
    events: int
    """Counter: event messages that were taken, initial events included. A repeated message, and one
    that was refused, is not in it."""
    polled: int
    """Counter: events that were made of polled values."""
    merged: int
    """Counter: events that were merged into others before the program had them, because it was
    slow, or because of ``minimum_interval``."""
    waiting: int
    """Events and status changes that wait for the program now. Of subscriptions that are closed
    nothing is counted."""
    gaps: int
    """Counter: gaps in SEQ, each followed by a fresh subscription."""
    losses: int
    """Counter: event messages that are known to be lost, gaps included."""
    grants: int
    """Counter: SUBSCRIBE requests that devices have granted. Fresh subscriptions count too."""
    renewals: int
    """Counter: renewals that devices have granted."""
    failed_attempts: Mapping[Cause, int]
    """Counter: attempts to subscribe that have failed, by cause: REFUSED, UNREACHABLE, SHORTAGE or
    DESCRIPTION, see :class:`.Cause`."""
    failed_renewals: int
    """Counter: renewals that had no answer, or were refused."""
    refused_requests: Mapping[int, int]
    """Counter: requests to the listener that were refused, by the HTTP status of the answer. 412 is
    an unknown subscription."""
    multicast_events: int
    """Counter: multicast events that were believed."""
    refused_datagrams: Mapping[NotBelieved, int]
    """Counter: multicast datagrams that were not believed, by reason."""
