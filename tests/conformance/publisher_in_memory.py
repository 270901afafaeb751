"""The publisher's stage in memory: ``http`` and ``core``, and a clock that the row moves."""

from __future__ import annotations

import itertools
from ipaddress import ip_network
from typing import Any

from exchange import Message
from publisher_messages import PublisherRow, Variable
from publisher_player import Arrived

from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.wire.messages import DeliveryFailure, Endpoint, Response
from propchange.http import RequestParser, ResponseParser, encode_delivery, encode_response

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def evented(variable: Variable) -> EventedVariable:
    return EventedVariable(
        variable.text, minimum_interval=variable.interval, minimum_delta=variable.delta
    )


class MemoryStage:
    """See Stage."""

    has_date = True

    def __init__(self, row: PublisherRow) -> None:
        self._now = 1000.0
        self._limits = Limits(**row.limits)
        hosts = ("fd00::1", "fd00::2") if row.ipv6 else ("10.0.0.1", "10.0.0.2")
        prefix = "fd00::/64" if row.ipv6 else "10.0.0.0/24"
        self._local, self._peer = Endpoint(hosts[0], 8000), Endpoint(hosts[1], 40_000)
        serial = itertools.count(1)
        self._policy = PublisherPolicy(uda=row.uda, **row.policy)
        self._protocol = PublisherProtocol(
            new_sid=lambda: f"uuid:00000000-0000-4000-8000-{next(serial):012}",
            on_link=lambda _: (OnLink(ip_network(prefix)),),
            policy=self._policy,
            limits=self._limits,
            date=lambda: DATE,
        )
        self._protocol.add_service("/evt", {each.name: evented(each) for each in row.variables})
        self._protocol.add_service("/other", {"Humidity": EventedVariable("50")})
        self._callbacks = {
            name: Endpoint(hosts[1], port) for name, port in (("cb1", 9001), ("cb2", 9002))
        }
        self.names = {name: str(endpoint) for name, endpoint in self._callbacks.items()}
        self.names |= {
            "host": str(self._local),
            "address": hosts[0],
            "port": "8000",
            "peer": str(self._peer).rpartition(":")[0],
            "dead": str(Endpoint(hosts[1], 9)),
            "path": "/evt",
            "other": "/other",
        }
        self._parser: RequestParser | None = None
        self._answers: list[Message] = []
        self._ended = False
        self._notifies: list[Arrived] = []
        self._timed_out: set[Any] = set()
        self._answered: set[Any] = set()

    def send(self, data: bytes, *, fresh: bool, pieces: bool, ends: bool) -> None:
        if self._parser is None or fresh or self._ended:
            self._parser = RequestParser(self._limits, peer=self._peer, local=self._local)
            self._ended = False
        step = 1 if pieces else len(data)
        for start in range(0, len(data), step):
            if not self._ended:
                self._feed(self._parser, data[start : start + step])
        if ends and not self._ended:
            self._parser.end()
            self._feed(self._parser, b"")

    def _feed(self, parser: RequestParser, data: bytes) -> None:
        for request in parser.feed(data):
            response = self._protocol.receive_request(request, self._now)
            self._drain()  # nothing for a subscription that has no answer yet
            self._write(response)
            if response.receipt is not None:
                self._protocol.response_sent(response, self._now)
            self._drain()
            self._ended = response.close
            if self._ended:
                break
        if parser.error is not None and not self._ended:
            server = self._policy.server.encode()
            headers = ((b"DATE", DATE), (b"SERVER", server), (b"CONTENT-LENGTH", b"0"))
            version = parser.http_version
            self._write(Response(parser.error.status, headers, http_version=version, close=True))
            self._ended = True
        elif parser.expect_continue:
            parser.expect_continue = False
            self._answers.append(Message.of(b"HTTP/1.1 100 Continue\r\n\r\n"))

    def _write(self, response: Response) -> None:
        self._answers.append(Message.of(encode_response(response)))

    def read_answer(self) -> Message:
        return self._answers.pop(0)

    def ended(self) -> bool:
        return self._ended

    def close(self) -> None:
        self._parser = None

    def _drain(self) -> None:
        for outcome in self._protocol.take_outcomes():
            if isinstance(outcome, AttemptTimedOut):
                self._timed_out.add(outcome.delivery)
        for delivery in self._protocol.take_deliveries(100):
            for name, endpoint in self._callbacks.items():
                if endpoint == delivery.address.url.endpoint:
                    answered = len(self._answers) > 0
                    source = delivery.address.source
                    self._notifies.append(
                        Arrived(
                            Message.of(encode_delivery(delivery)),
                            name,
                            source.host if source else "any",
                            answered,
                            self._ended,
                            delivery,
                        )
                    )
                    break
            else:
                self._protocol.delivery_ended(delivery, DeliveryFailure.CONNECT, self._now)
                self._drain()

    def next_notify(self, callback: str) -> Arrived:
        arrived = next(each for each in self._notifies if each.callback == callback)
        self._notifies.remove(arrived)
        # Nothing is sent before an answer is written; whether the stream ended is known now.
        arrived.ended = self._ended
        return arrived

    def is_quiet(self) -> bool:
        return not self._notifies

    def reply(self, arrived: Arrived, data: bytes) -> None:
        if arrived.carrier in self._timed_out:
            return
        if not data and arrived.carrier in self._answered:
            return  # there is no connection that could end
        self._answered.add(arrived.carrier)
        parser = ResponseParser(self._limits)
        parser.expect("NOTIFY")
        responses = parser.feed(data)
        result = responses[0].status if responses else DeliveryFailure.BROKEN
        self._protocol.delivery_ended(arrived.carrier, result, self._now)
        self._drain()

    def change(self, path: str, values: dict[str, str]) -> None:
        self._protocol.update(path, values, self._now)
        self._drain()

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while (due := self._protocol.next_deadline()) is not None and due <= end:
            self._now = max(due, self._now)
            self._protocol.handle_deadline(self._now)
            self._drain()
        self._now = end

    def set_next_seq(self, sid: str, seq: int) -> None:
        for subscription in self._protocol.subscriptions:
            if subscription.sid == sid:
                subscription.seq = seq
