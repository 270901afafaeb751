"""A control point: asyncio around SubscriberProtocol."""

from __future__ import annotations

import asyncio
import logging
import platform
import random
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Self, overload

from propchange.asyncio.clock import monotonic
from propchange.asyncio.remote import RemoteDevice
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.asyncio.sightings import Sighting
from propchange.asyncio.subscription import Subscription
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import Granted, SubscriberOutcome
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import Convert, SubscriptionRecord
from propchange.core.subscriber.requests import (
    OutgoingRequest,
    RequestKind,
    addressed_to,
)
from propchange.core.wire.headers import server_token
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import PRODUCT
from propchange.driver.diagnosing import Diagnoses
from propchange.driver.discovery import Discovery
from propchange.driver.documents import Documents
from propchange.driver.interfaces import ports_of
from propchange.driver.listener import Listener
from propchange.driver.machine import Machine, own_interfaces
from propchange.driver.reporting import GuardedTap, Warnings, report
from propchange.driver.requests import Requests, failure_of
from propchange.driver.sightings import SightingKind, Sightings
from propchange.driver.sockets import cannot_listen
from propchange.driver.timer import Timer
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
)

__all__ = ["ControlPoint"]


class ControlPoint:
    """Subscribes to services and hears their events: ``async with ControlPoint() as point``.

    One listener takes the events of all subscriptions. ``interface`` is the name of a network
    interface or an IP address of this machine to listen on and to subscribe from, None for all;
    ``port`` is the one to listen on, 0 for any that is free, or several, such as
    ``range(49152, 49200)``, of which the first free one is taken: what a firewall or a container
    has to let in. ``callback_host`` and ``callback_port`` go into CALLBACK instead of the address
    of the connection and the listener's port (NAT, containers).
    ``duration`` in seconds is what subscriptions ask for. ``require_device_source`` refuses
    events from another address than the device's. ``tap`` is called with each Request and
    Response and each outcome as it passes.

    ``discovery`` listens to what devices announce (SSDP): :meth:`devices` and ``device(udn=…)``
    need it, and with it subscriptions hear of devices that leave, restart and move. A LOCATION
    counts if it is on the link it was heard on, or at the address it came from; with
    ``off_link_locations`` any does. A program that hears and searches by itself gives what it
    hears to :meth:`receive_ssdp`, with ``discovery`` or without; ``search`` is called with what is
    to be searched for.

    Raises ValueError for what makes no sense. Entering raises ConnectionFailed when the port or
    the interface is not to be had.
    """

    def __init__(
        self,
        *,
        interface: str | None = None,
        port: int | Sequence[int] = 0,
        callback_host: str | None = None,
        callback_port: int | None = None,
        duration: int = 1800,
        uda: str = "1.1",
        hosts: frozenset[str] = frozenset(),
        require_device_source: bool = False,
        friendly_name: str = "propchange",
        discovery: bool = False,
        off_link_locations: bool = False,
        search: Callable[[str], object] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        tap: Callable[[object], None] | None = None,
    ) -> None:
        self._policy = SubscriberPolicy(
            uda=uda,
            duration=duration,
            hosts=hosts,
            require_device_source=require_device_source,
            user_agent=server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}"),
            friendly_name=friendly_name,
            callback_host=callback_host,
            callback_port=callback_port,
        )
        self.limits = limits
        self._discovers = discovery
        self._off_link_locations = off_link_locations
        self._search = search
        self._discovery: Discovery
        self._interface = interface
        self._ports = ports_of(port)
        self._logger = logging.getLogger("propchange.subscriber")
        self._tap = None if tap is None else GuardedTap(tap, self._logger)
        self._warnings = Warnings(self._logger)
        self._interfaces = own_interfaces()
        self._source: Endpoint | None = None
        self._callers = ConnectionHistory(limits)
        self._requests: Requests
        self._documents: Documents
        self._diagnoses: Diagnoses
        self._protocol = SubscriberProtocol(
            new_token=lambda: secrets.token_urlsafe(16),
            jitter=random.random,
            policy=self._policy,
            limits=limits,
            callers=self._callers,
        )
        self._subscriptions: dict[SubscriptionRecord, Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._timer: Timer
        self._loop: asyncio.AbstractEventLoop
        self._drain_queued = False
        self._entered = False
        self._leaving = False
        self._closed = False
        self._closing = asyncio.Lock()
        self._end_of_loop: AsyncGenerator[None, None] | None = None
        self._addresses_due: float | None = None

    # --- what a program calls ---

    @property
    def port(self) -> int:
        """The TCP port on which events arrive."""
        return self._opened().port

    @overload
    async def device(self, description_url: str) -> RemoteDevice: ...

    @overload
    async def device(self, *, udn: str, timeout: float | None = None) -> RemoteDevice: ...  # noqa: ASYNC109 - as below

    async def device(
        self,
        description_url: str | None = None,
        *,
        udn: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it goes into the error with what was heard
    ) -> RemoteDevice:
        """Read a device description, at its URL or, with discovery, of the device that has ``udn``
        ("uuid:…"): it is searched for, for ``timeout`` seconds, ``limits.find_seconds`` if None.
        With discovery the device is then followed where it goes, as long as it is held. Of an
        embedded device, the root device that it belongs to is given.

        Raises DescriptionError when it is none, ConnectionFailed or TimedOut when it cannot be had,
        TimedOut when no device with the UDN is found, ValueError for what is no http:// URL and no
        UDN."""
        self._opened()
        if (description_url is None) == (udn is None):
            raise ValueError("a device has either a description URL or a udn")
        if udn is not None:
            description = await self._discovery.find(udn, timeout)
        else:
            assert description_url is not None
            description = await self._documents.description(description_url)
        device = RemoteDevice(self, description)
        self._discovery.follow(device)
        return device

    def devices(self, type: str | None = None) -> Sightings[Sighting]:
        """The root devices around, for ``async for``: those that are there, then each that appears,
        changes or goes, until the control point is closed. With ``type``, the devices, embedded
        ones too, that have that device or service type or a later version of it:
        ``urn:schemas-upnp-org:device:MediaRenderer:1``, or ``MediaRenderer`` for any.

        Raises RuntimeError without discovery, before :meth:`receive_ssdp` was called."""
        self._opened()
        return self._discovery.sightings(self._sighting, type)

    def _sighting(self, kind: SightingKind, device: AdvertisedDevice) -> Sighting:
        def get(udn: str) -> Awaitable[RemoteDevice]:
            return self.device(udn=udn)

        return Sighting.of(kind, device, _device=get, _describe=self._discovery.describe)

    def search(self, target: str = "ssdp:all") -> None:
        """Ask all devices, or those of one type or UDN, to answer now (M-SEARCH). Found ones come
        up in :meth:`devices`. A control point searches by itself when it starts and wherever an
        interface appears.

        Raises RuntimeError without discovery, ValueError for what cannot be searched for."""
        self._opened()
        self._discovery.search(target)

    def receive_ssdp(
        self, message: Mapping[str, str] | str | bytes, source: str, local: str = ""
    ) -> None:
        """For a program that hears SSDP: what a device has announced, or answered to a search, as a
        datagram or as its headers. ``source`` is the address that it came from, ``local`` an
        address of the interface that it came to, empty if that is not known.

        From then on subscriptions to services of a :meth:`device` hear of byebye, restarts (BOOTID)
        and moves, and the device is followed to where it is, as with ``discovery``. Searches, and
        what cannot be read, are passed over.
        """
        if self._listener is None:
            self._opened()
        self._discovery.receive(message, source, local)

    @property
    def discovery_links(self) -> tuple[str, ...]:
        """The addresses from which discovery listens and searches now. Empty where no interface
        can do multicast, and without discovery."""
        return () if self._listener is None else self._discovery.addresses

    def subscribe_url(
        self,
        event_url: str,
        *,
        wait: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """A subscription to an event URL, without a description: values are texts. To be entered
        with ``async with``. The rest is as for ``RemoteService.subscribe``."""
        return Subscription(self, event_url, wait=wait, duration=duration, variables=variables)

    async def fetch(self, url: str) -> tuple[bytes, str]:
        """The document at ``url`` and where it was found in the end. Raises DescriptionError for
        another status than 200 and for what is no HTTP, ConnectionFailed, TimedOut, and
        ValueError for no http:// URL."""
        if self._listener is None:
            self._opened()
        return await self._documents.read(url)

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a control point is entered once; make another")
        self._entered = True
        runtime = AsyncioRuntime()
        self._loop = runtime.loop
        self._requests = Requests(runtime, self.limits)
        self._documents = Documents(self._requests, self._policy)
        self._diagnoses = Diagnoses(self._requests, self._callers, Machine())
        self._timer = Timer(
            runtime.call_later, self.limits, self._deadline, clock=monotonic, jumped=self._jumped
        )
        self._discovery = Discovery(
            runtime,
            self._protocol,
            interfaces=self._interfaces,
            documents=self._documents,
            policy=self._policy,
            changed=self._queue_drain,
            off_link_locations=self._off_link_locations,
            limits=self.limits,
            search=self._search,
            tap=self._tap,
        )
        host = self._interface
        if host is not None:
            host = self._interfaces.host_of(host)
        listener = Listener(
            AsyncioRuntime(), self._respond, limits=self.limits, history=self._callers
        )
        try:
            await listener.open(host, self._ports)
        except OSError as error:
            raise ConnectionFailed(cannot_listen(host, self._ports, error)) from error
        self._listener = listener
        if host is not None:
            # Or CALLBACK would name an address that is not listened on.
            self._source = self._listener.endpoints[0]._replace(port=0)
            self._documents.source = self._source
        self._end_of_loop = self._close_with_the_loop()
        await anext(self._end_of_loop)
        if self._discovers:
            self._discovery.start(host)
        return self

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        # asyncio.run() ends the generators that are under way before it closes the loop: so whoever
        # does without ``async with``, and raises, leaves no socket and no subscription behind.
        try:
            yield
        finally:
            self._end_of_loop = None
            if not self._closed:
                await self.close()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Unsubscribe everything, for ``limits.unsubscribe_seconds`` at most, and end. Safe to
        call again. The loop's end does it too, where asyncio.run() brings it about."""
        async with self._closing:
            if self._listener is None or self._closed:
                return
            self._leaving = True
            try:
                await self._give_back()
            finally:
                await self._end(self._listener)
                if self._end_of_loop is not None:
                    await self._end_of_loop.aclose()

    async def _give_back(self) -> None:
        for record in tuple(self._protocol.subscriptions):
            self._protocol.unsubscribe(record, monotonic())
        self._drain()
        until = self._loop.time() + self.limits.unsubscribe_seconds
        # A SUBSCRIBE that is granted only now leaves an UNSUBSCRIBE to be sent.
        while self._tasks and (left := until - self._loop.time()) > 0:
            await asyncio.wait(tuple(self._tasks), timeout=left)

    async def _end(self, listener: Listener) -> None:
        self._closed = True
        await self._discovery.close()
        for record in tuple(self._protocol.subscriptions):
            self._protocol.abandon(record)
        self._dispatch()
        self._timer.close()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._requests.close()
        finally:
            await listener.close()

    def _opened(self) -> Listener:
        if self._listener is None or self._closed:
            raise RuntimeError("the control point is not running: use async with ControlPoint()")
        return self._listener

    # --- for subscriptions ---

    def begin(
        self,
        subscription: Subscription,
        event_url: str,
        *,
        convert: Convert | None,
        wait: bool,
        duration: int | None,
        variables: tuple[str, ...] = (),
    ) -> SubscriptionRecord:
        """For :class:`Subscription`: subscribe."""
        self._opened()
        if self._leaving:
            raise RuntimeError("the control point is being closed: it takes no subscription more")
        service = subscription.service
        record = self._protocol.subscribe(
            event_url,
            monotonic(),
            persistent=not wait,
            describable=service is not None,
            describe_first=service is not None and not wait,
            device=None if service is None else service.description.udn,
            convert=convert,
            duration=duration,
            variables=variables,
        )
        self._subscriptions[record] = subscription
        if self._addresses_due is None:
            self._look_at_addresses(monotonic())
        self._queue_drain()
        return record

    def end(self, record: SubscriptionRecord) -> None:
        """For :class:`Subscription`: unsubscribe. CLOSED follows."""
        if record in self._subscriptions:
            self._protocol.unsubscribe(record, monotonic())
            self._queue_drain()

    async def diagnose(self, record: SubscriptionRecord) -> Diagnosis:
        """For :class:`Subscription`: say how ``record`` is, and why."""
        return await self._diagnoses.diagnose(
            lambda: self._protocol.facts(record, monotonic()),
            listening=() if self._listener is None else self._listener.endpoints,
            own=self._interfaces.addresses,
            source=self._source,
        )

    # --- inputs of the protocol ---

    def _respond(self, request: Request) -> Response:
        if request.target in self._diagnoses.targets:
            return self._diagnoses.answer(request)
        if self._tap is not None:
            self._tap(request)
        response = self._protocol.receive_notify(request, monotonic())
        if self._tap is not None:
            self._tap(response)
        if not self._drain_queued:
            self._queue_drain()
        return response

    def _deadline(self, now: float) -> None:
        if self._addresses_due is not None and now >= self._addresses_due:
            self._look_at_addresses(now)
        self._protocol.handle_deadline(now)
        self._drain()

    def _jumped(self, seconds: float, now: float) -> None:
        self._logger.warning("the clock jumped by about %.0f s: subscribing afresh", seconds)
        self._look_at_addresses(now)
        self._protocol.clock_jumped(seconds, now)
        self._drain()

    def _look_at_addresses(self, now: float) -> None:
        """Tell the protocol the addresses that are listened on, while there is anyone to care."""
        if not self._subscriptions:
            self._addresses_due = None
            return
        self._addresses_due = now + self.limits.address_seconds
        try:
            addresses = self._interfaces.refresh()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        others: tuple[LocalAddress, ...] = ()
        if self._source is not None:
            host = self._source.host
            others = tuple(address for address in addresses if address.host != host)
            addresses = tuple(address for address in addresses if address.host == host)
        self._protocol.addresses_changed(addresses, now, others=others)

    async def _run(self, request: OutgoingRequest) -> None:
        try:
            if request.kind is RequestKind.DESCRIBE:
                await self._describe(request)
            else:
                await self._send(request)
        except Exception as error:
            if not isinstance(error, PropchangeError | ValueError | LookupError):
                self._logger.exception("%r failed in a way that nobody foresaw", request)
            failure = failure_of(error, request.source)
            self._protocol.request_failed(request, _sentence(error), monotonic(), failure)
            if request.subscription.device is not None:
                self._discovery.subscription_failed(str(request.subscription.device))
        self._queue_drain()

    async def _send(self, request: OutgoingRequest) -> None:
        def build(url: str, local: Endpoint) -> Request:
            message = request.build(local._replace(port=self._opened().port))
            if url != request.url:
                message = addressed_to(message, url)
            if self._tap is not None:
                self._tap(message)
            return message

        seconds = self.limits.request_seconds
        if request.kind is RequestKind.UNSUBSCRIBE:
            # Or an unanswered one would hold up the end twice: of its subscription, then of this.
            seconds = min(seconds, self.limits.unsubscribe_seconds)
        source = request.source or self._source
        answer = await self._requests.follow(request.url, build, source=source, seconds=seconds)
        if self._tap is not None:
            self._tap(answer.response)
        request.url = answer.url
        request.remote = answer.peer
        self._protocol.response_received(request, answer.response, monotonic())

    async def _describe(self, request: OutgoingRequest) -> None:
        """Read the description again, and find the service in it again."""
        subscription = self._subscriptions.get(request.subscription)
        service = None if subscription is None else subscription.service
        if service is None:
            raise DescriptionError("the subscription is to a bare event URL")
        description = await self._documents.description(service.device.url)
        again = RemoteDevice(self, description).same_service(service)
        # Types that were known once are better than none.
        convert = await again.conversions() or request.subscription.convert
        self._protocol.described(request, again.event_url, convert, monotonic())

    # --- outputs of the protocol ---

    def _queue_drain(self) -> None:
        """Drain the protocol once per turn of the loop, after the answers have been written."""
        if not self._drain_queued and not self._closed:
            self._drain_queued = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_queued = False
        if self._closed:
            return
        self._dispatch()
        if not self._protocol.changed:
            return
        for request in self._protocol.take_requests():
            task = self._loop.create_task(self._run(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        deadlines = (self._protocol.next_deadline(), self._addresses_due)
        self._timer.set(min((when for when in deadlines if when is not None), default=None))

    def _dispatch(self) -> None:
        for outcome in self._protocol.take_outcomes():
            if self._tap is not None:
                self._tap(outcome)
            if isinstance(outcome, Event):
                # Always there: CLOSED is the last outcome of a subscription.
                self._subscriptions[outcome.subscription].put(outcome)  # type: ignore[index] # a SubscriptionRecord
            else:
                self._report(outcome)

    def _report(self, outcome: SubscriberOutcome) -> None:
        report(outcome, self._warnings)
        match outcome:
            case StatusChange(record, status):
                assert isinstance(record, SubscriptionRecord)
                subscription = self._subscriptions[record]
                if status is Status.CLOSED:
                    del self._subscriptions[record]
                subscription.put(outcome)
            case Granted(record):
                self._subscriptions[record].grant()
                if record.device is not None:
                    self._discovery.subscription_granted(str(record.device))


def _sentence(error: Exception) -> str:
    # The text of a KeyError is the repr of its argument.
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
