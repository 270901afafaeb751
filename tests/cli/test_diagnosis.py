"""``propchange watch --diagnose``: the facts, the verdict, and a status to go by."""

from __future__ import annotations

import io
import json
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from propchange.cli.exit_status import CommandFailed
from propchange.cli.jsonlines import JSONLines
from propchange.cli.lines import DiagnosisLine, Source
from propchange.cli.terminal import TerminalLines
from propchange.cli.watch import Diagnosed, write_diagnoses
from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.rules import diagnose
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Status

NOON = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
EVIL = "\x1b[2J\r\n\u202e"


def well() -> Diagnosis:
    return diagnose(Facts(event_url="http://10.0.0.1/e", status=Status.ACTIVE, last_event_ago=3.0))


def refused(why: str = "503") -> Diagnosis:
    return diagnose(
        Facts(
            event_url="http://10.0.0.1/e",
            status=Status.SUBSCRIBING,
            failure=f"the device answered SUBSCRIBE with {why}",
            failure_status=503,
        )
    )


def test_a_device_whose_events_arrive_is_status_0(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", "--diagnose", workbench.url)

    told = json.loads(ran.out)
    assert (ran.status, ran.err) == (0, "")
    assert (told["url"], told["well"]) == (workbench.url, True)
    assert {each["service"] for each in told["services"]} == {"Thermometer", "Values"}
    assert {each["verdict"] for each in told["services"]} == {"events-arrive"}
    assert told["services"][0]["facts"]["SUBSCRIBE"].startswith("granted ")
    assert len(ran.out.splitlines()) == 1


def test_a_single_service_or_an_event_url_can_be_diagnosed(workbench: Any, propchange: Any) -> None:
    event_url = workbench.url.replace("/description.xml", "/Thermometer/event")
    for arguments in ([workbench.url, "--service", "Thermometer"], [event_url]):
        ran = propchange("watch", "--diagnose", "--json", *arguments)
        (service,) = json.loads(ran.out)["services"]
        assert (ran.status, service["verdict"]) == (0, "events-arrive")
        assert service["facts"]["event URL"] == event_url


def test_a_device_that_is_not_there_is_status_1_and_one_line(propchange: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/description.xml"
    ran = propchange("watch", "--diagnose", url)

    (service,) = json.loads(ran.out)["services"]
    assert ran.status == 1
    assert service["verdict"] == "connection-refused"
    assert ran.err.startswith(f"propchange: {url.split('/')[2]} refuses connections; ")
    assert len(ran.err.splitlines()) == 1


def test_a_device_that_refuses_is_told_with_what_it_means(workbench: Any, propchange: Any) -> None:
    ran = propchange(
        "watch",
        "--diagnose",
        workbench.url,
        "--callback-host",
        "203.0.113.9",
        "--service",
        "Values",
    )

    (service,) = json.loads(ran.out)["services"]
    assert (ran.status, service["verdict"], service["well"]) == (1, "subscribe-refused", False)
    assert "SUBSCRIBE with 412: it will not send events to 203.0.113.9:" in ran.err


def test_a_wrong_url_is_status_2(propchange: Any) -> None:
    assert propchange("watch", "--diagnose", "ftp://127.0.0.1/").status == 2


# --- the forms ---


def test_people_get_the_verdict_before_the_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    found = [DiagnosisLine(NOON, Source("Desk", "Lamp"), well())]
    write_diagnoses(out, [Diagnosed("url", found)], TerminalLines(out))

    verdict, sentence, heading, *facts = out.getvalue().splitlines()
    assert verdict == "Desk Lamp: events-arrive"
    assert sentence.strip().startswith("events arrive: the last one came 3 s ago")
    assert heading == "facts"
    assert facts[0].split() == ["event", "URL", "http://10.0.0.1/e"]


def test_each_thing_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the verdict on several services nor a fact about the device is repeated, on standard
    error either."""
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    why = "because of a reason that is long enough to be a sentence"
    bad = [
        DiagnosisLine(NOON, Source("Desk", name), diagnosis)
        for name in "AB"
        for diagnosis in [refused(why)]
    ]
    found = [*bad, DiagnosisLine(NOON, Source("Desk", "C"), well())]
    with pytest.raises(CommandFailed) as failed:
        write_diagnoses(out, [Diagnosed("url", found)], TerminalLines(out))

    assert failed.value.lines == ()
    text = out.getvalue()
    assert text.splitlines()[0] == "Desk A, B: subscribe-refused"
    assert text.splitlines()[2] == "Desk C: events-arrive"
    assert text.count(why) == text.count("http://10.0.0.1/e") == 1
    headings = [line for line in text.splitlines() if line.startswith("facts")]
    assert headings == ["facts", "facts of A", "facts of B", "facts of C"]


def test_the_first_that_is_not_well_is_the_failure_and_all_are_written() -> None:
    out = io.StringIO()
    found = [
        DiagnosisLine(NOON, Source("Desk", name), each)
        for name, each in (("A", well()), ("B", refused()))
    ]
    with pytest.raises(CommandFailed, match=r"^B: the device answered SUBSCRIBE with 503$"):
        write_diagnoses(out, [Diagnosed("url", found)], JSONLines())

    assert [each["verdict"] for each in json.loads(out.getvalue())["services"]] == [
        "events-arrive",
        "subscribe-refused",
    ]


def test_an_output_that_cannot_be_written_is_told() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(CommandFailed, match="cannot write the output: No space left"):
        write_diagnoses(Full(), [Diagnosed("url", [])], JSONLines())
    write_diagnoses(None, [Diagnosed("url", [])], JSONLines())


@pytest.mark.parametrize("as_json", [True, False])
def test_nothing_that_a_peer_has_sent_reaches_the_terminal(as_json: bool) -> None:
    out = io.StringIO()
    found = [DiagnosisLine(NOON, Source(EVIL, EVIL), refused(EVIL))]
    with pytest.raises(CommandFailed):
        write_diagnoses(
            out, [Diagnosed(EVIL, found)], JSONLines() if as_json else TerminalLines(out)
        )
    written = out.getvalue()
    assert all(character.isprintable() or character == "\n" for character in written)
    if as_json:
        assert written.count("\n") == 1
        assert json.loads(written)["url"] == EVIL


def test_watch_prints_a_diagnosis_as_an_object_or_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")
    line = DiagnosisLine(NOON, Source("Desk", EVIL), refused(EVIL))

    told = json.loads(JSONLines().diagnosis(line))
    assert list(told) == ["time", "kind", "device", "service", "udn", "service_id", "diagnosis"]
    assert told["diagnosis"]["verdict"] == "subscribe-refused"
    assert told["diagnosis"]["facts"]["status"] == "subscribing"
    text = TerminalLines(io.StringIO()).diagnosis(line)
    assert "diagnosis: the device answered SUBSCRIBE with \\x1b[2J" in text
    assert "  | event URL   http://10.0.0.1/e" in text
    assert all(character.isprintable() or character == "\n" for character in text)
