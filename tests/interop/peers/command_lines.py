"""What the peers in Python have in common: command lines in, JSON Lines out, as lines.h says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

from propchange import Limits


def tell(**told: object) -> None:
    print(json.dumps(told, default=str), flush=True)


async def commands() -> AsyncIterator[tuple[str, str]]:
    """Each command and what stands behind it, until ``quit`` or the end of stdin."""
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip("\n"):
        command, _, rest = line.partition(" ")
        if command == "quit":
            return
        yield command, rest


def limits_and_options(given: dict[str, Any]) -> tuple[Limits, dict[str, Any]]:
    """The limits with the fields of Limits that are ``given``, and the rest of what is given."""
    names = {each.name for each in fields(Limits)} & given.keys()
    limits = replace(Limits(), **{name: given[name] for name in names})
    return limits, {name: value for name, value in given.items() if name not in names}
