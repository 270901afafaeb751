"""What the commands tell, before it has a form: events and statuses of named services."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Change, Event
from propchange.core.wire.messages import Request

__all__ = [
    "DiagnosisLine",
    "EventLine",
    "LineFormat",
    "Source",
    "StatusLine",
    "diagnosis_object",
    "named_changes",
    "plain_value",
]


class Source(NamedTuple):
    """Which service of which device, as its description calls them, or the two halves of an
    event URL that was given without a description. An empty ``service``: the whole device."""

    device: str
    service: str


class EventLine(NamedTuple):
    """An event, when and where it came from. ``message`` is the NOTIFY as received, where that is
    wanted and there is one: an event that was merged has several."""

    time: datetime
    source: Source
    event: Event
    message: Request | None = None


class StatusLine(NamedTuple):
    """``source`` is None for what belongs to no device; ``until`` is the end of what was
    granted, None where nothing was or it has no end. ``cause`` is that of a status change, for
    programs; empty for what is none."""

    time: datetime
    source: Source | None
    status: str
    reason: str
    until: datetime | None = None
    cause: str = ""


class DiagnosisLine(NamedTuple):
    """What was found out about a subscription that hears nothing, and when."""

    time: datetime
    source: Source
    diagnosis: Diagnosis


class LineFormat(Protocol):
    """How lines look. Each method returns whole lines, with their ends."""

    def expect(self, source: Source) -> None:
        """Lines of ``source`` will come."""

    def begin(self) -> str:
        """What stands before the first line."""

    def event(self, line: EventLine) -> str:
        """An event message."""

    def status(self, line: StatusLine) -> str:
        """A change of status."""

    def diagnosis(self, line: DiagnosisLine) -> str:
        """A diagnosis, with its facts."""


def diagnosis_object(diagnosis: Diagnosis) -> dict[str, object]:
    """A diagnosis as JSON has it."""
    return {
        "verdict": diagnosis.verdict.value,
        "well": diagnosis.well,
        "sentence": diagnosis.sentence,
        "advice": diagnosis.advice,
        "facts": dict(diagnosis.facts.lines()),
    }


def named_changes(event: Event, *, raw: bool = False) -> Iterator[tuple[str, Change]]:
    """The changes of ``event`` with names that tell them apart: those of a LastChange that are
    not of instance 0 and its master channel carry both, ``Volume[0,LF]``. A LastChange that was
    understood is told by what stands in it, or, with ``raw``, by its own text alone."""
    expanded = any(change.instance is not None for change in event.details)
    for change in event.details:
        if expanded and raw == (change.instance is not None):
            continue
        name = change.variable
        if (change.instance or 0) != 0 or change.channel not in (None, "", "Master"):
            where = f"{change.instance or 0}"
            if change.channel:
                where += f",{change.channel}"
            name += f"[{where}]"
        yield name, change


def plain_value(change: Change) -> str | int | float | bool:
    """The value, where JSON has a type for it; the text as received otherwise: times, binary
    data, UUIDs, infinities, and what does not fit its declared type."""
    value = change.value
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return change.text
