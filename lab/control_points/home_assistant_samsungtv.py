"""A television as Home Assistant's integration samsungtv follows its volume; see telling_states.py.

Every ten seconds it asks whether the television is on (here: whether its port is open). While it
is off, subscriptions are given up; once it is on, they are made again if the profile says that
there are none. The volume comes from events alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpSessionRequester
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.exceptions import UpnpCommunicationError, UpnpResponseError
from async_upnp_client.profiles.dlna import DmrDevice
from async_upnp_client.utils import async_get_local_ip
from telling import tell
from telling_states import poll_until_the_end, renderer_state, tell_lost, tell_state


class Television:
    def __init__(self, device: DmrDevice, location: str) -> None:
        self.device = device
        self.where = urlsplit(location)
        device.on_event = self.on_event

    def write(self, by: str) -> None:
        tell_state(renderer_state(self.device), by, available=True)

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        if not variables:
            tell_lost()
        self.write("event")

    async def is_on(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(self.where.hostname, self.where.port)
                writer.close()
                return True
        return False

    async def update(self) -> None:
        if not await self.is_on():
            if self.device.is_subscribed:
                await self.device.async_unsubscribe_services()
            return
        if not self.device.is_subscribed:
            with contextlib.suppress(UpnpCommunicationError):
                await self.device.async_subscribe_services(auto_resubscribe=True)
        self.write("poll")


async def main(location: str) -> None:
    async with aiohttp.ClientSession() as session:
        requester = AiohttpSessionRequester(session)
        upnp_device = await UpnpFactory(requester, non_strict=True).async_create_device(location)
        _, address = await async_get_local_ip(location)
        server = AiohttpNotifyServer(
            requester=requester,
            source=(address or "0.0.0.0", 0),
            callback_url=None,
            loop=asyncio.get_running_loop(),
        )
        await server.async_start_server()
        television = Television(DmrDevice(upnp_device, server.event_handler), location)
        with contextlib.suppress(UpnpResponseError):
            await television.device.async_subscribe_services(auto_resubscribe=True)
        tell(ready=urlsplit(server.callback_url).netloc)
        await poll_until_the_end(television.update, 10)
        await television.device.async_unsubscribe_services()
        await server.async_stop_server()


asyncio.run(main(sys.argv[1]))
