"""Requests to devices: SUBSCRIBE, UNSUBSCRIBE, and GET for their documents.

One connection per request, straight to the device: proxies that the environment names are for
the web, and would send a CALLBACK of this network to another one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection
from types import TracebackType
from typing import NamedTuple, cast

from propchange.asyncio.interfaces import connect, endpoint_of
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.requests import (
    REDIRECTS,
    Failure,
    failure_of_errno,
    leads_inside,
    redirect_url,
)
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.core.wire.urls import Location, scoped
from propchange.errors import ConnectionFailed, DescriptionError, TimedOut
from propchange.http import ResponseParser, encode_request
from propchange.upnp.documents import DOCUMENT_REDIRECTS, document_request

__all__ = ["Answer", "failure_of", "fetch", "follow", "locate", "send"]


def locate(url: str) -> Location:
    """``url`` taken apart. Raises ValueError for anything but an http URL."""
    return Location.of(url, socket.if_nametoindex)


class Answer(NamedTuple):
    """A response, the URL that gave it after redirects, and the two ends of the connection."""

    response: Response
    url: str
    local: Endpoint
    peer: Endpoint


async def send(
    build: Callable[[Endpoint], Request],
    endpoint: Endpoint,
    *,
    source: Endpoint | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Response:
    """Connect to ``endpoint``, from the address of ``source`` when given (its port is not used),
    send what ``build`` makes for the local end of that connection, and return the response.

    Raises ConnectionFailed without a connection or when it breaks, TimedOut after
    ``limits.request_seconds``, RemoteProtocolError when the answer is not HTTP, and what
    ``build`` raises.
    """
    async with _TimeLimit(endpoint, limits):
        exchange = await _connect(endpoint, source, limits)
        try:
            return await exchange.send(build(exchange.local))
        finally:
            exchange.end()


async def follow(
    url: str,
    build: Callable[[str, Endpoint], Request],
    *,
    source: Endpoint | None = None,
    redirects: Collection[int] = REDIRECTS,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer:
    """As :func:`send`, to a URL: ``build`` gets it, or where a redirect has led, and the local
    end. Answers with a status in ``redirects`` are followed ``limits.redirects`` times; one more,
    or one that :func:`.redirect_url` does not take, is returned as it came, and so is one that
    :func:`.leads_inside`.

    Raises ValueError for a URL that is not http, and as :func:`send`.
    """
    location = locate(url)
    answer: Answer | None = None
    async with _TimeLimit(location.authority, limits):
        for _ in range(limits.redirects + 1):
            endpoint = location.endpoint
            if answer:
                endpoint = scoped(endpoint, answer.peer.scope)
            exchange = await _connect(endpoint, source, limits)
            try:
                if answer and leads_inside(answer.peer, exchange.peer):
                    return answer
                response = await exchange.send(build(url, exchange.local))
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
    url: str,
    *,
    headers: HeaderPairs = (),
    source: Endpoint | None = None,
    redirects: Collection[int] = DOCUMENT_REDIRECTS,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer:
    """GET a description or another document; as :func:`follow`, with the redirects that
    devices do use. ``headers`` are sent beside HOST and CONNECTION."""

    def build(url: str, local: Endpoint) -> Request:
        return document_request(locate(url), headers)

    return await follow(url, build, source=source, redirects=redirects, limits=limits)


class _TimeLimit:
    """``async with``: TimedOut after ``limits.request_seconds``. No generator: once a loop has shut
    those down, one more is a warning, and a control point takes its leave then."""

    def __init__(self, peer: object, limits: Limits) -> None:
        self._peer = peer
        self._seconds = limits.request_seconds

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(self._seconds)
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise TimedOut(f"{self._peer} did not answer within {self._seconds:g} s") from None


async def _connect(endpoint: Endpoint, source: Endpoint | None, limits: Limits) -> _Exchange:
    if source is not None:
        endpoint = scoped(endpoint, source.scope)
    try:
        async with asyncio.timeout(limits.connect_seconds):
            return await connect(lambda: _Exchange(endpoint, limits), endpoint, source)
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        reason = _in_words(error) or f"no answer within {limits.connect_seconds:g} s"
        raise ConnectionFailed(f"no connection to {endpoint}: {reason}") from error


def failure_of(error: Exception, source: Endpoint | None = None) -> Failure:
    """What an exception of :func:`send` and its like means for a subscription; ``source`` is
    what was given to it."""
    if isinstance(error, (DescriptionError, ValueError, LookupError)):
        return Failure.DESCRIPTION
    if not isinstance(error, ConnectionFailed):
        return Failure.SILENCE if isinstance(error, TimedOut) else Failure.BROKEN
    cause = error.__cause__
    if not isinstance(cause, OSError):
        return Failure.BROKEN
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return Failure.UNREACHABLE  # A host that is there answers a SYN, or refuses it.
    return failure_of_errno(cause.errno, bound=source is not None)


def _in_words(error: OSError | ValueError) -> str:
    """What the system calls the error, without asyncio's or errno's additions."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)


def _see(response: asyncio.Future[Response]) -> None:
    if not response.cancelled():
        response.exception()


class _Exchange(asyncio.Protocol):
    """A connection that carries one request. ``local`` and ``peer`` are its ends."""

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        self._endpoint = endpoint
        self._parser = ResponseParser(limits)
        self._response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        # Whoever wanted it may be gone, even before the connection was there.
        self._response.add_done_callback(_see)
        self._transport: asyncio.Transport
        self._early: bytes | None = b""  # what came before the request was sent
        self.local = self.peer = endpoint

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        local = transport.get_extra_info("sockname")
        peer = transport.get_extra_info("peername")
        if not local or not peer:  # it has gone again already
            self._break("was closed at once")
            return
        self.local = endpoint_of(local)
        self.peer = endpoint_of(peer)

    async def send(self, request: Request) -> Response:
        encoded = encode_request(request)
        self._parser.expect(request.method)
        if not self._response.done():
            self._transport.write(encoded)
        early, self._early = self._early, None
        if early:
            self.data_received(early)
        return await self._response

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            return
        responses = self._parser.feed(data)
        if self._response.done():
            return
        if responses:
            self._response.set_result(responses[0])
        elif self._parser.error is not None:
            self._response.set_exception(self._parser.error)

    def eof_received(self) -> None:
        if not self._response.done():
            response = self._parser.end()
            if response is not None:
                self._response.set_result(response)
            else:
                self._break("ended before the answer was whole")

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"broke before the answer was whole: {exc}" if exc else "was closed")

    def _break(self, how: str) -> None:
        if not self._response.done():
            self._response.set_exception(
                ConnectionFailed(f"the connection to {self._endpoint} {how}")
            )

    def end(self) -> None:
        self._response.cancel()
        self._transport.abort()
