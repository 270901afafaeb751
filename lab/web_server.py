"""A web server of a program, of another make, which passes its requests on to a hosted device; and
a reverse proxy in front of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from aiohttp import ClientSession, web

from propchange.core.wire.messages import Endpoint, Request, Response


class _Server:
    """An application of aiohttp for all methods and paths."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        self.port = port

    async def handle(self, received: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


class WebServer(_Server):
    """Passes requests to :attr:`hosted`. ``changed`` returns the request that is passed on.
    ``forwarded``: the address of the peer is the one in X-FORWARDED-FOR."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        changed: Callable[[Request], Request] = lambda each: each,
        forwarded: bool = False,
    ) -> None:
        super().__init__(host, port)
        self.hosted: Any = None
        self.tells = True
        """Whether it tells the device which responses have left."""
        self._changed = changed
        self._forwarded = forwarded

    async def handle(self, received: web.Request) -> web.StreamResponse:
        assert received.transport is not None
        peer, local = map(received.transport.get_extra_info, ("peername", "sockname"))
        if self._forwarded:
            peer = (received.headers["X-Forwarded-For"], 0)
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


class Proxy(_Server):
    """Passes requests on to ``to``, the authority of another server, with X-FORWARDED-FOR. Takes
    ``prefix`` from the path."""

    def __init__(self, host: str, port: int, *, to: str, prefix: str = "") -> None:
        super().__init__(host, port)
        self._to = to
        self._prefix = prefix

    async def handle(self, received: web.Request) -> web.StreamResponse:
        path = received.raw_path.removeprefix(self._prefix)
        headers = {**received.headers, "X-Forwarded-For": str(received.remote)}
        body = await received.read()
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                received.method, f"http://{self._to}{path}", headers=headers, data=body
            ) as answer,
        ):
            return web.Response(
                status=answer.status, body=await answer.read(), headers=answer.headers
            )
