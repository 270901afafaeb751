"""A control point on a runtime: SubscriberProtocol with its clock, its sockets and its requests.

* The protocol decides, and has no clock and no socket. This module gives it inputs: NOTIFY requests
  from the listener, answers from devices, deadlines, the addresses of this machine, jumps of the
  clock, and what discovery reports of devices.
* After an input the protocol is *drained*: :meth:`SubscriberDriver._drain` dispatches its outcomes
  and, if the protocol has changed, sends its requests and sets the timer to its next deadline. A
  NOTIFY is answered first. The drain follows at the next turn of the loop, once for all NOTIFY
  requests of this turn. So a slow application never delays an answer to a device.
* The outcomes of one subscription go to its :class:`.DrivenSubscription`, in the order in which
  they happened. CLOSED is the last one. A subscription may call the driver, so that a second drain
  begins inside the first. The second drain dispatches nothing: the first continues with the new
  outcomes.
* Each request of the protocol runs as a coroutine of its own and ends in one of three inputs:
  ``response_received``, ``described`` or ``request_failed`` (:class:`.SubscriptionRequests`).
* While there are subscriptions, the addresses of this machine are read every
  ``Limits.address_seconds``. A control point that listens on one address sends from it alone: the
  protocol does not try the others.
* :meth:`SubscriberDriver.close` has two parts. First it sends UNSUBSCRIBE for every subscription
  and waits for the answers, ``Limits.unsubscribe_seconds`` at most. Then it ends everything that
  still runs, and each remaining subscription gets its CLOSED.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.limits import Limits
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import DeviceChecked, Granted, SubscriberOutcome
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import STANDARD_MERGES, SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal
from propchange.driver.action_calls import ActionCalls
from propchange.driver.control_point_addresses import ControlPointAddresses
from propchange.driver.diagnosing import Diagnoses
from propchange.driver.discovery import Discovery
from propchange.driver.driven_subscription import DrivenSubscription
from propchange.driver.listener import Listener
from propchange.driver.machine import Interfaces, Machine, random_token
from propchange.driver.multicast_receiving import MulticastReceiving
from propchange.driver.passed_requests import PassedRequests
from propchange.driver.polling import PollFunction, RunningPolls
from propchange.driver.remote import DescribedDevice, DescribedService, Documents
from propchange.driver.reporting import Warnings, guarded, logger_named
from propchange.driver.requests import ControlPointClosed, Requests, Sender
from propchange.driver.runtime import Runtime, Signal, Tasks, Timer
from propchange.driver.sightings import SeenDevice
from propchange.driver.sockets import cannot_listen
from propchange.driver.subscriber_reporting import report_subscriber
from propchange.driver.subscription_requests import SubscriptionRequests
from propchange.errors import ConnectionFailed, PropchangeError
from propchange.upnp.description import DeviceDescription

D = TypeVar("D", bound=DescribedDevice[Any])


class SubscriberDriver:
    """Drives a SubscriberProtocol on a runtime.

    Call :meth:`open`, then :meth:`subscribe`, and in the end :meth:`close`. ``interfaces`` gives
    the addresses of this machine; those of the interfaces that ``exclude`` names are not used.
    ``machine`` gives the other facts for a diagnosis. ``search`` and
    ``off_link_locations`` are those of :class:`.Discovery`, ``other_hosts`` is that of
    :class:`.Requests`. ``tap`` is called with each Request, each Response and each outcome.
    ``requests`` sends SUBSCRIBE, renewals and UNSUBSCRIBE instead of the driver's own
    :class:`.Requests`, and is closed with the driver.
    """

    def __init__(
        self,
        runtime: Runtime,
        policy: SubscriberPolicy,
        *,
        limits: Limits,
        interfaces: Interfaces,
        machine: Machine,
        exclude: Collection[str] = (),
        off_link_locations: bool = False,
        other_hosts: bool = False,
        search: Callable[[str], object] | None = None,
        tap: Callable[[object], None] | None = None,
        requests: Sender | None = None,
    ) -> None:
        self.runtime = runtime
        self.limits = limits
        self.now = runtime.now
        self.history = ConnectionHistory(limits)
        self._logger = logger_named("propchange.subscriber")
        self.warnings = Warnings(self._logger, limits)
        self._tap = None if tap is None else guarded(tap, self._logger)
        self.protocol = SubscriberProtocol(
            new_token=random_token,
            jitter=random.random,
            policy=policy,
            limits=limits,
            history=self.history,
        )
        self.addresses = ControlPointAddresses(interfaces, exclude)
        self._requests = Requests(
            runtime,
            limits,
            own=self.addresses.known,
            other_hosts=other_hosts,
            excluded=self.addresses.excludes,
            source_of=self.addresses.source_towards,
            way_to=self.addresses.way_to,
        )
        self.documents = Documents(self._requests, policy)
        self._outgoing = SubscriptionRequests(
            self.protocol,
            requests or self._requests,
            self.documents,
            source=lambda: self.addresses.source,
            now=runtime.now,
            limits=limits,
            tap=self._tap,
        )
        self.calls = ActionCalls(
            runtime,
            self.protocol,
            self._requests,
            policy=policy,
            changed=self._queue_drain,
            source=lambda: self.addresses.source,
            tap=self._tap,
        )
        self.diagnoses = Diagnoses(self._requests, self.history, machine, policy)
        self.discovery = Discovery(
            runtime,
            self.protocol,
            interfaces=interfaces,
            documents=self.documents,
            policy=policy,
            changed=self._queue_drain,
            off_link_locations=off_link_locations,
            limits=limits,
            leaves_out=self.addresses.leaves_out,
            search=search,
            tap=self._tap,
        )
        self.listener = Listener(
            runtime,
            self.receive_notify,
            limits=limits,
            history=self.history,
            cut=self.request_cut,
            wasted=self._connection_wasted,
            known=self._device_addresses,
            excluded=self.addresses.excludes,
        )
        self.passed = PassedRequests(
            runtime,
            self.receive_notify,
            limits=limits,
            known=self._device_addresses,
            excluded=self.addresses.excludes,
            cut=self._passed_cut,
            owner="control_point",
            checks=False,
        )
        """The requests that a web server of the program passes on."""
        self.tasks = Tasks(runtime)
        self._polls = RunningPolls(
            runtime,
            self.protocol,
            self.tasks,
            limits=limits,
            warnings=self.warnings,
            changed=self._queue_drain,
        )
        self.multicast = MulticastReceiving(
            runtime,
            self.protocol,
            self.discovery,
            tasks=self.tasks,
            uda=policy.uda,
            changed=self._queue_drain,
            limits=limits,
        )
        self.discovery.heard = self.multicast.heard
        self.request_ended: Callable[[OutgoingRequest, Response | Exception], None] | None = None
        """Called with each request of the protocol and its answer, or the exception that it failed
        with, after the protocol has had it. Must not raise."""
        self.port = policy.callback.port or 0
        """The port in CALLBACK. 0 before :meth:`open`, if the policy sets none."""
        self.callback_url = policy.callback_url
        self.subscriptions: dict[SubscriptionRecord, DrivenSubscription] = {}
        self.addresses_due: float | None = None
        self.closed = False
        self._timer = Timer(
            runtime.call_later, limits, self._deadline, clock=runtime.now, jumped=self._jumped
        )
        self._drain_queued = False
        self._dispatching = False
        self._leaving = False
        self._ended = False
        self._close_ended = Signal(runtime)

    # --- opening and closing ---

    async def open(
        self,
        interface: str | None,
        ports: Sequence[int] | None,
        *,
        discovery: bool | None = False,
    ) -> None:
        """Listen on the first free port of ``ports``; None: open no port, the program passes each
        request to :meth:`receive`. ``interface`` is the name of a network interface, with all its
        addresses, or an address of this machine; None: all. With ``discovery`` also listen to
        announcements, and search for all devices; None: listen, and search for them only when the
        program wants to see devices. Raises ConnectionFailed if it cannot listen, ValueError if the
        interface is excluded."""
        host = self.addresses.choose(interface)
        if ports is not None:
            try:
                await self.listener.open(host, ports)
            except OSError as error:
                raise ConnectionFailed(cannot_listen(host, ports, error)) from error
            self.port = self.port or self.listener.port
        if host is not None:
            listening = self.listener.endpoints
            source = listening[0] if listening else self.addresses.own(host)
            self.addresses.source = self.documents.source = source._replace(port=0)
        if discovery is False:
            self.discovery.leave_out()
        else:
            self.discovery.start(host, quiet=discovery is None)

    @property
    def host(self) -> str:
        """The address that it listens on; if there are several, the one to advertise."""
        return self.addresses.advertised(self.listener.endpoints[0].host)

    @property
    def listening_port(self) -> int:
        """The port of the listener. Raises RuntimeError if none was opened."""
        if not self.listener.port:
            raise RuntimeError("listen=False: this control point opens no port; see callback_url")
        return self.listener.port

    def check_open(self) -> None:
        """Raise RuntimeError if the control point is closed or is being closed."""
        if self.closed:
            raise ControlPointClosed("the control point was closed: make another")
        if self._leaving:
            raise ControlPointClosed("the control point is being closed")

    async def close(self) -> None:
        """Unsubscribe everything, for ``limits.unsubscribe_seconds`` at most, and end. A repeated
        call waits for the end too."""
        if self._leaving:
            if not self._ended:
                await self._close_ended.wait()
            return
        self._leaving = True
        self.calls.close()
        async with AsyncExitStack() as ending:  # the last runs first; each runs if others raise
            ending.callback(self._end_closing)
            ending.push_async_callback(self._requests.close)
            if self._outgoing.sender is not self._requests:
                ending.push_async_callback(self._outgoing.sender.close)
            ending.push_async_callback(self.listener.close)
            ending.push_async_callback(self.tasks.close)
            ending.push_async_callback(self.discovery.close)
            ending.callback(self._abandon)
            ending.callback(self.multicast.close_all)
            await self._unsubscribe_all()

    async def _unsubscribe_all(self) -> None:
        now = self.now()
        for record in tuple(self.protocol.subscriptions):
            self.protocol.unsubscribe(record, now)
        self._drain()
        # A SUBSCRIBE that is granted during this wait is followed by its UNSUBSCRIBE.
        await self.tasks.ended(self.limits.unsubscribe_seconds)

    def _abandon(self) -> None:
        self.closed = True
        for record in tuple(self.protocol.subscriptions):
            self.protocol.abandon(record)
        self._dispatch()
        self._timer.close()

    def _end_closing(self) -> None:
        self._ended = True
        self._close_ended.set()

    # --- what a program asks for ---

    def device(
        self,
        make: Callable[[SubscriberDriver, DeviceDescription], D],
        description_url: str | None,
        udn: str | None,
        seconds: float | None,
    ) -> Coroutine[Any, Any, D]:
        """Read the description at a URL, or search for the device with ``udn`` and read its
        description, and ``make`` the device.

        Raises RuntimeError if the control point is closed, ValueError for both a URL and a UDN and
        for neither. The coroutine raises as :meth:`.Documents.description` and
        :meth:`.Discovery.find`."""
        self.check_open()
        if (description_url is None) is (udn is None):
            raise ValueError("a device has either a description URL or a udn")

        async def read() -> D:
            if description_url is not None:
                device = make(self, await self.documents.description(description_url))
            else:
                device = make(self, await self.discovery.find(str(udn), seconds))
            self.discovery.follow(device)
            return device

        return read()

    async def seen_device(
        self, make: Callable[[SubscriberDriver, DeviceDescription], D], seen: SeenDevice
    ) -> D:
        """Read the description of a device that was seen, at each of its locations once, and
        ``make`` the device. Raises RuntimeError if the control point is closed, and as
        :meth:`.Discovery.describe_root`."""
        self.check_open()
        device = make(self, await self.discovery.describe_root(seen))
        self.discovery.follow(device)
        return device

    def subscribe(
        self,
        subscription: DrivenSubscription[Any],
        event_url: str,
        *,
        wait: bool,
        describe_first: bool = False,
        variables: Iterable[str] = (),
        device: Hashable = None,
        poll: PollFunction | None = None,
        **options: Any,
    ) -> SubscriptionRecord:
        """Begin a subscription. With ``wait`` the first failure ends it, with the status REFUSED.
        Without ``wait``, and with ``poll``, SUBSCRIBE is sent again. ``poll`` reads the values
        while no events come. A service without an event URL is looked for in the description again.
        The other arguments are those of :meth:`.SubscriberProtocol.subscribe`; for a service,
        ``device`` is the UDN of its device.

        Raises RuntimeError if there is no port for events yet, or the control point is
        closed."""
        self.check_open()
        if not self.port:
            raise RuntimeError("call listen() first: events need a port")
        service = subscription.service
        giver = None
        if service is not None:
            giver = service.device.description.host
            describe_first = describe_first or not service.event_url
        now = self.now()
        record = self.protocol.subscribe(
            event_url,
            now,
            persistent=not wait or poll is not None,
            describable=service is not None,
            describe_first=describe_first and service is not None,
            device=device if service is None else service.description.udn,
            variables=(variables,) if isinstance(variables, str) else variables,
            owes_event=service is None or service._owes_event,
            merges=STANDARD_MERGES if service is None else service._merges,
            **options,
        )
        self.subscriptions[record] = subscription
        self._outgoing.givers[record] = giver
        if poll is not None:
            self._polls.add(record, poll)
        if self.addresses_due is None:
            self._look_at_addresses(now)
        self._queue_drain()
        return record

    def unsubscribe(self, record: SubscriptionRecord) -> None:
        """End a subscription. CLOSED follows, unless it was reported already."""
        if record in self.subscriptions:
            self.protocol.unsubscribe(record, self.now())
            self._queue_drain()

    def renew(self, record: SubscriptionRecord, duration: int | None = None) -> None:
        """Renew a subscription now, or send its SUBSCRIBE now. See
        :meth:`.SubscriberProtocol.renew`."""
        self.protocol.renew(record, self.now(), duration=duration)
        self._queue_drain()

    def identify(self, record: SubscriptionRecord, device: DescribedDevice[Any]) -> None:
        """Follow ``device``, whose service ``record`` is a subscription to, by its announcements.
        It is followed as long as the caller keeps ``device``."""
        self.protocol.identify(record, device.udn)
        self.discovery.follow(device)

    async def diagnose(self, record: SubscriptionRecord) -> Diagnosis:
        """Find out whether the events of a subscription arrive, and if not, why."""
        return await self.diagnoses.diagnose(
            lambda: self.protocol.facts(record, self.now()),
            listening=self.listener.endpoints,
            own=self.addresses.known,
            source=self.addresses.source,
            giver=self._outgoing.giver_of(record),
        )

    def _device_addresses(self) -> frozenset[str]:
        hosts = (record.device_host for record in self.protocol.subscriptions)
        return frozenset(host for host in hosts if host is not None)

    # --- inputs of the protocol ---

    def receive(self, request: Request) -> Response:
        """Judge a request that a web server of the program has received. Raises RuntimeError in
        another thread than that of the loop."""
        response = self.passed.receive(request)
        assert isinstance(response, Response)  # receive_notify answers at once
        return response

    def receive_notify(self, request: Request) -> Response:
        """Judge a NOTIFY and return the answer. Its event is dispatched at the next turn.

        A request that a diagnosis has sent is answered too."""
        if self.diagnoses.asked and (answer := self.diagnoses.answer(request)) is not None:
            return answer
        tap = self._tap
        if tap is not None:
            tap(request)
        response = self.protocol.receive_notify(request, self.now())
        if tap is not None:
            tap(response)
        if not self._drain_queued:
            self._queue_drain()
        return response

    def request_cut(self, request: Request, refusal: Refusal) -> bool:
        """``request`` has begun and did not come whole. Returns whether it was an event of a
        subscription."""
        known = self.protocol.request_cut(request, refusal, self.now())
        self._queue_drain()
        return known

    def _passed_cut(self, request: Request, refusal: Refusal) -> None:
        """``request``, which a web server of the program has begun to pass on, did not come whole,
        or was refused before it was judged."""
        if refusal.status:
            self.protocol.refuse(request, refusal, self.now())
            self._queue_drain()
        else:
            self.request_cut(request, refusal)

    def _connection_wasted(self, peer: Endpoint, reason: str, unreadable: bool) -> None:
        if peer.port not in self.history.ours:
            now = self.now()
            self.protocol.connection_wasted(peer.host, reason, now, unreadable=unreadable)
            self._queue_drain()

    def give(self, news: Callable[[Hashable, float], None], device: Hashable) -> None:
        """Call an input of the protocol that takes a device and the time."""
        news(device, self.now())
        self._queue_drain()

    def _deadline(self, now: float) -> None:
        if self.addresses_due is not None and now >= self.addresses_due:
            self._look_at_addresses(now)
        self.protocol.handle_deadline(now)
        self._drain()

    def _jumped(self, seconds: float, now: float) -> None:
        self._logger.warning("the clock jumped by about %.0f s: subscribing afresh", seconds)
        self._look_at_addresses(now)
        self.protocol.clock_jumped(seconds, now)
        self._drain()

    def _look_at_addresses(self, now: float) -> None:
        """Give the protocol the addresses that can receive events, if there are subscriptions."""
        if not self.subscriptions:
            self.addresses_due = None
            return
        self.addresses_due = now + self.limits.address_seconds
        try:
            addresses, others = self.addresses.read()
        except OSError as error:
            self.warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        self.protocol.addresses_changed(addresses, now, others=others)

    # --- requests of the protocol ---

    async def _run(self, request: OutgoingRequest) -> None:
        try:
            if request.kind is RequestKind.DESCRIBE:
                await self._describe_again(request)
            else:
                response = await self._outgoing.send(request, self.port)
                if self.request_ended is not None:
                    self.request_ended(request, response)
        except Exception as error:  # noqa: BLE001 - it is logged
            if self.closed:  # given up: what a runtime raises then may be an Exception
                return
            if not isinstance(error, PropchangeError | ValueError | LookupError):
                what = f"{request!r} failed with an unexpected exception"
                self.warnings.exception("request", what)
            self._outgoing.fail(request, error)
            if request.subscription.device is not None:
                self.discovery.subscription_failed(str(request.subscription.device))
            if self.request_ended is not None:
                self.request_ended(request, error)
        self._drain()

    async def _describe_again(self, request: OutgoingRequest) -> None:
        """Answer DESCRIBE. A drop-in answers it in its own way."""
        await self._outgoing.describe(request, self._service_of(request.subscription))

    # --- outputs of the protocol ---

    def _queue_drain(self) -> None:
        """Drain the protocol at the next turn of the loop."""
        if not self._drain_queued and not self.closed:
            self._drain_queued = True
            self.runtime.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_queued = False
        if self.closed:
            return
        self._dispatch()
        # An event alone causes no request and changes no deadline. Without a time the timer has
        # fired, and needs the next one.
        if self.protocol.changed or self._timer.when is None:
            for request in self.protocol.take_requests():
                self.tasks.start(self._run(request))
            self.calls.begin(self.protocol.take_turns())
            self._polls.begin(self.protocol.polling.take())
            deadlines = (self.protocol.next_deadline(), self.addresses_due)
            self._timer.set(min((when for when in deadlines if when is not None), default=None))

    def _dispatch(self) -> None:
        if self._dispatching:  # a subscription has called the driver
            return
        self._dispatching = True
        subscriptions, tap = self.subscriptions, self._tap
        try:
            while outcomes := self.protocol.take_outcomes():
                for outcome in outcomes:
                    if isinstance(outcome, Event):
                        record: Any = outcome.subscription
                        # Never missing: CLOSED is the last outcome of a subscription.
                        subscription = outcome.subscription = subscriptions[record]
                        if tap is not None:
                            tap(outcome)
                        subscription._receive(outcome)
                    else:
                        self._report(outcome)
        finally:
            self._dispatching = False

    def _report(self, outcome: SubscriberOutcome) -> None:
        record: Any = getattr(outcome, "subscription", None)
        report_subscriber(outcome, self.warnings, self._name_of(record))
        if isinstance(outcome, StatusChange):
            subscription = self.subscriptions[record]
            outcome = outcome._replace(subscription=subscription)
            if outcome.status is Status.CLOSED:
                del self.subscriptions[record], self._outgoing.givers[record]
                self._polls.end(record)
            if self._tap is not None:
                self._tap(outcome)
            subscription._receive(outcome)
            return
        if self._tap is not None:
            self._tap(outcome)
        if isinstance(outcome, MulticastEvent | MulticastMissed):
            self.multicast.dispatch(outcome)
        elif isinstance(outcome, DeviceChecked):
            self.discovery.checked(str(outcome.device), passed=outcome.passed)
        elif isinstance(outcome, Granted):
            self.subscriptions[outcome.subscription]._receive(outcome)
            if outcome.subscription.device is not None:
                self.discovery.subscription_granted(str(outcome.subscription.device))

    def _name_of(self, record: SubscriptionRecord | None) -> str:
        """The name of the service of a subscription, for the log."""
        service = None if record is None else self._service_of(record)
        return "" if service is None else service.full_name

    def _service_of(self, record: SubscriptionRecord) -> DescribedService[Any] | None:
        subscription = self.subscriptions.get(record)
        return None if subscription is None else subscription.service
