"""async-upnp-client's listener, one service with a callback for each subscription.

    python -m benchmarks.peers.receive_async_upnp_client SERVICE VARIABLE

Lines are those of receive_propchange; "subscribed" comes after the grants. LastChange is expanded
by the library's function for it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from collections.abc import Callable, Sequence

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.profiles.dlna import dlna_handle_notify_last_change

from benchmarks.peers.lines import VALUES, Tally, commands, tell


def consumer(
    variable: str, tally: Tally
) -> Callable[[UpnpService, Sequence[UpnpStateVariable]], None]:
    """What is called with the events of one subscription."""
    values, number = VALUES[variable], 0

    def on_event(service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
        nonlocal number
        for each in variables:
            if each.name == "LastChange":
                dlna_handle_notify_last_change(each)
            elif each.name == variable:
                if each.value != values[number & 63]:
                    tally.disorder += 1
                number += 1
                tally.events += 1

    return on_event


async def main(name: str, variable: str) -> None:
    tally = Tally()
    requester = AiohttpRequester()
    server = AiohttpNotifyServer(requester, source=("127.0.0.1", 0))
    await server.async_start_server()
    factory = UpnpFactory(requester)
    kept = []  # the library refers to services weakly
    tell(ready=f"async-upnp-client {importlib.metadata.version('async-upnp-client')}")
    async for command, *words in commands():
        if command == "subscribe":
            for _ in range(int(words[1])):
                device = await factory.async_create_device(f"{words[0]}/description.xml")
                (service,) = (s for s in device.all_services if name in s.service_type)
                service.on_event = consumer(variable, tally)
                kept.append(service)
                await server.event_handler.async_subscribe(service)
            tell(subscribed=len(kept))
        else:
            tally.tell()
    await server.async_stop_server()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
