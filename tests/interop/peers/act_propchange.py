"""A device with actions that propchange hosts on asyncio.

    python act_propchange.py light|wemo [OPTIONS]

OPTIONS is an object in JSON with arguments of host(). Lines: {"ready": description URL} on start,
{"called": ACTION or data type, "values": [Python's repr]} whenever an action runs. Commands:
    set VARIABLE VALUE   in JSON, {"set": VARIABLE}
    get VARIABLE         {"get": value}
    quit
"""

from __future__ import annotations

import asyncio
import json
import sys

from acting_device import DEVICES
from bench_device import host_options
from command_lines import commands, tell

from propchange import Device, Service, host


def holder(device: Device, variable: str) -> Service:
    """The service that has the variable."""
    return next(each for each in device.all_services() if variable in each)


def answer(device: Device, command: str, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if command == "set":
        holder(device, name)[name] = json.loads(value)
        tell(set=name)
    elif command == "get":
        tell(get=holder(device, name)[name])
    else:
        tell(error="no such command", why=command)


async def main(name: str, text: str = "{}") -> None:
    device = DEVICES[name]()
    async with host(device, **host_options(text)) as hosted:
        tell(ready=hosted.description_url)
        async for command, rest in commands():
            answer(device, command, rest)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
