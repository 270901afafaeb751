"""Writes RESULTS.md and the plots from results.json: ``python -m benchmarks.report``."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks import plots
from benchmarks.results import COST, RATE, Results, Row, Variant

__all__ = ["FOLDER", "console", "tables", "write"]

FOLDER = Path(__file__).parent
_MAIN = "with uvloop"
_REMARKS = "PROFILE.md"


def number(value: float) -> str:
    """Three or four digits of it."""
    if value >= 1_000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def _spread(values: list[float]) -> str:
    """The median, and the least and the greatest."""
    if not values:
        return ""
    middle, least, most = map(number, (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def _speed(row: Row, who: str) -> str:
    """The speed of the first contestant, as a multiple of ``who``."""
    first = next(iter(row.rounds))
    for measure in (COST, RATE):
        ours, other = row.median(first, measure), row.median(who, measure)
        if ours and other:
            return number(other / ours if measure == COST else ours / other)
    return ""


def _row_lines(row: Row) -> list[str]:
    measures = row.measures()
    lines = [f"**{row.title}**" + (f" ({row.note})" if row.note else ""), ""]
    compared = COST in measures or RATE in measures
    head = ["", *measures, *(["the first's speed to it"] if compared else [])]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for who in dict.fromkeys((*row.rounds, *row.wrong)):
        if who in row.wrong:
            cells = [who, f"no figures: {_one_line(row.wrong[who])}"]
            cells += [""] * (len(head) - len(cells))
        else:
            cells = [who, *(_spread(row.values(who, measure)) for measure in measures)]
            cells += [_speed(row, who)] if compared else []
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _one_line(text: str) -> str:
    return " ".join(text.strip().splitlines()[-1:]).replace("|", "/")


def _goal_lines(variant: Variant) -> list[str]:
    lines = ["| work | goal | measured | |", "|---|---|---|---|"]
    for row in variant.rows:
        for goal in row.goals:
            value, met = goal.measured(row), goal.met(row)
            verdict = {True: "met", False: "**not met**", None: "not measured"}[met]
            told = "" if value is None else number(value)
            lines.append(f"| {row.title} | {goal} | {told} | {verdict} |")
    return [*lines, ""]


def tables(results: Results, remarks: str = "") -> str:
    """The text of RESULTS.md."""
    lines = [
        "# Results",
        "",
        "`make bench` wrote this. [README.md](README.md) says what each row does.",
        "",
    ]
    variants = sorted(results.variants, key=lambda each: each.name != _MAIN)
    for variant in variants:
        main = variant is variants[0]
        lines += [f"## {variant.name[0].upper()}{variant.name[1:]}", ""]
        lines += [f"- {what}: {value}" for what, value in variant.machine.items()]
        lines += ["", "### Goals", "", *_goal_lines(variant)]
        if main:
            lines += [f"![{name}](plots/{name}.svg)" for name in plots.names(variant)] + [""]
        family = ""
        now = ", ".join(variant.machine.get(each, "") for each in ("propchange", "date"))
        for row in variant.rows:
            if row.family != family:
                family = row.family
                lines += [f"### {family[0].upper()}{family[1:]}", ""]
                if row.when not in ("", now):
                    lines += [f"Measured another time: {row.when}.", ""]
            lines += _row_lines(row)
        if main and remarks:
            lines += [remarks.strip(), ""]
    return "\n".join(lines).rstrip() + "\n"


def console(row: Row) -> str:
    """A row for the terminal."""
    lines = [row.title + (f" ({row.note})" if row.note else "")]
    for who in dict.fromkeys((*row.rounds, *row.wrong)):
        if who in row.wrong:
            lines.append(f"  {who:28} NO FIGURES: {row.wrong[who].strip()}")
            continue
        told = [f"{_spread(row.values(who, measure))} {measure}" for measure in row.measures()]
        speed = _speed(row, who)
        lines.append(f"  {who:28} " + ", ".join(told) + (f"; {speed}" if speed else ""))
    for goal in row.goals:
        value, met = goal.measured(row), goal.met(row)
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[met]
        lines.append(f"  {verdict}: {goal}" + ("" if value is None else f": {number(value)}"))
    return "\n".join(lines)


def write(folder: Path = FOLDER) -> None:
    """RESULTS.md and the plots, from results.json."""
    results = Results.load(folder / "results.json")
    remarks = folder / _REMARKS
    text = tables(results, remarks.read_text() if remarks.exists() else "")
    (folder / "RESULTS.md").write_text(text)
    variants = [each for each in results.variants if each.name == _MAIN] or results.variants
    for variant in variants[:1]:
        plots.write(variant, folder / "plots")


if __name__ == "__main__":
    write()
