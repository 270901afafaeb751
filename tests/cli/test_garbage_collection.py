"""The commands that run for long leave their program out of the garbage collections."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that have left their program out of the collections, and have ended."""
    commands: list[str] = []

    def recorded(command: str) -> Any:
        @contextmanager
        def program_left_out() -> Iterator[None]:
            yield
            commands.append(command)

        return program_left_out

    for command in ("host", "watch"):
        monkeypatch.setattr(f"propchange.cli.{command}.program_left_out", recorded(command))
    return commands


def test_a_hosting_command_leaves_its_program_out_of_the_collections_until_it_ends(
    propchange: Callable[..., Any], entered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        renderer = str(ROOT / "examples" / "renderer.toml")
        words = ("--interface", "127.0.0.1", "--no-announce", "--until-eof")
        assert propchange("host", renderer, *words).status == 0
    assert entered == ["host"]


def test_a_watching_command_leaves_its_program_out_of_the_collections_until_it_ends(
    workbench: Any, propchange: Callable[..., Any], entered: list[str]
) -> None:
    assert propchange("watch", workbench.url, "--count", "1").status == 0
    assert entered == ["watch"]


@pytest.mark.parametrize(
    ("before", "printed"),
    [("", "0 True 0"), ("gc.freeze()", "True True True")],
    ids=["a command", "a process that has left objects out itself"],
)
def test_objects_are_left_out_for_the_time_of_the_command_unless_the_process_has_done_it(
    before: str, printed: str
) -> None:
    program = f"""
import gc
from propchange.cli.garbage_collection import program_left_out
def many(): return gc.get_freeze_count() > 1_000 or gc.get_freeze_count()
{before}
first = many()
with program_left_out():
    within = many()
print(first, within, many())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{printed}\n"
