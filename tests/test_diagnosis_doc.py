"""docs/diagnosis.md says of each verdict what the table says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from propchange.core.diagnosis.rules import RULES

_PAGE = Path(__file__).parent.parent / "docs" / "diagnosis.md"


def test_the_page_has_the_verdicts_of_the_table_in_their_order() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", _PAGE.read_text("utf-8"), re.MULTILINE
    )

    assert [(name, to_do) for name, _, to_do in rows] == [
        (rule.verdict.value, rule.to_do or "-") for rule in RULES
    ]
    assert all(meaning.endswith(".") for _, meaning, _ in rows)


def test_the_program_of_the_page_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("events-arrive - events arrive: the last one came ")
    assert "  connecting to ourselves: 127.0.0.1:" in ran.stdout
