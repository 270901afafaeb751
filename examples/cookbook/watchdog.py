"""Say when the events of a device stop, why, and what to do; and when they come again.

usage: python watchdog.py DESCRIPTION_URL …

The lines are for a log or a messenger: one when it begins, one when it is over.
"""

import asyncio
import contextlib
import sys

from propchange import (
    ControlPoint,
    PropchangeError,
    RemoteDevice,
    RemoteService,
    Status,
    StatusChange,
)

WRONG = (Status.DEAF, Status.RESUBSCRIBING, Status.REFUSED)


async def guard(service: RemoteService) -> None:
    name = f"{service.device.friendly_name}, {service.name}"
    wrong = False
    async with service.subscribe(wait=False) as subscription:
        async for update in subscription.updates():
            if not isinstance(update, StatusChange):
                continue
            if update.status in WRONG and not wrong:
                diagnosis = await subscription.diagnose()  # 5 s at most; asks the device
                print(f"{name}: {update.status.value}: {diagnosis}", flush=True)
                wrong = True
            elif update.status is Status.ACTIVE and wrong:
                print(f"{name}: well again: {update.reason}", flush=True)
                wrong = False


async def read(control_point: ControlPoint, url: str) -> RemoteDevice:
    while True:
        try:
            return await control_point.device(url)
        except PropchangeError as error:
            print(f"{url}: {error}", flush=True)
            await asyncio.sleep(60)


async def guard_device(control_point: ControlPoint, url: str) -> None:
    device = await read(control_point, url)
    print(f"guarding {device.friendly_name}", flush=True)
    async with asyncio.TaskGroup() as tasks:
        for service in device.services:
            if service.event_url:
                tasks.create_task(guard(service))


async def main(urls: list[str]) -> None:
    async with ControlPoint() as control_point, asyncio.TaskGroup() as tasks:
        for url in urls:
            tasks.create_task(guard_device(control_point, url))


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1:]))
