"""The outcomes of the subscriber's protocol, and their queue."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from propchange.core.limits import Limits
from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastMissed,
    MulticastRefused,
)
from propchange.core.outcomes import OutcomeQueue
from propchange.core.record import Record
from propchange.core.subscriber.counts import SubscriberCounts
from propchange.core.subscriber.event_pace import EventPace
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.polling import Polling
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.timing import Timers
from propchange.core.wire.messages import Endpoint
from propchange.printable import printable


@dataclass(slots=True, eq=False, repr=False)
class Granted(Record):
    """A SUBSCRIBE was answered 200. ``duration`` in seconds, ``inf`` for an infinite grant."""

    subscription: SubscriptionRecord
    sid: str
    duration: float


@dataclass(slots=True, eq=False, repr=False)
class RenewalAnswered(Record):
    """A renewal was answered 200."""

    subscription: SubscriptionRecord
    sid: str
    duration: float


@dataclass(slots=True, eq=False, repr=False)
class RenewalFailed(Record):
    """A renewal got no answer; it is tried again until the subscription expires."""

    subscription: SubscriptionRecord
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class DeviceChecked(Record):
    """An announcement about ``device`` was checked by a renewal of one of its subscriptions.

    ``reason`` is the text of the announcement. ``passed``: the device has granted the renewal, so
    the announcement was forged, or another device has the same UDN. Otherwise the announcement was
    true. Unless ``announced``, its advertisements have expired instead.
    """

    device: Hashable
    cause: Cause
    reason: str
    passed: bool
    announced: bool = True


@dataclass(slots=True, eq=False, repr=False)
class SeqUnreliable(Record):
    """The SEQ of the device is unreliable: events pass, gaps are not repaired. Once per
    subscription."""

    subscription: SubscriptionRecord


@dataclass(slots=True, eq=False, repr=False)
class ForeignSource(Record):
    """A NOTIFY with the right path and SID came from another address than the device's. Once per
    address."""

    subscription: SubscriptionRecord
    source: str
    refused: bool


@dataclass(slots=True, eq=False, repr=False)
class NotifyRefused(Record):
    """A request to the listener was answered with ``status``."""

    peer: Endpoint | None
    target: str
    status: int
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class Unreadable(Record):
    """Part of an event could not be read, for ``reason``; the rest was taken."""

    subscription: SubscriptionRecord
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class Mended(Record):
    """An event of the device was not well-formed, and was mended. ``problem`` is a sentence about
    the deviation. Reported once per device and problem."""

    subscription: SubscriptionRecord
    problem: str


SubscriberOutcome = (
    Event
    | StatusChange
    | Granted
    | RenewalAnswered
    | RenewalFailed
    | DeviceChecked
    | SeqUnreliable
    | ForeignSource
    | NotifyRefused
    | Unreadable
    | Mended
    | MulticastEvent
    | MulticastMissed
    | MulticastRefused
)


_AWAY = frozenset({Cause.UNREACHABLE, Cause.EXPIRED, Cause.DEVICE_GONE})
_SAYS_NO = frozenset({Cause.REFUSED, Cause.DESCRIPTION})
_SHORT = frozenset({Cause.SHORTAGE})


def _is_news(before: Cause | None, cause: Cause) -> bool:
    """Whether ``cause`` is worth another status change with the same status: the device is away or
    refuses, or this machine has a shortage. These say more than the cause of a fresh subscription.
    DEVICE_GONE says more than UNREACHABLE."""
    if cause is Cause.DEVICE_GONE:
        return before is not cause
    for kind in (_AWAY, _SAYS_NO, _SHORT):
        if cause in kind:
            return before not in kind
    return before is None


class SubscriberOutcomes(OutcomeQueue[SubscriberOutcome]):
    """The outcomes of a subscriber. Events and status changes are never dropped."""

    __slots__ = ("counts", "pace", "polling", "timers")

    def __init__(self, limits: Limits, counts: SubscriberCounts) -> None:
        super().__init__(limits)
        self.counts = counts
        self.timers = Timers()
        """The timers of all subscriptions."""
        self.pace = EventPace(self.append, self.timers, limits)
        """Holds the events of subscriptions with a minimum interval."""
        self.polling = Polling(self.give)
        """The polling of values, which follows the status of each subscription."""

    def log(self, outcome: SubscriberOutcome) -> None:
        """:meth:`.OutcomeQueue.log`. Refusals are counted, also those that are dropped."""
        if isinstance(outcome, NotifyRefused):
            self.counts.refused_requests[outcome.status] += 1
        elif isinstance(outcome, MulticastRefused):
            self.counts.refused_datagrams[outcome.reason] += 1
        super().log(outcome)

    def renewal_failed(self, record: SubscriptionRecord, reason: str) -> None:
        """Append a RenewalFailed."""
        self.counts.failed_renewals += 1
        self.append(RenewalFailed(record, reason))

    def give(self, event: Event, now: float) -> None:
        """Append ``event``, which was polled, at once or at the end of the minimum interval of its
        subscription."""
        self.counts.polled += 1
        if event.subscription.minimum_interval is None:
            self.append(event)
        else:
            self.pace.give(event, now)

    def change_status(
        self, record: SubscriptionRecord, status: Status, cause: Cause, reason: str, http: int = 0
    ) -> None:
        """Set the status of ``record`` and append a StatusChange, unless nothing is new. An event
        that is held goes before it. Texts of peers in ``reason`` are escaped. If the values are
        polled, ``reason`` says so."""
        reason = printable(reason)
        begins = self.polling.follow(record, status, cause)
        if record.status is status and not _is_news(record.status_cause, cause) and not begins:
            return
        if record.polled:
            reason += f"; the values are polled every {self.polling.interval(record):g} s"
        if record.status is not status:
            self.counts.status_changes[status] += 1
        record.status = status
        record.status_cause = cause
        record.status_reason = reason
        self.pace.release(record)
        self.append(StatusChange(record, status, cause, reason, http))
