"""A web server whose caps bind before a resource is asked to render.

``twisted.web`` takes a whole body into memory or a file before anything can refuse it. Here the
caps of :class:`propchange.core.limits.Limits` hold while a request arrives.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web import http, server

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.twisted.reactors import Reactor, all_of, default_reactor

__all__ = ["Site"]

# Method, two blanks, version and line end, beside the target.
_REQUEST_LINE_EXTRA = 64
_DONE: Any = None


class _Request(server.Request):
    channel: Any
    _received = 0

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)  # type: ignore[no-untyped-call] # twisted.web is untyped
        if length is not None and length > self.channel.limits.body_bytes:
            self.channel.refuse(413)

    def handleContentChunk(self, data: bytes) -> None:
        if self.channel.refused:
            return
        self._received += len(data)
        if self._received > self.channel.limits.body_bytes:
            self.channel.refuse(413)
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call] # twisted.web is untyped


class _Channel(http.HTTPChannel):
    """One connection. Once it is refused it is only read, for a while, so that a reset does not
    destroy the answer."""

    factory: Any
    site: Any
    transport: Any
    limits = DEFAULT_LIMITS
    refused = False
    _bytes = 0
    _lines = 0
    _dropped = 0
    _begun: float | None = None
    _alarm: Any = None
    _read_alarm: Any = None
    heard = 0.0

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.transport is not None and self._begun is None and not self.requests

    def dataReceived(self, data: bytes) -> None:
        if self.refused:
            self._drop(data)
            return
        self.heard = now = self.site.clock()
        super().dataReceived(data)  # type: ignore[no-untyped-call] # twisted.web is untyped
        # Most requests come in one piece and need no clock.
        if not self._lines and not getattr(self, "_buffer", b""):
            self._begun = None
        elif self._begun is None and not self.refused:
            self._begun = now
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

    def lineReceived(self, line: bytes) -> None:
        if self.refused:
            return
        if not line and not self._lines:
            # An empty line before a request is none of its lines.
            super().lineReceived(line)  # type: ignore[no-untyped-call] # twisted.web is untyped
            return
        self._bytes += len(line) + 2
        self._lines += 1
        limits = self.limits
        if self._lines == 1 and len(line) > limits.target_bytes + _REQUEST_LINE_EXTRA:
            self.refuse(414)
        elif self._bytes > limits.header_bytes or self._lines - 2 > limits.header_count:
            self.refuse(431)
        else:
            super().lineReceived(line)  # type: ignore[no-untyped-call] # twisted.web is untyped

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431 if self._lines else 414)

    def rawDataReceived(self, data: bytes) -> None:
        if not self.refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        if not self.refused:
            self._bytes = self._lines = 0
            self._begun = None
            super().allContentReceived()  # type: ignore[no-untyped-call] # twisted.web is untyped

    def connectionLost(self, reason: Any = _DONE) -> None:
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._read_alarm is not None and self._read_alarm.active():
            self._read_alarm.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call] # twisted.web is untyped
        self.site.forget(self)  # last: who waits for this finds nothing left with the reactor

    def refuse(self, status: int) -> None:
        """Answer for the last time, to what never became a request."""
        if self.refused:
            return
        self.refused = True
        content = getattr(self.requests[-1], "content", None) if self.requests else None
        if content is not None:
            content.close()
        phrase = HTTPStatus(status).phrase
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        self._alarm = self.site.later(self.limits.linger_seconds, self.transport.loseConnection)

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > self.limits.body_bytes:
            self.transport.loseConnection()


class Site(server.Site):
    """As ``twisted.web.server.Site``, with caps on headers (431), the request target (414), bodies
    (413, chunked ones as they come), the time that a request takes (408), idle connections, and
    the number of connections, all together and from one address."""

    protocol: Any = _Channel

    def __init__(
        self,
        resource: Any,
        *,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Reactor | None = None,
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
        self.clock = reactor.seconds
        self.later = reactor.callLater
        self._open: dict[Any, str] = {}
        self._per_address: Counter[str] = Counter()
        self._going: dict[Any, Deferred[None]] = {}

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a connection that is accepted, None where there is no room for it."""
        host = str(getattr(addr, "host", ""))
        limits = self.limits
        if self._per_address[host] >= limits.connections_per_address:
            return None
        if len(self._open) >= limits.connections and not self._make_room():
            return None
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call] # twisted.web is untyped
        channel.limits = limits
        channel.MAX_LENGTH = limits.header_bytes
        channel.totalHeadersSize = 2 * limits.header_bytes  # ours binds first, with its own status
        channel.heard = self.clock()
        self._open[channel] = host
        self._per_address[host] += 1
        return channel

    def _make_room(self) -> bool:
        idle = [channel for channel in self._open if channel.idle and not channel.refused]
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
