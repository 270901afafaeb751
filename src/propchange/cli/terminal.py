"""Lines for people, in columns: time, device, service, SEQ, variable, value. In colour if the
terminal has colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from propchange import Cause, Diagnosis, Request, SightingKind, StateVariable
from propchange.cli.lines import (
    ActionLine,
    AnswerLine,
    CalledLine,
    DeviceLine,
    DiagnosisLine,
    EndLine,
    EventLine,
    FaultLine,
    HostedLine,
    MulticastLine,
    ProblemLine,
    ServiceLine,
    Source,
    StatusLine,
    escape,
)
from propchange.upnp.plain_values import named_changes, plain_value

_WIDEST = 24
"""Cells. A column grows with its texts up to this width; a longer text moves the columns behind
it."""

_NARROWEST = 8
"""Least cells for a value or a sentence, on a narrow terminal too."""

_ARGUMENT_CHARACTERS = 60
"""Characters of the value of an argument, in the line of a call."""

_WORD = re.compile(r"([^ ]++) *+")

_GOOD = ("active", "delivered", "granted", "hosted", "renewed", "resubscribed", "subscribed")
_BAD = ("deaf", "failed", "lost", "refused", "undelivered")


class TerminalLines:
    """Lines for ``stream``, a terminal. Text from the network is escaped, and none of it is
    markup.

    ``raw``: values are the texts as received, and the NOTIFY as received is above its event.
    ``full``: values are not cut at the end of the line. Sentences continue on the next line, and no
    word of them is broken.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False, full: bool = False) -> None:
        # It prints Text objects only: in these, nothing is markup, an emoji code or highlighted.
        self._console = Console(file=stream)
        self._raw = raw
        self._full = full
        self._widths = {name: len(name) for name in ("device", "service", "variable")}
        self._deaf: set[Source | None] = set()

    def begin(self, sources: Iterable[Source]) -> str:
        """The names of the columns, wide enough for the names of ``sources``."""
        return self._head(sources, "SEQ  {variable}  value")

    def begin_hosted(self, sources: Iterable[Source], example: str) -> str:
        """How to set a variable of a hosted device, by the line ``example``, and the names of the
        columns of statuses, wide enough for the names of ``sources``."""
        if not example:
            return self._head(sources, "     status")
        hint = f"Ctrl-C ends the device. A line sets a variable, such as {escape(example)}"
        return self._rendered([Text(hint)]) + self._head(sources, "     status")

    def _head(self, sources: Iterable[Source], others: str) -> str:
        for source in sources:
            self._widen(device=escape(source.device), service=escape(source.service))
        names = {name: self._padded(name, name) for name in self._widths}
        head = f"{'time':12}  {{device}}  {{service}}  {others}".format(**names)
        return self._rendered([Text(head, "dim")])

    def event(self, line: EventLine) -> str:
        """One line per variable. Only the first line has time, device, service and SEQ."""
        event = line.event
        mark = "  initial" if event.is_initial else ""
        if event.merged:
            mark += f"  {event.merged + 1} events in one"
        if event.left_out:
            mark += f"  {event.left_out} values left out"
        return self._event(line, mark, line.message)

    def multicast(self, line: MulticastLine) -> str:
        """The lines for a multicast event, with its level."""
        merged = line.event.merged
        several = f"  {merged + 1} events in one" if merged else ""
        return self._event(line, f"  multicast {escape(line.event.level)}{several}")

    def _event(
        self, line: EventLine | MulticastLine, mark_of_all: str, message: Request | None = None
    ) -> str:
        event, raw = line.event, self._raw
        named = [(escape(name), change) for name, change in named_changes(event, raw=raw)]
        for name, _ in named:
            self._widen(variable=name)
        start = self._start(line.time, line.source)
        start.append(f"  {'-' if event.seq is None else event.seq:>3}", "cyan")
        lines = [start, *(Text(" " * start.cell_len) for _ in named[1:])]
        marks = [""] * len(lines)
        marks[0] = mark_of_all
        for index, (name, change) in enumerate(named):
            text = lines[index].append(f"  {self._padded('variable', name)}", "bold").append("  ")
            value = change.text if raw else plain_value(change)
            mark = marks[index]
            if change.value is None and not raw:
                mark = f"  (undeclared, or not of its declared type){mark}"
            if isinstance(value, str):
                shown = Text(escape(value) or '""', "green" if value else "dim")
            else:
                shown = Text(str(value).lower(), "yellow")
            text.append_text(self._cut(shown, text.cell_len + cell_len(mark))).append(mark, "dim")
        if not named:
            start.append(f"  no variables{marks[0]}", "dim")
        return self._rendered([*_message_lines(message), *lines])

    def status(self, line: StatusLine) -> str:
        """The line for a status. "active" has a line only after "deaf", and if no event is owed;
        otherwise the initial event shows it."""
        if line.status == "deaf":
            self._deaf.add(line.source)
        elif line.status == "active" and line.cause != Cause.NOTHING_EVENTED.value:
            if line.source not in self._deaf:
                return ""
            self._deaf.discard(line.source)
        style = "green" if line.status in _GOOD else "bold red" if line.status in _BAD else "yellow"
        text = Text(escape(line.status), style)
        until = line.grant and line.grant.until
        if until is None:
            text.append(f": {escape(line.reason)}", "default")
        else:
            is_soon = until - line.time < timedelta(hours=20)
            text.append(
                f" until {until:{'%H:%M:%S' if is_soon else '%Y-%m-%d %H:%M:%S'}}", "default"
            )
            text.append(f" ({escape(line.reason)})", "dim")
        return self._rendered(self._sentence(line.time, line.source, text))

    def ended(self, line: EndLine) -> str:
        """The line for subscriptions that were closed at the end."""
        style = "green" if line.reason == "unsubscribed" else "yellow"
        text = Text(escape(line.reason), style)
        text.append(f": {escape(', '.join(line.names))}", "default")
        return self._rendered(self._sentence(line.time, Source(line.device, ""), text))

    def problem(self, line: ProblemLine) -> str:
        """The line for a problem of a device."""
        text = Text("problem", "yellow").append(f": {escape(line.problem)}", "default")
        return self._rendered(self._sentence(line.time, line.source, text))

    def diagnosis(self, line: DiagnosisLine) -> str:
        """The sentence, and the facts below it."""
        text = Text("diagnosis", "green" if line.diagnosis.well else "bold red")
        text.append(f": {escape(str(line.diagnosis))}", "default")
        facts = line.diagnosis.facts.lines()
        width = max(len(name) for name, _ in facts)
        below = [
            Text.assemble((f"  | {name:{width}}", "dim"), f"  {escape(fact)}")
            for name, fact in facts
        ]
        return self._rendered([*self._sentence(line.time, line.source, text), *below])

    def diagnoses(self, lines: Sequence[DiagnosisLine]) -> str:
        """The verdicts on the services of one target, and the facts below them. Services with one
        verdict are named together. Facts that are the same for all services are shown once."""
        services: dict[tuple[str, str, str], list[str]] = {}
        for line in lines:
            key = (line.source.device, line.diagnosis.verdict.value, str(line.diagnosis))
            services.setdefault(key, []).append(line.source.service)
        well = {line.diagnosis.verdict.value for line in lines if line.diagnosis.well}
        shown: list[Text] = []
        for (device, verdict, words), names in services.items():
            head = Text.assemble((escape(device), "magenta"), " ")
            head.append(escape(", ".join(names)), "blue").append(": ")
            shown.append(head.append(verdict, "green" if verdict in well else "bold red"))
            shown += self._hanging(Text("    "), Text(escape(words)))
        of_each = [(line.source.service, _facts_beside(line.diagnosis)) for line in lines]
        of_all = [
            fact
            for fact in (of_each[0][1] if of_each else ())
            if all(fact in facts for _, facts in of_each)
        ]
        shown += self._facts("facts", of_all)
        for name, facts in of_each:
            shown += self._facts(
                f"facts of {escape(name)}", [fact for fact in facts if fact not in of_all]
            )
        return self._rendered(shown)

    def _facts(self, heading: str, facts: Sequence[tuple[str, str]]) -> list[Text]:
        if not facts:
            return []
        width = max(len(name) for name, _ in facts)
        lines = [Text(heading, "dim")]
        for name, fact in facts:
            lines += self._hanging(Text(f"    {name:{width}}  ", "dim"), Text(escape(fact)))
        return lines

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
        udn = Text(escape(sighting.udn), "dim")
        if sighting.kind is SightingKind.GONE:
            return self._rendered([head, Text("    ").append_text(udn)])
        if line.problem is not None:
            reason = "" if description else "the description cannot be read: "
            events = Text(f"{reason}{escape(line.problem)}", "red")
        elif line.evented:
            names = ", ".join(line.evented)
            events = Text(f"sends events: {escape(names)}", "green")
        else:
            events = Text("sends no events", "dim")
        below = [Text(escape(line.description_url)), udn, events]
        problems = description.problems if description else ()
        below += [Text(f"problem: {escape(problem)}", "yellow") for problem in problems]
        indented = [self._hanging(Text("    "), text) for text in below]
        return self._rendered([head, *(text for texts in indented for text in texts)])

    def hosted(self, line: HostedLine) -> str:
        """The name of the device. Below it, indented: the URLs of the description, the UDN, the
        event URLs."""
        below = [*map(Text, line.description_urls), Text(line.udn, "dim")]
        width = max(map(cell_len, line.event_urls), default=0)
        for name, url in line.event_urls.items():
            padded = escape(name) + " " * (width - cell_len(name))
            below.append(Text.assemble((padded, "blue"), f"  {url}"))
        indented = [text for each in below for text in self._hanging(Text("    "), each)]
        return self._rendered([Text(escape(line.device), "bold"), *indented])

    def service(self, line: ServiceLine) -> str:
        """The name and the type of the service. Below it, indented: the names of its actions."""
        head = Text.assemble((escape(line.source.service), "bold"), "  ")
        head.append(escape(line.service_type), "blue")
        if line.actions is None:
            below = Text(escape(line.problem or ""), "red")
        else:
            below = Text(escape(", ".join(line.actions)))
        return self._rendered([head, *self._hanging(Text("    "), below)])

    def action(self, line: ActionLine) -> str:
        """The name of the action. Below it, indented: a line for each argument, with its type."""
        lines = [Text(escape(line.action.name), "bold")]
        arguments = [(escape(each.name), each) for each in line.action.arguments]
        width = min(_WIDEST, max((cell_len(name) for name, _ in arguments), default=0))
        for name, argument in arguments:
            padded = name + " " * (width - cell_len(name))
            start = Text.assemble((f"    {argument.direction:3}", "dim"), f"  {padded}  ")
            values = Text(escape(_values_of(argument.variable)), "blue")
            lines += self._hanging(start, values)
        return self._rendered(lines)

    def answer(self, line: AnswerLine) -> str:
        """A line ``Name=value`` for each out argument. Values are not cut."""
        lines = []
        for name, value in line.plain_values():
            text = Text.assemble((escape(name), "bold"), "=")
            if value is None:
                text.append("  (not of its declared type)", "dim")
            else:
                text.append(escape(value) if isinstance(value, str) else str(value).lower())
            lines.append(text)
        return self._rendered(lines) if lines else ""

    def called(self, line: CalledLine) -> str:
        """The line for a call: the action with its arguments, the control point, the answer."""
        text = Text("called", "green" if line.error is None else "yellow")
        text.append(f": {escape(line.action)}({_listed(line.arguments)})", "default")
        text.append(f" by {line.peer}", "default")
        if line.error is not None:
            text.append(f", answered {escape(str(line.error))}", "default")
        elif line.results:
            text.append(f", answered {_listed(line.results)}", "default")
        text.append(line.left_out, "default")
        return self._rendered(self._sentence(line.time, line.source, text))

    def fault(self, line: FaultLine) -> str:
        """Return nothing: standard error has the fault."""
        return ""

    def _cut(self, value: Text, used: int) -> Text:
        """``value``, cut where a line with ``used`` further cells ends."""
        if not self._full:
            room = max(self._console.width - used, _NARROWEST)
            value.truncate(room, overflow="ellipsis")
        return value

    def _sentence(self, time: datetime, source: Source | None, text: Text) -> list[Text]:
        return self._hanging(self._start(time, source).append("       "), text)

    def _hanging(self, start: Text, text: Text) -> list[Text]:
        """``start`` and ``text``, which continues below itself where the line ends."""
        width = self._console.width
        indent, room = start.cell_len, width - start.cell_len
        if text.cell_len <= room:
            return [start.append_text(text)]
        begun = []
        longest = max(cell_len(word) for word in text.plain.split(" "))
        if room < max(width // 3, longest):
            # The columns leave too little room: the sentence begins on the next line.
            start.rstrip()
            begun, indent = [start], 4
            start, room = Text(" " * indent), width - indent
        first, *others = _wrapped(text, max(room, _NARROWEST))
        return [
            *begun,
            start.append_text(first),
            *(Text(" " * indent).append_text(part) for part in others),
        ]

    def _start(self, time: datetime, source: Source | None) -> Text:
        device, service = (escape(source.device), escape(source.service)) if source else ("", "")
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


def _facts_beside(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """The facts of ``diagnosis`` without those that its sentence has."""
    said = escape(str(diagnosis))
    return [fact for fact in diagnosis.facts.lines() if len(fact[1]) < 40 or fact[1] not in said]


def _wrapped(text: Text, room: int) -> list[Text]:
    """``text`` in lines of ``room`` cells. A longer word is not broken, so that a URL stays
    whole."""
    offsets, used = [], 0
    for word in _WORD.finditer(text.plain):
        width = cell_len(word[0])
        if used and used + cell_len(word[1]) > room:
            offsets.append(word.start())
            used = 0
        used += width
    lines = list(text.divide(offsets))
    for line in lines:
        line.rstrip()
    return lines


def _values_of(variable: StateVariable[Any]) -> str:
    """The values that an argument of ``variable`` takes, in words."""
    kind = variable.data_type.name
    if variable.allowed is not None:
        return f"{kind}: {', '.join(map(str, variable.allowed))}"
    limits = (("from", variable.minimum), ("to", variable.maximum), ("in steps of", variable.step))
    words = [f"{word} {limit}" for word, limit in limits if limit is not None]
    return f"{kind}: {' '.join(words)}" if words else kind


def _listed(values: Mapping[str, str | int | float | bool]) -> str:
    """``values`` of arguments, escaped. A long text is cut, such as metadata."""
    parts = []
    for name, value in values.items():
        text = escape(value) if isinstance(value, str) else str(value).lower()
        if len(text) > _ARGUMENT_CHARACTERS:
            text = f"{text[: _ARGUMENT_CHARACTERS - 1]}…"
        parts.append(f"{escape(name)}={text}")
    return ", ".join(parts)


def _message_lines(message: Request | None) -> list[Text]:
    if message is None:
        return []
    lines = [f"{message.method} {message.target} HTTP/{message.http_version}"]
    lines += [f"{name.decode('latin-1')}: {v.decode('latin-1')}" for name, v in message.headers]
    body = message.body.decode("utf-8", "backslashreplace").rstrip("\r\n")
    lines += ["", *(line.rstrip("\r") for line in body.split("\n"))]
    return [Text(f"  | {escape(line)}", "dim") for line in lines]
