"""A service whose events Twisted sends: PublisherProtocol on a reactor."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.web.resource import Resource

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import PublisherPolicy
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
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.driver.reporting import Warnings
from propchange.driver.timer import Timer
from propchange.twisted.addresses import on_link_for
from propchange.twisted.deliveries import deliveries_of
from propchange.twisted.messages import answer, call_when_left, read_body, read_request
from propchange.twisted.reactors import Reactor, all_of, clock_of, default_reactor, later_of
from propchange.twisted.reporting import default_policy
from propchange.twisted.site import Site
from propchange.upnp import service as upnp

__all__ = ["EventURL", "Service"]

_PATH = "/"


class Service(upnp.Service):
    """A :class:`propchange.Service` that publishes through Twisted.

    Its state variables are declared and assigned as there. Put :attr:`resource` at the event
    URL: from then on assignments are events, with everything that the core does for them:
    moderation, LastChange, merging for who is behind, several delivery URLs, expiry.

    ``reactor`` is the reactor to use, None for the installed one; ``policy`` says what is granted
    to whom; ``limits`` are the bounds. The other arguments are those of the base class. To be
    assigned to in the reactor's thread, else RuntimeError.
    """

    def __init__(
        self,
        *,
        reactor: Reactor | None = None,
        policy: PublisherPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self._given_reactor = reactor
        self._policy = policy or default_policy()
        self._limits = limits
        self._publication: _Publication | None = None
        self._resource: EventURL | None = None
        self._listening: list[Any] = []
        self._closed = False
        self.on_publish: list[Callable[[dict[str, str]], object]] = []
        """Each is called with the changes of every event, evented variable -> text, before they
        are moderated or merged."""

    @property
    def id(self) -> str:
        """The serviceId."""
        return self.service_id

    @property
    def resource(self) -> Resource:
        """The web resource for the event URL; always the same."""
        if self._resource is None:
            reactor = self._opened().reactor
            self._resource = EventURL(self, self._policy, self._limits, reactor)
        return self._resource

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions there are now, oldest first, to be read only."""
        return tuple(self._opened().protocol.subscriptions)

    def subscribed(self) -> Deferred[None]:
        """Fires once a subscriber that is still there has had its initial event."""
        publication = self._opened()
        return publication.until(lambda: any(s.heard for s in publication.protocol.subscriptions))

    def drained(self) -> Deferred[None]:
        """Fires once every subscriber has been told everything, or cannot be told."""
        publication = self._opened()
        return publication.until(lambda: publication.protocol.settled)

    def listen(self, port: int = 0, interface: str = "") -> int:
        """Listen on ``port`` (0: any) of ``interface``, an address, "" for all of IPv4, with a
        :class:`~propchange.twisted.Site` that has :attr:`resource` at every path; gives the port.
        For a program that has no site of its own. Raises CannotListenError of Twisted."""
        reactor: Any = self._opened().reactor
        site = Site(self.resource, limits=self._limits, reactor=reactor, server=self._policy.server)
        listening = reactor.listenTCP(port, site, interface=interface)
        self._listening.append((listening, site))
        return int(listening.getHost().port)

    def close(self) -> Deferred[None]:
        """Send no more, for good, and stop listening. Fires when that is done. What has not been
        delivered is not: see :meth:`drained`. Later requests are answered 503, and what is asked of
        the service besides its values raises RuntimeError."""
        publication, self._publication = self._publication, None
        self._closed = True
        ends: list[Deferred[Any]] = []
        if publication is not None:
            self.detach()
            ends.append(publication.close())
        listening, self._listening = self._listening, []
        for port, site in listening:
            ends.append(maybeDeferred(port.stopListening))
            ends.append(site.close())
        return all_of(ends)

    # --- requests ---

    def receive_request(self, request: Request) -> Response:
        """Judge a SUBSCRIBE or UNSUBSCRIBE. If the response has a ``receipt``, call
        :meth:`response_sent` or :meth:`response_lost` once it has left or cannot."""
        if self._closed:
            return Response(503, ((b"CONTENT-LENGTH", b"0"),), close=True)
        return self._opened().receive_request(request)

    def response_sent(self, response: Response) -> None:
        """The answer has left: the initial event may go."""
        if self._publication is not None:
            self._publication.response_sent(response)

    def response_lost(self, response: Response) -> None:
        """The connection died before the answer was out."""
        if self._publication is not None:
            self._publication.response_lost(response)

    def _opened(self) -> _Publication:
        if self._closed:
            raise RuntimeError("the service was closed")
        if self._publication is None:
            reactor = self._given_reactor or default_reactor()
            variables = {
                name: _evented(self.variables[name], text)
                for name, text in self.initial_texts().items()
            }
            self._publication = _Publication(
                reactor, self._policy, self._limits, variables, self.on_publish
            )
            self.attach(self._publication)
        return self._publication


class EventURL(Resource):
    """The web resource at an event URL. ``publisher`` judges the requests: it has the methods
    ``receive_request``, ``response_sent`` and ``response_lost`` of a :class:`Service`."""

    isLeaf = True

    def __init__(
        self, publisher: Any, policy: PublisherPolicy, limits: Limits, reactor: Reactor | None
    ) -> None:
        Resource.__init__(self)  # type: ignore[no-untyped-call] # Twisted's
        self._publisher = publisher
        self._policy = policy
        self._limits = limits
        self._given_reactor = reactor

    @property
    def reactor(self) -> Reactor:
        """The reactor that was given, or else the installed one."""
        if self._given_reactor is None:
            self._given_reactor = default_reactor()
        return self._given_reactor

    def render(self, request: Any) -> bytes:
        """Answer a request of any method."""
        body = read_body(request, self._limits)
        message = read_request(request, body if isinstance(body, bytes) else b"")
        if isinstance(body, Refusal):
            response = self.refuse(message, body)
        elif request.prepath and request.postpath:
            # A site has this resource at one path; one that is nothing else has it at all.
            response = self.refuse(message, Refusal(404, "no service has this event URL", ""))
        else:
            response = self._publisher.receive_request(message)
        if response.receipt is not None:
            sent, lost = self._publisher.response_sent, self._publisher.response_lost
            call_when_left(request, self.reactor, lambda left: (sent if left else lost)(response))
        return answer(request, response)

    def refuse(self, message: Request, refusal: Refusal) -> Response:
        """The response that refuses ``message``."""
        return refusal_response(refusal, self._policy, message)


def _evented(variable: StateVariable[Any], text: str) -> EventedVariable:
    return EventedVariable(
        text,
        minimum_interval=variable.minimum_interval,
        minimum_delta=variable.minimum_delta,
        merge=variable.merge,
    )


class _Publication:
    """The driver of one PublisherProtocol, and the sink of its service."""

    def __init__(
        self,
        reactor: Reactor,
        policy: PublisherPolicy,
        limits: Limits,
        variables: Mapping[str, EventedVariable],
        on_publish: list[Callable[[dict[str, str]], object]],
    ) -> None:
        self._on_publish = on_publish
        self.reactor = reactor
        self._limits = limits
        self._clock = clock_of(reactor)
        self.protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{uuid.uuid4()}",
            on_link=on_link_for,
            policy=policy,
            limits=limits,
        )
        self.protocol.add_service(_PATH, variables)
        self._deliveries = deliveries_of(reactor)
        self._timer = Timer(later_of(reactor), limits, self._deadline, clock=self._clock)
        self._thread = threading.get_ident()
        self._in_flight: dict[Delivery, None] = {}
        self._called: set[Endpoint] = set()
        self._pump_call: Any = None
        self._waiters: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self._logger = logging.getLogger("propchange.publisher")
        self._warnings = Warnings(self._logger)

    def close(self) -> Deferred[None]:
        self._timer.close()
        if self._pump_call is not None:
            self._pump_call.cancel()
            self._pump_call = None
        for delivery in self._in_flight:
            self._deliveries.abort(delivery)
        self._in_flight.clear()
        waiters, self._waiters = self._waiters, []
        for _, deferred in waiters:
            deferred.cancel()
        called, self._called = self._called, set()
        return Deferred.fromCoroutine(self._deliveries.leave(*called))

    # --- the sink ---

    def check_caller(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "a service is assigned to in the reactor's thread; from another thread use "
                "reactor.callFromThread(setattr, service, name, value)"
            )

    def publish(self, changes: dict[str, str]) -> None:
        self.protocol.update(_PATH, changes, self._clock())
        self._queue_pump()
        for tell in self._on_publish:
            tell(changes)

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], None]:
        call = self.reactor.callLater(0, callback)

        def cancel() -> None:
            if call.active():
                call.cancel()

        return cancel

    # --- inputs ---

    def receive_request(self, request: Request) -> Response:
        request.target = _PATH  # where the resource stands is for the site to know
        response = self.protocol.receive_request(request, self._clock())
        self._queue_pump()
        return response

    def response_sent(self, response: Response) -> None:
        self.protocol.response_sent(response, self._clock())
        self._pump()

    def response_lost(self, response: Response) -> None:
        self.protocol.response_lost(response, self._clock())
        self._pump()

    def _delivery_ended(
        self, delivery: Delivery, result: int | DeliveryFailure, response: Response | None
    ) -> None:
        self._in_flight.pop(delivery, None)
        self.protocol.delivery_ended(delivery, result, self._clock())
        self._queue_pump()

    def _deadline(self, now: float) -> None:
        self.protocol.handle_deadline(now)
        self._pump()

    # --- outputs ---

    def _queue_pump(self) -> None:
        """Drain the protocol once per turn of the reactor, however much has happened in it."""
        if self._pump_call is None:
            self._pump_call = self.reactor.callLater(0, self._pump)

    def _pump(self) -> None:
        call, self._pump_call = self._pump_call, None
        if call is not None and call.active():
            call.cancel()
        protocol = self.protocol
        # Outcomes first: an attempt that has timed out gives its connection back.
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        free = self._limits.delivery_connections - len(self._in_flight)
        for delivery in protocol.take_deliveries(free):
            self._in_flight[delivery] = None
            self._called.add(delivery.address.url.endpoint)
            self._deliveries.send(delivery, self._delivery_ended)
        if len(self._called) > 2 * self._limits.delivery_connections:
            self._called &= self._deliveries.endpoints
        for outcome in protocol.take_outcomes():
            self._report(outcome)
        self._timer.set(protocol.next_deadline())
        for waiter in [waiter for waiter in self._waiters if waiter[0]()]:
            self._waiters.remove(waiter)
            waiter[1].callback(None)

    def _report(self, outcome: PublisherOutcome) -> None:
        match outcome:
            case AttemptTimedOut(delivery):
                self._in_flight.pop(delivery, None)
                self._deliveries.abort(delivery)
            # What a peer can vary at will is in no key, or it could flood the log.
            case Refused(_, peer, status, reason):
                who = peer.host if peer else "somebody"
                self._warnings.warn((who, status), f"{who} was refused with {status}: {reason}")
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

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        self._pump()
        if condition():
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiters.append((condition, deferred))
        return deferred
