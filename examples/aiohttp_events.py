"""Events by a web server of aiohttp: python aiohttp_events.py DESCRIPTION_URL ADDRESS PORT"""

import asyncio
import sys

from aiohttp import web

from propchange import ControlPoint, Request
from propchange.core import Endpoint

description_url, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
control_point = ControlPoint(listen=False, callback_url=f"http://{address}:{port}/events/{{token}}")


async def receive(received: web.Request) -> web.Response:
    method, path, headers = received.method, received.raw_path, received.raw_headers
    ends = [received.get_extra_info(name) for name in ("peername", "sockname")]
    peer, local = (Endpoint.of(*end[:2]) if end else None for end in ends)
    request = Request(method, path, headers, await received.read(), peer=peer, local=local)
    response = control_point.receive(request)
    pairs = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    return web.Response(status=response.status, headers=pairs, body=response.body)


async def main() -> None:
    app = web.Application(client_max_size=control_point.limits.body_bytes)
    app.router.add_route("*", "/events/{token}", receive)
    async with control_point:
        runner = web.AppRunner(app, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, address, port).start()
        device = await control_point.device(description_url)
        async with device["Thermometer"].subscribe() as subscription:
            async for event in subscription:
                print(event.seq, dict(event.changes), flush=True)


asyncio.run(main())
