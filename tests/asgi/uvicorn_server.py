"""uvicorn in the loop of a test, on a port of its own."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Self

from propchange.core.wire.messages import Endpoint

PARSERS = ("httptools", "h11")
"""The two implementations of HTTP/1.1 that uvicorn has."""


class UvicornServer:
    """Serves ``application`` once it is entered. Its port is known before that, since the URLs of a
    control point and of a device have it."""

    def __init__(
        self, parser: str = "httptools", *, host: str = "127.0.0.1", **settings: Any
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, 0), family=family, backlog=128)
        self.port: int = self.socket.getsockname()[1]
        self.authority = str(Endpoint(host, self.port))
        self.application: Any = None
        self._settings = {"lifespan": "off", **settings, "http": parser}
        self._server: Any = None
        self._serving: Any = None

    async def __aenter__(self) -> Self:
        import uvicorn

        config = uvicorn.Config(
            self.application,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            **self._settings,
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _NoSignals
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[self.socket]))
        while not (self._server.started or self._serving.done()):
            await asyncio.sleep(0.001)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving
        self.socket.close()


class _NoSignals:
    """The test runner has the signals."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
