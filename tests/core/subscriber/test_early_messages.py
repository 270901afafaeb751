"""EarlyMessages: what may be held for a SID that no answer has named yet, and how much of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.notify_routing import EarlyMessages

LIMITS = replace(DEFAULT_LIMITS, early_messages=2)


@pytest.fixture
def early() -> EarlyMessages[int]:
    early: EarlyMessages[int] = EarlyMessages(LIMITS)
    early.expect()
    return early


@pytest.mark.clause("SUB-59", "RSP-07")
def test_an_initial_event_may_be_early_and_what_follows_one_that_is_held(
    early: EarlyMessages[int],
) -> None:
    assert early.may_be_early("uuid:1", 0)
    assert early.may_be_early("uuid:1", None)  # a device that does not count
    assert not early.may_be_early("uuid:1", 1)
    assert early.hold("uuid:1", 0)
    assert early.may_be_early("uuid:1", 1)
    assert not early.may_be_early("uuid:2", 1)


def test_nothing_may_be_early_when_no_subscribe_is_unanswered(early: EarlyMessages[int]) -> None:
    early.expect()
    assert early.hold("uuid:1", 0)
    early.settle()
    assert early.expected
    early.settle()
    assert not early.expected
    assert not early.may_be_early("uuid:1", 0)
    assert early.take("uuid:1") == []


def test_one_sid_has_room_for_few_and_each_unanswered_subscribe_makes_room(
    early: EarlyMessages[int],
) -> None:
    assert [early.hold("uuid:1", number) for number in range(3)] == [True, True, False]
    assert not early.hold("uuid:2", 0)
    early.expect()
    assert early.hold("uuid:2", 0)
    assert early.take("uuid:1") == [0, 1]
    assert len(early) == 1


def test_the_newest_may_take_the_place_of_the_last_of_its_sid() -> None:
    early: EarlyMessages[int] = EarlyMessages(LIMITS, replaces=True)
    early.expect()
    assert all(early.hold("uuid:1", number) for number in range(4))
    assert not early.hold("uuid:2", 0)
    assert early.take("uuid:1") == [0, 3]
