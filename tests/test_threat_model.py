"""The pages of threats and of the field name tests that exist, and the threats every cap."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from propchange import Limits

ROOT = Path(__file__).parent.parent
THREATS = (ROOT / "docs" / "threat-model.md").read_text()


def rows_of(page: str) -> list[list[str]]:
    """The rows of the tables of a page that have a column of tests."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for chapter in (ROOT / "docs" / page).read_text().split("\n## ")[1:]
        if "| the test |" in chapter
        for line in chapter.splitlines()
        if line.startswith("| ") and "| the test |" not in line
    ]


def names_in(path: Path) -> set[str]:
    """Names of the functions and classes of a module."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", ["threat-model.md", "field.md"])
def test_each_row_names_tests_that_exist(page: str) -> None:
    rows, missing = rows_of(page), []
    assert len(rows) > 20
    for row in rows:
        assert len(row) == 4, row
        tests = re.findall(r"`(tests/[\w/.-]+)(?:::(\w+))?`", row[3])
        assert tests, row
        for path, name in tests:
            if not (ROOT / path).exists() or (name and name not in names_in(ROOT / path)):
                missing.append((row[0], path, name))
    assert missing == []


def test_every_cap_of_limits_stands_in_the_threat_model() -> None:
    assert [field.name for field in fields(Limits) if f"`{field.name}`" not in THREATS] == []


def test_each_cap_of_a_threat_is_a_field_of_limits() -> None:
    known = {field.name for field in fields(Limits)}
    named = {name for row in rows_of("threat-model.md") for name in re.findall(r"`(\w+)`", row[2])}
    assert named - known == set()
