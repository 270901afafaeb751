"""The counters of both ends agree with what has happened between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, invariant, rule

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.reception import NotBelieved
from propchange.core.publisher.records import EventedVariable
from propchange.core.publisher.stats import HostStats
from propchange.core.record import Record
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.outcomes import Granted, RenewalAnswered, RenewalFailed
from propchange.core.subscriber.stats import ControlPointStats
from propchange.core.wire.messages import Endpoint, Request
from propchange.testing import REFUSED, Fate, Link
from tests.core.test_link_machines import LinkMachine

NOW = {"subscriptions", "last_event_age", "waiting", "behind", "in_flight"}
"""The fields that may go down."""


def counters(stats: Record) -> dict[object, float]:
    """Each counter of ``stats``, and each key of a mapping of counters."""
    found: dict[object, float] = {}
    for field in fields(stats):  # type: ignore[arg-type]  # each record is a dataclass
        value = getattr(stats, field.name)
        if field.name in NOW:
            continue
        if isinstance(value, int):
            found[field.name] = value
        else:
            found |= {(field.name, key): count for key, count in value.items()}
    return found


def assert_none_went_down(before: Record | None, after: Record) -> None:
    if before is not None:
        later = counters(after)
        assert not [key for key, count in counters(before).items() if later.get(key, 0) < count]


class CountedMachine(LinkMachine):
    """A wire that loses, delays and repeats. Whatever happens on it, what is counted is what the
    outcomes and the records say."""

    @initialize()
    def begin_to_count(self) -> None:
        self.happened: Counter[object] = Counter()
        self.before: ControlPointStats | None = None
        self.host_before: dict[object, HostStats] = {}

    @rule()
    def subscribe_slowly(self) -> None:
        record = self.link.subscribe("/one", minimum_interval=3.0, device="another")
        self.everything.append(record)

    def take_outcomes(self) -> None:
        for outcome in self.link.subscriber_outcomes:
            self.happened[type(outcome)] += 1
            if isinstance(outcome, Event):
                self.happened["merged"] += outcome.merged

    @invariant()
    def events_come_in_the_order_of_seq(self) -> None:
        self.take_outcomes()
        super().events_come_in_the_order_of_seq()

    @invariant()
    def the_counts_of_the_subscriber_agree(self) -> None:
        link, happened = self.link, self.happened
        self.events_come_in_the_order_of_seq()
        stats = link.subscriber.counts.stats(link.now)
        assert_none_went_down(self.before, stats)
        self.before = stats
        records = list(link.subscriber.subscriptions)
        assert sum(stats.subscriptions.values()) == len(records)
        assert stats.subscriptions == {
            status: sum(record.status is status for record in records)
            for status in Status
            if status is not Status.CLOSED
        }
        held_merged = sum(
            each.merged if isinstance(each, Event) else each._merged
            for each in link.subscriber._outcomes.pace._held.values()
        )
        held = len(link.subscriber._outcomes.pace._held)
        assert stats.merged == happened["merged"] + held_merged
        assert stats.events == happened[Event] + held + stats.merged
        assert stats.grants == happened[Granted]
        assert stats.renewals == happened[RenewalAnswered]
        assert stats.failed_renewals >= happened[RenewalFailed]
        assert sum(stats.status_changes.values()) <= happened[StatusChange]
        assert stats.gaps == sum(record.gaps for record in self.everything)
        assert stats.losses == sum(record.losses for record in self.everything)
        ages = [link.now - (each.last_event_at or each.begun_at) for each in records]
        assert max(stats.last_event_age.values(), default=0) == max(ages, default=0)

    @invariant()
    def the_counts_of_the_publisher_agree(self) -> None:
        self.events_come_in_the_order_of_seq()
        publisher = self.link.publisher
        stats = publisher.counts.stats()
        assert_none_went_down(self.host_before.get(publisher), stats)
        self.host_before[publisher] = stats
        assert stats.in_flight == len(publisher.in_flight)
        assert stats.deliveries == stats.answered + sum(stats.failed.values()) + stats.in_flight
        assert stats.subscriptions == len(list(publisher.subscriptions))
        assert stats.grants == stats.subscriptions + sum(stats.ended.values())
        closed = publisher.counts.stats(closed=True)
        assert closed.deliveries == closed.answered + sum(closed.failed.values())
        assert closed.grants == sum(closed.ended.values())


CountedMachine.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCountsOfALossyLink = pytest.mark.slow(CountedMachine.TestCase)


def test_each_thing_that_happens_at_a_publisher_is_counted_once() -> None:
    link = Link(limits=DEFAULT_LIMITS)
    link.add_service("/evt", {"A": EventedVariable("0")})
    counts = link.publisher.counts
    assert counts.stats() == HostStats(0, 0, 0, 0, {}, {}, 0, 0, 0, {}, 0, 0, 0)
    kept, left = link.subscribe("/evt", duration=1800), link.subscribe("/evt")
    link.run(1)
    stats = counts.stats()
    assert (stats.subscriptions, stats.grants, stats.behind) == (2, 2, 0)
    assert (stats.deliveries, stats.answered, stats.in_flight) == (2, 2, 0)
    link.update("/evt", {"A": "1"})
    link.run(1)
    assert (counts.stats().messages, counts.stats().deliveries) == (1, 4)
    link.unsubscribe(left)
    link.run(1)
    assert counts.stats().ended == {"unsubscribed": 1}
    link.subscriber.renew(kept, link.now)
    link.run(1)
    assert counts.stats().renewals == 1
    link.fate = lambda message: REFUSED
    link.update("/evt", {"A": "2"})
    link.run(1)
    assert counts.stats().failed == {"no-connection": 1}
    assert counts.stats().abandoned == 1
    link.fate = lambda message: Fate((100.0,))
    for number in range(3, 8):
        link.update("/evt", {"A": str(number)})
    stats = counts.stats()
    assert (stats.in_flight, stats.behind) == (1, 1)
    closed = counts.stats(closed=True)
    assert (closed.subscriptions, closed.behind, closed.in_flight) == (0, 0, 0)
    assert closed.failed == {"no-connection": 1, "closed": 1}
    assert closed.ended == {"unsubscribed": 1, "closed": 1}


def test_what_a_publisher_refuses_is_counted_by_status_even_if_its_outcome_is_dropped() -> None:
    link = Link()
    link.add_service("/evt", {"A": EventedVariable("0")})
    here = Endpoint("10.0.0.1", 8000)
    request = Request("SUBSCRIBE", "/evt", [(b"HOST", str(here).encode())], local=here)
    missing = Request("SUBSCRIBE", "/nothing", [(b"HOST", str(here).encode())], local=here)
    times = DEFAULT_LIMITS.outcomes + 10
    for _ in range(times):
        link.publisher.receive_request(request, 0.0)
    link.publisher.receive_request(missing, 0.0)
    status = link.publisher.receive_request(request, 0.0).status
    assert link.publisher.counts.stats().refused == {status: times + 1, 404: 1}


def test_a_subscriber_that_answers_412_is_counted_among_the_ended() -> None:
    link = Link()
    link.add_service("/evt", {"A": EventedVariable("0")})
    link.subscribe("/evt")
    link.run(1)
    link.subscriber.abandon(*link.subscriber.subscriptions)
    link.update("/evt", {"A": "1"})
    link.run(1)
    stats = link.publisher.counts.stats()
    assert (stats.ended, stats.failed) == ({"unknown-sid": 1}, {"unknown-sid": 1})


def test_failed_attempts_and_refused_requests_of_a_control_point_are_counted_by_cause() -> None:
    link = Link()
    link.add_service("/evt", {"A": EventedVariable("0")})
    link.fate = lambda message: REFUSED
    away = link.subscribe("/evt", persistent=False)
    link.run(1)
    link.fate = lambda message: Fate()
    refused = link.subscribe("/nothing", persistent=False)
    link.run(1)
    stats = link.subscriber.counts.stats(link.now, waiting=3)
    assert stats.failed_attempts == {Cause.UNREACHABLE: 1, Cause.REFUSED: 1}
    assert stats.subscriptions[Status.REFUSED] == 2
    assert stats.last_event_age == {Status.REFUSED: 2.0}
    assert stats.waiting == 3
    for record in (away, refused):
        link.unsubscribe(record)
    here = Endpoint("10.0.0.2", 9000)
    link.subscriber.receive_notify(
        Request("NOTIFY", "/x", [(b"HOST", str(here).encode())], local=here), link.now
    )
    link.subscriber.multicast.unreadable(Endpoint("10.0.0.1", 1), "no datagram")
    after = link.subscriber.counts.stats(link.now)
    assert sum(after.subscriptions.values()) == 0
    assert after.failed_attempts == stats.failed_attempts
    assert list(after.refused_requests.values()) == [1]
    assert after.refused_datagrams == {NotBelieved.UNREADABLE: 1}


def test_the_totals_of_a_control_point_outlive_its_subscriptions() -> None:
    link = Link()
    link.add_service("/evt", {"A": EventedVariable("0")})
    for _ in range(3):
        record = link.subscribe("/evt")
        link.run(1)
        link.update("/evt", {"A": str(link.now)})
        link.run(1)
        link.subscriber.renew(record, link.now)
        link.run(1)
        link.unsubscribe(record)
        link.run(1)
    stats = link.subscriber.counts.stats(link.now)
    assert (stats.events, stats.grants, stats.renewals) == (6, 3, 3)
    assert stats.status_changes == {Status.ACTIVE: 3, Status.CLOSED: 3}
