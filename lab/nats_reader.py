"""Reads what collectors have written to NATS: ``python -m lab.nats_reader URL[,URL…]``.

Its commands are the lines ``states`` and ``events``. It answers {"states": {KEY: the state}} and
{"events": {SUBJECT: [the messages]}}. While the server is away, the answer is empty. It ends with
its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import nats
from nats.errors import Error


async def _read(url: str, stream: str, subject: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    client = None
    try:
        client = await nats.connect(url.split(","), allow_reconnect=False, connect_timeout=1)
        jetstream = client.jetstream()
        last = (await jetstream.stream_info(stream)).state.last_seq
        reading = await jetstream.subscribe(subject, stream=stream, ordered_consumer=True)
        while last:
            message = await reading.next_msg(1)
            said = json.loads(message.data or b"null")
            found.setdefault(message.subject.split(".", subject.count("."))[-1], []).append(said)
            if message.metadata.sequence.stream >= last:
                break
    except (Error, OSError, TimeoutError):
        pass
    finally:
        if client is not None:
            await client.close()
    return found


async def main(url: str) -> None:
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "states":
            states = await _read(url, "KV_propchange-state", "$KV.propchange-state.>")
            told: Any = {"states": {key: said[-1] for key, said in states.items()}}
        else:
            told = {"events": await _read(url, "propchange", "propchange.>")}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
