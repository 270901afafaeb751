"""A propchange control point in a process of its own, driven like the C peers.

    python sub_propchange.py IP [LONGEST [discovery]]

IP may be "any". It asks for LONGEST seconds (1800) and renews what is granted for longer as if it
were that. With discovery, a UDN (uuid:…) does for a DESCRIPTION-URL, and devices are followed. On
start, one line: {"ready": port}. Then, a command a line:
    subscribe DESCRIPTION-URL SERVICE   {"subscribed": SID, "granted": seconds, "service": SERVICE}
    unsubscribe SERVICE                 {"unsubscribed": SERVICE}
    quit
Unasked: {"notify": SEQ, "service": …, "changes": {…}, "initial": …, "details": [[variable,
instance, channel, value], …]} for each event, {"renewed": SID} for each renewal that the device
has answered, and {"status": …, "service": …, "why": …}.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from command_lines import commands, tell

from propchange import ControlPoint, Event, Limits, Subscription
from propchange.core.subscriber.outcomes import RenewalAnswered


def on_outcome(passing: object) -> None:
    if isinstance(passing, RenewalAnswered):
        tell(renewed=passing.sid)


async def follow(name: str, subscription: Subscription) -> None:
    async for update in subscription.updates():
        if isinstance(update, Event):
            tell(
                notify=update.seq,
                service=name,
                changes=dict(update.changes),
                initial=update.is_initial,
                details=[
                    [change.variable, change.instance, change.channel, change.value]
                    for change in update.details
                ],
            )
        else:
            tell(status=update.status.value, service=name, why=update.reason)


async def main(address: str, longest: str = "1800", discovery: str = "") -> None:
    seconds = int(longest)
    limits = replace(Limits(), duration_most_seconds=float(seconds))
    following: dict[str, tuple[Subscription, asyncio.Task[None]]] = {}
    async with ControlPoint(
        interface=None if address == "any" else address,
        duration=seconds,
        discovery=discovery == "discovery",
        limits=limits,
        tap=on_outcome,
    ) as control_point:
        tell(ready=control_point.port)
        async for command, rest in commands():
            if command == "subscribe":
                url, name = rest.split(" ")
                if url.startswith("uuid:"):
                    device = await control_point.device(udn=url)
                else:
                    device = await control_point.device(url)
                subscription = device[name].subscribe()
                await subscription.__aenter__()
                tell(subscribed=subscription.sid, granted=subscription.granted, service=name)
                following[name] = subscription, asyncio.create_task(follow(name, subscription))
            elif command == "unsubscribe":
                subscription, task = following.pop(rest)
                await subscription.close()
                await task
                tell(unsubscribed=rest)
            else:
                tell(error="no such command", why=command)


asyncio.run(main(*sys.argv[1:]))
