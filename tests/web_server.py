"""A web server of a program, of another make, which passes its requests on to a hosted device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from propchange.core.wire.messages import Endpoint, Request, Response


class WebServer:
    """An application of aiohttp. ``changed`` returns the request that is passed on."""

    def __init__(
        self, *, host: str = "127.0.0.1", changed: Callable[[Request], Request] = lambda each: each
    ) -> None:
        self.hosted: Any = None
        self.tells = True
        """Whether it tells the device which responses have left."""
        self._host = host
        self._changed = changed
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, received: web.Request) -> web.StreamResponse:
        assert received.transport is not None
        peer, local = map(received.transport.get_extra_info, ("peername", "sockname"))
        request = Request(
            received.method,
            received.raw_path,
            received.raw_headers,
            await received.read(),
            peer=Endpoint(*peer[:2]),
            local=Endpoint(*local[:2]),
            keep_alive=received.keep_alive,
        )
        answer = self.hosted.receive(self._changed(request))
        response = answer if isinstance(answer, Response) else await answer
        written = web.Response(status=response.status, body=response.body)
        for name, value in response.headers:
            written.headers[name.decode()] = value.decode("latin-1")
        try:
            await written.prepare(received)
            await written.write_eof()
        except BaseException:
            if self.tells:
                self.hosted.response_lost(response)
            raise
        if self.tells:
            self.hosted.response_sent(response)
        return written
