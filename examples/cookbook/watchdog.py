"""Say when the events of a device stop, why, and what to do; and when they come again.

usage: python watchdog.py DESCRIPTION_URL …

The lines are for a log or a messenger: one when it begins, one when it is over.
"""

import asyncio
import contextlib
import sys

from propchange import ControlPoint, RemoteService, Status, StatusChange

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


async def main(urls: list[str]) -> None:
    async with ControlPoint() as control_point, asyncio.TaskGroup() as tasks:
        for url in urls:
            device = await control_point.device(url)
            for service in device.services:
                if service.event_url:
                    tasks.create_task(guard(service))
            print(f"guarding {device.friendly_name}", flush=True)


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1:]))
