"""The runtime that the driver needs: time, connections, listening, datagrams, coroutines.

A runtime wraps an event loop for the driver. :mod:`propchange.asyncio.runtime` wraps asyncio's,
:mod:`propchange.twisted.runtime` a Twisted reactor. A third runtime is a class with the methods of
:class:`Runtime`; it needs nothing else.

The driver has two kinds of code:

* *Connections* move bytes. They are objects with callbacks (:class:`Connection`), which the
  runtime calls. The runtime gives each a :class:`Transport`, whose members are its own functions,
  bound once. So no event passes a wrapper.
* *Coroutines* do everything that takes several steps. A coroutine of the driver awaits a result of
  :meth:`Runtime.future` or :meth:`Runtime.start`, or another coroutine of the driver, and nothing
  else. So it runs as an asyncio task and under ``Deferred.fromCoroutine``.

A coroutine can be cancelled where it awaits. The runtime then raises its own exception there, which
may be no :class:`Exception`. Code of the driver cleans up in ``finally`` and does not catch
exceptions that it does not know.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Protocol, TypeVar

from propchange.core.limits import Limits
from propchange.core.wire.messages import Endpoint
from propchange.driver.sockets import endpoint_of, socket_address

T = TypeVar("T")

T_co = TypeVar("T_co", covariant=True)


Crowded = Callable[[str, Collection[str]], bool]
"""Returns whether a new peer must wait. Called with its address, and with the addresses of accepted
peers whose connections are not made yet."""


def never_crowded(host: str, unmade: Collection[str]) -> bool:
    """False: in a listener without a cap no peer waits."""
    return False


class Transport(Protocol):
    """The runtime's end of one connection. It is one object, and leaves no circle of objects when
    the connection has ended: the garbage collector visits each object of thousands of connections.
    """

    @property
    def write(self) -> Callable[[bytes], object]:
        """Sends bytes. The runtime's own function, to be kept where many bytes are sent."""

    @property
    def local(self) -> Endpoint:
        """This end of the connection."""

    @property
    def peer(self) -> Endpoint:
        """The other end."""

    def write_eof(self) -> object:
        """Send the end of the stream. Call it only while nothing is unwritten.
        :meth:`Connection.eof_sent` follows, or ``connection_lost`` if the connection breaks."""

    def close(self) -> object:
        """End the connection once everything is written. ``connection_lost`` follows."""

    def abort(self) -> object:
        """End the connection at once. ``connection_lost`` follows."""

    def pause_reading(self) -> object:
        """Read no more. May be called in any state."""

    def resume_reading(self) -> object:
        """Read again. May be called in any state."""

    def unwritten(self) -> int:
        """The number of bytes that have not left this process yet."""

    def unsent(self) -> int:
        """The number of bytes that have left this process and that the peer has not confirmed yet;
        0 if the system does not say."""

    def unread(self) -> int:
        """The number of bytes that were received and not given to ``data_received`` yet; 0 if the
        system does not say."""

    def readable(self) -> bool:
        """Whether bytes of the peer, or the end of its stream, wait in the system; False if the
        system does not say."""

    def peer_ended(self) -> bool:
        """Whether the peer has ended its stream and all its bytes were given to ``data_received``,
        the present ones included; False if that is not known yet."""

    def acknowledge(self) -> object:
        """Confirm at once to the peer what was received. Does nothing if the system cannot."""

    def exact_writing(self) -> object:
        """Call it after a write. It calls ``pause_writing`` if anything is unwritten, and
        ``resume_writing`` then follows only when nothing is. This may also apply to later
        writes."""

    def is_closing(self) -> bool:
        """Whether the connection is ending."""


class Connection(Protocol):
    """The callbacks of one connection. The runtime calls ``connection_made`` once, then the others
    any number of times, then ``connection_lost`` once.

    If a connection ends before it can be used, the runtime calls none of them.
    """

    def connection_made(self, transport: Transport) -> None:
        """The connection can be used."""

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""

    def eof_received(self) -> bool:
        """The peer has ended its stream. Return True to keep the connection open for writing; else
        the runtime ends it."""

    def pause_writing(self) -> None:
        """Too many bytes are unwritten: the peer does not read."""

    def resume_writing(self) -> None:
        """Few or no bytes are unwritten. The runtime may call this inside of its write: do not call
        the transport before the next turn (:meth:`Runtime.call_soon`)."""

    def eof_sent(self) -> None:
        """The end of our stream has left this process."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended. ``error`` is None if this side has ended it."""


class Future(Protocol[T]):
    """A result that is not there yet. One coroutine may await it."""

    def done(self) -> bool:
        """Whether it has a result or an exception, or was cancelled."""

    def set_result(self, result: T, /) -> object:
        """Set the result. Only while it is not done."""

    def set_exception(self, exception: BaseException, /) -> object:
        """Set the exception that it raises. Only while it is not done."""

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for it."""


class Task(Protocol[T_co]):
    """A coroutine that was started. One coroutine may await it. If none does, the runtime logs its
    exception."""

    def done(self) -> bool:
        """Whether it has ended."""

    def cancel(self) -> object:
        """Raise the runtime's cancellation at the place where the coroutine awaits."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> object:
        """Call ``call`` with one argument once the coroutine has ended."""

    def __await__(self) -> Generator[Any, Any, T_co]:
        """Wait for its end."""


class Listening(Protocol):
    """Sockets that accept connections."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses and ports. ``0.0.0.0`` and ``::`` stand for all addresses of their
        family."""

    async def close(self) -> None:
        """Accept no more connections. When this returns, each one accepted before has its
        :class:`Connection`."""


class Datagrams:
    """A UDP socket that a runtime reads. ``received`` is called with each datagram and its source.

    A runtime calls :meth:`read` when something has arrived."""

    def __init__(self, sock: socket.socket, received: Callable[[bytes, Endpoint], None]) -> None:
        self._sock = sock
        self._received = received

    def read(self) -> None:
        """Receive at most 16 datagrams in a row. In a flood, more would delay everything else."""
        for _ in range(16):
            try:
                data, source = self._sock.recvfrom(65_536)
            except OSError:
                return
            self._received(data, endpoint_of(source))

    def send(self, data: bytes, to: Endpoint) -> None:
        """Send a datagram. If the system refuses it, it is dropped without an error."""
        with contextlib.suppress(OSError):
            self._sock.sendto(data, socket_address(to))

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Runtime(Protocol):
    """An event loop. Call its methods in the thread of the loop."""

    from_thread: str
    """The name of the function that calls something in the loop's thread from another thread."""

    def now(self) -> float:
        """Seconds on a clock that never goes back. It counts the time of a suspend too, if the
        system has such a clock."""

    def call_later(self, seconds: float, call: Callable[[], None], /) -> Armed:
        """Call ``call`` after ``seconds``, which must be above 0."""

    def call_soon(self, call: Callable[[], None], /) -> Armed:
        """Call ``call`` at the next turn of the loop."""

    def future(self) -> Future[Any]:
        """A new future without a result."""

    def start(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]:
        """Run ``coroutine`` beside the caller."""

    def connect(
        self,
        connection: Connection,
        endpoint: Endpoint,
        *,
        source: Endpoint | None,
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> Armed:
        """Open a TCP connection to ``endpoint``, whose host is an IP literal. ``source`` is the
        address and port (0: any) to connect from; None: the system's choice.

        Later, not within this call, either ``connection.connection_made`` or ``failed`` is called.
        ``failed`` gets TimeoutError without an errno after ``seconds``, or an OSError with the
        errno of the system. Cancel the result to end the attempt: then neither is called.
        """

    async def listen(
        self,
        accept: Callable[[], Connection],
        *,
        host: str | None,
        ports: Sequence[int],
        crowded: Crowded = never_crowded,
    ) -> Listening:
        """Listen on the first free port of ``ports`` (0: any). ``host`` is an address; None: all
        addresses of IPv4 and of IPv6 with the same port. ``accept`` makes the connection of each
        peer, which waits while it is ``crowded``.

        Raises OSError if every port is taken or the address is not this machine's.
        """

    def datagrams(
        self, sock: socket.socket, received: Callable[[bytes, Endpoint], None]
    ) -> Datagrams:
        """Read a bound, non-blocking UDP socket. The runtime owns the socket from then on. Raises
        OSError if it cannot read sockets."""

    def call_from_thread(self, call: Callable[[], object], /) -> object:
        """Call ``call`` in the loop's thread, from another thread. Raises RuntimeError if the loop
        is closed."""


def settle(future: Future[T] | None, result: T) -> None:
    """Set the result of ``future``. Does nothing without a future, or when it is done."""
    if future is not None and not future.done():
        future.set_result(result)


class Signal:
    """Wakes the coroutines that wait for it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiters: list[Future[None]] = []

    @property
    def awaited(self) -> bool:
        """Whether a coroutine waits."""
        return bool(self._waiters)

    def set(self) -> None:
        """Wake the coroutines that wait, in order. A later :meth:`wait` does not see it."""
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for :meth:`set`, for ``seconds`` at most. None: without an end."""
        waiter: Future[None] = self._runtime.future()
        self._waiters.append(waiter)
        alarm = None
        if seconds is not None:
            alarm = self._runtime.call_later(max(seconds, 0.001), lambda: settle(waiter, None))
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if alarm is not None:
                alarm.cancel()


class Tasks:
    """The coroutines that an object has started, so that it can end them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._running: set[Task[Any]] = set()
        self._empty = Signal(runtime)

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
            self._empty.set()

    async def ended(self, seconds: float | None = None) -> None:
        """Wait until no coroutine runs, or ``seconds`` have passed."""
        if self._running:
            await self._empty.wait(seconds)

    async def close(self) -> None:
        """Cancel all coroutines, and wait until none runs."""
        for task in tuple(self._running):
            task.cancel()
        await self.ended()


async def sleep(runtime: Runtime, seconds: float) -> None:
    """Wait for ``seconds``. Returns at once if they are not above 0."""
    if seconds > 0:
        await Signal(runtime).wait(seconds)


# A runtime's own timer may fire a little before its time by the clock.
_SHORTEST = 0.001


class Armed(Protocol):
    """A call that was scheduled."""

    def cancel(self) -> object:
        """Cancel the call."""


Later = Callable[[float, Callable[[], None]], Armed]
"""A runtime's function that calls another one after some seconds, above 0, not at once."""


class Timer:
    """Calls ``callback(now)`` once ``now``, by ``clock``, has reached the time that was set.

    The runtime's own timer, ``later``, stands still while the machine is suspended, so it never
    waits longer than ``limits.timer_seconds`` at a time. Setting a later time costs nothing: the
    runtime's timer is left alone until it fires.

    ``jumped(seconds, now)`` is called if the runtime's timer is at least ``limits.jump_seconds``
    late, by about ``seconds``: the machine was suspended, the process stopped, or something
    blocked the loop. It is called before ``callback``, and only while a time is set.
    """

    def __init__(
        self,
        later: Later,
        limits: Limits,
        callback: Callable[[float], None],
        *,
        clock: Callable[[], float],
        jumped: Callable[[float, float], None] | None = None,
    ) -> None:
        self.when: float | None = None
        """The time that is set; None: no time. Do not change it."""
        self._later = later
        self._limits = limits
        self._callback = callback
        self._clock = clock
        self._jumped = jumped
        self._late = 0.0
        self._armed: Armed | None = None
        self._armed_for = 0.0

    def set(self, when: float | None) -> None:
        """Call at ``when``, and not at the time that was set before. None: do not call, and leave
        nothing with the runtime. Never calls within this call, even if the time has passed."""
        self.when = when
        if when is None:
            self.close()
        elif self._armed is None or when < self._armed_for:
            self._arm(when)

    def close(self) -> None:
        """Forget the time and leave nothing with the runtime."""
        self.when = None
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _arm(self, when: float) -> None:
        now = self._clock()
        if self._armed is not None:
            self._armed.cancel()
            # It may be overdue already. Keep by how much: cancelling it forgets that.
            self._late = max(self._late, now - self._armed_for)
        delay = min(max(when - now, _SHORTEST), self._limits.timer_seconds)
        self._armed_for = now + delay
        self._armed = self._later(delay, self._fire)

    def _fire(self) -> None:
        self._armed = None
        now = self._clock()
        seconds, self._late = max(self._late, now - self._armed_for), 0.0
        if self._jumped is not None and seconds >= self._limits.jump_seconds:
            self._jumped(seconds, now)
        when = self.when
        if when is None:
            return
        if when - now <= _SHORTEST:
            self.when = None
            self._callback(max(now, when))
        elif self._armed is None:  # ``jumped`` may have set another time, which is armed already
            self._arm(when)


def expired(deadlines: Mapping[T, float], now: float) -> list[T]:
    """The keys whose deadline has come, of a mapping with its deadlines in rising order."""
    return [key for key, _ in takewhile(lambda item: item[1] <= now, deadlines.items())]


def first_deadline(*queues: Mapping[Any, float]) -> float | None:
    """The earliest deadline of mappings that each have their deadlines in rising order."""
    return min((next(iter(queue.values())) for queue in queues if queue), default=None)
