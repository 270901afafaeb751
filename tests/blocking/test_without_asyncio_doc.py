"""Every program in docs/without-asyncio.md runs as it stands, and its example is short."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

import propchange.blocking
from propchange import Limits
from tests.development_mode import IN_DEVELOPMENT, complaints

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "without-asyncio.md").read_text("utf-8")
CHAPTERS = dict(re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", TEXT))
PROGRAMS = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, text in CHAPTERS.items()
}
PRINTED = {
    "Events": r"0 \{'Temperature': 20\.0\}\n",
    # Each thread prints its own event, so either may be first.
    "Threads": r"(Thread-[12] \(work\) (20\.0|21\.5)\n){2}",
    "Devices": r"20\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("title", PRINTED)
def test_the_program_runs_without_a_warning(title: str, tmp_path: Path) -> None:
    (program,) = PROGRAMS[title]
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
    assert re.fullmatch(PRINTED[title], ran.stdout)


def test_each_program_of_the_page_is_run() -> None:
    assert [title for title, programs in PROGRAMS.items() if programs] == [*PRINTED]


def test_the_page_names_what_is_there() -> None:
    names = set(re.findall(r"`subscription\.(\w+)\(", TEXT))
    assert names <= set(dir(propchange.blocking.Subscription))
    assert all(hasattr(Limits, name) for name in re.findall(r"`Limits\.(\w+)`", TEXT))


def test_the_example_has_at_most_fifteen_lines_and_says_what_it_is() -> None:
    text = (ROOT / "examples" / "blocking_watch.py").read_text("utf-8")
    assert len(text.splitlines()) <= 15
    assert ast.get_docstring(ast.parse(text))
