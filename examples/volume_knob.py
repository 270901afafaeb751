"""Show the volume of a renderer. Numbers on standard input set it: python volume_knob.py UDN|URL"""

import asyncio
import contextlib
import sys

from propchange import ActionError, ControlPoint
from propchange.upnp.standard import RenderingControl


async def turn(knob: RenderingControl) -> None:
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    with contextlib.closing(pipe):
        async for line in lines:
            try:
                await knob.set_volume(0, "Master", int(line.decode().strip()))
            except (ValueError, ActionError) as error:  # no number, out of range, or refused
                print(error, flush=True)


async def main(wanted: str) -> None:
    where = {"description_url" if "://" in wanted else "udn": wanted}
    async with ControlPoint() as control_point:
        rendering = (await control_point.device(**where))[RenderingControl]
        async with rendering.subscribe() as subscription, asyncio.TaskGroup() as tasks:
            tasks.create_task(turn(rendering.control))
            async for _ in subscription:
                print("volume", subscription.state.volume, flush=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
