"""One connection to a subscriber, which carries one delivery after another.

A connection carries one delivery at a time, and is kept if the answer allows it. If it ends
before any byte of an answer, and has carried an earlier delivery, the attempt is STALE: the peer
had closed the connection already, and the publisher tries once more on a fresh one. Any other end
is BROKEN. A connection that carries nothing is closed; a connection with an unanswered request is
reset. A subscriber may answer 200 before it reads: such a request leaves all the same.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from propchange.core.limits import Limits
from propchange.core.shortages import SHORTAGES
from propchange.core.wire.messages import (
    Delivery,
    DeliveryFailure,
    Endpoint,
    Response,
    shared,
)
from propchange.driver.reporting import logger_named
from propchange.driver.runtime import Armed, Runtime, Transport
from propchange.driver.sockets import ADDRESS_GONE
from propchange.http import ResponseParser, encode_delivery

Ended = Callable[[Delivery, int | DeliveryFailure, Response | None], None]
"""Takes the delivery, its status and the response; or the failure, and None."""

Route = tuple[str | int, ...]
"""The parts of the endpoint of a delivery URL, and of the local address to send from, if one is
given. The garbage collector does not visit a tuple of strings and numbers."""

# The last answers that end their connections are kept by their bytes, so that the answers of
# subscribers that close after each NOTIFY need no parser. That saves 8 of 80 us for each event.
_REMEMBERED_ANSWERS = 16
_REMEMBERED_BYTES = 1_024

_logger = logger_named("propchange.http")


class ConnectionPool(Protocol):
    """The pool of a connection, as the connection calls it: :class:`.DeliveryPool`."""

    runtime: Runtime
    limits: Limits
    answer_limits: Limits
    known_answers: dict[bytes, Response]
    last_answers: dict[bytes, Response]

    def open(self, connection: DeliveryConnection, source: Endpoint | None) -> None:
        """Begin to open ``connection``, from the address of ``source`` if given."""

    def connected(self, connection: DeliveryConnection) -> None:
        """The attempt to open ``connection`` has ended."""

    def short(self, connection: DeliveryConnection, error: OSError) -> None:
        """``connection`` cannot be opened because of a shortage of this machine."""

    def answered(self, connection: DeliveryConnection, response: Response, reusable: bool) -> None:
        """The delivery of ``connection`` was answered. ``reusable``: it may carry another."""

    def failed(self, connection: DeliveryConnection, failure: DeliveryFailure) -> None:
        """The delivery of ``connection``, if there is one, gets no answer."""

    def retire(self, connection: DeliveryConnection) -> None:
        """``connection`` carries nothing and must not be used again."""

    def gone(self, connection: DeliveryConnection) -> None:
        """``connection`` has ended."""


class IdleConnections(list["DeliveryConnection"]):
    """The idle connections of one route. ``size`` counts those in use too; ``waiting`` are the
    deliveries that wait for one of them. ``owner`` is None once the route has no connection."""

    __slots__ = ("endpoint", "owner", "route", "size", "waiting")

    def __init__(self, owner: ConnectionPool, route: Route, endpoint: Endpoint) -> None:
        super().__init__()
        self.owner: ConnectionPool | None = owner
        self.route = route
        self.endpoint = endpoint
        self.size = 0
        self.waiting: dict[Delivery, Ended] = {}


class DeliveryConnection:
    """One connection to a subscriber, also before it is open (a :class:`.Connection`).

    ``delivery`` is the delivery that it carries. ``used``: it has carried one before. ``source`` is
    its local address; None: not known yet. ``attempt`` is the attempt to open it; after that None,
    or its end if the peer does not end it.
    """

    __slots__ = (
        "_dropped",
        "_parser",
        "_pool",
        "_transport",
        "_usual",
        "attempt",
        "delivery",
        "ended",
        "idle",
        "source",
        "used",
        "write",
    )

    def __init__(
        self, pool: ConnectionPool, idle: IdleConnections, delivery: Delivery, ended: Ended
    ) -> None:
        self._pool = pool
        self._parser: ResponseParser | None = None  # until an answer comes that is not known
        self._usual: Response | None = None  # the last one that allowed another delivery
        self._dropped: int | None = None  # bytes received after the last answer
        self._transport: Transport | None = None
        self.write: Callable[[bytes], object]
        self.idle = idle
        self.delivery: Delivery | None = delivery
        self.ended = ended
        self.used = False
        self.source: Endpoint | None = None
        self.attempt: Armed | None = None

    def let_go(self) -> Delivery | None:
        """Take its delivery away and return it; None if it carries none."""
        delivery = self.delivery
        if delivery is not None:
            self.delivery = delivery.carrier = None
        return delivery

    def end(self, *, taken: bool = False) -> None:
        """End it: by a reset only if a part of a request is unwritten. If the subscriber has
        ``taken`` that request already, the rest has ``Limits.linger_seconds`` to leave."""
        transport = self._transport
        if transport is None:
            self.abort()
        elif transport.unwritten() and taken:
            seconds = self._pool.limits.linger_seconds
            self.attempt = self._pool.runtime.call_later(seconds, self.abort)
            transport.close()
        elif transport.unwritten():
            transport.abort()
        elif not transport.is_closing():
            transport.close()

    def part(self, *, taken: bool = False) -> None:
        """End it after its last answer. The subscriber may have more of that answer to send, which
        a closed connection would answer with a reset. So this side ends its stream, and drops what
        it still receives: until the subscriber ends its own, or for ``Limits.linger_seconds``."""
        transport = self._transport
        assert transport is not None
        if transport.unwritten() or transport.is_closing() or transport.peer_ended():
            self.end(taken=taken)
            return
        self._dropped = 0
        seconds = self._pool.limits.linger_seconds
        self.attempt = self._pool.runtime.call_later(seconds, self.end)
        transport.write_eof()

    def abort(self) -> None:
        """End it, or the attempt to open it, at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self.attempt is not None:
            self.attempt.cancel()
            self._attempt_over()
            self._pool.gone(self)

    def _attempt_over(self) -> None:
        if self.attempt is not None:
            self.attempt = None
            self._pool.connected(self)

    # --- for the runtime ---

    def failed(self, error: OSError) -> None:
        """The connection could not be opened."""
        if error.errno in ADDRESS_GONE and self.source is not None and self.delivery:
            # The address has gone, so the system chooses one.
            self._pool.open(self, None)
            return
        if error.errno in SHORTAGES or error.errno == errno.EADDRNOTAVAIL:
            self._attempt_over()
            self._pool.short(self, error)
            return
        reason = str(error) or "no answer in time"
        _logger.debug("no connection to %s: %s", self.idle.endpoint, reason)
        self._attempt_over()
        self._pool.failed(self, DeliveryFailure.CONNECT)
        self._pool.gone(self)

    def connection_made(self, transport: Transport) -> None:
        """The connection is open: send its delivery."""
        self._transport = transport
        self.write = transport.write
        if self.source is None or ":" in self.source.host:  # the system may have chosen another
            self.source = shared(transport.local._replace(port=0))
        self._attempt_over()
        if self.delivery is None:  # aborted meanwhile
            transport.abort()
        else:
            transport.write(encode_delivery(self.delivery))

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer were received."""
        pool = self._pool
        if self.delivery is None:
            if self._dropped is None:
                # Unrequested bytes: a later answer could not be matched to its delivery.
                pool.retire(self)
                return
            self._dropped += len(data)
            if self._dropped > pool.limits.answer_bytes:
                self.abort()
            return
        # After an answer to an incomplete request the connection cannot be used again.
        reusable = not self._transport.unwritten()  # type: ignore[union-attr] # it is made
        parser = self._parser
        fresh = parser is None
        if parser is None:
            # Most subscribers answer with the same bytes as others. They need no parser.
            known = pool.known_answers.get(data)
            if known is not None:
                pool.answered(self, known, reusable)
                return
            if (last := pool.last_answers.get(data)) is not None:
                pool.answered(self, last, False)
                return
            parser = self._parser = ResponseParser(pool.answer_limits, pool.known_answers)
            parser.expect("NOTIFY")
        responses = parser.feed(data)
        if responses:
            response = responses[0]
            # For the same bytes, without any others, the parser returns the same object.
            if response is not self._usual:
                clean = not (response.close or len(responses) > 1 or parser.started or parser.error)
                reusable = reusable and clean
                self._usual = response if clean else None
                if response.close and fresh:
                    self._remember(data, response)
            pool.answered(self, response, reusable)
        elif parser.error is not None:
            pool.failed(self, DeliveryFailure.BROKEN)
            self.part()

    def _remember(self, data: bytes, response: Response) -> None:
        """Keep ``response``, which ends its connection, for the next connection that receives
        ``data`` first. The bytes behind such an answer do not count, so ``data`` always has the
        same meaning."""
        known = self._pool.last_answers
        if len(data) <= _REMEMBERED_BYTES:
            known[data] = response
            if len(known) > _REMEMBERED_ANSWERS:
                del known[next(iter(known))]

    def eof_received(self) -> bool:
        """The subscriber has ended its stream. That completes no answer to NOTIFY, so the delivery
        has failed."""
        self._break()
        self._pool.retire(self)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        if self.attempt is not None:
            self.attempt.cancel()
        self._break()
        self._pool.gone(self)

    def _break(self) -> None:
        stale = self.used and not (self._parser is not None and self._parser.started)
        self._pool.failed(self, DeliveryFailure.STALE if stale else DeliveryFailure.BROKEN)

    def pause_writing(self) -> None:
        """Nothing to do: a request is one write."""

    def resume_writing(self) -> None:
        """Nothing to do: a request is one write."""

    def eof_sent(self) -> None:
        """Nothing to do: the subscriber ends the connection."""
