"""propchange.twisted.Service and ControlPoint, each alone in memory and one against the other."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.python.failure import Failure

from propchange import StateVariable, Status
from propchange.errors import ConnectionFailed, SubscriptionRefused
from propchange.twisted import ControlPoint, Service

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
GRANT = b"HTTP/1.1 200 OK\r\nSID: uuid:granted\r\nTIMEOUT: Second-300\r\nContent-Length: 0\r\n\r\n"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    humidity = StateVariable("ui1", initial=50, minimum_interval=10.0)


class Renderer(Service, type="urn:schemas-upnp-org:service:RenderingControl:1"):
    volume = StateVariable("ui2", initial=10, evented="LastChange")


@pytest.fixture
def thermometer(reactor: Any) -> Thermometer:
    return Thermometer(reactor=reactor)


@pytest.fixture
def point(reactor: Any) -> ControlPoint:
    point = ControlPoint(reactor=reactor)
    reactor.listenTCP = lambda port, site, interface="": _Port(site)
    point.listen()
    return point


class _Port:
    def __init__(self, site: Any) -> None:
        self.site = site
        self.listening = True

    def getHost(self) -> Any:
        from twisted.internet.address import IPv4Address

        return IPv4Address("TCP", "127.0.0.1", 9000)

    def stopListening(self) -> None:
        self.listening = False


def only(responses: list[Any]) -> Any:
    (response,) = responses
    return response


def subscribed(thermometer: Service, serve: Any, reactor: Any, messages: Any) -> tuple[Any, Any]:
    """The SID and the delivery connection, with the initial event answered."""
    wire = serve(thermometer.resource)
    response = only(wire.send(messages.subscribe()))
    assert response.status == 200
    reactor.pump([0, 0, 0.02, 0])
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    reactor.pump([0] * 2)
    return response.fields[b"sid"].decode(), transport


# --- the service ---


def test_assignments_are_events_in_order(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any
) -> None:
    heard = thermometer.subscribed()
    _, transport = subscribed(thermometer, serve, reactor, messages)
    assert heard.called
    assert b"<Temperature>20" in transport.value()
    transport.clear()
    thermometer.temperature = 20.5
    with thermometer.batch():
        thermometer.temperature = 31.0
        thermometer.alarm = True
    drained = thermometer.drained()
    reactor.pump([0] * 2)
    assert b"SEQ: 1\r\n" in transport.value()
    assert not drained.called
    transport.clear()
    transport.protocol.dataReceived(OK)
    reactor.pump([0] * 2)
    assert b"SEQ: 2\r\n" in transport.value()
    assert b"<Alarm>1</Alarm>" in transport.value()
    transport.protocol.dataReceived(OK)
    reactor.pump([0] * 2)
    assert drained.called


def test_a_moderated_variable_follows_when_it_is_due(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any
) -> None:
    _, transport = subscribed(thermometer, serve, reactor, messages)
    thermometer.humidity = 51
    reactor.pump([0] * 2)
    transport.protocol.dataReceived(OK)
    transport.clear()
    for value in (52, 53):
        thermometer.humidity = value
    reactor.pump([1] * 2)
    assert transport.value() == b""
    reactor.pump([10, 0])
    assert b"<Humidity>53</Humidity>" in transport.value()


def test_lastchange_is_evented(serve: Any, reactor: Any, messages: Any) -> None:
    renderer = Renderer(reactor=reactor)
    _, transport = subscribed(renderer, serve, reactor, messages)
    assert b"&lt;Volume" in transport.value()
    transport.clear()
    renderer.volume = 33
    reactor.pump([0] * 2)
    assert b"33" in transport.value()


def test_a_subscription_is_renewed_cancelled_and_expires(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any
) -> None:
    wire = serve(thermometer.resource)
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    assert only(wire.send(messages.renew(sid))).status == 200
    assert only(wire.send(messages.renew("uuid:unknown"))).status == 412
    assert only(wire.send(messages.unsubscribe(sid))).status == 200
    assert only(wire.send(messages.unsubscribe(sid))).status == 412
    response = only(wire.send(messages.subscribe(TIMEOUT="Second-60")))
    sid = response.fields[b"sid"].decode()
    reactor.pump([0] * 4)
    assert sid in [subscription.sid for subscription in thermometer.subscriptions]
    reactor.pump([30, 31])
    assert thermometer.subscriptions == ()


def test_an_answer_that_does_not_come_is_given_up(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any, caplog: Any
) -> None:
    _, transport = subscribed(thermometer, serve, reactor, messages)
    thermometer.alarm = True
    reactor.pump([0, 0])
    reactor.pump([31, 31])
    assert transport.disconnecting
    assert "did not reach" in caplog.text
    assert len(thermometer.subscriptions) == 1


def test_another_thread_may_not_assign(thermometer: Thermometer) -> None:
    assert thermometer.resource is thermometer.resource
    raised: list[BaseException] = []

    def assign() -> None:
        try:
            thermometer.temperature = 5.0
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=assign)
    thread.start()
    thread.join()
    assert "reactor.callFromThread" in str(raised[0])


def test_a_closed_service_leaves_nothing_with_the_reactor(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any
) -> None:
    resource = thermometer.resource
    wire = serve(resource)
    wire.send(messages.subscribe())
    thermometer.temperature = 1.0
    waiting = thermometer.drained()
    waiting.addErrback(lambda _: None)
    closed = thermometer.close()
    assert closed.called
    wire.close()
    reactor.pump([0] * 4)
    assert reactor.getDelayedCalls() == []
    thermometer.temperature = 2.0  # sets the value and sends nothing
    assert only(serve(resource).send(messages.subscribe())).status == 503
    with pytest.raises(RuntimeError, match="closed"):
        thermometer.drained()


def test_closing_a_service_ends_its_delivery_connections(
    thermometer: Thermometer, serve: Any, reactor: Any, messages: Any
) -> None:
    _, transport = subscribed(thermometer, serve, reactor, messages)
    assert not transport.disconnecting
    closed = thermometer.close()
    assert transport.disconnecting
    assert not closed.called
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert closed.called


# --- the control point ---


def port_of(point: ControlPoint) -> Any:
    listening: Any = point._driver.listener._listening
    (port,) = listening[None].ports
    return port


def listening(point: ControlPoint, connect: Any) -> Any:
    return connect(port_of(point).site, local=_Port(None).getHost())


def granted(point: ControlPoint, reactor: Any, **how: Any) -> tuple[Any, list[Any], list[Any], str]:
    events: list[Any] = []
    changes: list[Any] = []
    subscription = point.subscribe(
        "http://127.0.0.1:8080/evt", events.append, on_status=changes.append, **how
    )
    reactor.pump([0])
    protocol, transport = reactor.accept()
    callback = transport.value().decode().partition("CALLBACK: <http://127.0.0.1:9000")[2]
    protocol.dataReceived(GRANT)
    reactor.pump([0])
    return subscription, events, changes, callback.partition(">")[0]


def test_a_control_point_subscribes_and_gets_events(
    point: ControlPoint, reactor: Any, connect: Any, messages: Any
) -> None:
    subscription, events, changes, path = granted(point, reactor)
    assert len(path) > 20
    wire = listening(point, connect)
    sent = messages.notify(path=path, SID="uuid:granted", HOST="127.0.0.1:9000")
    assert only(wire.send(sent)).status == 200
    reactor.pump([0])
    assert events[0].is_initial
    assert dict(events[0].changes) == dict(subscription.values) == {"Volume": "30", "Mute": "0"}
    assert (subscription.sid, subscription.status) == ("uuid:granted", Status.ACTIVE)
    assert [change.status for change in changes] == [Status.ACTIVE]
    stray = messages.notify(path="/events", SID="uuid:granted", HOST="127.0.0.1:9000")
    assert only(wire.send(stray)).status == 412
    large = messages.notify(b"x" * 2_000_000, path=path, HOST="127.0.0.1:9000")
    assert only(wire.send(large)).status == 413


def test_a_control_point_renews_and_subscribes_again_when_the_device_forgot(
    point: ControlPoint, reactor: Any, connect: Any, messages: Any
) -> None:
    subscription, _, changes, path = granted(point, reactor)
    wire = listening(point, connect)
    wire.send(messages.notify(path=path, SID="uuid:granted", HOST="127.0.0.1:9000"))
    while len(reactor.tcpClients) == 1:
        reactor.advance(10)
    assert 110 <= reactor.seconds() <= 160  # the grant was 300 s
    protocol, transport = reactor.accept()
    assert b"SID: uuid:granted\r\n" in transport.value()
    protocol.dataReceived(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    reactor.pump([0])
    protocol, transport = reactor.accept()
    assert b"CALLBACK:" in transport.value()
    assert subscription.status is Status.RESUBSCRIBING
    protocol.dataReceived(GRANT.replace(b"granted", b"second"))
    assert subscription.sid == "uuid:second"
    assert changes[-1].status in (Status.DEAF, Status.RESUBSCRIBING)


def test_a_refusal_is_told_to_who_does_not_persist(point: ControlPoint, reactor: Any) -> None:
    subscription = point.subscribe("http://127.0.0.1:8080/evt", print, wait=True)
    failed: list[Any] = []
    assert subscription.when_granted is not None
    subscription.when_granted.addErrback(failed.append)
    reactor.pump([0])
    reactor.accept()[0].dataReceived(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    assert failed[0].check(SubscriptionRefused)
    assert failed[0].value.status == 503


def test_a_control_point_keeps_no_subscription_that_was_refused(
    point: ControlPoint, reactor: Any
) -> None:
    for count in range(1, 4):
        changes: list[Any] = []
        subscription = point.subscribe(
            "http://127.0.0.1:8080/evt", print, on_status=changes.append, wait=True
        )
        assert subscription.when_granted is not None
        subscription.when_granted.addErrback(lambda _: None)
        reactor.pump([0])
        reactor.accept()[0].dataReceived(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        assert [each.status for each in changes] == [Status.REFUSED, Status.CLOSED]
        assert subscription.closed.called
        assert subscription.close().called
        stats = point.stats()
        assert stats.subscriptions[Status.REFUSED] == 0
        assert stats.status_changes[Status.REFUSED] == count


def test_a_device_that_is_away_is_told_or_tried_again(point: ControlPoint, reactor: Any) -> None:
    once = point.subscribe("http://127.0.0.1:8080/evt", print, wait=True)
    failed: list[Any] = []
    assert once.when_granted is not None
    once.when_granted.addErrback(failed.append)
    reactor.pump([0])
    refuse(reactor)
    assert failed[0].check(ConnectionFailed)
    point.subscribe("http://127.0.0.1:8080/evt", print)
    reactor.pump([0])
    refuse(reactor)
    count = len(reactor.tcpClients)
    reactor.pump([0.5, 0.5])
    assert len(reactor.tcpClients) == count + 1


def refuse(reactor: Any) -> None:
    factory = reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))


def test_a_307_is_followed(point: ControlPoint, reactor: Any) -> None:
    point.subscribe("http://127.0.0.1:8080/evt", print)
    reactor.pump([0])
    reactor.accept()[0].dataReceived(
        b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:8081/moved\r\nContent-Length: 0\r\n\r\n"
    )
    assert reactor.tcpClients[-1][:2] == ("127.0.0.1", 8081)
    sent = reactor.accept()[1].value()
    assert sent.startswith(b"SUBSCRIBE /moved HTTP/1.1\r\nHOST: 127.0.0.1:8081\r\n")


def test_few_requests_go_to_one_device_at_once(point: ControlPoint, reactor: Any) -> None:
    for _ in range(6):
        point.subscribe("http://127.0.0.1:8080/evt", print)
    reactor.pump([0])
    assert len(reactor.tcpClients) == 3  # one slot is left for calls of actions
    reactor.accept(0)[0].dataReceived(GRANT)
    assert len(reactor.tcpClients) == 4


def test_a_listener_that_raises_is_logged(
    point: ControlPoint, reactor: Any, connect: Any, messages: Any, caplog: Any
) -> None:
    subscription, _, _, path = granted(point, reactor)

    def broken(_: object) -> None:
        raise ValueError("on purpose")

    subscription.on_event = broken
    wire = listening(point, connect)
    sent = messages.notify(path=path, SID="uuid:granted", HOST="127.0.0.1:9000")
    assert only(wire.send(sent)).status == 200
    reactor.pump([0])
    assert "on purpose" in caplog.text


def test_closing_unsubscribes_and_leaves_nothing(point: ControlPoint, reactor: Any) -> None:
    subscription, _, changes, _ = granted(point, reactor)
    port = port_of(point)
    closed: list[Any] = []
    point.close().addCallback(closed.append)
    protocol, transport = reactor.accept()
    assert transport.value().startswith(b"UNSUBSCRIBE /evt HTTP/1.1\r\n")
    assert closed == []
    protocol.dataReceived(OK)
    assert not port.listening
    assert closed == []
    for accepted in reactor.accepted:
        accepted.connectionLost(Failure(ConnectionDone()))
    assert closed == [None]
    assert changes[-1].status is Status.CLOSED
    assert subscription.close().called
    reactor.pump([0])
    assert reactor.getDelayedCalls() == []


def test_after_closing_it_says_that_it_was_closed(point: ControlPoint) -> None:
    with pytest.raises(RuntimeError, match="listens already"):
        point.listen()
    assert point.close().called
    with pytest.raises(RuntimeError, match="closed"):
        point.listen()
    with pytest.raises(RuntimeError, match="closed"):
        point.subscribe("http://127.0.0.1/evt", print)
    assert point.close().called


def test_closing_before_a_grant_fails_it(point: ControlPoint, reactor: Any) -> None:
    subscription = point.subscribe("http://127.0.0.1:8080/evt", print, wait=True)
    assert subscription.when_granted is not None
    failures: list[Any] = []
    subscription.when_granted.addErrback(failures.append)
    reactor.pump([0])
    point.close()
    reactor.pump([1] * 40)
    assert failures[0].check(ConnectionFailed)


def test_a_rebooted_device_is_subscribed_afresh(point: ControlPoint, reactor: Any) -> None:
    granted(point, reactor, device="uuid:device")
    count = len(reactor.tcpClients)
    point.device_rebooted("uuid:device")
    reactor.pump([0])
    assert len(reactor.tcpClients) == count + 1
    point.device_gone("uuid:device")


def test_before_it_listens_it_cannot_subscribe(reactor: Any) -> None:
    with pytest.raises(RuntimeError, match="listen"):
        ControlPoint(reactor=reactor).subscribe("http://127.0.0.1/evt", print)


def test_a_service_without_evented_variables_cannot_be_listened_for_and_says_why(
    reactor: Any,
) -> None:
    quiet = Service(
        reactor=reactor,
        type="urn:example-org:service:Quiet:1",
        variables=[StateVariable("ui1", name="Level", evented=False)],
    )
    for _ in range(2):  # the first failure leaves nothing behind
        with pytest.raises(ValueError, match="has no evented variable, so nobody can subscribe"):
            quiet.listen()
    quiet["Level"] = 3
    assert quiet["Level"] == 3
