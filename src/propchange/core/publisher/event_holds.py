"""Holds: the events of an action wait until its answer has been written.

A control point that calls an action expects first the answer, and then the events of the changes.
So the runtime begins a *hold* on a service when an action assigns to one of its variables, and
releases the hold when the answer has left. All messages of the service that are recorded during the
hold wait, also those that the action has not caused: otherwise an older value could arrive after a
newer one. Messages from before the hold are sent.

A hold delays the events of all subscribers, so its time is bounded. A message waits
``Limits.held_event_seconds`` at most, however many holds there are: it waits only for holds that
began before it was recorded. After the end of the action its holds end within
``Limits.unread_answer_seconds``, because its control point perhaps does not read the answer.

Waiting messages are in the backlog of the service (:mod:`.backlog`) and need no other memory. A
hold delays neither initial events, which have the present values, nor the merged message of a
subscription that is already more than ``Limits.waiting_messages`` behind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.publisher.records import PublishedService


class EventHold:
    """One hold. ``version`` is the version of the last message of ``service`` before the hold."""

    __slots__ = ("service", "version")

    def __init__(self, service: PublishedService) -> None:
        self.service = service
        self.version = service.backlog.head


class EventHolds:
    """The holds of one publisher. ``freed`` is called with a service whose messages may be sent
    again."""

    def __init__(self, limits: Limits, freed: Callable[[PublishedService], None]) -> None:
        self._limits = limits
        self._freed = freed
        # In the order of their beginning, so the first hold of a service has the lowest version.
        self._holds: dict[PublishedService, OrderedDict[EventHold, None]] = {}
        self.ends: Deadlines[EventHold] = Deadlines()
        """The time at which each hold ends by itself."""

    def __len__(self) -> int:
        return len(self.ends)

    def begin(self, service: PublishedService, now: float) -> EventHold:
        """Let later messages of ``service`` wait for the end of a new hold."""
        hold = EventHold(service)
        self._holds.setdefault(service, OrderedDict())[hold] = None
        self.ends.set(hold, now + self._limits.held_event_seconds)
        self._apply(service)
        return hold

    def hasten(self, hold: EventHold, now: float) -> None:
        """Note that the action of ``hold`` has ended and its answer is being written."""
        when = now + self._limits.unread_answer_seconds
        if (end := self.ends.get(hold)) is not None and when < end:
            self.ends.set(hold, when)

    def end(self, hold: EventHold) -> None:
        """End ``hold``. Does nothing if its time is already over."""
        if hold in self.ends:
            self.ends.clear(hold)
            self._remove(hold)

    def __contains__(self, hold: EventHold) -> bool:
        return hold in self.ends

    def handle_deadline(self, now: float) -> None:
        """End the holds whose time is over."""
        while (hold := self.ends.pop_due(now)) is not None:
            self._remove(hold)

    def _remove(self, hold: EventHold) -> None:
        service = hold.service
        holds = self._holds[service]
        del holds[hold]
        if not holds:
            del self._holds[service]
        self._apply(service)
        self._freed(service)

    def _apply(self, service: PublishedService) -> None:
        holds = self._holds.get(service)
        version = next(iter(holds)).version if holds else None
        service.backlog.held_after = version
        if service.multicast is not None:
            service.multicast.held_after = version
