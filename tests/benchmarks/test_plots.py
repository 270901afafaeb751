"""The plots of the figures, as a browser shows them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

PLOTS = sorted((Path(__file__).parents[2] / "benchmarks" / "plots").glob("*.svg"))


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_bar_can_be_seen_the_shortest_too(plot: Path) -> None:
    widths = [
        float(width)
        for bar in re.findall(r"<rect [^>]*>", plot.read_text("utf-8"))
        if 'class="rect reactive' in bar
        for width in re.findall(r' width="([-0-9.]+)"', bar)
    ]
    assert widths
    assert min(abs(width) for width in widths) > 5


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_the_numbers_on_an_axis_do_not_overlap(plot: Path) -> None:
    label = r'guide line"/><text x="([0-9.]+)"[^>]*>([0-9.]+)</text>'
    labels = sorted(
        (float(x), len(text) * 6)  # about 6 pixels a digit
        for x, text in re.findall(label, plot.read_text("utf-8"))
    )
    assert len(labels) > 1
    for (left, width), (right, other) in itertools.pairwise(labels):
        assert right - left > (width + other) / 2
