"""Devices that count, and count their subscribers: ``python -m lab.counting_devices OPTIONS``.

OPTIONS is a JSON object: ``devices``, ``services`` (of each device), ``per_second`` (changes of
each service), ``addresses`` (one for each device), ``udn`` (``counter``: the first part of the
UDNs), ``host`` (arguments of ``host()``) and
``limits`` (fields of Limits). It prints
{"ready": [the URLs of the descriptions]}. Its commands are the lines ``go``, ``rest`` and
``report``; it answers {"counts": whether they count} and {"report": {UDN: [[the values of the
services], [the delivery URLs of all subscribers]]}}. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from typing import Any

from propchange import Device, HostedDevice, Service, StateVariable, host
from propchange.core.limits import DEFAULT_LIMITS


class Counting(Service, type="urn:example-org:service:Counting:1"):
    number = StateVariable("ui4", initial=0)


class Devices:
    """The hosted devices, and their counting."""

    def __init__(self) -> None:
        self.hosted: dict[str, tuple[HostedDevice, list[Counting]]] = {}
        self.counts = asyncio.Event()
        self.stopped = False

    def obey(self, line: str) -> None:
        if line == "report":
            report = {
                udn: [
                    [each.number for each in services],
                    [each.callbacks[0] for each in hosted.subscriptions],
                ]
                for udn, (hosted, services) in self.hosted.items()
            }
            print(json.dumps({"report": report}), flush=True)
        elif line == "go":
            self.counts.set()
            print(json.dumps({"counts": True}), flush=True)
        elif line == "rest":
            self.counts.clear()
            print(json.dumps({"counts": False}), flush=True)

    async def count(self, per_second: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        every = [each for _, services in self.hosted.values() for each in services]
        while True:
            await self.counts.wait()
            # A tenth of the services at a time, so that they do not all change at once.
            for first in range(10):
                for each in every[first::10] if self.counts.is_set() else ():
                    each.number += 1
                due = max(due + 0.1 / per_second, loop.time() - 1)
                await asyncio.sleep(max(due - loop.time(), 0))

    async def read(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.obey(line.decode().strip())


async def main(options: dict[str, Any]) -> None:
    devices = Devices()
    limits = replace(DEFAULT_LIMITS, **options.get("limits", {}))
    addresses = options.get("addresses", ())
    async with contextlib.AsyncExitStack() as stack:
        for number in range(options["devices"]):
            udn = f"{options.get('udn', 'counter')}-{number}"
            services = [
                Counting(id=f"urn:example-org:serviceId:Counting{each}")
                for each in range(options.get("services", 1))
            ]
            device = Device(f"Counter {number}", services=services, udn=f"uuid:{udn}")
            at = {"interface": addresses[number]} if addresses else {}
            hosting = host(device, limits=limits, **at, **options.get("host", {}))
            devices.hosted[udn] = await stack.enter_async_context(hosting), services
        urls = [each.description_url for each, _ in devices.hosted.values()]
        print(json.dumps({"ready": urls}), flush=True)
        counting = asyncio.create_task(devices.count(options.get("per_second", 10)))
        await devices.read()
        counting.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
