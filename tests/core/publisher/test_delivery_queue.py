"""The order in which subscriptions are sent their messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.delivery_queue import DeliveryQueue
from propchange.core.publisher.outcomes import Merged
from propchange.core.publisher.records import EventedVariable, PublishedService, Route, Subscription
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
)

PEER = Endpoint("10.0.0.2", 40_000)


class Desk:
    """A schedule with one service, and the part of the publisher that it needs."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.merged: list[Merged] = []
        self.abandoned: list[Subscription] = []
        self.schedule = DeliveryQueue(limits, self.merged.append, self.abandoned.append)
        variables = {"A": EventedVariable("0"), "B": EventedVariable("0")}
        self.service = PublishedService("/evt", variables, limits)
        self.now = 0.0

    def subscription(self, *ports: int, wanted: str | None = None) -> Subscription:
        """One that owes its initial event, queued."""
        sid = f"uuid:{len(self.service.subscriptions) + 1}"
        routes = []
        for port in ports or (1,):
            endpoint = Endpoint("10.0.0.2", port)
            url = DeliveryURL(f"http://{endpoint}/", endpoint, str(endpoint), "/")
            address = DeliveryAddress(sid, url, None, "1.1")
            routes.append(Route(address, self.schedule.use(endpoint, PEER, self.now)))
        subscription = Subscription(
            sid,
            self.service,
            tuple(routes),
            peer=PEER,
            duration=1800,
            expires=1800.0,
            wanted=None if wanted is None else frozenset(wanted),
        )
        subscription.state = PublisherState.OWED
        self.service.subscriptions[sid] = subscription
        self.schedule.enqueue(subscription)
        return subscription

    def quiet(self, *ports: int, wanted: str | None = None) -> Subscription:
        """One that has been told everything."""
        subscription = self.subscription(*ports, wanted=wanted)
        (delivery,) = self.take()
        self.settle(delivery)
        return subscription

    def take(self, limit: int = 100) -> list[Delivery]:
        return self.schedule.take(limit, self.now)

    def settle(self, delivery: Delivery) -> None:
        assert self.schedule.ended(delivery, 200, self.now)
        subscription = delivery.subscription
        assert isinstance(subscription, Subscription)
        subscription.state = PUBLISHER.step(subscription.state, PublisherInput.SETTLED)
        self.schedule.settled(subscription, self.now)

    def end(self, subscription: Subscription) -> None:
        subscription.state = PublisherState.ENDED
        self.service.quiet.pop(subscription, None)
        self.schedule.leave(subscription, self.now)

    def change(self, **changes: str) -> None:
        self.service.backlog.record(changes)
        self.schedule.changed(self.service)


def test_a_schedule_is_idle_when_nothing_waits_and_nothing_is_in_flight() -> None:
    desk = Desk()
    assert desk.schedule.idle
    desk.subscription()
    assert not desk.schedule.idle
    (delivery,) = desk.take()
    assert not desk.schedule.idle
    desk.settle(delivery)
    assert desk.schedule.idle


def test_a_schedule_is_not_idle_while_somebody_waits_for_a_port() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1))
    desk.subscription()
    waiting = desk.subscription()
    (delivery,) = desk.take()
    assert desk.schedule._waiting == 1
    desk.settle(delivery)
    assert not desk.schedule.idle
    (delivery,) = desk.take()
    assert delivery.subscription is waiting
    desk.settle(delivery)
    assert desk.schedule.idle


def test_a_schedule_is_not_idle_during_a_shortened_attempt() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, attempt_seconds=70.0))
    desk.subscription()
    (delivery,) = desk.take()
    assert desk.schedule.next_deadline() == 60.0
    assert not desk.schedule.idle
    assert desk.schedule.ended(delivery, 200, desk.now)
    assert desk.schedule.idle
    assert desk.schedule.next_deadline() is None


def test_a_change_queues_a_service_once_however_many_are_quiet() -> None:
    desk = Desk()
    for port in range(1, 11):
        desk.quiet(port)
    desk.change(A="1")
    desk.change(A="2")
    assert len(desk.schedule._ready) == 1
    assert len(desk.take()) == 10
    assert not desk.service.queued
    assert not desk.service.quiet


def test_a_change_that_nobody_is_quiet_for_queues_nothing() -> None:
    desk = Desk()
    desk.change(A="1")
    assert desk.schedule.idle


def test_a_service_half_told_stays_in_its_place() -> None:
    desk = Desk()
    quiet = [desk.quiet(port) for port in range(1, 4)]
    desk.change(A="1")
    late = desk.subscription(9)
    taken = [desk.take(1)[0].subscription for _ in range(4)]
    assert taken == [*quiet, late]
    assert desk.take(1) == []


def test_a_service_half_told_is_not_queued_again_by_the_next_change() -> None:
    desk = Desk()
    for port in (1, 2, 3):
        desk.quiet(port)
    desk.change(A="1")
    desk.take(1)
    desk.change(A="2")
    assert not desk.service.queued
    assert len(desk.take()) == 2
    assert desk.schedule.idle is False
    assert not desk.schedule._ready


def test_deliveries_say_where_to_what_and_whether_the_connection_must_be_fresh() -> None:
    desk = Desk()
    subscription = desk.subscription(1, wanted="B")
    (delivery,) = desk.take()
    assert delivery.address is subscription.routes[0].address
    assert delivery.message.changes == (("B", "0"),)
    assert delivery.fresh is False
    assert desk.schedule.ended(delivery, 200, desk.now)
    subscription.fresh = True
    desk.schedule.enqueue(subscription)
    (delivery,) = desk.take()
    assert delivery.fresh is True
    desk.settle(delivery)
    desk.change(B="1")
    taken = desk.schedule.take(10, 0.0)
    assert [delivery.fresh for delivery in taken] == [False]
    assert desk.merged == []


def test_a_subscription_without_a_message_is_quiet_again_and_takes_no_turn() -> None:
    desk = Desk()
    choosy = desk.quiet(1, wanted="B")
    other = desk.quiet(2)
    desk.change(A="1")
    (delivery,) = desk.take(1)
    assert delivery.subscription is other
    assert list(desk.service.quiet) == [choosy]
    assert desk.take(1) == []
    desk.change(B="1")
    assert desk.take()[0].subscription is choosy


def test_a_subscription_that_settles_behind_the_head_is_queued_and_else_rests() -> None:
    desk = Desk()
    behind = desk.quiet(1)
    desk.change(A="1")
    (first,) = desk.take()
    desk.change(A="2")
    desk.settle(first)
    (second,) = desk.take()
    assert (second.subscription, second.seq) == (behind, 2)
    desk.settle(second)
    assert list(desk.service.quiet) == [behind]


def test_a_limit_leaves_the_others_of_an_endpoint_that_answers_waiting() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=2))
    desk.quiet(1)
    for _ in range(4):
        desk.subscription(1)
    for delivery in desk.take():
        desk.settle(delivery)
    assert [len(desk.take(1)) for _ in range(3)] == [1, 1, 0]


def test_a_merged_message_is_pointed_out_at_its_first_attempt_alone() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, waiting_messages=1))
    subscription = desk.quiet()
    desk.change(A="1")
    desk.change(A="2")
    (delivery,) = desk.schedule.take(10, 0.0)
    assert desk.merged == [Merged(subscription.sid, delivery.seq, 2)]
    assert desk.schedule.ended(delivery, 200, desk.now)
    desk.schedule.enqueue(subscription)
    assert len(desk.schedule.take(10, 0.0)) == 1
    assert len(desk.merged) == 1


def merging(ports: tuple[int, ...], **limits: int) -> Desk:
    """Quiet subscriptions, for which two changes wait that are merged."""
    desk = Desk(replace(DEFAULT_LIMITS, waiting_messages=1, **limits))
    for port in ports:
        desk.quiet(port)
    desk.change(A="1")
    desk.change(A="2")
    return desk


def take_stopping(desk: Desk) -> list[int]:
    """The updates of the messages of each call, until nothing is taken."""
    taken = []
    while deliveries := desk.schedule.take(10, desk.now, stop_at_merged=True):
        taken += [[delivery.message.updates for delivery in deliveries]]
        for delivery in deliveries:
            desk.settle(delivery)
    assert all(len(updates) == 1 for updates in taken)
    return [updates[0] for updates in taken]


def test_a_merged_message_is_the_last_one_that_is_taken_if_that_is_asked_for() -> None:
    assert take_stopping(merging((1, 2, 3))) == [2, 2, 2]
    desk = merging((1, 2, 3))
    assert len(desk.take()) == 3


def test_a_merged_message_of_a_subscription_that_waited_is_the_last_one_too() -> None:
    desk = merging((1, 1, 1), connections_per_delivery_endpoint=1)
    assert take_stopping(desk) == [2, 2, 2]
    assert desk.schedule.idle


def test_a_merged_message_to_an_endpoint_in_a_share_is_the_last_one_too() -> None:
    desk = merging((1, 1, 1, 2))
    for delivery in desk.take():
        assert desk.schedule.ended(delivery, DeliveryFailure.CONNECT, desk.now)
        delivery.subscription.state = PublisherState.QUIET
        desk.schedule.settled(delivery.subscription, desk.now)
    desk.now += 10
    desk.change(A="3")
    desk.change(A="4")
    first, other = desk.schedule.take(1, desk.now), desk.schedule.take(1, desk.now)
    assert [each.subscription.sid for each in first + other] == ["uuid:1", "uuid:4"]
    desk.schedule.take(0, desk.now)
    for delivery in first + other:
        assert desk.schedule.ended(delivery, DeliveryFailure.STALE, desk.now)
    assert take_stopping(desk) == [2, 2]


def test_a_delivery_ends_once() -> None:
    desk = Desk()
    desk.subscription()
    (delivery,) = desk.take()
    assert desk.schedule.ended(delivery, 200, desk.now)
    assert not desk.schedule.ended(delivery, 200, desk.now)


@pytest.mark.clause("FAIL-03")
def test_attempts_run_out_of_time_in_the_order_in_which_they_began() -> None:
    desk = Desk()
    assert desk.schedule.next_deadline() is None
    assert desk.schedule.pop_timed_out(1e9) is None
    for port in (1, 2):
        desk.subscription(port)
    (first,) = desk.take(1)
    desk.now = 5.0
    (second,) = desk.take(1)
    assert desk.schedule.next_deadline() == 30.0
    assert desk.schedule.pop_timed_out(29.9) is None
    assert desk.schedule.pop_timed_out(30.0) is first
    desk.schedule.ended(first, 200, desk.now)
    assert desk.schedule.next_deadline() == 35.0
    assert desk.schedule.pop_timed_out(34.9) is None
    assert desk.schedule.pop_timed_out(35.0) is second


def test_a_shortened_attempt_may_run_out_before_one_that_began_earlier() -> None:
    desk = Desk()
    retried = desk.subscription(1, 2)
    (attempt,) = desk.take()
    desk.schedule.ended(attempt, 200, desk.now)
    retried.route = 1
    desk.now = 30.0
    desk.schedule.enqueue(retried)
    (attempt,) = desk.take()
    assert desk.schedule.next_deadline() == 60.0
    desk.schedule.ended(attempt, 200, desk.now)
    desk.now = 40.0
    desk.subscription(3)
    (ordinary,) = desk.take()
    desk.now = 50.0
    desk.schedule.enqueue(retried)
    (shortened,) = desk.take()
    assert desk.schedule.next_deadline() == 60.0
    assert desk.schedule.pop_timed_out(59.9) is None
    assert desk.schedule.pop_timed_out(60.0) is shortened
    assert desk.schedule.pop_timed_out(70.0) is ordinary
    desk.schedule.ended(shortened, 200, desk.now)
    assert desk.schedule.next_deadline() == 70.0


def test_an_endpoint_is_forgotten_with_the_last_who_used_it() -> None:
    desk = Desk()
    one, two = desk.quiet(1), desk.quiet(1, 2)
    assert set(desk.schedule._endpoints.loads) == {Endpoint("10.0.0.2", 1), Endpoint("10.0.0.2", 2)}
    desk.end(two)
    assert set(desk.schedule._endpoints.loads) == {Endpoint("10.0.0.2", 1)}
    desk.end(one)
    assert desk.schedule._endpoints.loads == {}


def test_an_endpoint_is_remembered_while_a_notify_to_it_is_in_flight() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1))
    ended = desk.subscription()
    waiting = desk.subscription()
    (delivery,) = desk.take()
    desk.end(ended)
    desk.end(waiting)
    assert desk.schedule._endpoints.loads
    assert desk.schedule.ended(delivery, 200, desk.now)
    assert desk.schedule._endpoints.loads == {}
    assert desk.take() == []
    assert desk.schedule.idle


def test_as_many_deliveries_to_a_port_as_it_may_have_connections_go_out_at_once() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=3))
    desk.quiet()
    for _ in range(5):
        desk.subscription()
    taken = desk.take()
    assert len(taken) == 3
    assert desk.schedule._waiting == 2
    desk.settle(taken[0])
    assert len(desk.take()) == 1
    assert desk.take() == []


def test_subscriptions_that_wait_for_a_port_are_served_in_their_order() -> None:
    desk = Desk(replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1))
    everybody = [desk.subscription() for _ in range(5)]
    served = []
    while taken := desk.take():
        (delivery,) = taken
        served.append(delivery.subscription)
        desk.settle(delivery)
    assert served == everybody


def test_a_service_told_in_part_while_its_subscriptions_end_forgets_none_of_the_others() -> None:
    desk = Desk()
    quiet = [desk.quiet(port) for port in range(1, 6)]
    desk.change(A="1")
    told = [delivery.subscription for delivery in desk.take(2)]
    desk.end(quiet[2])
    desk.end(quiet[0])
    told += [delivery.subscription for delivery in desk.take()]
    assert told == [quiet[0], quiet[1], quiet[3], quiet[4]]


# --- endpoints that do not answer ---

FEW = replace(DEFAULT_LIMITS, unproven_delivery_connections=2, failing_delivery_connections=1)


@pytest.mark.clause("FAIL-08")
def test_however_many_never_answered_those_that_answer_are_told_at_once() -> None:
    desk = Desk(FEW)
    good = desk.quiet(1)
    for port in range(2, 9):
        desk.subscription(port)
    assert len(desk.take()) == 2
    desk.change(A="1")
    (delivery,) = desk.take()
    assert delivery.subscription is good


def test_an_unproven_endpoint_is_tried_when_another_has_answered_or_failed() -> None:
    desk = Desk(FEW)
    third, fourth = [desk.subscription(port) for port in range(1, 5)][2:]
    first, second = desk.take()
    desk.settle(first)
    (delivery,) = desk.take()
    assert delivery.subscription is third
    desk.now = 30.0
    assert desk.schedule.ended(second, DeliveryFailure.TIMED_OUT, desk.now)
    (delivery,) = desk.take()
    assert delivery.subscription is fourth


def test_an_endpoint_that_failed_has_to_do_with_fewer_connections_until_it_answers() -> None:
    desk = Desk(FEW)
    subscriptions = [desk.quiet(port) for port in (1, 2)]
    desk.change(A="1")
    for delivery in desk.take():
        assert desk.schedule.ended(delivery, DeliveryFailure.CONNECT, desk.now)
        subscription = delivery.subscription
        subscription.state = PUBLISHER.step(subscription.state, PublisherInput.SETTLED)
        desk.schedule.settled(subscription, desk.now)
    desk.change(A="2")
    (one,) = desk.take()
    desk.settle(one)
    (other,) = desk.take()
    desk.settle(other)
    assert {one.subscription, other.subscription} == set(subscriptions)
    desk.change(A="3")
    assert len(desk.take()) == 2


@pytest.mark.parametrize("failure", [DeliveryFailure.STALE, DeliveryFailure.WAITED])
def test_without_a_connection_an_attempt_says_nothing_against_its_endpoint(
    failure: DeliveryFailure,
) -> None:
    desk = Desk(FEW)
    subscription = desk.quiet(1)
    desk.change(A="1")
    (delivery,) = desk.take()
    desk.now = 30.0
    assert desk.schedule.ended(delivery, failure, desk.now)
    assert subscription.routes[0].load.share is None


def test_a_subscription_that_ended_while_it_waited_passes_its_turn_on() -> None:
    desk = Desk(FEW)
    subscriptions = [desk.subscription(port) for port in range(1, 6)]
    first, _ = desk.take()
    desk.end(subscriptions[2])
    desk.settle(first)
    (delivery,) = desk.take()
    assert delivery.subscription is subscriptions[3]
    assert desk.schedule._waiting == 1


def test_subscriptions_that_wait_for_a_share_leave_it_with_their_endpoint() -> None:
    desk = Desk(FEW)
    subscriptions = [desk.subscription(1) for _ in range(4)]
    other = desk.subscription(2)
    first, _ = desk.take()
    desk.settle(first)
    assert {delivery.subscription for delivery in desk.take()} == {*subscriptions[2:], other}


def test_waiting_subscriptions_go_along_when_their_endpoint_fails() -> None:
    desk = Desk(replace(FEW, connections_per_delivery_endpoint=2))
    desk.quiet(1)
    subscriptions = [desk.subscription(1) for _ in range(4)]
    for delivery in desk.take():
        assert desk.schedule.ended(delivery, DeliveryFailure.CONNECT, desk.now)
    (delivery,) = desk.take()
    assert delivery.subscription is subscriptions[2]
    desk.settle(delivery)
    (delivery,) = desk.take()
    assert delivery.subscription is subscriptions[3]


@pytest.mark.parametrize(("answered", "fails"), [(6.0, False), (5.0, True), (4.0, True)])
def test_an_endpoint_fails_when_it_took_no_event_since_the_failing_attempt_began(
    answered: float, fails: bool
) -> None:
    desk = Desk()
    desk.quiet(1)
    desk.subscription(1)
    desk.subscription(1)
    (answer,) = desk.take(1)
    desk.now = 5.0
    (failing,) = desk.take()
    desk.now = answered
    desk.settle(answer)
    desk.now = 35.0
    assert desk.schedule.ended(failing, DeliveryFailure.TIMED_OUT, desk.now)
    load = failing.subscription.routes[0].load
    assert (load.share is not None) is fails
    assert load.failures == fails


def test_nobody_waits_for_an_endpoint_that_all_its_subscriptions_have_left() -> None:
    desk = Desk(FEW)
    for port in (1, 2):
        desk.subscription(port)
    gone = [desk.subscription(3) for _ in range(2)]
    assert len(desk.take()) == 2
    for subscription in gone:
        desk.end(subscription)
    assert desk.schedule._waiting == 0
    assert Endpoint("10.0.0.2", 3) not in desk.schedule._endpoints.loads
    assert not desk.schedule._endpoints.unproven._ready


def abandon(desk: Desk, delivery: Delivery) -> None:
    assert desk.schedule.ended(delivery, DeliveryFailure.CONNECT, desk.now)
    subscription = delivery.subscription
    subscription.state = PUBLISHER.step(subscription.state, PublisherInput.SETTLED)
    desk.schedule.settled(subscription, desk.now)


def paused_endpoint() -> Desk:
    """A desk with one subscription, whose endpoint has failed three times."""
    desk = Desk()
    desk.subscription(1)
    for number in range(3):
        desk.change(A=str(number))
        (delivery,) = desk.take()
        abandon(desk, delivery)
    desk.change(A="last")
    assert desk.take() == []
    return desk


def test_a_pause_that_is_over_ends_also_when_no_timer_has_fired() -> None:
    desk = paused_endpoint()
    desk.now = DEFAULT_LIMITS.pause_first_seconds
    (delivery,) = desk.take()
    assert dict(delivery.message.changes) == {"A": "last"}


def test_an_event_that_is_taken_ends_the_pause_that_another_attempt_has_caused() -> None:
    desk = paused_endpoint()
    desk.subscription(1)
    waiting, initial = desk.take()
    abandon(desk, waiting)
    desk.change(A="after")
    assert desk.take() == []
    desk.settle(initial)
    assert len(desk.take()) == 2


def test_the_first_attempt_of_a_host_waits_for_no_pause_and_prolongs_it_if_it_fails() -> None:
    desk = paused_endpoint()
    desk.subscription(1)
    (waiting,) = desk.take(1)
    abandon(desk, waiting)  # paused again
    desk.change(A="after")
    (first,) = desk.take()
    load = first.subscription.routes[0].load
    before = load.paused_until
    abandon(desk, first)
    assert load.paused_until > before
    assert desk.take() == []
    assert desk.schedule._postponed == 1
