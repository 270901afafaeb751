"""A control point that knows a renderer by the classes of the standard services: it sets the volume
through the state of a subscription, and waits for the event in that state. JSON Lines out."""

from __future__ import annotations

import asyncio
import json
import sys

from propchange import ControlPoint
from propchange.upnp.standard import AVTransport, ConnectionManager, RenderingControl


def tell(**members: object) -> None:
    print(json.dumps(members), flush=True)


async def main(address: str, description_url: str) -> None:
    async with ControlPoint(interface=address) as control_point:
        device = await control_point.device(description_url)
        async with device[RenderingControl].subscribe() as subscription:
            event = await anext(subscription)
            tell(volume=event.changes[RenderingControl.volume])
            for volume in (33, 44):
                await subscription.state.set_volume(0, "Master", volume)
                while subscription.state.volume != volume:
                    await anext(subscription)
                tell(volume=await subscription.state.get_volume(0, "Master"))
        info = await device[AVTransport].control.get_transport_info(0)
        tell(state=info["CurrentTransportState"])
        tell(current=await device[ConnectionManager].control.get_current_connection_ids())
        for service in (RenderingControl, AVTransport, ConnectionManager):
            tell(problems=device[service].problems)


asyncio.run(main(*sys.argv[1:]))
