"""Rows against uvicorn: a control point or a device as an ASGI application, over sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from publisher_over_sockets import AsyncioStage
from subscriber_messages import SubscriberRow
from subscriber_over_sockets import AsyncioFront, AsyncioFronts

from propchange import ControlPoint
from propchange.asgi import application
from propchange.core.limits import DEFAULT_LIMITS
from tests.asgi.uvicorn_server import UvicornServer


class UvicornFronts(AsyncioFronts):
    """``propchange.asgi`` of a control point, on uvicorn with one of its parsers."""

    def __init__(self, parser: str) -> None:
        super().__init__()
        self._parser = parser

    def __call__(self, row: SubscriberRow, event_url: str) -> AsyncioFront:
        return _UvicornFront(self._parser, self.thread, row, event_url)


class _UvicornFront(AsyncioFront):
    def __init__(self, parser: str, *rest: Any) -> None:
        self._parser = parser
        super().__init__(*rest)

    def point(self, row: SubscriberRow) -> AbstractAsyncContextManager[ControlPoint]:
        return _on_uvicorn(self._parser, row)


@asynccontextmanager
async def _on_uvicorn(parser: str, row: SubscriberRow) -> AsyncIterator[ControlPoint]:
    server = UvicornServer(parser, host=row.host)
    point = ControlPoint(
        listen=False,
        callback_url=f"http://{server.authority}/{{token}}",
        uda=row.uda,
        limits=replace(DEFAULT_LIMITS, **row.limits),
        **row.policy,
    )
    server.application = application(point)
    async with server, point:
        yield point


class UvicornStage(AsyncioStage):
    """A hosted device as an ASGI application on uvicorn."""

    def __init__(self, parser: str, *rest: Any) -> None:
        self._parser = parser
        super().__init__(*rest)

    def hosted(self, host: Any) -> Any:
        self._server = UvicornServer(self._parser, host=self.address)
        hosted = host(listen=False, url=f"http://{self._server.authority}")
        self._server.application = application(hosted)
        return hosted

    async def enter(self) -> int:
        await self._hosted.__aenter__()
        await self._server.__aenter__()
        return self._server.port

    async def leave(self) -> None:
        await self._server.__aexit__()
        await self._hosted.close()
