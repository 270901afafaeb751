"""The connections that carry NOTIFY requests to subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from propchange.asyncio.interfaces import connect
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint
from propchange.driver.timer import Timer, expired, first_deadline
from propchange.http import ResponseParser, encode_delivery

__all__ = ["Deliveries", "Ended"]

Ended = Callable[[Delivery, int | DeliveryFailure], None]
"""Takes the status that the subscriber answered, or why there is none."""

_USUAL_BYTES = 512
"""Longest answer that a connection remembers. They are about 100 bytes long."""

_Route = tuple[Endpoint, Endpoint | None]


class Deliveries:
    """Sends deliveries over kept-alive connections, as many at once as are given.

    ``ended`` is called once for each delivery that is not aborted, never from inside
    :meth:`send`. It may send the next one.

    A delivery takes an idle connection of its (endpoint, source), or opens one; when
    ``limits.delivery_connections`` are open the longest idle one makes room, and when none is
    idle it waits its turn. How long an attempt may take is the publisher's to say, which calls
    :meth:`abort`; only connecting has its limit here. To be made and used inside a running loop.
    """

    def __init__(
        self,
        ended: Ended,
        *,
        limits: Limits = DEFAULT_LIMITS,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._limits = limits
        self._logger = logger or logging.getLogger("propchange.http")
        # The loop's own time is the cheapest, and nothing here outlives a suspend.
        self._clock = clock or self._loop.time
        self._idle_seconds = limits.delivery_idle_seconds
        self._timer = Timer(self._loop.call_later, limits, self._sweep, clock=self._clock)
        self._open: set[_Connection] = set()
        self._pools: dict[_Route, _Pool] = {}
        self._waiting: dict[Delivery, None] = {}
        self._idle: dict[_Connection, float] = {}
        self._connecting: dict[_Connection, float] = {}
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
        """Deliveries that wait for a connection to become free."""
        return len(self._waiting)

    def send(self, delivery: Delivery) -> None:
        """Send ``delivery``; ``ended`` follows, unless it is aborted first.

        Raises LocalProtocolError when its address holds what cannot be written, and
        RuntimeError after :meth:`close`.
        """
        encoded = encode_delivery(delivery)
        pool: _Pool | None = delivery.address.pool
        if pool is None or pool.owner is not self:
            pool = self._pools.get(_route(delivery))
            delivery.address.pool = pool
        if pool and not delivery.fresh:
            connection = pool.pop()
            del self._idle[connection]
            connection.delivery = delivery
            delivery.carrier = connection
            connection.transport.write(encoded)
        elif self._closing:
            raise RuntimeError("the deliveries are closed")
        elif len(self._open) < self._limits.delivery_connections and not self._waiting:
            self._connect(delivery)
        else:
            self._waiting[delivery] = None
            longest = next(iter(self._idle), None)
            if longest is not None:
                self._retire(longest)

    def abort(self, delivery: Delivery) -> None:
        """End the connection that carries ``delivery``, or the wait for one. ``ended`` is not
        called for it. Does nothing when it has ended already."""
        if delivery in self._waiting:
            del self._waiting[delivery]
            return
        connection: _Connection | None = delivery.carrier
        if connection is not None:
            connection.let_go()
            connection.end()

    async def close(self) -> None:
        """Abort everything, and wait until every connection is gone. Safe to call again."""
        self._closing = True
        self._waiting.clear()
        tasks = []
        for connection in tuple(self._open):
            connection.let_go()
            if connection.task is not None:
                tasks.append(connection.task)
            self._retire(connection)
        self._timer.close()
        # A transport tells its end at the next turn of the loop.
        await asyncio.gather(*tasks, asyncio.sleep(0), return_exceptions=True)

    # --- connections come and go ---

    def _connect(self, delivery: Delivery) -> None:
        route = _route(delivery)
        pool = self._pools.get(route)
        if pool is None:
            pool = self._pools[route] = _Pool(self, route)
        pool.size += 1
        connection = _Connection(self, pool, delivery)
        self._open.add(connection)
        delivery.carrier = connection
        self._connecting[connection] = self._clock() + self._limits.connect_seconds
        if len(self._connecting) == 1:
            self._watch()
        connection.task = self._loop.create_task(self._establish(connection))
        connection.task.add_done_callback(connection.established)

    async def _establish(self, connection: _Connection) -> None:
        endpoint, source = connection.pool.route
        await connect(lambda: connection, endpoint, source)

    def _not_established(self, connection: _Connection, error: BaseException | None) -> None:
        """``error`` is None when the time was over, or the delivery aborted."""
        endpoint = connection.pool.route[0]
        self._logger.debug("no connection to %s: %s", endpoint, error or "no answer in time")
        self._fail(connection, DeliveryFailure.CONNECT)
        self._gone(connection)

    def _connected(self, connection: _Connection) -> None:
        self._connecting.pop(connection, None)
        delivery = connection.delivery
        if delivery is None:  # aborted meanwhile
            connection.end()
        else:
            connection.transport.write(encode_delivery(delivery))

    def _retire(self, connection: _Connection) -> None:
        """End a connection that carries nothing."""
        if self._idle.pop(connection, None) is not None:
            connection.pool.remove(connection)
        connection.end()

    def _gone(self, connection: _Connection) -> None:
        """There is no such connection any more."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        self._connecting.pop(connection, None)
        pool = connection.pool
        if self._idle.pop(connection, None) is not None:
            pool.remove(connection)
        pool.size -= 1
        if not pool.size:
            pool.owner = None
            del self._pools[pool.route]
        while self._waiting and len(self._open) < self._limits.delivery_connections:
            self._connect(self._next_waiting())

    # --- deliveries end ---

    def _answered(self, connection: _Connection, status: int, reusable: bool) -> None:
        delivery = connection.delivery
        assert delivery is not None
        connection.delivery = delivery.carrier = None
        if not reusable:
            connection.end()
        elif self._waiting:
            connection.used = True
            self._hand_over(connection)
        else:
            connection.used = True
            connection.pool.append(connection)
            idle = self._idle
            idle[connection] = self._clock() + self._idle_seconds
            if len(idle) == 1:
                self._watch()
        # Last, so that the next delivery finds this connection.
        self._ended(delivery, status)

    def _fail(self, connection: _Connection, failure: DeliveryFailure) -> None:
        delivery = connection.let_go()
        if delivery is not None:
            self._ended(delivery, failure)

    def _hand_over(self, connection: _Connection) -> None:
        """Give a free connection to the delivery that has waited longest, or its place."""
        first = next(iter(self._waiting))
        if first.fresh or _route(first) != connection.pool.route:
            connection.end()
            return
        delivery = self._next_waiting()
        connection.delivery = delivery
        delivery.carrier = connection
        connection.transport.write(encode_delivery(delivery))

    def _next_waiting(self) -> Delivery:
        delivery = next(iter(self._waiting))
        del self._waiting[delivery]
        return delivery

    # --- deadlines ---

    def _watch(self) -> None:
        when = first_deadline(self._idle, self._connecting)
        if when is not None:
            self._timer.set(when)

    def _sweep(self, now: float) -> None:
        for connection in expired(self._connecting, now):
            del self._connecting[connection]
            connection.end()
        for connection in expired(self._idle, now):
            self._retire(connection)
        self._watch()


def _route(delivery: Delivery) -> _Route:
    return delivery.address.url.endpoint, delivery.address.source


class _Pool(list["_Connection"]):
    """The idle connections of one route; ``size`` counts the others too. ``owner`` is None when
    there are none any more, and the pool is given up."""

    __slots__ = ("owner", "route", "size")

    def __init__(self, owner: Deliveries, route: _Route) -> None:
        super().__init__()
        self.owner: Deliveries | None = owner
        self.route = route
        self.size = 0


class _Connection(asyncio.Protocol):
    """One connection to a subscriber, from the moment that it is wanted.

    ``delivery`` is what it carries; ``used`` tells that it has carried one before; ``task``
    makes the connection.
    """

    __slots__ = (
        "_begun",
        "_deliveries",
        "_parser",
        "_usual",
        "_usual_status",
        "connected",
        "delivery",
        "pool",
        "task",
        "transport",
        "used",
    )

    def __init__(self, deliveries: Deliveries, pool: _Pool, delivery: Delivery) -> None:
        self._deliveries = deliveries
        self._parser = ResponseParser(deliveries._limits)
        self._parser.expect("NOTIFY")
        self._begun = False  # some of an answer is there
        self._usual = b""
        self._usual_status = 0
        self.pool = pool
        self.delivery: Delivery | None = delivery
        self.used = False
        self.task: asyncio.Task[None] | None = None
        self.connected = False
        self.transport: asyncio.Transport  # once connected

    def established(self, task: asyncio.Task[None]) -> None:
        self.task = None
        # Whatever it was, no delivery may be left without its end.
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._deliveries._not_established(self, error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connected = True
        self._deliveries._connected(self)

    def data_received(self, data: bytes) -> None:
        deliveries = self._deliveries
        if self.delivery is None:
            # Bytes that nothing was asked for: whose answer would the next ones be?
            deliveries._retire(self)
            return
        # An answer to half a request leaves a connection that cannot be used again.
        reusable = not self.transport.get_write_buffer_size()
        if data == self._usual:
            # The very answer that came before, whole: what it says is known.
            deliveries._answered(self, self._usual_status, reusable)
            return
        parser = self._parser
        responses = parser.feed(data)
        if responses:
            response = responses[0]
            reusable = (
                reusable
                and not response.close
                and len(responses) == 1
                and not parser.started
                and parser.error is None
            )
            if reusable and not self._begun and len(data) <= _USUAL_BYTES:
                self._usual = data
                self._usual_status = response.status
            self._begun = False
            deliveries._answered(self, response.status, reusable)
        elif parser.error is not None:
            deliveries._fail(self, DeliveryFailure.BROKEN)
            self.end()
        else:
            self._begun = True
            self._usual = b""

    def eof_received(self) -> None:
        # No answer to NOTIFY lasts to the end of the stream, so this is the end of the delivery.
        self._break()
        self._deliveries._retire(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break()
        self._deliveries._gone(self)

    def _break(self) -> None:
        stale = self.used and not self._parser.started
        self._deliveries._fail(self, DeliveryFailure.STALE if stale else DeliveryFailure.BROKEN)

    def let_go(self) -> Delivery | None:
        """What it has carried, and carries no more."""
        delivery = self.delivery
        if delivery is not None:
            self.delivery = None
            delivery.carrier = None
        return delivery

    def end(self) -> None:
        """End it now, whatever is under way."""
        if self.task is not None:
            self.task.cancel()
        if self.connected:
            self.transport.abort()
