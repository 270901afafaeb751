"""Deadlines in a heap: set, move and clear each take logarithmic time."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """One absolute time (seconds, any origin) per key. Setting, clearing and taking one sets
    ``changed``; its reader resets it."""

    __slots__ = ("_heap", "_keys", "_serial", "changed", "when")

    def __init__(self) -> None:
        self.changed = True
        # Two dicts connect a key and its entry in the heap. With the key in the entry, the garbage
        # collector would visit each entry. It does not visit tuples of numbers.
        self.when: dict[K, tuple[float, int]] = {}
        """The deadline and the number of each key. Read it only. A hot path asks it whether there
        is a deadline, because that calls no function."""
        self._keys: dict[int, K] = {}
        self._heap: list[tuple[float, int]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self.when)

    def set(self, key: K, when: float) -> None:
        """Set the deadline of ``key``, and replace a former one."""
        self.changed = True
        self._serial += 1
        self._forget(key)
        entry = (when, self._serial)
        self.when[key] = entry
        self._keys[self._serial] = key
        heapq.heappush(self._heap, entry)
        # A key that is moved leaves its old entry in the heap. Rebuild it before they are many.
        if len(self._heap) > 2 * len(self.when) + 64:
            self._heap = list(self.when.values())
            heapq.heapify(self._heap)

    def clear(self, key: K) -> None:
        """Remove the deadline of ``key``, if it has one."""
        self.changed = True
        self._forget(key)

    def _forget(self, key: K) -> None:
        entry = self.when.pop(key, None)
        if entry is not None:
            del self._keys[entry[1]]

    def __contains__(self, key: K) -> bool:
        return key in self.when

    def get(self, key: K) -> float | None:
        """The deadline of ``key``. None without one."""
        entry = self.when.get(key)
        return None if entry is None else entry[0]

    def next(self) -> float | None:
        """The earliest deadline. None without one."""
        heap, keys = self._heap, self._keys
        while heap:
            when, serial = heap[0]
            if serial in keys:
                return when
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> K | None:
        """Remove and return the earliest key whose deadline is not after ``now``. None without
        one."""
        earliest = self.next()
        if earliest is None or earliest > now:
            return None
        self.changed = True
        key = self._keys.pop(heapq.heappop(self._heap)[1])
        del self.when[key]
        return key
