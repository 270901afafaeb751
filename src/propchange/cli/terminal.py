"""Lines for people, in columns: time, device, service, SEQ, variable, value. In colour if the
terminal has colours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from propchange import Change, Request, SightingKind
from propchange.cli.lines import (
    DeviceLine,
    DiagnosisLine,
    EventLine,
    Source,
    StatusLine,
    escape,
    named_changes,
    plain_value,
)

__all__ = ["TerminalLines"]

_TIME_WIDTH = len("12:00:00.000")
_WIDEST = 24
"""Cells. A column grows with its texts up to this width; a longer text moves the columns behind
it."""

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
    """Lines for ``stream``, a terminal. Text from the network is escaped, and none of it is
    markup.

    ``raw``: the whole NOTIFY as received stands above each event, and values are the texts as
    received.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        # It prints Text objects only: in these, nothing is markup, an emoji code or highlighted.
        self._console = Console(file=stream)
        self._raw = raw
        self._device_width = len("device")
        self._service_width = len("service")
        self._variable_width = len("variable")
        self._deaf: set[Source | None] = set()

    def expect(self, source: Source) -> None:
        """Widen the columns for the names of ``source``."""
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
        """One line per variable. Only the first one has time, device, service and SEQ."""
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
        """One line. "active" has one only after "deaf": otherwise the initial event shows it."""
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
        facts = [(escape(name), escape(fact)) for name, fact in line.diagnosis.facts.lines()]
        width = max(cell_len(name) for name, _ in facts)
        return self._rendered(
            [
                text,
                *(Text.assemble((f"  | {_padded(n, width)}", "dim"), f"  {f}") for n, f in facts),
            ]
        )

    def device(self, line: DeviceLine) -> str:
        """A line with name and type. Below it, indented: the description's URL, the UDN, the
        services that send events."""
        sighting, description = line.sighting, line.description
        head = Text()
        if sighting.kind is not SightingKind.APPEARED:
            head.append(f"{sighting.kind.value}: ", "yellow")
        name = description.friendly_name if description else ""
        head.append(escape(name or sighting.udn), "bold")
        kind = description.device_type if description else next(iter(sighting.types), "")
        # MediaRenderer:1 of a whole type.
        head.append(f"  {escape(':'.join(kind.split(':')[-2:]))}", "blue")
        if sighting.kind is SightingKind.GONE:
            return self._rendered([head])
        if line.problem is not None:
            events = Text(f"    the description cannot be read: {escape(line.problem)}", "red")
        elif line.evented:
            names = ", ".join(dict.fromkeys(line.evented))
            events = Text(f"    sends events: {escape(names)}", "green")
        else:
            events = Text("    sends no events", "dim")
        url, udn = escape(sighting.description_url), escape(sighting.udn)
        return self._rendered([head, Text(f"    {url}"), Text(f"    {udn}", "dim"), events])

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
