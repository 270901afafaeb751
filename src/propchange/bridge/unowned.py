"""States whose owner has died, and that no other collector writes.

If the owner of a device is killed, and no other collector sees the device, nobody would say that
its state is not true any more. So after a death one of the collectors that live reads which session
has written each state, and writes ``unowned`` into those whose session has no lease. It writes by
the revision that it read before it looked for the lease: an owner that lives after all, or a new
one, comes first, or writes the state again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from propchange.bridge.claims import weight
from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.json_objects import json_object, number_of, text_of
from propchange.bridge.leases import NEVER, Lease, LeaseValue, Neighbours
from propchange.bridge.service_state import GONE
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.core.record import Record

UNOWNED = "unowned"
"""The status of a service whose owner has ended. The next owner writes another one."""

_DIED = "its collector has died, and no other one sees the device"


@dataclass(slots=True, eq=False, repr=False)
class _Suspect(Record):
    """A state of a session that is not known to live."""

    key: str
    session: str
    revision: int = 0
    value: dict[str, Any] | None = None


class UnownedStates:
    """Finds the states of collectors that have died, and says in them that nobody owns them."""

    def __init__(self, lease: Lease, neighbours: Neighbours, limits: CollectorLimits) -> None:
        self._lease = lease
        self._neighbours = neighbours
        self._limits = limits
        self._due = self._last = NEVER
        self._suspects: deque[tuple[_Suspect | None, Operation]] = deque()
        # By the identity of the operation, which is kept with it.
        self._asked: dict[int, tuple[_Suspect | None, Operation]] = {}

    def look_at(self, due: float) -> None:
        """Look for such states at the time ``due``."""
        self._due, self._last = min(self._due, due), due

    @property
    def deadline(self) -> float:
        """When :meth:`operations` is to be called again."""
        if self._suspects:
            return 0.0 if len(self._asked) < self._limits.unowned_operations else NEVER
        return NEVER if self._asked else self._due

    def operations(self, now: float) -> Iterator[Operation]:
        """The operations that are due. Their answers go to :meth:`answered`."""
        if now >= self._due and not self._suspects and not self._asked:
            if not self._lease.held(now):
                self._due = now + self._limits.retry_seconds
                return
            self._due = self._last if self._last > now else NEVER
            if self._is_chosen():
                self._suspects.append((None, Operation(Ask.LIST, Place.STATE, "")))
        while self._suspects and len(self._asked) < self._limits.unowned_operations:
            suspect, operation = self._suspects.popleft()
            self._asked[id(operation)] = suspect, operation
            yield operation

    def _is_chosen(self) -> bool:
        """Whether this collector does it. If it dies meanwhile, the next one does."""
        own = self._lease.collector
        return max((own, *self._neighbours.living), key=lambda name: weight("", name)) == own

    def asked(self, operation: Operation) -> bool:
        """Whether ``operation`` is one of these."""
        return id(operation) in self._asked

    def answered(self, operation: Operation, answer: Answer, now: float) -> None:
        """Receive the answer to ``operation``."""
        suspect, _ = self._asked.pop(id(operation))
        if answer.outcome in (Outcome.UNKNOWN, Outcome.FAILED):
            self._suspects.clear()
            self.look_at(now + self._limits.unowned_seconds)
        elif suspect is None:
            self._listed(answer)
        elif operation.ask is Ask.GET and operation.place is Place.STATE:
            self._state_read(suspect, answer)
        elif operation.ask is Ask.GET:
            self._lease_read(suspect, answer)

    def _listed(self, answer: Answer) -> None:
        living = {each.value.session for each in self._neighbours.living.values()}
        living |= {self._lease.value.session, ""}
        for key, session in answer.listed:
            if session not in living:
                self._next(_Suspect(key, session), Operation(Ask.GET, Place.STATE, key))

    def _state_read(self, suspect: _Suspect, answer: Answer) -> None:
        said = json_object(answer.value)
        if said.get("session") == suspect.session and said.get("status") != UNOWNED:
            suspect.revision, suspect.value = answer.revision, dict(said)
            # The name of a session begins with that of its collector.
            collector = suspect.session.rpartition("-")[0]
            self._next(suspect, Operation(Ask.GET, Place.LEASES, collector))

    def _lease_read(self, suspect: _Suspect, answer: Answer) -> None:
        there = LeaseValue.from_bytes(answer.value)
        if answer.revision and there.session == suspect.session and not there.ended:
            return
        said = suspect.value or {}
        key, revision = suspect.key, suspect.revision
        if text_of(said.get("status")) == GONE:  # its collector would have deleted it
            self._next(suspect, Operation(Ask.DELETE, Place.STATE, key, revision=revision))
            return
        body = json.dumps({**said, "status": UNOWNED, "reason": _DIED}).encode()
        put = Operation(Ask.PUT, Place.STATE, key, body, revision, number_of(said.get("term")))
        put.session = suspect.session
        self._next(suspect, put)

    def _next(self, suspect: _Suspect, operation: Operation) -> None:
        self._suspects.append((suspect, operation))
