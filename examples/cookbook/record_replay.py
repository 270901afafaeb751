"""Record the events of a service into a file, and replay them later from a device of our own.

usage: python record_replay.py record DESCRIPTION_URL SERVICE FILE
       python record_replay.py replay FILE [INTERFACE]

The first line of the file has the service description, each further line one event: the seconds
since the one before, and the variables with their texts. The replay begins with the first
subscriber.
"""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TextIO

from propchange import ControlPoint, Device, Service, host


async def record(url: str, name: str, file: TextIO) -> None:
    def write(line: dict[str, object]) -> None:
        print(json.dumps(line), file=file, flush=True)

    async with ControlPoint() as control_point:
        service = (await control_point.device(url))[name]
        scpd, _ = await control_point.fetch(service.description.scpd_url)
        write({"type": service.service_type, "scpd": scpd.decode()})
        before = time.monotonic()
        async with service.subscribe() as subscription:
            async for event in subscription:
                now = time.monotonic()
                write({"after": now - before, "changes": event.received})
                print(event.seq, dict(event.received), flush=True)
                before = now


async def replay(lines: list[str], interface: str | None) -> None:
    head, *events = map(json.loads, lines)
    service = Service.from_scpd(head["scpd"].encode(), type=head["type"])

    def assign(changes: list[tuple[str, str]]) -> None:
        with service.batch():  # one event, as it was
            for name, text in changes:
                service[name] = service.variables[name].parse(text)

    assign(events[0]["changes"])  # the initial event
    async with host(Device("Replay", services=[service]), interface=interface) as hosted:
        print(hosted.description_url, flush=True)
        await hosted.subscribed()
        for event in events[1:]:
            await asyncio.sleep(event["after"])
            assign(event["changes"])
        await hosted.drain(timeout=5)


if len(sys.argv) < 3:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    if sys.argv[1] == "record":
        with open(sys.argv[4], "w", encoding="utf-8") as file:
            asyncio.run(record(sys.argv[2], sys.argv[3], file))
    else:
        lines = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
        asyncio.run(replay(lines, sys.argv[3] if sys.argv[3:] else None))
