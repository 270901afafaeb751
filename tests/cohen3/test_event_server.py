"""EventServer: the rows of a control point's side, over a web server in memory."""

from __future__ import annotations

import gc
import logging
import sys
import types
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

from propchange import cohen3 as event
from propchange.cohen3 import event_server
from propchange.core.limits import DEFAULT_LIMITS
from tests.cohen3.conftest import ClientService
from tests.twisted.conftest import Messages


@pytest.fixture
def server(control_point: Any) -> event.EventServer:
    return event.EventServer(control_point)


@pytest.fixture
def wire(server: event.EventServer, serve: Any) -> Any:
    return serve(server)


def status(wire: Any, data: bytes, **how: int) -> int:
    (response,) = wire.send(data, **how)
    code: int = response.status
    return code


def test_the_event_server_registers_itself_and_sets_the_delivery_url(
    server: event.EventServer, control_point: Any
) -> None:
    assert control_point.coherence.resources == {"events": server}
    assert (event.hostname, event.web_server_port) == ("127.0.0.1", 8080)
    assert server.logCategory == "event_server"


@pytest.mark.parametrize("step", [0, 1, 7])
def test_an_event_is_answered_200_and_propagated_however_it_comes(
    wire: Any, control_point: Any, messages: Any, step: int
) -> None:
    assert status(wire, messages.notify(), step=step) == 200
    (one,) = control_point.events
    assert one == {"Volume": "30", "Mute": "0"}
    assert one.get_sid() == "uuid:one"
    assert type(one.get_sid()) is str
    assert one.raw == messages.body


def test_the_connection_is_kept_and_closed_as_the_peer_asks(
    wire: Any, control_point: Any, messages: Any
) -> None:
    assert status(wire, messages.notify()) == 200
    assert not wire.transport.disconnecting
    assert status(wire, messages.notify(SEQ="1", CONNECTION="close")) == 200
    assert wire.transport.disconnecting
    assert len(control_point.events) == 2


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"NT": None}, 400),
        ({"NTS": None}, 400),
        ({"NT": "upnp:other"}, 412),
        ({"NTS": "upnp:other"}, 412),
        ({"SID": None}, 412),
        ({"SID": ""}, 412),
        ({"HOST": None}, 400),
        ({"HOST": "rebound.example.org:8080"}, 400),
        ({"SEQ": "one"}, 400),
        ({"SEQ": None}, 200),
    ],
)
def test_a_notify_is_judged_by_the_clauses(
    wire: Any, control_point: Any, messages: Any, changes: dict[str, Any], expected: int
) -> None:
    assert status(wire, messages.notify(**changes)) == expected
    assert len(control_point.events) == (expected == 200)


@pytest.mark.parametrize(
    "body", [b"", b"<junk", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>']
)
def test_a_body_that_is_no_propertyset_is_answered_400(
    wire: Any, control_point: Any, messages: Any, body: bytes
) -> None:
    assert status(wire, messages.notify(body)) == 400
    assert control_point.events == []


def test_a_chunked_body_is_read(wire: Any, control_point: Any, messages: Any) -> None:
    head = messages.notify(b"", CONTENT_LENGTH=None, TRANSFER_ENCODING="chunked")
    first, second = messages.body[:50], messages.body[50:]
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(first), first, len(second), second)
    assert status(wire, head + chunks) == 200
    assert control_point.events[0]["Volume"] == "30"


def test_a_large_body_is_read_and_one_beyond_the_cap_is_answered_413(
    wire: Any, control_point: Any, messages: Any
) -> None:
    large = messages.body.replace(b"30", b"x" * 200_000)
    assert status(wire, messages.notify(large)) == 200
    assert len(control_point.events[0]["Volume"]) == 200_000
    assert status(wire, messages.notify(messages.body + b" " * 1_048_576)) == 413


def test_another_method_is_answered_405(wire: Any) -> None:
    (response,) = wire.send(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
    assert response.status == 405
    assert response.fields[b"allow"] == b"NOTIFY"


def test_the_signal_carries_the_headers_of_the_request(
    server: event.EventServer, wire: Any, messages: Any
) -> None:
    told: list[Any] = []
    server.bind(event_server_message_received=lambda *args: told.append(args))
    wire.send(messages.notify())
    ((command, headers, data),) = told
    assert command == {"method": b"NOTIFY", "path": b"/events"}
    assert headers.getRawHeaders("SID") == ["uuid:one"]
    assert headers.getRawHeaders(b"nts") == [b"upnp:propchange"]
    assert data == messages.body


def test_listeners_and_control_points_that_raise_change_no_answer(
    server: event.EventServer, control_point: Any, wire: Any, messages: Any, caplog: Any
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("on purpose")

    server.bind(event_server_message_received=broken)
    control_point.propagate = broken
    with caplog.at_level(logging.ERROR, "event_server"):
        assert status(wire, messages.notify()) == 200
    assert caplog.text.count("ValueError: on purpose") == 2


def test_rendering_directly_gives_the_status_in_the_request(
    server: event.EventServer, control_point: Any, serve: Any, messages: Any
) -> None:
    """As Cohen3's method was called: the empty body comes back."""
    rendered: list[Any] = []

    def render(request: Any) -> bytes:
        rendered.append((server.render_NOTIFY(request), request.code))
        return b""

    server.render = render  # type: ignore[method-assign] # this one server alone
    serve(server).send(messages.notify())
    assert rendered == [(b"", 200)]
    assert len(control_point.events) == 1


# --- which SIDs are known ---


def grant(reactor: Any, sid: str) -> None:
    _, transport = reactor.accept()
    answer = f"HTTP/1.1 200 OK\r\nSID: {sid}\r\nTIMEOUT: Second-300\r\nContent-Length: 0\r\n\r\n"
    transport.protocol.dataReceived(answer.encode())


@pytest.mark.clause("RSP-03")
def test_an_unknown_sid_is_answered_412(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    grant(reactor, "uuid:granted")
    assert status(wire, messages.notify(SID="uuid:stray")) == 412
    assert status(wire, messages.notify(SID="uuid:granted")) == 200
    assert [one.get_sid() for one in control_point.events] == ["uuid:granted"]


@pytest.mark.clause("SUB-59")
def test_an_event_before_the_answer_to_its_subscribe_is_held(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    assert status(wire, messages.notify(SID="uuid:early")) == 200
    assert status(wire, messages.notify(SID="uuid:foreign")) == 200
    assert control_point.events == []
    grant(reactor, "uuid:early")
    assert service.sid == "uuid:early"
    assert [one.get_sid() for one in control_point.events] == ["uuid:early"]


@pytest.mark.clause("SUB-59", "RSP-03", "RSP-07")
def test_a_stray_in_the_middle_of_its_count_is_answered_412_while_a_subscribe_is_out(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    assert status(wire, messages.notify(SID="uuid:stray", SEQ="57")) == 412
    assert status(wire, messages.notify(SID="uuid:early")) == 200
    assert status(wire, messages.notify(SID="uuid:early", SEQ="1")) == 200
    grant(reactor, "uuid:early")
    assert [one.get_sid() for one in control_point.events] == ["uuid:early"] * 2


def test_events_before_the_answer_are_held_within_bounds_and_refused_beyond(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    answers = [
        status(wire, messages.notify(SID="uuid:early", SEQ=str(number))) for number in range(20)
    ]
    assert answers == [200] * 8 + [412] * 12
    grant(reactor, "uuid:early")
    assert len(control_point.events) == 8


def test_each_subscription_that_is_expected_has_room_for_its_early_events(
    wire: Any, control_point: Any, messages: Any, reactor: Any, service: Any
) -> None:
    services = [type(service)() for _ in range(12)]
    for one in services:
        event.subscribe(one, reactor=reactor)
    for number in range(12):
        assert status(wire, messages.notify(SID=f"uuid:{number}")) == 200
    for number in range(12):
        reactor.accept(number)[0].dataReceived(
            f"HTTP/1.1 200 OK\r\nSID: uuid:{number}\r\nContent-Length: 0\r\n\r\n".encode()
        )
    assert [one.get_sid() for one in control_point.events] == [f"uuid:{n}" for n in range(12)]


def test_events_of_foreigners_do_not_push_out_what_is_held(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    event.subscribe(service, reactor=reactor)
    assert status(wire, messages.notify(SID="uuid:early")) == 200
    answers = [status(wire, messages.notify(SID=f"uuid:{number}")) for number in range(8)]
    assert answers == [200] * 7 + [412]
    grant(reactor, "uuid:early")
    assert [one.get_sid() for one in control_point.events] == ["uuid:early"]


@pytest.mark.clause("REN-12")
def test_a_sid_that_was_replaced_at_a_renewal_is_taken_until_the_new_one_speaks(
    wire: Any, control_point: Any, service: Any, reactor: Any, messages: Any
) -> None:
    for sid in ("uuid:old", "uuid:new"):
        event.subscribe(service, reactor=reactor)
        grant(reactor, sid)
        if sid == "uuid:old":
            assert status(wire, messages.notify(SID="uuid:old")) == 200
    assert status(wire, messages.notify(SID="uuid:old", SEQ="1")) == 200
    assert status(wire, messages.notify(SID="uuid:new")) == 200
    assert status(wire, messages.notify(SID="uuid:old", SEQ="2")) == 412
    told = [one.get_sid() for one in control_point.events]
    assert told == ["uuid:old", "uuid:old", "uuid:new"]


# --- losses ---

OTHER = (
    b"<e:propertyset xmlns:e='urn:schemas-upnp-org:event-1-0'>"
    b"<e:property><Volume>%d</Volume></e:property></e:propertyset>"
)


class Subscribed:
    """A subscribed service, and the device at its other end."""

    def __init__(self, serve: Any, server: Any, service: Any, reactor: Any) -> None:
        self.serve, self.server, self.service, self.reactor = serve, server, service, reactor
        self.events = server.control_point.events
        event.subscribe(service, reactor=reactor)
        grant(reactor, "uuid:one")

    def notify(self, seq: int | str, body: bytes = OTHER % 30, **changes: str | None) -> int:
        """The answer to an event with the present SID, unless ``changes`` names another."""
        headers = {"SID": self.service.sid, "SEQ": str(seq)} | changes
        return status(self.serve(self.server), Messages.notify(body, **headers))

    def repaired(self, sid: str = "uuid:two") -> None:
        """See that the SID is given back. Then grant ``sid``."""
        self.reactor.advance(0)
        assert self.service.sid is None
        protocol, transport = self.reactor.accept()
        assert transport.value().startswith(b"UNSUBSCRIBE ")
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        grant(self.reactor, sid)
        assert self.service.sid == sid

    def pass_doubt(self) -> None:
        """The time in which the device may send a refused event again."""
        self.reactor.advance(DEFAULT_LIMITS.doubt_seconds)

    @property
    def asked(self) -> int:
        """How many requests were sent."""
        return len(self.reactor.tcpClients)


@pytest.fixture
def granted(serve: Any, server: event.EventServer, service: Any, reactor: Any) -> Subscribed:
    """Before its initial event."""
    return Subscribed(serve, server, service, reactor)


@pytest.fixture
def subscribed(granted: Subscribed) -> Subscribed:
    assert granted.notify(0) == 200
    return granted


@pytest.mark.clause("CP-01")
def test_after_a_gap_in_seq_the_service_is_subscribed_afresh(
    subscribed: Subscribed, caplog: pytest.LogCaptureFixture
) -> None:
    assert subscribed.notify(1) == 200
    subscribed.reactor.advance(0)
    assert subscribed.asked == 1
    assert subscribed.notify(3, OTHER % 31) == 200
    assert subscribed.events[-1] == {"Volume": "31"}
    assert "events before SEQ 3 are missing: subscribing afresh" in caplog.text
    subscribed.repaired()
    assert subscribed.notify(4, SID="uuid:one") == 412
    assert subscribed.notify(0, OTHER % 32) == 200
    assert subscribed.events[-1] == {"Volume": "32"}


@pytest.mark.clause("CP-02")
def test_what_comes_late_or_twice_does_not_overwrite_what_is_newer(subscribed: Subscribed) -> None:
    for seq in (1, 2):
        assert subscribed.notify(seq, OTHER % seq) == 200
    assert subscribed.notify(2, OTHER % 2) == 200  # again: its answer was lost
    assert len(subscribed.events) == 3
    subscribed.reactor.advance(0)
    assert subscribed.asked == 1
    assert subscribed.notify(1, OTHER % 1) == 200  # late
    assert subscribed.events[-1] == {"Volume": "2"}
    subscribed.repaired()


@pytest.mark.parametrize(
    ("body", "changes", "answered"),
    [
        (b"<e:propertyset", {}, 400),
        (b"<!DOCTYPE x><x/>", {}, 400),
        (OTHER % 1, {"NT": "upnp:other"}, 412),
        (OTHER % 1, {"SEQ": "one"}, 400),
        (b"x" * 1_048_577, {}, 413),
    ],
)
def test_an_event_that_is_refused_is_a_loss_that_is_said_and_repaired(
    subscribed: Subscribed,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    changes: dict[str, str],
    answered: int,
) -> None:
    assert subscribed.notify(1, body, **changes) == answered
    subscribed.pass_doubt()
    assert f"an event was answered {answered}" in caplog.text
    subscribed.repaired()


def test_a_refused_event_that_comes_again_is_no_loss(subscribed: Subscribed) -> None:
    for body in (b"<e", b"<f"):
        assert subscribed.notify(1, body) == 400
        subscribed.reactor.advance(0.5)
    assert subscribed.notify(1) == 200
    subscribed.reactor.advance(60)
    assert subscribed.asked == 1


STRANGER = IPv4Address("TCP", "127.0.0.9", 40000)


def from_stranger(granted: Subscribed, data: bytes) -> int:
    return status(granted.serve(granted.server, peer=STRANGER), data)


def test_an_event_from_another_address_than_the_device_s_is_taken_and_said_once(
    subscribed: Subscribed, caplog: pytest.LogCaptureFixture
) -> None:
    for seq in (1, 2, 3):
        forged = Messages.notify(OTHER % seq, SID="uuid:one", SEQ=str(seq))
        assert from_stranger(subscribed, forged) == 200
    assert len(subscribed.events) == 4
    assert caplog.text.count("came from 127.0.0.9, not from 127.0.0.1: taken") == 1


def test_with_require_device_source_only_the_device_is_heard(
    control_point: Any, serve: Any, service: Any, reactor: Any
) -> None:
    policy = replace(event_server.POLICY, require_device_source=True)
    server = event.EventServer(control_point, policy=policy)
    granted = Subscribed(serve, server, service, reactor)
    assert granted.notify(0) == 200
    assert from_stranger(granted, Messages.notify(SID="uuid:one", SEQ="5")) == 412
    assert from_stranger(granted, Messages.notify(b"<e", SID="uuid:one", SEQ="5")) == 400
    reactor.advance(0)
    assert granted.asked == 1
    assert granted.notify(1) == 200


def test_repairs_that_do_not_help_are_made_after_ever_longer_pauses(
    subscribed: Subscribed,
) -> None:
    for number, pause in enumerate([0, 1, 2, 4, 8, 16, 32, 60, 60]):
        asked = subscribed.asked
        assert subscribed.notify(1, b"<e") == subscribed.notify(2, b"<e") == 400
        subscribed.pass_doubt()
        if pause:
            subscribed.reactor.advance(pause - 0.5)
            assert subscribed.asked == asked
            subscribed.reactor.advance(0.5)
        subscribed.repaired(f"uuid:{number}")
        assert subscribed.notify(0) == 200
    assert subscribed.notify(1, OTHER % 1) == 200
    assert subscribed.notify(2, b"<e") == 400
    subscribed.pass_doubt()
    subscribed.repaired("uuid:readable")


def test_a_device_that_loses_events_all_the_time_is_asked_once_a_second_at_most(
    subscribed: Subscribed,
) -> None:
    for number in range(100):
        subscribed.notify(1)
        subscribed.notify(3)
        for _ in range(100):
            subscribed.reactor.advance(0.1)
            if subscribed.service.sid is None:
                break
        subscribed.repaired(f"uuid:{number}")
        subscribed.notify(0)
    seconds = subscribed.reactor.seconds()
    subscribes = (subscribed.asked - 1) / 2  # each after an UNSUBSCRIBE
    assert subscribes <= 3 + seconds


def test_a_device_whose_seq_means_nothing_is_not_subscribed_to_again_and_again(
    subscribed: Subscribed,
) -> None:
    for number in range(20):
        assert subscribed.notify(0, OTHER % number) == 200
    assert len(subscribed.events) == 21
    subscribed.reactor.advance(60)
    assert subscribed.asked == 1


def test_a_renewal_by_hand_in_the_pause_before_a_repair_makes_the_repair(
    subscribed: Subscribed,
) -> None:
    subscribed.notify(1, b"<e")
    subscribed.pass_doubt()
    subscribed.repaired()
    assert subscribed.notify(0) == 200
    assert subscribed.notify(1, b"<e") == 400
    subscribed.pass_doubt()
    event.subscribe(subscribed.service, reactor=subscribed.reactor)
    subscribed.repaired("uuid:three")
    before = subscribed.asked
    subscribed.reactor.advance(4)
    assert subscribed.asked == before


def test_a_repair_while_a_renewal_is_unanswered_follows_its_answer(subscribed: Subscribed) -> None:
    event.subscribe(subscribed.service, reactor=subscribed.reactor)
    assert subscribed.notify(5) == 200
    subscribed.reactor.advance(0)
    grant(subscribed.reactor, "uuid:one")
    subscribed.repaired()


def test_unsubscribing_ends_the_repair(subscribed: Subscribed) -> None:
    subscribed.notify(2)
    event.unsubscribe(subscribed.service, reactor=subscribed.reactor)
    protocol, _ = subscribed.reactor.accept()
    protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    subscribed.service.sid = None
    subscribed.reactor.advance(100)
    assert subscribed.asked == 2


def test_unsubscribing_ends_the_wait_for_the_initial_event(granted: Subscribed) -> None:
    event.unsubscribe(granted.service, reactor=granted.reactor)
    granted.service.sid = None
    granted.reactor.accept()[0].dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    granted.reactor.advance(100)
    assert granted.asked == 2
    assert granted.reactor.getDelayedCalls() == []


def test_a_service_that_is_torn_down_is_not_repaired_until_the_next_loss(
    subscribed: Subscribed,
) -> None:
    subscribed.notify(2)
    subscribed.service.event_connection.teardown()
    subscribed.reactor.advance(100)
    assert subscribed.asked == 1
    subscribed.notify(4)
    subscribed.reactor.advance(1)
    subscribed.repaired()


def test_a_repair_that_is_torn_down_while_it_unsubscribes_is_over(subscribed: Subscribed) -> None:
    subscribed.notify(2)
    subscribed.reactor.advance(0)
    subscribed.service.event_connection.teardown()
    subscribed.reactor.advance(100)
    assert subscribed.asked == 2
    assert subscribed.service.event_connection is None


def test_a_device_that_does_not_answer_the_unsubscribe_is_subscribed_to_all_the_same(
    subscribed: Subscribed,
) -> None:
    subscribed.notify(2)
    subscribed.reactor.advance(0)
    subscribed.reactor.accept()
    subscribed.reactor.advance(2)
    grant(subscribed.reactor, "uuid:two")
    assert subscribed.service.sid == "uuid:two"


def test_without_an_initial_event_it_is_said_and_the_service_subscribed_afresh(
    granted: Subscribed, caplog: pytest.LogCaptureFixture
) -> None:
    for number, patience in enumerate([5, 10, 20, 40, 60, 60]):
        granted.reactor.pump([0.5] * (2 * patience - 1))
        assert granted.service.sid is not None
        granted.reactor.advance(0.5)
        granted.repaired(f"uuid:{number}")
    assert "sends no initial event: probably it cannot reach http://127.0.0.1:8080/events" in (
        caplog.text
    )
    assert granted.notify(0) == 200
    granted.reactor.advance(100)
    assert granted.service.sid == "uuid:5"


def test_a_service_that_gives_its_sid_up_does_not_take_the_same_sid_from_another(
    granted: Subscribed, serve: Any, control_point: Any
) -> None:
    # A device that has restarted may count its SIDs from the same one on, and so may two devices.
    other = Subscribed(serve, event.EventServer(control_point), ClientService(), granted.reactor)
    assert other.service.sid == granted.service.sid == "uuid:one"
    assert other.notify(0) == 200
    granted.reactor.advance(DEFAULT_LIMITS.initial_event_seconds)
    granted.repaired()
    assert other.notify(1) == 200
    event.unsubscribe(granted.service, reactor=granted.reactor)
    assert other.notify(2) == 200


def test_a_service_that_is_gone_does_not_complain_of_a_missing_initial_event(
    server: event.EventServer, reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service = ClientService()
    event.subscribe(service, reactor=reactor)
    grant(reactor, "uuid:one")
    del service
    reactor.tcpClients.clear()
    gc.collect()
    reactor.advance(100)
    assert "sends no initial event" not in caplog.text
    assert reactor.tcpClients == []


def test_a_service_without_evented_variables_owes_no_initial_event(granted: Subscribed) -> None:
    variable = types.SimpleNamespace(send_events="no")
    granted.service.get_state_variables = lambda instance: {"A": variable}
    granted.reactor.advance(100)
    assert granted.service.sid == "uuid:one"


def test_an_outage_of_renewals_is_followed_by_a_fresh_subscription(subscribed: Subscribed) -> None:
    reactor = subscribed.reactor
    reactor.advance(10)
    event.subscribe(subscribed.service, reactor=reactor)
    factory = reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(reactor.connectors[-1], Failure(ConnectionRefusedError()))
    reactor.advance(1)
    grant(reactor, "uuid:one")
    subscribed.repaired()


def test_a_service_that_heard_nothing_for_an_hour_is_subscribed_afresh_instead_of_renewed(
    subscribed: Subscribed,
) -> None:
    subscribed.reactor.advance(3_599)
    event.subscribe(subscribed.service, reactor=subscribed.reactor)
    grant(subscribed.reactor, "uuid:one")
    assert subscribed.service.sid == "uuid:one"
    subscribed.reactor.advance(1)
    event.subscribe(subscribed.service, reactor=subscribed.reactor)
    subscribed.repaired()


def test_a_sid_that_the_new_one_has_replaced_is_forgotten_with_it(subscribed: Subscribed) -> None:
    event.subscribe(subscribed.service, reactor=subscribed.reactor)
    grant(subscribed.reactor, "uuid:new")
    subscribed.reactor.pump([0.5] * 10)  # its initial event does not come
    subscribed.repaired("uuid:third")
    assert subscribed.notify(1, SID="uuid:one") == 412
    assert subscribed.notify(1, SID="uuid:new") == 412
    assert subscribed.notify(0) == 200


@pytest.mark.slow
def test_services_that_are_gone_leave_nothing_behind(
    server: event.EventServer, reactor: Any, service: Any
) -> None:
    for number in range(100):
        another = type(service)()
        event.subscribe(another, reactor=reactor)
        grant(reactor, f"uuid:{number}")
        reactor.advance(6)
        another.event_connection = None
        del another
        reactor.connectors.clear()
        reactor.tcpClients.clear()
        if number % 10 == 9:
            gc.collect()
    assert len(server._granted or {}) < 20


def test_a_listener_that_changes_the_headers_does_not_change_the_answer(
    server: event.EventServer, wire: Any, messages: Any
) -> None:
    server.bind(event_server_message_received=lambda c, headers, d: headers.removeHeader(b"sid"))
    assert status(wire, messages.notify()) == 200


def test_a_control_point_that_judges_by_itself_is_asked(
    control_point: Any, serve: Any, messages: Any
) -> None:
    from propchange.core.wire.messages import Response

    asked: list[Any] = []
    control_point.receive_notify = lambda message: asked.append(message) or Response(412)
    wire = serve(event.EventServer(control_point))
    assert status(wire, messages.notify()) == 412
    assert asked[0].fields[b"sid"] == b"uuid:one"


# --- a control point of Cohen3's ---


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, control_point: Any, service: Any) -> dict[str, Any]:
    """Cohen3's dict of SID -> service, with the control point as one of Cohen3's."""
    table = {"uuid:forgotten": service, "uuid:other": object()}
    for name, names in (
        ("coherence.upnp.devices.control_point", {"ControlPoint": type(control_point)}),
        ("coherence.upnp.core.service", {"subscribers": table}),
    ):
        module = types.ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
    return table


def test_the_table_of_cohen3_is_the_truth_for_its_control_points(
    table: dict[str, Any], service: Any, wire: Any, reactor: Any, messages: Any
) -> None:
    assert status(wire, messages.notify(SID="uuid:other")) == 200
    assert status(wire, messages.notify(SID="uuid:stray")) == 412
    service.sid = "uuid:forgotten"
    event.subscribe(service, reactor=reactor)
    reactor.accept()[0].dataReceived(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    assert list(table) == ["uuid:other"]
    assert status(wire, messages.notify(SID="uuid:forgotten", SEQ="1")) == 412
