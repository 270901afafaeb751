"""A control point on a reactor: SubscriberProtocol without Cohen3."""

from __future__ import annotations

import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from propchange.core.callers import Callers
from propchange.core.events import Cause, Event, Status, StatusChange
from propchange.core.held import Convert, HeldSubscription
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.messages import Endpoint, Request, Response
from propchange.core.outcomes import Granted, NotifyRefused, SubscriberOutcome
from propchange.core.reporting import Warnings
from propchange.core.rules import Refusal, SubscriberPolicy, refusal_response
from propchange.core.subscriber import SubscriberProtocol
from propchange.core.subscribing import (
    OutgoingRequest,
    addressed_to,
    leads_inside,
    redirect_url,
)
from propchange.core.surroundings import LocalAddress
from propchange.core.timer import Timer
from propchange.errors import ConnectionFailed, SubscriptionRefused
from propchange.twisted.addresses import endpoint_of, local_addresses
from propchange.twisted.event import endpoint_of_url
from propchange.twisted.exchanges import Exchange, connect, failure_of
from propchange.twisted.listening import listen
from propchange.twisted.messages import answer, read_body, read_request
from propchange.twisted.reactors import Reactor, all_of, clock_of, default_reactor, later_of
from propchange.twisted.reporting import product
from propchange.twisted.site import Site

__all__ = ["ControlPoint", "Subscription"]


class Subscription:
    """One subscription, kept alive until it is closed. Made by :meth:`ControlPoint.subscribe`."""

    def __init__(
        self,
        control_point: ControlPoint,
        held: HeldSubscription,
        on_event: Callable[[Event], object],
        on_status: Callable[[StatusChange], object] | None,
    ) -> None:
        self._control_point = control_point
        self.held = held
        """What the protocol keeps of it, to be read only."""
        self.on_event = on_event
        self.on_status = on_status
        self.granted: Deferred[Subscription] | None = None
        self.closed: Deferred[None] = Deferred()

    @property
    def values(self) -> Mapping[str, Any]:
        """The current state, live: variable -> value, as far as events have told it."""
        return MappingProxyType(self.held.values)

    @property
    def status(self) -> Status:
        """How it is now."""
        return self.held.status

    @property
    def status_cause(self) -> Cause | None:
        """Why the status is what it is, for programs; None before its first change."""
        return self.held.status_cause

    @property
    def status_reason(self) -> str:
        """Why the status is what it is, in words; empty before its first change."""
        return self.held.status_reason

    @property
    def sid(self) -> str:
        """The SID; empty before the first grant."""
        return self.held.sid

    @property
    def event_url(self) -> str:
        """Where it subscribes."""
        return self.held.event_url

    @property
    def callback(self) -> str:
        """The delivery URL that was advertised in CALLBACK; empty before the first SUBSCRIBE."""
        return self.held.callback

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device events alone, as it was asked with ``variables=``
        (ACCEPTED-STATEVAR); None when it events all."""
        return self.held.accepted

    @property
    def duration(self) -> float | None:
        """The granted duration in seconds, ``inf`` for an infinite one, None while none is."""
        return self.held.duration_granted

    @property
    def expires_in(self) -> float | None:
        """Seconds until it expires unless renewed, None while nothing is granted."""
        expires = self.held.expires
        return None if expires is None else max(0.0, expires - self._control_point.now)

    @property
    def last_event_at(self) -> float | None:
        """When the last event came, in seconds of :attr:`ControlPoint.now`; None before the
        first."""
        return self.held.last_event_at

    @property
    def renewals(self) -> int:
        """How often it was renewed."""
        return self.held.renewals

    @property
    def gaps(self) -> int:
        """How often events were missed and the state was restored by a fresh subscription."""
        return self.held.gaps

    def close(self) -> Deferred[None]:
        """Unsubscribe. Fires when the device has answered, or after
        ``Limits.unsubscribe_seconds``. Repeated calls do nothing more."""
        return self._control_point.end(self)


class ControlPoint:
    """Subscribes to event URLs and hears their events.

    Call :meth:`listen` first, then :meth:`subscribe`, and in the end :meth:`close`. ``reactor``
    is the reactor to use, None for the installed one. By default each subscription has a
    delivery path that nobody can guess; ``shared_path`` is one for all, which an
    :class:`~propchange.twisted.event.EventServer` made for this control point must stand at.
    ``callback_host`` and ``callback_port`` go into CALLBACK instead of the address of the
    connection and the port that is listened on (NAT, containers). ``friendly_name`` tells devices
    of UDA 2.0 who asks. ``addresses`` gives those of this machine, every
    ``Limits.address_seconds`` while there are subscriptions.
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
    ) -> None:
        self._addresses = addresses
        self._addresses_due: float | None = None
        self._source: Endpoint | None = None
        self._reactor = reactor or default_reactor()
        self._limits = limits
        self._clock = clock_of(self._reactor)
        self._protocol = SubscriberProtocol(
            new_token=lambda: secrets.token_urlsafe(16),
            jitter=random.random,
            policy=SubscriberPolicy(
                uda=uda,
                duration=duration,
                hosts=hosts,
                require_device_source=require_device_source,
                user_agent=product(uda),
                friendly_name=friendly_name,
                callback_host=callback_host,
                callback_port=callback_port,
                shared_path=shared_path,
            ),
            limits=limits,
        )
        self._policy = SubscriberPolicy(uda=uda)
        self._timer = Timer(
            later_of(self._reactor), limits, self._deadline, clock=self._clock, jumped=self._jumped
        )
        self._subscriptions: dict[HeldSubscription, Subscription] = {}
        self._under_way: dict[Endpoint, int] = {}
        self._waiting: dict[Endpoint, deque[OutgoingRequest]] = {}
        self._exchanges: dict[Exchange, Deferred[Exchange]] = {}
        self._leaving: set[Exchange] = set()
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

    def listen(self, port: int = 0, interface: str = "") -> int:
        """Listen for events on ``port`` (0: any) of ``interface``, an address, "" for all of IPv4
        and, where there is one, IPv6; gives the port. Raises CannotListenError of Twisted,
        RuntimeError when it listens already or was closed."""
        self._check_open()
        if self._ports:
            raise RuntimeError("this control point listens already")
        # Whoever serves the events on a site of their own tells of no connections.
        self._protocol.callers = Callers(self._limits)
        site = Site(
            _Receiver(self),
            limits=self._limits,
            reactor=self._reactor,
            callers=self._protocol.callers,
            clock=self._clock,
        )
        self._ports = listen(self._reactor, port, site, interface)
        self._site = site
        here = endpoint_of(self._ports[0].getHost())
        assert here is not None
        self.hostname = self.hostname or (here.host if interface else None)
        self.web_server_port = self.web_server_port or here.port
        if not ip_address(here.host).is_unspecified:
            # Or CALLBACK would name an address that is not listened on.
            self._source = here._replace(port=0)
        return here.port

    @property
    def now(self) -> float:
        """The time of this control point's clock, in seconds; its origin means nothing."""
        return self._clock()

    def subscribe(
        self,
        event_url: str,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        persistent: bool = True,
        duration: int | None = None,
        convert: Convert | None = None,
        device: Hashable = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """Subscribe to ``event_url`` and keep it so: renewed, made anew after a gap, an expiry or
        a restart of the device. ``on_event`` is called with each event, ``on_status`` with each
        change of the status; what they raise is logged.

        With ``persistent`` it keeps trying also before the first grant; without, ``granted`` of the
        subscription is a Deferred that fires with it or fails with SubscriptionRefused or
        ConnectionFailed. ``convert`` maps variables to what makes values of texts, such as
        ``{name: variable.parse …}``; None leaves texts. ``device`` is the key for
        :meth:`device_gone` and :meth:`device_rebooted`. ``variables`` are the evented ones that
        are wanted, all when there are none: with ``uda="2.0"`` the device is asked for those alone
        (STATEVAR), and may ignore it.

        Raises RuntimeError before :meth:`listen` and after :meth:`close`, and as
        ``SubscriberProtocol.subscribe``.
        """
        self._check_open()
        if self.web_server_port is None:
            raise RuntimeError("call listen() first: events need a port to arrive at")
        held = self._protocol.subscribe(
            event_url,
            self._clock(),
            persistent=persistent,
            convert=convert,
            duration=duration,
            device=device,
            variables=(variables,) if isinstance(variables, str) else variables,
        )
        subscription = Subscription(self, held, on_event, on_status)
        if not persistent:
            subscription.granted = Deferred()
        self._subscriptions[held] = subscription
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
        if subscription.held not in self._subscriptions:
            return succeed(None)
        done: Deferred[None] = Deferred()
        subscription.closed.addCallback(lambda _: done.callback(None))
        self._protocol.unsubscribe(subscription.held, self._clock())
        self._queue_drain()
        return done

    def close(self) -> Deferred[None]:
        """Unsubscribe everything and stop listening, for good. Fires when that is done."""
        self._closed = True
        ends: Deferred[Any] = DeferredList([self.end(s) for s in self._subscriptions.values()])
        self._drain()

        def stop(_: object) -> Any:
            for exchange, connected in tuple(self._exchanges.items()):
                if exchange.transport is None:
                    connected.cancel()
                exchange.end()
            self._timer.close()
            if self._drain_call is not None and self._drain_call.active():
                self._drain_call.cancel()
            gone = [exchange.gone for exchange in self._leaving]
            ports, self._ports = self._ports, []
            site, self._site = self._site, None
            closed = [] if site is None else [site.close()]
            return all_of([*(maybeDeferred(port.stopListening) for port in ports), *closed, *gone])

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
        self._addresses_due = now + self._limits.address_seconds
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
        for request in self._protocol.take_requests():
            endpoint = endpoint_of_url(request.url)
            if self._under_way.get(endpoint, 0) >= self._limits.requests_per_device:
                self._waiting.setdefault(endpoint, deque()).append(request)
            else:
                self._begin(request, endpoint)
        if not self._subscriptions:
            self._addresses_due = None
        deadlines = (self._protocol.next_deadline(), self._addresses_due)
        self._timer.set(min((when for when in deadlines if when is not None), default=None))

    def _begin(self, request: OutgoingRequest, endpoint: Endpoint) -> None:
        self._under_way[endpoint] = self._under_way.get(endpoint, 0) + 1
        done = self._send(request, request.url, self._limits.redirects)
        done.addBoth(self._sent, request, endpoint)

    def _send(
        self, request: OutgoingRequest, url: str, redirects: int, led: Response | None = None
    ) -> Deferred[Response]:
        """Send ``request`` to ``url``, where the answer ``led`` has led if there is one, and on
        to where a redirect leads."""
        asked = request.remote
        exchange = Exchange(reactor=self._reactor, limits=self._limits)
        connected = connect(
            self._reactor,
            endpoint_of_url(url),
            exchange,
            source=request.source or self._source,
            limits=self._limits,
        )

        if not connected.called:
            self._exchanges[exchange] = connected

        def build(_: Exchange) -> Any:
            self._leaving.add(exchange)
            exchange.gone.addCallback(lambda _: self._leaving.discard(exchange))
            local, peer, port = exchange.local, exchange.peer, self.web_server_port
            if local is None or peer is None or port is None:
                raise ConnectionFailed("the connection has no address that events could come to")
            message = request.build(local._replace(port=port))
            if asked is not None and led is not None:
                if leads_inside(asked, peer):
                    return None
                message = addressed_to(message, url)
            return exchange.request(message)

        def ended(result: Any) -> Any:
            self._exchanges.pop(exchange, None)
            exchange.end()
            return result

        def answered(response: Response | None) -> Any:
            if response is None:
                return led
            request.remote = exchange.peer
            request.url = url
            led_to = redirect_url(url, response) if redirects else None
            if led_to is None:
                return response
            return self._send(request, led_to, redirects - 1, response)

        done: Deferred[Any] = connected.addCallback(build)
        return done.addBoth(ended).addCallback(answered)

    def _sent(self, result: Any, request: OutgoingRequest, endpoint: Endpoint) -> None:
        if isinstance(result, Failure):
            failure = failure_of(result.value, request.source)
            self._protocol.request_failed(request, result.getErrorMessage(), self._clock(), failure)
        else:
            self._protocol.response_received(request, result, self._clock())
        left = self._under_way.pop(endpoint) - 1
        if left:
            self._under_way[endpoint] = left
        waiting = self._waiting.get(endpoint)
        if waiting:
            following = waiting.popleft()
            if not waiting:
                del self._waiting[endpoint]
            self._begin(following, endpoint)
        self._drain()

    def _report(self, outcome: SubscriberOutcome) -> None:
        match outcome:
            case Event():
                subscription = self._subscriptions.get(outcome.subscription)  # type: ignore[call-overload] # a HeldSubscription
                if subscription is not None:
                    self._tell(subscription.on_event, outcome)
            case StatusChange(held, status):
                self._follow(outcome, held, status)
            case Granted(held):
                subscription = self._subscriptions.get(held)
                if subscription is not None and subscription.granted is not None:
                    granted = subscription.granted
                    if not granted.called:
                        granted.callback(subscription)
            case NotifyRefused(peer, target, status, reason):
                who = peer.host if peer else "somebody"
                self._warnings.warn(
                    (who, status, reason), f"{who} was answered {status} at {target}: {reason}"
                )
            case _:
                self._logger.debug("%s", outcome)

    def _follow(self, change: StatusChange, held: Any, status: Status) -> None:
        subscription: Subscription | None = self._subscriptions.get(held)
        if subscription is None:
            return
        self._logger.info("%s: %s: %s", held.event_url, status.value, change.reason)
        if subscription.on_status is not None:
            self._tell(subscription.on_status, change)
        granted = subscription.granted
        if status is Status.CLOSED:
            del self._subscriptions[held]
            if granted is not None and not granted.called:
                granted.errback(ConnectionFailed(f"{held.event_url}: closed before it was granted"))
            subscription.closed.callback(None)
        elif status is Status.REFUSED and granted is not None and not granted.called:
            reason = f"{held.event_url}: {change.reason}"
            if change.http_status:
                granted.errback(SubscriptionRefused(reason, status=change.http_status))
            else:
                granted.errback(ConnectionFailed(reason))

    def _tell(self, listener: Callable[[Any], object], told: object) -> None:
        try:
            listener(told)
        except Exception:
            self._logger.exception("the application failed at %r", told)


class _Receiver(Resource):
    """All paths of the site that events arrive at."""

    isLeaf = True

    def __init__(self, control_point: ControlPoint) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._control_point = control_point

    def render(self, request: Any) -> bytes:
        point = self._control_point
        body = read_body(request, point._limits)
        if isinstance(body, Refusal):
            return answer(
                request, refusal_response(body, point._policy, read_request(request, b""))
            )
        return answer(request, point.receive_notify(read_request(request, body)))
