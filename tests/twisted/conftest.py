"""What the tests of the Twisted front share: a reactor whose clock the test owns, a web server in
memory, and requests to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Response
from propchange.http import ResponseParser

DEVICE = IPv4Address("TCP", "127.0.0.1", 8080)
PEER = IPv4Address("TCP", "127.0.0.1", 40000)


class Reactor(MemoryReactorClock):
    """A reactor that connects when the test asks for it, to a transport that the test reads.
    ``accepted`` are the protocols of the connections that were made."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[Any] = []

    def accept(self, number: int = -1, peer: Any = DEVICE) -> tuple[Any, StringTransport]:
        """Make the connection that was asked for with that number."""
        factory = self.tcpClients[number][2]
        protocol = factory.buildProtocol(None)
        transport = Transport(hostAddress=PEER, peerAddress=peer)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.accepted.append(protocol)
        return protocol, transport


class Transport(StringTransport):
    protocol: Any = None

    def abortConnection(self) -> None:
        super().abortConnection()
        self.loseConnection()


class Wire:
    """One connection to a site in memory."""

    def __init__(self, site: Site, *, peer: Any = PEER, local: Any = DEVICE) -> None:
        self.transport = Transport(hostAddress=local, peerAddress=peer)
        self.channel = site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)
        self._parser = ResponseParser(DEFAULT_LIMITS)

    def send(self, data: bytes, *, step: int = 0) -> list[Response]:
        """Send bytes, ``step`` at a time, and give the responses that came."""
        for start in range(0, len(data), step or len(data)):
            self.channel.dataReceived(data[start : start + (step or len(data))])
        return self.read()

    def close(self) -> None:
        """The peer ends the connection."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    def read(self) -> list[Response]:
        data = self.transport.value()
        self.transport.clear()
        responses = self._parser.feed(data) if data else []
        while self._parser.rest:
            responses += self._parser.feed(b"")
        return responses


@pytest.fixture
def connect() -> type[Wire]:
    """``connect(site)`` is a connection to it."""
    return Wire


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def serve(reactor: Reactor) -> Callable[..., Wire]:
    """``serve(resource, name)`` puts a resource at /name and gives a connection to it."""

    def serve(resource: Resource, name: bytes = b"events", **ends: Any) -> Wire:
        root = Resource()
        root.putChild(name, resource)
        return Wire(Site(root, reactor=reactor), **ends)

    return serve


BODY = (
    b'<?xml version="1.0"?>\n'
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    b"<e:property><Volume>30</Volume></e:property>"
    b"<e:property><Mute>0</Mute></e:property></e:propertyset>"
)


def notify(body: bytes = BODY, *, path: str = "/events", **changes: str | None) -> bytes:
    """A NOTIFY; a header is changed or, with None, left out by its name, _ for -."""
    headers: dict[str, str | None] = {
        "HOST": "127.0.0.1:8080",
        "CONTENT-TYPE": 'text/xml; charset="utf-8"',
        "NT": "upnp:event",
        "NTS": "upnp:propchange",
        "SID": "uuid:one",
        "SEQ": "0",
        "CONTENT-LENGTH": str(len(body)),
    }
    return request("NOTIFY", path, headers, body, changes)


def subscribe(path: str = "/events", **changes: str | None) -> bytes:
    headers: dict[str, str | None] = {
        "HOST": "127.0.0.1:8080",
        "CALLBACK": "<http://127.0.0.1:9000/events>",
        "NT": "upnp:event",
        "TIMEOUT": "Second-300",
    }
    return request("SUBSCRIBE", path, headers, b"", changes)


def renew(sid: str, path: str = "/events", **changes: str | None) -> bytes:
    return subscribe(path, CALLBACK=None, NT=None, SID=sid, **changes)


def unsubscribe(sid: str | None, path: str = "/events", **changes: str | None) -> bytes:
    headers: dict[str, str | None] = {"HOST": "127.0.0.1:8080", "SID": sid}
    return request("UNSUBSCRIBE", path, headers, b"", changes)


def request(
    method: str,
    path: str,
    headers: dict[str, str | None],
    body: bytes,
    changes: dict[str, str | None],
) -> bytes:
    headers = headers | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Messages:
    """The builders of requests, for tests."""

    body = BODY
    notify = staticmethod(notify)
    subscribe = staticmethod(subscribe)
    renew = staticmethod(renew)
    unsubscribe = staticmethod(unsubscribe)


@pytest.fixture
def messages() -> type[Messages]:
    return Messages
