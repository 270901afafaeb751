"""The driver's runtime on a Twisted reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar, cast

from twisted.internet import error as errors
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped] # it has no types

from propchange.core.wire.messages import Endpoint
from propchange.driver.accepting import Accepting
from propchange.driver.machine import monotonic
from propchange.driver.runtime import (
    Armed,
    Connection,
    Crowded,
    Datagrams,
    never_crowded,
)
from propchange.driver.sockets import (
    acknowledge,
    bind,
    choose_port_late,
    readable,
    scoped_host,
    unread,
    unsent,
)

T = TypeVar("T")

_NOWHERE = Endpoint("", 0)  # for a connection that is not TCP


class Reactor(Protocol):
    """What is used of ``IReactorTime``, ``IReactorTCP`` and ``IReactorCore``.
    ``MemoryReactorClock`` has it too."""

    seconds: Callable[[], float]
    callLater: Callable[..., Any]
    connectTCP: Callable[..., Any]
    listenTCP: Callable[..., Any]
    addSystemEventTrigger: Callable[..., Any]


def default_reactor() -> Reactor:
    """The reactor of this process."""
    from twisted.internet import reactor  # here, so that a program may install another before

    return cast(Reactor, reactor)


def of_reactor(reactor: Reactor, kind: Callable[[Reactor], T]) -> T:
    """The object of ``kind`` that belongs to ``reactor``. The first call makes it by
    ``kind(reactor)``. The reactor keeps the object, so both end together."""
    name = f"_propchange_{kind.__name__}"
    kept: T | None = getattr(reactor, name, None)
    if kept is None:
        kept = kind(reactor)
        setattr(reactor, name, kept)
    return kept


class TwistedRuntime:
    """A :class:`.Runtime` on ``reactor``; None: the installed one."""

    from_thread = "reactor.callFromThread"

    def __init__(self, reactor: Reactor | None = None) -> None:
        self.reactor = reactor or default_reactor()
        # A reactor that runs has the time of day. A test moves the clock of its own reactor.
        self.now = monotonic if isinstance(self.reactor, ReactorBase) else self.reactor.seconds

    def call_later(self, seconds: float, call: Callable[[], None], /) -> Armed:
        """Call ``call`` after ``seconds``."""
        return _Armed(self.reactor.callLater(seconds, call))

    def call_soon(self, call: Callable[[], None], /) -> Armed:
        """Call ``call`` at the next turn."""
        return _Armed(self.reactor.callLater(0, call))

    def future(self) -> _Future[Any]:
        """A future that has no result yet."""
        return _Future()

    def start(self, coroutine: Coroutine[Any, Any, T], /) -> _Task[T]:
        """Run ``coroutine`` by itself. Its first part runs at once."""
        return _Task(coroutine)

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
        factory = _Connecting(connection, failed)
        host, bound_to = scoped_host(endpoint), None
        if source is not None:
            # A link-local address without a zone is on the link of the peer.
            source = source._replace(scope=source.scope or endpoint.scope)
            bound_to = (scoped_host(source), source.port)
        reactor: Any = self.reactor
        if isinstance(reactor, PosixReactorBase):
            factory.connector = _Connector(host, endpoint.port, factory, seconds, bound_to, reactor)
            factory.connector.connect()
        else:
            factory.connector = reactor.connectTCP(
                host, endpoint.port, factory, timeout=seconds, bindAddress=bound_to
            )
        return factory

    async def listen(
        self,
        accept: Callable[[], Connection],
        *,
        host: str | None,
        ports: Sequence[int],
        crowded: Crowded = never_crowded,
    ) -> _Listening:
        """Listen; see :meth:`.Runtime.listen`. It never waits."""
        factory: Any = Factory.forProtocol(lambda: Stream(accept()))
        factory.noisy = False
        return self.listen_with(factory, host=host, ports=ports, crowded=crowded)

    def listen_with(
        self, factory: Any, *, host: str | None, ports: Sequence[int], crowded: Crowded
    ) -> _Listening:
        """As :meth:`listen`, with a factory of Twisted."""
        reactor: Any = self.reactor
        if not isinstance(reactor, PosixReactorBase):
            # Windows, or a reactor for tests, which has no sockets.
            return _Listening([reactor.listenTCP(ports[0], factory, interface=host or "")])
        sockets = bind(host, ports)
        listening: list[_Port] = []
        try:
            for bound in sockets:
                bound.listen(socket.SOMAXCONN)
                listening.append(_Port(reactor, bound, factory, crowded))
        except BaseException:
            for port in listening:
                port.stopListening()
            for bound in sockets:
                bound.close()
            raise
        return _Listening(listening)

    def datagrams(
        self, sock: socket.socket, received: Callable[[bytes, Endpoint], None]
    ) -> Datagrams:
        """Read a UDP socket; see :meth:`.Runtime.datagrams`."""
        if not isinstance(self.reactor, ReactorBase):
            raise OSError("this reactor reads no sockets")  # a reactor for tests
        return _Datagrams(self.reactor, sock, received)

    def call_from_thread(self, call: Callable[[], object], /) -> None:
        """Call ``call`` in the reactor's thread."""
        reactor: Any = self.reactor
        reactor.callFromThread(call)


class _Armed:
    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        # Somebody may have cleaned the reactor up behind our back, as trial does.
        if self._call.active():
            self._call.cancel()


class _Future(Deferred[T]):
    """A Deferred with the methods of a future."""

    set_result = Deferred.callback
    set_exception = Deferred.errback

    def done(self) -> bool:
        return bool(self.called)


class _Task(Generic[T]):
    """A coroutine that runs as a Deferred. That it was cancelled is no error that is logged."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._done = False
        self._deferred = Deferred.fromCoroutine(coroutine).addBoth(self._end)
        self.cancel = self._deferred.cancel

    def _end(self, result: Any) -> Any:
        self._done = True
        if isinstance(result, Failure) and isinstance(result.value, CancelledError):
            return None
        return result

    def done(self) -> bool:
        return self._done

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        def ended(result: Any) -> Any:
            call(self)
            return result

        self._deferred.addBoth(ended)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._deferred.__await__()


class _Ended:
    """Stands for the connection of a stream that has ended."""

    def ignore(self, *_: object) -> None:
        pass

    connection_made = data_received = eof_received = eof_sent = ignore
    pause_writing = resume_writing = connection_lost = ignore


_ENDED: Any = _Ended()


@implementer(IHalfCloseableProtocol, IPushProducer)
class Stream(TwistedProtocol):
    """Hands the reactor's callbacks to a connection, and is the transport of that connection."""

    transport: Any

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._closing = False
        self._plain = False
        self.dataReceived = connection.data_received  # type: ignore[method-assign] # on purpose

    # --- for the reactor ---

    def connectionMade(self) -> None:
        """The connection is there."""
        transport = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self._plain = is_plain(transport)
        self.local = endpoint_of_address(transport.getHost()) or _NOWHERE
        self.peer = endpoint_of_address(transport.getPeer()) or _NOWHERE
        self._connection.connection_made(self)

    def readConnectionLost(self) -> None:
        """The peer sends no more."""
        if not self._connection.eof_received():
            self.close()

    def writeConnectionLost(self) -> None:
        """The end of the stream has left."""
        self._connection.eof_sent()

    def pauseProducing(self) -> None:
        """The transport has too much to write."""
        self._connection.pause_writing()

    def resumeProducing(self) -> None:
        """The transport has not too much to write any more."""
        self._connection.resume_writing()

    def stopProducing(self) -> None:
        """The transport is lost. ``connectionLost`` follows."""

    def connectionLost(self, reason: Any = None) -> None:
        """The connection is no more."""
        self._closing = True
        error = getattr(reason, "value", None)
        clean = isinstance(error, (errors.ConnectionDone, errors.ConnectionAborted))
        connection, self._connection = self._connection, _ENDED
        self.dataReceived = _ENDED.data_received  # type: ignore[method-assign] # on purpose
        connection.connection_lost(None if clean else error)

    # --- for the connection ---

    def write(self, data: bytes) -> None:
        """See :meth:`.Transport.write`."""
        if self._plain and not self._closing:
            write_at_once(self.transport, data)
        else:
            self.transport.write(data)

    def write_eof(self) -> None:
        """See :meth:`.Transport.write_eof`."""
        end = getattr(self.transport, "loseWriteConnection", None)
        if end is None:  # one without halves, of a test
            self._connection.eof_sent()
        elif not self._closing:
            end()

    def close(self) -> None:
        """See :meth:`.Transport.close`."""
        if not self._closing:
            self._closing = True
            transport = self.transport
            transport.unregisterProducer()
            transport.loseConnection()
            if self._plain and not unwritten(transport):
                # Otherwise the reactor waits for room to write, which depends on the peer.
                done: Any = Failure(errors.ConnectionDone())  # type: ignore[no-untyped-call] # Twisted's
                transport.reactor.callLater(0, transport.connectionLost, done)

    def abort(self) -> None:
        """See :meth:`.Transport.abort`."""
        self._closing = True
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def pause_reading(self) -> None:
        """See :meth:`.Transport.pause_reading`."""
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """See :meth:`.Transport.resume_reading`."""
        self.transport.resumeProducing()

    def unwritten(self) -> int:
        """See :meth:`.Transport.unwritten`."""
        return unwritten(self.transport)

    def unsent(self) -> int:
        """See :meth:`.Transport.unsent`."""
        return unsent(self.transport)

    def unread(self) -> int:
        """See :meth:`.Transport.unread`."""
        return unread(self.transport)

    def readable(self) -> bool:
        """See :meth:`.Transport.readable`."""
        return readable(self.transport)

    def peer_ended(self) -> bool:
        """See :meth:`.Transport.peer_ended`."""
        return False

    def acknowledge(self) -> None:
        """See :meth:`.Transport.acknowledge`."""
        acknowledge(getattr(self.transport, "socket", None))

    def exact_writing(self) -> None:
        """See :meth:`.Transport.exact_writing`."""
        # What the transport does by itself when it has much to write.
        if unwritten(self.transport) and not self.transport.producerPaused:
            self.transport.producerPaused = True
            self._connection.pause_writing()

    def is_closing(self) -> bool:
        """See :meth:`.Transport.is_closing`."""
        return self._closing


def is_plain(transport: Any) -> bool:
    """Whether ``transport``, one of Twisted's, writes its bytes to an open TCP socket as they
    are."""
    return bool(isinstance(transport, tcp.Connection) and transport.connected and not transport.TLS)


def write_at_once(transport: Any, data: bytes) -> None:
    """Write ``data`` to ``transport``, which :func:`is_plain`.

    ``transport.write`` asks the reactor to watch the socket, and sends in the reactor's next turn.
    That takes longer than the sending itself. So here the bytes leave at once, if none wait before
    them. ``transport`` gets the bytes for which the system has no room."""
    sent = 0
    if not (transport.dataBuffer or transport._tempDataBuffer):
        try:
            sent = transport.socket.send(data)
        except OSError:  # no room, or the connection has broken, which the reactor notices
            pass
        else:
            if sent == len(data):
                return
    transport.write(data[sent:])


def unwritten(transport: Any) -> int:
    """The number of bytes that ``transport``, one of Twisted's, has not written yet."""
    waiting = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    return waiting + int(getattr(transport, "_tempDataLen", 0))


class _Connecting(ClientFactory):
    noisy = False
    connector: Any

    def __init__(self, connection: Connection, failed: Callable[[OSError], None]) -> None:
        self._connection = connection
        self._failed = failed
        self._over = False

    def buildProtocol(self, addr: object) -> Stream:
        self._over = True
        stream = Stream(self._connection)
        # The connector has this factory as long as the connection lives: leave no circle.
        del self._connection, self._failed, self.connector
        return stream

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if not self._over:
            self._over = True
            self._failed(_os_error(reason.value))

    def cancel(self) -> None:
        if not self._over:
            self._over = True
            self.connector.disconnect()


class _Client(tcp.Client):
    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call] # Twisted's
        choose_port_late(sock)
        return sock


class _Connector(tcp.Connector):
    """The connector of ``connectTCP``, but a socket that is bound to port 0 gets its port late."""

    def _makeTransport(self) -> tcp.Client:
        client: Any = _Client
        return cast(tcp.Client, client(self.host, self.port, self.bindAddress, self, self.reactor))


def _os_error(error: BaseException | None) -> OSError:
    """What Twisted says of a connection that could not be made, in the system's words."""
    number = getattr(error, "osError", None)
    if isinstance(number, int):
        return OSError(number, str(error))
    if isinstance(error, errors.TimeoutError):
        return TimeoutError()
    return error if isinstance(error, OSError) else OSError(str(error))


class _Port:
    """Accepts connections for ``factory`` as soon as it is made. The ports of Twisted end the
    connections of new peers while there is no descriptor."""

    def __init__(self, reactor: Any, sock: socket.socket, factory: Any, crowded: Crowded) -> None:
        self._reactor = reactor
        self._sock = sock
        self._factory = factory
        self._count = 0
        later = TwistedRuntime(reactor).call_later
        self._accepting = Accepting(sock, self._adopt, self._watch, later, crowded=crowded)
        # What the reactor calls.
        self.fileno = sock.fileno
        self.doRead = self._accepting.ready
        self.logPrefix = lambda: "propchange"
        factory.doStart()
        self._accepting.open()

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address and the port."""
        return _address(self._sock.getsockname())

    def stopListening(self) -> None:
        """Accept no more."""
        if self._sock.fileno() >= 0:
            self._accepting.close()
            self._sock.close()
            self._factory.doStop()

    def connectionLost(self, reason: Any) -> None:
        """For the reactor: it ends."""
        self.stopListening()

    def _watch(self, accepting: Accepting, wanted: bool) -> None:
        (self._reactor.addReader if wanted else self._reactor.removeReader)(self)

    def _adopt(self, peer: socket.socket, host: str) -> None:
        try:
            address = _address(peer.getpeername())
        except OSError:  # it has ended already
            peer.close()
            return
        protocol = self._factory.buildProtocol(address)
        if protocol is None:
            peer.close()
            return
        self._count += 1
        client = (address.host, *peer.getpeername()[1:])
        server: Any = tcp.Server
        protocol.makeConnection(server(peer, protocol, client, None, self._count, self._reactor))


def _address(sockaddr: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """The address of Twisted for one of a socket. A link-local one has its zone, as Twisted's."""
    if len(sockaddr) == 2:
        return IPv4Address("TCP", *sockaddr)
    host, port, flow, scope = sockaddr
    zone = f"%{scope}" if scope and "%" not in host else ""
    return IPv6Address("TCP", f"{host}{zone}", port, flow, scope)


class _Listening:
    def __init__(self, ports: list[Any]) -> None:
        self.ports = ports
        self.endpoints = tuple(endpoint_of_address(port.getHost()) or _NOWHERE for port in ports)

    async def close(self) -> None:
        for stopping in [maybeDeferred(port.stopListening) for port in self.ports]:
            await stopping


class _Datagrams(Datagrams):
    def __init__(
        self, reactor: Any, sock: socket.socket, received: Callable[[bytes, Endpoint], None]
    ) -> None:
        super().__init__(sock, received)
        self._reactor = reactor
        # What the reactor calls.
        self.fileno = sock.fileno
        self.doRead = self.read
        self.logPrefix = lambda: "propchange"
        self.connectionLost = lambda reason: self.close()
        reactor.addReader(self)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._reactor.removeReader(self)
            super().close()


@lru_cache(maxsize=1024)  # called for every request, with the ends of few connections
def endpoint_of_address(address: Any) -> Endpoint | None:
    """The endpoint of an ``IPv4Address`` or ``IPv6Address`` of Twisted: without zone, an
    IPv4-mapped address as IPv4. None for any other kind of address."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        return None
    zone = host.partition("%")[2]
    scope = getattr(address, "scopeID", 0) or (int(zone) if zone.isdecimal() else 0)
    return Endpoint.of(host, port, scope)


def result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """What ``coroutine``, which never waits, returns. Raises what it raises."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError(f"{coroutine} waits")
