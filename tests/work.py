"""How much work a call does, without a clock or compared with another call in the same run."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(call: Callable[[], object]) -> int:
    """Lines of Python that ``call`` runs, loops inside of one line included. The same on each
    machine; work inside of C functions does not count."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    was_collecting = gc.isenabled()
    # A collection runs the finalizers of objects that other tests have left.
    gc.disable()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        if was_collecting:
            gc.enable()
    return count


def seconds(call: Callable[[], object], *, best_of: int = 3) -> float:
    """Processor time of ``call``, the best of some runs. Compare it with another one alone."""
    best = float("inf")
    was_collecting = gc.isenabled()
    # A collection looks at all objects of the process, however few the call makes.
    gc.disable()
    try:
        for _ in range(best_of):
            begin = time.process_time()
            call()
            best = min(best, time.process_time() - begin)
    finally:
        if was_collecting:
            gc.enable()
    return best


def memory(call: Callable[[], object]) -> int:
    """Bytes that are allocated at once, at most, while ``call`` runs, and by its result."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = call()
        _, peak = tracemalloc.get_traced_memory()
        del result
        return peak - before
    finally:
        if not was_tracing:
            tracemalloc.stop()
