"""Leases: which collectors live.

A collector creates its lease, and renews it by its revision. The store forgets a lease that is not
renewed. There is one lease for each collector, not for each device: see :mod:`.claims`.

A collector that is silent for the duration of a lease has died. Only the seconds in which the store
answers count: nobody can renew a lease in a store that is away, and a collector that died before
the store was away need not be waited for a second time.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from dataclasses import dataclass

from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.json_objects import json_object, number_of, text_of
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.core.record import Record
from propchange.core.transitions import TransitionTable

NEVER = float("inf")


# --- the lease of a collector ---


class LeaseState(enum.IntEnum):
    """The state of our own lease."""

    FREE = 1
    """It is not held, as far as we know: it is written next."""
    HELD = 2
    """It is ours, and renewed by its revision."""
    UNSURE = 3
    """A write was refused or not answered: it is read next."""
    OCCUPIED = 4
    """Another process has it: it is read until it has run out."""


class LeaseInput(enum.IntEnum):
    """What happens to our own lease."""

    WRITTEN = 1
    REFUSED = 2
    UNANSWERED = 3
    READ_NONE = 4
    READ_OURS = 5
    READ_OTHERS = 6


LEASE_TRANSITIONS = TransitionTable(
    {
        (LeaseState.FREE, LeaseInput.WRITTEN): LeaseState.HELD,
        (LeaseState.FREE, LeaseInput.REFUSED): LeaseState.UNSURE,
        (LeaseState.FREE, LeaseInput.UNANSWERED): LeaseState.UNSURE,
        (LeaseState.HELD, LeaseInput.WRITTEN): LeaseState.HELD,
        (LeaseState.HELD, LeaseInput.REFUSED): LeaseState.UNSURE,
        (LeaseState.HELD, LeaseInput.UNANSWERED): LeaseState.UNSURE,
        (LeaseState.UNSURE, LeaseInput.UNANSWERED): LeaseState.UNSURE,
        (LeaseState.UNSURE, LeaseInput.READ_NONE): LeaseState.FREE,
        (LeaseState.UNSURE, LeaseInput.READ_OURS): LeaseState.HELD,
        (LeaseState.UNSURE, LeaseInput.READ_OTHERS): LeaseState.OCCUPIED,
        (LeaseState.OCCUPIED, LeaseInput.UNANSWERED): LeaseState.OCCUPIED,
        (LeaseState.OCCUPIED, LeaseInput.READ_NONE): LeaseState.FREE,
        (LeaseState.OCCUPIED, LeaseInput.READ_OURS): LeaseState.HELD,
        (LeaseState.OCCUPIED, LeaseInput.READ_OTHERS): LeaseState.OCCUPIED,
    }
)


@dataclass(slots=True, eq=False, repr=False)
class LeaseValue(Record):
    """What a lease says of its collector. ``session`` is new with each start of the process."""

    session: str
    segment: str = ""
    devices: int = 0
    ended: bool = False

    def to_bytes(self) -> bytes:
        """The value in the store."""
        return json.dumps(
            {
                "session": self.session,
                "segment": self.segment,
                "devices": self.devices,
                "ended": self.ended,
            }
        ).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> LeaseValue:
        """What ``value`` says; a lease without a session if it says nothing."""
        read = json_object(value)
        return cls(
            text_of(read.get("session")),
            text_of(read.get("segment")),
            number_of(read.get("devices")),
            read.get("ended") is True,
        )


class Lease:
    """The lease of this collector."""

    def __init__(self, collector: str, value: LeaseValue, limits: CollectorLimits) -> None:
        self.collector = collector
        self.value = value
        self.state = LeaseState.FREE
        self.held_until = 0.0
        """The time at which the store may forget it, by our clock."""
        self.occupied_since: float | None = None
        """Since when another process has it. Longer than a lease: it lives."""
        self.lapses = 0
        """How often the store has forgotten it although we live."""
        self.has_ended = False
        """The store knows that this collector has ended."""
        self.claims_from = 0.0
        """No device is claimed before."""
        self.deadline = 0.0
        self._limits = limits
        self._revision = 0
        self._sent_at: float | None = None
        self._ever = False

    @property
    def waits(self) -> bool:
        """Whether an operation waits for its answer."""
        return self._sent_at is not None

    def held(self, now: float) -> bool:
        """Whether this collector has the lease for certain."""
        return self.state is LeaseState.HELD and now < self.held_until

    def operation(self, now: float) -> Operation | None:
        """The operation that is due, or None. Its answer goes to :meth:`answered`."""
        if self._sent_at is not None or now < self.deadline:
            return None
        self._sent_at = now
        if self.state in (LeaseState.UNSURE, LeaseState.OCCUPIED):
            return Operation(Ask.GET, Place.LEASES, self.collector)
        value = self.value.to_bytes()
        return Operation(Ask.PUT, Place.LEASES, self.collector, value, self._revision)

    def answered(self, operation: Operation, answer: Answer, now: float) -> None:
        """Receive the answer to ``operation``."""
        assert self._sent_at is not None
        sent_at, self._sent_at = self._sent_at, None
        self.deadline = now
        if answer.outcome in (Outcome.UNKNOWN, Outcome.FAILED):
            given = LeaseInput.UNANSWERED
            self.deadline = now + self._limits.retry_seconds
        elif operation.ask is Ask.PUT:
            given = LeaseInput.REFUSED
            if answer.outcome is Outcome.DONE:
                given = LeaseInput.WRITTEN
                self.has_ended = LeaseValue.from_bytes(operation.value).ended
                if not self._ever:
                    self.claims_from = now + self._limits.start_seconds
                self._ever = True
                self._revision = answer.revision
                self.held_until = sent_at + self._limits.lease_seconds
                self.deadline = sent_at + self._limits.lease_seconds / self._limits.renewals
        else:
            given = self._read(answer, now)
        self.state = LEASE_TRANSITIONS.step(self.state, given)
        if self.state is not LeaseState.OCCUPIED:
            self.occupied_since = None
        elif self.occupied_since is None:
            self.occupied_since = now

    def _read(self, answer: Answer, now: float) -> LeaseInput:
        there = LeaseValue.from_bytes(answer.value)
        self._revision = answer.revision
        if answer.revision and there.session == self.value.session:
            return LeaseInput.READ_OURS
        if not answer.revision or there.ended or not there.session:
            self.lapses += self._ever
            return LeaseInput.READ_NONE
        self.deadline = now + self._limits.retry_seconds
        return LeaseInput.READ_OTHERS

    def renew_soon(self, now: float) -> None:
        """Renew it at once: the store was away."""
        self.deadline = min(self.deadline, now)


# --- the other collectors ---


@dataclass(slots=True, eq=False, repr=False)
class Neighbour(Record):
    """Another collector. ``heard_at``: when its lease was last seen written; ``since``: when this
    session was first seen."""

    value: LeaseValue
    since: float
    heard_at: float
    revision: int
    asked: bool = False


class Neighbours:
    """The collectors that live. A collector whose lease was not written for its duration is looked
    up in the store: it has died if the store has forgotten the lease. Call :meth:`store_answers`
    before each lease is given to it."""

    def __init__(self, own: str, limits: CollectorLimits) -> None:
        self.living: dict[str, Neighbour] = {}
        self.deadline = NEVER
        self._own = own
        self._limits = limits
        self._trusted_from = 0.0
        # When the store last said something about leases. Our own is renewed more often than that.
        self._answered_at = 0.0
        # Owners of claims that were never heard of, by collector: they are looked up.
        self._doubtful: dict[str, set[str]] = {}
        self._looked_up: set[str] = set()

    def heard(self, collector: str, revision: int, value: bytes, now: float) -> set[str]:
        """A lease as the watch shows it. Returns the sessions that have died."""
        if collector == self._own:
            return set()
        said, known = LeaseValue.from_bytes(value), self.living.get(collector)
        died = set()
        if known is not None and known.value.session != said.session:
            died.add(known.value.session)
        if not revision or said.ended or not said.session:
            died.update({said.session} - {""})
            if known is not None:
                died.add(known.value.session)
                del self.living[collector]
            return died
        if known is not None and not died and revision <= known.revision:
            return died  # a watch that begins again shows it again
        since = now if known is None or died else known.since
        self.living[collector] = Neighbour(said, since, now, revision)
        self.deadline = min(self.deadline, now + self._limits.lease_seconds)
        return died

    def store_answers(self, now: float) -> None:
        """The store says something about leases. If it has said nothing for long, leases may have
        run out meanwhile: that time does not count, and their collectors get the time to write them
        again."""
        limits, last = self._limits, self._answered_at
        self._answered_at = now
        if now - last <= 2 * limits.lease_seconds / limits.renewals:
            return
        for each in self.living.values():
            left = limits.lease_seconds - max(last - each.heard_at, 0.0)
            due = now + max(left, limits.excuse_seconds)
            each.heard_at = max(each.heard_at, due - limits.lease_seconds)
            self.deadline = min(self.deadline, due)

    def store_back(self, now: float) -> None:
        """The store was away. The owners that are found in claims, and were not heard of before,
        get the time to write their leases again."""
        self._trusted_from = now + self._limits.lease_seconds
        self.deadline = min(self.deadline, self._trusted_from)

    def operations(self, now: float) -> Iterable[Operation]:
        """Reads of leases that were not heard for long."""
        if now < self.deadline:
            return
        self.deadline = NEVER
        for collector, each in self.living.items():
            due = each.heard_at + self._limits.lease_seconds
            if each.asked:
                continue
            if now < due:
                self.deadline = min(self.deadline, due)
            else:
                each.asked = True
                yield Operation(Ask.GET, Place.LEASES, collector)
        for collector in self._doubtful.keys() - self._looked_up:
            if now < self._trusted_from:
                self.deadline = min(self.deadline, self._trusted_from)
            else:
                self._looked_up.add(collector)
                yield Operation(Ask.GET, Place.LEASES, collector)

    def answered(self, operation: Operation, answer: Answer, now: float) -> set[str]:
        """Receive the answer to a read. Returns the sessions that have died."""
        collector, retry_at = operation.key, now + self._limits.retry_seconds
        known = self.living.get(collector)
        self._looked_up.discard(collector)
        done = answer.outcome is Outcome.DONE
        if known is not None:
            known.asked = False
            due = known.heard_at + self._limits.lease_seconds
            if done and not answer.revision and now < due:
                # The store was silent between the question and the answer.
                self.deadline = min(self.deadline, due)
                return set()
            if not done or (answer.revision and answer.revision == known.revision):
                # No answer, or the store still has it as it was, and it runs out soon.
                known.heard_at = retry_at - self._limits.lease_seconds
        if not done:
            self.deadline = min(self.deadline, retry_at)
            return set()
        there = LeaseValue.from_bytes(answer.value)
        living = {there.session} if answer.revision and not there.ended else set()
        died = self._doubtful.pop(collector, set()) - living
        if known is None or answer.revision != known.revision:
            died |= self.heard(collector, answer.revision, answer.value, now)
        else:
            self.deadline = min(self.deadline, retry_at)
        return died

    def lives(self, collector: str, session: str, now: float) -> bool:
        """Whether the owner of a claim lives, as far as is known. One that was never heard of is
        looked up, and lives until then."""
        known = self.living.get(collector)
        if known is not None and known.value.session == session:
            return True
        if collector == self._own:  # a former process: its lease is ours
            return False
        self._doubtful.setdefault(collector, set()).add(session)
        self.deadline = min(self.deadline, max(now, self._trusted_from))
        return True
