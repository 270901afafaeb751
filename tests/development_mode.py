"""Programs in Python's development mode, and what they complain about."""

from __future__ import annotations

import re
import sys

IN_DEVELOPMENT = (sys.executable, "-X", "dev")
"""The Python that runs a program in development mode."""

_SLOW = re.compile(r"^(?:[^<\n]*\b)?Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)


def complaints(stderr: str) -> str:
    """``stderr`` without the lines of asyncio's debug mode about a turn of the loop that took
    long: on a busy machine any turn does."""
    return _SLOW.sub("", stderr)
