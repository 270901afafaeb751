"""An answer of a peer, and the protocol that reads one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol

from propchange.cohen3.dispatcher import Logger
from propchange.core.limits import Limits
from propchange.core.wire.messages import Response
from propchange.errors import ConnectionFailed, PropchangeError, TimedOut
from propchange.http import ResponseParser
from propchange.twisted.runtime import Reactor, default_reactor


class PeerResponse(NamedTuple):
    """An answer: the HTTP status, and the headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]

    @classmethod
    def of(cls, response: Response) -> PeerResponse:
        """``response`` as a PeerResponse."""
        fields = response.fields.items()
        return cls(response.status, {n.decode("latin-1"): v.decode("latin-1") for n, v in fields})


class AnswerProtocol(Protocol, Logger):
    """Reads the answer to one request, which its owner sends, and ends the connection. The answer
    may come in any number of chunks, within ``seconds``. Then :meth:`settled` is called."""

    transport: Any

    def __init__(self, seconds: float, *, reactor: Reactor | None, limits: Limits) -> None:
        self._seconds = seconds
        self._reactor = reactor
        self._parser = ResponseParser(limits)
        self._alarm: Any = None
        self.done = False

    def settled(self, result: Response | Exception) -> None:
        """The answer is whole, or there is none."""

    @property
    def reactor(self) -> Reactor:
        """The reactor that was given, or else the installed one."""
        return self._reactor or default_reactor()

    def connectionMade(self) -> None:
        """The connection is there."""
        error = TimedOut(f"there was no answer in {self._seconds:g} s")
        self._alarm = self.reactor.callLater(self._seconds, self._settle, error)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of the answer."""
        responses = self._parser.feed(data)
        if responses:
            self._settle(responses[0])
        elif self._parser.error is not None:
            self._settle(self._parser.error)

    def connectionLost(self, reason: Any = ConnectionDone()) -> None:  # noqa: B008 - Twisted's signature
        """The connection is gone; an answer that ends with it is whole now."""
        response = self._parser.end()
        self._settle(response or ConnectionFailed("the connection ended without an answer"))

    def end(self) -> None:
        """End the connection now."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None and alarm.active():
            alarm.cancel()
        if self.transport is not None:
            self.transport.loseConnection()

    def _settle(self, result: Response | PropchangeError) -> None:
        if not self.done:
            self.done = True
            self.end()
            self.settled(result)
