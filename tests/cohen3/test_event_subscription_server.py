"""EventSubscriptionServer: the rows of the device's side, over a web server in memory."""

from __future__ import annotations

import dataclasses
import re
import time
from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from propchange import cohen3 as event
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.errors import DeliveryError

AT_ONCE = PublisherPolicy()
"""The initial event follows its answer as soon as that has left."""


@pytest.fixture
def server(device_service: Any, reactor: Any) -> event.EventSubscriptionServer:
    return event.EventSubscriptionServer(device_service, reactor=reactor, policy=AT_ONCE)


@pytest.fixture
def wire(server: event.EventSubscriptionServer, serve: Any) -> Any:
    return serve(server)


def only(responses: list[Any]) -> Any:
    (response,) = responses
    return response


@pytest.mark.parametrize("step", [0, 1])
def test_a_subscription_is_granted_and_registered(
    wire: Any, device_service: Any, messages: Any, step: int
) -> None:
    before = time.time()
    response = only(wire.send(messages.subscribe(), step=step))
    assert response.status == 200
    sid = response.fields[b"sid"].decode()
    assert re.fullmatch("uuid:[0-9a-f-]{36}", sid)
    assert response.fields[b"timeout"] == b"Second-300"
    assert response.fields[b"content-length"] == b"0"
    assert b"UPnP/" in response.fields[b"server"]
    subscriber = device_service.subscribers[sid]
    assert before <= subscriber.pop("created") <= time.time()
    assert subscriber == {
        "sid": sid,
        "callback": "http://127.0.0.1:9000/events",
        "seq": 0,
        "timeout": "Second-300",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(changes, expected, marks=pytest.mark.clause(*clauses.split()))
        for clauses, changes, expected in (
            ("SUB-20", {"TIMEOUT": None}, (200, b"Second-1800")),
            ("AMB-7", {"TIMEOUT": "banana"}, (200, b"Second-1800")),
            ("SUB-22", {"TIMEOUT": "Second-infinite"}, (200, b"Second-1800")),
            ("SUB-46", {"TIMEOUT": "second-300"}, (200, b"Second-300")),
            ("AMB-16", {"TIMEOUT": "Second-1"}, (200, b"Second-60")),
            ("AMB-16", {"TIMEOUT": "Second-99999999"}, (200, b"Second-86400")),
            ("SUB-72", {"NT": "upnp:other"}, (412, None)),
            ("SUB-72", {"NT": None}, (412, None)),
            ("SUB-71", {"CALLBACK": None}, (412, None)),
            ("AMB-6", {"CALLBACK": None, "NT": None}, (412, None)),
            ("SUB-70 AMB-5", {"SID": "uuid:one"}, (400, None)),
            ("SUB-71", {"CALLBACK": "http://127.0.0.1:9000/"}, (412, None)),
            ("SUB-71", {"CALLBACK": "<ftp://127.0.0.1:9000/>"}, (412, None)),
            ("SUB-07", {"HOST": "rebound.example.org"}, (400, None)),
            ("SUB-07", {"HOST": None}, (400, None)),
        )
    ],
)
def test_a_subscribe_is_judged_by_the_clauses(
    wire: Any,
    device_service: Any,
    messages: Any,
    changes: dict[str, Any],
    expected: tuple[int, bytes | None],
) -> None:
    response = only(wire.send(messages.subscribe(**changes)))
    status, timeout = expected
    assert response.status == status
    assert response.fields.get(b"timeout") == timeout
    assert len(device_service.subscribers) == (status == 200)


def test_an_address_off_the_link_is_refused(wire: Any, device_service: Any, messages: Any) -> None:
    """CallStranger: the callback may not lead anywhere else."""
    for url in ("http://192.0.2.7/", "http://239.255.255.250:1900/", "http://0.0.0.0:80/"):
        assert only(wire.send(messages.subscribe(CALLBACK=f"<{url}>"))).status == 412
    assert device_service.subscribers == {}


def test_this_very_listener_may_be_called_where_a_control_point_listens(
    wire: Any, device_service: Any, control_point: Any, messages: Any
) -> None:
    """Cohen3's control point and its devices share one port."""
    own = "<http://127.0.0.1:8080/events>"
    assert only(wire.send(messages.subscribe(CALLBACK=own))).status == 412
    event.EventServer(control_point)
    assert only(wire.send(messages.subscribe(CALLBACK=own))).status == 200
    (subscriber,) = device_service.subscribers.values()
    assert subscriber["callback"] == "http://127.0.0.1:8080/events"
    elsewhere = "<http://127.0.0.1:8080/other>"
    assert only(wire.send(messages.subscribe(CALLBACK=elsewhere))).status == 412
    assert only(wire.send(messages.subscribe(CALLBACK=own, HOST="rebound.example"))).status == 400


def test_of_two_callbacks_the_first_is_named_and_both_are_kept(
    wire: Any, device_service: Any, messages: Any
) -> None:
    callback = "<http://127.0.0.1:9000/a> <http://127.0.0.1:9001/b>"
    assert only(wire.send(messages.subscribe(CALLBACK=callback))).status == 200
    (subscriber,) = device_service.subscribers.values()
    assert subscriber["callback"] == "http://127.0.0.1:9000/a"
    assert [address.url.url for address in subscriber.addresses] == [
        "http://127.0.0.1:9000/a",
        "http://127.0.0.1:9001/b",
    ]


def test_ipv6_is_subscribed_like_ipv4(
    device_service: Any, reactor: Any, serve: Any, messages: Any
) -> None:

    server = event.EventSubscriptionServer(
        device_service,
        reactor=reactor,
        on_link=lambda local: (OnLink(ip_network("fe80::/64"), local.scope),),
    )
    wire = serve(
        server,
        local=IPv6Address("TCP", "fe80::1%3", 8080, scopeID=3),
        peer=IPv6Address("TCP", "fe80::2%3", 40000, scopeID=3),
    )
    sent = messages.subscribe(HOST="[fe80::1]:8080", CALLBACK="<http://[fe80::2]:9000/>")
    assert only(wire.send(sent)).status == 200
    (subscriber,) = device_service.subscribers.values()
    assert subscriber["callback"] == "http://[fe80::2]:9000/"
    assert subscriber.addresses[0].url.endpoint.scope == 3


def test_a_renewal_is_answered_200_and_renews(
    wire: Any, device_service: Any, messages: Any
) -> None:
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    device_service.subscribers[sid]["seq"] = 7
    response = only(wire.send(messages.renew(sid, TIMEOUT="Second-600")))
    assert response.status == 200
    assert response.fields[b"sid"].decode() == sid
    assert response.fields[b"timeout"] == b"Second-600"
    subscriber = device_service.subscribers[sid]
    assert (subscriber["timeout"], subscriber["seq"]) == ("Second-600", 7)


@pytest.mark.clause("REN-08")
def test_a_renewal_of_an_unknown_sid_is_answered_412(wire: Any, messages: Any) -> None:
    assert only(wire.send(messages.renew("uuid:unknown"))).status == 412


def test_an_unsubscribe_is_answered_200_and_removes(
    wire: Any, device_service: Any, messages: Any
) -> None:
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    assert only(wire.send(messages.unsubscribe(sid))).status == 200
    assert device_service.subscribers == {}
    assert only(wire.send(messages.unsubscribe(sid))).status == 412
    assert only(wire.send(messages.unsubscribe(None))).status == 412


@pytest.mark.clause("SUB-58")
@pytest.mark.parametrize("how", ["cancelled", "expired", "cancelled early", "expired early"])
def test_a_subscriber_that_has_unsubscribed_gets_the_initial_event_and_no_other(
    wire: Any, device_service: Any, reactor: Any, messages: Any, how: str
) -> None:
    answered = "early" not in how
    device_service.reactor = reactor
    sid = only(wire.send(messages.subscribe(TIMEOUT="Second-60"))).fields[b"sid"].decode()
    reactor.pump([0, 0, 0])
    s = device_service.subscribers[sid]
    if answered:
        protocol, transport = reactor.accept()
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    reactor.advance(20)
    results: list[Any] = []
    for _ in range(5):
        event.send_notification(s, messages.body, reactor=reactor)[0].addErrback(results.append)
    if "cancelled" in how:
        assert only(wire.send(messages.unsubscribe(sid))).status == 200
    else:
        reactor.advance(9)
        s["created"] -= 60
        device_service.reactor = None
        assert only(wire.send(messages.renew(sid))).status == 412
    # What was under way already is left to end.
    assert len(results) == (4 if answered else 5)
    assert all(failure.check(DeliveryError) for failure in results)
    if not answered:
        protocol, transport = reactor.accept(0)
        assert b"SEQ: 0\r\n" in transport.value()
    protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert b"SEQ: 2\r\n" not in transport.value()


def test_a_service_that_keeps_a_copy_sends_after_the_answer_too(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    def copying(subscriber: dict[str, Any]) -> None:
        device_service.subscribers[subscriber["sid"]] = copy = dict(subscriber)
        event.send_notification(copy, messages.body, reactor=reactor)[0].addErrback(print)

    device_service.new_subscriber = copying
    assert only(wire.send(messages.subscribe())).status == 200
    assert reactor.tcpClients == []
    reactor.pump([0, 0, 0])
    assert len(reactor.tcpClients) == 1


def test_whoever_is_taken_out_of_the_dict_is_not_subscribed(
    wire: Any, device_service: Any, messages: Any
) -> None:
    """The dict of the service is the truth, also the other way round."""
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    device_service.subscribers.clear()
    assert only(wire.send(messages.renew(sid))).status == 412
    device_service.subscribers["uuid:own"] = {
        "sid": "uuid:own",
        "callback": "http://127.0.0.1:9/",
        "seq": 0,
        "timeout": "Second-300",
        "created": time.time(),
    }
    assert only(wire.send(messages.renew("uuid:own"))).status == 200


def test_a_subscription_expires_at_its_deadline(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    first = only(wire.send(messages.subscribe(TIMEOUT="Second-60"))).fields[b"sid"].decode()
    second = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    reactor.pump([10] * 5)
    assert only(wire.send(messages.renew(first, TIMEOUT="Second-60"))).status == 200
    reactor.pump([10] * 5)
    assert set(device_service.subscribers) == {first, second}
    reactor.pump([5, 5])
    assert set(device_service.subscribers) == {second}
    reactor.pump([30] * 7)
    assert device_service.subscribers == {}


def test_cohen3s_loop_for_expiry_works(
    device_service: Any, reactor: Any, messages: Any, serve: Any
) -> None:
    device_service.check_subscribers = lambda: None
    wire = serve(event.EventSubscriptionServer(device_service, reactor=reactor, policy=AT_ONCE))
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    device_service.check_subscribers()
    assert list(device_service.subscribers) == [sid]
    device_service.subscribers[sid]["created"] -= 301
    device_service.check_subscribers()
    assert device_service.subscribers == {}


def test_a_service_of_cohen3s_that_is_released_leaves_nothing_with_the_reactor(
    device_service: Any, reactor: Any, messages: Any, serve: Any
) -> None:
    device_service.reactor = reactor
    pending = device_service._pending_notifications = {}
    wire = serve(event.EventSubscriptionServer(device_service, reactor=reactor, policy=AT_ONCE))
    wire.send(messages.subscribe())
    reactor.pump([0, 0])
    protocol, transport = reactor.accept()
    protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    wire.close()
    for connection in list(pending.values()):
        connection.disconnect()
    assert transport.disconnecting
    protocol.connectionLost(Failure(ConnectionDone()))
    assert reactor.getDelayedCalls() == []


def test_a_changed_created_counts(wire: Any, device_service: Any, messages: Any) -> None:
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    device_service.subscribers[sid]["created"] -= 301
    assert only(wire.send(messages.renew(sid))).status == 412
    assert device_service.subscribers == {}


def test_nothing_stays_with_the_reactor_when_nobody_is_subscribed(
    wire: Any, reactor: Any, messages: Any
) -> None:
    sid = only(wire.send(messages.subscribe())).fields[b"sid"].decode()
    only(wire.send(messages.unsubscribe(sid)))
    reactor.pump([0, 0, 0])
    wire.close()
    assert reactor.getDelayedCalls() == []


def test_the_caps_are_answered_503(
    device_service: Any, reactor: Any, serve: Any, messages: Any
) -> None:
    for limits in (
        dataclasses.replace(DEFAULT_LIMITS, subscriptions=2),
        dataclasses.replace(DEFAULT_LIMITS, subscriptions_per_address=2),
        dataclasses.replace(DEFAULT_LIMITS, subscriptions_per_service=2),
    ):
        device_service.subscribers.clear()
        wire = serve(event.EventSubscriptionServer(device_service, limits=limits, reactor=reactor))
        statuses = [only(wire.send(messages.subscribe())).status for _ in range(3)]
        assert statuses == [200, 200, 503]


def test_an_ipv6_prefix_has_a_cap_of_its_own(
    device_service: Any, reactor: Any, serve: Any, messages: Any
) -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, subscriptions_per_prefix=2)
    server = event.EventSubscriptionServer(
        device_service,
        limits=limits,
        reactor=reactor,
        on_link=lambda local: (OnLink(ip_network("2001:db8::/32"), 0),),
    )

    def subscribe(host: str) -> int:
        local = IPv6Address("TCP", "2001:db8::1", 8080)
        wire = serve(server, local=local, peer=IPv6Address("TCP", host, 40000))
        sent = messages.subscribe(HOST="[2001:db8::1]:8080", CALLBACK=f"<http://[{host}]:9000/>")
        return only(wire.send(sent)).status

    hosts = ["2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::2"]
    assert [subscribe(host) for host in hosts] == [200, 200, 503, 200]


def test_a_callback_to_another_host_is_granted_little_until_it_takes_an_event(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    device_service.reactor = reactor
    of_another = "<http://127.0.0.9:9000/>"
    asked = messages.subscribe(CALLBACK=of_another, TIMEOUT="Second-86400")
    response = only(wire.send(asked))
    assert response.fields[b"timeout"] == b"Second-1800"
    sid = response.fields[b"sid"].decode()
    renewal = messages.renew(sid, TIMEOUT="Second-86400")
    assert only(wire.send(renewal)).fields[b"timeout"] == b"Second-1800"
    reactor.pump([0, 0])
    reactor.accept()[0].dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert only(wire.send(renewal)).fields[b"timeout"] == b"Second-86400"
    assert device_service.subscribers[sid]["timeout"] == "Second-86400"


class CountingTable(dict[str, Any]):
    """Counts how often somebody looks at all of it."""

    looks = 0

    def items(self) -> Any:
        self.looks += 1
        return super().items()

    def values(self) -> Any:
        self.looks += 1
        return super().values()


def test_a_storm_of_subscribes_costs_no_look_at_all_subscribers_for_each(
    device_service: Any, reactor: Any, serve: Any, messages: Any
) -> None:
    table = device_service.subscribers = CountingTable()
    limits = dataclasses.replace(DEFAULT_LIMITS, subscriptions_per_address=100)
    wire = serve(event.EventSubscriptionServer(device_service, limits=limits, reactor=reactor))
    statuses = [only(wire.send(messages.subscribe())).status for _ in range(300)]
    assert statuses == [200] * 100 + [503] * 200
    assert table.looks < 10
    # What the program removes makes room.
    for sid in list(table)[:50]:
        del table[sid]
    reactor.advance(1)
    statuses = [only(wire.send(messages.subscribe())).status for _ in range(60)]
    assert statuses == [200] * 50 + [503] * 10


def test_many_subscribers_that_expire_one_after_the_other_are_looked_at_together(
    device_service: Any, reactor: Any, serve: Any, messages: Any
) -> None:
    table = device_service.subscribers = CountingTable()
    wire = serve(event.EventSubscriptionServer(device_service, reactor=reactor, policy=AT_ONCE))
    for _ in range(200):
        wire.send(messages.subscribe(TIMEOUT="Second-60"))
        reactor.advance(0.001)
    reactor.pump([0.01] * 6_100)
    assert table == {}
    assert table.looks < 20


def test_the_signal_carries_the_headers_of_the_request(
    server: event.EventSubscriptionServer, wire: Any, messages: Any
) -> None:
    told: list[Any] = []
    server.bind(event_client_message_received=lambda *args: told.append(args))
    wire.send(messages.subscribe())
    ((command, headers, data),) = told
    assert command == {"method": b"SUBSCRIBE", "path": b"/events"}
    assert headers.getRawHeaders(b"timeout") == [b"Second-300"]
    assert data == b""


def test_a_service_that_fails_is_answered_500_and_keeps_nobody(
    wire: Any, device_service: Any, messages: Any
) -> None:
    def broken(_: object) -> None:
        raise ValueError("on purpose")

    device_service.new_subscriber = broken
    assert only(wire.send(messages.subscribe())).status == 500
    assert device_service.subscribers == {}


def test_another_method_is_answered_405(wire: Any) -> None:
    response = only(wire.send(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"))
    assert response.status == 405


@pytest.mark.clause("SUB-55")
def test_the_initial_event_leaves_after_the_answer(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    device_service.reactor = reactor
    assert only(wire.send(messages.subscribe())).status == 200
    assert reactor.tcpClients == []
    reactor.pump([0, 0])
    assert len(reactor.tcpClients) == 1
    _, transport = reactor.accept()
    sent = transport.value()
    assert sent.startswith(b"NOTIFY /events HTTP/1.1\r\nHOST: 127.0.0.1:9000\r\n")
    assert b"\r\nSEQ: 0\r\n" in sent


@pytest.mark.clause("SUB-55")
def test_the_initial_event_waits_for_a_peer_that_reads_slowly(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    device_service.reactor = reactor
    wire.transport.dataBuffer = b"unwritten"
    wire.send(messages.subscribe())
    reactor.pump([0, 0, 1, 1])
    assert reactor.tcpClients == []
    wire.transport.dataBuffer = b""
    reactor.pump([1])
    assert len(reactor.tcpClients) == 1


def test_an_answer_that_is_lost_leaves_no_subscriber(
    wire: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    device_service.reactor = reactor
    wire.transport.dataBuffer = b"unwritten"
    wire.transport.connected = False
    wire.send(messages.subscribe())
    reactor.pump([0, 0, 0])
    assert device_service.subscribers == {}
    assert reactor.tcpClients == []
    failed: list[Any] = []
    device_service.sent[0][0].addErrback(failed.append)
    assert failed[0].check(DeliveryError)


@pytest.mark.clause("SUB-76")
def test_a_path_below_the_event_url_is_none(
    wire: Any, server: event.EventSubscriptionServer, device_service: Any, messages: Any
) -> None:
    """But where the resource is all that a site has, it is the event URL at every path."""
    for path in ("/events/", "/events/below"):
        assert only(wire.send(messages.subscribe(path))).status == 404
    assert device_service.subscribers == {}


@pytest.mark.parametrize(
    ("connection", "version", "ends"),
    [
        ("close,TE", b"HTTP/1.1", True),
        ("TE", b"HTTP/1.1", False),
        (None, b"HTTP/1.0", True),
    ],
)
@pytest.mark.clause("SUB-32", "SUB-56")
def test_a_stock_site_of_twisted_ends_what_is_to_end(
    wire: Any, messages: Any, connection: str | None, version: bytes, ends: bool
) -> None:
    ask = messages.subscribe(CONNECTION=connection).replace(b"HTTP/1.1", version, 1)
    wire.channel.dataReceived(ask)
    assert wire.transport.value().startswith(version + b" 200 OK\r\n")
    assert wire.transport.disconnecting is ends


@pytest.mark.clause("SUB-55")
def test_the_initial_event_waits_for_who_is_slow_to_know_its_sid(
    serve: Any, device_service: Any, messages: Any, reactor: Any
) -> None:
    """GUPnP's control points drop what comes within some 5 ms of the answer."""
    device_service.reactor = reactor
    server = event.EventSubscriptionServer(device_service, reactor=reactor)
    wire = serve(server)
    for _ in range(2):
        assert only(wire.send(messages.subscribe())).status == 200
    reactor.pump([0, 0, 0.01, 0])
    assert reactor.tcpClients == []
    reactor.pump([0.01, 0])
    assert len(reactor.tcpClients) == 2


def test_a_request_that_did_not_come_over_tcp_is_refused(
    serve: Any, server: event.EventSubscriptionServer, messages: Any
) -> None:
    wire = serve(server, peer=UNIXAddress(b"/run/device"))
    assert only(wire.send(messages.subscribe())).status == 412


def test_a_subscriber_of_a_program_whose_times_cannot_be_read_is_kept(
    wire: Any, device_service: Any, messages: Any
) -> None:
    device_service.subscribers["uuid:own"] = {"sid": "uuid:own", "timeout": None, "created": ""}
    assert only(wire.send(messages.renew("uuid:own"))).status == 200


def test_a_service_that_is_released_before_the_initial_event_sends_none(
    serve: Any, device_service: Any, reactor: Any, messages: Any
) -> None:
    device_service.reactor = reactor
    server = event.EventSubscriptionServer(device_service, reactor=reactor)
    wire = serve(server)
    wire.send(messages.subscribe())
    reactor.pump([0, 0])
    failed: list[Any] = []
    device_service.sent[0][0].addErrback(failed.append)
    server.disconnect()
    assert failed[0].check(DeliveryError)
    wire.close()
    assert reactor.tcpClients == []
    assert reactor.getDelayedCalls() == []
