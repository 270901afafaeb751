"""The table of ``propchange watch --all``: lines of devices, statuses and events in, rows out.

It has the methods of the other forms of lines (:mod:`.terminal`, :mod:`.jsonlines`). They return
no text: :mod:`.table_layout` makes the text of the rows, and :mod:`.screen` draws it. No I/O and no
clock: the time is that of the lines, and an argument of the readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from propchange import SightingKind
from propchange.cli.lines import (
    DeviceLine,
    DiagnosisLine,
    EventLine,
    ProblemLine,
    Source,
    StatusLine,
)
from propchange.core.discovery.advertisement import udn_key
from propchange.upnp.plain_values import named_changes, plain_value

ROWS = 8_192
"""Rows of the table. Above that, rows of devices that have gone are dropped, the oldest first, and
then rows that nothing has changed for the longest time. Twice as many as a control point has
subscriptions. Bounds the memory for devices that come and go without end."""

_CHANGES_KEPT = 8
_CHARACTERS_KEPT = 200
"""Changes of the latest event that a row keeps, and characters of each name, of each value, and of
a reason. A wide terminal shows fewer. Bounds the memory: a value has up to a megabyte."""

_LEAVING_SECONDS = 3.0
"""Seconds after its goodbye in which a renewal that a device grants does not show that the device
is still there. A renewal is sent at once, and another one 2 seconds later."""

_WORKING = ("active", "granted", "renewed", "resubscribed")
"""Statuses of a subscription that works. Each of them shows that the device is there."""

_NOTICES = ("foreign-source", "notify-refused", "renewal-failed", "seq-unreliable", "untyped")
"""Statuses that do not change the status of the subscription."""

_CAUSES = {"refused": "refused", "unreachable": "unreachable", "description": "unreadable"}
"""Cause of the status ``subscribing`` -> the status of the row: a word that says why."""


class RecentRate:
    """Events per second over the last seconds."""

    SECONDS = 10

    __slots__ = ("_counts", "_second")

    def __init__(self) -> None:
        self._counts = [0] * self.SECONDS
        self._second = 0

    def add(self, number: int, now: float) -> None:
        """Count ``number`` events at the time ``now``."""
        self._move_to(int(now))
        self._counts[self._second % self.SECONDS] += number

    def per_second(self, now: float) -> float:
        """The rate at the time ``now``."""
        self._move_to(int(now))
        return sum(self._counts) / self.SECONDS

    def _move_to(self, second: int) -> None:
        passed = second - self._second
        if passed > 0:
            for number in range(min(passed, self.SECONDS)):
                self._counts[(second - number) % self.SECONDS] = 0
            self._second = second
        elif passed < -self.SECONDS:  # The clock was set back.
            self._counts = [0] * self.SECONDS
            self._second = second


@dataclass(slots=True, eq=False, repr=False)
class Row:
    """A service of a device, or a device that has no service to watch.

    ``status`` is the last status of the subscription, ``reason`` its reason. ``changed`` is the
    time of the last event or status. ``changes`` are names and values of the last event.
    ``left_at``: when the device has gone, by its announcements; None while it is there.
    """

    source: Source
    changed: datetime
    status: str = "subscribing"
    reason: str = ""
    left_at: datetime | None = None
    events: int = 0
    event_at: datetime | None = None
    changes: tuple[tuple[str, object], ...] = ()
    rate: RecentRate = field(default_factory=RecentRate)

    @property
    def gone(self) -> bool:
        """Whether the device has gone."""
        return self.left_at is not None

    @property
    def shown_status(self) -> str:
        """The status for the user."""
        return "gone" if self.gone else self.status

    @property
    def works(self) -> bool:
        """Whether events arrive, or may arrive."""
        return not self.gone and self.status in _WORKING


class EventTable:
    """The rows of the services, in the order in which the services were found.

    :meth:`expect` and the methods of the forms change the rows. The others only read them.
    """

    def __init__(self, limit: int = ROWS) -> None:
        self._limit = limit
        self._rows: dict[Source, Row] = {}
        self._events = 0
        self._rate = RecentRate()
        self.version = 0
        """Raised by one with each row that comes or goes."""
        self.notice: tuple[datetime, Source | None, str] | None = None
        """The latest problem that is not the status of a row: its time, service and sentence."""

    # --- what happens ---

    def expect(self, sources: Iterable[Source], time: datetime) -> None:
        """Add rows for services that will be subscribed to."""
        for source in sources:
            self._row(source, time)

    def begin(self, sources: Iterable[Source]) -> str:
        """Return nothing: the rows come with :meth:`expect`."""
        return ""

    def event(self, line: EventLine) -> str:
        """Count the event and keep its first changes."""
        row, number = self._row(line.source, line.time), line.event.merged + 1
        seconds = line.time.timestamp()
        row.events += number
        row.rate.add(number, seconds)
        self._events += number
        self._rate.add(number, seconds)
        row.changed = row.event_at = line.time
        row.left_at = None  # A device that sends events has not gone, whatever was announced.
        row.changes = tuple(
            (name[:_CHARACTERS_KEPT], _cut(plain_value(change)))
            for name, change in islice(named_changes(line.event), _CHANGES_KEPT)
        )
        return ""

    def status(self, line: StatusLine) -> str:
        """Keep the status of the row. A status that belongs to no row, and one that does not change
        the status of the subscription, is kept as the notice."""
        source, status = line.source, line.status
        if source is None or status in _NOTICES:
            self._notify(line.time, source, f"{status}: {line.reason}")
            return ""
        row = self._row(source, line.time)
        row.changed = line.time
        if row.left_at is not None and status in _WORKING:
            leaving = (line.time - row.left_at).total_seconds() < _LEAVING_SECONDS
            row.left_at = row.left_at if leaving else None
        if status == "renewed":
            return ""
        if status == "subscribing":
            status = _CAUSES.get(line.cause, status)
        row.status = status
        row.reason = "" if status in _WORKING else line.reason[:_CHARACTERS_KEPT]
        return ""

    def diagnosis(self, line: DiagnosisLine) -> str:
        """Keep the diagnosis as the reason of a subscription that is deaf."""
        row = self._row(line.source, line.time)
        if row.status == "deaf":
            row.reason = str(line.diagnosis)[:_CHARACTERS_KEPT]
        return ""

    def problem(self, line: ProblemLine) -> str:
        """Keep the problem as the notice."""
        self._notify(line.time, line.source, f"problem: {line.problem}")
        return ""

    def device(self, line: DeviceLine) -> str:
        """A device has appeared, changed or gone. It gets a row of its own if its description
        cannot be read, or if no service of it sends events."""
        sighting, description = line.sighting, line.description
        own = Source(sighting.udn, "", sighting.udn)
        if sighting.kind is SightingKind.GONE:
            if self._rows.pop(own, None) is not None:
                self.version += 1
            self._mark(line, left_at=line.time)
            return ""
        if line.problem is not None:
            row = self._row(own, line.time)
            row.status = "unreadable" if description is None else "not watched"
            row.reason = line.problem[:_CHARACTERS_KEPT]
            row.changed = line.time
            return ""
        if self._rows.pop(own, None) is not None:
            self.version += 1
        self._mark(line, left_at=None)
        if description is not None:
            if not line.evented:
                name = description.friendly_name or description.udn
                row = self._row(Source(name, "", description.udn), line.time)
                row.status = "no events"
            for problem in description.problems:
                self._notify(line.time, own, f"problem: {problem}")
        return ""

    def _mark(self, line: DeviceLine, *, left_at: datetime | None) -> None:
        """Note for the rows of a device and of its embedded devices when it has gone."""
        description = line.description
        devices = description.all_devices() if description is not None else ()
        udns = {udn_key(line.sighting.udn), *(udn_key(device.udn) for device in devices)}
        for row in self._rows.values():
            if udn_key(row.source.udn) in udns:
                row.left_at = left_at
                row.changed = line.time

    def _notify(self, time: datetime, source: Source | None, sentence: str) -> None:
        self.notice = time, source, sentence[:_CHARACTERS_KEPT]

    def _row(self, source: Source, time: datetime) -> Row:
        row = self._rows.get(source)
        if row is None:
            if len(self._rows) >= self._limit:
                oldest = min(self._rows.values(), key=lambda row: (not row.gone, row.changed))
                del self._rows[oldest.source]
            row = self._rows[source] = Row(source, time)
            self.version += 1
        return row

    # --- reading ---

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, room: int, now: datetime) -> list[Row]:
        """At most ``room`` rows, in their order. If there are more: those with the most events in
        the last seconds, and then those that changed last."""
        rows = list(self._rows.values())
        if len(rows) <= room:
            return rows
        seconds = now.timestamp()
        busiest = sorted(
            rows, key=lambda row: (row.rate.per_second(seconds), row.changed), reverse=True
        )
        chosen = set(map(id, busiest[: max(room, 0)]))
        return [row for row in rows if id(row) in chosen]

    @property
    def number_of_devices(self) -> int:
        """The devices that are present, embedded ones included."""
        return len({row.source.udn for row in self._rows.values() if not row.gone})

    @property
    def number_of_services(self) -> int:
        """The services of devices that are present."""
        return sum(bool(row.source.service) and not row.gone for row in self._rows.values())

    @property
    def number_of_events(self) -> int:
        """The events of all services, also of rows that were dropped."""
        return self._events

    def per_second(self, now: datetime) -> float:
        """The events of all services per second."""
        return self._rate.per_second(now.timestamp())


def _cut(value: str | int | float | bool) -> str | int | float | bool:
    return value[:_CHARACTERS_KEPT] if isinstance(value, str) else value
