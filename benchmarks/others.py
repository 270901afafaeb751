"""Another library in the same place, for orientation: nothing is required of the comparison."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client_factory import UpnpFactory

from benchmarks.processes import Commands
from benchmarks.receiving import CONNECTIONS, Tally

__all__ = ["async_upnp_client_control_point"]


@contextlib.asynccontextmanager
async def async_upnp_client_control_point() -> AsyncIterator[Commands]:
    """async-upnp-client's listener, one service with a callback for each subscription."""
    tally = Tally()
    requester = AiohttpRequester()
    server = AiohttpNotifyServer(requester, source=("127.0.0.1", 0))
    await server.async_start_server()
    factory = UpnpFactory(requester)
    services = []  # it refers to them weakly

    def heard(service: object, variables: object) -> None:
        tally.events += 1

    async def subscribe(port: int) -> None:
        for _ in range(CONNECTIONS):
            device = await factory.async_create_device(f"http://127.0.0.1:{port}/description.xml")
            (service,) = device.services.values()
            service.on_event = heard
            services.append(service)
            await server.event_handler.async_subscribe(service)

    yield {"subscribe": subscribe, "begin": tally.begin, "end": tally.end}
