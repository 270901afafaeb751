"""A renderer as Music Assistant's provider dlna follows it; see telling_states.py.

It has a web server of its own, which hands each NOTIFY to a handler that has no listener. Every
thirty seconds it polls; a device that does not answer is dropped, and connected again at the next
poll.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import aiohttp
from aiohttp import web
from async_upnp_client.aiohttp import AiohttpSessionRequester
from async_upnp_client.client import UpnpRequester, UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest
from async_upnp_client.event_handler import UpnpEventHandler, UpnpNotifyServer
from async_upnp_client.exceptions import UpnpError, UpnpResponseError
from async_upnp_client.profiles.dlna import DmrDevice
from async_upnp_client.utils import async_get_local_ip
from telling import tell
from telling_states import poll_until_the_end, renderer_state, tell_lost, tell_state


class NotifyServer(UpnpNotifyServer):
    def __init__(self, requester: UpnpRequester, address: str) -> None:
        self.address = address
        self.port = 0
        self.event_handler = UpnpEventHandler(self, requester)

    @property
    def callback_url(self) -> str:
        return f"http://{self.address}:{self.port}/notify"

    async def async_start_server(self) -> None:
        application = web.Application()
        application.router.add_route("NOTIFY", "/notify", self.receive)
        self.runner = web.AppRunner(application)
        await self.runner.setup()
        await web.TCPSite(self.runner, "0.0.0.0", 0).start()
        self.port = self.runner.addresses[0][1]

    async def async_stop_server(self) -> None:
        await self.event_handler.async_unsubscribe_all()
        await self.runner.cleanup()

    async def receive(self, request: web.Request) -> web.Response:
        notify = HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=request.headers,
            body=await request.text(),
        )
        try:
            return web.Response(status=await self.event_handler.handle_notify(notify))
        except ParseError:
            return web.Response(status=400)


class Player:
    def __init__(self, requester: UpnpRequester, server: NotifyServer, location: str) -> None:
        self.factory = UpnpFactory(requester, non_strict=True)
        self.server = server
        self.location = location
        self.device: DmrDevice | None = None
        self.force_poll = False
        self.seen = 0.0

    async def connect(self) -> None:
        upnp_device = await self.factory.async_create_device(self.location)
        device = DmrDevice(upnp_device, self.server.event_handler)
        try:
            device.on_event = self.on_event
            await device.async_subscribe_services(auto_resubscribe=True)
        except UpnpResponseError:
            self.force_poll = True
        except UpnpError:
            device.on_event = None
            raise
        self.device = device

    async def disconnect(self) -> None:
        if self.device is None:
            return
        device, self.device = self.device, None
        device.on_event = None
        await device.async_unsubscribe_services()

    def write(self, by: str) -> None:
        tell_state(renderer_state(self.device), by, self.device is not None)

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        if not variables:
            self.force_poll = True
            tell_lost()
            return
        self.write("event")

    async def update(self) -> None:
        try:
            if self.device is None:
                await self.connect()
            assert self.device is not None
            do_ping = self.force_poll or time.monotonic() - self.seen > 60
            await self.device.async_update(do_ping=do_ping)
            if do_ping:
                self.seen = time.monotonic()
        except UpnpError:
            await self.disconnect()
        finally:
            self.force_poll = False
        self.write("poll")


async def main(location: str) -> None:
    async with aiohttp.ClientSession() as session:
        requester = AiohttpSessionRequester(session, with_sleep=True)
        _, address = await async_get_local_ip(location)
        server = NotifyServer(requester, address)
        await server.async_start_server()
        player = Player(requester, server, location)
        await player.connect()
        tell(ready=urlsplit(server.callback_url).netloc)
        await poll_until_the_end(player.update, 30)
        await player.disconnect()
        await server.async_stop_server()


asyncio.run(main(sys.argv[1]))
