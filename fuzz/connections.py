"""Whole connections in memory: a peer sends any bytes, in any pieces, to a device or control point.

The bytes are a script. ``\\xfe`` ends a piece; the loop turns once between two pieces. An empty
piece lets ten seconds pass. ``\\xfd`` before a piece makes the peer stop reading, or read again.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.requests import addressed_to, redirect_url
from propchange.core.subscriber.states import SubscriberState
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.lastchange import AVT, LastChangeFold
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryFailure,
    DeliveryURL,
    Endpoint,
    EventMessage,
    Request,
    Response,
)
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.listener import Listener
from propchange.errors import ActionError
from propchange.http import ResponseParser, encode_delivery
from propchange.upnp.control import ActionCall
from propchange.upnp.device import Device, place_device
from propchange.upnp.hosted_documents import HostedDocuments
from propchange.upnp.standard import SwitchPower

PEER, LOCAL = Endpoint("192.0.2.7", 40_000), Endpoint("192.0.2.1", 80)
END_OF_PIECE = b"\xfe"
READS = b"\xfd"


class Fault(AssertionError):
    """A fault that no bytes of a peer may cause."""


class _Raising(logging.Handler):
    """Raises a fault for each logged error: an exception was caught and answered with 500."""

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
        """Let ``seconds`` pass. 0: the loop turns once."""
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
        """Open a connection, which is made at the next turn."""
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
        self._reads = True
        self._pending = 0
        self._paused = False
        functions = SimpleNamespace(
            write=self._write,
            write_eof=self._write_eof,
            close=self._close,
            abort=self._abort,
            pause_reading=lambda: None,
            resume_reading=lambda: None,
            unwritten=lambda: self._pending,
            unsent=lambda: self._pending,
            unread=int,
            peer_ended=bool,  # not known yet
            exact_writing=lambda: None,
            is_closing=lambda: self.closing,
            local=LOCAL,
            peer=peer,
        )
        connection.connection_made(functions)

    def _write(self, data: bytes) -> None:
        if self.ended:
            raise Fault("written behind the end of the stream")
        if self.closing:
            return
        self.data += data
        if not self._reads:
            self._pending += len(data)
            if not self._paused:
                self._paused = True
                self.connection.pause_writing()

    def _write_eof(self) -> None:
        if self._pending:
            raise Fault("the stream is ended while bytes are unwritten")
        self.ended = True
        self.runtime.call_soon(self._eof_sent)

    def _eof_sent(self) -> None:
        if not self.lost:
            self.connection.eof_sent()

    def _close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self._pending:
                self.runtime.call_soon(self._lose)

    def _abort(self) -> None:
        self.closing = True
        self.runtime.call_soon(self._lose)

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.connection.connection_lost(None)

    def toggle_reading(self) -> None:
        """The peer stops reading, or reads everything that was written."""
        self._reads = not self._reads
        if self._reads:
            self._pending = 0
            if self.closing:
                self.runtime.call_soon(self._lose)
            elif self._paused:
                self._paused = False
                self.connection.resume_writing()

    def play(self, script: bytes) -> None:
        """Feed the pieces of ``script``, then the end of the stream."""
        for piece in script.split(END_OF_PIECE):
            while piece.startswith(READS):
                piece = piece[1:]
                self.toggle_reading()
                self.runtime.advance()
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


def _check_answers(data: bytes, methods: list[str], allowed: frozenset[int]) -> int:
    """Check that ``data`` is a stream of answers to requests with ``methods``, perhaps with one to
    something malformed behind them. Returns how many have the status 200."""
    good = 0
    asked_for = iter(methods)
    while data:
        end = data.find(b"\r\n\r\n") + 4
        head = data[:end].replace(b"CONTENT-LENGTH: ", b"X-LENGTH: ")
        parser = ResponseParser(DEFAULT_LIMITS)
        parser.expect("HEAD")
        answers = parser.feed(head)
        if len(answers) != 1 and not (data.startswith(b"HTTP/1.1 100 ") and parser.error is None):
            raise Fault(f"this is no stream of answers: {data!r}")
        data = data[end:]
        if not answers:
            continue
        answer = answers[0]
        asked = next(asked_for, "")
        size = 0 if asked == "HEAD" else int(answer.fields.get(b"x-length", b"0"))
        body, data = data[:size], data[size:]
        good += answer.status == 200
        fault = answer.status == 500 and asked in ("POST", "M-POST") and b"<UPnPError " in body
        if answer.status not in allowed and not fault and asked != "HEAD":
            raise Fault(f"{asked} was answered {answer.status}")
    return good


def _served(
    respond: Callable[[Request, float], Response],
    script: bytes,
    allowed: frozenset[int],
    sent: Callable[[Response, float], None] = lambda response, now: None,
) -> tuple[float, int]:
    """Play ``script`` to a listener and check its answers. Returns the time at the end, and how
    many answers have the status 200."""
    runtime = MemoryRuntime()
    methods: list[str] = []

    def asked(request: Request) -> Response:
        methods.append(request.method)
        return respond(request, runtime.now())

    memory: Any = runtime
    listener = Listener(
        memory, asked, logger=LOGGER, sent=lambda response: sent(response, runtime.now())
    )
    transport = MemoryTransport(runtime, listener.accept())
    transport.play(script)
    runtime.advance(200)
    if listener.connection_count or not transport.lost:
        raise Fault("the connection never ends")
    return runtime.now(), _check_answers(transport.data, methods, allowed)


_REFUSALS = frozenset({400, 405, 408, 412, 413, 414, 431, 501, 505})


_DOCUMENTS = HostedDocuments(
    place_device(
        Device("A", services=[SwitchPower()]), "uuid:00000000-0000-4000-8000-000000000000"
    ),
    PublisherPolicy(),
    lambda: b"Thu, 01 Jan 1970 00:00:00 GMT",
)


def publisher_connection(data: bytes) -> None:
    """Requests to a device. Its answers are documented, and it calls nobody but its peer."""
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

    def respond(request: Request, now: float) -> Response:
        answer = _DOCUMENTS.respond(request)
        if isinstance(answer, ActionCall):
            # The runtime runs it.
            return _DOCUMENTS.control.fault(request, ActionError(501))
        return answer if isinstance(answer, Response) else protocol.receive_request(request, now)

    ended, _ = _served(respond, data, _REFUSALS | {200, 404, 415, 503, 510}, protocol.response_sent)
    for number in range(3):
        now = ended + number
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

    def respond(request: Request, now: float) -> Response:
        nonlocal events
        response = protocol.receive_notify(request, now)
        found = [each for each in protocol.take_outcomes() if isinstance(each, Event)]
        if len(found) > 1 or (found and response.status != 200):
            raise Fault(f"{len(found)} events of one message, answered {response.status}")
        events += len(found)
        return response

    now, good = _served(respond, data, _REFUSALS | {200})
    if events > good:
        raise Fault("more events than messages that were answered 200")
    dict(record.values)
    dict(record.full_state)
    protocol.facts(record, now)
    protocol.handle_deadline(now)


def answers_to_subscribe(data: bytes) -> None:
    """The answers to SUBSCRIBE and to the requests after it, one connection each. The protocol
    sends a request or waits, and never sends requests without a pause."""
    tokens = (f"path-{number}" for number in itertools.count(1))
    protocol = SubscriberProtocol(new_token=lambda: next(tokens), jitter=lambda: 0.5)
    now = 1_000.0
    record = protocol.subscribe(f"http://{PEER.host}:8000/evt", now)
    for script in data.split(b"\xff", 7):
        requests = protocol.take_requests()
        if len(requests) > 2:
            raise Fault(f"{len(requests)} requests at once")
        for request in requests:
            request.build(LOCAL)
            request.remote = PEER
            parser = ResponseParser(DEFAULT_LIMITS)
            parser.expect("SUBSCRIBE")
            answers = [each for part in script.split(END_OF_PIECE) for each in parser.feed(part)]
            last = parser.end()
            if answers or last is not None:
                answer = answers[0] if answers else last
                assert answer is not None
                led_to = redirect_url(request.url, answer)
                if led_to is not None:
                    addressed_to(request.build(LOCAL), led_to)
                protocol.response_received(request, answer, now)
            else:
                protocol.request_failed(request, "no answer", now)
        protocol.take_outcomes()
        deadline = protocol.next_deadline()
        if deadline is None and record.state is not SubscriberState.CLOSED:
            raise Fault(f"nothing is waited for in {record.state}")
        if deadline is not None:
            if not now <= deadline <= now + 700_000:
                raise Fault(f"the next deadline is {deadline - now} s away")
            now = max(now + 0.001, deadline)
            protocol.handle_deadline(now)


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
        pool.send(delivery, ended)
        runtime.advance()
        if runtime.connections:
            transport = runtime.connections[-1]
            for piece in script.split(END_OF_PIECE):
                if piece and not transport.closing:
                    transport.connection.data_received(piece)
                runtime.advance(0 if piece else 10)
        runtime.advance(30)
        if len(results) == seq:
            # As the publisher does with an attempt that takes too long.
            pool.abort(delivery)
            results.append(DeliveryFailure.TIMED_OUT)
            runtime.advance()
        if len(results) != seq + 1:
            raise Fault(f"{seq + 1} deliveries ended {len(results)} times")
    for result in results:
        if not isinstance(result, DeliveryFailure) and not 100 <= result <= 999:
            raise Fault(f"{result} is no status")
