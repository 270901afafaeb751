"""Every program in docs/actions.md runs as it stands, and its tables name what there is."""

from __future__ import annotations

import builtins
import re
import subprocess
from pathlib import Path

import pytest

import propchange
from propchange.upnp.actions import ErrorCode
from tests.development_mode import IN_DEVELOPMENT, complaints

TEXT = (Path(__file__).parent.parent / "docs" / "actions.md").read_text("utf-8")
CHAPTERS = dict(re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", TEXT))
PROGRAMS = [
    pytest.param(program, id=title)
    for title, text in CHAPTERS.items()
    for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]


def test_each_chapter_has_a_program_except_the_last_two() -> None:
    assert [title for title, text in CHAPTERS.items() if "```python" in text] == [*CHAPTERS][:-2]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_runs_without_a_warning(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program, "utf-8")
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-W", "error", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (complaints(ran.stderr), ran.returncode) == ("", 0)


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
