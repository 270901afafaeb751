"""PublisherProtocol: requests in, deliveries out, on a clock that the test moves."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import (
    AnswerUnreported,
    AttemptFailed,
    AttemptTimedOut,
    Disowned,
    Expired,
    InitialEventDelivered,
    Merged,
    MergeFailed,
    MessageAbandoned,
    Refused,
    Renewed,
    Subscribed,
    Unsubscribed,
)
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.publisher.states import PublisherState
from propchange.core.values.merging import CONTAINERS, Fold, FoldedChange
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryFailure,
    Endpoint,
    Request,
    Response,
)
from tests.core.clock import OnAClock

HERE = Endpoint("10.0.0.1", 8000)
THERE = Endpoint("10.0.0.2", 40_000)
URL = "http://10.0.0.2:9000/events"


class Device(OnAClock):
    """A publisher with two services, and everything that a runtime would do, one step at a time."""

    def __init__(
        self, *, policy: PublisherPolicy | None = None, limits: Limits = DEFAULT_LIMITS, **variables
    ) -> None:
        super().__init__()
        numbers = itertools.count(1)
        self.gone: set[str] = set()
        """Addresses that this machine has no longer."""
        self.protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{next(numbers)}",
            on_link=lambda _: (OnLink(ip_network("10.0.0.0/16")),),
            own_towards=lambda _: HERE,
            has_address=lambda endpoint: endpoint.host not in self.gone,
            policy=policy,
            limits=limits,
        )
        self.protocol.add_service(
            "/evt", variables or {"A": EventedVariable("0"), "B": EventedVariable("0")}
        )
        self.protocol.add_service("/other", {"X": EventedVariable("x")})

    def request(
        self,
        method: str,
        *headers: tuple[str, str],
        path: str = "/evt",
        peer: Endpoint = THERE,
        local: Endpoint = HERE,
    ) -> Response:
        pairs = [(b"HOST", str(local).encode())]
        pairs += [(name.encode(), value.encode()) for name, value in headers]
        request = Request(method, path, pairs, peer=peer, local=local)
        return self.protocol.receive_request(request, self.now)

    def ask(self, *urls: str, timeout: str = "", statevar: str = "", **where) -> Response:
        """A SUBSCRIBE, and its answer, which has not left yet."""
        headers = [
            ("CALLBACK", "".join(f"<{url}>" for url in urls or (URL,))),
            ("NT", "upnp:event"),
        ]
        headers += [("TIMEOUT", timeout)] if timeout else []
        headers += [("STATEVAR", statevar)] if statevar else []
        return self.request("SUBSCRIBE", *headers, **where)

    def sent(self, response: Response) -> str:
        self.protocol.response_sent(response, self.now)
        return response.fields[b"sid"].decode()

    def owe(self, *urls: str, **options) -> str:
        """Subscribed, answered, and the initial event not taken yet: the SID."""
        return self.sent(self.ask(*urls, **options))

    def subscribe(self, *urls: str, **options) -> str:
        """Subscribed, and the initial event delivered: the SID."""
        sid = self.owe(*urls, **options)
        self.end(self.take_one())
        self.outcomes()
        return sid

    def renew(self, sid: str, **where) -> Response:
        return self.request("SUBSCRIBE", ("SID", sid), **where)

    def unsubscribe(self, sid: str, **where) -> Response:
        return self.request("UNSUBSCRIBE", ("SID", sid), **where)

    def update(self, **changes: str) -> None:
        self.protocol.update("/evt", changes, self.now)

    def take(self, limit: int = 10_000) -> list[Delivery]:
        return self.protocol.take_deliveries(limit)

    def take_one(self) -> Delivery:
        (delivery,) = self.take()
        return delivery

    def end(self, delivery: Delivery, result: int | DeliveryFailure = 200) -> None:
        self.protocol.delivery_ended(delivery, result, self.now)

    def sids(self) -> list[str]:
        return [subscription.sid for subscription in self.protocol.subscriptions]

    def drain(self) -> list[Delivery]:
        """Everything that is to be sent, answered with 200 one by one."""
        sent = []
        while taken := self.take(1):
            self.end(taken[0])
            sent += taken
        return sent


def shown(delivery: Delivery) -> tuple[int, dict[str, str]]:
    return delivery.seq, dict(delivery.message.changes)


def assert_nothing_is_left(device: Device) -> None:
    protocol, schedule = device.protocol, device.protocol._queue
    assert device.sids() == []
    assert not protocol._subscriptions
    assert not protocol._per_address
    assert not len(protocol._expiry)
    for service in protocol._services.values():
        assert not service.subscriptions
        assert not service.quiet
        assert not service.queued
    assert device.take() == []
    assert not schedule._in_flight
    assert not len(schedule._shortened)
    assert not schedule._ready
    assert not schedule._waiting
    assert device.deadline() is None
    device.at(1e6)  # failures are forgotten after a while
    assert not schedule._endpoints.loads


# --- the answer to SUBSCRIBE ---


@pytest.mark.clause("SUB-45")
@pytest.mark.clause("SUB-46")
@pytest.mark.clause("SUB-48")
def test_a_subscribe_is_granted_with_a_sid_and_the_actual_duration() -> None:
    device = Device()
    response = device.ask(URL, timeout="Second-300")
    assert response.status == 200
    assert response.fields[b"sid"] == b"uuid:1"
    assert response.fields[b"timeout"] == b"Second-300"
    assert response.fields[b"content-length"] == b"0"
    assert device.outcomes() == [Subscribed("uuid:1", "/evt", (URL,), THERE, 300)]
    (subscription,) = device.protocol.subscriptions
    assert repr(subscription) == "<Subscription uuid:1 ANSWERING SEQ 0>"


@pytest.mark.clause("SUB-43")
def test_answers_carry_the_date_that_the_runtime_gives() -> None:
    protocol = PublisherProtocol(
        new_sid=lambda: "uuid:1", on_link=lambda _: (), date=lambda: b"Thu, 01 Jan 1970"
    )
    answer = protocol.receive_request(Request("SUBSCRIBE", "/", ()), 0.0)
    assert answer.fields[b"date"] == b"Thu, 01 Jan 1970"


@pytest.mark.clause("SUB-76")
def test_a_path_that_is_no_event_url_is_answered_404() -> None:
    device = Device()
    response = device.ask(path="/nothing")
    assert response.status == 404
    assert response.receipt is None
    (refused,) = device.outcomes()
    assert refused == Refused("/nothing", THERE, 404, "no service has this event URL")
    device.request("GET", path="/nothing")
    (refused,) = device.outcomes()
    assert refused == Refused("/nothing", THERE, 404, "nothing is at this path")


@pytest.mark.clause("SUB-76")
@pytest.mark.parametrize("method", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_a_subscribe_to_a_service_without_evented_variables_is_a_404_with_that_reason(
    method: str,
) -> None:
    device = Device()
    device.protocol.add_silent("/silent/event")
    assert device.request(method, path="/silent/event?x=1").status == 404
    (refused,) = device.outcomes()
    assert refused.reason == "the service has no evented variables: its eventSubURL is empty"


def test_a_query_behind_the_event_url_is_ignored() -> None:
    assert Device().ask(path="/evt?x=1").status == 200


@pytest.mark.clause("SUB-75")
def test_another_method_is_answered_405() -> None:
    device = Device()
    assert device.request("GET").status == 405
    (refused,) = device.outcomes()
    assert (refused.status, refused.reason) == (405, "'GET' was sent where SUBSCRIBE is expected")


@pytest.mark.clause("SUB-72")
def test_a_refused_subscribe_is_told_with_its_reason() -> None:
    device = Device()
    assert device.request("SUBSCRIBE", ("CALLBACK", f"<{URL}>"), ("NT", "wrong")).status == 412
    (refused,) = device.outcomes()
    assert (refused.service, refused.status) == ("/evt", 412)
    assert "NT" in refused.reason
    assert device.sids() == []


@pytest.mark.clause("SUB-74")
def test_without_the_address_of_the_connection_no_network_counts_as_its_own() -> None:
    device = Device()
    asked = Request(
        "SUBSCRIBE",
        "/evt",
        ((b"CALLBACK", b"<http://10.0.0.2/>"), (b"NT", b"upnp:event"), (b"HOST", b"10.0.0.1:8000")),
        peer=THERE,
    )
    assert device.protocol.receive_request(asked, 0.0).status == 400


@pytest.mark.clause("UNS-06")
def test_an_unsubscribe_without_sid_is_answered_412() -> None:
    device = Device()
    assert device.request("UNSUBSCRIBE").status == 412
    assert isinstance(device.outcomes()[0], Refused)


@pytest.mark.clause("SUB-04")
def test_two_services_cannot_share_an_event_url() -> None:
    with pytest.raises(ValueError, match="/evt is the event URL of another service"):
        Device().protocol.add_service("/evt", {"A": EventedVariable("")})


# --- before the initial event ---


@pytest.mark.clause("SUB-55")
def test_the_initial_event_waits_until_the_answer_has_left() -> None:
    device = Device()
    response = device.ask()
    device.update(A="1")
    device.at(29)
    assert device.take() == []
    device.sent(response)
    assert shown(device.take_one()) == (0, {"A": "1", "B": "0"})


@pytest.mark.clause("SUB-55")
def test_the_initial_event_can_be_made_to_wait_behind_the_answer() -> None:
    device = Device(policy=PublisherPolicy(initial_event_delay=0.5))
    device.owe()
    assert device.protocol.take_deliveries(10) == []
    assert not device.protocol.settled
    assert device.protocol.next_deadline() == device.now + 0.5
    device.now += 0.5
    device.protocol.handle_deadline(device.now)
    assert device.take_one().seq == 0


def test_an_initial_event_that_waits_is_forgotten_with_its_subscription() -> None:
    device = Device(policy=PublisherPolicy(initial_event_delay=100, minimum_duration=1))
    device.owe(timeout="Second-2")
    device.now += 2
    device.protocol.handle_deadline(device.now)
    assert device.protocol.next_deadline() is None
    assert_nothing_is_left(device)


@pytest.mark.clause("EVT-09")
def test_changes_before_the_initial_event_are_in_it_and_not_told_again() -> None:
    device = Device()
    device.owe()
    device.update(A="1")
    initial = device.take_one()
    assert shown(initial) == (0, {"A": "1", "B": "0"})
    device.update(A="2")
    assert device.take() == []
    device.end(initial)
    assert shown(device.take_one()) == (1, {"A": "2"})


def test_an_answer_that_could_not_leave_takes_its_subscription_along() -> None:
    device = Device()
    response = device.ask()
    device.outcomes()
    device.protocol.response_lost(response, device.now)
    assert device.outcomes() == [Expired("uuid:1")]
    assert_nothing_is_left(device)
    device.protocol.response_sent(response, device.now)
    device.protocol.response_lost(response, device.now)
    assert device.outcomes() == []


@pytest.mark.parametrize("meanwhile", ["nothing", "renewed", "cancelled"])
def test_a_web_server_that_never_tells_what_became_of_an_answer_keeps_no_subscription(
    meanwhile: str,
) -> None:
    device = Device()
    sid = device.ask(timeout="Second-3600").fields[b"sid"].decode()
    seconds = DEFAULT_LIMITS.unreported_answer_seconds
    assert device.deadline() == seconds
    device.at(seconds - 1)
    if meanwhile == "renewed":
        assert device.renew(sid).status == 200
    elif meanwhile == "cancelled":
        assert device.unsubscribe(sid).status == 200
    device.outcomes()
    assert device.sids() == [sid]
    device.at(seconds)
    assert device.outcomes() == [AnswerUnreported(sid, seconds)]
    assert_nothing_is_left(device)


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_a_subscription_whose_answer_was_told_to_have_left_outlives_that_time(
    delay: float,
) -> None:
    device = Device(policy=PublisherPolicy(initial_event_delay=delay))
    response = device.ask(timeout="Second-3600")
    device.at(DEFAULT_LIMITS.unreported_answer_seconds - 1)
    sid = device.sent(response)
    device.at(DEFAULT_LIMITS.unreported_answer_seconds + 1)
    device.end(device.take_one())
    device.at(DEFAULT_LIMITS.unreported_answer_seconds * 2)
    assert device.sids() == [sid]
    assert AnswerUnreported not in map(type, device.outcomes())


def test_our_own_listener_always_tells_in_that_time() -> None:
    limits = DEFAULT_LIMITS
    assert limits.unreported_answer_seconds > limits.answer_seconds + limits.read_seconds


def test_an_answer_that_has_left_cannot_be_lost_any_more() -> None:
    device = Device()
    response = device.ask()
    device.sent(response)
    device.protocol.response_lost(response, device.now)
    assert shown(device.take_one())[0] == 0


def test_answers_without_a_subscription_need_no_word_of_what_became_of_them() -> None:
    device = Device()
    refusal = device.ask(path="/nothing")
    device.outcomes()
    device.protocol.response_sent(refusal, device.now)
    device.protocol.response_lost(refusal, device.now)
    assert device.outcomes() == []
    assert device.take() == []


def test_nothing_is_sent_when_the_subscription_expired_before_its_answer_had_left() -> None:
    device = Device()
    response = device.ask(timeout="Second-60")
    device.at(60)
    device.protocol.response_sent(response, device.now)
    assert_nothing_is_left(device)


@pytest.mark.clause("CP-14")
def test_the_duration_counts_from_when_the_answer_left() -> None:
    device = Device()
    response = device.ask(timeout="Second-60")
    device.at(10)
    device.sent(response)
    device.at(69)
    assert device.sids() == ["uuid:1"]
    device.at(70)
    assert device.sids() == []


@pytest.mark.clause("SUB-58")
@pytest.mark.clause("AMB-14")
@pytest.mark.parametrize("when", ["before the answer left", "before it was taken", "in flight"])
@pytest.mark.parametrize("result", [200, 412, 500, DeliveryFailure.CONNECT])
def test_the_initial_event_is_owed_once_even_after_an_unsubscribe(when, result) -> None:
    device = Device()
    response = device.ask()
    sid = response.fields[b"sid"].decode()
    if when == "before the answer left":
        assert device.unsubscribe(sid).status == 200
        assert device.take() == []
    device.sent(response)
    if when == "before it was taken":
        assert device.unsubscribe(sid).status == 200
    delivery = device.take_one()
    if when == "in flight":
        assert device.unsubscribe(sid).status == 200
    assert device.unsubscribe(sid).status == 412
    assert device.renew(sid).status == 412
    device.update(A="1")
    assert shown(delivery) == (0, {"A": "0", "B": "0"})
    device.end(delivery, result)
    assert_nothing_is_left(device)


@pytest.mark.clause("SUB-58")
def test_a_cancelled_subscription_tries_all_its_urls_for_the_initial_event() -> None:
    device = Device()
    sid = device.owe("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    device.unsubscribe(sid)
    device.end(device.take_one(), 500)
    second = device.take_one()
    assert second.address.url.endpoint.port == 2
    assert second.seq == 0
    device.end(second)
    assert_nothing_is_left(device)


@pytest.mark.parametrize("when", ["before the answer left", "before it was taken", "in flight"])
def test_a_cancelled_subscription_that_cannot_be_served_is_gone_when_it_expires(when) -> None:
    device = Device()
    response = device.ask(timeout="Second-60")
    taken = []
    if when != "before the answer left":
        device.sent(response)
    if when == "in flight":
        taken = device.take()
    device.unsubscribe("uuid:1")
    device.at(60)
    for delivery in taken:
        device.end(delivery)
    assert_nothing_is_left(device)


def test_a_lost_answer_ends_a_cancelled_subscription() -> None:
    device = Device()
    response = device.ask()
    device.unsubscribe("uuid:1")
    device.protocol.response_lost(response, device.now)
    assert_nothing_is_left(device)


@pytest.mark.parametrize("renewed", ["before the answer left", "before it was taken", "in flight"])
def test_a_renewal_before_the_initial_event_is_settled_is_granted(renewed) -> None:
    """The answer may have arrived before this side knows that it has left."""
    device = Device()
    response = device.ask()
    if renewed == "before the answer left":
        assert device.renew("uuid:1").status == 200
    device.sent(response)
    if renewed == "before it was taken":
        assert device.renew("uuid:1").status == 200
    delivery = device.take_one()
    if renewed == "in flight":
        assert device.renew("uuid:1").status == 200
    assert delivery.seq == 0
    assert device.take() == []


def test_the_delivery_of_the_initial_event_is_told() -> None:
    device = Device()
    device.owe()
    device.outcomes()
    (subscription,) = device.protocol.subscriptions
    device.end(device.take_one(), 204)
    assert device.outcomes() == [InitialEventDelivered("uuid:1", "/evt")]
    assert subscription.heard
    device.update(A="1")
    device.drain()
    assert device.outcomes() == []


def test_an_initial_event_that_nobody_took_is_not_told_as_delivered() -> None:
    device = Device()
    device.owe()
    (subscription,) = device.protocol.subscriptions
    device.outcomes()
    device.end(device.take_one(), DeliveryFailure.CONNECT)
    assert device.outcomes() == [
        AttemptFailed("uuid:1", 0, URL, "no connection"),
        MessageAbandoned("uuid:1", 0, "no connection"),
    ]
    assert not subscription.heard
    assert device.protocol.settled


# --- one after the other ---


@pytest.mark.clause("EVT-08")
@pytest.mark.clause("SEQ-02")
def test_one_notify_is_in_flight_at_a_time_and_seq_counts_them() -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    device.update(A="2", B="2")
    device.update(B="3")
    seen = []
    while taken := device.take():
        (delivery,) = taken
        assert device.take() == []
        seen.append(shown(delivery))
        device.end(delivery)
    assert seen == [(1, {"A": "1"}), (2, {"A": "2", "B": "2"}), (3, {"B": "3"})]
    assert device.protocol.settled


@pytest.mark.clause("SEQ-03")
def test_seq_1_follows_the_largest_seq() -> None:
    device = Device()
    device.subscribe()
    (subscription,) = device.protocol.subscriptions
    subscription.seq = 4294967294
    for number in range(3):
        device.update(A=str(number + 1))
    assert [delivery.seq for delivery in device.drain()] == [4294967294, 4294967295, 1]


@pytest.mark.clause("SEQ-01")
def test_every_subscription_has_a_seq_of_its_own() -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    device.drain()
    second = device.subscribe()
    device.update(A="2")
    assert {delivery.address.sid: delivery.seq for delivery in device.take()} == {
        "uuid:1": 2,
        second: 1,
    }


@pytest.mark.clause("FAIL-08")
def test_subscriptions_do_not_wait_for_each_other() -> None:
    device = Device()
    slow = device.subscribe("http://10.0.0.2:1/")
    device.subscribe("http://10.0.0.3:1/", peer=Endpoint("10.0.0.3", 1))
    device.update(A="1")
    for delivery in device.take():
        if delivery.address.sid != slow:
            device.end(delivery)
    device.update(A="2")
    (delivery,) = device.take()
    assert delivery.address.sid != slow
    assert shown(delivery) == (2, {"A": "2"})


@pytest.mark.clause("EVT-07")
def test_an_equal_value_is_no_event() -> None:
    device = Device()
    device.subscribe()
    device.update(A="0", B="0")
    assert device.take() == []
    device.update(A="0", B="1")
    assert shown(device.take_one()) == (1, {"B": "1"})


def test_a_change_of_one_service_is_not_told_to_subscribers_of_another() -> None:
    device = Device()
    device.subscribe(path="/other")
    device.update(A="1")
    assert device.take() == []
    device.protocol.update("/other", {"X": "y"}, device.now)
    assert shown(device.take_one()) == (1, {"X": "y"})


@pytest.mark.parametrize(
    ("path", "changes", "error"),
    [
        ("/nothing", {"A": "1"}, KeyError),
        ("/evt", {"A": "1", "Unknown": "1"}, KeyError),
        ("/evt", {"A": "1", "B": "\x07"}, ValueError),
        ("/evt", {"A": "1", "B": "line\n\0"}, ValueError),
    ],
)
def test_an_update_that_is_wrong_somewhere_changes_nothing(path, changes, error) -> None:
    device = Device()
    device.subscribe()
    with pytest.raises(error):
        device.protocol.update(path, changes, device.now)
    assert device.take() == []
    device.update(A="1", B="several\nlines")
    assert shown(device.take_one()) == (1, {"A": "1", "B": "several\nlines"})


def test_an_update_that_a_fold_cannot_read_changes_nothing() -> None:
    device = Device(A=EventedVariable("0"), Pairs=EventedVariable("", merge=CONTAINERS))
    device.subscribe()
    device.update(Pairs="7,1")
    assert shown(device.take_one()) == (1, {"Pairs": "7,1"})
    with pytest.raises(ValueError, match="holds pairs"):
        device.update(A="1", Pairs="7")
    assert device.take() == []


def test_no_more_deliveries_begin_than_were_asked_for() -> None:
    device = Device()
    for number in range(1, 6):
        device.subscribe(f"http://10.0.0.2:{number}/")
    device.update(A="1")
    first = device.take(2)
    assert len(first) == 2
    assert device.take(0) == []
    assert len(device.take(2)) == 2
    assert len(device.take(2)) == 1
    assert device.take(2) == []


# --- delivery URLs ---

FAILURES = [500, 404, 400, 301, 100, *DeliveryFailure]


@pytest.mark.clause("FAIL-01")
@pytest.mark.clause("SEQ-08")
@pytest.mark.parametrize("failure", FAILURES)
def test_delivery_urls_are_tried_in_their_order_with_the_same_seq(failure) -> None:
    urls = [f"http://10.0.0.2:{port}/p{port}" for port in (1, 2, 3)]
    device = Device()
    device.subscribe(*urls)
    device.update(A="1")
    device.update(A="2")
    for url in urls[:2]:
        delivery = device.take_one()
        if failure is DeliveryFailure.STALE:
            device.end(delivery, failure)
            delivery = device.take_one()
            assert delivery.fresh
        assert (delivery.address.url.url, shown(delivery)) == (url, (1, {"A": "1"}))
        device.end(delivery, failure)
    last = device.take_one()
    assert (last.address.url.url, shown(last), last.fresh) == (urls[2], (1, {"A": "1"}), False)
    reason = failure.value if isinstance(failure, DeliveryFailure) else f"answered with {failure}"
    assert device.outcomes() == [AttemptFailed("uuid:1", 1, url, reason) for url in urls[:2]]
    device.end(last)
    following = device.take_one()
    assert (following.address.url.url, shown(following)) == (urls[0], (2, {"A": "2"}))


@pytest.mark.clause("FAIL-02")
@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_ends_the_search(status) -> None:
    device = Device()
    device.subscribe("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    device.update(A="1")
    device.end(device.take_one(), status)
    assert device.take() == []
    assert device.outcomes() == []


@pytest.mark.clause("FAIL-05")
@pytest.mark.clause("AMB-15")
@pytest.mark.parametrize("initial", [True, False])
def test_412_ends_the_search_and_the_subscription(initial) -> None:
    device = Device()
    urls = ("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    if initial:
        device.owe(*urls)
    else:
        device.subscribe(*urls)
        device.update(A="1")
    device.update(A="2")
    delivery = device.take_one()
    device.outcomes()
    device.end(delivery, 412)
    assert device.outcomes() == [Disowned("uuid:1")]
    assert_nothing_is_left(device)


@pytest.mark.clause("FAIL-03")
@pytest.mark.clause("FAIL-04")
@pytest.mark.clause("SEQ-07")
@pytest.mark.parametrize("failure", [500, DeliveryFailure.CONNECT, DeliveryFailure.BROKEN])
def test_a_message_that_no_url_takes_has_spent_its_seq_and_the_subscription_stays(failure) -> None:
    device = Device()
    device.subscribe("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    device.update(A="1")
    device.end(device.take_one(), failure)
    device.end(device.take_one(), failure)
    reason = failure.value if isinstance(failure, DeliveryFailure) else f"answered with {failure}"
    assert device.outcomes()[-1] == MessageAbandoned("uuid:1", 1, reason)
    assert device.sids() == ["uuid:1"]
    assert device.protocol.settled
    device.update(A="2")
    assert shown(device.take_one()) == (2, {"A": "2"})


def test_a_stale_connection_is_replaced_once_with_the_same_seq_and_is_no_failure() -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    first = device.take_one()
    assert not first.fresh
    device.end(first, DeliveryFailure.STALE)
    assert device.outcomes() == []
    again = device.take_one()
    assert again.fresh
    assert (again.address, shown(again)) == (first.address, (1, {"A": "1"}))
    device.end(again)
    device.update(A="2")
    assert not device.take_one().fresh
    assert device.outcomes() == []


def test_a_fresh_connection_that_closes_without_an_answer_is_a_failure() -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    device.end(device.take_one(), DeliveryFailure.STALE)
    device.end(device.take_one(), DeliveryFailure.STALE)
    assert device.take() == []
    assert isinstance(device.outcomes()[-1], MessageAbandoned)


# --- time limits of a delivery ---


@pytest.mark.clause("FAIL-03")
@pytest.mark.parametrize(
    ("carrier", "reason"),
    [(None, "no answer in time"), (WAITING, "no connection was free in time")],
)
def test_an_attempt_without_an_answer_ends_after_30_seconds(carrier: object, reason: str) -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    delivery = device.take_one()
    delivery.carrier = carrier
    assert device.deadline() == 30
    device.at(29.9)
    assert device.outcomes() == []
    device.at(30)
    assert device.outcomes() == [
        AttemptTimedOut(delivery),
        AttemptFailed("uuid:1", 1, URL, reason),
        MessageAbandoned("uuid:1", 1, reason),
    ]


def test_an_answer_after_the_time_is_up_is_ignored() -> None:
    device = Device()
    device.subscribe()
    device.update(A="1")
    late = device.take_one()
    device.at(30)
    device.update(A="2")
    current = device.take_one()
    device.outcomes()
    for result in (200, 412, DeliveryFailure.BROKEN):
        device.end(late, result)
    assert device.outcomes() == []
    assert device.sids() == ["uuid:1"]
    assert device.take() == []
    device.end(current)
    device.end(current)
    device.update(A="3")
    assert shown(device.take_one()) == (3, {"A": "3"})


def test_a_message_has_60_seconds_over_all_its_urls() -> None:
    device = Device()
    urls = [f"http://10.0.0.2:{port}/" for port in (1, 2, 3, 4)]
    device.subscribe(*urls)
    device.update(A="1")
    first = device.take_one()
    device.at(25)
    device.end(first, 500)
    second = device.take_one()
    assert device.deadline() == 55
    device.at(55)
    third = device.take_one()
    assert third.address.url.url == urls[2]
    assert device.deadline() == 60
    device.at(59.9)
    assert device.take() == []
    device.outcomes()
    device.at(60)
    assert device.outcomes() == [
        AttemptTimedOut(third),
        AttemptFailed("uuid:1", 1, urls[2], "no answer in time"),
        MessageAbandoned("uuid:1", 1, "no answer in time"),
    ]
    assert device.take() == []
    device.end(second)
    device.end(third)
    assert device.outcomes() == []


def test_a_shortened_attempt_that_is_answered_leaves_no_deadline() -> None:
    device = Device()
    device.subscribe("http://10.0.0.2:1/", "http://10.0.0.2:2/", "http://10.0.0.2:3/")
    device.update(A="1")
    device.take_one()
    device.at(30)
    second = device.take_one()
    device.at(50)
    device.end(second, 500)
    third = device.take_one()
    device.update(A="2")
    assert device.deadline() == 60
    device.end(third)
    device.take_one()
    assert device.deadline() == 80


# --- being behind ---


@pytest.mark.clause("FAIL-07")
@pytest.mark.clause("SEQ-07")
def test_a_subscriber_far_behind_gets_15_messages_then_the_merged_rest_without_a_gap() -> None:
    device = Device()
    device.subscribe()
    device.update(A="begin")
    stuck = device.take_one()
    for number in range(1_000):
        device.update(**{"AB"[number % 2]: str(number)})
    service = device.protocol._services["/evt"]
    assert len(service.backlog._log) <= 100
    device.end(stuck)
    messages = device.drain()
    assert [delivery.seq for delivery in messages] == list(range(2, 18))
    assert shown(messages[-1]) == (17, {"A": "998", "B": "999"})
    assert device.outcomes() == [Merged("uuid:1", 17, 985)]


def test_a_merged_message_is_told_once_however_many_attempts_it_takes() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, waiting_messages=1))
    device.subscribe("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    device.update(A="1")
    stuck = device.take_one()
    device.update(A="2")
    device.update(A="3")
    device.end(stuck)
    for failure in (DeliveryFailure.STALE, 500, DeliveryFailure.STALE):
        device.end(device.take_one(), failure)
    device.end(device.take_one())
    assert [o for o in device.outcomes() if isinstance(o, Merged)] == [Merged("uuid:1", 2, 2)]


def test_changes_while_a_subscriber_tries_to_subscribe_late_do_not_upset_the_device() -> None:
    """Messages older than the subscription have been dropped."""
    device = Device()
    for number in range(200):
        device.update(A=str(number + 1))
    response = device.ask()
    for number in range(200, 400):
        device.update(A=str(number + 1))
    device.sent(response)
    assert shown(device.take_one()) == (0, {"A": "400", "B": "0"})


def test_accumulated_variables_lose_nothing_when_merged() -> None:
    device = Device(
        limits=replace(DEFAULT_LIMITS, waiting_messages=3),
        Ids=EventedVariable("", merge=lambda older, newer: f"{older},{newer}"),
    )
    device.subscribe()
    device.update(Ids="a")
    stuck = device.take_one()
    for text in "bcdef":
        device.update(Ids=text)
    device.end(stuck)
    assert [shown(delivery) for delivery in device.drain()] == [
        (2, {"Ids": "b"}),
        (3, {"Ids": "c"}),
        (4, {"Ids": "d,e,f"}),
    ]


def test_an_equal_text_of_an_accumulated_variable_is_an_event() -> None:
    device = Device(Ids=EventedVariable("", merge=lambda older, newer: f"{older},{newer}"))
    device.subscribe()
    device.update(Ids="a")
    device.update(Ids="a")
    assert [shown(delivery) for delivery in device.drain()] == [
        (1, {"Ids": "a"}),
        (2, {"Ids": "a"}),
    ]


def test_a_merge_that_makes_what_xml_cannot_carry_is_refused() -> None:
    device = Device(Ids=EventedVariable("", 5.0, merge=lambda older, newer: f"{older}\0{newer}"))
    device.subscribe()
    device.update(Ids="a")
    device.update(Ids="b")  # held: the interval is not over
    with pytest.raises(ValueError, match=r"Ids holds '\\x00', which XML 1\.0 cannot carry"):
        device.update(Ids="c")
    assert [shown(delivery) for delivery in device.drain()] == [(1, {"Ids": "a"})]
    device.now += 5.0
    device.protocol.handle_deadline(device.now)
    assert [shown(delivery) for delivery in device.drain()] == [(2, {"Ids": "b"})]


def unmergeable(older: str, newer: str) -> str:
    raise RuntimeError("the merge rule of a program")


class BrokenFold(Fold):
    """Reads every text as one change of a key, and cannot write them."""

    has_state = True

    def read(self, text: str) -> list[tuple[tuple[str], str]]:
        if text == "unreadable once it is recorded":
            self.reads = getattr(self, "reads", 0) + 1
            if self.reads > 1:
                raise KeyError(text)
        return [((text,), text)] if text else []

    def write(self, changes: Iterable[FoldedChange]) -> str:
        texts = [content for _, content in changes]
        return texts[0] if len(texts) < 2 else "\0"


@pytest.mark.parametrize(
    "merge",
    [
        lambda older, newer: f"{older}\0{newer}",
        lambda older, newer: f"{older}\ud800{newer}",
        lambda older, newer: None,
        lambda older, newer: 5,
        lambda older: older,
        unmergeable,
        BrokenFold(),
    ],
    ids=["NUL", "surrogate", "None", "number", "arguments", "raises", "fold"],
)
def test_a_merge_rule_that_fails_costs_changes_and_nothing_else(merge) -> None:
    device = Device(
        limits=replace(DEFAULT_LIMITS, waiting_messages=1),
        Ids=EventedVariable("", merge=merge),
        B=EventedVariable("0"),
    )
    device.subscribe()
    device.subscribe("http://10.0.0.2:9001/")
    for number in range(10):
        device.update(Ids=f"{number}")
    device.update(B="1")
    device.update(Ids="unreadable once it is recorded")
    held = device.take()
    device.update(Ids="last")
    failed = [outcome for outcome in device.outcomes() if isinstance(outcome, MergeFailed)]
    assert {(outcome.service, outcome.variable) for outcome in failed} == {("/evt", "Ids")}
    assert len(held) == 2
    for delivery in held:
        device.end(delivery)
    device.drain()
    device.update(B="2")
    assert [shown(delivery)[1] for delivery in device.drain()] == [{"B": "2"}] * 2
    sid = device.owe("http://10.0.0.2:9002/")
    (initial,) = device.drain()
    assert initial.address.sid == sid
    assert shown(initial)[1]["B"] == "2"


# --- STATEVAR ---

UDA_2 = PublisherPolicy(uda="2.0")


@pytest.mark.clause("SUB-51")
def test_with_an_accepted_statevar_only_those_variables_are_evented() -> None:
    device = Device(policy=UDA_2)
    response = device.ask(statevar="B")
    assert response.fields[b"accepted-statevar"] == b"B"
    device.sent(response)
    initial = device.take_one()
    assert shown(initial) == (0, {"B": "0"})
    device.end(initial)
    device.update(A="1")
    assert device.take() == []
    assert device.protocol.settled
    device.update(A="2", B="2")
    assert shown(device.take_one()) == (1, {"B": "2"})


@pytest.mark.clause("SUB-52")
@pytest.mark.clause("AMB-4")
@pytest.mark.parametrize("statevar", ["B,Unknown", "b", ",", ""])
def test_a_statevar_with_one_unknown_name_is_not_accepted_and_all_is_evented(statevar) -> None:
    device = Device(policy=UDA_2)
    response = device.ask(statevar=statevar)
    assert response.status == 200
    assert b"accepted-statevar" not in response.fields
    device.sent(response)
    assert shown(device.take_one()) == (0, {"A": "0", "B": "0"})


@pytest.mark.clause("SUB-24")
def test_before_uda_2_statevar_means_nothing() -> None:
    device = Device()
    response = device.ask(statevar="B")
    assert b"accepted-statevar" not in response.fields
    device.sent(response)
    assert shown(device.take_one()) == (0, {"A": "0", "B": "0"})


@pytest.mark.clause("REN-06")
def test_a_renewal_keeps_the_accepted_statevar() -> None:
    device = Device(policy=UDA_2)
    sid = device.subscribe(statevar="B")
    response = device.request("SUBSCRIBE", ("SID", sid), ("STATEVAR", "A"))
    assert b"accepted-statevar" not in response.fields
    device.update(A="1", B="1")
    assert shown(device.take_one()) == (1, {"B": "1"})


# --- moderation ---


def moderated(**more: EventedVariable) -> Device:
    return Device(A=EventedVariable("0", minimum_interval=10), **more)


@pytest.mark.clause("MOD-01")
@pytest.mark.clause("MOD-02")
@pytest.mark.clause("MOD-03")
@pytest.mark.clause("MOD-04")
def test_a_moderated_variable_is_evented_at_once_and_then_once_per_interval() -> None:
    device = moderated()
    device.subscribe()
    device.update(A="1")
    assert shown(device.drain()[0]) == (1, {"A": "1"})
    device.at(3)
    device.update(A="2")
    device.update(A="3")
    assert device.take() == []
    assert device.deadline() == 10
    assert not device.protocol.settled
    device.at(9.9)
    assert device.take() == []
    device.at(10)
    assert [shown(delivery) for delivery in device.drain()] == [(2, {"A": "3"})]
    assert device.protocol.settled
    assert device.deadline() == 1800


def test_a_moderated_change_that_is_taken_back_sends_nothing() -> None:
    device = moderated()
    device.subscribe()
    device.update(A="1")
    device.drain()
    device.update(A="2")
    device.update(A="1")
    assert device.deadline() == 1800
    device.at(20)
    assert device.take() == []
    assert device.protocol.settled


def test_changes_that_are_due_together_make_one_event() -> None:
    device = moderated(B=EventedVariable("0", minimum_interval=10), C=EventedVariable("0"))
    device.subscribe()
    device.update(A="1", B="1", C="1")
    device.drain()
    device.update(A="2")
    device.update(B="2", C="2")
    assert [shown(delivery) for delivery in device.drain()] == [(2, {"C": "2"})]
    device.at(10)
    assert [shown(delivery) for delivery in device.drain()] == [(3, {"A": "2", "B": "2"})]


def test_an_initial_event_has_the_value_that_moderation_holds_back() -> None:
    device = moderated()
    device.update(A="1")
    device.update(A="2")
    device.owe()
    assert shown(device.take_one()) == (0, {"A": "2"})


def test_a_value_that_only_an_initial_event_has_told_is_corrected() -> None:
    """The first subscriber never heard of 2; the second would keep it for ever."""
    device = moderated()
    device.subscribe()
    device.update(A="1")
    device.drain()
    device.update(A="2")
    late = device.subscribe()
    device.update(A="1")
    device.at(10)
    told = {delivery.address.sid: shown(delivery) for delivery in device.take()}
    assert told[late] == (1, {"A": "1"})


@pytest.mark.clause("MOD-01")
@pytest.mark.clause("MOD-05")
def test_a_variable_with_a_minimum_delta_is_evented_when_it_has_moved_that_far() -> None:
    device = Device(A=EventedVariable("0", minimum_delta=5))
    device.subscribe()
    for text in ("4", "-4", "5", "9", "10"):
        device.update(A=text)
    assert [shown(delivery) for delivery in device.drain()] == [(1, {"A": "5"}), (2, {"A": "10"})]


def test_a_late_runtime_does_not_send_a_moderated_change_twice() -> None:
    device = moderated()
    device.subscribe()
    device.update(A="1")
    device.update(A="2")
    device.drain()
    device.now += 10.5
    device.update(A="3")
    device.at(11)
    assert [shown(delivery) for delivery in device.drain()] == [(2, {"A": "3"})]


def test_moderation_loses_nothing_of_an_accumulated_variable() -> None:
    device = Device(
        Ids=EventedVariable("", minimum_interval=10, merge=lambda older, newer: f"{older},{newer}")
    )
    device.subscribe()
    for text in "abcd":
        device.update(Ids=text)
    device.at(10)
    assert [shown(delivery) for delivery in device.drain()] == [
        (1, {"Ids": "a"}),
        (2, {"Ids": "b,c,d"}),
    ]


# --- renewal, cancellation, expiry ---


@pytest.mark.clause("REN-04")
@pytest.mark.clause("REN-05")
def test_a_renewal_gives_a_new_duration_and_no_initial_event() -> None:
    device = Device()
    sid = device.subscribe(timeout="Second-100")
    device.at(50)
    response = device.request("SUBSCRIBE", ("SID", sid), ("TIMEOUT", "Second-200"))
    assert response.status == 200
    assert response.fields[b"sid"] == sid.encode()
    assert response.fields[b"timeout"] == b"Second-200"
    assert response.receipt is None
    assert device.outcomes() == [Renewed(sid, 200)]
    assert device.take() == []
    device.update(A="1")
    assert shown(device.take_one())[0] == 1
    assert device.deadline() == 80
    device.at(249)
    assert device.sids() == [sid]
    device.at(250)
    assert device.sids() == []


@pytest.mark.clause("REN-11")
def test_a_subscription_is_gone_exactly_at_its_deadline() -> None:
    device = Device()
    sid = device.subscribe(timeout="Second-60")
    assert device.deadline() == 60
    device.at(59.999)
    assert device.sids() == [sid]
    device.at(60)
    assert device.outcomes() == [Expired(sid)]
    assert_nothing_is_left(device)


@pytest.mark.clause("REN-08")
@pytest.mark.parametrize("method", ["renew", "unsubscribe"])
def test_a_request_that_comes_exactly_at_the_deadline_is_too_late(method) -> None:
    """Even before the runtime's timer has gone off."""
    device = Device()
    sid = device.subscribe(timeout="Second-60")
    device.now += 60
    assert getattr(device, method)(sid).status == 412
    expired, refused = device.outcomes()
    assert expired == Expired(sid)
    assert refused == Refused("/evt", THERE, 412, f"{sid} is not a subscription to this service")


@pytest.mark.clause("REN-10")
@pytest.mark.clause("UNS-06")
@pytest.mark.parametrize("method", ["renew", "unsubscribe"])
@pytest.mark.parametrize(("sid", "path"), [("uuid:1", "/other"), ("uuid:77", "/evt")])
def test_a_sid_is_good_at_its_own_event_url_alone(method, sid, path) -> None:
    device = Device()
    device.subscribe()
    assert getattr(device, method)(sid, path=path).status == 412
    assert device.sids() == ["uuid:1"]


@pytest.mark.clause("UNS-04")
@pytest.mark.clause("UNS-06")
def test_an_unsubscribe_ends_the_subscription_and_a_second_one_is_answered_412() -> None:
    device = Device()
    sid = device.subscribe()
    response = device.unsubscribe(sid)
    assert response.status == 200
    assert device.outcomes() == [Unsubscribed(sid)]
    assert_nothing_is_left(device)
    assert device.unsubscribe(sid).status == 412
    device.update(A="1")
    assert device.take() == []


@pytest.mark.parametrize("result", [200, 412, 500, DeliveryFailure.STALE])
def test_what_becomes_of_a_notify_after_its_subscription_ended_matters_to_nobody(result) -> None:
    device = Device()
    sid = device.subscribe()
    device.update(A="1")
    delivery = device.take_one()
    device.unsubscribe(sid)
    device.outcomes()
    assert device.deadline() == 30
    device.end(delivery, result)
    assert device.outcomes() == []
    assert_nothing_is_left(device)


def test_a_notify_of_an_ended_subscription_is_still_ended_when_its_time_is_up() -> None:
    device = Device()
    sid = device.subscribe()
    device.update(A="1")
    delivery = device.take_one()
    device.unsubscribe(sid)
    device.outcomes()
    device.at(30)
    assert device.outcomes() == [AttemptTimedOut(delivery)]
    assert_nothing_is_left(device)


# --- caps ---


@pytest.mark.clause("SUB-73")
def test_beyond_the_subscriptions_of_one_publisher_the_answer_is_503() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, subscriptions=2))
    first = device.subscribe()
    device.subscribe(path="/other")
    refused = device.ask()
    assert (refused.status, refused.receipt) == (503, None)
    assert device.outcomes() == [Refused("/evt", THERE, 503, "no room for another subscription")]
    assert device.renew(first).status == 200
    device.unsubscribe(first)
    assert device.ask().status == 200


def test_beyond_the_subscriptions_of_one_address_the_answer_is_503() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, subscriptions_per_address=2))
    sids = [device.subscribe(peer=Endpoint("10.0.0.2", port)) for port in (1, 2)]
    device.outcomes()
    assert device.ask(peer=Endpoint("10.0.0.2", 3)).status == 503
    assert device.outcomes() == [
        Refused(
            "/evt",
            Endpoint("10.0.0.2", 3),
            503,
            "no room for another subscription from 10.0.0.2",
        )
    ]
    assert device.ask(peer=Endpoint("10.0.0.3", 1)).status == 200
    assert list(device.protocol.subscriber_addresses) == ["10.0.0.2", "10.0.0.3"]
    device.unsubscribe(sids[0])
    assert device.ask(peer=Endpoint("10.0.0.2", 4)).status == 200
    assert device.ask(peer=Endpoint("10.0.0.2", 5)).status == 503


def test_beyond_the_subscriptions_of_one_service_the_answer_is_503() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, subscriptions_per_service=2))
    sids = [device.subscribe() for _ in range(2)]
    assert device.ask().status == 503
    assert device.ask(path="/other").status == 200
    device.unsubscribe(sids[0])
    assert device.ask().status == 200


def test_one_ipv6_prefix_has_so_many_subscriptions_however_many_addresses_it_has() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, subscriptions_per_prefix=3))
    local = Endpoint("fd00::1", 8000)

    def ask(host: str) -> Response:
        headers = [
            (b"HOST", b"[fd00::1]:8000"),
            (b"CALLBACK", f"<http://[{host}]/>".encode()),
            (b"NT", b"upnp:event"),
        ]
        request = Request("SUBSCRIBE", "/evt", headers, peer=Endpoint(host, 5), local=local)
        return device.protocol.receive_request(request, device.now)

    device.protocol._on_link = lambda _: (OnLink(ip_network("fd00::/32"), 2),)
    granted = [ask(f"fd00::{number}") for number in range(2, 5)]
    assert [response.status for response in granted] == [200] * 3
    assert ask("fd00::9").status == 503
    assert ask("fd00:0:0:1::9").status == 200
    device.protocol.response_lost(granted[0], device.now)
    assert ask("fd00::9").status == 200
    for response in granted[1:]:
        device.protocol.response_lost(response, device.now)
    device.at(1e6)
    assert not device.protocol._per_prefix


def test_of_the_outcomes_for_a_log_only_so_many_are_kept() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, outcomes=3))
    for number in range(10):
        device.ask(path=f"/{number}")
    assert [refused.service for refused in device.outcomes()] == ["/0", "/1", "/2"]
    assert device.outcomes() == []
    device.ask(path="/another")
    assert [refused.service for refused in device.outcomes()] == ["/another"]


def test_a_timed_out_attempt_is_reported_however_many_outcomes_for_a_log_wait() -> None:
    # The runtime must end the connection of the attempt, or it is occupied for ever.
    device = Device(limits=replace(DEFAULT_LIMITS, outcomes=3))
    device.owe()
    delivery = device.take_one()
    device.outcomes()
    for number in range(10):
        device.ask(path=f"/{number}")
    device.at(30)
    for number in range(10):
        device.ask(path=f"/{number}")
    timed_out = [o for o in device.outcomes() if isinstance(o, AttemptTimedOut)]
    assert timed_out == [AttemptTimedOut(delivery)]


def one_connection(**more: int) -> Device:
    return Device(limits=replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1, **more))


def test_beyond_the_connections_to_one_port_other_deliveries_to_it_wait() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=2))
    for number in range(5):
        device.subscribe(f"http://10.0.0.2:9000/{number}")
    device.subscribe("http://10.0.0.2:9001/")
    device.update(A="1")
    taken = device.take()
    assert [delivery.address.url.url for delivery in taken] == [
        "http://10.0.0.2:9000/0",
        "http://10.0.0.2:9000/1",
        "http://10.0.0.2:9001/",
    ]
    assert device.take() == []
    assert not device.protocol.settled
    served = [delivery.address.sid for delivery in taken]
    while taken:
        device.end(taken.pop(0))
        taken += device.take()
        served += [delivery.address.sid for delivery in taken[-1:]]
        assert sum(d.address.url.endpoint.port == 9000 for d in taken) <= 2
    assert set(served) == set(device.sids())
    assert device.protocol.settled


def test_the_subscription_that_has_waited_longest_for_a_port_is_served_first() -> None:
    """Even if a change has queued others meanwhile."""
    device = one_connection()
    quiet = [device.subscribe(f"http://10.0.0.2:9000/{number}") for number in range(2)]
    device.subscribe("http://10.0.0.2:9000/x", path="/other")
    device.protocol.update("/other", {"X": "1"}, device.now)
    busy = device.take_one()
    waiting = device.owe("http://10.0.0.2:9000/w", path="/other")
    assert device.take() == []
    device.update(A="1")
    device.end(busy)
    order = [delivery.address.sid for delivery in device.drain()]
    assert order == [waiting, *quiet]


@pytest.mark.parametrize("ending", ["unsubscribe", "expiry", "412"])
def test_a_free_connection_is_passed_on_when_the_one_who_waited_has_ended(ending) -> None:
    device = one_connection()
    sids = [
        device.subscribe("http://10.0.0.2:9000/", timeout=f"Second-{seconds}")
        for seconds in (3000, 60, 60, 3000)
    ]
    device.at(40)
    device.update(A="1")
    first = device.take_one()
    assert device.take() == []
    if ending == "unsubscribe":
        device.unsubscribe(sids[1])
        device.unsubscribe(sids[2])
    elif ending == "expiry":
        device.at(60)
    if ending == "412":
        device.end(first, 412)
        device.end(device.take_one(), 412)
        device.end(device.take_one(), 412)
    else:
        device.end(first)
    assert device.take_one().address.sid == sids[3]


def test_a_connection_given_to_one_who_ends_before_using_it_is_passed_on() -> None:
    device = one_connection()
    sids = [device.subscribe("http://10.0.0.2:9000/") for _ in range(3)]
    device.update(A="1")
    device.end(device.take_one())
    device.unsubscribe(sids[1])
    assert device.take_one().address.sid == sids[2]


def test_a_connection_is_passed_on_by_one_who_has_nothing_to_be_told() -> None:
    """STATEVAR: nothing of what changed is wanted."""
    device = Device(
        policy=UDA_2, limits=replace(DEFAULT_LIMITS, connections_per_delivery_endpoint=1)
    )
    device.subscribe("http://10.0.0.2:9000/1")
    device.subscribe("http://10.0.0.2:9000/2", statevar="B")
    last = device.subscribe("http://10.0.0.2:9000/3")
    device.update(A="1")
    device.end(device.take_one())
    delivery = device.take_one()
    assert delivery.address.sid == last
    device.end(delivery)
    assert device.protocol.settled
    device.update(B="1")
    assert len(device.drain()) == 3


def test_nothing_is_left_when_all_who_waited_for_a_port_have_ended() -> None:
    device = one_connection()
    sids = [device.subscribe("http://10.0.0.2:9000/") for _ in range(4)]
    device.update(A="1")
    delivery = device.take_one()
    for sid in sids:
        device.unsubscribe(sid)
    device.end(delivery)
    assert_nothing_is_left(device)


def test_subscribing_again_does_not_get_around_the_cap() -> None:
    device = one_connection()
    sid = device.subscribe("http://10.0.0.2:9000/")
    device.update(A="1")
    stuck = device.take_one()
    device.unsubscribe(sid)
    device.owe("http://10.0.0.2:9000/")
    assert device.take() == []
    device.end(stuck)
    assert device.take_one().seq == 0


def test_a_second_url_may_have_to_wait_for_its_port_too() -> None:
    device = one_connection()
    device.subscribe("http://10.0.0.2:2/")
    device.subscribe("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    device.update(A="1")
    one, two = device.take()
    device.end(two, 500)
    assert device.take() == []
    device.end(one)
    delivery = device.take_one()
    assert (delivery.address.sid, delivery.address.url.endpoint.port) == ("uuid:2", 2)
    device.end(delivery)
    assert device.protocol.settled


# --- everything together ---


STEPS = ["subscribe", "answer", "lose", "update", "take", "end", "cancel", "renew", "wait"]
# More of what makes subscriptions meet.
STEPS += ["update", "take", "end", "end"]


@given(st.data())
def test_whatever_happens_order_is_kept_nobody_is_forgotten_and_nothing_is_left(data) -> None:
    """A runtime that does anything in any order, on two ports with two connections each."""
    limits = replace(
        DEFAULT_LIMITS, connections_per_delivery_endpoint=2, waiting_messages=2, subscriptions=8
    )
    device = Device(
        policy=UDA_2,
        limits=limits,
        A=EventedVariable("0"),
        B=EventedVariable("0", minimum_interval=7),
    )
    unanswered: list[Response] = []
    in_flight: list[Delivery] = []
    next_seq: dict[str, int] = {}
    values: dict[str, dict[str, str]] = {}
    failed: set[str] = set()
    clock = 0.0

    def take(limit: int) -> None:
        for delivery in device.take(limit):
            sid = delivery.address.sid
            assert sid in next_seq, "nothing goes out before the answer"
            assert delivery.seq >= next_seq[sid]
            assert all(other.address.sid != sid for other in in_flight)
            next_seq[sid] = delivery.seq
            in_flight.append(delivery)
        for port in (1, 2):
            assert sum(d.address.url.endpoint.port == port for d in in_flight) <= 2

    def end(delivery: Delivery, result: int | DeliveryFailure) -> None:
        in_flight.remove(delivery)
        sid = delivery.address.sid
        if result == 200:
            values.setdefault(sid, {}).update(delivery.message.changes)
            next_seq[sid] = delivery.seq + 1
        elif result is not DeliveryFailure.STALE:
            failed.add(sid)
        device.end(delivery, result)

    for _ in range(data.draw(st.integers(5, 40))):
        step = data.draw(st.sampled_from(STEPS))
        sids = device.sids()
        if step == "subscribe":
            urls = data.draw(
                st.lists(
                    st.sampled_from(["http://10.0.0.2:1/", "http://10.0.0.2:2/"]),
                    min_size=1,
                    max_size=3,
                )
            )
            response = device.ask(
                *urls, statevar=data.draw(st.sampled_from(["", "A"])), timeout="Second-60"
            )
            assert response.status == (200 if len(sids) < 8 else 503)
            unanswered += [response] if response.status == 200 else []
        elif step == "answer" and unanswered:
            response = unanswered.pop()
            next_seq[device.sent(response)] = 0
        elif step == "lose" and unanswered:
            device.protocol.response_lost(unanswered.pop(), device.now)
        elif step == "update":
            name = data.draw(st.sampled_from("AB"))
            device.update(**{name: str(data.draw(st.integers(0, 9)))})
        elif step == "take":
            take(data.draw(st.integers(1, 5)))
        elif step == "end" and in_flight:
            end(
                data.draw(st.sampled_from(in_flight)),
                data.draw(st.sampled_from([200, 200, 200, 412, 500, DeliveryFailure.STALE])),
            )
        elif step == "cancel" and sids:
            device.unsubscribe(data.draw(st.sampled_from(sids)))
        elif step == "renew" and sids:
            device.renew(data.draw(st.sampled_from(sids)))
        elif step == "wait":
            clock += data.draw(st.sampled_from([0.5, 8.0, 20.0]))
            device.at(clock)
        for outcome in device.outcomes():
            if isinstance(outcome, AttemptTimedOut):
                in_flight.remove(outcome.delivery)
                failed.add(outcome.delivery.address.sid)
        schedule = device.protocol._queue
        assert len(schedule._in_flight) == len(in_flight)
        assert sum(load.in_flight for load in schedule._endpoints.loads.values()) == len(in_flight)

    # From here on everything is answered: all who are left end with the true state.
    for response in unanswered:
        if device.protocol._subscriptions.get(response.fields[b"sid"].decode()):
            next_seq[device.sent(response)] = 0
    for sid in device.sids():
        device.renew(sid)
    for _ in range(2):
        take(1_000)
        while in_flight:
            end(in_flight[0], 200)
            take(1_000)
        device.at(clock := clock + 7)
    assert device.protocol.settled
    texts = device.protocol._services["/evt"].texts
    for subscription in device.protocol.subscriptions:
        assert subscription.state is PublisherState.QUIET
        if subscription.sid not in failed:
            wanted = subscription.wanted or texts.keys()
            assert values[subscription.sid] == {name: texts[name] for name in wanted}
    for sid in device.sids():
        device.unsubscribe(sid)
    assert_nothing_is_left(device)


# --- many subscriptions ---


def crowd(subscriptions: int) -> Device:
    """A device with so many idle subscriptions, each with an endpoint of its own."""
    limits = replace(
        DEFAULT_LIMITS,
        subscriptions=subscriptions + 1_000,
        subscriptions_per_address=subscriptions + 1_000,
        subscriptions_per_service=subscriptions + 1_000,
    )
    device = Device(limits=limits)
    for number in range(subscriptions):
        device.owe(f"http://10.0.{2 + number // 60_000}.2:{1 + number % 60_000}/a/path/of/events")
    device.drain()
    device.outcomes()
    return device


@pytest.mark.slow
def test_a_subscribe_costs_the_same_beside_a_thousand_and_ten_thousand_subscriptions() -> None:
    few, many = crowd(1_000), crowd(10_000)

    def seconds(device: Device) -> float:
        begun = time.process_time()
        for _ in range(200):
            device.unsubscribe(device.owe())
        spent = time.process_time() - begun
        device.drain()
        device.outcomes()
        return spent

    rounds = [(seconds(few), seconds(many)) for _ in range(5)]
    assert min(b for _, b in rounds) < 2.0 * min(a for a, _ in rounds)


@pytest.mark.slow
def test_an_idle_subscription_takes_less_than_two_kilobytes() -> None:
    crowd(10)  # what is made once
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        device = crowd(1_000)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    taken = sum(each.size_diff for each in after.compare_to(before, "filename"))
    assert len(device.sids()) == 1_000
    assert taken / 1_000 < 2_048
