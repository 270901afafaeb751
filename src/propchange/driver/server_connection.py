"""One accepted connection: requests in, answers out.

How a connection works:

* Requests are answered in the order in which they were received. A connection is *blocked* while an
  answer is being made (``_pending``) or while the peer does not read (``_paused``). A blocked
  connection reads and parses nothing more. Up to ``Limits.pipelined_requests`` that are parsed
  already wait in ``_waiting``, and the bytes behind them in the parser.
* One request is answered when its bytes have come. Several requests are answered in slices. Between
  two slices the connection is *deferred*: see :mod:`.turns`.
* There are three kinds of answers. A Response is encoded and written. An awaitable of a Response
  runs as a task of the runtime. A :class:`WrittenElsewhere` gets the connection and writes to it:
  this is how a resource of ``twisted.web`` streams a file. It calls
  :meth:`ServerConnection.answered` when it is done.
* A request that is malformed, too large or overdue is answered once (4xx, 5xx, 408). That answer is
  the last one of its connection.
* A peer must read some of an answer in each ``Limits.read_seconds``, and all of it in
  ``Limits.answer_seconds``. After the last answer this side ends its stream, and still reads for
  ``Limits.linger_seconds``. Without that, a reset would destroy an answer that the peer has not
  read yet. What is read then is ignored; above ``Limits.body_bytes`` the connection is dropped.
* ``sent`` is called for a response with a ``receipt`` when all its bytes have left this process. If
  the connection ends with it, ``sent`` waits for the end of the stream too (SUB-56). ``lost`` is
  called if the connection broke before.

A request that is answered with a Response at once needs no task, timer or future of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from propchange.core.wire.messages import Request, Response, address_block
from propchange.core.wire.refusals import Part, Refusal, stalled, unread
from propchange.driver.answer_progress import AnswerProgress
from propchange.driver.connection_table import (
    AcceptedConnection,
    Answer,
    ConnectionTable,
    WrittenElsewhere,
)
from propchange.driver.request_progress import RequestProgress
from propchange.driver.runtime import Transport
from propchange.errors import LocalProtocolError
from propchange.http import RequestParser

# Answers of so many bytes are sent before more are made: bounds those that wait for one peer.
_ANSWERS_AT_ONCE_BYTES = 65_536
# Length of a body that is read in less than a slice takes: most events are shorter.
_SHORT_BYTES = 4_096
_STAY = "they stay without a request"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServerConnection:
    """One accepted connection (a :class:`.Connection` of the driver). See the module."""

    __slots__ = (
        "_deferred",
        "_dropped",
        "_ending",
        "_finished",
        "_parser",
        "_paused",
        "_peer_ended",
        "_pending",
        "_queue",
        "_reader",
        "_reading",
        "_starting",
        "_table",
        "_unsent",
        "_waiting",
        "_write_bytes",
        "_writer",
        "held_bytes",
        "progress",
        "transport",
    )

    def __init__(self, table: ConnectionTable) -> None:
        self._table = table
        self._queue: dict[AcceptedConnection, float] | None = None
        self._waiting: deque[Request] = deque()
        self._unsent: list[Callable[[bool], object]] = []  # called with whether all has left
        self._pending: Request | None = None  # its answer is being made
        self._writer: WrittenElsewhere | None = None  # other code that writes it
        self._starting = False  # inside of _start()
        self._paused = False
        self._deferred = False  # waits for its next slice
        self._reading = True  # the runtime reads
        self._peer_ended = False  # the peer sends no more
        self._finished = False  # nothing more is answered
        self._ending = False  # the connection ends once what is written has left
        self._dropped = 0
        self._reader: AnswerProgress | None = None  # of the answer that the peer is slow to read
        self.held_bytes = 0
        """For the table."""
        self.transport: Transport
        self.progress: RequestProgress
        self._write_bytes: Callable[[bytes], object]
        self._parser: RequestParser

    # --- for the runtime ---

    def connection_made(self, transport: Transport) -> None:
        """The connection is open. It is answered with 503 if there is no room for it."""
        self.transport = transport
        self._write_bytes = transport.write
        table = self._table
        self._parser = RequestParser(
            table.limits, peer=transport.peer, local=transport.local, heads=table.heads
        )
        self.progress = RequestProgress(self._parser)
        if not table.admit(self):
            self._turn_away()
            return
        self._wait_in(table.arriving, table.idle_seconds)
        table.look_later(self)

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""
        if self._finished:
            self._dropped += len(data)
            if self._dropped > self._table.limits.body_bytes:
                self.drop()
            return
        table = self._table
        if self._pending is not None or self._paused or self._deferred or table.turns.over:
            self.progress.move()
            self._parser.keep(data)
            table.hold(self, self._held())
            if not self._finished:
                self._proceed(False)
            return
        parser = self._parser
        request = parser.feed_repeated(data)
        requests: list[Request] = []
        if request is None:
            requests = parser.feed(data)
            if len(requests) == 1:
                request = requests[0]
        if request is not None:
            # The usual case: one whole request, and the same answer as to the request before.
            answer = self._ask(request)
            if request.method == "POST" or len(request.body) > _SHORT_BYTES:
                table.turns.goes_on()  # it may have taken long
            if answer is table.last_response and request.keep_alive and request.method != "HEAD":
                self._write_bytes(table.last_encoded)
                if self._queue is table.idle and not (parser.in_message or parser.error):
                    # No bytes follow the request: _proceed() would do the same.
                    del table.idle[self]
                    table.idle[self] = table.now() + table.idle_seconds
                    return
            elif isinstance(answer, Response):
                self._write(self._encode(request, answer))
            else:
                self._start(request, answer)
            self._proceed(True)
        else:
            self.progress.move()
            self._waiting.extend(requests)
            table.turns.goes_on()  # a part of a request is work too
            self._proceed(len(requests) > 0)
        is_pending = self._pending is not None and not self._finished
        if self.held_bytes or self._parser.in_message or self._waiting or is_pending:
            table.hold(self, self._held())

    def eof_received(self) -> bool:
        """The peer has ended its stream. An incomplete request is still answered with 400."""
        if self._writer is not None or (self._deferred and not self._finished):
            self._peer_ended = True
            return True
        if not self._finished and not self._blocked and self._parser.in_message:
            self._peer_ended = True
            self._refuse_incomplete()
            return not self.transport.is_closing()
        # Only after the last answer can bytes be unwritten here: before, a connection with
        # unwritten bytes does not read.
        self._peer_ended = self._finished and (self._paused or bool(self._unsent))
        return self._peer_ended

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._paused = True
        self._wait_for_reader()
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        """The peer has read. The runtime may be inside its write still: go on at the next turn."""
        self._paused = False
        self._reader = None
        if self._writer is not None:
            self._wait_in(None, 0)
            self._writer.resume()
        elif self._finished and not self.transport.is_closing():
            self._table.hold(self, 0)
            self._table.runtime.call_soon(self._end_stream)
        else:
            self._report_left(True)
            self._table.runtime.call_soon(self._resume)

    def eof_sent(self) -> None:
        """The end of the stream has left."""
        self._report_left(True)
        if self._peer_ended:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        self._table.forget(self)
        self._finished = True
        self._wait_in(None, 0)
        self._waiting.clear()
        self._report_left(self._ending and error is None)
        writer, self._writer = self._writer, None
        if writer is not None:
            self._pending = None
            writer.lost(error)
        self._table.ended()

    def _turn_away(self) -> None:
        """There is no room. Answer 503 and read on, or a reset would destroy the answer when the
        request is received."""
        table = self._table
        self._finished = True
        if table.turn_away(self):
            self._write_bytes(table.encode(table.refusal(503), head_only=False))
            self._wait_in(table.turned_away, table.limits.linger_seconds)
            self.transport.write_eof()
        else:
            self.transport.close()

    def _end_stream(self) -> None:
        if not self.transport.is_closing():
            self._wait_in(self._table.lingering, self._table.limits.linger_seconds)
            self.transport.write_eof()

    # --- for the table ---

    def drop(self) -> None:
        """End the connection now, even during an answer: by a reset only if bytes are unwritten."""
        self._table.forget(self)
        self._finished = True
        self._ending = False
        self._forget_requests()
        self._wait_in(None, 0)
        if self.transport.unwritten():
            self.transport.abort()
        else:
            self.transport.close()

    def end(self) -> None:
        """End the connection once all written bytes have left."""
        self._finished = self._ending = True
        self._forget_requests()
        self._wait_in(None, 0)
        self.transport.close()

    def stall(self) -> None:
        """The peer has not read all written bytes in time. If it has read some, it gets more."""
        # An answer that other code still writes may have any length.
        now = 0.0 if self._writer is not None else self._table.now()
        if self._reader is None or self._reader.moves(now):
            self._wait_in(self._table.writing, self._table.limits.read_seconds)
        else:
            self._drop_unread()

    def _drop_unread(self) -> None:
        self._table.logger.debug("%s does not read; connection ended", self.transport.peer)
        self.drop()

    def time_out(self) -> None:
        """A request was not complete in time."""
        if self._deferred:  # this side is late, not the peer
            self._wait_in(self._table.reading, self._table.limits.read_seconds)
        else:
            self._refuse(unread(408, "the request was not complete in time"))

    def shed(self) -> None:
        """The connection holds too many bytes."""
        if self._finished or self._blocked or self._deferred or self._waiting:
            self.drop()
        else:
            self._refuse(unread(503, "too many bytes of requests are under way; try again later"))

    def go_on(self) -> None:
        """The turn of this connection has come."""
        self._deferred = False
        if not self._finished:
            self._proceed(False)
            if not self._finished:
                self._table.hold(self, self._held())

    def look(self, now: float) -> None:
        """A part of ``Limits.stall_seconds`` has passed. After all its parts, report a request that
        makes no progress, or a connection that has brought nothing."""
        table, progress = self._table, self.progress
        begun = progress.begun
        reads = begun is not None and self._queue is table.reading
        wasted = progress.wasted and not (progress.over or progress.reported)
        if not (reads or wasted):
            return
        if not progress.stands_still():
            table.look_later(self)
            return
        progress.reported = True
        if begun is not None and reads:
            table.cut(begun, stalled(table.limits.stall_seconds), self.transport.peer, _STAY)
        else:
            table.wasted(self.transport.peer, _STAY, unreadable=progress.unreadable)

    # --- for an answer that other code writes ---

    def answered(self, *, last: bool, left: Callable[[bool], object] | None = None) -> None:
        """The answer is written. ``last``: the connection ends with it. ``left(True)`` is called
        when all its bytes, and with ``last`` the end of the stream, have left this process;
        ``left(False)`` if the connection breaks before."""
        self._pending = self._writer = None
        if self._finished:  # it was dropped meanwhile
            if left is not None:
                left(False)
            return
        if left is not None:
            self._unsent.append(left)
        self._finished = last
        self._reader = None
        if self._paused:
            self._wait_for_reader()
        self._look_after_writing()
        self._resume_unless_starting()

    # --- requests ---

    @property
    def _blocked(self) -> bool:
        return self._pending is not None or self._paused

    def _proceed(self, completed: bool) -> None:
        """Answer the waiting requests if possible, then set the deadline of the next input.

        ``completed``: a request was completed, so the next one has the full time to arrive."""
        table = self._table
        parser = self._parser
        waiting = self._waiting
        while not (self._deferred or self._finished or self._pending is not None or self._paused):
            if not waiting:
                if not parser.rest:
                    break
                if not table.turns.over:
                    waiting.extend(parser.feed(b""))
            if waiting:
                completed = True
                self._answer_some()
            if self.transport.is_closing():
                return  # connection_lost follows
            if (waiting or parser.rest) and (table.turns.crowded or not table.turns.goes_on()):
                self._defer()
        if self._finished:
            return
        if self._pending is not None or self._paused:
            if self._writer is None or waiting or parser.rest:
                # Else keep reading: other code that writes the answer needs the peer's end.
                self._stop_reading()
            if not self._paused:
                self._wait_in(None, 0)
            return
        if self._deferred:
            self._stop_reading()
            if self._queue is not table.reading:
                self.progress.begin()
                self._wait_in(table.reading, table.limits.read_seconds)
                table.look_later(self)
            return
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        if parser.error is not None:
            table.logger.debug("%s sent a malformed request: %s", self.transport.peer, parser.error)
            self._refuse(unread(parser.error.status or 400, str(parser.error)))
        elif self._peer_ended:
            if parser.in_message:
                self._refuse_incomplete()
            else:
                self.transport.close()
        elif parser.in_message:
            if parser.expect_continue:
                self._write_bytes(_CONTINUE)
                parser.expect_continue = False
            if completed or self._queue is not table.reading:
                self.progress.begin()
                self._wait_in(table.reading, table.limits.read_seconds)
                table.look_later(self)
        elif self._queue is table.idle:
            del table.idle[self]
            table.idle[self] = table.now() + table.idle_seconds
        else:
            self._wait_in(table.idle, table.idle_seconds)

    def _defer(self) -> None:
        self._deferred = True
        self._table.turns.defer(self, address_block(self.transport.peer.host))

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _held(self) -> int:
        waiting = sum(len(request.body) for request in self._waiting)
        pending = 0 if self._pending is None else len(self._pending.body)
        unread = self.transport.unwritten() if self._paused else 0
        return self._parser.held_bytes + waiting + pending + unread

    def _answer_some(self) -> None:
        """Answer waiting requests, until the time of this turn or the room for their answers is
        used up. The answers leave in one write."""
        waiting = self._waiting
        goes_on = self._table.turns.goes_on
        encoded: list[bytes] = []
        size = 0
        while waiting and size < _ANSWERS_AT_ONCE_BYTES:
            request = waiting.popleft()
            answer = self._ask(request)
            if not isinstance(answer, Response):
                if encoded:
                    self._write(b"".join(encoded))
                    encoded.clear()
                self._start(request, answer)
                break
            encoded.append(self._encode(request, answer))
            size += len(encoded[-1])
            if self._finished or not goes_on():
                break
        if encoded:
            self._write(b"".join(encoded))

    def _ask(self, request: Request) -> Answer:
        progress = self.progress
        is_first = not progress.asked
        if is_first:
            progress.asked = True
            self._table.has_asked()
        try:
            answer = self._table.respond(request)
        except Exception:  # noqa: BLE001 - it is logged
            return self._failed(request)
        status = answer.status if isinstance(answer, Response) else 0
        progress.refused = status >= 400
        if is_first and status == 200:
            self._parser.accepted()
        return answer

    def _failed(self, request: Request) -> Response:
        """Log the exception, and return the answer instead of the one that was not made."""
        self._table.warnings.exception("answer", f"no answer was made to {request!r}")
        return self._table.refusal(500, request.http_version)

    def _start(self, request: Request, answer: Awaitable[Response] | WrittenElsewhere) -> None:
        """Start an answer that may take long. It may be complete when this returns."""
        self._pending = request
        self._starting = True
        try:
            if isinstance(answer, Awaitable):
                self._table.tasks.start(self._await(request, answer))
            else:
                self._writer = answer
                answer.begin(self)
        except Exception:  # noqa: BLE001 - it is logged
            self._failed(request)
            self.drop()
        finally:
            self._starting = False

    async def _await(self, request: Request, answer: Awaitable[Response]) -> None:
        table = self._table
        try:
            response = await answer
        except Exception:
            if self._finished:
                raise  # cancelled, or too late for an answer: the runtime logs it
            response = self._failed(request)
        except BaseException:  # it was cancelled
            if not self._finished:
                self.drop()
            raise
        self._pending = None
        if self._finished:
            if response.receipt is not None:
                table.lost(response)
            return
        self._write(self._encode(request, response))
        self._resume_unless_starting()

    def _resume_unless_starting(self) -> None:
        """Continue with the next request. Inside of :meth:`_start` its caller does that."""
        if not self._starting:
            self._resume()

    def _resume(self) -> None:
        if not self._finished:
            self._proceed(completed=True)
            if self.held_bytes and not self._finished:
                self._table.hold(self, self._held())

    # --- responses ---

    def _encode(self, request: Request, response: Response) -> bytes:
        table = self._table
        most = table.limits.write_buffer_bytes
        try:
            encoded = table.encode(response, head_only=request.method == "HEAD")
            if len(encoded) > most:  # no peer could read it fast enough
                raise LocalProtocolError(
                    f"it has {len(encoded)} bytes, and at most {most} are sent"
                )
        except LocalProtocolError:
            table.warnings.exception("answer", f"the answer to {request!r} cannot be written")
            if response.receipt is not None:
                table.lost(response)
            response = table.refusal(500, request.http_version)
            encoded = table.encode(response, head_only=False)
        if response.receipt is not None:
            self._unsent.append(partial(table.report, response))
        if response.close or not request.keep_alive:
            self._finished = True
        return encoded

    def _write(self, encoded: bytes) -> None:
        self._write_bytes(encoded)
        self._look_after_writing()
        if not self._paused or self.transport.is_closing():
            return
        if self.transport.unwritten() > self._table.limits.write_buffer_bytes:
            self._drop_unread()
        else:
            self._table.hold(self, self._held())

    def _look_after_writing(self) -> None:
        """After a write: report the answers that have left; after the last one end the stream."""
        transport = self.transport
        if self._finished or self._unsent:
            transport.exact_writing()  # then resume_writing means that all bytes have left
        if self._finished:
            self._forget_requests()
            self._reading = True
            transport.resume_reading()  # to see the peer's end
            if transport.unwritten():  # resume_writing follows
                self._wait_for_reader()
            else:
                self._end_stream()
        elif self._unsent and not (transport.unwritten() or transport.is_closing()):
            self._report_left(True)

    def _refuse(self, refusal: Refusal) -> None:
        """Write the last answer, to a malformed or overdue request."""
        table = self._table
        table.report_refusal(self, refusal)
        self.progress.asked = self._finished = True
        response = table.refusal(refusal.status, self._parser.http_version)
        self._write(table.encode(response, head_only=False))

    def _refuse_incomplete(self) -> None:
        """Refuse the request in which the peer has ended its stream."""
        self._parser.end()
        self._refuse(Refusal(400, str(self._parser.error), "", Part.REST))

    def _forget_requests(self) -> None:
        """Drop the requests that are not answered any more."""
        self.progress.over = True
        self._waiting.clear()
        self._parser.end()
        self._table.hold(self, 0)

    def _report_left(self, left: bool) -> None:
        # A callback may write another answer, so the list is replaced first.
        unsent, self._unsent = self._unsent, []
        for call in unsent:
            call(left)

    # --- deadlines ---

    def _wait_for_reader(self) -> None:
        table = self._table
        if self._reader is None:
            self._reader = AnswerProgress(self.transport, table.now() + table.limits.answer_seconds)
        self._reader.look()
        self._wait_in(table.writing, table.limits.read_seconds)

    def _wait_in(self, queue: dict[AcceptedConnection, float] | None, seconds: float) -> None:
        current = self._queue
        if current is not None:
            del current[self]
        if queue is not None:
            queue[self] = self._table.now() + seconds
            if current is not queue and len(queue) == 1:
                self._table.watch()
        self._queue = queue
