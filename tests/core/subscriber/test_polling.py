"""Values are polled while no events come, and are events of the same stream."""

from __future__ import annotations

import re
from ast import literal_eval
from itertools import pairwise
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.event_queue import EventQueue
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import RequestKind
from propchange.core.values.state_variables import StateVariable
from tests.core.subscriber.test_protocol import LOCAL, ControlPoint

INTERVAL = 30.0
LAST_CHANGE = (
    '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0">'
    '<Volume channel="{}" val="{}"/></InstanceID></Event>'
)


class Point(ControlPoint):
    """A control point that polls every 30 seconds."""

    def subscribe(self, *args: Any, **options: Any) -> SubscriptionRecord:
        return super().subscribe(*args, **{"poll_interval": INTERVAL, **options})

    def refused(self, **options: Any) -> SubscriptionRecord:
        """A subscription whose first SUBSCRIBE was refused."""
        record = self.subscribe(**options)
        self.answer(self.request(RequestKind.SUBSCRIBE), 503, sid=None)
        return record

    def deaf(self, **options: Any) -> SubscriptionRecord:
        """A subscription that was granted and got no event."""
        record = self.granted(**options)
        self.pass_seconds(DEFAULT_LIMITS.initial_event_seconds)
        return record

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.protocol.next_deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            self.protocol.handle_deadline(self.now)
        self.now = end

    def polls(self, seconds: float = 0.0) -> int:
        """How many polls are due within some seconds, each of which fails at once."""
        end, count = self.now + seconds, 0
        while True:
            self.pass_seconds(0.0)
            for record in self.protocol.polling.take():
                count += 1
                self.protocol.polling.failed(record, self.now)
            due = self.protocol.next_deadline()
            if due is None or due > end:
                self.now = end
                return count
            self.now = max(due, self.now)

    def poll(self, record: SubscriptionRecord, **values: object) -> Event | None:
        """Poll ``record`` at once, and return the event of the values, if any."""
        self.begin(record)
        return self.end(record, **values)

    def begin(self, record: SubscriptionRecord) -> None:
        self.pass_seconds(0.0)
        assert self.protocol.polling.take() == [record]

    def end(self, record: SubscriptionRecord, **values: object) -> Event | None:
        self.outcomes()
        self.protocol.polling.polled(record, values, self.now)
        events = self.events()
        assert len(events) <= 1
        return events[0] if events else None


# --- when ---


def test_values_are_polled_when_subscribe_was_refused() -> None:
    point = Point()
    record = point.refused()
    change = next(each for each in point.outcomes() if isinstance(each, StatusChange))
    assert (change.status, change.cause) == (Status.SUBSCRIBING, Cause.REFUSED)
    assert change.reason.endswith("; the values are polled every 30 s")
    assert record.polled
    assert point.polls() == 1


def test_subscribe_goes_on_while_values_are_polled() -> None:
    point = Point()
    point.refused()
    point.pass_seconds(2.0)
    point.request(RequestKind.SUBSCRIBE)


def test_values_are_polled_while_the_subscription_is_deaf() -> None:
    point = Point()
    record = point.deaf()
    change = point.outcomes()[-1]
    assert (change.status, change.cause) == (Status.DEAF, Cause.NO_INITIAL_EVENT)
    assert change.reason.endswith("; the values are polled every 30 s")
    assert record.polled
    assert point.polls() == 1


def test_values_are_polled_if_no_variable_is_evented() -> None:
    point = Point()
    record = point.deaf(owes_event=False)
    change = point.outcomes()[-1]
    assert (change.status, change.cause) == (Status.ACTIVE, Cause.NOTHING_EVENTED)
    assert change.reason.endswith("; the values are polled every 30 s")
    assert point.poll(record, A="1").changes == {"A": "1"}
    # And an event that comes all the same ends it.
    assert point.notify(record, 0, A="2") == 200
    assert not record.polled


def test_values_are_not_polled_before_an_attempt_has_failed() -> None:
    point = Point()
    record = point.subscribe()
    assert not record.polled
    assert point.polls() == 0
    point.answer(point.request(RequestKind.SUBSCRIBE))
    assert point.polls() == 0
    assert point.notify(record, 0) == 200
    assert (record.polled, point.polls(600.0)) == (False, 0)


def test_values_are_polled_until_the_first_event_and_not_until_the_grant() -> None:
    point = Point()
    record = point.refused()
    assert point.polls() == 1
    point.pass_seconds(2.0)
    point.answer(point.request(RequestKind.SUBSCRIBE))
    assert record.polled
    point.outcomes()
    assert point.notify(record, 0) == 200
    change, event = point.outcomes()
    assert change == StatusChange(record, Status.ACTIVE, Cause.INITIAL_EVENT, "events arrive")
    assert not event.polled
    assert (record.polled, point.polls(600.0)) == (False, 0)


def test_values_are_polled_again_when_the_subscription_is_deaf_again() -> None:
    point = Point()
    record = point.deaf()
    assert point.polls() == 1
    assert point.notify(record, 0, A="1") == 200
    assert not record.polled
    # The device restarts, grants, and sends nothing.
    point.protocol.clock_jumped(9.0, point.now)
    assert not record.polled
    while not record.polled:
        for request in point.requests():
            if request.kind is RequestKind.SUBSCRIBE:
                request.build(LOCAL)
                point.answer(request, sid="uuid:2")
            else:
                point.answer(request, sid=None)
        point.pass_seconds(5.0)
    assert record.status is Status.DEAF
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="1").changes == {"A": "1"}


def test_a_device_that_went_away_is_polled_once_an_attempt_has_failed() -> None:
    point = Point()
    record = point.active()
    point.pass_seconds(900.0)
    point.answer(point.request(RequestKind.RENEW), 412, sid=None)
    assert (record.status, record.polled) == (Status.RESUBSCRIBING, False)
    point.answer(point.request(RequestKind.SUBSCRIBE), 500, sid=None)
    assert record.polled
    # The refusal is no news, but the polling is.
    changes = [each for each in point.outcomes() if isinstance(each, StatusChange)]
    assert changes[-1].reason.endswith("; the values are polled every 30 s")


def test_the_begin_of_polling_is_reported_although_nothing_else_is_new() -> None:
    point = Point()
    record = point.active()
    point.pass_seconds(900.0)
    for _ in range(DEFAULT_LIMITS.renewal_failures):
        point.fail(point.request(RequestKind.RENEW))
        point.pass_seconds(10.0)
    assert record.status_cause is Cause.UNREACHABLE
    assert not record.polled
    point.outcomes()
    for request in point.requests():
        point.fail(request)
    (change,) = [each for each in point.outcomes() if isinstance(each, StatusChange)]
    assert (change.status, change.cause) == (Status.RESUBSCRIBING, Cause.UNREACHABLE)
    assert change.reason == "no route; the values are polled every 30 s"
    assert record.status_reason == change.reason


def test_without_an_interval_nothing_is_polled() -> None:
    point = Point()
    record = point.deaf(poll_interval=None)
    assert (record.polled, point.polls(600.0)) == (False, 0)


@pytest.mark.parametrize("kind", ["refused", "deaf"])
def test_closing_ends_the_polling(kind: str) -> None:
    point = Point()
    record = getattr(point, kind)()
    point.begin(record)
    point.protocol.unsubscribe(record, point.now)
    assert not record.polled
    point.protocol.polling.polled(record, {"A": "1"}, point.now)
    point.pass_seconds(60.0)
    assert point.protocol.polling.take() == []
    assert not len(point.protocol.polling.timers)
    assert record.values == {}


def test_abandoning_ends_the_polling() -> None:
    point = Point()
    record = point.deaf()
    point.pass_seconds(0.0)
    point.protocol.abandon(record)
    assert point.protocol.polling.take() == []
    assert not len(point.protocol.polling.timers)


# --- how often ---


def test_polls_have_the_interval() -> None:
    point = Point()
    point.refused()
    assert point.polls() == 1
    assert point.polls(INTERVAL - 1) == 0
    assert point.polls(1.0) == 1
    assert point.polls(10 * INTERVAL) == 10


def test_polls_have_the_interval_although_polling_ends_and_begins() -> None:
    point = Point()
    record = point.refused()
    assert point.polls() == 1
    polling = point.protocol.polling
    for _ in range(20):
        polling.follow(record, Status.ACTIVE, Cause.INITIAL_EVENT)
        polling.follow(record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    assert point.polls(INTERVAL - 1) == 0
    assert point.polls(1.0) == 1


def test_one_poll_runs_at_a_time() -> None:
    point = Point()
    record = point.deaf()
    point.begin(record)
    point.pass_seconds(10 * INTERVAL)
    assert point.protocol.polling.take() == []
    point.protocol.polling.follow(record, Status.ACTIVE, Cause.INITIAL_EVENT)
    point.protocol.polling.follow(record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    point.pass_seconds(INTERVAL)
    assert point.protocol.polling.take() == []
    assert point.end(record, A="1") is None
    # After a slow poll the next one waits.
    assert point.polls(INTERVAL - 1) == 0
    assert point.polls(1.0) == 1


def test_a_poll_that_was_not_taken_ends_with_the_polling() -> None:
    point = Point()
    record = point.deaf()
    point.pass_seconds(0.0)
    point.protocol.polling.follow(record, Status.ACTIVE, Cause.INITIAL_EVENT)
    assert point.protocol.polling.take() == []
    point.protocol.polling.follow(record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    assert point.polls(INTERVAL) == 1


def test_a_poll_that_is_due_is_a_change_for_the_runtime() -> None:
    point = Point()
    point.refused()
    assert point.protocol.changed
    assert point.protocol.next_deadline() == point.now
    assert not point.protocol.changed
    point.pass_seconds(0.0)
    assert point.protocol.changed
    point.protocol.polling.take()
    point.protocol.next_deadline()
    assert not point.protocol.changed


# --- the values ---


def test_the_first_poll_has_all_values_and_the_next_ones_what_changed() -> None:
    point = Point()
    record = point.deaf(convert={"A": int, "B": str})
    event = point.poll(record, A="1", B="x")
    assert event is not None
    assert (event.polled, event.seq, event.is_initial, event.sid) == (True, None, False, "uuid:1")
    assert event.changes == {"A": 1, "B": "x"}
    assert [tuple(each) for each in event.details] == [
        ("A", 1, None, None, None, "1"),
        ("B", "x", None, None, None, "x"),
    ]
    assert repr(event) == "<Event polled {'A': 1, 'B': 'x'}>"
    assert record.values == {"A": 1, "B": "x"}
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="1", B="x") is None
    point.pass_seconds(INTERVAL)
    event = point.poll(record, A="2", B="x")
    assert event is not None
    assert event.changes == {"A": 2}
    assert event.details[0].previous == 1


def test_after_events_the_first_poll_has_all_values_again() -> None:
    point = Point()
    record = point.deaf()
    assert point.poll(record, A="1").changes == {"A": "1"}
    point.protocol.polling.follow(record, Status.ACTIVE, Cause.INITIAL_EVENT)
    point.protocol.polling.follow(record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="1").changes == {"A": "1"}


def test_polled_values_may_be_values_or_texts_by_name_or_by_variable() -> None:
    temperature: StateVariable[float] = StateVariable.of("r4", name="Temperature")
    point = Point()
    record = point.deaf(convert={"Temperature": float, "On": lambda text: text == "1"})
    point.begin(record)
    point.outcomes()
    polled = {temperature: 20.5, "On": True, "Off": "1", "Mode": 3, "Unknown": None}
    point.protocol.polling.polled(record, polled, point.now)
    (event,) = point.events()
    assert event.changes == {"Temperature": 20.5, "On": True, "Off": "1", "Mode": 3}
    assert [each.text for each in event.details] == ["20.5", "1", "1", "3"]


def test_a_text_that_does_not_fit_its_type_is_in_the_details_once() -> None:
    point = Point()
    record = point.deaf(convert={"A": int})
    event = point.poll(record, A="x")
    assert event is not None
    assert event.changes == {}
    assert [tuple(each) for each in event.details] == [("A", None, None, None, None, "x")]
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="y") is None
    assert record.values == {}


@pytest.mark.parametrize("key", ["7", "('A', 0)", "('A', '0', None)", "(0, 0, None)"])
def test_a_key_that_names_no_variable_is_an_error_and_the_polls_go_on(key: str) -> None:
    point = Point()
    record = point.deaf()
    point.begin(record)
    with pytest.raises(TypeError, match=f"a polled value has the name of .*, not {re.escape(key)}"):
        point.protocol.polling.polled(record, {"A": "1", literal_eval(key): "1"}, point.now)
    assert record.values == {}
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="1").changes == {"A": "1"}


def test_values_that_cannot_be_compared_are_changes() -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]  # it cannot be compared

    point = Point()
    record = point.deaf()
    assert point.poll(record, A=Strange(), B=nan) is not None
    point.pass_seconds(INTERVAL)
    event = point.poll(record, A=Strange(), B=nan)
    assert event is not None
    assert list(event.changes) == ["A"]
    point.pass_seconds(INTERVAL)
    assert point.poll(record, B=1.0).changes == {"B": 1.0}


def test_the_result_of_a_poll_that_an_event_overtook_is_dropped() -> None:
    point = Point()
    record = point.deaf()
    point.begin(record)
    assert point.notify(record, 0, A="new") == 200
    assert point.end(record, A="old") is None
    assert record.values == {"A": "new"}


def test_the_result_of_a_poll_of_an_earlier_polling_is_dropped() -> None:
    point = Point()
    record = point.deaf()
    point.begin(record)
    point.protocol.polling.follow(record, Status.ACTIVE, Cause.INITIAL_EVENT)
    point.protocol.polling.follow(record, Status.DEAF, Cause.NO_INITIAL_EVENT)
    assert point.end(record, A="old") is None
    point.pass_seconds(INTERVAL)
    assert point.poll(record, A="new").changes == {"A": "new"}


def test_an_end_without_a_poll_has_no_effect() -> None:
    point = Point()
    record = point.deaf()
    assert point.polls() == 1
    assert point.end(record, A="1") is None
    assert record.values == {}


@pytest.mark.parametrize("channel", ["Master", "master", "LF"])
def test_a_polled_value_replaces_that_of_last_change(channel: str) -> None:
    point = Point()
    record = point.granted(convert={"Volume": int, "LastChange": str})
    assert point.notify(record, 0, LastChange=LAST_CHANGE.format(channel, 10)) == 200
    point.protocol.polling.follow(record, Status.DEAF, Cause.EVENT_CUT)
    point.pass_seconds(INTERVAL)
    event = point.poll(record, Volume=20)
    assert event is not None
    assert record.values == {"Volume": 20}
    if channel != "LF":
        assert record.full_state == {("Volume", 0, channel): 20}
        assert event.details[0][3:5] == (0, channel)
    else:
        assert record.full_state == {("Volume", 0, "LF"): 10, ("Volume", 0, "Master"): 20}


def test_values_of_other_instances_and_channels_can_be_polled() -> None:
    point = Point()
    record = point.deaf(convert={"Volume": int})
    values: dict[Any, object] = {("Volume", 0, "Master"): 1, ("Volume", 0, "LF"): "2"}
    values["Volume", 1, None] = 3
    point.begin(record)
    point.outcomes()
    point.protocol.polling.polled(record, values, point.now)
    (event,) = point.events()
    assert event.changes == {"Volume": 1}
    assert [each[:5] for each in event.details] == [
        ("Volume", 1, None, 0, "Master"),
        ("Volume", 2, None, 0, "LF"),
        ("Volume", 3, None, 1, None),
    ]
    assert record.values == {"Volume": 1}
    assert record.full_state == {key: int(str(value)) for key, value in values.items()}
    point.pass_seconds(INTERVAL)
    point.begin(record)
    values["Volume", 0, "LF"] = 4
    point.protocol.polling.polled(record, values, point.now)
    (event,) = point.events()
    assert [each[:5] for each in event.details] == [("Volume", 4, 2, 0, "LF")]
    assert event.changes == {}


def test_polled_values_of_instances_have_no_more_room_than_those_of_events() -> None:
    point = Point()
    record = point.deaf()
    record.instances._most = 1
    values: dict[Any, object] = {("A", 1, None): "1", ("B", 1, None): "1"}
    point.begin(record)
    point.outcomes()
    point.protocol.polling.polled(record, values, point.now)
    (event,) = point.events()
    assert event.problems == ("the values of the subscription have no room for 'B'",)
    assert record.full_state == {("A", 1, None): "1"}


def test_polled_values_have_no_more_room_than_those_of_events() -> None:
    point = Point()
    record = point.deaf()
    record.large._most = 3_000
    event = point.poll(record, A="x" * 2_000, B="x" * 2_000)
    assert event is not None
    assert event.problems == ("the values of the subscription have no room for 'B'",)
    assert list(record.values) == ["A"]


def test_a_merged_event_is_polled_if_its_newest_part_is() -> None:
    point = Point()
    record = point.deaf()
    polled = point.poll(record, A="1")
    assert polled is not None
    assert point.notify(record, 0, A="2") == 200
    (real,) = point.events()
    for first, second in ((polled, real), (real, polled)):
        queue = EventQueue(1)
        queue.put(first)
        queue.put(second)
        merged = queue.get()
        assert isinstance(merged, Event)
        assert (merged.polled, merged.seq) == (second.polled, second.seq)


# --- anything ---

STEPS = st.lists(
    st.sampled_from(["refuse", "grant", "event", "wait", "wait", "end", "fail"]), max_size=60
)


@given(steps=STEPS)
def test_whatever_happens_polls_keep_the_interval_and_no_old_value_replaces_an_event(
    steps: list[str],
) -> None:
    point = Point()
    record = point.subscribe()
    begun: list[float] = []
    running = False
    version = seq = 0  # the state of the device; a poll reads it when it begins
    read = taken = 0
    for step in steps:
        requests = point.requests()
        for request in requests:
            if request.kind is RequestKind.DESCRIBE:
                point.fail(request)
            elif request.kind is RequestKind.UNSUBSCRIBE:
                point.answer(request, sid=None)
            else:
                request.build(LOCAL)
                if step == "refuse" or request.kind is RequestKind.RENEW:
                    point.answer(request, 503, sid=None)
                else:
                    point.answer(request, sid=f"uuid:{point.now}-{version}")
                    seq = 0
        if step == "event" and record.sid:
            version += 1
            point.outcomes()
            if point.notify(record, seq, V=str(version)) == 200:
                seq += 1
            # A device that is slow has sent it with a former SID.
            taken = version if point.events() else taken
        elif step == "wait":
            end = point.now + 7.0
            while point.now < end:
                due = point.protocol.next_deadline()
                point.pass_seconds(max(0.0, (end if due is None else min(due, end)) - point.now))
                for each in point.protocol.polling.take():
                    assert each is record
                    assert not running
                    begun.append(point.now)
                    running, read = True, version
        elif running and step in ("end", "fail"):
            running = False
            if step == "end":
                point.protocol.polling.polled(record, {"V": str(read)}, point.now)
            else:
                point.protocol.polling.failed(record, point.now)
        assert taken <= int(str(record.values.get("V", "0"))) <= version
        assert record.polled or record.status is not Status.DEAF
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(begun))
