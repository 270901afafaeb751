"""A control point of async-upnp-client that tells each NOTIFY it gets, as it understood it.

    python sub_async_upnp_client.py IP PORT

Commands and lines are those of sub_gupnp, with these differences: ``subscribe`` has a fourth
word, the URL of the description; a NOTIFY does not say which subscription it is for; ``renew``
renews all, since an application of this library has to ask for it, {"renewed": [SID, …]}.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from command_lines import commands, tell

notifies = 0
quiet = False


def on_event(service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
    global notifies  # noqa: PLW0603 - a program of one screen
    notifies += 1
    if not quiet:
        tell(notify=notifies, changes={each.name: each.upnp_value for each in variables})


async def main(address: str, port: int) -> None:
    global quiet  # noqa: PLW0603 - a program of one screen
    requester = AiohttpRequester()
    server = AiohttpNotifyServer(requester, (address, port))
    await server.async_start_server()
    handler = server.event_handler
    tell(ready=server.callback_url)
    factory = UpnpFactory(requester)
    sids: list[str] = []
    kept: list[UpnpService] = []  # the library holds them weakly
    async for command, rest in commands():
        if command == "subscribe":
            _, event_path, count, description_url = rest.split(" ")
            device = await factory.async_create_device(description_url)
            (service,) = (
                each for each in device.all_services if each.event_sub_url.endswith(event_path)
            )
            service.on_event = on_event
            kept.append(service)
            for _ in range(int(count)):
                sid, _ = await handler.async_subscribe(service)
                sids.append(sid)
            tell(subscribing=int(count))
        elif command == "renew":
            sids = [(await handler.async_resubscribe(sid))[0] for sid in sids]
            tell(renewed=sids)
        elif command == "unsubscribe":
            for sid in sids:
                await handler.async_unsubscribe(sid)
            tell(unsubscribed=len(sids))
            sids.clear()
        elif command == "quiet":
            quiet = True
            tell(quiet=True)
        elif command == "count":
            tell(notifies=notifies, lost=0)
        else:
            tell(error="no such command", why=command)
    await server.async_stop_server()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
