"""Faults, each played once against a device on a C stack. `make faults` plays all of them against
both stacks, and measures other control points beside ours.

They are played before the first test, several at once: what takes time is waiting.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.faults import plays
from lab.faults.measuring import GRACE, measure
from lab.programs import Missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("faults")]

DURATION = 4
RENEWAL_INTERVAL = DURATION / 2

WITH_DISCOVERY = (
    (plays.restart, "libupnp"),
    (plays.goodbye, "libupnp"),
    (plays.another_port, "gupnp"),
    (plays.another_address, "libupnp"),
)
WITHOUT = (
    (plays.restart, "gupnp"),
    (plays.cut, "gupnp"),
    (plays.frozen_device, "libupnp"),
    (plays.suspended, "gupnp"),
    (plays.lost_events, "libupnp"),
    (plays.one_way_out, "gupnp"),
    (plays.firewall, "libupnp"),
    (plays.rejecting_firewall, "gupnp"),
    (plays.our_address, "libupnp"),
)
PLAYS = [(*play, True) for play in WITH_DISCOVERY] + [(*play, False) for play in WITHOUT]

each_play = pytest.mark.parametrize("play", PLAYS, ids=lambda play: f"{play[0].__name__}-{play[1]}")


@pytest.fixture(scope="module")
def played(missing):
    def measured(fault, stack, discovery):
        (alone,) = measure(
            fault,
            stack,
            ["propchange"],
            duration=DURATION,
            patience=RENEWAL_INTERVAL + GRACE,
            # Deaf before the fault's end.
            options={"initial_event_seconds": 2.0, "discovery": discovery},
        )
        return alone

    with ThreadPoolExecutor(6) as together:
        jobs = {play: together.submit(measured, *play) for play in PLAYS}
        try:
            return {play: job.result() for play, job in jobs.items()}
        except Missing as error:
            missing(error)


@each_play
def test_the_state_is_back_soon_after(play, played):
    measured = played[play]
    assert measured.back_after is not None, measured
    assert measured.back_after < RENEWAL_INTERVAL + GRACE


@each_play
def test_no_cause_is_told_twice(play, played):
    causes = [told.cause for told in played[play].told if told.status != "active"]
    assert len(causes) == len(set(causes)), played[play].told


@pytest.mark.parametrize(
    ("fault", "causes"),
    [
        # The time of the renewal may come before the goodbye is heard.
        ((plays.goodbye, "libupnp", True), ["device-gone", "renewal-refused"]),
        ((plays.lost_events, "libupnp", False), ["missed-event"]),
        ((plays.our_address, "libupnp", False), ["address-lost"]),
    ],
    ids=lambda given: given[0].__name__ if isinstance(given, tuple) else "",
)
def test_it_is_told_why(fault, causes, played):
    told = played[fault].told
    assert told[0].cause in causes
    assert told[-1].cause == "initial-event"
    assert [each.status for each in told] == ["resubscribing", "active"]


@pytest.mark.parametrize(
    ("play", "cause"),
    [
        ((plays.restart, "libupnp", True), "device-rebooted"),
        ((plays.restart, "gupnp", False), "renewal-refused"),
    ],
)
def test_a_restart_is_told_as_that_or_as_what_the_renewal_met(play, cause, played):
    told = played[play].told
    # The time of the renewal may come while the device is away.
    assert told[0].cause in (cause, "unreachable", "renewal-refused")
    assert {each.status for each in told[:-1]} == {"resubscribing"}
    assert told[-1].status == "active"


@pytest.mark.parametrize(
    "play", [(plays.firewall, "libupnp", False), (plays.rejecting_firewall, "gupnp", False)]
)
def test_events_that_a_firewall_keeps_away_are_told_as_that(play, played):
    deaf = next(told for told in played[play].told if told.status == "deaf")
    assert "a firewall drops what it sends to 10.77.0.3:" in deaf.why
