"""The queue in which events and status changes wait for an application."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.current_values import StateKey
from propchange.core.subscriber.events import Change, Changes, Event, StatusChange
from propchange.core.values.lastchange import is_master

_CHANGE_CHARACTERS = 256
"""Approximate memory of a change beside its texts, in characters."""


class EventQueue:
    """Events and status changes that wait for an application, in order.

    At most ``limit`` items and ``characters`` characters of events wait. Further events are merged
    into the newest waiting event: newer values replace older ones, so the last state is right. A
    merged event with more than ``characters`` loses the variables that changed first;
    :attr:`.Event.left_out` counts them.
    """

    __slots__ = ("_characters", "_limit", "_most", "_queue", "merged")

    def __init__(
        self, limit: int, characters: int = DEFAULT_LIMITS.waiting_event_characters
    ) -> None:
        self._limit = limit
        self._most = characters
        self._characters = 0  # of the items that were put behind others
        self._queue: deque[tuple[Event | StatusChange | MergedEvent, int]] = deque()
        self.merged = 0
        """The number of events that were merged into others."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Event | StatusChange) -> None:
        """Add ``item`` behind the others, or merge it into the last of its kind when full."""
        queue = self._queue
        if not queue:
            # The application keeps up: do not spend time on counting.
            queue.append((item, 0))
        elif isinstance(item, Event):
            self._put_event(item)
        else:
            if len(queue) >= self._limit:
                # The last one of several status changes is enough.
                self._take_last(status=True)
            queue.append((item, 0))

    def _put_event(self, event: Event) -> None:
        characters = count_characters(event.details)
        item: Event | MergedEvent = event
        # The first event may wait beyond the limit: there is none to merge it into.
        if len(self._queue) >= self._limit or self._characters + characters > self._most:
            waiting = self._take_last(status=False)
            if waiting is not None and not isinstance(waiting, StatusChange):
                item = MergedEvent(waiting) if isinstance(waiting, Event) else waiting
                item.add(event, self._most)
                characters = item.characters
                self.merged += 1
        self._queue.append((item, characters))
        self._characters += characters

    def _take_last(self, *, status: bool) -> Event | StatusChange | MergedEvent | None:
        queue = self._queue
        for index in range(len(queue) - 1, -1, -1):
            item, characters = queue[index]
            if isinstance(item, StatusChange) is status:
                del queue[index]
                self._characters -= characters
                return item
        return None

    def get(self) -> Event | StatusChange | None:
        """Remove and return the oldest item; None if there is none."""
        if not self._queue:
            return None
        item, characters = self._queue.popleft()
        self._characters -= characters
        return item.event() if isinstance(item, MergedEvent) else item


def count_characters(changes: Iterable[Change]) -> int:
    """The approximate memory of ``changes``, in characters."""
    return sum(
        _CHANGE_CHARACTERS + len(variable) + len(channel or "") + len(text)
        for variable, _, _, _, channel, text in changes
    )


class MergedEvent:
    """Several events in a row as one event, with the same effect on the state. The cost of adding
    an event depends on its own changes, not on those that were merged before."""

    __slots__ = (
        "_changes",
        "_details",
        "_is_initial",
        "_left_out",
        "_merged",
        "_newest",
        "_problems",
        "_sources",
        "characters",
    )

    def __init__(self, first: Event) -> None:
        self._newest = first
        self._is_initial = first.is_initial
        self._merged = first.merged
        self._left_out = first.left_out
        self._problems = dict.fromkeys(first.problems)
        self.characters = 0
        """The result of :func:`count_characters` for all changes."""
        # In the order of the last change of each variable.
        self._details: OrderedDict[StateKey, Change] = OrderedDict()
        self._changes = Changes()
        # Variable -> the key in the details that has its value.
        self._sources: dict[str, StateKey] = {}
        self._take(first, {})

    def add(self, newer: Event, most: int) -> None:
        """Merge ``newer`` into this event. Above ``most`` characters, the variables that changed
        first are left out; the last one stays."""
        before: dict[StateKey, Change] = {}
        if newer.is_initial:
            # An initial event has the full state. Only the ``previous`` values of the older events
            # are still needed.
            before = self._details
            self._details = OrderedDict()
            self._changes = Changes()
            self._sources = {}
            self.characters = self._left_out = 0
        self._newest = newer
        self._is_initial = self._is_initial or newer.is_initial
        self._merged += newer.merged + 1
        self._left_out += newer.left_out
        self._problems.update(dict.fromkeys(newer.problems))
        self._take(newer, before)
        while self.characters > most and len(self._details) > 1:
            self._leave_out()

    def _take(self, event: Event, before: dict[StateKey, Change]) -> None:
        details, changes = self._details, event.changes.keys()
        for change in event.details:
            variable, _, _, instance, channel, _ = change
            key = variable, instance, channel
            known = details.pop(key, None)
            if known is None:
                known = before.pop(key, None)
            else:
                self.characters -= count_characters((known,))
            details[key] = change if known is None else change._replace(previous=known.previous)
            self.characters += count_characters((change,))
            if variable in changes and not instance and is_master(channel):
                self._sources[variable] = key
        self._changes.update(event.changes)

    def _leave_out(self) -> None:
        key, change = self._details.popitem(last=False)
        self._left_out += 1
        self.characters -= count_characters((change,))
        if self._sources.get(key[0]) == key:
            del self._sources[key[0]], self._changes[key[0]]

    def event(self) -> Event:
        """The merged event."""
        newest = self._newest
        return Event(
            newest.subscription,
            newest.sid,
            newest.seq,
            self._changes,
            tuple(self._details.values()),
            is_initial=self._is_initial,
            merged=self._merged,
            left_out=self._left_out,
            problems=tuple(self._problems),
            polled=newest.polled,
        )
