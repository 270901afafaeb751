"""A device that Twisted hosts: its Deferreds, its reactor, and what the other runtime has too."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

import propchange
from propchange import Device, Request, Response, Service, StateVariable
from propchange.twisted import HostedDevice, host
from tests.twisted.conftest import DEVICE, PEER, Transport

GET = b"GET /description.xml HTTP/1.1\r\nHOST: 127.0.0.1:8080\r\n\r\n"
POST = b"POST /Lamp/control HTTP/1.1\r\nHOST: 127.0.0.1:8080\r\nCONTENT-LENGTH: 0\r\n\r\n"
SUBSCRIBE = (
    b"SUBSCRIBE /Lamp/event HTTP/1.1\r\nHOST: 127.0.0.1:8080\r\nNT: upnp:event\r\n"
    b"CALLBACK: <http://127.0.0.1:9/>\r\n\r\n"
)


class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    lit = StateVariable("boolean")


@pytest.fixture
def reactor() -> Any:
    return MemoryReactorClock()


@pytest.fixture
def lamp() -> Lamp:
    return Lamp()


def hosted(reactor: Any, lamp: Lamp) -> HostedDevice:
    device = Device("Ceiling", services=[lamp])
    return host(device, reactor=reactor, interface="127.0.0.1", port=8080, announce=False)


def results(deferred: Deferred[Any]) -> list[Any]:
    """The result of ``deferred``, or its error, once it is there."""
    there: list[Any] = []
    deferred.addCallbacks(there.append, lambda failure: there.append(failure.value))
    return there


def connect(reactor: Any) -> Any:
    """The transport of a new connection to the device."""
    protocol = reactor.tcpServers[0][1].buildProtocol(PEER)
    transport = Transport(hostAddress=DEVICE, peerAddress=PEER)
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport


def test_both_runtimes_host_with_the_same_settings() -> None:
    settings = dict(inspect.signature(host).parameters)
    assert settings.pop("reactor").default is None
    expected = inspect.signature(propchange.host).parameters
    assert list(settings) == list(expected)
    assert {name: each.default for name, each in settings.items()} == {
        name: each.default for name, each in expected.items()
    }


def test_a_device_is_hosted_on_the_reactor_that_is_given(reactor: Any, lamp: Lamp) -> None:
    device = hosted(reactor, lamp)
    assert reactor.tcpServers == []
    opened = results(device.open())
    assert opened == [device]
    ((port, _, _, interface),) = reactor.tcpServers
    assert (port, interface) == (8080, "127.0.0.1")
    transport = connect(reactor)
    transport.protocol.dataReceived(GET)
    assert b"<friendlyName>Ceiling</friendlyName>" in transport.value()
    ended = results(device.close())
    assert not lamp.hosted
    assert ended == []
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert ended == [None]


def test_what_cannot_be_done_yet_or_any_more_fails_the_deferred(reactor: Any, lamp: Lamp) -> None:
    device = hosted(reactor, lamp)
    for too_early in (device.subscribed(), device.drain()):
        (error,) = results(too_early)
        assert str(error) == "the device is not on the network: call open() first"
    device.open()
    (error,) = results(device.open())
    assert "entered once" in str(error)
    waiting = results(device.subscribed())
    assert waiting == []
    device.close()
    (error,) = waiting
    assert "has left the network before" in str(error)


def test_drain_fires_after_its_timeout_on_the_clock_of_the_reactor(
    reactor: Any, lamp: Lamp
) -> None:
    device = hosted(reactor, lamp)
    device.open()
    assert results(device.drain()) == [True]
    transport = connect(reactor)
    transport.protocol.dataReceived(SUBSCRIBE)
    assert b"200 OK" in transport.value()
    drained = results(device.drain(timeout=2))
    reactor.advance(1.9)
    assert drained == []
    reactor.advance(0.2)
    assert drained == [False]


def test_an_action_may_be_answered_later_with_a_deferred(reactor: Any, lamp: Lamp) -> None:
    answer: Deferred[Response] = Deferred()

    def on_action(request: Request) -> Deferred[Response]:
        return answer

    lamp.on_action = on_action
    hosted(reactor, lamp).open()
    transport = connect(reactor)
    transport.protocol.dataReceived(POST)
    assert transport.value() == b""
    answer.callback(Response(200, (), b"<done/>"))
    assert transport.value().endswith(b"<done/>")


def test_a_coroutine_enters_it_with_async_with(reactor: Any, lamp: Lamp) -> None:
    async def program() -> bool:
        async with hosted(reactor, lamp) as device:
            assert device.port == 8080
            assert lamp.hosted
        return lamp.hosted

    assert results(Deferred.fromCoroutine(program())) == [False]


def test_a_reactor_that_stops_waits_until_its_devices_have_left_the_network(
    reactor: Any, lamp: Lamp
) -> None:
    (left, open_one) = (hosted(reactor, lamp), hosted(reactor, Lamp()))
    for each in (left, open_one):
        each.open()
    left.close()
    ((stop, arguments, options),) = reactor.triggers["before"]["shutdown"]
    stopping = stop(*arguments, **options)
    reactor.advance(5)
    assert len(results(stopping)) == 1
    assert "ended" in repr(open_one)
