"""What the peers in Python have in common: command lines in, JSON Lines out, as lines.h says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator


def tell(**told: object) -> None:
    print(json.dumps(told, default=str), flush=True)


async def commands() -> AsyncIterator[tuple[str, str]]:
    """Each command and what stands behind it, until ``quit`` or the end of stdin."""
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip("\n"):
        command, _, rest = line.partition(" ")
        if command == "quit":
            return
        yield command, rest
