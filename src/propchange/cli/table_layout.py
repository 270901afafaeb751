"""Makes the text of an :class:`.EventTable` for a terminal of a given size. No I/O.

Texts from the network are escaped, and none of them is markup. No two rows look the same in their
columns of names: where two names would be cut to the same text, the place where they differ is
shown too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from propchange.cli.event_table import EventTable, Row
from propchange.cli.lines import Source, escape

_GAP = 2
"""Cells between two columns."""

_NARROWEST, _WIDEST = 8, 24
"""Cells of a column of names. It grows with its names up to the widest, and shrinks to the
narrowest for the sake of the last column."""

_LAST_COLUMN = 22
"""Cells that the last column has at least, if the columns of names can shrink."""

_NAME_KEPT = 200
"""Characters of a name that are laid out. Bounds the work for a device with an endless name."""

_HEADS = ("device", "service", "status", "events", "rate", "last change")

_STYLES = {
    "active": "green",
    "deaf": "bold red",
    "failed": "bold red",
    "lost": "bold red",
    "refused": "bold red",
    "unreachable": "bold red",
    "unreadable": "bold red",
    "gone": "dim",
    "no events": "dim",
}


class TableLayout:
    """Lays out ``table``. ``encoding`` is that of the terminal: characters that it cannot carry are
    shown as escapes."""

    def __init__(self, table: EventTable, *, encoding: str = "utf-8") -> None:
        self._table = table
        self._encoding = encoding
        self._ellipsis = "…" if _carries(encoding, "…") else "~"
        self._names: dict[Source, tuple[str, str]] = {}
        self._named = -1  # the version of the table whose names these are
        self._cut_names: dict[Source, tuple[str, str]] | None = None
        self._cut_to = (0, 0)

    def screen(self, width: int, height: int, now: datetime, *, heading: str = "") -> list[Text]:
        """The lines of a screen with ``width`` cells and ``height`` lines, as many at most. If not
        all rows fit, a line says how many more there are."""
        table, notice = self._table, self._notice(width)
        fixed = 2 + len(notice)
        room = height - fixed
        if len(table) > room:
            room -= 1
        rows = table.rows(max(room, 1), now)
        lines = [*self._head(width, now, heading), *self._lines(rows, width, now)]
        if len(rows) < len(table):
            lines.append(self._rest(rows, width))
        return [*lines, *notice][: max(height, 1)]

    def whole(self, width: int, now: datetime, *, heading: str = "") -> list[Text]:
        """The lines of the whole table, however many."""
        lines = self._lines(list(self._table), width, now)
        return [*self._head(width, now, heading), *lines, *self._notice(width)]

    # --- lines ---

    def _head(self, width: int, now: datetime, heading: str) -> list[Text]:
        table = self._table
        parts = [
            _counted(table.number_of_devices, "device"),
            _counted(table.number_of_services, "service"),
            _counted(table.number_of_events, "event"),
            f"{_rate(table.per_second(now)) or '0'}/s",
        ]
        first = Text(", ".join(parts), "bold")
        if heading:
            first.append(f"  {self._shown(heading)}", "dim")
        return [self._fitted(first, width)]

    def _lines(self, rows: Sequence[Row], width: int, now: datetime) -> list[Text]:
        seconds = now.timestamp()
        # The columns of status, events and rate.
        cells = [
            (row.shown_status, str(row.events), _rate(row.rate.per_second(seconds))) for row in rows
        ]
        widths = [max(map(cell_len, column)) for column in zip(_HEADS[2:5], *cells, strict=True)]
        device, service = self._name_widths(width - sum(widths) - _GAP * (len(_HEADS) - 1))
        names = self._names_within(device, service)
        gap = " " * _GAP
        heads = gap.join(
            [
                _HEADS[0].ljust(device),
                _HEADS[1].ljust(service),
                _HEADS[2].ljust(widths[0]),
                _HEADS[3].rjust(widths[1]),
                _HEADS[4].rjust(widths[2]),
                _HEADS[5],
            ]
        )
        lines = [self._fitted(Text(heads, "dim"), width)]
        for row, (status, events, rate) in zip(rows, cells, strict=True):
            dim = "dim" if row.gone else ""
            names_of_row = names[row.source]
            line = Text(style=dim)
            line.append(_padded(names_of_row[0], device), dim or "magenta").append(gap)
            line.append(_padded(names_of_row[1], service), dim or "blue").append(gap)
            line.append(_padded(status, widths[0]), _STYLES.get(status, "yellow")).append(gap)
            line.append(events.rjust(widths[1])).append(gap)
            line.append(rate.rjust(widths[2])).append(gap)
            line.append_text(self._last(row))
            lines.append(self._fitted(line, width))
        return lines

    def _last(self, row: Row) -> Text:
        """The last event, or the reason why none comes."""
        if row.reason and not row.works and not row.gone:
            time = row.changed
            return Text.assemble((f"{time:%H:%M:%S} ", "dim"), self._shown(row.reason))
        if row.event_at is None:
            return Text()
        text = Text(f"{row.event_at:%H:%M:%S}", "dim")
        for name, value in row.changes:
            shown = self._shown(value) if isinstance(value, str) else str(value).lower()
            text.append(f" {self._shown(name)}", "bold").append(f"={shown}", "default")
        return text

    def _rest(self, rows: Sequence[Row], width: int) -> Text:
        """How many rows are not among ``rows``, by their status."""
        there = set(map(id, rows))
        others = Counter(row.shown_status for row in self._table if id(row) not in there)
        number = sum(others.values())
        statuses = ", ".join(f"{count} {status}" for status, count in others.most_common())
        return self._fitted(Text(f"and {number} more: {statuses}", "dim"), width)

    def _notice(self, width: int) -> list[Text]:
        if self._table.notice is None:
            return []
        time, source, sentence = self._table.notice
        called = f"{source.device} {source.service}".strip() + ": " if source is not None else ""
        text = Text.assemble(
            (f"{time:%H:%M:%S} ", "dim"), (self._shown(called + sentence), "yellow")
        )
        return [self._fitted(text, width)]

    # --- names ---

    def _name_widths(self, room: int) -> tuple[int, int]:
        """The widths of the columns of devices and services, of ``room`` cells for them and the
        last column."""
        names = self._full_names().values()
        device, service = (
            max([len(_HEADS[place]), *(min(cell_len(each[place]), _WIDEST) for each in names)])
            for place in range(2)
        )
        excess = device + service + _LAST_COLUMN - room
        while excess > 0 and max(device, service) > _NARROWEST:
            if device >= service:
                device -= 1
            else:
                service -= 1
            excess -= 1
        return device, service

    def _full_names(self) -> dict[Source, tuple[str, str]]:
        """The names of device and service of each row, whole. The service has its short name. Rows
        that would have the same names have the UDN too, and in one device the serviceId."""
        table = self._table
        if self._named != table.version:
            self._named = table.version
            self._names, self._cut_names = {}, None
            named: dict[tuple[str, str], list[Source]] = defaultdict(list)
            for row in table:
                device, service = row.source.device, _short(row.source.service)
                named[device[:_NAME_KEPT], service[:_NAME_KEPT]].append(row.source)
            for (device, short), sources in named.items():
                udns = Counter(source.udn for source in sources)
                for source in sources:
                    called = device if len(udns) == 1 else f"{device} {source.udn}"
                    service = short if udns[source.udn] == 1 else source.service
                    self._names[source] = self._shown(called), self._shown(service)
        return self._names

    def _names_within(self, device: int, service: int) -> dict[Source, tuple[str, str]]:
        """The names of each row, cut to these widths."""
        names, widths = self._full_names(), (device, service)
        if self._cut_names is None or self._cut_to != widths:
            devices, services = (
                cut_apart((each[place] for each in names.values()), width, self._ellipsis)
                for place, width in enumerate(widths)
            )
            self._cut_to = widths
            self._cut_names = {
                source: (devices[one], services[two]) for source, (one, two) in names.items()
            }
        return self._cut_names

    def _shown(self, text: str) -> str:
        """``text``, escaped, in characters that the terminal can show."""
        escaped = escape(text)
        if escaped.isascii():
            return escaped
        return escaped.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _fitted(self, text: Text, width: int) -> Text:
        if text.cell_len > width:
            text.truncate(max(width - 1, 0))
            text.rstrip()
            text.append(self._ellipsis)
        return text


def _short(service: str) -> str:
    """``Switch`` of ``uuid:…/Switch`` and ``urn:…:Switch``."""
    if service.startswith("uuid:"):
        service = service.partition("/")[2]
    return service.rpartition(":")[2] if service.startswith("urn:") else service


def cut_apart(texts: Iterable[str], width: int, ellipsis: str = "…") -> dict[str, str]:
    """Each of ``texts`` cut to ``width`` cells, at least 8, so that different texts stay different:
    a text that would look like another one shows the place where they differ behind its start."""
    shown = {text: _cut(text, width, ellipsis) for text in texts}
    alike: dict[str, list[str]] = defaultdict(list)
    for text, cut in shown.items():
        alike[cut].append(text)
    for group in alike.values():
        if len(group) > 1:
            shown.update(_apart(group, width, ellipsis))
    # Number the texts that still look alike.
    taken: set[str] = set()
    for text, cut in shown.items():
        number = 1
        # At the end of a cell, spaces cannot be seen.
        while shown[text].rstrip() in taken:
            number += 1
            mark = f"#{number}"
            shown[text] = _cut(cut.rstrip(), width - len(mark), ellipsis) + mark
        taken.add(shown[text].rstrip())
    return shown


def _apart(group: Sequence[str], width: int, ellipsis: str) -> dict[str, str]:
    first, last = min(group), max(group)
    start = next(place for place, each in enumerate(zip_longest(first, last)) if each[0] != each[1])
    for length in range(4, width - 2):
        parts = {text: text[start : start + length] for text in group}
        if len(set(parts.values())) == len(group):
            return {
                text: _head(text, width - cell_len(part) - 1) + ellipsis + part
                for text, part in parts.items()
                if cell_len(part) < width - 1
            }
    return {}


def _head(text: str, width: int) -> str:
    return set_cell_size(text, min(width, cell_len(text))).rstrip()


def _cut(text: str, width: int, ellipsis: str) -> str:
    if cell_len(text) <= width:
        return text
    return _head(text, width - 1) + ellipsis


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rate(per_second: float) -> str:
    """Events per second, short. Empty for none."""
    if not per_second:
        return ""
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:.0f}"


def _carries(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
