"""The list of the commands, and what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import click
import pytest

from propchange.cli.commands import Commands
from propchange.cli.statuses import EXAMPLES, EXIT_STATUSES

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


def test_the_help_has_the_exit_statuses(propchange: Any) -> None:
    words = " ".join(propchange("--help").out.split())
    for status, meaning in EXIT_STATUSES:
        assert f"{status} {meaning}" in words


def test_the_manual_has_an_example_of_each_command() -> None:
    assert {line.split()[1] for line, _ in EXAMPLES} == set(NAMES)


@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize("words", [[], *([name] for name in NAMES)])
def test_the_help_fits_the_terminal(
    propchange: Any, monkeypatch: pytest.MonkeyPatch, columns: str, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ran = propchange(*words, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= int(columns)


def test_without_a_word_the_help_is_shown_and_the_command_line_is_wrong(propchange: Any) -> None:
    ran = propchange()
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: propchange [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-option"],
        ["listen"],
        ["--completion", "tcsh"],
        ["host"],
        ["watch"],
        ["watch", "--ful", "http://127.0.0.1:1/"],
        ["watch", "--seconds"],
        ["watch", "--seconds", "soon", "http://127.0.0.1:1/"],
        ["demo", "--seconds", "nan"],
        ["discover", "--type", "a b"],
        ["call"],
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_where_the_options_are(
    propchange: Any, words: list[str]
) -> None:
    ran = propchange(*words)
    assert (ran.status, ran.out) == (2, "")
    path = "propchange" if words[0] not in NAMES else f"propchange {words[0]}"
    assert re.fullmatch(rf"propchange: [^\n]+[;.?] [Ss]ee {path} --help\.?\n", ran.err)


@pytest.mark.parametrize("option", ["--help", "--version", "--completion=bash"])
def test_help_version_and_completion_import_no_command(option: str) -> None:
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
