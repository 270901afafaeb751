"""Set a renderer to the volume of another one, each time that one changes.

usage: python mirror_volume.py LEADER FOLLOWER

Each is the URL of a description, or a UDN. If the ranges of the two differ, the volume is scaled.
"""

import asyncio
import contextlib
import sys

from propchange import ControlPoint, PropchangeError, RemoteService
from propchange.upnp.standard import RenderingControl


async def find(control_point: ControlPoint, wanted: str) -> RemoteService[RenderingControl]:
    where = {"description_url" if "://" in wanted else "udn": wanted}
    return (await control_point.device(**where))[RenderingControl]


async def largest(service: RemoteService) -> int:
    """The maximum of Volume in its service description; 100 if there is none."""
    return (await service.variables())["Volume"].maximum or 100


async def main(leader: str, follower: str) -> None:
    async with ControlPoint() as control_point:
        source, mirror = await find(control_point, leader), await find(control_point, follower)
        scale = await largest(mirror) / await largest(source)
        # A knob that is turned sends many events. Five calls a second are enough.
        async with source.subscribe(minimum_interval=0.2) as subscription:
            async for event in subscription:
                volume = event.changes.get(RenderingControl.volume)
                if volume is None:
                    continue  # another variable has changed
                try:
                    await mirror.control.set_volume(0, "Master", round(volume * scale))
                    print(f"{volume} -> {round(volume * scale)}", flush=True)
                except PropchangeError as error:  # away, or it refuses: the next change comes
                    print(f"the follower did not take {volume}: {error}", file=sys.stderr)


if len(sys.argv) < 3:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(*sys.argv[1:3]))
