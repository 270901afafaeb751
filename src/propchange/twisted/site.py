"""A web server for the resources of ``twisted.web`` whose requests the driver reads.

``twisted.web`` takes a whole body into memory or a file before anything can refuse it, answers in
versions of HTTP that there are not, and ends a connection with a reset when something it has not
read is left. Here a connection is a :class:`.ServerConnection`, with its strictness and its caps.
Only the answer is that of ``twisted.web``: a request of it is made from the one that was parsed,
and it writes to the transport. :class:`Channel` stands between the two.

``twisted.web`` parses the form in a body before it asks the resource, even if no resource wants a
form. A hostile form of 64 kB takes 5 s to parse, and a form of 1 MB 20 minutes. Here only the
resource reads the body.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.error import UnsupportedMethod
from twisted.web.http import parse_qs
from twisted.web.http_headers import Headers
from twisted.web.resource import getChildForRequest

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Request
from propchange.core.wire.refusals import Refusal, check_product
from propchange.driver.connection_table import AcceptedConnection, ConnectionTable
from propchange.driver.host import http_date
from propchange.driver.machine import product
from propchange.driver.reporting import logger_named
from propchange.driver.server_connection import ServerConnection
from propchange.twisted.runtime import Reactor, Stream, TwistedRuntime

_logger = logger_named("propchange.http")


class _Request(server.Request):
    site: Any
    received: Request  # what the core reads

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Let the resource of the target answer. As in the base class, but for forms in a body."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, query = path.partition(b"?")
        self.args = parse_qs(query, 1)  # type: ignore[no-untyped-call] # twisted.web is untyped
        # The base class writes a large body to a file on disk, which takes a descriptor.
        self.content = BytesIO(self.received.body)
        self.process()  # type: ignore[no-untyped-call] # twisted.web is untyped

    def render(self, resrc: Any) -> None:
        """Let ``resrc`` answer, which may name another server."""
        self.responseHeaders.setRawHeaders(b"Server", [self.site.server])
        methods = SimpleNamespace(render=lambda _: self._render(resrc))
        super().render(methods)  # type: ignore[no-untyped-call] # twisted.web is untyped

    def _render(self: Any, resource: Any) -> Any:
        # twisted.web answers 501 to all methods but three if this resource does not have them. That
        # says that no resource here has them. UDA 2.0 §2.1 asks for 405.
        try:
            return resource.render(self)
        except UnsupportedMethod as unsupported:
            if self.method == b"HEAD":  # twisted.web asks again, with GET
                raise
            self.setResponseCode(405)
            self.setHeader(b"Allow", b", ".join(unsupported.allowedMethods))
            return b""

    def _handleStar(self) -> None:
        # twisted.web answers 405 to every method but OPTIONS for *. Here the root judges.
        if self.method == b"OPTIONS":
            super()._handleStar()  # type: ignore[no-untyped-call] # twisted.web is untyped
        else:
            self.postpath = []
            self.render(self.site.resource)


class Channel:
    """The answer of ``twisted.web`` to one request (a :class:`.WrittenElsewhere`), with the methods
    that a request of ``twisted.web`` calls of its channel."""

    site: Any
    transport: Any
    _connection: AcceptedConnection
    _request: Any

    def __init__(self, site: Site, received: Request) -> None:
        self.site = self.factory = site
        self.persistent = received.keep_alive
        self._received = received
        self._producer: Any = None
        self._pulls = False  # the producer produces only when it is asked to
        self._paused = False
        self.left: Callable[[bool], object] | None = None
        """Called with whether the whole answer has left this process, with the end of the stream if
        it is the last one."""

    # --- for the connection ---

    def begin(self, connection: AcceptedConnection) -> None:
        """Let the resource render the request."""
        received = self._received
        self._connection = connection
        assert isinstance(connection, ServerConnection)
        stream = connection.transport
        assert isinstance(stream, Stream)
        transport = stream.transport
        # The other methods that a request calls.
        self.transport = transport
        self.getPeer, self.getHost = transport.getPeer, transport.getHost
        self.write = stream.write
        self.loseConnection = connection.end
        request = self._request = self.site.requestFactory(self)
        request.received = received
        for name, value in received.headers:
            request.requestHeaders.addRawHeader(name, value.strip(b" \t"))
        request.parseCookies()
        if not received.keep_alive:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif received.http_version == "1.0":
            request.responseHeaders.setRawHeaders(b"Connection", [b"keep-alive"])
        request.requestReceived(
            received.method.encode("ascii"),
            received.target.encode("ascii"),
            b"HTTP/1.0" if received.http_version == "1.0" else b"HTTP/1.1",
        )

    def pause(self) -> None:
        """The peer does not read."""
        self._paused = True
        if self._producer is not None and not self._pulls:
            self._producer.pauseProducing()

    def resume(self) -> None:
        """The peer has read."""
        self._paused = False
        if self._pulls:
            self._pull()
        elif self._producer is not None:
            self._producer.resumeProducing()

    def lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        reason: Any = Failure(error or ConnectionDone())  # type: ignore[no-untyped-call] # Twisted's
        self._request.connectionLost(reason)

    # --- for the request ---

    def isSecure(self) -> bool:
        """Whether the connection is one of TLS."""
        return ISSLTransport(self.transport, None) is not None

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """Write the head of an answer. One of HTTP/1.0 without a length lasts to the end of the
        stream."""
        if isinstance(headers, Headers):  # older versions of Twisted give a list
            headers = [(n, value) for n, vs in headers.getAllRawHeaders() for value in vs]
        if version == b"HTTP/1.0":
            if all(name.lower() != b"content-length" for name, _ in headers):
                self.persistent = False
            if not self.persistent:
                headers = [pair for pair in headers if pair[0].lower() != b"connection"]
        lines = [b"%b: %b" % pair for pair in headers]
        self.write(b"\r\n".join([b"%b %b %b" % (version, code, reason), *lines, b"", b""]))

    def writeSequence(self, parts: Iterable[bytes]) -> None:
        """Write ``parts``, one behind the other."""
        self.write(b"".join(parts))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """``producer`` writes the answer: by itself, until it is paused, or, if not ``streaming``,
        a part each time it is resumed."""
        if self._producer is not None:
            raise RuntimeError(f"{self._producer} writes the answer already")
        self._producer, self._pulls = producer, not streaming
        if self._pulls:
            self._pull()
        elif self._paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """The producer writes no more."""
        self._producer, self._pulls = None, False

    def _pull(self) -> None:
        if self._pulls and not self._paused:
            self._producer.resumeProducing()
            if self._pulls:
                self._connection.transport.exact_writing()
                self.site.reactor.callLater(0, self._pull)

    def requestDone(self, request: Any) -> None:
        """The answer is written."""
        self._connection.answered(last=not self.persistent, left=self.left)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.persistent = False
        self._request.setResponseCode(400)
        self._request.setHeader(b"Connection", b"close")
        self._request.finish()


class Site(server.Site):
    """As ``twisted.web.server.Site``, with requests read strictly (400), and caps on headers (431),
    the request target (414), bodies (413, chunked ones as they come), the time that a request takes
    (408), idle connections, and the number of connections, all together and from one address. A
    request only has the arguments of its query. A resource that wants a form reads it from
    ``request.content``.

    ``server`` is the value of SERVER where no resource gives one. ``history`` is told who connects
    and the connections that bring no request. ``known`` returns the addresses with subscriptions,
    each of which keeps some connections."""

    def __init__(
        self,
        resource: Any,
        *,
        limits: Limits = DEFAULT_LIMITS,
        reactor: Reactor | None = None,
        server: str = "",
        history: ConnectionHistory | None = None,
        known: Callable[[], Collection[str]] = frozenset,
        **keywords: Any,
    ) -> None:
        runtime = TwistedRuntime(reactor)
        super().__init__(  # type: ignore[no-untyped-call] # twisted.web is untyped
            resource, requestFactory=_Request, reactor=runtime.reactor, **keywords
        )
        check_product("server", server)
        self.server = (server or product("1.1")).encode("ascii")
        self._connections = ConnectionTable(
            runtime,
            lambda request: Channel(self, request),
            limits=limits,
            headers=lambda: ((b"DATE", http_date()), (b"SERVER", self.server)),
            history=history,
            known=known,
            cut=self._cut,
        )

    def _cut(self, request: Request, refusal: Refusal) -> None:
        """Report a NOTIFY that did not come whole to its resource."""
        if request.method != "NOTIFY":
            return
        path = [unquote_to_bytes(part) for part in request.target.partition("?")[0].split("/")[1:]]
        sought = SimpleNamespace(postpath=path, prepath=[], method=b"NOTIFY")
        try:
            resource: Any = getChildForRequest(self.resource, sought)  # type: ignore[no-untyped-call] # twisted.web is untyped
            cut = getattr(resource, "request_cut", None)
            if cut is not None and not sought.postpath:
                cut(request, refusal)
        except Exception as error:  # noqa: BLE001 - a resource may expect a whole request
            _logger.debug("no resource for %s, which did not come whole: %s", request, error)

    def crowded(self, host: str, unmade: Collection[str]) -> bool:
        """Whether a new peer must wait: the connection that would make room for it is still within
        its time."""
        return self._connections.crowded(host, unmade)

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a connection that is accepted. One without room is ended again."""
        return Stream(ServerConnection(self._connections))

    def close(self) -> Deferred[None]:
        """End all connections; what is not written after ``limits.linger_seconds`` is not. Fires
        when they are gone. To be called once the port does not listen any more."""
        return Deferred.fromCoroutine(self._connections.close())
