"""propchange's control point on asyncio: sees the devices of all its networks.

    python see_propchange.py [OPTIONS]

OPTIONS is an object in JSON with fields of Limits and arguments of ControlPoint. Lines:
    {"ready": port}                                         on start
    {"sighting": kind, "udn": …, "locations": […]}          for each sighting of a root device
    {"event": {variable: value}, "udn": …, "seq": …}        for each event
    {"status": …, "udn": …, "cause": …, "why": …}           for each change of a status
Commands:
    subscribe UDN SERVICE                                   {"subscribing": event URL}
    leave                                                   {"left": number of subscriptions}
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from command_lines import commands, limits_and_options, tell

from propchange import ControlPoint, Event, Subscription


async def see(control_point: ControlPoint) -> None:
    async for sighting in control_point.devices():
        tell(sighting=sighting.kind.value, udn=sighting.udn, locations=sighting.locations)


async def follow(udn: str, subscription: Subscription) -> None:
    async with subscription:
        async for update in subscription.updates():
            if isinstance(update, Event):
                tell(event=dict(update.changes), udn=udn, seq=update.seq)
            else:
                why = update.reason
                tell(status=update.status.value, udn=udn, cause=update.cause.value, why=why)


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(text: str = "{}") -> None:
    limits, options = limits_and_options(json.loads(text))
    arguments: dict[str, Any] = {"discovery": True} | options
    following: list[asyncio.Task[None]] = []
    async with ControlPoint(limits=limits, **arguments) as control_point:
        tell(ready=control_point.port)
        seeing = asyncio.create_task(see(control_point))
        async for command, rest in commands():
            if command == "leave":
                await cancel(following)
                tell(left=len(following))
                following.clear()
                continue
            udn, service = rest.split(" ")
            device = await control_point.device(udn=udn)
            subscription = device[service].subscribe(wait=False)
            tell(subscribing=device[service].event_url)
            following.append(asyncio.create_task(follow(udn, subscription)))
        await cancel([*following, seeing])


asyncio.run(main(*sys.argv[1:]))
