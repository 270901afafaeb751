"""tests/twisted and tests/cohen3 on the oldest supported Twisted, which Cohen3 runs on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The first test builds the environment.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_twisted_front_passes_its_tests_on_twisted_21_7(cohen3_python: Path) -> None:
    program = (
        "import sys, pytest, twisted\n"
        "assert twisted.__version__ == '21.7.0', twisted.__version__\n"
        "sys.exit(pytest.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [
            *(str(cohen3_python), "-c", program, "tests/twisted", "tests/cohen3", "-q"),
            # Twisted 21.7 uses what Python 3.11 deprecates.
            *("-p", "no:cacheprovider", "-W", "default::DeprecationWarning"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
