"""A publisher on each runtime, for subscribers that are in the same loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, NamedTuple

import propchange
import propchange.twisted
from lab.subscribers import event_path
from propchange.core.limits import DEFAULT_LIMITS

SERVICE_TYPE = "urn:example-org:service:Load:1"


class _Loaded(propchange.Service, type=SERVICE_TYPE):
    mark = propchange.StateVariable("string", initial="0")


class _LoadedOnTwisted(propchange.twisted.Service, type=SERVICE_TYPE):
    mark = propchange.StateVariable("string", initial="0")


class Publisher(NamedTuple):
    """A service with the state variable ``mark``, the port and the event URL of its device."""

    service: Any
    port: int
    path: str
    pool: Any
    protocol: Any


@contextlib.asynccontextmanager
async def published(driven: Any, **limits: Any) -> AsyncIterator[Publisher]:
    """A publisher on the runtime of ``driven``, with limits that differ from the defaults."""
    chosen = replace(DEFAULT_LIMITS, **limits)
    if driven.kind == "twisted":
        service = _LoadedOnTwisted(reactor=driven.runtime.reactor, limits=chosen)
        port = service.listen()
        pool = propchange.twisted.service.deliveries_of(driven.runtime.reactor)
        try:
            yield Publisher(service, port, "/", pool, service._publication.protocol)
        finally:
            await service.close().asFuture(asyncio.get_running_loop())
        return
    plain = _Loaded()
    device = propchange.Device("Load", services=[plain])
    async with propchange.host(device, announce=False, limits=chosen) as hosted:
        inner = hosted._host
        path = await event_path(hosted.port)
        yield Publisher(plain, hosted.port, path, inner._pool, inner.publication.protocol)
