from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from propchange import ActionError, StateVariable
from propchange.cli.jsonlines import JSONLines
from propchange.cli.lines import (
    ActionLine,
    AnswerLine,
    EventLine,
    FaultLine,
    GrantedFor,
    ProblemLine,
    ServiceLine,
    Source,
    StatusLine,
)
from propchange.core.subscriber.events import Change, Event
from propchange.upnp.actions import Action, Argument

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
SOURCE = Source("Workbench", "Thermometer", "uuid:d", "urn:x:serviceId:T")


def event(*details: Change, seq: int | None = 7, initial: bool = False, merged: int = 0) -> Event:
    changes = {change.variable: change.value for change in details}
    return Event(None, "uuid:1", seq, changes, details, is_initial=initial, merged=merged)


def test_an_event_is_one_object_on_one_line() -> None:
    told = event(Change("Temperature", 20.5, 20.0, None, None, "20.50"), initial=True, merged=2)

    line = JSONLines().event(EventLine(NOON, SOURCE, told))

    assert line.endswith("}\n")
    assert list(json.loads(line).items()) == [
        ("time", "2026-05-01T12:00:00.250+02:00"),
        ("kind", "event"),
        ("device", "Workbench"),
        ("service", "Thermometer"),
        ("udn", "uuid:d"),
        ("service_id", "urn:x:serviceId:T"),
        ("sid", "uuid:1"),
        ("seq", 7),
        ("initial", True),
        ("merged", 2),
        ("left_out", 0),
        ("changes", {"Temperature": 20.5}),
    ]


def test_an_event_without_a_seq_has_null() -> None:
    line = JSONLines().event(EventLine(NOON, SOURCE, event(seq=None)))

    assert json.loads(line)["seq"] is None
    assert json.loads(line)["changes"] == {}


def test_raw_gives_the_texts_of_the_wire() -> None:
    told = event(
        Change("Temperature", 20.5, None, None, None, "20.50"),
        Change("Alarm", True, None, None, None, "yes"),
    )

    line = JSONLines(raw=True).event(EventLine(NOON, SOURCE, told))

    assert json.loads(line)["changes"] == {"Temperature": "20.50", "Alarm": "yes"}


def test_no_value_breaks_the_line_or_reaches_the_terminal() -> None:
    text = "\x1b[2J\x9b\u2028\r\n\u202e"
    told = event(Change(text, text, None, None, None, text))

    line = JSONLines().event(EventLine(NOON, Source(text, text), told))

    assert len(line.splitlines()) == 1
    assert line[:-1].isprintable()
    assert json.loads(line)["changes"] == {text: text}


def test_a_status_is_one_object_on_one_line() -> None:
    line = JSONLines().status(StatusLine(NOON, SOURCE, "deaf", "no event in 5 s"))

    assert list(json.loads(line).items()) == [
        ("time", "2026-05-01T12:00:00.250+02:00"),
        ("kind", "status"),
        ("device", "Workbench"),
        ("service", "Thermometer"),
        ("udn", "uuid:d"),
        ("service_id", "urn:x:serviceId:T"),
        ("status", "deaf"),
        ("reason", "no event in 5 s"),
    ]


def test_a_status_change_has_its_cause_for_programs() -> None:
    line = StatusLine(NOON, SOURCE, "deaf", "no event in 5 s", cause="no-initial-event")

    assert list(json.loads(JSONLines().status(line)).items())[-2:] == [
        ("reason", "no event in 5 s"),
        ("cause", "no-initial-event"),
    ]


def test_a_grant_says_until_when() -> None:
    until = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)

    grant = GrantedFor("uuid:1", 1800.0, until)
    line = json.loads(JSONLines().status(StatusLine(NOON, SOURCE, "granted", "1800 s", grant)))

    assert line["reason"] == "until 2026-05-01T10:30:00+00:00, 1800 s"
    assert line["grant"] == {
        "sid": "uuid:1",
        "duration": 1800.0,
        "until": "2026-05-01T10:30:00+00:00",
    }


def test_a_grant_without_an_end_has_null() -> None:
    grant = GrantedFor("uuid:1")
    line = JSONLines().status(StatusLine(NOON, SOURCE, "granted", "without an end", grant))

    assert json.loads(line)["reason"] == "without an end"
    assert json.loads(line)["grant"] == {"sid": "uuid:1", "duration": None, "until": None}


def test_a_problem_is_one_object_on_one_line() -> None:
    line = JSONLines().problem(ProblemLine(NOON, SOURCE, "an & that is not escaped"))

    assert list(json.loads(line).items())[1:] == [
        ("kind", "problem"),
        ("device", "Workbench"),
        ("service", "Thermometer"),
        ("udn", "uuid:d"),
        ("service_id", "urn:x:serviceId:T"),
        ("problem", "an & that is not escaped"),
    ]


@pytest.mark.parametrize("raw", [True, False])
def test_a_variable_that_comes_several_times_has_all_its_values(*, raw: bool) -> None:
    told = event(*(Change("V", int(text), None, None, None, text) for text in ("01", "2", "3")))

    line = json.loads(JSONLines(raw=raw).event(EventLine(NOON, SOURCE, told)))

    assert line["changes"] == {"V": "3" if raw else 3}
    assert line["earlier"] == {"V": ["01", "2"] if raw else [1, 2]}


def test_what_belongs_to_no_service_or_device_has_null() -> None:
    form = JSONLines()
    of_device = json.loads(form.status(StatusLine(NOON, Source("Workbench", ""), "hosted", "")))
    of_none = json.loads(form.status(StatusLine(NOON, None, "notify-refused", "")))

    assert (of_device["device"], of_device["service"]) == ("Workbench", None)
    assert (of_none["device"], of_none["service"]) == (None, None)


def test_nothing_stands_before_the_first_object() -> None:
    assert JSONLines().begin([SOURCE]) == ""


OVEN = Source("Kitchen", "Oven", "uuid:1", "urn:x:serviceId:Oven")
BAKE = Action(
    "Bake",
    (
        Argument("Heat", "in", StateVariable("ui2", name="Temperature", maximum=300, step=5)),
        Argument("Mode", "in", StateVariable("string", name="Mode", allowed=["air", "grill"])),
        Argument("Price", "out", StateVariable("fixed.14.4", name="P", minimum=1), retval=True),
        Argument("Ready", "out", StateVariable("boolean", name="Ready")),
        Argument("Data", "out", StateVariable("bin.hex", name="Data")),
    ),
)


def test_an_answer_has_the_out_arguments_as_json_or_as_on_the_wire() -> None:
    values = {"Price": Decimal("2.5"), "Ready": True, "Data": b"\x00\xff", "More": "\x1b[2J"}
    line = JSONLines().answer(AnswerLine(NOON, OVEN, BAKE, values))
    assert "\x1b" not in line
    assert json.loads(line) == {
        "time": NOON.isoformat(timespec="milliseconds"),
        "kind": "answer",
        "device": "Kitchen",
        "service": "Oven",
        "udn": "uuid:1",
        "service_id": "urn:x:serviceId:Oven",
        "action": "Bake",
        "arguments": {"Price": "2.5", "Ready": True, "Data": "00FF", "More": "\x1b[2J"},
    }
    unread = JSONLines().answer(AnswerLine(NOON, OVEN, BAKE, {"Ready": None}))
    assert json.loads(unread)["arguments"] == {"Ready": None}


def test_a_fault_has_its_code_and_its_description() -> None:
    line = json.loads(JSONLines().fault(FaultLine(NOON, OVEN, "Bake", ActionError(701, "shut"))))
    assert (line["action"], line["code"], line["description"]) == ("Bake", 701, "shut")


def test_an_action_has_its_arguments_with_types_ranges_and_allowed_values() -> None:
    line = json.loads(JSONLines().action(ActionLine(NOON, OVEN, BAKE)))
    assert line["action"] == "Bake"
    heat, mode, price, ready, _ = line["arguments"]
    assert heat == {
        "name": "Heat",
        "direction": "in",
        "retval": False,
        "variable": "Temperature",
        "type": "ui2",
        "minimum": None,
        "maximum": 300,
        "step": 5,
        "allowed": None,
    }
    assert mode["allowed"] == ["air", "grill"]
    assert (price["direction"], price["retval"], price["minimum"]) == ("out", True, "1")
    assert (ready["retval"], ready["type"]) == (False, "boolean")


def test_a_service_has_the_names_of_its_actions_or_the_reason_for_none() -> None:
    kind = "urn:example-org:service:Oven:1"
    line = json.loads(JSONLines().service(ServiceLine(NOON, OVEN, kind, ("Bake", "Stop"))))
    assert (line["service_type"], line["actions"]) == (kind, ["Bake", "Stop"])
    assert line["problem"] is None
    line = json.loads(JSONLines().service(ServiceLine(NOON, OVEN, kind, None, "gone")))
    assert (line["actions"], line["problem"]) == (None, "gone")
