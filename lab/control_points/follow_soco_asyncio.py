"""SoCo's events on asyncio, followed by one program: with propchange's drop-in, or as SoCo is.

    python follow_soco_asyncio.py PLAYER-IP DURATION [--drop-in]

The program is the same in both cases. It tells its application of a failed renewal by
``auto_renew_fail``, and of nothing else; see telling.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

if "--drop-in" in sys.argv:
    from propchange.dropin.soco import install

    install()

import soco
from soco import events_asyncio
from telling import tell

soco.config.EVENTS_MODULE = events_asyncio


def follow(event: Any) -> None:
    if "volume" in event.variables:
        volume = event.variables["volume"]["Master"]
        tell(event={"volume": volume}, seq=int(event.seq), initial=None)


def failed(error: Exception) -> None:
    tell(status="lost", cause="renewal-failed", why=repr(error))


async def main(address: str, duration: int) -> None:
    player = soco.SoCo(address)
    subscription = await player.renderingControl.subscribe(
        requested_timeout=duration, auto_renew=True, strict=False
    )
    subscription.callback = follow
    subscription.auto_renew_fail = failed
    tell(ready=address)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    with contextlib.suppress(Exception):
        await subscription.unsubscribe()
    await events_asyncio.event_listener.async_stop()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
