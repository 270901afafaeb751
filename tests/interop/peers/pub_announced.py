"""A propchange device on every interface of its host, which announces itself.

    python pub_announced.py asyncio|twisted UDN STATE_DIRECTORY [PORT]

On start, one line: {"ready": description URLs}. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from command_lines import tell

from propchange import Device, Service, StateVariable, host


class Bench(Service, type="urn:propchange-test:service:Bench:1"):
    value = StateVariable("string", initial="as it began")


def settings(udn: str, folder: str, port: str = "0") -> dict[str, Any]:
    return {"udn": udn, "state_directory": Path(folder), "port": int(port)}


async def on_asyncio(*arguments: str) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    device = Device("Bench device", services=[Bench()])
    async with host(device, **settings(*arguments)) as hosted:
        tell(ready=hosted.description_urls)
        await end.wait()


def on_twisted(*arguments: str) -> None:
    from twisted.internet import reactor

    from propchange import twisted

    hosted = twisted.host(Device("Bench device", services=[Bench()]), **settings(*arguments))
    hosted.open().addCallback(lambda opened: tell(ready=opened.description_urls))
    reactor.addSystemEventTrigger("before", "shutdown", hosted.close)
    reactor.run()


if sys.argv[1] == "asyncio":
    asyncio.run(on_asyncio(*sys.argv[2:]))
else:
    on_twisted(*sys.argv[2:])
