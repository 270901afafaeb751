"""Lines for people: time, device, service, SEQ, variable, value, in colour where there is some."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from propchange.cli.escaping import escape
from propchange.cli.lines import (
    DiagnosisLine,
    EventLine,
    Source,
    StatusLine,
    named_changes,
    plain_value,
)
from propchange.core.subscriber.events import Change
from propchange.core.wire.messages import Request

__all__ = ["TerminalLines"]

_TIME_WIDTH = len("12:00:00.000")
_WIDEST = 24
"""A column grows with what stands in it, up to here; longer names push the others aside."""

_STYLES = {
    "active": "green",
    "deaf": "bold red",
    "failed": "bold red",
    "foreign-source": "yellow",
    "granted": "green",
    "hosted": "green",
    "lost": "bold red",
    "notify-refused": "yellow",
    "refused": "bold red",
    "renewal-failed": "yellow",
    "renewed": "green",
    "resubscribed": "green",
    "resubscribing": "yellow",
    "seq-unreliable": "yellow",
    "untyped": "yellow",
}


class TerminalLines:
    """Lines for ``stream``, a terminal. Everything that came from the network is escaped, and
    nothing in it is markup.

    ``raw``: the whole NOTIFY as received stands above each event, whose values are the texts in
    it. ``sources`` are those that will come, if known: they set the width of the columns.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        # It is given Text alone, in which nothing is markup, an emoji code or highlighted.
        self._console = Console(file=stream)
        self._raw = raw
        self._device_width = len("device")
        self._service_width = len("service")
        self._variable_width = len("variable")
        self._deaf: set[Source | None] = set()

    def expect(self, source: Source) -> None:
        """Lines of ``source`` will come: make room for its names."""
        self._device_width = _grown(self._device_width, escape(source.device))
        self._service_width = _grown(self._service_width, escape(source.service))

    def begin(self) -> str:
        """The names of the columns."""
        line = Text(style="dim")
        line.append(_padded("time", _TIME_WIDTH))
        line.append("  " + _padded("device", self._device_width))
        line.append("  " + _padded("service", self._service_width))
        line.append("  SEQ  " + _padded("variable", self._variable_width) + "  value")
        return self._rendered([line])

    def event(self, line: EventLine) -> str:
        """A line per variable; the first one says what belongs to all of them."""
        lines: list[Text] = []
        if line.message is not None:
            lines += _message_lines(line.message)
        named = [
            (escape(name), change) for name, change in named_changes(line.event, raw=self._raw)
        ]
        for name, _ in named:
            self._variable_width = _grown(self._variable_width, name)
        start = self._start(line.time, line.source)
        seq = "-" if line.event.seq is None else str(line.event.seq)
        start.append(f"  {seq:>3}", "cyan")
        indent = " " * start.cell_len
        for number, (name, change) in enumerate(named):
            text = start if number == 0 else Text(indent)
            text.append("  " + _padded(name, self._variable_width), "bold")
            text.append("  ")
            self._append_value(text, change)
            if number == 0:
                _append_notes(text, line)
            lines.append(text)
        if not named:
            start.append("  no variables", "dim")
            _append_notes(start, line)
            lines.append(start)
        return self._rendered(lines)

    def status(self, line: StatusLine) -> str:
        """One line; none for "active" unless it was deaf: the initial event tells as much."""
        if line.status == "deaf":
            self._deaf.add(line.source)
        elif line.status == "active":
            if line.source not in self._deaf:
                return ""
            self._deaf.discard(line.source)
        text = self._start(line.time, line.source)
        text.append("       " + escape(line.status), _STYLES.get(line.status, ""))
        if line.until is not None:
            text.append(f" until {_time_of_day(line.until, line.time)}")
            text.append(f" ({escape(line.reason)})", "dim")
        else:
            text.append(f": {escape(line.reason)}")
        return self._rendered([text])

    def diagnosis(self, line: DiagnosisLine) -> str:
        """The sentence, and the facts below it."""
        text = self._start(line.time, line.source)
        text.append("       diagnosis", "green" if line.diagnosis.well else "bold red")
        text.append(f": {escape(str(line.diagnosis))}")
        facts = line.diagnosis.facts.lines()
        width = max(cell_len(escape(what)) for what, _ in facts)
        lines = [text]
        for what, how in facts:
            fact = Text("  | " + _padded(escape(what), width), "dim")
            fact.append(f"  {escape(how)}")
            lines.append(fact)
        return self._rendered(lines)

    def _start(self, time: datetime, source: Source | None) -> Text:
        if source is not None:
            self.expect(source)
        device, service = (escape(name) for name in source or ("", ""))
        text = Text()
        text.append(time.strftime("%H:%M:%S.") + f"{time.microsecond // 1000:03}", "dim")
        text.append("  " + _padded(device, self._device_width), "magenta")
        text.append("  " + _padded(service, self._service_width), "blue")
        return text

    def _append_value(self, text: Text, change: Change) -> None:
        value = change.text if self._raw else plain_value(change)
        if isinstance(value, bool):
            text.append("true" if value else "false", "yellow")
        elif isinstance(value, int | float):
            text.append(str(value), "yellow")
        elif value:
            text.append(escape(value), "green")
        else:
            text.append('""', "dim")
        if change.value is None and not self._raw:
            text.append("  (undeclared, or not of its declared type)", "dim")

    def _rendered(self, lines: list[Text]) -> str:
        with self._console.capture() as capture:
            for line in lines:
                self._console.print(line, soft_wrap=True)
        return capture.get()


def _append_notes(text: Text, line: EventLine) -> None:
    if line.event.is_initial:
        text.append("  initial", "dim")
    if line.event.merged:
        text.append(f"  {line.event.merged + 1} events in one", "dim")


def _message_lines(message: Request) -> list[Text]:
    lines = [f"{message.method} {message.target} HTTP/{message.http_version}"]
    lines += [
        f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in message.headers
    ]
    lines.append("")
    lines += message.body.decode("utf-8", "backslashreplace").rstrip("\r\n").split("\n")
    return [Text(f"  | {escape(line.rstrip(chr(13)))}", "dim") for line in lines]


def _time_of_day(time: datetime, now: datetime) -> str:
    if time - now < timedelta(hours=20):
        return time.strftime("%H:%M:%S")
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _grown(width: int, name: str) -> int:
    return min(_WIDEST, max(width, cell_len(name)))


def _padded(name: str, width: int) -> str:
    return name + " " * max(0, width - cell_len(name))
