"""``minimum_interval``: at most one event in an interval, and the final value always."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.outcomes import Mended
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import RequestKind
from propchange.core.values.merging import parse_container_update_ids
from tests import work
from tests.core.clock import BEGINNING
from tests.core.subscriber.test_protocol import LOCAL, ControlPoint, assert_nothing_is_left

INTERVAL = 0.5
LAST_CHANGE = (
    '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0">'
    '<Volume channel="{}" val="{}"/></InstanceID></Event>'
)


class Point(ControlPoint):
    """A control point whose program wants an event in half a second at most. ``given`` has all
    outcomes for the program, with their times."""

    def __init__(self, interval: float | None = INTERVAL, **options: Any) -> None:
        super().__init__(**options)
        self.interval = interval
        self.given: list[tuple[float, Event | StatusChange]] = []

    def subscribe(self, *args: Any, **options: Any) -> SubscriptionRecord:
        return super().subscribe(*args, **{"minimum_interval": self.interval, **options})

    def outcomes(self) -> list[Any]:
        outcomes = super().outcomes()
        now = round(self.now - BEGINNING, 6)
        self.given += [(now, each) for each in outcomes if isinstance(each, Event | StatusChange)]
        return outcomes

    def at(self, seconds: float) -> None:
        """Move the clock, and do what is due meanwhile at its time."""
        self.outcomes()
        while (due := self.deadline()) is not None and due <= seconds:
            super().at(max(due, self.now - BEGINNING))
            self.outcomes()
        super().at(seconds)
        self.outcomes()

    def times(self) -> list[float]:
        """When the program got events, in seconds."""
        self.outcomes()
        return [when for when, each in self.given if isinstance(each, Event)]

    def all_events(self) -> list[Event]:
        self.outcomes()
        return [each for _, each in self.given if isinstance(each, Event)]

    def afresh(self, record: SubscriptionRecord, sid: str, **values: str) -> None:
        """Answer what the protocol asks, until the initial event of a fresh subscription."""
        while requests := self.requests():
            for request in requests:
                kind = request.kind
                request.build(LOCAL)
                self.answer(request, sid=sid if kind is RequestKind.SUBSCRIBE else None)
        assert self.notify(record, 0, **values) == 200


# --- when ---


def test_the_first_event_comes_at_once() -> None:
    point = Point()
    point.active()
    assert point.times() == [0.0]


def test_events_within_the_interval_are_one_event_at_its_end() -> None:
    point = Point()
    record = point.active()
    for seq, (seconds, values) in enumerate([(0.1, {"A": "1"}), (0.2, {"A": "2", "B": "x"})], 1):
        point.at(seconds)
        assert point.notify(record, seq, **values) == 200
    point.at(0.4)
    assert point.notify(record, 3, A="3") == 200
    assert point.times() == [0.0]
    assert record.values == {"A": "3", "B": "x"}  # they do not wait
    point.at(9.0)
    assert point.times() == [0.0, INTERVAL]
    event = point.all_events()[1]
    assert (event.changes, event.seq, event.merged) == ({"A": "3", "B": "x"}, 3, 2)
    assert [change.previous for change in event.details] == [None, "0"]
    assert record.merged == 2


def test_a_single_event_within_the_interval_comes_at_its_end_as_it_was_sent() -> None:
    point = Point()
    record = point.active()
    point.notify(record, 1, A="1")
    point.at(1.0)
    event = point.all_events()[1]
    assert (event.changes, event.received, event.merged) == ({"A": "1"}, (("A", "1"),), 0)
    assert record.merged == 0


def test_the_interval_counts_from_the_last_event_that_came() -> None:
    point = Point()
    record = point.active()
    for seq, seconds in enumerate([0.1, 0.6, 0.9, 1.6, 1.7], 1):
        point.at(seconds)
        point.notify(record, seq)
    point.at(9.0)
    assert point.times() == pytest.approx([0.0, 0.5, 1.0, 1.6, 2.1])


def test_a_late_deadline_holds_nothing_back_any_longer() -> None:
    point = Point()
    record = point.active()
    point.notify(record, 1, A="1")
    point.now += 3 * INTERVAL  # the loop was busy
    point.notify(record, 2, A="2")
    (event,) = point.events()
    assert (event.changes, event.merged) == ({"A": "2"}, 1)
    point.notify(record, 3, A="3")
    assert point.events() == []


def test_nothing_is_due_while_nothing_is_held() -> None:
    point = Point()
    record = point.active()
    before = point.deadline()
    point.notify(record, 1)
    assert point.deadline() == INTERVAL
    point.at(INTERVAL)
    assert point.deadline() == before


def test_each_subscription_has_its_own_interval() -> None:
    point = Point()
    one, other = point.active(), point.active(sid="uuid:2", minimum_interval=2.0)
    third = point.active(sid="uuid:3", minimum_interval=None)
    for record in (one, other, third):
        point.notify(record, 1)
    point.at(3.0)
    when = {each.subscription: when for when, each in point.given if isinstance(each, Event)}
    assert when == {one: INTERVAL, other: 2.0, third: 0.0}


@pytest.mark.parametrize("interval", [-1, -0.001, nan, inf, -inf, 10**400])
def test_an_interval_is_no_negative_and_no_endless_number(interval) -> None:
    with pytest.raises(ValueError, match="minimum_interval is a number of seconds, 0 or more"):
        Point().subscribe(minimum_interval=interval)


@pytest.mark.parametrize("interval", ["1", True, Decimal(1), [1]])
def test_an_interval_is_a_number(interval) -> None:
    with pytest.raises(TypeError, match="minimum_interval is a number of seconds or None"):
        Point().subscribe(minimum_interval=interval)


# --- statuses and initial events ---


def test_a_status_does_not_wait_and_what_is_held_comes_before_it() -> None:
    point = Point()
    record = point.active()
    point.notify(record, 1, A="1")
    point.at(0.1)
    point.notify(record, 3, A="3")  # shows that one is missing
    point.outcomes()
    (_, held), (at, change) = point.given[-2:]
    assert held.changes == {"A": "3"}
    assert (at, change.status, change.cause) == (
        0.1,
        Status.RESUBSCRIBING,
        Cause.MISSED_EVENT,
    )
    # The initial event waits: it is an event.
    point.afresh(record, "uuid:2", A="4")
    point.outcomes()
    assert point.given[-1][1].status is Status.ACTIVE
    assert record.values == {"A": "4"}
    point.at(1.0)
    when, initial = point.given[-1]
    assert (when, initial.is_initial, initial.changes) == (INTERVAL, True, {"A": "4"})


def test_an_initial_event_replaces_the_state_that_is_held() -> None:
    point = Point()
    record = point.active(convert={"A": str, "B": str})
    point.at(0.1)
    point.notify(record, 1, A="1", B="1")
    point.protocol.clock_jumped(9.0, point.now)
    point.afresh(record, "uuid:2", A="2", B="2")
    point.notify(record, 1, B="3")
    point.at(9.0)
    event = point.all_events()[-1]
    assert event.is_initial
    assert (event.changes, event.merged) == ({"A": "2", "B": "3"}, 1)


def test_what_is_held_comes_before_closed() -> None:
    for end in ("unsubscribe", "abandon"):
        point = Point()
        record = point.active()
        point.notify(record, 1, A="1")
        if end == "abandon":
            point.protocol.abandon(record)
        else:
            point.protocol.unsubscribe(record, point.now)
            point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
        point.outcomes()
        (_, event), (_, change) = point.given[-2:]
        assert event.changes == {"A": "1"}
        assert change.status is Status.CLOSED
        assert_nothing_is_left(point)
        assert point.deadline() is None
        assert not point.protocol._outcomes.pace._free_at


def test_an_event_of_polled_values_waits_for_the_end_of_the_interval() -> None:
    point = Point()
    record = point.granted(poll_interval=0.1)
    point.at(5.0)
    for value in ("1", "2"):
        assert point.protocol.polling.take() == [record]
        point.protocol.polling.polled(record, {"A": value}, point.now)
        point.at(point.now - BEGINNING + 0.1)
    assert point.protocol.polling.take() == [record]
    point.protocol.polling.polled(record, {"A": "3"}, point.now)
    point.at(9.0)
    assert point.times() == [5.0, 5.0 + INTERVAL]
    event = point.all_events()[-1]
    assert (event.polled, event.changes, event.merged) == (True, {"A": "3"}, 1)


# --- whatever comes ---

_EVENT = st.tuples(
    st.dictionaries(st.sampled_from("ABC"), st.integers(0, 9).map(str), max_size=3),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99).map(str)), max_size=2),
    st.none() | st.tuples(st.sampled_from(["Master", "LF", "RF"]), st.integers(0, 100)),
)
_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.1, 0.2, 0.5, 0.7, 3.0]),
        _EVENT,
        st.sampled_from(["event"] * 8 + ["late loop", "afresh", "lost"]),
    ),
    max_size=25,
)


def _texts(event: Any) -> dict[str, str]:
    values, containers, volume = event
    texts = dict(values)
    if containers:
        texts["ContainerUpdateIDs"] = ",".join(f"{name},{number}" for name, number in containers)
    if volume is not None:
        texts["LastChange"] = LAST_CHANGE.format(*volume)
    return texts or {"A": "same"}


class _Program:
    """What a program knows that follows the events."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.details: dict[Any, Any] = {}
        self.containers: dict[str, str] = {}
        self.events = 0

    def follow(self, event: Event) -> None:
        if event.is_initial:
            self.values.clear()
            self.details.clear()
        self.values.update(event.changes)
        for change in event.details:
            self.details[change.variable, change.instance, change.channel] = change.value
        listed = event.changes.get("ContainerUpdateIDs", "")
        self.containers.update(parse_container_update_ids(listed))
        for lists in ("ContainerUpdateIDs", "LastChange"):  # the last text, or all in one
            self.values.pop(lists, None)
            self.details.pop((lists, None, None), None)
        self.events += 1 + event.merged


class _Unpaced(Point):
    """A program that does not say anything about an interval."""

    def subscribe(self, *args: Any, **options: Any) -> SubscriptionRecord:
        return ControlPoint.subscribe(self, *args, **options)


def _play(
    steps: list[Any], interval: float | None, point: Point | None = None
) -> tuple[Point, SubscriptionRecord, int]:
    point = point or Point(interval)
    record = point.active()
    count, seq, sid = 1, 1, 2
    for seconds, event, kind in steps:
        if kind == "late loop":
            point.outcomes()
            point.now += seconds
        else:
            point.at(point.now - BEGINNING + seconds)
        if kind in ("afresh", "lost"):
            if kind == "lost":
                assert point.notify(record, seq + 1, **_texts(event)) == 200
                count += 1
            else:
                point.protocol.clock_jumped(9.0, point.now)
            for _ in range(400):  # the token bucket may delay it
                if record.state.name in ("SUBSCRIBING", "UNSUBSCRIBING"):
                    break
                point.at(point.now - BEGINNING + 1.0)
            initial = {"A": "i", "B": "i", "C": "i", **_texts(event)}
            point.afresh(record, f"uuid:{sid}", **initial)
            seq, sid, count = 1, sid + 1, count + 1
        else:
            assert point.notify(record, seq, **_texts(event)) == 200
            seq, count = seq + 1, count + 1
    point.at(point.now - BEGINNING + 9.0)
    return point, record, count


@given(_STEPS, st.sampled_from([0.01, 0.3, INTERVAL, 2.0]))
def test_whatever_comes_the_program_ends_with_the_true_state(steps, interval) -> None:
    point, record, count = _play(steps, interval)
    plain, _, _ = _play(steps, None)
    paced, every = _Program(), _Program()
    for event in point.all_events():
        paced.follow(event)
    for event in plain.all_events():
        every.follow(event)
    assert paced.values == every.values
    assert paced.details == every.details
    assert paced.containers == every.containers
    assert paced.events == every.events == count
    assert record.merged == sum(event.merged for event in point.all_events())
    # Statuses do not wait.
    statuses, unpaced = (
        [(when, each.cause) for when, each in of.given if isinstance(each, StatusChange)]
        for of in (point, plain)
    )
    assert statuses == unpaced
    # Two events are closer only if a status forces the second one out.
    for (at, event), (then, item), (after, following) in zip(
        point.given, point.given[1:], [*point.given[2:], (inf, None)], strict=False
    ):
        if isinstance(event, Event) and isinstance(item, Event):
            forced_out = isinstance(following, StatusChange) and after == then
            assert then - at >= interval - 1e-5 or forced_out
    windows = [when for when, each in point.given if isinstance(each, Event)]
    forced = len(statuses)
    if windows:
        assert len(windows) <= 1 + (windows[-1] - windows[0]) / interval + forced + 1e-6
    assert not point.protocol._outcomes.pace._held
    point.protocol.abandon(record)
    assert_nothing_is_left(point)


@given(_STEPS, st.sampled_from([0, 0.0, None]))
def test_without_an_interval_all_is_as_ever(steps, interval) -> None:
    point, _, _ = _play(steps, interval)
    plain = _Unpaced()
    replayed, _, _ = _play(steps, None, plain)
    assert [repr(each) for each in point.given] == [repr(each) for each in replayed.given]
    assert not point.protocol._outcomes.pace._free_at


# --- what it costs ---


def test_an_event_costs_the_same_however_many_are_held() -> None:
    def cost(before: int) -> int:
        point = Point(60.0)
        record = point.active()
        for seq in range(1, before):
            point.notify(record, seq, **{f"V{seq}": "1"}, ContainerUpdateIDs=f"{seq},1")
        last = before

        def more() -> None:
            for seq in range(last, last + 50):
                point.notify(record, seq, A="1", ContainerUpdateIDs=f"{seq},1")

        return work.steps(more)

    assert cost(2_000) < 1.1 * cost(20)


def test_a_device_with_new_names_in_each_event_gives_few_problems_and_lines() -> None:
    """Each sentence about values without room names other variables."""
    point = Point(60.0, limits=Limits(fold_keys=4, event_problems=3))
    record = point.active()
    for seq in range(1, 200):
        point.notify(record, seq, **{f"V{seq}": "1"})
    told = [each for each in point.outcomes() if isinstance(each, Mended)]
    assert record.problems == tuple(each.problem for each in told)
    assert len(told) == 3
    point.at(60.0)
    event = point.all_events()[-1]
    assert event.merged == 198
    assert len(event.problems) == 3


def test_what_is_held_is_bounded() -> None:
    limits = Limits(waiting_event_characters=100_000)
    point = Point(60.0, limits=limits)
    record = point.active()
    for seq in range(1, 1_000):
        names = {f"V{seq}_{number}": "x" * 400 for number in range(4)}
        containers = ",".join(f"{seq}-{number},1" for number in range(60))
        point.notify(record, seq, **names, ContainerUpdateIDs=containers)
    held = point.protocol._outcomes.pace._held[record]
    assert held.characters <= 100_000
    point.at(60.0)
    event = point.all_events()[-1]
    assert event.merged == 998
    assert event.left_out > 3_000
    listed = parse_container_update_ids(event.changes["ContainerUpdateIDs"])
    assert listed[-1] == ("999-59", "1")
    assert len(event.changes["ContainerUpdateIDs"]) <= 100_000
    assert DEFAULT_LIMITS.waiting_event_characters > 100_000
