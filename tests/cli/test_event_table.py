"""The table of ``watch --all``: what happens to devices and services in, rows out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from propchange import DeviceDescription, Sighting, SightingKind
from propchange.cli.event_table import EventTable, RecentRate, Row
from propchange.cli.lines import DeviceLine, EventLine, ProblemLine, Source, StatusLine
from propchange.core.subscriber.events import Change, Event
from propchange.upnp.description import ServiceDescription

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LAMP = Source("Desk", "Lamp", "uuid:desk")
CLOCK = Source("Desk", "Clock", "uuid:desk")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(
    source: Source = LAMP, seconds: float = 0, *, merged: int = 0, **values: str
) -> EventLine:
    changes = tuple(Change(name, value, None, None, None, value) for name, value in values.items())
    return EventLine(at(seconds), source, Event(None, "", 0, {}, changes, merged=merged))


def status(
    status: str,
    reason: str = "",
    *,
    source: Source | None = LAMP,
    seconds: float = 0,
    cause: str = "",
) -> StatusLine:
    return StatusLine(at(seconds), source, status, reason, None, cause)


def device(
    kind: str,
    *services: str,
    udn: str = "uuid:desk",
    seconds: float = 0,
    problem: str | None = None,
) -> DeviceLine:
    sighting = Sighting(SightingKind(kind), udn, (), ("http://192.0.2.7/",), True, None, None)
    described = DeviceDescription(
        "http://192.0.2.7/",
        udn,
        "Desk",
        "x",
        services=tuple(
            ServiceDescription(f"urn:x:service:{name}:1", name, "", "", "http://192.0.2.7/e", udn)
            for name in services
        ),
    )
    return DeviceLine(at(seconds), sighting, None if problem else described, problem)


def row(table: EventTable, source: Source = LAMP) -> Row:
    (found,) = [each for each in table if each.source == source]
    return found


def test_a_service_has_a_row_before_it_is_granted() -> None:
    table = EventTable()
    table.expect([LAMP, CLOCK], NOON)

    assert [(each.source, each.shown_status, each.events) for each in table] == [
        (LAMP, "subscribing", 0),
        (CLOCK, "subscribing", 0),
    ]


def test_events_are_counted_and_the_last_change_is_shown() -> None:
    table = EventTable()
    table.status(status("granted"))
    table.event(event(On="0"))
    table.status(status("active"))
    table.event(event(seconds=1, On="1", merged=4))

    lamp = row(table)
    assert (lamp.shown_status, lamp.events, lamp.changes) == ("active", 6, (("On", "1"),))
    assert lamp.event_at == at(1)
    assert table.number_of_events == 6


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    rate = RecentRate()
    rate.add(1, 100.0)
    for second in range(110, 120):
        rate.add(5, second + 0.5)
    assert rate.per_second(119.9) == 5.0
    assert rate.per_second(124.0) == 2.5
    assert rate.per_second(500.0) == 0.0
    rate.add(10, 500.0)
    assert rate.per_second(100.0) == 0.0  # the clock was set back
    rate.add(20, 100.0)
    assert rate.per_second(100.0) == 2.0


def test_a_device_that_leaves_is_gone_and_goes_on_with_its_count_when_it_is_back() -> None:
    table = EventTable()
    table.device(device("appeared", "Lamp"))
    table.status(status("active"))
    table.event(event(On="0"))
    table.device(device("gone", "Lamp", seconds=1))
    assert row(table).shown_status == "gone"
    assert (table.number_of_devices, table.number_of_services) == (0, 0)
    table.status(status("lost", "byebye", seconds=2))
    assert row(table).shown_status == "gone"

    table.device(device("appeared", "Lamp", seconds=9))
    assert row(table).shown_status == "lost"
    table.status(status("resubscribed", seconds=9))
    table.status(status("active", seconds=9))
    table.event(event(seconds=9, On="1"))
    assert (row(table).shown_status, row(table).events) == ("active", 2)
    assert len(table) == 1


def test_a_device_that_goes_on_sending_events_has_not_gone_whatever_was_announced() -> None:
    table = EventTable()
    table.device(device("appeared", "Lamp"))
    table.status(status("active"))
    table.device(device("gone", "Lamp"))
    table.event(event(On="0"))
    assert row(table).shown_status == "active"


def test_a_device_that_leaves_has_gone_although_it_still_grants_a_renewal() -> None:
    table = EventTable()
    table.device(device("appeared", "Lamp"))
    table.status(status("active"))
    table.device(device("gone", "Lamp"))
    for seconds in (0.01, 2.1):
        table.status(status("renewed", seconds=seconds))
        assert row(table).shown_status == "gone"
    table.status(status("renewed", seconds=900))
    assert row(table).shown_status == "active"


def test_the_services_of_embedded_devices_go_with_their_root() -> None:
    table = EventTable()
    inner = Source("Desk", "Lamp", "UUID:Inner")
    table.expect([LAMP, inner], NOON)
    line = device("gone", "Lamp")
    description: Any = line.description
    embedded = DeviceDescription("http://192.0.2.7/", "uuid:inner", "Inner", "x")
    line = line._replace(
        description=DeviceDescription(
            description.url, description.udn, "Desk", "x", devices=(embedded,)
        )
    )
    table.device(line)

    assert [each.shown_status for each in table] == ["gone", "gone"]


def test_why_a_service_does_not_work_is_in_its_row() -> None:
    table = EventTable()
    table.status(status("refused", "it was answered 503"))
    assert (row(table).shown_status, row(table).reason) == ("refused", "it was answered 503")
    for cause, shown in (
        ("refused", "refused"),
        ("unreachable", "unreachable"),
        ("description", "unreadable"),
        ("nothing-known", "subscribing"),
    ):
        table.status(status("subscribing", "why", cause=cause))
        assert (row(table).shown_status, row(table).reason) == (shown, "why")
        assert not row(table).works
    table.status(status("granted"))
    assert (row(table).works, row(table).reason) == (True, "")


def test_a_description_that_cannot_be_read_is_a_row_until_it_can_or_the_device_leaves() -> None:
    table = EventTable()
    table.device(device("appeared", problem="404", udn="uuid:a"))
    table.device(device("appeared", problem="500", udn="uuid:b"))
    assert [(each.shown_status, each.reason) for each in table] == [
        ("unreadable", "404"),
        ("unreadable", "500"),
    ]
    line = device("appeared", "Lamp", udn="uuid:c")._replace(problem="it is one too many")
    table.device(line)
    assert [each.shown_status for each in table][2:] == ["not watched"]
    table.device(device("gone", "Lamp", udn="uuid:c"))
    table.device(device("gone", problem="", udn="uuid:a"))
    table.device(device("appeared", "Lamp", udn="uuid:b"))
    assert len(table) == 0


def test_a_device_that_sends_no_events_has_a_row_that_says_so() -> None:
    table = EventTable()
    table.device(device("appeared"))
    (silent,) = table
    assert (silent.source, silent.shown_status) == (Source("Desk", "", "uuid:desk"), "no events")
    assert (table.number_of_devices, table.number_of_services) == (1, 0)
    table.device(device("gone"))
    assert silent.shown_status == "gone"


def test_what_changes_no_subscription_is_the_notice() -> None:
    table = EventTable()
    table.status(status("active"))
    table.status(status("notify-refused", "who?", source=None))
    assert table.notice == (NOON, None, "notify-refused: who?")
    table.status(status("seq-unreliable", "no SEQ"))
    assert table.notice == (NOON, LAMP, "seq-unreliable: no SEQ")
    table.problem(ProblemLine(NOON, CLOCK, "bad XML"))
    assert table.notice == (NOON, CLOCK, "problem: bad XML")
    assert row(table).shown_status == "active"
    assert len(table) == 1


def test_if_not_all_rows_fit_the_busiest_are_there_and_then_the_latest() -> None:
    table = EventTable()
    sources = [Source(f"d{number}", "s", f"uuid:{number}") for number in range(6)]
    table.expect(sources, NOON)
    table.event(event(sources[4], 1, a="1"))
    table.event(event(sources[1], 2, a="1"))
    table.event(event(sources[1], 2, a="1"))
    table.status(status("deaf", source=sources[2], seconds=3))

    assert [each.source for each in table.rows(2, at(3))] == [sources[1], sources[4]]
    assert [each.source for each in table.rows(3, at(3))] == [sources[1], sources[2], sources[4]]
    assert [each.source for each in table.rows(6, at(3))] == sources
    assert table.rows(0, at(3)) == []


def test_the_rows_are_bounded_and_devices_that_have_gone_make_room_first() -> None:
    table = EventTable(limit=3)
    sources = [Source(f"d{number}", "s", f"uuid:{number}") for number in range(5)]
    for number, source in enumerate(sources[:3]):
        table.expect([source], at(number))
    table.device(device("gone", udn="uuid:2", seconds=9))
    table.expect([sources[3]], at(10))
    assert [each.source for each in table] == [sources[0], sources[1], sources[3]]
    table.expect([sources[4]], at(11))
    assert [each.source for each in table] == [sources[1], sources[3], sources[4]]


def test_a_row_keeps_only_the_start_of_what_a_device_sends() -> None:
    table = EventTable()
    long = "x" * 1_000_000
    table.event(event(**{f"{long}{number}": long for number in range(50)}))
    table.status(status("failed", long))
    table.problem(ProblemLine(NOON, LAMP, long))

    kept = row(table)
    assert len(kept.changes) == 8
    assert max(len(str(text)) for pair in kept.changes for text in pair) == 200
    assert len(kept.reason) == 200
    assert table.notice is not None
    assert len(table.notice[2]) == 200
