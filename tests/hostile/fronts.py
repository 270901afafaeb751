"""The control points of both runtimes, on the loop of the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred

from propchange import ControlPoint
from propchange.twisted import ControlPoint as TwistedControlPoint


@pytest.fixture(params=["asyncio", "twisted"])
def point(request: pytest.FixtureRequest) -> Any:
    """``async with point() as (control_point, result)``."""

    @contextlib.asynccontextmanager
    async def point(**options: Any) -> AsyncIterator[Any]:
        if request.param == "asyncio":
            async with ControlPoint(**options) as control_point:
                yield control_point, subscribe
            return
        reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
        control_point = TwistedControlPoint(reactor=reactor, **options)
        control_point.listen()
        try:
            yield control_point, subscribe_twisted
        finally:
            await result(control_point.close())
            reactor.waker.connectionLost(None)

    return point


async def result(awaitable: Any) -> Any:
    if isinstance(awaitable, Deferred):
        return await awaitable.asFuture(asyncio.get_running_loop())
    return await awaitable


async def subscribe(service: Any) -> None:
    async with service.subscribe():
        pass


async def subscribe_twisted(service: Any) -> None:
    await result(service.subscribe(lambda _: None, wait=True).when_granted)
