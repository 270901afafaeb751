"""Play an exchange with our subscriber: in memory, and over sockets with each runtime.

``In memory`` is ``http`` and ``core`` with a clock that the test owns, and each message of the
device fed in one of :data:`WAYS`. Over sockets the device is a thread with plain sockets; what it
meets is one of ``subscriber_fronts``.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from subscriber_exchange import (
    OK,
    Answers,
    Arrives,
    Closes,
    Continues,
    Exchange,
    Got,
    Has,
    Notifies,
    Quiet,
    Sees,
    Told,
    Unsubscribes,
    Waits,
    notify,
    status,
)

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.requests import Failure, OutgoingRequest, addressed_to, redirect_url
from propchange.core.wire.messages import Endpoint, Response
from propchange.errors import LocalProtocolError
from propchange.http import RequestParser, ResponseParser, encode_request, encode_response

__all__ = ["WAYS", "Front", "over_sockets", "play_in_memory", "shown", "told_of"]

PATIENCE = 10.0
"""Seconds that a test waits for what is to come at once: more than a busy machine takes."""

_BEHIND_ANSWER = b"HTTP/1.1 500 Behind\r\nContent-Length: 0\r\n\r\n"
_BEHIND_NOTIFY = notify(path="/nobody")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

WAYS = ("whole", "byte by byte", "with the next message behind it")


def _pieces(data: bytes, way: str, behind: bytes) -> list[bytes]:
    if way == "byte by byte":
        return [data[at : at + 1] for at in range(len(data))]
    return [data + behind if way == WAYS[2] else data]


# --- what both have in common ---


class Head(NamedTuple):
    """A message taken apart, by means that are not ours."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Head:
        head, end, body = data.partition(b"\r\n\r\n")
        assert end, f"no whole message: {data!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [(name, value) for name, _, value in (each.partition(": ") for each in lines)]
        return cls(line, pairs, body)

    @property
    def fields(self) -> dict[str, str]:
        fields = {name.upper(): value for name, value in self.headers}
        assert len(fields) == len(self.headers), f"a header came twice: {self.headers}"
        return fields


def split_answers(data: bytes) -> list[Head]:
    """The answers in ``data``, each without a body."""
    return [Head.of(each + b"\r\n\r\n") for each in data.split(b"\r\n\r\n")[:-1]]


class Words:
    """What the words in braces stand for."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.here = ""
        self.callback = ""
        self.path = ""
        self.asker = ""

    def told(self, callback: str) -> None:
        self.callback = callback
        parts = urlsplit(callback)
        self.here = parts.netloc
        self.path = parts.path

    def fill(self, text: str) -> str:
        for word in ("device", "here", "callback", "path"):
            text = text.replace("{" + word + "}", getattr(self, word))
        return text

    def bytes(self, data: bytes) -> bytes:
        return self.fill(data.decode("latin-1")).encode("latin-1")

    def match(self, expected: str, value: str) -> bool:
        if expected.startswith("~"):
            return re.fullmatch(expected[1:], value) is not None
        return self.fill(expected) == value


def check_request(step: Arrives, data: bytes, words: Words, asker: str) -> None:
    """``data`` is exactly the request of ``step``; it came from the address ``asker``, which is
    that of the whole subscription."""
    head = Head.of(data)
    assert head.line == words.fill(step.line)
    assert head.body == b"", "the request has a body"
    assert sorted(head.fields) == sorted(step.headers), f"{data!r}"
    callback = head.fields.get("CALLBACK")
    if callback is not None:
        inside = re.fullmatch(r"<(http://[^<>\s]+)>", callback)
        assert inside, callback
        words.told(inside[1])
        words.asker = asker
        if step.headers["CALLBACK"] == "<{callback}>":
            assert urlsplit(words.callback).hostname == asker, "events cannot come to there"
    assert asker == words.asker, "not the pair of interfaces of the subscription"
    for name, expected in step.headers.items():
        assert words.match(expected, head.fields[name]), f"{name}: {head.fields[name]}"


def check_answer(expected: Got | int, head: Head, words: Words) -> None:
    if isinstance(expected, int):
        expected = Got(expected)
    version, code, _ = head.line.split(" ", 2)
    assert (version, code) == (f"HTTP/{expected.version}", str(expected.status)), head
    fields = head.fields
    assert fields.get("CONTENT-LENGTH") == "0", head
    for name, value in expected.headers.items():
        assert words.match(value, fields.get(name, "")), (name, head)
    assert not set(expected.without) & set(fields), head
    if expected.version == "1.1":
        assert (fields.get("CONNECTION", "").lower() == "close") == expected.closes, head


def told_of(outcome: object) -> Told | status | None:
    """What an exchange calls an outcome; None for what it does not speak of."""
    if isinstance(outcome, Event):
        changes = {change.variable: change.text for change in outcome.details}
        return Told(outcome.seq, changes, outcome.is_initial)
    if isinstance(outcome, StatusChange) and outcome.status is not Status.CLOSED:
        return status(outcome.status.value, outcome.cause.value, outcome.http_status)
    return None


def shown(record: Any) -> dict[str, Any]:
    """What a subscription shows."""
    granted = record.duration_granted
    return {
        "values": dict(record.values),
        "sid": record.sid,
        "gaps": record.gaps,
        "renewals": record.renewals,
        "granted": "infinite" if granted == inf else granted,
        "accepted": record.accepted,
        "reliable": record.sequence.reliable,
        "foreign": sorted(record.foreign_sources),
        "status": record.status.value,
    }


def continue_from(record: Any, seq: int) -> None:
    """As if ``seq`` had been the SEQ of the last of very many events."""
    record.sequence._advance(seq, 0)


# --- in memory ---


class _Memory:
    def __init__(self, exchange: Exchange, way: str) -> None:
        self.exchange = exchange
        self.way = way
        device, here = exchange.ends or (Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 9000))
        self.device, self.here = device, here
        self.words = Words(str(device))
        self.words.here = str(here)
        self.limits = replace(DEFAULT_LIMITS, **exchange.limits)
        self.now = 1000.0
        numbers = iter(range(1, 1000))
        self.protocol = SubscriberProtocol(
            new_token=lambda: f"path-{next(numbers)}",
            jitter=lambda: 0.5,
            policy=SubscriberPolicy(uda=exchange.uda, **exchange.control_point),
            limits=self.limits,
        )
        self.requests: deque[tuple[OutgoingRequest, str, bytes]] = deque()
        self.current: tuple[OutgoingRequest, str, bytes] | None = None
        self.redirects = 0
        self.told: list[Told | status] = []
        self.connections: dict[str, RequestParser] = {}
        self.record = self.protocol.subscribe(
            self.words.fill(exchange.event_url),
            self.now,
            persistent=exchange.persistent,
            **exchange.subscription,
        )
        self.drain()

    def drain(self) -> None:
        for outcome in self.protocol.take_outcomes():
            told = told_of(outcome)
            if told is not None:
                self.told.append(told)
        for request in self.protocol.take_requests():
            with suppress(LocalProtocolError):
                self.requests.append((request, request.url, self._built(request, request.url)))

    def _built(self, request: OutgoingRequest, url: str) -> bytes:
        message = request.build(self.here)
        return encode_request(message if url == request.url else addressed_to(message, url))

    def advance(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        end = self.now + seconds
        while not until():
            due = self.protocol.next_deadline()
            if due is None or due > end:
                self.now = end
                return
            self.now = max(due, self.now)
            self.protocol.handle_deadline(self.now)
            self.drain()

    def step(self, step: Any) -> None:
        match step:
            case Arrives():
                since = self.now
                self.advance(step.within, lambda: self.requests)
                assert self.requests, f"{step.line} did not come within {step.within} s"
                assert self.now - since >= step.earliest, "too soon"
                self.current = self.requests.popleft()
                source = self.current[0].source
                assert source is not None or b"\r\nSID:" not in self.current[2]
                asker = self.here.host if source is None else source.host
                check_request(step, self.current[2], self.words, asker)
            case Answers(data):
                self.answer(self.words.bytes(data))
            case Closes():
                assert self.current is not None
                self.protocol.request_failed(self.current[0], "closed", self.now, Failure.BROKEN)
            case Notifies():
                self.notify(step)
            case Sees(told):
                assert tuple(self.told) == told
                self.told.clear()
            case Has(expected):
                found = shown(self.record)
                assert {key: found[key] for key in expected} == dict(expected)
            case Waits(seconds):
                self.advance(seconds)
            case Quiet(seconds):
                self.advance(seconds, lambda: self.requests)
                assert not self.requests
            case Unsubscribes():
                self.protocol.unsubscribe(self.record, self.now)
            case Continues(seq):
                continue_from(self.record, seq)
        self.drain()

    def answer(self, data: bytes) -> None:
        assert self.current is not None
        request, url, sent = self.current
        parser = ResponseParser(self.limits)
        parser.expect(sent.split(b" ")[0].decode())
        responses: list[Response] = []
        for piece in _pieces(data, self.way, _BEHIND_ANSWER):
            responses += parser.feed(piece)
        last = parser.end()
        if last is not None:
            responses.append(last)
        if not responses:
            reason = str(parser.error or "ended without an answer")
            self.protocol.request_failed(request, reason, self.now)
            return
        led_to = redirect_url(url, responses[0])
        if led_to is not None and self.redirects < self.limits.redirects:
            self.redirects += 1
            self.requests.appendleft((request, led_to, self._built(request, led_to)))
            return
        self.redirects = 0
        request.url = url
        request.remote = self.device
        self.protocol.response_received(request, responses[0], self.now)

    def notify(self, step: Notifies) -> None:
        peer = Endpoint(step.source or self.device.host, 40000)
        parser = self.connections.get(step.connection)
        if parser is None or not step.connection:
            parser = RequestParser(self.limits, peer=peer, local=self.here)
            self.connections[step.connection] = parser
        expected = [Got(each) if isinstance(each, int) else each for each in step.answers]
        behind = _BEHIND_NOTIFY.replace(b"{here}", str(self.here).encode())
        if expected[-1].closes or step.ends:
            behind = b""
        data = self.words.bytes(step.data)
        if step.rest:
            requests = [each for part in _pieces(data, self.way, b"") for each in parser.feed(part)]
            assert not requests
            assert parser.expect_continue
            data = self.words.bytes(step.rest)
        written = b""
        ended = False
        for piece in _pieces(data, self.way, behind):
            for request in parser.feed(piece):
                response = self.protocol.receive_notify(request, self.now)
                written += encode_response(response)
                ended = response.close
        if step.ends:
            parser.end()
        if parser.error is not None:
            written += encode_response(
                Response(
                    parser.error.status,
                    ((b"CONTENT-LENGTH", b"0"),),
                    http_version=parser.http_version,
                    close=True,
                )
            )
            ended = True
        answers = split_answers(written)
        if behind and self.way == WAYS[2]:
            assert answers.pop().line.startswith("HTTP/1.1 412 ")
        assert len(answers) == len(expected), answers
        for want, head in zip(expected, answers, strict=True):
            check_answer(want, head, self.words)
        assert ended == expected[-1].closes


def play_in_memory(exchange: Exchange, way: str) -> None:
    """Play ``exchange``, its messages fed as ``way`` says."""
    memory = _Memory(exchange, way)
    for step in exchange.steps:
        memory.step(step)
    assert not memory.requests, f"nobody expects {memory.requests[0][2]!r}"
    assert not memory.told, f"nobody expects {memory.told}"


# --- over sockets ---


class Front(Protocol):
    """A subscription of one of our runtimes, in another thread."""

    told: list[Told | status]

    def reduced(self, told: tuple[Told | status, ...]) -> tuple[Told | status, ...]:
        """What of ``told`` this front can tell."""

    def close(self) -> None:
        """The application has had enough; returns once that has begun."""

    def shown(self) -> Mapping[str, Any]:
        """As :func:`shown`, or part of it."""

    def continue_from(self, seq: int) -> None:
        """As :func:`continue_from`."""

    def end(self) -> None:
        """End, and leave nothing."""


class _Device:
    def __init__(self, exchange: Exchange) -> None:
        family = socket.AF_INET6 if ":" in exchange.host else socket.AF_INET
        self.host = exchange.host
        self.listening = socket.socket(family, socket.SOCK_STREAM)
        self.listening.bind((exchange.host, 0))
        self.listening.listen(16)
        self.words = Words(str(Endpoint(exchange.host, self.listening.getsockname()[1])))
        self.current: socket.socket | None = None
        self.connections: dict[str, socket.socket] = {}
        self.sockets = [self.listening]

    def accept(self, seconds: float) -> bytes | None:
        """The next request, whole; None when none comes."""
        self.listening.settimeout(seconds)
        try:
            self.current, _ = self.listening.accept()
        except TimeoutError:
            return None
        self.sockets.append(self.current)
        self.current.settimeout(PATIENCE)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.current.recv(65_536)
            assert piece, f"the connection ended after {data!r}"
            data += piece
        return data

    def answer(self, step: Answers) -> None:
        assert self.current is not None
        with suppress(ConnectionError):  # our side may have read enough
            self.current.sendall(self.words.bytes(step.data))
            if step.ends:
                self.current.shutdown(socket.SHUT_WR)

    def notify(self, step: Notifies) -> None:
        connection = self.connections.get(step.connection)
        if connection is None or not step.connection:
            connection = self._dial(step.source)
            self.connections[step.connection] = connection
        connection.sendall(self.words.bytes(step.data))
        if step.rest:
            assert _receive(connection, 1) == _CONTINUE
            connection.sendall(self.words.bytes(step.rest))
        if step.ends:
            connection.shutdown(socket.SHUT_WR)
        answers = split_answers(_receive(connection, len(step.answers)))
        assert len(answers) == len(step.answers), answers
        for want, head in zip(step.answers, answers, strict=True):
            check_answer(want, head, self.words)
        last = step.answers[-1]
        if isinstance(last, Got) and last.closes:
            assert connection.recv(1) == b""
        else:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                raise AssertionError(f"behind the answers: {connection.recv(4096)!r}")
            connection.settimeout(PATIENCE)

    def _dial(self, source: str) -> socket.socket:
        host, _, port = self.words.here.rpartition(":")
        connection = socket.create_connection(
            (host.strip("[]"), int(port)), PATIENCE, (source or self.host, 0)
        )
        self.sockets.append(connection)
        return connection

    def see_off(self, front: Front) -> None:
        """End, and answer what ``front`` still asks: what it would send to a port that is closed
        could reach the device of another exchange."""
        for each in self.sockets[1:]:
            each.close()
        leaving = threading.Thread(target=self._answer_all, daemon=True)
        leaving.start()
        front.end()
        self.listening.shutdown(socket.SHUT_RDWR)
        leaving.join(PATIENCE)

    def _answer_all(self) -> None:
        self.listening.settimeout(None)
        with suppress(OSError):  # it was shut down
            while True:
                connection, _ = self.listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(PATIENCE)
                    connection.recv(65_536)
                    connection.sendall(OK)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def _receive(connection: socket.socket, answers: int) -> bytes:
    data = b""
    while data.count(b"\r\n\r\n") < answers:
        piece = connection.recv(65_536)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def over_sockets(exchange: Exchange, begin: Callable[[Exchange, str], Front]) -> None:
    """Play ``exchange`` with what ``begin`` makes of it and the event URL."""
    device = _Device(exchange)
    front: Front | None = None
    try:
        front = begin(exchange, device.words.fill(exchange.event_url))
        for step in exchange.steps:
            _step(step, device, front)
        assert _nothing_arrives(device), "nobody expects another request"
        assert not front.told, f"nobody expects {front.told}"
    finally:
        if front is not None:
            device.see_off(front)
        device.close()


def _nothing_arrives(device: _Device) -> bool:
    device.listening.setblocking(False)
    try:
        device.sockets.append(device.listening.accept()[0])
    except BlockingIOError:
        return True
    return False


def _step(step: Any, device: _Device, front: Front) -> None:
    match step:
        case Arrives():
            data = device.accept(step.within + PATIENCE)
            assert data is not None, f"{step.line} did not come"
            assert device.current is not None
            check_request(step, data, device.words, device.current.getpeername()[0])
        case Answers():
            device.answer(step)
        case Closes():
            assert device.current is not None
            device.current.close()
        case Notifies():
            device.notify(step)
        case Sees(told):
            wanted = front.reduced(told)
            _eventually(lambda: len(front.told) >= len(wanted))
            assert tuple(front.told) == wanted
            front.told.clear()
        case Has(expected):
            _eventually(lambda: _has(front, expected))
            found = front.shown()
            known = {key: value for key, value in expected.items() if key in found}
            assert {key: found[key] for key in known} == known
        case Quiet():
            time.sleep(0.1)
            assert _nothing_arrives(device)
        case Unsubscribes():
            front.close()
        case Continues(seq):
            front.continue_from(seq)


def _has(front: Front, expected: Mapping[str, Any]) -> bool:
    found = front.shown()
    return all(found[key] == value for key, value in expected.items() if key in found)


def _eventually(true: Callable[[], object]) -> None:
    """Wait until it is; who comes in vain looks at what there is and says so."""
    until = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < until:
        time.sleep(0.005)
