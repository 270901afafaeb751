"""TCP connections of the asyncio runtime on Linux, without transports of the event loop.

A transport of the loop takes a task, a timer, a callback, and several objects that the garbage
collector visits. That is much more than the system takes to open a connection. A publisher opens
thousands of connections at once, and one for each event to a subscriber that closes after each.
So on Linux a connection is one object, a :class:`SocketStream`, which reads and writes its socket.
All sockets are in one *epoll*, which the loop watches as if it were one socket.

Measured on uvloop, in one run: opening a connection, one event and its answer take 40 µs of
processor time, and 53 µs with the loop's transports; on asyncio's own loop 42 µs and 110 µs. An
event on a kept connection costs the same as on uvloop's transports, and a third of asyncio's.

Without epoll the asyncio runtime uses the transports of the loop. The Twisted runtime always uses
those of the reactor.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.driver.runtime import Armed, Connection, Later, Timer
from propchange.driver.sockets import (
    acknowledge,
    endpoint_of,
    readable,
    reset_when_closed,
    socket_address,
    socket_from,
    unread,
    unsent,
)

HAS_EPOLL = sys.platform == "linux"

_AT_ONCE = 128
"""Sockets that are read or written in one turn of the loop; the others follow in the next turn. One
takes some 20 µs. Bounds the pause of the loop."""

_READ_BYTES = 65_536
"""Bytes that are read from one socket at once."""

_UNWRITTEN_BYTES = 65_536
"""Unwritten bytes above which ``pause_writing`` of the connection is called. The transports of
asyncio have the same number."""

# Numbers here, because the module select has them on Linux only.
_IN, _OUT, _ERROR, _HANGUP, _PEER_ENDED = 0x1, 0x4, 0x8, 0x10, 0x2000
_READING = _IN | _PEER_ENDED
_READABLE = _IN | _ERROR | _HANGUP
_WRITABLE = _OUT | _ERROR | _HANGUP


class StreamSockets:
    """The connections of one runtime, and the epoll of their sockets.

    ``watch(descriptor, call)`` has the loop call ``call`` while a descriptor is readable;
    ``watch(descriptor, None)`` ends that. ``call_soon`` and ``call_later`` are the runtime's, and
    ``now`` is its clock. Without a connection, and without a :meth:`keep`, there is no epoll, and
    the loop watches nothing.
    """

    def __init__(
        self,
        watch: Callable[[int, Callable[[], None] | None], object],
        call_soon: Callable[[Callable[[], None]], Armed],
        call_later: Later,
        now: Callable[[], float],
    ) -> None:
        self.call_soon = call_soon
        self._watch = watch
        self._now = now
        self._epoll: Any = None
        self._keepers = 0
        self._streams: dict[int, SocketStream] = {}
        # The attempts to connect, with their deadlines.
        self._attempts: dict[SocketStream, float] = {}
        self._timer = Timer(call_later, DEFAULT_LIMITS, self._give_up, clock=now)

    def connect(
        self,
        connection: Connection,
        endpoint: Endpoint,
        *,
        source: Endpoint | None,
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> Armed:
        """Connect; see :meth:`.Runtime.connect`."""
        try:
            sock = socket_from(endpoint, source)
        except OSError as error:
            return self.call_soon(partial(failed, error))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = sock.connect_ex(socket_address(endpoint))
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
            stream = SocketStream(self, sock, connection, endpoint, failed)
            self._add(stream, _OUT)
        except OSError as error:
            sock.close()
            self._close_unused()
            return self.call_soon(partial(failed, error))
        self._attempts[stream] = deadline = self._now() + seconds
        when = self._timer.when
        if when is None or deadline < when:
            self._timer.set(deadline)
        return stream

    def adopt(self, connection: Connection, sock: socket.socket, peer: Endpoint) -> None:
        """Make ``connection`` with an accepted socket, which is closed if it is broken already."""
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = SocketStream(self, sock, connection, peer, None)
            self._add(stream, _READING)
        except OSError:
            sock.close()
            self._close_unused()
            return
        connection.connection_made(stream)

    def keep(self) -> None:
        """Stay with the loop also while there is no connection, until :meth:`release`: a listener
        has one connection after the other."""
        self._open()
        self._keepers += 1

    def release(self) -> None:
        """End what :meth:`keep` began."""
        self._keepers -= 1
        self._close_unused()

    def _add(self, stream: SocketStream, events: int) -> None:
        self._open()
        stream.want(events)
        self._streams[stream.descriptor] = stream

    def _open(self) -> None:
        if self._epoll is None:
            epoll = select.epoll()
            try:
                self._watch(epoll.fileno(), self._ready)
            except BaseException:
                epoll.close()
                raise
            self._epoll = epoll

    def change(self, descriptor: int, before: int, events: int) -> None:
        """For a stream: wait for other ``events`` than ``before``."""
        if not events:
            self._epoll.unregister(descriptor)
        elif before:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)

    def connected(self, stream: SocketStream) -> None:
        """For a stream: the attempt to connect has ended."""
        del self._attempts[stream]

    def remove(self, stream: SocketStream) -> None:
        """For a stream: its socket is closed."""
        del self._streams[stream.descriptor]
        self._close_unused()

    def _close_unused(self) -> None:
        if self._streams or self._keepers or self._epoll is None:
            return
        self._timer.close()
        epoll, self._epoll = self._epoll, None
        self._watch(epoll.fileno(), None)
        epoll.close()

    def _ready(self) -> None:
        streams = self._streams
        if len(streams) == 1:
            # A control point with one device mostly has one connection. No system call is needed
            # to find its socket.
            (stream,) = streams.values()
            if stream.events == _READING and stream.was_read:
                stream.read()
                return
        # A socket that was not served yet is in the next result too, even after an exception here.
        for descriptor, events in self._epoll.poll(0, _AT_ONCE):
            stream = streams[descriptor]
            if events == _IN and stream.events == _READING:
                stream.read()  # the same as ready(), with fewer checks
            else:
                stream.ready(events)

    def _give_up(self, now: float) -> None:
        late = [stream for stream, deadline in self._attempts.items() if deadline <= now]
        for stream in late:
            if stream in self._attempts:
                stream.fail(TimeoutError())
        self._timer.set(min(self._attempts.values(), default=None))


class SocketStream:
    """One connection, also before it is open: a :class:`.Transport`, and an attempt to connect."""

    __slots__ = (
        "_blocked",
        "_closing",
        "_connection",
        "_end_received",
        "_ended",
        "_error",
        "_failed",
        "_most_unwritten",
        "_paused",
        "_peer_ended",
        "_socket",
        "_sockets",
        "_unwritten",
        "descriptor",
        "events",
        "peer",
        "was_read",
    )

    def __init__(
        self,
        sockets: StreamSockets,
        sock: socket.socket,
        connection: Connection,
        peer: Endpoint,
        failed: Callable[[OSError], None] | None,
    ) -> None:
        self._sockets = sockets
        self._socket = sock
        self._connection: Connection | None = connection
        self._failed = failed  # until it is open
        self.events = 0
        """The events that the epoll waits for."""
        self.was_read = False
        """Whether bytes were received."""
        self._unwritten = bytearray()
        self._most_unwritten = _UNWRITTEN_BYTES
        self._blocked = False  # bytes are unwritten, or it is closing: write() must not send
        self._paused = False  # the connection knows that too much is unwritten
        self._end_received = False  # the last bytes of the peer were read
        self._peer_ended = False  # the connection knows that the peer has ended its stream
        self._closing = False
        self._ended = False  # connection_lost() follows
        self._error: Exception | None = None
        self.descriptor = sock.fileno()
        self.peer = peer

    # --- for StreamSockets ---

    def want(self, events: int) -> None:
        """Wait for these events, and no others."""
        before = self.events
        if events != before:
            self._sockets.change(self.descriptor, before, events)
            self.events = events

    def ready(self, events: int) -> None:
        """The socket can be read or written, or its connection has broken."""
        if self._failed is not None:
            self._end_attempt(events)
            return
        # An earlier call of this turn may have ended the wait for these events.
        if events & _READABLE and self.events & _IN:
            self._end_received = bool(events & _PEER_ENDED)
            self.read()
            if self._end_received and self.events & _IN:
                self.read()  # the end of the stream
        if events & _WRITABLE and self.events & _OUT:
            self._write_on()

    def fail(self, error: OSError) -> None:
        """The attempt to connect has failed."""
        failed = self._failed
        self.cancel()
        if failed is not None:
            failed(error)

    def cancel(self) -> None:
        """End the attempt to connect, if it has not ended."""
        if self._failed is not None:
            self._failed = self._connection = None
            self._sockets.connected(self)
            self._end(None)

    def _end_attempt(self, events: int) -> None:
        if events & _ERROR:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.fail(OSError(number, os.strerror(number)))
            return
        self._failed = None
        self._sockets.connected(self)
        self.want(_READING)
        assert self._connection is not None
        self._connection.connection_made(self)

    def read(self) -> None:
        """Read once."""
        connection = self._connection
        assert connection is not None
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if len(data) == _READ_BYTES:  # there may be more
            self._end_received = False
        try:
            if data:
                self.was_read = True
                connection.data_received(data)
                return
            self._peer_ended = True
            self.want(self.events & ~_READING)
            if not connection.eof_received():
                self.close()
        except Exception as error:
            self._end(error)
            raise

    def _write_on(self) -> None:
        unwritten = self._unwritten
        try:
            sent = self._socket.send(unwritten)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        del unwritten[:sent]
        if not unwritten:
            self._blocked = self._closing
            self.want(self.events & ~_OUT)
            if self._closing:
                self._end(None)
        # asyncio's transports go on at a quarter too.
        if self._paused and len(unwritten) <= self._most_unwritten // 4:
            self._paused = False
            if self._connection is not None:
                self._connection.resume_writing()

    def _end(self, error: Exception | None) -> None:
        """Read and write no more. The socket is closed and the connection is lost in the next turn
        of the loop. So no other socket gets its descriptor while events of this turn name it."""
        if not self._ended:
            self._ended = self._closing = self._blocked = True
            self.want(0)
            self._unwritten.clear()
            self._error = error
            self._sockets.call_soon(self._lose)

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        error, self._error = self._error, None  # its traceback refers to this object
        try:
            if connection is not None:
                connection.connection_lost(error)
        finally:
            self._socket.close()
            self._sockets.remove(self)

    # --- the transport ---

    @property
    def local(self) -> Endpoint:
        """The endpoint of this end. Read it only before the connection is lost."""
        return endpoint_of(self._socket.getsockname())

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        sent = 0
        if not self._blocked:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._end(error)
                return
            if sent == len(data):
                return
            self._blocked = True
            self.want(self.events | _OUT)
        elif self._closing:
            return
        self._unwritten += data[sent:]
        self._pause_if_due()

    def _pause_if_due(self) -> None:
        if len(self._unwritten) > self._most_unwritten and not self._paused:
            self._paused = True
            assert self._connection is not None
            self._connection.pause_writing()

    def write_eof(self) -> None:
        """See :meth:`.Transport.write_eof`."""
        if self._closing:
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the connection has ended already
            self.abort()
            return
        assert self._connection is not None
        self._sockets.call_soon(self._connection.eof_sent)

    def close(self) -> None:
        """See :meth:`.Transport.close`."""
        if not self._closing:
            self._closing = self._blocked = True
            self.want(self.events & _OUT)
            if not self._unwritten:
                self._end(None)

    def abort(self) -> None:
        """End the connection by a reset. After an ordinary end the system still sends the written
        bytes, even if it reaches the peer only much later."""
        if not self._closing:
            reset_when_closed(self._socket)
        self._end(None)

    def pause_reading(self) -> None:
        """See :meth:`.Transport.pause_reading`."""
        self.want(self.events & ~_READING)

    def resume_reading(self) -> None:
        """See :meth:`.Transport.resume_reading`."""
        if not (self._closing or self._peer_ended):
            self.want(self.events | _READING)

    def unwritten(self) -> int:
        """See :meth:`.Transport.unwritten`."""
        return len(self._unwritten)

    def unsent(self) -> int:
        """See :meth:`.Transport.unsent`."""
        return unsent(self._socket)

    def unread(self) -> int:
        """See :meth:`.Transport.unread`."""
        return unread(self._socket)

    def readable(self) -> bool:
        """See :meth:`.Transport.readable`."""
        return readable(self._socket)

    def peer_ended(self) -> bool:
        """See :meth:`.Transport.peer_ended`."""
        return self._end_received

    def acknowledge(self) -> None:
        """See :meth:`.Transport.acknowledge`."""
        acknowledge(self._socket)

    def exact_writing(self) -> None:
        """See :meth:`.Transport.exact_writing`."""
        self._most_unwritten = 0
        self._pause_if_due()

    def is_closing(self) -> bool:
        """See :meth:`.Transport.is_closing`."""
        return self._closing
