"""A renderer as the library wiim follows it, with the handler alone, without a profile; see
telling_states.py. It renews by itself, long before the end, and polls nothing. What a failed
renewal has lost it subscribes afresh at the next turn."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpSessionRequester
from async_upnp_client.client import UpnpDevice, UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.event_handler import UpnpEventHandler
from async_upnp_client.exceptions import UpnpError
from async_upnp_client.profiles.dlna import DmrDevice, dlna_handle_notify_last_change
from async_upnp_client.utils import async_get_local_ip
from telling import tell
from telling_states import poll_until_the_end, renderer_state, tell_lost, tell_state

ASKED = timedelta(seconds=1800)


class Player:
    def __init__(self, device: UpnpDevice, handler: UpnpEventHandler) -> None:
        self.handler = handler
        self.device = device
        self.shown = DmrDevice(device, None)  # for its names of the state alone

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        if not variables:
            tell_lost()
        for variable in variables:
            if variable.name == "LastChange":
                dlna_handle_notify_last_change(variable)
        tell_state(renderer_state(self.shown), "event", available=True)

    async def follow(self, service: UpnpService) -> None:
        service.on_event = self.on_event
        _, granted = await self.handler.async_subscribe(service, timeout=ASKED)
        while True:
            await asyncio.sleep(granted.total_seconds() / 8)
            try:
                sid = self.handler.sid_for_service(service)
                if sid is None:
                    _, granted = await self.handler.async_subscribe(service, timeout=ASKED)
                else:
                    _, granted = await self.handler.async_resubscribe(sid, timeout=ASKED)
            except UpnpError:
                continue


async def nothing() -> None:
    """It polls nothing."""


async def main(location: str) -> None:
    async with aiohttp.ClientSession() as session:
        requester = AiohttpSessionRequester(session, with_sleep=True)
        device = await UpnpFactory(requester, non_strict=True).async_create_device(location)
        _, address = await async_get_local_ip(location)
        server = AiohttpNotifyServer(requester=requester, source=(address, 0))
        await server.async_start_server()
        player = Player(device, server.event_handler)
        following = [asyncio.create_task(player.follow(each)) for each in device.all_services]
        tell(ready=urlsplit(server.callback_url).netloc)
        await poll_until_the_end(nothing, 10)
        for task in following:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await server.async_stop_server()


asyncio.run(main(sys.argv[1]))
