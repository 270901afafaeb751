"""A device of async-upnp-client with an action for each data type.

    python act_async_upnp_client.py IP PORT

Its service Types has the evented variable Seen, the last value that an action got (Python's repr),
an action Echo… for each data type, with Value and Result, and Refuse, which is the error 701.
{"ready": description URL} on start. It ends with stdin.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any, ClassVar
from xml.etree import ElementTree

from async_upnp_client.const import STATE_VARIABLE_TYPE_MAPPING, DeviceInfo, ServiceInfo
from async_upnp_client.exceptions import UpnpActionError
from async_upnp_client.server import (
    UpnpServer,
    UpnpServerDevice,
    UpnpServerService,
    callable_action,
    create_event_var,
    create_state_var,
)
from command_lines import commands, tell


def variable_name(data_type: str) -> str:
    return re.sub(r"\W(\w)", lambda found: found[1].upper(), data_type).capitalize()


class Types(UpnpServerService):
    SERVICE_DEFINITION = ServiceInfo(
        service_id="urn:propchange-test:serviceId:Types",
        service_type="urn:propchange-test:service:Types:1",
        control_url="/Types/control",
        event_sub_url="/Types/events",
        scpd_url="/scpd.xml",
        xml=ElementTree.Element("service"),
    )
    STATE_VARIABLE_DEFINITIONS: ClassVar[Any] = {
        "Seen": create_event_var("string", default=""),
        **{
            f"A_ARG_TYPE_{variable_name(each)}": create_state_var(each)
            for each in STATE_VARIABLE_TYPE_MAPPING
        },
    }

    @callable_action(name="Refuse", in_args={}, out_args={})
    async def refuse(self) -> dict[str, Any]:
        raise UpnpActionError(error_code=701, error_desc="refused")


def add_echo(data_type: str) -> None:
    name = variable_name(data_type)

    async def echo(self: Types, Value: Any) -> dict[str, Any]:
        self.state_variable("Seen").value = repr(Value)
        return {"Result": Value}

    echo.__annotations__["Value"] = STATE_VARIABLE_TYPE_MAPPING[data_type]["type"]
    related = f"A_ARG_TYPE_{name}"
    decorated = callable_action(f"Echo{name}", {"Value": related}, {"Result": related})(echo)
    setattr(Types, f"echo_{name}", decorated)


for each in STATE_VARIABLE_TYPE_MAPPING:
    add_echo(each)


class TypesDevice(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo(
        device_type="urn:propchange-test:device:Types:1",
        friendly_name="Types",
        manufacturer="propchange contributors",
        manufacturer_url=None,
        model_description=None,
        model_name="Interop peer",
        model_number=None,
        model_url=None,
        serial_number=None,
        udn="uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a11",
        upc=None,
        presentation_url=None,
        url="/desc.xml",
        icons=[],
        xml=ElementTree.Element("device"),
    )
    EMBEDDED_DEVICES: ClassVar[Any] = []
    SERVICES: ClassVar[Any] = [Types]


async def main(address: str, port: int) -> None:
    server = UpnpServer(TypesDevice, source=(address, 0), http_port=port)
    await server.async_start()
    tell(ready=f"http://{address}:{port}/desc.xml")
    async for command, _ in commands():
        tell(error="no such command", why=command)
    await server.async_stop()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
