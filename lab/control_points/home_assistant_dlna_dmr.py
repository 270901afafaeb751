"""A renderer as Home Assistant's integration dlna_dmr follows it; see telling_states.py.

Its entity hears SSDP: at a goodbye and at another BOOTID it disconnects, at the next announcement
it connects. It asks every ten seconds (Home Assistant's interval for media players); what the
profile asks then depends on whether it is subscribed. An event without variables lets it ping.
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
from async_upnp_client.const import SsdpSource
from async_upnp_client.exceptions import UpnpError, UpnpResponseError
from async_upnp_client.profiles.dlna import DmrDevice
from async_upnp_client.ssdp_listener import SsdpDevice, SsdpListener
from async_upnp_client.utils import async_get_local_ip
from telling import tell
from telling_states import poll_until_the_end, renderer_state, tell_lost, tell_state

GOODBYE = (SsdpSource.ADVERTISEMENT_BYEBYE,)
SEEN = (SsdpSource.ADVERTISEMENT_ALIVE, SsdpSource.SEARCH_ALIVE, SsdpSource.SEARCH_CHANGED)


class Entity:
    def __init__(self, requester: AiohttpSessionRequester, location: str) -> None:
        self.requester = requester
        self.factory = UpnpFactory(requester, non_strict=True)
        self.location = location
        self.device: DmrDevice | None = None
        self.server: AiohttpNotifyServer | None = None
        self.lock = asyncio.Lock()
        self.udn = ""
        self.boot: str | None = None
        self.check_available = False
        self.connect_failed = False

    async def connect(self, location: str) -> None:
        async with self.lock:
            if self.device is not None:
                return
            upnp_device = await self.factory.async_create_device(location)
            _, address = await async_get_local_ip(location)
            server = AiohttpNotifyServer(
                requester=self.requester,
                source=(address, 0),
                callback_url=None,
                loop=asyncio.get_running_loop(),
            )
            await server.async_start_server()
            device = DmrDevice(upnp_device, server.event_handler)
            self.location, self.udn = location, device.udn
            try:
                device.on_event = self.on_event
                await device.async_subscribe_services(auto_resubscribe=True)
            except UpnpResponseError:
                pass  # it refuses subscriptions: its variables are polled
            except UpnpError:
                device.on_event = None
                await server.async_stop_server()
                raise
            self.device, self.server = device, server

    async def disconnect(self) -> None:
        async with self.lock:
            if self.device is None or self.server is None:
                return
            device, self.device = self.device, None
            device.on_event = None
            await device.async_unsubscribe_services()
            await self.server.async_stop_server()

    @property
    def available(self) -> bool:
        return self.device is not None and self.device.profile_device.available

    def write(self, by: str) -> None:
        tell_state(renderer_state(self.device), by, self.available)

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        if not variables:
            self.check_available = True
            tell_lost()
        self.write("event")

    async def update(self) -> None:
        if self.device is None:
            return
        try:
            await self.device.async_update(do_ping=self.check_available)
        except UpnpError:
            await self.disconnect()
        finally:
            self.check_available = False
        self.write("poll")

    async def heard(self, seen: SsdpDevice, target: str, source: SsdpSource) -> None:
        if seen.udn != self.udn:
            return
        headers = seen.combined_headers(target)
        boot = headers.get("bootid.upnp.org")
        if self.boot is not None and self.boot != boot:
            self.connect_failed = False
            await self.disconnect()
        self.boot = boot
        if source in GOODBYE:
            await self.disconnect()
            self.connect_failed = False
        if source in SEEN and self.device is None and not self.connect_failed:
            try:
                await self.connect(headers.get("location") or self.location)
            except UpnpError:
                self.connect_failed = True
        self.write("poll")


async def main(location: str) -> None:
    async with aiohttp.ClientSession() as session:
        entity = Entity(AiohttpSessionRequester(session, with_sleep=True), location)
        _, address = await async_get_local_ip(location)
        listener = SsdpListener(async_callback=entity.heard, source=(address, 0))
        await listener.async_start()
        await entity.connect(location)
        await listener.async_search()
        assert entity.server is not None
        tell(ready=urlsplit(entity.server.callback_url).netloc)
        await poll_until_the_end(entity.update, 10)
        await listener.async_stop()
        await entity.disconnect()


asyncio.run(main(sys.argv[1]))
