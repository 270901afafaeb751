"""SoCo's listener on asyncio.

    python -m benchmarks.peers.receive_soco VARIABLE

Lines are those of receive_propchange; "subscribed" comes after the grants. SoCo reads no service
description: it gives texts, and a channel of LastChange as a dict.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

import soco
from soco import config, events_asyncio

from benchmarks.peers.lines import VALUES, Tally, commands, tell

config.EVENTS_MODULE = events_asyncio
config.EVENT_LISTENER_IP = "127.0.0.1"


class Player(soco.SoCo):
    """A player that is not asked, by an action, which household it belongs to."""

    household_id = "Sonos_propchange"


def consumer(variable: str, tally: Tally) -> Callable[[Any], None]:
    """What is called with the events of one subscription."""
    values, name, number = VALUES[variable], variable.lower(), 0

    def on_event(event: Any) -> None:
        nonlocal number
        text = event.variables[name]
        if float(text["Master"] if isinstance(text, dict) else text) != values[number & 63]:
            tally.disorder += 1
        number += 1
        tally.events += 1

    return on_event


async def main(variable: str) -> None:
    tally = Tally()
    subscriptions = []
    service = Player("127.0.0.1").renderingControl
    service.event_subscription_url = "/event"
    tell(ready=f"SoCo {importlib.metadata.version('soco')}")
    async for command, *words in commands():
        if command == "subscribe":
            service.base_url = words[0]  # SoCo assumes port 1400
            for _ in range(int(words[1])):
                subscription = events_asyncio.Subscription(service)
                subscription.callback = consumer(variable, tally)
                subscriptions.append(await subscription.subscribe())
            tell(subscribed=len(subscriptions))
        else:
            tally.tell()
    for subscription in subscriptions:
        await subscription.unsubscribe(strict=False)
    await events_asyncio.event_listener.async_stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
