"""A device that propchange hosts on all interfaces, on asyncio.

    python host_propchange.py [OPTIONS]

OPTIONS is an object in JSON with arguments of host(). It has the service Bench with the evented
variable Value, and an embedded device. Lines: {"ready": port, "udn": …} on start;
{"set": TEXT} to the command ``set TEXT``; {"left": true} once it has left the network, at ``quit``.
"""

from __future__ import annotations

import asyncio
import sys

from bench_device import Bench, bench_device, host_options
from command_lines import commands, tell

from propchange import host


async def main(text: str = "{}") -> None:
    options = host_options(text)
    bench = Bench()
    async with host(bench_device(bench), **options) as hosted:
        tell(ready=hosted.port, udn=hosted.udn)
        async for _, rest in commands():
            bench.value = rest
            tell(set=rest)
    tell(left=True)


asyncio.run(main(*sys.argv[1:]))
