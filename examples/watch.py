"""Print the events of a thermometer. Give the URL of its description."""

import asyncio
import sys

from propchange import ControlPoint


async def main(description_url: str) -> None:
    async with ControlPoint() as control_point:
        device = await control_point.device(description_url)
        async with device["Thermometer"].subscribe() as subscription:
            async for event in subscription:  # renews, resubscribes, repairs gaps
                print(
                    event.seq, dict(event.changes), subscription.values["Temperature"], flush=True
                )


if len(sys.argv) < 2:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1]))
