"""The connections that carry NOTIFY requests to subscribers: which one carries a delivery.

A *route* is the endpoint of a delivery URL and the local address to send from. A delivery takes the
idle connection of its route that was used last, or opens one. If it may not open one, it waits:

* Above ``Limits.connections_per_delivery_endpoint`` connections of one route it waits with its
  route, until one of them is free or gone.
* Above ``Limits.delivery_connections`` connections in all, or above
  ``Limits.connecting_deliveries`` of them that are being opened, it waits in the one queue of the
  pool, in the order of :meth:`DeliveryPool.send`. The connection that was idle for longest is
  closed. A connection that becomes free is given to the first delivery in the queue if that has
  the same route; else it is closed to make room.

A connection carries one delivery at a time, and is kept if the answer allows it. If it ends
before any byte of an answer, and has carried an earlier delivery, the attempt is STALE: the peer
had closed the connection already, and the publisher tries once more on a fresh one. Any other end
is BROKEN. A connection that carries nothing is closed; a connection with an unanswered request is
reset. A subscriber may answer 200 before it reads: such a request leaves all the same.

The publisher limits the time of an attempt: it calls :meth:`DeliveryPool.abort`, or passes
``until`` to :meth:`DeliveryPool.send`. Only connecting has its limit here. The carrier of a waiting
delivery is :data:`.WAITING`, so that the publisher does not count its end as a failure of the
endpoint.

An event on an idle connection makes no new objects: the address of the delivery has the idle
connections of its route, and the bytes go to the runtime's own ``write``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from propchange.core.deadlines import Deadlines
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryFailure,
    Endpoint,
    Response,
)
from propchange.driver.runtime import (
    Armed,
    Future,
    Runtime,
    Timer,
    Transport,
    expired,
    first_deadline,
)
from propchange.http import ResponseParser, encode_delivery

Ended = Callable[[Delivery, int | DeliveryFailure, Response | None], None]
"""Takes the delivery, its status and the response; or the failure, and None."""

_Route = tuple[Endpoint, Endpoint | None]

_logger = logging.getLogger("propchange.http")


class DeliveryPool:
    """Sends deliveries over kept-alive connections. In the end call :meth:`close`."""

    def __init__(self, runtime: Runtime, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.runtime = runtime
        self.limits = limits
        self._now = runtime.now
        self._idle_seconds = limits.delivery_idle_seconds
        self._timer = Timer(runtime.call_later, limits, self._sweep, clock=runtime.now)
        self._routes: dict[_Route, _IdleConnections] = {}
        self._open: set[DeliveryConnection] = set()
        self._connecting = 0
        self._waiting: dict[Delivery, Ended] = {}
        self._idle: dict[DeliveryConnection, float] = {}
        self._deadlines: Deadlines[Delivery] = Deadlines()
        self._leaving: list[tuple[set[DeliveryConnection], Future[None]]] = []
        self._closing = False

    @property
    def connection_count(self) -> int:
        """Connections that are open or being opened."""
        return len(self._open)

    @property
    def idle_count(self) -> int:
        """Connections that are open and carry nothing."""
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """Deliveries that wait for a connection."""
        return len(self._waiting) + sum(len(route.waiting) for route in self._routes.values())

    @property
    def endpoints(self) -> set[Endpoint]:
        """The endpoints of the connections."""
        return {endpoint for endpoint, _ in self._routes}

    def send(self, delivery: Delivery, ended: Ended, *, until: float | None = None) -> None:
        """Send ``delivery``. ``ended`` is called once, not within this call, and not after
        :meth:`abort`. It may send the next delivery. The attempt, with the wait for a connection,
        fails at ``until``, a time of the runtime.

        Raises LocalProtocolError if its address cannot be written as HTTP, and RuntimeError after
        :meth:`close`.
        """
        encoded = encode_delivery(delivery)
        if until is not None:
            ended = self._until(until, delivery, ended)
        idle: _IdleConnections | None = delivery.address.pool
        if idle is None or idle.owner is not self:
            idle = self._routes.get(_route(delivery))
            delivery.address.pool = idle
        if idle and not delivery.fresh:
            connection = idle.pop()
            del self._idle[connection]
            connection.delivery = delivery
            connection.ended = ended
            delivery.carrier = connection
            connection.write(encoded)
        elif self._closing:
            raise RuntimeError("the delivery pool is closed")
        elif self._has_room and not self._waiting:
            self._connect(delivery, ended)
        else:
            self._wait(delivery, ended)

    def _until(self, until: float, delivery: Delivery, ended: Ended) -> Ended:
        if self._closing:
            raise RuntimeError("the delivery pool is closed")
        self._deadlines.set(delivery, until)
        self._watch(until)

        def end(delivery: Delivery, result: int | DeliveryFailure, answer: Response | None) -> None:
            self._deadlines.clear(delivery)
            ended(delivery, result, answer)

        return end

    def abort(self, delivery: Delivery) -> None:
        """End the connection that carries ``delivery``, or the wait for one. ``ended`` is not
        called for it. Does nothing if ``delivery`` has ended already."""
        self._deadlines.clear(delivery)
        carrier = delivery.carrier
        if carrier is WAITING:
            delivery.carrier = None
            self._waiting.pop(delivery, None)
            route = self._routes.get(_route(delivery))
            if route is not None:
                route.waiting.pop(delivery, None)
        elif carrier is not None:
            carrier.let_go()
            carrier.abort()

    async def leave(self, *endpoints: Endpoint) -> None:
        """End the connections to ``endpoints`` that carry nothing, and wait until they are gone.
        For a caller that sends nothing more there for now."""
        await self._gone(c for c in self._open if c.idle.route[0] in endpoints and not c.delivery)

    async def give_up(self, ended: Ended) -> None:
        """Abort the deliveries that were sent with ``ended``, end the connections that carried
        such a delivery last, and wait until they are gone."""
        for delivery, whose in self._all_waiting():
            if whose == ended:
                self.abort(delivery)
        connections = [c for c in self._open if c.ended == ended]
        for connection in connections:
            if connection.let_go() is not None:
                connection.abort()
        await self._gone(connections)

    def _all_waiting(self) -> list[tuple[Delivery, Ended]]:
        routes = [route.waiting.items() for route in self._routes.values()]
        return [item for items in (self._waiting.items(), *routes) for item in items]

    async def close(self) -> None:
        """Abort everything, and wait until every connection is gone. Safe to call again."""
        self._closing = True
        for delivery, _ in self._all_waiting():
            self.abort(delivery)
        for connection in tuple(self._open):
            if connection.let_go() is not None:
                connection.abort()
        self._timer.close()
        await self._gone(self._open)

    async def _gone(self, connections: Iterable[DeliveryConnection]) -> None:
        """End ``connections``, which carry nothing, and wait until they are gone."""
        going = set(connections)
        for connection in tuple(going):
            self.retire(connection)
        going &= self._open
        if going:
            gone: Future[None] = self.runtime.future()
            self._leaving.append((going, gone))
            await gone

    # --- connections come and go ---

    def _wait(self, delivery: Delivery, ended: Ended) -> None:
        delivery.carrier = WAITING
        self._waiting[delivery] = ended
        if len(self._open) >= self.limits.delivery_connections and self._idle:
            self.retire(next(iter(self._idle)))

    def _connect(self, delivery: Delivery, ended: Ended) -> None:
        """Open a connection for ``delivery``, or let it wait for one of its route."""
        route = _route(delivery)
        idle = self._routes.get(route)
        if idle is None:
            idle = self._routes[route] = _IdleConnections(self, route)
        if idle.size >= self.limits.connections_per_delivery_endpoint:
            delivery.carrier = WAITING
            idle.waiting[delivery] = ended
            return
        idle.size += 1
        connection = DeliveryConnection(self, idle, delivery, ended)
        delivery.carrier = connection
        self._open.add(connection)
        self._connecting += 1
        endpoint, source = route
        connection.attempt = self.runtime.connect(
            connection,
            endpoint,
            source=source and source._replace(port=0),
            seconds=self.limits.connect_seconds,
            failed=connection.failed,
        )

    @property
    def _has_room(self) -> bool:
        return (
            len(self._open) < self.limits.delivery_connections
            and self._connecting < self.limits.connecting_deliveries
        )

    def _connect_waiting(self) -> None:
        while self._waiting and self._has_room:
            delivery = next(iter(self._waiting))
            self._connect(delivery, self._waiting.pop(delivery))

    def connected(self, connection: DeliveryConnection) -> None:
        """For a connection: the attempt to open it has ended."""
        self._connecting -= 1
        if self._waiting:
            self._connect_waiting()

    def retire(self, connection: DeliveryConnection) -> None:
        """End a connection that carries nothing."""
        if self._idle.pop(connection, None) is not None:
            connection.idle.remove(connection)
        connection.end()

    def gone(self, connection: DeliveryConnection) -> None:
        """For a connection: it has ended."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        idle = connection.idle
        if self._idle.pop(connection, None) is not None:
            idle.remove(connection)
        idle.size -= 1
        while idle.waiting:
            delivery = next(iter(idle.waiting))
            self._waiting[delivery] = idle.waiting.pop(delivery)
            if idle.size:
                break  # the other connections take the rest; without any, all move
        self._connect_waiting()
        if not idle.size:
            idle.owner = None
            del self._routes[idle.route]
        if not (self._open or self._deadlines):
            self._timer.close()
        for going, gone in tuple(self._leaving):
            going.discard(connection)
            if not going:
                self._leaving.remove((going, gone))
                if not gone.done():
                    gone.set_result(None)

    # --- deliveries end ---

    def answered(self, connection: DeliveryConnection, response: Response, reusable: bool) -> None:
        """For a connection: its delivery was answered."""
        delivery: Any = connection.delivery
        ended = connection.ended
        connection.delivery = delivery.carrier = None
        idle = connection.idle
        if not reusable:
            connection.end(taken=200 <= response.status < 300)
        elif self._waiting or idle.waiting:
            connection.used = True
            self._hand_over(connection)
        else:
            connection.used = True
            idle.append(connection)
            all_idle = self._idle
            all_idle[connection] = until = self._now() + self._idle_seconds
            if len(all_idle) == 1:
                self._watch(until)
        # Last, so that the next delivery finds this connection.
        ended(delivery, response.status, response)

    def failed(self, connection: DeliveryConnection, failure: DeliveryFailure) -> None:
        """For a connection: its delivery, if it carries one, gets no answer."""
        delivery = connection.let_go()
        if delivery is not None:
            connection.ended(delivery, failure, None)

    def _hand_over(self, connection: DeliveryConnection) -> None:
        """Give a free connection to a delivery that waits, or close it to make room for one."""
        idle = connection.idle
        queue = self._waiting or idle.waiting
        first = next(iter(queue))
        if not first.fresh and _route(first) == idle.route:
            connection.delivery = first
            connection.ended = queue.pop(first)
            first.carrier = connection
            connection.write(encode_delivery(first))
        elif queue is idle.waiting or len(self._open) >= self.limits.delivery_connections:
            connection.end()
        else:
            idle.append(connection)
            self._idle[connection] = until = self._now() + self._idle_seconds
            self._watch(until)

    # --- deadlines ---

    def _watch(self, deadline: float | None) -> None:
        when = self._timer.when
        if deadline is not None and (when is None or deadline < when):
            self._timer.set(deadline)

    def _sweep(self, now: float) -> None:
        for connection in expired(self._idle, now):
            self.retire(connection)
        while (delivery := self._deadlines.pop_due(now)) is not None:
            carrier = delivery.carrier
            if carrier is WAITING:
                ended = self._waiting.get(delivery)
                if ended is None:
                    ended = self._routes[_route(delivery)].waiting[delivery]
                self.abort(delivery)
                ended(delivery, DeliveryFailure.WAITED, None)
            else:
                self.failed(carrier, DeliveryFailure.TIMED_OUT)
                carrier.abort()
        self._watch(first_deadline(self._idle))
        self._watch(self._deadlines.next())


def _route(delivery: Delivery) -> _Route:
    return delivery.address.url.endpoint, delivery.address.source


class _IdleConnections(list["DeliveryConnection"]):
    """The idle connections of one route. ``size`` counts those in use too; ``waiting`` are the
    deliveries that wait for one of them. ``owner`` is None once the route has no connection."""

    __slots__ = ("owner", "route", "size", "waiting")

    def __init__(self, owner: DeliveryPool, route: _Route) -> None:
        super().__init__()
        self.owner: DeliveryPool | None = owner
        self.route = route
        self.size = 0
        self.waiting: dict[Delivery, Ended] = {}


class DeliveryConnection:
    """One connection to a subscriber, also before it is open (a :class:`.Connection`).

    ``delivery`` is the delivery that it carries. ``used``: it has carried one before. ``attempt``
    is the attempt to open it; after that None, or its end if the peer does not read.
    """

    __slots__ = (
        "_parser",
        "_pool",
        "_transport",
        "_unwritten",
        "_usual",
        "attempt",
        "delivery",
        "ended",
        "idle",
        "used",
        "write",
    )

    def __init__(
        self, pool: DeliveryPool, idle: _IdleConnections, delivery: Delivery, ended: Ended
    ) -> None:
        self._pool = pool
        self._parser = ResponseParser(pool.limits)
        self._parser.expect("NOTIFY")
        self._usual: Response | None = None  # the last one that allowed another delivery
        self._transport: Transport | None = None
        self._unwritten: Callable[[], int]
        self.write: Callable[[bytes], object]
        self.idle = idle
        self.delivery: Delivery | None = delivery
        self.ended = ended
        self.used = False
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
        if self._transport is None:
            self.abort()
        elif self._unwritten() and taken:
            seconds = self._pool.limits.linger_seconds
            self.attempt = self._pool.runtime.call_later(seconds, self.abort)
            self._transport.close()
        elif self._unwritten():
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.close()

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
        reason = str(error) or "no answer in time"
        _logger.debug("no connection to %s: %s", self.idle.route[0], reason)
        self._attempt_over()
        self._pool.failed(self, DeliveryFailure.CONNECT)
        self._pool.gone(self)

    def connection_made(self, transport: Transport) -> None:
        """The connection is open: send its delivery."""
        self._transport = transport
        self._unwritten = transport.unwritten
        self.write = transport.write
        self._attempt_over()
        if self.delivery is None:  # aborted meanwhile
            transport.abort()
        else:
            transport.write(encode_delivery(self.delivery))

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer were received."""
        pool = self._pool
        if self.delivery is None:
            # Unrequested bytes: a later answer could not be matched to its delivery.
            pool.retire(self)
            return
        # After an answer to an incomplete request the connection cannot be used again.
        reusable = not self._unwritten()
        parser = self._parser
        responses = parser.feed(data)
        if responses:
            response = responses[0]
            # For the same bytes, without any others, the parser returns the same object.
            if response is not self._usual:
                clean = not (response.close or len(responses) > 1 or parser.started or parser.error)
                reusable = reusable and clean
                self._usual = response if clean else None
            pool.answered(self, response, reusable)
        elif parser.error is not None:
            pool.failed(self, DeliveryFailure.BROKEN)
            self.end()

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
        stale = self.used and not self._parser.started
        self._pool.failed(self, DeliveryFailure.STALE if stale else DeliveryFailure.BROKEN)

    def pause_writing(self) -> None:
        """Nothing to do: a request is one write."""

    resume_writing = eof_sent = pause_writing
