"""A service that sends its events on a Twisted reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.message import ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import INITIAL_EVENT_DELAY, PublisherPolicy
from propchange.core.publisher.records import Subscription
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.machine import product
from propchange.driver.own_interfaces import INTERFACES
from propchange.driver.publication import Publication
from propchange.driver.reporting import logger_named
from propchange.driver.sockets import cannot_listen, ports_of
from propchange.errors import ConnectionFailed
from propchange.twisted.messages import answer, call_when_left, read_body, read_request
from propchange.twisted.runtime import Reactor, TwistedRuntime, default_reactor, of_reactor
from propchange.twisted.site import Site
from propchange.upnp import service as upnp
from propchange.upnp.device import normal_udn


def deliveries_of(reactor: Reactor) -> DeliveryPool:
    """The pool of delivery connections of ``reactor``, one for all services."""
    return of_reactor(reactor, _pool)


def _pool(reactor: Reactor) -> DeliveryPool:
    return DeliveryPool(TwistedRuntime(reactor))


DEFAULT_POLICY = PublisherPolicy(server=product("1.1"), initial_event_delay=INITIAL_EVENT_DELAY)
"""The default policy of a publisher: UDA 1.1. The initial event leaves 20 ms after the answer,
because GUPnP drops an event within 5 ms."""


class Service(upnp.Service):
    """A :class:`propchange.Service` that sends its events on a Twisted reactor.

    Declare and assign its state variables as there. Put :attr:`resource` at the event URL, or call
    :meth:`listen`. From then on assignments are events: with moderation, LastChange, merging for
    slow subscribers, several delivery URLs, expiry. In the end call :meth:`close`.

    It has no controlURL, so control points cannot call its actions. For that, host a
    :class:`propchange.Service` in a device by :func:`propchange.twisted.host`.

    ``reactor``: None for the installed one. ``policy``: what is granted, and to whom. ``limits``:
    the caps. The other arguments are those of the base class. Assign in the reactor's thread;
    in another one, an assignment raises RuntimeError.

    Events of variables with ``multicast=True`` name the device and its start. So they are sent by
    multicast only if the program gives both, as it announces them by SSDP: ``udn`` is the UDN of
    the device, ``boot_id`` returns the present BOOTID.UPNP.ORG. ``multicast`` is that of
    :func:`propchange.host`. Raises ValueError for one of ``udn`` and ``boot_id`` without the other.
    """

    def __init__(
        self,
        *,
        reactor: Reactor | None = None,
        policy: PublisherPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        udn: str | None = None,
        boot_id: Callable[[], int] | None = None,
        multicast: MulticastPolicy | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if (udn is None) is not (boot_id is None):
            raise ValueError("multicast events need both udn and boot_id (UDA 2.0 §4.3.3)")
        self._identity: ServiceIdentity | None = None
        if udn is not None:
            self._identity = ServiceIdentity(normal_udn(udn), self.service_type, self.service_id)
        self._boot_id = boot_id
        self._multicast = MulticastPolicy.of(multicast)
        self._multicast.check((policy or DEFAULT_POLICY).uda)
        self._given_reactor = reactor
        self._policy = policy or DEFAULT_POLICY
        self._limits = limits
        self._publication: Publication | None = None
        self._listening: list[Any] = []
        self._closed = False

    @property
    def id(self) -> str:
        """The serviceId."""
        return self.service_id

    @cached_property
    def resource(self) -> Resource:
        """The web resource for the event URL: always the same object."""
        self._opened()
        return EventURL(EventRequests(self), self._policy, self._limits, self._reactor)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The present subscriptions, oldest first. Do not change them."""
        return tuple(self._opened().protocol.subscriptions)

    def subscribed(self) -> Deferred[None]:
        """Fires once one of the present subscribers has had its initial event. Fails with
        RuntimeError if the service is closed before."""
        return Deferred.fromCoroutine(_not_closed(self._opened().subscribed()))

    def drained(self) -> Deferred[None]:
        """Fires once all events are delivered or given up. Fails as :meth:`subscribed`."""
        return Deferred.fromCoroutine(_not_closed(self._opened().drained()))

    def listen(self, port: int | Sequence[int] = 0, interface: str = "") -> int:
        """Listen on ``port`` (0: any; of several, the first free one) of ``interface``, an address
        ("": all of IPv4 and of IPv6, with the same port). Returns the port.

        The event URL is ``http://ADDRESS:PORT/``. A request for another path is answered with 404.
        This method is for a program that has no site. Raises ConnectionFailed if it cannot listen
        there, ValueError for a number that is not a port."""
        known = self._opened().addresses
        reactor, server = self._reactor, self._policy.server
        ports, host = ports_of(port), interface or None
        root = EventURL(EventRequests(self), self._policy, self._limits, reactor, target=b"/")
        site = Site(root, limits=self._limits, reactor=reactor, server=server, known=known)
        try:
            listening = TwistedRuntime(reactor).listen_with(
                site, host=host, ports=ports, crowded=site.crowded
            )
        except OSError as error:
            raise ConnectionFailed(cannot_listen(host, ports, error)) from error
        self._listening.append((listening, site))
        return listening.endpoints[0].port

    def close(self) -> Deferred[None]:
        """Stop sending and listening. Fires when that is done. Undelivered events are dropped: wait
        for :meth:`drained` before. Later requests are answered with 503. Its values can still be
        read and assigned; its other methods raise RuntimeError."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._closed = True
        publication, self._publication = self._publication, None
        listening, self._listening = self._listening, []
        stopping = [Deferred.fromCoroutine(port.close()) for port, _ in listening]
        stopping += [site.close() for _, site in listening]
        if publication is not None:
            publication.stop()
            await publication.close()
        for each in stopping:
            await each

    @cached_property
    def _reactor(self) -> Reactor:
        return self._given_reactor or default_reactor()

    def _opened(self) -> Publication:
        if self._closed:
            raise RuntimeError("the service was closed")
        if self._publication is None:
            runtime, deliveries = TwistedRuntime(self._reactor), deliveries_of(self._reactor)
            policy, limits = self._policy, self._limits
            publication = Publication(
                runtime,
                deliveries,
                policy=policy,
                limits=limits,
                interfaces=INTERFACES,
                multicast=self._multicast,
                boot_id=self._boot_id,
            )
            publication.add(self, "/", self._identity)
            multicast = policy.uda != "1.0" and any(v.multicast for v in self.variables.values())
            if multicast and self._identity is None:
                logger_named("propchange.publisher").warning(
                    "%r sends no multicast events: give it the udn and the boot_id of its device",
                    self,
                )
            self._publication = publication
        return self._publication


class EventRequests:
    """Judges the requests for the event URL of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def receive_request(self, request: Request) -> Response:
        """Judge a SUBSCRIBE or UNSUBSCRIBE."""
        if self._service._closed:
            return Response(503, ((b"CONTENT-LENGTH", b"0"),), close=True)
        request.target = "/"  # where the resource stands is for the site to know
        return self._service._opened().receive_request(request)

    def response_sent(self, response: Response) -> None:
        """The response has left: the initial event may be sent."""
        if self._service._publication is not None:
            self._service._publication.response_sent(response)

    def response_lost(self, response: Response) -> None:
        """The connection broke before the response had left."""
        if self._service._publication is not None:
            self._service._publication.response_lost(response)


async def _not_closed(waiting: Coroutine[Any, Any, bool]) -> None:
    if not await waiting:
        raise RuntimeError("the service was closed")


class EventPublisher(Protocol):
    """What answers the requests for an event URL."""

    def receive_request(self, request: Request, /) -> Response:
        """Judge a SUBSCRIBE or UNSUBSCRIBE."""

    def response_sent(self, response: Response, /) -> None:
        """A response with a ``receipt`` has left."""

    def response_lost(self, response: Response, /) -> None:
        """A response with a ``receipt`` cannot leave."""


class EventURL(Resource):
    """The web resource at an event URL. ``publisher`` answers the requests. ``target``: the only
    request target that is answered; None: the path at which a site has this resource."""

    isLeaf = True

    def __init__(
        self,
        publisher: EventPublisher,
        policy: PublisherPolicy,
        limits: Limits,
        reactor: Reactor | None,
        *,
        target: bytes | None = None,
    ) -> None:
        Resource.__init__(self)  # type: ignore[no-untyped-call] # Twisted's
        self._publisher = publisher
        self._policy = policy
        self._limits = limits
        self._given_reactor = reactor
        self._target = target

    @cached_property
    def reactor(self) -> Reactor:
        """The reactor that was given, or else the installed one."""
        return self._given_reactor or default_reactor()

    def render(self, request: Any) -> bytes:
        """Answer a request of any method."""
        data, refusal = read_body(request, self._limits)
        self.received(request, data)
        message = read_request(request, data)
        if refusal is None and not self._is_event_url(request):
            refusal = Refusal(404, "no service has this event URL", "")
        if refusal is None:
            response = self._publisher.receive_request(message)
        else:
            response = self.refuse(message, refusal)
        if response.receipt is not None:
            sent, lost = self._publisher.response_sent, self._publisher.response_lost
            call_when_left(request, self.reactor, lambda left: (sent if left else lost)(response))
        return answer(request, response)

    def _is_event_url(self, request: Any) -> bool:
        if self._target is not None:
            return bool(request.uri == self._target)
        # A site has this resource at one path. As the root of a site it is at "/".
        return not request.postpath if request.prepath else request.postpath == [b""]

    def received(self, request: Any, data: bytes) -> None:
        """``request`` has come, with the body ``data``."""

    def refuse(self, message: Request, refusal: Refusal) -> Response:
        """The response that refuses ``message``."""
        return refusal_response(refusal, self._policy, message)
