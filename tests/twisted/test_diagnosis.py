"""Why no events come, as the Twisted control point tells it in the reason of DEAF."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from propchange.core.callers import Callers
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.twisted import ControlPoint
from propchange.twisted.site import Site

DEVICE = IPv4Address("TCP", "10.0.0.1", 50_000)


class Door:
    """A site that tells who connects, and the connections that a test makes to it."""

    def __init__(self, reactor: Any, limits: Limits = DEFAULT_LIMITS) -> None:
        self.callers = Callers(limits)
        root = Resource()
        root.putChild(b"there", Resource())
        self.site = Site(
            root, limits=limits, reactor=reactor, callers=self.callers, clock=lambda: 7.0
        )
        self.channels: list[Any] = []

    def connect(self, *sent: bytes) -> Any:
        channel = self.site.buildProtocol(DEVICE)
        if channel is not None:
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


def test_who_finds_no_room_is_remembered(reactor: Any) -> None:
    door = Door(reactor, Limits(connections_per_address=1))
    door.connect(b"GET")
    assert door.connect() is None
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
    point = ControlPoint(reactor=reactor, addresses=list)
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
        sites[0].buildProtocol(DEVICE)
    reactor.pump([0, 5.1])

    assert words in reasons[0]
