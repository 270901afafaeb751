"""The multicast events of a program without asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from propchange.asyncio.multicast import MulticastEvents as AsyncMulticastEvents
from propchange.blocking.items import Items, Iterated, seconds_of
from propchange.blocking.loop_thread import Closed, LoopThread
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.multicast.verification import MulticastFilter
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.multicast_receiving import MakeDevice
from propchange.driver.remote import DescribedService


class MulticastEvents(Iterated[MulticastEvent]):
    """A stream of multicast events, from the call of ``multicast_events`` on.

    ``for`` over it yields each :class:`propchange.MulticastEvent` in order, and ends when the
    stream or the control point is closed. :meth:`get` takes one, as from a queue.Queue. ``with``
    closes the stream at the end. See :class:`propchange.MulticastEvents` for which events are
    believed.

    Making it raises RuntimeError without discovery. For a device or a service it raises
    DescriptionError, ConnectionFailed or TimedOut if no variable is multicast or the service
    description cannot be read.
    """

    def __init__(
        self,
        thread: LoopThread,
        driver: SubscriberDriver,
        make: MakeDevice,
        wanted: MulticastFilter,
        services: Sequence[DescribedService] | None = None,
    ) -> None:
        self._thread = thread

        async def entered() -> AsyncMulticastEvents:
            return await AsyncMulticastEvents(driver, make, wanted, services).__aenter__()

        self._stream: AsyncMulticastEvents = thread.run(entered)
        self._items = Items(self._thread, self._stream)

    @property
    def merged(self) -> int:
        """How many events were merged into others because the application was slow."""
        return self._stream.merged

    @property
    def dropped(self) -> int:
        """How many events were dropped because the application was slow, and none could be
        merged."""
        return self._stream.dropped

    def get(self, block: bool = True, timeout: float | None = None) -> MulticastEvent:
        """Remove and return the next event, as :meth:`Subscription.get`."""
        event: MulticastEvent = self._items.get(MulticastEvent, seconds_of(block, timeout))
        return event

    def updates(self) -> Iterator[MulticastEvent | MulticastMissed]:
        """Yield the events and the reports of missing ones, in their order. Ends when the stream is
        closed."""
        with contextlib.suppress(Closed):
            while True:
                yield self._items.get(MulticastEvent | MulticastMissed)

    def close(self) -> None:
        """End the stream. Does nothing if it has ended."""
        self._thread.run(self._stream.close)
