"""One request to a device and its response, over a connection of its own."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import ClientFactory, Protocol

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.requests import Failure, failure_of_errno
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.interfaces import scoped_host
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.http import ResponseParser, encode_request
from propchange.twisted.addresses import endpoint_of
from propchange.twisted.reactors import Reactor, default_reactor

__all__ = ["Exchange", "connect", "failure_of"]


class Exchange(Protocol):
    """A connection to a device that carries one request at a time.

    The answer may come in any number of chunks. ``local`` and ``peer`` are the two ends once it
    is connected, None where the transport has none; ``done`` once there was an answer or will be
    none; ``gone`` fires when the connection, once made, is no more.
    """

    transport: Any

    def __init__(self, *, reactor: Reactor | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._reactor = reactor
        self._limits = limits
        self._parser = ResponseParser(limits)
        self._waiting: Deferred[Response] | None = None
        self._alarm: Any = None
        self.told_connected: Deferred[Any] | None = None
        self.done = False
        self.gone: Deferred[None] = Deferred()
        self.local: Endpoint | None = None
        self.peer: Endpoint | None = None

    def connectionMade(self) -> None:
        """The connection is there; an answer has ``limits.request_seconds`` to come."""
        self.local = endpoint_of(self.transport.getHost())
        self.peer = endpoint_of(self.transport.getPeer())
        reactor = self._reactor or default_reactor()
        self._alarm = reactor.callLater(self._limits.request_seconds, self._time_out)
        connected, self.told_connected = self.told_connected, None
        if connected is not None:
            connected.callback(self)

    def request(self, request: Request) -> Deferred[Response]:
        """Send ``request``. The Deferred fires with the response, or fails with
        :exc:`~propchange.errors.ConnectionFailed`, TimedOut or RemoteProtocolError."""
        encoded = encode_request(request)
        self._parser.expect(request.method)
        self._waiting = Deferred()
        self.transport.write(encoded)
        return self._waiting

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of the answer."""
        responses = self._parser.feed(data)
        if self.done:
            return
        if responses:
            self.answered(responses[0])
        elif self._parser.error is not None:
            self.broken(self._parser.error)

    def connectionLost(self, reason: Any = ConnectionDone()) -> None:  # noqa: B008 - Twisted's signature
        """The connection is gone; an answer that ends with it is whole now."""
        self._disarm()
        response = self._parser.end()
        if not self.done:
            if response is not None:
                self.answered(response)
            else:
                self.broken(ConnectionFailed(f"{self.peer} ended the connection without an answer"))
        if not self.gone.called:
            self.gone.callback(None)

    def end(self) -> None:
        """End the connection now."""
        self._disarm()
        if self.transport is not None:
            self.transport.loseConnection()

    def answered(self, response: Response) -> None:
        """The answer is whole."""
        self._disarm()
        self.done = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(response)

    def broken(self, error: PropchangeError) -> None:
        """There will be no answer."""
        self._disarm()
        self.done = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _time_out(self) -> None:
        self._alarm = None
        self.broken(TimedOut(f"{self.peer} did not answer in {self._limits.request_seconds:g} s"))
        self.end()

    def _disarm(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None and alarm.active():
            alarm.cancel()


_E = TypeVar("_E", bound=Exchange)


class _Factory(ClientFactory):
    noisy = False

    def __init__(
        self, connection: Exchange, connected: Deferred[Any], endpoint: Endpoint, seconds: float
    ) -> None:
        self._connection = connection
        self._connected = connected
        self._endpoint = endpoint
        self._seconds = seconds

    def buildProtocol(self, addr: object) -> Exchange:
        self._connection.told_connected = self._connected
        return self._connection

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        # Twisted's own words say the same thrice, with the number.
        words: str = reason.getErrorMessage()
        if isinstance(number := getattr(reason.value, "osError", None), int):
            words = os.strerror(number)
        elif isinstance(reason.value, ConnectTimeout):
            words = f"no answer within {self._seconds:g} s"
        error = ConnectionFailed(f"no connection to {self._endpoint}: {words}")
        error.__cause__ = reason.value
        self._connected.errback(error)


def failure_of(error: BaseException | None, source: Endpoint | None = None) -> Failure:
    """What a failed :func:`connect` or :meth:`Exchange.request` means for a subscription;
    ``source`` is what was given to it."""
    if isinstance(error, (DescriptionError, ValueError, LookupError)):
        return Failure.DESCRIPTION
    if not isinstance(error, ConnectionFailed):
        return Failure.BROKEN if isinstance(error, RemoteProtocolError) else Failure.SILENCE
    cause = error.__cause__
    if cause is None:
        return Failure.BROKEN
    if isinstance(cause, ConnectTimeout):
        return Failure.UNREACHABLE  # A host that is there answers a SYN, or refuses it.
    number = getattr(cause, "osError", None)
    return failure_of_errno(number, bound=source is not None)


def connect(
    reactor: Reactor,
    endpoint: Endpoint,
    connection: _E,
    *,
    source: Endpoint | None = None,
    source_port: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> Deferred[_E]:
    """Connect ``connection`` to ``endpoint``, whose host may be a name, from the address of
    ``source`` when given, and from ``source_port`` there, 0 for any. The Deferred fires with it, or
    fails with ConnectionFailed; cancelling it ends the attempt."""
    connector: list[Any] = []
    connected: Deferred[_E] = Deferred(lambda _: connector[0].disconnect())
    connector.append(
        reactor.connectTCP(
            scoped_host(endpoint),
            endpoint.port,
            _Factory(connection, connected, endpoint, limits.connect_seconds),
            timeout=limits.connect_seconds,
            bindAddress=None if source is None else (scoped_host(source), source_port),
        )
    )
    return connected
