"""What the programs have in common that use async-upnp-client as integrations of Home Assistant do.
Each is started with the URL of a description, and runs until its stdin ends. They write

    {"ready": callback URL}                               when they have connected
    {"state": {…}, "by": "event" | "poll", "available": …}  what they think after each of those
    {"status": "lost", …}                                 an event without variables
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from async_upnp_client.profiles.dlna import DmrDevice
from telling import tell

__all__ = ["poll_until_the_end", "renderer_state", "tell_lost", "tell_state"]


def tell_state(state: dict[str, Any], by: str, available: bool) -> None:
    tell(state=state, by=by, available=available)


def renderer_state(device: DmrDevice | None) -> dict[str, Any]:
    """What the profile thinks: the level of the volume is between 0 and 1."""
    if device is None:
        return {"Volume": None, "Mute": None}
    return {"Volume": device.volume_level, "Mute": device.is_volume_muted}


def tell_lost() -> None:
    tell(status="lost", cause="renewal-failed", why="an event without variables")


async def poll_until_the_end(update: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Call ``update`` now and every ``seconds``, as Home Assistant does, until stdin ends."""
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not ended.done():
        await update()
        await asyncio.wait([ended], timeout=seconds)
