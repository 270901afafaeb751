"""Marks the classes that the compiled build leaves to the interpreter."""

from __future__ import annotations

from typing import TypeVar

C = TypeVar("C", bound=type)


def interpreted(cls: C) -> C:
    """Return ``cls``. mypyc leaves a class to the interpreter if it has a decorator that mypyc does
    not know. A class needs that if it derives from a built-in type, if a class that is not
    compiled derives from it, if weak references to it are taken, or if it is a Protocol that
    classes of other modules have."""
    return cls
