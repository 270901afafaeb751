"""Counters of a publisher: what it has granted, sent and refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from propchange.core.limits import Limits
from propchange.core.outcomes import OutcomeQueue
from propchange.core.publisher.outcomes import (
    Merged,
    MessageAbandoned,
    PublisherOutcome,
    Refused,
    Renewed,
    Subscribed,
)
from propchange.core.publisher.records import PublishedService
from propchange.core.publisher.states import PublisherInput, PublisherState
from propchange.core.wire.messages import DeliveryFailure

if TYPE_CHECKING:
    from propchange.core.publisher.stats import HostStats

_FAILED = {
    DeliveryFailure.CONNECT: "no-connection",
    DeliveryFailure.STALE: "stale-connection",
    DeliveryFailure.BROKEN: "broken-connection",
    DeliveryFailure.TIMED_OUT: "no-answer",
    DeliveryFailure.WAITED: "no-free-connection",
    412: "unknown-sid",
}

_ENDED = {
    PublisherInput.ANSWER_LOST: "answer-lost",
    PublisherInput.DISOWNED: "unknown-sid",
    PublisherInput.EXPIRED: "expired",
}


class PublisherCounts:
    """The counters of one publisher. All begin at 0. ``services`` are those of the publisher."""

    def __init__(self, services: Collection[PublishedService]) -> None:
        self._services = services
        self.begun = 0
        self.answered = 0
        self._failed: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._refused: Counter[int] = Counter()
        self._grants = self._renewals = self._merged = self._abandoned = 0

    def delivery_ended(self, result: int | DeliveryFailure) -> None:
        """Count a delivery that has ended with ``result``."""
        if isinstance(result, int) and 200 <= result < 300:
            self.answered += 1
        else:
            self._failed[_FAILED.get(result, "refused")] += 1

    def subscription_ended(self, given: PublisherInput) -> None:
        """Count a subscription that has ended by ``given``."""
        self._ended[_ENDED.get(given, "unsubscribed")] += 1

    def note(self, outcome: PublisherOutcome) -> None:
        """Count an outcome."""
        match outcome:
            case Merged():
                self._merged += outcome.updates - 1
            case MessageAbandoned():
                self._abandoned += 1
            case Refused():
                self._refused[outcome.status] += 1
            case Renewed():
                self._renewals += 1
            case Subscribed():
                self._grants += 1

    def stats(self, *, closed: bool = False) -> HostStats:
        """The present counters and numbers. ``closed``: the runtime has ended, so what was in
        flight has failed, and the subscriptions have ended."""
        from propchange.core.publisher.stats import HostStats

        subscriptions = [
            each for service in self._services for each in service.subscriptions.values()
        ]
        failed, ended = self._failed.copy(), self._ended.copy()
        in_flight = self.begun - self.answered - failed.total()
        if closed:
            failed["closed"] += in_flight
            ended["closed"] += len(subscriptions)
            subscriptions, in_flight = [], 0
        behind = sum(
            each.state is not PublisherState.QUIET or each.cursor < each.service.backlog.head
            for each in subscriptions
        )
        return HostStats(
            subscriptions=len(subscriptions),
            behind=behind,
            grants=self._grants,
            renewals=self._renewals,
            ended=dict(+ended),
            refused=dict(self._refused),
            messages=sum(service.backlog.head for service in self._services),
            deliveries=self.begun,
            answered=self.answered,
            failed=dict(+failed),
            in_flight=in_flight,
            merged=self._merged,
            abandoned=self._abandoned,
        )


class PublisherOutcomes(OutcomeQueue[PublisherOutcome]):
    """The outcomes of a publisher. Each one for the log is counted, also one that is dropped."""

    __slots__ = ("_counts",)

    def __init__(self, limits: Limits, counts: PublisherCounts) -> None:
        super().__init__(limits)
        self._counts = counts

    def log(self, outcome: PublisherOutcome) -> None:
        """:meth:`.OutcomeQueue.log`."""
        self._counts.note(outcome)
        super().log(outcome)
