"""Draws the table of ``propchange watch --all`` on a terminal.

The table is drawn on the alternate screen, at a bounded rate, and only while the terminal takes the
text. In the end the alternate screen is left, and the whole table is printed once, so that its last
state can be read and scrolled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from typing import Self, TextIO

from rich.console import Console
from rich.text import Text

from propchange.cli.event_table import EventTable
from propchange.cli.lines import now
from propchange.cli.output import Writer
from propchange.cli.table_layout import TableLayout

_DRAW_SECONDS = 0.25
"""Seconds between two drawings, at least. Events between them cost only their counting."""

_DRAW_PART = 20
"""The pause after a drawing is this many times the time that it took, at least. Bounds the part of
the time that is spent on drawing thousands of rows."""

# The alternate screen, without a cursor, and without wrapping: a character that is wider on the
# terminal than here must not move the lines below it.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
# The table is cleared first: a terminal without an alternate screen still shows it.
_LEAVE = "\x1b[H\x1b[J\x1b[?7h\x1b[?25h\x1b[?1049l"
_STOP_SECONDS = 1.0
"""Seconds for which the terminal may take the last text before Ctrl-Z stops the process."""

_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def can_draw(stream: TextIO | None) -> bool:
    """Whether ``stream`` is a terminal on which the cursor can be moved."""
    if stream is None or not stream.isatty():
        return False
    if os.name != "nt" and not os.environ.get("TERM"):
        return False
    console = Console(file=stream)
    return not console.is_dumb_terminal and not console.legacy_windows


class Screen:
    """Draws ``table`` on ``stream`` by ``writer``. A context manager: enter it, run :meth:`draw`.
    Leaving calls :meth:`finish`. ``heading`` returns words for the first line."""

    def __init__(
        self,
        stream: TextIO,
        writer: Writer,
        table: EventTable,
        heading: Callable[[], str] = str,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._heading = heading
        self._layout = TableLayout(table, encoding=stream.encoding or "ascii")
        # It prints Text objects only: in these, nothing is markup, an emoji code or highlighted.
        self._console = Console(file=stream)
        self._drawn = ""
        self._finished = False

    def __enter__(self) -> Self:
        self._writer.put(_ENTER)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.finish()

    async def draw(self) -> None:
        """Draw the table whenever it has changed, until cancelled."""
        stopped, clock = asyncio.Event(), asyncio.get_running_loop().time
        # Ctrl-Z. Windows has no such signal, and loops there take no signal handlers.
        with contextlib.suppress(AttributeError, NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, stopped.set)
        while True:
            begun = clock()
            if self._writer.is_idle:
                self._draw()
            pause = max(_DRAW_SECONDS, _DRAW_PART * (clock() - begun))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), pause)
                stopped.clear()
                await self._stop()

    async def _stop(self) -> None:
        """Give the terminal back to the shell, and stop until the shell continues the process."""
        self._writer.put(_LEAVE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._writer.taken()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._writer.put(_ENTER)
        self._drawn = ""

    def _draw(self) -> None:
        width, height = self._size()
        lines = self._layout.screen(width, height, now(), heading=self._heading())
        text = _HOME + f"{_END_OF_LINE}\n".join(self._rendered(lines))
        text += _END_OF_LINE + _END_OF_SCREEN
        if text != self._drawn:
            self._drawn = text
            self._writer.put(text)

    def finish(self) -> None:
        """Leave the alternate screen and print the whole table. Does nothing when called again."""
        if not self._finished:
            self._finished = True
            lines = self._layout.whole(self._size()[0], now())
            self._writer.put(_LEAVE + "".join(f"{line}\n" for line in self._rendered(lines)))

    def _rendered(self, lines: Sequence[Text]) -> list[str]:
        with self._console.capture() as capture:
            self._console.print(Text("\n").join(lines), soft_wrap=True, end="")
        return capture.get().split("\n")

    def _size(self) -> tuple[int, int]:
        """The present width and height of the terminal."""
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns and size.lines:
                return size
        return shutil.get_terminal_size()
