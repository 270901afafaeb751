"""Endpoints that wait for a share of the delivery connections, and the invariant of the schedule.

Nothing waits for a share that is idle, and each subscription that has a message is sent it when
its endpoint answers.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable, Subscription
from propchange.core.publisher.states import PublisherState
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request

HERE = Endpoint("10.0.0.1", 8000)
THERE = Endpoint("10.0.0.2", 40_000)


class Publisher:
    """A publisher with one service, on a clock that the test moves."""

    def __init__(self, limits: Limits) -> None:
        self.now = 0.0
        self.limits = replace(limits, subscriptions=2_000, subscriptions_per_address=2_000)
        numbers = itertools.count(1)
        self.protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{next(numbers)}",
            on_link=lambda _: (OnLink(ip_network("10.0.0.0/16")),),
            policy=PublisherPolicy(uda="2.0"),
            limits=self.limits,
        )
        self.protocol.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})

    def request(self, method: str, **headers: str) -> None:
        pairs = [(b"HOST", b"10.0.0.1:8000")]
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request(method, "/evt", pairs, peer=THERE, local=HERE)
        response = self.protocol.receive_request(request, self.now)
        assert response.status == 200
        self.protocol.response_sent(response, self.now)

    def subscribe(self, *ports: int, statevar: str = "") -> None:
        callback = "".join(f"<http://10.0.0.2:{port}/>" for port in ports)
        more = {"STATEVAR": statevar} if statevar else {}
        self.request("SUBSCRIBE", CALLBACK=callback, NT="upnp:event", **more)

    def at(self, now: float) -> None:
        self.now = now
        self.protocol.handle_deadline(now)

    def heard(self) -> list[bool]:
        return [subscription.heard for subscription in self.protocol.subscriptions]

    def run(self, seconds_to_answer: float, until: float) -> None:
        """Everything that is sent is answered with 200 after ``seconds_to_answer``."""
        answers: list[tuple[float, int, Delivery]] = []
        numbers = itertools.count()
        while True:
            free = self.limits.delivery_connections - len(answers)
            for delivery in self.protocol.take_deliveries(free):
                when = self.now + seconds_to_answer
                heapq.heappush(answers, (when, next(numbers), delivery))
            deadline = self.protocol.next_deadline()
            when = min(until if deadline is None else deadline, answers[0][0] if answers else until)
            if when >= until:
                return
            self.at(when)
            while answers and answers[0][0] <= self.now:
                self.protocol.delivery_ended(heapq.heappop(answers)[2], 200, self.now)


@pytest.mark.clause("FAIL-08")
def test_all_subscriptions_of_an_endpoint_that_answers_are_heard_with_one_unproven_place() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, unproven_delivery_connections=1))
    for _ in range(3):
        publisher.subscribe(1)
    publisher.run(0.2, until=10.0)
    assert publisher.heard() == [True] * 3


@pytest.mark.clause("FAIL-08")
def test_900_subscriptions_of_300_endpoints_that_answer_slowly_are_all_heard() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    for _, port in itertools.product(range(3), range(1, 301)):
        publisher.subscribe(port)
    publisher.run(0.2, until=10.0)
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


# --- whatever happens ---

PORTS = st.integers(1, 4)
LIMITS = replace(
    DEFAULT_LIMITS,
    unproven_delivery_connections=2,
    failing_delivery_connections=1,
    connections_per_delivery_endpoint=3,
    delivery_connections=8,
    waiting_messages=2,
)
TAKEN = st.sampled_from([0, 1, 2, 100, 100, 100])
RESULTS = st.sampled_from([200, 200, 200, 503, 412, *DeliveryFailure])
SUBSCRIPTIONS = 12
_UNTIL_ANSWERED = {PublisherState.OWED, PublisherState.OWED_CANCELLED}


class LaneMachine(RuleBasedStateMachine):
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

    # --- what happens ---

    def pump(self, taken: int) -> None:
        for outcome in self.protocol.take_outcomes():
            if isinstance(outcome, AttemptTimedOut):
                self.in_flight.remove(outcome.delivery)
                self.abandoned.add(outcome.delivery.address.sid)
        deliveries = self.protocol.take_deliveries(taken)
        self.drained = len(deliveries) < taken
        self.in_flight += deliveries

    def end(self, delivery: Delivery, result: int | DeliveryFailure) -> None:
        self.in_flight.remove(delivery)
        if result == 200:
            self.values.setdefault(delivery.address.sid, {}).update(delivery.message.changes)
        elif result is not DeliveryFailure.STALE or delivery.fresh:
            self.abandoned.add(delivery.address.sid)
        self.protocol.delivery_ended(delivery, result, self.publisher.now)

    def subscriptions(self) -> list[Subscription]:
        return list(self.protocol.subscriptions)

    @precondition(lambda self: len(self.subscriptions()) < SUBSCRIPTIONS)
    @rule(
        ports=st.lists(PORTS, min_size=1, max_size=2),
        statevar=st.sampled_from(["", "", "A"]),
        times=st.integers(1, 4),
        taken=TAKEN,
    )
    def subscribe(self, ports: list[int], statevar: str, times: int, taken: int) -> None:
        for _ in range(times):
            self.publisher.subscribe(*ports, statevar=statevar)
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

    @rule(port=PORTS, result=RESULTS, taken=TAKEN)
    def end_all_of_an_endpoint(self, port: int, result: int | DeliveryFailure, taken: int) -> None:
        for delivery in tuple(self.in_flight):
            if delivery.address.url.endpoint.port == port:
                self.end(delivery, result)
        self.pump(taken)

    @precondition(lambda self: self.subscriptions())
    @rule(data=st.data(), taken=TAKEN)
    def unsubscribe(self, data: st.DataObject, taken: int) -> None:
        cancelled = {PublisherState.OWED_CANCELLED, PublisherState.INITIAL_CANCELLED}
        subscription = data.draw(st.sampled_from(self.subscriptions()))
        if subscription.state not in cancelled:
            self.publisher.request("UNSUBSCRIBE", SID=subscription.sid)
        self.pump(taken)

    @rule(seconds=st.sampled_from([0.5, 10.0, 31.0, 1_000.0]), taken=TAKEN)
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
    def whoever_waits_waits_for_what_is_in_use(self) -> None:
        if not self.drained:
            return
        for subscription in self.subscriptions():
            if self.waits(subscription):
                load = subscription.routes[subscription.route].load
                lane = load.lane
                full = load.in_flight == LIMITS.connections_per_delivery_endpoint
                assert full or (lane is not None and lane.in_flight == lane.most), subscription

    @invariant()
    def every_endpoint_with_waiting_subscriptions_queues_or_is_at_its_cap(self) -> None:
        schedule = self.schedule
        lanes = (schedule._unproven, schedule._failing)
        queues = (schedule._answering, *(lane.queue for lane in lanes))
        for load in schedule._loads.values():
            may_begin = load.in_flight < LIMITS.connections_per_delivery_endpoint
            assert load.queue is (schedule._answering if load.lane is None else load.lane.queue)
            for queue in queues:
                expected = bool(load.waiting) and may_begin and queue is load.queue
                assert (load in queue) == expected
        assert all(load in schedule._loads.values() for queue in queues for load in queue)

    @invariant()
    def the_tables_agree(self) -> None:
        schedule = self.schedule
        lanes = Counter(schedule._lanes.values())
        for lane in (schedule._unproven, schedule._failing):
            assert lane.in_flight == lanes[lane] <= lane.most
        loads = list(schedule._loads.values())
        assert set(schedule._in_flight) == set(self.in_flight)
        assert sum(load.in_flight for load in loads) == len(self.in_flight)
        assert all(load.in_flight <= LIMITS.connections_per_delivery_endpoint for load in loads)
        assert schedule._waiting == sum(len(load.waiting) for load in loads)

    # --- the end: every attempt is answered with 200 ---

    def answer_everything(self) -> None:
        self.pump(100)
        while self.in_flight:
            self.end(self.in_flight[0], 200)
            self.pump(100)
            self.whoever_waits_waits_for_what_is_in_use()

    def teardown(self) -> None:
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
        assert not self.schedule._loads
        assert self.protocol.next_deadline() is None


TestLanes = LaneMachine.TestCase
TestLanes.settings = settings(max_examples=settings().max_examples, stateful_step_count=40)
