"""The multicast events of a program on Twisted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.multicast.verification import MulticastFilter
from propchange.driver.multicast_receiving import MakeDevice, MulticastStream
from propchange.driver.remote import DescribedService
from propchange.driver.reporting import logger_named

_logger = logger_named("propchange.subscriber")

OnEvent = Callable[[MulticastEvent], object]
OnMissed = Callable[[MulticastMissed], object]


class MulticastEvents(MulticastStream):
    """A stream of multicast events. Made by ``multicast_events`` of a control point, a device or a
    service, whose Deferred fires with it. ``on_event`` and ``on_missed`` may be replaced at any
    time. ``closed`` fires once it has ended: by :meth:`close`, or with the control point."""

    def __init__(
        self,
        driver: Any,
        make: MakeDevice,
        wanted: MulticastFilter,
        services: Sequence[DescribedService] | None = None,
        *,
        on_event: OnEvent,
        on_missed: OnMissed | None,
    ) -> None:
        super().__init__(driver, make, wanted, services)
        self.on_event = on_event
        self.on_missed = on_missed
        self.closed: Deferred[None] = Deferred()

    def _begin(self) -> Deferred[MulticastEvents]:
        """For ``multicast_events``: begin."""
        self._driver.check_open()
        return Deferred.fromCoroutine(self._open())

    async def _open(self) -> MulticastEvents:
        await self._driver.multicast.open(self)
        return self

    def close(self) -> None:
        """End the stream. Does nothing if it has ended."""
        self._driver.multicast.close(self)

    def _receive(self, item: MulticastEvent | MulticastMissed, /) -> None:
        try:
            if isinstance(item, MulticastEvent):
                self.on_event(item)
            elif self.on_missed is not None:
                self.on_missed(item)
        except Exception:
            _logger.exception("the application failed at %r", item)

    def _end(self) -> None:
        if not self.closed.called:
            self.closed.callback(None)
