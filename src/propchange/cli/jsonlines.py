"""JSON Lines: one object a line, for programs.

An event::

    {"time": …, "device": …, "service": …, "sid": …, "seq": …, "initial": …, "merged": …,
     "changes": {variable: value, …}}

a status::

    {"time": …, "device": …, "service": …, "status": …, "reason": …}

and a diagnosis, once a subscription is deaf::

    {"time": …, "device": …, "service": …, "diagnosis": {"verdict": …, "well": …, "sentence": …,
     "advice": …, "facts": {what: how, …}}}

``time`` is ISO 8601 with the offset from UTC. What is granted or renewed says so in ``reason``:
"until" and a time of the same form, or "without an end". ``device`` and ``service`` are null where
the status belongs to none. Values are numbers, booleans and strings as the service description
declares them, and the text as received for every other type.
"""

from __future__ import annotations

import json

from propchange.cli.escaping import escape_json
from propchange.cli.lines import (
    DiagnosisLine,
    EventLine,
    Source,
    StatusLine,
    diagnosis_object,
    named_changes,
    plain_value,
)

__all__ = ["JSONLines"]


class JSONLines:
    """Lines of JSON. ``raw``: the texts as received instead of typed values."""

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw

    def expect(self, source: Source) -> None:
        """Every object says whole where it came from."""

    def begin(self) -> str:
        """Nothing stands before the first object."""
        return ""

    def event(self, line: EventLine) -> str:
        """One object for the whole event message."""
        event = line.event
        return _line(
            {
                "time": line.time.isoformat(timespec="milliseconds"),
                "device": line.source.device,
                "service": line.source.service,
                "sid": event.sid,
                "seq": event.seq,
                "initial": event.is_initial,
                "merged": event.merged,
                "changes": {
                    name: change.text if self._raw else plain_value(change)
                    for name, change in named_changes(event, raw=self._raw)
                },
            }
        )

    def status(self, line: StatusLine) -> str:
        """One object for the status."""
        reason = line.reason
        if line.until is not None:
            reason = f"until {line.until.isoformat(timespec='seconds')}, {reason}"
        return _line(
            {
                "time": line.time.isoformat(timespec="milliseconds"),
                "device": line.source.device if line.source else None,
                "service": (line.source.service or None) if line.source else None,
                "status": line.status,
                "reason": reason,
                **({"cause": line.cause} if line.cause else {}),
            }
        )

    def diagnosis(self, line: DiagnosisLine) -> str:
        """One object for the diagnosis."""
        return _line(
            {
                "time": line.time.isoformat(timespec="milliseconds"),
                "device": line.source.device,
                "service": line.source.service or None,
                "diagnosis": diagnosis_object(line.diagnosis),
            }
        )


def _line(value: dict[str, object]) -> str:
    # Nothing but a string can hold a character that escape_json would change.
    return escape_json(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n"
