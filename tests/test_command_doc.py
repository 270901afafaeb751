"""docs/command.md and the manual have each command and option: both are made from the help."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from propchange.bridge import configuration, nats_settings
from propchange.cli.statuses import ENVIRONMENT, EXIT_STATUSES
from tools import command_pages


def test_the_page_and_the_manual_are_those_of_the_help() -> None:
    """If not, run `make command-pages`."""
    assert command_pages.PAGE.read_text("utf-8") == command_pages.page()
    assert command_pages.MANUAL.read_text("ascii") == command_pages.manual()


def test_the_page_has_each_option_each_exit_status_and_each_variable() -> None:
    text = command_pages.page()
    for each in command_pages.commands():
        assert f"## {each.name}\n" in text or each.name == "propchange"
        for option, _ in each.options:
            assert f"| `{option.replace('|', '&#124;')}` |" in text
    for term, _ in (*EXIT_STATUSES, *ENVIRONMENT):
        assert f"| `{term}` |" in text


def test_the_manual_has_each_variable_with_a_secret_of_the_bridge() -> None:
    read = {
        value
        for module in (configuration, nats_settings)
        for name, value in vars(module).items()
        if name.endswith("_VARIABLE")
    }
    assert read
    assert read <= {name for name, _ in ENVIRONMENT}


def test_the_manual_renders_without_a_warning() -> None:
    if shutil.which("groff") is None:
        reason = "groff is not installed: see tools/install-peers"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    groff = ["groff", "-man", "-ww", "-z", "-Tutf8"]
    ran = subprocess.run(
        [*groff, str(command_pages.MANUAL)], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    shown = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-c", str(command_pages.MANUAL)],
        capture_output=True,
        text=True,
        check=True,
    )
    words = " ".join(re.sub(".\b", "", shown.stdout).split())
    for word in ("--callback-host H", "EXIT STATUS", "NO_COLOR", "propchange watch [OPTIONS] URL"):
        assert word in words
