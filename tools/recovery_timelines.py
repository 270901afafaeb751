"""Draw docs/pictures/recovery.svg from the measurements that docs/recovery.md has.

`make faults FAULTS_ARGS=--write` measures, as root and with C peers; this only draws what was
measured. For each fault and device there is a line of time for each control point, from the end of
the fault on: until it has the right values, or to the end of the observation if it never has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "recovery.md"
PICTURE = ROOT / "docs" / "pictures" / "recovery.svg"

OBSERVED = 13.0  # seconds after the end of the fault
SECOND = 34  # pixels
LEFT, LINE, BAR = 320, 15, 9
COLOURS = ("#1b6ca8", "#5b8c5a", "#d1893b", "#8a8a8a")  # of the control points, in their order


@dataclass
class Measured:
    """A row of the table: what the control points did after a fault, with one device."""

    fault: str
    device: str
    cells: list[str]


def read(text: str) -> tuple[list[str], list[Measured]]:
    """The control points, and the rows."""
    table = text.partition("<!-- measured: begin -->")[2].strip().partition("\n\n")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    fault = ""
    found = []
    for first, device, *cells in rows[2:]:
        name = re.match(r"\*\*(.+?)\*\*", first)
        fault = name[1] if name else fault
        found.append(Measured(fault, device, cells))
    return rows[0][2:], found


def seconds(cell: str) -> float | None:
    """The time that a cell gives; None if the values were never right, in one trial at least."""
    found = re.match(r"([\d.]+) s", cell)
    return float(found[1]) if found and "never" not in cell else None


def draw(text: str) -> str:
    """The picture of the table in ``text``."""
    names, rows = read(text)
    parts = []
    for number, name in enumerate(names):
        x = 10 + number * 190
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 18}" y="20">{escape(name)}</text>')
    top = y = 50
    for row in rows:
        parts.append(f'<text x="10" y="{y + 12}">{escape(f"{row.fault}, {row.device}")}</text>')
        for colour, cell in zip(COLOURS, row.cells, strict=True):
            middle = y + BAR / 2
            taken = seconds(cell)
            if "cannot run" in cell:
                label, length = "cannot run", 0.0
            elif taken is None:
                label, length = "never, in one trial at least", OBSERVED
            else:
                label, length = f"{taken:g} s", taken
            width = max(length * SECOND, 1)
            faint = ' fill-opacity="0.35"' if taken is None else ""
            fill = f'fill="{colour}"{faint}'
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:g}" height="{BAR}" {fill}/>')
            inside = LEFT + width + 5 if taken is not None or not length else LEFT + 5
            parts.append(f'<text x="{inside:g}" y="{middle + 4:g}" class="small">{label}</text>')
            y += LINE
        y += 10
    lines = [
        f'<line x1="{LEFT + at * SECOND}" y1="{top - 6}" x2="{LEFT + at * SECOND}" y2="{y}"/>'
        f'<text x="{LEFT + at * SECOND}" y="{top - 10}" class="small">{at} s</text>'
        for at in range(0, int(OBSERVED) + 1, 2)
    ]
    size = f"{LEFT + OBSERVED * SECOND + 60:g} {y + 10}"
    style = (
        "text{font:13px sans-serif;fill:#222}.small{font-size:10px}line{stroke:#ddd}"
        "svg{background:#fff}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">',
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *lines,
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(PAGE.read_text("utf-8")), "utf-8")
    print("wrote", PICTURE)
