"""A publisher with one service, whose subscribers answer as the test says."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut, PublisherOutcome
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request, Response

Answer = Callable[[Delivery], tuple[float, int | DeliveryFailure]]
"""Says after how many seconds an attempt ends, and how."""

HERE = Endpoint("10.0.0.1", 8000)
HERE_6 = Endpoint("2001:db8::1", 8000)


class Publisher:
    """A publisher with one service, on a clock that the test moves."""

    def __init__(self, limits: Limits) -> None:
        self.now = 0.0
        self.attempts: list[tuple[float, Endpoint]] = []
        self.received: dict[str, dict[str, str]] = {}
        self.outcomes: list[PublisherOutcome] = []
        self.limits = replace(limits, subscriptions=5_000, subscriptions_per_address=5_000)
        numbers = itertools.count(1)
        self.protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:{next(numbers)}",
            on_link=lambda _: (
                OnLink(ip_network("10.0.0.0/16")),
                OnLink(ip_network("2001:db8::/32")),
            ),
            policy=PublisherPolicy(uda="2.0"),
            limits=self.limits,
        )
        self.protocol.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})

    def request(self, method: str, peer: str = "10.0.0.2", **headers: str) -> Response:
        here = HERE_6 if ":" in peer else HERE
        pairs = [(b"HOST", str(here).encode())]
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request(method, "/evt", pairs, peer=Endpoint(peer, 40_000), local=here)
        response = self.protocol.receive_request(request, self.now)
        assert response.status == 200, response
        self.protocol.response_sent(response, self.now)
        return response

    def subscribe(
        self,
        *ports: int,
        host: str = "10.0.0.2",
        peer: str = "",
        statevar: str = "",
        timeout: str = "",
    ) -> str:
        """Subscribe from ``peer`` with delivery URLs on ``host``, which is ``peer`` if empty.
        Returns the SID."""
        callback = "".join(f"<http://{Endpoint(host, port)}/>" for port in ports)
        more = {"STATEVAR": statevar} if statevar else {}
        more |= {"TIMEOUT": timeout} if timeout else {}
        response = self.request(
            "SUBSCRIBE", peer or host, CALLBACK=callback, NT="upnp:event", **more
        )
        return response.fields[b"sid"].decode()

    def at(self, now: float) -> None:
        self.now = now
        self.protocol.handle_deadline(now)

    def heard(self) -> list[bool]:
        return [subscription.heard for subscription in self.protocol.subscriptions]

    def change(self, text: str) -> None:
        self.protocol.update("/evt", {"A": text}, self.now)

    def run(self, until: float, answer: Answer, *, change_every: float | None = None) -> None:
        """Until the time ``until``, end each attempt as ``answer`` says, and assign the time to A
        every ``change_every`` seconds."""
        ends: list[tuple[float, int, Delivery, int | DeliveryFailure]] = []
        numbers = itertools.count()
        change_at = until if change_every is None else self.now
        while True:
            for outcome in self.protocol.take_outcomes():
                self.outcomes.append(outcome)
                if isinstance(outcome, AttemptTimedOut):
                    ends = [end for end in ends if end[2] is not outcome.delivery]
                    heapq.heapify(ends)
            free = self.limits.delivery_connections - len(ends)
            for delivery in self.protocol.take_deliveries(free):
                self.attempts.append((self.now, delivery.address.url.endpoint))
                seconds, result = answer(delivery)
                heapq.heappush(ends, (self.now + seconds, next(numbers), delivery, result))
            deadline = self.protocol.next_deadline()
            when = min(
                change_at,
                until if deadline is None else max(deadline, self.now),
                ends[0][0] if ends else until,
            )
            if when >= until:
                self.at(until)
                return
            self.at(when)
            if when == change_at and change_every is not None:
                self.change(str(when))
                change_at = when + change_every
            while ends and ends[0][0] <= self.now:
                _, _, delivery, result = heapq.heappop(ends)
                if result == 200:
                    values = self.received.setdefault(delivery.address.sid, {})
                    values.update(delivery.message.changes)
                self.protocol.delivery_ended(delivery, result, self.now)

    def text(self, name: str) -> str:
        """The present value of the variable ``name``."""
        return self.protocol._services["/evt"].texts[name]

    def values(self) -> list[str]:
        """The value of A that each subscription knows."""
        return [self.received[s.sid]["A"] for s in self.protocol.subscriptions]


def answers_after(seconds: float, result: int | DeliveryFailure = 200) -> Answer:
    """Each attempt ends with ``result`` after ``seconds``."""
    return lambda _: (seconds, result)
