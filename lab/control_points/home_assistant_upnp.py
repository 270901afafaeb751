"""A router as Home Assistant's integration upnp follows it; see telling_states.py.

Every thirty seconds it asks for traffic and status. Variables that are evented are not asked for
once they have a value, unless the subscription failed at the beginning.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpSessionRequester
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.exceptions import UpnpCommunicationError
from async_upnp_client.profiles.igd import IgdDevice, IgdStateItem
from async_upnp_client.utils import async_get_local_ip
from telling import tell
from telling_states import poll_until_the_end, tell_lost, tell_state

ITEMS = (IgdStateItem.EXTERNAL_IP_ADDRESS, IgdStateItem.CONNECTION_STATUS, IgdStateItem.UPTIME)


class Router:
    def __init__(self, device: IgdDevice) -> None:
        self.device = device
        self.force_poll = False
        device.on_event = self.on_event

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        if not variables:
            tell_lost()
        self.write(self.device.external_ip_address, "event")

    def write(self, address: str | None, by: str) -> None:
        tell_state({"External": address}, by, available=True)

    async def subscribe(self) -> None:
        try:
            await self.device.async_subscribe_services(auto_resubscribe=True)
        except UpnpCommunicationError:
            self.force_poll = True

    async def update(self) -> None:
        try:
            state = await self.device.async_get_traffic_and_status_data(
                set(ITEMS), force_poll=self.force_poll
            )
        except UpnpCommunicationError:
            return
        self.write(state.external_ip_address, "poll")


async def main(location: str) -> None:
    async with aiohttp.ClientSession() as session:
        requester = AiohttpSessionRequester(session, with_sleep=True, timeout=20)
        upnp_device = await UpnpFactory(requester, non_strict=True).async_create_device(location)
        _, address = await async_get_local_ip(location)
        server = AiohttpNotifyServer(requester=requester, source=(address, 0))
        await server.async_start_server()
        router = Router(IgdDevice(upnp_device, server.event_handler))
        await router.subscribe()
        tell(ready=urlsplit(server.callback_url).netloc)
        await poll_until_the_end(router.update, 30)
        await router.device.async_unsubscribe_services()
        await server.async_stop_server()


asyncio.run(main(sys.argv[1]))
