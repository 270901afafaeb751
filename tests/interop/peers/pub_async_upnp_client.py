"""A device of async-upnp-client whose service has one evented variable, Value.

    python pub_async_upnp_client.py IP PORT [UDN]

Lines are those of pub_gupnp: {"ready": …, "event_url": …}, and the commands set and quit.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar
from xml.etree import ElementTree

from async_upnp_client.const import DeviceInfo, ServiceInfo
from async_upnp_client.server import (
    UpnpServer,
    UpnpServerDevice,
    UpnpServerService,
    create_event_var,
)
from command_lines import commands, tell


class Bench(UpnpServerService):
    SERVICE_DEFINITION = ServiceInfo(
        service_id="urn:propchange-test:serviceId:Bench",
        service_type="urn:propchange-test:service:Bench:1",
        control_url="/Bench/control",
        event_sub_url="/Bench/events",
        scpd_url="/scpd.xml",
        xml=ElementTree.Element("service"),
    )
    STATE_VARIABLE_DEFINITIONS: ClassVar[Any] = {"Value": create_event_var("string", default="0")}

    def __init__(self, requester: Any) -> None:
        super().__init__(requester)
        self.at_rest = asyncio.Event()
        self.at_rest.set()
        BENCHES.append(self)

    async def async_send_events(self, subscriber: Any = None) -> None:
        # Whoever has not had the initial event is not told of a change either.
        self.at_rest.clear()
        await super().async_send_events(subscriber)
        asyncio.get_running_loop().call_soon(self.at_rest.set)


BENCHES: list[Bench] = []


class BenchDevice(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo(
        device_type="urn:propchange-test:device:Bench:1",
        friendly_name="Bench device",
        manufacturer="propchange contributors",
        manufacturer_url=None,
        model_description=None,
        model_name="Interop peer",
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


async def main(address: str, port: int, *udn: str) -> None:
    definition = BenchDevice.DEVICE_DEFINITION
    BenchDevice.DEVICE_DEFINITION = definition._replace(udn=(*udn, definition.udn)[0])
    server = UpnpServer(BenchDevice, source=(address, 0), http_port=port)
    await server.async_start()
    base = f"http://{address}:{port}/"
    tell(ready=base, event_url=f"{base}Bench/events")
    (bench,) = BENCHES
    async for command, rest in commands():
        if command == "set":
            await bench.at_rest.wait()
            bench.state_variable("Value").value = rest
            tell(set=rest)
        else:
            tell(error="no such command", why=command)
    await server.async_stop()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
