"""The list of the commands, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest

from propchange.cli.commands import Commands

NAMES = ["bridge", "call", "demo", "discover", "host", "watch"]


def test_the_list_of_commands_has_the_first_line_of_the_help_of_each(propchange: Any) -> None:
    listed = propchange("--help").out.partition("Commands:")[2]
    group = Commands()
    context = click.Context(group)
    assert group.list_commands(context) == NAMES
    for name in NAMES:
        command = group.get_command(context, name)
        assert command is not None
        assert f"{name:8}  {command.get_short_help_str(limit=100)}\n" in listed


def test_a_command_that_is_not_there_is_refused(propchange: Any) -> None:
    ran = propchange("listen")
    assert ran.status == 2
    assert "No such command 'listen'" in ran.err


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_no_command(option: str) -> None:
    script = f"""
import sys
import propchange.cli
sys.argv = ["propchange", {option!r}]
try:
    propchange.cli.main()
finally:
    print({{"asyncio", "rich", "propchange.core"}} & {{*sys.modules}})
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("set()\n")
