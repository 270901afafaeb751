"""SubscriberProtocol: requests out, answers and events in, on a clock that the test moves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.device_slots import CallTurn
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import (
    DeviceChecked,
    ForeignSource,
    Granted,
    Mended,
    NotifyRefused,
    RenewalAnswered,
    RenewalFailed,
    SeqUnreliable,
    Unreadable,
)
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.wire.mending import problem
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import format_propertyset
from propchange.errors import LocalProtocolError
from tests.core.clock import OnAClock

LOCAL = Endpoint("10.0.0.2", 9000)
DEVICE = Endpoint("10.0.0.1", 8000)
URL = "http://10.0.0.1:8000/evt"


class ControlPoint(OnAClock):
    """A subscriber, and everything that a runtime would do, one step at a time."""

    def __init__(
        self,
        *,
        policy: SubscriberPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        tokens = (f"path-{number}" for number in itertools.count(1))
        self.protocol = SubscriberProtocol(
            new_token=lambda: next(tokens), jitter=jitter, policy=policy, limits=limits
        )

    def subscribe(self, url: str = URL, **options) -> SubscriptionRecord:
        return self.protocol.subscribe(url, self.now, **options)

    def requests(self) -> list[OutgoingRequest]:
        return self.protocol.take_requests()

    def request(self, kind: RequestKind) -> OutgoingRequest:
        """The one request there is to send, built as a runtime would."""
        (request,) = self.requests()
        assert request.kind is kind
        if kind is not RequestKind.DESCRIBE:
            request.build(LOCAL)
        return request

    def answer(
        self,
        request: OutgoingRequest,
        status: int = 200,
        *,
        sid: str | None = "uuid:1",
        timeout: str | None = "Second-1800",
        remote: Endpoint | None = DEVICE,
        more: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        headers = [(b"SID", sid.encode())] if sid is not None else []
        headers += more
        headers += [(b"TIMEOUT", timeout.encode())] if timeout is not None else []
        request.remote = remote
        self.protocol.response_received(request, Response(status, headers), self.now)

    def fail(self, request: OutgoingRequest, reason: str = "no route") -> None:
        self.protocol.request_failed(request, reason, self.now)

    def granted(self, *, sid: str = "uuid:1", timeout: str | None = "Second-1800", **options):
        """Granted, without an event yet."""
        record = self.subscribe(**options)
        self.answer(self.request(RequestKind.SUBSCRIBE), sid=sid, timeout=timeout)
        return record

    def active(self, **options) -> SubscriptionRecord:
        """Granted, and the initial event was A=0."""
        record = self.granted(**options)
        assert self.notify(record, 0, A="0") == 200
        self.outcomes()
        return record

    def notify(
        self,
        record: SubscriptionRecord,
        seq: int | None,
        *,
        sid: str | None = None,
        path: str | None = None,
        peer: Endpoint = DEVICE,
        **values: str,
    ) -> int:
        headers = [
            (b"HOST", b"10.0.0.2:9000"),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", (record.sid if sid is None else sid).encode()),
        ]
        headers += [] if seq is None else [(b"SEQ", b"%d" % seq)]
        request = Request(
            "NOTIFY",
            record.path if path is None else path,
            headers,
            format_propertyset((values or {"A": "1"}).items()),
            peer=peer,
            local=LOCAL,
        )
        return self.protocol.receive_notify(request, self.now).status

    def statuses(self) -> list[tuple[Status, Cause]]:
        return [(o.status, o.cause) for o in self.outcomes() if isinstance(o, StatusChange)]

    def events(self) -> list[Event]:
        return [outcome for outcome in self.outcomes() if isinstance(outcome, Event)]


def assert_nothing_is_left(point: ControlPoint) -> None:
    protocol, routing = point.protocol, point.protocol._routing
    assert list(protocol.subscriptions) == []
    assert not len(protocol._timers)
    assert point.requests() == []
    assert not any(each.waits for each in protocol._requests.slots._devices.values())
    assert not protocol._requests.outstanding
    assert not protocol._requests._parting
    assert not routing.paths
    assert not routing._sids
    assert not routing._early
    assert not routing._early_on_shared_path


# --- subscribing ---


@pytest.mark.clause("SUB-10")
@pytest.mark.clause("SUB-17")
def test_a_subscribe_asks_for_events_at_the_address_of_its_own_connection() -> None:
    point = ControlPoint()
    record = point.subscribe(duration=300)
    (request,) = point.requests()
    assert (request.kind, request.url, request.source) == (RequestKind.SUBSCRIBE, URL, None)
    built = request.build(Endpoint("192.168.7.2", 4711))
    assert built.fields[b"callback"] == b"<http://192.168.7.2:4711/path-1>"
    assert built.fields[b"timeout"] == b"Second-300"
    assert built.target == "/evt"
    assert record.callback == "http://192.168.7.2:4711/path-1"
    assert record.state is S.SUBSCRIBING
    assert point.requests() == []


@pytest.mark.clause("V6-05")
@pytest.mark.clause("V6-02")
@pytest.mark.clause("V6-03")
@pytest.mark.clause("V6-04")
@pytest.mark.clause("V6-07")
@pytest.mark.clause("SUB-06")
def test_a_zone_id_is_never_part_of_the_callback_but_of_the_source_of_the_renewal() -> None:
    point = ControlPoint()
    record = point.subscribe("http://[fe80::1%25eth0]:8000/evt")
    (request,) = point.requests()
    built = request.build(Endpoint("fe80::2", 9000, 3))
    assert built.fields[b"callback"] == b"<http://[fe80::2]:9000/path-1>"
    assert built.fields[b"host"] == b"[fe80::1]:8000"
    assert record.source == Endpoint("fe80::2", 0, 3)


def test_host_and_port_of_the_callback_can_be_given_for_nat_and_containers() -> None:
    policy = SubscriberPolicy(callback_host="203.0.113.9", callback_port=80)
    point = ControlPoint(policy=policy)
    record = point.subscribe()
    (request,) = point.requests()
    built = request.build(LOCAL)
    assert built.fields[b"callback"] == b"<http://203.0.113.9:80/path-1>"
    assert record.advertised.authority == "203.0.113.9:80"


def test_without_a_wish_the_duration_of_the_policy_is_asked_for() -> None:
    point = ControlPoint(policy=SubscriberPolicy(duration=1234))
    point.subscribe()
    (request,) = point.requests()
    assert request.build(LOCAL).fields[b"timeout"] == b"Second-1234"


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "/evt", ""])
def test_a_url_that_cannot_be_subscribed_to_raises(url) -> None:
    point = ControlPoint()
    with pytest.raises(ValueError, match="http://"):
        point.subscribe(url)
    assert_nothing_is_left(point)


@pytest.mark.parametrize("duration", [0, -1])
def test_a_duration_under_a_second_raises(duration) -> None:
    with pytest.raises(ValueError, match="a duration is at least 1 second"):
        ControlPoint().subscribe(duration=duration)


def test_a_control_point_holds_a_bounded_number_of_subscriptions() -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, own_subscriptions=2))
    first = point.subscribe()
    point.subscribe()
    with pytest.raises(LocalProtocolError, match="holds 2 subscriptions at most"):
        point.subscribe()
    point.protocol.unsubscribe(first, point.now)
    point.subscribe()


def test_a_grant_and_the_initial_event_make_a_subscription_active() -> None:
    point = ControlPoint()
    record = point.granted(timeout="Second-300", convert={"A": int})
    assert point.outcomes() == [Granted(record, "uuid:1", 300.0)]
    assert (record.state, record.status) == (S.GRANTED, Status.SUBSCRIBING)
    assert point.notify(record, 0, A="20", Unknown="x") == 200
    change, event = point.outcomes()
    assert change == StatusChange(record, Status.ACTIVE, Cause.INITIAL_EVENT, "events arrive")
    assert isinstance(event, Event)
    assert (event.is_initial, event.seq, event.sid, event.changes) == (True, 0, "uuid:1", {"A": 20})
    assert record.values == {"A": 20}
    assert record.last_event_at == point.now
    assert point.notify(record, 1, A="21") == 200
    (event,) = point.outcomes()
    assert (event.is_initial, event.changes, event.details[0].previous) == (False, {"A": 21}, 20)


@pytest.mark.clause("SUB-59")
def test_events_that_overtake_the_answer_are_told_after_it() -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    assert point.notify(record, 0, sid="uuid:9", A="0") == 200
    assert point.notify(record, 1, sid="uuid:9", A="1") == 200
    assert point.outcomes() == []
    point.answer(request, sid="uuid:9")
    granted, change, *events = point.outcomes()
    assert granted == Granted(record, "uuid:9", 1800.0)
    assert change.status is Status.ACTIVE
    assert [(event.seq, event.is_initial) for event in events] == [(0, True), (1, False)]


def test_a_gap_among_the_early_events_is_repaired_and_the_rest_of_them_is_dropped() -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    for seq in (0, 2, 3):
        point.notify(record, seq, sid="uuid:9", A=str(seq))
    point.answer(request, sid="uuid:9")
    assert [event.seq for event in point.events()] == [0, 2]
    unsubscribe = point.request(RequestKind.UNSUBSCRIBE)
    assert unsubscribe.sid == "uuid:9"
    assert record.state is S.SUBSCRIBING
    point.answer(unsubscribe, sid=None)
    point.request(RequestKind.SUBSCRIBE)


@pytest.mark.clause("SUB-77")
def test_after_a_redirect_the_subscription_is_where_it_was_granted() -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    request.url = "http://10.0.0.1:8001/moved"
    point.answer(request)
    assert record.event_url == "http://10.0.0.1:8001/moved"
    point.protocol.unsubscribe(record, point.now)
    assert point.request(RequestKind.UNSUBSCRIBE).url == record.event_url


# --- the granted duration ---


@pytest.mark.clause("CP-05")
@pytest.mark.parametrize(
    ("timeout", "granted", "renewal"),
    [
        ("Second-100", 100.0, 50),
        ("second-300", 300.0, 150),
        ("300", 300.0, 150),
        ("Second-0:10:00", 600.0, 300),
        ("Second-1800.0", 1800.0, 900),
        (None, 600.0, 300),
        ("", 600.0, 300),
        ("junk", 600.0, 300),
        ("Second-0", 600.0, 300),
        ("Second--5", 600.0, 300),
        ("Second-infinite", inf, 900),
        ("infinite", inf, 900),
        ("Second-99999999999999999999", 4_294_967_295.0, 302_400),
        ("Second-1", 1.0, 1),
        ("Second-2", 2.0, 1),
    ],
)
def test_whatever_the_device_grants_is_survived_and_renewed_in_time(
    timeout, granted, renewal
) -> None:
    # A week without an event would be another story.
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, quiet_seconds=inf))
    record = point.active(timeout=timeout, duration=600)
    assert record.duration_granted == granted
    assert point.deadline() == renewal
    point.at(renewal)
    assert point.request(RequestKind.RENEW).sid == "uuid:1"


def test_a_missing_duration_is_taken_for_half_an_hour_at_most() -> None:
    point = ControlPoint()
    record = point.active(timeout=None, duration=86_400)
    assert record.duration_granted == 1800


@pytest.mark.clause("CP-14")
def test_the_duration_counts_from_when_the_request_was_sent() -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    point.at(20)
    point.answer(request, timeout="Second-100")
    point.notify(record, 0)
    assert record.expires == 1_100.0
    assert point.deadline() == 50


@pytest.mark.clause("CP-04")
@given(st.floats(0, 1, exclude_max=True), st.integers(3, 86_400))
def test_a_renewal_goes_out_between_two_fifths_and_half_of_the_duration(jitter, duration) -> None:
    point = ControlPoint(jitter=lambda: jitter)
    point.active(timeout=f"Second-{duration}")
    renewal = point.deadline()
    assert max(1.0, 0.4 * duration) - 1e-6 <= renewal <= 0.5 * duration + 1e-6


# --- renewal ---


@pytest.mark.clause("REN-01")
@pytest.mark.clause("REN-03")
def test_a_renewal_comes_from_the_same_address_and_begins_the_duration_again() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    point.at(50)
    (request,) = point.requests()
    assert (request.kind, request.url, request.sid) == (RequestKind.RENEW, URL, "uuid:1")
    assert request.source == Endpoint("10.0.0.2", 0)
    built = request.build(LOCAL)
    assert built.fields[b"sid"] == b"uuid:1"
    assert b"callback" not in built.fields
    point.at(51)
    point.answer(request, timeout="Second-200")
    assert point.outcomes() == [RenewalAnswered(record, "uuid:1", 200.0)]
    assert (record.expires, record.renewals, record.state) == (1_250.0, 1, S.ACTIVE)
    assert point.deadline() == 150
    assert point.notify(record, 1) == 200


def test_a_renewal_may_come_before_the_initial_event() -> None:
    point = ControlPoint()
    record = point.granted(timeout="Second-2")
    point.at(1)
    point.answer(point.request(RequestKind.RENEW), timeout="Second-2")
    assert record.state is S.GRANTED
    point.notify(record, 0)
    assert record.state is S.ACTIVE


@pytest.mark.clause("REN-12")
def test_another_sid_in_the_answer_to_a_renewal_is_adopted() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), sid="uuid:2")
    assert point.outcomes() == [RenewalAnswered(record, "uuid:2", 1800.0)]
    assert point.notify(record, 1, sid="uuid:1") == 200
    assert point.notify(record, 0, sid="uuid:2") == 200
    assert point.notify(record, 2, sid="uuid:1") == 412


@pytest.mark.parametrize("sid", [None, "", "uuid:1", "x" * 1_000, "uuid:\x01"])
def test_a_renewal_without_a_usable_sid_leaves_the_one_there_is(sid) -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), sid=sid)
    assert (record.sid, record.state) == ("uuid:1", S.ACTIVE)
    assert point.notify(record, 1) == 200


@pytest.mark.clause("REN-12")
@pytest.mark.clause("CP-16")
@pytest.mark.parametrize("status", [412, 404, 400, 500, 503])
def test_a_refused_renewal_leads_to_a_fresh_subscription_at_once(status) -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    path = record.path
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), status)
    assert point.outcomes() == [
        StatusChange(
            record,
            Status.RESUBSCRIBING,
            Cause.RENEWAL_REFUSED,
            f"the device answered the renewal with {status}",
            status,
        )
    ]
    assert (record.expires, record.duration_granted) == (None, None)
    assert point.notify(record, 1, path=path) == 412
    request = point.request(RequestKind.SUBSCRIBE)
    assert record.path != path
    point.answer(request, sid="uuid:2")
    assert point.notify(record, 0, A="9") == 200
    granted, active, event = point.outcomes()[1:]
    assert (granted.sid, active.status, event.is_initial) == ("uuid:2", Status.ACTIVE, True)


@pytest.mark.clause("REN-12")
def test_renewals_without_an_answer_are_retried_until_the_expiry_while_events_come() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    attempts = []
    while record.state is S.ACTIVE:
        point.at(point.deadline())
        for request in point.requests():
            if request.kind is RequestKind.RENEW:
                attempts.append(point.now - 1_000)
                point.fail(request)
                point.notify(record, len(attempts))
    assert attempts[:4] == [50, 51, 53, 57]
    assert attempts == sorted(attempts)
    assert 90 < attempts[-1] < 100
    assert point.now == 1_100.0
    outcomes = [outcome for outcome in point.outcomes() if not isinstance(outcome, Event)]
    assert outcomes == [RenewalFailed(record, "no route")] * len(attempts) + [
        StatusChange(
            record, Status.RESUBSCRIBING, Cause.EXPIRED, "no renewal was answered in time: no route"
        )
    ]
    assert record.state is S.SUBSCRIBING


def test_a_renewal_that_is_not_answered_at_all_times_out() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-1800")
    point.at(900)
    lost = point.request(RequestKind.RENEW)
    assert point.deadline() == 930
    point.at(930)
    assert point.outcomes() == [RenewalFailed(record, "no answer in time")]
    point.at(931)
    again = point.request(RequestKind.RENEW)
    point.answer(lost, 412)
    point.fail(lost)
    assert record.state is S.ACTIVE
    point.answer(again)
    assert record.renewals == 1


def test_an_infinite_grant_never_expires_and_is_renewed_all_the_same() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), timeout="Second-infinite")
    assert record.expires == inf
    seconds = 50 + 900
    for number in range(1, 10):
        point.at(seconds)
        point.fail(point.request(RequestKind.RENEW))
        point.now += 0.5
        assert point.notify(record, number) == 200
        assert record.state is S.ACTIVE
        assert 1 <= point.deadline() - seconds <= 60
        seconds = point.deadline()
    point.at(seconds)
    point.answer(point.request(RequestKind.RENEW), timeout="Second-100")
    assert record.expires == point.now + 100


def test_grants_of_one_second_are_renewed_once_a_second_and_a_lapse_is_told() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-1")
    for second in range(1, 30):
        point.at(second)
        point.answer(point.request(RequestKind.RENEW), timeout="Second-1")
    assert record.state is S.ACTIVE
    point.at(30)
    point.answer(point.request(RequestKind.RENEW), 412)
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.RENEWAL_REFUSED)]


def test_a_short_grant_that_is_not_renewed_in_time_lapses() -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-1")
    point.at(1)
    renewal = point.request(RequestKind.RENEW)
    point.at(1.9)
    assert record.state is S.ACTIVE
    point.at(2)
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.EXPIRED)]
    point.answer(renewal)
    assert record.state is S.SUBSCRIBING


# --- failure of the first SUBSCRIBE ---


@pytest.mark.parametrize(
    ("status", "cause", "reason"),
    [
        (
            503,
            Cause.REFUSED,
            (
                "the device answered SUBSCRIBE with 503: it has no room for another subscription; "
                "close other control points, or start it again"
            ),
        ),
        (0, Cause.UNREACHABLE, "no route"),
    ],
)
def test_a_caller_who_does_not_want_to_wait_is_told_of_the_first_failure(
    status, cause, reason
) -> None:
    point = ControlPoint()
    record = point.subscribe(persistent=False)
    request = point.request(RequestKind.SUBSCRIBE)
    point.answer(request, status) if status else point.fail(request)
    assert point.outcomes() == [StatusChange(record, Status.REFUSED, cause, reason, status)]
    assert record.state is S.REFUSED
    assert point.deadline() is None
    assert list(point.protocol.subscriptions) == [record]
    point.protocol.unsubscribe(record, point.now)
    assert point.statuses() == [(Status.CLOSED, Cause.CLOSED)]
    assert_nothing_is_left(point)


def test_after_a_grant_nobody_is_given_up_any_more() -> None:
    point = ControlPoint()
    record = point.active(persistent=False, timeout="Second-100")
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), 412)
    point.fail(point.request(RequestKind.SUBSCRIBE))
    assert record.state is S.WAITING
    assert point.deadline() is not None


@pytest.mark.parametrize("sid", [None, "", "x" * 1_000, "uuid:\x01"])
def test_a_grant_without_a_usable_sid_is_a_refusal(sid) -> None:
    point = ControlPoint()
    record = point.subscribe(persistent=False)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid=sid)
    (change,) = point.outcomes()
    assert (change.status, change.cause, change.http_status) == (
        Status.REFUSED,
        Cause.REFUSED,
        200,
    )
    assert change.reason.startswith("the device granted without a usable SID: ")
    assert record.state is S.REFUSED


@pytest.mark.clause("SUB-45")
def test_a_sid_need_not_be_a_uuid() -> None:
    point = ControlPoint()
    record = point.active(sid="RINCON_000E58_sub0000000001")
    assert point.notify(record, 1) == 200


def test_a_subscribe_that_is_not_answered_at_all_times_out() -> None:
    point = ControlPoint()
    record = point.subscribe()
    point.at(29.9)
    assert record.state is S.SUBSCRIBING
    point.at(30)
    assert record.state is S.WAITING
    assert point.statuses() == [(Status.SUBSCRIBING, Cause.UNREACHABLE)]


def test_a_device_that_is_away_is_tried_again_for_ever_and_told_once() -> None:
    point = ControlPoint()
    record = point.subscribe()
    waits = []
    for _ in range(40):
        point.fail(point.request(RequestKind.SUBSCRIBE))
        waits.append(point.deadline() + 1_000 - point.now)
        point.at(point.deadline())
    assert waits == [1, 2, 4, 8, 16, 32] + [60] * 34
    assert point.statuses() == [(Status.SUBSCRIBING, Cause.UNREACHABLE)]
    point.answer(point.request(RequestKind.SUBSCRIBE))
    assert (record.state, record.failures) == (S.GRANTED, 0)


@given(st.integers(1, 30), st.floats(0, 1, exclude_max=True))
def test_backoff_is_jittered_by_a_quarter_at_most(failures, jitter) -> None:
    point = ControlPoint(jitter=lambda: jitter)
    point.subscribe()
    for number in range(failures):
        point.fail(point.request(RequestKind.SUBSCRIBE))
        full = min(60, 2**number)
        wait = point.deadline() + 1_000 - point.now
        assert 0.75 * full - 1e-6 <= wait <= full + 1e-6
        point.at(point.deadline())


# --- the description is read again ---


@pytest.mark.parametrize("status", [404, 405, 410, 0])
def test_the_event_url_is_looked_up_again_when_it_seems_to_have_moved(status) -> None:
    point = ControlPoint()
    record = point.subscribe(describable=True)
    request = point.request(RequestKind.SUBSCRIBE)
    point.answer(request, status) if status else point.fail(request)
    point.at(1)
    describe = point.request(RequestKind.DESCRIBE)
    assert record.state is S.DESCRIBING
    point.protocol.described(describe, "http://10.0.0.1:8000/new", {"A": int}, point.now)
    assert (record.event_url, record.convert) == ("http://10.0.0.1:8000/new", {"A": int})
    assert point.request(RequestKind.SUBSCRIBE).url == "http://10.0.0.1:8000/new"


@pytest.mark.parametrize(("describable", "status"), [(False, 404), (True, 503), (True, 412)])
def test_else_the_same_event_url_is_tried_again(describable, status) -> None:
    point = ControlPoint()
    point.subscribe(describable=describable)
    point.answer(point.request(RequestKind.SUBSCRIBE), status)
    point.at(1)
    assert point.request(RequestKind.SUBSCRIBE).url == URL


def test_a_description_that_cannot_be_read_is_tried_again_later() -> None:
    point = ControlPoint()
    record = point.subscribe(describable=True)
    point.fail(point.request(RequestKind.SUBSCRIBE))
    for wait in (1, 2, 4):
        assert point.deadline() + 1_000 - point.now == wait
        point.at(point.deadline())
        describe = point.request(RequestKind.DESCRIBE)
        if wait < 4:
            point.fail(describe)
    point.at(point.deadline())
    assert record.state is S.WAITING
    point.protocol.described(describe, URL, None, point.now)
    assert record.state is S.WAITING


def test_a_described_url_that_cannot_be_subscribed_to_raises() -> None:
    point = ControlPoint()
    record = point.subscribe(describe_first=True)
    describe = point.request(RequestKind.DESCRIBE)
    with pytest.raises(ValueError, match="is not an http:// URL"):
        point.protocol.described(describe, "", None, point.now)
    point.fail(describe, "the service has no event URL")
    assert record.state is S.WAITING


@pytest.mark.parametrize("persistent", [True, False])
def test_the_description_can_be_asked_for_before_the_first_subscribe(persistent) -> None:
    point = ControlPoint()
    record = point.subscribe(describe_first=True, describable=True, persistent=persistent)
    point.fail(point.request(RequestKind.DESCRIBE))
    assert record.state is (S.WAITING if persistent else S.REFUSED)


# --- the token bucket ---


def test_a_device_that_grants_and_forgets_is_not_hammered() -> None:
    point = ControlPoint()
    record = point.active()
    sent = 1
    while point.now < 1_010:
        point.protocol.device_rebooted(None, point.now)
        for request in point.requests():
            point.answer(request)
            point.notify(record, 0)
            sent += 1
        point.now += 0.1
        point.protocol.handle_deadline(point.now)
    assert sent <= 3 + 10


def test_an_early_renewal_waits_for_its_token_too() -> None:
    limits = replace(DEFAULT_LIMITS, subscribe_burst=1, subscribe_refill_seconds=5.0)
    point = ControlPoint(limits=limits)
    point.active(timeout="Second-4")
    point.at(2)
    assert point.requests() == []
    assert point.deadline() == 4


ANSWERS = st.sampled_from(
    [
        (200, "Second-1"),
        (200, "Second-2"),
        (200, None),
        (200, "Second-300"),
        (200, "infinite"),
        (412, None),
        (404, None),
        (503, None),
        None,
    ]
)


@given(
    st.lists(st.tuples(ANSWERS, st.floats(0, 3), st.integers(0, 4)), max_size=60),
    st.floats(0, 1, exclude_max=True),
    st.booleans(),
)
# UNSUBSCRIBEs without an answer keep the device's turn: those that wait for it leave at once.
@example(
    [
        ((200, "Second-1"), pause, what)
        for pause, what in (
            (2.0, 2),
            (1.0, 2),
            (3.0, 0),
            (0.0, 2),
            (1.0, 0),
            (2.0, 1),
            (3.0, 0),
            (0.0, 1),
            (0.0, 0),
        )
    ],
    0.0,
    True,
)
def test_whatever_the_device_answers_requests_stay_within_the_token_bucket(
    steps, jitter, describable
) -> None:
    """At most ``burst`` at once, and one more per refill."""
    point = ControlPoint(jitter=lambda: jitter)
    record = point.subscribe(describable=describable, device="d")
    sids = (f"uuid:{number}" for number in itertools.count())
    sent: list[float] = []
    open_requests: list[OutgoingRequest] = []

    def drain() -> None:
        for request in point.requests():
            if request.kind is not RequestKind.DESCRIBE:
                request.build(LOCAL)
            if request.kind is not RequestKind.UNSUBSCRIBE:
                if request.kind is not RequestKind.DESCRIBE:
                    request.build(LOCAL)
                sent.append(point.now)
                open_requests.append(request)

    for answer, pause, what in steps:
        drain()
        while open_requests:
            request = open_requests.pop()
            if answer is None:
                point.fail(request)
            elif request.kind is RequestKind.DESCRIBE:
                point.protocol.described(request, URL, None, point.now)
            else:
                point.answer(request, answer[0], sid=next(sids), timeout=answer[1])
            drain()
            if len(sent) > 1_000:
                break
        if what == 0:
            point.protocol.device_gone("d", point.now)
        elif what == 1:
            point.protocol.device_rebooted("d", point.now)
        elif record.path:
            point.notify(record, what)
        drain()
        end = point.now + pause
        while (when := point.protocol.next_deadline()) is not None and when <= end:
            point.now = max(point.now, when)
            point.protocol.handle_deadline(point.now)
            drain()
        point.now = end
    for first, begin in enumerate(sent):
        for count, moment in enumerate(sent[first:], start=1):
            assert count <= 3 + (moment - begin) / 1.0 + 1e-6


# --- DEAF ---


def test_without_an_initial_event_in_5_seconds_a_subscription_is_deaf() -> None:
    point = ControlPoint()
    record = point.granted()
    point.outcomes()
    point.at(4.9)
    assert record.state is S.GRANTED
    assert point.deadline() == 5
    point.at(5)
    (change,) = point.outcomes()
    assert change[:3] == (record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    assert change.reason.startswith(
        "granted, but no event from 10.0.0.1 in 5 s: it cannot reach 10.0.0.2:9000, or never "
        "sends; "
    )
    assert record.state is S.DEAF


def test_a_service_that_events_nothing_owes_no_initial_event() -> None:
    point = ControlPoint()
    record = point.granted(owes_event=False)
    point.outcomes()
    point.at(5)
    (change,) = point.outcomes()
    assert change == (
        record,
        Status.ACTIVE,
        Cause.NOTHING_EVENTED,
        "granted, and no event is due: its service description declares no evented variable",
        0,
    )
    # It is renewed as any other, and an event that comes all the same is the initial one.
    point.at(900)
    point.answer(point.request(RequestKind.RENEW))
    assert record.renewals == 1
    assert point.notify(record, 0, A="1") == 200
    event = point.outcomes()[-1]
    assert event.is_initial
    assert record.status is Status.ACTIVE
    # Now it is known to event something, whatever its description says.
    point.protocol.device_rebooted(None, point.now)
    point.answer(point.request(RequestKind.RENEW), 412, sid=None)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:2")
    point.at(point.now + 5)
    assert record.status is Status.DEAF


def test_the_description_read_again_says_whether_an_initial_event_is_owed() -> None:
    for owes in (True, False):
        point = ControlPoint()
        record = point.subscribe(describable=True, describe_first=True)
        request = point.request(RequestKind.DESCRIBE)
        point.protocol.described(request, URL, None, point.now, owes_event=owes)
        point.answer(point.request(RequestKind.SUBSCRIBE))
        point.at(5)
        assert record.status is (Status.DEAF if owes else Status.ACTIVE)


def test_the_diagnosis_does_without_the_address_of_the_device_if_it_must() -> None:
    point = ControlPoint()
    point.protocol.subscribe("http://thermometer:8000/evt", point.now)
    point.answer(point.request(RequestKind.SUBSCRIBE), remote=None)
    point.at(5)
    assert "no event from the device in 5 s" in point.outcomes()[-1].reason


def test_a_late_initial_event_ends_deafness() -> None:
    point = ControlPoint()
    record = point.granted()
    point.at(5)
    point.outcomes()
    assert point.notify(record, 0, A="1") == 200
    change, event = point.outcomes()
    assert (change.status, change.cause) == (Status.ACTIVE, Cause.INITIAL_EVENT)
    assert event.is_initial


def test_another_event_than_the_initial_one_ends_deafness_by_a_repair() -> None:
    point = ControlPoint()
    record = point.granted()
    point.at(5)
    point.outcomes()
    point.notify(record, 1, A="1")
    event, repair = point.outcomes()
    assert not event.is_initial
    assert (repair.status, repair.cause) == (Status.RESUBSCRIBING, Cause.MISSED_EVENT)
    assert record.state is S.SUBSCRIBING


# --- SEQ ---


@pytest.mark.clause("CP-01")
def test_a_missed_event_leads_to_unsubscribe_and_a_fresh_subscription() -> None:
    point = ControlPoint()
    record = point.active()
    path = record.path
    point.notify(record, 1)
    point.outcomes()
    assert point.notify(record, 3, A="3") == 200
    event, change = point.outcomes()
    assert (event.seq, event.changes) == (3, {"A": "3"})
    assert change == StatusChange(
        record, Status.RESUBSCRIBING, Cause.MISSED_EVENT, "events before SEQ 3 were missed"
    )
    unsubscribe = point.request(RequestKind.UNSUBSCRIBE)
    assert unsubscribe.sid == "uuid:1"
    assert unsubscribe.source == Endpoint("10.0.0.2", 0)
    assert unsubscribe.build(LOCAL).method == "UNSUBSCRIBE"
    assert (record.gaps, record.state) == (1, S.SUBSCRIBING)
    assert point.notify(record, 4, path=path) == 412
    point.answer(unsubscribe, 412, sid=None)
    assert record.state is S.SUBSCRIBING
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:2")
    point.notify(record, 0, A="9")
    assert record.state is S.ACTIVE
    assert point.events()[-1].is_initial


@pytest.mark.clause("CP-02")
def test_a_late_event_is_not_told_and_leads_to_a_fresh_subscription() -> None:
    point = ControlPoint()
    record = point.active()
    point.notify(record, 1, A="1")
    point.notify(record, 2, A="2")
    point.outcomes()
    assert point.notify(record, 1, A="old") == 200
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.MISSED_EVENT)]
    assert record.values == {"A": "2"}
    point.request(RequestKind.UNSUBSCRIBE)


@pytest.mark.clause("CP-01")
def test_a_fresh_subscribe_waits_two_seconds_at_most_for_the_unsubscribe_before_it() -> None:
    point = ControlPoint()
    record = point.active()
    point.notify(record, 2)
    unsubscribe = point.request(RequestKind.UNSUBSCRIBE)
    asked = point.now - 1_000.0
    point.at(asked + 1.9)
    assert point.requests() == []
    point.at(asked + 2.0)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:2")
    # The answer that comes after all changes nothing any more.
    point.answer(unsubscribe, sid=None)
    assert (record.state, record.sid) == (S.GRANTED, "uuid:2")
    assert point.requests() == []


def test_a_subscribe_that_waits_for_an_unsubscribe_does_not_earn_another_meanwhile() -> None:
    point = ControlPoint()
    record = point.active(device="d")
    point.at(10)
    point.notify(record, 2)
    point.request(RequestKind.UNSUBSCRIBE)  # never answered
    point.at(12)
    sent = 0
    for sid in ("uuid:2", "uuid:3"):
        point.answer(point.request(RequestKind.SUBSCRIBE), sid=sid)
        sent += 1
        point.notify(record, 2)
        point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:4")
    sent += 1
    assert sent == DEFAULT_LIMITS.subscribe_burst
    point.protocol.clock_jumped(20.0, point.now)
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    assert point.requests() == []
    point.at(13)
    point.request(RequestKind.SUBSCRIBE)


@pytest.mark.clause("CP-01")
def test_a_subscribe_that_waits_is_not_sent_when_nobody_wants_it_any_more() -> None:
    point = ControlPoint()
    record = point.active()
    point.notify(record, 2)
    unsubscribe = point.request(RequestKind.UNSUBSCRIBE)
    point.protocol.unsubscribe(record, point.now)
    point.answer(unsubscribe, sid=None)
    assert point.requests() == []
    assert_nothing_is_left(point)


@pytest.mark.clause("CP-02")
def test_a_repeated_message_is_answered_and_not_told() -> None:
    point = ControlPoint()
    record = point.active()
    for _ in range(3):
        assert point.notify(record, 1, A="1") == 200
    assert [event.seq for event in point.events()] == [1]
    assert point.requests() == []


@pytest.mark.clause("SEQ-04")
def test_the_wrap_is_no_gap() -> None:
    point = ControlPoint()
    record = point.active()
    record.sequence.judge(4_294_967_294, 0)
    point.notify(record, 4_294_967_295, A="1")
    point.notify(record, 1, A="2")
    assert [event.seq for event in point.events()] == [4_294_967_295, 1]
    assert point.requests() == []


@pytest.mark.clause("CP-02")
@pytest.mark.parametrize("seq", [0, None])
def test_a_device_whose_seq_means_nothing_is_believed_without_it_and_that_is_told_once(seq) -> None:
    point = ControlPoint()
    record = point.active()
    for number in range(6):
        assert point.notify(record, seq, A=str(number + 1)) == 200
    outcomes = point.outcomes()
    assert [event.changes["A"] for event in outcomes if isinstance(event, Event)] == list("123456")
    assert [o for o in outcomes if not isinstance(o, Event)] == [SeqUnreliable(record)]
    assert point.requests() == []
    point.notify(record, 17, A="x")
    assert point.requests() == []


@pytest.mark.clause("RSP-04")
def test_a_first_event_without_seq_is_the_initial_event() -> None:
    point = ControlPoint()
    record = point.granted()
    assert point.notify(record, None, A="1") == 200
    outcomes = point.outcomes()
    assert outcomes[1] == SeqUnreliable(record)
    assert outcomes[-1].is_initial
    assert record.state is S.ACTIVE


# --- where events come from ---


def test_an_event_from_another_address_is_taken_and_told() -> None:
    point = ControlPoint()
    record = point.active()
    stranger = Endpoint("10.0.0.66", 1)
    assert point.notify(record, 1, peer=stranger) == 200
    foreign, event = point.outcomes()
    assert foreign == ForeignSource(record, "10.0.0.66", refused=False)
    assert event.seq == 1


def test_an_event_from_another_address_is_refused_where_that_is_the_policy() -> None:
    point = ControlPoint(policy=SubscriberPolicy(require_device_source=True))
    record = point.active()
    assert point.notify(record, 1, peer=Endpoint("10.0.0.66", 1)) == 412
    assert record.state is S.ACTIVE


def test_on_a_shared_path_a_whole_subscription_works_by_its_sid() -> None:
    point = ControlPoint(policy=SubscriberPolicy(shared_path="/events"))
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    assert record.callback == "http://10.0.0.2:9000/events"
    assert point.notify(record, 0, sid="uuid:1", A="0") == 200
    point.answer(request)
    assert record.state is S.ACTIVE
    point.protocol.unsubscribe(record, point.now)
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    assert_nothing_is_left(point)


# --- the device comes and goes ---


@pytest.mark.clause("CP-07", "CP-11")
def test_a_device_that_said_goodbye_is_tried_again_slowly() -> None:
    point = ControlPoint()
    record = point.active(device="uuid:device")
    other = point.active(device="uuid:other", sid="uuid:2")
    point.protocol.device_gone("uuid:device", point.now)
    assert (point.outcomes(), point.requests()) == ([], [])
    point.at(2)  # it had a moment to fall silent
    point.fail(point.request(RequestKind.RENEW))
    assert point.outcomes() == [
        RenewalFailed(record, "no route"),
        StatusChange(
            record, Status.RESUBSCRIBING, Cause.DEVICE_GONE, "the device has said goodbye"
        ),
        DeviceChecked(
            "uuid:device", Cause.DEVICE_GONE, "the device has said goodbye", passed=False
        ),
    ]
    assert (record.state, other.state) == (S.WAITING, S.ACTIVE)
    assert point.requests() == []
    assert point.deadline() == 62
    point.protocol.device_gone("uuid:device", point.now)
    assert point.outcomes() == []
    point.at(62)
    point.fail(point.request(RequestKind.SUBSCRIBE))
    assert point.deadline() == 122


@pytest.mark.clause("CP-08")
@pytest.mark.clause("CP-09")
def test_a_device_that_has_restarted_is_subscribed_to_afresh_at_once() -> None:
    point = ControlPoint()
    record = point.active(device="d")
    point.active(device="other", sid="uuid:2")
    point.protocol.device_rebooted("d", point.now)
    point.answer(point.request(RequestKind.RENEW), 412, sid=None)
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.DEVICE_REBOOTED)]
    assert point.request(RequestKind.SUBSCRIBE).subscription is record


@pytest.mark.clause("CP-13")
def test_a_device_that_has_restarted_may_have_moved_its_event_url() -> None:
    point = ControlPoint()
    point.active(device="d", describable=True)
    point.protocol.device_rebooted("d", point.now)
    point.answer(point.request(RequestKind.RENEW), 412, sid=None)
    point.request(RequestKind.DESCRIBE)


def test_a_device_that_is_back_is_not_kept_waiting() -> None:
    point = ControlPoint()
    record = point.active(device="d")
    point.protocol.device_gone("d", point.now)
    point.at(2)
    point.fail(point.request(RequestKind.RENEW))
    point.at(10)
    point.protocol.device_rebooted("d", point.now)
    assert record.failures == 0
    point.request(RequestKind.SUBSCRIBE)
    point.protocol.device_rebooted("d", point.now)
    assert point.requests() == []


@pytest.mark.clause("CP-07")
def test_a_device_that_is_heard_of_again_is_tried_at_once() -> None:
    point = ControlPoint()
    record = point.active(device="d", describable=True)
    point.protocol.device_gone("d", point.now)
    point.at(2)
    point.fail(point.request(RequestKind.RENEW))
    point.at(10)
    point.protocol.device_returned("d", point.now)
    assert record.failures == 0
    request = point.request(RequestKind.DESCRIBE)
    # Its advertisements come in bursts, and the answer is on its way.
    point.protocol.device_returned("d", point.now)
    assert point.requests() == []
    # Or it never will be: the request went to where the device was before.
    point.at(20)
    point.protocol.device_returned("d", point.now)
    assert point.request(RequestKind.DESCRIBE) is not request


def test_a_device_that_is_heard_of_again_keeps_the_subscriptions_that_it_has_granted() -> None:
    point = ControlPoint()
    record = point.active(device="d")
    point.protocol.device_returned("d", point.now)
    assert (record.state, point.requests(), point.outcomes()) == (S.ACTIVE, [], [])


def test_news_of_a_restart_many_times_over_does_not_hammer_the_device() -> None:
    point = ControlPoint()
    point.active(device="d", describable=True)
    sent = 0
    for _ in range(100):
        point.protocol.device_rebooted("d", point.now)
        for request in point.requests():
            point.fail(request)
            sent += 1
    assert sent <= 2


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://localhost:8000/evt", True),
        ("http://10.0.0.1:8000/evt", False),
        ("http://[fe80::1%2525]:8000/evt", False),
    ],
)
def test_a_400_to_a_url_with_a_name_says_to_try_the_address(url, hint) -> None:
    point = ControlPoint()
    point.protocol.subscribe(url, point.now, persistent=False)
    point.answer(point.request(RequestKind.SUBSCRIBE), 400)
    (change,) = point.outcomes()
    assert change.http_status == 400
    assert change.reason.endswith("use its IP address") is hint


# --- closing ---


@pytest.mark.clause("UNS-01")
@pytest.mark.clause("UNS-03")
@pytest.mark.parametrize("answered", ["200", "412", "failed", "not at all"])
def test_closing_gives_the_sid_back_and_waits_two_seconds_at_most(answered) -> None:
    point = ControlPoint()
    record = point.active()
    path = record.path
    point.protocol.unsubscribe(record, point.now)
    (request,) = point.requests()
    assert (request.kind, request.sid, request.url) == (RequestKind.UNSUBSCRIBE, "uuid:1", URL)
    assert request.source == Endpoint("10.0.0.2", 0)
    assert request.build(LOCAL).fields[b"sid"] == b"uuid:1"
    assert record.state is S.CLOSING
    # What is in flight meanwhile is no stray: a 412 would have the device drop the SID first.
    assert point.notify(record, 1, path=path) == 200
    point.protocol.unsubscribe(record, point.now)
    assert point.requests() == []
    assert point.outcomes() == []
    reason = "the device did not answer UNSUBSCRIBE"
    if answered == "failed":
        point.fail(request, "broken")
        reason += ": broken"
    elif answered == "not at all":
        assert point.deadline() == 2
        point.at(2)
    else:
        point.answer(request, int(answered), sid=None)
        reason = "unsubscribed"
        if answered != "200":
            reason = f"the device answered UNSUBSCRIBE with {answered}"
    assert point.outcomes() == [StatusChange(record, Status.CLOSED, Cause.CLOSED, reason)]
    assert record.state is S.CLOSED
    assert_nothing_is_left(point)
    assert point.notify(record, 2, path=path) == 412
    point.outcomes()
    point.protocol.unsubscribe(record, point.now)
    point.answer(request, sid=None)
    point.fail(request)
    assert point.outcomes() == []


@pytest.mark.parametrize("outcome", ["answered", "failed", "refused", "not at all"])
def test_closing_while_a_renewal_is_under_way_closes_all_the_same(outcome) -> None:
    point = ControlPoint()
    record = point.active(timeout="Second-100")
    point.at(50)
    renewal = point.request(RequestKind.RENEW)
    point.protocol.unsubscribe(record, point.now)
    if outcome == "answered":
        point.answer(renewal)
    elif outcome == "refused":
        point.answer(renewal, 412)
    elif outcome == "failed":
        point.fail(renewal)
    assert record.state is S.CLOSING
    assert point.request(RequestKind.UNSUBSCRIBE).sid == "uuid:1"
    point.at(52)
    reason = "the device did not answer UNSUBSCRIBE"
    assert point.outcomes() == [StatusChange(record, Status.CLOSED, Cause.CLOSED, reason)]
    assert_nothing_is_left(point)


@pytest.mark.clause("UNS-03")
def test_closing_before_the_answer_gives_the_late_grant_back() -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    point.protocol.unsubscribe(record, point.now)
    assert point.statuses() == [(Status.CLOSED, Cause.CLOSED)]
    assert_nothing_is_left(point)
    point.answer(request, sid="uuid:5")
    late = point.request(RequestKind.UNSUBSCRIBE)
    assert (late.sid, late.url, late.source) == ("uuid:5", URL, LOCAL._replace(port=0))
    assert late.build(LOCAL).fields[b"sid"] == b"uuid:5"
    point.answer(late, sid=None)
    assert point.outcomes() == []
    assert_nothing_is_left(point)


@pytest.mark.parametrize(("status", "sid"), [(503, "uuid:5"), (200, None), (200, "uuid:\x01")])
def test_a_late_answer_that_grants_nothing_is_ignored(status, sid) -> None:
    point = ControlPoint()
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    point.protocol.unsubscribe(record, point.now)
    point.answer(request, status, sid=sid)
    assert point.requests() == []


def test_a_grant_that_comes_after_its_time_is_given_back_unless_it_is_the_current_one() -> None:
    point = ControlPoint()
    record = point.subscribe()
    lost = point.request(RequestKind.SUBSCRIBE)
    point.at(30)
    point.at(31)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:2")
    point.answer(lost, sid="uuid:1")
    assert point.request(RequestKind.UNSUBSCRIBE).sid == "uuid:1"
    point.answer(lost, sid="uuid:2")
    assert point.requests() == []
    assert record.sid == "uuid:2"
    point.fail(lost)
    assert record.state is S.GRANTED


@pytest.mark.parametrize("state", ["waiting", "describing", "subscribing"])
def test_closing_without_a_sid_is_done_at_once(state) -> None:
    point = ControlPoint()
    record = point.subscribe(describe_first=state == "describing")
    if state == "waiting":
        point.fail(point.request(RequestKind.SUBSCRIBE))
    requests = point.requests()
    point.outcomes()
    point.protocol.unsubscribe(record, point.now)
    assert point.statuses() == [(Status.CLOSED, Cause.CLOSED)]
    for request in requests:
        point.fail(request)
        point.protocol.described(request, URL, None, point.now)
    assert_nothing_is_left(point)


@pytest.mark.parametrize("state", ["subscribing", "granted", "active", "closing", "refused"])
def test_an_abandoned_subscription_is_closed_at_once_and_says_nothing_to_the_device(state) -> None:
    point = ControlPoint()
    if state == "subscribing":
        record = point.subscribe()
    elif state == "refused":
        record = point.subscribe(persistent=False)
        point.fail(point.request(RequestKind.SUBSCRIBE))
    elif state == "granted":
        record = point.granted()
    else:
        record = point.active()
    if state == "closing":
        point.protocol.unsubscribe(record, point.now)
    point.requests()
    point.outcomes()
    point.protocol.abandon(record)
    assert point.statuses() == [(Status.CLOSED, Cause.CLOSED)]
    assert_nothing_is_left(point)
    point.protocol.abandon(record)
    assert point.outcomes() == []


# --- the runtime ---


def test_early_and_repeated_calls_of_the_deadline_do_nothing() -> None:
    point = ControlPoint()
    point.active()
    for _ in range(3):
        point.at(10)
    assert point.requests() == []
    assert point.outcomes() == []


def test_a_runtime_that_takes_no_outcomes_loses_only_what_is_for_a_log() -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, outcomes=3))
    for _ in range(2):  # what was taken makes room again
        record = point.granted()
        for seq in range(10):
            point.notify(record, seq, A=str(seq))
            assert point.notify(record, seq, path="/stray") == 412
        outcomes = point.outcomes()
        assert [event.seq for event in outcomes if isinstance(event, Event)] == [*range(10)]
        assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Event)] == [
            Granted,
            StatusChange,
            *3 * [NotifyRefused],
        ]


@pytest.mark.parametrize("ended_by", ["response_received", "request_failed", "described"])
def test_requests_to_one_host_and_port_wait_for_each_other(ended_by) -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, requests_per_device=3))
    urls = [f"http://10.0.0.1:8000/{number}" for number in range(5)]
    for url in urls:
        point.subscribe(url, describe_first=ended_by == "described", describable=True)
    elsewhere = point.subscribe("http://10.0.0.1:8001/evt")
    same_port = [point.subscribe(f"http://10.0.0.3{port}/evt") for port in ("", ":80", "")]
    taken = point.requests()
    assert [request.url for request in taken[:2]] == urls[:2]
    assert taken[2].subscription is elsewhere
    assert [request.subscription for request in taken[3:]] == same_port[:2]
    assert point.requests() == []

    first = taken[0]
    for _ in range(2):  # the end of a request is counted once
        if ended_by == "response_received":
            point.answer(first)
        elif ended_by == "request_failed":
            point.fail(first)
        else:
            point.protocol.described(first, "http://10.0.0.1:7000/evt", None, point.now)
    assert [request.url for request in point.requests() if request.url in urls] == [urls[2]]
    assert point.requests() == []


def test_a_call_of_an_action_waits_for_a_slot_of_its_device_and_gives_it_back() -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, requests_per_device=1))
    point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    turn = CallTurn(request.address)
    assert not point.protocol.begin_call(turn)
    assert point.requests() == []
    assert point.protocol.take_turns() == []
    point.answer(request)
    assert point.protocol.changed
    assert point.requests() == []
    assert point.protocol.take_turns() == [turn]
    assert point.protocol.take_turns() == []
    assert point.protocol.others_of(turn) == 0
    point.subscribe()
    assert point.requests() == []
    assert point.protocol.others_of(turn) == 1
    point.protocol.end_call(turn)
    assert point.protocol.changed
    assert point.request(RequestKind.SUBSCRIBE)


def test_a_request_that_is_overtaken_while_it_waits_is_not_handed_out() -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, requests_per_device=1))
    first, second, third = (point.subscribe() for _ in range(3))
    request = point.request(RequestKind.SUBSCRIBE)
    assert request.subscription is first
    point.protocol.unsubscribe(second, point.now)
    point.answer(request)
    assert point.request(RequestKind.SUBSCRIBE).subscription is third


def test_a_request_that_is_overtaken_before_it_is_taken_leaves_nothing_behind() -> None:
    point = ControlPoint()
    point.protocol.unsubscribe(point.subscribe(), point.now)
    assert point.requests() == []
    assert point.protocol._requests.slots._devices == {}


def test_an_ordinary_event_changes_neither_requests_nor_deadlines() -> None:
    point = ControlPoint()

    def drained() -> bool:
        """Whether there was something to drain but outcomes."""
        changed = point.protocol.changed
        point.requests()
        point.deadline()
        assert not point.protocol.changed
        return changed

    assert drained()
    record = point.subscribe()
    (request,) = point.requests()
    assert drained()
    point.answer(request)
    assert drained()
    assert point.notify(record, 0, A="0") == 200
    assert drained()  # the initial event was waited for
    for seq in range(1, 4):
        assert point.notify(record, seq, A=str(seq)) == 200
        assert point.notify(record, 0, path="/stray") == 412
        assert not drained()
    assert point.notify(record, 9) == 200  # a gap
    assert drained()
    assert len(point.requests()) == 0
    point.at(2_000)
    assert drained()


def test_a_request_that_the_runtime_is_still_at_keeps_its_place_when_its_time_is_up() -> None:
    point = ControlPoint(limits=replace(DEFAULT_LIMITS, requests_per_device=1))
    record = point.subscribe()
    request = point.request(RequestKind.SUBSCRIBE)
    point.at(DEFAULT_LIMITS.request_seconds)
    point.at(2 * DEFAULT_LIMITS.request_seconds - 1)
    assert record.state is S.SUBSCRIBING
    assert point.requests() == []
    point.fail(request)
    assert point.request(RequestKind.SUBSCRIBE) is point.protocol._requests.outstanding[record]


def test_subscriptions_are_listed_in_the_order_in_which_they_were_wanted() -> None:
    point = ControlPoint()
    wanted = [point.subscribe() for _ in range(5)]
    point.protocol.unsubscribe(wanted.pop(2), point.now)
    assert list(point.protocol.subscriptions) == wanted


# --- only some of the variables ---


@pytest.mark.clause("SUB-23")
@pytest.mark.clause("SUB-53")
def test_the_variables_that_are_wanted_are_asked_for_each_time() -> None:
    point = ControlPoint(policy=SubscriberPolicy(uda="2.0"))
    record = point.subscribe(variables=["A", "B", "A"])
    request = point.request(RequestKind.SUBSCRIBE)
    assert request.build(LOCAL).fields[b"statevar"] == b"A,B"
    point.answer(request, more=((b"ACCEPTED-STATEVAR", b"A,B"),))
    assert record.accepted == ("A", "B")
    point.protocol.device_rebooted(None, point.now)
    point.answer(point.request(RequestKind.RENEW), 412, sid=None)
    request = point.request(RequestKind.SUBSCRIBE)
    assert request.build(LOCAL).fields[b"statevar"] == b"A,B"
    point.answer(request, sid="uuid:2")
    assert record.accepted is None


@pytest.mark.clause("SUB-24")
@pytest.mark.parametrize("uda", ["1.0", "1.1"])
def test_before_uda_2_nothing_is_asked_for(uda) -> None:
    point = ControlPoint(policy=SubscriberPolicy(uda=uda))
    record = point.subscribe(variables=["A"])
    request = point.request(RequestKind.SUBSCRIBE)
    assert b"statevar" not in request.build(LOCAL).fields
    point.answer(request, more=((b"ACCEPTED-STATEVAR", b"A"),))
    assert record.accepted is None


@pytest.mark.parametrize("name", ["", "A,B", "A\r\nX: y", "1st"])
def test_a_variable_that_is_no_name_raises(name) -> None:
    point = ControlPoint(policy=SubscriberPolicy(uda="2.0"))
    with pytest.raises(ValueError, match="cannot be the name"):
        point.subscribe(variables=["A", name])
    assert_nothing_is_left(point)


# --- LastChange ---


def test_what_was_mended_in_an_event_is_told_once_for_each_device_and_kind() -> None:
    point = ControlPoint()
    ampersand, namespace = problem("xml-ampersand"), problem("xml-namespace")

    def mended(record: SubscriptionRecord, seq: int, text: str) -> list[tuple[str, ...]]:
        point.notify(record, seq, LastChange=text)
        events_and_more = point.outcomes()
        (event,) = [each for each in events_and_more if isinstance(each, Event)]
        told = [each for each in events_and_more if isinstance(each, Mended)]
        assert all(each.subscription is record for each in told)
        return [event.problems, tuple(each.problem for each in told)]

    first = point.active(device="uuid:1")
    assert mended(first, 1, "<Event xmlns='u'/>") == [(), ()]
    assert mended(first, 2, "<Event xmlns='u'>&</Event>") == [(ampersand,), (ampersand,)]
    assert mended(first, 3, "<Event xmlns='u'>&</Event>") == [(ampersand,), ()]
    assert mended(first, 4, "<Event>&</Event>") == [(ampersand, namespace), (namespace,)]
    assert first.problems == (ampersand, namespace)

    # Another service of that device, another device, and a service of an unknown one.
    same = point.active(sid="uuid:2", device="uuid:1")
    assert mended(same, 1, "<Event>&</Event>") == [(ampersand, namespace), ()]
    assert same.problems == (ampersand, namespace)
    for number in (3, 4):
        other = point.active(sid=f"uuid:{number}", device="uuid:2" if number == 3 else None)
        assert mended(other, 1, "<Event/>") == [(namespace,), (namespace,)]


def test_a_last_change_that_cannot_be_read_is_told_and_the_stream_goes_on() -> None:
    point = ControlPoint()
    record = point.active()
    assert point.notify(record, 1, LastChange="junk") == 200
    event, trouble = point.outcomes()
    assert isinstance(event, Event)
    assert event.changes == {"LastChange": "junk"}
    assert isinstance(trouble, Unreadable)
    assert trouble.subscription is record
    assert trouble.reason.startswith("a LastChange cannot be read")
    assert point.notify(record, 2, LastChange="<Event xmlns='u'><A val='1'/></Event>") == 200
    (event,) = point.outcomes()
    assert isinstance(event, Event)
    assert event.changes == {"A": "1"}
    assert record.values == {"A": "1"}


# --- what the application asks for in between ---


def test_an_application_renews_when_it_wants_and_for_how_long_it_wants() -> None:
    point = ControlPoint()
    record = point.active()
    point.at(10)
    point.protocol.renew(record, point.now, duration=77)
    [request] = point.protocol.take_requests()
    assert request.kind is RequestKind.RENEW
    assert request.build(LOCAL).fields[b"timeout"] == b"Second-77"
    point.protocol.renew(record, point.now)  # while it is on its way
    assert point.protocol.take_requests() == []
    with pytest.raises(ValueError, match="at least 1 second"):
        point.protocol.renew(record, point.now, duration=0)


def test_an_application_that_renews_without_a_grant_has_it_tried_at_once() -> None:
    point = ControlPoint()
    record = point.subscribe()
    [request] = point.protocol.take_requests()
    point.protocol.request_failed(request, "connection refused", point.now)
    assert point.protocol.take_requests() == []
    point.protocol.renew(record, point.now)
    [request] = point.protocol.take_requests()
    assert request.kind is RequestKind.SUBSCRIBE
    point.protocol.abandon(record)
    point.protocol.renew(record, point.now)
    assert point.protocol.take_requests() == []


def test_a_device_that_becomes_known_later_is_followed_by_its_announcements() -> None:
    point = ControlPoint()
    record = point.active()
    point.protocol.device_rebooted("uuid:player", point.now)
    assert point.protocol.take_requests() == []
    point.protocol.identify(record, "uuid:player")
    point.protocol.device_rebooted("uuid:player", point.now)
    [request] = point.protocol.take_requests()
    assert request.kind is RequestKind.RENEW
