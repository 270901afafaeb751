"""Show the volume of a renderer. Numbers on standard input set it.

usage: python volume_knob.py NAME|UDN|URL
"""

import asyncio
import contextlib
import sys

from propchange import ActionError, ControlPoint, RemoteDevice
from propchange.upnp.standard import RenderingControl


async def find(control_point: ControlPoint, wanted: str) -> RemoteDevice:
    if "://" in wanted:
        return await control_point.device(wanted)
    async for sighting in control_point.devices("MediaRenderer"):
        if wanted in (sighting.udn, await sighting.friendly_name()):
            break
    return await sighting.device()


async def turn(knob: RenderingControl) -> None:
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: protocol, sys.stdin)
    with contextlib.closing(pipe):
        async for line in lines:
            try:
                await knob.set_volume(0, "Master", int(line.decode().strip()))
            except (ValueError, ActionError) as error:  # no number, out of range, or refused
                print(error, flush=True)


async def main(wanted: str) -> None:
    async with ControlPoint(discovery="://" not in wanted) as control_point:
        rendering = (await find(control_point, wanted))[RenderingControl]
        async with rendering.subscribe() as subscription, asyncio.TaskGroup() as tasks:
            tasks.create_task(turn(rendering.control))
            async for event in subscription:
                if RenderingControl.volume in event.changes:
                    print("volume", event.changes[RenderingControl.volume], flush=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
