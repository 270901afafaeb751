"""Faults, each played once against a device on a C stack. `make faults` plays all of them against
both stacks, and measures other control points beside ours.

All are played at once, before the first test: what takes time is waiting.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.faults import plays
from lab.faults.measuring import GRACE, measure
from lab.programs import Missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DURATION = 4
RENEWAL_INTERVAL = DURATION / 2

PLAYED = {
    plays.restart: "libupnp",
    plays.cut: "gupnp",
    plays.frozen_device: "libupnp",
    plays.suspended: "gupnp",
    plays.lost_events: "libupnp",
    plays.one_way_out: "gupnp",
    plays.firewall: "libupnp",
    plays.rejecting_firewall: "gupnp",
    plays.our_address: "libupnp",
}


@pytest.fixture(scope="module")
def played(missing):
    def play(fault, stack):
        (measured,) = measure(
            fault,
            stack,
            ["propchange"],
            duration=DURATION,
            patience=RENEWAL_INTERVAL + GRACE,
            options={"initial_event_seconds": 2.0},  # or it would be deaf after the fault's end
        )
        return measured

    with ThreadPoolExecutor(len(PLAYED)) as together:
        jobs = {fault: together.submit(play, fault, PLAYED[fault]) for fault in PLAYED}
        try:
            return {fault: job.result() for fault, job in jobs.items()}
        except Missing as error:
            missing(error)


@pytest.mark.parametrize("fault", PLAYED, ids=lambda fault: fault.__name__)
def test_the_state_is_back_soon_after(fault, played):
    measured = played[fault]
    assert measured.back_after is not None, measured
    assert measured.back_after < RENEWAL_INTERVAL + GRACE


@pytest.mark.parametrize("fault", PLAYED, ids=lambda fault: fault.__name__)
def test_no_cause_is_told_twice(fault, played):
    causes = [told.cause for told in played[fault].told if told.status != "active"]
    assert len(causes) == len(set(causes)), played[fault].told


def test_a_device_that_has_forgotten_us_is_told_as_that(played):
    assert played[plays.restart].told[0].cause == "renewal-refused"


@pytest.mark.parametrize("fault", [plays.firewall, plays.rejecting_firewall])
def test_events_that_a_firewall_keeps_away_are_told_as_that(fault, played):
    deaf = next(told for told in played[fault].told if told.status == "deaf")
    assert deaf.after < 10
    assert "it cannot reach 10.77.0.3:" in deaf.why


def test_events_that_were_lost_are_told_as_that(played):
    assert [told.cause for told in played[plays.lost_events].told] == [
        "missed-event",
        "initial-event",
    ]
