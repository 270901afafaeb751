"""docs/json-lines.md has the members of each kind of JSON line, and no others."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from propchange import (
    ActionError,
    Changes,
    DeviceDescription,
    MulticastEvent,
    Sighting,
    SightingKind,
    StateVariable,
)
from propchange.cli.jsonlines import JSONLines
from propchange.cli.lines import (
    ActionLine,
    AnswerLine,
    CalledLine,
    DeviceLine,
    DiagnosisLine,
    EventLine,
    FaultLine,
    GrantedFor,
    HostedLine,
    MulticastLine,
    ProblemLine,
    ServiceLine,
    Source,
    StatusLine,
)
from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.rules import diagnose
from propchange.core.subscriber.events import Change, Event, Status
from propchange.core.wire.messages import Endpoint
from propchange.upnp.actions import Action, Argument

_ROOT = Path(__file__).parent.parent
_PAGE = (_ROOT / "docs" / "json-lines.md").read_text("utf-8")
_NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
_SOURCE = Source("Desk", "Lamp", "uuid:1")
_BAKE = Action("Bake", (Argument("Ready", "out", StateVariable("boolean")),))


def _members(heading: str) -> set[str]:
    section = _PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))


def _lines() -> dict[str, dict[str, Any]]:
    """A line of each kind, with all of its members."""
    form = JSONLines()
    change = Change("A", 1, None, None, None, "1")
    diagnosis = diagnose(Facts(event_url="u", status=Status.ACTIVE, last_event_ago=1.0))
    status = StatusLine(_NOON, _SOURCE, "granted", "1 s", GrantedFor("uuid:2"), "initial-event")
    multicast = MulticastEvent(
        None, "", "", "upnp:/info", 1, Endpoint("192.0.2.7", 1), Changes(), (change, change)
    )
    sighting = Sighting(SightingKind.GONE, "uuid:1", (), ("http://192.0.2.7/",), True, None, None)
    described = DeviceDescription("http://192.0.2.7/", "uuid:1", "Desk", "x")
    lines = (
        form.event(EventLine(_NOON, _SOURCE, Event(None, "", 0, {}, (change, change)))),
        form.multicast(MulticastLine(_NOON, _SOURCE, multicast)),
        form.status(status),
        form.diagnosis(DiagnosisLine(_NOON, _SOURCE, diagnosis)),
        form.problem(ProblemLine(_NOON, _SOURCE, "x")),
        form.device(DeviceLine(_NOON, sighting, described, None)),
        form.answer(AnswerLine(_NOON, _SOURCE, Action("Bake"), {})),
        form.fault(FaultLine(_NOON, _SOURCE, "Bake", ActionError(701))),
        form.action(ActionLine(_NOON, _SOURCE, _BAKE)),
        form.called(CalledLine(_NOON, _SOURCE, "192.0.2.7", "Bake", {}, {})),
        form.service(ServiceLine(_NOON, _SOURCE, "x", ())),
        form.hosted(HostedLine(_NOON, "Desk", "uuid:1", ("http://192.0.2.7/",), {})),
    )
    return {line["kind"]: line for line in map(json.loads, lines)}


def test_the_page_has_the_members_of_each_line() -> None:
    everywhere = _members("Members of every object")
    lines = _lines()
    for kind, heading in (
        ("event", "`event`"),
        ("multicast", "`multicast`"),
        ("status", "`status`"),
        ("diagnosis", "`diagnosis`"),
        ("problem", "`problem`"),
        ("action", "`action`"),
        ("service", "`service`"),
        ("called", "`called`"),
    ):
        assert set(lines.pop(kind)) == everywhere | _members(heading)
    answered = set(lines.pop("answer")) | set(lines.pop("fault"))
    assert answered == everywhere | _members("`answer` and `fault`")
    assert set(lines.pop("hosted")) == (everywhere - {"service", "service_id"}) | _members(
        "`hosted`"
    )
    assert everywhere == {"time", "kind", "device", "service", "udn", "service_id"}
    (device,) = lines.values()
    assert set(device) == {"time", "kind"} | _members("`appeared`")


def test_the_page_has_each_status_of_host() -> None:
    source = (_ROOT / "src" / "propchange" / "cli" / "publisher_printer.py").read_text("utf-8")
    section = _PAGE.split("\n## The statuses of `host`", 1)[1]
    rows = re.findall(r"(?m)^\| (`.*?) \|", section)
    named = re.findall(r"`([a-z]+)`", " ".join(rows))
    assert sorted(named) == sorted(re.findall(r'_(?:print|put)\([^"]*?, "([a-z]+)"', source))


def test_the_page_has_the_members_inside() -> None:
    lines = _lines()
    (argument,) = lines["action"]["arguments"]
    for inside in (lines["status"]["grant"], lines["diagnosis"]["diagnosis"], argument):
        for member in inside:
            assert f"`{member}`" in _PAGE
    for kind in (*lines, *(kind.value for kind in SightingKind)):
        assert f"`{kind}`" in _PAGE
