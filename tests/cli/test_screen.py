"""When the table of ``watch --all`` is drawn, and on which terminals."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from propchange.cli import screen
from propchange.cli.event_table import EventTable
from propchange.cli.screen import Screen, can_draw
from tests.cli.test_event_table import LAMP, event


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Taken:
    """A writer to a terminal that takes the text, or does not."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_idle = True

    def put(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A screen that draws without pause, its table and its writer."""
    monkeypatch.setattr(screen, "_DRAW_SECONDS", 0.0)
    monkeypatch.setattr(screen, "_DRAW_PART", 0)
    table, writer = EventTable(), Taken()
    anything: Any = writer
    return Screen(Terminal(), anything, table), table, writer


async def turns(drawing: Screen, number: int = 50) -> None:
    """Let ``drawing`` draw in so many turns of the loop."""
    task = asyncio.create_task(drawing.draw())
    for _ in range(number):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_has_not_changed_is_not_drawn_again(drawn: Any) -> None:
    drawing, table, writer = drawn
    table.event(event(LAMP, On="1"))
    await turns(drawing)
    assert len(writer.texts) == 1
    table.event(event(LAMP, On="2"))
    await turns(drawing)
    assert len(writer.texts) == 2
    assert "On" in writer.texts[1]


async def test_nothing_is_drawn_while_the_terminal_does_not_take_the_last_drawing(
    drawn: Any,
) -> None:
    drawing, table, writer = drawn
    writer.is_idle = False
    for number in range(1_000):
        table.event(event(LAMP, On=str(number)))
        if number % 100 == 0:
            await turns(drawing, 5)
    assert writer.texts == []
    writer.is_idle = True
    await turns(drawing)
    assert "=999" in writer.texts[-1]


@pytest.mark.slow
async def test_events_between_two_drawings_cost_no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    table, writer = EventTable(), Taken()
    anything: Any = writer
    drawing = Screen(Terminal(), anything, table)
    task = asyncio.create_task(drawing.draw())
    for number in range(10_000):
        table.event(event(LAMP, On=str(number)))
        if number % 100 == 0:
            await asyncio.sleep(0)
    begun = asyncio.get_running_loop().time()
    while len(writer.texts) < 3:
        table.event(event(LAMP, On="1"))
        await asyncio.sleep(0.001)
    drawings = len(writer.texts)
    took = asyncio.get_running_loop().time() - begun
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert drawings <= 2 + took / 0.25 + 1


def test_the_whole_table_is_left_behind_once(drawn: Any) -> None:
    drawing, table, writer = drawn
    with drawing:
        for number in range(100):
            table.event(event(LAMP._replace(udn=f"uuid:{number}"), On="1"))
        drawing.finish()
    first, last = writer.texts
    assert first.startswith("\x1b[?1049h")
    assert last.startswith("\x1b[H\x1b[J\x1b[?7h\x1b[?25h\x1b[?1049l")
    assert last.count("\n") == 102


@pytest.mark.parametrize(
    ("term", "draws"),
    [("xterm-256color", True), ("linux", True), ("dumb", False), ("unknown", False), ("", False)],
)
def test_only_a_terminal_whose_cursor_moves_has_a_table(
    monkeypatch: pytest.MonkeyPatch, term: str, draws: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert can_draw(Terminal()) is draws
    assert not can_draw(io.StringIO())
    assert not can_draw(None)
