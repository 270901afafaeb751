"""Multicast events from one core to the other, as datagrams, on two interfaces, over a wire that
loses, repeats, delays and reorders them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.multicast.message import MulticastScope, ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.multicast.reception import (
    ExpectedService,
    MulticastEvent,
    MulticastMissed,
    MulticastRefused,
    NotBelieved,
)
from propchange.core.publisher.records import EventedVariable
from propchange.testing import DELIVER, Fate, Link, Message

DOOR = ServiceIdentity("uuid:1", "urn:example-org:service:Door:1", "urn:example-org:serviceId:Door")
ADDRESSES = ("10.0.0.1", "fe80::1")
LOST = Fate(())


class Wire:
    """A fate for each datagram in turn; what comes behind them arrives."""

    def __init__(self, *fates: Fate) -> None:
        self.fates = list(fates)

    def __call__(self, message: Message) -> Fate:
        if message == "datagram" and self.fates:
            return self.fates.pop(0)
        return DELIVER


def door(link: Link) -> ExpectedService:
    """A service with two counters that are multicast on two levels, and who expects its events."""
    link.add_service(
        "/door",
        {
            "Bell": EventedVariable("0", level="upnp:/info"),
            "Fault": EventedVariable("0", level="upnp:/fault"),
        },
        DOOR,
    )
    return link.subscriber.multicast.expect(
        DOOR,
        variables=["Bell", "Fault"],
        sources=ADDRESSES,
        boot_id=link.boot_id,
        convert={"Bell": int, "Fault": int},
    )


def heard(link: Link) -> list[tuple[int, dict[str, object]]]:
    return [
        (outcome.seq, dict(outcome.changes))
        for outcome in link.subscriber_outcomes
        if isinstance(outcome, MulticastEvent)
    ]


@pytest.mark.clause("MC-19", "MC-16", "MC-01")
def test_over_two_interfaces_and_two_scopes_each_event_is_heard_once() -> None:
    scopes = (MulticastScope.IPV4, MulticastScope.LINK_LOCAL)
    link = Link(multicast=MulticastPolicy(scopes=scopes), multicast_from=ADDRESSES)
    service = door(link)
    link.update("/door", {"Bell": "1"})
    link.update("/door", {"Bell": "2"})
    link.run(1)
    assert heard(link) == [(0, {"Bell": 1}), (1, {"Bell": 2})]
    assert service.repeats == 6


@pytest.mark.clause("MC-15")
def test_a_datagram_that_is_lost_is_made_good_by_the_next_copy() -> None:
    ipv4 = (MulticastScope.IPV4,)
    policy = MulticastPolicy(scopes=ipv4, retransmissions=1, interval=0.2)
    link = Link(fate=Wire(LOST), multicast=policy)
    door(link)
    link.update("/door", {"Bell": "1"})
    link.run(0.1)
    assert heard(link) == []
    link.run(0.1)
    assert heard(link) == [(0, {"Bell": 1})]


@pytest.mark.clause("MC-20")
def test_a_subscriber_hears_by_multicast_only_what_changes() -> None:
    link = Link()
    door(link)
    record = link.subscribe("/door")
    link.run(1)
    assert record.values == {"Bell": "0", "Fault": "0"}
    assert heard(link) == []
    link.update("/door", {"Bell": "1", "Fault": "1"})
    link.run(1)
    assert record.values == {"Bell": "1", "Fault": "1"}
    assert heard(link) == [(0, {"Bell": 1}), (1, {"Fault": 1})]


@pytest.mark.clause("MC-23", "AMB-9")
def test_a_device_that_starts_again_is_believed_once_its_new_boot_id_is_known() -> None:
    link = Link()
    door(link)
    link.update("/door", {"Bell": "1"})
    link.boot_id = 2
    link.restart_publisher()
    link.update("/door", {"Bell": "5"})
    link.run(1)
    assert heard(link) == [(0, {"Bell": 1})]
    refused = [o for o in link.subscriber_outcomes if isinstance(o, MulticastRefused)]
    assert [outcome.reason for outcome in refused] == [NotBelieved.OTHER_BOOT_ID]
    link.subscriber.multicast.record(DOOR.udn, boot_id=2)
    link.update("/door", {"Bell": "6"})
    link.run(1)
    assert heard(link)[1:] == [(1, {"Bell": 6})]


FATES = st.sampled_from(
    [DELIVER, LOST, Fate((0.0, 0.0)), Fate((0.3,)), Fate((1.5,)), Fate((0.1, 5.0))]
)
STEPS = st.lists(
    st.one_of(st.sampled_from(["Bell", "Fault"]), st.sampled_from([0.1, 0.5, 2.0])), max_size=30
)


@given(st.lists(FATES, max_size=80), STEPS, st.integers(0, 2))
def test_whatever_the_wire_does_nothing_is_heard_twice_or_takes_a_value_back(
    fates: list[Fate], steps: list[str | float], retransmissions: int
) -> None:
    wire = Wire(*fates)
    policy = MulticastPolicy(retransmissions=retransmissions, interval=0.25)
    link = Link(fate=wire, multicast=policy, multicast_from=ADDRESSES)
    service = door(link)
    counters = {"Bell": 0, "Fault": 0}

    def count(name: str) -> None:
        counters[name] += 1
        link.update("/door", {name: str(counters[name])})

    for step in steps:
        if isinstance(step, str):
            count(step)
        else:
            link.run(step)
    link.run(10)
    wire.fates.clear()
    count("Bell")
    count("Fault")
    link.run(10)

    seqs = [seq for seq, _ in heard(link)]
    assert len(seqs) == len(set(seqs))
    for name in counters:
        values = [changes[name] for _, changes in heard(link) if name in changes]
        assert values == sorted(values, key=lambda value: int(str(value)))
    # And now that the wire is whole, both ends agree.
    assert service.values == counters
    unheard = sum(counters.values()) - len(seqs)
    missed = sum(o.count for o in link.subscriber_outcomes if isinstance(o, MulticastMissed))
    before_the_first = seqs[0]  # whatever came of those
    assert missed + before_the_first >= unheard
