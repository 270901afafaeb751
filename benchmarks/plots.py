"""Bars of the figures, as SVG: drawn with pygal, which is small and needs no compiled part."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

from benchmarks.results import COST, RATE, Row, Variant

__all__ = ["names", "write"]

_MEASURES = {COST: "cpu", RATE: "rate", "p99 ms": "p99"}
_LABELS = {
    COST: "CPU-µs of one operation, less is better",
    RATE: "operations per second",
    "p99 ms": "p99 of the latency in ms, less is better",
}
_COLOURS = ("#1b6ca8", "#8a8a8a", "#c4c4c4", "#d1893b", "#a83b3b", "#5b8c5a", "#7d5ba6", "#b5a642")


def _rows(variant: Variant, family: str, measure: str, *, several: bool) -> list[Row]:
    """The rows with this measure that compare several contestants, or several numbers of
    subscribers of propchange alone."""
    return [
        row
        for row in variant.rows
        if row.family == family
        and measure in row.measures()
        and ("propchange" in row.rounds or "propchange.twisted" in row.rounds) == several
    ]


def _plots(variant: Variant) -> dict[str, tuple[str, str, list[Row]]]:
    """Family, measure and rows of each plot, by its name."""
    found = {}
    for family in dict.fromkeys(row.family for row in variant.rows):
        for measure, short in _MEASURES.items():
            rows = _rows(variant, family, measure, several=True)
            if rows:
                found[f"{family}-{short}"] = (family, measure, rows)
        rows = _rows(variant, family, "p99 ms", several=False)
        if rows:
            found[f"{family}-propchange-p99"] = (family, "p99 ms", rows)
    return found


def names(variant: Variant) -> list[str]:
    """The plots that there are figures for."""
    return list(_plots(variant))


def write(variant: Variant, folder: Path) -> None:
    """A plot for each family of rows and measure: median, least and greatest."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, (family, measure, rows) in _plots(variant).items():
        (folder / f"{name}.svg").write_text(_plot(name, family, measure, rows[::-1]))


def _plot(name: str, family: str, measure: str, rows: list[Row]) -> str:
    """Horizontal bars, from the last of ``rows`` down to the first: pygal begins below."""
    import pygal
    from pygal.style import Style

    # pygal adds a finder for its maps, which has no find_spec: Python warns at each later import.
    sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "pygal"]

    contestants = list(dict.fromkeys(who for row in rows[::-1] for who in row.rounds))
    is_one = name.endswith("propchange-p99")
    bars = [(row, who) for row in rows for who in reversed(list(row.rounds))]
    steps = _steps([value for row, who in bars for value in row.values(who, measure)])
    chart = pygal.HorizontalBar(
        js=[],  # no script from elsewhere
        style=Style(colors=_COLOURS, ci_colors=("#222222",), font_family="sans-serif"),
        width=1000,
        height=200 + 12 * len(bars) + 20 * len(rows),
        title=f"{family}: {_LABELS[measure]}",
        logarithmic=True,
        show_legend=not is_one,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        y_labels=steps,
        zero=steps[0],  # where the bars begin
        truncate_legend=-1,
        truncate_label=-1,
    )
    chart.uuid = name  # the same text each time
    if is_one:
        chart.x_labels = [f"{row.title}: {who}" for row, who in bars]
        chart.add("propchange", [_bar(row.values(who, measure)) for row, who in bars])
    else:
        chart.x_labels = [row.title for row in rows]
        for who in contestants:
            chart.add(who, [_bar(row.values(who, measure)) for row in rows])
    drawn: str = chart.render().decode()
    return drawn


def _steps(values: list[float]) -> list[float]:
    """1, 2 or 5 times a power of ten, from below the least of ``values`` to above the greatest.

    The bars begin at the first of them, so that of the least value has a length too.
    """
    powers = range(math.floor(math.log10(min(values))) - 1, math.ceil(math.log10(max(values))) + 1)
    steps = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    first = max(number for number, step in enumerate(steps) if step <= min(values) / 1.5)
    last = min(number for number, step in enumerate(steps) if step >= max(values))
    return steps[first : last + 1]


def _bar(values: list[float]) -> dict[str, object] | None:
    if not values:
        return None
    return {"value": statistics.median(values), "ci": {"low": min(values), "high": max(values)}}
