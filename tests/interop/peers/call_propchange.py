"""propchange's control point, calling actions.

    python call_propchange.py IP

On start, one line: {"ready": port}. Then, a command a line, the words behind it separated by tabs:
    device DESCRIPTION-URL       {"device": [types of the services]}
    actions SERVICE              {"actions": {ACTION: {ARGUMENT: "in VARIABLE"}}}
    watch SERVICE                subscribes, {"watching": SERVICE}
    call SERVICE ACTION VALUES   VALUES is an object in JSON: text is read as the argument's type
                                 {"answer": {NAME: value}, "values": {NAME: Python's repr}}
                                 or {"fault": code, "why": …}, or {"raised": class, "why": …}
    quit
Unasked: {"event": {VARIABLE: value}, "initial": …}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from command_lines import commands, tell

from propchange import ActionError, ControlPoint, PropchangeError, Subscription
from propchange.upnp.actions import Action


def described(actions: Mapping[str, Action]) -> dict[str, dict[str, str]]:
    return {
        name: {each.name: f"{each.direction} {each.variable.name}" for each in action.arguments}
        for name, action in actions.items()
    }


def given(action: Action | None, values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, texts as values of the type that the argument has."""
    types = {each.name: each.variable for each in action.inputs} if action else {}
    return {
        name: types[name].parse(value) if isinstance(value, str) and name in types else value
        for name, value in values.items()
    }


def tell_answer(answer: Mapping[str, Any]) -> None:
    tell(answer=dict(answer), values={name: repr(value) for name, value in answer.items()})


def tell_error(error: Exception) -> None:
    if isinstance(error, ActionError):
        tell(fault=error.code, why=error.description)
    else:
        tell(raised=type(error).__name__, why=str(error))


ERRORS = (PropchangeError, TypeError, ValueError, LookupError)


async def follow(subscription: Subscription) -> None:
    async for event in subscription:
        tell(event=dict(event.changes), initial=event.is_initial)


async def main(address: str) -> None:
    tasks = []
    async with ControlPoint(interface=address, discovery=False) as control_point:
        tell(ready=control_point.port)
        async for command, rest in commands():
            words = rest.split("\t")
            if command == "device":
                device = await control_point.device(rest)
                tell(device=[each.service_type for each in device.services])
            elif command == "actions":
                tell(actions=described(await device[rest].actions()))
            elif command == "watch":
                subscription = device[rest].subscribe()
                await subscription.__aenter__()
                tasks.append(asyncio.create_task(follow(subscription)))
                tell(watching=rest)
            elif command == "call":
                service = device[words[0]]
                try:
                    action = (await service.actions()).get(words[1])
                    values = given(action, json.loads(words[2]))
                    tell_answer(await service.call(words[1], **values))
                except ERRORS as error:
                    tell_error(error)
            else:
                tell(error="no such command", why=command)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
