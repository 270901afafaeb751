"""send_notification() and NotificationProtocol."""

from __future__ import annotations

import gc
import itertools
import logging
import weakref
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from propchange import cohen3 as event
from propchange.cohen3.notification import Subscriber
from propchange.cohen3.outbox import Outboxes, merge_bodies
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import NewSubscription
from propchange.core.values.lastchange import (
    RCS,
    LastChangeEntry,
    format_lastchange,
)
from propchange.core.values.merging import CONTAINERS
from propchange.core.wire.messages import DeliveryURL, Endpoint
from propchange.core.wire.propertyset import format_propertyset, parse_propertyset
from propchange.driver.delivery_turns import TAKEN_AT_ONCE
from propchange.errors import DeliveryError
from propchange.twisted.runtime import of_reactor
from tests.twisted.conftest import Reactor
from tests.work import seconds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def subscriber(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "sid": f"uuid:{number}",
        "callback": "http://127.0.0.1:9000/events",
        "seq": 0,
        "timeout": "Second-300",
        "created": 1.0,
    } | changes


def subscribed(*ports: int) -> Subscriber:
    """A subscriber as EventSubscriptionServer makes it, in a dict of its own."""
    urls = tuple(
        DeliveryURL(
            f"http://127.0.0.1:{port}/", Endpoint("127.0.0.1", port), f"127.0.0.1:{port}", "/"
        )
        for port in ports
    )
    ends = Endpoint("127.0.0.1", 8080), Endpoint("127.0.0.1", 40000)
    table: dict[str, Any] = {}
    s = Subscriber("uuid:1", NewSubscription(urls, 300, None, *ends), "1.1", table)
    table["uuid:1"] = s
    return s


@pytest.fixture
def send(reactor: Any, messages: Any) -> Any:
    """``send(subscriber)`` gives the list that the result comes into, and the connection."""

    def send(s: Any, xml: bytes | str = messages.body) -> tuple[list[Any], Any]:
        deferred, connection = event.send_notification(s, xml, reactor=reactor)
        assert isinstance(hash(deferred), int)
        results: list[Any] = []
        deferred.addBoth(results.append)
        return results, connection

    return send


def seqs(transport: StringTransport) -> list[str]:
    return [
        line.removeprefix("SEQ: ")
        for line in transport.value().decode().split("\r\n")
        if line.startswith("SEQ:")
    ]


def lose(transport: Any) -> None:
    transport.protocol.connectionLost(Failure(ConnectionDone()))


@pytest.mark.parametrize("step", [1, 1000])
def test_the_deferred_fires_with_the_answer_in_any_form(
    reactor: Any, send: Any, messages: Any, step: int
) -> None:
    s = subscriber(seq=7)
    results, _ = send(s)
    assert s["seq"] == 8
    protocol, transport = reactor.accept()
    head, _, body = transport.value().partition(b"\r\n\r\n")
    assert body == messages.body
    assert set(head.decode().split("\r\n")) == {
        "NOTIFY /events HTTP/1.1",
        "HOST: 127.0.0.1:9000",
        'CONTENT-TYPE: text/xml; charset="utf-8"',
        "NT: upnp:event",
        "NTS: upnp:propchange",
        "SID: uuid:1",
        "SEQ: 7",
        f"CONTENT-LENGTH: {len(messages.body)}",
    }
    for start in range(0, len(OK), step):
        assert results == []
        protocol.dataReceived(OK[start : start + step])
    assert results[0].status == 200
    assert results[0].headers == {"content-length": "0"}


@pytest.mark.clause("NOT-10")
def test_text_is_sent_as_utf_8(reactor: Any, send: Any) -> None:
    send(subscriber(), "<e>\u00e9</e>")
    _, transport = reactor.accept()
    head, _, body = transport.value().partition(b"\r\n\r\n")
    assert body == b"<e>\xc3\xa9</e>"
    assert b"CONTENT-LENGTH: 9" in head.split(b"\r\n")


@pytest.mark.clause("SEQ-03")
def test_seq_goes_from_the_largest_to_1(reactor: Any, send: Any) -> None:
    s = subscriber(seq=4_294_967_295)
    send(s)
    assert s["seq"] == 1


def test_the_connection_is_kept_alive_and_used_again(reactor: Any, send: Any) -> None:
    s = subscriber()
    send(s)
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    results, _ = send(s)
    assert len(reactor.tcpClients) == 1
    assert seqs(transport) == ["0", "1"]
    protocol.dataReceived(OK)
    assert results[0].status == 200


def test_a_peer_that_closes_gets_a_connection_for_each(reactor: Any, send: Any) -> None:
    s = subscriber()
    send(s)
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK.replace(b"Content", b"Connection: close\r\nContent"))
    reactor.advance(DEFAULT_LIMITS.linger_seconds)
    assert transport.disconnecting
    lose(transport)
    send(s)
    assert len(reactor.tcpClients) == 2


def test_notifications_of_one_subscriber_stay_in_order(reactor: Any, send: Any) -> None:
    s = subscriber()
    sent = [send(s)[0] for _ in range(3)]
    assert s["seq"] == 3
    protocol, transport = reactor.accept()
    for number in range(3):
        assert seqs(transport) == ["0", "1", "2"][: number + 1]
        protocol.dataReceived(OK)
        assert [bool(results) for results in sent].count(True) == number + 1
    assert len(reactor.tcpClients) == 1


def test_subscribers_do_not_wait_for_each_other(reactor: Any, send: Any) -> None:
    send(subscriber(1))
    results, _ = send(subscriber(2, callback="http://127.0.0.1:9001/"))
    reactor.accept(1)[0].dataReceived(OK)
    assert results[0].status == 200


def test_an_answer_other_than_200_is_an_answer(reactor: Any, send: Any) -> None:
    results, _ = send(subscriber())
    reactor.accept()[0].dataReceived(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    assert results[0].status == 500


@pytest.mark.clause("FAIL-05")
def test_412_ends_the_subscription(reactor: Any, send: Any) -> None:
    s = subscribed(9000)
    results, _ = send(s)
    reactor.accept()[0].dataReceived(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    assert results[0].status == 412
    assert s.table == {}


def test_without_a_connection_it_fails(reactor: Any, send: Any) -> None:
    s = subscriber()
    first, _ = send(s)
    second, _ = send(s)
    factory = reactor.tcpClients[0][2]
    factory.clientConnectionFailed(reactor.connectors[0], Failure(ConnectionRefusedError()))
    assert first[0].check(DeliveryError)
    assert second == []
    assert len(reactor.tcpClients) == 2


def test_a_broken_connection_and_junk_fail(reactor: Any, send: Any) -> None:
    results, _ = send(subscriber())
    lose(reactor.accept()[1])
    assert results[0].check(DeliveryError)
    results, _ = send(subscriber(2))
    protocol, transport = reactor.accept()
    protocol.dataReceived(b"not HTTP at all\r\n\r\n")
    assert results[0].check(DeliveryError)
    reactor.advance(DEFAULT_LIMITS.linger_seconds)
    assert transport.disconnecting


def test_a_kept_connection_that_was_closed_is_tried_again_once_with_the_same_seq(
    reactor: Any, send: Any
) -> None:
    s = subscriber()
    send(s)
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    results, _ = send(s)
    lose(transport)
    assert results == []
    protocol, transport = reactor.accept(1)
    assert seqs(transport) == ["1"]
    protocol.dataReceived(OK)
    assert results[0].status == 200


def test_no_answer_in_time_fails_and_the_next_goes_on(reactor: Any, send: Any) -> None:
    s = subscriber()
    first, _ = send(s)
    send(s)
    _, transport = reactor.accept()
    reactor.advance(31)
    assert first[0].check(DeliveryError)
    assert transport.disconnecting
    lose(transport)
    assert seqs(reactor.accept(1)[1]) == ["1"]


def test_several_delivery_urls_are_tried_in_order(reactor: Any, send: Any) -> None:
    s = subscribed(9000, 9001)
    results, _ = send(s)
    reactor.accept()[0].dataReceived(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert reactor.tcpClients[1][:2] == ("127.0.0.1", 9001)
    protocol, transport = reactor.accept(1)
    assert seqs(transport) == ["0"]
    protocol.dataReceived(OK)
    assert results[0].status == 200


def test_the_deferred_can_be_cancelled(reactor: Any, send: Any) -> None:
    s = subscriber()
    first, connection = send(s)
    second, waiting = send(s)
    waiting.disconnect()
    assert second[0].check(DeliveryError)
    _, transport = reactor.accept()
    connection.disconnect()
    connection.disconnect()
    assert first[0].check(DeliveryError)
    assert transport.disconnecting
    lose(transport)
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize("callback", ["ftp://127.0.0.1/", "ttp://127.0.0.1", "http://a b/"])
def test_what_cannot_be_called_fails(reactor: Any, send: Any, callback: str) -> None:
    results, _ = send(subscriber(callback=callback))
    assert results[0].check(DeliveryError)
    assert reactor.tcpClients == []


def test_a_sid_that_no_header_can_carry_fails(reactor: Any, send: Any) -> None:
    results, _ = send(subscriber(sid="uuid:\r\nX: y"))
    assert results[0].check(DeliveryError)


def test_a_callback_in_bytes_or_with_brackets_is_understood(reactor: Any, send: Any) -> None:
    send(subscriber(callback=b"http://127.0.0.1/"))
    assert reactor.tcpClients[0][:2] == ("127.0.0.1", 80)
    send(subscriber(2, callback="<http://[::1]:9000/>"))
    assert reactor.tcpClients[1][:2] == ("::1", 9000)


def test_an_endpoint_gets_few_connections_and_every_message(reactor: Any, send: Any) -> None:
    most = DEFAULT_LIMITS.connections_per_delivery_endpoint
    send(subscriber(0))
    protocols = [reactor.accept(0)[0]]
    protocols[0].dataReceived(OK)  # it takes events, so it may have many connections
    sent = [send(subscriber(number))[0] for number in range(1, 2 * most + 1)]
    assert len(reactor.tcpClients) == most
    protocols += [reactor.accept(number)[0] for number in range(1, most)]
    for _ in range(2):
        for protocol in protocols:
            protocol.dataReceived(OK)
    assert all(results[0].status == 200 for results in sent)
    assert len(reactor.tcpClients) == most


def test_a_waiting_notification_is_sent_when_a_connection_ends(reactor: Any, send: Any) -> None:
    most = DEFAULT_LIMITS.attempts_at_unproven_endpoint
    sent = [send(subscriber(number))[0] for number in range(most + 1)]
    protocol, transport = reactor.accept(0)
    protocol.dataReceived(OK.replace(b"OK", b"OK\r\nConnection: close"))
    lose(transport)
    assert sent[0][0].status == 200
    reactor.advance(0)
    reactor.accept(most)[0].dataReceived(OK)
    assert sent[most][0].status == 200


def propertyset(**texts: str) -> str:
    return format_propertyset(texts.items()).decode()


def lastchange(**texts: str) -> str:
    entries = [LastChangeEntry(0, name, None, text) for name, text in texts.items()]
    return format_lastchange(RCS, entries)


def bodies(transport: StringTransport) -> list[dict[str, str]]:
    """The propertysets that were sent."""
    _, *sent = transport.value().split(b"<?xml")
    return [
        dict(parse_propertyset(b"<?xml" + body.partition(b"NOTIFY ")[0], DEFAULT_LIMITS))
        for body in sent
    ]


def test_what_waits_for_a_slow_subscriber_is_merged_without_a_gap_in_seq(
    reactor: Any, send: Any
) -> None:
    s = subscriber()
    most = DEFAULT_LIMITS.waiting_messages
    for number in range(most + 1):
        send(s, propertyset(Number=str(number)))
    assert s["seq"] == most + 1
    merged = [
        send(s, propertyset(LastChange=lastchange(**changes), Number="last"))[0]
        for changes in ({"Volume": "1", "Mute": "0"}, {"Volume": "2"}, {"Volume": "3"})
    ]
    assert s["seq"] == most + 1
    assert [results[0].check(DeliveryError) for results in merged[:2]] == [DeliveryError] * 2
    protocol, transport = reactor.accept()
    for _ in range(most + 1):
        protocol.dataReceived(OK)
    assert seqs(transport) == [str(number) for number in range(most + 1)]
    *whole, last = bodies(transport)
    assert whole == [{"Number": str(number)} for number in range(most)]
    assert last == {"Number": "last", "LastChange": lastchange(Mute="0", Volume="3")}
    assert merged[2][0].status == 200
    send(s, propertyset(Number="next"))
    assert seqs(transport)[-1] == str(most + 1)


def test_subscribers_that_do_not_answer_share_the_bytes_of_what_waits_for_them(
    reactor: Any,
) -> None:
    subscribers = [subscriber(number) for number in range(50)]
    waiting: list[list[bytes]] = [[] for _ in subscribers]
    for number in range(2 * DEFAULT_LIMITS.waiting_messages):
        xml = propertyset(Number=str(number), Text="x" * 1_000)
        for s, kept in zip(subscribers, waiting, strict=True):
            deferred, notification = event.send_notification(s, xml, reactor=reactor)
            deferred.addErrback(lambda _: None)
            kept.append(notification.message.body)
    for bodies_of_a_change in zip(*waiting, strict=True):
        # Some have a message under way besides, so theirs are merged one change later.
        assert len({id(body) for body in bodies_of_a_change}) <= 2


def containers(number: int) -> str:
    """A change of 30 containers, which are others each time."""
    return ",".join(f"{30 * number + container},{number}" for container in range(30))


@pytest.mark.slow
def test_no_change_is_merged_into_the_messages_of_all_silent_subscribers_at_once(
    reactor: Any,
) -> None:
    def cost(first: int, gap: int) -> float:
        """The processor time of 30 changes that 100 subscribers are sent, with ``gap`` changes
        between one SUBSCRIBE and the next."""
        subscribers: list[dict[str, Any]] = []
        changes = iter(range(10_000))

        def change() -> None:
            xml = propertyset(ContainerUpdateIDs=containers(next(changes)))
            for s in subscribers:
                event.send_notification(s, xml, reactor=reactor)[0].addErrback(lambda _: None)

        for number in range(100):
            subscribers.append(subscriber(first + number))
            for _ in range(gap):
                change()
        for _ in range(2 * DEFAULT_LIMITS.waiting_messages):
            change()
        return seconds(lambda: [change() for _ in range(30)], best_of=1)

    # Without putting the merging off it would be a hundred times as much.
    assert cost(1000, 1) < 40 * cost(2000, 0)


def test_notifications_that_take_long_to_merge_are_begun_a_few_in_each_turn(
    reactor: Any, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    outboxes = of_reactor(reactor, Outboxes)
    times = itertools.count(step=0.004)
    begun = [0]
    turns = outboxes._turns

    def go_on() -> None:
        begun.append(turns.in_flight)
        outboxes.pump()

    monkeypatch.setattr(turns, "_now", lambda: next(times))
    monkeypatch.setattr(turns, "_go_on", go_on)
    for number in range(40):
        send(subscriber(number, callback=f"http://127.0.0.1:{9000 + number}/"))
    reactor.advance(0)
    begun.append(outboxes._turns.in_flight)
    assert begun[-1] == 40
    assert max(after - before for before, after in pairwise(begun)) <= 3 * TAKEN_AT_ONCE


def test_however_many_changes_wait_the_merged_one_has_the_last_of_each_container(
    reactor: Any, send: Any
) -> None:
    s = subscriber()
    send(s, propertyset(ContainerUpdateIDs="0,0"))
    texts = [f"{number % 70},{number},only{number},1" for number in range(1, 1000)]
    for text in texts:
        send(s, propertyset(ContainerUpdateIDs=text, Number=text))
    protocol, transport = reactor.accept()
    for _ in range(DEFAULT_LIMITS.waiting_messages + 1):
        protocol.dataReceived(OK)
    waiting = DEFAULT_LIMITS.waiting_messages - 1
    expected = texts[waiting]
    for text in texts[waiting + 1 :]:
        expected = CONTAINERS(expected, text)
    assert bodies(transport)[-1] == {"ContainerUpdateIDs": expected, "Number": texts[-1]}


def test_what_is_no_propertyset_is_not_merged_and_the_subscriber_sees_a_gap(
    reactor: Any, send: Any
) -> None:
    s = subscriber()
    most = DEFAULT_LIMITS.waiting_messages
    sent = [send(s, "<e/>")[0] for _ in range(most + 2)]
    assert sent[-1][0].check(DeliveryError)
    assert sent[-2] == []
    assert s["seq"] == most + 2


@pytest.mark.parametrize(
    ("older", "newer", "merged"),
    [
        ({"A": "1", "B": "1"}, {"B": "2", "C": "2"}, {"A": "1", "B": "2", "C": "2"}),
        (
            {"ContainerUpdateIDs": "0,1,5,1"},
            {"ContainerUpdateIDs": "0,2"},
            {"ContainerUpdateIDs": "5,1,0,2"},
        ),
        # In a form of the program's own the newer text counts.
        ({"LastChange": "<Event/>"}, {"LastChange": "junk"}, {"LastChange": "junk"}),
        (
            {"ContainerUpdateIDs": "odd"},
            {"ContainerUpdateIDs": "0,2"},
            {"ContainerUpdateIDs": "0,2"},
        ),
    ],
)
def test_two_messages_are_merged_by_the_rules_of_their_variables(
    older: dict[str, str], newer: dict[str, str], merged: dict[str, str]
) -> None:
    body = merge_bodies(propertyset(**older).encode(), propertyset(**newer).encode())
    assert body is not None
    assert dict(parse_propertyset(body, DEFAULT_LIMITS)) == merged


def test_what_is_kept_of_subscribers_that_a_program_has_removed_is_bounded(
    reactor: Any, send: Any
) -> None:
    protocol = None
    for number in range(1_000):
        s = subscribed(9000)
        s["sid"] = f"uuid:{number}"
        s.table = {s["sid"]: s}
        send(s)
        protocol = protocol or reactor.accept()[0]
        protocol.dataReceived(OK)
        reactor.advance(0)
        s.table.clear()
    assert len(of_reactor(reactor, Outboxes)) < 100


def test_a_reactor_that_is_used_no_more_is_freed(messages: Any) -> None:
    reactor = Reactor()
    event.send_notification(subscriber(), messages.body, reactor=reactor)  # type: ignore[arg-type] # Twisted's own
    gone = weakref.ref(reactor)
    del reactor
    gc.collect()
    assert gone() is None


def test_a_subscriber_that_answers_badly_again_and_again_costs_few_lines_of_the_log(
    reactor: Any, send: Any, caplog: pytest.LogCaptureFixture
) -> None:
    s = subscriber()
    send(s)
    protocol, _ = reactor.accept()
    for _ in range(500):
        protocol.dataReceived(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        send(s)
    told = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert 0 < len(told) < 10
    assert "answered with 500 by 127.0.0.1" in told[0]


def test_an_idle_connection_is_ended_and_nothing_stays_with_the_reactor(
    reactor: Any, send: Any
) -> None:
    send(subscriber())
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    reactor.advance(31)
    assert transport.disconnecting
    lose(transport)
    assert reactor.getDelayedCalls() == []


def test_bytes_that_nobody_asked_for_end_a_connection(reactor: Any, send: Any) -> None:
    send(subscriber())
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    protocol.dataReceived(b"H")
    assert transport.disconnecting


# --- the protocol alone ---


@pytest.mark.parametrize("step", [1, 1000])
def test_the_protocol_alone_reads_one_answer_and_ends(
    monkeypatch: pytest.MonkeyPatch, reactor: Any, caplog: Any, step: int
) -> None:
    monkeypatch.setattr("propchange.cohen3.answer.default_reactor", lambda: reactor)
    protocol = event.NotificationProtocol()
    transport = StringTransport()
    protocol.makeConnection(transport)
    answer = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"
    for start in range(0, len(answer), step):
        assert not transport.disconnecting
        protocol.dataReceived(answer[start : start + step])
    assert transport.disconnecting
    assert "answered with 412" in caplog.text
    protocol.connectionLost(Failure(ConnectionDone()))
    assert reactor.getDelayedCalls() == []


def test_the_protocol_alone_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, reactor: Any
) -> None:
    monkeypatch.setattr("propchange.cohen3.answer.default_reactor", lambda: reactor)
    protocol = event.NotificationProtocol()
    transport = StringTransport()
    protocol.makeConnection(transport)
    reactor.advance(30)
    assert transport.disconnecting


# --- who is told, and until when ---


def test_copies_of_a_subscriber_stay_in_order(reactor: Any, send: Any) -> None:
    for number in range(3):
        send(subscriber(seq=number))
    assert len(reactor.tcpClients) == 1
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    assert seqs(transport) == ["0", "1"]


def test_one_message_takes_a_minute_at_most_over_all_delivery_urls(reactor: Any, send: Any) -> None:
    s = subscribed(9000, 9001, 9002, 9003)
    results, _ = send(s)
    reactor.advance(25)
    for number in range(2):
        protocol, _ = reactor.accept(number)
        protocol.dataReceived(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        reactor.advance(20 if number == 0 else 14)
        assert results == []
    reactor.advance(1)
    assert results[0].check(DeliveryError)
    assert len(reactor.tcpClients) == 3


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n"])
def test_the_time_of_a_message_ends_with_it(reactor: Any, send: Any, answer: bytes) -> None:
    s = subscribed(9000, 9001)
    results, connection = send(s)
    transports = []
    for number, status in enumerate([b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", answer]):
        protocol, transport = reactor.accept(number)
        protocol.dataReceived(status)
        transports.append(transport)
    assert results[0].status in (200, 412)
    connection.disconnect()
    for transport in transports:
        lose(transport)
    reactor.advance(0.01)
    assert reactor.getDelayedCalls() == []


@pytest.mark.clause("FAIL-05")
@pytest.mark.parametrize("waiting", [1, 2, 3])
def test_what_waits_when_a_412_comes_is_not_sent(reactor: Any, send: Any, waiting: int) -> None:
    s = subscribed(9000)
    results, _ = send(s)
    behind = [send(s)[0] for _ in range(waiting)]
    protocol, transport = reactor.accept()
    protocol.dataReceived(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    assert results[0].status == 412
    assert s.table == {}
    assert [failed[0].check(DeliveryError) for failed in behind] == [DeliveryError] * waiting
    assert seqs(transport) == ["0"]
    assert len(reactor.tcpClients) == 1


def test_after_the_answer_disconnect_ends_the_kept_connection(reactor: Any, send: Any) -> None:
    results, connection = send(subscriber())
    protocol, transport = reactor.accept()
    protocol.dataReceived(OK)
    assert not transport.disconnecting
    connection.disconnect()
    assert transport.disconnecting
    lose(transport)
    assert results[0].status == 200
    assert reactor.getDelayedCalls() == []


def test_a_callback_may_give_up_what_waits_behind(reactor: Any, send: Any) -> None:
    s = subscribed(9000)
    first, _ = event.send_notification(s, "<e/>", reactor=reactor)
    second, waiting = send(s)
    third, last = send(s)
    first.addCallback(lambda _: last.disconnect())
    waiting_failed: list[Any] = second
    reactor.accept()[0].dataReceived(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    assert waiting_failed[0].check(DeliveryError)
    assert third[0].check(DeliveryError)
    waiting.disconnect()
    assert len(second) == len(third) == 1


def test_the_protocol_alone_ends_after_an_answer_that_is_not_http(
    monkeypatch: pytest.MonkeyPatch, reactor: Any
) -> None:
    monkeypatch.setattr("propchange.cohen3.answer.default_reactor", lambda: reactor)
    protocol = event.NotificationProtocol()
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"not HTTP at all\r\n\r\n")
    assert transport.disconnecting
    assert reactor.getDelayedCalls() == []
