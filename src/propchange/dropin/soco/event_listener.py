"""``soco.events_asyncio.event_listener``: the address that events come to.

It has one control point, in the loop that has started it. SoCo's fallback for large households
subscribes from a loop of its own, in a thread, while this one may run: such a loop has a control
point of its own (:class:`Listening`), which ends with its last subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from soco import config
from soco.events_base import EventListenerBase, get_listen_ip

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.remote import RemoteDevice
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.requests import OutgoingRequest
from propchange.core.wire.messages import Response
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.reporting import logger_named
from propchange.dropin.soco.kept_subscription import KeptSubscription, hold, kept_subscriptions_of
from propchange.errors import ConnectionFailed, PropchangeError

LIMITS = replace(DEFAULT_LIMITS, request_seconds=10.0)
"""A SUBSCRIBE takes 10 seconds at most, as with SoCo."""

_LOGGER = logger_named("propchange.soco")
_PORTS = 100
_DESCRIPTION = "/xml/device_description.xml"
"""Where each Sonos has its description."""


class Listening:
    """A control point on one loop, for the subscriptions that are made in it."""

    def __init__(self, point: ControlPoint, discovers: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.point = point
        self._discovers = discovers
        self._devices: dict[str, RemoteDevice | None] = {}

    @classmethod
    async def open(cls, ports: Iterable[int], *, discovers: bool) -> Listening:
        """Listen on the first free port. Raises ConnectionFailed if none is free."""
        point = ControlPoint(
            interface=config.EVENT_LISTENER_IP or None,
            port=tuple(ports),
            callback_host=config.EVENT_ADVERTISE_IP or None,
            discovery=None if discovers else False,
            limits=LIMITS,
        )
        await point.__aenter__()
        listening = cls(point, discovers)
        listening.driver.request_ended = listening._request_ended
        return listening

    @property
    def driver(self) -> SubscriberDriver:
        """The driver of the control point."""
        return self.point._begun()

    @property
    def kept_subscriptions(self) -> list[KeptSubscription]:
        """What keeps the subscriptions of this loop."""
        return kept_subscriptions_of(self.driver)

    def _request_ended(self, request: OutgoingRequest, result: Response | Exception) -> None:
        kept = self.driver.subscriptions.get(request.subscription)
        if isinstance(kept, KeptSubscription):
            kept.request_ended(request, result)

    # --- the announcements of the players ---

    def granted(self, player_url: str) -> None:
        """A player has granted a subscription: follow it by its announcements, once its
        description was read."""
        if not self._discovers:
            return
        if player_url not in self._devices:
            self._devices[player_url] = None
            hold(self.loop.create_task(self._identify(player_url)))
        elif self._devices[player_url] is not None:
            self._identified(player_url)

    async def _identify(self, player_url: str) -> None:
        try:
            device = await self.point.device(player_url + _DESCRIPTION)
        except (PropchangeError, ValueError, RuntimeError) as error:
            # It is tried again with the next grant. Until then, renewals show what happens.
            self._devices.pop(player_url, None)
            _LOGGER.debug("%s is not followed by its announcements: %s", player_url, error)
            return
        self._devices[player_url] = device
        self._identified(player_url)

    def _identified(self, player_url: str) -> None:
        device = self._devices[player_url]
        assert device is not None
        for kept in self.kept_subscriptions:
            record = kept.record
            if kept.player_url == player_url and record.device is None:
                self.driver.identify(record, device)

    def ended(self, player_url: str) -> None:
        """A subscription to a player has ended: forget a player without any."""
        if all(each.player_url != player_url for each in self.kept_subscriptions):
            self._devices.pop(player_url, None)

    async def close(self) -> None:
        """End all subscriptions, and listen no more."""
        await self.point.close()


class EventListener(EventListenerBase):  # type: ignore[misc]  # SoCo has no types
    """Listens for events. The first ``subscribe`` starts it.

    :attr:`address` is the IP address and the port; :attr:`is_running` says whether it listens.
    ``config.EVENT_LISTENER_IP``, ``EVENT_ADVERTISE_IP`` and ``EVENT_LISTENER_PORT`` are read when
    it starts. The port is the first free one of a hundred. Without ``EVENT_LISTENER_IP`` it listens
    on all addresses of this machine, so that it need not start again when one of them changes."""

    def __init__(self) -> None:
        super().__init__()
        self.requested_port_number: int | None = None
        """The port to begin with; None: ``config.EVENT_LISTENER_PORT``."""
        self.ip_address: str | None = None
        self.port: int | None = None
        self.session = None
        """SoCo's listener has an aiohttp session here. The requests of this one need none."""
        self.discovery = True
        """Whether the announcements of players are heard (SSDP). Read when it starts."""
        self.live = 0
        """How many subscriptions are being made, or were made and have not ended."""
        self._stop_grace_seconds = 5.0
        self._stopping: asyncio.TimerHandle | None = None
        self._main: Listening | None = None
        self._others: dict[asyncio.AbstractEventLoop, Listening] = {}
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = weakref.WeakKeyDictionary()

    def start(self, any_zone: Any) -> None:
        """Does nothing, as SoCo's: :meth:`async_start` starts it."""

    def listen(self, ip_address: str) -> None:
        """Does nothing, as SoCo's."""

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    async def async_start(self, any_zone: Any) -> None:
        """Listen, unless it does. ``any_zone`` is a player: with its address, this machine's
        address for :attr:`address` is found. Logs an error if it cannot listen."""
        async with self._lock():
            try:
                await self._start(any_zone)
            except ConnectionFailed as error:
                _LOGGER.error("the event listener cannot start: %s", error)

    async def _start(self, any_zone: Any) -> None:
        self._stop_no_more()
        if self._main is not None and self._main.loop.is_closed():
            self._main = None  # its control point has ended with the loop
        if self._main is None:
            self._main = await Listening.open(self._ports(), discovers=self.discovery)
            self.port = self._main.point.port
            self.ip_address = self._address_towards(any_zone)
            self.address = (self.ip_address, self.port)
            _LOGGER.debug("listening for events on port %d", self.port)
        self.is_running = True

    def _ports(self) -> range:
        first: int = self.requested_port_number or config.EVENT_LISTENER_PORT
        return range(first, min(first + _PORTS, 65_536))

    @staticmethod
    def _address_towards(any_zone: Any) -> str:
        found: str | None = get_listen_ip(any_zone.ip_address)
        return found or "0.0.0.0"

    async def listening(self, any_zone: Any) -> Listening:
        """The control point of the running loop, started if necessary. Raises OSError if it cannot
        listen."""
        loop = asyncio.get_running_loop()
        async with self._lock():
            try:
                main = self._main
                if main is not None and main.loop is not loop and main.loop.is_running():
                    return await self._beside(loop)
                if not self.is_running or main is None or main.loop is not loop:
                    if main is not None and main.loop is not loop:
                        self._main = None  # that loop has ended without a word
                    await self._start(any_zone)
            except ConnectionFailed as error:
                raise OSError(errno.EADDRINUSE, str(error)) from error
            assert self._main is not None
            return self._main

    async def _beside(self, loop: asyncio.AbstractEventLoop) -> Listening:
        if loop not in self._others:
            self._others[loop] = await Listening.open(self._ports(), discovers=False)
        return self._others[loop]

    async def leave(self, listening: Listening) -> None:
        """End ``listening`` if it is beside the one of this listener, and has no subscription."""
        if self._others.get(listening.loop) is listening and not listening.kept_subscriptions:
            del self._others[listening.loop]
            await listening.close()

    # --- stopping ---

    def stop_listening(self, address: Any) -> None:
        """Stop in ``_stop_grace_seconds``, 5 if they were not changed, unless something is
        subscribed to until then."""
        self._stop_no_more()
        with contextlib.suppress(RuntimeError):  # no loop runs: it has ended everything
            loop = asyncio.get_running_loop()
            # Not a task: the loop may be ending, and asyncio would log a task that is left.
            self._stopping = loop.call_later(self._stop_grace_seconds, self._stop_if_idle, loop)

    def _stop_no_more(self) -> None:
        stopping, self._stopping = self._stopping, None
        if stopping is not None:
            stopping.cancel()

    def _stop_if_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stopping = None
        if not self.live:
            hold(loop.create_task(self.async_stop()))

    async def async_stop(self) -> None:
        """Stop now: every subscription is given back, for two seconds at most. Again: nothing."""
        self.is_running = False
        self._stop_no_more()
        async with self._lock():  # a start waits: the port is free then
            main, self._main = self._main, None
            self.port = self.ip_address = None
            if main is None:
                return
            if main.loop is asyncio.get_running_loop():
                await main.close()
            elif main.loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(main.close(), main.loop)
                await asyncio.wrap_future(closing)
