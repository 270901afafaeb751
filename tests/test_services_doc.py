"""Every program in docs/services.md runs as it stands, and every standard service is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from propchange.upnp import standard

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).parent.parent / "docs" / "services.md").read_text()
CHAPTERS = [chapter.partition("\n") for chapter in TEXT.split("\n## ")[1:]]
PROGRAMS = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, _, text in CHAPTERS
}


def test_each_chapter_has_its_program() -> None:
    assert [title for title, programs in PROGRAMS.items() if len(programs) != 1] == []


def test_every_standard_service_is_used_in_one() -> None:
    together = "\n".join(program for programs in PROGRAMS.values() for program in programs)
    assert [name for name in standard.__all__ if name not in together] == []


@pytest.mark.parametrize("title", PROGRAMS)
def test_the_program_runs(title, tmp_path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAMS[title][0])
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
