from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.notify_routing import NotifyRouting, Received
from propchange.core.subscriber.outcomes import ForeignSource, NotifyRefused
from propchange.core.subscriber.record import Advertised, SubscriptionRecord
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import format_propertyset

HERE = Endpoint("10.0.0.2", 9000)
DEVICE = Endpoint("10.0.0.1", 50_000)
SHARED = SubscriberPolicy(shared_path="/events")


def body(**values: str) -> bytes:
    return format_propertyset(values.items())


class Desk:
    """A routing, and the part of the subscriber that it needs."""

    def __init__(
        self, policy: SubscriberPolicy | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.reported: list[object] = []
        self.limits = limits
        tokens = (f"secret-{number}" for number in itertools.count(1))
        self.routing = NotifyRouting(
            policy or SubscriberPolicy(), limits, lambda: next(tokens), self.reported.append
        )

    def subscribing(self) -> SubscriptionRecord:
        record = SubscriptionRecord(
            "http://10.0.0.1/evt",
            persistent=True,
            describable=False,
            device=None,
            convert=None,
            duration_wanted=1800,
            limits=self.limits,
            begun_at=0.0,
        )
        self.routing.expect(record)
        record.state = S.SUBSCRIBING
        return record

    def grant(self, record: SubscriptionRecord, sid: str) -> list[Received]:
        record.state = S.GRANTED
        early = self.routing.grant(record, sid)
        record.device_host = DEVICE.host
        return early

    def granted(self, sid: str = "uuid:1") -> SubscriptionRecord:
        record = self.subscribing()
        assert self.grant(record, sid) == []
        return record

    def notify(
        self,
        path: str,
        sid: str = "uuid:1",
        seq: str = "0",
        content: bytes = b"",
        *,
        peer: Endpoint | None = DEVICE,
        host: str = "10.0.0.2:9000",
        method: str = "NOTIFY",
        head: object = None,
    ) -> tuple[Response, SubscriptionRecord | None, Received]:
        headers = [
            (b"HOST", host.encode()),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", sid.encode()),
            (b"SEQ", seq.encode()),
        ]
        request = Request(method, path, headers, content or body(A="1"), peer=peer, local=HERE)
        request.head = head
        request.seq = int(seq) if seq.isdigit() and len(seq) < 10 else -1
        return self.routing.receive(request, 0.0)

    def status(self, *arguments, **options) -> int:
        return self.notify(*arguments, **options)[0].status


def seqs(early: list[Received]) -> list[int | None]:
    return [received.seq for received in early]


# --- a secret path for each ---


def test_each_subscribe_has_a_path_of_its_own_that_cannot_be_guessed() -> None:
    desk = Desk()
    first, second = desk.subscribing(), desk.subscribing()
    assert (first.path, second.path) == ("/secret-1", "/secret-2")


def test_a_notify_finds_its_subscription_by_path_and_sid() -> None:
    desk = Desk()
    record = desk.granted()
    content = body(A="1", B="2")
    response, found, received = desk.notify(record.path, "uuid:1", "7", content)
    assert response.status == 200
    assert found is record
    assert received == Received("uuid:1", 7, hash(content), (("A", "1"), ("B", "2")))
    assert desk.reported == []


@pytest.mark.clause("RSP-03")
@pytest.mark.clause("RSP-07")
@pytest.mark.parametrize(
    ("path", "sid"), [("/other", "uuid:1"), ("/secret-1", "uuid:2"), ("/secret-1?x", "uuid:1")]
)
def test_an_unknown_path_or_sid_is_answered_412_so_that_strays_stop(path, sid) -> None:
    desk = Desk()
    desk.granted()
    response, record, _ = desk.notify(path, sid)
    assert (response.status, record) == (412, None)
    assert desk.reported == [
        NotifyRefused(DEVICE, path, 412, "no subscription has this path and SID")
    ]


def test_what_the_rules_refuse_is_refused_with_their_reason() -> None:
    desk = Desk()
    record = desk.granted()
    assert desk.status(record.path, method="GET") == 405
    assert desk.status(record.path, seq="many") == 400
    assert [refused.status for refused in desk.reported] == [405, 400]
    assert all(refused.reason for refused in desk.reported)


def test_the_advertised_authority_is_accepted_as_host_on_its_path_alone() -> None:
    desk = Desk()
    record = desk.granted()
    record.advertised = Advertised("nat.example:1234", "", Endpoint("nat.example", 1234), None)
    other = desk.granted("uuid:2")
    assert desk.status(record.path, host="nat.example:1234") == 200
    assert desk.status(other.path, "uuid:2", host="nat.example:1234") == 400


@pytest.mark.clause("RSP-02")
def test_a_body_that_is_no_propertyset_is_answered_400() -> None:
    desk = Desk()
    record = desk.granted()
    response, found, _ = desk.notify(record.path, content=b"<oops")
    assert (response.status, found) == (400, None)
    (refused,) = desk.reported
    assert refused.status == 400
    assert "RFC" not in refused.reason


def test_a_subscription_that_is_forgotten_has_no_path_and_no_sid() -> None:
    desk = Desk()
    record = desk.granted()
    path = record.path
    desk.routing.forget(record)
    assert record.path == ""
    assert desk.status(path) == 412
    assert (desk.routing.paths, desk.routing._sids) == ({}, {})
    desk.routing.forget(record)


@pytest.mark.clause("REN-12")
def test_after_a_renewal_with_another_sid_the_new_one_is_good_and_the_old_one_is_not() -> None:
    desk = Desk()
    record = desk.granted()
    desk.routing.adopt(record, "uuid:2")
    assert record.sid == "uuid:2"
    assert desk.status(record.path, "uuid:2") == 200
    assert desk.status(record.path, "uuid:1") == 412


# --- early messages ---


@pytest.mark.clause("SUB-59")
def test_a_notify_that_overtakes_the_answer_is_held_until_the_sid_is_known() -> None:
    desk = Desk()
    record = desk.subscribing()
    for seq in ("0", "1"):
        response, found, _ = desk.notify(record.path, "uuid:9", seq)
        assert (response.status, found) == (200, None)
    assert desk.status(record.path, "uuid:8", "0") == 200
    assert seqs(desk.grant(record, "uuid:9")) == [0, 1]
    assert desk.routing._early == {}
    assert desk.status(record.path, "uuid:8") == 412


def test_few_early_messages_are_held() -> None:
    desk = Desk(limits=replace(DEFAULT_LIMITS, early_messages=2))
    record = desk.subscribing()
    for seq in "012345":
        assert desk.status(record.path, "uuid:9", seq) == 200
    # The newest in the place of the last that fits: a gap, so that the state is restored.
    assert seqs(desk.grant(record, "uuid:9")) == [0, 5]


def test_early_messages_are_dropped_when_the_subscribe_fails() -> None:
    desk = Desk()
    record = desk.subscribing()
    desk.notify(record.path, "uuid:9")
    desk.routing.forget(record)
    desk.routing.expect(record)
    assert record.path == "/secret-2"
    assert desk.grant(record, "uuid:9") == []


def test_an_early_body_that_is_no_propertyset_is_answered_400() -> None:
    desk = Desk()
    record = desk.subscribing()
    assert desk.status(record.path, content=b"<oops") == 400
    assert desk.grant(record, "uuid:1") == []


# --- one path for all ---


def test_on_a_shared_path_the_sid_tells_the_subscription() -> None:
    desk = Desk(SHARED)
    first, second = desk.granted("uuid:1"), desk.granted("uuid:2")
    assert first.path == second.path == "/events"
    assert desk.notify("/events", "uuid:1")[1] is first
    assert desk.notify("/events", "uuid:2")[1] is second
    assert desk.status("/events", "uuid:3") == 412
    assert desk.status("/other", "uuid:1") == 412


@pytest.mark.clause("SUB-59")
def test_on_a_shared_path_early_messages_are_held_for_whoever_gets_their_sid() -> None:
    desk = Desk(SHARED)
    first, second = desk.subscribing(), desk.subscribing()
    for sid, seq in [("uuid:2", "0"), ("uuid:1", "0"), ("uuid:2", "1")]:
        response, found, _ = desk.notify("/events", sid, seq)
        assert (response.status, found) == (200, None)
    assert seqs(desk.grant(first, "uuid:1")) == [0]
    assert seqs(desk.grant(second, "uuid:2")) == [0, 1]


@pytest.mark.clause("SUB-59", "RSP-03", "RSP-07")
def test_on_a_shared_path_a_stray_in_the_middle_of_its_count_is_not_early() -> None:
    desk = Desk(SHARED)
    record = desk.subscribing()
    assert desk.status("/events", "uuid:stray", "57") == 412
    assert desk.status("/events", "uuid:9", "1") == 412  # its initial event would come first
    assert desk.status("/events", "uuid:9", "0") == 200
    assert desk.status("/events", "uuid:9", "1") == 200
    assert seqs(desk.grant(record, "uuid:9")) == [0, 1]


def test_on_a_shared_path_nothing_is_held_when_no_subscribe_is_out() -> None:
    desk = Desk(SHARED)
    assert desk.status("/events", "uuid:1") == 412
    record = desk.subscribing()
    assert desk.status("/events", "uuid:9") == 200
    desk.routing.forget(record)
    assert desk.status("/events", "uuid:9") == 412
    assert desk.grant(desk.subscribing(), "uuid:9") == []


def test_on_a_shared_path_few_early_messages_are_held() -> None:
    desk = Desk(SHARED, replace(DEFAULT_LIMITS, early_messages=2))
    record = desk.subscribing()
    for seq in "0123":
        assert desk.status("/events", "uuid:9", seq) == 200
    # There is no room for it: 503, so that the device may send it again.
    assert desk.status("/events", "uuid:8", "0") == 503
    assert seqs(desk.grant(record, "uuid:9")) == [0, 3]


def test_on_a_shared_path_a_message_for_a_granted_sid_is_not_early() -> None:
    desk = Desk(SHARED)
    record = desk.granted("uuid:1")
    desk.subscribing()
    assert desk.notify("/events", "uuid:1")[1] is record


def test_two_devices_that_grant_the_same_sid_do_not_upset_a_shared_path() -> None:
    desk = Desk(SHARED)
    first, second = desk.granted("uuid:1"), desk.granted("uuid:1")
    desk.routing.forget(first)
    assert desk.notify("/events", "uuid:1")[1] is second
    record = desk.subscribing()
    assert desk.status("/events", "uuid:9") == 200
    assert seqs(desk.grant(record, "uuid:9")) == [0]


def test_adopting_a_sid_takes_nothing_from_another_who_has_the_old_one() -> None:
    desk = Desk(SHARED)
    first, second = desk.granted("uuid:1"), desk.granted("uuid:1")
    desk.routing.adopt(first, "uuid:2")
    assert desk.notify("/events", "uuid:1")[1] is second
    assert desk.notify("/events", "uuid:2")[1] is first


# --- where it comes from ---

STRANGER = Endpoint("10.0.0.66", 1)


def test_an_event_from_another_address_is_taken_and_told_once_per_address() -> None:
    desk = Desk()
    record = desk.granted()
    assert desk.status(record.path, seq="0", peer=STRANGER) == 200
    assert desk.status(record.path, seq="1", peer=STRANGER._replace(port=2)) == 200
    assert desk.reported == [ForeignSource(record, "10.0.0.66", refused=False)]
    assert desk.status(record.path, seq="2", peer=Endpoint("10.0.0.67", 1)) == 200
    assert len(desk.reported) == 2


def test_an_event_from_another_address_is_refused_where_that_is_the_policy() -> None:
    desk = Desk(SubscriberPolicy(require_device_source=True))
    record = desk.granted()
    assert desk.status(record.path, peer=STRANGER) == 412
    assert desk.reported == [
        ForeignSource(record, "10.0.0.66", refused=True),
        NotifyRefused(
            STRANGER, record.path, 412, "events are accepted only from the device's address"
        ),
    ]
    assert desk.status(record.path, peer=DEVICE._replace(port=7)) == 200


def test_only_so_many_foreign_addresses_are_told() -> None:
    desk = Desk()
    record = desk.granted()
    for number in range(40):
        desk.notify(record.path, seq=str(number), peer=Endpoint(f"10.0.1.{number}", 1))
    assert len(desk.reported) == len(record.foreign_sources) == 16


def test_without_an_address_to_compare_every_source_will_do() -> None:
    desk = Desk(SubscriberPolicy(require_device_source=True))
    record = desk.granted()
    record.device_host = None
    assert desk.status(record.path, peer=STRANGER) == 200
    assert desk.status(record.path, peer=None) == 200
    assert desk.reported == []


def test_a_source_that_nobody_knows_is_not_the_device() -> None:
    for required, status in ((True, 412), (False, 200)):
        desk = Desk(SubscriberPolicy(require_device_source=required))
        assert desk.status(desk.granted().path, peer=None) == status


def test_a_device_that_has_moved_may_send_before_its_answer_has_come() -> None:
    """Where it was before is no reason to refuse it now."""
    desk = Desk(SubscriberPolicy(require_device_source=True))
    record = desk.granted()
    desk.routing.forget(record)
    desk.routing.expect(record)
    record.state = S.SUBSCRIBING
    assert desk.status(record.path, "uuid:2", peer=STRANGER) == 200
    assert seqs(desk.routing.grant(record, "uuid:2")) == [0]


# --- heads that repeat ---


def test_a_head_that_repeats_brings_events_with_its_new_seq_and_body() -> None:
    desk = Desk()
    record = desk.granted()
    head = object()
    for seq in ("0", "1", "4294967295"):
        content = body(A=seq)
        response, found, received = desk.notify(record.path, seq=seq, content=content, head=head)
        assert response.status == 200
        assert found is record
        assert received == Received("uuid:1", int(seq), hash(content), (("A", seq),))
    assert desk.reported == []


def test_behind_a_head_that_repeats_the_seq_and_the_body_are_judged_as_ever() -> None:
    desk = Desk()
    record = desk.granted()
    for head in (None, object()):
        desk.notify(record.path, head=head)
        assert desk.status(record.path, seq="4294967296", head=head) == 400
        assert desk.status(record.path, content=b"<x>", head=head) == 400
        assert desk.status(record.path, content=b"<x/>", head=head) == 400
        assert desk.notify(record.path, seq="1", head=head)[1] is record
    by_rules, by_head = desk.reported[:3], desk.reported[3:]
    assert [outcome.reason for outcome in by_rules] == [outcome.reason for outcome in by_head]
    assert by_rules == by_head


def test_a_head_that_was_refused_is_refused_again() -> None:
    desk = Desk()
    record = desk.granted()
    head = object()
    for _ in range(2):
        assert desk.status(record.path, "uuid:2", head=head) == 412
        assert desk.status(record.path, host="evil.example", head=head) == 400


def test_a_head_was_judged_for_its_own_subscription_alone() -> None:
    desk = Desk()
    first, second = desk.granted("uuid:1"), desk.granted("uuid:2")
    head = object()
    desk.notify(first.path, "uuid:1", head=head)
    assert desk.status(second.path, "uuid:1", head=head) == 412
    assert desk.status("/elsewhere", "uuid:1", head=head) == 412


def test_another_head_is_judged_by_itself() -> None:
    desk = Desk()
    record = desk.granted()
    desk.notify(record.path, head=object())
    assert desk.status(record.path, "uuid:2", head=object()) == 412
    assert desk.status(record.path, "uuid:2") == 412


def test_a_head_is_judged_anew_when_the_sid_is_another_one() -> None:
    desk = Desk()
    record = desk.granted()
    head = object()
    desk.notify(record.path, head=head)
    desk.routing.adopt(record, "uuid:2")
    assert desk.status(record.path, "uuid:1", head=head) == 200
    assert desk.status(record.path, "uuid:2", head=object()) == 200
    assert desk.status(record.path, "uuid:1", head=head) == 412


def test_a_head_is_judged_anew_by_a_fresh_subscription() -> None:
    desk = Desk()
    record = desk.granted()
    head = object()
    desk.notify(record.path, head=head)
    path = record.path
    desk.routing.forget(record)
    assert desk.status(path, head=head) == 412
    desk.routing.expect(record)
    record.state = S.SUBSCRIBING
    assert desk.notify(record.path, head=head)[1] is None


def test_a_head_that_came_early_is_judged_again_once_the_device_is_known() -> None:
    desk = Desk(SubscriberPolicy(require_device_source=True))
    record = desk.subscribing()
    head = object()
    other = Endpoint("10.0.0.9", 1)
    assert desk.status(record.path, peer=other, head=head) == 200
    desk.grant(record, "uuid:1")
    assert desk.status(record.path, seq="1", peer=other, head=head) == 412


def test_a_head_from_another_address_is_told_once_and_taken() -> None:
    desk = Desk()
    record = desk.granted()
    head = object()
    for seq in ("0", "1"):
        assert (
            desk.notify(record.path, seq=seq, peer=Endpoint("10.0.0.9", 1), head=head)[1] is record
        )
    assert desk.reported == [ForeignSource(record, "10.0.0.9", refused=False)]


def test_a_repeating_head_on_a_shared_path_is_taken() -> None:
    desk = Desk(SHARED)
    record = desk.granted()
    head = object()
    for seq in ("0", "1"):
        assert desk.notify("/events", seq=seq, head=head)[1] is record
