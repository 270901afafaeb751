"""A control point on a runtime: SubscriberProtocol with its clock, its sockets and its requests.

How it works, for whoever changes it:

* The protocol decides, and has no clock and no socket. This module gives it inputs: NOTIFY requests
  from the listener, answers from devices, deadlines, the addresses of this machine, jumps of the
  clock, and the news of devices that discovery has.
* After an input the protocol is *drained*: :meth:`SubscriberDriver._drain` hands its outcomes out,
  and if the protocol has changed, sends its requests and sets the timer to its next deadline. A
  NOTIFY does not drain. It is answered first, and the drain follows at the next turn of the loop,
  once for all NOTIFY requests of this turn. So the application, however slow, never delays an
  answer to a device.
* The outcomes of one subscription go to its :class:`Recipient`, the object that the program holds,
  in the order in which they happened. CLOSED is the last one. A recipient may call the driver, so
  that a second drain begins inside the first one. The second one then hands nothing out: the first
  one continues with the new outcomes.
* Each request of the protocol runs as a coroutine of its own and ends in one of three inputs:
  ``response_received``, ``described`` or ``request_failed``. DESCRIBE is not a message: the
  description is read again, and the service is looked for in it by its serviceId.
* While there are subscriptions, the addresses of this machine are read every
  ``Limits.address_seconds``. A control point that listens on one address sends from it alone, and
  tells the protocol not to try the others.
* :meth:`SubscriberDriver.close` has two parts. First every subscription is given back: UNSUBSCRIBE
  is sent, and answers are waited for, ``Limits.unsubscribe_seconds`` at most. Then everything that
  still runs is ended, and each remaining subscription gets its CLOSED.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, Protocol

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import Granted, SubscriberOutcome
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import Convert, SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind, addressed_to
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.diagnosing import Diagnoses
from propchange.driver.discovery import Discovery
from propchange.driver.listener import Listener
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.remote import DescribedDevice, DescribedService, Documents
from propchange.driver.reporting import GuardedTap, Warnings, report
from propchange.driver.requests import Requests, failure_of
from propchange.driver.runtime import Future, Runtime, Tasks
from propchange.driver.sockets import cannot_listen
from propchange.driver.timer import Timer
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    SubscriptionRefused,
)
from propchange.upnp.description import DeviceDescription

__all__ = ["Recipient", "SubscriberDriver", "refusal_of"]


class Recipient(Protocol):
    """The object for one subscription that the program holds. Its methods do not raise."""

    @property
    def service(self) -> DescribedService | None:
        """The service, None for a subscription to a bare event URL."""

    def put(self, item: Event | StatusChange, /) -> None:
        """Take an event or a status change. The last one is CLOSED."""

    def grant(self) -> None:
        """A SUBSCRIBE was answered with 200."""


class SubscriberDriver:
    """Drives a SubscriberProtocol on a runtime.

    Call :meth:`open`, then :meth:`subscribe`, and in the end :meth:`close`. ``interfaces`` gives
    the addresses of this machine, ``machine`` the rest that a diagnosis asks. ``search`` and
    ``off_link_locations`` are those of :class:`.Discovery`. ``tap`` is called with each Request,
    each Response and each outcome.
    """

    def __init__(
        self,
        runtime: Runtime,
        policy: SubscriberPolicy,
        *,
        limits: Limits,
        interfaces: Interfaces,
        machine: Machine,
        off_link_locations: bool = False,
        search: Callable[[str], object] | None = None,
        tap: Callable[[object], None] | None = None,
    ) -> None:
        self.limits = limits
        self.now = runtime.now
        self.interfaces = interfaces
        self.history = ConnectionHistory(limits)
        self._runtime = runtime
        self._policy = policy
        self._logger = logging.getLogger("propchange.subscriber")
        self._warnings = Warnings(self._logger)
        self._tap = None if tap is None else GuardedTap(tap, self._logger)
        self.protocol = SubscriberProtocol(
            new_token=lambda: secrets.token_urlsafe(16),
            jitter=random.random,
            policy=policy,
            limits=limits,
            callers=self.history,
        )
        self._requests = Requests(runtime, limits)
        self.documents = Documents(self._requests, policy)
        self.diagnoses = Diagnoses(self._requests, self.history, machine)
        self._probes = self.diagnoses.targets
        self.discovery = Discovery(
            runtime,
            self.protocol,
            interfaces=interfaces,
            documents=self.documents,
            policy=policy,
            changed=self._queue_drain,
            off_link_locations=off_link_locations,
            limits=limits,
            search=search,
            tap=self._tap,
        )
        self.listener = Listener(runtime, self.receive_notify, limits=limits, history=self.history)
        self.port = policy.callback_port or 0
        """The port that goes into CALLBACK, 0 as long as there is none."""
        self.recipients: dict[SubscriptionRecord, Recipient] = {}
        self.tasks = Tasks(runtime)
        self.addresses_due: float | None = None
        self.closed = False
        self._source: Endpoint | None = None
        self._timer = Timer(
            runtime.call_later, limits, self._deadline, clock=runtime.now, jumped=self._jumped
        )
        self._call_soon = runtime.call_soon
        self._drain_queued = False
        self._dispatching = False
        self._more_outcomes = False
        self._leaving = False
        self._ended = False
        self._closers: list[Future[None]] = []

    # --- opening and closing ---

    async def open(
        self, interface: str | None, ports: Sequence[int], *, discovery: bool = False
    ) -> None:
        """Listen on the first free one of ``ports`` of ``interface``, the name of a network
        interface or an address of this machine, None for all. With ``discovery`` also listen to
        announcements. Raises ConnectionFailed, with a sentence for people, when it cannot."""
        host = None if interface is None else self.interfaces.host_of(interface)
        try:
            await self.listener.open(host, ports)
        except OSError as error:
            raise ConnectionFailed(cannot_listen(host, ports, error)) from error
        self.port = self.port or self.listener.port
        if host is not None:
            # Or CALLBACK would name an address that is not listened on.
            self._source = self.documents.source = self.listener.endpoints[0]._replace(port=0)
        if discovery:
            self.discovery.start(host)

    def check_open(self) -> None:
        """Raise RuntimeError when it is closed, or being closed."""
        if self.closed:
            raise RuntimeError("the control point was closed: make another")
        if self._leaving:
            raise RuntimeError("the control point is being closed: it takes no subscription more")

    async def close(self) -> None:
        """Give every subscription back, for ``limits.unsubscribe_seconds`` at most, and end. Safe
        to call again, and while it is being closed."""
        if self._leaving:
            if not self._ended:
                closing: Future[None] = self._runtime.future()
                self._closers.append(closing)
                await closing
            return
        self._leaving = True
        try:
            await self._give_back()
        finally:
            try:
                await self._end()
            finally:
                self._ended = True
                for waiting in self._closers:
                    if not waiting.done():
                        waiting.set_result(None)

    async def _give_back(self) -> None:
        now = self.now()
        for record in tuple(self.protocol.subscriptions):
            self.protocol.unsubscribe(record, now)
        self._drain()
        # A SUBSCRIBE that is granted only now leaves an UNSUBSCRIBE to be sent.
        await self.tasks.ended(self.limits.unsubscribe_seconds)

    async def _end(self) -> None:
        self.closed = True
        for record in tuple(self.protocol.subscriptions):
            self.protocol.abandon(record)
        self._dispatch()
        self._timer.close()
        try:
            await self.discovery.close()
            await self.tasks.close()
        finally:
            try:
                await self.listener.close()
            finally:
                await self._requests.close()

    # --- what a program asks for ---

    def describe(
        self, description_url: str | None, udn: str | None, seconds: float | None
    ) -> Coroutine[Any, Any, DeviceDescription]:
        """Read the description at a URL, or search for the device with ``udn`` and read its
        description. Give the device object that is made of it to ``discovery.follow`` at once.

        Raises ValueError for both or neither at once; the coroutine raises as
        :meth:`.Documents.description` and :meth:`.Discovery.find`."""
        if udn is not None and description_url is None:
            return self.discovery.find(udn, seconds)
        if description_url is None or udn is not None:
            raise ValueError("a device has either a description URL or a udn")
        return self.documents.description(description_url)

    def subscribe(
        self,
        recipient: Recipient,
        event_url: str,
        *,
        wait: bool,
        describe_first: bool,
        convert: Convert | None = None,
        duration: int | None,
        variables: Iterable[str],
        device: Hashable = None,
    ) -> SubscriptionRecord:
        """Begin a subscription. With ``wait`` the first failure ends it, with the status REFUSED;
        without, it is tried again. The other arguments are those of
        :meth:`.SubscriberProtocol.subscribe`; for a service, ``device`` is the UDN of its device.

        Raises RuntimeError while there is no port for events, and when the control point is
        closed."""
        self.check_open()
        if not self.port:
            raise RuntimeError("listen first: events need a port to arrive at")
        service = recipient.service
        now = self.now()
        record = self.protocol.subscribe(
            event_url,
            now,
            persistent=not wait,
            describable=service is not None,
            describe_first=describe_first and service is not None,
            device=device if service is None else service.description.udn,
            convert=convert,
            duration=duration,
            variables=(variables,) if isinstance(variables, str) else variables,
        )
        self.recipients[record] = recipient
        if self.addresses_due is None:
            self._look_at_addresses(now)
        self._queue_drain()
        return record

    def unsubscribe(self, record: SubscriptionRecord) -> None:
        """End a subscription. CLOSED follows, unless it has come already."""
        if record in self.recipients:
            self.protocol.unsubscribe(record, self.now())
            self._queue_drain()

    async def diagnose(self, record: SubscriptionRecord) -> Diagnosis:
        """How a subscription is, and why."""
        return await self.diagnoses.diagnose(
            lambda: self.protocol.facts(record, self.now()),
            listening=self.listener.endpoints,
            own=self._own_addresses,
            source=self._source,
        )

    def _own_addresses(self) -> tuple[LocalAddress, ...]:
        try:
            return self.interfaces.addresses()
        except OSError:
            return ()

    # --- inputs of the protocol ---

    def receive_notify(self, request: Request) -> Response:
        """Judge a NOTIFY and give the answer. The events in it are handed out at the next turn.

        A probe of the own listener is answered too."""
        if request.target in self._probes:
            return self.diagnoses.answer(request)
        if self._tap is not None:
            self._tap(request)
        response = self.protocol.receive_notify(request, self.now())
        if self._tap is not None:
            self._tap(response)
        if not self._drain_queued:
            self._drain_queued = True
            self._call_soon(self._drain)
        return response

    def tell(self, inform: Callable[[Hashable, float], None], device: Hashable) -> None:
        """Call an input of the protocol that takes a device and the time."""
        inform(device, self.now())
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
        """Tell the protocol the addresses that are listened on, while there are subscriptions."""
        if not self.recipients:
            self.addresses_due = None
            return
        self.addresses_due = now + self.limits.address_seconds
        try:
            addresses = self.interfaces.refresh()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return
        others: tuple[LocalAddress, ...] = ()
        if self._source is not None:
            host = self._source.host
            others = tuple(address for address in addresses if address.host != host)
            addresses = tuple(address for address in addresses if address.host == host)
        self.protocol.addresses_changed(addresses, now, others=others)

    # --- requests of the protocol ---

    async def _run(self, request: OutgoingRequest) -> None:
        try:
            if request.kind is RequestKind.DESCRIBE:
                await self._describe_again(request)
            else:
                await self._send(request)
        except Exception as error:
            if not isinstance(error, PropchangeError | ValueError | LookupError):
                self._logger.exception("%r failed in a way that nobody foresaw", request)
            failure = failure_of(error, request.source)
            self.protocol.request_failed(request, _sentence(error), self.now(), failure)
            if request.subscription.device is not None:
                self.discovery.subscription_failed(str(request.subscription.device))
        self._drain()

    async def _send(self, request: OutgoingRequest) -> None:
        def build(url: str, local: Endpoint) -> Request:
            message = request.build(local._replace(port=self.port))
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
        self.protocol.response_received(request, answer.response, self.now())

    async def _describe_again(self, request: OutgoingRequest) -> None:
        """Read the description again, and find the service in it again."""
        recipient = self.recipients.get(request.subscription)
        service = None if recipient is None else recipient.service
        if service is None:
            raise DescriptionError("the subscription is to a bare event URL")
        description = await self.documents.description(service.device.url)
        device: DescribedDevice[DescribedService] = DescribedDevice(
            description, lambda device, each: DescribedService(self.documents, device, each)
        )
        again = device.same_service(service)
        # Types that were known once are better than none.
        convert = await again.read_conversions() or request.subscription.convert
        self.protocol.described(request, again.event_url, convert, self.now())

    # --- outputs of the protocol ---

    def _queue_drain(self) -> None:
        """Drain the protocol at the next turn of the loop."""
        if not self._drain_queued and not self.closed:
            self._drain_queued = True
            self._call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_queued = False
        if self.closed:
            return
        self._dispatch()
        # Events alone lead to no request and move no deadline.
        if self.protocol.changed or self._timer.when is None:
            for request in self.protocol.take_requests():
                self.tasks.start(self._run(request))
            deadlines = (self.protocol.next_deadline(), self.addresses_due)
            self._timer.set(min((when for when in deadlines if when is not None), default=None))

    def _dispatch(self) -> None:
        if self._dispatching:  # a recipient has led here
            self._more_outcomes = True
            return
        self._dispatching = True
        recipients = self.recipients
        try:
            while True:
                for outcome in self.protocol.take_outcomes():
                    if self._tap is not None:
                        self._tap(outcome)
                    if isinstance(outcome, Event):
                        record: Any = outcome.subscription
                        # Always there: CLOSED is the last outcome of a subscription.
                        recipients[record].put(outcome)
                    else:
                        self._report(outcome)
                if not self._more_outcomes:
                    return
                self._more_outcomes = False
        finally:
            self._dispatching = False

    def _report(self, outcome: SubscriberOutcome) -> None:
        report(outcome, self._warnings)
        match outcome:
            case StatusChange(record, status):
                assert isinstance(record, SubscriptionRecord)
                recipient = self.recipients[record]
                if status is Status.CLOSED:
                    del self.recipients[record]
                recipient.put(outcome)
            case Granted(record):
                self.recipients[record].grant()
                if record.device is not None:
                    self.discovery.subscription_granted(str(record.device))


def refusal_of(change: StatusChange, event_url: str) -> PropchangeError | None:
    """The error for a program that waits for the grant, when ``change`` means that there will be
    none; else None."""
    if change.status is Status.CLOSED:
        return ConnectionFailed(f"{event_url}: the subscription was closed before it was granted")
    if change.status is not Status.REFUSED:
        return None
    reason = f"{event_url}: {change.reason}"
    if change.http_status:
        return SubscriptionRefused(reason, status=change.http_status)
    return ConnectionFailed(reason)


def _sentence(error: Exception) -> str:
    # The text of a KeyError is the repr of its argument.
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
