"""Devices that a control point holds: each is followed where it goes.

A device may come back at another address, port or path (CP-13). Its announcements say where, but
anybody on the link can announce anything. So a location that is announced is only looked at: the
device has moved when its description is there, and is not where it was any more.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.presence import Presence
from propchange.core.limits import Limits
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import TokenBucket
from propchange.driver.remote import DescribedDevice
from propchange.driver.reporting import Warnings
from propchange.driver.runtime import Future, Runtime, Tasks, sleep
from propchange.driver.timer import Armed
from propchange.errors import LocalProtocolError, PropchangeError
from propchange.upnp.description import DeviceDescription

__all__ = ["FollowedDevices", "ReadDescription", "Tell", "find_description"]

Tell = Callable[[str, float], None]
"""An input of SubscriberProtocol that takes a UDN and the time."""

ReadDescription = Callable[[str], Awaitable[DeviceDescription]]
"""Reads the description at a URL that was announced."""

_TRIED = 8
"""Announced URLs that are tried at once."""


class _Followed:
    """The RemoteDevices of one device, and what is being found out for them."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, now)
        self.remotes: weakref.WeakSet[DescribedDevice[Any]] = weakref.WeakSet()
        self.moving = False
        """Whether a coroutine looks where the device is."""
        self.again = False
        """Whether it has to look again: something was announced since."""
        self.tell: Tell | None = None
        """What the subscriptions are to hear once it is known where the device is."""

    @property
    def udns(self) -> set[str]:
        """The UDNs of the device and of all that is embedded in it."""
        return {udn for remote in self.remotes for udn in _udns_of(remote.description)}


class FollowedDevices:
    """Keeps each ``RemoteDevice`` that a program holds at where its device is, and tells the
    subscriptions to it what has become of it.

    ``protocol`` is told, and ``changed`` is called when it has been. ``tasks`` run what takes
    time.
    """

    def __init__(
        self,
        runtime: Runtime,
        tasks: Tasks,
        presence: Presence,
        protocol: SubscriberProtocol,
        *,
        read: ReadDescription,
        changed: Callable[[], None],
        limits: Limits,
        warnings: Warnings,
    ) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._presence = presence
        self._protocol = protocol
        self._read = read
        self._changed = changed
        self._limits = limits
        self._warnings = warnings
        self._followed: dict[AdvertisedDevice, _Followed] = {}

    def __contains__(self, device: object) -> bool:
        return device in self._followed

    def __len__(self) -> int:
        return len(self._followed)

    def follow(self, remote: DescribedDevice[Any]) -> None:
        """Keep ``remote`` at where its device is as long as the program holds it."""
        self.let_go()
        if not remote.udn:
            return
        now = self._runtime.now()
        try:
            device = self._presence.follow(remote.udn, now)
        except LocalProtocolError as error:
            self._warnings.warn("follow", f"{remote.udn} is not followed: {error}")
            return
        followed = self._followed.get(device)
        if followed is None:
            followed = self._followed[device] = _Followed(self._limits, now)
        else:
            self._presence.unfollow(device)
        followed.remotes.add(remote)
        self._presence.relocated(device, remote.url, _udns_of(remote.description))

    def let_go(self) -> None:
        """Follow no more what the program does not hold any more."""
        for device, followed in tuple(self._followed.items()):
            if not followed.remotes and not followed.moving:
                del self._followed[device]
                self._presence.unfollow(device)

    def tell(self, device: AdvertisedDevice, tell: Tell) -> None:
        """Tell the subscriptions to ``device``, if it is followed."""
        followed = self._followed.get(device)
        if followed is None:
            return
        now = self._runtime.now()
        for udn in followed.udns:
            tell(udn, now)
        self._changed()

    def settle(self, device: AdvertisedDevice, tell: Tell | None) -> None:
        """Find out where ``device`` is now, unless it says that it is where it was, and tell its
        subscriptions."""
        followed = self._followed.get(device)
        if followed is None or not followed.remotes:
            return
        if tell is not None and device.url in device.locations:
            self.tell(device, tell)
            return
        followed.tell = tell or followed.tell
        followed.again = True
        if not followed.moving:
            followed.moving = True
            self._tasks.start(self._relocate(device, followed))

    async def _relocate(self, device: AdvertisedDevice, followed: _Followed) -> None:
        now = self._runtime.now
        try:
            while followed.again:
                # Without the bucket, a host that announces locations without end would aim this
                # machine at its neighbours.
                await sleep(self._runtime, followed.bucket.ready_at(now()) - now())
                followed.bucket.spend(now())
                followed.again = False
                former, others = _places_of(device)
                description = await find_description(
                    self._runtime,
                    device.udn,
                    former=former,
                    others=others,
                    read=self._read,
                    grace=self._limits.relocation_seconds,
                )
                tell, followed.tell = followed.tell, None
                if description is not None and description.url != device.url:
                    tell = self._move(device, followed, description) or tell
                    tell = tell or self._protocol.device_returned
                if tell is not None:
                    self.tell(device, tell)
        finally:
            followed.moving = False

    def _move(
        self, device: AdvertisedDevice, followed: _Followed, description: DeviceDescription
    ) -> Tell | None:
        """``description``, found at another URL, is that of ``device`` from now on. Only where
        its event URLs are others too has the device moved: else it is the same place by another
        URL, and what is granted there stays."""
        self._warnings.logger.info("%s is at %s now", device.udn, description.url)
        moved = False
        for remote in tuple(followed.remotes):
            moved |= not description.has_event_urls_of(remote.description)
            remote.relocate(description)
        self._presence.relocated(device, description.url, _udns_of(description))
        return self._protocol.device_moved if moved else None


async def find_description(
    runtime: Runtime,
    udn: str,
    *,
    former: str,
    others: Sequence[str],
    read: ReadDescription,
    grace: float,
) -> DeviceDescription | None:
    """The description that carries ``udn``: from ``former`` if it still answers there, else from
    the first of ``others`` that has it; None when it is nowhere.

    All are asked at once. A host with several addresses announces a URL for each, and is at all
    of them: when another one answers first, ``former`` has ``grace`` seconds more.
    """
    urls = list(dict.fromkeys((former, *others)))[: _TRIED + 1]
    found: dict[str, DeviceDescription | None] = {}
    decided: Future[DeviceDescription | None] = runtime.future()
    waiting: list[Armed] = []

    def decide(*, patient: bool) -> None:
        if decided.done():
            return
        first = found.get(former)
        elsewhere = next((found[url] for url in urls if url != former and found.get(url)), None)
        if first is not None or len(found) == len(urls):
            decided.set_result(first or elsewhere)
        elif elsewhere is not None and (former in found or not patient):
            decided.set_result(elsewhere)
        elif elsewhere is not None and not waiting:
            waiting.append(runtime.call_later(grace, lambda: decide(patient=False)))

    async def ask(url: str) -> None:
        description: DeviceDescription | None = None
        try:
            description = await read(url)
        except (PropchangeError, ValueError):
            pass
        finally:
            is_it = description is not None and description.find_device(udn) is not None
            found[url] = description if is_it else None
            decide(patient=True)

    tasks = Tasks(runtime)
    try:
        for url in urls:
            tasks.start(ask(url))
        return await decided
    finally:
        for alarm in waiting:
            alarm.cancel()
        await tasks.close()


def _udns_of(description: DeviceDescription) -> list[str]:
    return [device.udn for device in description.all_devices() if device.udn]


def _places_of(device: AdvertisedDevice) -> tuple[str, tuple[str, ...]]:
    """Where the description of ``device`` may be: at the server that is known, by the URL that the
    device announces there itself where it does; and all the other URLs that there are for it."""
    server = urlsplit(device.url).netloc
    announced = (url for url in device.locations if urlsplit(url).netloc == server)
    return next(announced, device.url), (device.url, *device.locations)
