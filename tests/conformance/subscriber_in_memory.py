"""The subscriber's stage in memory: ``http`` and ``core``, and a clock that the row moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from exchange import Message, Receive, Send, Status, Told, filled, pieces, split_answers
from subscriber_messages import SubscriberRow
from subscriber_player import Request, continue_from, shown, told_of

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.requests import Failure, OutgoingRequest, addressed_to, redirect_url
from propchange.core.wire.messages import Endpoint, Response
from propchange.core.wire.messages import Request as HTTPRequest
from propchange.errors import LocalProtocolError
from propchange.http import RequestParser, ResponseParser, encode_request, encode_response

_BEHIND = b"HTTP/1.1 500 Behind\r\nContent-Length: 0\r\n\r\n"


class MemoryStage:
    """See Stage."""

    def __init__(self, row: SubscriberRow, feed: str) -> None:
        self._feed = feed
        ends = row.ends or (Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 9000))
        self._device, self._here = ends
        here = str(self._here)
        self.names = {"device": str(self._device), "here": here, "listener": here}
        self._limits = replace(DEFAULT_LIMITS, **row.limits)
        self._now = 1000.0
        numbers = iter(range(1, 1000))
        self._protocol = SubscriberProtocol(
            new_token=lambda: f"path-{next(numbers)}",
            jitter=lambda: 0.5,
            policy=self._policy(row),
            limits=self._limits,
        )
        self._requests: deque[tuple[OutgoingRequest, str, bytes]] = deque()
        self._current: tuple[OutgoingRequest, str, bytes] | None = None
        self._redirects = 0
        self.told: list[Told | Status] = []
        self._connections: dict[str, RequestParser] = {}
        self._record = self._protocol.subscribe(
            filled(row.event_url, self.names).decode(),
            self._now,
            persistent=row.persistent,
            **row.subscription,
        )
        self._drain()

    def _policy(self, row: SubscriberRow) -> SubscriberPolicy:
        return SubscriberPolicy(uda=row.uda, **row.policy)

    def _passed_on(self, request: HTTPRequest) -> HTTPRequest:
        """``request`` as it comes to the protocol."""
        return request

    def _drain(self) -> None:
        for outcome in self._protocol.take_outcomes():
            told = told_of(outcome)
            if told is not None:
                self.told.append(told)
        for request in self._protocol.take_requests():
            with suppress(LocalProtocolError):
                self._requests.append((request, request.url, self._built(request, request.url)))

    def _built(self, request: OutgoingRequest, url: str) -> bytes:
        message = request.build(self._here)
        return encode_request(message if url == request.url else addressed_to(message, url))

    def wait(self, seconds: float) -> None:
        self._advance(seconds)

    def _advance(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        end = self._now + seconds
        while not until():
            due = self._protocol.next_deadline()
            if due is None or due > end:
                self._now = end
                return
            self._now = max(due, self._now)
            self._protocol.handle_deadline(self._now)
            self._drain()

    # --- requests of the subscriber ---

    def next_request(self, step: Receive) -> Request:
        since = self._now
        self._advance(step.within, lambda: self._requests)
        assert self._requests, f"{step.line} did not come within {step.within} s"
        assert self._now - since >= step.earliest, "too soon"
        self._current = self._requests.popleft()
        request, _, data = self._current
        assert request.source is not None or b"\r\nSID:" not in data
        source = self._here if request.source is None else request.source
        return Request(Message.of(data), source.host)

    def is_quiet(self, seconds: float) -> bool:
        if seconds:
            self._advance(seconds, lambda: self._requests)
        return not self._requests

    def reply(self, data: bytes, *, ends: bool) -> None:
        assert self._current is not None
        if data:
            self._answer(*self._current, data)
        else:
            self._protocol.request_failed(self._current[0], "closed", self._now, Failure.BROKEN)
        self._drain()

    def _answer(self, request: OutgoingRequest, url: str, sent: bytes, data: bytes) -> None:
        parser = ResponseParser(self._limits)
        parser.expect(sent.split(b" ")[0].decode())
        responses: list[Response] = []
        for piece in pieces(data + (_BEHIND if self._feed == "followed" else b""), self._feed):
            responses += parser.feed(piece)
        last = parser.end()
        if last is not None:
            responses.append(last)
        if not responses:
            reason = str(parser.error or "ended without an answer")
            self._protocol.request_failed(request, reason, self._now)
            return
        led_to = redirect_url(url, responses[0])
        if led_to is not None and self._redirects < self._limits.redirects:
            self._redirects += 1
            self._requests.appendleft((request, led_to, self._built(request, led_to)))
            return
        self._redirects = 0
        request.url = url
        request.remote = self._device
        self._protocol.response_received(request, responses[0], self._now)

    # --- messages of the device ---

    def send(self, step: Send, data: bytes, body: bytes) -> tuple[list[Message], bool]:
        parser = self._connections.get(step.connection)
        if parser is None or not step.connection:
            peer = Endpoint(step.source or self._device.host, 40_000)
            parser = RequestParser(self._limits, peer=peer, local=self._here)
            self._connections[step.connection] = parser
        written, ended = b"", False
        if step.waits:
            assert not [each for piece in pieces(data, self._feed) for each in parser.feed(piece)]
            assert parser.expect_continue
            data = body
        for piece in pieces(data, self._feed):
            for request in parser.feed(piece):
                response = self._protocol.receive_notify(self._passed_on(request), self._now)
                written += encode_response(response)
                ended = response.close
        if step.ends:
            parser.end()
        if parser.error is not None:
            headers = ((b"CONTENT-LENGTH", b"0"),)
            version = parser.http_version
            written += encode_response(
                Response(parser.error.status, headers, http_version=version, close=True)
            )
            ended = True
        self._drain()
        return split_answers(written), ended

    # --- the application ---

    def unsubscribe(self) -> None:
        self._protocol.unsubscribe(self._record, self._now)
        self._drain()

    def set_last_seq(self, seq: int) -> None:
        continue_from(self._record, seq)

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        return told

    def wait_for_told(self, count: int) -> None:
        """Nothing is on its way here."""

    def shown(self, expected: Mapping[str, Any]) -> Mapping[str, Any]:
        found = shown(self._record)
        return {key: found[key] for key in expected}


class MountedStage(MemoryStage):
    """The same behind a web server that takes its mount from the path, and tells neither end of the
    connection but the address of the device."""

    def _policy(self, row: SubscriberRow) -> SubscriberPolicy:
        url = f"http://{self._here}/mount/events/{{token}}"
        return SubscriberPolicy(uda=row.uda, callback_url=url, **row.policy)

    def _passed_on(self, request: HTTPRequest) -> HTTPRequest:
        return HTTPRequest(
            request.method,
            request.target.removeprefix("/mount"),
            request.headers,
            request.body,
            peer=request.peer,
            http_version=request.http_version,
            keep_alive=request.keep_alive,
        )
