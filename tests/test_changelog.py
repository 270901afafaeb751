"""The news of the next version: changelog.d has it, and a README.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAGMENTS = sorted(p for p in (ROOT / "changelog.d").iterdir() if p.name != "README.md")
TOWNCRIER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
KINDS = [kind["directory"] for kind in TOWNCRIER["type"]]


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_news_have_a_name_and_a_text_that_the_changelog_can_take(path: Path) -> None:
    named = re.fullmatch(r"\+[a-z0-9-]+\.([a-z]+)\.md", path.name)
    assert named, f"{path.name}: see changelog.d/README.md for the names"
    assert named[1] in KINDS, f"{path.name}: the kinds are {', '.join(KINDS)}"
    text = path.read_text().strip()
    assert text, f"{path.name} is empty"
    assert not re.match(r"[-*#] ", text), f"{path.name}: the bullet is put before it"


def test_the_changelog_has_a_place_for_the_next_version() -> None:
    assert (ROOT / "CHANGELOG.md").read_text().count(TOWNCRIER["start_string"]) == 1
