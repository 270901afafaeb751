"""The queue in which events and status changes wait for an application, and how events merge.

Of most variables the newer value replaces the older one. The values of a LastChange are merged by
(instance, name, channel), and the entries of a ContentDirectory's LastChange by (kind, object). The
text of ContainerUpdateIDs is a list of changes, so its lists are merged by container. If a class of
the program declares a ``merge`` for a variable, that merges its texts. An initial event replaces
the state that came before it, but not changes of this kind, because it has the last of them only.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.current_values import StateKey
from propchange.core.subscriber.events import Change, Changes, Event, StatusChange, read_changes
from propchange.core.subscriber.record import STANDARD_MERGES, SubscriptionRecord
from propchange.core.values.lastchange import is_master
from propchange.core.values.merging import MergedText

_CHANGE_CHARACTERS = 256
"""Approximate memory of a change beside its texts, in characters."""


class EventQueue:
    """Events and status changes that wait for an application, in order.

    At most ``limit`` items and ``characters`` characters of events wait. Further events are merged
    into the newest waiting event: newer values replace older ones, so the last state is right. A
    merged event with more than ``characters`` loses the variables that changed first;
    :attr:`.Event.left_out` counts them.
    """

    __slots__ = ("_characters", "_limit", "_most", "_queue", "merged", "record")

    def __init__(
        self, limit: int, characters: int = DEFAULT_LIMITS.waiting_event_characters
    ) -> None:
        self._limit = limit
        self._most = characters
        self._characters = 0  # of the items that were put behind others
        self._queue: deque[tuple[Event | StatusChange | MergedEvent, int]] = deque()
        self.merged = 0
        """The number of events that were merged into others."""
        self.record: SubscriptionRecord | None = None
        """The subscription, which counts the merged events too. None: variables have the rules of
        :data:`.STANDARD_MERGES`."""

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
                item = waiting
                if isinstance(item, Event):
                    item = MergedEvent(item, self.record)
                item.add(event, self._most)
                characters = item.characters
                self.merged += 1
                if self.record is not None:
                    self.record.merged += 1
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
    an event depends on its own changes, not on those that were merged before.

    ``record`` has the merge rules and the types of the variables; None: those of
    :data:`.STANDARD_MERGES`, and texts."""

    __slots__ = (
        "_changes",
        "_details",
        "_is_initial",
        "_left_out",
        "_merged",
        "_newest",
        "_problems",
        "_record",
        "_size",
        "_sources",
        "_texts",
    )

    def __init__(self, first: Event, record: SubscriptionRecord | None = None) -> None:
        self._newest = first
        self._record = record
        self._is_initial = first.is_initial
        self._merged = first.merged
        self._left_out = first.left_out
        self._problems = dict.fromkeys(first.problems)
        self._size = 0  # of the details
        # In the order of the last change of each variable.
        self._details: OrderedDict[StateKey, Change] = OrderedDict()
        self._changes = Changes()
        # Variable -> the key in the details that has its value.
        self._sources: dict[str, StateKey] = {}
        # Of the variables with a merge rule.
        self._texts: dict[str, MergedText] = {}
        self._take(first, {}, sys.maxsize)

    @property
    def characters(self) -> int:
        """The result of :func:`count_characters` for all changes, and the merged texts."""
        return self._size + sum(text.characters for text in self._texts.values())

    def add(self, newer: Event, most: int) -> None:
        """Merge ``newer`` into this event. Above ``most`` characters, the variables that changed
        first are left out; the last one stays."""
        before: dict[StateKey, Change] = {}
        if newer.is_initial:
            before = self._begin_anew()
        self._newest = newer
        self._is_initial = self._is_initial or newer.is_initial
        self._merged += newer.merged + 1
        self._left_out += newer.left_out
        self._note_problems(newer)
        self._take(newer, before, most)
        while self.characters > most and len(self._details) > 1:
            self._leave_out()

    def _note_problems(self, event: Event) -> None:
        limits = DEFAULT_LIMITS if self._record is None else self._record.limits
        for problem in event.problems:
            if len(self._problems) < limits.event_problems:
                self._problems[problem] = None

    def _begin_anew(self) -> dict[StateKey, Change]:
        """An initial event follows, with the full state. Forget the older state, and return it for
        the ``previous`` values. Changes that are no state stay: the entries of a log, which have a
        channel without an instance, and texts with a merge rule that are lists of changes."""
        before, changes = self._details, self._changes
        self._texts = {name: text for name, text in self._texts.items() if not text.is_state}
        self._details = OrderedDict()
        for key, change in before.items():
            name, instance, channel = key
            if instance is None and (channel is not None or name in self._texts):
                self._details[key] = change
        self._size = count_characters(self._details.values())
        kept = {name: key for name, key in self._sources.items() if key in self._details}
        self._sources = kept
        self._changes = Changes({name: changes[name] for name in kept})
        self._left_out = 0
        return before

    def _take(self, event: Event, before: dict[StateKey, Change], most: int) -> None:
        details, changes = self._details, event.changes.keys()
        merges = STANDARD_MERGES if self._record is None else self._record.merges
        for change in event.details:
            variable, _, _, instance, channel, text = change
            key = variable, instance, channel
            known = details.pop(key, None)
            if known is None:
                known = before.pop(key, None)
            else:
                self._size -= count_characters((known,))
            details[key] = change if known is None else change._replace(previous=known.previous)
            self._size += count_characters((change,))
            if variable in changes and not instance and is_master(channel):
                self._sources[variable] = key
            # The LastChange of an AV service is not among the changes: its values are.
            if variable in merges and variable in changes and key[1:] == (None, None):
                if variable in self._texts:
                    self._texts[variable].add(text, most)
                else:
                    self._texts[variable] = MergedText(merges[variable], text)
        self._changes.update(event.changes)

    def _leave_out(self) -> None:
        key, change = self._details.popitem(last=False)
        self._left_out += 1
        self._size -= count_characters((change,))
        if self._sources.get(key[0]) == key:
            del self._sources[key[0]], self._changes[key[0]]
        if key[1:] == (None, None):
            self._texts.pop(key[0], None)

    def event(self) -> Event:
        """The merged event."""
        newest = self._newest
        for name, text in self._texts.items():
            self._put(name, text)
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

    def _put(self, name: str, merged: MergedText) -> None:
        """Set the variable ``name`` to its merged text."""
        convert = None if self._record is None else self._record.convert
        pairs = [(name, merged.text())]
        values, (found,) = read_changes(pairs, convert, {}, undeclared=(name,))
        if merged.failure:
            self._problems[f"the changes of {name} could not be merged: {merged.failure}"] = None
        self._left_out += merged.lost
        key = (name, None, None)
        if name in values:
            self._changes[name] = values[name]
            self._details[key] = found._replace(previous=self._details[key].previous)
