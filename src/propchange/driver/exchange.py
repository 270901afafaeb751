"""One connection to a device, and the requests that it carries one after another."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Protocol

from propchange.core.limits import Limits
from propchange.core.shortages import SHORTAGES
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.descriptors import DESCRIPTORS
from propchange.driver.runtime import Armed, Future, Runtime, Transport, settle
from propchange.errors import ConnectionFailed, PropchangeError, TimedOut
from propchange.http import ResponseParser, encode_request


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0") if seconds >= 1 else f"{seconds:.2g}"


class ExchangeOwner(Protocol):
    """The owner of an exchange, as the exchange calls it: :class:`.Requests`."""

    runtime: Runtime
    limits: Limits

    def gone(self, exchange: Exchange) -> None:
        """The connection of ``exchange`` has ended."""


class Exchange:
    """A connection that carries one request at a time to a device (a :class:`.Connection`).

    Call :meth:`connect`, then :meth:`send`, and in the end :meth:`end`. Or :meth:`keep` it if it is
    :attr:`reusable`; then it can :meth:`send` again after :meth:`reuse`. ``local`` and ``peer`` are
    the ends of the connection once it is open. ``endpoint`` has an IP literal; ``named`` is the
    endpoint in the URL, for the texts of errors.
    """

    def __init__(self, requests: ExchangeOwner, endpoint: Endpoint, named: Endpoint) -> None:
        self._requests = requests
        self._endpoint = endpoint
        self._named = str(named) if named == endpoint else f"{named} ({endpoint.host})"
        self._parser = ResponseParser(requests.limits)
        self._connected: Future[Exception | None] = requests.runtime.future()
        self._outcome: Future[Response | PropchangeError] = requests.runtime.future()
        self._early: bytes | None = b""  # received before the request was sent; None after that
        self._transport: Transport | None = None
        self._attempt: Armed | None = None
        self._alarm: Armed | None = None
        self._taken = False  # the device has accepted the request, perhaps before it has read it
        self._method = ""
        self._reused = False
        self._clean = False  # the last answer was whole, and it allows another request
        self._unkept: Callable[[Exchange], None] | None = None
        self.local = self.peer = endpoint

    async def connect(
        self, source: Endpoint | None, seconds: float, within: float | None = None
    ) -> None:
        """Connect within ``seconds``, from the address of ``source`` if given. The text of the
        error names the time ``within`` for all addresses of a name; None: ``seconds``. Raises
        ConnectionFailed, whose cause is the OSError."""
        failed: Callable[[OSError], None] = partial(settle, self._connected)
        try:
            self._attempt = self._requests.runtime.connect(
                self, self._endpoint, source=source, seconds=seconds, failed=failed
            )
            error = await self._connected
        except (OSError, ValueError) as unusable:  # not a valid host
            error = unusable
        if isinstance(error, PropchangeError):
            raise error
        if error is not None:
            cause = error if isinstance(error, OSError) else OSError(str(error))
            if cause.errno in SHORTAGES:
                DESCRIPTORS.short(cause, 1)  # so that the next attempt has a descriptor
            whole = seconds if within is None else within
            reason = words_of(cause) or f"no answer within {_rounded(whole)} s"
            raise ConnectionFailed(f"no connection to {self._named}: {reason}") from cause

    async def send(self, request: Request, seconds: float, within: float | None = None) -> Response:
        """Send ``request`` and wait for the response, for ``seconds`` at most. The text of TimedOut
        names the time ``within`` of the whole request; None: ``seconds``. Raises ConnectionFailed
        if the connection breaks, TimedOut, and RemoteProtocolError if the answer is not HTTP."""
        encoded = encode_request(request)
        if request.method != self._method:
            self._method = request.method
            self._parser.expect(request.method)
        if not self._outcome.done():
            assert self._transport is not None
            alarm = partial(self._time_out, seconds if within is None else within)
            self._alarm = self._requests.runtime.call_later(max(seconds, 0.001), alarm)
            self._transport.write(encoded)
            early, self._early = self._early, None
            if early:
                self.data_received(early)
        outcome = await self._outcome
        if isinstance(outcome, Response):
            return outcome
        raise outcome

    def end(self) -> None:
        """End the connection, or the attempt to make it, now. If the device has accepted a request
        before all its bytes were written, they have ``Limits.linger_seconds`` to leave."""
        self._forget()
        if self._alarm is not None:
            self._alarm.cancel()
        transport = self._transport
        if transport is not None:
            # Twisted aborts with a reset. Only a device that does not read needs that.
            if not transport.unwritten():
                transport.close()
            elif self._taken and not transport.is_closing():
                seconds = self._requests.limits.linger_seconds
                self._alarm = self._requests.runtime.call_later(seconds, self.end)
                transport.close()
            else:
                transport.abort()
        elif self._attempt is not None:
            self._attempt.cancel()
            self._requests.gone(self)

    @property
    def reusable(self) -> bool:
        """Whether it may carry another request: the last answer was HTTP/1.1 without ``Connection:
        close``, and no byte has come after it."""
        return self._clean and not self._ending()

    def _ending(self) -> bool:
        transport = self._transport
        return transport is None or transport.is_closing() or bool(transport.unwritten())

    def keep(self, seconds: float, unkept: Callable[[Exchange], None]) -> None:
        """Keep the connection idle for ``seconds``. Call it only while it is :attr:`reusable`.
        ``unkept`` is called if it ends before :meth:`reuse`: because of the time, of a byte, or of
        an end of the stream."""
        self._unkept = unkept
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._requests.runtime.call_later(seconds, self.end)

    def reuse(self) -> bool:
        """Use an idle connection again. Returns False if a byte or the end of the stream has come
        meanwhile, even if the loop has not seen it yet. Then call :meth:`end`."""
        self._unkept = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self.reusable or (self._transport is not None and self._transport.readable()):
            return False
        self._reused, self._clean, self._taken = True, False, False
        self._outcome = self._requests.runtime.future()
        return True

    def give_up(self) -> None:
        """End the exchange. The coroutine that waits for it gets a ConnectionFailed."""
        self.end()
        settle(self._connected, self._lost("was given up"))

    def _forget(self) -> None:
        unkept, self._unkept = self._unkept, None
        if unkept is not None:
            unkept(self)

    def _time_out(self, seconds: float) -> None:
        within = f"within {_rounded(seconds)} s"
        settle(self._outcome, TimedOut(f"{self._named} did not answer {within}"))

    def _lost(self, how: str) -> ConnectionFailed:
        error = ConnectionFailed(f"the connection to {self._named} {how}")
        settle(self._outcome, error)
        return error

    # --- for the runtime ---

    def connection_made(self, transport: Transport) -> None:
        """The connection can be used."""
        self._transport = transport
        self.local, self.peer = transport.local, transport.peer
        if self._connected.done():  # cancelled, or given up
            transport.abort()
        else:
            self._connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer were received."""
        if self._early is not None:
            self._early += data
        elif self._unkept is not None:
            self.end()  # an answer that nobody has asked for
        elif self._outcome.done():
            self._clean = False
        elif responses := self._parser.feed(data):
            response = responses[0]
            self._taken = 200 <= response.status < 300
            parser = self._parser
            whole = not (response.close or len(responses) > 1 or parser.started or parser.error)
            self._clean = whole and response.http_version >= "1.1"
            settle(self._outcome, response)
        elif self._parser.error is not None:
            settle(self._outcome, self._parser.error)
        elif self._reused and self._transport is not None:
            # The answer has begun. A device with Nagle's algorithm sends the next part only when
            # this one is confirmed, which takes 40 ms by default on a connection in use.
            self._transport.acknowledge()

    def eof_received(self) -> bool:
        """The device has ended its stream. An answer without a length is complete now."""
        self._clean = False
        self._forget()
        if (response := self._parser.end()) is not None:
            settle(self._outcome, response)
        self._lost("ended before the answer was whole")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        self._clean = False
        self._forget()
        if self._alarm is not None:
            self._alarm.cancel()
        self._lost(f"broke before the answer was whole: {error}" if error else "was closed")
        self._requests.gone(self)

    def pause_writing(self) -> None:
        """Nothing to do: a request is one write."""

    resume_writing = eof_sent = pause_writing


def words_of(error: OSError) -> str:
    """The system's text for the error, without additions by a runtime or errno."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno) if error.errno else str(error)
