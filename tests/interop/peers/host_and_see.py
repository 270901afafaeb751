"""A propchange device and a control point in one process, on asyncio.

    python host_and_see.py UDN STATE_DIRECTORY

Lines: {"sighting": kind, "udn": …} for each sighting of the device. A line of input closes it:
{"closed": true}.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from command_lines import commands, tell

from propchange import ControlPoint, Device, host


async def see(control_point: ControlPoint, udn: str) -> None:
    async for sighting in control_point.devices():
        if sighting.udn == udn:
            tell(sighting=sighting.kind.value, udn=udn, locations=sighting.locations)


async def main(udn: str, folder: str) -> None:
    async with ControlPoint(discovery=True) as control_point:
        seeing = asyncio.create_task(see(control_point, udn))
        hosted = host(Device("Both ends"), udn=udn, state_directory=Path(folder))
        async with hosted:
            tell(ready=hosted.description_url)
            async for _ in commands():
                await hosted.close()
                tell(closed=True)
        seeing.cancel()


asyncio.run(main(*sys.argv[1:]))
