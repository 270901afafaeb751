"""Each thing that can happen to a granted subscription, and how it recovers: both ends on a clock
that the test moves. After each the application has the full state again, by an initial event, and
was told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from itertools import count, pairwise

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Cause, Event, Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import RenewalFailed, SeqUnreliable
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import Failure
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.wire.messages import Endpoint
from propchange.testing import DELIVER, REFUSED, SILENT, UNREACHABLE, Fate, Link, Message

DEVICE = "uuid:device"
LOST = Fate(())


class Net(Link):
    """A link whose wire the test cuts, and a subscription to one service with A and B."""

    def __init__(self, *, seconds: int = 100, hosts: tuple[str, ...] = (), **options) -> None:
        self.weather: dict[Message, Fate] = {}
        super().__init__(
            fate=lambda message: self.weather.get(message, DELIVER),
            publisher_policy=PublisherPolicy(
                minimum_duration=1, default_duration=seconds, maximum_duration=seconds
            ),
            **options,
        )
        if hosts:
            self.have_addresses(*hosts)
        self.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})
        self.record = SubscriptionRecord.__new__(SubscriptionRecord)

    def subscribed(self, *, active: bool = True, **options) -> SubscriptionRecord:
        self.record = self.subscribe("/evt", duration=100, device=DEVICE, **options)
        self.run(1)
        if active:
            assert self.record.status is Status.ACTIVE
            self.news()
        return self.record

    def cut(self, fate: Fate = UNREACHABLE) -> None:
        """Nothing gets through in either direction."""
        self.weather = dict.fromkeys(("SUBSCRIBE", "UNSUBSCRIBE", "DESCRIBE", "NOTIFY"), fate)

    def heal(self) -> None:
        self.weather = {}

    def news(self) -> list[tuple[Status, Cause]]:
        """The status changes since the last call."""
        changes = [(change.status, change.cause) for change in self.statuses(self.record)]
        self.subscriber_outcomes.clear()
        return changes

    def reasons(self) -> list[str]:
        return [change.reason for change in self.statuses(self.record)]

    def until(self, condition: Callable[[], object], seconds: float) -> float:
        """How long it takes until ``condition``, for ``seconds`` at most."""
        begin = self.now
        while not condition():
            assert self.now - begin < seconds, f"not within {seconds} s: {self.record}"
            self.run(0.25)
        return self.now - begin

    def assert_full_state(self) -> None:
        """What the publisher has is what the subscriber knows, and it was told as a full state."""
        assert self.record.state is S.ACTIVE
        assert self.record.status is Status.ACTIVE
        assert self.record.values == self.publisher._services["/evt"].texts
        initial = [event for event in self.events(self.record) if event.is_initial]
        assert initial[-1].changes.keys() == {"A", "B"}

    @property
    def fresh(self) -> int:
        """How many requests for a fresh subscription were sent."""
        return sum(not sid for _, sid in self.subscribes)


RESUBSCRIBING, ACTIVE, DEAF = Status.RESUBSCRIBING, Status.ACTIVE, Status.DEAF
AGAIN = (ACTIVE, Cause.INITIAL_EVENT)


# --- the device restarts ---


@pytest.mark.clause("REN-12", "CP-16")
@pytest.mark.parametrize("status", [412, 404, 500, 503])
def test_a_device_that_restarted_and_refuses_the_renewal_is_subscribed_to_afresh(status) -> None:
    net = Net()
    net.subscribed()
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    net.answers = lambda request: status if b"sid" in request.fields else None
    net.run(60)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.RENEWAL_REFUSED), AGAIN]
    assert net.fresh == 2


def test_a_device_that_refuses_connections_while_it_restarts_is_back_within_seconds() -> None:
    net = Net()
    record = net.subscribed()
    net.run(48)
    net.restart_publisher()
    net.cut(REFUSED)
    net.run(1.5)
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE)]
    assert (record.state, record.sid) == (S.UNANSWERED, "uuid:00000001")
    assert record.status_reason == "the device cannot be asked to renew: connection refused"
    net.update("/evt", {"A": "7"})
    net.heal()
    assert net.until(lambda: record.status is ACTIVE, 5) < 3
    net.assert_full_state()
    # The 412 that the renewal was answered with is the same story, told already.
    assert net.news() == [AGAIN]


SHORT = Fate((), failure=Failure.SHORTAGE)


def test_a_machine_without_descriptors_says_so_and_keeps_the_subscription() -> None:
    """The device is not away: its SID is not given up before the granted duration ends."""
    net = Net(limits=replace(DEFAULT_LIMITS, renewal_failures=1))
    record = net.subscribed()
    net.weather = {"SUBSCRIBE": SHORT}
    net.run(70)
    assert net.news() == [(RESUBSCRIBING, Cause.SHORTAGE)]
    assert record.status_reason == "the device cannot be asked to renew: no file descriptor is left"
    assert record.sid == "uuid:00000001"
    net.heal()
    net.until(lambda: record.status is ACTIVE, 60)
    net.assert_full_state()
    assert net.news() == [AGAIN]


def test_a_shortage_and_a_device_that_is_away_are_told_apart() -> None:
    net = Net()
    net.cut(SHORT)
    net.subscribed(active=False)
    net.cut(UNREACHABLE)
    net.run(10)
    net.cut(SHORT)
    net.run(20)
    assert net.news() == [
        (Status.SUBSCRIBING, Cause.SHORTAGE),
        (Status.SUBSCRIBING, Cause.UNREACHABLE),
        (Status.SUBSCRIBING, Cause.SHORTAGE),
    ]


def test_a_device_process_that_is_gone_is_asked_soon_and_then_less_and_less_often() -> None:
    net = Net(seconds=1800)
    record = net.subscribe("/evt", duration=1800)
    net.record = record
    net.run(1)
    net.subscribes.clear()
    net.cut(REFUSED)
    net.run(900 + 400)
    at = [round(when - 900, 2) for when, _ in net.subscribes]
    assert at[:4] == [0, 1, 3, 3]
    assert [sid for _, sid in net.subscribes[:4]] == [record.sid] * 3 + [""]
    waits = [later - earlier for earlier, later in pairwise(at[3:])]
    assert waits[:6] == [8, 16, 32, 60, 60, 60]
    assert net.news()[1:] == [(RESUBSCRIBING, Cause.UNREACHABLE)]


def test_a_device_that_is_gone_for_an_hour_is_back_within_the_renewal_interval() -> None:
    net = Net()
    record = net.subscribed()
    net.cut()
    net.run(3_600)
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE)]
    net.update("/evt", {"A": "7", "B": "8"})
    net.heal()
    assert net.until(lambda: record.status is ACTIVE, 200) <= 50 + 5
    net.assert_full_state()
    assert net.news() == [AGAIN]


@pytest.mark.parametrize("fate", [UNREACHABLE, SILENT, REFUSED])
def test_whatever_the_silence_is_like_events_are_back_soon_after_its_end(fate) -> None:
    for cut_for in (20, 55, 61, 100, 145, 700):
        net = Net(seconds=20)
        record = net.subscribed()
        net.cut(fate)
        net.update("/evt", {"A": "7"})
        net.run(cut_for)
        net.heal()
        # What a request in silence waits for is over after half a minute at most.
        waits = 30 if fate is SILENT else 0
        net.until(lambda record=record: record.values["A"] == "7", waits + 10 + 5)
        net.run(1)
        net.assert_full_state()
        assert [cause for _, cause in net.news()] in (
            [Cause.UNREACHABLE, Cause.INITIAL_EVENT],
            [Cause.EXPIRED, Cause.INITIAL_EVENT],
            [Cause.OUTAGE, Cause.INITIAL_EVENT],
        )


def test_a_device_that_answers_renewals_again_after_an_outage_has_given_events_up() -> None:
    net = Net()
    record = net.subscribed()
    net.run(48)
    net.cut(LOST)
    net.update("/evt", {"A": "7"})
    net.run(1.5)
    assert record.values["A"] == "0"
    assert net.news() == []
    net.heal()
    net.run(10)
    assert net.reasons()[0] == "no renewal was answered for 1 s; events may have been missed"
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.OUTAGE), AGAIN]
    assert net.fresh == 2


def test_a_connection_that_breaks_says_that_somebody_is_there_and_nothing_was_missed() -> None:
    net = Net()
    net.subscribed()
    net.run(48)
    net.weather = {"SUBSCRIBE": Fate((), failure=Failure.BROKEN)}
    net.run(2.5)
    net.heal()
    net.run(10)
    assert net.record.renewals == 1
    assert net.news() == []
    assert net.fresh == 1


def test_events_that_came_in_order_after_the_last_failure_show_that_nothing_was_missed() -> None:
    net = Net()
    net.subscribed()
    net.run(48)
    net.weather = {"SUBSCRIBE": LOST}
    net.run(1.5)
    net.update("/evt", {"A": "7"})
    net.heal()
    net.run(10)
    assert net.record.values["A"] == "7"
    assert net.news() == []
    assert net.fresh == 1


def test_who_answers_no_renewals_and_goes_on_sending_events_is_kept_until_the_expiry() -> None:
    net = Net()
    record = net.subscribed()
    net.weather = {"SUBSCRIBE": LOST}
    for second in range(95):
        net.update("/evt", {"A": str(second)})
        net.run(1)
    assert sum(isinstance(outcome, RenewalFailed) for outcome in net.subscriber_outcomes) > 3
    assert record.state is S.ACTIVE
    assert net.news() == []
    net.run(10)
    assert net.news() == [(RESUBSCRIBING, Cause.EXPIRED)]


def test_events_are_heard_while_nobody_can_be_asked_to_renew() -> None:
    net = Net()
    record = net.subscribed()
    net.run(48)
    net.weather = {"SUBSCRIBE": REFUSED}
    net.run(1.5)
    assert record.state is S.UNANSWERED
    net.update("/evt", {"A": "7"})
    net.run(0.1)
    (event,) = net.events(record)
    assert (event.changes, event.is_initial) == ({"A": "7"}, False)
    net.heal()
    net.run(5)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE), AGAIN]


def test_an_infinite_grant_is_not_believed_for_ever() -> None:
    net = Net()
    net.timeout = b"Second-infinite"
    record = net.subscribed()
    net.cut(SILENT)
    net.run(900 + 200)
    assert record.expires is None
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE)]
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    net.heal()
    net.until(lambda: record.status is ACTIVE, 95)
    net.assert_full_state()


@pytest.mark.parametrize("timeout", [b"Second-1", b"junk", b"Second-infinite", b"300", b""])
def test_whatever_was_granted_a_restart_is_recovered_from(timeout) -> None:
    net = Net()
    net.timeout = timeout
    record = net.subscribed()
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    net.until(lambda: record.values["A"] == "7", 900 + 5)
    net.run(0.5)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.RENEWAL_REFUSED), AGAIN]


def test_a_subscribe_that_is_refused_again_and_again_is_repeated_less_and_less_often() -> None:
    net = Net()
    net.subscribed()
    net.restart_publisher()
    net.answers = lambda request: 503
    net.run(49)
    net.subscribes.clear()
    net.run(600)
    assert len(net.subscribes) < 22
    assert net.news() == [(RESUBSCRIBING, Cause.RENEWAL_REFUSED), (RESUBSCRIBING, Cause.REFUSED)]


def test_a_grant_that_was_longer_under_way_than_it_lasts_is_renewed_and_kept() -> None:
    net = Net(seconds=30)
    net.timeout = b"Second-8"
    net.weather = {"answer": Fate((12.0,))}
    net.record = net.subscribe("/evt", duration=30)
    net.run(11.9)
    net.heal()
    net.run(30)
    net.assert_full_state()
    assert net.fresh == 1
    assert net.news() == [AGAIN]


# --- it comes back elsewhere ---


def test_a_device_that_is_back_on_another_port_is_found_by_its_description() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.move_publisher(Endpoint("10.0.0.1", 8001))
    net.update("/evt", {"A": "7"})
    net.described_at[record] = net.url("/evt")
    net.run(60)
    net.assert_full_state()
    assert record.event_url == "http://10.0.0.1:8001/evt"
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE), AGAIN]


def test_a_device_whose_description_alone_cannot_be_had_is_tried_at_its_old_event_url() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    net.weather = {"DESCRIBE": REFUSED}
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(0.5)
    assert record.state is S.WAITING
    net.run(1)
    net.assert_full_state()
    assert net.news() == [
        (RESUBSCRIBING, Cause.DEVICE_REBOOTED),
        (RESUBSCRIBING, Cause.UNREACHABLE),
        AGAIN,
    ]


@pytest.mark.clause("CP-13")
def test_a_device_that_has_moved_to_another_address_is_followed_at_once() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.move_publisher(Endpoint("10.0.0.9", 8000))
    net.update("/evt", {"A": "7"})
    net.described_at[record] = net.url("/evt")
    net.subscriber.device_moved(DEVICE, net.now)
    net.run(1)
    net.assert_full_state()
    assert record.event_url == "http://10.0.0.9:8000/evt"
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_MOVED), AGAIN]


def test_a_move_that_becomes_known_while_the_old_address_is_asked_is_not_waited_for() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.cut(SILENT)
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(11)
    assert record.state is S.DESCRIBING
    net.heal()
    net.move_publisher(Endpoint("10.0.0.9", 8000))
    net.described_at[record] = net.url("/evt")
    net.subscriber.device_moved(DEVICE, net.now)
    net.run(0.5)
    net.assert_full_state()


def test_whoever_has_forgotten_the_sid_may_be_another_device_at_the_same_address() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.restart_publisher()
    net.run(100)
    assert list(net.publisher.subscriptions) == []
    assert net.news() == [
        (RESUBSCRIBING, Cause.RENEWAL_REFUSED),
        (RESUBSCRIBING, Cause.DESCRIPTION),
    ]
    net.described_at[record] = net.url("/evt")
    net.update("/evt", {"A": "7"})
    net.run(60)
    net.assert_full_state()


def test_a_description_that_is_another_devices_is_told_and_not_subscribed_to() -> None:
    net = Net()
    record = net.subscribed(describable=True)
    net.restart_publisher()
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(100)
    assert record.state is not S.SUBSCRIBING
    assert net.news() == [
        (RESUBSCRIBING, Cause.DEVICE_REBOOTED),
        (RESUBSCRIBING, Cause.DESCRIPTION),
    ]
    net.described_at[record] = net.url("/evt")
    net.run(60)
    net.assert_full_state()


# --- what discovery says ---


@pytest.mark.clause("CP-07", "CP-08")
def test_byebye_then_alive_is_one_fresh_subscription_and_one_change() -> None:
    net = Net()
    net.subscribed()
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    for _ in range(3):  # everything is announced three times
        net.subscriber.device_gone(DEVICE, net.now)
        net.run(0.1)
        net.subscriber.device_rebooted(DEVICE, net.now)
        net.run(0.1)
    net.run(2)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_REBOOTED), AGAIN]
    assert net.fresh == 2
    net.run(200)
    assert net.fresh == 2


@pytest.mark.clause("CP-09")
def test_a_new_bootid_is_a_fresh_subscription_however_often_it_is_announced() -> None:
    net = Net()
    net.subscribed()
    net.restart_publisher()
    net.update("/evt", {"A": "7"})
    for _ in range(6):
        net.subscriber.device_rebooted(DEVICE, net.now)
        net.run(0.3)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_REBOOTED), AGAIN]
    assert net.fresh == 2


def test_a_second_restart_right_after_the_first_is_noticed_as_well() -> None:
    net = Net()
    net.subscribed()
    for value in ("7", "8"):
        net.restart_publisher()
        net.update("/evt", {"A": value})
        net.subscriber.device_rebooted(DEVICE, net.now)
        net.run(1)
        assert net.record.values["A"] == value
    net.assert_full_state()
    assert net.news() == 2 * [(RESUBSCRIBING, Cause.DEVICE_REBOOTED), AGAIN]


@pytest.mark.clause("CP-07")
def test_a_device_that_said_goodbye_and_is_there_later_is_heard_again() -> None:
    net = Net()
    net.subscribed()
    net.cut(REFUSED)
    net.subscriber.device_gone(DEVICE, net.now)
    net.run(3)
    net.heal()
    net.update("/evt", {"A": "7"})
    net.run(46)
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_GONE)]
    net.run(4)
    net.assert_full_state()


def test_a_device_that_is_heard_of_again_is_asked_again_to_renew() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800, device=DEVICE)
    net.run(1)
    net.news()
    net.subscriber.device_returned(DEVICE, net.now)
    assert net.fresh == len(net.subscribes) == 1
    net.run(898.5)
    net.cut()
    net.run(1)
    assert net.record.state is S.UNANSWERED
    net.heal()
    net.subscriber.device_returned(DEVICE, net.now)
    net.run(0.1)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE), AGAIN]


def test_the_news_of_a_restart_overtakes_an_attempt_that_the_old_device_never_answers() -> None:
    net = Net()
    record = net.subscribed()
    net.cut(SILENT)
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(15)
    assert record.state is S.SUBSCRIBING
    net.heal()
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(0.5)
    net.assert_full_state()


# --- SEQ ---


@pytest.mark.clause("CP-01")
def test_a_seq_gap_is_repaired_by_a_fresh_subscription() -> None:
    net = Net()
    record = net.subscribed()
    net.weather = {"NOTIFY": LOST}
    net.update("/evt", {"A": "7"})
    net.heal()
    net.update("/evt", {"B": "8"})
    net.run(1)
    net.assert_full_state()
    assert record.gaps == 1
    assert net.news() == [(RESUBSCRIBING, Cause.MISSED_EVENT), AGAIN]


@pytest.mark.clause("CP-02")
def test_a_device_whose_seq_is_always_0_costs_no_fresh_subscription() -> None:
    net = Net()
    net.seq = lambda _: 0
    record = net.subscribed()
    for number in range(200):
        net.update("/evt", {"A": str(number)})
        net.run(1)
        assert record.values["A"] == str(number)
    assert sum(isinstance(outcome, SeqUnreliable) for outcome in net.subscriber_outcomes) == 1
    assert net.fresh == 1
    assert net.news() == []


def test_a_device_that_was_cut_off_too_often_is_believed_again_and_its_state_is_restored() -> None:
    net = Net()
    record = net.subscribed()
    for number in range(1, 5):
        net.weather = {"NOTIFY": LOST}
        net.update("/evt", {"A": str(number)})
        net.heal()
        net.update("/evt", {"B": str(number)})
        net.run(2)
    assert any(isinstance(outcome, SeqUnreliable) for outcome in net.subscriber_outcomes)
    assert record.values["A"] == "3"
    fresh = net.fresh
    for number in range(10):
        net.update("/evt", {"B": str(number)})
        net.run(1)
    net.assert_full_state()
    assert record.values["A"] == "4"
    assert net.fresh == fresh + 1


# --- this machine ---


def test_after_a_suspend_of_two_hours_with_an_hour_granted_all_is_made_afresh() -> None:
    net = Net(seconds=3600)
    net.record = net.subscribe("/evt", duration=3600)
    net.run(1)
    net.news()
    net.suspend(7_200)
    net.update("/evt", {"A": "7"})
    net.run(5)
    net.assert_full_state()
    assert net.statuses(net.record)[0].reason == "this machine or process stood still for 7200 s"
    assert net.news() == [(RESUBSCRIBING, Cause.SUSPENDED), AGAIN]


def test_after_a_short_stop_the_sid_is_given_back() -> None:
    net = Net()
    net.subscribed()
    net.suspend(20)
    net.update("/evt", {"A": "7"})
    net.run(1)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.SUSPENDED), AGAIN]
    assert len(list(net.publisher.subscriptions)) == 1


def test_after_a_jump_many_subscriptions_are_not_made_afresh_in_one_moment() -> None:
    draws = count()
    net = Net(jitter=lambda: next(draws) % 20 / 20)
    helds = [net.subscribe("/evt", duration=100) for _ in range(20)]
    net.run(1)
    net.subscribes.clear()
    net.suspend(30)
    net.run(10)
    assert len({when for when, _ in net.subscribes}) > 10
    assert max(when for when, _ in net.subscribes) - net.subscribes[0][0] <= 2
    assert all(record.status is ACTIVE for record in helds)


def test_what_has_no_grant_is_not_touched_by_a_jump() -> None:
    net = Net()
    net.cut(REFUSED)
    record = net.subscribe("/evt", duration=100)
    net.record = record
    net.run(1.5)
    net.news()
    net.suspend(1_000)
    assert net.news() == []
    net.heal()
    net.run(1)
    net.assert_full_state()


def test_when_the_address_of_this_machine_changed_the_new_one_is_subscribed_from() -> None:
    net = Net()
    record = net.subscribed()
    net.have_addresses("10.0.0.7")
    net.update("/evt", {"A": "7"})
    net.run(1)
    assert net.reasons()[0] == (
        "10.0.0.2, which events were sent to, is no longer an address of this machine"
    )
    net.assert_full_state()
    assert record.callback.startswith("http://10.0.0.7:9000/")
    assert net.news() == [(RESUBSCRIBING, Cause.ADDRESS_LOST), AGAIN]
    # The old SID was given back, though not from the old address.
    assert len(list(net.publisher.subscriptions)) == 1


def test_a_renewal_that_cannot_leave_from_its_address_says_the_same() -> None:
    net = Net()
    net.subscribed()
    net._addresses = (LocalAddress("10.0.0.7", 0, ip_network("10.0.0.0/24"), "eth0", 1),)
    net.subscriber_end = Endpoint("10.0.0.7", 9000)
    net.run(60)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.ADDRESS_LOST), AGAIN]


def test_when_the_one_address_that_is_listened_on_goes_and_comes_back_that_is_noticed() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    net.run(1)
    net.news()
    (address,) = net._addresses
    other = LocalAddress("10.9.9.9", 0, ip_network("10.9.9.0/24"), "tun0", 2)
    net._addresses = ()
    net.subscriber.addresses_changed((), net.now, others=(other,))
    net.run(300)
    assert net.news() == [
        (RESUBSCRIBING, Cause.ADDRESS_LOST),
        (RESUBSCRIBING, Cause.UNREACHABLE),
    ]
    net._addresses = (address,)
    net.subscriber.addresses_changed((address,), net.now, others=(other,))
    net.run(0.5)
    net.assert_full_state()


def test_a_second_address_leaves_what_works_alone() -> None:
    net = Net()
    net.subscribed()
    net.have_addresses("10.0.0.2", "10.0.0.3")
    net.have_addresses("10.0.0.2")
    net.subscriber.addresses_changed((), net.now)
    net.run(10)
    assert net.news() == []
    assert net.fresh == 1


def test_with_a_new_address_devices_that_are_away_are_tried_at_once() -> None:
    net = Net(seconds=1800)
    record = net.subscribe("/evt", duration=1800)
    net.record = record
    net.run(1)
    net.have_addresses("10.0.0.2", "10.0.0.3")
    net.cut()
    net.run(900 + 500)
    net.heal()
    net.have_addresses("10.0.0.2", "10.0.0.3", "10.0.0.4")
    net.run(0.5)
    net.assert_full_state()


def test_with_a_new_address_a_renewal_that_failed_is_tried_at_once() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    net.run(1)
    net.news()
    net.run(898.5)
    net.cut()
    net.run(0.6)
    net.heal()
    net.have_addresses("10.0.0.2", "10.0.0.3")
    net.run(0.1)
    net.assert_full_state()
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE), AGAIN]


def test_a_renewal_that_is_out_when_an_address_comes_is_not_sent_twice() -> None:
    net = Net()
    net.subscribed()
    net.run(48)
    net.cut(SILENT)
    net.weather["SUBSCRIBE"] = Fate((), failure=Failure.SILENCE)
    net.run(1.2)
    net.weather["SUBSCRIBE"] = SILENT
    net.run(1)
    assert net.subscriber._requests.outstanding.get(net.record) is not None
    sent = len(net.subscribes)
    net.have_addresses("10.0.0.2", "10.0.0.3")
    net.run(0.5)
    assert len(net.subscribes) == sent


# --- quiet ---


def test_after_an_hour_without_an_event_an_initial_event_shows_that_they_still_come() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    net.run(1)
    net.news()
    net.run(3 * 3600)
    assert net.fresh == 1 + 3
    assert net.record.renewals >= 6
    assert net.news() == []  # for nothing was wrong
    assert len(list(net.publisher.subscriptions)) == 1


def test_events_that_come_are_proof_enough() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    for number in range(20):
        net.update("/evt", {"A": str(number)})
        net.run(900)
    assert net.fresh == 1


def test_a_device_that_renews_what_it_has_forgotten_is_found_out() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    net.run(1)
    net.restart_publisher()
    net.answers = lambda request: 200 if b"sid" in request.fields else None
    net.update("/evt", {"A": "7"})
    net.run(3600 + 900)
    net.assert_full_state()
    assert net.record.values["A"] == "7"


def test_a_firewall_that_closed_in_silence_is_told_as_deafness() -> None:
    net = Net(seconds=1800)
    net.record = net.subscribe("/evt", duration=1800)
    net.run(1)
    net.news()
    net.weather = {"NOTIFY": LOST}
    net.update("/evt", {"A": "7"})
    net.run(3600 + 900 + 5)
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT)]
    net.heal()
    net.run(120)
    net.assert_full_state()
    assert net.record.values["A"] == "7"


# --- deaf ---


def test_a_subscription_that_hears_nothing_is_made_again_from_the_next_address() -> None:
    net = Net(hosts=("10.0.0.2", "10.0.0.3"))
    net.deaf = {"10.0.0.2"}
    record = net.subscribed(active=False)
    net.run(3.9)
    assert net.news() == []
    net.run(0.1)
    assert net.reasons()[0].startswith(
        "granted, but no event from 10.0.0.1 in 5 s: a firewall drops what it sends to "
        "10.0.0.2:9000, or it never sends; "
    )
    net.run(0.5)
    net.assert_full_state()
    assert record.callback.startswith("http://10.0.0.3:9000/")
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT), AGAIN]
    assert len(list(net.publisher.subscriptions)) == 1
    # And what has worked is preferred next time.
    net.restart_publisher()
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(1)
    assert record.callback.startswith("http://10.0.0.3:9000/")
    assert net.news() == [(RESUBSCRIBING, Cause.DEVICE_REBOOTED), AGAIN]


@pytest.mark.parametrize("status", [403, 412])
@pytest.mark.parametrize("persistent", [True, False])
def test_a_delivery_url_that_the_device_takes_not_is_followed_by_the_next(
    status, persistent
) -> None:
    net = Net(hosts=("172.17.0.2", "10.0.0.3"))
    net.answers = lambda request: status if request.peer.host == "172.17.0.2" else None
    record = net.subscribed(persistent=persistent)
    assert record.callback.startswith("http://10.0.0.3:9000/")


def test_when_all_delivery_urls_are_refused_it_is_told_and_tried_again_slowly() -> None:
    net = Net(hosts=("172.17.0.2", "172.17.0.3"))
    net.answers = lambda request: 412
    net.subscribed(active=False)
    net.run(19)
    (reason,) = net.reasons()
    assert reason.startswith("the device answered SUBSCRIBE with 412: ")
    assert "172.17.0.3:9000" in reason
    assert net.news() == [(Status.SUBSCRIBING, Cause.REFUSED)]
    assert 4 <= net.fresh <= 8


def test_where_an_address_is_given_for_callback_there_is_no_other_to_try() -> None:
    policy = SubscriberPolicy(callback_host="10.0.0.77")
    net = Net(hosts=("10.0.0.2", "10.0.0.3"), subscriber_policy=policy)
    record = net.subscribed(active=False)
    net.run(300)
    assert record.source == Endpoint("10.0.0.2", 0)
    assert record.sources.rounds > 4
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT)]


def test_a_deaf_subscription_is_made_again_and_again_with_growing_patience() -> None:
    net = Net(seconds=1800, hosts=("10.0.0.2",))
    net.deaf = {"10.0.0.2"}
    net.record = net.subscribe("/evt", duration=1800)
    net.run(400)
    at = [when for when, _ in net.subscribes]
    assert at == [0, 10, 30, 70, 130, 190, 250, 310, 370]
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT)]
    net.deaf = set()
    net.update("/evt", {"A": "7"})
    net.until(lambda: net.record.status is ACTIVE, 60)
    net.run(1)
    net.assert_full_state()


def test_a_device_that_takes_its_time_with_the_initial_event_is_heard() -> None:
    net = Net(seconds=1800)
    net.weather = {"NOTIFY": Fate((25.0,))}
    net.record = net.subscribe("/evt", duration=1800)
    net.run(90)
    net.assert_full_state()
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT), AGAIN]


def test_a_device_that_is_slower_than_its_own_renewals_is_heard_and_that_is_remembered() -> None:
    net = Net(seconds=20)
    net.weather = {"NOTIFY": Fate((25.0,))}
    record = net.subscribed(active=False)
    net.run(120)
    net.assert_full_state()
    assert record.slow
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT), AGAIN]
    net.unsubscribe(record)
    net.run(60)
    assert net.subscriber._routing._late == {}


def test_the_systems_own_choice_is_never_long_in_coming_back() -> None:
    hosts = tuple(f"10.0.0.{number}" for number in range(2, 7))
    net = Net(seconds=20, hosts=hosts)
    net.deaf = set(hosts)
    record = net.subscribed(active=False)
    net.run(200)
    for offset in range(8):
        net.run(1.7 * offset)
        net.deaf = set()
        net.update("/evt", {"A": str(offset)})
        net.until(lambda: record.status is ACTIVE, 10 + 5)
        net.deaf = set(hosts)
        net.restart_publisher()
        net.run(100)


def test_an_address_that_nothing_can_leave_from_changes_nothing() -> None:
    net = Net(hosts=("10.0.0.2", "10.0.0.3", "10.0.0.4"))
    net.deaf = {"10.0.0.2"}
    net.answers = lambda request: 503 if request.peer.host == "10.0.0.3" else None
    record = net.subscribed(active=False)
    net.run(6)
    net.assert_full_state()
    assert record.callback.startswith("http://10.0.0.4:9000/")
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT), AGAIN]


def test_a_deaf_device_that_is_gone_altogether_is_told() -> None:
    net = Net(hosts=("10.0.0.2", "10.0.0.3"))
    net.deaf = {"10.0.0.2", "10.0.0.3"}
    net.subscribed(active=False)
    net.run(20)
    net.cut()
    net.run(30)
    assert net.news() == [
        (DEAF, Cause.NO_INITIAL_EVENT),
        (RESUBSCRIBING, Cause.UNREACHABLE),
    ]
    net.deaf = set()
    net.heal()
    net.run(60)
    net.assert_full_state()


def test_a_new_address_ends_the_patience_of_the_deaf() -> None:
    net = Net(seconds=1800, hosts=("10.0.0.2",))
    net.deaf = {"10.0.0.2"}
    net.record = net.subscribe("/evt", duration=1800)
    net.run(200)
    net.have_addresses("10.0.0.2", "10.0.0.3")
    net.run(1)
    net.assert_full_state()
    assert net.record.callback.startswith("http://10.0.0.3:9000/")


def test_when_the_preferred_address_goes_the_systems_choice_is_taken() -> None:
    net = Net(hosts=("10.0.0.2", "10.0.0.3"))
    net.deaf = {"10.0.0.2"}
    record = net.subscribed(active=False)
    net.run(6)
    net.assert_full_state()
    net.cut()
    net.subscriber.device_rebooted(DEVICE, net.now)
    net.run(0.1)
    assert record.sources.bound is None
    net.heal()
    net.have_addresses("10.0.0.2")
    net.deaf = set()
    net.run(2)
    net.assert_full_state()


def test_the_address_that_a_waiting_subscription_prefers_may_go_as_well() -> None:
    net = Net(hosts=("10.0.0.2", "10.0.0.3"))
    net.deaf = {"10.0.0.2"}
    record = net.subscribed(active=False)
    net.run(6)
    net.subscriber.device_gone(DEVICE, net.now)
    assert record.sources.bound == Endpoint("10.0.0.3", 0)
    net.have_addresses("10.0.0.2")
    assert record.sources.bound is None


def test_a_short_grant_is_renewed_until_it_counts_as_deaf_and_then_replaced() -> None:
    net = Net(seconds=2, hosts=("10.0.0.2",))
    net.deaf = {"10.0.0.2"}
    net.record = net.subscribe("/evt", duration=2)
    net.run(60)
    assert 9 <= net.fresh <= 13
    assert net.news() == [(DEAF, Cause.NO_INITIAL_EVENT)]


def test_a_renewal_that_is_out_when_a_deaf_subscription_is_replaced_is_nobodys() -> None:
    net = Net(seconds=8, hosts=("10.0.0.2",))
    net.deaf = {"10.0.0.2"}
    net.record = net.subscribe("/evt", duration=8)
    net.run(3.9)
    net.weather = {"answer": Fate((3.0,))}
    net.run(4)
    assert net.record.status is DEAF
    net.heal()
    net.deaf = set()
    net.run(10)
    net.assert_full_state()


def test_a_renewal_that_is_overtaken_before_it_is_sent_is_not_sent() -> None:
    net = Net(seconds=10, hosts=("10.0.0.2",), jitter=lambda: 0.99)
    net.deaf = {"10.0.0.2"}
    net.record = net.subscribe("/evt", duration=10)
    net.run(0)
    # The renewal was due, then patience was at its end, and the runtime comes late to both.
    net.subscriber.handle_deadline(6.0)
    kinds = [request.kind.name for request in net.subscriber.take_requests()]
    assert kinds == ["UNSUBSCRIBE"]


# --- nobody is hammered ---


def test_fresh_subscriptions_stay_within_the_token_bucket_whatever_happens() -> None:
    net = Net(seconds=2, hosts=("10.0.0.2", "10.0.0.3"))
    net.deaf = {"10.0.0.2", "10.0.0.3"}
    net.timeout = b"Second-1"
    net.subscribed(active=False)
    for step in range(100):
        net.subscriber.device_moved(DEVICE, net.now)
        net.subscriber.clock_jumped(20.0, net.now)
        net.have_addresses(*(("10.0.0.2", "10.0.0.3") if step % 2 else ("10.0.0.4",)))
        net.run(0.37)
    sent = [when for when, _ in net.subscribes]
    for first, begin in enumerate(sent):
        for number, moment in enumerate(sent[first:], start=1):
            assert number <= 3 + (moment - begin) / 1.0 + 1e-6


def test_limits_say_how_soon_an_outage_is_believed() -> None:
    net = Net(limits=replace(DEFAULT_LIMITS, renewal_failures=1))
    record = net.subscribed()
    net.cut(LOST)
    net.run(49.5)
    assert record.state in (S.WAITING, S.SUBSCRIBING)
    assert net.news() == [(RESUBSCRIBING, Cause.UNREACHABLE)]


def test_every_change_has_a_reason_in_words() -> None:
    net = Net()
    record = net.subscribed()
    net.cut(REFUSED)
    net.subscriber.device_gone(DEVICE, net.now)
    net.run(2.1)
    assert isinstance(record.status_cause, Cause)
    assert record.status_reason == "the device has said goodbye"
    assert all(isinstance(event, Event) for event in net.events(record))
