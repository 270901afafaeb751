"""A hosted device in a process of its own: ``python -m lab.hosted_device RUNTIME [OPTIONS]``.

RUNTIME is asyncio, uvloop or twisted; OPTIONS is a JSON object with arguments of ``host()``. It
prints {"ready": the URLs of its description} once it is on the network. Each line of its stdin is a
number, which it assigns, or empty; it answers {"urls": the URLs now}. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from propchange import Device, Service, StateVariable, host


class Counter(Service, type="urn:example-org:service:Counter:1"):
    count = StateVariable("ui4", multicast=True, level="upnp:/info")


def _read_commands(counter: Counter, hosted: Any, call: Callable[..., object]) -> None:
    def obey(line: str) -> None:
        if line.strip():
            counter.count = int(line)
        print(json.dumps({"urls": hosted.description_urls}), flush=True)

    for line in sys.stdin:
        call(obey, line)


def _counter() -> tuple[Counter, Device]:
    counter = Counter()
    return counter, Device("Counter", services=[counter], udn="uuid:counter")


async def _on_asyncio(options: dict[str, Any]) -> None:
    counter, device = _counter()
    loop = asyncio.get_running_loop()
    async with host(device, **options) as hosted:
        print(json.dumps({"ready": hosted.description_urls}), flush=True)
        await asyncio.to_thread(_read_commands, counter, hosted, loop.call_soon_threadsafe)


def _on_twisted(options: dict[str, Any]) -> None:
    from twisted.internet import defer, reactor, task

    from propchange import twisted

    async def main() -> None:
        counter, device = _counter()
        hosted = await twisted.host(device, **options).open()
        print(json.dumps({"ready": hosted.description_urls}), flush=True)
        ended: defer.Deferred[None] = defer.Deferred()
        call: Any = reactor
        call = call.callFromThread

        def read() -> None:
            _read_commands(counter, hosted, call)
            call(ended.callback, None)

        threading.Thread(target=read, daemon=True).start()
        await ended
        await hosted.close()

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
