"""Both cores back to back, over a wire that a test makes as bad as it likes, on a clock it owns.

::

    link = Link()
    link.add_service("/evt", {"Temperature": EventedVariable("20")})
    held = link.subscribe("/evt")
    link.run(1)
    link.update("/evt", {"Temperature": "21"})
    link.run(1)
    assert held.values == {"Temperature": "21"}

Every message goes through its bytes. Nothing sleeps: :meth:`Link.run` moves the clock from one
thing that is due to the next.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from propchange.core.callbacks import OnLink
from propchange.core.events import Event, StatusChange
from propchange.core.held import HeldSubscription
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.messages import Delivery, DeliveryFailure, Endpoint, Request, Response
from propchange.core.outcomes import AttemptTimedOut, PublisherOutcome, SubscriberOutcome
from propchange.core.publication import EventedVariable
from propchange.core.publisher import PublisherProtocol
from propchange.core.rules import PublisherPolicy, SubscriberPolicy
from propchange.core.subscriber import SubscriberProtocol
from propchange.core.subscribing import OutgoingRequest, RequestKind
from propchange.http import (
    RequestParser,
    ResponseParser,
    encode_delivery,
    encode_request,
    encode_response,
)

__all__ = ["DELIVER", "Fate", "Link", "Message"]

Message = Literal["SUBSCRIBE", "UNSUBSCRIBE", "DESCRIBE", "NOTIFY", "answer"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What the wire does to one message: each number in ``arrivals`` is a delay in seconds after
    which a copy arrives; none means that it is lost. ``told``: the sender of a lost message learns
    of it at once (a connection refused or reset) instead of waiting in silence."""

    arrivals: tuple[float, ...] = (0.0,)
    told: bool = True


DELIVER = Fate()


class Link:
    """One publisher, one subscriber, the wire between them and the time.

    ``fate`` decides what happens to each message. ``publisher_host`` and ``subscriber_host`` are
    their addresses.
    """

    def __init__(
        self,
        *,
        fate: Callable[[Message], Fate] = lambda message: DELIVER,
        publisher_policy: PublisherPolicy | None = None,
        subscriber_policy: SubscriberPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        jitter: Callable[[], float] = lambda: 0.0,
        publisher_host: str = "10.0.0.1",
        subscriber_host: str = "10.0.0.2",
    ) -> None:
        self.fate = fate
        self.now = 0.0
        self.limits = limits
        self.publisher_end = Endpoint(publisher_host, 8000)
        self.subscriber_end = Endpoint(subscriber_host, 9000)
        self._publisher_policy = publisher_policy
        self._services: dict[str, Mapping[str, EventedVariable]] = {}
        self._sids = (f"uuid:{number:08d}" for number in itertools.count(1))
        tokens = (f"path-{number}" for number in itertools.count(1))
        self.subscriber = SubscriberProtocol(
            new_token=lambda: next(tokens),
            jitter=jitter,
            policy=subscriber_policy,
            limits=limits,
        )
        self.publisher = self._new_publisher()
        self.publisher_outcomes: list[PublisherOutcome] = []
        self.subscriber_outcomes: list[SubscriberOutcome] = []
        self.described_at: dict[HeldSubscription, str] = {}
        """Where a description that is read again says the event URL is; absent: it fails."""
        self._serial = itertools.count()
        self._wire: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: set[Delivery] = set()

    def _new_publisher(self) -> PublisherProtocol:
        return PublisherProtocol(
            new_sid=lambda: next(self._sids),
            on_link=lambda _: (OnLink(ip_network("10.0.0.0/24"), 0),),
            policy=self._publisher_policy,
            limits=self.limits,
        )

    # --- what a test does ---

    def add_service(self, path: str, variables: Mapping[str, EventedVariable]) -> None:
        """As :meth:`PublisherProtocol.add_service`."""
        self._services[path] = variables
        self.publisher.add_service(path, variables)

    def url(self, path: str) -> str:
        """The event URL of the service at ``path``."""
        return f"http://{self.publisher_end}{path}"

    def subscribe(self, path: str, **options: Any) -> HeldSubscription:
        """Subscribe to the service at ``path``; ``options`` as
        :meth:`SubscriberProtocol.subscribe` takes them."""
        held = self.subscriber.subscribe(self.url(path), self.now, **options)
        self._drain()
        return held

    def unsubscribe(self, held: HeldSubscription) -> None:
        """As :meth:`SubscriberProtocol.unsubscribe`."""
        self.subscriber.unsubscribe(held, self.now)
        self._drain()

    def update(self, path: str, changes: Mapping[str, str]) -> None:
        """As :meth:`PublisherProtocol.update`."""
        self.publisher.update(path, changes, self.now)
        self._drain()

    def restart_publisher(self) -> None:
        """The device loses its memory: same services at their first values, no subscription."""
        self.publisher = self._new_publisher()
        for path, variables in self._services.items():
            self.publisher.add_service(path, variables)

    def run(self, seconds: float) -> None:
        """Let ``seconds`` go by and do all that is due meanwhile, in order."""
        end = self.now + seconds
        # A test may have spoken to one of the protocols itself.
        self._drain()
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            if self._wire and self._wire[0][0] <= self.now:
                _, _, arrive = heapq.heappop(self._wire)
                arrive()
            else:
                self.publisher.handle_deadline(self.now)
                self.subscriber.handle_deadline(self.now)
            self._drain()
        self.now = end

    def events(self, held: HeldSubscription) -> list[Event]:
        """The events that ``held`` has had."""
        return [
            outcome
            for outcome in self.subscriber_outcomes
            if isinstance(outcome, Event) and outcome.subscription is held
        ]

    def statuses(self, held: HeldSubscription) -> list[StatusChange]:
        """The status changes that ``held`` has had."""
        return [
            outcome
            for outcome in self.subscriber_outcomes
            if isinstance(outcome, StatusChange) and outcome.subscription is held
        ]

    # --- the wire ---

    def _next_due(self) -> float | None:
        times = [self.publisher.next_deadline(), self.subscriber.next_deadline()]
        if self._wire:
            times.append(self._wire[0][0])
        return min((time for time in times if time is not None), default=None)

    def _drain(self) -> None:
        moved = True
        while moved:
            moved = False
            for request in self.subscriber.take_requests():
                self._send_request(request)
                moved = True
            for delivery in self.publisher.take_deliveries(self.limits.delivery_connections):
                self._send_delivery(delivery)
                moved = True
        self.subscriber_outcomes += self.subscriber.take_outcomes()
        for outcome in self.publisher.take_outcomes():
            self.publisher_outcomes.append(outcome)
            if isinstance(outcome, AttemptTimedOut):
                self._waiting.discard(outcome.delivery)

    def _carry(
        self, message: Message, arrive: Callable[[], None], lost: Callable[[], None]
    ) -> None:
        """Put ``message`` on the wire; ``lost`` tells the sender."""
        fate = self.fate(message)
        for delay in fate.arrivals:
            heapq.heappush(self._wire, (self.now + delay, next(self._serial), arrive))
        if not fate.arrivals and fate.told:
            heapq.heappush(self._wire, (self.now, next(self._serial), lost))

    def _send_request(self, outgoing: OutgoingRequest) -> None:
        def lost() -> None:
            self.subscriber.request_failed(outgoing, "the wire is cut", self.now)

        if outgoing.kind is RequestKind.DESCRIBE:
            self._carry("DESCRIBE", lambda: self._describe(outgoing), lost)
            return
        data = encode_request(outgoing.build(self.subscriber_end))
        message: Message = (
            "UNSUBSCRIBE" if outgoing.kind is RequestKind.UNSUBSCRIBE else "SUBSCRIBE"
        )

        def arrive() -> None:
            request = _parse_request(data, self.subscriber_end, self.publisher_end, self.limits)
            publisher = self.publisher
            response = publisher.receive_request(request, self.now)
            answer = encode_response(response)
            if response.receipt is not None:
                publisher.response_sent(response, self.now)
            self._carry("answer", lambda: answered(answer), lost)

        def answered(answer: bytes) -> None:
            (response,) = ResponseParser(self.limits).feed(answer)
            outgoing.remote = self.publisher_end
            self.subscriber.response_received(outgoing, response, self.now)

        self._carry(message, arrive, lost)

    def _describe(self, outgoing: OutgoingRequest) -> None:
        held = outgoing.subscription
        url = self.described_at.get(held)
        if url is None:
            self.subscriber.request_failed(outgoing, "no description", self.now)
        else:
            self.subscriber.described(outgoing, url, held.convert, self.now)

    def _send_delivery(self, delivery: Delivery) -> None:
        data = encode_delivery(delivery)
        publisher = self.publisher
        self._waiting.add(delivery)

        def ended(result: int | DeliveryFailure) -> None:
            if delivery in self._waiting:
                self._waiting.discard(delivery)
                publisher.delivery_ended(delivery, result, self.now)

        def lost() -> None:
            ended(DeliveryFailure.CONNECT)

        def arrive() -> None:
            request = _parse_request(data, self.publisher_end, self.subscriber_end, self.limits)
            answer = encode_response(self.subscriber.receive_notify(request, self.now))
            self._carry("answer", lambda: answered(answer), lost)

        def answered(answer: bytes) -> None:
            response: Response
            (response,) = ResponseParser(self.limits).feed(answer)
            ended(response.status)

        if delivery.address.url.endpoint == self.subscriber_end:
            self._carry("NOTIFY", arrive, lost)
        else:
            heapq.heappush(self._wire, (self.now, next(self._serial), lost))


def _parse_request(data: bytes, peer: Endpoint, local: Endpoint, limits: Limits) -> Request:
    (request,) = RequestParser(limits, peer=peer, local=local).feed(data)
    return request
