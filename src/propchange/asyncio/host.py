"""A device on the network: asyncio around PublisherProtocol."""

from __future__ import annotations

import asyncio
import logging
import platform
import threading
import uuid
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import urlsplit

from propchange.asyncio.clock import monotonic
from propchange.asyncio.hosting import DESCRIPTION_PATH, Documents
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import INITIAL_EVENT_DELAY, PublisherPolicy
from propchange.core.publisher.outcomes import (
    AttemptFailed,
    AttemptTimedOut,
    Merged,
    MessageAbandoned,
    PublisherOutcome,
    Refused,
)
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable, Subscription
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.headers import server_token
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request, Response
from propchange.core.wire.refusals import PRODUCT
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.listener import Listener
from propchange.driver.machine import own_interfaces
from propchange.driver.reporting import GuardedTap, Warnings
from propchange.driver.sockets import cannot_listen
from propchange.driver.timer import Timer
from propchange.errors import ConnectionFailed
from propchange.upnp.device import Device, PlacedService, place_device

__all__ = ["HostedDevice", "Tap", "host"]

Tap = Callable[[object], None]
"""Called with each Request and Response as it passes, each Delivery, and each outcome."""


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
    """Put ``device`` on the network for as long as ``async with host(device) as hosted:`` lasts.

    ``interface`` is the name of a network interface or an IP address of this machine to listen
    on, None for all; ``port`` 0 takes any free one. ``udn`` goes before the device's own.
    ``uda`` is "1.0", "1.1" or "2.0". ``callbacks`` says which delivery URLs may be called:
    "on-link", "same-host" or "any" (CallStranger; UDA 2.0 §4.1.1); ``lenient_callbacks`` drops the
    bad ones of several instead of refusing. Durations are in seconds, from 1 up; the default one
    is brought between the other two; ``dlna`` grants 300 always. ``initial_event_delay`` is how
    long the initial event waits behind the answer: GUPnP's control points need some milliseconds
    to learn their SID. ``hosts`` are names that HOST may carry besides this machine's addresses.

    Raises ValueError for what makes no sense. Entering raises ConnectionFailed when the port or
    the interface is not to be had.
    """
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
        server=server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}"),
    )
    return HostedDevice(
        device, policy, interface=interface, port=port, udn=udn, limits=limits, tap=tap
    )


class HostedDevice:
    """A device that is, or will be, on the network. Made by :func:`host`; an asynchronous
    context manager, to be entered once."""

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
        self._policy = policy
        self._interface = interface
        self._wanted_port = port
        self.udn = udn or device.udn or _derive_udn(device, port)
        self._placed = place_device(device, self.udn)
        self.udn = self._placed.udn
        self._limits = limits
        self._interfaces = own_interfaces()
        self._logger = logging.getLogger("propchange.publisher")
        self._tap: Tap | None = None if tap is None else GuardedTap(tap, self._logger)
        self._warnings = Warnings(self._logger)
        self._documents: Documents
        self._protocol: PublisherProtocol
        self._listener: Listener | None = None
        self._deliveries: DeliveryPool
        self._timer: Timer
        self._loop: asyncio.AbstractEventLoop
        self._attached: list[PlacedService] = []
        self._in_flight = 0
        self._pump_queued = False
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._entered = False
        self._closed = False
        self._closing = asyncio.Lock()

    # --- what a program reads and calls ---

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._opened().port

    @property
    def description_url(self) -> str:
        """The URL of the device description, by an address that others can reach if there is
        one."""
        endpoint = self._opened().endpoints[0]
        shown = endpoint.host
        if shown in ("0.0.0.0", "::"):
            shown = self._interfaces.default_address()
        return f"http://{Endpoint(shown, endpoint.port)}{DESCRIPTION_PATH}"

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions there are now, oldest first, to be read only."""
        self._opened()
        return tuple(self._protocol.subscriptions)

    async def subscribed(self) -> None:
        """Wait until a subscriber that is still there has had its initial event. Raises
        RuntimeError when the device leaves the network before."""
        self._opened()
        if not await self._until(self._has_listener):
            raise RuntimeError("the device has left the network, and nobody had subscribed")

    async def drain(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the API as decided
        """Wait until every subscriber has been told everything, or cannot be told, or
        ``timeout`` seconds have passed, or the device leaves the network. True: all is told."""
        self._opened()
        self._pump()
        try:
            async with asyncio.timeout(timeout):
                return await self._until(lambda: self._protocol.settled)
        except TimeoutError:
            return False

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a hosted device is entered once; call host() again")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._timer = Timer(self._loop.call_later, self._limits, self._deadline, clock=monotonic)
        self._documents = Documents(self._placed, self._policy, _http_date)
        self._protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{uuid.uuid4()}",
            on_link=self._interfaces.on_link_for,
            policy=self._policy,
            limits=self._limits,
            date=_http_date,
        )
        try:
            for placed in self._placed.all_services():
                self._attach(placed)
            self._deliveries = DeliveryPool(AsyncioRuntime(), limits=self._limits)
            self._listener = await self._listen()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the network. Events that have not been delivered are not: see :meth:`drain`.
        Safe to call again."""
        async with self._closing:
            if self._listener is None:
                return
            self._stop()
            await self._deliveries.close()
            await self._listener.close()

    def _stop(self) -> None:
        self._closed = True
        self._detach()
        self._timer.close()
        for _, future in self._waiters:
            if not future.done():
                future.set_result(None)

    async def _listen(self) -> Listener:
        wanted = self._interface
        if wanted is not None:
            wanted = self._interfaces.host_of(wanted)
        server = (b"SERVER", self._policy.server.encode("latin-1", "replace"))
        listener = Listener(
            AsyncioRuntime(),
            self._respond,
            limits=self._limits,
            sent=self._response_sent,
            lost=self._response_lost,
            headers=lambda: ((b"DATE", _http_date()), server),
        )
        try:
            await listener.open(wanted, (self._wanted_port,))
        except OSError as error:
            raise ConnectionFailed(cannot_listen(wanted, (self._wanted_port,), error)) from error
        return listener

    def _attach(self, placed: PlacedService) -> None:
        service = placed.service
        path = f"/{placed.event_path}" if placed.event_path else ""
        if path:
            texts = service.initial_texts()
            self._protocol.add_service(
                path,
                {
                    name: evented_variable(service.variables[name], texts[name])
                    for name in service.evented
                },
            )
        service.attach(_Sink(self, path))
        self._attached.append(placed)

    def _detach(self) -> None:
        while self._attached:
            self._attached.pop().service.detach()

    def _opened(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the device is not on the network: use async with host(…)")
        return self._listener

    # --- inputs of the protocol ---

    def publish(self, path: str, changes: Mapping[str, str]) -> None:
        """For the services' sinks: these variables have new texts."""
        self._protocol.update(path, changes, monotonic())
        self._queue_pump()

    def _respond(self, request: Request) -> Response | Awaitable[Response]:
        if self._tap is not None:
            self._tap(request)
        response = self._documents.respond(request)
        if response is None:
            response = self._protocol.receive_request(request, monotonic())
            self._queue_pump()
        if self._tap is None:
            return response
        if isinstance(response, Response):
            self._tap(response)
            return response
        return self._tapped(response, self._tap)

    async def _tapped(self, answer: Awaitable[Response], tap: Tap) -> Response:
        response = await answer
        tap(response)
        return response

    def _response_sent(self, response: Response) -> None:
        self._protocol.response_sent(response, monotonic())
        self._queue_pump()

    def _response_lost(self, response: Response) -> None:
        self._protocol.response_lost(response, monotonic())
        self._queue_pump()

    def _delivery_ended(
        self, delivery: Delivery, result: int | DeliveryFailure, response: Response | None
    ) -> None:
        self._in_flight -= 1
        self._protocol.delivery_ended(delivery, result, monotonic())
        if not self._pump_queued:
            self._queue_pump()

    def _deadline(self, now: float) -> None:
        self._protocol.handle_deadline(now)
        self._pump()

    # --- outputs of the protocol ---

    def _queue_pump(self) -> None:
        """Drain the protocol once per turn of the loop, however much has happened in it."""
        if not self._pump_queued and not self._closed:
            self._pump_queued = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_queued = False
        if self._closed:
            return
        protocol = self._protocol
        # Outcomes first: an attempt that has timed out gives its connection back.
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        deliveries = protocol.take_deliveries(self._limits.delivery_connections - self._in_flight)
        if deliveries:
            self._in_flight += len(deliveries)
            send = self._deliveries.send
            for delivery in deliveries:
                if self._tap is not None:
                    self._tap(delivery)
                send(delivery, self._delivery_ended)
            for outcome in protocol.take_outcomes():
                self._report(outcome)
        self._timer.set(protocol.next_deadline())
        if self._waiters:
            self._wake()

    def _report(self, outcome: PublisherOutcome) -> None:
        if self._tap is not None:
            self._tap(outcome)
        match outcome:
            case AttemptTimedOut(delivery):
                self._in_flight -= 1
                self._deliveries.abort(delivery)
            # What a peer can vary at will is in no key, or it could flood the log.
            case Refused(service, peer, status, reason):
                who = peer.host if peer else "somebody"
                self._warnings.warn(
                    (who, status), f"{who} was refused at {service} with {status}: {reason}"
                )
            case MessageAbandoned(sid, seq, reason):
                self._warnings.warn(MessageAbandoned, f"SEQ {seq} did not reach {sid}: {reason}")
            case AttemptFailed(_, seq, url, reason):
                host = urlsplit(url).hostname
                self._warnings.warn(
                    (AttemptFailed, host), f"SEQ {seq} not taken by {url}: {reason}"
                )
            case Merged(sid, _, updates):
                self._warnings.warn(Merged, f"{sid} is behind: {updates} events were merged for it")
            case _:
                self._logger.debug("%s", outcome)

    # --- waiting ---

    def _has_listener(self) -> bool:
        return any(subscription.heard for subscription in self._protocol.subscriptions)

    async def _until(self, condition: Callable[[], bool]) -> bool:
        """Wait until ``condition`` is true. False when the device leaves the network before."""
        while not condition():
            if self._closed:
                return False
            future: asyncio.Future[None] = self._loop.create_future()
            entry = (condition, future)
            self._waiters.append(entry)
            try:
                await future
            finally:
                self._waiters.remove(entry)
        return True

    def _wake(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)


class _Sink:
    """What one service hands its changes to."""

    def __init__(self, hosted: HostedDevice, path: str) -> None:
        self._hosted = hosted
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def check_caller(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "a hosted service is assigned to in the thread of its loop; from another thread "
                "use loop.call_soon_threadsafe(setattr, service, name, value)"
            )

    def publish(self, changes: dict[str, str]) -> None:
        self._hosted.publish(self._path, changes)

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._loop.call_soon(callback).cancel


def evented_variable(variable: StateVariable[Any], text: str) -> EventedVariable:
    """What the publisher needs to know of a state variable whose value is now ``text``."""
    return EventedVariable(
        text,
        minimum_interval=variable.minimum_interval,
        minimum_delta=variable.minimum_delta,
        merge=variable.merge,
    )


def _http_date() -> bytes:
    return formatdate(usegmt=True).encode("ascii")


def _derive_udn(device: Device, port: int) -> str:
    """The same for the same device on the same machine and port, so that control points know it
    again (UDA 2.0 §1.1.4)."""
    name = f"{uuid.getnode()}/{port}/{device.device_type}/{device.friendly_name}"
    return f"uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
