"""The hosted device of a program on Twisted."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from typing import Any, Self

from twisted.internet.defer import Deferred, DeferredList

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import INITIAL_EVENT_DELAY
from propchange.core.short_signature import short_in_help
from propchange.core.wire.messages import Request, Response
from propchange.driver.hosted_device import HostedDeviceView
from propchange.driver.publication import Tap
from propchange.twisted.runtime import Reactor, TwistedRuntime, of_reactor
from propchange.upnp.device import Device


@short_in_help
def host(
    device: Device,
    *,
    reactor: Reactor | None = None,
    interface: str | None = None,
    exclude: Collection[str] = (),
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
    multicast: MulticastPolicy | None = None,
    announce: bool = True,
    max_age: int = 1800,
    secure_location: str | None = None,
    state_directory: str | os.PathLike[str] | None = None,
    listen: bool = True,
    url: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    tap: Tap | None = None,
) -> HostedDevice:
    """Host ``device`` on the network: ``hosted = host(device)``, then ``hosted.open()``, and in the
    end ``hosted.close()``; or ``async with host(device) as hosted:`` in a coroutine.

    ``reactor``: None for the installed one. The other arguments are those of
    :func:`propchange.host`, with the same defaults and errors.
    """
    return HostedDevice(
        partial(TwistedRuntime, reactor),
        device,
        interface=interface,
        exclude=exclude,
        port=port,
        udn=udn,
        uda=uda,
        callbacks=callbacks,
        lenient_callbacks=lenient_callbacks,
        default_duration=default_duration,
        minimum_duration=minimum_duration,
        maximum_duration=maximum_duration,
        dlna=dlna,
        initial_event_delay=initial_event_delay,
        hosts=hosts,
        multicast=multicast,
        announce=announce,
        max_age=max_age,
        secure_location=secure_location,
        state_directory=state_directory,
        listen=listen,
        url=url,
        limits=limits,
        tap=tap,
    )


class HostedDevice(HostedDeviceView):
    """As :class:`propchange.HostedDevice`, with Deferreds. Made by :func:`host`. It is opened once.
    Before that, its properties raise RuntimeError, and its Deferreds fail with it."""

    _not_entered = "the device is not on the network: call open() first"

    def open(self) -> Deferred[Self]:
        """Put the device on the network. Fires with this object. Fails with ConnectionFailed if the
        port is taken or the interface does not exist."""
        return Deferred.fromCoroutine(self.__aenter__())

    def receive(self, request: Request) -> Response | Deferred[Response]:
        """Answer a request that the web server of the program has received: see
        :meth:`propchange.HostedDevice.receive`. A Deferred never fails."""
        answer = self._receive(request)
        assert isinstance(answer, (Response, Deferred))
        return answer

    def subscribed(self) -> Deferred[None]:
        """Fires once one of the present subscribers has had its initial event. Fails with
        RuntimeError if the device is closed before, and if no service of it has an evented
        variable."""
        return Deferred.fromCoroutine(self._subscribed())

    def drain(self, timeout: float | None = None) -> Deferred[bool]:
        """Fires once all events are delivered or given up, with True; with False if ``timeout``
        seconds have passed or the device is closed before."""
        return Deferred.fromCoroutine(self._drain(timeout))

    def close(self) -> Deferred[None]:
        """End the hosting. Fires when that is done. Undelivered events are dropped: wait for
        :meth:`drain` before. Repeated calls do nothing. A device that is open when the reactor
        stops, by SIGINT or SIGTERM too, is closed then."""
        return Deferred.fromCoroutine(self._close())

    async def _open(self) -> None:
        await super()._open()
        runtime = self._runtime()
        assert isinstance(runtime, TwistedRuntime)
        self._open_devices = of_reactor(runtime.reactor, _OpenDevices)
        self._open_devices.devices.add(self)

    async def _close(self) -> None:
        await super()._close()
        if self._host is not None:
            self._open_devices.devices.discard(self)


class _OpenDevices:
    """The open devices of a reactor. When it stops, it waits until they have left the network."""

    def __init__(self, reactor: Reactor) -> None:
        self.devices: set[HostedDevice] = set()
        reactor.addSystemEventTrigger("before", "shutdown", self._close)

    def _close(self) -> Deferred[Any]:
        return DeferredList([device.close() for device in [*self.devices]], consumeErrors=True)
