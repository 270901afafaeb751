"""The hosted device of a program on asyncio."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import Self

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import INITIAL_EVENT_DELAY, PublisherPolicy
from propchange.core.publisher.records import Subscription
from propchange.core.wire.messages import Endpoint
from propchange.driver.host import DeviceHost, Tap
from propchange.driver.machine import Interfaces, product
from propchange.driver.reporting import guarded, logger_named
from propchange.upnp.device import Device, check_device, place_device
from propchange.upnp.hosted_documents import DESCRIPTION_PATH


def host(
    device: Device,
    *,
    interface: str | None = None,
    port: int = 0,
    udn: str | None = None,
    uda: str = "1.1",
    callbacks: str = "on-link",
    lenient_callbacks: bool = False,
    default_duration: int = 1800,
    minimum_duration: int = 60,
    maximum_duration: int = 86_400,
    dlna: bool = False,
    initial_event_delay: float = INITIAL_EVENT_DELAY,
    hosts: frozenset[str] = frozenset(),
    limits: Limits = DEFAULT_LIMITS,
    tap: Tap | None = None,
) -> HostedDevice:
    """Host ``device`` on the network, for the duration of ``async with host(device) as hosted:``.

    - ``interface``: the name of a network interface, or an IP address of this machine, to listen
      on. None: all. ``port``: the TCP port; 0 is any free one.
    - ``udn``: replaces the device's own UDN. Without either, the UDN is derived from the machine,
      the port, and the device's type and name.
    - ``uda``: "1.0", "1.1" or "2.0".
    - ``callbacks``: the delivery URLs that may be called: "on-link", "same-host" or "any"
      (CallStranger; UDA 2.0 §4.1.1). ``lenient_callbacks`` ignores refused URLs if a CALLBACK has
      others, instead of refusing the SUBSCRIBE.
    - ``default_duration``, ``minimum_duration``, ``maximum_duration``: seconds, at least 1. The
      default is raised or lowered to the other two. ``dlna`` always grants 300 s.
    - ``initial_event_delay``: seconds between the answer to SUBSCRIBE and the initial event.
      Control points of GUPnP need some milliseconds to learn their SID.
    - ``hosts``: names that HOST may have, besides this machine's addresses.
    - ``tap`` is called with each Request and Response, and with each outcome.

    Raises TypeError if ``device`` is not a Device, for example a service. Raises ValueError for
    values that contradict each other. Entering the context raises ConnectionFailed if the port is
    taken or the interface does not exist.
    """
    check_device(device)
    if not 0 <= port <= 65_535:
        raise ValueError(f"a port is from 0 to 65535, not {port}")
    policy = PublisherPolicy(
        uda=uda,
        callbacks=callbacks,
        lenient_callbacks=lenient_callbacks,
        default_duration=default_duration,
        minimum_duration=minimum_duration,
        maximum_duration=maximum_duration,
        dlna=dlna,
        initial_event_delay=initial_event_delay,
        hosts=hosts,
        server=product(uda),
    )
    return HostedDevice(
        device, policy, interface=interface, port=port, udn=udn, limits=limits, tap=tap
    )


class HostedDevice:
    """A hosted device. Made by :func:`host`. An asynchronous context manager, which is entered
    once. Before that, its properties and methods raise RuntimeError."""

    def __init__(
        self,
        device: Device,
        policy: PublisherPolicy,
        *,
        interface: str | None,
        port: int,
        udn: str | None,
        limits: Limits,
        tap: Tap | None,
    ) -> None:
        self.device = device
        placed = place_device(device, udn or device.udn or _derive_udn(device, port))
        self.udn = placed.udn
        self._interface = interface
        self._ports = (port,)
        self._interfaces = Interfaces()
        if tap is not None:
            tap = guarded(tap, logger_named("propchange.publisher"))
        # The host is made on entering: it uses the loop that runs then.
        self._make = partial(
            DeviceHost,
            placed=placed,
            policy=policy,
            limits=limits,
            interfaces=self._interfaces,
            tap=tap,
        )
        self._host: DeviceHost | None = None
        self._entered = self._ended = False
        self._closing = asyncio.Lock()

    def __repr__(self) -> str:
        where = "not hosted yet" if self._host is None else self.description_url
        if self._ended:
            where = "ended"
        return f"<HostedDevice {self.device.friendly_name!r} {self.udn}: {where}>"

    # --- what a program reads and calls ---

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self._opened().endpoints[0].port

    @property
    def description_url(self) -> str:
        """The URL of the device description, with an address that other machines can reach if
        there is one."""
        endpoint = self._opened().endpoints[0]
        if endpoint.host in ("0.0.0.0", "::"):
            endpoint = Endpoint(self._interfaces.default_address(), endpoint.port)
        return f"http://{endpoint}{DESCRIPTION_PATH}"

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The present subscriptions, oldest first. Do not change them."""
        return tuple(self._opened().publication.protocol.subscriptions)

    async def subscribed(self) -> None:
        """Wait until one of the present subscribers has had its initial event. Raises RuntimeError
        if the device is closed before."""
        if not await self._opened().publication.subscribed():
            raise RuntimeError("the device has left the network before a control point subscribed")

    async def drain(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - drain() returns False after it, and raises nothing
        """Wait until all events are delivered or given up. Returns True then, and False if
        ``timeout`` seconds have passed or the device is closed before."""
        publication = self._opened().publication
        try:
            async with asyncio.timeout(timeout):
                return await publication.drained()
        except TimeoutError:
            return False

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a hosted device is entered once; call host() again")
        self._entered = True
        interface = self._interface
        address = None if interface is None else self._interfaces.host_of(interface)
        host = self._make(AsyncioRuntime())
        await host.open(address, self._ports)
        self._host = host
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the hosting. Undelivered events are dropped: call :meth:`drain` before. Repeated
        calls do nothing."""
        async with self._closing:
            self._ended = True
            if self._host is not None:
                await self._host.close()

    def _opened(self) -> DeviceHost:
        if self._host is None:
            raise RuntimeError("the device is not on the network: use async with host(…)")
        return self._host


def _derive_udn(device: Device, port: int) -> str:
    """A UDN that stays the same for the same device on the same machine and port (UDA 2.0
    §1.1.4)."""
    name = f"{uuid.getnode()}/{port}/{device.device_type}/{device.friendly_name}"
    return f"uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
