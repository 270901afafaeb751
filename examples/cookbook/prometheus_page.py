"""A page for Prometheus with the numbers of devices: temperatures, volumes, positions.

usage: python prometheus_page.py PORT DESCRIPTION_URL …

`upnp_value` has each numeric or boolean variable. `upnp_active` is 0 while events do not arrive, so
that an old value is not taken for a new one. The metrics `propchange_…` count events, renewals and
losses of all subscriptions together.
"""

import asyncio
import contextlib
import sys

from prometheus_client import REGISTRY, Gauge, start_http_server

from propchange import ControlPoint, Event, RemoteService, Status
from propchange.metrics import collector

VALUE = Gauge("upnp_value", "a state variable", ["device", "service", "variable"])
ACTIVE = Gauge("upnp_active", "1: events arrive", ["device", "service"])


async def export(service: RemoteService) -> None:
    labels = (service.device.friendly_name, service.unique_name)
    async with service.subscribe(wait=False) as subscription:
        async for update in subscription.updates():
            if isinstance(update, Event):
                for name, value in update.changes.items():
                    if isinstance(value, int | float):
                        VALUE.labels(*labels, name).set(value)
            else:
                ACTIVE.labels(*labels).set(update.status is Status.ACTIVE)


async def main(port: int, urls: list[str]) -> None:
    server, thread = start_http_server(port, addr="127.0.0.1")
    try:
        async with ControlPoint() as control_point, asyncio.TaskGroup() as tasks:
            REGISTRY.register(collector(control_point))
            for url in urls:
                device = await control_point.device(url)
                for service in device.services:
                    if service.event_url:
                        tasks.create_task(export(service))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if len(sys.argv) < 3:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
