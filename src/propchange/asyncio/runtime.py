"""The driver's runtime on asyncio, with the standard library's loop or uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import functools
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from propchange.core.wire.messages import Endpoint
from propchange.driver.accepting import Accepting
from propchange.driver.machine import monotonic
from propchange.driver.runtime import (
    Armed,
    Connection,
    Crowded,
    Datagrams,
    never_crowded,
    settle,
)
from propchange.driver.sockets import (
    acknowledge,
    bind,
    endpoint_of,
    readable,
    reset_when_closed,
    socket_address,
    socket_from,
    unread,
    unsent,
)
from propchange.driver.stream_sockets import HAS_EPOLL, StreamSockets

T = TypeVar("T")


class AsyncioRuntime:
    """A :class:`~propchange.driver.runtime.Runtime` on the running loop. Make it in the loop."""

    from_thread = "loop.call_soon_threadsafe"

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = monotonic
        self.call_later = self.loop.call_later
        self.call_soon = self.loop.call_soon
        self.call_from_thread = self.loop.call_soon_threadsafe
        self.future = self.loop.create_future
        # Callbacks of connections run in the context of the program, not in that of an action.
        self._context = contextvars.copy_context()
        self._sockets: StreamSockets | None = None
        if HAS_EPOLL:
            self._sockets = StreamSockets(self._watch, self.call_soon, self.call_later, self.now)

    def _watch(self, descriptor: int, call: Callable[[], None] | None) -> None:
        if call is None:
            self.loop.remove_reader(descriptor)
        else:
            self._context.run(self.loop.add_reader, descriptor, call)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``coroutine`` as a task."""
        return self.loop.create_task(coroutine)

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
        if self._sockets is not None:
            return self._sockets.connect(
                connection, endpoint, source=source, seconds=seconds, failed=failed
            )
        task = self.loop.create_task(self._connect(connection, endpoint, source, seconds))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(_os_error(error))

        task.add_done_callback(ended)
        return task

    async def _connect(
        self, connection: Connection, endpoint: Endpoint, source: Endpoint | None, seconds: float
    ) -> None:
        async with asyncio.timeout(seconds):
            await self._connect_to(connection, endpoint, source)

    async def _connect_to(
        self, connection: Connection, endpoint: Endpoint, source: Endpoint | None
    ) -> None:
        """Connect to an IP address. The loops would bind the socket to a port at once, and uvloop
        would lose the scope ids of both addresses; so the socket is made here."""
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket_from(endpoint, source))
            await self._connect_socket(sock, socket_address(endpoint))
            try:
                sock.getpeername()
            except OSError:  # it has ended already
                raise ConnectionResetError(
                    errno.ECONNRESET, os.strerror(errno.ECONNRESET)
                ) from None
            opening = _Opening(connection, (sock.getsockname(), endpoint))
            await self.loop.create_connection(lambda: opening, sock=sock)
            stack.pop_all()

    async def _connect_socket(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        if _is_proactor(self.loop):
            await self.loop.sock_connect(sock, address)  # Windows, whose loop has no writers
            return
        try:
            sock.connect(address)
        except BlockingIOError:
            writable = self.loop.create_future()
            self.loop.add_writer(sock.fileno(), settle, writable, None)
            try:
                await writable
            finally:
                self.loop.remove_writer(sock.fileno())
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number)) from None

    async def listen(
        self,
        accept: Callable[[], Connection],
        *,
        host: str | None,
        ports: Sequence[int],
        crowded: Crowded = never_crowded,
    ) -> _Listening:
        """Listen; see :meth:`.Runtime.listen`."""
        sockets = bind(host, ports)
        try:
            if _is_proactor(self.loop):  # Windows, whose loop has no readers
                servers = [
                    await self.loop.create_server(lambda: _Opening(accept()), sock=bound)
                    for bound in sockets
                ]
                return _Listening(self.loop, accept, (), crowded, servers=servers)
            for bound in sockets:
                bound.listen(socket.SOMAXCONN)
            return _Listening(self.loop, accept, sockets, crowded, streams=self._sockets)
        except BaseException:
            for bound in sockets:
                bound.close()
            raise

    def datagrams(
        self, sock: socket.socket, received: Callable[[bytes, Endpoint], None]
    ) -> Datagrams:
        """Read a UDP socket; see :meth:`.Runtime.datagrams`."""
        return _Datagrams(self.loop, sock, received)


def _is_proactor(loop: asyncio.AbstractEventLoop) -> bool:
    return isinstance(loop, getattr(asyncio, "ProactorEventLoop", ()))


def _os_error(error: BaseException) -> OSError:
    """The OSError for ``error`` of an attempt to connect."""
    if isinstance(error, UnicodeError):  # not a valid host name
        return socket.gaierror(socket.EAI_NONAME, str(error))
    return error if isinstance(error, OSError) else OSError(None, str(error))


class _Transport:
    """The transport of a connection on a stream of asyncio."""

    __slots__ = ("_local", "_stream", "peer", "unwritten", "write")

    def __init__(self, stream: asyncio.Transport, local: tuple[Any, ...], peer: Endpoint) -> None:
        self._stream = stream
        self.write: Callable[[bytes], object] = stream.write
        self.unwritten: Callable[[], int] = stream.get_write_buffer_size
        self._local = local
        self.peer = peer

    @property
    def local(self) -> Endpoint:
        return endpoint_of(self._local)

    def write_eof(self) -> None:
        stream = self._stream
        if stream.is_closing():
            return
        try:
            stream.write_eof()
        except OSError:
            stream.abort()
            return
        # uvloop sends the FIN at the next turn, before it runs what was called soon.
        connection = cast(Any, stream.get_protocol())
        asyncio.get_running_loop().call_soon(connection.eof_sent)

    def close(self) -> None:
        self._stream.close()

    def abort(self) -> None:
        """End the connection by a reset. After an ordinary end the system still sends the written
        bytes, even if it reaches the peer only much later."""
        stream = self._stream
        sock = stream.get_extra_info("socket")
        if sock is not None and not stream.is_closing():
            reset_when_closed(sock)
        stream.abort()

    def pause_reading(self) -> None:
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        self._stream.resume_reading()

    def unsent(self) -> int:
        return unsent(self._stream.get_extra_info("socket"))

    def unread(self) -> int:
        return unread(self._stream.get_extra_info("socket"))

    def readable(self) -> bool:
        return readable(self._stream.get_extra_info("socket"))

    def peer_ended(self) -> bool:
        return False

    def acknowledge(self) -> None:
        acknowledge(self._stream.get_extra_info("socket"))

    def exact_writing(self) -> None:
        self._stream.set_write_buffer_limits(high=0)

    def is_closing(self) -> bool:
        return self._stream.is_closing()


class _Opening(asyncio.Protocol):
    """The protocol of a stream until its connection is made. Then the connection is the protocol:
    its methods are those that asyncio calls."""

    __slots__ = ("_connection", "_ends")

    def __init__(
        self, connection: Connection, ends: tuple[tuple[Any, ...], Endpoint] | None = None
    ) -> None:
        self._connection = connection
        self._ends = ends

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        ends = self._ends
        if ends is None:
            local, peer = stream.get_extra_info("sockname"), stream.get_extra_info("peername")
            if not local or not peer:  # it has ended already
                stream.abort()
                return
            ends = local, endpoint_of(peer)
        stream.set_protocol(cast(Any, self._connection))
        self._connection.connection_made(_Transport(stream, *ends))


class _AcceptedStream(_Opening):
    """The stream of an accepted peer. It is in ``unmade`` until its connection is made. Its task
    ends a turn of the loop later, when the connection has its place among the others already."""

    __slots__ = ("_unmade",)

    def __init__(
        self,
        connection: Connection,
        ends: tuple[tuple[Any, ...], Endpoint],
        unmade: dict[_AcceptedStream, str],
    ) -> None:
        super().__init__(connection, ends)
        self._unmade = unmade

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._unmade.pop(self, None)
        super().connection_made(transport)


class _Listening:
    """Accepts connections as soon as it is made."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        accept: Callable[[], Connection],
        sockets: Sequence[socket.socket],
        crowded: Crowded,
        *,
        servers: Sequence[asyncio.Server] = (),
        streams: StreamSockets | None = None,
    ) -> None:
        self._loop = loop
        self._streams = streams
        self._accept = accept
        self._servers = servers
        bound = [*sockets, *(each for server in servers for each in server.sockets)]
        self.endpoints = tuple(endpoint_of(each.getsockname()) for each in bound)
        self._connecting: set[asyncio.Task[None]] = set()
        self._unmade: dict[_AcceptedStream, str] = {}
        self._accepting = [
            Accepting(
                each,
                self._adopt,
                functools.partial(self._watch, each),
                loop.call_later,
                crowded=crowded,
                unmade=self._unmade.values,
            )
            for each in sockets
        ]
        if streams is not None:
            streams.keep()
        try:
            for each in self._accepting:
                each.open()
        except BaseException:
            for each in self._accepting:
                each.close()
            if streams is not None:
                streams.release()
            raise

    def _watch(self, sock: socket.socket, accepting: Accepting, wanted: bool) -> None:
        if wanted:
            self._loop.add_reader(sock.fileno(), accepting.ready)
        else:
            self._loop.remove_reader(sock.fileno())

    def _adopt(self, peer: socket.socket, host: str) -> None:
        try:
            ends = peer.getsockname(), endpoint_of(peer.getpeername())
        except OSError:  # the peer has ended the connection already
            peer.close()
            return
        if self._streams is not None:
            self._streams.adopt(self._accept(), peer, ends[1])
            return
        stream = _AcceptedStream(self._accept(), ends, self._unmade)
        self._unmade[stream] = host
        task = self._loop.create_task(self._connect(stream, peer))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, stream: _AcceptedStream, peer: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: stream, peer)
        except OSError:  # the peer has ended the connection already
            peer.close()
        finally:
            self._unmade.pop(stream, None)

    async def close(self) -> None:
        """Accept no more. Each accepted socket gets its connection first."""
        for accepting in self._accepting:
            accepting.close()
        try:
            if self._connecting:
                await asyncio.wait(self._connecting)
        finally:
            for accepting in self._accepting:
                accepting.sock.close()
            for server in self._servers:
                server.close()
            if self._streams is not None:
                self._streams.release()
                self._streams = None


class _Datagrams(Datagrams):
    """A UDP socket that the loop reads. Not a transport of asyncio: uvloop's loses the scope id of
    an address."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        received: Callable[[bytes, Endpoint], None],
    ) -> None:
        super().__init__(sock, received)
        self._loop = loop
        self._reading: asyncio.Task[None] | None = None
        try:
            loop.add_reader(sock.fileno(), self.read)
        except NotImplementedError:  # the loop of Windows, which has a coroutine instead
            self._reading = loop.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        while True:
            # Windows reports here that an earlier datagram was refused.
            with contextlib.suppress(OSError):
                data, source = await self._loop.sock_recvfrom(self._sock, 65_536)
                self._received(data, endpoint_of(source))
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close the socket."""
        if self._reading is not None:
            self._reading.cancel()
        elif self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
        super().close()
