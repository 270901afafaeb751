"""Streams of multicast events, without asyncio. What is believed is tested in tests/driver."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

import pytest

from propchange import MulticastEvent, MulticastMissed
from propchange.blocking import Closed, ControlPoint, MulticastEvents
from propchange.core.subscriber.events import Changes
from propchange.core.wire.messages import Endpoint

Stream = tuple[MulticastEvents, Callable[..., None]]


def event(seq: int) -> MulticastEvent:
    source = Endpoint("127.0.0.1", 49_152)
    return MulticastEvent(None, "uuid:1", "S", "upnp:/info", seq, source, Changes(A=seq), ())


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A stream, and what gives it items in the thread of the loop."""
    with ControlPoint(interface="127.0.0.1", discovery=True) as point:
        stream = point.multicast_events(level="upnp:/info")

        def receive(*items: MulticastEvent | MulticastMissed) -> None:
            for item in items:
                point._thread.run(stream._stream._receive, item)

        yield stream, receive


def test_events_are_taken_as_from_a_queue(stream: Stream) -> None:
    events, receive = stream
    receive(event(1), MulticastMissed(None, 3, 1), event(3))
    assert (events.get(timeout=20).seq, events.get_nowait().seq) == (1, 3)
    for get in (events.get_nowait, lambda: events.get(timeout=0.01)):
        with pytest.raises(queue.Empty):
            get()
    assert (events.merged, events.dropped) == (0, 0)


def test_updates_also_yield_what_is_missing(stream: Stream) -> None:
    events, receive = stream
    receive(event(1), MulticastMissed(None, 3, 1), event(3))
    updates = events.updates()
    kinds = [type(next(updates)) for _ in range(3)]
    assert kinds == [MulticastEvent, MulticastMissed, MulticastEvent]


def test_the_events_end_when_the_stream_is_closed(stream: Stream) -> None:
    events, receive = stream
    with events as same:
        receive(event(1), event(2))
        assert next(same).seq == 1
    assert [each.seq for each in events] == [2]
    assert list(events.updates()) == []
    with pytest.raises(Closed):
        events.get()
