"""docs/interop.md and the interop tests name each other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = re.compile(r"`\.venv/bin/pytest (tests/interop/test_\w+\.py)(?: -k (\w+))?`")


def test_each_command_of_the_page_selects_a_test_and_each_test_is_selected() -> None:
    commands = COMMAND.findall((ROOT / "docs/interop.md").read_text("utf-8"))
    assert commands
    selected = set()
    for file, word in commands:
        text = (ROOT / file).read_text("utf-8")
        names = re.findall(r"(?m)^def (test_\w+)\(", text)
        # By name, or by a stack that a test runs for.
        stacks = ("gupnp", "libupnp", "async")
        found = [name for name in names if word in name] or (names if word in stacks else [])
        assert found, (file, word)
        selected |= {(file, name) for name in found}
    tests = {
        (f"tests/interop/{path.name}", name)
        for path in (ROOT / "tests/interop").glob("test_*.py")
        for name in re.findall(r"(?m)^def (test_\w+)\(", path.read_text("utf-8"))
    }
    assert tests <= selected
