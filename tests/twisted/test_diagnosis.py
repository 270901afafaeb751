"""The diagnosis in the reason of DEAF, by the Twisted control point."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from propchange.core.diagnosis.facts import Reach
from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.driver.machine import Machine
from propchange.twisted import ControlPoint
from propchange.twisted.site import Site
from tests.twisted.devices import Addresses, Device

DEVICE = IPv4Address("TCP", "10.0.0.1", 50_000)


class Later(Resource):
    """Its answer is being made."""

    isLeaf = True

    def render(self, request: Any) -> int:
        return NOT_DONE_YET


class Door:
    """A site that tells who connects, and the connections that a test makes to it."""

    def __init__(self, reactor: Any, limits: Limits = DEFAULT_LIMITS) -> None:
        self.callers = ConnectionHistory(limits)
        root = Resource()
        root.putChild(b"there", Resource())
        root.putChild(b"later", Later())
        reactor.advance(7.0)
        self.site = Site(root, limits=limits, reactor=reactor, history=self.callers)
        self.channels: list[Any] = []

    def connect(self, *sent: bytes) -> Any:
        channel = self.site.buildProtocol(DEVICE)
        channel.makeConnection(StringTransport(peerAddress=DEVICE))
        self.channels.append(channel)
        for data in sent:
            channel.dataReceived(data)
        return channel

    def end(self) -> None:
        for channel in self.channels:
            channel.connectionLost(Failure(ConnectionDone()))

    @property
    def device(self) -> Any:
        return self.callers.of("10.0.0.1")


def test_a_connection_that_asks_something_is_remembered(reactor: Any) -> None:
    door = Door(reactor)
    door.connect(b"GET /there HTTP/1.1\r\nHOST: x\r\n\r\n")
    door.end()

    assert (door.device.connections, door.device.connected_at, door.device.empty) == (1, 7.0, 0)


def test_a_connection_that_ends_without_a_request_is_remembered_as_that(reactor: Any) -> None:
    door = Door(reactor)
    door.connect(b"NOTIFY /there")
    door.end()

    assert (door.device.connections, door.device.empty, door.device.empty_at) == (1, 1, 7.0)


def test_what_is_no_request_is_remembered_with_its_reason(reactor: Any) -> None:
    door = Door(reactor)
    door.connect(b"what is this\r\n\r\n")
    door.end()

    assert (door.device.refused_status, door.device.empty) == (400, 0)
    assert door.device.refused_reason


def test_a_connection_that_found_no_room_is_remembered(reactor: Any) -> None:
    door = Door(reactor, Limits(connections_per_address=1))
    door.connect(b"GET /later HTTP/1.1\r\nHOST: x\r\n\r\n")
    assert b" 503 " in door.connect().transport.value()
    door.end()

    assert (door.device.connections, door.device.turned_away) == (1, 1)


@pytest.mark.parametrize(
    ("connects", "words"),
    [(False, "no connection from 10.0.0.1 in 5 s"), (True, "connects to 10.0.0.2:9000, but no")],
)
def test_the_reason_of_deaf_says_whether_the_device_has_come(
    reactor: Any, connects: bool, words: str
) -> None:
    sites: list[Site] = []
    port = SimpleNamespace(getHost=lambda: IPv4Address("TCP", "0.0.0.0", 9000))
    reactor.listenTCP = lambda _, site, **__: sites.append(site) or port
    point = ControlPoint(reactor=reactor, interfaces=Addresses(list))
    point.listen()
    reasons: list[str] = []
    point.subscribe(
        "http://10.0.0.1:8000/evt",
        lambda event: None,
        on_status=lambda change: reasons.append(change.reason),
    )
    reactor.pump([0])
    exchange = reactor.tcpClients[-1][2].buildProtocol(None)
    here = IPv4Address("TCP", "10.0.0.2", 40_000)
    exchange.makeConnection(StringTransport(hostAddress=here, peerAddress=DEVICE))
    exchange.dataReceived(
        b"HTTP/1.1 200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-300\r\nCONTENT-LENGTH: 0\r\n\r\n"
    )
    if connects:
        ends = StringTransport(hostAddress=here, peerAddress=DEVICE)
        sites[0].buildProtocol(DEVICE).makeConnection(ends)
    reactor.pump([0, 5.1])

    assert words in reasons[0]


# --- diagnose() ---


def outside(reactor: Any, **how: Any) -> Device:
    """A control point on a machine that looks as the test says, and a device."""
    own = LocalAddress("10.0.0.2", 0, ip_network("10.0.0.0/24"), "eth0", 2)
    how.setdefault("in_container", lambda: False)
    machine = Machine(
        source_towards=lambda device: "10.0.0.2", free_port=lambda host: 50_007, **how
    )
    device = Device(reactor, addresses=lambda: [own], machine=machine)
    # Its own listener, as a peer reaches it.
    device.put("10.0.0.2:9000")
    return device


def test_a_subscription_that_is_well_says_so(reactor: Any) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    device.notify(subscription, Temperature="20")
    device.run(60)
    diagnosis = device.result(subscription.diagnose())
    assert diagnosis.verdict is Verdict.EVENTS_ARRIVE
    told = dict(diagnosis.facts.lines())
    assert told["connecting to the device"] == "10.0.0.1:8000 accepts connections"
    assert told["source address"] == "10.0.0.2"
    assert told["listening on"] == "0.0.0.0:9000"
    assert "address 10.0.0.2/24" in told
    assert told["last event"].startswith("60 s ago") or "ago" in told["last event"]


def test_the_listener_is_asked_whether_it_can_be_reached_and_does_not_count_itself(
    reactor: Any,
) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    found: list[Any] = []
    subscription.diagnose().addCallback(found.append)
    reactor.pump([0])
    host, port, factory, _, bound = reactor.tcpClients.pop()
    assert (host, port, bound) == ("10.0.0.2", 9000, ("0.0.0.0", 50_007))
    # The connection comes in at the listener, from the port it left from.
    client = factory.buildProtocol(None)
    transport = StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.2", 9000))
    us = IPv4Address("TCP", "10.0.0.2", 50_007)
    channel = device.sites[0].buildProtocol(us)
    answer = StringTransport(peerAddress=us, hostAddress=IPv4Address("TCP", "10.0.0.2", 9000))
    channel.makeConnection(answer)
    client.makeConnection(transport)
    channel.dataReceived(transport.value())
    assert answer.value().startswith(b"HTTP/1.1 200 ")
    client.dataReceived(answer.value())
    device.run()
    (diagnosis,) = found
    assert dict(diagnosis.facts.lines())["connecting to ourselves"] == (
        "10.0.0.2:9000 accepts connections"
    )
    assert diagnosis.facts.connections == 0
    assert device.point._driver.history.of("10.0.0.2") is None
    stray = StringTransport(peerAddress=us, hostAddress=IPv4Address("TCP", "10.0.0.2", 9000))
    channel = device.sites[0].buildProtocol(us)
    channel.makeConnection(stray)
    channel.dataReceived(transport.value())
    assert stray.value().startswith(b"HTTP/1.1 412 ")


def test_somebody_else_at_the_advertised_address_is_told(reactor: Any) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    diagnosis = device.result(subscription.diagnose())
    assert diagnosis.facts.self_connect.reach is Reach.SOMEBODY_ELSE


def test_a_device_that_has_gone_and_a_listener_that_is_not_reached_are_told(reactor: Any) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    device.remove("10.0.0.1:8000")
    device.remove("10.0.0.2:9000")
    diagnosis = device.result(subscription.diagnose())
    assert diagnosis.facts.device_probe.reach is Reach.REFUSED
    assert diagnosis.facts.self_connect.reach is Reach.REFUSED


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "10.0.0.1:8000 does not answer (for 5 s)"),
        (NoRouteError(113, "no route"), "10.0.0.1:8000 does not answer (No route to host)"),
        (ConnectError(101, "none"), "10.0.0.1:8000 cannot be reached (Network is unreachable)"),
    ],
)
def test_what_connecting_to_the_device_comes_to_is_told(
    reactor: Any, error: Exception, told: str
) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    found: list[Any] = []
    subscription.diagnose().addCallback(found.append)
    reactor.tcpClients[-2][2].clientConnectionFailed(None, Failure(error))
    device.answered += 1
    device.run()
    assert dict(found[0].facts.lines())["connecting to the device"] == told


def test_a_subscription_that_is_closed_is_not_looked_into(reactor: Any) -> None:
    device = outside(reactor)
    subscription, _, _ = device.subscribe()
    device.result(subscription.close())
    asked = len(reactor.tcpClients)
    assert device.result(subscription.diagnose()).verdict is Verdict.CLOSED
    assert len(reactor.tcpClients) == asked


def test_addresses_that_cannot_be_read_hinder_no_diagnosis(reactor: Any) -> None:
    def fails() -> Any:
        raise OSError("no netlink here")

    device = Device(reactor, addresses=fails, machine=Machine(free_port=lambda _: 1))
    subscription, _, _ = device.subscribe()
    assert device.result(subscription.diagnose()).facts.own == ()
