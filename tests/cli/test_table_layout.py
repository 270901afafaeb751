"""The text of the table of ``watch --all``, for terminals of any size."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from propchange.cli.event_table import EventTable
from propchange.cli.lines import ProblemLine, Source
from propchange.cli.table_layout import TableLayout, cut_apart
from tests.cli.test_event_table import NOON, at, device, event, status

HOSTILE = "a\x1b[31m\x85\u202eb\nc"


def shown(
    table: EventTable, width: int = 80, height: int = 24, encoding: str = "utf-8"
) -> list[str]:
    layout = TableLayout(table, encoding=encoding)
    return [line.plain for line in layout.screen(width, height, at(3))]


def full(number: int) -> EventTable:
    table = EventTable()
    for index in range(number):
        source = Source(f"Device {index}", "RenderingControl", f"uuid:{index}")
        table.expect([source], NOON)
        table.status(status("active", source=source))
    return table


def test_a_table_has_a_line_for_each_service() -> None:
    table = EventTable()
    lamp, clock = (Source("Desk", name, "uuid:desk") for name in ("Lamp", "Clock"))
    table.expect([lamp, clock], NOON)
    table.status(status("active", source=lamp))
    table.event(event(lamp, 1, On="1", Colour="red"))
    table.status(status("refused", "it was answered 503", source=clock, seconds=2))

    assert shown(table) == [
        "1 device, 2 services, 1 event, 0.1/s",
        "device  service  status   events  rate  last change",
        "Desk    Lamp     active        1   0.1  12:00:01 On=1 Colour=red",
        "Desk    Clock    refused       0        12:00:02 it was answered 503",
    ]


def test_a_small_terminal_has_a_line_that_says_how_many_more_there_are() -> None:
    lines = shown(full(40))
    assert len(lines) == 24
    assert lines[-1] == "and 19 more: 19 active"
    table = full(40)
    table.problem(ProblemLine(NOON, Source("Desk", ""), "bad XML"))
    lines = shown(table)
    assert len(lines) == 24
    assert lines[-2:] == ["and 20 more: 20 active", "12:00:00 Desk: problem: bad XML"]
    assert len(shown(full(22))) == 24
    assert "more" not in shown(full(22))[-1]


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 70))
def test_no_line_is_wider_and_no_screen_is_higher_than_the_terminal(
    width: int, height: int, number: int
) -> None:
    lines = shown(full(number), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_two_services_of_one_name_are_told_apart_by_udn() -> None:
    table = EventTable()
    udns = (
        "uuid:5f9ec1b3-ed59-79bb-4530-00e3b6ac3c8d",
        "uuid:5f9ec1b3-ed59-79bb-9981-00e3b6ac3c8d",
    )
    table.expect([Source("Living room", "RenderingControl", udn) for udn in udns], NOON)

    for width in (60, 80, 200):
        _, _, first, second = shown(table, width)
        assert "4530" in first, width
        assert "9981" in second, width


def test_services_of_one_name_in_one_device_are_told_apart_by_udn_or_service_id() -> None:
    table = EventTable()
    root, inner = "uuid:5f9ec1b3-0001-79bb", "uuid:5f9ec1b3-0002-79bb"
    ids = [f"urn:upnp-org:serviceId:SwitchPower{number}" for number in (1, 2)]
    table.expect([Source("Desk", each, root, each) for each in ids], NOON)
    table.expect(
        [Source("Desk", f"{root}/Volume", root), Source("Desk", f"{inner}/Volume", inner)], NOON
    )

    rows = [line.split()[:-2] for line in shown(table, 200)[2:]]
    assert rows == [
        ["Desk", "SwitchPower1"],
        ["Desk", "SwitchPower2"],
        ["Desk", "uuid:5f9ec1b3-0001…", "Volume"],
        ["Desk", "uuid:5f9ec1b3-0002…", "Volume"],
    ]
    for width in (60, 80):
        assert len({tuple(line.split()[:-2]) for line in shown(table, width)[2:]}) == 4


def test_what_a_device_calls_itself_moves_no_cursor() -> None:
    table = EventTable()
    source = Source(HOSTILE, HOSTILE, "uuid:a")
    table.event(event(source, 0, **{HOSTILE: HOSTILE}))
    table.status(status("failed", HOSTILE, source=Source(HOSTILE, "other", "uuid:b")))
    table.problem(ProblemLine(NOON, source, HOSTILE))
    for width in (40, 80, 300):
        for line in shown(table, width):
            assert line.isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp437"])
def test_a_terminal_gets_only_characters_that_it_can_show(encoding: str) -> None:
    table = EventTable()
    source = Source("Wohnzimmer für größte Ünder 日本語 😀" * 3, "Ωmega" * 9, "uuid:a")
    table.event(event(source, 0, Titel="日本語 😀 ä" * 30))
    lines = shown(table, 80, 24, encoding)
    for line in lines:
        line.encode(encoding)
        assert cell_len(line) <= 80


@given(
    st.lists(st.text(st.sampled_from("ab日 😀"), max_size=40), unique=True, max_size=30),
    st.integers(8, 30),
)
def test_different_names_stay_different_when_they_are_cut(texts: list[str], width: int) -> None:
    cut = cut_apart(texts, width)
    assert set(cut) == set(texts)
    assert len({each.rstrip() for each in cut.values()}) == len(texts)
    assert all(cell_len(each) <= width for each in cut.values())


def test_a_device_that_has_gone_shows_its_last_change() -> None:
    table = EventTable()
    source = Source("Desk", "Lamp", "uuid:desk")
    table.status(status("active", source=source))
    table.event(event(source, 1, On="1"))
    table.device(device("gone", "Lamp", seconds=2))
    table.status(status("lost", "the device said goodbye", source=source, seconds=2))

    assert shown(table)[2] == "Desk    Lamp     gone         1   0.1  12:00:01 On=1"


def test_the_whole_table_has_every_row_and_an_empty_one_says_where_it_looks() -> None:
    layout = TableLayout(full(300))
    assert len(layout.whole(80, datetime.now(UTC))) == 302
    empty = TableLayout(EventTable()).screen(80, 24, NOON, heading="searching from 192.0.2.1")
    assert empty[0].plain == "0 devices, 0 services, 0 events, 0/s  searching from 192.0.2.1"
