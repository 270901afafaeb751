"""Multicast events that wait for an application."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.multicast.event_queue import MulticastQueue
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.subscriber.events import Change
from propchange.core.wire.messages import Endpoint

DOOR, WINDOW = object(), object()


@dataclass
class Events:
    """Makes events with rising SEQs."""

    seq: int = -1

    def __call__(
        self, service: object = DOOR, level: str = "info", **changes: int
    ) -> MulticastEvent:
        self.seq += 1
        details = tuple(Change(n, v, v - 1, None, None, str(v)) for n, v in changes.items())
        peer = Endpoint("10.0.0.1", 5)
        return MulticastEvent(service, "usn", "id", level, self.seq, peer, changes, details)


def told(queue: MulticastQueue) -> list[tuple[int, dict[str, object]]]:
    items = []
    while (item := queue.get()) is not None:
        assert isinstance(item, MulticastEvent)
        items.append((item.seq, dict(item.changes)))
    return items


def test_events_come_out_as_they_went_in() -> None:
    queue, event = MulticastQueue(4), Events()
    assert queue.get() is None
    events = [event(Bell=1), event(Bell=2, Open=1)]
    for each in events:
        queue.put(each)
    assert len(queue) == 2
    assert [queue.get(), queue.get(), queue.get()] == [*events, None]


def test_a_full_queue_merges_events_of_one_service_and_level() -> None:
    queue, event = MulticastQueue(2), Events()
    queue.put(event(Bell=1))
    queue.put(event(WINDOW, Bell=7))
    queue.put(event(Bell=2, Open=1))
    queue.put(event(Bell=3))
    window, door = queue.get(), queue.get()
    assert isinstance(window, MulticastEvent)
    assert isinstance(door, MulticastEvent)
    assert dict(window.changes) == {"Bell": 7}
    assert dict(door.changes) == {"Bell": 3, "Open": 1}
    assert [(c.variable, c.value, c.previous) for c in door.details] == [
        ("Open", 1, 0),
        ("Bell", 3, 0),
    ]
    assert (door.seq, door.merged, queue.merged, queue.dropped) == (3, 2, 2, 0)


def test_a_level_is_not_merged_into_another_and_then_the_oldest_event_is_dropped() -> None:
    queue, event = MulticastQueue(2), Events()
    for level in ("info", "fault", "emergency"):
        queue.put(event(level=level, Bell=1))
    assert (queue.merged, queue.dropped) == (0, 1)
    assert [seq for seq, _ in told(queue)] == [1, 2]


def test_reports_of_missing_events_are_added_up() -> None:
    queue, event = MulticastQueue(2), Events()
    queue.put(event(Bell=1))
    queue.put(MulticastMissed(DOOR, 5, 4))
    queue.put(MulticastMissed(DOOR, 9, 3))
    assert isinstance(queue.get(), MulticastEvent)
    assert queue.get() == MulticastMissed(DOOR, 9, 7)
    queue.put(MulticastMissed(WINDOW, 1, 1))
    queue.put(event(Bell=2))
    queue.put(MulticastMissed(DOOR, 9, 1))
    assert [type(queue.get()) for _ in range(2)] == [MulticastEvent, MulticastMissed]
    assert (queue.merged, queue.dropped) == (0, 0)  # they are no events


def test_the_problems_of_merged_events_are_kept() -> None:
    queue, event = MulticastQueue(1), Events()
    for problem in ("a", "b", "a"):
        queue.put(MulticastEvent(*list_of(event(Bell=1)), problems=(problem,)))
    item = queue.get()
    assert isinstance(item, MulticastEvent)
    assert item.problems == ("a", "b")


def list_of(event: MulticastEvent) -> tuple[object, ...]:
    return (event.service, event.usn, event.svcid, event.level, event.seq, event.source,
            event.changes, event.details)  # fmt: skip


def test_large_values_make_the_queue_full_and_one_larger_than_all_waits_alone() -> None:
    queue = MulticastQueue(100, 2_000)
    peer = Endpoint("10.0.0.1", 5)
    for seq, size in enumerate((1_000, 1_000, 5_000)):
        text = "x" * size
        change = Change(f"V{seq}", text, None, None, None, text)
        changes = {change.variable: text}
        queue.put(MulticastEvent(DOOR, "usn", "id", str(seq), seq, peer, changes, (change,)))
    assert [seq for seq, _ in told(queue)] == [2]
    assert queue.dropped == 2


PUTS = st.lists(
    st.tuples(st.sampled_from([DOOR, WINDOW]), st.sampled_from("ab"), st.sampled_from("VW")),
    max_size=40,
)


@given(PUTS)
@pytest.mark.filterwarnings("error")
def test_the_last_value_of_each_variable_arrives_and_the_queue_stays_bounded(
    puts: list[tuple[object, str, str]],
) -> None:
    queue, event = MulticastQueue(4), Events()
    last: dict[tuple[int, str, str], int] = {}
    for number, (service, level, name) in enumerate(puts):
        queue.put(event(service, level, **{name: number}))
        last[id(service), level, name] = number
        assert len(queue) <= 4
    arrived: dict[tuple[int, str, str], object] = {}
    while (item := queue.get()) is not None:
        assert isinstance(item, MulticastEvent)
        for name, value in item.changes.items():
            arrived[id(item.service), item.level, name] = value
    assert queue.dropped == 0
    assert arrived == last
    assert queue._characters == 0
