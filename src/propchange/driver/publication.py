"""Publishes services on a runtime: drives PublisherProtocol and sends its deliveries.

How :class:`Publication` drives :class:`.PublisherProtocol`:

* Each input has the time: an assignment to a state variable, a request, a response that has left
  or was lost, the end of a delivery, a deadline. Requests are answered at once. Outcomes and
  deliveries wait in the protocol until they are taken.
* :meth:`Publication.pump` takes them, once per turn of the loop: a hundred assignments in one turn
  cause one call. It takes outcomes first, because an attempt that has timed out gives its
  connection back. Then it takes as many deliveries as connections are free, a slice of them per
  turn (:class:`.DeliveryTurns`), and sets the one timer to the protocol's next deadline.
* Before the deliveries, the datagrams of multicast events leave (:class:`.MulticastSending`). Only
  a publication with multicast variables has sockets for them.
* The :class:`.DeliveryPool` sends the deliveries and may be shared. It calls back at the end of
  each, and the next pump takes the next delivery.
* Each service has a sink for its assignments. The sink raises in another thread than the loop's.
* After each pump the conditions of ``subscribed`` and ``drained`` are checked.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from math import inf

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.event_holds import EventHold
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut, PublisherOutcome
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import evented_variable
from propchange.core.wire.messages import (
    Delivery,
    DeliveryFailure,
    Request,
    Response,
)
from propchange.driver.action_running import running_action
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.delivery_turns import DeliveryTurns
from propchange.driver.descriptors import fit
from propchange.driver.machine import Interfaces, has_address
from propchange.driver.multicast_sending import MulticastSending
from propchange.driver.publisher_reporting import report_publisher
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime, Signal, Timer
from propchange.upnp.service import Service

Tap = Callable[[object], None]
"""Called with each Request, Response, Delivery and outcome."""


class Publication:
    """Drives one :class:`.PublisherProtocol`: services publish through it to their subscribers.

    ``pool`` sends the deliveries, and may be shared. ``interfaces`` are those of this machine.
    ``tap`` is called with each delivery, datagram and outcome. ``multicast`` says where multicast
    events go, ``boot_id`` returns the BOOTID.UPNP.ORG of the device, and ``addresses`` reads the
    addresses of this machine that the device uses (None: all). Make and use it in the thread of the
    loop. In the end call :meth:`stop`, then :meth:`close`.
    """

    def __init__(
        self,
        runtime: Runtime,
        pool: DeliveryPool,
        *,
        policy: PublisherPolicy,
        limits: Limits,
        interfaces: Interfaces,
        date: Callable[[], bytes] | None = None,
        tap: Tap | None = None,
        multicast: MulticastPolicy | None = None,
        boot_id: Callable[[], int] | None = None,
        addresses: Callable[[], Sequence[LocalAddress]] | None = None,
    ) -> None:
        limits = fit(limits)
        self.runtime = runtime
        self.now = runtime.now
        self.protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{uuid.uuid4()}",
            on_link=interfaces.on_link_for,
            on_link_now=interfaces.on_link_now,
            own_hosts=interfaces.own_hosts,
            own_towards=interfaces.own_towards,
            has_address=has_address,
            policy=policy,
            limits=limits,
            date=date,
            multicast=multicast,
            boot_id=boot_id,
        )
        self._uda = policy.uda
        self._make_multicast = partial(
            MulticastSending,
            runtime,
            addresses or interfaces.refresh,
            multicast or MulticastPolicy(),
            limits,
        )
        self._multicast: MulticastSending | None = None
        self._pool = pool
        self._turns = DeliveryTurns(
            runtime, limits, take=self._take, begin=self._begin, go_on=self.pump
        )
        self._ended = self._delivery_ended  # bound once: each connection keeps it
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=runtime.now)
        self._pump_queued = False
        self._delivered: list[Delivery] = []
        self._answers_queued = False
        self._stopped = False
        self._services: list[Service] = []
        self._evented = False
        self._waiters: list[tuple[Callable[[], bool], Signal]] = []
        self._tap = tap
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)

    def add(self, service: Service, path: str, identity: ServiceIdentity | None = None) -> None:
        """Publish what is assigned to ``service`` at the event URL ``path``, empty for a service
        that has no evented variables. Multicast variables are sent by multicast too if ``identity``
        is given and UDA is not 1.0. Raises RuntimeError if it is published already."""
        if path:
            texts = service._initial_texts()
            variables = {
                name: evented_variable(
                    service.variables[name], texts[name], multicast=identity is not None
                )
                for name in texts
            }
            self.protocol.add_service(path, variables, identity)
            self._evented = True
            if self._uda != "1.0" and any(each.level is not None for each in variables.values()):
                self._open_multicast()
        service._attach_sink(_Sink(self, path))
        self._services.append(service)

    def _open_multicast(self) -> None:
        if self._multicast is None:
            self._multicast = self._make_multicast()
            self._multicast.look()

    def addresses(self) -> frozenset[str]:
        """The addresses of the subscribers."""
        return frozenset(self.protocol.subscriber_addresses)

    # --- inputs of the protocol ---

    def receive_request(self, request: Request) -> Response:
        """Judge a SUBSCRIBE or UNSUBSCRIBE. If the response has a ``receipt``, call
        :meth:`response_sent` or :meth:`response_lost` when it has left or cannot leave."""
        if self._delivered:
            self._settle_delivered()
        response = self.protocol.receive_request(request, self.now())
        self.queue_pump()
        return response

    def response_sent(self, response: Response) -> None:
        """The response has left: the initial event may follow."""
        self.protocol.response_sent(response, self.now())
        self.queue_pump()

    def response_lost(self, response: Response) -> None:
        """The connection broke before the response had left."""
        self.protocol.response_lost(response, self.now())
        self.queue_pump()

    def hold(self, path: str, held: EventHold | None) -> EventHold:
        """Let the later events of the service at ``path`` wait for the answer to an action. Returns
        ``held`` if that hold has not ended."""
        if held is not None and self.protocol.holds(held):
            return held
        return self.protocol.hold(path, self.now())

    def hasten(self, held: EventHold) -> None:
        """The action has ended, and its answer is being written."""
        self.protocol.hasten(held, self.now())

    def release(self, held: EventHold) -> None:
        """The answer has left or cannot leave."""
        self.protocol.release(held, self.now())
        self.queue_pump()

    def _delivery_ended(
        self, delivery: Delivery, result: int | DeliveryFailure, response: Response | None
    ) -> None:
        if result == 200:
            self._delivered.append(delivery)
        else:
            if self._delivered:
                self._settle_delivered()
            self._turns.in_flight -= 1
            self.protocol.delivery_ended(delivery, result, self.now())
        if len(self._delivered) == self._turns.in_flight:
            self.pump()  # all deliveries in flight have ended
        elif result != 200:
            self.queue_pump()
        elif not self._answers_queued:
            self._answers_queued = True
            self.runtime.call_soon(self._take_answers)

    def _take_answers(self) -> None:
        """Pump if the answers of this turn have left something to do. The timer is set already for
        the deliveries that are still in flight."""
        self._answers_queued = False
        if self._delivered and self._settle_delivered():
            self.pump()

    def _settle_delivered(self) -> bool:
        """Pass the deliveries that were answered with 200 to the protocol. Returns whether there
        is something for :meth:`pump`."""
        delivered = self._delivered
        self._delivered = []
        self._turns.in_flight -= len(delivered)
        return self.protocol.delivered(delivered, self.now())

    def _deadline(self, now: float) -> None:
        if self._delivered:
            self._settle_delivered()
        self.protocol.handle_deadline(now)
        self.pump()

    # --- outputs of the protocol ---

    def queue_pump(self) -> None:
        """Call :meth:`pump` at the next turn of the loop, once, unless it is called before."""
        if not self._pump_queued and not self._stopped:
            self._pump_queued = True
            self.runtime.call_soon(self._queued_pump)

    def _queued_pump(self) -> None:
        if self._pump_queued:
            self.pump()

    def pump(self) -> None:
        """Take the outcomes and deliveries of the protocol, and set the timer."""
        self._pump_queued = False
        if self._stopped:
            return
        if self._delivered:
            self._settle_delivered()
        protocol = self.protocol
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        if self._multicast is not None:
            self._send_datagrams(self._multicast)
        self._turns.begin_some()
        # Taking deliveries may have merged events, which is an outcome.
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        self._timer.set(protocol.next_deadline())
        if self._waiters:
            self._wake()

    def _send_datagrams(self, multicast: MulticastSending) -> None:
        datagrams = self.protocol.take_datagrams()
        if not datagrams:
            return
        if self._tap is not None:
            for datagram in datagrams:
                self._tap(datagram)
        multicast.send(datagrams)
        # A datagram may be too large, which is an outcome.
        for outcome in self.protocol.take_outcomes():
            self._report(outcome)

    def _take(self, most: int) -> list[Delivery]:
        return self.protocol.take_deliveries(most, stop_at_merged=True)

    def _begin(self, deliveries: Sequence[Delivery]) -> None:
        if self._tap is not None:
            for delivery in deliveries:
                self._tap(delivery)
        self._pool.send_all(deliveries, self._ended)

    def _report(self, outcome: PublisherOutcome) -> None:
        if self._tap is not None:
            self._tap(outcome)
        if isinstance(outcome, AttemptTimedOut):
            self._turns.in_flight -= 1
            self._pool.abort(outcome.delivery)
        else:
            report_publisher(outcome, self._warnings)

    # --- waiting ---

    async def subscribed(self) -> bool:
        """Wait until a present subscriber has received its initial event. Returns False if
        :meth:`stop` is called before. Raises RuntimeError if no service has evented variables."""
        if not self._stopped and not self._evented:
            raise RuntimeError(
                "no service of this device has an evented variable, so nobody can subscribe"
            )
        return await self._until(
            lambda: any(subscription.heard for subscription in self.protocol.subscriptions)
        )

    async def drained(self, seconds: float | None = None) -> bool:
        """Wait until every event is delivered or given up. Returns False if ``seconds`` have passed
        or :meth:`stop` is called before."""
        self.pump()
        return await self._until(lambda: self.protocol.settled, seconds)

    async def _until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        end = inf if seconds is None else self.now() + seconds
        while not condition():
            left = end - self.now()
            if self._stopped or left <= 0:
                return False
            waiter = (condition, Signal(self.runtime))
            self._waiters.append(waiter)
            try:
                await waiter[1].wait(None if seconds is None else left)
            finally:
                self._waiters.remove(waiter)
        return True

    def _wake(self) -> None:
        for condition, signal in tuple(self._waiters):
            if condition():
                signal.set()

    # --- the end ---

    def stop(self) -> None:
        """Publish no more: the services keep their values and send nothing. Safe to call
        again."""
        self._stopped = True
        while self._services:
            self._services.pop()._detach_sink()
        self._timer.close()
        if self._multicast is not None:
            self._multicast.close()
        for _, signal in tuple(self._waiters):
            signal.set()

    async def close(self) -> None:
        """After :meth:`stop`: abort the deliveries, and wait until the connections that carried
        them are gone."""
        await self._pool.give_up(self._ended)


class _Sink:
    """Takes the changes of one service (a :class:`.ServiceSink`)."""

    __slots__ = ("_path", "_publication", "_thread")

    def __init__(self, publication: Publication, path: str) -> None:
        self._publication = publication
        self._path = path
        self._thread = threading.get_ident()

    def check_caller(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "assign to a service in the thread of its loop; from another thread use "
                f"{self._publication.runtime.from_thread}(setattr, service, name, value)"
            )

    def publish(self, changes: dict[str, str]) -> None:
        publication = self._publication
        if (run := running_action()) is not None:
            run.hold(publication, self._path)
        publication.protocol.update(self._path, changes, publication.now())
        publication.queue_pump()

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], object]:
        return self._publication.runtime.call_soon(callback).cancel
