"""Endpoints that take no event are paused, whatever the subscribers and the application do.

The address in a delivery URL need not be that of a subscriber. What a SUBSCRIBE can make the
publisher send to somebody else is bounded by ``Limits``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.delivery_share import origin_of
from propchange.core.publisher.outcomes import MessageAbandoned, Renewed
from propchange.core.publisher.states import PublisherState
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request
from tests.core.publisher_on_a_clock import Answer, Publisher, answers_after

DAY = 86_400.0
VICTIM = "10.0.9.9"
ATTACKER = "10.0.0.66"
NO_EVENT_TAKEN = {
    "refuses": answers_after(0.001, DeliveryFailure.CONNECT),
    "is not there": answers_after(5.0, DeliveryFailure.CONNECT),
    "resets": answers_after(0.001, DeliveryFailure.BROKEN),
    "is silent": answers_after(1e9),
    "answers 404": answers_after(0.001, 404),
    "answers 503": answers_after(0.001, 503),
    "redirects": answers_after(0.001, 307),
}
any_victim = pytest.mark.parametrize("victim", NO_EVENT_TAKEN.values(), ids=NO_EVENT_TAKEN)


@pytest.mark.clause("CSX-05")
@any_victim
def test_one_subscribe_causes_a_bounded_number_of_attempts_at_a_victim(victim: Answer) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    ports = range(1, DEFAULT_LIMITS.callback_urls + 1)
    publisher.subscribe(*ports, host=VICTIM, peer=ATTACKER, timeout=f"Second-{DAY:.0f}")
    publisher.run(60.0, victim, change_every=0.1)
    publisher.run(DAY, victim, change_every=60.0)
    per_port = Counter(endpoint.port for _, endpoint in publisher.attempts)
    assert set(per_port) == set(ports)
    # The grant was short, so it is fewer than the attempts of a day.
    assert all(3 <= n <= 13 for n in per_port.values()), per_port
    assert not list(publisher.protocol.subscriptions)


@pytest.mark.clause("CSX-05")
@any_victim
def test_who_renews_a_subscription_for_a_victim_causes_no_more_than_the_limit_in_a_day(
    victim: Answer,
) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    while publisher.now < DAY:
        publisher.run(publisher.now + 600.0, victim, change_every=20.0)
        publisher.request("SUBSCRIBE", ATTACKER, SID=sid, TIMEOUT="Second-86400")
    assert len(publisher.attempts) <= DEFAULT_LIMITS.unproven_attempts
    assert len(list(publisher.protocol.subscriptions)) == 1


@pytest.mark.clause("CSX-05")
@any_victim
def test_a_thousand_subscriptions_cause_no_more_attempts_at_one_endpoint_than_one(
    victim: Answer,
) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    for _ in range(1_000):
        publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(60.0, victim, change_every=0.1)
    many = len(publisher.attempts)
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(60.0, victim, change_every=0.1)
    assert many <= len(publisher.attempts) + DEFAULT_LIMITS.attempts_at_unproven_endpoint


@pytest.mark.slow
@pytest.mark.clause("CSX-05")
@any_victim
def test_attempts_per_second_are_bounded_however_many_endpoints_are_named(victim: Answer) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    for first in range(1, 3_001, 6):
        publisher.subscribe(*range(first, first + 6), host=VICTIM, peer=ATTACKER)
    seconds = 20.0
    publisher.run(seconds, victim, change_every=0.1)
    limits = DEFAULT_LIMITS
    rounds = 1 + seconds / limits.unproven_place_seconds
    assert len(publisher.attempts) <= rounds * limits.unproven_deliveries_per_address


@pytest.mark.clause("CSX-05")
def test_a_victim_is_not_tried_sooner_because_the_attacker_cancels_and_subscribes_again() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    refused = NO_EVENT_TAKEN["refuses"]
    for n in range(1, 201):
        sid = publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
        publisher.run(n * 0.1, refused)
        publisher.request("UNSUBSCRIBE", SID=sid)
    waits = [later - sooner for (sooner, _), (later, _) in pairwise(publisher.attempts)]
    assert len(publisher.attempts) <= 10, waits


def test_a_grant_for_another_host_is_short_until_it_has_taken_an_event() -> None:
    publisher = Publisher(DEFAULT_LIMITS)

    def granted(**where: str) -> str:
        callback = f"<http://{where['host']}:80/>"
        response = publisher.request(
            "SUBSCRIBE", where["peer"], CALLBACK=callback, NT="upnp:event", TIMEOUT="Second-86400"
        )
        return response.fields[b"timeout"].decode()

    assert granted(host="10.0.0.2", peer="10.0.0.2") == "Second-86400"
    assert granted(host=VICTIM, peer=ATTACKER) == "Second-1800"
    publisher.run(1.0, answers_after(0.01))
    assert granted(host=VICTIM, peer=ATTACKER) == "Second-86400"
    sid = next(iter(publisher.protocol.subscriptions)).sid
    answer = publisher.request("SUBSCRIBE", "10.0.0.2", SID=sid, TIMEOUT="Second-86400")
    assert answer.fields[b"timeout"] == b"Second-86400"
    assert [o.duration for o in publisher.protocol.take_outcomes() if isinstance(o, Renewed)] == [
        86_400
    ]


def test_an_endpoint_that_failed_and_never_took_an_event_has_a_short_grant() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80)
    publisher.run(1.0, NO_EVENT_TAKEN["refuses"])
    answer = publisher.request("SUBSCRIBE", SID=sid, TIMEOUT="Second-86400")
    assert answer.fields[b"timeout"] == b"Second-1800"


# --- the honest subscriber ---


def fails(*numbers: int) -> Answer:
    """Each attempt with one of these numbers fails, counted from 1."""
    attempts = 0

    def answer(delivery: Delivery) -> tuple[float, int | DeliveryFailure]:
        nonlocal attempts
        attempts += 1
        return 0.01, DeliveryFailure.BROKEN if attempts in numbers else 200

    return answer


@pytest.mark.clause("FAIL-04")
@pytest.mark.parametrize("failing", [(3,), (3, 4), (1, 2)])
def test_a_hiccup_delays_no_event(failing: tuple[int, ...]) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80)
    publisher.run(3.0, fails(*failing), change_every=0.1)
    times = [when for when, _ in publisher.attempts]
    assert max(later - sooner for sooner, later in pairwise(times)) < 0.11
    assert publisher.values() == [publisher.text("A")]


@pytest.mark.clause("FAIL-04")
def test_a_subscriber_that_comes_back_has_the_final_state_within_the_longest_pause() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80)
    publisher.run(1.0, answers_after(0.01), change_every=0.1)
    publisher.run(1_500.0, NO_EVENT_TAKEN["refuses"], change_every=1.0)
    back = publisher.now
    publisher.run(back + DEFAULT_LIMITS.pause_most_seconds + 0.1, answers_after(0.01))
    assert publisher.values() == [publisher.text("A")]
    assert publisher.protocol.settled


@pytest.mark.clause("FAIL-04")
@pytest.mark.parametrize("how", ["renews", "subscribes"])
@pytest.mark.parametrize("proven", [True, False])
def test_a_pause_ends_at_once_when_the_host_itself_renews_or_subscribes(
    how: str, proven: bool
) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80)
    if proven:
        publisher.run(1.0, answers_after(0.01))
    publisher.run(200.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    assert publisher.protocol.take_deliveries(1) == []
    publisher.attempts.clear()
    if how == "renews":
        publisher.request("SUBSCRIBE", SID=sid)
    else:
        publisher.subscribe(80)
    publisher.run(200.5, answers_after(0.01))
    assert publisher.attempts[0][0] == 200.0
    assert set(publisher.values()) == {publisher.text("A")}


def test_one_404_shows_that_an_endpoint_that_took_events_and_failed_is_there_again() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80)
    publisher.run(1.0, answers_after(0.01))
    publisher.run(200.0, NO_EVENT_TAKEN["refuses"], change_every=1.0)
    publisher.attempts.clear()
    results = iter([404])
    publisher.run(400.0, lambda _: (0.01, next(results, 200)), change_every=1.0)
    first = publisher.attempts[0][0]
    assert len(publisher.attempts) >= 400 - first - 2
    assert publisher.values() == [publisher.text("A")]


def test_a_renewal_from_elsewhere_ends_the_pause_of_an_endpoint_that_took_events() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80, host="10.0.0.3", peer="10.0.0.2")
    publisher.run(1.0, answers_after(0.01))
    publisher.run(200.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    publisher.request("SUBSCRIBE", "10.0.0.2", SID=sid)
    publisher.run(200.5, answers_after(0.01))
    assert publisher.values() == [publisher.text("A")]


@pytest.mark.clause("SUB-58")
def test_an_initial_event_waits_for_the_pause_and_is_sent_even_after_an_unsubscribe() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(20.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    sid = publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    owed = list(publisher.protocol.subscriptions)[-1]
    publisher.request("UNSUBSCRIBE", SID=sid)
    assert publisher.protocol.take_deliveries(10) == []
    assert owed.state is PublisherState.OWED_CANCELLED
    publisher.run(60.0, answers_after(0.01))
    assert owed.state is PublisherState.ENDED
    assert publisher.received[sid] == {"A": publisher.text("A"), "B": "0"}


def test_what_waits_for_the_end_of_a_pause_keeps_no_device_from_closing() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80)
    publisher.run(10.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    publisher.change("last")
    publisher.subscribe(80, peer=ATTACKER)
    assert publisher.protocol.take_deliveries(10) == []
    assert publisher.protocol.settled


# --- several delivery URLs ---

DEAD, ALIVE = 1, 2


def one_is_dead(delivery: Delivery) -> tuple[float, int | DeliveryFailure]:
    dead = delivery.address.url.endpoint.port == DEAD
    return 0.01, DeliveryFailure.CONNECT if dead else 200


@pytest.mark.clause("FAIL-01")
def test_while_the_first_delivery_url_is_paused_the_next_takes_each_event() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(DEAD, ALIVE)
    publisher.run(100.0, one_is_dead, change_every=0.5)
    tried = Counter(endpoint.port for _, endpoint in publisher.attempts)
    assert tried[ALIVE] >= 200
    assert 3 <= tried[DEAD] <= 10
    assert publisher.values() == [publisher.text("A")]


@pytest.mark.clause("FAIL-01")
def test_who_waits_for_the_first_delivery_url_goes_on_to_the_next_when_it_is_paused() -> None:
    limits = replace(DEFAULT_LIMITS, attempts_at_unproven_endpoint=1)
    publisher = Publisher(limits)
    for _ in range(10):
        publisher.subscribe(DEAD, ALIVE, peer=ATTACKER)
    publisher.run(5.0, one_is_dead)
    assert publisher.heard() == [True] * 10
    assert Counter(endpoint.port for _, endpoint in publisher.attempts)[DEAD] <= 6


@pytest.mark.clause("FAIL-03")
def test_a_message_is_abandoned_when_the_delivery_urls_that_are_left_are_paused() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, attempts_at_unproven_endpoint=1))
    for _ in range(4):
        publisher.subscribe(2, peer=ATTACKER)
    publisher.subscribe(1, 2, peer=ATTACKER)
    publisher.run(30.0, NO_EVENT_TAKEN["refuses"])
    assert any(
        isinstance(outcome, MessageAbandoned) and "other delivery URLs" in outcome.reason
        for outcome in publisher.outcomes
    )
    publisher.change("last")
    publisher.run(300.0, answers_after(0.01))
    assert set(publisher.values()) == {"last"}


@pytest.mark.clause("FAIL-01")
@pytest.mark.parametrize("there", [1, 2])
def test_of_paused_delivery_urls_the_one_is_used_that_is_there_first(there: int) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    first = publisher.subscribe(1, 2, 2, host=VICTIM, peer=ATTACKER)
    second = publisher.subscribe(2, 2, 1, host=VICTIM, peer=ATTACKER)
    publisher.run(200.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    assert publisher.protocol.take_deliveries(10) == []
    publisher.subscribe(there, host=VICTIM)
    publisher.run(201.0, answers_after(0.01))
    assert {first, second} <= publisher.received.keys()
    assert set(publisher.values()) == {publisher.text("A")}


@pytest.mark.clause("FAIL-01")
def test_who_waits_for_a_later_delivery_url_goes_back_to_an_earlier_one_that_is_there() -> None:
    publisher = Publisher(replace(DEFAULT_LIMITS, attempts_at_unproven_endpoint=2))
    *_, last = [publisher.subscribe(1, 2, host=VICTIM, peer=ATTACKER) for _ in range(3)]
    publisher.run(200.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    publisher.subscribe(2, host=VICTIM)
    attempt, _ = publisher.protocol.take_deliveries(2)
    publisher.subscribe(1, host=VICTIM)
    publisher.protocol.delivery_ended(attempt, DeliveryFailure.BROKEN, publisher.now)
    ports = {
        each.address.sid: each.address.url.endpoint.port
        for each in publisher.protocol.take_deliveries(10)
    }
    assert (attempt.address.url.endpoint.port, ports[last]) == (2, 1)


def test_the_turns_of_a_host_are_its_own_although_another_named_its_endpoint_first() -> None:
    limits = replace(
        DEFAULT_LIMITS, unproven_delivery_connections=2, unproven_deliveries_per_address=1
    )
    publisher = Publisher(limits)
    publisher.subscribe(*range(1, 4), host=VICTIM, peer=ATTACKER)
    for port in range(1, 4):
        publisher.subscribe(port, host=VICTIM, peer=ATTACKER)
    publisher.run(0.5, answers_after(1e9))
    assert len(publisher.attempts) == 1
    publisher.subscribe(3, host=VICTIM)
    publisher.run(1.0, answers_after(1e9))
    assert publisher.attempts[1:] == [(0.5, Endpoint(VICTIM, 3))]


def test_an_endpoint_that_takes_events_keeps_no_turn_of_the_one_who_named_it_first() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    publisher.subscribe(80, host="10.0.0.3", peer="10.0.0.2")
    publisher.run(1.0, answers_after(0.01))
    publisher.subscribe(80, host="10.0.0.3")
    (load,) = publisher.protocol._queue._endpoints.loads.values()
    assert load.share is None
    publisher.run(60.0, NO_EVENT_TAKEN["refuses"], change_every=0.1)
    assert load.share is publisher.protocol._queue._endpoints.failing.join(load.origin)
    assert load.origin == origin_of(Endpoint("10.0.0.3", 0))


def test_a_renewal_without_the_address_of_its_subscriber_is_granted() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80)
    headers = [(b"HOST", b"10.0.0.1:8000"), (b"SID", sid.encode())]
    request = Request("SUBSCRIBE", "/evt", headers, local=Endpoint("10.0.0.1", 8000))
    assert publisher.protocol.receive_request(request, publisher.now).status == 200


def test_a_place_is_free_again_in_time_for_who_waits_for_it() -> None:
    limits = replace(DEFAULT_LIMITS, unproven_delivery_connections=1)
    publisher = Publisher(limits)
    publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(1.0, NO_EVENT_TAKEN["refuses"])
    publisher.subscribe(80)
    assert publisher.protocol.take_deliveries(1) == []
    assert publisher.protocol.next_deadline() == limits.unproven_place_seconds
    publisher.run(6.0, answers_after(0.01))
    assert publisher.attempts[1] == (limits.unproven_place_seconds, Endpoint("10.0.0.2", 80))


# --- an endpoint that takes the events of some subscriptions ---


def refuses_all_but(*sids: str) -> Answer:
    """An endpoint that knows these SIDs."""
    return lambda delivery: (0.001, 200 if delivery.address.sid in sids else 404)


@pytest.mark.clause("CSX-05")
def test_a_subscriber_is_not_sent_the_events_of_a_forged_subscription_time_and_again() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    honest = publisher.subscribe(80, host=VICTIM)
    publisher.run(1.0, refuses_all_but(honest))
    before = len(publisher.attempts)
    forged = publisher.subscribe(80, host=VICTIM, peer=ATTACKER, timeout="Second-86400")
    changes = 600
    publisher.run(1.0 + changes * 0.1, refuses_all_but(honest), change_every=0.1)
    assert len(publisher.attempts) - before <= changes + 13
    assert publisher.received[honest]["A"] == publisher.text("A")
    publisher.run(DAY, refuses_all_but(honest), change_every=60.0)
    assert forged not in publisher.received


@pytest.mark.clause("FAIL-08")
def test_a_forged_subscription_delays_no_event_of_the_endpoint_that_it_names() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    honest = publisher.subscribe(80, host=VICTIM, statevar="B")
    for _ in range(100):
        publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(30.0, refuses_all_but(honest), change_every=0.1)
    publisher.protocol.update("/evt", {"B": "late"}, publisher.now)
    publisher.run(30.1, refuses_all_but(honest))
    assert publisher.received[honest] == {"B": "late"}


@pytest.mark.clause("FAIL-08")
@pytest.mark.parametrize("answer", NO_EVENT_TAKEN.values(), ids=NO_EVENT_TAKEN)
def test_a_host_goes_before_a_thousand_subscriptions_that_others_made_for_it(
    answer: Answer,
) -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    for _ in range(1_000):
        publisher.subscribe(80, host=VICTIM, peer=ATTACKER)
    publisher.run(40.0, answer, change_every=0.1)
    honest = [publisher.subscribe(80, host=VICTIM) for _ in range(3)]

    def known(delivery: Delivery) -> tuple[float, int | DeliveryFailure]:
        return (0.001, 200) if delivery.address.sid in honest else answer(delivery)

    publisher.run(40.5, known)
    assert set(honest) <= publisher.received.keys()


@pytest.mark.clause("FAIL-04")
def test_a_subscription_that_is_refused_for_a_while_has_the_final_state_within_the_pause() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80)
    other = publisher.subscribe(80)
    publisher.run(1.0, answers_after(0.001))
    publisher.run(300.0, refuses_all_but(other), change_every=0.1)
    publisher.run(300.0 + DEFAULT_LIMITS.pause_most_seconds + 0.1, answers_after(0.001))
    assert publisher.received[sid]["A"] == publisher.text("A")


def test_a_renewal_ends_the_pause_of_a_subscription_that_was_refused() -> None:
    publisher = Publisher(DEFAULT_LIMITS)
    sid = publisher.subscribe(80)
    other = publisher.subscribe(80)
    publisher.run(1.0, answers_after(0.001))
    publisher.run(300.0, refuses_all_but(other), change_every=0.1)
    publisher.request("SUBSCRIBE", SID=sid)
    publisher.run(300.1, answers_after(0.001))
    assert publisher.received[sid]["A"] == publisher.text("A")
