"""What is remembered of a service of Cohen3's from one SUBSCRIBE to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Course", "course_of", "renewable"]

_RENEWED_BEFORE = 30
"""Cohen3's services renew so many seconds before the time that ``set_timeout`` is told."""


@dataclass(eq=False, slots=True)
class Course:
    """What is remembered of a service from one SUBSCRIBE to the next. Its ``timeout`` is what it
    was told last, which says when to renew and not how long to ask for."""

    asked: int = 0
    told: int | None = None
    failures: int = 0


_courses: WeakKeyDictionary[Any, Course] = WeakKeyDictionary()


def course_of(service: Any) -> Course:
    """The course of ``service``, the same each time, for as long as the service is there."""
    return _courses.setdefault(service, Course())


def renewable(seconds: int) -> int:
    """What to tell a service that renews :data:`_RENEWED_BEFORE` seconds before the end, so that
    it renews at half of a short grant: it would renew one below 30 s at once, and again at once."""
    if seconds >= 2 * _RENEWED_BEFORE:
        return seconds
    return _RENEWED_BEFORE + max(seconds // 2, 1)
