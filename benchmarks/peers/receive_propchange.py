"""A control point of propchange, each subscription consumed by ``async for``.

    python -m benchmarks.peers.receive_propchange uvloop|asyncio SERVICE VARIABLE

``subscribe BASE-URL COUNT`` answers {"subscribed": COUNT} before the grants.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from typing import Any

import uvloop

from benchmarks.peers.lines import VALUES, Tally, commands, tell
from propchange import ControlPoint


async def consume(subscription: Any, variable: str, tally: Tally) -> None:
    values, number = VALUES[variable], 0
    async with subscription:
        async for event in subscription:
            if event.changes[variable] != values[number & 63]:
                tally.disorder += 1
            number += 1
            tally.events += 1


async def main(service: str, variable: str) -> None:
    tally = Tally()
    tasks = []
    async with ControlPoint() as control_point:
        tell(ready=f"propchange {importlib.metadata.version('propchange')}")
        async for command, *words in commands():
            if command == "subscribe":
                device = await control_point.device(f"{words[0]}/description.xml")
                for _ in range(int(words[1])):
                    subscription = device[service].subscribe()
                    tasks.append(asyncio.create_task(consume(subscription, variable, tally)))
                tell(subscribed=len(tasks))
            else:
                tally.tell()
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    run = {"uvloop": uvloop.run, "asyncio": asyncio.run}[sys.argv[1]]
    run(main(*sys.argv[2:]))
