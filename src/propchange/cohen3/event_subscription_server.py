"""The device side of Cohen3's events: SUBSCRIBE, renewal, UNSUBSCRIBE and expiry, where the dict
of subscribers that the service holds is the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from propchange.cohen3.dispatcher import EventDispatcher, Logger
from propchange.cohen3.event_server import own_delivery_url
from propchange.cohen3.notification import PeerResponse, Subscriber, outbox_of, send_notification
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import (
    Cancellation,
    NewSubscription,
    PublisherPolicy,
    Renewal,
    judge_room,
    judge_subscribe,
    judge_unsubscribe,
    subscribe_response,
    unsubscribe_response,
)
from propchange.core.wire.headers import format_timeout, parse_timeout
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.driver.timer import Timer
from propchange.twisted.addresses import on_link_for
from propchange.twisted.deliveries import deliveries_of
from propchange.twisted.messages import answer, call_when_left, read_body, read_request
from propchange.twisted.reactors import Reactor, clock_of, default_reactor, later_of
from propchange.twisted.reporting import default_policy
from propchange.twisted.service import Service

__all__ = ["EventSubscriptionServer", "ServiceSubscribers"]


class EventSubscriptionServer(EventDispatcher, Resource, Logger):
    """The web resource at the event URL of ``service``.

    Of the service it uses ``get_subscribers()``, the live dict of SID -> subscriber,
    ``new_subscriber(subscriber)``, which puts one into that dict and sends the initial event,
    ``id`` and ``backend``. A subscriber is a dict of ``sid`` ("uuid:…"), ``callback`` (the first
    delivery URL, without < >), ``seq``, ``timeout`` ("Second-300", as granted) and ``created``
    (seconds since the epoch). Whoever takes one out of the dict has ended the subscription.
    What is sent to a new subscriber leaves after the answer to its SUBSCRIBE.

    A :class:`propchange.twisted.Service` answers by itself, and :attr:`subscribers` is a
    :class:`ServiceSubscribers` of it.

    Dispatches ``event_client_message_received(command, headers, data)`` for each request:
    ``command`` is ``{"method": …, "path": …}``, ``headers`` those of the request.
    """

    isLeaf = True
    logCategory = "event_subscription_server"

    def __init__(
        self,
        service: Any,
        *,
        policy: PublisherPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Reactor | None = None,
        on_link: Callable[[Endpoint], Sequence[OnLink]] = on_link_for,
    ) -> None:
        Resource.__init__(self)  # type: ignore[no-untyped-call] # Twisted's
        EventDispatcher.__init__(self)
        self.register_event("event_client_message_received")
        self._given_reactor = reactor
        self.service = service
        self.subscribers: Any = (
            ServiceSubscribers(service, self._reactor)
            if isinstance(service, Service)
            else service.get_subscribers()
        )
        backend = getattr(service, "backend", None)
        self.backend_name = getattr(backend, "name", backend)
        self._policy = policy or default_policy()
        self._limits = limits
        self._on_link = on_link
        if callable(getattr(service, "check_subscribers", None)):
            # What Cohen3's services call in a loop to this end; their own removes nobody.
            service.check_subscribers = self.check_subscribers
        self._timer: Timer | None = None
        self._sweep_at: float | None = None

    # --- requests ---

    def render(self, request: Any) -> bytes:
        """Answer a request of any method."""
        body = read_body(request, self._limits)
        data = body if isinstance(body, bytes) else b""
        command = {"method": request.method, "path": request.path}
        headers = request.requestHeaders.copy()  # listeners may do with it as they like
        self.dispatch_event("event_client_message_received", command, headers, data)
        message = read_request(request, data)
        if isinstance(body, Refusal):
            return self._refuse(request, message, body)
        if request.prepath and request.postpath:
            # A site has this resource at one path; one that is nothing else has it at all.
            return self._refuse(request, message, Refusal(404, "no service has this event URL", ""))
        if isinstance(self.service, Service):
            rendered: bytes = self.service.resource.render(request)  # type: ignore[no-untyped-call] # Twisted's
            return rendered
        if message.method == "SUBSCRIBE":
            return self._subscribe(request, message)
        if message.method == "UNSUBSCRIBE":
            return self._unsubscribe(request, message)
        refusal = Refusal(405, f"{message.method[:40]} is not for an event URL", "UDA 2.0 §2.1")
        return self._refuse(request, message, refusal)

    render_SUBSCRIBE = render_UNSUBSCRIBE = render

    def _refuse(self, request: Any, message: Request, refusal: Refusal) -> bytes:
        self.info(
            "%s (%s): %s answered %d: %s",
            self.service.id,
            self.backend_name,
            message,
            refusal.status,
            refusal.reason,
        )
        return answer(request, refusal_response(refusal, self._policy, message))

    def _subscribe(self, request: Any, message: Request) -> bytes:
        links = () if message.local is None else self._on_link(message.local)
        if message.local is None or message.peer is None:
            refusal = Refusal(412, "the request did not come over TCP", "")
            return self._refuse(request, message, refusal)
        verdict = judge_subscribe(*self._as_judged(message), self._limits, links)
        if isinstance(verdict, Refusal):
            return self._refuse(request, message, verdict)
        if isinstance(verdict, Renewal):
            return self._renew(request, message, verdict)
        return self._add(request, message, verdict)

    def _as_judged(self, message: Request) -> tuple[Request, PublisherPolicy]:
        """``message`` and the policy for it.

        A callback to this very listener is refused, since a publisher has nothing to tell itself;
        but where a control point of this process hears its events on the same port, as Cohen3's
        does, that one delivery URL is right."""
        callback = message.fields.get(b"callback")
        local = message.local
        if callback is None or local is None or callback != _own_callback():
            return message, self._policy
        judged = Request(
            message.method,
            message.target,
            message.headers,
            peer=message.peer,
            local=local._replace(port=0),
            http_version=message.http_version,
            keep_alive=message.keep_alive,
        )
        return judged, replace(self._policy, hosts=self._policy.hosts | {str(local)})

    def _renew(self, request: Any, message: Request, verdict: Renewal) -> bytes:
        subscriber = self._find(verdict.sid)
        if subscriber is None:
            return self._refuse(request, message, _unknown(verdict.sid))
        self._keep(subscriber, verdict.duration)
        self.debug("%s renewed for %d s", verdict.sid, verdict.duration)
        return answer(
            request, subscribe_response(verdict.sid, verdict.duration, self._policy, message)
        )

    def _add(self, request: Any, message: Request, verdict: NewSubscription) -> bytes:
        refusal = self._judge_room(verdict.peer.host)
        if refusal is not None:
            return self._refuse(request, message, refusal)
        sid = f"uuid:{uuid4()}"
        subscriber = Subscriber(
            {"sid": sid, "callback": verdict.urls[0].url, "seq": 0, "timeout": "", "created": 0.0},
            verdict.urls,
        )
        subscriber.source = verdict.local._replace(port=0)
        subscriber.peer = verdict.peer.host
        subscriber.uda = self._policy.uda
        subscriber.table = self.subscribers
        outbox = outbox_of(subscriber, self._reactor)
        outbox.hold()
        self._keep(subscriber, verdict.duration)
        try:
            self.service.new_subscriber(subscriber)
        except Exception:  # noqa: BLE001 - an application's fault is a 500
            self.exception("%s did not take a new subscriber", self.service.id)
            subscriber.withdraw()
            outbox.drop()
            return self._refuse(request, message, Refusal(500, "the service failed", ""))
        # Cohen3 forgets the subscribers of a service without evented variables.
        self.subscribers.setdefault(sid, subscriber)
        self._watch(verdict.duration)
        pending = getattr(self.service, "_pending_notifications", None)
        if isinstance(pending, dict):
            pending[self] = self

        def left(sent: bool) -> None:
            if sent:
                outbox.release(self._policy.initial_event_delay)
            else:  # so that nobody knows the SID
                subscriber.withdraw()
                outbox.drop()

        call_when_left(request, self._reactor, left)
        self.info("%s (%s): %s subscribed", self.service.id, self.backend_name, verdict.peer)
        return answer(request, subscribe_response(sid, verdict.duration, self._policy, message))

    def _judge_room(self, address: str) -> Refusal | None:
        caps = self._limits.subscriptions, self._limits.subscriptions_per_address
        if len(self.subscribers) >= min(caps):
            self._sweep()
        theirs = sum(getattr(s, "peer", None) == address for s in self.subscribers.values())
        return judge_room(address, theirs, len(self.subscribers), self._limits)

    def _unsubscribe(self, request: Any, message: Request) -> bytes:
        verdict = judge_unsubscribe(message, self._policy)
        if isinstance(verdict, Cancellation) and self._find(verdict.sid) is None:
            verdict = _unknown(verdict.sid)
        if isinstance(verdict, Refusal):
            return self._refuse(request, message, verdict)
        outbox_of(self.subscribers.pop(verdict.sid), self._reactor).end()
        if not self.subscribers:
            self._watch(0)
        self.info("%s (%s): %s cancelled", self.service.id, self.backend_name, verdict.sid)
        return answer(request, unsubscribe_response(self._policy, message))

    # --- time ---

    def check_subscribers(self) -> None:
        """Take those out of the dict whose time is up. Done at each deadline anyway."""
        self._sweep()

    def disconnect(self) -> Deferred[None]:
        """The service ends: leave nothing with the reactor, and give up what was on its way. Fires
        when the connections are gone. Cohen3's services call it when they are
        released, since it stands among their pending notifications."""
        if self._timer is not None:
            self._timer.close()
        self._sweep_at = None
        endpoints: set[Endpoint] = set()
        for subscriber in tuple(self.subscribers.values()):
            endpoints |= outbox_of(subscriber, self._reactor).drop()
        return deliveries_of(self._reactor).leave(*endpoints)

    @property
    def _reactor(self) -> Reactor:
        if self._given_reactor is None:
            self._given_reactor = default_reactor()
        return self._given_reactor

    def _keep(self, subscriber: MutableMapping[str, Any], duration: int) -> None:
        subscriber["timeout"] = format_timeout(duration).decode("ascii")
        subscriber["created"] = time.time()
        if isinstance(subscriber, Subscriber):
            subscriber.expires = self._reactor.seconds() + duration
            subscriber.stamp = (subscriber["created"], subscriber["timeout"])

    def _seconds_left(self, subscriber: MutableMapping[str, Any]) -> float:
        """By the reactor's clock, which no change of the date disturbs; by the date when a
        program has written another ``created`` or ``timeout``."""
        if isinstance(subscriber, Subscriber) and subscriber.expires is not None:
            created, timeout = subscriber.stamp
            if (subscriber.get("created"), subscriber.get("timeout")) == (created, timeout):
                return subscriber.expires - self._reactor.seconds()
        try:
            duration = parse_timeout(str(subscriber["timeout"]).encode("latin-1"))
            return float(subscriber["created"]) + (duration or 86_400.0) - time.time()
        except (KeyError, TypeError, ValueError):
            return 86_400.0

    def _find(self, sid: str) -> MutableMapping[str, Any] | None:
        """The subscriber with that SID, unless its time is up."""
        subscriber: MutableMapping[str, Any] | None = self.subscribers.get(sid)
        if subscriber is not None and self._seconds_left(subscriber) <= 0:
            self._sweep()
            return None
        return subscriber

    def _sweep(self, now: float = 0.0) -> None:
        left = self._limits.timer_seconds
        for sid, subscriber in tuple(self.subscribers.items()):
            seconds = self._seconds_left(subscriber)
            if seconds <= 0:
                self.info("%s (%s): %s expired", self.service.id, self.backend_name, sid)
                del self.subscribers[sid]
                outbox_of(subscriber, self._reactor).end()
            else:
                left = min(left, seconds)
        self._sweep_at = None
        self._watch(left)

    def _watch(self, seconds: float) -> None:
        """Sweep after ``seconds``, if not before."""
        if self._timer is None:
            clock = self._reactor.seconds
            self._timer = Timer(later_of(self._reactor), self._limits, self._sweep, clock=clock)
        when = self._reactor.seconds() + seconds
        if not self.subscribers:
            self._sweep_at = None
            self._timer.close()
        elif self._sweep_at is None or when < self._sweep_at:
            self._sweep_at = when
            self._timer.set(when)


class ServiceSubscribers(Mapping[str, Any]):
    """The subscriptions of a :class:`propchange.twisted.Service` as Cohen3's dict of subscribers:
    a live view, SID -> subscriber. :meth:`add` puts in one that was not subscribed here."""

    def __init__(self, service: Service, reactor: Reactor) -> None:
        self._service = service
        self._reactor = reactor
        self._clock = clock_of(reactor)
        self._added: dict[str, MutableMapping[str, Any]] = {}
        service.on_publish.append(self._publish)

    def add(self, subscriber: MutableMapping[str, Any]) -> None:
        """Send ``subscriber``, a dict of ``sid``, ``callback`` and ``seq``, the initial event and
        every later one, unmoderated, until it answers 412."""
        self._added[str(subscriber["sid"])] = subscriber
        self._send(subscriber, self._service.initial_texts())

    def _publish(self, changes: Mapping[str, str]) -> None:
        for subscriber in tuple(self._added.values()):
            self._send(subscriber, changes)

    def _send(self, subscriber: MutableMapping[str, Any], texts: Mapping[str, str]) -> None:
        def answered(response: PeerResponse) -> None:
            if response.status == 412:
                self._added.pop(str(subscriber["sid"]), None)

        xml = format_propertyset(texts.items())
        sent, _ = send_notification(subscriber, xml, reactor=self._reactor)
        sent.addCallbacks(answered, lambda _: None)

    def __getitem__(self, sid: str) -> Any:
        for subscription in self._service.subscriptions:
            if subscription.sid == sid:
                since = self._clock() - (subscription.expires - subscription.duration)
                return {
                    "sid": sid,
                    "callback": subscription.callbacks[0],
                    "seq": subscription.seq,
                    "timeout": format_timeout(subscription.duration).decode("ascii"),
                    "created": time.time() - since,
                }
        return self._added[sid]

    def __iter__(self) -> Iterator[str]:
        yield from [subscription.sid for subscription in self._service.subscriptions]
        yield from tuple(self._added)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _own_callback() -> bytes | None:
    """The CALLBACK of the control point in this process, if there is one."""
    url = own_delivery_url()
    return None if url is None else f"<{url}>".encode("ascii", "replace")


def _unknown(sid: str) -> Refusal:
    return Refusal(412, f"{sid} is not a subscription to this service", "UDA 2.0 §4.1.2")
