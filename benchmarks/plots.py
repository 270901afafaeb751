"""Bars of the figures, as SVG: drawn with pygal, which is small and needs no compiled part."""

from __future__ import annotations

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


def _rows(variant: Variant, family: str, measure: str) -> list[Row]:
    return [row for row in variant.rows if row.family == family and measure in row.measures()]


def _plots(variant: Variant) -> list[tuple[str, str, str]]:
    """Name, family and measure of each plot."""
    families = dict.fromkeys(row.family for row in variant.rows)
    return [
        (f"{family.replace(' ', '-')}-{short}", family, measure)
        for family in families
        for measure, short in _MEASURES.items()
        if _rows(variant, family, measure)
    ]


def names(variant: Variant) -> list[str]:
    """The plots that there are figures for."""
    return [name for name, _, _ in _plots(variant)]


def write(variant: Variant, folder: Path) -> None:
    """A plot for each family of rows and measure: median, least and greatest."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, family, measure in _plots(variant):
        (folder / f"{name}.svg").write_text(_plot(family, measure, _rows(variant, family, measure)))


def _plot(family: str, measure: str, rows: list[Row]) -> str:
    import pygal
    from pygal.style import Style

    contestants = list(dict.fromkeys(who for row in rows for who in row.rounds if row.rounds[who]))
    bars = sum(1 for row in rows for who in contestants if row.values(who, measure))
    chart = pygal.HorizontalBar(
        js=[],  # no script from elsewhere
        style=Style(colors=_COLOURS, ci_colors=("#222222",), font_family="sans-serif"),
        width=1000,
        height=160 + 14 * bars + 22 * len(rows),
        title=f"{family}: {_LABELS[measure]}",
        x_labels=[row.title for row in rows],
        logarithmic=True,
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        truncate_legend=-1,
        truncate_label=-1,
        no_prefix=True,
        print_values=False,
        disable_xml_declaration=True,
    )
    for who in contestants:
        chart.add(who, [_bar(row.values(who, measure)) for row in rows])
    drawn: str = chart.render()
    return drawn


def _bar(values: list[float]) -> dict[str, object] | None:
    from statistics import median

    if not values:
        return None
    return {"value": median(values), "ci": {"low": min(values), "high": max(values)}}
