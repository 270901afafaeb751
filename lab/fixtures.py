"""Fixtures of tests/interop and tests/recovery. A missing peer skips its tests, and fails them
with CI=true."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from lab.programs import Program

__all__ = ["Start", "missing", "missing_fixture", "programs", "start_fixture"]


def missing(what: object) -> NoReturn:
    """Skip, or fail where everything must be there."""
    reason = f"{what} (`make peers`, as root on Debian, installs and builds the peers)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)  # a peer that is not there; never with CI=true


@pytest.fixture(name="missing", scope="session")
def missing_fixture() -> Callable[[str], NoReturn]:
    return missing


class Start(Protocol):
    def __call__(self, *command: str | Path, **environment: str) -> Program: ...


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[Start]:
    """Starts programs and ends them, last one first, when the context is left. What they write to
    standard error goes into files in ``folder``."""
    with contextlib.ExitStack() as running:
        count = 0

        def start(*command: str | Path, **environment: str) -> Program:
            nonlocal count
            count += 1
            words = [str(word) for word in command]
            program = Program(words, folder / f"stderr-{count}.txt", environment)
            running.callback(program.stop)
            return program

        yield start


@pytest.fixture(name="start")
def start_fixture(tmp_path: Path) -> Iterator[Start]:
    """Starts programs and ends them, last one first, when the test is over."""
    with programs(tmp_path) as start:
        yield start
