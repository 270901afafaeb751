"""A control point that receives multicast events: ``python -m lab.multicast_point RUNTIME
[OPTIONS]``.

RUNTIME is asyncio, uvloop or twisted; OPTIONS is a JSON object with arguments of ``ControlPoint``.
It prints {"listening": the interfaces and groups} once it listens, a line with seq, changes and
source for each event, and a line with missed for events that did not come. An empty line of its
stdin asks for {"listening": …} again. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from propchange import ControlPoint, MulticastEvent


def _tell(item: Any) -> None:
    told = {"missed": getattr(item, "count", 0), "seq": item.seq}
    if isinstance(item, MulticastEvent):
        device = item.service.device.udn
        told = {
            "changes": dict(item.changes),
            "udn": device,
            "source": item.source.host,
            "seq": item.seq,
        }
    print(json.dumps(told), flush=True)


def _tell_places(control_point: Any) -> None:
    places = control_point._driver.multicast.places.sockets
    told = sorted(f"{place.interface} {place.scope.value}" for place in places)
    print(json.dumps({"listening": told}), flush=True)


async def _on_asyncio(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    async with (
        ControlPoint(**options) as control_point,
        control_point.multicast_events("Counter") as events,
    ):
        _tell_places(control_point)

        def read() -> None:
            for _ in sys.stdin:
                loop.call_soon_threadsafe(_tell_places, control_point)

        async def tell() -> None:
            async for update in events.updates():
                _tell(update)

        telling = asyncio.create_task(tell())
        await asyncio.to_thread(read)
        telling.cancel()


def _on_twisted(options: dict[str, Any]) -> None:
    from twisted.internet import defer, reactor, task

    from propchange import twisted

    async def main() -> None:
        control_point = twisted.ControlPoint(**options)
        control_point.listen()
        await control_point.multicast_events(_tell, on_missed=_tell, type="Counter")
        _tell_places(control_point)
        ended: defer.Deferred[None] = defer.Deferred()
        call: Any = reactor
        call = call.callFromThread

        def read() -> None:
            for _ in sys.stdin:
                call(_tell_places, control_point)
            call(ended.callback, None)

        threading.Thread(target=read, daemon=True).start()
        await ended
        await control_point.close()

    task.react(lambda _: defer.ensureDeferred(main()))


def main(runtime: str, options: str = "{}") -> None:
    arguments = json.loads(options)
    if runtime == "twisted":
        _on_twisted(arguments)
    elif runtime == "uvloop":
        import uvloop

        uvloop.run(_on_asyncio(arguments))
    else:
        asyncio.run(_on_asyncio(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
