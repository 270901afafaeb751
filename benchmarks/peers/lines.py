"""Command lines in, JSON Lines out, and the events that a receiving program counts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

__all__ = ["VALUES", "Tally", "commands", "tell"]

VALUES = {
    "Temperature": [10 + number / 8 for number in range(64)],
    "Volume": list(range(64)),
}
"""What the generator sends in each variable, again and again, beginning with the initial event."""


def tell(**told: object) -> None:
    """Write one line."""
    print(json.dumps(told), flush=True)


async def commands() -> AsyncIterator[list[str]]:
    """The words of each command, until ``quit`` or the end of stdin."""
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        if words == ["quit"]:
            return
        yield words


class Tally:
    """How many events came, and how many of them did not have the value that was next."""

    def __init__(self) -> None:
        self.events = 0
        self.disorder = 0

    def tell(self) -> None:
        """Answer the command ``count``."""
        tell(events=self.events, disorder=self.disorder)
