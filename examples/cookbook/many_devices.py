"""Follow many devices by one control point, each in a task of its own.

usage: python many_devices.py DESCRIPTION_URL …

A device that cannot be read is tried again, and does not disturb the others. All events arrive at
one port. An error in this program ends all tasks, and unsubscribes everything.
"""

import asyncio
import contextlib
import sys

from propchange import ControlPoint, PropchangeError, RemoteDevice, RemoteService


async def follow(service: RemoteService) -> None:
    async with service.subscribe(wait=False) as subscription:
        async for event in subscription:
            name = f"{service.device.friendly_name}.{service.name}"
            print(name, event.seq, dict(event.changes), flush=True)


async def read(control_point: ControlPoint, url: str) -> RemoteDevice:
    pause = 1.0
    while True:
        try:
            return await control_point.device(url)
        except PropchangeError as error:
            print(f"{error}; again in {pause:.0f} s", file=sys.stderr, flush=True)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 60.0)


async def follow_device(control_point: ControlPoint, url: str) -> None:
    device = await read(control_point, url)
    async with asyncio.TaskGroup() as tasks:
        for service in device.services:
            if service.event_url:
                tasks.create_task(follow(service))


async def main(urls: list[str]) -> None:
    async with ControlPoint() as control_point, asyncio.TaskGroup() as tasks:
        for url in urls:
            tasks.create_task(follow_device(control_point, url))


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1:]))
