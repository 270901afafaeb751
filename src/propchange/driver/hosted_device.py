"""The hosted device of a program: its settings and its members, which are the same on both
runtimes."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Self

from propchange.core.limits import Limits
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.records import Subscription
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import EMPTY
from propchange.driver.announcing import AnnouncementPolicy
from propchange.driver.chosen_addresses import ChosenAddresses, check_exclude
from propchange.driver.host import DeviceHost
from propchange.driver.machine import Interfaces, product
from propchange.driver.passed_bodies import PassedBodies
from propchange.driver.publication import Tap
from propchange.driver.reading import Reading, read_in_loop
from propchange.driver.reporting import guarded, logger_named
from propchange.driver.runtime import Runtime
from propchange.upnp.device import Device, check_actions, check_device, place_device
from propchange.upnp.hosted_url import HostedPaths, HostedURL

if TYPE_CHECKING:
    from propchange.core.publisher.stats import HostStats


class HostedDeviceView:
    """The members of the hosted devices of both runtimes. The arguments are those of
    :func:`propchange.host`; ``runtime`` makes the runtime, at the time of entering."""

    _not_entered = "the device is not on the network: use async with host(…)"

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        device: Device,
        *,
        interface: str | None,
        exclude: Collection[str],
        port: int,
        udn: str | None,
        uda: str,
        callbacks: str,
        lenient_callbacks: bool,
        default_duration: int,
        minimum_duration: int,
        maximum_duration: int,
        dlna: bool,
        initial_event_delay: float,
        hosts: frozenset[str],
        multicast: MulticastPolicy | None,
        announce: bool,
        max_age: int,
        secure_location: str | None,
        state_directory: str | os.PathLike[str] | None,
        listen: bool,
        url: str | None,
        limits: Limits,
        tap: Tap | None,
    ) -> None:
        check_device(device)
        check_actions(device)
        if not isinstance(port, int):
            raise TypeError(f"a port is an int, such as 8123, not {port!r}")
        if not 0 <= port <= 65_535:
            raise ValueError(f"a port is from 0 to 65535, not {port}")
        self._listens = listen
        self._url = None if url is None else HostedURL.of(url)
        if not listen:
            if self._url is None:
                raise ValueError(
                    "with listen=False, give the URL below which your web server passes requests "
                    'to receive(), such as url="http://192.168.1.5:8000/upnp"'
                )
            if port:
                raise ValueError(
                    f"with listen=False there is no port {port} to listen on: your web server has "
                    "the port, and url names it"
                )
        if self._url is not None:
            hosts |= {self._url.authority}
        self._runtime = runtime
        self._policy = PublisherPolicy(
            uda=uda,
            callbacks=callbacks,
            lenient_callbacks=lenient_callbacks,
            default_duration=default_duration,
            minimum_duration=minimum_duration,
            maximum_duration=maximum_duration,
            dlna=dlna,
            initial_event_delay=initial_event_delay,
            hosts=hosts,
            own_prefix="" if self._url is None or listen else self._url.prefix,
            server=product(uda),
        )
        folder = None
        if state_directory is not None:
            from pathlib import Path  # takes 1 ms and 0.6 MB to import

            folder = Path(state_directory)
        self._announcing = AnnouncementPolicy(announce, max_age, folder, secure_location)
        self.device = device
        at = str(port) if self._url is None else f"{self._url.port}{self._url.prefix}"
        self._placed = place_device(device, udn or device.udn or _derive_udn(device, at))
        if self._url is not None:
            HostedPaths(self._url.prefix, self._placed.all_paths())  # a check
        self.udn = self._placed.udn
        self._multicast = MulticastPolicy.of(multicast)
        self._multicast.check(uda)
        self._interface = interface
        self._exclude = check_exclude(interface, exclude)
        self._port = port
        self._limits = limits
        self._tap = None if tap is None else guarded(tap, logger_named("propchange.publisher"))
        self._host: DeviceHost | None = None
        self._entered = self._ended = False

    def __repr__(self) -> str:
        where = "not hosted yet" if self._host is None else self.description_url
        if self._ended:
            where = "ended"
        return f"<HostedDevice {self.device.friendly_name!r} {self.udn}: {where}>"

    @property
    def port(self) -> int:
        """The TCP port that it listens on. Raises RuntimeError with ``listen=False``."""
        return self._opened().port

    @property
    def description_url(self) -> str:
        """The URL of the device description, with an address that other machines can reach if
        there is one."""
        return self._opened().description_urls[0]

    @property
    def description_urls(self) -> tuple[str, ...]:
        """The URLs of the device description on all addresses that it listens on,
        :attr:`description_url` first. Each request is answered at each of them. A link-local IPv6
        address has no zone in its URL: it is for the machines on that link."""
        return self._opened().description_urls

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The present subscriptions, oldest first. Do not change them."""
        return tuple(self._opened().publication.protocol.subscriptions)

    def stats(self) -> HostStats:
        """What this device has counted, and the present numbers: subscriptions, deliveries, merged
        messages, refusals. After it has left the network too. It looks at each subscription. Call
        it in the thread of the loop; see :mod:`propchange.metrics` for Prometheus."""
        return self._numbers(self._opened())

    def _numbers(self, host: DeviceHost) -> HostStats:
        return host.publication.protocol.counts.stats(closed=self._ended)

    def _read_stats(self) -> Reading[HostStats] | None:
        """:meth:`stats` in any thread; None before it is entered."""
        host = self._host
        if host is None:
            return None
        thread = threading.get_ident() if self._ended else host.passed.thread
        return read_in_loop(host.publication.runtime, thread, partial(self._numbers, host))

    @property
    def _passed_url(self) -> str | None:
        """The URL of the description on a web server of the program."""
        return None if self._url is None else self._url.description_url

    @property
    def _passed_bodies(self) -> PassedBodies | None:
        return None if self._host is None else self._host.passed.bodies

    @property
    def _has_ended(self) -> bool:
        return self._ended

    def _receive(self, request: Request) -> Response | Awaitable[Response]:
        if self._host is None:
            return Response(503, (EMPTY,), close=True)
        return self._host.passed.receive(request)

    def response_sent(self, response: Response) -> None:
        """Tell that all bytes of ``response``, which :meth:`receive` has returned, have left: the
        events that wait for it may follow. For one that ends its connection, call this when the end
        of the stream has left too (UDA 2.0 §4.1.1). Call this or :meth:`response_lost` once for
        each response. Raises RuntimeError in another thread than that of the loop."""
        if self._host is not None:
            self._host.passed.response_sent(response)

    def response_lost(self, response: Response) -> None:
        """Tell that ``response``, which :meth:`receive` has returned, could not leave: the
        connection broke before. A subscription that it grants ends."""
        if self._host is not None:
            self._host.passed.response_lost(response)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def _open(self) -> None:
        if self._entered:
            raise RuntimeError("a hosted device is entered once; call host() again")
        self._entered = True
        runtime = self._runtime()
        host = DeviceHost(
            runtime,
            self._placed,
            policy=self._policy,
            limits=self._limits,
            chosen=ChosenAddresses(Interfaces(clock=runtime.now), self._interface, self._exclude),
            announcing=self._announcing,
            tap=self._tap,
            multicast=self._multicast,
            url=self._url,
            listens=self._listens,
        )
        await host.open(self._port)
        self._host = host

    async def _subscribed(self) -> None:
        if not await self._opened().publication.subscribed():
            raise RuntimeError("the device has left the network before a control point subscribed")

    async def _drain(self, seconds: float | None) -> bool:
        return await self._opened().publication.drained(seconds)

    async def _close(self) -> None:
        self._ended = True
        if self._host is not None:
            await self._host.close()

    def _opened(self) -> DeviceHost:
        if self._host is None:
            raise RuntimeError(self._not_entered)
        return self._host


def _derive_udn(device: Device, at: str) -> str:
    """A UDN that stays the same for the same device on the same machine, at the same port and
    prefix ``at`` (UDA 2.0 §1.1.4)."""
    name = f"{uuid.getnode()}/{at}/{device.device_type}/{device.friendly_name}"
    return f"uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
