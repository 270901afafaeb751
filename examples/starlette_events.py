"""Events by a web server of Starlette: python starlette_events.py DESCRIPTION_URL ADDRESS PORT"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from propchange import ControlPoint
from propchange.asgi import application

description_url, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
control_point = ControlPoint(listen=False, callback_url=f"http://{address}:{port}/events/{{token}}")
values: dict[str, object] = {}


async def follow() -> None:
    device = await control_point.device(description_url)
    async with device["Thermometer"].subscribe() as subscription:
        async for event in subscription:
            values.update(event.changes)
            print(event.seq, dict(event.changes), flush=True)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with control_point:
        following = asyncio.create_task(follow())  # the server listens after the yield
        yield
        following.cancel()


async def show(_: Request) -> JSONResponse:
    return JSONResponse(values)


events = Mount("/events", application(control_point))
app = Starlette(routes=[Route("/", show), events], lifespan=lifespan)
uvicorn.run(app, host=address, port=port, server_header=False, date_header=False)
