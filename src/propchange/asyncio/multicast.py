"""The multicast events of a program on asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from propchange.core.multicast.event_queue import MulticastQueue
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.multicast.verification import MulticastFilter
from propchange.driver.multicast_receiving import MakeDevice, MulticastStream
from propchange.driver.remote import DescribedService
from propchange.driver.runtime import Signal


class MulticastEvents(MulticastStream):
    """A stream of multicast events. Enter it once, with ``async with``.

    Made by ``multicast_events`` of a control point, a device or a service. ``async for`` over it
    yields each :class:`propchange.MulticastEvent` in order, and ends when the stream or the control
    point is closed. :meth:`updates` also yields a :class:`propchange.MulticastMissed` for events
    that did not come. One task at a time may iterate. Leaving the context ends the stream.

    Events are believed only from an address and with the BOOTID that the device has announced.
    Entering raises RuntimeError without discovery. For a device or a service it raises
    DescriptionError, ConnectionFailed or TimedOut if no variable is multicast or the service
    description cannot be read.
    """

    def __init__(
        self,
        driver: Any,
        make: MakeDevice,
        wanted: MulticastFilter,
        services: Sequence[DescribedService] | None = None,
    ) -> None:
        super().__init__(driver, make, wanted, services)
        limits = driver.limits
        self._queue = MulticastQueue(limits.waiting_events, limits.waiting_event_characters)
        self._arrival = Signal(driver.runtime)
        self._entered = self._closed = False

    @property
    def merged(self) -> int:
        """How many events were merged into others because the application was slow: into the newest
        one of the same service and level."""
        return self._queue.merged

    @property
    def dropped(self) -> int:
        """How many events were dropped because the application was slow, and none could be
        merged."""
        return self._queue.dropped

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a stream is entered once; call multicast_events() again")
        self._entered = True
        self._driver.check_open()
        await self._driver.multicast.open(self)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream. Does nothing if it has ended or was not entered."""
        self._driver.multicast.close(self)

    def __aiter__(self) -> AsyncIterator[MulticastEvent]:
        return self

    async def __anext__(self) -> MulticastEvent:
        while not isinstance(item := await self._next(), MulticastEvent):
            pass
        return item

    async def updates(self) -> AsyncIterator[MulticastEvent | MulticastMissed]:
        """Yield the events and the reports of missing ones, in their order. Ends when the stream is
        closed."""
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield await self._next()

    async def _next(self) -> MulticastEvent | MulticastMissed:
        while (item := self._queue.get()) is None:
            if not self._entered:
                raise RuntimeError("not listening yet: use async with … as events")
            if self._closed:
                raise StopAsyncIteration
            if self._arrival.awaited:
                raise RuntimeError("another task iterates this stream already")
            await self._arrival.wait()
        return item

    def _receive(self, item: MulticastEvent | MulticastMissed, /) -> None:
        self._queue.put(item)
        self._arrival.set()

    def _end(self) -> None:
        self._closed = True
        self._arrival.set()
