"""Whole connections in memory: bytes in, cut anywhere, as one role or the other receives them.

The bytes are a script. ``\\xfe`` ends a piece; the loop turns once between two pieces. An empty
piece lets ten seconds pass.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Any

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.lastchange import AVT, LastChangeFold
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Response,
)
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.listener import Listener
from propchange.driver.runtime import Transport
from propchange.http import ResponseParser, encode_delivery

PEER, LOCAL = Endpoint("192.0.2.7", 40_000), Endpoint("192.0.2.1", 80)
END_OF_PIECE = b"\xfe"


class Fault(AssertionError):
    """Something that no bytes of a peer may cause."""


class _Raising(logging.Handler):
    """What is logged as an error is a fault: an exception was caught and answered with 500."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        raise Fault(record.getMessage()) from error


LOGGER = logging.getLogger("fuzz.connections")
LOGGER.propagate = False
LOGGER.addHandler(_Raising(level=logging.ERROR))


class _Armed:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class MemoryRuntime:
    """A runtime whose time is moved by hand. It has no coroutines, which no answer here needs."""

    from_thread = "memory.call"

    def __init__(self) -> None:
        self.time = 1_000.0
        self._calls: list[tuple[float, int, _Armed, Callable[[], None]]] = []
        self._count = itertools.count()
        self.connections: list[MemoryTransport] = []

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None], /) -> _Armed:
        armed = _Armed()
        heapq.heappush(self._calls, (self.time + seconds, next(self._count), armed, call))
        return armed

    def call_soon(self, call: Callable[[], None], /) -> _Armed:
        return self.call_later(0.0, call)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass. 0: the loop turns once."""
        until = self.time + seconds
        for _ in range(10_000):
            if not self._calls or self._calls[0][0] > until:
                self.time = until
                return
            when, _, armed, call = heapq.heappop(self._calls)
            self.time = max(self.time, when)
            if not armed.cancelled:
                call()
        raise Fault("the loop does not come to rest")

    def connect(self, connection: Any, endpoint: Endpoint, **options: Any) -> _Armed:
        """A connection that is there at the next turn."""
        armed = _Armed()

        def made() -> None:
            if not armed.cancelled:
                self.connections.append(MemoryTransport(self, connection, endpoint))

        self.call_soon(made)
        return armed


class MemoryTransport:
    """One connection. ``data`` is what was written to it."""

    def __init__(self, runtime: MemoryRuntime, connection: Any, peer: Endpoint = PEER) -> None:
        self.runtime = runtime
        self.connection = connection
        self.data = b""
        self.closing = False
        self.lost = False
        self.ended = False
        functions = Transport(
            write=self._write,
            write_eof=self._write_eof,
            close=self._close,
            abort=self._close,
            pause_reading=lambda: None,
            resume_reading=lambda: None,
            unwritten=lambda: 0,
            unsent=lambda: 0,
            exact_writing=lambda: None,
            is_closing=lambda: self.closing,
            local=LOCAL,
            peer=peer,
        )
        connection.connection_made(functions)

    def _write(self, data: bytes) -> None:
        if self.ended:
            raise Fault("written behind the end of the stream")
        if not self.closing:
            self.data += data

    def _write_eof(self) -> None:
        self.ended = True
        self.runtime.call_soon(self._eof_sent)

    def _eof_sent(self) -> None:
        if not self.lost:
            self.connection.eof_sent()

    def _close(self) -> None:
        if not self.closing:
            self.closing = True
            self.runtime.call_soon(self._lose)

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.connection.connection_lost(None)

    def play(self, script: bytes) -> None:
        """Feed the pieces of ``script``, then the end of the stream."""
        for piece in script.split(END_OF_PIECE):
            if self.lost:
                return
            if piece:
                if not self.closing:
                    self.connection.data_received(piece)
                self.runtime.advance()
            else:
                self.runtime.advance(10)
        if not self.closing and not self.connection.eof_received():
            self._close()
        self.runtime.advance()
        self._close()
        self.runtime.advance()


def _check_answers(data: bytes, allowed: frozenset[int]) -> list[Response]:
    parser = ResponseParser(DEFAULT_LIMITS)
    answers = parser.feed(data)
    if parser.error is not None or parser.started:
        raise Fault(f"this is no stream of answers: {data!r}")
    for answer in answers:
        if answer.status not in allowed:
            raise Fault(f"answered {answer.status}")
    return answers


def _served(respond: Any, script: bytes, **options: Any) -> tuple[MemoryRuntime, bytes]:
    """Play ``script`` to a listener. Returns the runtime and the bytes of the answers."""
    runtime = MemoryRuntime()
    memory: Any = runtime
    listener = Listener(memory, respond(runtime), logger=LOGGER, **options)
    transport = MemoryTransport(runtime, listener.accept())
    transport.play(script)
    runtime.advance(200)
    if listener.connection_count:
        raise Fault("the connection is never forgotten")
    return runtime, transport.data


_REFUSALS = frozenset({400, 405, 408, 412, 413, 414, 431, 501, 505})


def publisher_connection(data: bytes) -> None:
    """Requests to a publisher. Its answers are documented, and it calls nobody but its peer."""
    sids = (f"uuid:{number}" for number in itertools.count(1))
    protocol = PublisherProtocol(
        new_sid=lambda: next(sids),
        on_link=lambda endpoint: (),
        multicast=MulticastPolicy(),
    )
    protocol.add_service(
        "/evt",
        {
            "A": EventedVariable("1"),
            "LastChange": EventedVariable(f'<Event xmlns="{AVT}"/>', merge=LastChangeFold(AVT)),
        },
    )

    def respond(runtime: MemoryRuntime) -> Any:
        return lambda request: protocol.receive_request(request, runtime.now())

    now = 1_000.0
    runtime, written = _served(
        respond, data, sent=lambda response: protocol.response_sent(response, now)
    )
    _check_answers(written, _REFUSALS | {200, 404, 503})
    for number in range(3):
        now = runtime.now() + number
        protocol.handle_deadline(now)
        protocol.update("/evt", {"A": str(number)}, now)
        for delivery in protocol.take_deliveries(100):
            if delivery.address.url.endpoint.host != PEER.host:
                raise Fault(f"{delivery} leads elsewhere")
            encode_delivery(delivery)
            protocol.delivery_ended(delivery, (200, 412, 500)[number], now)
        protocol.take_outcomes()


_TYPES = {name.replace(".", "_"): each.parse for name, each in DATA_TYPES.items()}


def subscriber_connection(data: bytes) -> None:
    """Event messages to a subscriber. Each one that is answered 200 is an event, unless it repeats
    the one before; the program can read the state."""
    tokens = (f"path-{number}" for number in itertools.count(1))
    protocol = SubscriberProtocol(
        new_token=lambda: next(tokens),
        jitter=lambda: 0.5,
        history=ConnectionHistory(DEFAULT_LIMITS),
    )
    url = f"http://{PEER.host}:8000/evt"
    convert: dict[str, Any] = {**_TYPES, "LastChange": str, "A": int, "Volume": int}
    record = protocol.subscribe(url, 1_000.0, convert=convert)
    (request,) = protocol.take_requests()
    request.build(LOCAL)
    request.remote = PEER
    granted = [(b"SID", b"uuid:1"), (b"TIMEOUT", b"Second-1800")]
    protocol.response_received(request, Response(200, granted), 1_000.0)
    events = 0

    def respond(runtime: MemoryRuntime) -> Any:
        def receive(request: Any) -> Response:
            nonlocal events
            response = protocol.receive_notify(request, runtime.now())
            found = [each for each in protocol.take_outcomes() if isinstance(each, Event)]
            if len(found) > 1 or (found and response.status != 200):
                raise Fault(f"{len(found)} events of one message, answered {response.status}")
            events += len(found)
            for change in (change for event in found for change in event.details):
                hash(change.variable)
            return response

        return receive

    runtime, written = _served(respond, data)
    answers = _check_answers(written, _REFUSALS | {200})
    if events > sum(answer.status == 200 for answer in answers):
        raise Fault("more events than messages were answered 200")
    dict(record.values)
    dict(record.full_state)
    protocol.facts(record, runtime.now())
    protocol.handle_deadline(runtime.now())


def delivery_connection(data: bytes) -> None:
    """The answers to three deliveries. Each delivery ends once, with a status or a failure."""
    runtime = MemoryRuntime()
    memory: Any = runtime
    pool = DeliveryPool(memory, has_address=lambda endpoint: True)
    url = DeliveryURL("http://192.0.2.7:4000/", Endpoint("192.0.2.7", 4_000), "192.0.2.7:4000", "/")
    address = DeliveryAddress("uuid:1", url, None, "1.1")
    results: list[int | DeliveryFailure] = []

    def ended(delivery: Delivery, result: int | DeliveryFailure, response: Any) -> None:
        results.append(result)

    scripts = data.split(b"\xff", 2)
    for seq, script in enumerate(scripts):
        message = EventMessage((("A", "1"),), b"<e/>")
        delivery = Delivery(address, seq, message, None)
        pool.send(delivery, ended, until=runtime.now() + 30)
        runtime.advance()
        if runtime.connections:
            transport = runtime.connections[-1]
            for piece in script.split(END_OF_PIECE):
                if piece and not transport.closing:
                    transport.connection.data_received(piece)
                runtime.advance(0 if piece else 10)
        runtime.advance(31)
        if len(results) != seq + 1:
            raise Fault(f"{seq + 1} deliveries ended {len(results)} times")
    for result in results:
        if not isinstance(result, DeliveryFailure) and not 100 <= result <= 999:
            raise Fault(f"{result} is no status")
