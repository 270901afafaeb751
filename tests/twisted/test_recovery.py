"""Changes of addresses, clock jumps and failed connections, with the Twisted control point."""

from __future__ import annotations

import os
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure as Failed

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.requests import Failure
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.driver.machine import Interfaces
from propchange.driver.requests import Requests, failure_of
from propchange.driver.runtime import Timer
from propchange.errors import ConnectionFailed, PropchangeError, RemoteProtocolError, TimedOut
from propchange.twisted import ControlPoint
from propchange.twisted.runtime import TwistedRuntime
from tests.twisted.devices import Addresses, Device, reply

DEVICE = IPv4Address("TCP", "10.0.0.1", 8000)


def address(host: str) -> LocalAddress:
    return LocalAddress(host, 0, ip_network("10.0.0.0/24"), "eth0", 2)


class Machine:
    """A control point on a machine with addresses that the test says, and a device that the test
    answers for."""

    def __init__(self, reactor: Any, *hosts: str, interface: str = "") -> None:
        self.reactor = reactor
        self.hosts: list[str] = list(hosts)
        self.fails = False
        self.point = ControlPoint(reactor=reactor, interfaces=Addresses(self.addresses))
        host = interface or "0.0.0.0"
        port = SimpleNamespace(getHost=lambda: IPv4Address("TCP", host, 9000))
        reactor.listenTCP = lambda *_, **__: port
        self.point.listen(interface=interface or None)
        self.told: list[tuple[Status, Cause]] = []

    def addresses(self) -> list[LocalAddress]:
        if self.fails:
            raise OSError("no netlink here")
        return [address(host) for host in self.hosts]

    def subscribe(self) -> Any:
        subscription = self.point.subscribe(
            "http://10.0.0.1:8000/evt",
            lambda event: None,
            on_status=lambda change: self.told.append((change.status, change.cause)),
        )
        self.reactor.pump([0])
        return subscription

    def connected(self) -> tuple[Any, Any]:
        """Make the connection of the last request."""
        bound = self.reactor.tcpClients[-1][4]
        source = bound[0] if bound else "10.0.0.2"
        factory = self.reactor.tcpClients[-1][2]
        protocol = factory.buildProtocol(None)
        here = IPv4Address("TCP", source, 40_000)
        transport = StringTransport(hostAddress=here, peerAddress=DEVICE)
        protocol.makeConnection(transport)
        return protocol, transport

    def grant(self, sid: str) -> str:
        """Answer the SUBSCRIBE that is waiting; gives CALLBACK."""
        protocol, transport = self.connected()
        callback = transport.value().decode().partition("CALLBACK: <")[2].partition(">")[0]
        assert callback
        head = f"HTTP/1.1 200 OK\r\nSID: {sid}\r\nTIMEOUT: Second-300\r\nCONTENT-LENGTH: 0\r\n\r\n"
        protocol.dataReceived(head.encode())
        self.reactor.pump([0])
        return callback

    def part(self) -> None:
        """Answer the UNSUBSCRIBE that is waiting."""
        protocol, transport = self.connected()
        assert transport.value().startswith(b"UNSUBSCRIBE ")
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n")
        self.reactor.pump([0])

    def hear(self, subscription: Any, seq: int = 0) -> None:
        path = "/" + subscription.callback.partition("//")[2].partition("/")[2]
        host = subscription.callback.partition("//")[2].partition("/")[0]
        headers = [
            (b"HOST", host.encode()),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", subscription.sid.encode()),
            (b"SEQ", b"%d" % seq),
        ]
        request = Request(
            "NOTIFY",
            path,
            headers,
            format_propertyset([("A", "1")]),
            peer=Endpoint("10.0.0.1", 5),
            local=Endpoint(host.partition(":")[0], 9000),
        )
        assert self.point.receive_notify(request).status == 200
        self.reactor.pump([0])


def test_a_subscription_that_hears_nothing_is_made_again_from_another_address(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2", "10.0.0.3")
    subscription = machine.subscribe()
    assert machine.grant("uuid:1").startswith("http://10.0.0.2:9000/")
    reactor.advance(5)
    assert subscription.status is Status.DEAF
    assert subscription.status_cause is Cause.NO_INITIAL_EVENT
    assert "10.0.0.2:9000" in subscription.status_reason
    machine.part()
    assert [client[4] for client in reactor.tcpClients[1:]] == [("10.0.0.2", 0), ("10.0.0.3", 0)]
    assert machine.grant("uuid:2").startswith("http://10.0.0.3:9000/")
    machine.hear(subscription)
    assert machine.told == [
        (Status.DEAF, Cause.NO_INITIAL_EVENT),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_what_listens_on_one_address_subscribes_from_it_and_from_no_other(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2", "10.0.0.3", interface="10.0.0.3")
    machine.subscribe()
    assert reactor.tcpClients[0][4] == ("10.0.0.3", 0)
    assert machine.grant("uuid:1").startswith("http://10.0.0.3:9000/")
    for _ in range(12):
        reactor.advance(5)
    assert {client[4] for client in reactor.tcpClients} == {("10.0.0.3", 0)}


def test_an_address_that_this_machine_has_no_longer_is_noticed(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2")
    subscription = machine.subscribe()
    machine.grant("uuid:1")
    machine.hear(subscription)
    machine.hosts = ["10.0.0.9"]
    reactor.advance(3)
    assert subscription.status is Status.RESUBSCRIBING
    assert subscription.status_cause is Cause.ADDRESS_LOST
    machine.part()
    assert [client[4] for client in reactor.tcpClients[1:]] == [None, None]


def test_addresses_that_cannot_be_read_are_told_and_looked_for_again(
    reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(reactor, "10.0.0.2")
    machine.fails = True
    machine.subscribe()
    assert "no netlink here" in caplog.text
    machine.fails = False
    reactor.advance(3)
    assert machine.point._driver.protocol._renewal.addresses == (address("10.0.0.2"),)


def test_after_a_suspend_everything_is_subscribed_afresh(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2")
    subscription = machine.subscribe()
    machine.grant("uuid:1")
    machine.hear(subscription)
    reactor.advance(7_200)
    assert subscription.status_cause is Cause.SUSPENDED
    assert subscription.status_reason == "this machine or process stood still for 7197 s"
    reactor.advance(2)
    machine.grant("uuid:2")
    machine.hear(subscription)
    assert machine.told[1:] == [
        (Status.RESUBSCRIBING, Cause.SUSPENDED),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_a_renewal_that_is_refused_a_connection_is_told_at_once(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2")
    subscription = machine.subscribe()
    machine.grant("uuid:1")
    machine.hear(subscription)
    while len(reactor.tcpClients) == 1:
        reactor.advance(3)
    reactor.tcpClients[-1][2].clientConnectionFailed(
        None, Failed(error.ConnectionRefusedError(111, "Connection refused"))
    )
    assert machine.told[1:] == [(Status.RESUBSCRIBING, Cause.UNREACHABLE)]
    assert subscription.sid == "uuid:1"
    machine.point.device_returned(None)
    reactor.pump([0])
    assert len(reactor.tcpClients) == 3


def test_a_subscription_tells_how_it_stands(reactor: Any) -> None:
    machine = Machine(reactor, "10.0.0.2")
    subscription = machine.subscribe()
    assert (subscription.status_cause, subscription.status_reason) == (None, "")
    assert (subscription.granted, subscription.expires_in) == (None, None)
    assert subscription.event_url == "http://10.0.0.1:8000/evt"
    machine.grant("uuid:1")
    assert subscription.callback.startswith("http://10.0.0.2:9000/")
    reactor.advance(1)
    assert (subscription.granted, subscription.expires_in) == (300, 299)
    assert (subscription.last_event_at, subscription.accepted) == (None, None)
    machine.hear(subscription)
    assert subscription.last_event_at == machine.point.now
    assert (subscription.renewals, subscription.gaps) == (0, 0)


def test_a_timer_outlives_who_cleans_its_reactor_up(reactor: Any) -> None:
    called: list[float] = []
    later = TwistedRuntime(reactor).call_later
    timer = Timer(later, DEFAULT_LIMITS, called.append, clock=reactor.seconds)
    timer.set(20)
    for call in reactor.getDelayedCalls():
        call.cancel()
    timer.set(10)
    reactor.advance(10)
    assert called == [10]
    timer.set(None)
    assert reactor.getDelayedCalls() == []


# --- odd devices ---


def test_a_missed_event_is_made_good_by_a_fresh_subscription(reactor: Any) -> None:
    device = Device(reactor)
    subscription, events, changes = device.subscribe()
    device.notify(subscription, Temperature="20")
    device.notify(subscription, seq=2, Temperature="22")
    device.run(1)
    assert subscription.sid == "uuid:2"
    device.notify(subscription, Temperature="23")
    assert [event.is_initial for event in events] == [True, False, True]
    assert subscription.gaps == 1
    assert [(change.status, change.cause) for change in changes[1:]] == [
        (Status.RESUBSCRIBING, Cause.MISSED_EVENT),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_a_device_whose_seq_is_always_0_is_heard_all_the_same(
    reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(reactor)
    subscription, events, _ = device.subscribe()
    for degrees in range(20, 26):
        device.notify(subscription, seq=0, Temperature=str(degrees))
    assert subscription.values == {"Temperature": 25.0}
    assert len(events) == 6
    assert caplog.text.count("its SEQ means nothing") == 1
    assert device.sids == 1


def test_a_grant_of_one_second_is_renewed_and_no_more_often_than_once_a_second(
    reactor: Any,
) -> None:
    device = Device(reactor)
    short = reply(200, more="SID: uuid:1\r\nTIMEOUT: Second-1\r\n")
    device.answers["10.0.0.1:8000", "SUBSCRIBE", "/event"] = short
    subscription, _, _ = device.subscribe()
    device.notify(subscription, Temperature="20")
    device.run(60)
    asked = [method for _, method, _ in device.asked].count("SUBSCRIBE")
    assert 30 <= asked <= 64
    assert subscription.granted == 1


def test_what_an_application_raises_hinders_no_other_subscription(
    reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(reactor)
    subscription, events, _ = device.subscribe()

    def fails(_: object) -> None:
        raise ValueError("on purpose")

    remote = device.device()
    other = remote["Thermometer"].subscribe(fails, on_status=fails)
    device.run()
    for each in (other, subscription):
        assert device.notify(each, Temperature="20") == 200
    assert other.status is subscription.status is Status.ACTIVE
    assert len(events) == 1
    assert "on purpose" in caplog.text


# --- what went wrong ---


def no_connection(reactor: Any, cause: Exception) -> BaseException:
    """What the driver raises when Twisted does not connect for ``cause``."""
    exchange = Requests(TwistedRuntime(reactor), DEFAULT_LIMITS).exchange(
        Endpoint("10.0.0.1", 8000)
    )
    connected = Deferred.fromCoroutine(exchange.connect(None, 5.0))
    reactor.tcpClients[-1][2].clientConnectionFailed(None, Failed(cause))
    failed: list[Any] = []
    connected.addErrback(failed.append)
    error: BaseException = failed[0].value
    return error


@pytest.mark.parametrize(
    ("cause", "failure"),
    [
        (error.ConnectionRefusedError(111, ""), Failure.REFUSED),
        (error.NoRouteError(113, ""), Failure.UNREACHABLE),
        (error.TimeoutError(), Failure.UNREACHABLE),
        (error.ConnectBindError(99, ""), Failure.NO_SOURCE),
        (ConnectionFailed("it ended without an answer"), Failure.BROKEN),
        (RemoteProtocolError("no HTTP"), Failure.BROKEN),
        (TimedOut("no answer"), Failure.SILENCE),
        (None, Failure.SILENCE),
    ],
)
def test_what_went_wrong_is_known_by_the_errors_of_twisted(
    reactor: Any, cause: Any, failure: Failure
) -> None:
    if cause is not None and not isinstance(cause, PropchangeError):
        cause = no_connection(reactor, cause)
    assert failure_of(cause, Endpoint("10.0.0.2", 0)) is failure


def test_the_addresses_of_this_machine_are_read_with_their_networks() -> None:
    ips = [
        SimpleNamespace(ip="192.168.1.5", network_prefix=24),
        SimpleNamespace(ip=("fe80::5", 0, 2), network_prefix=64),
        SimpleNamespace(ip=("fd00::5", 0, 0), network_prefix=64),
    ]
    adapters = [SimpleNamespace(nice_name="eth0", index=2, ips=ips)]
    found = Interfaces(adapters=lambda: adapters).refresh()
    assert [(each.host, each.scope, str(each.network)) for each in found] == [
        ("192.168.1.5", 0, "192.168.1.0/24"),
        ("fe80::5", 2, "fe80::/64"),
        ("fd00::5", 0, "fd00::/64"),
    ]
    assert any(each.host == "127.0.0.1" for each in Interfaces().refresh())


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (error.getConnectError((113, "")), os.strerror(113)),
        (error.TimeoutError(), "no answer within 5 s"),
    ],
)
def test_a_connection_that_fails_is_told_in_plain_words(
    reactor: Any, cause: Exception, words: str
) -> None:
    assert str(no_connection(reactor, cause)) == f"no connection to 10.0.0.1:8000: {words}"
