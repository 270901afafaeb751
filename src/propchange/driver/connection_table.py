"""The connections of a listener: their room, their deadlines and their end.

A connection is in at most one of six queues: ``arriving`` (waits for its first request), ``idle``
(waits for another request), ``reading`` (waits for the rest of a request), ``writing`` (waits for
the peer to read), ``lingering`` (waits for the end of the peer), ``turned_away`` (had no room, was
answered with 503, and waits for the end of the peer). All deadlines in one queue have the same
length, so a queue is always in order, and one timer serves all connections.

:mod:`.connection_shares` chooses the connection that makes room for a new connection,
:mod:`.turns` the connection that may work on its received bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from itertools import chain, islice
from math import inf
from typing import Protocol

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import (
    Endpoint,
    HeaderPairs,
    Request,
    Response,
    address_block,
)
from propchange.core.wire.refusals import CONNECTION_ENDED, Refusal
from propchange.driver.connection_shares import ConnectionShares
from propchange.driver.descriptors import DESCRIPTORS, fit
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.request_progress import LOOKS, RequestProgress
from propchange.driver.runtime import (
    Future,
    Runtime,
    Tasks,
    Timer,
    Transport,
    expired,
    first_deadline,
)
from propchange.driver.turns import Turns
from propchange.http import encode_response
from propchange.http.requests import RepeatedHeads


class AcceptedConnection(Protocol):
    """A connection, for its table and for a :class:`WrittenElsewhere`:
    :class:`.ServerConnection`."""

    transport: Transport
    progress: RequestProgress
    """Set once :meth:`ConnectionTable.admit` has returned True."""
    held_bytes: int
    """Bytes in memory of requests that are not answered yet, as :meth:`ConnectionTable.hold` has
    set it."""

    def look(self, now: float) -> None:
        """A part of ``Limits.stall_seconds`` has passed. After all its parts, report a request that
        makes no progress."""

    def answered(self, *, last: bool, left: Callable[[bool], object] | None = None) -> None:
        """The answer is written. ``last``: the connection ends with it. ``left(True)`` is called
        when all its bytes, and with ``last`` the end of the stream, have left this process;
        ``left(False)`` if the connection breaks before."""

    def time_out(self) -> None:
        """A request was not complete in time."""

    def stall(self) -> None:
        """The peer has not read all written bytes in time."""

    def end(self) -> None:
        """End the connection once all written bytes have left."""

    def drop(self) -> None:
        """End the connection now, even during an answer."""

    def shed(self) -> None:
        """End the connection, because it holds too many bytes. Answer with 503 first, unless
        another answer is under way."""

    def go_on(self) -> None:
        """Work on received bytes for one slice."""


class WrittenElsewhere(Protocol):
    """An answer that other code writes, with the functions of the connection's transport.

    ``begin`` is called first. Then, any number of times, ``pause`` and ``resume``, from inside the
    runtime's write. ``lost`` is called if the connection ends before
    :meth:`AcceptedConnection.answered` was called.
    """

    def begin(self, connection: AcceptedConnection) -> None:
        """Write the answer, now or later, then call ``connection.answered``."""

    def pause(self) -> None:
        """Too many bytes are unwritten: stop writing."""

    def resume(self) -> None:
        """Continue to write."""

    def lost(self, error: Exception | None) -> None:
        """The connection has ended."""


Answer = Response | Awaitable[Response] | WrittenElsewhere

Respond = Callable[[Request], Answer]
"""Answers a request: with a response, with an awaitable of one, or by other code."""


_ABOUT_TO_ASK_SECONDS = 1.0
"""Seconds in which a peer is expected to act: to ask after it has connected, to send the rest of a
request, or to read an answer. Until then its connection makes no room, and new peers wait."""

_SILENT = 0.5
"""Factor of that time for each peer that was silent in it. A flood of silent peers therefore delays
other peers only at first."""

_ASKED = 1.05
"""Factor of that time for each peer that asks."""

_LEAST_SECONDS = 0.001

_MANY_SECONDS = 0.25
"""Most of that time for a host with many connections. Such a host may be a busy program that sends
many requests at once. With a longer time, a flood of its connections would delay the peers of other
hosts, which wait behind them in the queue of the system."""

Cut = Callable[[Request, Refusal], object]
"""Called with a request that did not come whole, or cannot be parsed. Returns whether its purpose
is known."""

Wasted = Callable[[Endpoint, str, bool], object]
"""Called with the peer of a connection that has brought no request, the reason in words, and
whether the connection began with bytes that no request begins with."""


def _ignore(response: Response) -> None:
    pass


class ConnectionTable:
    """All connections of one listener, with their settings, queues and timer.

    In the end call :meth:`close`.

    ``respond`` is called once per request, in the order of each connection. Its exceptions are
    logged and answered with 500. ``headers`` returns the headers of the answers that are made here:
    to malformed (4xx, 5xx) and overdue (408) requests. ``history`` records the peers that connect,
    are turned away, are refused, or end without a request. ``cut`` and ``wasted``, if given, are
    called with the requests that were lost. ``known`` returns the addresses with subscriptions,
    each of which keeps some connections (:mod:`.connection_shares`). ``excluded``, if given,
    returns whether connections to an address of this machine are closed without an answer.
    """

    def __init__(
        self,
        runtime: Runtime,
        respond: Respond,
        *,
        limits: Limits = DEFAULT_LIMITS,
        sent: Callable[[Response], object] = _ignore,
        lost: Callable[[Response], object] = _ignore,
        headers: Callable[[], HeaderPairs] = tuple,
        history: ConnectionHistory | None = None,
        cut: Cut | None = None,
        wasted: Wasted | None = None,
        known: Callable[[], Collection[str]] = frozenset,
        excluded: Callable[[Endpoint], bool] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        limits = fit(limits)
        self.runtime = runtime
        self.respond = respond
        self.limits = limits
        self.sent = sent
        self.lost = lost
        self.headers = headers
        self.history = history
        self._cut = cut
        self._wasted = wasted
        self._excluded = excluded
        self.logger = logger or logger_named("propchange.http")
        self.warnings = Warnings(self.logger, limits)
        self.now = runtime.now
        self.idle_seconds = limits.idle_seconds
        self.tasks = Tasks(runtime)
        self.arriving: dict[AcceptedConnection, float] = {}
        self.idle: dict[AcceptedConnection, float] = {}
        self.reading: dict[AcceptedConnection, float] = {}
        self.writing: dict[AcceptedConnection, float] = {}
        self.lingering: dict[AcceptedConnection, float] = {}
        self.turned_away: dict[AcceptedConnection, float] = {}
        self._queues = (
            self.arriving,
            self.idle,
            self.reading,
            self.writing,
            self.lingering,
            self.turned_away,
        )
        self._watched: dict[AcceptedConnection, float] = {}
        self.last_response: Response | None = None
        self.last_encoded = b""
        self._last_closing: Response | None = None
        self._last_closing_encoded = b""
        self.heads = RepeatedHeads(limits)
        self.turns = Turns(runtime, limits.turn_seconds)
        self._open: set[AcceptedConnection] = set()
        self._shares = ConnectionShares(limits, known, runtime.now)
        self._holding: dict[AcceptedConnection, None] = {}  # in the order of their beginning
        self._held_bytes = 0
        self._patience = _ABOUT_TO_ASK_SECONDS
        self._unended = 0
        self._ended: Future[None] | None = None
        self._closing = False
        self._timer = Timer(runtime.call_later, limits, self._sweep, clock=runtime.now)
        DESCRIPTORS.add_table(self)

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    async def close(self) -> None:
        """End all connections and admit no more. Answers that are written still leave, for
        ``limits.linger_seconds`` at most; unfinished answers are cancelled."""
        self._closing = True
        for connection in (*self._open, *self.turned_away):
            connection.end()
        alarm = None
        if self._unended:
            alarm = self.runtime.call_later(max(self.limits.linger_seconds, 0.001), self._drop_all)
        try:
            await self.tasks.close()
            if self._unended:
                self._ended = self.runtime.future()
                await self._ended
        finally:
            if alarm is not None:
                alarm.cancel()
            self._drop_all()
            self._timer.close()
            self.turns.close()

    def _drop_all(self) -> None:
        for connection in (*self._open, *self.turned_away):
            connection.drop()

    # --- for a connection ---

    def admit(self, connection: AcceptedConnection) -> bool:
        """Add ``connection`` if there is room and its interface is not excluded, and return whether
        that is so. Another connection may be ended to make room. If this returns False, call
        :meth:`turn_away`."""
        self._unended += 1
        if self._closing or self._is_excluded(connection.transport):
            return False
        admitted = self._make_room(connection)
        if self.history is not None:
            note = self.history.connected if admitted else self.history.turned_away
            note(connection.transport.peer, self.now())
        if not admitted:
            self.wasted(connection.transport.peer, "there was no room for them")
        return admitted

    def _is_excluded(self, transport: Transport) -> bool:
        if self._excluded is None or not self._excluded(transport.local):
            return False
        self.logger.debug("%s has connected to an excluded interface", transport.peer)
        return True

    def turn_away(self, connection: AcceptedConnection) -> bool:
        """Whether ``connection``, which was not admitted, is to be answered with 503. The oldest
        such connection may be ended."""
        if self._closing or self._is_excluded(connection.transport):
            return False
        if len(self.turned_away) >= self.limits.turned_away_connections:
            next(iter(self.turned_away)).end()
        return True

    def _make_room(self, connection: AcceptedConnection) -> bool:
        host = connection.transport.peer.host
        shares = self._shares
        if shares.full or shares.full_for(host):
            ending = self._making_room(host)
            if ending is None:
                return False
            self._end_for(ending, host)
        shares.add(host)
        self._open.add(connection)
        return True

    def crowded(self, host: str, unmade: Collection[str]) -> bool:
        """Whether a new peer must wait (:data:`.Crowded`): the connection that would make room is
        still within its time to ask or to read, or its request was received and not read yet."""
        shares = self._shares
        if self._closing or not (shares.full_with(len(unmade)) or shares.full_for(host, unmade)):
            return False
        for other in unmade:
            shares.add(other)
        try:
            ending = self._making_room(host)
            if ending is None:
                return bool(unmade)
            few = shares.few_of(ending.transport.peer.host)
            patience = self._patience if few else min(self._patience, _MANY_SECONDS)
            if self._since(ending) < patience or not self._is_silent(ending):
                return True
        finally:
            for other in unmade:
                shares.remove(other)
        self._end_for(ending, host)
        return False

    def _making_room(self, host: str) -> AcceptedConnection | None:
        silent = expired(self.arriving, self.now() + self.idle_seconds - self._patience)
        queues = (silent, self.idle, self.lingering, self.reading, self.writing, self.arriving)
        return self._shares.making_room(host, queues)

    def _is_silent(self, connection: AcceptedConnection) -> bool:
        """Whether ``connection`` does not wait for a request, or nothing of one has arrived. Bytes
        that were received and not read are a request for which this side is late. To end such a
        connection would reset it, and its peer would get no answer."""
        waits = connection in self.arriving or connection in self.idle
        return not (waits and connection.transport.unread())

    def _since(self, connection: AcceptedConnection) -> float:
        """Seconds since the peer is expected to ask, to send the rest of a request or to read;
        infinite if it is not expected to act."""
        for queue, seconds in (
            (self.arriving, self.idle_seconds),
            (self.reading, self.limits.read_seconds),
            (self.writing, self.limits.read_seconds),
        ):
            if connection in queue:
                return self.now() + seconds - queue[connection]
        return inf

    def _end_for(self, ending: AcceptedConnection, host: str) -> None:
        peer = ending.transport.peer
        self.logger.debug("%s makes room for %s", peer, host)
        if ending in self.arriving or ending in self.reading:
            self._patience = max(self._patience * _SILENT, _LEAST_SECONDS)
        if self.history is not None and not ending.progress.asked:
            self.history.turned_away(peer, self.now())
            if ending.progress.begun is None:
                self.wasted(peer, "there was no room for them")
            ending.progress.asked = True  # so that its end is not reported as well
        ending.drop()

    def has_asked(self) -> None:
        """A connection has brought its first request."""
        self._patience = min(self._patience * _ASKED, _ABOUT_TO_ASK_SECONDS)

    def give_back(self, count: int) -> int:
        """Close at most ``count`` connections that wait for a request, the longest idle first, and
        return their number. New connections stay, because a request is about to come."""
        until = self.now() + self.idle_seconds - _ABOUT_TO_ASK_SECONDS
        waiting = chain(expired(self.arriving, until), expired(self.idle, until))
        longest = list(islice(filter(self._is_silent, waiting), count))
        for connection in longest:
            connection.drop()
        return len(longest)

    def hold(self, connection: AcceptedConnection, held_bytes: int) -> None:
        """Note that ``connection`` holds ``held_bytes``. If all connections together hold too many
        bytes, end some of them, perhaps this one."""
        self._held_bytes += held_bytes - connection.held_bytes
        connection.held_bytes = held_bytes
        if not held_bytes:
            self._holding.pop(connection, None)
            return
        self._holding[connection] = None
        while self._held_bytes > self.limits.held_bytes:
            shed = self._shares.shedding(self._holding)
            if shed is None:
                return
            self.logger.debug("%s has sent too much; connection ended", shed.transport.peer)
            shed.shed()
            self.hold(shed, 0)

    def forget(self, connection: AcceptedConnection) -> None:
        """Free the place of ``connection``, which has ended or is ending."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        self._watched.pop(connection, None)
        self.hold(connection, 0)
        peer = connection.transport.peer
        self.turns.forget(connection, address_block(peer.host))
        if not self._closing:
            progress = connection.progress
            begun = progress.begun
            if self.history is not None and not progress.asked:
                self.history.ended_empty(peer, self.now())
            ended = "they ended without a request"
            if begun is not None:
                self.cut(begun, CONNECTION_ENDED, peer, ended)
            elif progress.wasted:
                self.wasted(peer, ended, unreadable=progress.unreadable)
        self._shares.remove(peer.host)
        if not self._open:  # leave nothing with the runtime
            self._timer.close()
            self.turns.close()

    def ended(self) -> None:
        """A connection has ended."""
        self._unended -= 1
        if not self._unended:
            self._timer.close()
        if not self._unended and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def cut(self, request: Request, refusal: Refusal, peer: Endpoint, wasted: str) -> None:
        """Report a request that did not come whole, or cannot be parsed. If it names no known
        subscription, report its connection as wasted."""
        known = self._cut is not None and self._cut(request, refusal)
        if not (known or request.target):
            self.wasted(peer, wasted)

    def report_refusal(self, connection: AcceptedConnection, refusal: Refusal) -> None:
        """Report the request that ``connection`` refuses, because it is malformed or overdue: to
        the history, and as a lost request."""
        peer, progress = connection.transport.peer, connection.progress
        broken = progress.broken_request
        if progress.refused and broken is None:
            # These bytes may be the rest of the body of a request that was refused: its length was
            # wrong, and the refusal has given the reason.
            return
        status, reason = refusal.status, refusal.reason
        if self.history is not None:
            # Behind a refused request, another first line may be in the rest of its body.
            is_sure = broken is not None and (broken.method == "NOTIFY" or not progress.refused)
            target = broken.target if broken is not None and is_sure else ""
            self.history.refused(peer, target, status, reason, self.now(), part=refusal.part)
        unread = f"they could not be read: {reason}"
        if broken is not None:
            self.cut(broken, refusal, peer, unread)
        elif not progress.reported:
            self.wasted(peer, unread, unreadable=progress.unreadable)

    def wasted(self, peer: Endpoint, reason: str, *, unreadable: bool = False) -> None:
        """Report a connection that has brought no request. ``unreadable``: it began with bytes
        that no request begins with."""
        if self._wasted is not None:
            self._wasted(peer, reason, unreadable)

    def look_later(self, connection: AcceptedConnection) -> None:
        """Call ``connection.look()`` in a part of ``Limits.stall_seconds``, if lost requests are
        reported."""
        if self._cut is not None and connection not in self._watched:
            self._watched[connection] = self.now() + self.limits.stall_seconds / LOOKS
            if len(self._watched) == 1:
                self.watch()

    def watch(self) -> None:
        """Set the timer: a queue that was empty has its first connection."""
        when = first_deadline(*self._queues, self._watched)
        if when is not None:
            self._timer.set(when)

    def encode(self, response: Response, *, head_only: bool) -> bytes:
        """The bytes of ``response``. Those of a plain one are kept: the same object is often the
        next answer too."""
        if response is self.last_response and not head_only:
            return self.last_encoded
        if response is self._last_closing and not head_only:
            return self._last_closing_encoded
        encoded = encode_response(response, head_only=head_only)
        if response.receipt is None and not (response.close or response.body or head_only):
            self.last_response = response
            self.last_encoded = encoded
        elif response.receipt is None and not (response.body or head_only):
            self._last_closing = response
            self._last_closing_encoded = encoded
        return encoded

    def refusal(self, status: int, http_version: str = "1.1") -> Response:
        """The answer to a malformed or overdue request. It is the last one of its connection."""
        headers = (*self.headers(), (b"CONTENT-LENGTH", b"0"))
        return Response(status, headers, http_version=http_version, close=True)

    def report(self, response: Response, left: bool) -> None:
        """Call ``sent`` or ``lost`` for ``response``."""
        (self.sent if left else self.lost)(response)

    def _sweep(self, now: float) -> None:
        for connection in expired(self._watched, now):
            self._watched.pop(connection, None)
            connection.look(now)
        for queue in self._queues:
            for connection in expired(queue, now):
                if queue is self.reading:
                    connection.time_out()
                elif queue is self.writing:
                    connection.stall()
                else:
                    connection.drop()
        self.watch()
