"""A thermometer on a web server of Starlette: python starlette_thermometer.py ADDRESS PORT"""

import contextlib
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from propchange import Device, Service, StateVariable, host
from propchange.asgi import application


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


address, port = sys.argv[1], int(sys.argv[2])
thermometer = Thermometer()
device = Device("Workbench", services=[thermometer])
hosted = host(device, listen=False, url=f"http://{address}:{port}/upnp")


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with hosted:
        print(hosted.description_url, flush=True)
        yield


async def measured(request: Request) -> JSONResponse:
    thermometer.temperature = float(request.path_params["temperature"])  # an event
    return JSONResponse({"subscriptions": len(hosted.subscriptions)})


routes = [Route("/measured/{temperature}", measured), Mount("/upnp", application(hosted))]
app = Starlette(routes=routes, lifespan=lifespan)
uvicorn.run(app, host=address, port=port, server_header=False, date_header=False)
