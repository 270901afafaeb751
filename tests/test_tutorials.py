"""Every program of the tutorials runs as it stands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.development_mode import IN_DEVELOPMENT, complaints

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("tutorial-*.md"))
    for number, program in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1
    )
]


def test_there_is_a_tutorial_for_each_side():
    assert [page.name for page in sorted(DOCS.glob("tutorial-*.md"))] == [
        "tutorial-control-point.md",
        "tutorial-device.md",
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_runs_without_a_warning(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(program)
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-W", "error", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    # What is told on purpose, such as a device that is not there, is no warning of Python's.
    lines = complaints(ran.stderr).splitlines()
    assert [line for line in lines if "Warning" in line or "Error" in line] == []
    assert ran.returncode == 0


def test_the_pages_link_to_pages_that_are_there():
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
