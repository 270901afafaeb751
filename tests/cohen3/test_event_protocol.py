"""EventProtocol, subscribe() and unsubscribe(): requests to a device and its answers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from propchange import cohen3 as event
from propchange.cohen3 import event_server
from propchange.core.wire.messages import Endpoint
from propchange.errors import LocalProtocolError

GRANT = b"HTTP/1.1 200 OK\r\nSID: uuid:granted\r\nTIMEOUT: Second-300\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def delivery_url() -> None:
    event.hostname, event.web_server_port = "127.0.0.1", 9000


def lines(transport: StringTransport) -> list[str]:
    return transport.value().decode().split("\r\n")


def result_of(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it has not fired"
    return results[0]


# --- the protocol alone ---


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_an_answer_is_read_in_any_number_of_chunks(service: Any, reactor: Any, step: int) -> None:
    protocol = event.EventProtocol(service, "subscribe", reactor=reactor)
    service.event_connection = protocol
    transport = StringTransport()
    protocol.makeConnection(transport)
    for start in range(0, len(GRANT), step):
        protocol.dataReceived(GRANT[start : start + step])
    assert (service.sid, service.told_timeouts) == ("uuid:granted", [300])
    assert service.event_connection is None
    assert transport.disconnecting
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("timeout", "told"),
    [
        ("Second-1800", 1800),
        ("second-300", 300),
        ("Second-infinite", 1800),
        ("infinite", 1800),
        ("300", 300),
        ("junk", 1800),
        # A service of Cohen3's renews 30 s before what it is told: at half of a short grant.
        ("Second-60", 60),
        ("Second-50", 55),
        ("Second-31", 45),
        ("Second-30", 45),
        ("Second-1", 31),
    ],
)
def test_whatever_is_granted_will_be_renewed(
    service: Any, reactor: Any, timeout: str, told: int
) -> None:
    protocol = event.EventProtocol(service, "subscribe", reactor=reactor)
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(GRANT.replace(b"Second-300", timeout.encode()))
    assert service.told_timeouts == [told]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTIMEOUT: Second-300\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_subscribe_that_is_not_granted_is_told_as_an_empty_event(
    service: Any, reactor: Any, answer: bytes
) -> None:
    protocol = event.EventProtocol(service, "subscribe", reactor=reactor)
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(answer)
    assert (service.sid, service.processed) == (None, [{}])


def test_teardown_ends_the_connection(service: Any, reactor: Any) -> None:
    protocol = service.event_connection = event.EventProtocol(service, "subscribe", reactor=reactor)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.teardown()
    protocol.teardown()
    assert transport.disconnecting
    assert service.event_connection is None
    assert reactor.getDelayedCalls() == []


def test_a_service_that_fails_is_logged_and_the_connection_ended(
    service: Any, reactor: Any, caplog: Any
) -> None:
    def broken(_: object) -> None:
        raise ValueError("on purpose")

    service.set_sid = broken
    protocol = event.EventProtocol(service, "subscribe", reactor=reactor)
    transport = StringTransport()
    protocol.makeConnection(transport)
    with caplog.at_level(logging.ERROR, "event_protocol"):
        protocol.dataReceived(GRANT)
    assert transport.disconnecting
    assert "on purpose" in caplog.text


# --- subscribe() ---


@pytest.mark.clause("SUB-10")
def test_a_new_subscription_is_asked_for_and_fires_with_the_answer(
    service: Any, reactor: Any
) -> None:
    deferred = event.subscribe(service, reactor=reactor)
    assert reactor.tcpClients[0][:2] == ("127.0.0.1", 8080)
    protocol, transport = reactor.accept()
    sent = lines(transport)
    assert sent[0] == "SUBSCRIBE /RenderingControl/subscribe HTTP/1.1"
    assert {
        "HOST: 127.0.0.1:8080",
        "CALLBACK: <http://127.0.0.1:9000/events>",
        "NT: upnp:event",
        "TIMEOUT: Second-1800",
    } <= set(sent)
    assert isinstance(service.event_connection, event.EventProtocol)
    assert not deferred.called
    for byte in GRANT:
        protocol.dataReceived(bytes([byte]))
    response = result_of(deferred)
    assert response.status == 200
    assert response.headers["sid"] == "uuid:granted"
    status, headers = response
    assert (status, headers["timeout"]) == (200, "Second-300")
    assert (service.sid, service.timeout, service.event_connection) == ("uuid:granted", 300, None)


@pytest.mark.clause("V6-03", "V6-04", "V6-05", "V6-06", "V6-07")
@pytest.mark.parametrize(
    ("host", "local", "named"),
    [
        ("192.0.2.1", Endpoint("192.0.2.5", 1), "192.0.2.1"),
        ("fd00::1", Endpoint("fd00::5", 1), "[fd00::1]"),
        ("point.example", Endpoint("192.0.2.5", 1), "point.example"),
        ("127.0.0.1", Endpoint("::1", 1), "[::1]"),
        ("fd00::1", Endpoint("192.0.2.5", 1), "192.0.2.5"),
        ("192.0.2.1", Endpoint("fe80::5", 1, 3), "[fe80::5]"),
        ("fe80::1%eth0", Endpoint("fe80::1", 1, 3), "[fe80::1]"),
        ("fe80::1%eth0", Endpoint("fe80::5", 1, 3), "[fe80::5]"),
        ("fd00::1", Endpoint("fe80::5", 1, 3), "[fe80::5]"),
        ("fe80::1", Endpoint("fd00::5", 1), "[fd00::5]"),
        ("127.0.0.1", Endpoint("192.0.2.5", 1), "192.0.2.5"),
        ("192.0.2.1", Endpoint("127.0.0.1", 1), "127.0.0.1"),
        ("0.0.0.0", Endpoint("192.0.2.5", 1), "192.0.2.5"),
        ("::", Endpoint("fd00::5", 1), "[fd00::5]"),
    ],
)
def test_a_device_is_given_an_address_of_the_family_and_scope_of_the_connection(
    host: str, local: Endpoint, named: str
) -> None:
    event.hostname = host
    assert event_server.delivery_url(local) == f"http://{named}:9000/events"


@pytest.mark.clause("REN-02")
def test_with_a_sid_it_is_a_renewal(service: Any, reactor: Any) -> None:
    service.sid, service.timeout = "uuid:granted", 300
    deferred = event.subscribe(service, reactor=reactor)
    protocol, transport = reactor.accept()
    sent = transport.value().decode()
    assert "SID: uuid:granted\r\n" in sent
    assert "TIMEOUT: Second-300\r\n" in sent
    assert "CALLBACK" not in sent
    assert "NT:" not in sent
    protocol.dataReceived(GRANT)
    assert result_of(deferred).status == 200
    assert service.told_timeouts == [300]


@pytest.mark.clause("REN-12")
def test_a_renewal_that_is_refused_leads_to_a_new_subscription(
    service: Any, reactor: Any, caplog: Any
) -> None:
    service.sid = "uuid:forgotten"
    deferred = event.subscribe(service, reactor=reactor)
    protocol, _ = reactor.accept()
    protocol.dataReceived(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
    assert result_of(deferred).status == 412
    assert "subscribe was answered with 412" in caplog.text
    assert "has forgotten uuid:forgotten: subscribing afresh" in caplog.text
    assert service.sid is None
    protocol, transport = reactor.accept()
    assert "CALLBACK:" in transport.value().decode()
    protocol.dataReceived(GRANT)
    assert service.sid == "uuid:granted"


def refuse(reactor: Any) -> None:
    factory = reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(reactor.connectors[-1], Failure(ConnectionRefusedError()))


def test_without_an_answer_it_fires_with_none_and_says_so(
    service: Any, reactor: Any, caplog: Any
) -> None:
    deferred = event.subscribe(service, reactor=reactor)
    refuse(reactor)
    assert result_of(deferred) is None
    assert "no connection to 127.0.0.1:8080" in caplog.text
    service.event_connection.teardown()
    assert service.event_connection is None
    assert reactor.getDelayedCalls() == []


def granted(service: Any, reactor: Any, answer: bytes = GRANT) -> StringTransport:
    """Answer the newest request; what it was is in the transport."""
    protocol, transport = reactor.accept()
    protocol.dataReceived(answer)
    protocol.connectionLost(Failure(ConnectionRefusedError()))
    return transport


def test_a_renewal_without_an_answer_is_tried_again_with_growing_pauses(
    service: Any, reactor: Any, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "event_protocol")
    event.subscribe(service, reactor=reactor)
    granted(service, reactor)
    event.subscribe(service, reactor=reactor)
    for number, pause in enumerate([1, 2]):
        refuse(reactor)
        reactor.advance(pause - 0.5)
        assert len(reactor.tcpClients) == number + 2
        reactor.advance(0.5)
        assert len(reactor.tcpClients) == number + 3
    assert "/RenderingControl/subscribe is asked again in 2 s" in caplog.text
    assert "SID: uuid:granted" in lines(granted(service, reactor))
    assert service.told_timeouts == [300, 300]
    assert reactor.getDelayedCalls() == []


@pytest.mark.clause("CP-04")
def test_a_device_that_answers_no_renewal_is_subscribed_to_afresh(
    service: Any, reactor: Any, caplog: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    granted(service, reactor)
    event.subscribe(service, reactor=reactor)
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        refuse(reactor)
        assert service.sid == ("uuid:granted" if number < 2 else None)
        reactor.advance(pause)
    assert "no renewal of uuid:granted was answered: subscribing afresh" in caplog.text
    assert "NT: upnp:event" in lines(granted(service, reactor))
    assert service.sid == "uuid:granted"


@pytest.mark.clause("CP-04", "CP-14")
def test_a_sid_whose_time_is_over_is_not_renewed_any_more(service: Any, reactor: Any) -> None:
    event.subscribe(service, reactor=reactor)
    granted(service, reactor, GRANT.replace(b"Second-300", b"Second-60"))
    reactor.advance(50)
    event.subscribe(service, reactor=reactor)
    refuse(reactor)
    reactor.advance(1)
    assert "SID: uuid:granted" in lines(reactor.accept()[1])
    reactor.advance(30)
    assert service.sid is None
    reactor.advance(60)
    assert "NT: upnp:event" in lines(granted(service, reactor))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_first_subscribe_that_fails_is_tried_until_it_is_granted(
    service: Any, reactor: Any, answer: bytes | None
) -> None:
    event.subscribe(service, reactor=reactor)
    for number, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        refuse(reactor) if answer is None else granted(service, reactor, answer)
        reactor.advance(pause - 0.5)
        assert len(reactor.tcpClients) == number + 1
        reactor.advance(0.5)
        assert len(reactor.tcpClients) == number + 2
    granted(service, reactor)
    assert service.sid == "uuid:granted"
    assert reactor.getDelayedCalls() == []


def test_a_lost_renewal_leaves_the_duration_asked_for_as_it_was(service: Any, reactor: Any) -> None:
    event.subscribe(service, reactor=reactor)
    assert "TIMEOUT: Second-1800" in lines(granted(service, reactor))
    event.subscribe(service, reactor=reactor)
    refuse(reactor)
    assert service.told_timeouts == [300]
    reactor.advance(1)
    assert "TIMEOUT: Second-1800" in lines(granted(service, reactor))


def test_a_service_that_asks_for_another_duration_gets_it(service: Any, reactor: Any) -> None:
    event.subscribe(service, reactor=reactor)
    granted(service, reactor)
    service.timeout = 600
    event.subscribe(service, reactor=reactor)
    assert "TIMEOUT: Second-600" in lines(granted(service, reactor))


def test_subscribing_by_hand_takes_the_place_of_the_attempt_to_come(
    service: Any, reactor: Any
) -> None:
    service.sid = "uuid:granted"
    event.subscribe(service, reactor=reactor)
    refuse(reactor)
    assert service.event_connection.waiting
    event.subscribe(service, reactor=reactor)
    granted(service, reactor)
    reactor.advance(100)
    assert len(reactor.tcpClients) == 2
    assert service.event_connection is None


@pytest.mark.clause("REN-12")
@pytest.mark.parametrize("lost", [True, False])
def test_after_a_refused_renewal_it_subscribes_until_it_is_granted(
    service: Any, reactor: Any, lost: bool
) -> None:
    service.sid = "uuid:forgotten"
    event.subscribe(service, reactor=reactor)
    granted(service, reactor, b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
    for pause in [1, 2, 4]:
        if lost:
            refuse(reactor)
        else:
            granted(service, reactor, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        before = len(reactor.tcpClients)
        reactor.advance(pause)
        assert len(reactor.tcpClients) == before + 1
    assert "NT: upnp:event" in lines(granted(service, reactor))
    assert service.sid == "uuid:granted"
    assert reactor.getDelayedCalls() == []


def test_teardown_ends_the_attempts_to_come(service: Any, reactor: Any) -> None:
    service.sid = "uuid:granted"
    event.subscribe(service, reactor=reactor)
    refuse(reactor)
    service.event_connection.teardown()
    assert service.event_connection is None
    assert reactor.getDelayedCalls() == []


def test_unsubscribing_ends_the_attempts_to_come(service: Any, reactor: Any) -> None:
    service.sid = "uuid:granted"
    event.subscribe(service, reactor=reactor)
    refuse(reactor)
    event.unsubscribe(service, reactor=reactor)
    reactor.advance(100)
    assert len(reactor.tcpClients) == 2


def test_teardown_gives_up_also_what_waits_for_its_turn(service: Any, reactor: Any) -> None:
    event.subscribe(service, reactor=reactor)
    second = event.subscribe(service, reactor=reactor)
    service.event_connection.teardown()
    assert result_of(second) is None
    assert len(reactor.tcpClients) == 1


def test_a_renewal_that_is_granted_without_a_sid_keeps_it(service: Any, reactor: Any) -> None:
    service.sid = b"uuid:granted"
    event.subscribe(service, reactor=reactor)
    granted(service, reactor, GRANT.replace(b"SID: uuid:granted\r\n", b""))
    assert (service.sid, service.told_timeouts) == ("uuid:granted", [300])
    assert service.processed == []


def test_a_renewal_that_the_service_gave_up_is_not_tried_again(
    service: Any, reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.sid = "uuid:granted"
    deferred = event.subscribe(service, reactor=reactor)
    protocol, _ = reactor.accept()
    service.event_connection.teardown()
    protocol.connectionLost(Failure(ConnectionRefusedError()))
    assert result_of(deferred) is None
    assert service.told_timeouts == []
    assert [one.message for one in caplog.records if one.levelno > logging.INFO] == []


def test_no_answer_in_time_counts_as_none(service: Any, reactor: Any) -> None:
    deferred = event.subscribe(service, reactor=reactor)
    _, transport = reactor.accept()
    reactor.advance(31)
    assert transport.disconnecting
    assert result_of(deferred) is None


def test_a_connection_that_ends_counts_as_none(service: Any, reactor: Any) -> None:
    deferred = event.subscribe(service, reactor=reactor)
    protocol, _ = reactor.accept()
    protocol.dataReceived(b"HTTP/1.1 200")
    protocol.connectionLost(Failure(ConnectionRefusedError()))
    assert result_of(deferred) is None


def test_a_second_subscribe_waits_for_the_first(service: Any, reactor: Any) -> None:
    first = event.subscribe(service, reactor=reactor)
    second = event.subscribe(service, reactor=reactor)
    assert len(reactor.tcpClients) == 1
    reactor.accept()[0].dataReceived(GRANT)
    assert result_of(first).status == 200
    protocol, transport = reactor.accept()
    assert "SID: uuid:granted" in lines(transport)
    protocol.dataReceived(GRANT)
    assert result_of(second).status == 200


@pytest.mark.parametrize("connected", [False, True])
def test_a_renewal_that_is_cancelled_is_given_up(
    service: Any, reactor: Any, connected: bool
) -> None:
    service.sid = "uuid:granted"
    deferred = event.subscribe(service, reactor=reactor)
    if connected:
        reactor.accept()
    deferred.cancel()
    result_of(deferred)
    assert service.event_connection is None
    reactor.advance(100)
    assert len(reactor.tcpClients) == 1


def test_a_request_that_is_cancelled_while_it_waits_is_not_sent(service: Any, reactor: Any) -> None:
    event.subscribe(service, reactor=reactor)
    second = event.subscribe(service, reactor=reactor)
    second.cancel()
    result_of(second)
    reactor.accept()[0].dataReceived(GRANT)
    assert len(reactor.tcpClients) == 1


def test_the_protocol_can_be_torn_down_while_it_connects(service: Any, reactor: Any) -> None:
    deferred = event.subscribe(service, reactor=reactor)
    service.event_connection.teardown()
    assert result_of(deferred) is None
    assert service.event_connection is None


def test_without_an_event_server_there_is_no_delivery_url(service: Any, reactor: Any) -> None:
    event.hostname = event.web_server_port = None
    assert result_of(event.subscribe(service, reactor=reactor)).check(LocalProtocolError)
    assert reactor.tcpClients == []


def test_what_is_no_http_url_fails(service: Any, reactor: Any) -> None:
    service.get_event_sub_url = lambda: b"ftp://127.0.0.1/"
    assert result_of(event.subscribe(service, reactor=reactor)).check(ValueError)


# --- unsubscribe() ---


def test_an_unsubscribe_fires_with_the_answer(service: Any, reactor: Any) -> None:
    service.sid = "uuid:granted"
    deferred = event.unsubscribe(service, reactor=reactor)
    protocol, transport = reactor.accept()
    sent = transport.value().decode()
    assert sent.startswith("UNSUBSCRIBE /RenderingControl/subscribe HTTP/1.1\r\n")
    assert "SID: uuid:granted\r\n" in sent
    assert "CALLBACK" not in sent
    for byte in b"HTTP/1.1 200 OK\r\n\r\n":
        protocol.dataReceived(bytes([byte]))
    assert result_of(deferred).status == 200
    assert (service.told_timeouts, service.processed) == ([], [])


def test_without_a_sid_there_is_nothing_to_unsubscribe(service: Any, reactor: Any) -> None:
    assert result_of(event.unsubscribe(service, reactor=reactor)) is None
    assert reactor.tcpClients == []
