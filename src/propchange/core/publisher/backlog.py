"""The event messages of one service that its subscriptions have not been sent yet.

GENA sends each event message once to each subscriber, in order. Subscribers differ in speed: one
may be answering its tenth message while another still has the first in flight. A queue for each
subscription would hold each message once per subscriber, and a change would cost as much as there
are subscribers, even for those that read slowly or not at all.

Therefore a service numbers its messages. The number of a message is its *version*, and the newest
version is the *head*. A subscription holds one number, its *cursor*: the version that it was sent
last. What waits for a subscription are the versions between its cursor and the head. A change costs
one new version, however many subscriptions there are, and the encoded body is shared by all.

**Merging.** A subscriber that does not answer must not make the service keep messages for ever. Up
to ``Limits.waiting_messages`` versions wait one by one. All later ones are merged into one message.
It has each variable that changed in those versions, with the text that the merge rule of the
variable makes of the changes: the newest value for an ordinary variable (:class:`Replace`), all
changes for LastChange and ContainerUpdateIDs (:class:`.FoldRule`), or the result of a function of
the application (:class:`Accumulate`). So a slow subscriber misses intermediate values, and never
the final one. A message gets its SEQ when it is taken for sending. Merging happens before that, so
it leaves no gap in SEQ, and the subscriber does not notice it (UDA 2.0 §4.3.2).

A subscription that is merging must not begin to merge anew with each message that it takes, or it
would be sent everything one by one. ``merge_at`` is the version behind which everything is merged;
it is chosen once and kept until the merged message was taken.

Versions that no subscription will be sent one by one are dropped by :meth:`Backlog.prune`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from propchange.core.wire.messages import EventMessage
from propchange.core.wire.propertyset import format_propertyset, write_propertyset
from propchange.core.wire.xml import check_carried


class MergeRule(Protocol):
    """Merges the texts that one variable had over time into one text."""

    def record(self, text: str, version: int) -> None:
        """Note that message ``version`` has ``text`` for the variable. Versions rise."""

    def since(self, version: int) -> str:
        """The one text for all messages after ``version``, of which there is at least one."""

    def current(self) -> str:
        """The text of an initial event (UDA 2.0 §4.3.2)."""

    def set_current(self, text: str) -> None:
        """Note that the value is ``text`` now and that no message has it yet (moderation)."""


class Replace:
    """The ordinary rule: a newer text replaces the older ones."""

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


class Accumulate(Replace):
    """The rule of an application: a function ``merge(older, newer) -> text``.

    The last ``keep`` texts are kept one by one; older ones are merged into one. A subscription
    that is further behind than that gets some changes a second time, and misses none.
    """

    __slots__ = ("_keep", "_merge", "_texts")

    def __init__(self, text: str, merge: Callable[[str, str], str], *, keep: int) -> None:
        super().__init__(text)
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


class GuardedMerge:
    """Calls a merge function of an application and checks its result.

    If the function raises, or returns a text that no event can carry, the newer text replaces the
    older one, and ``failed`` is called with the reason.
    """

    __slots__ = ("_failed", "_merge", "_name")

    def __init__(
        self, name: str, merge: Callable[[str, str], str], failed: Callable[[str], None]
    ) -> None:
        self._name = name
        self._merge = merge
        self._failed = failed

    def __call__(self, older: str, newer: str) -> str:
        """The text that replaces both."""
        return self.checked(lambda: self._merge(older, newer), newer)

    def checked(self, merged: Callable[[], str], newest: str) -> str:
        """The text that ``merged`` returns, or ``newest`` if it fails."""
        try:
            text = merged()
            check_carried(text, self._name)
        except Exception as error:  # noqa: BLE001 - the code of an application may raise anything
            self._failed(repr(error))
            return newest
        return text


class GuardedRule:
    """The merge rule of an application's :class:`.Fold`, each call guarded by ``guard``."""

    __slots__ = ("_guard", "_rule", "_text")

    def __init__(self, rule: MergeRule, guard: GuardedMerge, text: str) -> None:
        self._rule = rule
        self._guard = guard
        self._text = text

    def record(self, text: str, version: int) -> None:
        """:meth:`MergeRule.record`."""
        self._text = text
        self._call(lambda: self._rule.record(text, version))

    def since(self, version: int) -> str:
        """:meth:`MergeRule.since`."""
        return self._guard.checked(lambda: self._rule.since(version), self._text)

    def current(self) -> str:
        """:meth:`MergeRule.current`."""
        return self._guard.checked(self._rule.current, self._text)

    def set_current(self, text: str) -> None:
        """:meth:`MergeRule.set_current`."""
        self._text = text
        self._call(lambda: self._rule.set_current(text))

    def _call(self, change: Callable[[], None]) -> None:
        def changed() -> str:
            change()
            return ""

        self._guard.checked(changed, "")


class Backlog:
    """The event messages of one service, by version. :meth:`record` adds one, :meth:`take` gives
    a subscription its next one.

    ``rules`` maps each evented variable to its merge rule, in the order of the wire. ``waiting``
    is ``Limits.waiting_messages``.
    """

    def __init__(self, rules: Mapping[str, MergeRule], *, waiting: int) -> None:
        self._rules = dict(rules)
        self._changed_at = dict.fromkeys(rules, 0)
        self._waiting = waiting
        self.head = 0
        """The version of the newest message; 0 before the first."""
        self.held_after: int | None = None
        """Newer versions than this one wait (:mod:`.event_holds`). None: no version waits."""
        self._log: dict[int, EventMessage] = {}
        self._cache: dict[tuple[int, int, frozenset[str] | None], EventMessage | None] = {}
        self._prune_above = 4 * waiting
        self.overfull = False
        """Whether enough messages are kept for :meth:`prune` to be worth its time."""
        # Each subscriber may choose its variables (STATEVAR). Without this bound, a service with
        # many choices would keep a body for each of them until the next change.
        self._cache_most = 16 * waiting

    def record(self, changes: Mapping[str, str]) -> None:
        """Add a message with ``changes`` (evented variable -> text that XML can carry, at least
        one). Call :meth:`prune` afterwards when :attr:`overfull`."""
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

    def set_current(self, name: str, text: str) -> None:
        """Note that ``name`` has a new value that no message has yet."""
        self._rules[name].set_current(text)
        self._cache.clear()

    def initial(self, wanted: frozenset[str] | None) -> EventMessage:
        """The initial event: all evented variables, or those of an accepted STATEVAR
        (UDA 2.0 §4.3.2, §4.1.2). Set the cursor of the subscription to :attr:`head`."""
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
        None at first. A merged message has all versions, also those that wait for the end of a
        hold.
        """
        head = self.head
        until = head if self.held_after is None else self.held_after
        while cursor < until:
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
        return None, cursor, merge_at if cursor < head else None

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
            # A version may be gone already. A subscription that is merging will not be sent it by
            # itself, and one that waits for its initial event will not be sent it at all.
            if version in self._log
        }
        self._log = kept
        self._prune_above = 2 * len(kept) + 4 * self._waiting
        self.overfull = False
