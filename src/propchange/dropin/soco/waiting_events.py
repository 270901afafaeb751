"""The queue in which events wait for a program that has set no callback."""

from __future__ import annotations

import queue
from collections import deque
from typing import Any

from propchange.core.limits import Limits

_EVENT_CHARACTERS = 256
"""Approximate memory of an event, and of a value that is no text, in characters."""


class WaitingEvents(queue.Queue[Any]):
    """A ``queue.Queue`` that takes every event and keeps the newest: ``Limits.waiting_events`` of
    them at most, and ``Limits.waiting_event_characters``. :attr:`left_out` counts the others.

    SoCo's own queue has no bound: for a program that reads no events it keeps them all."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._sizes: deque[int] = deque()
        self._characters = 0
        self.left_out = 0

    def _put(self, item: Any) -> None:
        size = _size(getattr(item, "variables", None) or {})
        self._sizes.append(size)
        self._characters += size
        super()._put(item)
        limits = self._limits
        while self._qsize() > 1 and (
            self._qsize() > limits.waiting_events
            or self._characters > limits.waiting_event_characters
        ):
            self._get()
            self.unfinished_tasks -= 1
            self.left_out += 1

    def _get(self) -> Any:
        self._characters -= self._sizes.popleft()
        return super()._get()


def _size(variables: dict[str, Any]) -> int:
    return _EVENT_CHARACTERS + sum(
        len(value) if isinstance(value, str) else _EVENT_CHARACTERS for value in variables.values()
    )
