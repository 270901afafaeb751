"""Follows the devices that the program has objects of to their present locations.

A device may return at another address, port or path (CP-13). Its announcements have the location,
but anybody on the link can forge an announcement. So the announced location is only read. The
device may have moved if its description is there and no longer at the old location. It has not
moved while it grants the renewal of a subscription at the old event URL.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.discovery.presence import Presence
from propchange.core.limits import Limits
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.token_bucket import TokenBucket
from propchange.driver.remote import DescribedDevice
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime, Signal, Tasks, sleep
from propchange.errors import LocalProtocolError, PropchangeError
from propchange.upnp.description import DeviceDescription

Input = Callable[[str, float], None]
"""An input of SubscriberProtocol that takes a UDN and the time."""

ReadDescription = Callable[[str], Awaitable[DeviceDescription]]
"""Reads the description at a URL that was announced."""

_TRIED = 8
"""Announced URLs that are read at once."""


class _Followed:
    """The RemoteDevices of one device, and the search for its location."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.bucket = TokenBucket(limits.search_burst, limits.search_refill_seconds, now)
        self.remotes: weakref.WeakSet[DescribedDevice[Any]] = weakref.WeakSet()
        self.moving = False
        """Whether a coroutine searches for the location."""
        self.again = False
        """Whether it has to search again: there was another announcement since."""
        self.pending: Input | None = None
        """The input for the subscriptions once the location is known."""
        self.claimed: DeviceDescription | None = None
        """The description at another location, while the subscriptions are checked."""


class FollowedDevices:
    """Gives each ``RemoteDevice`` of the program the present description of its device, and gives
    ``protocol`` the news of the devices. ``changed`` is called after each input. ``tasks`` run the
    coroutines that read descriptions: ``read_known`` for the known URL, ``read`` for other URLs.
    """

    def __init__(
        self,
        runtime: Runtime,
        tasks: Tasks,
        presence: Presence,
        protocol: SubscriberProtocol,
        *,
        read: ReadDescription,
        read_known: ReadDescription,
        changed: Callable[[], None],
        limits: Limits,
    ) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._presence = presence
        self._protocol = protocol
        self._read = read
        self._read_known = read_known
        self._changed = changed
        self._limits = limits
        self._warnings = Warnings(logger_named("propchange.discovery"), limits)
        self._followed: dict[AdvertisedDevice, _Followed] = {}

    def follow(self, remote: DescribedDevice[Any]) -> None:
        """Follow the device of ``remote`` as long as the program has ``remote``."""
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
        else:  # followed once for all its remotes
            self._presence.unfollow(device)
        followed.remotes.add(remote)
        self._presence.relocated(device, remote.url, _udns_of(remote.description))

    def let_go(self) -> None:
        """Stop following the devices that the program has no object of any more."""
        for device, followed in tuple(self._followed.items()):
            if not followed.remotes and not followed.moving:
                del self._followed[device]
                self._presence.unfollow(device)

    def put(self, device: AdvertisedDevice, news: Input) -> None:
        """Give the protocol ``news`` of a followed ``device`` and of its embedded devices."""
        followed = self._followed.get(device)
        if followed is None:
            return
        now = self._runtime.now()
        for udn in self._udns(followed):
            news(udn, now)
        self._changed()

    @staticmethod
    def _udns(followed: _Followed) -> set[str]:
        return {udn for remote in followed.remotes for udn in _udns_of(remote.description)}

    def settle(self, device: AdvertisedDevice, news: Input | None) -> None:
        """Give the protocol ``news`` of ``device``. Unless the device announces its known URL, its
        present location is searched for first."""
        followed = self._followed.get(device)
        if followed is None or not followed.remotes:
            return
        if news is not None and device.url in device.locations:
            self.put(device, news)
            return
        followed.pending = news or followed.pending
        followed.again = True
        if not followed.moving:
            followed.moving = True
            self._tasks.start(self._relocate(device, followed))

    async def _relocate(self, device: AdvertisedDevice, followed: _Followed) -> None:
        now = self._runtime.now
        try:
            while followed.again:
                # Without this rate limit, a host could announce many locations and have this
                # machine flood other hosts with requests.
                await sleep(self._runtime, followed.bucket.ready_at(now()) - now())
                followed.bucket.spend(now())
                followed.again = False
                grace = self._limits.relocation_seconds
                read = partial(self._read_at, device.url)
                description = await find_description(
                    self._runtime, device.udn, _places_of(device), read=read, grace=grace
                )
                news, followed.pending = followed.pending, None
                if description is not None and description.url != device.url:
                    news = self._claim(device, followed, description, news)
                if news is not None:
                    self.put(device, news)
        finally:
            followed.moving = False

    def _read_at(self, known: str, url: str) -> Awaitable[DeviceDescription]:
        return self._read_known(url) if url == known else self._read(url)

    def _claim(
        self,
        device: AdvertisedDevice,
        followed: _Followed,
        description: DeviceDescription,
        news: Input | None,
    ) -> Input:
        """The input for the subscriptions, after ``description`` was found at another URL."""
        others = any(
            not description.has_event_urls_of(remote.description) for remote in followed.remotes
        )
        if others and any(map(self._protocol.is_granted, self._udns(followed))):
            followed.claimed = description
            return self._protocol.device_moved
        if self._move(device, followed, description):
            return self._protocol.device_moved
        return news or self._protocol.device_returned

    def checked(self, device: AdvertisedDevice, *, passed: bool) -> None:
        """Note that an announcement about ``device`` was checked. ``passed``: ``device`` has
        granted the renewal, so it has not moved."""
        followed = self._followed.get(device)
        if followed is None or followed.claimed is None:
            return
        description, followed.claimed = followed.claimed, None
        if not passed:
            self._move(device, followed, description)
            self.put(device, self._protocol.device_returned)

    def _move(
        self, device: AdvertisedDevice, followed: _Followed, description: DeviceDescription
    ) -> bool:
        """Use ``description``, found at another URL, for ``device`` from now on. Returns whether
        the device has moved: then its event URLs differ too. If they are the same, the
        subscriptions stay."""
        self._warnings.info("moved", f"{device.udn} is at {description.url} now")
        moved = False
        for remote in tuple(followed.remotes):
            moved |= not description.has_event_urls_of(remote.description)
            remote._relocate(description)
        self._presence.relocated(device, description.url, _udns_of(description))
        return moved


async def find_description(
    runtime: Runtime, udn: str, urls: Sequence[str], *, read: ReadDescription, grace: float
) -> DeviceDescription | None:
    """The description that contains ``udn``: from the first of ``urls`` if that still answers, else
    from another one; None if no URL has it.

    All URLs are read at once. A host with several addresses announces a URL for each, and answers
    at all of them. So after another URL has answered, the first one has ``grace`` seconds more.
    """
    urls = list(dict.fromkeys(urls))[: _TRIED + 1]
    answers: dict[str, DeviceDescription | None] = {}
    answered = Signal(runtime)

    async def ask(url: str) -> None:
        description = None
        try:
            description = await read(url)
        except (PropchangeError, ValueError):
            pass
        finally:
            has_it = description is not None and description.find_device(udn) is not None
            answers[url] = description if has_it else None
            answered.set()

    tasks = Tasks(runtime)
    try:
        for url in urls:
            tasks.start(ask(url))
        until = float("inf")
        while True:
            found = next((each for url in urls if (each := answers.get(url)) is not None), None)
            now = runtime.now()
            settled = urls[0] in answers or now >= until
            if len(answers) == len(urls) or (found is not None and settled):
                return found
            if found is not None:
                until = min(until, now + grace)
            await answered.wait(None if found is None else until - now)
    finally:
        await tasks.close()


def _udns_of(description: DeviceDescription) -> list[str]:
    return [device.udn for device in description.all_devices() if device.udn]


def _places_of(device: AdvertisedDevice) -> list[str]:
    """The URLs where the description of ``device`` may be. The first is on the known server: an
    announced URL if there is one on it, else the known URL."""
    server = urlsplit(device.url).netloc
    announced = (url for url in device.locations if urlsplit(url).netloc == server)
    return [next(announced, device.url), device.url, *device.locations]
