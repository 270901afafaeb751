"""The connections that a listener has accepted: bytes in, requests answered, bytes out.

Nothing here is made per request: no task, no timer, no future. A connection stands in at most
one of the queues of :class:`AcceptedConnections`, each of which has one length of deadline and
so stays in order by itself; one timer serves them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import cast

from propchange.asyncio.interfaces import endpoint_of
from propchange.core.limits import Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.driver.timer import Timer, expired, first_deadline
from propchange.errors import LocalProtocolError
from propchange.http import RequestParser, encode_response

__all__ = ["AcceptedConnections", "Respond", "Told"]

Respond = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request, at once or, for what takes long, later."""

Told = Callable[[Response], None]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class AcceptedConnections:
    """All connections of one listener, and what they have in common."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        respond: Respond,
        *,
        sent: Told,
        lost: Told,
        limits: Limits,
        logger: logging.Logger,
        clock: Callable[[], float],
        headers: Callable[[], HeaderPairs],
        callers: ConnectionHistory | None = None,
    ) -> None:
        self.loop = loop
        self.respond = respond
        self.sent = sent
        self.lost = lost
        self.limits = limits
        self.logger = logger
        self.clock = clock
        self.idle_seconds = limits.idle_seconds
        self.headers = headers
        self.callers = callers
        self.open: set[_Accepted] = set()
        self.per_address: Counter[str] = Counter()
        self.tasks: set[asyncio.Future[Response]] = set()
        # Waiting for a request; for the rest of one; for the peer to read; for the peer to end.
        self.idle: dict[_Accepted, float] = {}
        self.reading: dict[_Accepted, float] = {}
        self.writing: dict[_Accepted, float] = {}
        self.lingering: dict[_Accepted, float] = {}
        self.closing = False
        self.empty: asyncio.Future[None] | None = None
        self._timer = Timer(loop.call_later, limits, self._sweep, clock=clock)
        self.last_response: Response | None = None
        self.last_encoded = b""

    def __call__(self) -> _Accepted:
        """The protocol of a connection that is being accepted."""
        return _Accepted(self)

    def admit(self, connection: _Accepted) -> bool:
        """Whether there is room for ``connection``. The longest idle one makes room."""
        if self.closing:
            return False
        admitted = self._make_room(connection)
        if self.callers is not None:
            tell = self.callers.connected if admitted else self.callers.turned_away
            tell(connection.peer, self.clock())
        return admitted

    def _make_room(self, connection: _Accepted) -> bool:
        if len(self.open) >= self.limits.connections:
            longest = next(iter(self.idle), None)
            if longest is None:
                return False
            longest.drop()
        host = connection.peer.host
        if self.per_address[host] >= self.limits.connections_per_address:
            longest = next((idle for idle in self.idle if idle.peer.host == host), None)
            if longest is None:
                return False
            longest.drop()
        self.per_address[host] += 1
        self.open.add(connection)
        return True

    def forget(self, connection: _Accepted) -> None:
        """``connection`` is gone, or as good as."""
        if connection not in self.open:
            return
        self.open.remove(connection)
        if self.callers is not None and not connection.asked and not self.closing:
            self.callers.ended_empty(connection.peer, self.clock())
        host = connection.peer.host
        self.per_address[host] -= 1
        if not self.per_address[host]:
            del self.per_address[host]
        if not self.open and self.empty is not None and not self.empty.done():
            self.empty.set_result(None)

    def watch(self) -> None:
        """A queue that was empty has got its first connection."""
        when = first_deadline(self.idle, self.reading, self.writing, self.lingering)
        if when is not None:
            self._timer.set(when)

    def encode(self, response: Response, *, head_only: bool) -> bytes:
        """The bytes of ``response``. Those of a plain one are kept, because its very object
        may be the next answer too."""
        if response is self.last_response and not head_only:
            return self.last_encoded
        encoded = encode_response(response, head_only=head_only)
        if response.receipt is None and not (response.close or response.body or head_only):
            self.last_response = response
            self.last_encoded = encoded
        return encoded

    def refusal(self, status: int, http_version: str = "1.1") -> Response:
        """An answer to what never became a request, the last one of its connection."""
        headers = (*self.headers(), (b"CONTENT-LENGTH", b"0"))
        return Response(status, headers, http_version=http_version, close=True)

    async def close(self) -> None:
        """End all connections: answers that are written still leave, for
        ``limits.linger_seconds`` at most; answers that are being made are given up."""
        self.closing = True
        for task in tuple(self.tasks):
            task.cancel()
        if self.open:
            self.empty = self.loop.create_future()
            for connection in tuple(self.open):
                connection.end()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.limits.linger_seconds):
                        await self.empty
            finally:
                for connection in tuple(self.open):
                    connection.drop()
        self._timer.close()
        # What was dropped tells its transport's end at the next turn of the loop.
        await asyncio.gather(*self.tasks, asyncio.sleep(0), return_exceptions=True)

    def _sweep(self, now: float) -> None:
        for queue in (self.idle, self.reading, self.writing, self.lingering):
            for connection in expired(queue, now):
                if queue is self.reading:
                    connection.time_out()
                else:
                    connection.drop()
        self.watch()


class _Accepted(asyncio.Protocol):
    """One accepted connection.

    It is *blocked* while an answer is being made or the peer does not read; then it reads
    nothing and later requests of it wait, so answers keep the order of the requests.
    """

    __slots__ = (
        "_dropped",
        "_ended",
        "_exact",
        "_finished",
        "_parser",
        "_paused",
        "_pending",
        "_queue",
        "_shared",
        "_transport",
        "_unsent",
        "_waiting",
        "asked",
        "peer",
    )

    def __init__(self, shared: AcceptedConnections) -> None:
        self._shared = shared
        self._queue: dict[_Accepted, float] | None = None
        self._waiting: deque[Request] = deque()
        self._unsent: list[Response] = []
        self._pending: Request | None = None
        self._paused = False
        self._exact = False  # paused as soon as anything waits
        self._ended = False  # the peer sends no more
        self._finished = False  # nothing more is answered
        self._dropped = 0
        self.asked = False  # a whole request has come, or what is none
        self._transport: asyncio.Transport
        self._parser: RequestParser
        self.peer: Endpoint

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._start(self._transport)

    def _start(self, transport: asyncio.Transport) -> None:
        shared = self._shared
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        self._finished = True
        if not peer or not local:  # it has gone again already
            transport.abort()
            return
        self.peer = endpoint_of(peer)
        if not shared.admit(self):
            transport.abort()
            return
        self._finished = False
        self._parser = RequestParser(shared.limits, peer=self.peer, local=endpoint_of(local))
        self._wait_in(shared.idle, shared.idle_seconds)

    def data_received(self, data: bytes) -> None:
        if self._finished:
            self._dropped += len(data)
            if self._dropped > self._shared.limits.body_bytes:
                self.drop()
            return
        requests = self._parser.feed(data)
        if len(requests) == 1 and self._pending is None and not self._paused:
            # The usual case, and the reason for a shorter way: one whole request, and an answer
            # that was given before.
            shared = self._shared
            request = requests[0]
            answer = self._ask(request)
            if answer is shared.last_response and request.keep_alive and request.method != "HEAD":
                self._transport.write(shared.last_encoded)
                parser = self._parser
                if self._queue is shared.idle and not (parser.in_message or parser.error):
                    # Nothing behind it: what _proceed() would come to.
                    del shared.idle[self]
                    shared.idle[self] = shared.clock() + shared.idle_seconds
                    return
            elif isinstance(answer, Response):
                self._write(self._encode(request, answer))
            else:
                self._await(request, answer)
            self._proceed(True)
        else:
            self._waiting.extend(requests)
            self._proceed(len(requests) > 0)

    def eof_received(self) -> bool:
        if not self._finished and not self._blocked and self._parser.in_message:
            # Who has ended its half may still hear what was wrong with it.
            self._parser.end()
            self._ended = True
            self._refuse(400, str(self._parser.error))
            return not self._transport.is_closing()
        # Only what was answered for the last time can have something to write still: whoever
        # else has, is not read from.
        self._ended = self._finished and (self._paused or bool(self._unsent))
        return self._ended

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        shared = self._shared
        # The loop is not done with this write yet: go on after it.
        if self._finished and not self._transport.is_closing():
            shared.loop.call_soon(self._end_stream)
            return
        self._tell_sent()
        shared.loop.call_soon(self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finished = True
        self._wait_in(None, 0)
        self._waiting.clear()
        unsent, self._unsent = self._unsent, []
        self._shared.forget(self)
        for response in unsent:
            self._shared.lost(response)

    # --- called by the table ---

    def drop(self) -> None:
        """End the connection now, whatever is under way."""
        self._finished = True
        self._wait_in(None, 0)
        self._shared.forget(self)
        self._transport.abort()

    def end(self) -> None:
        """End the connection once what is written has left."""
        self._finished = True
        self._waiting.clear()
        self._wait_in(None, 0)
        self._transport.close()

    def time_out(self) -> None:
        """A request took too long to come."""
        self._refuse(408, "the request did not come whole in time")

    # --- requests ---

    @property
    def _blocked(self) -> bool:
        return self._pending is not None or self._paused

    def _proceed(self, completed: bool) -> None:
        """Answer what can be answered, then wait for what comes next."""
        shared = self._shared
        parser = self._parser
        waiting = self._waiting
        while waiting and not self._finished and self._pending is None and not self._paused:
            self._answer_some()
        if self._finished:
            return
        if self._pending is not None or self._paused:
            if len(waiting) > shared.limits.pipelined_requests:
                shared.logger.debug("%s sends without reading; connection ended", self.peer)
                self.drop()
                return
            self._transport.pause_reading()
            if self._paused:
                self._wait_in(shared.writing, shared.limits.read_seconds)
            else:
                self._wait_in(None, 0)
        elif parser.error is not None:
            shared.logger.debug("%s sent what is no request: %s", self.peer, parser.error)
            self._refuse(parser.error.status or 400, str(parser.error))
        elif parser.in_message:
            if parser.expect_continue:
                self._transport.write(_CONTINUE)
            if completed or self._queue is not shared.reading:
                self._wait_in(shared.reading, shared.limits.read_seconds)
        elif self._queue is shared.idle:
            del shared.idle[self]
            shared.idle[self] = shared.clock() + shared.idle_seconds
        else:
            self._wait_in(shared.idle, shared.idle_seconds)

    def _answer_some(self) -> None:
        shared = self._shared
        waiting = self._waiting
        encoded: list[bytes] = []
        for _ in range(min(len(waiting), shared.limits.pipelined_requests)):
            request = waiting.popleft()
            answer = self._ask(request)
            if not isinstance(answer, Response):
                self._await(request, answer)
                break
            encoded.append(self._encode(request, answer))
            if self._finished:
                break
        if encoded:
            self._write(b"".join(encoded))

    def _ask(self, request: Request) -> Response | Awaitable[Response]:
        self.asked = True
        try:
            return self._shared.respond(request)
        except Exception:
            self._shared.logger.exception("no answer was made to %r", request)
            return self._shared.refusal(500, request.http_version)

    def _await(self, request: Request, answer: Awaitable[Response]) -> None:
        self._pending = request
        task = asyncio.ensure_future(answer)
        self._shared.tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Future[Response]) -> None:
        shared = self._shared
        shared.tasks.discard(task)
        request, self._pending = self._pending, None
        assert request is not None
        if task.cancelled():
            if not self._finished:
                self.drop()
            return
        error = task.exception()
        if error is not None:
            shared.logger.error("no answer was made to %r", request, exc_info=error)
            answer = shared.refusal(500, request.http_version)
        else:
            answer = task.result()
        if self._finished:
            if answer.receipt is not None:
                shared.lost(answer)
            return
        self._write(self._encode(request, answer))
        self._resume()

    def _resume(self) -> None:
        if self._finished or self._blocked:
            return
        self._transport.resume_reading()
        self._proceed(completed=True)

    # --- responses ---

    def _encode(self, request: Request, response: Response) -> bytes:
        shared = self._shared
        try:
            encoded = shared.encode(response, head_only=request.method == "HEAD")
        except LocalProtocolError:
            shared.logger.exception("the answer to %r cannot be written", request)
            if response.receipt is not None:
                shared.lost(response)
            response = shared.refusal(500, request.http_version)
            encoded = shared.encode(response, head_only=False)
        if response.receipt is not None:
            self._unsent.append(response)
        if response.close or not request.keep_alive:
            self._finished = True
        return encoded

    def _write(self, encoded: bytes) -> None:
        transport = self._transport
        if not self._exact and (self._finished or self._unsent):
            # To be told when nothing waits any more. Others may leave a little in the buffer.
            self._exact = True
            transport.set_write_buffer_limits(high=0)
        transport.write(encoded)
        if self._finished:
            self._close_after_writing()
        elif self._unsent and not (transport.get_write_buffer_size() or transport.is_closing()):
            self._tell_sent()
        if self._paused and (
            transport.get_write_buffer_size() > self._shared.limits.write_buffer_bytes
        ):
            self._shared.logger.debug("%s does not read; connection ended", self.peer)
            self.drop()

    def _refuse(self, status: int, reason: str) -> None:
        """The last answer, to what never became a request."""
        shared = self._shared
        self.asked = self._finished = True
        if shared.callers is not None:
            shared.callers.refused(self.peer, "", status, reason, shared.clock())
        response = shared.refusal(status, self._parser.http_version)
        self._write(shared.encode(response, head_only=False))

    def _close_after_writing(self) -> None:
        self._waiting.clear()
        self._wait_in(self._shared.lingering, self._shared.limits.linger_seconds)
        self._transport.resume_reading()  # to see the peer's end
        if self._transport.get_write_buffer_size():
            return  # resume_writing follows
        self._end_stream()

    def _end_stream(self) -> None:
        if self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:
            self.drop()
            return
        # uvloop sends the FIN at the next turn, before it runs what was called soon.
        self._shared.loop.call_soon(self._stream_ended)

    def _stream_ended(self) -> None:
        self._tell_sent()
        if self._ended:
            self._transport.close()

    def _tell_sent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for response in unsent:
            self._shared.sent(response)

    # --- deadlines ---

    def _wait_in(self, queue: dict[_Accepted, float] | None, seconds: float) -> None:
        current = self._queue
        if current is not None:
            del current[self]
        if queue is not None:
            queue[self] = self._shared.clock() + seconds
            if current is not queue and len(queue) == 1:
                self._shared.watch()
        self._queue = queue
