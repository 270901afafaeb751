"""JSON Lines: one object a line, for programs.

An event::

    {"time": …, "device": …, "service": …, "sid": …, "seq": …, "initial": …, "merged": …,
     "changes": {variable: value, …}}

A status. A change of a subscription's status has a ``cause`` too::

    {"time": …, "device": …, "service": …, "status": …, "reason": …}

The diagnosis of a deaf subscription::

    {"time": …, "device": …, "service": …, "diagnosis": {"verdict": …, "well": …, "sentence": …,
     "advice": …, "facts": {name: text, …}}}

A device, from ``propchange discover``::

    {"time": …, "kind": "appeared" | "changed" | "gone", "udn": …, "friendly_name": …,
     "device_type": …, "description_url": …, "evented": [service, …], "types": [type, …],
     "problem": …}

``time`` is ISO 8601 with the offset from UTC. The ``reason`` of a grant or renewal begins with
"until" and a time of the same form, or with "without an end". ``device`` and ``service`` are null
in a status that belongs to no device or service. Values are numbers, booleans and strings as the
service description declares them; a value of any other type is the text as received. ``evented``
has the short names that ``watch --service`` takes. If the description cannot be read, ``problem``
says why, and ``friendly_name``, ``device_type`` and ``evented`` are null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from propchange import Diagnosis
from propchange.cli.lines import (
    DeviceLine,
    DiagnosisLine,
    EventLine,
    Source,
    StatusLine,
    escape_json,
    named_changes,
    plain_value,
)


class JSONLines:
    """Lines of JSON. ``raw``: values are the texts as received."""

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw

    def begin(self, sources: Iterable[Source]) -> str:
        """Return nothing: there is no head."""
        return ""

    def event(self, line: EventLine) -> str:
        """One object for the whole event message."""
        event, raw = line.event, self._raw
        return _object(
            line.time,
            line.source,
            sid=event.sid,
            seq=event.seq,
            initial=event.is_initial,
            merged=event.merged,
            changes={
                name: change.text if raw else plain_value(change)
                for name, change in named_changes(event, raw=raw)
            },
        )

    def status(self, line: StatusLine) -> str:
        """One object for the status."""
        reason = line.reason
        if line.until is not None:
            reason = f"until {line.until.isoformat(timespec='seconds')}, {reason}"
        cause = {"cause": line.cause} if line.cause else {}
        return _object(line.time, line.source, status=line.status, reason=reason, **cause)

    def diagnosis(self, line: DiagnosisLine) -> str:
        """One object for the diagnosis."""
        return _object(line.time, line.source, diagnosis=diagnosis_object(line.diagnosis))

    def device(self, line: DeviceLine) -> str:
        """One object for the device."""
        sighting, description = line.sighting, line.description
        return _stamped(
            line.time,
            kind=sighting.kind.value,
            udn=sighting.udn,
            friendly_name=description and description.friendly_name,
            device_type=description and description.device_type,
            description_url=sighting.description_url,
            evented=description and line.evented,
            types=sighting.types,
            problem=line.problem,
        )


def diagnosis_object(diagnosis: Diagnosis) -> dict[str, object]:
    """The members of ``diagnosis``, for JSON."""
    return {
        "verdict": diagnosis.verdict.value,
        "well": diagnosis.well,
        "sentence": diagnosis.sentence,
        "advice": diagnosis.advice,
        "facts": dict(diagnosis.facts.lines()),
    }


def json_line(value: object) -> str:
    """``value`` as one line of JSON, escaped."""
    # escape_json changes nothing outside of strings: JSON has only ASCII there.
    return escape_json(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n"


def _object(time: datetime, source: Source | None, **members: object) -> str:
    device, service = source or (None, None)
    return _stamped(time, device=device, service=service or None, **members)


def _stamped(time: datetime, **members: object) -> str:
    return json_line({"time": time.isoformat(timespec="milliseconds"), **members})
