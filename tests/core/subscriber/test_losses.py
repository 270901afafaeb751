"""An event that is known to be lost is counted, said, and repaired by a fresh subscription."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propchange.core.diagnosis.rules import diagnose
from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Cause, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.losses import CAUSES
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import RequestKind
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.core.wire.refusals import Part, Refusal
from tests.core.subscriber.test_protocol import DEVICE, LOCAL, ControlPoint

ACTIVE, DEAF, RESUBSCRIBING = Status.ACTIVE, Status.DEAF, Status.RESUBSCRIBING
UNREADABLE = b"<e:propertyset"
CUT = Refusal(0, "its connection ended", "", Part.REST)
HOUR = 3_600


def message(
    record: SubscriptionRecord,
    seq: int | str | None = 1,
    body: bytes | None = None,
    *,
    method: str = "NOTIFY",
    target: str | None = None,
    peer: Endpoint = DEVICE,
    **fields: str | None,
) -> Request:
    """An event of ``record`` with A=1, or another ``body`` and other header fields."""
    usual: dict[str, str | None] = {
        "HOST": "10.0.0.2:9000",
        "NT": "upnp:event",
        "NTS": "upnp:propchange",
        "SID": record.sid,
        "SEQ": None if seq is None else str(seq),
    }
    found = {**usual, **fields}
    headers = [(name.encode(), text.encode()) for name, text in found.items() if text is not None]
    body = format_propertyset([("A", "1")]) if body is None else body
    return Request(method, target or record.path, headers, body, peer=peer, local=LOCAL)


class Point(ControlPoint):
    def send(self, record: SubscriptionRecord, *args: Any, **more: Any) -> int:
        return self.protocol.receive_notify(message(record, *args, **more), self.now).status

    def cut(self, record: SubscriptionRecord, *args: Any, **more: Any) -> None:
        self.protocol.request_cut(message(record, *args, **more), CUT, self.now)

    def later(self) -> None:
        """The time is up in which the device may send the event again."""
        self.now += DEFAULT_LIMITS.doubt_seconds
        self.protocol.handle_deadline(self.now)

    def waste(self, times: int = 1, host: str = DEVICE.host) -> None:
        for _ in range(times):
            self.protocol.connection_wasted(host, "they ended without a request", self.now)

    def repaired(self, sid: str, **values: str) -> None:
        """Answer the UNSUBSCRIBE and the SUBSCRIBE that are sent now; send the initial event."""
        self.answer(self.request(RequestKind.UNSUBSCRIBE), sid=None)
        self.granted_again(sid)
        (record,) = self.protocol.subscriptions
        if values:
            assert self.notify(record, 0, **values) == 200

    def granted_again(self, sid: str) -> None:
        self.answer(self.request(RequestKind.SUBSCRIBE), sid=sid)


def lastchange(text: str) -> bytes:
    return format_propertyset([("LastChange", text)])


LOST = {
    "a body that is no XML": (400, {"body": b"<e:propertyset"}, Cause.EVENT_UNREADABLE),
    "a body with a DTD": (400, {"body": b"<!DOCTYPE a><a/>"}, Cause.EVENT_UNREADABLE),
    "another document": (400, {"body": b"<html/>"}, Cause.EVENT_UNREADABLE),
    "an unknown encoding": (
        400,
        {"body": b"<?xml version='1.0' encoding='x-none'?><a/>"},
        Cause.EVENT_UNREADABLE,
    ),
    "no body": (400, {"body": b""}, Cause.EVENT_UNREADABLE),
    "a LastChange that cannot be read": (
        200,
        {"body": lastchange("<Event")},
        Cause.EVENT_UNREADABLE,
    ),
    "an escaped LastChange that cannot be read": (
        200,
        {"body": lastchange("&lt;Event")},
        Cause.EVENT_UNREADABLE,
    ),
    "another HOST": (400, {"HOST": "elsewhere:80"}, Cause.EVENT_REFUSED),
    "no HOST": (400, {"HOST": None}, Cause.EVENT_REFUSED),
    "no NT": (400, {"NT": None}, Cause.EVENT_REFUSED),
    "another NT": (412, {"NT": "upnp:other"}, Cause.EVENT_REFUSED),
    "no NTS": (400, {"NTS": None}, Cause.EVENT_REFUSED),
    "another NTS": (412, {"NTS": "upnp:changed"}, Cause.EVENT_REFUSED),
    "a SEQ that is no number": (400, {"seq": "one"}, Cause.EVENT_REFUSED),
    "no SID": (412, {"SID": None}, Cause.EVENT_REFUSED),
    "another SID": (412, {"SID": "uuid:other"}, Cause.EVENT_REFUSED),
    "another path": (412, {"target": "/mangled"}, Cause.EVENT_REFUSED),
    "another method": (405, {"method": "notify"}, Cause.EVENT_REFUSED),
    "a gap in SEQ": (200, {"seq": 3}, Cause.MISSED_EVENT),
}

NOT_LOST = {
    "a value that does not fit its type": (200, {"body": format_propertyset([("A", "many")])}),
    "an undeclared variable": (200, {"body": format_propertyset([("B", "1")])}),
    "a vendor's variable of the name LastChange": (200, {"body": lastchange("2026-11-30")}),
    "an empty LastChange": (200, {"body": lastchange(" ")}),
    "a copy of the event before": (200, {"seq": 0, "body": format_propertyset([("A", "0")])}),
    "an unreadable copy of the event before": (400, {"seq": 0, "body": UNREADABLE}),
    "a health check": (405, {"method": "HEAD", "SID": None}),
    "another path and SID": (412, {"target": "/path-of-a-former-process", "SID": "uuid:0"}),
    "the path of the grant before": (412, {"target": "/former"}),
    "another path, from another host": (412, {"target": "/x", "peer": Endpoint("10.0.0.66", 1)}),
}


@pytest.mark.parametrize(("status", "what", "cause"), LOST.values(), ids=LOST)
def test_an_event_that_was_not_taken_is_said_and_repaired(
    status: int, what: dict[str, Any], cause: Cause
) -> None:
    point = Point()
    record = point.active()
    assert point.send(record, **what) == status
    if cause is not Cause.MISSED_EVENT:
        point.later()
    assert point.statuses() == [(RESUBSCRIBING, cause)]
    assert record.losses == 1
    point.repaired("uuid:2", A="7")
    assert (record.status, record.values["A"]) == (ACTIVE, "7")


@pytest.mark.parametrize(("status", "what"), NOT_LOST.values(), ids=NOT_LOST)
def test_what_costs_no_event_changes_no_status(status: int, what: dict[str, Any]) -> None:
    point = Point()
    record = point.active(convert={"A": int, "LastChange": str})
    record.former_path = "/former"
    assert point.send(record, **what) == status
    point.later()
    assert point.statuses() == []
    assert (record.losses, record.status) == (0, ACTIVE)


def test_a_message_that_counts_as_forged_is_no_loss() -> None:
    point = Point(policy=SubscriberPolicy(require_device_source=True))
    record = point.active()
    assert point.send(record, peer=Endpoint("10.0.0.66", 1)) == 412
    point.later()
    assert point.statuses() == []


def test_every_part_of_a_request_has_a_cause_but_its_source() -> None:
    assert set(CAUSES) == set(Part) - {Part.SOURCE}


@pytest.mark.parametrize(("status", "what", "cause"), LOST.values(), ids=LOST)
def test_on_a_shared_path_the_sid_names_the_subscription_that_has_lost_an_event(
    status: int, what: dict[str, Any], cause: Cause
) -> None:
    point = Point(policy=SubscriberPolicy(shared_path="/events"))
    record = point.active()
    assert point.send(record, **what) == status
    point.later()
    of_nobody = "SID" in what
    assert point.statuses() == ([] if of_nobody else [(RESUBSCRIBING, cause)])


# --- again and again ---


class Broken(Point):
    """A device whose events are readable or not, as ``readable`` says for their SEQ."""

    def __init__(self, readable: Any = lambda seq: True, **options: Any) -> None:
        super().__init__(**options)
        self.readable = readable
        self.value = 0
        self.seq = 0
        self.asked: list[float] = []
        self.record = self.subscribe()
        self.serve()

    def event(self) -> None:
        self.value += 1
        if self.record.granted_at is not None:
            good = format_propertyset([("A", str(self.value))])
            self.send(self.record, self.seq, good if self.readable(self.seq) else UNREADABLE)
            self.seq += 1

    def serve(self) -> None:
        """Answer what is asked, and send the initial event of each grant."""
        for request in self.requests():
            if request.kind is not RequestKind.SUBSCRIBE:
                self.answer(request, sid=request.sid)
                continue
            request.build(LOCAL)
            self.asked.append(self.now)
            self.answer(request, sid=f"uuid:{len(self.asked)}")
            self.seq = 0
            self.event()
        if self.protocol._requests.slots.ready:
            self.serve()

    def run(self, seconds: float, step: float = 1.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.protocol.handle_deadline(self.now)
            self.serve()
            self.event()
            self.serve()
            if self.record.status is ACTIVE and self.record.doubt is None:
                assert self.record.values.get("A") == str(self.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "readable",
    [lambda seq: False, lambda seq: seq == 0, lambda seq: seq % 2 == 0, lambda seq: seq > 0],
    ids=["none", "only the initial event", "every second", "all but the initial event"],
)
def test_a_device_with_unreadable_events_is_deaf_with_that_cause_and_asked_ever_more_rarely(
    readable: Any,
) -> None:
    device = Broken(readable, jitter=lambda: 0.9)
    device.run(HOUR)
    if device.record.status is ACTIVE:
        device.run(2)  # a fresh subscription has just restored the state
    assert device.record.status is DEAF
    assert device.record.status_cause is Cause.EVENT_UNREADABLE
    assert len(device.asked) <= 3 + 6 + HOUR / 45
    assert device.record.losses > 50 or not readable(1)
    device.readable = lambda seq: True
    device.run(90)
    assert device.record.status is ACTIVE
    assert device.record.values["A"] == str(device.value)


def test_the_reason_of_deaf_says_what_was_wrong_and_that_repairs_do_not_help() -> None:
    device = Broken(lambda seq: seq == 0)
    device.run(20)
    assert "an event was not taken: " in device.record.status_reason
    assert " fresh subscriptions in a row have not helped" in device.record.status_reason


def test_events_that_can_be_read_are_taken_while_the_next_repair_waits() -> None:
    device = Broken(lambda seq: seq % 2 == 0)
    device.run(60)
    assert device.record.status is DEAF
    device.outcomes()
    device.run(4)
    assert [event.seq for event in device.events()]


def test_a_device_that_sends_its_state_anew_while_the_next_repair_waits_needs_no_repair() -> None:
    device = Broken(lambda seq: seq == 0)
    device.run(60)
    assert device.record.status is DEAF
    assert device.notify(device.record, 0, A="anew") == 200
    assert (device.record.status, device.record.state) == (ACTIVE, S.ACTIVE)
    asked = len(device.asked)
    for _ in range(100):
        device.now += 1.0
        device.protocol.handle_deadline(device.now)
        device.serve()
    assert len(device.asked) == asked
    assert device.record.state is S.ACTIVE


def waiting_for_its_repair() -> Broken:
    """A device that is DEAF, because repairs have not helped; its events can be read now, and it
    has sent SEQ 0 to 3 of the newest SID."""
    device = Broken(lambda seq: seq == 0)
    device.run(60)
    assert device.record.status is DEAF
    device.readable = lambda seq: True
    device.record.sequence.restart()
    for seq in range(4):
        device.notify(device.record, seq, A=f"v{seq}")
    device.outcomes()
    return device


@pytest.mark.clause("CP-02")
@pytest.mark.parametrize("repeated", [(1, 2, 3), (0, 1, 2, 3), (2, 3), (3, 2, 1), (1,)])
def test_events_that_are_repeated_late_while_the_next_repair_waits_are_not_given_again(
    repeated: tuple[int, ...],
) -> None:
    device = waiting_for_its_repair()
    record, losses = device.record, device.record.losses
    for _ in range(3):
        for seq in repeated:
            assert device.notify(record, seq, A=f"v{seq}") == 200
    assert device.events() == []
    assert record.values["A"] == "v3"
    assert record.losses <= losses + 1
    assert device.notify(record, 4, A="v4") == 200
    assert [event.changes for event in device.events()] == [{"A": "v4"}]
    assert record.sequence.reliable


@pytest.mark.clause("CP-02")
def test_events_of_a_count_that_begins_anew_come_while_the_next_repair_waits() -> None:
    device = waiting_for_its_repair()
    for seq in range(1, 6):
        assert device.notify(device.record, seq, A=f"anew {seq}") == 200
    assert [event.changes["A"] for event in device.events()] == [f"anew {n}" for n in range(2, 6)]


def test_the_event_after_an_unreadable_one_shows_no_gap() -> None:
    device = Broken(lambda seq: seq % 2 == 0)
    device.run(60)
    assert device.record.gaps == 0


def test_losses_that_are_minutes_apart_are_each_repaired_at_once() -> None:
    device = Broken()
    for _ in range(10):
        device.readable = lambda seq: seq == 0
        device.run(1)
        device.readable = lambda seq: True
        device.run(3)
        assert device.record.status is ACTIVE
        device.run(100)
    assert DEAF not in [status for status, _ in device.statuses()]


# --- the initial event ---


def test_an_unreadable_initial_event_makes_it_deaf_with_that_cause_and_no_later_one_active() -> (
    None
):
    point = Point()
    record = point.granted()
    assert point.send(record, 0, UNREADABLE) == 400
    assert point.send(record, 1) == 200
    assert record.values == {"A": "1"}
    assert point.statuses() == []
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_UNREADABLE)]
    assert "does send, but what it sends was answered 400" not in record.status_reason  # no history
    point.repaired("uuid:2", A="7")
    assert (record.status, record.values) == (ACTIVE, {"A": "7"})


def test_an_initial_event_that_is_sent_again_whole_is_the_full_state() -> None:
    point = Point()
    record = point.granted()
    point.cut(record, 0)
    assert point.send(record, 0) == 200
    assert point.statuses() == [(ACTIVE, Cause.INITIAL_EVENT)]
    assert point.send(record, 1) == 200
    assert (record.status, record.gaps) == (ACTIVE, 0)


def test_an_initial_event_whose_lastchange_cannot_be_read_is_not_the_full_state() -> None:
    point = Point()
    record = point.granted()
    assert point.send(record, 0, lastchange("<Event")) == 200
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_UNREADABLE)]


@pytest.mark.parametrize("seqs", [(0,), (0, 1), (1, 0)])
def test_an_event_that_is_lost_before_the_answer_to_subscribe_is_known_afterwards(
    seqs: tuple[int, ...],
) -> None:
    point = Point()
    record = point.subscribe()
    subscribe = point.request(RequestKind.SUBSCRIBE)
    for seq in seqs:
        assert point.send(record, seq, UNREADABLE, SID="uuid:1") == 400
    point.answer(subscribe)
    assert point.send(record, max(seqs) + 1) == 200
    assert (record.state, record.gaps) == (S.GRANTED, 0)
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_UNREADABLE)]


def test_a_loss_without_a_seq_before_the_answer_is_known_afterwards() -> None:
    point = Point()
    record = point.subscribe()
    subscribe = point.request(RequestKind.SUBSCRIBE)
    point.send(record, "one", SID="uuid:1")
    point.answer(subscribe)
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_REFUSED)]


def test_a_quiet_subscription_that_is_replaced_says_that_its_initial_event_was_lost() -> None:
    point = Point()
    record = point.active(timeout="Second-300")
    for moment in range(150, HOUR + 150, 150):
        point.at(moment)
        (request,) = point.requests()
        if request.kind is RequestKind.UNSUBSCRIBE:
            point.answer(request, sid=None)
            point.granted_again("uuid:2")
            break
        point.answer(request, sid=None, timeout="Second-300")
    assert (record.state, record.status) == (S.GRANTED, ACTIVE)
    point.outcomes()
    point.send(record, 0, UNREADABLE)
    point.now += 5
    point.protocol.handle_deadline(point.now)
    assert point.statuses() == [(DEAF, Cause.EVENT_UNREADABLE)]


def test_a_deaf_subscription_whose_events_come_keeps_its_address() -> None:
    device = Broken(lambda seq: False)
    device.run(60)
    assert device.record.sources.tried_in_round == ()


# --- cut ---


def test_an_event_that_does_not_come_whole_is_said_and_repaired() -> None:
    point = Point()
    record = point.active()
    point.cut(record, 1)
    point.later()
    (change,) = [it for it in point.outcomes() if isinstance(it, StatusChange)]
    assert (change.status, change.cause) == (RESUBSCRIBING, Cause.EVENT_CUT)
    assert change.reason == "an event did not come whole: its connection ended"
    point.repaired("uuid:2", A="7")
    assert (record.status, record.values["A"]) == (ACTIVE, "7")


@pytest.mark.parametrize(
    "more",
    [
        {"method": "GET", "SID": None},
        {"target": "/stray", "SID": "uuid:0"},
        {"target": "/", "SID": None},
        {"seq": 0},
    ],
    ids=["another method", "an unknown path", "the root", "a copy of the event before"],
)
def test_what_is_cut_and_is_no_event_changes_no_status(more: dict[str, Any]) -> None:
    point = Point()
    record = point.active()
    point.cut(record, **more)
    point.later()
    assert point.statuses() == []
    assert record.status is ACTIVE


def test_an_event_that_is_cut_before_a_fresh_subscribe_is_answered_is_lost() -> None:
    """Its SEQ was taken in the grant before."""
    point = Point()
    record = point.active()
    assert [point.send(record, seq) for seq in (1, 2, 4)] == [200, 200, 200]
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    fresh = point.request(RequestKind.SUBSCRIBE)
    assert point.send(record, 0, SID="uuid:2") == 200
    point.cut(record, 1, SID="uuid:2")
    point.answer(fresh, sid="uuid:2")
    point.later()
    assert point.statuses()[-2:] == [
        (ACTIVE, Cause.INITIAL_EVENT),
        (RESUBSCRIBING, Cause.EVENT_CUT),
    ]


def test_an_event_with_another_sid_before_a_subscribe_is_answered_is_lost() -> None:
    point = Point()
    record = point.active()
    assert point.send(record, 4) == 200
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    fresh = point.request(RequestKind.SUBSCRIBE)
    assert point.send(record, 0, SID="uuid:2") == 200
    assert point.send(record, 1, SID="uuid:other") == 200
    point.answer(fresh, sid="uuid:2")
    point.later()
    assert point.statuses()[-1] == (RESUBSCRIBING, Cause.EVENT_REFUSED)


def test_an_event_that_is_cut_twice_is_lost_once() -> None:
    device = Broken(lambda seq: seq == 0)
    device.run(20)
    assert device.record.status is DEAF
    lost, seq = device.record.losses, device.seq
    for _ in range(2):
        device.cut(device.record, seq)
    assert device.record.sequence.expected == seq + 1
    assert device.record.losses == lost + 2


def test_the_seq_of_a_cut_event_counts_only_from_the_device_itself() -> None:
    point = Point()
    record = point.active()
    point.cut(record, 4_000_000_000, peer=Endpoint("10.0.0.66", 1))
    assert point.notify(record, 1) == 200
    point.later()
    assert point.statuses() == []


# --- a doubt ---


@pytest.mark.parametrize(("status", "what", "cause"), LOST.values(), ids=LOST)
def test_an_event_that_is_sent_again_whole_is_not_lost(
    status: int, what: dict[str, Any], cause: Cause
) -> None:
    point = Point()
    record = point.active()
    assert point.send(record, **what) == status
    if status == 200:
        return  # it was taken, and nothing can restore what it said
    point.send(record, **what)
    assert point.notify(record, 1, A="7") == 200
    point.later()
    assert point.statuses() == []
    assert (record.values, record.losses, record.gaps) == ({"A": "7"}, 0, 0)


def test_a_later_event_shows_at_once_that_the_one_before_is_lost() -> None:
    point = Point()
    record = point.active()
    point.send(record, 1, UNREADABLE)
    assert point.notify(record, 2) == 200
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_UNREADABLE)]
    assert (record.gaps, record.losses) == (0, 1)


def test_a_later_event_that_is_unreadable_too_shows_it_as_well() -> None:
    point = Point()
    record = point.active()
    point.send(record, 1, UNREADABLE)
    point.cut(record, 2)
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_UNREADABLE)]
    assert record.losses == 2


def test_a_gap_behind_an_event_without_a_known_seq_has_the_cause_of_that_event() -> None:
    point = Point()
    record = point.active()
    point.send(record, "one")
    assert point.notify(record, 2) == 200
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_REFUSED)]
    assert (record.gaps, record.losses) == (1, 1)


def test_an_earlier_event_leaves_the_doubt_about_a_later_one() -> None:
    point = Point()
    record = point.active()
    point.cut(record, 2)
    assert point.notify(record, 1) == 200
    point.later()
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_CUT)]


def test_a_lastchange_that_cannot_be_read_stays_a_loss_whatever_comes() -> None:
    point = Point()
    record = point.active()
    point.send(record, 1, lastchange("<Event"))
    point.send(record, 2, lastchange("<Event><InstanceID val='0'/></Event>"))
    point.later()
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_UNREADABLE)]


def test_a_doubt_from_before_the_initial_event_goes_on_behind_it() -> None:
    point = Point()
    record = point.subscribe()
    subscribe = point.request(RequestKind.SUBSCRIBE)
    assert point.send(record, 0, SID="uuid:1") == 200
    assert point.send(record, 1, UNREADABLE, SID="uuid:1") == 400
    point.answer(subscribe)
    assert record.state is S.ACTIVE
    point.later()
    assert (RESUBSCRIBING, Cause.EVENT_UNREADABLE) in point.statuses()


def test_an_event_that_is_cut_of_a_device_without_a_believed_seq_is_a_loss() -> None:
    point = Point()
    record = point.active()
    point.notify(record, None)
    assert not record.sequence.reliable
    point.statuses()
    point.cut(record, 0)
    assert point.notify(record, 0, A="other") == 200
    point.later()
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_CUT)]


def test_a_closed_subscription_loses_nothing() -> None:
    point = Point()
    record = point.active()
    point.protocol.unsubscribe(record, point.now)
    point.cut(record, 1)
    point.later()
    assert point.statuses() == [(Status.CLOSED, Cause.CLOSED)]


def test_an_address_that_events_do_not_come_whole_to_is_left_for_another() -> None:
    point = Point()
    record = point.granted()
    point.cut(record, 0)
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_CUT)]
    assert record.sources.tried_in_round != ()


# --- connections that bring nothing ---


def test_several_connections_without_a_request_are_a_lost_event() -> None:
    point = Point()
    record = point.active()
    point.waste(2)
    assert point.statuses() == []
    point.waste()
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_CUT)]
    assert record.status_reason == (
        "3 connections from 10.0.0.1 brought no event: they ended without a request"
    )
    point.repaired("uuid:2")
    point.at(5)
    assert point.statuses() == [(DEAF, Cause.EVENT_CUT)]


def test_one_connection_with_bytes_that_no_request_begins_with_is_a_lost_event() -> None:
    point = Point()
    record = point.active()
    reason = "they could not be read: the request line is malformed"
    point.protocol.connection_wasted(DEVICE.host, reason, point.now, unreadable=True)
    point.now += 0.1
    assert point.notify(record, 1) == 200  # the next event in order: nothing is lost
    point.later()
    assert point.statuses() == []
    point.protocol.connection_wasted(DEVICE.host, reason, point.now, unreadable=True)
    point.later()
    assert point.statuses() == [(RESUBSCRIBING, Cause.EVENT_CUT)]
    assert record.status_reason == f"a connection from 10.0.0.1 brought no event: {reason}"
    point.repaired("uuid:2", A="0")
    point.protocol.connection_wasted(DEVICE.host, reason, point.now, unreadable=True)
    assert record.status is ACTIVE


def test_an_event_between_them_shows_that_events_come_through() -> None:
    point = Point()
    record = point.active()
    for seq in range(1, 10):
        point.now += 1
        point.waste(2)
        point.now += 1
        assert point.notify(record, seq) == 200
    assert point.statuses() == []


def test_connections_of_others_and_before_an_event_do_not_count() -> None:
    point = Point()
    record = point.granted()
    point.waste(5)
    point.waste(5, "10.0.0.66")
    assert point.notify(record, 0) == 200
    point.waste(5, "10.0.0.66")
    assert point.statuses() == [(ACTIVE, Cause.INITIAL_EVENT)]
    point.protocol.unsubscribe(record, point.now)
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    assert not point.protocol._routing.of_host(DEVICE.host)


def test_connections_that_turn_out_to_be_no_events_must_be_more_the_next_time() -> None:
    """A health check or a port scanner at the device's address."""
    point = Point()
    record = point.active()
    for number in range(12):
        point.now += 100
        point.waste(record.wasted_most)
        assert point.statuses()[-1] == (RESUBSCRIBING, Cause.EVENT_CUT)
        point.repaired(f"uuid:{number + 2}", A="0")
    assert record.wasted_most == 4_096
    point.now += 100
    point.waste(record.wasted_most)
    point.repaired("uuid:last", A="1")
    assert record.wasted_most == DEFAULT_LIMITS.wasted_connections


def test_values_that_cannot_be_compared_count_as_changed() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError

        def __hash__(self) -> int:
            return 0

    point = Point()
    record = point.active(convert={"A": lambda text: Odd()})
    point.waste(3)
    point.repaired("uuid:2", A="0")
    assert record.wasted_most == DEFAULT_LIMITS.wasted_connections


# --- another SID in the answer to a renewal ---


def renamed(**options: Any) -> tuple[Point, SubscriptionRecord]:
    """A subscription whose renewal was answered with uuid:2."""
    point = Point()
    record = point.active(timeout="Second-100", **options)
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), sid="uuid:2", timeout="Second-100")
    point.outcomes()
    return point, record


def test_a_new_sid_owes_an_initial_event_which_is_an_ordinary_one() -> None:
    point, record = renamed()
    assert (record.state, record.status, record.sid) == (S.GRANTED, ACTIVE, "uuid:2")
    assert point.notify(record, 0, A="7") == 200
    (event,) = point.outcomes()
    assert (event.is_initial, event.sid, record.state) == (True, "uuid:2", S.ACTIVE)
    assert point.notify(record, 1, A="8") == 200
    assert record.values == {"A": "8"}
    point.at(90)
    assert point.statuses() == []


@pytest.mark.parametrize("goes_on", [True, False], ids=["under the old SID", "nothing comes"])
def test_a_new_sid_without_its_initial_event_is_deaf_and_replaced(goes_on: bool) -> None:
    point, record = renamed()
    for seq in range(1, 5 if goes_on else 1):
        point.at(50 + seq)
        assert point.notify(record, seq, sid="uuid:1", A=str(seq)) == 200
        assert record.values == {"A": str(seq)}
    point.at(55)
    assert point.statuses() == [(DEAF, Cause.NEW_SID)]
    assert "another SID, uuid:2" in record.status_reason
    point.answer(point.request(RequestKind.UNSUBSCRIBE), sid=None)
    fresh = point.request(RequestKind.SUBSCRIBE)
    # A diagnosis says the same while the fresh subscription is made.
    assert diagnose(point.protocol.facts(record, point.now)).verdict is Verdict.NEW_SID
    point.answer(fresh, sid="uuid:3")
    assert diagnose(point.protocol.facts(record, point.now)).verdict is not Verdict.NEW_SID
    assert point.notify(record, 0, A="9") == 200
    assert (record.status, record.values, record.sid) == (ACTIVE, {"A": "9"}, "uuid:3")


def test_a_doubt_from_before_the_new_sid_ends_with_its_initial_event() -> None:
    for seconds, status in ((1.0, ACTIVE), (2.0, ACTIVE), (5.0, DEAF)):
        point, record = renamed()
        point.cut(record, 1, SID="uuid:1", peer=Endpoint("10.0.0.66", 1))
        point.at(50 + seconds)
        point.notify(record, 0, A="7")
        assert record.status is status


def test_a_doubt_ends_with_the_time_for_the_initial_event_of_a_new_sid() -> None:
    point = Point(limits=replace(DEFAULT_LIMITS, initial_event_seconds=1.0))
    record = point.active(timeout="Second-100")
    point.at(50)
    point.cut(record, 1)
    point.answer(point.request(RequestKind.RENEW), sid="uuid:2", timeout="Second-100")
    point.at(51)
    assert point.statuses() == [(DEAF, Cause.NEW_SID)]
    point.at(60)


def test_the_old_sid_is_refused_once_the_new_one_has_spoken_and_that_is_no_loss() -> None:
    point, record = renamed()
    assert point.notify(record, 0, A="7") == 200
    assert point.notify(record, 1, sid="uuid:1", A="8") == 412
    assert point.statuses() == []
    assert record.values == {"A": "7"}


def test_a_device_that_goes_on_with_its_seq_under_the_new_sid_has_lost_nothing() -> None:
    point, record = renamed()
    assert point.notify(record, 1, A="7") == 200
    (event,) = point.outcomes()
    assert (event.is_initial, event.changes, record.state) == (False, {"A": "7"}, S.ACTIVE)
    point.at(90)
    assert point.statuses() == []


def test_a_new_sid_that_begins_in_the_middle_has_lost_what_was_before() -> None:
    point, record = renamed()
    assert point.notify(record, 5, A="7") == 200
    assert point.statuses() == [(RESUBSCRIBING, Cause.MISSED_EVENT)]


def test_another_sid_in_each_answer_does_not_put_off_the_initial_event() -> None:
    point = Point()
    record = point.active(timeout="Second-2")
    for number in range(1, 6):
        point.at(number)
        point.answer(point.request(RequestKind.RENEW), sid=f"uuid:{number + 1}", timeout="Second-2")
    for sid in ("uuid:2", "uuid:5"):
        assert point.notify(record, 1, sid=sid) == 200
    assert point.send(record, 1, SID="uuid:1") == 412  # four former ones are taken
    point.at(6)
    assert (DEAF, Cause.NEW_SID) in point.statuses()


def test_on_a_shared_path_the_old_sid_is_taken_too() -> None:
    point = Point(policy=SubscriberPolicy(shared_path="/events"))
    record = point.active(timeout="Second-100")
    point.at(50)
    point.answer(point.request(RequestKind.RENEW), sid="uuid:2", timeout="Second-100")
    assert point.notify(record, 1, sid="uuid:1") == 200
    assert point.notify(record, 0, sid="uuid:2") == 200
    assert point.notify(record, 2, sid="uuid:1") == 412
    point.protocol.abandon(record)
    assert not point.protocol._routing._sids


def test_a_deaf_subscription_that_is_renewed_with_another_sid_stays_deaf() -> None:
    point = Point()
    record = point.granted(timeout="Second-12")
    record.slow = True
    point.at(5)
    point.at(6)
    assert record.state is S.DEAF
    renewal = point.request(RequestKind.RENEW)
    point.answer(renewal, sid="uuid:2", timeout="Second-100")
    assert (record.state, record.sid) == (S.DEAF, "uuid:2")
    assert point.notify(record, 0, sid="uuid:2") == 200
    assert record.status is ACTIVE
