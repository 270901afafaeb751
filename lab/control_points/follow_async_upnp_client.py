"""async-upnp-client, with the renewals of its profiles; see telling.py.

Its application is told of a failed renewal by an event without variables, and of nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.event_handler import UpnpEventHandler
from async_upnp_client.profiles import profile
from async_upnp_client.utils import get_local_ip
from telling import tell


class Bench(profile.UpnpProfileDevice):
    DEVICE_TYPES: ClassVar[Any] = ["urn:propchange-test:device:Bench:1"]
    _SERVICE_TYPES: ClassVar[Any] = {"BENCH": {"urn:propchange-test:service:Bench:1"}}


def cap_grants(duration: timedelta) -> None:
    """Count a longer grant as ``duration``, and renew at half of it: the library's own margin is
    a minute."""
    profile.SUBSCRIBE_TIMEOUT = duration
    profile.RESUBSCRIBE_TOLERANCE = duration / 2
    profile.RESUBSCRIBE_TOLERANCE_SECS = profile.RESUBSCRIBE_TOLERANCE.total_seconds()
    for name in ("async_subscribe", "async_resubscribe"):

        def capped(asked: Any) -> Any:
            async def ask(*arguments: Any, **more: Any) -> tuple[str, timedelta]:
                sid, granted = await asked(*arguments, **more)
                return sid, min(granted, duration)

            return ask

        setattr(UpnpEventHandler, name, capped(getattr(UpnpEventHandler, name)))


def on_event(service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
    if variables:
        tell(event={each.name: each.upnp_value for each in variables}, seq=None, initial=None)
    else:
        tell(status="lost", cause="renewal-failed", why="an event without variables")


async def main(description_url: str, duration: int) -> None:
    cap_grants(timedelta(seconds=duration))
    requester = AiohttpRequester()
    server = AiohttpNotifyServer(requester, (get_local_ip(description_url), 0))
    await server.async_start_server()
    device = await UpnpFactory(requester).async_create_device(description_url)
    bench = Bench(device, server.event_handler)
    bench.on_event = on_event
    await bench.async_subscribe_services(auto_resubscribe=True)
    tell(ready=device.all_services[0].event_sub_url)
    while await asyncio.to_thread(sys.stdin.readline):
        pass
    await bench.async_unsubscribe_services()
    await server.async_stop_server()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
