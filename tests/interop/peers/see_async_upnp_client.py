"""A control point of async-upnp-client that tells which devices it sees, as see_propchange.py.

    python see_async_upnp_client.py ADDRESS…

It listens and searches from each address; an IPv6 one has its zone: fe80::1%eth0.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from typing import Any

from async_upnp_client.const import SsdpSource
from async_upnp_client.ssdp_listener import SsdpDevice, SsdpListener
from command_lines import commands, tell


def on_news(device: SsdpDevice, _: str, source: SsdpSource) -> None:
    gone = source is SsdpSource.ADVERTISEMENT_BYEBYE
    kind = "gone" if gone else "appeared"
    tell(sighting=kind, udn=device.udn, locations=[] if gone else list(device.locations))


def source_of(address: str) -> Any:
    host, _, zone = address.partition("%")
    if ipaddress.ip_address(host).version == 4:
        return host, 0
    return host, 0, 0, socket.if_nametoindex(zone)


async def main(*addresses: str) -> None:
    listeners = [SsdpListener(callback=on_news, source=source_of(each)) for each in addresses]
    for listener in listeners:
        await listener.async_start()
        await listener.async_search()
    tell(ready=True)
    async for _ in commands():
        pass
    for listener in listeners:
        await listener.async_stop()


asyncio.run(main(*sys.argv[1:]))
