"""The runtime's clock: seconds that only grow, and that count while the machine sleeps.

Durations of subscriptions run on at the peer while this machine is suspended, so a clock that
stands still meanwhile would renew too late.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

__all__ = ["monotonic"]


def _choose() -> Callable[[], float]:
    # CLOCK_BOOTTIME is Linux's. On macOS CLOCK_MONOTONIC counts through sleep and
    # time.monotonic() does not; on Windows time.monotonic() does.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        clock = getattr(time, name, None)
        if clock is not None:
            return functools.partial(time.clock_gettime, clock)
    return time.monotonic


monotonic: Callable[[], float] = _choose()
"""Seconds since some moment before the program started. Never goes back; counts suspends where
the platform has such a clock."""
