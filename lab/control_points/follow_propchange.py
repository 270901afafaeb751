"""propchange on asyncio, with discovery; see telling.py. Behind DURATION it takes an object in JSON
with fields of Limits and arguments of ControlPoint."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields, replace
from typing import Any

from telling import tell

from propchange import ControlPoint, Event, Limits, Subscription


async def follow(subscription: Subscription) -> None:
    async for update in subscription.updates():
        if not isinstance(update, Event):
            tell(status=update.status.value, cause=update.cause.value, why=update.reason)
        else:
            tell(event=dict(update.changes), seq=update.seq, initial=update.is_initial)


async def main(description_url: str, duration: int, options: dict[str, Any]) -> None:
    bounds = {each.name: options.pop(each.name) for each in fields(Limits) if each.name in options}
    limits = replace(Limits(), duration_most_seconds=float(duration), **bounds)
    options = {"discovery": True} | options
    async with ControlPoint(duration=duration, limits=limits, **options) as control_point:
        device = await control_point.device(description_url)
        async with device["Bench"].subscribe(wait=False) as subscription:
            following = asyncio.create_task(follow(subscription))
            tell(ready=subscription.event_url)
            while await asyncio.to_thread(sys.stdin.readline):
                pass
            following.cancel()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), json.loads("".join(sys.argv[3:]) or "{}")))
