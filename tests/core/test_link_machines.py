"""Both protocols back to back, over a wire that does what wires do, and worse.

Whatever happens on the way: once the wire is whole again, both ends agree; and while it is not,
order is kept, nothing precedes an answer and nothing grows.
"""

from __future__ import annotations

from dataclasses import replace

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

from propchange.core.events import Event
from propchange.core.held import HeldSubscription
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.messages import Delivery, DeliveryFailure, Response
from propchange.core.outcomes import SeqUnreliable
from propchange.core.publication import EventedVariable
from propchange.core.publisher import PublisherProtocol
from propchange.core.rules import PublisherPolicy, SubscriberPolicy
from propchange.core.states import SubscriberState
from propchange.testing import DELIVER, Fate, Link

LIMITS = replace(
    DEFAULT_LIMITS, waiting_messages=3, connections_per_delivery_endpoint=2, early_messages=3
)
PATHS = ("/one", "/two")
DEVICE = "the device"

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
        self.in_flight: set[Delivery] = set()
        self.next_seq: dict[str, int] = {}

    def response_sent(self, response: Response, now: float) -> None:
        self.answered.add(response.fields[b"sid"].decode())
        super().response_sent(response, now)

    def take_deliveries(self, limit: int) -> list[Delivery]:
        taken = super().take_deliveries(limit)
        for delivery in taken:
            sid = delivery.address.sid
            assert sid in self.answered, "an event before the answer"
            assert all(other.address.sid != sid for other in self.in_flight), "two in flight"
            assert delivery.seq >= self.next_seq.get(sid, 0), "SEQ went back"
            self.next_seq[sid] = delivery.seq
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
        jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
    )
    def begin(self, shared: bool, jitters: list[float]) -> None:
        self.weather = [DELIVER]
        self.messages = 0
        self.everything: list[HeldSubscription] = []
        self.serial = 0
        draws = 0

        def jitter() -> float:
            nonlocal draws
            draws += 1
            return jitters[draws % len(jitters)]

        self.link = WatchedLink(
            fate=self.fate,
            jitter=jitter,
            limits=LIMITS,
            publisher_policy=PublisherPolicy(minimum_duration=20, uda="2.0"),
            subscriber_policy=SubscriberPolicy(
                duration=20, shared_path="/events" if shared else None
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

    @rule(target=helds, path=st.sampled_from(PATHS), persistent=st.booleans())
    def subscribe(self, path: str, persistent: bool) -> HeldSubscription:
        held = self.link.subscribe(path, persistent=persistent, describable=True, device=DEVICE)
        self.link.described_at[held] = self.link.url(path)
        self.everything.append(held)
        return held

    @rule(held=consumes(helds))
    def unsubscribe(self, held: HeldSubscription) -> None:
        self.link.unsubscribe(held)

    @rule(
        path=st.sampled_from(PATHS),
        names=st.sets(st.sampled_from(["A", "B", "Slow"]), min_size=1),
        times=st.integers(1, 6),
    )
    def update(self, path: str, names: set[str], times: int) -> None:
        for _ in range(times):
            self.serial += 1
            self.link.update(path, dict.fromkeys(sorted(names), str(self.serial)))

    @rule(weather=st.lists(FATES, min_size=1, max_size=6))
    def change_weather(self, weather: list[Fate]) -> None:
        self.weather = weather

    @rule(seconds=st.sampled_from([0.0, 0.3, 2.0, 6.0, 13.0, 35.0]))
    def wait(self, seconds: float) -> None:
        self.link.run(seconds)

    @rule()
    def restart(self) -> None:
        self.link.restart_publisher()

    @rule(back=st.booleans())
    def discovery_tells(self, back: bool) -> None:
        subscriber = self.link.subscriber
        (subscriber.device_rebooted if back else subscriber.device_gone)(DEVICE, self.link.now)

    # --- what is true all the time ---

    @invariant()
    def events_come_in_the_order_of_seq(self) -> None:
        unreliable = set()
        last: dict[tuple[HeldSubscription, str], int] = {}
        for outcome in self.link.subscriber_outcomes:
            if isinstance(outcome, SeqUnreliable):
                unreliable.add(outcome.subscription)
            elif isinstance(outcome, Event) and outcome.subscription not in unreliable:
                key = (outcome.subscription, outcome.sid)
                assert outcome.seq is not None
                assert outcome.seq > last.get(key, -1)
                last[key] = outcome.seq

    @invariant()
    def the_tables_of_the_subscriber_agree(self) -> None:
        subscriber = self.link.subscriber
        reception = subscriber._reception
        paths, sids, subscribing = {}, {}, set()
        for held in subscriber.subscriptions:
            assert held.state is not SubscriberState.CLOSED
            assert len(held.early) <= LIMITS.early_messages
            if held.path and held.path != "/events":
                paths[held.path] = held
            if held.expires is not None:
                sids[held.sid] = held
                assert held.state in (
                    SubscriberState.GRANTED,
                    SubscriberState.ACTIVE,
                    SubscriberState.DEAF,
                )
            if held.path == "/events" and held.state is SubscriberState.SUBSCRIBING:
                subscribing.add(held)
        assert reception._paths == paths
        assert reception._sids == sids
        assert reception._subscribing == subscribing
        assert len(subscriber._deadlines) <= 4 * len(list(subscriber.subscriptions))

    @invariant()
    def the_tables_of_the_publisher_agree(self) -> None:
        publisher = self.link.publisher
        schedule = publisher._schedule
        services = publisher._services.values()
        assert sum(publisher._per_address.values()) == len(publisher._subscriptions)
        assert sum(len(service.subscriptions) for service in services) == len(
            publisher._subscriptions
        )
        in_flight = [*schedule._in_flight, *schedule._shortened._when]
        assert set(in_flight) == publisher.in_flight
        assert sum(load.in_flight for load in schedule._loads.values()) == len(in_flight)
        assert schedule._waiting == sum(len(load.waiting) for load in schedule._loads.values())

    @invariant()
    def the_memory_is_bounded(self) -> None:
        for service in self.link.publisher._services.values():
            bound = 4 * LIMITS.waiting_messages + 2 * (
                LIMITS.waiting_messages * len(service.subscriptions)
            )
            assert service.backlog.retained <= bound + 2 * LIMITS.waiting_messages * 8
            assert len(service.backlog._cache) <= 16 * LIMITS.waiting_messages

    # --- the end ---

    def teardown(self) -> None:
        if not hasattr(self, "link"):
            return
        link = self.link
        self.weather = [DELIVER]
        # Whatever is still on its way arrives, is given up, or is tried again.
        link.run(300)
        # GENA cannot tell a subscriber that the last event was lost; the next one does.
        self.serial += 1
        for path in PATHS:
            link.update(path, dict.fromkeys(("A", "B", "Slow"), f"last {self.serial}"))
        link.run(30)
        for held in self.everything:
            note(f"{held} {held.values}")
            if held.state in (SubscriberState.CLOSED, SubscriberState.REFUSED):
                continue
            assert held.state is SubscriberState.ACTIVE
            path = held.event_url.removeprefix(link.url(""))
            assert held.values == link.publisher._services[path].texts
        assert link.publisher.settled
        for held in self.everything:
            link.unsubscribe(held)
        link.run(100)
        assert all(held.state is SubscriberState.CLOSED for held in self.everything)
        assert not list(link.subscriber.subscriptions)
        assert not len(link.subscriber._deadlines)
        assert link.subscriber.next_deadline() is None
        assert not list(link.publisher.subscriptions)
        assert not link.publisher._per_address
        assert not link.publisher._schedule._loads
        assert link.publisher._schedule.idle
        assert link.publisher.next_deadline() is None
        self.the_tables_of_the_subscriber_agree()
        self.the_tables_of_the_publisher_agree()


TestLink = LinkMachine.TestCase
TestLink.settings = settings(
    max_examples=min(settings().max_examples, 1_000),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
