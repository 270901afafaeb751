"""One accepted connection: requests in, answers out.

How a connection works, for whoever changes it:

* Requests are answered in the order in which they came. A connection is *blocked* while an answer
  is being made (``_pending``) or while the peer does not read (``_paused``). A blocked connection
  reads nothing more, and requests that have come already wait in ``_waiting``. A peer that sends
  more than ``Limits.pipelined_requests`` of them is cut off.
* There are three kinds of answers. A Response is encoded and written. An awaitable of a Response
  runs as a task of the runtime. A :class:`WrittenElsewhere` gets the connection and writes to it:
  this is how a resource of ``twisted.web`` streams a file. It calls
  :meth:`ServerConnection.answered` when it is done.
* A request that is malformed, too large or overdue is answered once (4xx, 5xx, 408). That answer is
  the last one of its connection.
* A peer has ``Limits.read_seconds`` to read an answer. After the last answer this side sends its
  end of the stream and still reads for ``Limits.linger_seconds``. Without that, a reset would
  destroy an answer that the peer has not read yet. What is read then is dropped, up to
  ``Limits.body_bytes``.
* A response with a ``receipt`` is reported with ``sent`` when all its bytes have left this
  process; when the connection ends with it, only once the end of the stream is out (SUB-56).
  ``lost`` is called when the connection broke before.

Nothing is made per request: no task, no timer, no future.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.connection_table import (
    AcceptedConnection,
    Answer,
    ConnectionTable,
    WrittenElsewhere,
)
from propchange.driver.runtime import Listening, Transport
from propchange.errors import LocalProtocolError
from propchange.http import RequestParser

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServerConnection:
    """One accepted connection (a :class:`.Connection` of the driver). See the module."""

    __slots__ = (
        "_dropped",
        "_ending",
        "_finished",
        "_parser",
        "_paused",
        "_peer_ended",
        "_pending",
        "_queue",
        "_starting",
        "_table",
        "_unread",
        "_unsent",
        "_waiting",
        "_write_bytes",
        "_writer",
        "asked",
        "transport",
    )

    def __init__(self, table: ConnectionTable) -> None:
        self._table = table
        self._queue: dict[AcceptedConnection, float] | None = None
        self._waiting: deque[Request] = deque()
        self._unsent: list[Callable[[bool], object]] = []  # called with whether all has left
        self._pending: Request | None = None  # its answer is being made
        self._writer: WrittenElsewhere | None = None  # who writes it, if somebody else does
        self._starting = False  # the making of an answer is being started
        self._paused = False
        self._peer_ended = False  # the peer sends no more
        self._finished = False  # nothing more is answered
        self._ending = False  # the connection ends once what is written has left
        self._dropped = 0
        self._unread: int | None = None  # of an answer that somebody else wrote
        self.asked = False
        """Whether a request, or something malformed, has come."""
        self.transport: Transport
        self._write_bytes: Callable[[bytes], object]
        self._parser: RequestParser

    # --- for the runtime ---

    def connection_made(self, transport: Transport) -> None:
        """The connection is there. It is ended again if there is no room for it."""
        self.transport = transport
        self._write_bytes = transport.write
        table = self._table
        if not table.admit(self):
            self._finished = True
            transport.close()
            return
        self._parser = RequestParser(table.limits, peer=transport.peer, local=transport.local)
        self._wait_in(table.idle, table.idle_seconds)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._finished:
            self._dropped += len(data)
            if self._dropped > self._table.limits.body_bytes:
                self.drop()
            return
        requests = self._parser.feed(data)
        if len(requests) == 1 and self._pending is None and not self._paused:
            # The usual case, and the reason for a shorter way: one whole request, and an answer
            # that was given before.
            table = self._table
            request = requests[0]
            answer = self._ask(request)
            if answer is table.last_response and request.keep_alive and request.method != "HEAD":
                self._write_bytes(table.last_encoded)
                parser = self._parser
                if self._queue is table.idle and not (parser.in_message or parser.error):
                    # Nothing behind it: what _proceed() would come to.
                    del table.idle[self]
                    table.idle[self] = table.now() + table.idle_seconds
                    return
            elif isinstance(answer, Response):
                self._write(self._encode(request, answer))
            else:
                self._start(request, answer)
            self._proceed(True)
        else:
            self._waiting.extend(requests)
            self._proceed(len(requests) > 0)

    def eof_received(self) -> bool:
        """The peer sends no more. It may still hear what was wrong with a request that is not
        whole."""
        if self._writer is not None:
            self._peer_ended = True
            return True
        if not self._finished and not self._blocked and self._parser.in_message:
            self._parser.end()
            self._peer_ended = True
            self._refuse(400, str(self._parser.error))
            return not self.transport.is_closing()
        # Only a connection that was answered for the last time can have something unwritten:
        # every other one that has is not read from.
        self._peer_ended = self._finished and (self._paused or bool(self._unsent))
        return self._peer_ended

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._paused = True
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        """The peer has read. The runtime is not done with its write yet: go on at the next turn."""
        self._paused = False
        if self._writer is not None:
            self._writer.resume()
        elif self._finished and not self.transport.is_closing():
            self._table.runtime.call_soon(self._end_stream)
        else:
            self._report_left(True)
            self._table.runtime.call_soon(self._resume)

    def eof_sent(self) -> None:
        """The end of the stream is out."""
        self._report_left(True)
        if self._peer_ended:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        self._finished = True
        self._wait_in(None, 0)
        self._waiting.clear()
        self._table.forget(self)
        self._report_left(self._ending and error is None)
        writer, self._writer = self._writer, None
        if writer is not None:
            self._pending = None
            writer.lost(error)
        self._table.ended()

    def _end_stream(self) -> None:
        if not self.transport.is_closing():
            self._wait_in(self._table.lingering, self._table.limits.linger_seconds)
            self.transport.write_eof()

    # --- for the table ---

    def drop(self) -> None:
        """End the connection now, whatever is under way: by a reset only if something is
        unwritten."""
        self._finished = True
        self._ending = False
        self._wait_in(None, 0)
        self._table.forget(self)
        if self.transport.unwritten():
            self.transport.abort()
        else:
            self.transport.close()

    def end(self) -> None:
        """End the connection once what is written has left."""
        self._finished = self._ending = True
        self._waiting.clear()
        self._wait_in(None, 0)
        self.transport.close()

    def stall(self) -> None:
        """The peer has not read all that is written in time. An answer that somebody else wrote
        may be of any length: as long as the peer goes on reading it, it is waited for."""
        unwritten = self.transport.unwritten()
        if self._unread is not None and unwritten < self._unread:
            self._unread = unwritten
            self._wait_in(self._table.writing, self._table.limits.read_seconds)
        else:
            self.drop()

    def time_out(self) -> None:
        """A request took too long to come."""
        self._refuse(408, "the request did not come whole in time")

    # --- for an answer that somebody else writes ---

    def answered(self, *, last: bool, left: Callable[[bool], object] | None = None) -> None:
        """The answer is written. ``last``: the connection ends with it. ``left(True)`` is called
        once all of it has left this process, with the end of the stream if it is the last one;
        ``left(False)`` if the connection breaks before."""
        self._pending = self._writer = None
        if self._finished:  # it was dropped meanwhile
            if left is not None:
                left(False)
            return
        if left is not None:
            self._unsent.append(left)
        self._finished = last
        self._unread = self.transport.unwritten()
        self._look_after_writing()
        self._resume_unless_starting()

    # --- requests ---

    @property
    def _blocked(self) -> bool:
        return self._pending is not None or self._paused

    def _proceed(self, completed: bool) -> None:
        """Answer what can be answered, then wait for what comes next."""
        table = self._table
        parser = self._parser
        waiting = self._waiting
        while waiting and not self._finished and self._pending is None and not self._paused:
            self._answer_some()
        if self._finished:
            return
        if self._pending is not None or self._paused:
            if len(waiting) > table.limits.pipelined_requests:
                table.logger.debug("%s sends without reading; connection ended", self._peer)
                self.drop()
                return
            if self._writer is None or waiting:
                # Else it is read on, so that who writes the answer hears of the peer's end.
                self.transport.pause_reading()
            if self._pending is None:
                self._wait_in(table.writing, table.limits.read_seconds)
            else:
                self._wait_in(None, 0)
        elif parser.error is not None:
            table.logger.debug("%s sent what is no request: %s", self._peer, parser.error)
            self._refuse(parser.error.status or 400, str(parser.error))
        elif self._peer_ended:
            self.transport.close()
        elif parser.in_message:
            if parser.expect_continue:
                self._write_bytes(_CONTINUE)
                parser.expect_continue = False
            if completed or self._queue is not table.reading:
                self._wait_in(table.reading, table.limits.read_seconds)
        elif self._queue is table.idle:
            del table.idle[self]
            table.idle[self] = table.now() + table.idle_seconds
        else:
            self._wait_in(table.idle, table.idle_seconds)

    @property
    def _peer(self) -> object:
        return self.transport.peer

    def _answer_some(self) -> None:
        waiting = self._waiting
        encoded: list[bytes] = []
        for _ in range(min(len(waiting), self._table.limits.pipelined_requests)):
            request = waiting.popleft()
            answer = self._ask(request)
            if not isinstance(answer, Response):
                if encoded:
                    self._write(b"".join(encoded))
                    encoded.clear()
                self._start(request, answer)
                break
            encoded.append(self._encode(request, answer))
            if self._finished:
                break
        if encoded:
            self._write(b"".join(encoded))

    def _ask(self, request: Request) -> Answer:
        self.asked = True
        try:
            return self._table.respond(request)
        except Exception:
            self._table.logger.exception("no answer was made to %r", request)
            return self._table.refusal(500, request.http_version)

    def _start(self, request: Request, answer: Awaitable[Response] | WrittenElsewhere) -> None:
        """Let an answer be made that may take long. It may be ready when this returns."""
        self._pending = request
        self._starting = True
        try:
            if isinstance(answer, Awaitable):
                self._table.tasks.start(self._await(request, answer))
            else:
                self._writer = answer
                answer.begin(self)
        except Exception:
            self._table.logger.exception("no answer was made to %r", request)
            self.drop()
        finally:
            self._starting = False

    async def _await(self, request: Request, answer: Awaitable[Response]) -> None:
        table = self._table
        try:
            response = await answer
        except Exception:
            if self._finished:
                raise  # given up, or an error that nobody can be told any more
            table.logger.exception("no answer was made to %r", request)
            response = table.refusal(500, request.http_version)
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
        if not self._starting:
            self._resume()

    def _resume(self) -> None:
        if self._finished:
            return
        if not self._blocked:
            self.transport.resume_reading()
        self._proceed(completed=True)

    # --- responses ---

    def _encode(self, request: Request, response: Response) -> bytes:
        table = self._table
        try:
            encoded = table.encode(response, head_only=request.method == "HEAD")
        except LocalProtocolError:
            table.logger.exception("the answer to %r cannot be written", request)
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
        if self._paused and self.transport.unwritten() > self._table.limits.write_buffer_bytes:
            self._table.logger.debug("%s does not read; connection ended", self._peer)
            self.drop()

    def _look_after_writing(self) -> None:
        transport = self.transport
        if self._finished or self._unsent:
            transport.exact_writing()  # to be told when all has left
        if self._finished:
            self._waiting.clear()
            transport.resume_reading()  # to see the peer's end
            if transport.unwritten():  # resume_writing follows
                self._wait_in(self._table.writing, self._table.limits.read_seconds)
            else:
                self._end_stream()
        elif self._unsent and not (transport.unwritten() or transport.is_closing()):
            self._report_left(True)

    def _refuse(self, status: int, reason: str) -> None:
        """The last answer, to what never became a request."""
        table = self._table
        self.asked = self._finished = True
        if table.history is not None:
            table.history.refused(self.transport.peer, "", status, reason, table.now())
        response = table.refusal(status, self._parser.http_version)
        self._write(table.encode(response, head_only=False))

    def _report_left(self, left: bool) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for call in unsent:
                call(left)

    # --- deadlines ---

    def _wait_in(self, queue: dict[AcceptedConnection, float] | None, seconds: float) -> None:
        current = self._queue
        if current is not None:
            del current[self]
        if queue is not None:
            queue[self] = self._table.now() + seconds
            if current is not queue and len(queue) == 1:
                self._table.watch()
        self._queue = queue


class Listener(ConnectionTable):
    """A TCP server that calls ``respond`` with each request and writes the answer.

    The arguments are those of :class:`.ConnectionTable`. For a response with a ``receipt``,
    ``sent`` is called when all its bytes have left this process, and, if the connection ends
    after it, the FIN too (UDA 2.0 §4.1.1). ``lost`` is called if the connection broke before.

    Call :meth:`open`, and in the end :meth:`close`.
    """

    _listening: Listening | None = None

    def accept(self) -> ServerConnection:
        """Make the connection of a new peer."""
        return ServerConnection(self)

    async def open(self, host: str | None = None, ports: Sequence[int] = (0,)) -> None:
        """Listen on the first free port of ``ports`` (0: any). ``host`` is an address; None: all
        addresses of IPv4 and of IPv6, if this machine has both, with the same port.

        Raises OSError if every port is taken or the address is not this machine's;
        :func:`.cannot_listen` makes a sentence of it.
        """
        self._listening = await self.runtime.listen(self.accept, host=host, ports=ports)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its addresses and ports; ``0.0.0.0`` and ``::`` stand for all addresses of their family.
        Empty before :meth:`open`."""
        return () if self._listening is None else self._listening.endpoints

    @property
    def port(self) -> int:
        """The TCP port, the same for every address. Not before :meth:`open`."""
        return self.endpoints[0].port

    async def close(self) -> None:
        """Stop accepting and end every connection. Answers that are written still leave, for
        ``limits.linger_seconds`` at most; awaited ones are cancelled. Safe to call again."""
        self._closing = True
        try:
            if self._listening is not None:
                await self._listening.close()
        finally:
            await super().close()
