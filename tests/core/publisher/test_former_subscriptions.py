"""Subscriptions of an address that the device has no longer: no subscriber keeps one, and none is
without events meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.outcomes import Refused
from propchange.core.wire.messages import Delivery, Endpoint
from tests.core.publisher.test_protocol import HERE, URL, Device, assert_nothing_is_left

MOVED = Endpoint("10.0.0.9", 8000)
OTHER_URL = "http://10.0.0.2:9000/other"
STRANGER = Endpoint("10.0.0.3", 40_000)


@pytest.fixture
def device() -> Device:
    return Device()


def move(device: Device) -> None:
    device.gone.add(HERE.host)


def seqs(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    return [(delivery.address.sid, delivery.seq) for delivery in deliveries]


@pytest.mark.clause("CP-13")
def test_a_device_that_has_moved_renews_no_subscription_of_its_former_address(
    device: Any,
) -> None:
    sid = device.subscribe()
    assert device.renew(sid, local=MOVED).status == 200  # another address of the same device
    device.outcomes()
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    (refused,) = device.outcomes()
    assert isinstance(refused, Refused)
    assert "was made at 10.0.0.1, which is no address of this device any more" in refused.reason


@pytest.mark.clause("CP-13")
def test_it_stays_refused_also_if_the_address_comes_back(device: Any) -> None:
    """An answer of 412 means that the SID is invalid for good."""
    sid = device.subscribe()
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    device.gone.clear()
    for local in (MOVED, HERE):
        assert device.renew(sid, local=local).status == 412


def test_an_address_that_was_away_between_two_renewals_has_lost_nothing(device: Any) -> None:
    sid = device.subscribe()
    move(device)
    device.gone.clear()
    for local in (MOVED, HERE):
        assert device.renew(sid, local=local).status == 200


def test_events_reach_a_subscriber_until_it_has_subscribed_anew(device: Any) -> None:
    sid = device.subscribe()
    move(device)
    device.update(A="1")
    assert seqs(device.drain()) == [(sid, 1)]
    assert device.renew(sid, local=MOVED).status == 412
    device.update(A="2")
    assert seqs(device.drain()) == [(sid, 2)]
    new = device.subscribe(local=MOVED)
    device.update(A="3")
    assert seqs(device.drain()) == [(new, 1)]
    assert device.sids() == [new]
    assert device.renew(new, local=MOVED).status == 200


@pytest.mark.parametrize("how", ["other URL", "other service", "another subscriber"])
def test_a_subscription_is_replaced_by_its_own_subscriber_for_the_same_events_alone(
    device: Any, how: str
) -> None:
    sid = device.subscribe()
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    if how == "other URL":
        new = device.subscribe(OTHER_URL, local=MOVED)
    elif how == "other service":
        new = device.owe(local=MOVED, path="/other")
        device.drain()
    else:
        new = device.subscribe(local=MOVED, peer=STRANGER)
    assert device.sids() == [sid, new]
    device.update(A="1")
    assert (sid, 1) in seqs(device.drain())


def test_one_of_several_delivery_urls_is_enough_to_know_the_subscriber_again(device: Any) -> None:
    sid = device.subscribe(URL, OTHER_URL)
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    new = device.subscribe("http://10.0.0.2:9000/third", OTHER_URL, local=MOVED)
    assert device.sids() == [new]


def test_it_ends_by_its_duration_by_unsubscribe_and_by_412_of_the_subscriber(device: Any) -> None:
    expires, cancelled, disowned = (device.subscribe(f"{URL}/{n}") for n in range(3))
    move(device)
    for sid in (expires, cancelled, disowned):
        assert device.renew(sid, local=MOVED).status == 412
    assert device.unsubscribe(cancelled, local=MOVED).status == 200
    device.update(A="1")
    for delivery in device.take():
        device.end(delivery, 412 if delivery.address.sid == disowned else 200)
    assert device.sids() == [expires]
    device.at(3_000)
    assert device.sids() == []
    assert_nothing_is_left(device)
    assert device.protocol._former._refused == {}


def test_an_initial_event_that_is_owed_is_sent_once_although_the_device_has_moved(
    device: Any,
) -> None:
    sid = device.owe()
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    new = device.owe(local=MOVED)
    assert device.unsubscribe(sid, local=MOVED).status == 412  # cancelled already
    assert sorted(seqs(device.drain())) == [(sid, 0), (new, 0)]
    assert device.sids() == [new]


def test_one_that_was_cancelled_while_its_initial_event_is_owed_is_left_alone(device: Any) -> None:
    sid = device.owe()
    move(device)
    assert device.renew(sid, local=MOVED).status == 412
    assert device.unsubscribe(sid, local=MOVED).status == 200
    new = device.owe(local=MOVED)
    assert sorted(seqs(device.drain())) == [(sid, 0), (new, 0)]


def test_those_that_are_refused_make_room_for_the_new_ones_of_their_subscriber() -> None:
    """A control point with a new delivery URL for each subscription, and as many as it may have."""
    device: Any = Device(limits=replace(DEFAULT_LIMITS, subscriptions_per_address=3))
    sids = [device.subscribe(f"{URL}/{n}") for n in range(3)]
    other = device.subscribe(peer=STRANGER)
    assert device.ask(f"{URL}/new", local=MOVED).status == 503
    move(device)
    for sid in sids:
        assert device.renew(sid, local=MOVED).status == 412
    new = [device.subscribe(f"{URL}/{n}/new", local=MOVED) for n in range(3)]
    assert device.sids() == [other, *new]
    assert device.ask(f"{URL}/more", local=MOVED).status == 503


def test_a_link_local_address_is_gone_with_its_interface(device: Any) -> None:
    """The same address on another interface is another one."""
    device.protocol._former._has_address = lambda endpoint: endpoint.scope != 2
    there, again = (Endpoint("fe80::1", 8000, scope) for scope in (2, 3))
    peer = Endpoint("fe80::2", 40_000, 2)
    sid = device.subscribe("http://[fe80::2]:9000/", local=there, peer=peer)
    assert device.renew(sid, local=there).status == 200
    assert device.renew(sid, local=again).status == 412


def test_a_subscription_behind_a_proxy_is_renewed_wherever_its_renewals_come_in(
    device: Any,
) -> None:
    """Its events leave from the address that the system chooses, so it was made at none."""
    proxied = Endpoint("127.0.0.1", 8000)
    sid = device.subscribe(local=proxied)
    for gone in ((), (proxied.host, HERE.host)):
        device.gone.update(gone)
        for local in (proxied, HERE, MOVED):
            assert device.renew(sid, local=local).status == 200
