"""A control point of async-upnp-client that calls actions.

    python call_async_upnp_client.py IP [strict]

Without ``strict`` it takes descriptions with mistakes. On start, one line: {"ready": URL}. Then, a
command a line, the words behind the command separated by tabs:
    device URL       {"device": {TYPE: {"actions": {ACTION: {ARGUMENT: "in VARIABLE"}},
                     "variables": {VARIABLE: data type}}}}
    watch TYPE       subscribes to the service, {"watching": TYPE}
    call TYPE ACTION NAME=TEXT …
                     {"answer": {NAME: TEXT}, "values": {NAME: Python's repr}}
                     or {"fault": code, "why": …}
Unasked: {"event": VARIABLE, "value": TEXT}. The library converts each text to a value and back.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client import UpnpDevice, UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.exceptions import UpnpActionError, UpnpError
from command_lines import commands, tell


def on_event(service: UpnpService, variables: Sequence[UpnpStateVariable]) -> None:
    for each in variables:
        tell(event=each.name, value=each.upnp_value)


def described(device: UpnpDevice) -> dict[str, object]:
    return {
        service.service_type: {
            "actions": {
                action.name: {
                    each.name: f"{each.direction} {each.related_state_variable.name}"
                    for each in action.arguments
                }
                for action in service.actions.values()
            },
            "variables": {each.name: each.data_type for each in service.state_variables.values()},
        }
        for service in device.all_services
    }


async def call(service: UpnpService, name: str, words: Sequence[str]) -> None:
    action = service.action(name)
    texts = dict(word.split("=", 1) for word in words)
    arguments = {each.name: each for each in action.in_arguments()}
    try:
        given = {
            name: arguments[name].coerce_python(text) if name in arguments else text
            for name, text in texts.items()
        }
        answer = await action.async_call(**given)
    except UpnpActionError as error:
        tell(fault=error.error_code, why=error.error_desc)
    except UpnpError as error:
        tell(fault=None, why=f"{type(error).__name__}: {error}")
    else:
        results = {each.name: each for each in action.out_arguments()}
        tell(
            answer={name: results[name].coerce_upnp(value) for name, value in answer.items()},
            values={name: repr(value) for name, value in answer.items()},
        )


async def main(address: str, strict: str = "") -> None:
    requester = AiohttpRequester()
    server = AiohttpNotifyServer(requester, (address, 0))
    await server.async_start_server()
    factory = UpnpFactory(requester, non_strict=strict != "strict")
    services: dict[str, UpnpService] = {}
    tell(ready=server.callback_url)
    async for command, rest in commands():
        words = rest.split("\t")
        if command == "device":
            device = await factory.async_create_device(words[0])
            services = {each.service_type: each for each in device.all_services}
            tell(device=described(device))
        elif command == "watch":
            service = services[words[0]]
            service.on_event = on_event
            await server.event_handler.async_subscribe(service)
            tell(watching=words[0])
        elif command == "call":
            await call(services[words[0]], words[1], words[2:])
        else:
            tell(error="no such command", why=command)
    await server.async_stop_server()


asyncio.run(main(*sys.argv[1:]))
