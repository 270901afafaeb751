"""Announcements that anybody can forge: each is checked by a renewal, and none costs an event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.outcomes import DeviceChecked
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import Failure, RequestKind
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.token_bucket import TokenBucket
from propchange.testing import REFUSED, SILENT, UNREACHABLE, Fate
from tests.core.subscriber.test_protocol import ControlPoint, assert_nothing_is_left
from tests.core.subscriber.test_recovery import ACTIVE, AGAIN, DEVICE, RESUBSCRIBING, SHORT, Net

LIMITS = DEFAULT_LIMITS
SAID = ["device_gone", "device_rebooted", "device_moved", "device_returned"]


class Devices(Net):
    """A device with several services, and a subscription to each."""

    def __init__(self, services: int = 1, **options) -> None:
        super().__init__(**{"seconds": 1_800, **options})
        self.records = []
        for number in range(services):
            path = f"/evt{number or ''}"
            if number:
                self.add_service(path, {"A": EventedVariable("0")})
            record = self.subscribe(path, duration=1_800, device=DEVICE)
            self.records.append(record)
            self.run(1)
        self.record = self.records[0]
        self.subscriber_outcomes.clear()
        self.before = len(self.subscribes)

    def say(self, what: str) -> None:
        getattr(self.subscriber, what)(DEVICE, self.now)

    @property
    def renewals(self) -> int:
        """How many renewals were sent since the subscriptions were granted."""
        return sum(bool(sid) for _, sid in self.subscribes[self.before :])

    def checks(self) -> list[bool]:
        return [o.passed for o in self.subscriber_outcomes if isinstance(o, DeviceChecked)]


# --- the device is there ---


@given(
    forged=st.lists(st.tuples(st.sampled_from(SAID), st.floats(0.0, 1.5)), min_size=1, max_size=80)
)
def test_whatever_is_forged_no_event_is_missed_and_the_checks_are_bounded(forged) -> None:
    net = Devices(services=3)
    begin, sent = net.now, 0
    for what, pause in forged:
        net.say(what)
        sent += 1
        net.update("/evt", {"A": str(sent)})
        net.run(pause)
    net.run(30)
    events = [int(event.changes["A"]) for event in net.events(net.record)]
    assert events == list(range(1, sent + 1))
    assert all(not net.statuses(record) for record in net.records)
    assert net.fresh == 3
    assert net.renewals <= LIMITS.check_burst + (net.now - begin) / LIMITS.check_refill_seconds


def test_a_forged_byebye_each_second_costs_a_renewal_now_and_then() -> None:
    net = Devices(services=3)
    for second in range(1, 301):
        net.say("device_gone")
        net.update("/evt", {"A": str(second)})
        net.run(1)
    assert [event.changes["A"] for event in net.events(net.record)] == list(map(str, range(1, 301)))
    assert net.statuses(net.record) == []
    assert net.renewals <= 3 + 30
    assert set(net.checks()) == {True}


@pytest.mark.parametrize("what", SAID[:3])
def test_a_forged_announcement_is_one_check(what: str) -> None:
    net = Devices(services=3)
    net.say(what)
    net.run(20)
    assert (net.renewals, net.checks()) == (1, [True])
    assert net.subscriber.is_granted(DEVICE)
    assert not net.subscriber.is_granted("uuid:other")


@pytest.mark.parametrize("fate", [Fate((4.0,)), Fate((9.0,))])
def test_a_device_that_is_slow_to_answer_is_believed(fate: Fate) -> None:
    net = Devices(services=2)
    net.weather = {"answer": fate}
    for _ in range(40):
        net.say("device_rebooted")
        net.run(0.7)
    net.heal()
    net.run(40)
    assert net.statuses(net.record) == []
    assert net.fresh == 2


# --- the announcement is true ---


def test_a_device_that_left_is_told_once_it_is_silent() -> None:
    net = Devices(services=3)
    net.cut(REFUSED)
    net.say("device_gone")
    net.run(1.9)
    assert net.news() == []
    net.run(0.2)
    for record in net.records:
        assert record.status_cause is Cause.DEVICE_GONE
    # The port is closed: nobody else is asked.
    assert (net.renewals, net.checks()) == (1, [False])


@pytest.mark.parametrize(("fate", "seconds"), [(UNREACHABLE, 2.5), (SILENT, 13)])
def test_a_device_that_left_without_a_word_is_told_when_it_does_not_answer(
    fate: Fate, seconds: float
) -> None:
    net = Devices()
    net.cut(fate)
    net.say("device_gone")
    net.run(seconds)
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_GONE)]


@given(said=st.floats(-1.9, 2.9), fate=st.sampled_from([REFUSED, UNREACHABLE, SILENT]))
def test_whenever_the_next_renewal_is_due_that_a_device_left_is_told_once(said, fate) -> None:
    """``said``: when it says goodbye, counted from the renewal that it does not answer."""
    net = Devices()
    granted = net.record.asked_at
    assert granted is not None
    net.run(granted + 900 - 2 - net.now)
    net.cut(fate)
    net.run(granted + 900 + said - net.now)
    assert net.news() in ([], [(RESUBSCRIBING, Cause.UNREACHABLE)])
    net.say("device_gone")
    net.run(60)
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_GONE)]
    assert net.record.status_cause is Cause.DEVICE_GONE


@pytest.mark.parametrize("there", [True, False])
def test_a_device_whose_advertisements_expire_is_asked(there: bool) -> None:
    net = Devices()
    if not there:
        net.cut(REFUSED)
    net.say("device_expired")
    net.run(1)
    (checked,) = [o for o in net.subscriber_outcomes if isinstance(o, DeviceChecked)]
    assert (checked.passed, checked.announced) == (there, False)
    assert net.news() == ([] if there else [(RESUBSCRIBING, Cause.DEVICE_GONE)])


def test_a_byebye_and_a_return_are_one_check_at_once() -> None:
    net = Devices()
    net.restart_publisher()
    net.say("device_gone")
    net.run(0.5)
    net.say("device_returned")
    net.run(1)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_GONE), AGAIN]


def test_a_device_that_says_goodbye_again_while_it_is_checked_is_checked_again() -> None:
    net = Devices()
    net.say("device_gone")
    net.run(1.5)
    net.say("device_gone")
    net.run(1)  # the check of the first one has passed
    net.cut(REFUSED)
    net.run(1.2)
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_GONE)]


def test_a_true_restart_within_a_flood_of_forged_ones_is_noticed_within_the_refill() -> None:
    net = Devices()
    for _ in range(30):
        net.say("device_rebooted")
        net.run(0.5)
    net.restart_publisher()
    net.say("device_rebooted")
    net.until(lambda: net.fresh == 2, LIMITS.check_refill_seconds + 0.5)
    net.run(1)
    net.assert_full_state()


def test_all_services_of_a_device_that_restarted_are_asked_by_one_announcement() -> None:
    net = Devices(services=3)
    net.restart_publisher()
    net.say("device_rebooted")
    net.run(2)
    assert [record.status for record in net.records] == [ACTIVE] * 3
    assert net.fresh == 6


def empty_bucket(record: SubscriptionRecord, now: float) -> None:
    """Let ``record`` send no request now."""
    while record.bucket.ready_at(now) <= now:
        record.bucket.spend(now)


def test_a_later_grant_does_not_hide_that_the_device_restarted_before_it() -> None:
    net = Devices(services=2)
    net.restart_publisher()
    net.add_service("/evt9", {"A": EventedVariable("0")})
    net.subscribe("/evt9", duration=1_800, device=DEVICE)
    net.run(0.5)
    for record in net.records:
        empty_bucket(record, net.now)
    net.say("device_rebooted")
    net.until(lambda: net.fresh == 5, 5)
    net.run(1)
    assert [record.status for record in net.records] == [ACTIVE] * 2
    net.assert_full_state()


@pytest.mark.parametrize(("announced", "ready_after"), [(True, 20.0), (False, 920.0)])
def test_a_subscription_that_may_not_be_renewed_now_is_asked_as_soon_as_it_may(
    announced: bool, ready_after: float
) -> None:
    net = Devices(services=2, jitter=lambda: 0.0)
    net.run(5)
    net.restart_publisher()
    net.records[1].bucket = TokenBucket(1, ready_after, net.now)
    empty_bucket(net.records[1], net.now)
    if announced:
        net.say("device_gone")
    net.until(lambda: net.fresh > 2, 1_000)
    assert net.records[1].status is ACTIVE
    net.until(lambda: net.records[1].status is RESUBSCRIBING, 30)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["restarts", "is rebooted, somebody says"]), st.just(0)),
            st.tuples(st.sampled_from(["is asked", "is asked often"]), st.integers(0, 2)),
            st.tuples(st.just("time"), st.floats(0.0, 3.0)),
        ),
        max_size=20,
    )
)
def test_whenever_a_device_restarts_no_subscription_of_before_stays_active(steps) -> None:
    net = Devices(services=3)
    for what, number in [*steps, ("restarts", 0)]:
        if what == "time":
            net.run(number)
        elif what == "is asked":
            # A subscription of the present moment beside those of before.
            net.subscribe("/evt", duration=1_800, device=DEVICE)
            net.run(0.1)
        elif what == "is asked often":
            empty_bucket(net.records[int(number)], net.now)
        else:
            if what == "restarts":
                net.restart_publisher()
            net.say("device_rebooted")
    net.run(3 * LIMITS.check_refill_seconds)
    for number, record in enumerate(net.records):
        path = f"/evt{number or ''}"
        net.update(path, {"A": "last"})
        net.run(1)
        assert record.status is ACTIVE
        assert [event.changes["A"] for event in net.events(record)][-1] == "last"


# --- a device that refuses a renewal ---


@pytest.mark.parametrize("announced", [True, False])
def test_a_service_that_refuses_a_renewal_has_the_others_asked_at_once(announced: bool) -> None:
    net = Devices(services=3, jitter=lambda: 0.0)
    net.restart_publisher()
    if announced:
        net.say("device_gone")
    net.until(lambda: net.fresh > 3, 3 if announced else 1_000)
    net.run(1)
    assert [record.status for record in net.records] == [ACTIVE] * 3
    assert net.fresh == 6


def test_a_service_that_was_forgotten_alone_is_one_question_to_each_of_the_others() -> None:
    net = Devices(services=3)
    refused = []

    def answer(request):
        if request.fields.get(b"sid") == net.records[1].sid.encode() and not refused:
            refused.append(request)
            return 412
        return None

    net.answers = answer
    net.run(1_000)
    assert refused
    assert net.records[1].gaps == 0
    assert net.fresh == 4
    assert net.renewals <= 8


def test_subscriptions_without_a_device_have_no_others() -> None:
    point = ControlPoint()
    one = point.active()
    point.active(sid="uuid:2")
    point.at(900)
    renewals = point.requests()
    assert len(renewals) == 2
    point.answer(renewals[0], 412, sid=None)
    assert [request.kind for request in point.requests()] == [RequestKind.SUBSCRIBE]
    assert one.state is S.SUBSCRIBING


# --- checks that say nothing ---


def rebooted(point: ControlPoint) -> None:
    point.protocol.device_rebooted("d", point.now)


def at(point: ControlPoint, seconds: float) -> None:
    point.at(point.now - 1_000.0 + seconds)


def active(point: ControlPoint, number: int = 1) -> SubscriptionRecord:
    record = point.active(device="d", sid=f"uuid:{number}")
    at(point, 10)
    return record


def test_a_connection_that_breaks_is_no_answer_and_the_check_is_made_again() -> None:
    point = ControlPoint()
    record = active(point)
    rebooted(point)
    request = point.request(RequestKind.RENEW)
    point.protocol.request_failed(request, "it broke", point.now, Failure.BROKEN)
    assert record.state is S.ACTIVE
    at(point, 2)
    point.answer(point.request(RequestKind.RENEW))
    assert point.statuses() == []
    assert record.state is S.ACTIVE


def test_a_renewal_that_is_under_way_is_not_sent_twice() -> None:
    point = ControlPoint()
    record = active(point)
    point.at(900)
    renewal = point.request(RequestKind.RENEW)
    rebooted(point)
    assert point.requests() == []
    point.answer(renewal)
    at(point, 1)
    point.answer(point.request(RequestKind.RENEW))
    assert record.state is S.ACTIVE
    at(point, 20)
    assert point.requests() == []


@pytest.mark.parametrize("late", ["answered", "failed"])
def test_a_renewal_that_hangs_is_overtaken_by_the_announcement(late: str) -> None:
    point = ControlPoint()
    record = active(point)
    point.at(900)
    hanging = point.request(RequestKind.RENEW)
    at(point, 4)
    rebooted(point)
    second = point.request(RequestKind.RENEW)
    at(point, 4)
    rebooted(point)
    third = point.request(RequestKind.RENEW)
    for old in (hanging, second):
        if late == "answered":
            point.answer(old)
        else:
            point.fail(old)
    point.answer(third, 412, sid=None)
    assert record.state is S.SUBSCRIBING
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.DEVICE_REBOOTED)]


@pytest.mark.parametrize("late", ["answered", "failed"])
def test_a_check_whose_subscription_moves_on_is_made_with_another(late: str) -> None:
    point = ControlPoint()
    record = active(point)
    other = active(point, 2)
    rebooted(point)
    check = point.request(RequestKind.RENEW)
    assert check.subscription is record
    at(point, 0.1)
    point.notify(record, 5)  # a gap: it is made afresh
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    point.answer(point.request(RequestKind.SUBSCRIBE), sid="uuid:3")
    if late == "answered":
        point.answer(check)
    else:
        point.fail(check)
    at(point, 2)
    assert {each.state for each in (record, other)} == {S.GRANTED, S.ACTIVE}
    # The grant is later than the announcement, and says nothing about the other one.
    assert point.request(RequestKind.RENEW).subscription is other


def test_a_check_is_forgotten_with_the_last_subscription() -> None:
    point = ControlPoint()
    records = [active(point), active(point, 2)]
    point.protocol.device_gone("d", point.now)
    for record in records:
        point.protocol.unsubscribe(record, point.now)
        point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    assert_nothing_is_left(point)


def test_a_check_that_finds_nothing_granted_is_no_check() -> None:
    point = ControlPoint()
    record = active(point)
    point.at(900)
    renewal = point.request(RequestKind.RENEW)
    point.protocol.device_gone("d", point.now)
    point.answer(renewal, 412, sid=None)
    assert record.state is S.SUBSCRIBING
    point.request(RequestKind.SUBSCRIBE)
    at(point, 3)
    assert point.requests() == []


def test_an_address_that_was_lost_is_no_word_about_the_device() -> None:
    point = ControlPoint()
    record = active(point)
    rebooted(point)
    request = point.request(RequestKind.RENEW)
    point.protocol.request_failed(request, "no address", point.now, Failure.NO_SOURCE)
    assert point.statuses() == [(Status.RESUBSCRIBING, Cause.ADDRESS_LOST)]
    assert record.state is S.SUBSCRIBING


@pytest.mark.parametrize("what", SAID[:3])
def test_a_machine_that_has_no_descriptor_for_the_check_ends_no_subscription(what: str) -> None:
    net = Devices()
    sid = net.record.sid
    net.weather = {"SUBSCRIBE": SHORT}
    net.say(what)
    net.run(20)
    assert net.record.sid == sid
    assert (net.news(), net.checks()) == ([(RESUBSCRIBING, Cause.SHORTAGE)], [])


def test_limits_say_how_many_checks_there_are() -> None:
    limits = replace(LIMITS, check_burst=1, check_refill_seconds=60.0)
    net = Devices(limits=limits)
    for _ in range(59):
        net.say("device_rebooted")
        net.run(1)
    assert net.renewals == 1


def test_a_subscription_that_was_refused_stays_so_whatever_is_announced() -> None:
    point = ControlPoint()
    record = point.subscribe(persistent=False, device="d")
    point.answer(point.request(RequestKind.SUBSCRIBE), 500, sid=None)
    for what in (*SAID, "device_expired"):
        getattr(point.protocol, what)("d", point.now)
    assert record.state is S.REFUSED
    assert point.requests() == []
