"""What the driver asks of a runtime: time, connections, listening, datagrams, coroutines.

A runtime is an event loop as the driver sees it. There is one for asyncio
(:mod:`propchange.asyncio.runtime`) and one for a Twisted reactor
(:mod:`propchange.twisted.runtime`); a third one has to have these methods and nothing else.

Two kinds of code of the driver run on it:

* *Connections*, where bytes move. They are plain objects with callbacks (:class:`Connection`). The
  runtime calls them, and hands them a :class:`Transport` whose members are the runtime's own
  functions, bound once: nothing is wrapped on the way of an event.
* *Coroutines*, for everything that takes several steps. A coroutine of the driver awaits only
  what :meth:`Runtime.future` and :meth:`Runtime.start` gave it, or another coroutine that does
  so. It therefore runs as an asyncio task as well as under ``Deferred.fromCoroutine``.

A coroutine may be cancelled where it awaits: an exception of the runtime is raised there, which
need not be an :class:`Exception`. Code of the driver cleans up in ``finally`` and never swallows
what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from propchange.core.wire.messages import Endpoint
from propchange.driver.timer import Armed

__all__ = [
    "Connection",
    "Datagrams",
    "Future",
    "Listening",
    "Runtime",
    "Task",
    "Tasks",
    "Transport",
    "sleep",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Transport(NamedTuple):
    """The runtime's end of one connection, as functions.

    ``write(data)`` sends. ``write_eof()`` sends the end of the stream, and is to be called only
    while nothing is unwritten; ``eof_sent`` follows, or ``connection_lost`` where the connection
    has broken. ``close()`` ends the connection once all is written, ``abort()`` at once, and
    ``connection_lost`` follows either. ``pause_reading()`` and ``resume_reading()`` may be called
    in any state. ``unwritten()`` is the number of bytes that have not left this process yet.
    ``exact_writing()``, after a write, calls ``pause_writing`` if anything is unwritten, and the
    runtime calls ``resume_writing`` only when nothing is. It may stay so for later writes.
    ``is_closing()`` tells that the connection is ending.
    """

    write: Callable[[bytes], object]
    write_eof: Callable[[], object]
    close: Callable[[], object]
    abort: Callable[[], object]
    pause_reading: Callable[[], object]
    resume_reading: Callable[[], object]
    unwritten: Callable[[], int]
    exact_writing: Callable[[], object]
    is_closing: Callable[[], bool]
    local: Endpoint
    """This end of the connection."""
    peer: Endpoint
    """The other end."""


class Connection(Protocol):
    """What a runtime calls for one connection, in this order: ``connection_made`` once, the
    others any number of times, ``connection_lost`` once.

    A connection that was gone before it could be used is never made.
    """

    def connection_made(self, transport: Transport) -> None:
        """The connection is there."""

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""

    def eof_received(self) -> bool:
        """The peer sends no more. True keeps the connection open for writing, else the runtime
        ends it."""

    def pause_writing(self) -> None:
        """Too much is unwritten: the peer does not read."""

    def resume_writing(self) -> None:
        """Little or nothing is unwritten any more. Called from inside the runtime's write: call
        the transport only at the next turn (:meth:`Runtime.call_soon`)."""

    def eof_sent(self) -> None:
        """The end of the stream that this side has written is out."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is no more. ``error`` is None when this side has ended it."""


class Future(Protocol[T]):
    """A result that is still to come. One coroutine may await it."""

    def done(self) -> bool:
        """Whether it has a result, an exception, or was cancelled."""

    def set_result(self, result: T, /) -> object:
        """Give it its result. Only while it is not done."""

    def set_exception(self, exception: BaseException, /) -> object:
        """Let it raise. Only while it is not done."""

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for it."""


class Task(Protocol[T_co]):
    """A coroutine that runs by itself. One coroutine may await it; an exception that nobody
    awaits is logged by the runtime."""

    def done(self) -> bool:
        """Whether it has ended."""

    def cancel(self) -> object:
        """Raise the runtime's cancellation where the coroutine awaits."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> object:
        """Call ``call`` with something once the coroutine has ended."""

    def __await__(self) -> Generator[Any, Any, T_co]:
        """Wait for its end."""


class Listening(Protocol):
    """Sockets that accept connections."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens. ``0.0.0.0`` and ``::`` stand for all addresses of their family."""

    async def close(self) -> None:
        """Accept no more. What was accepted before is a :class:`Connection` when this returns."""


class Datagrams(Protocol):
    """A socket for datagrams."""

    def send(self, data: bytes, to: Endpoint) -> object:
        """Send a datagram. What the system refuses is dropped without a word."""

    def close(self) -> object:
        """End it."""


class Runtime(Protocol):
    """An event loop. All of it is to be called in the loop's own thread."""

    from_thread: str
    """What a program writes to have something called in the loop's thread, from another."""

    def now(self) -> float:
        """Seconds on a clock that never goes back. It counts while the machine sleeps, where the
        system has such a clock."""

    def call_later(self, seconds: float, call: Callable[[], None], /) -> Armed:
        """Call ``call`` after ``seconds``, which is above 0, and never from inside."""

    def call_soon(self, call: Callable[[], None], /) -> Armed:
        """Call ``call`` at the next turn of the loop."""

    def future(self) -> Future[Any]:
        """A future that has no result yet."""

    def start(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]:
        """Run ``coroutine`` by itself."""

    def connect(
        self,
        connection: Connection,
        endpoint: Endpoint,
        *,
        source: Endpoint | None,
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> Armed:
        """Open a TCP connection to ``endpoint``, whose host may be a name, from the address and
        port (0: any) of ``source``, None being the system's choice.

        Later, never from inside, either ``connection.connection_made`` is called or ``failed``,
        with ``socket.gaierror`` for a name that cannot be resolved, TimeoutError without errno
        after ``seconds``, or an OSError with the errno of the system. Cancelling what is returned
        ends the attempt, and neither is called.
        """

    async def listen(
        self, accept: Callable[[], Connection], *, host: str | None, ports: Sequence[int]
    ) -> Listening:
        """Listen on the first free one of ``ports`` (0: any) of ``host``, an address, None being
        all addresses of IPv4 and of IPv6 with the same port. ``accept`` makes the connection of
        each peer.

        Raises OSError when every port is taken or the address is not this machine's.
        """

    def datagrams(self, sock: Any, received: Callable[[bytes, Endpoint], None]) -> Datagrams:
        """Read a bound, non-blocking UDP socket: ``received`` gets each datagram and where it came
        from. The runtime owns the socket from here on."""

    async def resolve(self, host: str, port: int) -> list[Endpoint]:
        """The endpoints of ``host``, a name or an address with or without a zone. Raises
        ``socket.gaierror``."""


class Tasks:
    """The coroutines that one object runs beside its callers, so that it can end them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._running: set[Task[Any]] = set()
        self._empty: Future[None] | None = None

    def __len__(self) -> int:
        return len(self._running)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run ``coroutine`` until it ends, or :meth:`close` is called."""
        task = self._runtime.start(coroutine)
        if not task.done():
            self._running.add(task)
            task.add_done_callback(lambda _: self._ended(task))
        return task

    def _ended(self, task: Task[Any]) -> None:
        self._running.discard(task)
        if not self._running:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def ended(self, seconds: float | None = None) -> None:
        """Wait until none runs, for ``seconds`` at most if given."""
        if not self._running:
            return
        self._empty = self._runtime.future()
        alarm = None
        if seconds is not None:
            alarm = self._runtime.call_later(max(seconds, 0.001), self._stop_waiting)
        try:
            await self._empty
        finally:
            if alarm is not None:
                alarm.cancel()

    async def close(self) -> None:
        """Cancel all, and wait until none runs."""
        for task in tuple(self._running):
            task.cancel()
        await self.ended()


async def sleep(runtime: Runtime, seconds: float) -> None:
    """Wait ``seconds``; not above 0: return at once."""
    if seconds <= 0:
        return
    over: Future[None] = runtime.future()

    def wake() -> None:
        if not over.done():
            over.set_result(None)

    alarm = runtime.call_later(seconds, wake)
    try:
        await over
    finally:
        alarm.cancel()
