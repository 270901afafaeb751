"""The events and the state of one service, as its owner writes them to the store.

The messages of one service are a chain: each is written with the sequence of the one before, and
the store refuses it if another message came between. A new owner first writes a message with its
term. So whatever the former owner still sends is refused. The state is written by its revision in
the same way.

If a write is refused, the last message is read. If it is ours, the write had been done, and its
answer was lost. If its term is lower than ours, a former owner wrote it before it was refused: we
write our term again. If its term is not lower, the claim decides (:meth:`.Claims.raise_term`).
"""

from __future__ import annotations

import enum
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.json_objects import json_object, number_of
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.core.record import Record
from propchange.core.transitions import TransitionTable


class ChainState(enum.IntEnum):
    """How far the owner is with one chain of writes: its messages, or its state."""

    READING = 1
    """The end of the chain is read."""
    OPENING = 2
    """Our term is written."""
    OPEN = 3
    """Our term is the end of the chain, or a later message of ours is."""
    SUSPECT = 4
    """The end has a term that is not ours, and not lower. The claim decides. Nothing is written."""


class ChainInput(enum.IntEnum):
    """What happens to a chain."""

    READ_OURS = 1
    READ_LOWER = 2
    READ_HIGHER = 3
    WRITTEN = 4
    REFUSED = 5
    UNANSWERED = 6
    NEW_TERM = 7


CHAIN_TRANSITIONS = TransitionTable(
    {
        (ChainState.READING, ChainInput.READ_OURS): ChainState.OPEN,
        (ChainState.READING, ChainInput.READ_LOWER): ChainState.OPENING,
        (ChainState.READING, ChainInput.READ_HIGHER): ChainState.SUSPECT,
        (ChainState.READING, ChainInput.UNANSWERED): ChainState.READING,
        (ChainState.OPENING, ChainInput.WRITTEN): ChainState.OPEN,
        (ChainState.OPENING, ChainInput.REFUSED): ChainState.READING,
        # It is written again with the same id.
        (ChainState.OPENING, ChainInput.UNANSWERED): ChainState.OPENING,
        (ChainState.OPEN, ChainInput.WRITTEN): ChainState.OPEN,
        (ChainState.OPEN, ChainInput.REFUSED): ChainState.READING,
        (ChainState.OPEN, ChainInput.UNANSWERED): ChainState.OPEN,
        # A new term: also while an operation of the former one waits for its answer.
        **{(state, ChainInput.NEW_TERM): ChainState.READING for state in ChainState},
        (ChainState.SUSPECT, ChainInput.WRITTEN): ChainState.SUSPECT,
        (ChainState.SUSPECT, ChainInput.REFUSED): ChainState.SUSPECT,
        (ChainState.SUSPECT, ChainInput.UNANSWERED): ChainState.SUSPECT,
        (ChainState.READING, ChainInput.WRITTEN): ChainState.READING,
        (ChainState.READING, ChainInput.REFUSED): ChainState.READING,
    }
)


@dataclass(slots=True, eq=False, repr=False)
class WaitingEvent(Record):
    """An event that waits for the store. ``merged`` counts the events in it besides the last one.
    ``tried``: the store may have it already, so nothing is merged into it."""

    id: str
    sid: str
    seq: int | None
    time: str | None
    values: dict[str, Any]
    merged: int = 0
    initial: bool = False
    polled: bool = False
    characters: int = 0
    tried: bool = False


@dataclass(slots=True, eq=False, repr=False)
class WaitingTotals(Record):
    """What waits for the store, all services of a collector together."""

    events: int = 0
    characters: int = 0
    merged: int = 0
    """Events that were merged since the start."""
    discarded: int = 0
    """Events that waited when the device was lost to another collector."""
    published: int = 0
    duplicates: int = 0
    """Events that the store had already, because an answer was lost."""
    too_large: int = 0
    taken: int = 0
    """Devices that the collector has taken since the start."""
    lost: int = 0
    """Devices that other collectors have taken from it."""


@dataclass(slots=True, eq=False, repr=False)
class Chain(Record):
    """The chain of writes to one key. ``end``: its last revision, as far as is known."""

    place: Place
    state: ChainState = ChainState.READING
    end: int = 0
    in_flight: Operation | None = None
    not_before: float = 0.0


@dataclass(slots=True, eq=False, repr=False)
class ServiceOutput(Record):
    """What the owner of a device writes for one of its services, ``key``.

    ``snapshot`` returns the current state, for JSON. If its ``time`` is None, no event has come
    yet, and the values that the former owner has written are kept. ``suspect`` is called with a
    term that is not lower than ours. A *turn* is :meth:`operation`, the write, :meth:`answered`.
    """

    udn: str
    key: str
    term: int
    session: str
    snapshot: Callable[[], Mapping[str, Any]]
    suspect: Callable[[str, int], object]
    limits: CollectorLimits
    totals: WaitingTotals
    events: Chain = field(default_factory=lambda: Chain(Place.EVENTS))
    state: Chain = field(default_factory=lambda: Chain(Place.STATE))
    waiting: deque[WaitingEvent] = field(default_factory=deque)
    changed: bool = True
    """The state is to be written."""
    ended: bool = False
    """The device is ours no more. What waits is written as long as no other owner has written."""
    last_state: bool = True
    """The state is still ours to write."""
    deletes: bool = False
    """The state is deleted, by the revision of our last write."""
    former: dict[str, Any] = field(default_factory=dict)
    """The values that the former owner has written, and their time."""
    opened: int = 0
    """How often the term was written: a part of the id of its message."""

    # --- what the owner has to write ---

    def put(self, event: WaitingEvent) -> None:
        """Write an event. If too many wait, the newest ones are merged."""
        waiting, totals, limits = self.waiting, self.totals, self.limits
        full = (
            totals.events >= limits.waiting_in_all or totals.characters >= limits.waiting_characters
        )
        last = waiting[-1] if waiting else None
        if last is None or last.tried or (len(waiting) < limits.waiting_events and not full):
            waiting.append(event)
            totals.events += 1
            totals.characters += event.characters
        else:
            totals.characters -= last.characters
            last.values.update(event.values)
            last.merged += 1 + event.merged
            last.initial = last.initial or event.initial
            last.id, last.sid, last.seq, last.time = event.id, event.sid, event.seq, event.time
            last.characters = characters_of(last.values)
            totals.characters += last.characters
            totals.merged += 1
        self.changed = True

    def new_term(self, term: int) -> None:
        """The device is ours with a higher term."""
        self.term = term
        for chain in (self.events, self.state):
            chain.state = CHAIN_TRANSITIONS.step(chain.state, ChainInput.NEW_TERM)
        self.changed = True

    def end(self, *, lost: bool) -> None:
        """The device is ours no more. If this collector has released it, it writes the state once
        more. If it is ``lost``, another owner writes it."""
        self.ended = True
        self.changed = self.last_state = not lost
        if self.events.state is not ChainState.OPEN:
            self.discard()

    def discard(self) -> None:
        """Forget the events that wait. They are counted."""
        self.totals.events -= len(self.waiting)
        self.totals.discarded += len(self.waiting)
        self.totals.characters -= sum(each.characters for each in self.waiting)
        self.waiting.clear()

    @property
    def rests(self) -> bool:
        """Whether everything was written."""
        return not (self.waiting or self.changed or self.events.in_flight or self.state.in_flight)

    # --- turns ---

    def operation(self, chain: Chain, now: float) -> Operation | None:
        """The next operation of ``chain``, or None if there is none yet."""
        if chain.in_flight is not None or now < chain.not_before:
            return None
        if chain.state is ChainState.SUSPECT:
            return None
        if chain.place is Place.EVENTS:
            operation = self._event_operation(chain)
        else:
            operation = self._state_operation(chain)
        chain.in_flight = operation
        return operation

    def _event_operation(self, chain: Chain) -> Operation | None:
        if self.ended and chain.state is not ChainState.OPEN:
            self.discard()
            return None
        if chain.state is ChainState.READING:
            return Operation(Ask.GET, chain.place, self.key)
        if chain.state is ChainState.OPENING:
            body = json.dumps({"kind": "owner", "term": self.term, "session": self.session})
            id = f"{self.session}.{self.term}.{self.opened}.{self.key}"
        elif self.waiting:
            self.waiting[0].tried = True
            body, id = self._body(self.waiting[0]), self.waiting[0].id
        else:
            return None
        return Operation(Ask.PUT, chain.place, self.key, body.encode(), chain.end, self.term, id)

    def _body(self, event: WaitingEvent) -> str:
        said = {
            "kind": "event",
            "term": self.term,
            "session": self.session,
            "sid": event.sid,
            "seq": event.seq,
            "time": event.time,
            "initial": event.initial,
            "polled": event.polled,
            "merged": event.merged,
            "values": event.values,
        }
        body = json.dumps(said)
        if len(body) > self.limits.message_bytes:
            self.totals.too_large += 1
            said.update(values={}, too_large=len(body))
            body = json.dumps(said)
        return body

    def _state_operation(self, chain: Chain) -> Operation | None:
        if self.deletes:
            return Operation(Ask.DELETE, chain.place, self.key, revision=chain.end)
        if self.ended and not (self.last_state and chain.state is ChainState.OPEN):
            self.changed = False
            return None
        if chain.state is ChainState.READING:
            return Operation(Ask.GET, chain.place, self.key)
        if not self.changed:
            return None
        self.changed = False
        said = {**self.snapshot(), "term": self.term, "session": self.session}
        if said.get("time") is None:
            said.update(self.former)
        body = json.dumps(said)
        if len(body) > self.limits.message_bytes:
            self.totals.too_large += 1
            body = json.dumps({**said, "values": {}, "too_large": len(body)})
        operation = Operation(Ask.PUT, chain.place, self.key, body.encode(), chain.end, self.term)
        operation.session = self.session
        return operation

    def answered(self, chain: Chain, answer: Answer, now: float) -> None:
        """Receive the answer to the operation of ``chain``."""
        operation, chain.in_flight = chain.in_flight, None
        assert operation is not None
        chain.not_before = now
        if answer.outcome in (Outcome.UNKNOWN, Outcome.FAILED):
            chain.not_before = now + self.limits.retry_seconds
            self._refused(chain, operation, ChainInput.UNANSWERED)
        elif answer.outcome is Outcome.CONFLICT:
            self._refused(chain, operation, ChainInput.REFUSED)
        elif operation.ask is Ask.GET:
            self._read(chain, answer)
        elif operation.ask is Ask.DELETE:
            self.deletes = False
        else:
            self._written(chain, operation, answer, now)

    def _refused(self, chain: Chain, operation: Operation, given: ChainInput) -> None:
        if operation.ask is Ask.DELETE:
            self.deletes = given is ChainInput.UNANSWERED  # another owner has written since
            return
        if chain.place is Place.STATE and operation.ask is Ask.PUT:
            self.changed = True
        if self.ended and given is ChainInput.REFUSED:
            self.changed = False  # another owner writes now
        chain.state = CHAIN_TRANSITIONS.step(chain.state, given)

    def _written(self, chain: Chain, operation: Operation, answer: Answer, now: float) -> None:
        if chain.place is Place.STATE:
            chain.not_before = now + self.limits.state_seconds
        elif self.waiting and self.waiting[0].id == operation.message_id:
            self._published()
            self.totals.duplicates += answer.message_id == DUPLICATE
        if operation.term == self.term:
            chain.end = answer.revision
            chain.state = CHAIN_TRANSITIONS.step(chain.state, ChainInput.WRITTEN)

    def _published(self) -> None:
        event = self.waiting.popleft()
        self.totals.events -= 1
        self.totals.characters -= event.characters
        self.totals.published += 1

    def _read(self, chain: Chain, answer: Answer) -> None:
        """Judge the end of the chain that was read."""
        if chain.state is not ChainState.READING:
            return
        chain.end = answer.revision
        term = answer.term
        if chain.place is Place.STATE:
            there = json_object(answer.value)
            term = number_of(there.get("term"))
            self.former = {
                key: there[key] for key in ("values", "left_out", "time") if key in there
            }
        if not answer.revision or term < self.term:
            self.opened += 1
            self.changed = True
            given = ChainInput.READ_LOWER
        elif term == self.term and self._is_ours(chain, answer):
            if self.waiting and self.waiting[0].id == answer.message_id:
                self._published()
                self.totals.duplicates += 1
            given = ChainInput.READ_OURS
        else:
            given = ChainInput.READ_HIGHER
            self.suspect(self.udn, term)
        chain.state = CHAIN_TRANSITIONS.step(chain.state, given)

    def _is_ours(self, chain: Chain, answer: Answer) -> bool:
        """Whether a message of our term is ours. Two owners can have one term, if the bucket of the
        claims was lost."""
        return json_object(answer.value).get("session") == self.session


DUPLICATE = "duplicate"
"""``Answer.message_id`` of a write that the store had done before."""


def characters_of(values: Mapping[str, Any]) -> int:
    """About the characters of these values in JSON."""
    return sum(len(name) + len(str(value)) for name, value in values.items())
