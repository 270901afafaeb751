"""Reads the descriptions that announcements name, at a bounded rate per host.

Anybody on the link can announce any number of devices at any host of the link. Without a bound per
host, each forged announcement would make this machine send a request to a victim.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from propchange.core.limits import Limits
from propchange.core.subscriber.record import TokenBucket
from propchange.core.wire.messages import canonical_host
from propchange.driver.runtime import Runtime, sleep
from propchange.errors import ConnectionFailed
from propchange.upnp.description import DeviceDescription

_LONGEST_WAIT = 10.0
"""Most seconds that a read waits for its bucket."""


class AnnouncedReads:
    """Reads announced descriptions with ``read``, within a token bucket for each host."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        read: Callable[[str], Awaitable[DeviceDescription]],
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._read = read
        self._buckets: dict[str, TokenBucket] = {}

    async def read(self, url: str) -> DeviceDescription:
        """The description at ``url``, as soon as the bucket of its host allows it. Raises as
        ``read``, and ConnectionFailed if that would take long."""
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
