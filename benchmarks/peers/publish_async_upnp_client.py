"""A device of async-upnp-client whose service has one evented variable, Value.

    python -m benchmarks.peers.publish_async_upnp_client IP PORT

On start: {"ready": version, "event_url": …}. ``burst COUNT PACE`` assigns values that are
CLOCK_MONOTONIC in ns, COUNT times, PACE µs apart: {"fired": COUNT, "last": TEXT}.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
import time
from typing import Any, ClassVar
from xml.etree import ElementTree

from async_upnp_client.const import DeviceInfo, ServiceInfo
from async_upnp_client.server import (
    UpnpServer,
    UpnpServerDevice,
    UpnpServerService,
    create_event_var,
)

from benchmarks.peers.lines import commands, tell


class Bench(UpnpServerService):
    SERVICE_DEFINITION = ServiceInfo(
        service_id="urn:example-org:serviceId:Bench",
        service_type="urn:example-org:service:Bench:1",
        control_url="/Bench/control",
        event_sub_url="/Bench/events",
        scpd_url="/scpd.xml",
        xml=ElementTree.Element("service"),
    )
    STATE_VARIABLE_DEFINITIONS: ClassVar[Any] = {"Value": create_event_var("string", default="0")}

    def __init__(self, requester: Any) -> None:
        super().__init__(requester)
        BENCHES.append(self)


BENCHES: list[Bench] = []


class BenchDevice(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo(
        device_type="urn:example-org:device:Bench:1",
        friendly_name="Bench",
        manufacturer="nobody",
        manufacturer_url=None,
        model_description=None,
        model_name="none",
        model_number=None,
        model_url=None,
        serial_number=None,
        udn="uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a10",
        upc=None,
        presentation_url=None,
        url="/desc.xml",
        icons=[],
        xml=ElementTree.Element("device"),
    )
    EMBEDDED_DEVICES: ClassVar[Any] = []
    SERVICES: ClassVar[Any] = [Bench]


async def main(address: str, port: int) -> None:
    server = UpnpServer(BenchDevice, source=(address, 0), http_port=port)
    await server.async_start()
    version = importlib.metadata.version("async-upnp-client")
    tell(ready=f"async-upnp-client {version}", event_url=f"http://{address}:{port}/Bench/events")
    variable = BENCHES[0].state_variable("Value")
    async for _, count, pace in commands():
        due = time.monotonic_ns()
        text = ""
        for _ in range(int(count)):
            due += int(pace) * 1000
            if pace != "0":
                await asyncio.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
            text = str(time.monotonic_ns())
            variable.value = text
        tell(fired=int(count), last=text)
    await server.async_stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
