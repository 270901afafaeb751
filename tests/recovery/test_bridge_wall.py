"""Twenty devices that restart at random beside the bridge, for some seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.fixtures import missing
from lab.mosquitto import PROGRAM

pytestmark = pytest.mark.slow


def test_what_is_retained_is_what_twenty_devices_have_at_each_rest() -> None:
    if os.geteuid() or PROGRAM is None:
        missing("the wall needs root and mosquitto")
    wall = subprocess.run(
        [
            sys.executable,
            "-m",
            "lab.bridge_wall",
            "--seconds",
            "12",
            "--seed",
            "7",
            "--limit",
            "30",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wall.returncode == 0, wall.stdout + wall.stderr
    assert "all right" in wall.stdout
