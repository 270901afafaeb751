"""Endpoints that wait for a share of the delivery connections, and the invariant of the schedule.

Nothing waits for a share that is idle, and each subscription that has a message is sent it when
its endpoint answers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.outcomes import AttemptTimedOut, MessageAbandoned
from propchange.core.publisher.records import EndpointLoad, Subscription
from propchange.core.publisher.states import PublisherState
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint
from tests.core.publisher_on_a_clock import Publisher, answers_after


@pytest.mark.clause("FAIL-08")
def test_all_subscriptions_of_an_endpoint_that_answers_are_heard_with_one_unproven_place() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, unproven_delivery_connections=1))
    for _ in range(3):
        publisher.subscribe(1)
    publisher.run(10.0, answers_after(0.2))
    assert publisher.heard() == [True] * 3


@pytest.mark.clause("FAIL-08")
def test_900_subscriptions_of_300_endpoints_that_answer_slowly_are_all_heard() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    for _, port in itertools.product(range(3), range(1, 301)):
        publisher.subscribe(port)
    publisher.run(10.0, answers_after(0.2))
    assert Counter(publisher.heard()) == {True: 900}
    assert publisher.protocol.settled


@pytest.mark.clause("FAIL-08")
def test_an_endpoint_with_many_subscriptions_takes_turns_with_the_others() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, unproven_delivery_connections=1))
    for port in (1, 1, 1, 2, 3):
        publisher.subscribe(port)
    publisher.at(1.0)
    tried = []
    for _ in range(5):
        (delivery,) = publisher.protocol.take_deliveries(10)
        tried.append(delivery.address.url.endpoint.port)
        publisher.protocol.delivery_ended(delivery, DeliveryFailure.STALE, publisher.now)
    assert tried == [1, 1, 2, 3, 1]


@pytest.mark.clause("FAIL-08")
def test_an_address_keeps_its_turn_if_its_first_subscriptions_want_none_of_the_changes() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, unproven_delivery_connections=1))
    publisher.subscribe(1, host="10.0.0.4")
    for statevar in ("A", "A", ""):
        publisher.subscribe(1, host="10.0.0.3", statevar=statevar)
    for _ in range(3):
        publisher.subscribe(1, host="10.0.0.2")
    publisher.at(1.0)
    tried: list[str] = []

    def try_each() -> None:
        tried.clear()
        while deliveries := publisher.protocol.take_deliveries(10):
            (delivery,) = deliveries
            tried.append(delivery.address.url.endpoint.host)
            publisher.protocol.delivery_ended(delivery, DeliveryFailure.WAITED, publisher.now)

    try_each()
    assert len(tried) == 7
    publisher.protocol.update("/evt", {"B": "1"}, publisher.now)
    try_each()
    assert sorted(tried) == ["10.0.0.2"] * 3 + ["10.0.0.3", "10.0.0.4"]
    assert "10.0.0.3" in tried[:3]


@pytest.mark.parametrize("failing", [False, True], ids=["unproven", "failing"])
def test_the_addresses_of_one_prefix_leave_places_for_others(*, failing: bool) -> None:
    """A host has as many IPv6 addresses of its prefix as it likes."""
    publisher = Publisher(
        replace(
            DEFAULT_LIMITS,
            unproven_delivery_connections=8,
            unproven_deliveries_per_prefix=5,
            failing_delivery_connections=6,
            failing_deliveries_per_prefix=4,
        )
    )
    for number in range(1, 21):
        prefix = "2001:db8:0:1" if number <= 15 else f"2001:db8:0:{number}"
        publisher.subscribe(80, host=f"{prefix}::{number}")
    publisher.at(1.0)
    while failing and (deliveries := publisher.protocol.take_deliveries(100)):
        for delivery in deliveries:
            publisher.protocol.delivery_ended(delivery, 200, publisher.now)
    if failing:
        publisher.change("1")
        for delivery in publisher.protocol.take_deliveries(100):
            publisher.protocol.delivery_ended(delivery, DeliveryFailure.BROKEN, publisher.now)
        publisher.change("2")
    peers = [each.subscription.peer.host for each in publisher.protocol.take_deliveries(100)]
    of_prefix = [peer for peer in peers if peer.startswith("2001:db8:0:1::")]
    assert (len(of_prefix), len(peers)) == ((4, 6) if failing else (5, 8))


# --- whatever happens ---

HOSTS = st.sampled_from(["10.0.0.2", "10.0.0.3", "10.0.0.4"])
PORTS = st.integers(1, 3)
LIMITS = replace(
    DEFAULT_LIMITS,
    unproven_delivery_connections=3,
    unproven_deliveries_per_address=2,
    failing_delivery_connections=2,
    failing_deliveries_per_address=1,
    connections_per_delivery_endpoint=3,
    delivery_connections=8,
    waiting_messages=2,
)
TAKEN = st.sampled_from([0, 1, 2, 100, 100, 100])
RESULTS = st.sampled_from([200, 200, 200, 503, 412, *DeliveryFailure])
SUBSCRIPTIONS = 12
CANCELLED = {PublisherState.OWED_CANCELLED, PublisherState.INITIAL_CANCELLED}
_UNTIL_ANSWERED = {PublisherState.OWED, PublisherState.OWED_CANCELLED}


Turn = tuple[bool, Hashable]
"""Whose turn an attempt is: in the share of the failing endpoints or not, and of which address."""


def turn_of(load: EndpointLoad) -> Turn:
    return load.proven, load.origin[0]


def has_message(subscription: Subscription) -> bool:
    """Whether there is a message for ``subscription``. It may want none of the changes
    (STATEVAR)."""
    if subscription.state in _UNTIL_ANSWERED or subscription.message is not None:
        return True
    backlog = subscription.service.backlog
    return (
        backlog.take(subscription.cursor, subscription.merge_at, subscription.wanted)[0] is not None
    )


class ShareMachine(RuleBasedStateMachine):
    """A runtime that takes as much as it likes, and endpoints that answer as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.publisher = Publisher(LIMITS)
        self.protocol = self.publisher.protocol
        self.schedule = self.protocol._queue
        self.in_flight: list[Delivery] = []
        self.values: dict[str, dict[str, str]] = {}
        self.abandoned: set[str] = set()
        self.serial = 0
        self.drained = True
        # For each address that waits for its turn: the attempts of each other address meanwhile.
        self.overtaken: dict[Turn, Counter[Turn]] = {}
        self.waited: dict[Turn, set[EndpointLoad]] = {}

    # --- what happens ---

    def pump(self, taken: int) -> None:
        for outcome in self.protocol.take_outcomes():
            if isinstance(outcome, AttemptTimedOut):
                self.in_flight.remove(outcome.delivery)
                # An endpoint that fails waits for no turn while it has another attempt in flight,
                # even if that one times out at the same time.
                load = self.schedule._endpoints.loads.get(outcome.delivery.address.url.endpoint)
                if load is not None:
                    self.overtaken.pop(turn_of(load), None)
                self.abandoned.add(outcome.delivery.address.sid)
        self.note_who_waits()
        for turn in self.waited:
            self.overtaken.setdefault(turn, Counter())
        deliveries = self.protocol.take_deliveries(taken)
        self.drained = len(deliveries) < taken
        self.in_flight += deliveries
        for delivery in deliveries:
            load = delivery.subscription.routes[delivery.subscription.route].load
            if load.share is None:
                continue
            turn = turn_of(load)
            self.overtaken.pop(turn, None)
            for other, counts in self.overtaken.items():
                if other[0] is turn[0]:
                    counts[turn] += 1
                    assert counts[turn] <= 1
        self.waited = self.waiting_for_a_turn()
        for outcome in self.protocol.take_outcomes():
            if isinstance(outcome, MessageAbandoned):
                self.abandoned.add(outcome.sid)

    def note_who_waits(self) -> None:
        """Forget the counts of the addresses of which no endpoint has waited all the time."""
        waiting = self.waiting_for_a_turn()
        self.overtaken = {
            turn: counts
            for turn, counts in self.overtaken.items()
            if waiting.get(turn, set()) & self.waited.get(turn, set())
        }
        self.waited = waiting

    def waiting_for_a_turn(self) -> dict[Turn, set[EndpointLoad]]:
        """The endpoints that wait, of each address that has a place."""
        waiting: dict[Turn, set[EndpointLoad]] = {}
        for load in self.schedule._endpoints.loads.values():
            if (
                load.share is not None
                and load in load.share._ready
                and load.share.in_use < load.share._places
                and any(has_message(each) for each in load.waiting)
            ):
                waiting.setdefault(turn_of(load), set()).add(load)
        return waiting

    def end(self, delivery: Delivery, result: int | DeliveryFailure) -> None:
        self.in_flight.remove(delivery)
        if result == 200:
            self.values.setdefault(delivery.address.sid, {}).update(delivery.message.changes)
        elif result is not DeliveryFailure.STALE or delivery.fresh:
            self.abandoned.add(delivery.address.sid)
        self.protocol.delivery_ended(delivery, result, self.publisher.now)
        self.note_who_waits()

    def subscriptions(self) -> list[Subscription]:
        return list(self.protocol.subscriptions)

    @precondition(lambda self: len(self.subscriptions()) < SUBSCRIPTIONS)
    @rule(
        host=HOSTS,
        peer=st.sampled_from(["", "", "10.0.0.2"]),
        ports=st.lists(PORTS, min_size=1, max_size=2),
        statevar=st.sampled_from(["", "", "A"]),
        times=st.integers(1, 4),
        taken=TAKEN,
    )
    def subscribe(  # noqa: PLR0917 (hypothesis passes them by name)
        self, host: str, peer: str, ports: list[int], statevar: str, times: int, taken: int
    ) -> None:
        origins = {load: load.origin for load in self.schedule._endpoints.loads.values()}
        for _ in range(times):
            self.publisher.subscribe(*ports, host=host, peer=peer, statevar=statevar)
        if any(load.origin != origin for load, origin in origins.items()):
            self.overtaken.clear()  # an endpoint has changed from one address to another
        # Until the initial events are due.
        self.publisher.at(self.publisher.now + 0.1)
        self.pump(taken)

    @rule(name=st.sampled_from("AB"), times=st.integers(1, 4), taken=TAKEN)
    def change(self, name: str, times: int, taken: int) -> None:
        for _ in range(times):
            self.serial += 1
            self.protocol.update("/evt", {name: str(self.serial)}, self.publisher.now)
        self.pump(taken)

    @rule(taken=TAKEN)
    def take(self, taken: int) -> None:
        self.pump(taken)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), result=RESULTS, taken=TAKEN)
    def end_one(self, data: st.DataObject, result: int | DeliveryFailure, taken: int) -> None:
        self.end(data.draw(st.sampled_from(self.in_flight)), result)
        self.pump(taken)

    @rule(host=HOSTS, result=RESULTS, taken=TAKEN)
    def end_all_of_a_host(self, host: str, result: int | DeliveryFailure, taken: int) -> None:
        for delivery in tuple(self.in_flight):
            if delivery.address.url.endpoint.host == host:
                self.end(delivery, result)
        self.pump(taken)

    @rule(host=HOSTS, ports=st.sets(PORTS, min_size=1), taken=TAKEN)
    def endpoints_are_away(self, host: str, ports: set[int], taken: int) -> None:
        """Long enough to be paused."""
        away = {Endpoint(host, port) for port in ports}
        for _ in range(LIMITS.failures_before_pause + 1):
            for delivery in tuple(self.in_flight):
                if delivery.address.url.endpoint in away:
                    self.end(delivery, DeliveryFailure.CONNECT)
            self.pump(100)
            self.publisher.at(self.publisher.now + LIMITS.unproven_place_seconds)
            self.pump(taken)

    @precondition(lambda self: self.subscriptions())
    @rule(data=st.data(), taken=TAKEN)
    def unsubscribe(self, data: st.DataObject, taken: int) -> None:
        subscription = data.draw(st.sampled_from(self.subscriptions()))
        if subscription.state not in CANCELLED:
            self.publisher.request("UNSUBSCRIBE", SID=subscription.sid)
        self.pump(taken)

    @precondition(lambda self: self.subscriptions())
    @rule(data=st.data(), taken=TAKEN)
    def renew(self, data: st.DataObject, taken: int) -> None:
        subscription = data.draw(st.sampled_from(self.subscriptions()))
        if subscription.state not in CANCELLED:
            peer = subscription.peer.host
            self.publisher.request("SUBSCRIBE", peer, SID=subscription.sid)
            for route in subscription.routes:
                if route.address.url.endpoint.host == peer:
                    assert not route.load.paused
        self.pump(taken)

    @rule(seconds=st.sampled_from([0.5, 6.0, 31.0, 1_000.0]), taken=TAKEN)
    def wait(self, seconds: float, taken: int) -> None:
        self.publisher.at(self.publisher.now + seconds)
        self.pump(taken)

    # --- what is true all the time ---

    def waits(self, subscription: Subscription) -> bool:
        """Whether a message is due that is not on its way."""
        if any(delivery.subscription is subscription for delivery in self.in_flight):
            return False
        if subscription.state in _UNTIL_ANSWERED:
            return True
        return (
            subscription.message is not None
            or subscription.cursor != subscription.service.backlog.head
        )

    @invariant()
    def whoever_waits_waits_for_what_is_in_use_or_for_the_end_of_a_pause(self) -> None:
        if not self.drained:
            return
        for subscription in self.subscriptions():
            if self.waits(subscription):
                load = subscription.routes[subscription.route].load
                if subscription in self.schedule._refused:
                    assert subscription.message is None
                elif load.paused:
                    assert subscription.message is None
                    assert all(route.load.paused for route in subscription.routes)
                    assert load in self.schedule._pauses
                else:
                    assert load.in_flight >= load.most or not load.share.has_place, subscription

    @invariant()
    def every_endpoint_with_waiting_subscriptions_queues_or_is_at_its_cap(self) -> None:
        schedule = self.schedule
        for load in schedule._endpoints.loads.values():
            expected = bool(load.waiting) and load.in_flight < load.most and not load.paused
            assert (load in schedule._answering) == (expected and load.share is None)
            if load.share is not None:
                assert (load in load.share._ready) == expected
        assert all(load in schedule._endpoints.loads.values() for load in schedule._answering)

    @invariant()
    def the_tables_agree(self) -> None:
        schedule = self.schedule
        loads = list(schedule._endpoints.loads.values())
        for share, proven in (
            (schedule._endpoints.unproven, False),
            (schedule._endpoints.failing, True),
        ):
            parts = share._parts.values()
            assert share.in_use == sum(part.in_use for part in parts) <= share._places
            assert all(part.in_use <= part._places for part in parts)
            members = Counter(
                load.origin[0] for load in loads if load.share is not None and load.proven is proven
            )
            assert members == {key: p._members for key, p in share._parts.items() if p._members}
        places = schedule._endpoints.unproven.in_use + schedule._endpoints.failing.in_use
        assert places == len(schedule._endpoints.places)
        assert set(schedule._in_flight) == set(self.in_flight)
        assert set(schedule._endpoints.places) <= {
            *self.in_flight,
            *schedule._endpoints.occupied.when,
        }
        assert sum(load.in_flight for load in loads) == len(self.in_flight)
        assert all(load.in_flight <= LIMITS.connections_per_delivery_endpoint for load in loads)
        for load in loads:
            assert load.users or load.in_flight or load.paused or load in schedule._endpoints.unused
        assert schedule._waiting == sum(len(load.waiting) for load in loads if not load.paused)
        assert schedule._postponed == sum(len(load.waiting) for load in loads if load.paused)
        if schedule._waiting or schedule._postponed or len(schedule._refused):
            assert self.protocol.next_deadline() is not None

    # --- the end: every attempt is answered with 200 ---

    def answer_everything(self) -> None:
        self.pump(100)
        schedule = self.schedule
        rounds = itertools.count()
        while (
            self.in_flight or schedule._waiting or len(schedule._pauses) or len(schedule._refused)
        ):
            while self.in_flight:
                self.end(self.in_flight[0], 200)
                self.pump(100)
                self.whoever_waits_waits_for_what_is_in_use_or_for_the_end_of_a_pause()
            assert next(rounds) < 1_000
            deadline = self.protocol.next_deadline() or self.schedule._pauses.next()
            if deadline is not None:
                self.publisher.at(max(deadline, self.publisher.now))
                self.pump(100)

    def teardown(self) -> None:
        assert self.protocol.settled or self.waiting_or_in_flight()
        self.answer_everything()
        assert self.protocol.settled
        texts = self.protocol._services["/evt"].texts
        for subscription in self.subscriptions():
            assert subscription.state is PublisherState.QUIET
            if subscription.sid not in self.abandoned:
                wanted = subscription.wanted or texts.keys()
                assert self.values[subscription.sid] == {name: texts[name] for name in wanted}
        self.protocol.update("/evt", {"A": "last"}, self.publisher.now)
        self.answer_everything()
        for subscription in self.subscriptions():
            assert self.values[subscription.sid]["A"] == "last"
            self.publisher.request("UNSUBSCRIBE", SID=subscription.sid)
        assert self.protocol.settled
        assert self.protocol.next_deadline() is None
        self.publisher.at(self.publisher.now + 1e6)
        assert not self.schedule._endpoints.loads
        assert not self.schedule._endpoints.unproven._parts
        assert not self.schedule._endpoints.failing._parts

    def waiting_or_in_flight(self) -> bool:
        return not self.schedule.idle or bool(len(self.protocol._owed))


TestShares = ShareMachine.TestCase
TestShares.settings = settings(max_examples=settings().max_examples, stateful_step_count=40)
