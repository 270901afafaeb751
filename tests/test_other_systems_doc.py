"""docs/other-systems.md: its tests are there, and a diagnosis knows the adapters in it."""

from __future__ import annotations

import re
from pathlib import Path

from propchange.core.local_addresses import InterfaceKind, interface_kind

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "other-systems.md").read_text()


def test_the_adapters_of_the_page_are_of_the_kind_that_it_says() -> None:
    by_words = {kind.value: kind for kind in InterfaceKind}
    rows = [
        (by_words[words], name)
        for words, names in re.findall(r"(?m)^\| ([a-z][^|]*) \| (`.*`) \|$", PAGE)
        if words in by_words
        for name in re.findall(r"`([^`]+)`", names)
    ]
    assert {kind for kind, _ in rows} == set(InterfaceKind)
    assert [(kind, name) for kind, name in rows if interface_kind(name) is not kind] == []


def test_each_row_names_a_test_that_is_there_or_says_that_there_is_none() -> None:
    table = PAGE.partition("| subject |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(table) > 10
    for row in table:
        shown = row.strip("| ").rpartition(" | ")[2]
        assert shown.startswith(("simulated", "not run")), row
        for path in re.findall(r"`(tests/[^`]+)`", shown):
            assert (ROOT / path).exists(), path


def test_the_page_says_that_nobody_has_run_it_there() -> None:
    assert "Nobody has run propchange on Windows or macOS yet." in PAGE
