"""What a service still has to tell its subscribers, without a copy for each of them.

A service numbers its event messages: the *version*. A subscription is a *cursor*: the version
it has been told. What waits for it lies between its cursor and the head. Up to
``Limits.waiting_messages`` stay apart; what goes beyond is one message that tells, for each
variable changed since, what its merge rule makes of the changes. Nothing has a SEQ before it is
taken, so merging leaves no gap (UDA 2.0 §4.3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from propchange.core.wire.messages import EventMessage
from propchange.core.wire.propertyset import format_propertyset, write_propertyset

__all__ = ["Accumulate", "Backlog", "MergeRule", "Replace"]


class MergeRule(Protocol):
    """How the texts that one variable had over time become one text."""

    def record(self, text: str, version: int) -> None:
        """The variable was evented with ``text`` in message ``version``; versions rise."""

    def since(self, version: int) -> str:
        """One text for all messages after ``version``; there has been at least one."""

    def current(self) -> str:
        """What a new subscriber is told (UDA 2.0 §4.3.2, initial event)."""

    def set_current(self, text: str) -> None:
        """The value is ``text`` now, though no message has told it yet (moderation)."""


class Replace:
    """The ordinary rule: the newest value is all there is to tell."""

    __slots__ = ("_evented", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._evented = text

    def record(self, text: str, version: int) -> None:
        """:meth:`MergeRule.record`."""
        self._text = self._evented = text

    def since(self, version: int) -> str:
        """:meth:`MergeRule.since`."""
        return self._evented

    def current(self) -> str:
        """:meth:`MergeRule.current`."""
        return self._text

    def set_current(self, text: str) -> None:
        """:meth:`MergeRule.set_current`."""
        self._text = text


class Accumulate:
    """A rule given as a function ``merge(older, newer) -> text``.

    The last ``keep`` texts are remembered one by one. Older ones are merged in pairs, so a
    subscription that far behind may be told again what it knows already, and misses nothing.
    """

    __slots__ = ("_keep", "_merge", "_text", "_texts")

    def __init__(self, text: str, merge: Callable[[str, str], str], *, keep: int) -> None:
        self._text = text
        self._merge = merge
        self._keep = max(keep, 2)
        self._texts: list[tuple[int, str]] = []

    def record(self, text: str, version: int) -> None:
        """:meth:`MergeRule.record`."""
        self._text = text
        texts = self._texts
        texts.append((version, text))
        if len(texts) > self._keep:
            (_, older), (newer_version, newer) = texts[:2]
            texts[:2] = [(newer_version, self._merge(older, newer))]

    def since(self, version: int) -> str:
        """:meth:`MergeRule.since`."""
        merged: str | None = None
        for recorded, text in self._texts:
            if recorded > version:
                merged = text if merged is None else self._merge(merged, text)
        return self._text if merged is None else merged

    def current(self) -> str:
        """:meth:`MergeRule.current`."""
        return self._text

    def set_current(self, text: str) -> None:
        """:meth:`MergeRule.set_current`."""
        self._text = text


class Backlog:
    """The versions of one service.

    ``rules`` maps each evented variable to its merge rule, in the order of the wire.
    """

    def __init__(self, rules: Mapping[str, MergeRule], *, waiting: int) -> None:
        self._rules = dict(rules)
        self._changed_at = dict.fromkeys(rules, 0)
        self._waiting = waiting
        self.head = 0
        """The version of the newest message; 0 before the first."""
        self._log: dict[int, EventMessage] = {}
        self._cache: dict[tuple[int, int, frozenset[str] | None], EventMessage | None] = {}
        self._prune_above = 4 * waiting
        self.overfull = False
        """Whether enough messages are kept for :meth:`prune` to be worth its time."""
        # Subscribers choose what they want (STATEVAR), so they could have any number of messages
        # made between two changes.
        self._cache_most = 16 * waiting

    @property
    def retained(self) -> int:
        """How many messages are kept."""
        return len(self._log)

    def record(self, changes: Mapping[str, str]) -> int:
        """Add a message with ``changes`` (evented variable -> text that XML can carry, at least
        one) and return its version. Call :meth:`prune` afterwards when :attr:`overfull`."""
        version = self.head + 1
        items = tuple(changes.items())
        message = EventMessage(items, write_propertyset(items))
        for name, text in items:
            self._rules[name].record(text, version)
            self._changed_at[name] = version
        self._log[version] = message
        self.head = version
        self.overfull = len(self._log) > self._prune_above
        self._cache.clear()
        return version

    def set_current(self, name: str, text: str) -> None:
        """``name`` has a new value that no message tells yet."""
        self._rules[name].set_current(text)
        self._cache.clear()

    def current(self, name: str) -> str:
        """The value of ``name`` that an initial event carries."""
        return self._rules[name].current()

    def initial(self, wanted: frozenset[str] | None) -> EventMessage:
        """The initial event: all evented variables, or those of an accepted STATEVAR
        (UDA 2.0 §4.3.2, §4.1.2). A subscription that is sent it has the cursor :attr:`head`."""
        key = (-1, self.head, wanted)
        message = self._cache.get(key)
        if message is None:
            changes = tuple(
                (name, rule.current())
                for name, rule in self._rules.items()
                if wanted is None or name in wanted
            )
            message = EventMessage(changes, format_propertyset(changes))
            self._keep(key, message)
        return message

    def take(
        self, cursor: int, merge_at: int | None, wanted: frozenset[str] | None
    ) -> tuple[EventMessage | None, int, int | None]:
        """The next message behind ``cursor``, or None when nothing (wanted) waits; the new cursor;
        and the version where merging begins, or None.

        ``merge_at`` is the third value that the previous call for this subscription returned,
        None at first.
        """
        head = self.head
        while cursor < head:
            if merge_at is None and head - cursor > self._waiting:
                merge_at = cursor + self._waiting - 1
            if cursor == merge_at:
                return self._between(cursor, head, wanted), head, None
            cursor += 1
            if wanted is None:
                return self._log[cursor], cursor, merge_at
            message = self._between(cursor - 1, cursor, wanted)
            if message is not None:
                return message, cursor, merge_at
        return None, cursor, None

    def _between(
        self, cursor: int, until: int, wanted: frozenset[str] | None
    ) -> EventMessage | None:
        key = (cursor, until, wanted)
        if key in self._cache:
            return self._cache[key]
        if wanted is not None and until == cursor + 1:
            changes = tuple(item for item in self._log[until].changes if item[0] in wanted)
        else:
            changes = tuple(
                (name, rule.since(cursor))
                for name, rule in self._rules.items()
                if self._changed_at[name] > cursor and (wanted is None or name in wanted)
            )
        message = None
        if changes:
            message = EventMessage(changes, format_propertyset(changes), updates=until - cursor)
        self._keep(key, message)
        return message

    def _keep(
        self, key: tuple[int, int, frozenset[str] | None], message: EventMessage | None
    ) -> None:
        if len(self._cache) >= self._cache_most:
            self._cache.clear()
        self._cache[key] = message

    def prune(self, cursors: Iterable[int]) -> None:
        """Drop the messages that the subscriptions at ``cursors`` will not be sent unmerged."""
        kept = {
            version: self._log[version]
            for cursor in set(cursors)
            for version in range(cursor + 1, min(cursor + self._waiting, self.head) + 1)
            # Not there: a subscription that is merging will not be sent it by itself, and one
            # that has not had its initial event will not be sent it at all.
            if version in self._log
        }
        self._log = kept
        self._prune_above = 2 * len(kept) + 4 * self._waiting
        self.overfull = False
