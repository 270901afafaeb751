"""propchange.testing.Link: the API that tests of other projects use."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from propchange import Service, StateVariable
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import (
    AttemptFailed,
    AttemptTimedOut,
    InitialEventDelivered,
    MessageAbandoned,
)
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.states import SubscriberState
from propchange.testing import DELIVER, Fate, Link, Message

LOST = Fate((), told=True)
SILENCE = Fate((), told=False)
PATIENT = replace(DEFAULT_LIMITS, initial_event_seconds=60.0)


class Wire:
    """Fates by kind of message; what has no fate of its own is delivered. Remembers them all."""

    def __init__(self, **fates: Fate) -> None:
        self.fates = fates
        self.carried: list[tuple[float, Message]] = []
        self.link: Link | None = None

    def __call__(self, message: Message) -> Fate:
        assert self.link is not None
        self.carried.append((self.link.now, message))
        return self.fates.get(message, DELIVER)

    def count(self, message: Message) -> int:
        return sum(carried == message for _, carried in self.carried)


def link_of(wire: Wire | None = None, **options) -> Link:
    if wire is None:
        link = Link(**options)
    else:
        link = Link(fate=wire, **options)
        wire.link = link
    link.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})
    return link


def test_the_example_of_the_module_works() -> None:
    link = Link()
    link.add_service("/evt", {"Temperature": EventedVariable("20")})
    record = link.subscribe("/evt")
    link.run(1)
    link.update("/evt", {"Temperature": "21"})
    link.run(1)
    assert record.values == {"Temperature": "21"}
    assert [event.seq for event in link.events(record)] == [0, 1]
    assert [change.status for change in link.statuses(record)] == [Status.ACTIVE]


def test_nothing_happens_before_time_goes_by() -> None:
    link = link_of()
    record = link.subscribe("/evt")
    assert record.state is SubscriberState.SUBSCRIBING
    link.run(0)
    assert record.state is SubscriberState.ACTIVE
    assert link.now == 0.0
    link.run(2.5)
    assert link.now == 2.5


def test_time_stops_at_everything_that_is_due_in_its_order() -> None:
    """A subscription of a minute is renewed every half a minute."""
    wire = Wire()
    link = link_of(wire)
    link.subscribe("/evt", duration=60)
    link.run(100)
    assert [moment for moment, message in wire.carried if message == "SUBSCRIBE"] == [
        0,
        30,
        60,
        90,
    ]
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(wire.carried))


def test_each_end_keeps_its_own_outcomes() -> None:
    link = link_of()
    first, second = link.subscribe("/evt"), link.subscribe("/evt")
    link.run(0)
    assert link.publisher_outcomes[-1] == InitialEventDelivered("uuid:00000002", "/evt")
    assert [event.sid for event in link.events(first)] == ["uuid:00000001"]
    assert [event.sid for event in link.events(second)] == ["uuid:00000002"]
    assert [change.subscription for change in link.statuses(second)] == [second]


def test_a_delayed_message_arrives_late() -> None:
    link = link_of(Wire(SUBSCRIBE=Fate((3.0,))))
    record = link.subscribe("/evt")
    link.run(2.9)
    assert record.state is SubscriberState.SUBSCRIBING
    link.run(0.1)
    assert record.state is SubscriberState.ACTIVE


def test_messages_can_overtake_each_other() -> None:
    wire = Wire(answer=Fate((1.0,)))
    link = link_of(wire)
    record = link.subscribe("/evt")
    link.run(0)
    assert wire.carried[-2:] == [(0.0, "NOTIFY"), (0.0, "answer")]
    assert record.state is SubscriberState.SUBSCRIBING
    link.run(2)
    assert record.values == {"A": "0", "B": "0"}


def test_a_doubled_message_arrives_twice() -> None:
    wire = Wire(NOTIFY=Fate((0.0, 0.5)))
    link = link_of(wire)
    record = link.subscribe("/evt")
    link.run(1)
    assert (wire.count("NOTIFY"), wire.count("answer")) == (1, 3)
    assert len(link.events(record)) == 1


def test_the_sender_of_a_lost_request_learns_of_it_at_once_or_waits() -> None:
    for fate, waited in ((LOST, 0.0), (SILENCE, DEFAULT_LIMITS.request_seconds)):
        link = link_of(Wire(SUBSCRIBE=fate))
        record = link.subscribe("/evt", persistent=False)
        link.run(100)
        (change,) = link.statuses(record)
        assert change.cause is Cause.UNREACHABLE
        assert change.reason == ("no answer in time" if waited else "the wire is cut")


def test_the_sender_of_a_lost_event_learns_of_it_at_once_or_waits() -> None:
    link = link_of(Wire(NOTIFY=LOST))
    link.subscribe("/evt")
    link.run(0)
    assert isinstance(link.publisher_outcomes[-1], MessageAbandoned)

    link = link_of(Wire(NOTIFY=SILENCE), limits=PATIENT)
    link.subscribe("/evt")
    link.run(29.9)
    assert not any(isinstance(outcome, AttemptTimedOut) for outcome in link.publisher_outcomes)
    link.run(0.1)
    assert isinstance(link.publisher_outcomes[-1], MessageAbandoned)


def test_an_answer_to_an_event_that_comes_after_the_time_is_up_is_nobodys() -> None:
    wire = Wire(NOTIFY=Fate((31.0,)))
    link = link_of(wire, limits=PATIENT)
    record = link.subscribe("/evt", duration=600)
    link.run(40)
    assert isinstance(link.publisher_outcomes[-1], MessageAbandoned)
    assert record.values == {"A": "0", "B": "0"}
    assert link._waiting == set()


def test_a_lost_answer_is_lost_for_whoever_waits_for_it() -> None:
    wire = Wire()
    link = link_of(wire)
    record = link.subscribe("/evt", duration=60)
    link.run(1)
    wire.fates["answer"] = LOST
    link.update("/evt", {"A": "1"})
    link.run(1)
    assert record.values["A"] == "1"
    assert isinstance(link.publisher_outcomes[-1], MessageAbandoned)


@pytest.mark.clause("UNS-01")
def test_unsubscribing_ends_both_ends() -> None:
    wire = Wire()
    link = link_of(wire)
    record = link.subscribe("/evt")
    link.run(1)
    link.unsubscribe(record)
    link.run(1)
    assert record.state is SubscriberState.CLOSED
    assert list(link.publisher.subscriptions) == []
    assert wire.count("UNSUBSCRIBE") == 1


def test_a_restarted_publisher_has_its_first_values_and_no_subscriptions() -> None:
    link = link_of()
    record = link.subscribe("/evt", duration=60)
    link.run(1)
    link.update("/evt", {"A": "1"})
    link.run(1)
    before = link.publisher
    link.restart_publisher()
    assert link.publisher is not before
    assert list(link.publisher.subscriptions) == []
    link.run(60)
    assert [change.cause for change in link.statuses(record)] == [
        Cause.INITIAL_EVENT,
        Cause.RENEWAL_REFUSED,
        Cause.INITIAL_EVENT,
    ]
    assert record.values == {"A": "0", "B": "0"}
    assert record.sid == "uuid:00000002"


def test_what_was_in_flight_at_a_restart_is_answered_to_nobody() -> None:
    wire = Wire(NOTIFY=Fate((5.0,)))
    link = link_of(wire)
    link.subscribe("/evt")
    link.run(1)
    link.restart_publisher()
    link.run(10)
    assert list(link.publisher.subscriptions) == []


def test_a_description_is_read_again_where_the_test_says_it_is() -> None:
    wire = Wire()
    link = link_of(wire)
    link.add_service("/new", {"A": EventedVariable("new")})
    record = link.subscriber.subscribe(link.url("/gone"), link.now, describable=True)
    link.run(1)
    assert wire.count("DESCRIBE") == 1
    assert record.state is SubscriberState.WAITING
    link.described_at[record] = link.url("/new")
    link.run(10)
    assert record.values == {"A": "new"}
    assert record.event_url == "http://10.0.0.1:8000/new"


def test_a_description_can_get_lost_too() -> None:
    wire = Wire(DESCRIBE=LOST)
    link = link_of(wire)
    record = link.subscriber.subscribe(link.url("/gone"), link.now, describable=True)
    link.described_at[record] = link.url("/evt")
    link.run(20)
    assert wire.count("DESCRIBE") > 2
    assert record.state is SubscriberState.WAITING


def test_an_event_for_an_address_that_is_not_the_subscribers_finds_nobody() -> None:
    link = link_of(subscriber_policy=SubscriberPolicy(callback_host="10.0.0.77"))
    record = link.subscribe("/evt")
    link.run(9)
    assert record.state is SubscriberState.DEAF
    failed = [o for o in link.publisher_outcomes if isinstance(o, AttemptFailed)]
    assert [(outcome.url, outcome.reason) for outcome in failed] == [
        ("http://10.0.0.77:9000/path-1", "no connection")
    ]


def test_a_callback_off_the_link_is_refused() -> None:
    link = link_of(subscriber_policy=SubscriberPolicy(callback_host="192.0.2.1"))
    record = link.subscribe("/evt", persistent=False)
    link.run(1)
    assert link.statuses(record)[0].http_status == 412


def test_addresses_policies_and_jitter_are_the_tests_own() -> None:
    link = link_of(
        publisher_policy=PublisherPolicy(uda="2.0"),
        subscriber_policy=SubscriberPolicy(uda="2.0", duration=100),
        jitter=lambda: 0.5,
        publisher_host="10.0.0.8",
        subscriber_host="10.0.0.9",
    )
    assert link.url("/evt") == "http://10.0.0.8:8000/evt"
    record = link.subscribe("/evt")
    link.run(1)
    assert record.callback == "http://10.0.0.9:9000/path-1"
    assert link.subscriber.next_deadline() == 45.0
    (subscription,) = link.publisher.subscriptions
    assert subscription.routes[0].address.uda == "2.0"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    target = StateVariable("r4", initial=20.0, minimum_interval=10)
    alarm = StateVariable("boolean")


def test_a_service_on_a_link_sends_its_assignments_as_events() -> None:
    link, thermometer = Link(), Thermometer()
    link.add_service("/evt", thermometer)
    record = link.subscribe("/evt")
    link.run(1)
    with thermometer.batch():
        thermometer.temperature = 31.0
        thermometer.alarm = True
    for target in (21.0, 22.0, 23.0):  # moderated, as when it is hosted
        thermometer.target = target
    link.run(20)
    assert [dict(event.changes) for event in link.events(record)] == [
        {"Temperature": "20.0", "Target": "20.0", "Alarm": "0"},
        {"Temperature": "31.0", "Alarm": "1"},
        {"Target": "21.0"},
        {"Target": "23.0"},
    ]
    link.restart_publisher()
    link.run(2_000)
    assert record.values == {"Temperature": "31.0", "Target": "23.0", "Alarm": "1"}


def test_a_batch_that_is_open_over_a_run_of_the_link_is_undone() -> None:
    link, thermometer = Link(), Thermometer()
    link.add_service("/evt", thermometer)
    batch = thermometer.batch()
    batch.__enter__()
    thermometer.alarm = True
    link.run(1)
    assert not thermometer.alarm
    with pytest.raises(RuntimeError):
        batch.__exit__(None, None, None)
