"""The events that wait for an application, bounded.

An application that does not read costs ``Limits.waiting_events`` and no more. Further events are
merged into the newest event that waits, by replacing values, so that the last state is the true
one. Status changes keep their order among the events.
"""

from __future__ import annotations

from collections import deque

from propchange.core.subscriber.events import Change, Event, StatusChange

__all__ = ["EventQueue", "merge_events"]


class EventQueue:
    """A queue of events and status changes in their order."""

    __slots__ = ("_limit", "_queue", "merged")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[Event | StatusChange] = deque()
        self.merged = 0
        """How many events have been merged into others."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Event | StatusChange) -> None:
        """Add ``item`` behind the others, or merge it into the last of its kind when full."""
        queue = self._queue
        if len(queue) >= self._limit:
            if isinstance(item, Event):
                waiting = self._take_last(Event)
                if waiting is not None:
                    item = merge_events(waiting, item)
                    self.merged += 1
            else:
                # Of several status changes the last one is enough.
                self._take_last(StatusChange)
        # At most one item more than the limit waits here: the first of its kind.
        queue.append(item)

    def _take_last(self, kind: type[Event] | type[StatusChange]) -> Event | None:
        queue = self._queue
        for index in range(len(queue) - 1, -1, -1):
            item = queue[index]
            if isinstance(item, kind):
                del queue[index]
                return item if isinstance(item, Event) else None
        return None

    def get(self) -> Event | StatusChange | None:
        """Take the oldest, None when there is none."""
        return self._queue.popleft() if self._queue else None


def _key(change: Change) -> tuple[str, int | None, str | None]:
    return change.variable, change.instance, change.channel


def merge_events(older: Event, newer: Event) -> Event:
    """One event with the same effect on the state as ``older`` followed by ``newer``."""
    earlier = {_key(change): change for change in older.details}
    latest: dict[tuple[str, int | None, str | None], Change] = {}
    for change in newer.details:
        key = _key(change)
        before = latest.pop(key, None) or earlier.pop(key, None)
        latest[key] = change if before is None else change._replace(previous=before.previous)
    changes = dict(newer.changes)
    # An initial event has the full state: the older event adds nothing.
    if not newer.is_initial:
        latest = {**earlier, **latest}
        changes = {**older.changes, **changes}
    return Event(
        newer.subscription,
        newer.sid,
        newer.seq,
        changes,
        tuple(latest.values()),
        is_initial=older.is_initial or newer.is_initial,
        merged=older.merged + newer.merged + 1,
    )
