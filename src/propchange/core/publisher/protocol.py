"""The publisher: takes SUBSCRIBE and UNSUBSCRIBE, and gives the event messages to send.

No I/O, no clock, no randomness. :class:`PublisherProtocol` holds the table of subscriptions and
leaves the rest to others: :mod:`.judge` says whether a request may be granted, :mod:`.states` which
state follows, :mod:`.backlog` which message a subscription is sent next, :mod:`.moderation` when a
change may be sent, and :mod:`.delivery_queue` which subscription is next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping, Sequence
from typing import Any

from propchange.core.deadlines import Deadlines
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.multicast.message import Datagram, ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy, MulticastPublication
from propchange.core.publisher.counts import PublisherCounts, PublisherOutcomes
from propchange.core.publisher.delivery_queue import DeliveryQueue
from propchange.core.publisher.delivery_share import origin_of
from propchange.core.publisher.event_holds import EventHold, EventHolds
from propchange.core.publisher.former_subscriptions import FormerSubscriptions
from propchange.core.publisher.judge import (
    DELIVERED,
    AttemptVerdict,
    Cancellation,
    NewSubscription,
    PublisherPolicy,
    Renewal,
    judge_attempt,
    judge_room,
    judge_subscribe_anew,
    judge_unsubscribe,
    subscribe_response,
)
from propchange.core.publisher.outcomes import (
    AnswerUnreported,
    AttemptFailed,
    AttemptTimedOut,
    Disowned,
    Expired,
    InitialEventDelivered,
    MessageAbandoned,
    PublisherOutcome,
    Refused,
    Renewed,
    Subscribed,
    Unsubscribed,
)
from propchange.core.publisher.records import EventedVariable, PublishedService, Route, Subscription
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    Endpoint,
    Request,
    Response,
    shared,
)
from propchange.core.wire.refusals import Refusal, empty_response, refusal_response
from propchange.core.wire.xml import FORBIDDEN, check_carried

_step = PUBLISHER.step
_ENDED = PublisherState.ENDED
_ON_SETTLED = PUBLISHER.on(PublisherInput.SETTLED)
_SENDING = PublisherState.SENDING


class PublisherProtocol:
    """The publisher of one listener, with all its services and subscriptions (UDA 2.0 §4).

    Every input takes ``now``, a time in seconds of one monotonic clock. After each input, drain
    :meth:`take_deliveries`, :meth:`take_datagrams` and :meth:`take_outcomes`, and set a timer for
    :meth:`next_deadline`.

    ``new_sid`` makes a SID (``uuid:…``, never the same twice). ``on_link`` gives the prefixes of
    the interface that has a local address. ``on_link_now`` reads them before; it is called before a
    SUBSCRIBE is refused. ``own_hosts`` gives the addresses of this machine, as
    texts in their shortest form: events of a subscriber on another machine are not sent there.
    ``own_towards`` returns the address of this machine on the network of a peer, for a SUBSCRIBE of
    which a web server does not say where it came in; None: there is none.
    ``has_address`` returns whether an endpoint has one of them now. It is called if a renewal comes
    in at another address than the SUBSCRIBE.
    ``date`` gives the value of DATE; None: answers have no DATE. ``multicast`` says where multicast
    events go. ``boot_id`` gives the current BOOTID.UPNP.ORG, 0 to 2147483647. Raises ValueError for
    a multicast scope that ``policy.uda`` does not know.
    """

    def __init__(
        self,
        *,
        new_sid: Callable[[], str],
        on_link: Callable[[Endpoint], Sequence[OnLink]],
        on_link_now: Callable[[Endpoint], Sequence[OnLink]] | None = None,
        own_hosts: Callable[[], Container[str]] = tuple,
        own_towards: Callable[[Endpoint], Endpoint | None] = lambda _: None,
        has_address: Callable[[Endpoint], bool] = lambda _: True,
        policy: PublisherPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        date: Callable[[], bytes] | None = None,
        multicast: MulticastPolicy | None = None,
        boot_id: Callable[[], int] | None = None,
    ) -> None:
        self._new_sid = new_sid
        self._on_link = on_link
        self._on_link_now = on_link_now or on_link
        self._own_hosts = own_hosts
        self._own_towards = own_towards
        self._policy = policy or PublisherPolicy()
        self._limits = limits
        self._date = date
        self._silent: set[str] = set()
        self._services: dict[str, PublishedService] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._per_address: Counter[str] = Counter()
        self._per_prefix: Counter[Hashable] = Counter()
        self._expiry: Deadlines[Subscription] = Deadlines()
        self._owed: Deadlines[Subscription] = Deadlines()
        self._moderated: Deadlines[tuple[PublishedService, str]] = Deadlines()
        self.counts = counts = PublisherCounts(self._services.values())
        self._outcomes = PublisherOutcomes(limits, counts)
        self._former = FormerSubscriptions(has_address)
        self._queue = DeliveryQueue(limits, self._outcomes.log, self._abandon)
        self._holds = EventHolds(limits, self._queue.changed)
        multicast = multicast or MulticastPolicy()
        multicast.check(self._policy.uda)
        self._multicast = MulticastPublication(multicast, limits, boot_id, self._outcomes.log)
        self._now = 0.0

    # --- services ---

    def add_service(
        self,
        path: str,
        variables: Mapping[str, EventedVariable],
        identity: ServiceIdentity | None = None,
    ) -> None:
        """Accept SUBSCRIBE requests at ``path``, the event URL of one service (UDA 2.0 §4.1.1).

        ``variables`` maps each evented variable to its declaration, in the order of the initial
        event. Variables with a level are sent by multicast too, as events of the service
        ``identity``; with UDA 1.0, which has no multicast events, levels are ignored. Call
        :meth:`update` when values change.

        Raises ValueError when the path is taken, when there is no variable, for a name or a text
        that XML cannot carry, and for a level without an identity and a boot id.
        """
        if path in self._services:
            raise ValueError(f"{path} is the event URL of another service")
        service = PublishedService(path, variables, self._limits, self._outcomes.log)
        levels = {name: v.level for name, v in variables.items() if v.level is not None}
        if levels and self._policy.uda != "1.0":
            service.multicast = self._multicast.service(
                path, identity, levels, service.guarded_merges
            )
        self._services[path] = service

    def update(self, path: str, changes: Mapping[str, str], now: float) -> None:
        """Note new values of the service at ``path`` (evented variable -> text).

        The changes that moderation allows are one event message for each subscription; the others
        are sent when they are due. A text that is equal to the one before is no change (EVT-07),
        except for a variable with a merge rule. Then drain :meth:`take_deliveries`.

        Raises KeyError for a path or a variable that was not added and ValueError for a text that
        XML cannot carry, and then changes nothing.
        """
        self._now = now
        service = self._services[path]
        for name, text in changes.items():
            if name not in service.texts:
                raise KeyError(name)
            if FORBIDDEN.search(text) is not None:
                check_carried(text, name)
            if name in service.folds:
                service.folds[name].read(text)
        going: dict[str, str] = {}
        for name, text in changes.items():
            merge = service.merges.get(name)
            moderation = service.moderations.get(name)
            if merge is None:
                if service.texts[name] == text:
                    continue
            elif moderation is not None and moderation.due is not None:
                # No subscriber was sent the change that waits, so it must not be lost.
                text = merge(service.texts[name], text)
                check_carried(text, name)
            service.texts[name] = text
            if moderation is None or moderation.changed(text, now):
                going[name] = text
            else:
                service.backlog.set_current(name, text)
                if moderation.due is not None:
                    self._moderated.set((service, name), moderation.due)
                else:
                    self._moderated.clear((service, name))
        if going:
            self._publish(service, going)

    def _publish(self, service: PublishedService, changes: Mapping[str, str]) -> None:
        backlog = service.backlog
        backlog.record(changes)
        if backlog.overfull:
            backlog.prune(each.cursor for each in service.subscriptions.values())
        if service.multicast is not None:
            self._multicast.changed(service.multicast, changes, backlog.head)
        if backlog.held_after is None:
            self._queue.changed(service)

    def hold(self, path: str, now: float) -> EventHold:
        """Hold the messages of the service at ``path`` that are recorded from now on: an action is
        about to change the service. Call :meth:`hasten` when the action has ended, and
        :meth:`release` when its answer has left or cannot leave. A hold ends by itself after
        ``Limits.held_event_seconds``. Raises KeyError for an unknown path.
        """
        self._now = now
        return self._holds.begin(self._services[path], now)

    def holds(self, hold: EventHold) -> bool:
        """Whether ``hold`` has not ended."""
        return hold in self._holds

    def hasten(self, hold: EventHold, now: float) -> None:
        """End ``hold`` after ``Limits.unread_answer_seconds`` at the latest: the action has ended,
        and its answer is being written."""
        self._now = now
        self._holds.hasten(hold, now)

    def release(self, hold: EventHold, now: float) -> None:
        """End ``hold``: the answer has left, or cannot leave. Then drain :meth:`take_deliveries`
        and :meth:`take_datagrams`. A hold that has ended is ignored."""
        self._now = now
        self._holds.end(hold)

    def add_silent(self, path: str) -> None:
        """Note that the service that would have the event URL ``path`` has no evented variables
        (SUB-02). A SUBSCRIBE there is answered with 404, and its outcome says why."""
        self._silent.add(path)

    # --- requests ---

    def receive_request(self, request: Request, now: float) -> Response:
        """Return the answer to a request that was sent to the listener.

        SUBSCRIBE and UNSUBSCRIBE are judged and granted or refused. The answer to another path
        than an event URL is a 404, to another method a 405. If the answer has a ``receipt``, call
        :meth:`response_sent` when it has left, or :meth:`response_lost` when it cannot leave; until
        then the initial event is not sent. If neither is called, the subscription ends after
        ``Limits.unreported_answer_seconds``.
        """
        self._now = now
        self._expire(now)
        response = self._answer(request, now)
        if self._date is not None:
            response.headers = ((b"DATE", self._date()), *response.headers)
        return response

    def _answer(self, request: Request, now: float) -> Response:
        service = self._services.get(request.target.partition("?")[0])
        if service is None:
            subscribes = request.method in ("SUBSCRIBE", "UNSUBSCRIBE")
            there = "no service has this event URL" if subscribes else "nothing is at this path"
            if subscribes and request.target.partition("?")[0] in self._silent:
                there = "the service has no evented variables: its eventSubURL is empty"
            return self._refuse(request, Refusal(404, there, ""))
        verdict: NewSubscription | Renewal | Cancellation | Refusal
        if request.method == "UNSUBSCRIBE":
            verdict = judge_unsubscribe(request, self._policy)
        else:
            verdict = judge_subscribe_anew(
                request,
                self._policy,
                self._limits,
                on_link=self._on_link,
                on_link_now=self._on_link_now,
                own_hosts=self._own_hosts,
                own_towards=self._own_towards,
            )
        if isinstance(verdict, Refusal):
            return self._refuse(request, verdict)
        if isinstance(verdict, NewSubscription):
            return self._subscribe(service, request, verdict, now)
        sid = verdict.sid
        given = PublisherInput.RENEWED if isinstance(verdict, Renewal) else PublisherInput.CANCELLED
        subscription = service.subscriptions.get(sid)
        if subscription is None or not PUBLISHER.allows(subscription.state, given):
            unknown = f"{sid} is not a subscription to this service"
            return self._refuse(request, Refusal(412, unknown, "UDA 2.0 §4.1.2"))
        if isinstance(verdict, Renewal) and (why := self._former.refuse(subscription, request)):
            return self._refuse(request, Refusal(412, why, "UDA 2.0 §0.5"))
        self._move(subscription, given)
        if isinstance(verdict, Renewal):
            duration = self._queue.granted(
                subscription, verdict.duration, self._policy.minimum_duration
            )
            self._extend(subscription, duration, now)
            if request.peer is not None:
                self._queue.renewed(subscription, request.peer)
            self._outcomes.log(Renewed(sid, duration))
            return subscribe_response(sid, duration, self._policy, request)
        self._outcomes.log(Unsubscribed(sid))
        return empty_response(200, request, self._policy)

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        status, reason, clause, _ = refusal
        self._outcomes.log(Refused(request.target, request.peer, status, reason, clause))
        return refusal_response(refusal, self._policy, request)

    def _subscribe(
        self, service: PublishedService, request: Request, verdict: NewSubscription, now: float
    ) -> Response:
        address = verdict.peer.host
        origin = origin_of(verdict.peer)
        refusal = self._room(service, address, origin)
        if refusal is not None and (former := self._former.of(address)):
            self._cancel(former)
            refusal = self._room(service, address, origin)
        if refusal is not None:
            return self._refuse(request, refusal)
        sid = self._new_sid()
        wanted = self._accept_statevar(service, verdict.statevar)
        local = None if verdict.local is None else shared(verdict.local)
        routes = []
        for url in verdict.urls:
            load = self._queue.use(url.endpoint, verdict.peer, now)
            url = url._replace(endpoint=load.endpoint)
            routes.append(Route(DeliveryAddress(sid, url, local, self._policy.uda), load))
        peer = shared(verdict.peer._replace(port=0))
        subscription = Subscription(sid, service, tuple(routes), peer=peer, wanted=wanted)
        self._cancel(self._former.replaced_by(subscription))
        self._subscriptions[sid] = subscription
        service.subscriptions[sid] = subscription
        self._per_address[address] += 1
        if len(origin) > 1:
            self._per_prefix[origin[0]] += 1
        duration = self._queue.granted(
            subscription, verdict.duration, self._policy.minimum_duration
        )
        self._extend(subscription, duration, now)
        self._owed.set(subscription, now + self._limits.unreported_answer_seconds)
        self._outcomes.log(
            Subscribed(sid, service.path, subscription.callbacks, request.peer, duration)
        )
        accepted = None if wanted is None else verdict.statevar
        response = subscribe_response(sid, duration, self._policy, request, accepted)
        response.receipt = subscription
        return response

    def _room(
        self, service: PublishedService, address: str, origin: tuple[Hashable, ...]
    ) -> Refusal | None:
        return judge_room(
            address,
            self._per_address[address],
            len(self._subscriptions),
            self._limits,
            of_prefix=self._per_prefix[origin[0]],
            of_service=len(service.subscriptions),
        )

    def _cancel(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            if PUBLISHER.allows(subscription.state, PublisherInput.CANCELLED):
                self._move(subscription, PublisherInput.CANCELLED)

    def _accept_statevar(
        self, service: PublishedService, statevar: tuple[str, ...] | None
    ) -> frozenset[str] | None:
        """The variables to send: those of STATEVAR if the service has all of them, else None for
        every variable (SUB-51, SUB-52, AMB-4)."""
        if statevar is None:
            return None
        wanted = frozenset(statevar)
        return wanted if wanted <= service.texts.keys() else None

    def _extend(self, subscription: Subscription, duration: int, now: float) -> None:
        subscription.duration = duration
        subscription.expires = now + duration
        self._expiry.set(subscription, subscription.expires)

    def response_sent(self, response: Response, now: float) -> None:
        """Note that an answer of :meth:`receive_request` has left, so that the initial event may be
        sent. Call it when the write buffer is empty; for an answer that closes the connection, when
        the FIN has left (SUB-55, SUB-56). An answer without ``receipt`` is ignored."""
        self._now = now
        subscription = response.receipt
        if not isinstance(subscription, Subscription):
            return
        if not PUBLISHER.allows(subscription.state, PublisherInput.ANSWERED):
            return  # the subscription has ended before its answer left
        self._move(subscription, PublisherInput.ANSWERED)
        self._extend(subscription, subscription.duration, now)
        if self._policy.initial_event_delay > 0:
            self._owed.set(subscription, now + self._policy.initial_event_delay)
        else:
            self._owed.clear(subscription)
            self._queue.enqueue(subscription)

    def response_lost(self, response: Response, now: float) -> None:
        """Note that the connection broke before the answer had left. The subscription ends, because
        the subscriber does not know its SID."""
        self._now = now
        subscription = response.receipt
        if isinstance(subscription, Subscription) and subscription.waits_for_report:
            self._move(subscription, PublisherInput.ANSWER_LOST)
            self._outcomes.log(Expired(subscription.sid))

    # --- deliveries ---

    def take_deliveries(self, limit: int, *, stop_at_merged: bool = False) -> list[Delivery]:
        """At most ``limit`` deliveries to begin. Call :meth:`delivery_ended` at the end of each.
        ``stop_at_merged``: the list ends after a merged message, since merging can take long."""
        deliveries = self._queue.take(limit, self._now, stop_at_merged=stop_at_merged)
        self.counts.begun += len(deliveries)
        return deliveries

    def delivery_ended(self, delivery: Delivery, result: int | DeliveryFailure, now: float) -> None:
        """Note that ``delivery`` was answered with the status ``result``, or why it failed.

        2xx settles the message and 412 ends the subscription. For anything else the next delivery
        URL is tried, or the message is abandoned when there is none or ``Limits.message_seconds``
        are over (FAIL-01, FAIL-02, FAIL-05). A delivery that had timed out is ignored. Then drain
        :meth:`take_deliveries`: the end of one delivery may allow others.
        """
        self._now = now
        if not self._queue.ended(delivery, result, now):
            return
        self.counts.delivery_ended(result)
        subscription: Subscription = delivery.subscription
        state = subscription.state
        if state is _ENDED:
            return
        if result in DELIVERED:
            if state is not _SENDING:
                subscription.heard = True
                self._outcomes.log(
                    InitialEventDelivered(subscription.sid, subscription.service.path)
                )
            self._settle(subscription)
            return
        another_url = None
        if now < subscription.message_deadline:
            another_url = subscription.next_url(subscription.route + 1)
        verdict = judge_attempt(result, delivery.fresh, another_url is not None)
        if verdict is AttemptVerdict.DISOWNED:
            self._move(subscription, PublisherInput.DISOWNED)
            self._outcomes.log(Disowned(subscription.sid))
        elif verdict is AttemptVerdict.RETRY:
            subscription.fresh = True
            self._queue.enqueue(subscription)
        else:
            reason = f"answered with {result}" if isinstance(result, int) else result.value
            sid, seq, url = subscription.sid, delivery.seq, delivery.address.url.url
            self._outcomes.log(AttemptFailed(sid, seq, url, reason))
            if another_url is not None:
                subscription.route = another_url
                subscription.fresh = False
                self._queue.enqueue(subscription)
            else:
                self._outcomes.log(MessageAbandoned(sid, seq, reason))
                self._settle(subscription)

    def delivered(self, deliveries: Collection[Delivery], now: float) -> bool:
        """Note that each of ``deliveries`` was answered with the status 200. The same as
        :meth:`delivery_ended` for each, in less time. Returns whether there may be deliveries or
        outcomes to drain."""
        self._now = now
        self.counts.answered += len(deliveries)
        waits = self._queue.delivered(deliveries, now, self._delivered_otherwise)
        return waits or bool(self._outcomes)

    def _delivered_otherwise(self, delivery: Delivery) -> None:
        self.counts.answered -= 1  # delivery_ended() counts it
        self.delivery_ended(delivery, 200, self._now)

    def _settle(self, subscription: Subscription) -> None:
        subscription.state = state = _ON_SETTLED[subscription.state]
        if state is _ENDED:
            self._forget(subscription, PublisherInput.CANCELLED)
        else:
            self._queue.settled(subscription, self._now)

    def _abandon(self, subscription: Subscription) -> None:
        """Give up the message of ``subscription``, whose other delivery URLs are paused."""
        sid, why = subscription.sid, "its other delivery URLs have not taken an event"
        self._outcomes.log(MessageAbandoned(sid, subscription.seq, why))
        self._settle(subscription)

    def take_datagrams(self) -> list[Datagram]:
        """The multicast events to send now. Send each on every interface of its address family,
        on all of them within 20 ms (UDA 2.0 §A.2.3). ``propchange.http.encode_datagram`` encodes
        them."""
        return self._multicast.take(self._now)

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """Do what is due at ``now``: initial events, moderated changes, the ends of subscriptions,
        pauses and attempts. Early and repeated calls do nothing."""
        self._now = now
        self._multicast.handle_deadline(now)
        self._holds.handle_deadline(now)
        self._expire(now)
        self._queue.handle_deadline(now)
        while (subscription := self._owed.pop_due(now)) is not None:
            if subscription.waits_for_report:
                self._move(subscription, PublisherInput.ANSWER_LOST)
                self._outcomes.log(
                    AnswerUnreported(subscription.sid, self._limits.unreported_answer_seconds)
                )
            else:
                self._queue.enqueue(subscription)
        while (delivery := self._queue.pop_timed_out(now)) is not None:
            waited = delivery.carrier is WAITING
            failure = DeliveryFailure.WAITED if waited else DeliveryFailure.TIMED_OUT
            self._outcomes.append(AttemptTimedOut(delivery))
            self.delivery_ended(delivery, failure, now)
        due: dict[PublishedService, dict[str, str]] = {}
        while (key := self._moderated.pop_due(now)) is not None:
            service, name = key
            if service.moderations[name].flush(now):
                due.setdefault(service, {})[name] = service.texts[name]
        for service, changes in due.items():
            self._publish(service, changes)

    def next_deadline(self) -> float | None:
        """The latest time to call :meth:`handle_deadline`; None while nothing is due."""
        when = self._queue.next_deadline()
        for deadlines in (self._expiry, self._owed, self._moderated, self._holds.ends):
            other = deadlines.next() if deadlines.when else None
            if other is not None and (when is None or other < when):
                when = other
        other = self._multicast.next_deadline()
        return other if other is not None and (when is None or other < when) else when

    def _expire(self, now: float) -> None:
        while (subscription := self._expiry.pop_due(now)) is not None:
            self._move(subscription, PublisherInput.EXPIRED)
            self._outcomes.log(Expired(subscription.sid))

    # --- reading ---

    def take_outcomes(self) -> list[PublisherOutcome]:
        """What has happened since the last call, in order. Only :class:`.AttemptTimedOut` needs an
        action: end the connection that carries the delivery. Of the others, which are for a log,
        ``Limits.outcomes`` are kept."""
        # An assignment alone has no outcome.
        return self._outcomes.take() if self._outcomes else []

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """The subscriptions, in the order of their SUBSCRIBE."""
        return self._subscriptions.values()

    @property
    def subscriber_addresses(self) -> Iterable[str]:
        """The addresses that the subscriptions came from."""
        return self._per_address.keys()

    @property
    def settled(self) -> bool:
        """Whether no message is still to be sent, by unicast or by multicast. Abandoned messages do
        not count, nor initial events that wait for the end of a pause."""
        return (
            self._queue.idle
            and not (self._owed.when or self._moderated.when or self._holds.ends.when)
            and self._multicast.idle
            and self._queue.postpones_only_initial_events(self._subscriptions.values())
        )

    # --- the table of subscriptions ---

    def _move(self, subscription: Subscription, given: PublisherInput) -> None:
        subscription.state = _step(subscription.state, given)
        if subscription.state is _ENDED:
            self._forget(subscription, given)

    def _forget(self, subscription: Subscription, given: PublisherInput) -> None:
        self.counts.subscription_ended(given)
        del self._subscriptions[subscription.sid]
        service = subscription.service
        del service.subscriptions[subscription.sid]
        service.quiet.pop(subscription, None)
        self._expiry.clear(subscription)
        self._owed.clear(subscription)
        self._former.forget(subscription)
        _uncount(self._per_address, subscription.peer.host)
        _uncount(self._per_prefix, origin_of(subscription.peer)[0])
        self._queue.leave(subscription, self._now)


def _uncount(counts: Counter[Any], key: Hashable) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
