"""A device in memory for a Twisted control point: it answers each request at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from propchange.core.local_addresses import InterfaceKind, LocalAddress
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.driver.machine import Interfaces
from propchange.http import RequestParser
from propchange.twisted import ControlPoint

HERE = "10.0.0.2"

DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
<specVersion><major>1</major><minor>1</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType>
<friendlyName>Workbench</friendlyName><UDN>uuid:workbench</UDN>
<serviceList><service><serviceType>urn:example-org:service:Thermometer:1</serviceType>
<serviceId>urn:example-org:serviceId:Thermometer</serviceId>
<SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL>
<eventSubURL>/event</eventSubURL></service></serviceList></device></root>
"""

SCPD = """<?xml version="1.0"?>
<scpd xmlns="urn:schemas-upnp-org:service-1-0">
<specVersion><major>1</major><minor>1</minor></specVersion>
<serviceStateTable><stateVariable sendEvents="yes"><name>Temperature</name>
<dataType>r4</dataType></stateVariable></serviceStateTable></scpd>
"""


def reply(status: int, body: str = "", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\n{more}CONTENT-LENGTH: {len(body)}\r\n\r\n"
    return (head + body).encode()


class Addresses(Interfaces):
    """A machine whose addresses are those that ``read`` gives."""

    def __init__(self, read: Callable[[], Iterable[LocalAddress]]) -> None:
        super().__init__(
            clock=lambda: 0.0,
            adapters=list,
            source_towards=lambda _: None,
            kind_of=lambda *_: InterfaceKind.ORDINARY,
        )
        self._given = read

    def refresh(self) -> tuple[LocalAddress, ...]:
        return tuple(self._given())

    addresses = refresh


class Device:
    """The devices that ``point`` talks to, by address: all that is at ``10.0.0.1:8000`` to begin
    with. ``answers`` maps ``(address, method, target)`` to an answer, or to what makes one."""

    def __init__(self, reactor: Any, **how: Any) -> None:
        self.reactor = reactor
        self.sites: list[Any] = []
        port = SimpleNamespace(
            getHost=lambda: IPv4Address("TCP", "0.0.0.0", 9000), stopListening=lambda: None
        )
        reactor.listenTCP = lambda _, site, **__: self.sites.append(site) or port
        interfaces = Addresses(how.pop("addresses", list))
        self.point = ControlPoint(reactor=reactor, interfaces=interfaces, **how)
        if how.get("listen", True):
            self.point.listen()
        self.sids = 0
        self.asked: list[tuple[str, str, str]] = []
        self.answers: dict[tuple[str, str, str], Any] = {}
        self.answered = 0
        self.put("10.0.0.1:8000")

    def put(self, address: str, description: str = DESCRIPTION, event: str = "/event") -> None:
        """Put a device at ``address``."""
        self.answers |= {
            (address, "GET", "/description.xml"): reply(200, description),
            (address, "GET", "/scpd.xml"): reply(200, SCPD),
            (address, "SUBSCRIBE", event): self.grant,
            (address, "UNSUBSCRIBE", event): reply(200),
        }

    def remove(self, address: str) -> None:
        """Remove the device at ``address``: connections are refused."""
        self.answers = {key: value for key, value in self.answers.items() if key[0] != address}

    def grant(self) -> bytes:
        self.sids += 1
        return reply(200, more=f"SID: uuid:{self.sids}\r\nTIMEOUT: Second-300\r\n")

    def restart(self, event: str = "/event") -> None:
        """Restart the device: it refuses the next request to it, which renews a forgotten SID."""
        key = ("10.0.0.1:8000", "SUBSCRIBE", event)

        def refuse() -> bytes:
            self.answers[key] = self.grant
            return reply(412)

        self.answers[key] = refuse

    def run(self, seconds: float = 0) -> None:
        """Answer all requests, and those that follow from them, and let time pass."""
        self.reactor.pump([0, 0])
        self._answer()
        while seconds > 0:
            self.reactor.advance(min(seconds, 1))
            seconds -= 1
            self._answer()

    def run_until(self, condition: Callable[[], object]) -> None:
        """The same, second by second, for an hour at most."""
        for _ in range(3_600):
            if condition():
                return
            self.run(1)
        raise AssertionError("it has not come about")

    def _answer(self) -> None:
        while self.answered < len(self.reactor.tcpClients):
            host, port, factory, _, bound = self.reactor.tcpClients[self.answered]
            self.answered += 1
            address = f"{host}:{port}"
            if not any(key[0] == address for key in self.answers):
                failure = Failure(ConnectionRefusedError(111, "Connection refused"))
                factory.clientConnectionFailed(None, failure)
                continue
            protocol = factory.buildProtocol(None)
            if protocol is None:  # the attempt was given up
                continue
            transport = StringTransport(
                hostAddress=IPv4Address("TCP", HERE, bound[1] if bound else 40_000),
                peerAddress=IPv4Address("TCP", host, port),
            )
            protocol.makeConnection(transport)
            self.reactor.pump([0])
            parser = RequestParser(self.point.limits, peer=None, local=None)
            requests = parser.feed(transport.value())
            for request in requests:
                key = (address, request.method, request.target)
                self.asked.append(key)
                found = self.answers.get(key, reply(404))
                protocol.dataReceived(found() if callable(found) else found)
            protocol.connectionLost(Failure(ConnectionDone()))
            self.reactor.pump([0, 0])

    def subscribe(self, **how: Any) -> tuple[Any, list[Any], list[Any]]:
        """A subscription to its thermometer, with its events and status changes."""
        events: list[Any] = []
        changes: list[Any] = []
        remote = self.device()
        subscription = remote["Thermometer"].subscribe(
            events.append, on_status=changes.append, **how
        )
        self.run()
        return subscription, events, changes

    def device(self, url: str = "http://10.0.0.1:8000/description.xml") -> Any:
        return self.result(self.point.device(url))

    def result(self, deferred: Any) -> Any:
        """The result of a Deferred, or its failure."""
        found: list[Any] = []
        deferred.addBoth(found.append)
        self.run()
        assert found, "it has not fired"
        return found[0]

    def notify(self, subscription: Any, seq: int = 0, sid: str = "", **values: str) -> int:
        """Send an event, and return the status of the answer."""
        host, _, path = subscription.callback.partition("//")[2].partition("/")
        headers = [
            (b"HOST", host.encode()),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", (sid or subscription.sid).encode()),
            (b"SEQ", b"%d" % seq),
        ]
        message = Request(
            "NOTIFY",
            f"/{path}",
            headers,
            format_propertyset(values.items()),
            peer=Endpoint("10.0.0.1", 5),
            local=Endpoint(HERE, 9000),
        )
        status = self.point.receive(message).status
        self.run()
        return status
