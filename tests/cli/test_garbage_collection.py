"""The commands that run for long leave their program out of the garbage collections."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def left_out(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of objects that each call of gc.freeze() has left out."""
    counts: list[int] = []
    freeze = gc.freeze

    def count() -> None:
        freeze()
        counts.append(gc.get_freeze_count())

    monkeypatch.setattr(gc, "freeze", count)
    return counts


def test_a_hosting_command_leaves_its_program_out_of_the_collections_until_it_ends(
    propchange: Callable[..., Any], left_out: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        renderer = str(ROOT / "examples" / "renderer.toml")
        words = ("--interface", "127.0.0.1", "--no-announce", "--until-eof")
        assert propchange("host", renderer, *words).status == 0
    assert [count > 10_000 for count in left_out] == [True]
    assert gc.get_freeze_count() == 0


def test_a_watching_command_leaves_its_program_out_of_the_collections_until_it_ends(
    workbench: Any, propchange: Callable[..., Any], left_out: list[int]
) -> None:
    assert propchange("watch", workbench.url, "--count", "1").status == 0
    assert [count > 10_000 for count in left_out] == [True]
    assert gc.get_freeze_count() == 0
