"""Our own listener as the server of an ASGI application.

Whatever the listener takes, the application gets: HTTP/1.0, targets in absolute form, chunks. So
each exchange can be played through ``propchange.asgi``, also those that other servers refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from propchange.asgi import Application
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import Limits
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.driver.listener import Listener
from tests.asgi.servers import body, scope_of


class ListenerServer:
    """Serves ``application`` on ``host``. ``headers`` are those of answers to what is no HTTP."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        *,
        headers: Callable[[], HeaderPairs] = tuple,
        cut: Any = None,
    ) -> None:
        self._application = application
        self._tasks: set[Any] = set()
        self.listener = Listener(
            AsyncioRuntime(),
            self._respond,
            limits=limits,
            sent=lambda response: response.receipt.set_result(True),
            lost=lambda response: response.receipt.set_result(False),
            headers=headers,
            cut=cut,
        )

    async def _respond(self, request: Request) -> Response:
        exchange = _Exchange(request)
        task = asyncio.ensure_future(
            self._application(exchange.scope, exchange.receive, exchange.send)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await exchange.answered


class _Exchange:
    def __init__(self, request: Request) -> None:
        self.scope = scope_of(
            request.method,
            request.target,
            request.headers,
            http_version=request.http_version,
            client=request.peer and tuple(request.peer[:2]),
            server=request.local and tuple(request.local[:2]),
        )
        half = len(request.body) // 2
        self._events = body(request.body[:half], request.body[half:])
        self._version = request.http_version
        self._left: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._start: Any = None
        self._body = b""

    async def receive(self) -> Any:
        if not self._events:
            await asyncio.Event().wait()  # the peer stays
        return self._events.pop(0)

    async def send(self, message: Any) -> None:
        """As the specification allows, this waits until the bytes have left."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message["body"]
        if message["more_body"]:
            return
        headers = self._start["headers"]
        response = Response(
            self._start["status"],
            [(name.upper(), value) for name, value in headers],
            self._body,
            http_version=self._version,
            close=(b"connection", b"close") in headers,
            receipt=self._left,
        )
        self.answered.set_result(response)
        if not await self._left:
            raise OSError("the peer has gone")
