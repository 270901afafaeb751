"""The complaints of a program in development mode."""

from __future__ import annotations

import subprocess

import pytest

from tests.development_mode import IN_DEVELOPMENT, complaints

_PROGRAM = """
import asyncio, time, warnings

async def main():
    time.sleep(0.2)
    await asyncio.sleep(0)
    {}

asyncio.run(main())
"""


def run(line: str) -> str:
    program = _PROGRAM.format(line)
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert "Executing <" in ran.stderr
    return complaints(ran.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("logging", ["pass", "import logging; logging.basicConfig()"])
def test_a_slow_turn_of_the_loop_is_no_complaint(logging: str) -> None:
    assert run(f"{logging}; time.sleep(0.2)") == ""


@pytest.mark.slow
def test_a_warning_and_an_error_are_complaints() -> None:
    assert "ResourceWarning: lost" in run("warnings.warn('lost', ResourceWarning)")
    assert run("raise ValueError('Executing <it> took long')").endswith("took long\n")
