"""The queue in which multicast events wait for an application."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.subscriber.event_queue import count_characters
from propchange.core.subscriber.events import Changes

_Item = MulticastEvent | MulticastMissed


class MulticastQueue:
    """Multicast events, and reports of missing ones, that wait for an application, in order.

    At most ``limit`` items and ``characters`` characters wait. When there are more, an item is
    merged into a later one of the same service and level: newer values replace older ones. If no
    two items can be merged, the oldest is dropped.
    """

    def __init__(
        self, limit: int, characters: int = DEFAULT_LIMITS.waiting_event_characters
    ) -> None:
        self._limit = limit
        self._most = characters
        self._queue: list[_Item] = []
        self._characters = 0
        self.merged = 0
        """The number of events that were merged into others."""
        self.dropped = 0
        """The number of events that were dropped."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: _Item) -> None:
        """Add ``item`` behind the others."""
        self._queue.append(item)
        self._characters += _characters(item)
        # The last item may be larger than all the room.
        while len(self._queue) > 1 and (
            len(self._queue) > self._limit or self._characters > self._most
        ):
            self._make_room()

    def get(self) -> _Item | None:
        """Remove and return the oldest item; None if there is none."""
        return self._take(0) if self._queue else None

    def _make_room(self) -> None:
        """Merge the two newest items that can be merged, or drop the oldest item."""
        later: dict[tuple[object, str | None], int] = {}
        for index in range(len(self._queue) - 1, -1, -1):
            item = self._queue[index]
            level = item.level if isinstance(item, MulticastEvent) else None
            newer = later.setdefault((item.service, level), index)
            if newer != index:
                merged = _merge(item, self._queue[newer])
                self._characters += _characters(merged) - _characters(self._queue[newer])
                self._queue[newer] = merged
                self._take(index)
                self.merged += level is not None
                return
        self.dropped += isinstance(self._take(0), MulticastEvent)

    def _take(self, index: int) -> _Item:
        item = self._queue.pop(index)
        self._characters -= _characters(item)
        return item


def _characters(item: _Item) -> int:
    """The approximate memory of an item, in characters."""
    if isinstance(item, MulticastMissed):
        return 0
    return count_characters(item.details) + len(item.level)


def _merge(older: Any, newer: Any) -> _Item:
    """Both as one item, with the SEQ of the newer. They are of one type."""
    merged: _Item
    if isinstance(newer, MulticastMissed):
        merged = replace(newer, count=older.count + newer.count)
        return merged
    details = {change.variable: change for change in older.details}
    for change in newer.details:
        before = details.pop(change.variable, None)
        kept = change if before is None else change._replace(previous=before.previous)
        details[change.variable] = kept
    merged = replace(
        newer,
        changes=Changes(older.changes | newer.changes),
        details=tuple(details.values()),
        merged=older.merged + newer.merged + 1,
        problems=tuple(dict.fromkeys((*older.problems, *newer.problems))),
    )
    return merged
