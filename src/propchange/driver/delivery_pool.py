"""The connections that carry NOTIFY requests to subscribers: which one carries a delivery.

A *route* is the endpoint of a delivery URL and the local address to send from. A delivery takes the
idle connection of its route that was used last, or opens one. If it may not open one, it waits:

* Above ``Limits.connections_per_delivery_endpoint`` connections of one route it waits with its
  route, until one of them is free or gone.
* Above ``Limits.delivery_connections`` connections in all, above ``Limits.connecting_deliveries``
  of them that are being opened, or after ``Limits.delivery_connects_per_turn`` of them in one turn
  of the loop, it waits in the one queue of the pool, in the order of :meth:`DeliveryPool.send`. A
  connection that becomes free is given to the first delivery in the queue if that has the same
  route; else it is closed to make room. If no connection becomes free in this turn, the pool closes
  an idle connection.

The pool closes the longest idle and the last used connection in turns. Subscribers that all get
each change use their connections one after another: the longest idle connection is then needed
next, and the last used connection is needed last. A subscriber that gets few events also has a long
idle connection, which is not needed soon.

If the machine has no descriptor, memory or port for another connection, the delivery waits too. The
pool then uses the connections that it has, and tries to open more every
``Limits.shortage_seconds``.

A delivery leaves from the address of its route. If this machine has that address no more, the
system chooses another. Bytes that are written to a connection from a lost address are lost. So the
pool ends such connections every ``Limits.address_seconds``. A delivery on such a connection is
STALE: the publisher tries it once more.

:mod:`.delivery_connection` has the work of one connection.

The publisher limits the time of an attempt: it calls :meth:`DeliveryPool.abort`. Only connecting
has its limit here. The carrier of a waiting delivery is :data:`.WAITING`, so that the publisher
does not count its end as a failure of the endpoint.

An event on an idle connection makes no new objects: the address of the delivery has the idle
connections of its route, and the bytes go to the runtime's own ``write``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import (
    WAITING,
    Delivery,
    DeliveryFailure,
    Endpoint,
    Response,
)
from propchange.driver.delivery_connection import DeliveryConnection, Ended, IdleConnections, Route
from propchange.driver.descriptors import DESCRIPTORS, fit
from propchange.driver.machine import has_address
from propchange.driver.runtime import (
    Future,
    Runtime,
    Timer,
    expired,
    first_deadline,
)
from propchange.http import encode_delivery


class DeliveryPool:
    """Sends deliveries over kept-alive connections. In the end call :meth:`close`.

    ``has_address`` replaces the function of :mod:`.machine` with this name."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        limits: Limits = DEFAULT_LIMITS,
        has_address: Callable[[Endpoint], bool] = has_address,
    ) -> None:
        self.runtime = runtime
        self.limits = limits = fit(limits)
        self.answer_limits = replace(limits, body_bytes=limits.answer_bytes)
        self.known_answers: dict[bytes, Response] = {}
        self.last_answers: dict[bytes, Response] = {}
        self._has_address = has_address
        self._now = runtime.now
        self._idle_seconds = limits.delivery_idle_seconds
        self._timer = Timer(runtime.call_later, limits, self._sweep, clock=runtime.now)
        self._routes: dict[Route, IdleConnections] = {}
        self._open: set[DeliveryConnection] = set()
        self._connecting = 0
        self._room = limits.delivery_connections
        self._more_room_at: float | None = None  # after a shortage
        self._look_at: float | None = None  # for addresses that are gone
        self._opened = 0  # in this turn of the loop, or since the turn that allowed more
        self._turn_queued = False
        self._close_latest = False
        self._waiting: OrderedDict[Delivery, Ended] = OrderedDict()
        self._idle: dict[DeliveryConnection, float] = {}
        self._leaving: list[tuple[set[DeliveryConnection], Future[None]]] = []
        self._closing = False
        DESCRIPTORS.add_pool(self)

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
        return {idle.endpoint for idle in self._routes.values()}

    def send(self, delivery: Delivery, ended: Ended) -> None:
        """Send ``delivery``. ``ended`` is called once, not within this call, and not after
        :meth:`abort`. It may send the next delivery.

        Raises LocalProtocolError if its address cannot be written as HTTP, and RuntimeError after
        :meth:`close`.
        """
        self.send_all((delivery,), ended)

    def send_all(self, deliveries: Iterable[Delivery], ended: Ended) -> None:
        """Send each of ``deliveries``, as :meth:`send`."""
        all_idle = self._idle
        for delivery in deliveries:
            address = delivery.address
            idle: IdleConnections | None = address.pool
            if idle is None or idle.owner is not self:
                idle = address.pool = self._routes.get(_route(delivery))
            if idle and not delivery.fresh:
                encoded = encode_delivery(delivery)
                connection = idle.pop()
                del all_idle[connection]
                connection.delivery = delivery
                connection.ended = ended
                delivery.carrier = connection
                connection.write(encoded)
                continue
            if address.head is None:
                encode_delivery(delivery)  # raises before a connection is opened
            if self._closing:
                raise RuntimeError("the delivery pool is closed")
            if self._has_room and not self._waiting:
                self._connect(delivery, ended)
            else:
                self._wait(delivery, ended)

    def abort(self, delivery: Delivery) -> None:
        """End the connection that carries ``delivery``, or the wait for one. ``ended`` is not
        called for it. Does nothing if ``delivery`` has ended already."""
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
        await self._gone(c for c in self._open if c.idle.endpoint in endpoints and not c.delivery)

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
        self._queue_turn()

    def _queue_turn(self) -> None:
        if not self._turn_queued:
            self._turn_queued = True
            self.runtime.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Open connections for deliveries that wait. If there is no room, close idle ones: they
        have not been needed in this turn."""
        self._turn_queued = False
        self._opened = 0
        self._connect_waiting()
        if len(self._open) >= self._room:
            self._close_idle(len(self._waiting))

    def give_back(self, count: int) -> int:
        """Close at most ``count`` idle connections, and return their number. The pool has ``count``
        fewer connections for ``Limits.shortage_seconds``, because the program needs the
        descriptors. One connection stays, so that events can still be sent."""
        if self._closing or not self._open:
            return 0
        self._lower_room(max(len(self._open) - count, 1))
        return self._close_idle(min(count, len(self._open) - 1))

    def _lower_room(self, room: int) -> None:
        self._room = min(self._room, room)
        if self._more_room_at is None:
            self._more_room_at = self._now() + self.limits.shortage_seconds
            self._watch(self._more_room_at)

    def _close_idle(self, count: int) -> int:
        closed = 0
        while self._idle and closed < count:
            ends = reversed(self._idle) if self._close_latest else iter(self._idle)
            self._close_latest = not self._close_latest
            self.retire(next(ends))
            closed += 1
        return closed

    def _connect(self, delivery: Delivery, ended: Ended) -> None:
        """Open a connection for ``delivery``, or let it wait for one of its route."""
        route = _route(delivery)
        idle = self._routes.get(route)
        if idle is None:
            endpoint = delivery.address.url.endpoint
            idle = self._routes[route] = IdleConnections(self, route, endpoint)
        if idle.size >= self.limits.connections_per_delivery_endpoint:
            delivery.carrier = WAITING
            idle.waiting[delivery] = ended
            return
        idle.size += 1
        connection = DeliveryConnection(self, idle, delivery, ended)
        delivery.carrier = connection
        self._open.add(connection)
        self._connecting += 1
        self._opened += 1
        if self._opened >= self.limits.delivery_connects_per_turn:
            self._queue_turn()
        if self._look_at is None:
            self._look_at = self._now() + self.limits.address_seconds
            self._watch(self._look_at)
        self.open(connection, delivery.address.source)

    def open(self, connection: DeliveryConnection, source: Endpoint | None) -> None:
        """Begin to open ``connection``, from the address of ``source`` if given."""
        connection.source = source = source and _without_port(source)
        connection.attempt = self.runtime.connect(
            connection,
            connection.idle.endpoint,
            source=source,
            seconds=self.limits.connect_seconds,
            failed=connection.failed,
        )

    @property
    def _has_room(self) -> bool:
        return (
            len(self._open) < self._room
            and self._connecting < self.limits.connecting_deliveries
            and self._opened < self.limits.delivery_connects_per_turn
        )

    def short(self, connection: DeliveryConnection, error: OSError) -> None:
        """Note that ``connection`` cannot be opened because of a shortage of this machine. Its
        delivery waits again, as the first."""
        DESCRIPTORS.short(error)
        delivery = connection.let_go()
        if delivery is not None:
            delivery.carrier = WAITING
            self._waiting[delivery] = connection.ended
            self._waiting.move_to_end(delivery, last=False)
        self._lower_room(len(self._open) - 1)
        self.gone(connection)
        self._queue_turn()

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
        if not (self._open or self._more_room_at):
            self._timer.close()
            self._look_at = None
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
            connection.part(taken=200 <= response.status < 300)
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
        elif queue is idle.waiting or len(self._open) >= self._room:
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
        # Thousands become idle at once, after a change for all. The rest has its turn soon.
        for connection in expired(self._idle, now)[: self.limits.delivery_connects_per_turn]:
            self.retire(connection)
        if self._more_room_at is not None and self._more_room_at <= now:
            self._try_more_room(now)
        if self._look_at is not None and self._look_at <= now:
            self._end_lost(now)
        self._watch(first_deadline(self._idle))
        self._watch(self._more_room_at)
        self._watch(self._look_at)

    def _try_more_room(self, now: float) -> None:
        most = self.limits.delivery_connections
        self._room = min(most, max(self._room, len(self._open)) + max(most // 16, 1))
        self._more_room_at = now + self.limits.shortage_seconds if self._room < most else None
        self._connect_waiting()

    def _end_lost(self, now: float) -> None:
        """End the connections whose local address this machine has lost."""
        self._look_at = now + self.limits.address_seconds if self._open else None
        sources = {connection.source for connection in self._open}
        lost = {each for each in sources if each is not None and not self._has_address(each)}
        if not lost:
            return
        ending = [connection for connection in self._open if connection.source in lost]
        # Remove them all first, so that a delivery that is tried again uses none of them.
        for connection in ending:
            if self._idle.pop(connection, None) is not None:
                connection.idle.remove(connection)
        for connection in ending:
            self.failed(connection, DeliveryFailure.STALE)
            connection.abort()


@lru_cache(maxsize=1024)  # called for each connection; the addresses of this machine are few
def _without_port(endpoint: Endpoint) -> Endpoint:
    return endpoint._replace(port=0)


def _route(delivery: Delivery) -> Route:
    address = delivery.address
    return (*address.url.endpoint, *(address.source or ()))
