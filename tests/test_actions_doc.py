"""The tables of docs/actions.md name what there is."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import propchange
from propchange.upnp.actions import ErrorCode

TEXT = (Path(__file__).parent.parent / "docs" / "actions.md").read_text("utf-8")
CHAPTERS = dict(re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", TEXT))


def test_each_chapter_has_a_program_except_the_last_two() -> None:
    assert [title for title, text in CHAPTERS.items() if "```python" in text] == [*CHAPTERS][:-2]


def test_the_table_of_faults_has_the_codes_that_a_device_answers_with() -> None:
    codes = set(map(int, re.findall(r"(?m)^\| ([0-9]{3}) \|", CHAPTERS["Faults and other errors"])))
    # Programs raise the others themselves.
    assert codes == set(ErrorCode) - {603, 604, 605}


def test_the_table_of_exceptions_names_exceptions() -> None:
    first = re.findall(r"(?m)^\| `?(\w+)`?.* \| .* \| .* \|$", CHAPTERS["Faults and other errors"])
    names = [name for name in first if name.endswith(("Error", "Failed", "Out"))]
    assert len(names) == 7
    for name in names:
        assert issubclass(getattr(propchange, name, None) or getattr(builtins, name), Exception)


def test_each_setting_of_the_limits_that_the_page_names_is_there() -> None:
    names = re.findall(r"`Limits\.(\w+)`", TEXT)
    assert names
    assert [name for name in names if not hasattr(propchange.Limits(), name)] == []
