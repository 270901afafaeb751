"""JSON Lines: one object a line, for programs. ``docs/json-lines.md`` has the members of each kind
of object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from propchange import Diagnosis, Event, MulticastEvent
from propchange.cli.lines import (
    ActionLine,
    AnswerLine,
    CalledLine,
    DeviceLine,
    DiagnosisLine,
    EventLine,
    FaultLine,
    HostedLine,
    MulticastLine,
    ProblemLine,
    ServiceLine,
    Source,
    StatusLine,
    escape_json,
)
from propchange.upnp.actions import Argument
from propchange.upnp.description import ServiceDescription
from propchange.upnp.plain_values import named_changes, plain, plain_value


class JSONLines:
    """Lines of JSON. ``raw``: values are the texts as received."""

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw

    def begin(self, sources: Iterable[Source]) -> str:
        """Return nothing: there is no head."""
        return ""

    def event(self, line: EventLine) -> str:
        """One object for the whole event message."""
        event = line.event
        return _object(
            line.time,
            "event",
            line.source,
            sid=event.sid,
            seq=event.seq,
            initial=event.is_initial,
            merged=event.merged,
            left_out=event.left_out,
            **self._changes(event),
        )

    def multicast(self, line: MulticastLine) -> str:
        """One object for the whole multicast event."""
        event = line.event
        return _object(
            line.time,
            "multicast",
            line.source,
            level=event.level,
            seq=event.seq,
            merged=event.merged,
            **self._changes(event),
        )

    def _changes(self, event: Event | MulticastEvent) -> dict[str, object]:
        changes: dict[str, object] = {}
        earlier: dict[str, list[object]] = {}
        for name, change in named_changes(event, raw=self._raw):
            if name in changes:
                earlier.setdefault(name, []).append(changes[name])
            changes[name] = change.text if self._raw else plain_value(change)
        return {"changes": changes, **({"earlier": earlier} if earlier else {})}

    def status(self, line: StatusLine) -> str:
        """One object for the status."""
        reason, grant = line.reason, line.grant
        more: dict[str, object] = {"cause": line.cause} if line.cause else {}
        if grant is not None:
            until = grant.until and grant.until.isoformat(timespec="seconds")
            reason = f"until {until}, {reason}" if until else reason
            more["grant"] = {"sid": grant.sid, "duration": grant.duration, "until": until}
        return _object(line.time, "status", line.source, status=line.status, reason=reason, **more)

    def diagnosis(self, line: DiagnosisLine) -> str:
        """One object for the diagnosis."""
        return _object(
            line.time, "diagnosis", line.source, diagnosis=diagnosis_object(line.diagnosis)
        )

    def problem(self, line: ProblemLine) -> str:
        """One object for the problem."""
        return _object(line.time, "problem", line.source, problem=line.problem)

    def device(self, line: DeviceLine) -> str:
        """One object for the device."""
        sighting, description = line.sighting, line.description
        return _stamped(
            line.time,
            sighting.kind.value,
            udn=sighting.udn,
            friendly_name=description and description.friendly_name,
            device_type=description and description.device_type,
            description_url=line.description_url,
            locations=sighting.locations,
            evented=description and line.evented,
            services=description and [_service_object(*each) for each in line.named],
            types=sighting.types,
            problem=line.problem,
            problems=description and description.problems,
        )

    def hosted(self, line: HostedLine) -> str:
        """One object for the device. The URLs are first, for people."""
        return json_line(
            {
                "description_url": line.description_urls[0],
                "event_urls": line.event_urls,
                "description_urls": line.description_urls,
                "udn": line.udn,
                "device": line.device,
                "time": line.time.isoformat(timespec="milliseconds"),
                "kind": "hosted",
            }
        )

    def service(self, line: ServiceLine) -> str:
        """One object for the service and the names of its actions."""
        return _object(
            line.time,
            "service",
            line.source,
            service_type=line.service_type,
            actions=line.actions,
            problem=line.problem,
        )

    def action(self, line: ActionLine) -> str:
        """One object for the action and its arguments."""
        arguments = [_argument_object(each) for each in line.action.arguments]
        return _object(
            line.time, "action", line.source, action=line.action.name, arguments=arguments
        )

    def answer(self, line: AnswerLine) -> str:
        """One object for the answer to a call."""
        arguments = dict(line.plain_values())
        return _object(
            line.time, "answer", line.source, action=line.action.name, arguments=arguments
        )

    def fault(self, line: FaultLine) -> str:
        """One object for the fault that answers a call."""
        error = line.error
        return _object(
            line.time,
            "fault",
            line.source,
            action=line.action,
            code=error.code,
            description=error.description,
        )

    def called(self, line: CalledLine) -> str:
        """One object for the call and its answer."""
        error = line.error
        return _object(
            line.time,
            "called",
            line.source,
            peer=line.peer,
            action=line.action,
            arguments=dict(line.arguments),
            results=None if line.results is None else dict(line.results),
            code=error and error.code,
            description=error and error.description,
            left_out=line.left_out.strip() or None,
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


def _object(time: datetime, kind: str, source: Source | None, **members: object) -> str:
    return _stamped(time, kind, **source_members(source or Source("", "")), **members)


def source_members(source: Source) -> dict[str, str | None]:
    """The members that say where an object comes from."""
    return {name: value or None for name, value in source._asdict().items()}


def _service_object(name: str, service: ServiceDescription) -> dict[str, str | None]:
    return {
        "service": name,
        "udn": service.udn or None,
        "service_id": service.service_id or None,
        "service_type": service.service_type or None,
        "event_url": service.event_url or None,
    }


def _argument_object(argument: Argument) -> dict[str, object]:
    variable = argument.variable

    def value(limit: object) -> object:
        return None if limit is None else plain(limit, variable.format(limit))

    return {
        "name": argument.name,
        "direction": argument.direction,
        "retval": argument.retval,
        "variable": variable.name,
        "type": variable.data_type.name,
        "minimum": value(variable.minimum),
        "maximum": value(variable.maximum),
        "step": value(variable.step),
        "allowed": variable.allowed,
    }


def _stamped(time: datetime, kind: str, **members: object) -> str:
    return json_line({"time": time.isoformat(timespec="milliseconds"), "kind": kind, **members})
