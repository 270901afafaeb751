"""A propchange device in a process of its own, driven like the C peers.

    python pub_propchange.py IP

On start, one line: {"ready": description URL}. Then, a command a line:
    assign {"temperature": 31.0, "alarm": true}   one change of state: one event
                                                  {"assigned": how many, "drained": true}
    subscriptions                                 {"subscriptions": how many}
    quit
"""

from __future__ import annotations

import asyncio
import json
import sys

from propchange import Device, Service, StateVariable, host


class Thermometer(Service, type="urn:propchange-test:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    room = StateVariable("string", initial="")


def tell(**told: object) -> None:
    print(json.dumps(told), flush=True)


async def main(address: str) -> None:
    thermometer = Thermometer()
    device = Device("Bench device", services=[thermometer])
    async with host(device, interface=address) as hosted:
        tell(ready=hosted.description_url)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            command, _, rest = line.partition(" ")
            if command == "quit":
                break
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
                tell(error="no such command", why=line)


asyncio.run(main(sys.argv[1]))
