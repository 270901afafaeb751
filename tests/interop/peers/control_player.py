"""The player of async-upnp-client (DmrDevice), which controls a media renderer.

    python control_player.py IP URL

Prints one line after each step, once the events have brought what the step has set:
{"step": NAME, "volume": 0…1, "muted": bool, "state": TransportState, "uri": CurrentTrackURI}.
"""

from __future__ import annotations

import asyncio
import sys

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.exceptions import UpnpActionError
from async_upnp_client.profiles.dlna import DmrDevice
from command_lines import tell

SECONDS = 5.0


async def main(address: str, url: str) -> None:
    server = AiohttpNotifyServer(AiohttpRequester(), source=(address, 0))
    await server.async_start_server()
    device = await UpnpFactory(AiohttpRequester()).async_create_device(url)
    player = DmrDevice(device, server.event_handler)
    changed = asyncio.Event()
    player.on_event = lambda *_: changed.set()
    await player.async_subscribe_services()
    await player.async_update()

    def now() -> dict[str, object]:
        state = player.transport_state
        return {
            "volume": player.volume_level,
            "muted": player.is_volume_muted,
            "state": state and state.value,
            "uri": player.current_track_uri,
        }

    async def step(name: str, **wanted: object) -> None:
        async with asyncio.timeout(SECONDS):
            while not wanted.items() <= now().items():
                changed.clear()
                await changed.wait()
        tell(step=name, **now())

    await step("begin")
    await player.async_set_volume_level(1.0)
    await step("volume", volume=1.0)
    await player.async_mute_volume(True)
    await step("mute", muted=True)
    uri = f"http://{address}/a.mp3"
    await player.async_set_transport_uri(uri, "A", "<DIDL-Lite/>")
    await step("load", state="STOPPED", uri=uri)
    await player.async_play()
    await step("play", state="PLAYING")
    await player.async_pause()
    await step("pause", state="PAUSED_PLAYBACK")
    try:
        await player.async_next()
    except UpnpActionError as error:
        tell(fault=error.error_code)
    await player.async_stop()
    await step("stop", state="STOPPED")
    await player.async_select_preset("FactoryDefaults")
    await step("preset", muted=False)
    await player.async_unsubscribe_services()
    await server.async_stop_server()
    tell(step="end")


asyncio.run(main(*sys.argv[1:]))
