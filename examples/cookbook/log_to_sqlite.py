"""Write every change of every device on the network into a table of SQLite.

usage: python log_to_sqlite.py DATABASE

The table `changes` has the time, the device, the service, the variable and its value as text.
Devices may come, go and restart; their subscriptions are kept.
"""

import asyncio
import contextlib
import sqlite3
import sys
import time

from propchange import ControlPoint, PropchangeError, RemoteService, Sighting, SightingKind

TABLE = """CREATE TABLE IF NOT EXISTS changes
    (at REAL, udn TEXT, device TEXT, service TEXT, variable TEXT, channel TEXT, value TEXT)"""


async def follow(service: RemoteService, database: sqlite3.Connection) -> None:
    device = service.device
    source = (device.udn, device.friendly_name, service.unique_name)
    async with service.subscribe(wait=False) as subscription:  # tries until it is granted
        async for event in subscription:
            changes = [each for each in event.details if each.variable != "LastChange"]
            rows = [(time.time(), *source, c.variable, c.channel, c.text) for c in changes]
            with database:  # one transaction
                database.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


async def main(path: str) -> None:
    followed: set[str] = set()

    async def read(sighting: Sighting) -> None:
        try:
            device = await sighting.device()
        except PropchangeError as error:
            print(f"{sighting.udn}: {error}", file=sys.stderr)
            followed.discard(sighting.udn)  # its next announcement is another chance
            return
        services = [service for service in device.services if service.event_url]
        for service in services:
            tasks.create_task(follow(service, database))
        print(f"{device.friendly_name}: {len(services)} services", flush=True)

    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(TABLE)
        async with ControlPoint() as control_point, asyncio.TaskGroup() as tasks:
            async for sighting in control_point.devices():
                if sighting.kind is not SightingKind.GONE and sighting.udn not in followed:
                    followed.add(sighting.udn)
                    tasks.create_task(read(sighting))


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
