from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from propchange import ActionError, DeviceDescription, Sighting, SightingKind, StateVariable
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
    ProblemLine,
    ServiceLine,
    Source,
    StatusLine,
)
from propchange.cli.terminal import TerminalLines
from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.rules import diagnose
from propchange.core.subscriber.events import Change, Event, Status
from propchange.core.wire.messages import Request
from propchange.upnp.actions import Action, Argument

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SOURCE = Source("Workbench", "Thermometer")


UNTIL = GrantedFor("uuid:1", 60.0, NOON + timedelta(seconds=60))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> TerminalLines:
    """Without colours: what is written is what is read."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")
    return TerminalLines(io.StringIO())


def change(variable: str, value: object, text: str = "as received") -> Change:
    return Change(variable, value, None, None, None, text)


def event(*details: Change, seq: int | None = 7, initial: bool = False, merged: int = 0) -> Event:
    return Event(None, "uuid:1", seq, {}, details, is_initial=initial, merged=merged)


def test_a_line_has_time_device_service_seq_variable_and_value(form: TerminalLines) -> None:
    line = form.event(EventLine(NOON, SOURCE, event(change("Temperature", 20.5))))

    assert line.split() == ["12:00:00.250", *SOURCE[:2], "7", "Temperature", "20.5"]


def test_the_columns_stand_below_their_names(form: TerminalLines) -> None:
    names = form.begin([SOURCE])
    line = form.event(EventLine(NOON, SOURCE, event(change("Volume", "loud"))))

    for name, text in [("time", "12:"), ("device", "Workb"), ("service", "Therm"), ("SEQ", "  7")]:
        assert names.index(name) == line.index(text)
    assert names.index("variable") == line.index("Volume")
    assert names.index("value") == line.index("loud")


def test_a_hosted_device_begins_with_how_to_set_a_variable_and_the_columns_of_statuses(
    form: TerminalLines,
) -> None:
    hint, names = form.begin_hosted([SOURCE], "Thermometer.Temperature=20").splitlines()
    line = form.status(StatusLine(NOON, SOURCE, "expired", "x"))

    assert hint.endswith("such as Thermometer.Temperature=20")
    assert names.split() == ["time", "device", "service", "status"]
    assert names.index("status") == line.index("expired")
    assert form.begin_hosted([SOURCE], "").splitlines() == [names]


def test_each_variable_of_an_event_has_a_line_and_the_first_says_where_from(
    form: TerminalLines,
) -> None:
    told = event(change("Temperature", 31), change("Alarm", True))

    first, second = form.event(EventLine(NOON, SOURCE, told)).splitlines()

    assert second.split() == ["Alarm", "true"]
    assert first.index("Temperature") == second.index("Alarm")
    assert first.index("31") == second.index("true")


def test_wide_characters_count_twice(form: TerminalLines) -> None:
    form.begin([Source("温度計", "S")])
    wide = form.event(EventLine(NOON, Source("温度計", "S"), event(change("V", 1))))
    narrow = form.event(EventLine(NOON, Source("abcdef", "S"), event(change("V", 1))))

    assert wide.index("V") + 3 == narrow.index("V")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (False, "false"),
        (20.5, "20.5"),
        ("text", "text"),
        ("", '""'),
        (b"\x00\x01", "as received"),
        (None, "as received  (undeclared, or not of its declared type)"),
    ],
)
def test_values_are_shown_as_a_reader_would_write_them(
    form: TerminalLines, value: object, shown: str
) -> None:
    line = form.event(EventLine(NOON, SOURCE, event(change("V", value))))

    assert line.split("V", 1)[1].strip() == shown


def test_initial_and_merged_events_are_marked(form: TerminalLines) -> None:
    told = event(change("A", 1), change("B", 2), initial=True, merged=2)

    first, second = form.event(EventLine(NOON, SOURCE, told)).splitlines()

    assert first.endswith("1  initial  3 events in one")
    assert second.endswith("2")


def test_an_event_without_variables_or_seq_still_has_a_line(form: TerminalLines) -> None:
    line = form.event(EventLine(NOON, SOURCE, event(seq=None, initial=True)))

    assert line.split() == ["12:00:00.250", *SOURCE[:2], "-", "no", "variables", "initial"]


@pytest.mark.parametrize("raw", [False, True])
def test_nothing_from_the_network_controls_a_terminal_in_colour(
    monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    form = TerminalLines(Terminal(), raw=raw)
    evil = "\x1b]0;owned\x07\x1b[2J\x9b1m[bold red]x[/] [link=http://e]y[/link] :smile:\r\n\u202e"
    source = Source(evil, evil)
    message = Request(
        "NOTIFY", "/" + evil, [(b"SID", b"\x1b[31m\x9b"), (b"X", b"[b]")], b"\x1b[0m\xff\xc2\x9b"
    )
    shown = (
        form.begin([source])
        + form.event(EventLine(NOON, source, event(Change(evil, evil, 0, 1, evil, evil)), message))
        + form.status(StatusLine(NOON, source, "deaf", evil))
    )

    own_colours = re.compile(r"\x1b\[[0-9;]*m")
    assert own_colours.search(shown)
    rest = own_colours.sub("", shown)
    assert all(character.isprintable() or character == "\n" for character in rest)
    assert "[bold red]x[/] [link=http://e]y[/link] :smile:" in rest


def test_raw_shows_the_whole_notify_above_the_event_and_its_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    form = TerminalLines(io.StringIO(), raw=True)
    message = Request(
        "NOTIFY", "/x", [(b"Host", b"h"), (b"SEQ", b"7")], b"<a>\r\n \xc3\xa4</a>\r\n"
    )

    lines = form.event(
        EventLine(NOON, SOURCE, event(change("V", True, "yes")), message)
    ).splitlines()

    assert [line.rstrip() for line in lines[:-1]] == [
        "  | NOTIFY /x HTTP/1.1",
        "  | Host: h",
        "  | SEQ: 7",
        "  |",
        "  | <a>",
        "  |  ä</a>",
    ]
    assert lines[-1].split()[-2:] == ["V", "yes"]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TerminalLines]:
    """A terminal of 80 columns, or of as many as are said."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    def make(columns: int = 80, **options: Any) -> TerminalLines:
        monkeypatch.setenv("COLUMNS", str(columns))
        return TerminalLines(io.StringIO(), **options)

    return make


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_long_value_is_cut_at_the_end_of_the_line_and_what_is_said_of_it_is_not(
    narrow: Any, columns: int
) -> None:
    long = "日本x" * 2000
    told = event(change("V", long), change("W", None, long), change("N", 1), initial=True, merged=1)
    lines = narrow(columns).event(EventLine(NOON, SOURCE, told)).splitlines()

    assert len(lines) == 3
    assert lines[0].endswith("…  initial  2 events in one")
    assert lines[1].endswith("…  (undeclared, or not of its declared type)")
    assert lines[2].endswith("1")
    if columns > 80:
        assert all(columns - 3 <= cell_len(line) <= columns for line in lines[:2])


def test_with_full_no_value_is_cut_and_a_short_one_is_never(narrow: Any) -> None:
    told = EventLine(NOON, SOURCE, event(change("V", "x" * 5000)))
    assert "x" * 5000 in narrow(full=True).event(told)
    assert "…" not in narrow().event(EventLine(NOON, SOURCE, event(change("V", "x" * 24))))


_URL = "http://192.168.100.200:49152/a/description/with/a/long/path.xml"
_SENTENCE = f"granted, but no event from the device in 5 s: it was told to send to {_URL}, which is"


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_no_word_of_a_sentence_is_broken(narrow: Any, columns: int) -> None:
    form = narrow(columns)
    diagnosis = diagnose(
        Facts(event_url="u", status=Status.SUBSCRIBING, failure=_SENTENCE, failure_status=500)
    )
    for shown in (
        form.status(StatusLine(NOON, SOURCE, "deaf", _SENTENCE)),
        form.status(StatusLine(NOON, SOURCE, "granted", _SENTENCE, UNTIL)),
        form.problem(ProblemLine(NOON, SOURCE, _SENTENCE)),
        form.diagnosis(DiagnosisLine(NOON, SOURCE, diagnosis)),
    ):
        words = [word.strip("()") for word in shown.split()]
        assert [word for word in _SENTENCE.split() if word not in words] == []
        for line in shown.splitlines():
            assert cell_len(line) <= columns or len(line.split()) <= 4 or "  | " in line


def test_a_sentence_whose_words_the_columns_leave_no_room_for_has_a_line_of_its_own(
    narrow: Any,
) -> None:
    line = StatusLine(NOON, SOURCE, "hosted", _URL)
    assert narrow(100).status(line).splitlines() == [
        "12:00:00.250  Workbench  Thermometer",
        f"    hosted: {_URL}",
    ]
    assert len(narrow(200).status(line).splitlines()) == 1


def test_what_is_wrong_with_a_description_stands_below_its_device(narrow: Any) -> None:
    description = DeviceDescription(
        url=_URL, udn="uuid:1", friendly_name="Bench", device_type="x", problems=(_SENTENCE,)
    )
    sighting = Sighting(SightingKind.APPEARED, "uuid:1", (), (_URL,), True, None, None)
    shown = narrow().device(DeviceLine(NOON, sighting, description, None))
    assert shown.splitlines()[4].startswith("    problem: granted, but no event")
    assert all(line.startswith("    ") for line in shown.splitlines()[1:])


def test_a_service_that_owes_no_event_is_told_as_active(form: TerminalLines) -> None:
    line = StatusLine(NOON, SOURCE, "active", "no event is due", cause="nothing-evented")
    assert "active: no event is due" in form.status(line)


def test_a_status_says_why(form: TerminalLines) -> None:
    line = form.status(StatusLine(NOON, SOURCE, "deaf", "no event in 5 s"))

    assert line.split(maxsplit=3)[3].strip() == "deaf: no event in 5 s"


def test_a_grant_says_until_when(form: TerminalLines) -> None:
    def grant(**span: int) -> GrantedFor:
        return GrantedFor("uuid:1", 1.0, NOON + timedelta(**span))

    soon = form.status(StatusLine(NOON, SOURCE, "granted", "1800 s", grant(hours=1)))
    later = form.status(StatusLine(NOON, SOURCE, "granted", "9 d", grant(days=9)))

    assert soon.endswith("granted until 13:00:00 (1800 s)\n")
    assert later.endswith("granted until 2026-05-10 12:00:00 (9 d)\n")


def test_active_is_worth_a_line_only_after_deaf(form: TerminalLines) -> None:
    active = StatusLine(NOON, SOURCE, "active", "events arrive")
    deaf = StatusLine(NOON, SOURCE, "deaf", "…")

    lines = [form.status(line) for line in (active, deaf, active, active)]

    assert [bool(line) for line in lines] == [False, True, True, False]


def test_a_hosted_device_has_its_urls_in_columns(form: TerminalLines) -> None:
    url = "http://192.0.2.7:8123"
    urls = {"Lamp": f"{url}/Lamp/event", "Thermometer": f"{url}/Thermometer/event"}
    places = (f"{url}/description.xml", "http://[fd00::7]:8123/description.xml")
    told = form.hosted(HostedLine(NOON, "Desk\x1b", "uuid:1", places, urls))

    assert told.splitlines() == [
        "Desk\\x1b",
        *(f"    {place}" for place in places),
        "    uuid:1",
        f"    Lamp         {url}/Lamp/event",
        f"    Thermometer  {url}/Thermometer/event",
    ]


OVEN = Source("Kitchen", "Oven")
BAKE = Action(
    "Bake",
    (
        Argument("Heat", "in", StateVariable("ui2", minimum=30, maximum=300, step=5)),
        Argument("Mode", "in", StateVariable("string", allowed=["hot air", "grill"])),
        Argument("Note", "in", StateVariable("string")),
        Argument("Ready", "out", StateVariable("boolean"), retval=True),
        Argument("At", "out", StateVariable("dateTime.tz")),
    ),
)


def test_an_action_is_printed_with_its_arguments_and_the_values_that_they_take(
    form: TerminalLines,
) -> None:
    assert form.action(ActionLine(NOON, OVEN, BAKE)).splitlines() == [
        "Bake",
        "    in   Heat   ui2: from 30 to 300 in steps of 5",
        "    in   Mode   string: hot air, grill",
        "    in   Note   string",
        "    out  Ready  boolean",
        "    out  At     dateTime.tz",
    ]
    assert form.action(ActionLine(NOON, OVEN, Action("Stop"))) == "Stop\n"


def test_a_service_is_printed_with_the_names_of_its_actions(form: TerminalLines) -> None:
    kind = "urn:example-org:service:Oven:1"
    there = form.service(ServiceLine(NOON, OVEN, kind, ("Bake", "Stop\x1b")))
    assert there.splitlines() == [f"Oven  {kind}", "    Bake, Stop\\x1b"]
    unread = form.service(ServiceLine(NOON, OVEN, kind, None, "no\nanswer"))
    assert unread.splitlines() == [f"Oven  {kind}", "    no\\nanswer"]


def test_each_out_argument_is_a_line_that_can_be_given_to_a_call(form: TerminalLines) -> None:
    values = {"Ready": True, "At": NOON, "Heat\x1b": "a\n\u202eb=c", "Empty": ""}
    assert form.answer(AnswerLine(NOON, OVEN, BAKE, values)).splitlines() == [
        "Ready=true",
        "At=2026-05-01T12:00:00.250000+00:00",
        r"Heat\x1b=a\n\u202eb=c",
        "Empty=",
    ]
    assert form.answer(AnswerLine(NOON, OVEN, BAKE, {})) == ""
    long = form.answer(AnswerLine(NOON, OVEN, BAKE, {"X": "word " * 100}))
    assert long == "X=" + "word " * 100 + "\n"


def test_an_out_argument_that_does_not_fit_its_type_is_marked(form: TerminalLines) -> None:
    line = form.answer(AnswerLine(NOON, OVEN, BAKE, {"Ready": None}))
    assert line == "Ready=  (not of its declared type)\n"


def test_a_call_of_a_hosted_action_is_one_line(form: TerminalLines) -> None:
    arguments = {"InstanceID": 0, "Mute": True, "Heat\x1b": "\x1b[31m", "Long": "x" * 100}
    line = CalledLine(NOON, OVEN, "192.0.2.7", "Bake", arguments, {"Ready": False})
    told = " ".join(form.called(line).split())
    assert told.endswith(
        r"called: Bake(InstanceID=0, Mute=true, Heat\x1b=\x1b[31m, "
        f"Long={'x' * 59}…) by 192.0.2.7, answered Ready=false"
    )
    fault = CalledLine(NOON, OVEN, "192.0.2.7", "Bake", {}, None, ActionError(701, "closed"))
    assert "called: Bake() by 192.0.2.7, answered 701: closed" in form.called(fault)
    nothing = CalledLine(NOON, OVEN, "192.0.2.7", "Bake", {}, {}, None, " (3 more)")
    assert form.called(nothing).rstrip().endswith("Bake() by 192.0.2.7 (3 more)")


def test_a_fault_is_on_standard_error_only(form: TerminalLines) -> None:
    assert form.fault(FaultLine(NOON, OVEN, "Bake", ActionError(701, "closed"))) == ""
