"""Prints the devices and the events that ``propchange watch --all`` finds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any

from propchange import (
    ControlPoint,
    DeviceDescription,
    RemoteDevice,
    Sighting,
    Subscription,
    SubscriptionRefused,
)
from propchange.asyncio.device_watching import DeviceWatching, FoundService
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.lines import DeviceLine, Source, now
from propchange.cli.names import Names

_NAMES_KEPT = 4_096
"""Devices whose names are remembered, so that devices of the same name are told apart. Above that,
all names are forgotten. Bounds the memory for devices that come and go without end."""


class WatchAll:
    """Watches all devices that ``control_point`` sees, and prints them by ``printer``.

    ``type``, ``services`` and ``minimum_interval`` are those of :class:`.DeviceWatching`.
    ``expect`` is called with the names of services before they are subscribed to. Run
    :meth:`watch` by ``EventPrinter.run_with``.
    """

    def __init__(
        self,
        control_point: ControlPoint,
        printer: EventPrinter,
        *,
        type: str | None = None,
        services: Sequence[str] = (),
        expect: Callable[[Iterable[Source], datetime], object] | None = None,
        minimum_interval: float | None = None,
    ) -> None:
        self._printer = printer
        self._expect = expect
        self._called = Names()
        self._named = 0
        self._sources: dict[FoundService, Source] = {}
        self._found: dict[Source, FoundService] = {}
        self.watching = DeviceWatching(
            control_point,
            self,
            type=type,
            services=services,
            minimum_interval=minimum_interval,
        )
        printer.find_again = self._find_again

    async def watch(self) -> None:
        """Watch until cancelled."""
        await self.watching.watch()

    # --- what the watching calls ---

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the printing."""
        return self._printer.start(work)

    def device(
        self, sighting: Sighting, description: DeviceDescription | None, problem: str | None
    ) -> None:
        """Print a device."""
        self._printer.device(DeviceLine(now(), sighting, description, problem))

    def left_out(self, device: RemoteDevice, problem: str) -> None:
        """Print that services of ``device`` are not watched."""
        self._printer.problem(self._called.of_device(device), problem)

    def found(self, services: Sequence[FoundService]) -> None:
        """Name ``services``."""
        for root in {each.device for each in services}:
            self._named += 1
            if self._named > _NAMES_KEPT:
                self._called, self._named = Names(), 0
            called = self._called.of(root)
            for each in services:
                self._sources[each] = source = called[each.service]
                self._found[source] = each
        if self._expect is not None:
            self._expect([self._sources[each] for each in services], now())

    def subscribe(self, service: FoundService, subscription: Subscription) -> None:
        """Print the events of ``subscription``."""
        self._printer.add(self._sources[service], subscription)

    def failed(self, service: FoundService, error: Exception) -> None:
        """Print ``error``, unless it was printed last."""
        source, said = self._sources[service], str(error)
        if self._printer.failed.get(source) != said:
            self._printer.failed[source] = said
            refused = isinstance(error, SubscriptionRefused)
            self._printer.status(source, "refused" if refused else "failed", said)

    def forgotten(self, service: FoundService) -> None:
        """Forget the name of ``service``."""
        source = self._sources.pop(service)
        self._found.pop(source, None)
        self._printer.failed.pop(source, None)

    async def _find_again(self, source: Source, error: Exception) -> Wanted:
        service = self._found.get(source)
        if service is None:
            return []
        subscription = await self.watching.subscribe_again(service, error)
        return [] if subscription is None else [(source, subscription)]
