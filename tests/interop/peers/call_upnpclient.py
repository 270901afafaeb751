"""A control point of upnpclient that calls actions.

    python call_upnpclient.py

On start, one line: {"ready": true}. Commands as those of call_async_upnp_client, without watch.
"""

from __future__ import annotations

import sys

import upnpclient
from command_lines import tell
from upnpclient.soap import SOAPError


def described(device: upnpclient.Device) -> dict[str, object]:
    return {
        service.service_type: {
            "actions": {
                action.name: {
                    name: f"{direction} {variable['name']}"
                    for direction, arguments in (
                        ("in", action.argsdef_in),
                        ("out", action.argsdef_out),
                    )
                    for name, variable in arguments
                }
                for action in service.actions
            },
            "variables": {name: each["datatype"] for name, each in service.statevars.items()},
        }
        for service in device.services
    }


def main() -> None:
    tell(ready=True)
    services: dict[str, upnpclient.Service] = {}
    for line in sys.stdin:
        command, _, rest = line.strip("\n").partition(" ")
        words = rest.split("\t")
        if command == "quit":
            return
        if command == "device":
            device = upnpclient.Device(words[0])
            services = {each.service_type: each for each in device.services}
            tell(device=described(device))
        elif command == "call":
            given = dict(word.split("=", 1) for word in words[2:])
            try:
                answer = services[words[0]].find_action(words[1])(**given)
            except SOAPError as error:
                code, why = error.args
                tell(fault=code, why=why)
            else:
                values = {name: repr(value) for name, value in answer.items()}
                tell(answer={name: str(value) for name, value in answer.items()}, values=values)
        else:
            tell(error="no such command", why=command)


main()
