"""One device, few connections: how many requests are under way to each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

__all__ = ["RequestSlots"]


class RequestSlots:
    """``number`` requests at once to one (host, port); the others wait, in order."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._slots: dict[tuple[str, int | None], _Slots] = {}

    def of(self, url: str) -> _Slots:
        """What to enter with ``async with`` around a request to ``url``."""
        parts = urlsplit(url)
        key = (parts.hostname or "", parts.port)
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = _Slots(self._number, lambda: self._slots.pop(key, None))
        return slots


class _Slots:
    """How many requests may be under way to one (host, port); forgets itself when unused."""

    def __init__(self, number: int, unused: Callable[[], object]) -> None:
        self._semaphore = asyncio.Semaphore(number)
        self._unused = unused
        self._users = 0

    async def __aenter__(self) -> None:
        self._users += 1
        try:
            await self._semaphore.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        self._semaphore.release()
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._unused()
