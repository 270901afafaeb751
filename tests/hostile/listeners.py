"""Our listeners on loopback, each in a thread of its own, and plain sockets against them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import uvloop
from runtime_threads import LoopThread, ReactorThread
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from propchange import ControlPoint, Device, Service, StateVariable, host
from propchange.cohen3 import EventServer, EventSubscriptionServer
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.messages import Endpoint
from propchange.twisted import ControlPoint as TwistedControlPoint
from propchange.twisted import Service as TwistedService
from propchange.twisted import Site

SECONDS = 20.0
"""Seconds until a test gives up. What is right comes long before."""

_NUMBERS = itertools.count()


def own_address() -> str:
    """An address of loopback that no other test has."""
    number = next(_NUMBERS)
    return "127.{}.{}.{}".format(*divmod(os.getpid() % 50_000, 250), 1 + number % 250)


class Exchange:
    """One connection of a peer."""

    def __init__(
        self, address: tuple[str, int], source: str | None = None, *, receive_buffer: int = 0
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        self._data = b""

    def send(self, data: bytes) -> Exchange:
        """Send, even if the other side has had enough."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)
        return self

    def head(self) -> bytes:
        """The head of the next answer, without its body; empty if the connection ends."""
        while b"\r\n\r\n" not in self._data:
            try:
                piece = self.sock.recv(65_536)
            except ConnectionError:
                piece = b""
            if not piece:
                return b""
            self._data += piece
        head, _, rest = self._data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ),
            0,
        )
        while len(rest) < length:
            rest += self.sock.recv(65_536)
        self._data = rest[length:]
        return head

    def status(self) -> int:
        """The status of the next answer; 0 if the connection ends."""
        head = self.head()
        return int(head.split(b" ", 2)[1]) if head else 0

    def ends(self) -> bool:
        """Whether the other side ends the connection, with nothing more before."""
        try:
            return self._data == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.sock.close()


class Listener:
    """One of our listeners. ``good`` is a request that is answered with ``status``, and the
    connection stays."""

    name = ""
    role = ""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, address: str | None = None) -> None:
        self.limits = limits
        self.address = address or own_address()
        self.port = 0
        self._exchanges: list[Exchange] = []

    @property
    def authority(self) -> str:
        """The value of HOST."""
        return str(Endpoint(self.address, self.port))

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def dial(self, source: str | None = None) -> Exchange:
        exchange = Exchange((self.address, self.port), source or self.address)
        self._exchanges.append(exchange)
        return exchange

    def close_all(self) -> None:
        for exchange in self._exchanges:
            exchange.close()

    def turns(self) -> int:
        """The number of turns that the loop has made; it makes them without pause."""
        raise NotImplementedError

    @property
    def good(self) -> bytes:
        """A request that is answered with :attr:`status`."""
        raise NotImplementedError

    status = 200


class _Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


class _PublisherListener(Listener):
    role = "publisher"
    path = "/evt"
    status = 404

    @property
    def good(self) -> bytes:
        # A renewal of a subscription that is not there.
        return self.request("SUBSCRIBE", "/nothing", "SID: uuid:none\r\n")

    def request(self, method: str, path: str, lines: str = "") -> bytes:
        return f"{method} {path} HTTP/1.1\r\nHOST: {self.authority}\r\n{lines}\r\n".encode()


class _SubscriberListener(Listener):
    role = "subscriber"
    path = "/events"
    status = 412

    @property
    def good(self) -> bytes:
        return self.request("NOTIFY", self.path)

    def request(self, method: str, path: str, lines: str = "") -> bytes:
        lines = lines or "NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: uuid:x\r\nSEQ: 7\r\n"
        return f"{method} {path} HTTP/1.1\r\nHOST: {self.authority}\r\n{lines}\r\n".encode()


class _OnLoop:
    """What listeners on asyncio have in common."""

    factory: Any = staticmethod(asyncio.new_event_loop)

    def start(self: Any) -> None:
        self._thread = LoopThread(self.factory)
        self._thread.run(self._enter())

    def stop(self: Any) -> None:
        self.close_all()
        self._thread.run(self._leave())
        self._thread.close()

    def call(self: Any, function: Any) -> Any:
        """The result of a function that the loop calls."""

        async def call() -> Any:
            return function()

        return self._thread.run(call())


class _OnReactor:
    """What listeners on a reactor have in common."""

    def start(self: Any) -> None:
        self._thread = ReactorThread()
        self.reactor = self._thread.reactor
        self._thread.run(self._enter)

    def stop(self: Any) -> None:
        self.close_all()
        self._thread.run(self._leave)
        # What was accepted last ends in a turn or two.
        self._thread.run(deferLater, self.reactor, 0.01)
        self._thread.close()

    def call(self: Any, function: Any) -> Any:
        """The result of a function that the reactor calls."""
        return self._thread.run(lambda: [function()])[0]

    def _listen(self: Any, site: Site) -> None:
        self.site = site
        self._listening = self.reactor.listenTCP(0, site, interface=self.address)
        self.port = self._listening.getHost().port

    def _leave_site(self: Any) -> Any:
        self._listening.stopListening()
        return self.site.close()


class HostListener(_OnLoop, _PublisherListener):
    name = "host"
    path = "/Thermometer/event"

    async def _enter(self) -> None:
        device = Device("Workbench", services=[_Thermometer()])
        self._hosted: Any = host(device, interface=self.address, limits=self.limits)
        await self._hosted.__aenter__()
        self.port = self._hosted.port

    async def _leave(self) -> None:
        await self._hosted.close()


class UvloopHostListener(HostListener):
    name = "host on uvloop"
    factory = staticmethod(uvloop.new_event_loop)


class _TwistedServiceListener(_OnReactor, _PublisherListener):
    def _make_service(self) -> None:
        self.service = TwistedService(
            type="urn:example-org:service:Thermometer:1",
            variables=[StateVariable("r4", name="Temperature", initial=20.0)],
            reactor=self.reactor,
            limits=self.limits,
        )


class ServiceListener(_TwistedServiceListener):
    name = "Service.listen"
    path = "/"

    def _enter(self) -> None:
        self._make_service()
        self.port = self.service.listen(interface=self.address)

    def _leave(self) -> Any:
        return self.service.close()


class Slow(Resource):
    """Streams an answer that never ends."""

    isLeaf = True

    def render(self, request: Any) -> int:
        request.write(b"begun")
        return NOT_DONE_YET


class SiteListener(_TwistedServiceListener):
    name = "Site"

    def _enter(self) -> None:
        self._make_service()
        root = Resource()
        root.putChild(b"evt", self.service.resource)
        root.putChild(b"slow", Slow())
        self._listen(Site(root, limits=self.limits, reactor=self.reactor))

    def _leave(self) -> Any:
        return self._leave_site().addCallback(lambda _: self.service.close())


class _DictService:
    id = "urn:upnp-org:serviceId:Thermometer"
    backend = None

    def __init__(self) -> None:
        self.subscribers: dict[str, Any] = {}

    def get_subscribers(self) -> dict[str, Any]:
        return self.subscribers

    def new_subscriber(self, subscriber: Any) -> None:
        self.subscribers[subscriber["sid"]] = subscriber


class EventSubscriptionListener(_OnReactor, _PublisherListener):
    name = "EventSubscriptionServer"

    def _enter(self) -> None:
        self.server = EventSubscriptionServer(
            _DictService(), limits=self.limits, reactor=self.reactor
        )
        root = Resource()
        root.putChild(b"evt", self.server)
        self._listen(Site(root, limits=self.limits, reactor=self.reactor))

    def _leave(self) -> Any:
        return self._leave_site().addCallback(lambda _: self.server.disconnect())


class ControlPointListener(_OnLoop, _SubscriberListener):
    name = "ControlPoint"

    async def _enter(self) -> None:
        self._point = ControlPoint(interface=self.address, limits=self.limits)
        await self._point.__aenter__()
        self.port = self._point.port

    async def _leave(self) -> None:
        await self._point.__aexit__(None, None, None)


class UvloopControlPointListener(ControlPointListener):
    name = "ControlPoint on uvloop"
    factory = staticmethod(uvloop.new_event_loop)


class TwistedControlPointListener(_OnReactor, _SubscriberListener):
    name = "Twisted's ControlPoint"

    def _enter(self) -> None:
        self._point = TwistedControlPoint(reactor=self.reactor, limits=self.limits)
        self.port = self._point.listen(interface=self.address)

    def _leave(self) -> Any:
        return self._point.close()


class EventServerListener(_OnReactor, _SubscriberListener):
    name = "EventServer"

    def _enter(self) -> None:
        self._root = Resource()
        self._listen(Site(self._root, limits=self.limits, reactor=self.reactor))
        self.coherence = self
        self.hostname = self.address
        self.web_server_port = self.port
        self.server = EventServer(self, limits=self.limits)
        self.server.granted("uuid:own", None)  # it never has an event

    def add_web_resource(self, name: str, resource: Resource) -> None:
        self._root.putChild(name.encode(), resource)

    def propagate(self, event: Any) -> None:
        pass

    def _leave(self) -> Any:
        return self._leave_site()


LISTENERS: tuple[type[Any], ...] = (
    HostListener,
    UvloopHostListener,
    ServiceListener,
    SiteListener,
    EventSubscriptionListener,
    ControlPointListener,
    UvloopControlPointListener,
    TwistedControlPointListener,
    EventServerListener,
)
"""Every kind of listener."""


@contextlib.contextmanager
def running(kind: type[Any], *, address: str | None = None, **limits: Any) -> Iterator[Any]:
    """A listener of this kind, with these limits."""
    listener = kind(replace(DEFAULT_LIMITS, **limits), address=address)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
