"""The connections that carry NOTIFY requests to subscribers."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Protocol

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Response
from propchange.driver.interfaces import scoped_host
from propchange.driver.timer import Timer
from propchange.http import ResponseParser, encode_delivery
from propchange.twisted.reactors import Reactor, all_of, later_of

__all__ = ["Deliveries", "Ended", "deliveries_of"]

Ended = Callable[[Delivery, Response | DeliveryFailure], None]
"""Takes the subscriber's answer, or why there is none."""

_Route = tuple[Endpoint, Endpoint | None]


class _Connection(Protocol):
    """A connection to a subscriber: one NOTIFY at a time, kept alive where the peer allows."""

    transport: Any

    def __init__(self, deliveries: Deliveries, pool: _Pool) -> None:
        self._deliveries = deliveries
        self._parser = ResponseParser(deliveries.limits)
        self._parser.expect("NOTIFY")
        self.pool = pool
        self.delivery: Delivery | None = None
        self.ended: Ended | None = None
        self.used = False
        self.connector: Any = None

    def connectionMade(self) -> None:
        """The connection is there: send what it was made for."""
        nodelay = getattr(self.transport, "setTcpNoDelay", None)
        if nodelay is not None:
            nodelay(True)
        self._deliveries.connected(self)

    def carry(self, delivery: Delivery) -> None:
        """Send ``delivery`` over this connection."""
        self.transport.write(encode_delivery(delivery))

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of an answer."""
        parser = self._parser
        responses = parser.feed(data)
        if self.delivery is None:
            # Bytes that nothing was asked for: whose answer would the next ones be?
            self._deliveries.retire(self)
        elif responses:
            clean = len(responses) == 1 and not parser.started and parser.error is None
            self._deliveries.answered(self, responses[0], clean and not responses[0].close)
        elif parser.error is not None:
            self._deliveries.failed(self, DeliveryFailure.BROKEN)
            self.end()

    def connectionLost(self, reason: Any = ConnectionDone()) -> None:  # noqa: B008 - Twisted's signature
        """The connection is gone; an answer that ends with it is whole now."""
        stale = self.used and not self._parser.started
        response = self._parser.end()
        if response is not None and self.delivery is not None:
            self._deliveries.answered(self, response, False)
        failure = DeliveryFailure.STALE if stale else DeliveryFailure.BROKEN
        self._deliveries.failed(self, failure)
        self._deliveries.gone(self)

    def end(self) -> None:
        """End the connection now, or the attempt to make one."""
        if self.transport is None:
            if self.connector is not None:
                self.connector.disconnect()
            return
        abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
        abort()


class _Pool:
    """The connections of one route: how many, the idle ones, and who waits for one."""

    __slots__ = ("idle", "route", "size", "waiting")

    def __init__(self, route: _Route) -> None:
        self.route = route
        self.size = 0
        self.idle: list[_Connection] = []
        self.waiting: deque[tuple[Delivery, Ended]] = deque()


class _Factory(ClientFactory):
    noisy = False

    def __init__(self, connection: _Connection, deliveries: Deliveries) -> None:
        self._connection = connection
        self._deliveries = deliveries

    def buildProtocol(self, addr: object) -> _Connection:
        return self._connection

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._deliveries.failed(self._connection, DeliveryFailure.CONNECT)
        self._deliveries.gone(self._connection)


class Deliveries:
    """Sends deliveries over kept-alive connections.

    A delivery takes an idle connection of its (endpoint, source) or opens one; at
    ``limits.connections_per_delivery_endpoint`` or ``limits.delivery_connections`` it waits its
    turn. An attempt takes ``limits.attempt_seconds`` at most, waiting included.
    """

    def __init__(self, reactor: Reactor, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._reactor = reactor
        self.limits = limits
        self._clock = reactor.seconds
        self._timer = Timer(later_of(reactor), limits, self._sweep, clock=self._clock)
        self._pools: dict[_Route, _Pool] = {}
        self._open: set[_Connection] = set()
        self._carried_by: dict[Delivery, _Connection] = {}
        # Each in the order of its deadlines, since each has one length of them.
        self._attempts: dict[Delivery, float] = {}
        self._idle: dict[_Connection, float] = {}
        self._going: dict[_Connection, Deferred[None]] = {}
        # Pools that wait for a connection of another pool to end.
        self._starved: dict[_Pool, None] = {}

    @property
    def connection_count(self) -> int:
        """Connections that are open or being opened."""
        return len(self._open)

    @property
    def endpoints(self) -> set[Endpoint]:
        """Where they lead to."""
        return {route[0] for route in self._pools}

    def send(self, delivery: Delivery, ended: Ended) -> None:
        """Send ``delivery``; ``ended`` is called once, unless it is aborted. Raises
        LocalProtocolError when its address holds what cannot be written."""
        route = (delivery.address.url.endpoint, delivery.address.source)
        pool = self._pools.get(route)
        if pool is None:
            pool = self._pools[route] = _Pool(route)
        attempts = self._attempts
        if pool.idle and not delivery.fresh:
            encoded = encode_delivery(delivery)
            connection = pool.idle.pop()
            del self._idle[connection]
            connection.delivery = delivery
            connection.ended = ended
            self._carried_by[delivery] = connection
            connection.transport.write(encoded)
        else:
            encode_delivery(delivery)  # raises here rather than later
            if not self._may_connect(pool):
                pool.waiting.append((delivery, ended))
                if pool.size < self.limits.connections_per_delivery_endpoint:
                    self._starved[pool] = None
                    self._make_room()
            else:
                self._connect(pool, delivery, ended)
        attempts[delivery] = self._clock() + self.limits.attempt_seconds
        if len(attempts) == 1:
            self._watch()

    def abort(self, delivery: Delivery) -> None:
        """End the connection that carries ``delivery``, or the wait for one. ``ended`` is not
        called. Does nothing when it has ended already."""
        if self._attempts.pop(delivery, None) is None:
            return
        connection = self._carried_by.pop(delivery, None)
        if connection is not None:
            connection.delivery = connection.ended = None
            connection.end()
            return
        pool = self._pools[delivery.address.url.endpoint, delivery.address.source]
        pool.waiting = deque(item for item in pool.waiting if item[0] is not delivery)

    def leave(self, *endpoints: Endpoint) -> Deferred[None]:
        """Nothing more is to be sent to ``endpoints`` for now: end the connections to them that
        carry nothing. Fires when they are gone."""
        going: list[Deferred[None]] = []
        for connection in tuple(self._open):
            pool = connection.pool
            if pool.route[0] in endpoints and connection.delivery is None:
                going.append(self._going.setdefault(connection, Deferred()))
                if connection in self._idle:
                    self.retire(connection)
        return all_of(going)

    def close(self) -> None:
        """Abort everything and end every connection."""
        for delivery in tuple(self._attempts):
            self.abort(delivery)
        for connection in tuple(self._open):
            connection.end()
        self._timer.close()

    # --- connections come and go ---

    def _may_connect(self, pool: _Pool) -> bool:
        return (
            pool.size < self.limits.connections_per_delivery_endpoint
            and len(self._open) < self.limits.delivery_connections
        )

    def _make_room(self) -> None:
        longest = next(iter(self._idle), None)
        if longest is not None:
            self.retire(longest)

    def _connect(self, pool: _Pool, delivery: Delivery, ended: Ended) -> None:
        connection = _Connection(self, pool)
        connection.delivery = delivery
        connection.ended = ended
        pool.size += 1
        self._open.add(connection)
        self._carried_by[delivery] = connection
        endpoint, source = pool.route
        connection.connector = self._reactor.connectTCP(
            scoped_host(endpoint),
            endpoint.port,
            _Factory(connection, self),
            timeout=self.limits.connect_seconds,
            bindAddress=None if source is None else (scoped_host(source), 0),
        )

    def connected(self, connection: _Connection) -> None:
        """For the connection: it is there."""
        if connection.delivery is None:
            connection.end()  # aborted meanwhile
        else:
            connection.carry(connection.delivery)

    def retire(self, connection: _Connection) -> None:
        """End a connection that carries nothing."""
        if self._idle.pop(connection, None) is not None:
            connection.pool.idle.remove(connection)
        connection.transport.loseConnection()

    def gone(self, connection: _Connection) -> None:
        """For the connection: there is no such any more."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        going = self._going.pop(connection, None)
        pool = connection.pool
        pool.size -= 1
        if self._idle.pop(connection, None) is not None:
            pool.idle.remove(connection)
        if pool.waiting:
            self._starved[pool] = None
        elif not pool.size and self._pools.get(pool.route) is pool:
            del self._pools[pool.route]
        for starved in tuple(self._starved):
            while starved.waiting and self._may_connect(starved):
                self._connect(starved, *starved.waiting.popleft())
            if starved.waiting and len(self._open) >= self.limits.delivery_connections:
                break
            del self._starved[starved]
        if not self._open and not self._attempts:
            self._timer.close()
        if going is not None:
            going.callback(None)

    # --- deliveries end ---

    def answered(self, connection: _Connection, response: Response, reusable: bool) -> None:
        """For the connection: its delivery was answered."""
        delivery, ended = self._take(connection)
        if not reusable:
            connection.end()
        else:
            connection.used = True
            pool = connection.pool
            if pool.waiting and not pool.waiting[0][0].fresh:
                following, then = pool.waiting.popleft()
                connection.delivery = following
                connection.ended = then
                self._carried_by[following] = connection
                connection.carry(following)
            elif pool.waiting or self._starved:
                connection.end()  # makes room
            else:
                pool.idle.append(connection)
                self._idle[connection] = self._clock() + self.limits.delivery_idle_seconds
                if len(self._idle) == 1:
                    self._watch()
        # Last, so that the next delivery finds this connection.
        if delivery is not None and ended is not None:
            ended(delivery, response)

    def failed(self, connection: _Connection, failure: DeliveryFailure) -> None:
        """For the connection: what it carried, if anything, brings no answer."""
        delivery, ended = self._take(connection)
        if delivery is not None and ended is not None:
            ended(delivery, failure)

    def _take(self, connection: _Connection) -> tuple[Delivery | None, Ended | None]:
        delivery, ended = connection.delivery, connection.ended
        if delivery is not None:
            connection.delivery = connection.ended = None
            del self._carried_by[delivery]
            self._attempts.pop(delivery, None)
        return delivery, ended

    # --- deadlines ---

    def _watch(self) -> None:
        firsts = (next(iter(queue.values())) for queue in (self._attempts, self._idle) if queue)
        self._timer.set(min(firsts, default=None))

    def _sweep(self, now: float) -> None:
        for connection, deadline in tuple(self._idle.items()):
            if deadline > now:
                break
            self.retire(connection)
        for delivery, deadline in tuple(self._attempts.items()):
            if deadline > now:
                break
            carrier = self._carried_by.get(delivery)
            if carrier is not None:
                self.failed(carrier, DeliveryFailure.TIMED_OUT)
                carrier.end()
            else:
                self._time_out_waiting(delivery)
        self._watch()

    def _time_out_waiting(self, delivery: Delivery) -> None:
        pool = self._pools[delivery.address.url.endpoint, delivery.address.source]
        ended = next(then for waiting, then in pool.waiting if waiting is delivery)
        self.abort(delivery)
        ended(delivery, DeliveryFailure.TIMED_OUT)


_of_reactor: weakref.WeakKeyDictionary[Any, Deliveries] = weakref.WeakKeyDictionary()


def deliveries_of(reactor: Reactor) -> Deliveries:
    """The deliveries that everything on ``reactor`` shares."""
    deliveries = _of_reactor.get(reactor)
    if deliveries is None:
        deliveries = _of_reactor[reactor] = Deliveries(reactor)
    return deliveries
