"""Reads the description of one device, which announces several locations.

A device has a location for each of its addresses. Some may lead nowhere: an address that is not
reachable from here, an IP version that a firewall blocks. Connecting to them takes seconds to fail.
So a further location is read while the ones before it are silent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any

from propchange.driver.runtime import Runtime, Signal, Tasks
from propchange.errors import PropchangeError
from propchange.upnp.description import DeviceDescription

_NEXT_SECONDS = 0.25
"""Seconds until the next location is read beside a silent one (RFC 8305 §5). Most devices answer
within these, so that they are asked once."""

_MOST = 16
"""Locations that are read between two calls of :meth:`LocationReads.again`, at most: a host may
announce any number."""


class LocationReads:
    """Reads locations with ``read``. ``changed`` is set when a reading has ended. In the end call
    :meth:`close`."""

    def __init__(
        self, runtime: Runtime, read: Callable[[str], Awaitable[DeviceDescription]], changed: Signal
    ) -> None:
        self._now = runtime.now
        self._read = read
        self._changed = changed
        self._tasks = Tasks(runtime)
        self._tried: dict[str, bool] = {}  # location -> whether it is being read
        self._next_at = 0.0
        self.found: DeviceDescription | None = None
        """The description that was read first, of those whose event URLs can all be used."""
        self.partial: DeviceDescription | None = None
        """A description with an event URL that cannot be used: it may lead to the device's address
        of the other IP version. From that address, the description may be of more use."""
        self.failure: Exception | None = None
        """The error of the location that failed first."""

    @property
    def busy(self) -> bool:
        """Whether a location is being read."""
        return any(self._tried.values())

    def begin(self, locations: Iterable[str]) -> float:
        """Read the next of ``locations`` that was not tried, if it is due. Returns the time at
        which a further one is due; infinite if there is none."""
        while len(self._tried) < _MOST:
            url = next((each for each in locations if each not in self._tried), None)
            if url is None or self.found is not None:
                return inf
            if self.busy and self._now() < self._next_at:
                return self._next_at
            self._next_at = self._now() + _NEXT_SECONDS
            self._tried[url] = True
            self._tasks.start(self._try(url))
        return inf

    def again(self) -> None:
        """Try the locations that have failed once more."""
        self._tried = {url: True for url, busy in self._tried.items() if busy}

    async def close(self) -> None:
        """End what is being read."""
        await self._tasks.close()

    async def _try(self, url: str) -> None:
        try:
            found: Any = await self._read(url)
        except (PropchangeError, ValueError) as error:
            self.failure = self.failure or error
        else:
            if any(service.event_url_problem for service in found.all_services()):
                self.partial = self.partial or found
            else:
                self.found = self.found or found
        finally:
            self._tried[url] = False
            self._changed.set()


async def read_first(
    runtime: Runtime,
    locations: Iterable[str],
    read: Callable[[str], Awaitable[DeviceDescription]],
) -> DeviceDescription | None:
    """The description from the first of ``locations`` that gives one; None without locations.
    Raises the error of the first that failed if all do."""
    locations = tuple(locations)
    changed = Signal(runtime)
    reads = LocationReads(runtime, read, changed)
    try:
        while True:
            due = reads.begin(locations)
            if reads.found is not None:
                return reads.found
            if reads.busy:
                await changed.wait(None if due == inf else due - runtime.now())
            elif reads.partial is None and reads.failure is not None:
                raise reads.failure
            else:
                return reads.partial
    finally:
        await reads.close()
