"""A web server whose requests are read by the ``http`` room, with its strictness and its caps.

``twisted.web`` takes a whole body into memory or a file before anything can refuse it, answers in
versions of HTTP that there are not, and ends a connection with a reset when something it has not
read is left. Here a request is parsed as everywhere in propchange, and rendered as in Twisted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web import http, server
from twisted.web.error import UnsupportedMethod
from twisted.web.http_headers import Headers
from zope.interface import implementer  # type: ignore[import-untyped] # it has no types

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.http import RequestParser, encode_response
from propchange.twisted.addresses import endpoint_of
from propchange.twisted.reactors import Reactor, all_of, default_reactor
from propchange.twisted.reporting import product

__all__ = ["Site"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DONE: Any = None


class _Request(server.Request):
    site: Any
    received: Request
    """The same as the core reads it."""

    def render(self, resrc: Any) -> None:
        """Let ``resrc`` answer, which may name another server."""
        server = self.site.server.encode("latin-1", "replace")
        self.responseHeaders.setRawHeaders(b"Server", [server])
        super().render(_Methods(resrc))  # type: ignore[no-untyped-call] # twisted.web is untyped

    def _handleStar(self) -> None:
        # twisted.web answers 405 to whatever is asked of * but OPTIONS: here the root judges.
        if self.method == b"OPTIONS":
            super()._handleStar()  # type: ignore[no-untyped-call] # twisted.web is untyped
        else:
            self.postpath = []
            self.render(self.site.resource)


class _Methods:
    """A resource that answers 405 to the methods it does not have (UDA 2.0 §2.1). ``twisted.web``
    answers 501 to all but three, which says that no resource here has them."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def render(self, request: Any) -> Any:
        try:
            return self._resource.render(request)
        except UnsupportedMethod as unsupported:
            if request.method == b"HEAD":  # of GET, says the request itself
                raise
            request.setResponseCode(405)
            request.setHeader(b"Allow", b", ".join(unsupported.allowedMethods))
            return b""


@implementer(IHalfCloseableProtocol)
class _Channel(http.HTTPChannel):
    """One connection. Once it is answered for the last time it is only read, for a while, so that
    a reset does not destroy the answer."""

    factory: Any
    site: Any
    transport: Any
    limits = DEFAULT_LIMITS
    heard = 0.0
    refused = False
    """Nothing more is answered."""
    asked = False
    """A whole request has come."""
    peer: Endpoint | None = None
    _parser: RequestParser
    _waiting: deque[Request]
    _proceeding = False
    _paused = False
    _peer_ended = False
    _left = False
    """The last answer has left, and the end of the stream behind it."""
    _dropped = 0
    _begun: float | None = None
    _alarm: Any = None
    _read_alarm: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call] # twisted.web is untyped
        # None where the transport is not TCP, which the core never judges.
        peer: Any = endpoint_of(self.transport.getPeer())
        local: Any = endpoint_of(self.transport.getHost())
        self.peer = peer
        self._parser = RequestParser(self.limits, peer=peer, local=local)
        self._waiting = deque()
        self._when_left: list[Callable[[bool], object]] = []

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.transport is not None and self._begun is None and not self.requests

    # --- reading ---

    def dataReceived(self, data: bytes) -> None:
        if self.refused:
            self._dropped += len(data)
            if self._dropped > self.limits.body_bytes:
                self.transport.loseConnection()
            return
        self.heard = self.site.clock()
        self.resetTimeout()  # type: ignore[no-untyped-call] # twisted.web is untyped
        self._waiting.extend(self._parser.feed(data))
        self._proceed()

    def _proceed(self) -> None:
        """Render what can be, then see what is to be waited for."""
        if self._proceeding:
            return
        self._proceeding = True
        try:
            while self._waiting and not self._handlingRequest and not self.refused:
                self._render(self._waiting.popleft())
        finally:
            self._proceeding = False
        if self.refused:
            return
        parser = self._parser
        if self._handlingRequest:
            self._wait_for_answer()
        elif parser.error is not None:
            self.refuse(parser.error.status)
        elif self._peer_ended:
            self.transport.loseConnection()
        else:
            if self._paused and not self._waitingForTransport:
                self._paused = False
                self.transport.resumeProducing()
            if parser.expect_continue:
                parser.expect_continue = False
                self.transport.write(_CONTINUE)
            self._wait_for_rest()

    def _wait_for_answer(self) -> None:
        self._begun = None
        if len(self._waiting) > self.limits.pipelined_requests:
            self.refused = True
            self.transport.loseConnection()
        elif self._waiting and not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def _wait_for_rest(self) -> None:
        if not self._parser.in_message:
            self._begun = None
        elif self._begun is None:
            self._begun = self.heard
            if self._read_alarm is None:
                self._read_alarm = self.site.later(self.limits.read_seconds, self._look)

    def _look(self) -> None:
        # Not moved for each request, but looked at when it is over.
        self._read_alarm = None
        if self._begun is None or self.refused:
            return
        left = self._begun + self.limits.read_seconds - self.site.clock()
        if left > 0.001:
            self._read_alarm = self.site.later(left, self._look)
        else:
            self.refuse(408)

    # --- answering ---

    def _render(self, received: Request) -> None:
        self._handlingRequest = self.asked = True
        self.persistent = received.keep_alive
        if self.timeOut:
            self._savedTimeOut = self.setTimeout(None)  # type: ignore[no-untyped-call] # twisted.web is untyped
        request: Any = self.requestFactory(self)
        request.received = received
        self.requests.append(request)
        add = request.requestHeaders.addRawHeader
        for name, value in received.headers:
            add(name, value.strip(b" \t"))
        request.parseCookies()
        body = received.body
        request.gotLength(len(body))
        if body:
            request.handleContentChunk(body)
        if not received.keep_alive:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif received.http_version == "1.0":
            request.responseHeaders.setRawHeaders(b"Connection", [b"keep-alive"])
        request.requestReceived(
            received.method.encode("ascii"),
            received.target.encode("ascii"),
            b"HTTP/1.0" if received.http_version == "1.0" else b"HTTP/1.1",
        )

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """Write the head of an answer. One of HTTP/1.0 without a length lasts to the end of the
        stream."""
        if version == b"HTTP/1.0":
            # The channel's headers are a list in older versions of Twisted.
            pairs = headers.getAllRawHeaders() if isinstance(headers, Headers) else headers
            names = {name.lower() for name, _ in pairs}
            if b"content-length" not in names:
                self.persistent = False
            if not self.persistent and isinstance(headers, Headers):
                headers.removeHeader(b"Connection")
            elif not self.persistent:
                headers = [pair for pair in headers if pair[0].lower() != b"connection"]
        super().writeHeaders(version, code, reason, headers)  # type: ignore[no-untyped-call] # twisted.web is untyped

    def requestDone(self, request: Any) -> None:
        """For the request: its answer is written."""
        self.requests.remove(request)
        self._handlingRequest = False
        if not self.persistent:
            self._end_stream()
            return
        if self._savedTimeOut:
            self.setTimeout(self._savedTimeOut)  # type: ignore[no-untyped-call] # twisted.web is untyped
        self._proceed()

    def refuse(self, status: int) -> None:
        """Answer for the last time, to what never became a request."""
        if self.refused:
            return
        if self.site.callers is not None and self.peer is not None:
            reason = str(self._parser.error or "the request did not come whole in time")
            self.site.callers.refused(self.peer, "", status, reason, self.site.clock())
        headers = (
            (b"DATE", formatdate(usegmt=True).encode("ascii")),
            (b"SERVER", self.site.server.encode("latin-1", "replace")),
            (b"CONTENT-LENGTH", b"0"),
        )
        version = self._parser.http_version
        self.transport.write(
            encode_response(Response(status, headers, http_version=version, close=True))
        )
        self._end_stream(linger=True)

    # --- ending ---

    def _end_stream(self, *, linger: bool = False) -> None:
        """What is written is the last. Without a way to end this half alone the connection goes
        at once, or, with ``linger``, once it was read for a while."""
        self.refused = True
        self._begun = None
        self._waiting.clear()
        end_half = getattr(self.transport, "loseWriteConnection", None)
        if self._peer_ended or (end_half is None and not linger):
            self.transport.loseConnection()
            return
        if end_half is not None:
            self._networkProducer.unregisterProducer()
            end_half()
            if self._paused:
                self.transport.resumeProducing()  # to see the peer's end
        self._alarm = self.site.later(self.limits.linger_seconds, self.transport.loseConnection)

    def call_when_ended(self, told: Callable[[bool], object]) -> None:
        """Call ``told(True)`` once the end of the stream has left, ``told(False)`` when the
        connection was lost before."""
        if self._left or self.transport is None:
            told(self._left)
        else:
            self._when_left.append(told)

    def _tell_left(self, left: bool) -> None:
        self._left = left
        waiting, self._when_left = self._when_left, []
        for told in waiting:
            told(left)

    def writeConnectionLost(self) -> None:
        """For the transport: this end of the stream is out."""
        self._tell_left(True)
        if self._peer_ended:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """For the transport: the peer sends no more. What it has asked is answered."""
        self._peer_ended = True
        if self._left:
            self.transport.loseConnection()
        elif not (self.refused or self._handlingRequest):
            self._parser.end()
            self._proceed()

    def connectionLost(self, reason: Any = _DONE) -> None:
        for alarm in (self._alarm, self._read_alarm):
            if alarm is not None and alarm.active():
                alarm.cancel()
        if not self.asked and not self.refused and self.site.callers is not None and self.peer:
            self.site.callers.ended_empty(self.peer, self.site.clock())
        super().connectionLost(reason)  # type: ignore[no-untyped-call] # twisted.web is untyped
        done = reason is not _DONE and reason.check(ConnectionDone) is not None
        self._tell_left(self._left or (self.refused and done))
        self.site.forget(self)  # last: who waits for this finds nothing left with the reactor


class Site(server.Site):
    """As ``twisted.web.server.Site``, with requests read strictly (400), and caps on headers (431),
    the request target (414), bodies (413, chunked ones as they come), the time that a request takes
    (408), idle connections, and the number of connections, all together and from one address.

    ``server`` is the value of SERVER where no resource gives one. ``callers`` is told who connects
    and what comes to nothing, in the time of ``clock``, the reactor's by default."""

    protocol: Any = _Channel

    def __init__(
        self,
        resource: Any,
        *,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Reactor | None = None,
        server: str = "",
        callers: ConnectionHistory | None = None,
        clock: Callable[[], float] | None = None,
        **keywords: Any,
    ) -> None:
        reactor = reactor or default_reactor()
        super().__init__(  # type: ignore[no-untyped-call] # twisted.web is untyped
            resource,
            requestFactory=_Request,
            reactor=reactor,
            timeout=int(limits.idle_seconds),
            **keywords,
        )
        self.limits = limits
        self.server = server or product("1.1")
        self.clock = clock or reactor.seconds
        self.callers = callers
        self.later = reactor.callLater
        self._open: dict[Any, str] = {}
        self._per_address: Counter[str] = Counter()
        self._going: dict[Any, Deferred[None]] = {}

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a connection that is accepted, None where there is no room for it."""
        host = str(getattr(addr, "host", ""))
        limits = self.limits
        full = (len(self._open) >= limits.connections and not self._make_room()) or (
            self._per_address[host] >= limits.connections_per_address and not self._make_room(host)
        )
        peer = endpoint_of(addr)
        if self.callers is not None and peer is not None:
            tell = self.callers.turned_away if full else self.callers.connected
            tell(peer, self.clock())
        if full:
            return None
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call] # twisted.web is untyped
        channel.limits = limits
        channel.heard = self.clock()
        self._open[channel] = host
        self._per_address[host] += 1
        return channel

    def _make_room(self, host: str | None = None) -> bool:
        """End the longest idle connection, of those from ``host`` if it is one that is full."""
        idle = [
            channel
            for channel, peer in self._open.items()
            if channel.idle and not channel.refused and host in (None, peer)
        ]
        if not idle:
            return False
        longest = min(idle, key=lambda channel: channel.heard)
        longest.loseConnection()
        self.forget(longest)
        return True

    def close(self) -> Deferred[None]:
        """End all connections; what is not written after ``limits.linger_seconds`` is not. Fires
        when they are gone. To be called once the port does not listen any more."""
        alarms = []
        for channel in tuple(self._open):
            self._going.setdefault(channel, Deferred())
            transport = channel.transport
            abort = getattr(transport, "abortConnection", transport.loseConnection)
            alarms.append(self.later(self.limits.linger_seconds, abort))
            channel.loseConnection()

        def disarm(_: object) -> None:
            for alarm in alarms:
                if alarm.active():
                    alarm.cancel()

        return all_of(self._going.values()).addCallback(disarm)

    def forget(self, channel: Any) -> None:
        """For the channel: its connection is gone."""
        going = self._going.pop(channel, None)
        if going is not None:
            going.callback(None)
        host = self._open.pop(channel, None)
        if host is not None:
            self._per_address[host] -= 1
            if not self._per_address[host]:
                del self._per_address[host]
