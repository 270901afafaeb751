"""Both protocols over a wire that drops, delays, repeats and reorders, in random order.

Whatever happens on the way: once the wire is whole again, both ends agree; and while it is not,
order is kept, nothing precedes an answer and nothing grows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import SeqUnreliable
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.states import SubscriberState
from propchange.core.wire.messages import Delivery, DeliveryFailure, Response
from propchange.testing import DELIVER, Fate, Link

pytestmark = pytest.mark.slow

LIMITS = replace(
    DEFAULT_LIMITS, waiting_messages=3, connections_per_delivery_endpoint=2, early_messages=3
)
PATHS = ("/one", "/two")
DEVICE = "the device"

SECONDS = st.sampled_from([0.0, 0.3, 2.0, 6.0, 11.0, 35.0])
NAMES = st.sets(st.sampled_from(["A", "B", "Slow"]), min_size=1)
FATES = st.sampled_from(
    [
        DELIVER,
        Fate((0.2,)),
        Fate((7.0,)),
        Fate((45.0,)),
        Fate((0.0, 0.0)),
        Fate((0.1, 3.0)),
        Fate((12.0, 0.0)),
        Fate((), told=True),
        Fate((), told=False),
    ]
)


class WatchedPublisher(PublisherProtocol):
    """A publisher that is looked at while it works."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.answered: set[str] = set()
        self.unsent: list[tuple[float, Response]] = []
        self.answers_take = 0.0
        self.in_flight: set[Delivery] = set()
        self.last_seq: dict[str, int] = {}

    # An answer leaves when its peer reads, which may take a while.

    def response_sent(self, response: Response, now: float) -> None:
        self.unsent.append((now + self.answers_take, response))
        self._send_answers(now)

    def _send_answers(self, now: float) -> None:
        while self.unsent and self.unsent[0][0] <= now:
            _, response = self.unsent.pop(0)
            self.answered.add(response.fields[b"sid"].decode())
            super().response_sent(response, now)

    def next_deadline(self) -> float | None:
        times = [super().next_deadline(), *(when for when, _ in self.unsent[:1])]
        return min((time for time in times if time is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        super().handle_deadline(now)
        self._send_answers(now)

    def take_deliveries(self, limit: int) -> list[Delivery]:
        taken = super().take_deliveries(limit)
        for delivery in taken:
            sid = delivery.address.sid
            assert sid in self.answered, "an event before the answer"
            assert all(other.address.sid != sid for other in self.in_flight), "two in flight"
            last = self.last_seq.get(sid, -1)
            assert delivery.seq in (last, last + 1), "SEQ goes on by one, or is sent again"
            self.last_seq[sid] = delivery.seq
            self.in_flight.add(delivery)
        assert len(self.in_flight) <= LIMITS.connections_per_delivery_endpoint
        return taken

    def delivery_ended(self, delivery: Delivery, result: int | DeliveryFailure, now: float) -> None:
        self.in_flight.discard(delivery)
        super().delivery_ended(delivery, result, now)


class WatchedLink(Link):
    def _new_publisher(self) -> WatchedPublisher:
        return WatchedPublisher(
            new_sid=lambda: next(self._sids),
            on_link=super()._new_publisher()._on_link,
            policy=self._publisher_policy,
            limits=self.limits,
        )


class LinkMachine(RuleBasedStateMachine):
    helds = Bundle("helds")

    @initialize(
        shared=st.booleans(),
        delay=st.sampled_from([0.0, 0.5]),
        jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
    )
    def begin(self, shared: bool, delay: float, jitters: list[float]) -> None:
        self.weather = [DELIVER]
        self.calm = True
        self.unreliable: set[object] = set()
        self.last_seq: dict[tuple[object, str], int] = {}
        self.messages = 0
        self.everything: list[SubscriptionRecord] = []
        self.serial = 0
        in_turn = itertools.cycle(jitters)

        self.link = WatchedLink(
            fate=self.fate,
            jitter=lambda: next(in_turn),
            limits=LIMITS,
            publisher_policy=PublisherPolicy(
                minimum_duration=20, uda="2.0", initial_event_delay=delay
            ),
            subscriber_policy=SubscriberPolicy(
                uda="2.0", duration=20, shared_path="/events" if shared else None
            ),
        )
        for path in PATHS:
            self.link.add_service(
                path,
                {
                    "A": EventedVariable("0"),
                    "B": EventedVariable("0"),
                    "Slow": EventedVariable("0", minimum_interval=4.0),
                },
            )

    def fate(self, message: str) -> Fate:
        self.messages += 1
        return self.weather[self.messages % len(self.weather)]

    # --- what happens ---

    @rule(
        target=helds,
        path=st.sampled_from(PATHS),
        persistent=st.booleans(),
        variables=st.sampled_from([(), (), ("B", "Slow")]),
    )
    def subscribe(
        self, path: str, persistent: bool, variables: tuple[str, ...]
    ) -> SubscriptionRecord:
        record = self.link.subscribe(
            path, persistent=persistent, describable=True, device=DEVICE, variables=variables
        )
        self.link.described_at[record] = self.link.url(path)
        self.everything.append(record)
        return record

    @rule(record=consumes(helds))
    def unsubscribe(self, record: SubscriptionRecord) -> None:
        self.link.unsubscribe(record)

    @rule(path=st.sampled_from(PATHS), names=NAMES, times=st.integers(1, 30), seconds=SECONDS)
    def update(self, path: str, names: set[str], times: int, seconds: float) -> None:
        for _ in range(times):
            self.serial += 1
            self.link.update(path, dict.fromkeys(sorted(names), str(self.serial)))
        self.link.run(seconds)

    @rule(
        weather=st.lists(FATES, min_size=1, max_size=6),
        seconds=SECONDS,
        answers_take=st.sampled_from([0.0, 0.0, 1.5, 25.0]),
    )
    def change_weather(self, weather: list[Fate], seconds: float, answers_take: float) -> None:
        self.weather = weather
        self.calm = False
        self.link.publisher.answers_take = answers_take
        self.link.run(seconds)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.link.run(seconds)

    @rule(
        back=st.booleans(),
        what=st.sampled_from(["discovery", "discovery", "restart"]),
    )
    def trouble(self, what: str, back: bool) -> None:
        if what == "restart":
            self.link.restart_publisher()
            self.calm = False
        else:
            subscriber = self.link.subscriber
            (subscriber.device_rebooted if back else subscriber.device_gone)(DEVICE, self.link.now)

    # --- what is true all the time ---

    @invariant()
    def events_come_in_the_order_of_seq(self) -> None:
        for outcome in self.link.subscriber_outcomes:
            if isinstance(outcome, SeqUnreliable):
                self.unreliable.add(outcome.subscription)
            elif isinstance(outcome, Event) and outcome.subscription not in self.unreliable:
                key = (outcome.subscription, outcome.sid)
                assert outcome.seq is not None
                assert outcome.seq > self.last_seq.get(key, -1)
                self.last_seq[key] = outcome.seq
        self.link.subscriber_outcomes.clear()
        if self.calm:
            assert not self.unreliable
            assert all(record.gaps == 0 for record in self.everything)

    @invariant()
    def the_tables_of_the_subscriber_agree(self) -> None:
        subscriber = self.link.subscriber
        routing = subscriber._routing
        paths, sids, subscribing = {}, {}, set()
        for record in subscriber.subscriptions:
            assert record.state is not SubscriberState.CLOSED
            early = routing._early.get(record, ())
            on_shared_path = early is routing._early_on_shared_path
            sharing = len(self.everything) if on_shared_path else 1
            assert len(early) <= sharing * LIMITS.early_messages
            if record.path and record.path != "/events":
                paths[record.path] = record
            if record.state is SubscriberState.CLOSING:
                sids[record.sid] = record
            if record.expires is not None:
                sids[record.sid] = record
                assert record.state in (
                    SubscriberState.GRANTED,
                    SubscriberState.ACTIVE,
                    SubscriberState.DEAF,
                    SubscriberState.UNANSWERED,
                )
            if record.state is SubscriberState.SUBSCRIBING:
                subscribing.add(record)
        assert routing.paths == paths
        assert routing._sids == sids
        assert routing._early.keys() == subscribing
        assert len(subscriber._timers) <= 4 * len(list(subscriber.subscriptions))

    @invariant()
    def the_tables_of_the_publisher_agree(self) -> None:
        publisher = self.link.publisher
        schedule = publisher._queue
        services = publisher._services.values()
        assert sum(publisher._per_address.values()) == len(publisher._subscriptions)
        assert sum(len(service.subscriptions) for service in services) == len(
            publisher._subscriptions
        )
        in_flight = list(schedule._in_flight)
        assert set(in_flight) == publisher.in_flight
        assert sum(load.in_flight for load in schedule._endpoints.loads.values()) == len(in_flight)
        assert schedule._waiting == sum(
            len(load.waiting) for load in schedule._endpoints.loads.values() if not load.paused
        )

    @invariant()
    def the_memory_is_bounded(self) -> None:
        for service in self.link.publisher._services.values():
            bound = 4 * LIMITS.waiting_messages + 2 * (
                LIMITS.waiting_messages * len(service.subscriptions)
            )
            assert len(service.backlog._log) <= bound + 2 * LIMITS.waiting_messages * 8
            assert len(service.backlog._cache) <= 16 * LIMITS.waiting_messages

    # --- the end ---

    def teardown(self) -> None:
        if not hasattr(self, "link"):
            return
        link = self.link
        self.weather = [DELIVER]
        # Who lets the initial event wait for longer than the grant lasts is never heard.
        link.publisher.answers_take = 0.0
        # Whatever is still on its way arrives, is given up, or is tried again.
        link.run(300)
        # GENA cannot tell a subscriber that the last event was lost; the next one does, whatever
        # it is about.
        for path in PATHS:
            link.update(path, {"B": "last"})
        link.run(30)
        self.events_come_in_the_order_of_seq()
        for record in self.everything:
            note(f"{record} {record.values}")
            if record.state in (SubscriberState.CLOSED, SubscriberState.REFUSED):
                continue
            assert record.state is SubscriberState.ACTIVE
            assert record.values["B"] == "last"
            # Who was cut off too often has been told that gaps cannot be seen any more.
            if record not in self.unreliable:
                path = record.event_url.removeprefix(link.url(""))
                texts = link.publisher._services[path].texts
                assert record.values == {name: texts[name] for name in record.accepted or texts}
        assert link.publisher.settled
        for record in self.everything:
            link.unsubscribe(record)
        link.run(100)
        assert all(record.state is SubscriberState.CLOSED for record in self.everything)
        assert not list(link.subscriber.subscriptions)
        assert not len(link.subscriber._timers)
        assert not link.subscriber._routing._late
        assert link.subscriber.next_deadline() is None
        assert not list(link.publisher.subscriptions)
        assert not link.publisher._per_address
        assert all(
            load in link.publisher._queue._endpoints.unused
            for load in link.publisher._queue._endpoints.loads.values()
        )
        assert link.publisher._queue.idle
        assert link.publisher.next_deadline() is None
        self.the_tables_of_the_subscriber_agree()
        self.the_tables_of_the_publisher_agree()


TestLink = LinkMachine.TestCase
TestLink.settings = settings(
    max_examples=settings().max_examples,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
