"""The multicast events of a publisher, on a clock that the test moves."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.multicast.message import (
    Datagram,
    MulticastMessage,
    MulticastScope,
    ServiceIdentity,
)
from propchange.core.multicast.publication import (
    MulticastMerged,
    MulticastPolicy,
    MulticastTooLarge,
)
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import PublisherOutcome
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.wire.headers import LARGEST_SEQ
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import parse_propertyset

IDENTITY = ServiceIdentity(
    "uuid:1", "urn:schemas-upnp-org:service:SwitchPower:1", "urn:upnp-org:serviceId:SwitchPower"
)
OTHER = ServiceIdentity("uuid:1", "urn:schemas-upnp-org:service:SwitchPower:1", "urn:x:second")
BOTH = (MulticastScope.IPV4, MulticastScope.LINK_LOCAL)
IPV4 = MulticastPolicy(scopes=(MulticastScope.IPV4,))


def loud(text: str = "", level: str = "upnp:/info", **rules: Any) -> EventedVariable:
    return EventedVariable(text, level=level, **rules)


class Device:
    """A publisher, its clock and its boot id. By default A and B are multicast, and C is not."""

    def __init__(
        self,
        *,
        policy: PublisherPolicy | None = None,
        multicast: MulticastPolicy | None = IPV4,
        limits: Limits = DEFAULT_LIMITS,
        **variables: EventedVariable,
    ) -> None:
        self.now = 100.0
        self.boot_id = 5
        self.protocol = PublisherProtocol(
            new_sid=lambda: "uuid:sid",
            on_link=lambda _: (OnLink(ip_network("10.0.0.0/16")),),
            policy=policy,
            limits=limits,
            multicast=multicast,
            boot_id=lambda: self.boot_id,
        )
        self.protocol.add_service(
            "/evt",
            variables or {"A": loud(), "B": loud(), "C": EventedVariable("")},
            IDENTITY,
        )

    def update(self, path: str = "/evt", **changes: str) -> None:
        self.protocol.update(path, changes, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.protocol.handle_deadline(self.now)

    def datagrams(self) -> list[Datagram]:
        return self.protocol.take_datagrams()

    def messages(self) -> list[MulticastMessage]:
        return [datagram.message for datagram in self.datagrams()]

    def sent(self) -> list[tuple[int, dict[str, str]]]:
        return [(message.seq, told(message)) for message in self.messages()]

    def outcomes(self, kind: type) -> list[PublisherOutcome]:
        return [o for o in self.protocol.take_outcomes() if isinstance(o, kind)]

    def subscribe(self) -> None:
        here, there = Endpoint("10.0.0.1", 8000), Endpoint("10.0.0.2", 40_000)
        request = Request(
            "SUBSCRIBE",
            "/evt",
            [
                (b"HOST", b"10.0.0.1:8000"),
                (b"CALLBACK", b"<http://10.0.0.2:9000/>"),
                (b"NT", b"upnp:event"),
            ],
            peer=there,
            local=here,
        )
        response = self.protocol.receive_request(request, self.now)
        assert response.status == 200
        self.protocol.response_sent(response, self.now)

    def delivered(self) -> list[dict[str, str]]:
        deliveries = self.protocol.take_deliveries(100)
        for delivery in deliveries:
            self.protocol.delivery_ended(delivery, 200, self.now)
        return [dict(delivery.message.changes) for delivery in deliveries]


def told(message: MulticastMessage) -> dict[str, str]:
    return dict(parse_propertyset(message.body, DEFAULT_LIMITS))


# --- what goes out ---


@pytest.mark.clause("MC-01", "SCPD-04")
def test_a_multicast_variable_goes_out_both_ways_with_the_same_value() -> None:
    device = Device()
    device.subscribe()
    device.delivered()
    device.update(A="1")
    assert device.delivered() == [{"A": "1"}]
    assert device.sent() == [(0, {"A": "1"})]
    assert device.sent() == []


@pytest.mark.clause("MC-01")
def test_what_is_not_multicast_goes_out_by_unicast_alone() -> None:
    device = Device()
    device.subscribe()
    device.delivered()
    device.update(C="1")
    assert device.delivered() == [{"C": "1"}]
    assert device.datagrams() == []
    device.update(A="2", C="2")
    assert device.delivered() == [{"A": "2", "C": "2"}]
    assert device.sent() == [(0, {"A": "2"})]


@pytest.mark.clause("MC-06", "MC-07", "MC-10", "MC-11")
def test_a_message_names_its_service_its_level_and_the_boot_of_its_device() -> None:
    device = Device(A=loud(level="example.org:/door/"))
    device.update(A="1")
    (message,) = device.messages()
    assert message == MulticastMessage(
        "uuid:1::urn:schemas-upnp-org:service:SwitchPower:1",
        "urn:upnp-org:serviceId:SwitchPower",
        0,
        "example.org:/door/",
        5,
        message.body,
    )


@pytest.mark.clause("MC-12")
def test_the_body_is_that_of_the_unicast_event() -> None:
    device = Device()
    device.subscribe()
    device.delivered()
    device.update(A="<&>", B="ü")
    (delivery,) = device.protocol.take_deliveries(1)
    (message,) = device.messages()
    assert message.body == delivery.message.body


@pytest.mark.clause("MC-20")
def test_subscribing_and_its_initial_event_bring_no_multicast_event() -> None:
    device = Device()
    device.subscribe()
    assert device.delivered() == [{"A": "", "B": "", "C": ""}]
    assert device.datagrams() == []
    device.update(A="1")
    assert [seq for seq, _ in device.sent()] == [0]


@pytest.mark.clause("MC-01")
def test_an_equal_value_is_no_multicast_event_either() -> None:
    device = Device()
    device.update(A="1")
    device.update(A="1")
    assert len(device.datagrams()) == 1


@pytest.mark.clause("MC-01", "SCPD-04")
def test_moderation_holds_both_ways_alike() -> None:
    device = Device(A=loud(minimum_interval=2.0))
    device.subscribe()
    device.delivered()
    device.update(A="1")
    assert (device.delivered(), device.sent()) == ([{"A": "1"}], [(0, {"A": "1"})])
    device.update(A="2")
    device.update(A="3")
    assert (device.delivered(), device.sent()) == ([], [])
    device.wait(2.0)
    assert (device.delivered(), device.sent()) == ([{"A": "3"}], [(1, {"A": "3"})])


@pytest.mark.clause("MC-01")
def test_uda_1_0_has_no_multicast_events() -> None:
    device = Device(policy=PublisherPolicy(uda="1.0"))
    device.update(A="1")
    assert device.datagrams() == []


# --- where it goes ---


@pytest.mark.clause("MC-19", "V6-08")
def test_one_event_goes_to_every_scope_with_the_same_seq_and_content() -> None:
    device = Device(multicast=MulticastPolicy(scopes=BOTH))
    device.update(A="1")
    first, second = device.datagrams()
    assert (first.scope, second.scope) == BOTH
    assert first.message == second.message


@pytest.mark.clause("V6-09")
def test_uda_2_0_has_no_global_scope() -> None:
    everywhere = MulticastPolicy(scopes=(MulticastScope.GLOBAL,))
    with pytest.raises(ValueError, match=r"UDA 2\.0 has no multicast of global scope"):
        Device(policy=PublisherPolicy(uda="2.0"), multicast=everywhere)
    device = Device(policy=PublisherPolicy(uda="1.1"), multicast=everywhere)
    device.update(A="1")
    assert [datagram.scope for datagram in device.datagrams()] == [MulticastScope.GLOBAL]
    Device(policy=PublisherPolicy(uda="2.0"), multicast=MulticastPolicy(scopes=BOTH))


def test_what_is_no_policy_and_no_scope_is_refused() -> None:
    policy = MulticastPolicy(retransmissions=2)
    assert MulticastPolicy.of(policy) is policy
    assert MulticastPolicy.of(None) == MulticastPolicy()
    nonsense: Any = True
    with pytest.raises(TypeError, match=r"multicast is a MulticastPolicy\(…\), not True"):
        MulticastPolicy.of(nonsense)
    nonsense = ["link"]
    with pytest.raises(TypeError, match=r"a scope is one of MulticastScope\.IPV4, .*, not 'link'"):
        MulticastPolicy(scopes=nonsense)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scopes": ()}, "at least one scope, and once to each"),
        ({"scopes": (MulticastScope.IPV4,) * 2}, "at least one scope, and once to each"),
        ({"retransmissions": -1}, "0 to 10 times, not -1"),
        ({"retransmissions": 11}, "0 to 10 times, not 11"),
        ({"interval": 0.0}, "seconds above 0, not 0.0"),
        ({"interval": float("inf")}, "seconds above 0, not inf"),
        ({"interval": float("nan")}, "seconds above 0, not nan"),
        ({"hops": 0}, "TTL is from 1 to 255, not 0"),
        ({"hops": 256}, "TTL is from 1 to 255, not 256"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MulticastPolicy(**wrong)


@pytest.mark.clause("MC-17", "V6-11")
def test_the_ttl_is_2_on_the_link_and_can_be_set() -> None:
    default, set_to_4 = MulticastPolicy(), MulticastPolicy(hops=4)
    assert [default.hops_of(scope) for scope in MulticastScope] == [2, 2, 10, 254]
    assert {set_to_4.hops_of(scope) for scope in MulticastScope} == {4}


@pytest.mark.clause("V6-08")
def test_by_default_events_go_to_the_link_and_to_the_site_over_both_families() -> None:
    device = Device(multicast=None)
    device.update(A="1")
    assert [str(datagram.scope.group) for datagram in device.datagrams()] == [
        "239.255.255.246:7900",
        "[FF02::130]:7900",
        "[FF05::130]:7900",
    ]


def test_a_publisher_is_settled_when_nothing_is_to_be_sent_again() -> None:
    device = Device(multicast=replace(IPV4, retransmissions=1, interval=0.5))
    assert device.protocol.settled
    device.update(A="1")
    assert not device.protocol.settled
    device.datagrams()
    assert not device.protocol.settled
    device.wait(0.5)
    assert not device.protocol.settled
    device.datagrams()
    assert device.protocol.settled


# --- SEQ ---


@pytest.mark.clause("MC-09")
def test_seq_is_0_in_the_first_event_and_rises_by_one() -> None:
    device = Device()
    for number in range(3):
        device.update(A=str(number))
    assert device.sent() == [(0, {"A": "0"}), (1, {"A": "1"}), (2, {"A": "2"})]


@pytest.mark.clause("MC-09", "AMB-8")
def test_each_service_counts_for_itself_even_two_of_one_type() -> None:
    device = Device()
    device.protocol.add_service("/second", {"A": loud()}, OTHER)
    device.update(A="1")
    device.update(A="2")
    device.update("/second", A="1")
    device.update(B="1")
    assert [(m.svcid, m.seq) for m in device.messages()] == [
        (IDENTITY.service_id, 0),
        (IDENTITY.service_id, 1),
        (OTHER.service_id, 0),
        (IDENTITY.service_id, 2),
    ]


@pytest.mark.clause("MC-09")
def test_seq_wraps_to_1() -> None:
    device = Device()
    service = device.protocol._services["/evt"].multicast
    assert service is not None
    service.seq = LARGEST_SEQ
    device.update(A="1")
    device.update(A="2")
    assert [seq for seq, _ in device.sent()] == [LARGEST_SEQ, 1]


@pytest.mark.clause("MC-10", "AMB-8")
def test_each_level_in_one_change_is_an_event_of_its_own() -> None:
    device = Device(A=loud(), B=loud(level="upnp:/fault"), D=loud())
    device.update(A="1", B="2", D="3")
    assert [(m.level, m.seq, told(m)) for m in device.messages()] == [
        ("upnp:/info", 0, {"A": "1", "D": "3"}),
        ("upnp:/fault", 1, {"B": "2"}),
    ]


# --- one datagram ---


@pytest.mark.clause("MC-14")
def test_what_does_not_fit_one_datagram_is_several_events() -> None:
    device = Device(**{name: loud() for name in "ABCDE"})
    device.update(**{name: name * 400 for name in "ABCDE"})
    assert device.sent() == [
        (0, {"A": "A" * 400, "B": "B" * 400}),
        (1, {"C": "C" * 400, "D": "D" * 400}),
        (2, {"E": "E" * 400}),
    ]


@pytest.mark.clause("MC-14")
@pytest.mark.parametrize("scope", MulticastScope)
def test_a_datagram_is_filled_to_the_last_byte_and_no_further(scope: MulticastScope) -> None:
    device = Device(multicast=MulticastPolicy(scopes=(scope,)))
    device.update(A="x" * 900)
    (message,) = device.messages()
    room = 900 + scope.most_bytes(DEFAULT_LIMITS) - message.payload_bytes(scope)
    device.update(A="x" * room)
    (message,) = device.messages()
    assert message.payload_bytes(scope) == scope.most_bytes(DEFAULT_LIMITS)
    device.update(A="x" * (room + 1))
    assert device.messages() == []


@pytest.mark.clause("MC-14")
def test_an_event_for_both_families_fits_the_smaller_datagram() -> None:
    device = Device(multicast=MulticastPolicy(scopes=BOTH))
    device.update(A="x" * 900)
    message, _ = device.messages()
    room = 900 + 1452 - message.payload_bytes(MulticastScope.LINK_LOCAL)
    device.update(A="x" * room)
    assert len(device.messages()) == 2
    # Over IPv4 alone there would be room for four more, HOST being as much longer.
    device.update(A="x" * (room + 1))
    assert device.messages() == []


@pytest.mark.clause("MC-14")
def test_a_variable_too_large_for_a_datagram_is_told_and_goes_out_by_unicast() -> None:
    device = Device()
    device.subscribe()
    device.delivered()
    device.update(A="1", B="x" * 2000, C="3")
    assert device.sent() == [(0, {"A": "1"})]
    (outcome,) = device.outcomes(MulticastTooLarge)
    assert isinstance(outcome, MulticastTooLarge)
    assert (outcome.service, outcome.variable) == ("/evt", "B")
    assert outcome.payload_bytes > 2000
    assert outcome.most_bytes == 1472
    assert device.delivered() == [{"A": "1", "B": "x" * 2000, "C": "3"}]
    device.update(B="y" * 2000, A="2")
    assert device.sent() == [(1, {"A": "2"})]


@given(st.lists(st.integers(0, 1700), min_size=1, max_size=8), st.sampled_from([1, 700, 1472]))
def test_every_change_that_fits_is_told_once_in_order_and_every_datagram_fits(
    sizes: list[int], room: int
) -> None:
    limits = replace(DEFAULT_LIMITS, datagram_bytes_ipv4=room)
    names = [f"V{number}" for number in range(len(sizes))]
    device = Device(limits=limits, **{name: loud() for name in names})
    changes = {name: "x" * size for name, size in zip(names, sizes, strict=True)}
    device.update(**changes)
    messages = device.messages()
    too_large = {
        outcome.variable
        for outcome in device.outcomes(MulticastTooLarge)
        if isinstance(outcome, MulticastTooLarge)
    }
    assert all(m.payload_bytes(MulticastScope.IPV4) <= room for m in messages)
    assert [m.seq for m in messages] == list(range(len(messages)))
    sent = [pair for message in messages for pair in told(message).items()]
    # An equal value is no change: the first text of all is empty.
    assert sent == [(n, t) for n, t in changes.items() if t and n not in too_large]


# --- a runtime that is behind ---


def test_events_that_nobody_takes_are_merged_before_they_have_a_seq() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, waiting_messages=3))
    for number in range(10):
        device.update(A=str(number))
    device.update(B="b")
    assert device.sent() == [(0, {"A": "0"}), (1, {"A": "1"}), (2, {"A": "9", "B": "b"})]
    assert device.outcomes(MulticastMerged) == [MulticastMerged("/evt", "upnp:/info", 2, 9)]
    device.update(A="x")
    assert device.sent() == [(3, {"A": "x"})]


def test_waiting_events_are_merged_by_the_rule_of_their_variable() -> None:
    device = Device(
        limits=replace(DEFAULT_LIMITS, waiting_messages=1),
        A=loud(merge=lambda older, newer: f"{older},{newer}"),
        B=loud(merge=lambda older, newer: f"{older},{newer}"),
    )
    device.update(A="1")
    device.update(A="2", B="b")
    assert device.sent() == [(0, {"A": "1,2", "B": "b"})]


def test_a_busy_level_does_not_merge_what_another_level_waits_with() -> None:
    device = Device(
        limits=replace(DEFAULT_LIMITS, waiting_messages=1), A=loud(), B=loud(level="upnp:/fault")
    )
    device.update(A="1")
    device.update(B="1")
    device.update(A="2")
    assert device.sent() == [(0, {"A": "2"}), (1, {"B": "1"})]


# --- sending again ---


AGAIN = replace(IPV4, retransmissions=2, interval=0.5)


@pytest.mark.clause("MC-15", "MC-09")
def test_a_message_is_sent_again_as_often_as_wanted_with_its_seq() -> None:
    device = Device(multicast=AGAIN)
    device.update(A="1")
    (first,) = device.messages()
    assert device.protocol.next_deadline() == 100.5
    device.wait(0.4)
    assert device.messages() == []
    device.wait(0.1)
    assert device.messages() == [first]
    device.wait(0.5)
    assert device.messages() == [first]
    assert device.protocol.next_deadline() is None
    device.wait(10)
    assert device.messages() == []


@pytest.mark.clause("MC-15")
def test_by_default_nothing_is_sent_again() -> None:
    device = Device()
    device.update(A="1")
    assert len(device.messages()) == 1
    assert device.protocol.next_deadline() is None


@pytest.mark.clause("MC-24")
def test_sending_again_starts_no_interval_of_moderation() -> None:
    device = Device(multicast=AGAIN, A=loud(minimum_interval=0.6))
    device.update(A="1")
    device.messages()
    device.wait(0.5)
    assert [seq for seq, _ in device.sent()] == [0]
    device.wait(0.1)
    device.update(A="2")
    assert device.sent() == [(1, {"A": "2"})]


@pytest.mark.clause("MC-15", "MC-09")
def test_events_in_between_have_seqs_of_their_own() -> None:
    device = Device(multicast=AGAIN)
    device.update(A="1")
    device.messages()
    device.wait(0.3)
    device.update(A="2")
    assert [seq for seq, _ in device.sent()] == [1]
    device.wait(0.2)
    assert device.sent() == [(0, {"A": "1"})]
    device.wait(0.3)
    assert device.sent() == [(1, {"A": "2"})]


@pytest.mark.clause("MC-11")
def test_the_boot_id_may_change_while_seq_goes_on() -> None:
    device = Device(multicast=AGAIN)
    device.update(A="1")
    assert [(m.boot_id, m.seq) for m in device.messages()] == [(5, 0)]
    device.boot_id = 6
    device.update(A="2")
    assert [(m.boot_id, m.seq) for m in device.messages()] == [(6, 1)]
    # Nobody takes what says 5 any more.
    device.wait(0.5)
    assert [(m.boot_id, m.seq) for m in device.messages()] == [(6, 1)]


def test_what_waits_to_be_sent_again_is_bounded() -> None:
    device = Device(
        multicast=AGAIN,
        limits=replace(DEFAULT_LIMITS, waiting_retransmissions=2),
    )
    for number in range(5):
        device.update(A=str(number))
    assert len(device.messages()) == 5
    device.wait(0.5)
    assert [seq for seq, _ in device.sent()] == [3, 4]


# --- what cannot be ---


@pytest.mark.parametrize("boot_id", [-1, 2**31])
def test_a_boot_id_that_is_none_is_the_callers_mistake(boot_id: int) -> None:
    device = Device()
    device.boot_id = boot_id
    device.update(A="1")
    with pytest.raises(ValueError, match=r"BOOTID.UPNP.ORG is from 0 to 2147483647, not -?\d+"):
        device.datagrams()


def test_multicast_needs_an_identity_and_a_boot_id() -> None:
    device = Device()
    with pytest.raises(ValueError, match="/x: multicast events need the identity of the service"):
        device.protocol.add_service("/x", {"A": loud()})
    device.protocol.add_service("/x", {"A": EventedVariable("")})
    protocol = PublisherProtocol(new_sid=str, on_link=lambda _: ())
    with pytest.raises(ValueError, match="and a boot_id"):
        protocol.add_service("/x", {"A": loud()}, IDENTITY)
    protocol.add_service("/x", {"A": EventedVariable("")}, IDENTITY)
    assert protocol.take_datagrams() == []


def test_a_level_that_is_none_is_refused_and_the_path_stays_free() -> None:
    device = Device()
    with pytest.raises(ValueError, match="a level is upnp:/emergency"):
        device.protocol.add_service("/x", {"A": loud(level="loud")}, IDENTITY)
    device.protocol.add_service("/x", {"A": loud()}, OTHER)
