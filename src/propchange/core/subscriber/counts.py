"""Counters of a control point: what its subscriptions have received, and what has failed.

The counters of a subscription are in its record. When it is closed, they are added to those of the
control point, so a total never goes down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from propchange.core.multicast.reception import NotBelieved
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.record import SubscriptionRecord

if TYPE_CHECKING:
    from propchange.core.subscriber.stats import ControlPointStats

_OF_RECORD = ("events", "gaps", "losses", "renewals", "merged")


class SubscriberCounts:
    """The counters of one control point, whose subscriptions that are not closed are ``records``.
    All begin at 0. The protocol counts what no record counts, and :meth:`stats` adds the rest."""

    def __init__(self, records: Collection[SubscriptionRecord]) -> None:
        self._records = records
        self._closed: Counter[str] = Counter()
        self.polled = 0
        self.grants = 0
        self.failed_renewals = 0
        self.multicast_events = 0
        self.failed_attempts: Counter[Cause] = Counter()
        self.refused_requests: Counter[int] = Counter()
        self.refused_datagrams: Counter[NotBelieved] = Counter()
        self.status_changes: Counter[Status] = Counter()

    def close(self, record: SubscriptionRecord) -> None:
        """Add the counters of ``record``, which has closed."""
        for name in _OF_RECORD:
            self._closed[name] += getattr(record, name)

    def stats(self, now: float, *, waiting: int = 0) -> ControlPointStats:
        """The present counters and numbers. ``waiting`` is the number of events and status changes
        that the runtime has taken, and the program has not."""
        from propchange.core.subscriber.stats import ControlPointStats

        totals = self._closed.copy()
        subscriptions: dict[Status, int] = dict.fromkeys(Status, 0)
        del subscriptions[Status.CLOSED]
        ages: dict[Status, float] = {}
        for record in self._records:
            status, last = record.status, record.last_event_at
            subscriptions[status] += 1
            age = now - (record.begun_at if last is None else last)
            ages[status] = max(age, ages.get(status, 0.0))
            for name in _OF_RECORD:
                totals[name] += getattr(record, name)
        return ControlPointStats(
            subscriptions=subscriptions,
            status_changes=dict(self.status_changes),
            last_event_age=ages,
            events=totals["events"],
            polled=self.polled,
            merged=totals["merged"],
            waiting=waiting,
            gaps=totals["gaps"],
            losses=totals["losses"],
            grants=self.grants,
            renewals=totals["renewals"],
            failed_attempts=dict(self.failed_attempts),
            failed_renewals=self.failed_renewals,
            refused_requests=dict(self.refused_requests),
            multicast_events=self.multicast_events,
            refused_datagrams=dict(self.refused_datagrams),
        )
