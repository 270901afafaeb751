"""The programs in docs/multicast.md run, and print what they say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

TEXT = (Path(__file__).parent.parent / "docs" / "multicast.md").read_text("utf-8")
DECLARATION, BOTH_ENDS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(program: str) -> tuple[dict[str, object], str]:
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/multicast.md", "exec"), names)
    return names, printed.getvalue()


def test_the_declaration_is_one() -> None:
    names, _ = run(DECLARATION + "\nDOOR = Door()\n")
    scpd = eval("DOOR.scpd().decode()", names)
    assert scpd.count('multicast="yes"') == 2


def test_the_program_prints_what_its_comment_says() -> None:
    _, printed = run(BOTH_ENDS)
    assert printed.strip() == BOTH_ENDS.rstrip().rpartition("  # ")[2]
