"""Every standard service has its program in docs/services.md."""

from __future__ import annotations

import re
from pathlib import Path

from propchange.upnp import standard

TEXT = (Path(__file__).parent.parent / "docs" / "services.md").read_text()
CHAPTERS = [chapter.partition("\n") for chapter in TEXT.split("\n## ")[2:]]
PROGRAMS = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, _, text in CHAPTERS
}


def test_each_chapter_but_the_first_has_its_program() -> None:
    assert [title for title, programs in PROGRAMS.items() if len(programs) != 1] == []


def test_every_standard_service_is_used_in_one() -> None:
    together = "\n".join(program for programs in PROGRAMS.values() for program in programs)
    assert [name for name in standard.__all__ if name not in together] == []
