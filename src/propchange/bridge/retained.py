"""What a broker should retain, beside what it retains, and the messages that make them equal.

Topics are in *groups*: the topics of a service, or a discovery message. A group has a *mark*: the
topic that says which bridge the group belongs to. The mark of a service is its availability. While
anything of a group is retained, its mark is. So whatever was killed in between, the next start
finds what it has left behind.

The messages of a group have an order:

- the mark before the values, if there is none yet; it says *offline*;
- *offline* before anything else;
- the values before *online*;
- to clear a group: *offline*, the values, the mark.

A message counts as retained once it is handed out. If the connection is lost, nothing is known, and
the broker is asked what it retains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from propchange.core.record import Record

KNOWN_TOPICS = 131_072
"""Retained topics under the base that are remembered. 4,096 services with 30 variables each have
as many. Bounds the memory, whatever others publish there."""

TOPIC_CHARACTERS = 512
"""Characters of a topic that is remembered. The topics of a bridge are shorter. Bounds the memory,
whatever others publish."""

OTHER_BRIDGES = 1_024
"""Other bridges on the broker that are remembered."""

PENDING_MARKS = 64
"""Own marks of one group that were published and not heard again yet. A mark changes with the
status of a subscription."""


class Publish(NamedTuple):
    """A message to publish with the retain flag. An empty payload clears the topic."""

    topic: str
    payload: bytes


class Mark(NamedTuple):
    """What a mark says: the bridge that has written it, and whether the group is online."""

    bridge_id: str
    online: bool


@dataclass(slots=True, eq=False, repr=False)
class Wanted(Record):
    """What should be retained of a group. ``mark`` is the payload of the mark, and ``online`` what
    it says. ``first`` is the payload of the mark while values are on the way. ``values`` are the
    other topics with their payloads; None: as they are, since no values are known yet."""

    mark: bytes
    online: bool
    first: bytes
    values: Mapping[str, bytes] | None


Make = Callable[[], Wanted | None]


@dataclass(slots=True, eq=False, repr=False)
class _Group:
    """``make`` makes what is wanted; None if nothing is. ``stale``: it has to be made anew, when it
    is the turn of the group. ``retained`` are the hashes of the payloads by topic, the mark
    included; None if another client may have changed it. ``said`` is what the mark says; None
    without a mark. ``pending`` are own marks that were not heard again yet. ``unread``: another
    bridge has written values since the broker was read."""

    key: str
    mark_topic: str
    make: Make | None = None
    wanted: Wanted | None = None
    stale: bool = False
    retained: dict[str, int | None] = field(default_factory=dict)
    said: Mark | None = None
    pending: deque[bytes] = field(default_factory=lambda: deque(maxlen=PENDING_MARKS))
    unread: bool = False


class RetainedTopics:
    """What the broker retains for the bridge ``bridge_id``.

    ``mark_of`` reads the payload of a mark; None if it is none. ``lost_mark`` is the payload of the
    mark of a group that is not wanted, until it is cleared. ``other_found`` is called once for
    each other bridge that has a wanted group.

    Call :meth:`begin` when a connection begins, :meth:`hear` for each retained message and
    :meth:`read` after the last one. Then publish what :meth:`take` returns. Groups that are not
    wanted are cleared after :meth:`begin_clearing`.
    """

    def __init__(
        self,
        bridge_id: str,
        *,
        mark_of: Callable[[bytes], tuple[str, bool] | None],
        lost_mark: bytes,
        other_found: Callable[[str], object],
    ) -> None:
        self._bridge_id = bridge_id
        self._mark_of = mark_of
        self._lost_mark = lost_mark
        self._other_found = other_found
        self._groups: dict[str, _Group] = {}
        # The groups that may differ, in the order in which they are looked at.
        self._changed: dict[str, None] = {}
        self._is_read = False
        self._clears = False
        self._known = 0
        self._others: dict[str, bool] = {}
        self._reported: set[str] = set()
        # The keys of the groups whose mark another bridge has written, by its id.
        self._of_other: dict[str, dict[str, None]] = {}
        self.needs_reading = False
        """Read again what is retained, from :meth:`begin` on: a group of another bridge is to be
        taken over."""

    # --- what should be retained ---

    def want(self, key: str, mark_topic: str, make: Make) -> None:
        """What ``make`` returns should be retained of the group ``key``. It is called when it is
        the turn of the group, so that of many changes the last one is published. Call this for each
        change."""
        group = self._group(key, mark_topic)
        group.make, group.stale = make, True
        self._changed[key] = None

    def unwant(self, key: str) -> None:
        """Nothing should be retained of the group ``key``."""
        group = self._groups.get(key)
        if group is not None:
            group.make, group.wanted, group.stale = None, None, False
            self._changed[key] = None

    def begin_clearing(self) -> None:
        """From now on, clear what this bridge has left behind and does not want."""
        self._clears = True
        for key, group in self._groups.items():
            if group.make is None:
                self._changed[key] = None

    def is_own(self, key: str) -> bool:
        """Whether the broker retains the group ``key``, and this bridge has written it."""
        group = self._groups.get(key)
        return group is not None and group.said is not None and group.said[0] == self._bridge_id

    # --- what is retained ---

    def begin(self) -> None:
        """A connection begins: nothing is known of what is retained."""
        self._is_read, self._known, self.needs_reading = False, 0, False
        self._others.clear()
        self._of_other.clear()
        self._changed.clear()
        for key, group in list(self._groups.items()):
            if group.make is None:
                del self._groups[key]
            group.retained, group.said, group.unread = {}, None, False
            group.pending.clear()

    def hear(self, key: str, mark_topic: str, topic: str, payload: bytes) -> None:
        """A message of the group ``key`` is retained: one of those that the broker sends first, or
        a mark that any client publishes now."""
        group = self._groups.get(key)
        known = group is not None and topic in group.retained
        if not known and (self._known >= KNOWN_TOPICS or len(topic) > TOPIC_CHARACTERS):
            return
        if group is None and payload:
            group = self._group(key, mark_topic)
        if group is None:
            return
        if self._is_read:
            self._hear_mark(key, group, topic, payload)
        elif payload:
            self._keep(group, topic, payload)

    def hear_bridge(self, bridge_id: str, online: bool) -> None:
        """Another bridge is online, or not."""
        known = self._others.get(bridge_id)
        if bridge_id == self._bridge_id or known is online:
            return
        if known is None and len(self._others) >= OTHER_BRIDGES:
            return
        self._others[bridge_id] = online
        if not online:
            self._reported.discard(bridge_id)
        for key in self._of_other.get(bridge_id, ()):
            # While it is online it changes values, and its marks alone are heard.
            self._groups[key].unread = self._groups[key].unread or online
            self._changed[key] = None

    def read(self) -> None:
        """All that was retained has been heard."""
        self._is_read = True
        for key, group in self._groups.items():
            said = group.said
            group.unread = said is not None and self._others.get(said.bridge_id, False)
            self._changed[key] = None

    def _hear_mark(self, key: str, group: _Group, topic: str, payload: bytes) -> None:
        if topic != group.mark_topic:
            return
        if group.pending and group.pending[0] == payload:
            group.pending.popleft()
            if group.pending:
                return  # the last own one comes later
        else:
            # Another client has written it, before the own ones that were not heard yet.
            said = self._mark_of(payload)
            group.unread = group.unread or (said is not None and said[0] != self._bridge_id)
            for each in group.retained:
                if each != topic:
                    group.retained[each] = None
        if not group.pending:
            if payload:
                self._keep(group, topic, payload)
            else:
                self._drop(group, topic)
        self._changed[key] = None

    def _drop(self, group: _Group, topic: str) -> None:
        if topic in group.retained:
            del group.retained[topic]
            self._known -= 1
        if topic == group.mark_topic:
            self._set_said(group, None)

    def _keep(self, group: _Group, topic: str, payload: bytes) -> None:
        self._known += topic not in group.retained
        group.retained[topic] = hash(payload)
        if topic == group.mark_topic:
            said = self._mark_of(payload)
            self._set_said(group, None if said is None else Mark(*said))

    def _set_said(self, group: _Group, said: Mark | None) -> None:
        former = None if group.said is None else group.said.bridge_id
        if former in self._of_other:
            self._of_other[former].pop(group.key, None)
            if not self._of_other[former]:
                del self._of_other[former]
        group.said = said
        if said is not None and said.bridge_id != self._bridge_id:
            self._of_other.setdefault(said.bridge_id, {})[group.key] = None

    def _group(self, key: str, mark_topic: str) -> _Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key, mark_topic)
        return group

    # --- the messages between ---

    def take(self) -> Publish | None:
        """The next message to publish; None if there is none now."""
        if not self._is_read:
            return None
        while self._changed:
            key = next(iter(self._changed))
            group = self._groups.get(key)
            message = None
            if group is not None:
                if group.stale and group.make is not None:
                    group.wanted, group.stale = group.make(), False
                message = self._next_of(group)
            if message is None:
                del self._changed[key]
                if group is not None and group.make is None and not group.retained:
                    del self._groups[key]
            elif group is not None:
                self._hand_out(group, message)
                return message
        return None

    def _hand_out(self, group: _Group, message: Publish) -> None:
        topic, payload = message
        if topic == group.mark_topic:
            group.pending.append(payload)
        if payload:
            self._keep(group, topic, payload)
        else:
            self._drop(group, topic)

    def _next_of(self, group: _Group) -> Publish | None:
        said, wanted, retained = group.said, group.wanted, group.retained
        if said is not None and said.bridge_id != self._bridge_id:
            if wanted is None:
                return None
            if self._others.get(said.bridge_id, False):
                if said.bridge_id not in self._reported:
                    self._reported.add(said.bridge_id)
                    self._other_found(said.bridge_id)
                return None
        if group.unread:
            self.needs_reading = True
            return None
        mark = retained.get(group.mark_topic)
        right = None if wanted is None else hash(wanted.mark)
        if wanted is None:
            return self._clearing(group, mark)
        if not wanted.online and mark != right:
            return Publish(group.mark_topic, wanted.mark)
        if wanted.values is not None:
            for topic, payload in wanted.values.items():
                if retained.get(topic) != hash(payload):
                    if mark is None or (said is not None and said.bridge_id != self._bridge_id):
                        return Publish(group.mark_topic, wanted.first)
                    return Publish(topic, payload)
            for topic in retained:
                if topic not in wanted.values and topic != group.mark_topic:
                    return Publish(topic, b"")
        return None if mark == right else Publish(group.mark_topic, wanted.mark)

    def _clearing(self, group: _Group, mark: int | None) -> Publish | None:
        if group.said is None:
            return None  # it is not ours
        if group.said.online:
            return Publish(group.mark_topic, self._lost_mark)
        if not self._clears:
            return None
        for topic in group.retained:
            if topic != group.mark_topic:
                return Publish(topic, b"")
        return None if mark is None else Publish(group.mark_topic, b"")
