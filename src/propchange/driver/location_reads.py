"""Reads descriptions at the locations that devices announce.

* :class:`BoundedReads` reads one location, at a bounded rate for each host. Anybody on the link can
  announce any number of devices at any host of the link. Without a bound for each host, each forged
  announcement would make this machine send a request to a victim.
* :class:`LocationReads` reads the description of one device, which has a location for each of its
  addresses. Some locations may lead nowhere: to an address that is not reachable from here, or of
  an IP version that a firewall blocks. It takes seconds until such a connection fails. So the next
  location is read while the ones before it are silent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any
from urllib.parse import urlsplit

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import canonical_host
from propchange.driver.runtime import Runtime, Signal, Tasks, sleep
from propchange.errors import ConnectionFailed, PropchangeError
from propchange.upnp.description import DeviceDescription

Read = Callable[[str], Awaitable[DeviceDescription]]
"""Reads the description at a URL."""

_LONGEST_WAIT = 10.0
"""Longest time in seconds that a read waits for its bucket."""

_NEXT_SECONDS = 0.25
"""Seconds until the next location is read while one is silent (RFC 8305 §5). Most devices answer
sooner, so they are asked once."""

_IPV4_SECONDS = 1.0
"""Seconds for which a description that was read over IPv6, and whose event URLs cannot be used,
waits for an IPv4 location of the device. Devices announce their addresses one after the other, and
many write their IPv4 address into their URLs."""


class BoundedReads:
    """Reads announced descriptions with ``read``, within a token bucket for each host."""

    def __init__(self, runtime: Runtime, limits: Limits, read: Read) -> None:
        self._runtime = runtime
        self._limits = limits
        self._read = read
        self._buckets: dict[str, TokenBucket] = {}

    async def read(self, url: str) -> DeviceDescription:
        """The description at ``url``, as soon as the bucket of its host allows it. Raises as
        ``read``, and ConnectionFailed if the bucket is empty for a long time."""
        now = self._runtime.now()
        host = canonical_host(urlsplit(url).hostname or "")
        bucket = self._buckets.pop(host, None)
        if bucket is None:
            limits = self._limits
            bucket = TokenBucket(limits.announced_reads, limits.announced_read_seconds, now)
        self._buckets[host] = bucket  # the last one in the order
        if len(self._buckets) > self._limits.announced_hosts:
            del self._buckets[next(iter(self._buckets))]
        wait = bucket.ready_at(now) - now
        if wait > _LONGEST_WAIT:
            raise ConnectionFailed(f"{url} is not read: too many devices are announced at {host}")
        bucket.spend(now)
        await sleep(self._runtime, wait)
        return await self._read(url)


class LocationReads:
    """Reads the locations of one device with ``read``. ``changed`` is set when a reading has ended.
    In the end call :meth:`close`."""

    def __init__(
        self, runtime: Runtime, read: Read, changed: Signal, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._now = runtime.now
        self._most = limits.locations_per_reading
        self._read = read
        self._changed = changed
        self._tasks = Tasks(runtime)
        self._given: dict[str, None] = {}
        self._tried: dict[str, bool] = {}  # location -> whether it is being read
        self._next_at = 0.0
        self.found: DeviceDescription | None = None
        """The first description that was read and whose event URLs can all be used."""
        self.partial: DeviceDescription | None = None
        """The first description with an event URL that cannot be used. That URL may lead to the
        device's address of the other IP version; read at that address, it can be used."""
        self.partial_until = 0.0
        """The time until which another location may be better than that of :attr:`partial`."""
        self.failure: Exception | None = None
        """The error of the location that failed first."""

    @property
    def busy(self) -> bool:
        """Whether a location is being read."""
        return any(self._tried.values())

    def begin(self, locations: Iterable[str]) -> float:
        """Read the next of ``locations`` that was not tried, if its time has come. Returns the time
        to call this again; infinite if there is no further location."""
        present = tuple(locations)
        # The order in which they were first given. The newest one first would be that of a peer
        # that announces one location after the other for a device of somebody else.
        self._given = dict.fromkeys((*(u for u in self._given if u in present), *present))
        while len(self._tried) < self._most:
            url = next((each for each in self._given if each not in self._tried), None)
            if url is None or self.found is not None:
                return inf
            if self.busy and self._now() < self._next_at:
                return self._next_at
            self._next_at = self._now() + _NEXT_SECONDS
            self._tried[url] = True
            self._tasks.start(self._try(url))
        return inf

    def again(self) -> None:
        """Allow another reading of the locations that have failed."""
        self._tried = {url: True for url, busy in self._tried.items() if busy}

    async def close(self) -> None:
        """Stop reading."""
        await self._tasks.close()

    async def _try(self, url: str) -> None:
        try:
            found: Any = await self._read(url)
        except (PropchangeError, ValueError) as error:
            self.failure = self.failure or error
        else:
            if any(service.event_url_problem for service in found.all_services()):
                if self.partial is None and urlsplit(url).netloc.startswith("["):
                    self.partial_until = self._now() + _IPV4_SECONDS
                self.partial = self.partial or found
            else:
                self.found = self.found or found
        finally:
            self._tried[url] = False
            self._changed.set()


async def read_first(
    runtime: Runtime,
    locations: Iterable[str],
    read: Read,
    limits: Limits = DEFAULT_LIMITS,
) -> DeviceDescription | None:
    """The description from the first of ``locations`` that gives one; None without locations. If
    all fail, raises the error of the location that failed first."""
    locations = tuple(locations)
    changed = Signal(runtime)
    reads = LocationReads(runtime, read, changed, limits)
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
