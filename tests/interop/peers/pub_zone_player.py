"""A propchange device that is described like a Sonos player, in a process of its own.

    python pub_zone_player.py IP [DURATION]

A ZonePlayer with an embedded MediaRenderer, on port 1400, where SoCo expects it. It grants
DURATION seconds. On start: {"ready": description URL, "AVTransport": event path,
"RenderingControl": event path}. Then: ``assign SERVICE {"volume": 31}``, and quit.
"""

from __future__ import annotations

import asyncio
import json
import sys

from command_lines import commands, tell

from propchange import Device, host
from propchange.upnp.simulated_services import SimulatedRendering, SimulatedTransport

RADIO = (
    '<DIDL-Lite xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:upnp="urn:schemas-upnp-org:metadata-1-0/upnp/" '
    'xmlns="urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/"><item id="-1" parentID="-1" '
    'restricted="true"><dc:title>A &amp; B</dc:title>'
    "<upnp:class>object.item.audioItem.musicTrack</upnp:class>"
    '<res protocolInfo="http-get:*:audio/mpeg:*">http://10.77.0.1/a.mp3</res></item></DIDL-Lite>'
)


async def main(address: str, duration: int = 60) -> None:
    services = {"AVTransport": SimulatedTransport(), "RenderingControl": SimulatedRendering()}
    services["AVTransport"]["CurrentTrackMetaData"] = RADIO
    renderer = Device(
        "Kitchen - Sonos Play:1 Media Renderer",
        services=services.values(),
        type="urn:schemas-upnp-org:device:MediaRenderer:1",
        manufacturer="Sonos, Inc.",
        model_name="Sonos Play:1",
    )
    player = Device(
        "Kitchen - Sonos Play:1",
        devices=[renderer],
        type="urn:schemas-upnp-org:device:ZonePlayer:1",
        manufacturer="Sonos, Inc.",
        model_name="Sonos Play:1",
        model_number="S12",
    )
    async with host(
        player,
        interface=address,
        port=1400,
        default_duration=duration,
        minimum_duration=duration,
        maximum_duration=duration,
    ) as hosted:
        tell(ready=hosted.description_url, **{name: f"/{name}/event" for name in services})
        async for command, rest in commands():
            if command == "assign":
                name, _, values = rest.partition(" ")
                service = services[name]
                with service.batch():
                    for variable, value in json.loads(values).items():
                        setattr(service, variable, value)
                tell(assigned=name)
            else:
                tell(error="no such command", why=command)


asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
