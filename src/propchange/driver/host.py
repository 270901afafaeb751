"""The device side on a runtime: drives PublisherProtocol, sends its deliveries, and listens.

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

:class:`DeviceHost` adds what a device needs on the network: the listener, and the documents.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from email.utils import formatdate
from functools import lru_cache, partial
from ipaddress import ip_address
from math import inf
from typing import Any

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, is_loopback, own_address
from propchange.core.multicast.message import ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.event_holds import EventHold
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut, PublisherOutcome, Refused
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import (
    Delivery,
    DeliveryFailure,
    Endpoint,
    HeaderPairs,
    Request,
    Response,
)
from propchange.core.wire.refusals import Refusal
from propchange.driver.action_running import ActionRun, RunningActions, running_action
from propchange.driver.announcing import NOT_ANNOUNCED, AnnouncementPolicy, Announcing
from propchange.driver.boot_id import BootId
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.delivery_turns import DeliveryTurns
from propchange.driver.descriptors import fit
from propchange.driver.listener import Listener
from propchange.driver.listening_addresses import ListeningAddresses
from propchange.driver.machine import Interfaces, has_address
from propchange.driver.multicast_sending import MulticastSending
from propchange.driver.passed_requests import PassedRequests, at_target, changed
from propchange.driver.reporting import Warnings, logger_named, report
from propchange.driver.runtime import Runtime, Signal, Timer
from propchange.errors import ActionError
from propchange.upnp.control import ActionCall
from propchange.upnp.device import PlacedDevice
from propchange.upnp.hosted_documents import Asked, HostedDocuments
from propchange.upnp.hosted_url import DESCRIPTION_PATH, HostedPaths, HostedURL
from propchange.upnp.service import Service

Tap = Callable[[object], None]
"""Called with each Request, Response, Delivery and outcome."""


def http_date() -> bytes:
    """The value of DATE."""
    return _date_at(int(time.time()))


@lru_cache(maxsize=1)  # a tenth of the work of an answer; it changes once a second
def _date_at(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")


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
            texts = service.initial_texts()
            variables = {
                name: _evented(service.variables[name], texts[name], identity is not None)
                for name in texts
            }
            self.protocol.add_service(path, variables, identity)
            self._evented = True
            if self._uda != "1.0" and any(each.level is not None for each in variables.values()):
                self._open_multicast()
        service.attach(_Sink(self, path))
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
        self._turns.in_flight -= 1
        self.protocol.delivery_ended(delivery, result, self.now())
        if not self._pump_queued:
            self.queue_pump()

    def _deadline(self, now: float) -> None:
        self.protocol.handle_deadline(now)
        self.pump()

    # --- outputs of the protocol ---

    def queue_pump(self) -> None:
        """Call :meth:`pump` at the next turn of the loop, once."""
        if not self._pump_queued and not self._stopped:
            self._pump_queued = True
            self.runtime.call_soon(self.pump)

    def pump(self) -> None:
        """Take the outcomes and deliveries of the protocol, and set the timer."""
        self._pump_queued = False
        if self._stopped:
            return
        protocol = self.protocol
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        if self._multicast is not None:
            self._send_datagrams(self._multicast)
        self._turns.begin_some()
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
        deliveries = self.protocol.take_deliveries(most)
        # Taking deliveries may have merged events, which is an outcome.
        for outcome in self.protocol.take_outcomes():
            self._report(outcome)
        return deliveries

    def _begin(self, deliveries: Sequence[Delivery]) -> None:
        send, ended, tap = self._pool.send, self._ended, self._tap
        for delivery in deliveries:
            if tap is not None:
                tap(delivery)
            send(delivery, ended)

    def _report(self, outcome: PublisherOutcome) -> None:
        if self._tap is not None:
            self._tap(outcome)
        if isinstance(outcome, AttemptTimedOut):
            self._turns.in_flight -= 1
            self._pool.abort(outcome.delivery)
        else:
            report(outcome, self._warnings)

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
            self._services.pop().detach()
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


def _evented(variable: StateVariable[Any], text: str, identified: bool) -> EventedVariable:
    return EventedVariable(
        text,
        minimum_interval=variable.minimum_interval,
        minimum_delta=variable.minimum_delta,
        merge=variable.merge,
        level=variable.level if identified and variable.multicast else None,
    )


class DeviceHost:
    """A placed device on the network: its documents, its control URLs, its event URLs. ``chosen``
    are the addresses of this machine that it uses.

    Call :meth:`open`, and in the end :meth:`close`. ``announcing`` says how it announces itself.
    ``multicast`` says where multicast events go, ``boot_id`` returns the BOOTID.UPNP.ORG of the
    device.

    ``url`` is where control points find the device, if a web server of the program or a proxy is
    between them and this object. With ``listens=False`` the web server gives the requests to
    :attr:`passed`, and there is no listener.
    """

    def __init__(
        self,
        runtime: Runtime,
        placed: PlacedDevice,
        *,
        policy: PublisherPolicy,
        limits: Limits,
        chosen: ChosenAddresses,
        announcing: AnnouncementPolicy = NOT_ANNOUNCED,
        tap: Tap | None = None,
        multicast: MulticastPolicy | None = None,
        boot_id: Callable[[], int] | None = None,
        url: HostedURL | None = None,
        listens: bool = True,
    ) -> None:
        self._placed = placed
        self._url = url
        self._prefix = "" if url is None else url.prefix
        self._paths = None if url is None else HostedPaths(url.prefix, placed.all_paths())
        self._chosen = chosen
        self._tap = tap
        self._boot_id = BootId(placed.udn, announcing.state_directory)
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)
        self._documents = HostedDocuments(
            placed, policy, http_date, limits, self._call_refused, prefix=self._prefix
        )
        self._actions = RunningActions(runtime, self._documents.control, limits)
        self._pool = DeliveryPool(runtime, limits=limits)
        self.publication = Publication(
            runtime,
            self._pool,
            policy=policy,
            limits=limits,
            interfaces=chosen.interfaces,
            date=http_date,
            tap=tap,
            multicast=multicast,
            boot_id=boot_id or self._heard_boot_id,
            addresses=chosen.read,
        )
        server = (b"SERVER", policy.server.encode("latin-1", "replace"))

        def headers() -> HeaderPairs:
            return ((b"DATE", http_date()), server)

        self._listener: Listener | None = None
        self._addresses: ListeningAddresses | None = None
        if listens:
            self._listener = Listener(
                runtime,
                self._respond,
                limits=limits,
                sent=self._sent,
                lost=self._lost,
                headers=headers,
                known=self.publication.addresses,
                excluded=chosen.excludes,
            )
            self._addresses = ListeningAddresses(runtime, self._listener, chosen, limits)
        self.passed = PassedRequests(
            runtime,
            self._respond,
            limits=limits,
            sent=self._sent,
            lost=self._lost,
            headers=headers,
            known=self.publication.addresses,
            excluded=self._came_to_excluded,
        )
        self._announcing = None
        if announcing.announce:
            self._announcing = Announcing(
                runtime,
                placed,
                uda=policy.uda,
                server=policy.server,
                config_id=self._documents.config_id,
                policy=announcing,
                boot_id=self._boot_id,
                addresses=chosen.read,
                location=self._location,
                longest_location=url and url.description_url,
                hops=None if multicast is None else multicast.hops,
                date=http_date,
                limits=limits,
            )
        self._closing = False
        self._close_ended = Signal(runtime)

    @property
    def port(self) -> int:
        """The TCP port that it listens on. Raises RuntimeError if it does not listen."""
        if self._listener is None:
            raise RuntimeError("listen=False: this device opens no port; its web server has one")
        return self._listener.port

    @property
    def description_urls(self) -> tuple[str, ...]:
        """The URLs of the device description: that of the given URL, and one for each address that
        it listens on. The first has an address that other machines can reach if there is one."""
        urls = [] if self._url is None else [self._url.description_url]
        if self._addresses is not None:
            urls += map(self._description_url, self._addresses.endpoints)
        return tuple(dict.fromkeys(urls))

    def _description_url(self, endpoint: Endpoint) -> str:
        return f"http://{endpoint}{self._prefix}{DESCRIPTION_PATH}"

    async def open(self, port: int) -> None:
        """Publish the services, and listen on ``port`` (0: any free one) of the chosen addresses.
        Raises ConnectionFailed if it cannot listen, RuntimeError if a service is published
        already."""
        try:
            for placed in self._placed.all_services():
                path = f"{self._prefix}/{placed.subscription_path}"
                evented = bool(placed.event_path)
                self.publication.add(placed.service, path if evented else "", placed.identity)
                if not evented:
                    self.publication.protocol.add_silent(path)
            if self._addresses is not None:
                await self._addresses.open(port)
            else:
                self._chosen.check()
                self._warn_of_unchosen_url()
        except BaseException:
            self.publication.stop()
            raise
        if self._announcing is not None and not self._is_loopback():
            self._announcing.start()

    def _warn_of_unchosen_url(self) -> None:
        assert self._url is not None
        own = own_address(self._url.host, self._chosen.interfaces.addresses())
        if own is not None and not self._chosen.has(own):
            self._warnings.warn(
                "url",
                f"the device is not announced: {self._url.host} in url is an address of "
                f"{own.interface}, and interface or exclude leave that out",
            )

    def _heard_boot_id(self) -> int:
        """The BOOTID for multicast events: a receiver takes the one that it has heard of."""
        announced = 0 if self._announcing is None else self._announcing.boot_id
        return announced or self._boot_id.current

    def _is_loopback(self) -> bool:
        """Whether it can be reached on the loopback interface alone."""
        if self._url is not None:
            return self._url.is_loopback
        assert self._listener is not None
        return all(ip_address(each.host).is_loopback for each in self._listener.endpoints)

    def _came_to_excluded(self, local: Endpoint) -> bool:
        address = self._chosen.interfaces.address_at(local)
        return address is not None and self._chosen.leaves_out(address)

    def _location(self, address: LocalAddress) -> str | None:
        """The URL of the description for the link of ``address``; None if the device is not to be
        announced from there, or does not listen there."""
        if self._url is not None:
            is_there = self._url.is_for(address, self._chosen.interfaces.addresses())
            return self._url.description_url if is_there else None
        assert self._listener is not None
        every = "::" if ":" in address.host else "0.0.0.0"
        for endpoint in self._listener.endpoints:
            if endpoint.host == every or endpoint._replace(port=0) == address.endpoint:
                return self._description_url(address.endpoint._replace(port=endpoint.port))
        return None

    async def close(self) -> None:
        """Leave the network. Undelivered events are dropped: await :meth:`Publication.drained`
        before. Safe to call again; a call waits for the end of another one."""
        self.publication.stop()
        while self._closing:
            await self._close_ended.wait()
        self._closing = True
        async with AsyncExitStack() as ending:  # the last runs first; each runs if others raise
            ending.callback(self._end_closing)
            ending.push_async_callback(self.passed.close)
            if self._listener is not None:
                ending.push_async_callback(self._listener.close)
            ending.push_async_callback(self._actions.close)
            if self._addresses is not None:
                ending.push_async_callback(self._addresses.close)
            ending.push_async_callback(self._pool.close)
            ending.callback(self._boot_id.end)
            if self._announcing is not None:
                ending.push_async_callback(self._announcing.close)

    def _end_closing(self) -> None:
        self._closing = False
        self._close_ended.set()

    def _respond(self, request: Request) -> Response | Awaitable[Response]:
        if self._tap is not None:
            self._tap(request)
        response = self._answer(request)
        if self._tap is None:
            return response
        if isinstance(response, Response):
            self._tap(response)
            return response
        return self._tapped(response, self._tap)

    def _answer(self, request: Request) -> Response | Awaitable[Response]:
        if self._paths is not None:
            request = at_target(request, self._paths.path_of(request.target))
            if self._is_from_proxy(request.peer):
                request = changed(request, peer=None)
        answer = self._documents.respond(request)
        if answer is None:
            return self.publication.receive_request(request)
        if isinstance(answer, ActionCall):
            return self._actions.run(answer)
        if isinstance(answer, Asked):
            return self._actions.ask_program(answer)
        return answer

    def _is_from_proxy(self, peer: Endpoint | None) -> bool:
        """Whether ``peer`` is a proxy on this machine, so that the address of the control point is
        not known. The URL of the device does not lead to loopback."""
        assert self._url is not None
        return peer is not None and not self._url.is_loopback and is_loopback(peer)

    def _call_refused(self, request: Request, why: Refusal | ActionError) -> None:
        """Log why a request to a controlURL is not run: a request that is no call as a warning."""
        where, peer = request.target.partition("?")[0], request.peer
        if isinstance(why, Refusal):
            status, reason, clause, _ = why
            report(Refused(where, peer, status, reason, clause), self._warnings)
        else:
            who = peer.host if peer else "an unknown peer"
            line = f"a call by {who} at {where} was answered with the error {why}"
            self._warnings.info(("call refused", who, why.code), line)

    def _sent(self, response: Response) -> None:
        if isinstance(response.receipt, ActionRun):
            response.receipt.release()
        else:
            self.publication.response_sent(response)

    def _lost(self, response: Response) -> None:
        if isinstance(response.receipt, ActionRun):
            response.receipt.release()
        else:
            self.publication.response_lost(response)

    async def _tapped(self, answer: Awaitable[Response], tap: Tap) -> Response:
        response = await answer
        tap(response)
        return response
