"""A web page that shows the values of a device as they change (Server-Sent Events).

usage: python live_page.py DESCRIPTION_URL PORT

A slow browser misses intermediate values. It always gets the latest ones.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route

from propchange import ControlPoint, RemoteService

PAGE = """<!doctype html><title>Live</title><pre id=values></pre><script>
new EventSource("/events").onmessage = (e) => { values.textContent = e.data }</script>"""
values: dict[str, object] = {}
changed = asyncio.Condition()


async def follow(service: RemoteService) -> None:
    async with service.subscribe(wait=False) as subscription:
        async for event in subscription:
            async with changed:
                values.update({f"{service.name}.{k}": v for k, v in event.changes.items()})
                changed.notify_all()


async def lines() -> AsyncIterator[str]:
    sent: dict[str, object] = {}
    while True:
        async with changed:
            while values == sent:
                await changed.wait()
            sent = dict(values)
        yield f"data: {json.dumps(sent, default=str)}\n\n"


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with ControlPoint() as control_point:
        device = await control_point.device(sys.argv[1])
        tasks = [asyncio.create_task(follow(each)) for each in device.services if each.event_url]
        yield
        for task in tasks:
            task.cancel()


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def events(_: Request) -> StreamingResponse:
    return StreamingResponse(lines(), media_type="text/event-stream")


if len(sys.argv) < 3:
    sys.exit(__doc__)
app = Starlette(routes=[Route("/", page), Route("/events", events)], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), timeout_graceful_shutdown=1)
