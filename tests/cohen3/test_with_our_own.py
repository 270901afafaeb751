"""The classes of Cohen3's page with a service and a control point of ``propchange.twisted``."""

from __future__ import annotations

from typing import Any

import pytest

from propchange import StateVariable
from propchange import cohen3 as event
from propchange.twisted import ControlPoint, Service

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
GRANT = b"HTTP/1.1 200 OK\r\nSID: uuid:granted\r\nTIMEOUT: Second-300\r\nContent-Length: 0\r\n\r\n"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


@pytest.fixture
def thermometer(reactor: Any) -> Thermometer:
    return Thermometer(reactor=reactor)


@pytest.fixture
def server(thermometer: Thermometer, reactor: Any) -> event.EventSubscriptionServer:
    return event.EventSubscriptionServer(thermometer, reactor=reactor)


def only(responses: list[Any]) -> Any:
    (response,) = responses
    return response


def test_the_service_answers_by_itself_and_its_subscribers_look_like_cohen3s(
    thermometer: Thermometer,
    server: event.EventSubscriptionServer,
    serve: Any,
    reactor: Any,
    messages: Any,
) -> None:
    received: list[Any] = []
    server.bind(event_client_message_received=lambda *args: received.append(args))
    response = only(serve(server).send(messages.subscribe()))
    assert response.status == 200
    sid = response.fields[b"sid"].decode()
    reactor.pump([0, 0, 0.02, 0])
    reactor.accept()[0].dataReceived(OK)
    reactor.pump([0] * 2)
    assert received[0][0] == {"method": b"SUBSCRIBE", "path": b"/events"}
    assert [subscription.sid for subscription in thermometer.subscriptions] == [sid]
    assert list(server.subscribers) == [sid]
    assert len(server.subscribers) == 1
    subscriber = dict(server.subscribers[sid])
    assert isinstance(subscriber.pop("created"), float)
    assert subscriber == {
        "sid": sid,
        "callback": "http://127.0.0.1:9000/events",
        "seq": 1,
        "timeout": "Second-300",
    }
    assert thermometer.id == "urn:example-org:serviceId:Thermometer"
    with pytest.raises(KeyError):
        server.subscribers["uuid:unknown"]


def test_a_path_below_its_event_url_is_none(
    server: event.EventSubscriptionServer, serve: Any, messages: Any
) -> None:
    assert only(serve(server).send(messages.subscribe("/events/below"))).status == 404


def test_an_event_server_may_stand_for_its_listener(
    reactor: Any, serve: Any, messages: Any
) -> None:
    """The duck-typed interface: EventServer asks this control point."""
    point = ControlPoint(
        reactor=reactor, shared_path="/events", callback_host="127.0.0.1", callback_port=8080
    )
    wire = serve(event.EventServer(point))
    events: list[Any] = []
    point.subscribe("http://127.0.0.1:8081/evt", events.append)
    reactor.pump([0])
    protocol, transport = reactor.accept()
    assert b"CALLBACK: <http://127.0.0.1:8080/events>" in transport.value()
    protocol.dataReceived(GRANT)
    assert only(wire.send(messages.notify(SID="uuid:granted"))).status == 200
    assert only(wire.send(messages.notify(SID="uuid:stray"))).status == 412
    reactor.pump([0])
    assert events[0].changes["Volume"] == "30"
