"""Deadlines in a heap: set, move and clear each take logarithmic time."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """One absolute time (seconds, any origin) per key. Setting, clearing and taking one sets
    ``changed``; its reader resets it."""

    __slots__ = ("_heap", "_serial", "_when", "changed")

    def __init__(self) -> None:
        self.changed = True
        self._when: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: K, when: float) -> None:
        """Set the deadline of ``key``, and replace a former one."""
        self.changed = True
        self._serial += 1
        self._when[key] = (when, self._serial)
        heapq.heappush(self._heap, (when, self._serial, key))
        # A key that is moved leaves its old entry in the heap. Rebuild it before they are many.
        if len(self._heap) > 2 * len(self._when) + 64:
            self._heap = [(when, serial, key) for key, (when, serial) in self._when.items()]
            heapq.heapify(self._heap)

    def clear(self, key: K) -> None:
        """Remove the deadline of ``key``, if it has one."""
        self.changed = True
        self._when.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._when

    def next(self) -> float | None:
        """The earliest deadline. None without one."""
        heap, when = self._heap, self._when
        while heap:
            time, serial, key = heap[0]
            if when.get(key) == (time, serial):
                return time
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> K | None:
        """Remove and return the earliest key whose deadline is not after ``now``. None without
        one."""
        earliest = self.next()
        if earliest is None or earliest > now:
            return None
        self.changed = True
        _, _, key = heapq.heappop(self._heap)
        del self._when[key]
        return key
