"""Lines for people, in columns: time, device, service, SEQ, variable, value. In colour if the
terminal has colours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from propchange import Request, SightingKind
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

_WIDEST = 24
"""Cells. A column grows with its texts up to this width; a longer text moves the columns behind
it."""

_GOOD = ("active", "granted", "hosted", "renewed", "resubscribed")
_BAD = ("deaf", "failed", "lost", "refused")


class TerminalLines:
    """Lines for ``stream``, a terminal. Text from the network is escaped, and none of it is
    markup.

    ``raw``: values are the texts as received, and the NOTIFY as received is above its event.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        # It prints Text objects only: in these, nothing is markup, an emoji code or highlighted.
        self._console = Console(file=stream)
        self._raw = raw
        self._widths = {name: len(name) for name in ("device", "service", "variable")}
        self._deaf: set[Source | None] = set()

    def begin(self, sources: Iterable[Source]) -> str:
        """The names of the columns, wide enough for the names of ``sources``."""
        for device, service in sources:
            self._widen(device=escape(device), service=escape(service))
        names = [self._padded(name, name) for name in self._widths]
        return self._rendered([Text("{:12}  {}  {}  SEQ  {}  value".format("time", *names), "dim")])

    def event(self, line: EventLine) -> str:
        """One line per variable. Only the first line has time, device, service and SEQ."""
        event, raw = line.event, self._raw
        named = [(escape(name), change) for name, change in named_changes(event, raw=raw)]
        for name, _ in named:
            self._widen(variable=name)
        start = self._start(line.time, line.source)
        start.append(f"  {'-' if event.seq is None else event.seq:>3}", "cyan")
        lines = [start, *(Text(" " * start.cell_len) for _ in named[1:])]
        for text, (name, change) in zip(lines, named, strict=False):
            text.append(f"  {self._padded('variable', name)}", "bold").append("  ")
            value = change.text if raw else plain_value(change)
            if not isinstance(value, str):
                text.append(str(value).lower(), "yellow")
            else:
                text.append(escape(value) or '""', "green" if value else "dim")
            if change.value is None and not raw:
                text.append("  (undeclared, or not of its declared type)", "dim")
        if not named:
            start.append("  no variables", "dim")
        if event.is_initial:
            start.append("  initial", "dim")
        if event.merged:
            start.append(f"  {event.merged + 1} events in one", "dim")
        return self._rendered([*_message_lines(line.message), *lines])

    def status(self, line: StatusLine) -> str:
        """One line. "active" has a line only after "deaf": otherwise the initial event shows it."""
        if line.status == "deaf":
            self._deaf.add(line.source)
        elif line.status == "active":
            if line.source not in self._deaf:
                return ""
            self._deaf.discard(line.source)
        style = "green" if line.status in _GOOD else "bold red" if line.status in _BAD else "yellow"
        text = self._start(line.time, line.source)
        text.append(f"       {escape(line.status)}", style)
        if line.until is None:
            text.append(f": {escape(line.reason)}")
        else:
            is_soon = line.until - line.time < timedelta(hours=20)
            text.append(f" until {line.until:{'%H:%M:%S' if is_soon else '%Y-%m-%d %H:%M:%S'}}")
            text.append(f" ({escape(line.reason)})", "dim")
        return self._rendered([text])

    def diagnosis(self, line: DiagnosisLine) -> str:
        """The sentence, and the facts below it."""
        text = self._start(line.time, line.source)
        text.append("       diagnosis", "green" if line.diagnosis.well else "bold red")
        text.append(f": {escape(str(line.diagnosis))}")
        facts = line.diagnosis.facts.lines()
        width = max(len(name) for name, _ in facts)
        below = [
            Text.assemble((f"  | {name:{width}}", "dim"), f"  {escape(fact)}")
            for name, fact in facts
        ]
        return self._rendered([text, *below])

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
        device, service = map(escape, source or ("", ""))
        self._widen(device=device, service=service)
        return Text.assemble(
            (time.time().isoformat("milliseconds"), "dim"),
            (f"  {self._padded('device', device)}", "magenta"),
            (f"  {self._padded('service', service)}", "blue"),
        )

    def _widen(self, **texts: str) -> None:
        for column, text in texts.items():
            self._widths[column] = min(_WIDEST, max(self._widths[column], cell_len(text)))

    def _padded(self, column: str, text: str) -> str:
        return text + " " * (self._widths[column] - cell_len(text))

    def _rendered(self, lines: list[Text]) -> str:
        with self._console.capture() as capture:
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        return capture.get()


def _message_lines(message: Request | None) -> list[Text]:
    if message is None:
        return []
    lines = [f"{message.method} {message.target} HTTP/{message.http_version}"]
    lines += [f"{name.decode('latin-1')}: {v.decode('latin-1')}" for name, v in message.headers]
    body = message.body.decode("utf-8", "backslashreplace").rstrip("\r\n")
    lines += ["", *(line.rstrip("\r") for line in body.split("\n"))]
    return [Text(f"  | {escape(line)}", "dim") for line in lines]
