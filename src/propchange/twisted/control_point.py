"""A control point on a reactor: SubscriberProtocol without Cohen3."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.web.resource import Resource

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
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind, addressed_to
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.driver.diagnosing import Diagnoses
from propchange.driver.discovery import Discovery
from propchange.driver.documents import Documents
from propchange.driver.machine import Machine, own_interfaces, product
from propchange.driver.reporting import Warnings, report
from propchange.driver.requests import Requests, failure_of
from propchange.driver.sightings import SeenDevice, SightingKind, Sightings
from propchange.driver.timer import Timer
from propchange.errors import DescriptionError, PropchangeError
from propchange.twisted.addresses import endpoint_of, local_addresses
from propchange.twisted.listening import listen
from propchange.twisted.messages import answer, read_body, read_request
from propchange.twisted.reactors import all_of, clock_of, later_of
from propchange.twisted.remote import RemoteDevice, RemoteService
from propchange.twisted.runtime import Reactor, TwistedRuntime, default_reactor
from propchange.twisted.sightings import Sighting
from propchange.twisted.site import Site
from propchange.twisted.subscribed import Subscription
from propchange.upnp.description import DeviceDescription

__all__ = ["ControlPoint"]


class ControlPoint:
    """Subscribes to event URLs and hears their events.

    Call :meth:`listen` first, then :meth:`subscribe`, and in the end :meth:`close`. ``reactor``
    is the reactor to use, None for the installed one. By default each subscription has a
    delivery path that nobody can guess; ``shared_path`` is one for all, which an
    :class:`~propchange.twisted.event.EventServer` made for this control point must stand at.
    ``callback_host`` and ``callback_port`` go into CALLBACK instead of the address of the
    connection and the port that is listened on (NAT, containers). ``friendly_name`` tells devices
    of UDA 2.0 who asks. ``addresses`` gives those of this machine, every
    ``Limits.address_seconds`` while there are subscriptions; what else is seen of the machine for a
    diagnosis is in ``machine``.

    ``discovery`` listens to what devices announce (SSDP): :meth:`devices` and ``device(udn=…)``
    need it, and with it subscriptions hear of devices that leave, restart and move. A LOCATION
    counts if it is on the link it was heard on, or at the address it came from; with
    ``off_link_locations`` any does. A program that hears and searches by itself gives what it
    hears to :meth:`receive_ssdp`, with ``discovery`` or without; ``search`` is called with what is
    to be searched for.
    """

    def __init__(
        self,
        *,
        reactor: Reactor | None = None,
        limits: Limits = DEFAULT_LIMITS,
        uda: str = "1.1",
        duration: int = 1800,
        hosts: frozenset[str] = frozenset(),
        require_device_source: bool = False,
        friendly_name: str = "propchange",
        callback_host: str | None = None,
        callback_port: int | None = None,
        shared_path: str | None = None,
        addresses: Callable[[], Sequence[LocalAddress]] = local_addresses,
        machine: Machine = Machine(),  # noqa: B008 - a frozen value
        discovery: bool = False,
        off_link_locations: bool = False,
        search: Callable[[str], object] | None = None,
    ) -> None:
        self._addresses = addresses
        self._addresses_due: float | None = None
        self._source: Endpoint | None = None
        self._reactor = reactor or default_reactor()
        self.limits = limits
        self._clock = clock_of(self._reactor)
        self._policy = SubscriberPolicy(
            uda=uda,
            duration=duration,
            hosts=hosts,
            require_device_source=require_device_source,
            user_agent=product(uda),
            friendly_name=friendly_name,
            callback_host=callback_host,
            callback_port=callback_port,
            shared_path=shared_path,
        )
        self._protocol = SubscriberProtocol(
            new_token=_new_token, jitter=random.random, policy=self._policy, limits=limits
        )
        self._callers = ConnectionHistory(limits)
        runtime = TwistedRuntime(self._reactor)
        self._requests = Requests(runtime, limits)
        self.documents = Documents(self._requests, self._policy)
        """For :class:`~propchange.twisted.remote.RemoteService`."""
        self._diagnoses = Diagnoses(self._requests, self._callers, machine)
        self._timer = Timer(
            later_of(self._reactor), limits, self._deadline, clock=self._clock, jumped=self._jumped
        )
        self._discovers = discovery
        self._discovery = Discovery(
            runtime,
            self._protocol,
            interfaces=own_interfaces(clock=self._clock),
            documents=self.documents,
            policy=self._policy,
            changed=self._queue_drain,
            off_link_locations=off_link_locations,
            limits=limits,
            search=search,
        )
        self._subscriptions: dict[SubscriptionRecord, Subscription] = {}
        self._drain_call: Any = None
        self._ports: list[Any] = []
        self._site: Site | None = None
        self._closed = False
        self._logger = logging.getLogger("propchange.subscriber")
        self._warnings = Warnings(self._logger)
        # What EventServer asks of a control point of Cohen3's.
        self.coherence = self
        self.hostname: str | None = callback_host
        self.web_server_port: int | None = callback_port

    # --- what a program calls ---

    def listen(self, port: int | Sequence[int] = 0, interface: str = "") -> int:
        """Listen for events on ``port`` (0: any), or the first free one of several such as
        ``range(49152, 49200)``, of ``interface``, an address, "" for all of IPv4 and, where there
        is one, IPv6; gives the port. Raises CannotListenError of Twisted, ValueError for what is no
        port, RuntimeError when it listens already or was closed."""
        self._check_open()
        if self._ports:
            raise RuntimeError("this control point listens already")
        # Whoever serves the events on a site of their own tells of no connections.
        self._protocol.callers = self._callers
        site = Site(
            _Receiver(self),
            limits=self.limits,
            reactor=self._reactor,
            history=self._callers,
            server=product(self._policy.uda),
        )
        self._ports = listen(self._reactor, port, site, interface)
        self._site = site
        here = self._listening()[0]
        self.hostname = self.hostname or (here.host if interface else None)
        self.web_server_port = self.web_server_port or here.port
        everywhere = ip_address(here.host).is_unspecified
        if not everywhere:
            # Or CALLBACK would name an address that is not listened on.
            self._source = self.documents.source = here._replace(port=0)
        if self._discovers:
            self._discovery.start(None if everywhere else here.host)
        return here.port

    def _listening(self) -> list[Endpoint]:
        found = [endpoint_of(port.getHost()) for port in self._ports]
        return [endpoint for endpoint in found if endpoint is not None]

    @property
    def now(self) -> float:
        """The time of this control point's clock, in seconds; its origin means nothing."""
        return self._clock()

    def device(
        self,
        description_url: str | None = None,
        *,
        udn: str | None = None,
        timeout: float | None = None,
    ) -> Deferred[RemoteDevice]:
        """Read a device description, at its URL or, with discovery, of the device that has ``udn``
        ("uuid:…"): it is searched for, for ``timeout`` seconds, ``limits.find_seconds`` if None.
        With discovery the device is then followed where it goes, as long as it is held. Of an
        embedded device, the root device that it belongs to is given.

        Fails with DescriptionError when it is none, ConnectionFailed or TimedOut when it cannot be
        had, TimedOut when no device with the UDN is found, ValueError for what is no http:// URL
        and no UDN. Raises RuntimeError after :meth:`close`, ValueError for both or neither."""
        self._check_open()
        if (description_url is None) == (udn is None):
            raise ValueError("a device has either a description URL or a udn")

        async def read() -> RemoteDevice:
            if udn is not None:
                description = await self._discovery.find(udn, timeout)
            else:
                assert description_url is not None
                description = await self.documents.description(description_url)
            device = RemoteDevice(self, description)
            self._discovery.follow(device)
            return device

        return Deferred.fromCoroutine(read())

    def devices(self, type: str | None = None) -> Sightings[Sighting]:
        """The root devices around, for ``async for`` in a coroutine under
        ``Deferred.fromCoroutine``: those that are there, then each that appears, changes or goes,
        until the control point is closed. With ``type``, the devices, embedded ones too, that have
        that device or service type or a later version of it:
        ``urn:schemas-upnp-org:device:MediaRenderer:1``, or ``MediaRenderer`` for any.

        Raises RuntimeError without discovery, before :meth:`receive_ssdp` was called."""
        self._check_open()
        return self._discovery.sightings(self._sighting, type)

    def _sighting(self, kind: SightingKind, device: AdvertisedDevice) -> Sighting:
        def get(udn: str) -> Deferred[RemoteDevice]:
            return self.device(udn=udn)

        def describe(seen: SeenDevice) -> Deferred[DeviceDescription]:
            return Deferred.fromCoroutine(self._discovery.describe(seen))

        return Sighting.of(kind, device, _device=get, _describe=describe)

    def search(self, target: str = "ssdp:all") -> None:
        """Ask all devices, or those of one type or UDN, to answer now (M-SEARCH). Found ones come
        up in :meth:`devices`. A control point searches by itself when it starts and wherever an
        interface appears.

        Raises RuntimeError without discovery, before :meth:`receive_ssdp` was called, ValueError
        for what cannot be searched for."""
        self._check_open()
        self._discovery.search(target)

    @property
    def discovery_links(self) -> tuple[str, ...]:
        """The addresses from which discovery listens and searches now. Empty where no interface
        can do multicast, and without discovery."""
        return self._discovery.addresses

    def receive_ssdp(
        self, message: Mapping[str, str] | str | bytes, source: str, local: str = ""
    ) -> None:
        """For a program that hears SSDP: what a device has announced, or answered to a search, as a
        datagram or as its headers. ``source`` is the address that it came from, ``local`` an
        address of the interface that it came to, empty if that is not known.

        From then on subscriptions to services of a :meth:`device` hear of byebye, restarts (BOOTID)
        and moves, and the device is followed to where it is. A LOCATION counts if it is at
        ``source`` or on the link of ``local`` (UDA 2.0 §1.2). Searches, and what cannot be read,
        are passed over.
        """
        self._discovery.receive(message, source, local)

    def subscribe(
        self,
        to: str | RemoteService,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        persistent: bool = True,
        duration: int | None = None,
        convert: Convert | None = None,
        device: Hashable = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """Subscribe to an event URL, or a service of a :meth:`device`, and keep it so: renewed,
        made anew after a gap, an expiry or a restart of the device. ``on_event`` is called with
        each event, ``on_status`` with each change of the status; what they raise is logged.

        A service is found again by its description when the device is back on another port or
        path, and its values have the types that the service description declares.

        With ``persistent`` it keeps trying also before the first grant; without, ``when_granted``
        of the subscription is a Deferred that fires with it or fails with SubscriptionRefused or
        ConnectionFailed. ``convert`` maps variables to what makes values of texts, such as
        ``{name: variable.parse …}``; None leaves texts. ``device`` is the key for
        :meth:`device_gone` and :meth:`device_rebooted`, of a service the UDN of its device.
        ``variables`` are the evented ones that are wanted, all when there are none: with
        ``uda="2.0"`` the device is asked for those alone (STATEVAR), and may ignore it.

        Raises RuntimeError before :meth:`listen` and after :meth:`close`, DescriptionError for a
        service without eventing, and as ``SubscriberProtocol.subscribe``.
        """
        self._check_open()
        if self.web_server_port is None:
            raise RuntimeError("call listen() first: events need a port to arrive at")
        service = None
        event_url = to
        if not isinstance(to, str):
            service, event_url, device = to, to.event_url, to.description.udn
            to.check_eventing()
        assert isinstance(event_url, str)
        record = self._protocol.subscribe(
            event_url,
            self._clock(),
            persistent=persistent,
            describable=service is not None,
            describe_first=service is not None,
            convert=convert,
            duration=duration,
            device=device,
            variables=(variables,) if isinstance(variables, str) else variables,
        )
        subscription = Subscription(self, record, on_event, on_status, service)
        if not persistent:
            subscription.when_granted = Deferred()
        self._subscriptions[record] = subscription
        if self._addresses_due is None:
            self._look_at_addresses(self._clock())
        self._queue_drain()
        return subscription

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the control point was closed: make another")

    def device_gone(self, device: Hashable) -> None:
        """The device has said goodbye."""
        self._protocol.device_gone(device, self._clock())
        self._queue_drain()

    def device_rebooted(self, device: Hashable) -> None:
        """The device has restarted: subscribe afresh at once."""
        self._protocol.device_rebooted(device, self._clock())
        self._queue_drain()

    def device_returned(self, device: Hashable) -> None:
        """The device is heard of again: what failed is tried at once."""
        self._protocol.device_returned(device, self._clock())
        self._queue_drain()

    def end(self, subscription: Subscription) -> Deferred[None]:
        """For :class:`Subscription`: unsubscribe."""
        if subscription._record not in self._subscriptions:
            return succeed(None)
        done: Deferred[None] = Deferred()
        subscription.closed.addCallback(lambda _: done.callback(None))
        self._protocol.unsubscribe(subscription._record, self._clock())
        self._queue_drain()
        return done

    def diagnose(self, record: SubscriptionRecord) -> Deferred[Diagnosis]:
        """For :class:`Subscription`: say how ``record`` is, and why."""
        return Deferred.fromCoroutine(
            self._diagnoses.diagnose(
                lambda: self._protocol.facts(record, self._clock()),
                listening=self._listening(),
                own=self._own_addresses,
                source=self._source,
            )
        )

    def _own_addresses(self) -> tuple[LocalAddress, ...]:
        try:
            return tuple(self._addresses())
        except OSError:
            return ()

    def close(self) -> Deferred[None]:
        """Unsubscribe everything and stop listening, for good. Fires when that is done."""
        self._closed = True
        ends: Deferred[Any] = DeferredList([self.end(s) for s in self._subscriptions.values()])
        self._drain()

        def stop(_: object) -> Any:
            found = Deferred.fromCoroutine(self._discovery.close())
            gone = Deferred.fromCoroutine(self._requests.close())
            self._timer.close()
            if self._drain_call is not None and self._drain_call.active():
                self._drain_call.cancel()
            ports, self._ports = self._ports, []
            site, self._site = self._site, None
            closed = [found, gone] if site is None else [found, gone, site.close()]
            return all_of([*(maybeDeferred(port.stopListening) for port in ports), *closed])

        return ends.addCallback(stop).addCallback(lambda _: None)

    # --- what EventServer talks to ---

    def add_web_resource(self, name: str, resource: Any) -> None:
        """For :class:`~propchange.twisted.event.EventServer`, which the program puts into a site
        of its own."""

    def receive_notify(self, message: Request) -> Response:
        """Judge a NOTIFY. The events in it are told after the answer."""
        response = self._protocol.receive_notify(message, self._clock())
        self._queue_drain()
        return response

    def propagate(self, event: Any) -> None:
        """What EventServer calls for a control point that cannot judge: this one can."""

    # --- what its own listener talks to ---

    @property
    def probe_targets(self) -> Collection[str]:
        """The targets of the requests by which a diagnosis looks whether the listener answers."""
        return self._diagnoses.targets

    def answer_probe(self, message: Request) -> Response:
        """The answer to one of them."""
        return self._diagnoses.answer(message)

    # --- inputs and outputs of the protocol ---

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
        """Tell the protocol the addresses that are listened on."""
        self._addresses_due = now + self.limits.address_seconds
        try:
            addresses = self._addresses()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        here = self._source
        others = [] if here is None else [a for a in addresses if a.host != here.host]
        self._protocol.addresses_changed(
            [a for a in addresses if a not in others], now, others=others
        )

    def _queue_drain(self) -> None:
        if self._drain_call is None:
            self._drain_call = self._reactor.callLater(0, self._drain)

    def _drain(self) -> None:
        call, self._drain_call = self._drain_call, None
        if call is not None and call.active():
            call.cancel()
        for outcome in self._protocol.take_outcomes():
            self._report(outcome)
        if not self._protocol.changed:
            return
        for request in self._protocol.take_requests():
            Deferred.fromCoroutine(self._run(request))
        if not self._subscriptions:
            self._addresses_due = None
        deadlines = (self._protocol.next_deadline(), self._addresses_due)
        self._timer.set(min((when for when in deadlines if when is not None), default=None))

    async def _run(self, request: OutgoingRequest) -> None:
        try:
            if request.kind is RequestKind.DESCRIBE:
                await self._describe(request)
            else:
                await self._send(request)
        except Exception as error:
            if not isinstance(error, PropchangeError | ValueError | LookupError):
                self._logger.exception("%r failed in a way that nobody foresaw", request)
            why = failure_of(error, request.source)
            self._protocol.request_failed(request, str(error), self._clock(), why)
            device = request.subscription.device
            if device is not None:
                self._discovery.subscription_failed(str(device))
        self._drain()

    async def _send(self, request: OutgoingRequest) -> None:
        def build(url: str, local: Endpoint) -> Request:
            port = self.web_server_port
            assert port is not None
            message = request.build(local._replace(port=port))
            return message if url == request.url else addressed_to(message, url)

        source = request.source or self._source
        answer = await self._requests.follow(request.url, build, source=source)
        request.url, request.remote = answer.url, answer.peer
        self._protocol.response_received(request, answer.response, self._clock())

    async def _describe(self, request: OutgoingRequest) -> None:
        """Read the description again, and find the service in it again."""
        subscription = self._subscriptions.get(request.subscription)
        service = None if subscription is None else subscription.service
        if service is None:
            raise DescriptionError("the subscription is to a bare event URL")
        description = await self.documents.description(service.device.url)
        again = RemoteDevice(self, description).same_service(service)
        # Types that were known once are better than none.
        convert = await again.conversions() or request.subscription.convert
        self._protocol.described(request, again.event_url, convert, self._clock())

    def _report(self, outcome: SubscriberOutcome) -> None:
        if isinstance(outcome, Event):
            subscription = self._subscriptions.get(outcome.subscription)  # type: ignore[call-overload] # a SubscriptionRecord
            if subscription is not None:
                self._tell(subscription.on_event, outcome)
            return
        report(outcome, self._warnings)
        match outcome:
            case StatusChange(record, status):
                subscription = self._subscriptions.get(record)  # type: ignore[call-overload] # a SubscriptionRecord
                if subscription is None:
                    return
                if subscription.on_status is not None:
                    self._tell(subscription.on_status, outcome)
                if status is Status.CLOSED:
                    del self._subscriptions[subscription._record]
                subscription.follow(outcome)
            case Granted(record):
                subscription = self._subscriptions.get(record)
                if subscription is not None:
                    subscription.grant()
                if record.device is not None:
                    self._discovery.subscription_granted(str(record.device))

    def _tell(self, listener: Callable[[Any], object], told: object) -> None:
        try:
            listener(told)
        except Exception:
            self._logger.exception("the application failed at %r", told)


def _new_token() -> str:
    return secrets.token_urlsafe(16)


class _Receiver(Resource):
    """All paths of the site that events arrive at."""

    isLeaf = True

    def __init__(self, control_point: ControlPoint) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._control_point = control_point

    def render(self, request: Any) -> bytes:
        point = self._control_point
        if request.uri.decode("latin-1") in point.probe_targets:
            return answer(request, point.answer_probe(read_request(request, b"")))
        body = read_body(request, point.limits)
        if isinstance(body, Refusal):
            return answer(
                request, refusal_response(body, point._policy, read_request(request, b""))
            )
        return answer(request, point.receive_notify(read_request(request, body)))
