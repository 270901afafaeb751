"""One request to a device: SUBSCRIBE, UNSUBSCRIBE, or GET for a document.

Each request has a connection of its own, straight to the device. Proxies that the environment
names are for the web: they would send a CALLBACK of this network to another one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.subscriber.requests import (
    REDIRECTS,
    Failure,
    failure_of_errno,
    leads_inside,
    redirect_url,
)
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.core.wire.urls import Location, scoped
from propchange.driver.runtime import Future, Runtime, Transport
from propchange.driver.timer import Armed
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.http import ResponseParser, encode_request

__all__ = [
    "DOCUMENT_REDIRECTS",
    "Answer",
    "Exchange",
    "Requests",
    "failure_of",
    "locate",
    "words_of",
]

DOCUMENT_REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses with which devices redirect a GET."""


def locate(url: str) -> Location:
    """``url`` taken apart. Raises ValueError for anything but an http URL."""
    return Location.of(url, socket.if_nametoindex)


class Answer(NamedTuple):
    """A response, the URL that gave it after redirects, and the two ends of the connection."""

    response: Response
    url: str
    local: Endpoint
    peer: Endpoint


class Exchange:
    """A connection that carries one request to a device (a :class:`.Connection`).

    Call :meth:`connect`, then :meth:`send`, and in the end :meth:`end`. ``local`` and ``peer`` are
    the ends of the connection once it is there.
    """

    def __init__(self, requests: Requests, endpoint: Endpoint) -> None:
        self._requests = requests
        self._endpoint = endpoint
        self._parser = ResponseParser(requests.limits)
        self._connected: Future[None] = requests.runtime.future()
        self._response: Future[Response] | None = None
        self._error: PropchangeError | None = None
        self._transport: Transport | None = None
        self._early = b""  # what came before the request was sent
        self._attempt: Armed | None = None
        self._alarm: Armed | None = None
        self.local = self.peer = endpoint

    # --- for who sends a request ---

    async def connect(self, source: Endpoint | None, seconds: float) -> None:
        """Connect, from the address of ``source`` when given, within ``seconds``. Raises
        ConnectionFailed, whose cause is the OSError."""
        failures: list[OSError] = []

        def failed(error: OSError) -> None:
            failures.append(error)
            if not self._connected.done():
                self._connected.set_result(None)

        try:
            self._attempt = self._requests.runtime.connect(
                self, self._endpoint, source=source, seconds=seconds, failed=failed
            )
            await self._connected
            if self._error is not None:
                raise self._error
        except (OSError, ValueError) as error:  # a host that cannot be one
            failures.append(error if isinstance(error, OSError) else OSError(str(error)))
        if failures:
            reason = words_of(failures[0]) or f"no answer within {seconds:g} s"
            raise ConnectionFailed(f"no connection to {self._endpoint}: {reason}") from failures[0]

    async def send(self, request: Request, seconds: float) -> Response:
        """Send ``request`` and wait for the response, for ``seconds`` at most. Raises
        ConnectionFailed when the connection breaks, TimedOut, and RemoteProtocolError when the
        answer is not HTTP."""
        encoded = encode_request(request)
        self._parser.expect(request.method)
        if self._error is not None:
            raise self._error
        assert self._transport is not None
        runtime = self._requests.runtime
        response: Future[Response] = runtime.future()
        self._response = response
        self._alarm = runtime.call_later(max(seconds, 0.001), self._time_out)
        self._transport.write(encoded)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)
        return await response

    def end(self) -> None:
        """End the connection, or the attempt to make it, now."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            # Twisted aborts with a reset, which is for a device that does not read.
            end = self._transport.abort if self._transport.unwritten() else self._transport.close
            end()
        elif self._attempt is not None:
            self._attempt.cancel()
            self._requests.gone(self)

    def give_up(self) -> None:
        """End it, for another one than who waits for it, who gets a ConnectionFailed."""
        self.end()
        self._lost("was given up")
        if not self._connected.done():
            self._connected.set_result(None)

    def _time_out(self) -> None:
        seconds = self._requests.limits.request_seconds
        self._break(TimedOut(f"{self._endpoint} did not answer within {seconds:g} s"))

    def _answer(self, response: Response) -> None:
        assert self._response is not None
        self._response.set_result(response)

    def _break(self, error: PropchangeError) -> None:
        self._error = error
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)

    # --- for the runtime ---

    def connection_made(self, transport: Transport) -> None:
        """The connection is there."""
        self._transport = transport
        self.local, self.peer = transport.local, transport.peer
        if self._connected.done():  # nobody waits for it any more
            transport.abort()
        else:
            self._connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Some bytes of the answer."""
        if self._response is None:
            self._early += data
            return
        responses = self._parser.feed(data)
        if self._response.done():
            return
        if responses:
            self._answer(responses[0])
        elif self._parser.error is not None:
            self._break(self._parser.error)

    def eof_received(self) -> bool:
        """The device sends no more: an answer without a length is whole now."""
        if self._response is not None and not self._response.done():
            response = self._parser.end()
            if response is not None:
                self._answer(response)
        self._lost("ended before the answer was whole")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        broken = f"broke before the answer was whole: {error}" if error else "was closed"
        self._lost(broken)
        self._requests.gone(self)

    def _lost(self, how: str) -> None:
        self._break(ConnectionFailed(f"the connection to {self._endpoint} {how}"))

    def pause_writing(self) -> None:
        """Nothing to do: a request is one write."""

    resume_writing = eof_sent = pause_writing


class Requests:
    """Sends requests to devices, and knows which connections there are for that.

    In the end call :meth:`close`.
    """

    def __init__(self, runtime: Runtime, limits: Limits) -> None:
        self.runtime = runtime
        self.limits = limits
        self._open: dict[Exchange, None] = {}
        self._empty: Future[None] | None = None

    def exchange(self, endpoint: Endpoint) -> Exchange:
        """A connection to ``endpoint``, to be connected and ended by the caller."""
        exchange = Exchange(self, endpoint)
        self._open[exchange] = None
        return exchange

    async def follow(
        self,
        url: str,
        build: Callable[[str, Endpoint], Request],
        *,
        source: Endpoint | None = None,
        redirects: Collection[int] = REDIRECTS,
        seconds: float | None = None,
    ) -> Answer:
        """Connect to the host of ``url``, from the address of ``source`` when given, send what
        ``build`` makes of the URL and this end of the connection, and return the answer.

        An answer with a status in ``redirects`` is followed ``limits.redirects`` times. One more,
        or one that :func:`.redirect_url` or :func:`.leads_inside` refuses, is returned as it came.
        All of it takes ``seconds`` at most, ``limits.request_seconds`` if None.

        Raises ValueError for a URL that is not http, ConnectionFailed without a connection or when
        it breaks, TimedOut, RemoteProtocolError when the answer is not HTTP, and what ``build``
        raises.
        """
        location = locate(url)
        now = self.runtime.now
        until = now() + (self.limits.request_seconds if seconds is None else seconds)
        answer: Answer | None = None
        for _ in range(self.limits.redirects + 1):
            endpoint = location.endpoint
            for known in (source, answer.peer if answer else None):
                endpoint = endpoint if known is None else scoped(endpoint, known.scope)
            exchange = self.exchange(endpoint)
            try:
                left = min(self.limits.connect_seconds, until - now())
                await exchange.connect(source and source._replace(port=0), max(left, 0.001))
                if answer and leads_inside(answer.peer, exchange.peer):
                    return answer
                response = await exchange.send(build(url, exchange.local), until - now())
            finally:
                exchange.end()
            answer = Answer(response, url, exchange.local, exchange.peer)
            led_to = redirect_url(url, response, redirects)
            if led_to is None:
                return answer
            try:
                location = locate(led_to)
            except ValueError:  # a zone that this machine does not have
                return answer
            url = led_to
        assert answer is not None
        return answer

    async def fetch(
        self,
        url: str,
        *,
        headers: HeaderPairs = (),
        source: Endpoint | None = None,
        redirects: Collection[int] = DOCUMENT_REDIRECTS,
    ) -> Answer:
        """GET a description or another document; as :meth:`follow`, with the redirects that
        devices do use. ``headers`` are sent beside HOST and CONNECTION."""

        def build(url: str, local: Endpoint) -> Request:
            location = locate(url)
            host = (b"HOST", location.authority.encode("ascii"))
            return Request("GET", location.target, (host, *headers, (b"CONNECTION", b"close")))

        return await self.follow(url, build, source=source, redirects=redirects)

    def gone(self, exchange: Exchange) -> None:
        """For an exchange: its connection is no more."""
        self._open.pop(exchange, None)
        if not self._open and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def close(self) -> None:
        """End what is under way, which then fails, and wait until no connection is left."""
        for exchange in tuple(self._open):
            exchange.give_up()
        if self._open:
            self._empty = self.runtime.future()
            await self._empty


def failure_of(error: BaseException, source: Endpoint | None = None) -> Failure:
    """What an exception of :class:`Requests` means for a subscription; ``source`` is what was
    given to it."""
    if isinstance(error, (DescriptionError, ValueError, LookupError)):
        return Failure.DESCRIPTION
    if not isinstance(error, ConnectionFailed):
        return Failure.BROKEN if isinstance(error, RemoteProtocolError) else Failure.SILENCE
    cause = error.__cause__
    if not isinstance(cause, OSError):
        return Failure.BROKEN
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return Failure.UNREACHABLE  # A host that is there answers a SYN, or refuses it.
    return failure_of_errno(cause.errno, bound=source is not None)


def words_of(error: OSError) -> str:
    """What the system calls the error, without a runtime's or errno's additions."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno) if error.errno else str(error)
