"""EarlyMessages: what may be held for a SID that no answer has named yet, and how much of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.notify_routing import EarlyMessages
from tests.work import steps

LIMITS = replace(DEFAULT_LIMITS, early_messages=2)
DEVICE = "192.0.2.7"


@pytest.fixture
def early() -> EarlyMessages[int]:
    early: EarlyMessages[int] = EarlyMessages(LIMITS)
    early.expect()
    return early


@pytest.mark.clause("SUB-59", "RSP-07")
def test_an_initial_event_may_be_early_and_what_follows_one_that_is_held(
    early: EarlyMessages[int],
) -> None:
    assert early.may_be_early("uuid:1", 0, DEVICE)
    assert early.may_be_early("uuid:1", None, DEVICE)  # a device that does not count
    assert not early.may_be_early("uuid:1", 1, DEVICE)
    assert early.hold("uuid:1", 0, DEVICE, 100)
    assert early.may_be_early("uuid:1", 1, DEVICE)
    assert not early.may_be_early("uuid:2", 1, DEVICE)


def test_nothing_may_be_early_when_no_subscribe_is_unanswered(early: EarlyMessages[int]) -> None:
    early.expect()
    assert early.hold("uuid:1", 0, DEVICE, 100)
    early.settle()
    assert early.expected
    early.settle()
    assert not early.expected
    assert not early.may_be_early("uuid:1", 0, DEVICE)
    assert early.take("uuid:1") == []


def test_one_sid_has_room_for_few_and_each_unanswered_subscribe_makes_room(
    early: EarlyMessages[int],
) -> None:
    assert [early.hold("uuid:1", number, DEVICE, 100) for number in range(3)] == [True, True, False]
    assert not early.hold("uuid:2", 0, DEVICE, 100)
    early.expect()
    assert early.hold("uuid:2", 0, DEVICE, 100)
    assert early.take("uuid:1") == [0, 1]
    assert len(early) == 1


def test_the_newest_may_take_the_place_of_the_last_of_its_sid() -> None:
    early: EarlyMessages[int] = EarlyMessages(LIMITS, replaces=True)
    early.expect()
    assert all(early.hold("uuid:1", number, DEVICE, 100) for number in range(4))
    assert not early.hold("uuid:2", 0, DEVICE, 100)
    assert early.take("uuid:1") == [0, 3]


@pytest.mark.clause("SUB-59", "RSP-07")
@pytest.mark.parametrize("replaces", [True, False])
def test_forged_early_messages_do_not_take_the_place_of_the_device_s_own(replaces: bool) -> None:
    early: EarlyMessages[int] = EarlyMessages(LIMITS, replaces=replaces)
    early.expect()
    for number in range(100):
        early.hold(f"uuid:forged-{number}", number, "192.0.2.66", 100)
    assert len(early) == 2
    assert early.may_be_early("uuid:1", 0, DEVICE)
    assert early.hold("uuid:1", 0, DEVICE, 100)
    assert early.may_be_early("uuid:1", 1, DEVICE)
    assert not early.may_be_early("uuid:1", 1, "192.0.2.66")
    assert early.take("uuid:1") == [0]


def test_many_sources_have_a_bounded_room_and_the_one_that_uses_most_loses_it() -> None:
    early: EarlyMessages[int] = EarlyMessages(replace(LIMITS, early_bytes=20_000))
    early.expect()
    assert early.hold("uuid:1", 0, DEVICE, 1_000)
    for number in range(1_000):
        early.hold("uuid:forged", number, f"198.51.100.{number}", 2_000)
        assert len(early) <= 10
    assert early.take("uuid:1") == [0]
    assert not early.hold("uuid:large", 0, "192.0.2.66", 30_000)


@pytest.mark.parametrize("replaces", [True, False])
def test_many_addresses_with_little_in_each_do_not_take_the_room_of_the_device(
    replaces: bool,
) -> None:
    early: EarlyMessages[int] = EarlyMessages(
        replace(LIMITS, early_bytes=200_000), replaces=replaces
    )
    early.expect()
    early.expect(DEVICE)
    assert early.hold("uuid:1", 0, DEVICE, 100_000)
    for number in range(1_000):
        early.hold("uuid:1", 0, f"2001:db8::{number:x}", 2_000)
        assert len(early) < 70
    assert early.hold("uuid:1", 7, DEVICE, 10_000)
    assert [number for number in early.take("uuid:1") if number] == [7]
    # What was taken leaves its room to others.
    assert all(early.hold("uuid:2", 0, f"2001:db8::{number:x}", 2_000) for number in range(60))


def test_a_flood_of_early_messages_costs_about_as_much_for_each_as_a_few() -> None:
    def flood(count: int) -> None:
        early: EarlyMessages[int] = EarlyMessages(DEFAULT_LIMITS)
        early.expect()
        for number in range(count):
            early.hold("uuid:1", 0, f"2001:db8::{number:x}", 100)
        assert early
        early.settle()
        assert not early

    assert steps(lambda: flood(6_000)) < 20 * steps(lambda: flood(600))


def test_a_message_that_takes_the_place_of_another_takes_its_room_too() -> None:
    early: EarlyMessages[int] = EarlyMessages(replace(LIMITS, early_bytes=9_000), replaces=True)
    early.expect()
    assert all(early.hold("uuid:1", number, DEVICE, 2_000) for number in range(10))
    assert early.take("uuid:1") == [0, 9]
