"""Rows against ``propchange.asgi`` itself: what is in front of it takes all that our own listener
takes, and changes nothing."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from publisher_over_sockets import AsyncioStage
from subscriber_messages import SubscriberRow
from subscriber_over_sockets import AsyncioFront, AsyncioFronts

from propchange import ControlPoint
from propchange.asgi import application
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint
from tests.asgi.listener_server import ListenerServer


def free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        return int(taken.getsockname()[1])


class ASGIFronts(AsyncioFronts):
    """A control point as an ASGI application."""

    def __call__(self, row: SubscriberRow, event_url: str) -> AsyncioFront:
        return _ASGIFront(self.thread, row, event_url)


class _ASGIFront(AsyncioFront):
    def point(self, row: SubscriberRow) -> AbstractAsyncContextManager[ControlPoint]:
        return _on_asgi(row)


@asynccontextmanager
async def _on_asgi(row: SubscriberRow) -> AsyncIterator[ControlPoint]:
    port = free_port(row.host)
    limits = replace(DEFAULT_LIMITS, **row.limits)
    point = ControlPoint(
        listen=False,
        callback_url=f"http://{Endpoint(row.host, port)}/{{token}}",
        uda=row.uda,
        limits=limits,
        **row.policy,
    )
    async with point:
        server = ListenerServer(application(point), limits, cut=point._begun().request_cut)
        await server.listener.open(row.host, (port,))
        try:
            yield point
        finally:
            await server.listener.close()


class ASGIStage(AsyncioStage):
    """A hosted device as an ASGI application."""

    def hosted(self, host: Any) -> Any:
        self._port = free_port(self.address)
        return host(listen=False, url=f"http://{Endpoint(self.address, self._port)}")

    async def enter(self) -> int:
        await self._hosted.__aenter__()
        headers = self._hosted._passed_bodies._headers
        limits = Limits(**self.row.limits)
        self._server = ListenerServer(application(self._hosted), limits, headers=headers)
        await self._server.listener.open(self.address, (self._port,))
        return self._port

    async def leave(self) -> None:
        await self._server.listener.close()
        await self._hosted.close()
