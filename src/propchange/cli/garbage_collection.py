"""Keeps the pauses of the garbage collector short in a command that runs for long.

A full collection visits all objects of the process, and the loop stands still meanwhile. Most of
them are modules and classes, which never become garbage. Only the owner of a process may decide
about its garbage collector, so this is in the command and not in the library.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def program_left_out() -> Iterator[None]:
    """Leave the objects that exist now out of the garbage collections within the context. Enter it
    when the command has imported and opened all that it needs, and no peer is connected yet.

    If the process has left objects out already, it decides by itself, and nothing is done here."""
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
