"""A thermometer on a web server of aiohttp: python aiohttp_thermometer.py ADDRESS PORT"""

import asyncio
import sys

from aiohttp import web

from propchange import Device, Request, Response, Service, StateVariable, host
from propchange.core import Endpoint

address, port = sys.argv[1], int(sys.argv[2])
temperature = StateVariable("r4", name="Temperature", initial=20.0)
thermometer = Service(type="urn:example-org:service:Thermometer:1", variables=[temperature])
device = Device("Workbench", services=[thermometer])
hosted = host(device, listen=False, url=f"http://{address}:{port}/upnp")


async def receive(received: web.Request) -> web.StreamResponse:
    method, path, headers = received.method, received.raw_path, received.raw_headers
    ends = [received.get_extra_info(name) for name in ("peername", "sockname")]
    peer, local = (Endpoint.of(*end[:2]) if end else None for end in ends)
    request = Request(method, path, headers, await received.read(), peer=peer, local=local)
    answer = hosted.receive(request)
    response = answer if isinstance(answer, Response) else await answer
    pairs = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    written, sent = web.Response(status=response.status, headers=pairs, body=response.body), False
    try:
        await written.prepare(received)
        await written.write_eof()
        sent = True
    except ConnectionError:
        pass  # the peer has gone
    finally:
        (hosted.response_sent if sent else hosted.response_lost)(response)
    return written


async def main() -> None:
    app = web.Application()
    app.router.add_route("*", "/upnp/{path:.*}", receive)
    async with hosted:
        runner = web.AppRunner(app, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, address, port).start()
        print(hosted.description_url, flush=True)
        await hosted.subscribed()
        thermometer["Temperature"] = 20.5
        await hosted.drain(timeout=5)
        await runner.cleanup()


asyncio.run(main())
