"""A propchange device in a process of its own, driven like the C peers.

    python pub_propchange.py IP [DURATION]

It grants DURATION seconds, whatever is asked for. On start, one line: {"ready": description URL}.
Then, a command a line:
    assign {"temperature": 31.0, "alarm": true}   one change of state: one event
                                                  {"assigned": how many, "drained": true}
    subscriptions                                 {"subscriptions": how many}
    quit
"""

from __future__ import annotations

import asyncio
import json
import sys

from command_lines import commands, tell

from propchange import Device, Service, StateVariable, host


class Thermometer(Service, type="urn:propchange-test:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    room = StateVariable("string", initial="")


async def main(address: str, duration: int = 1800) -> None:
    thermometer = Thermometer()
    device = Device("Bench device", services=[thermometer])
    async with host(
        device,
        interface=address,
        default_duration=duration,
        minimum_duration=duration,
        maximum_duration=duration,
    ) as hosted:
        tell(ready=hosted.description_url)
        async for command, rest in commands():
            if command == "subscriptions":
                tell(subscriptions=len(hosted.subscriptions))
            elif command == "assign":
                values = json.loads(rest)
                with thermometer.batch():
                    for name, value in values.items():
                        setattr(thermometer, name, value)
                await hosted.drain(timeout=10)
                tell(assigned=len(values), drained=True)
            else:
                tell(error="no such command", why=command)


asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
