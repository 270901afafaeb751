"""Programs that use async-upnp-client as Home Assistant and Music Assistant do, with propchange
beneath, under faults. `python -m lab.integrations` plays all faults, beside the original.

They are played before the first test, several at once: what takes time is waiting.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.integrations import plays
from lab.integrations.measuring import measure, scripted
from lab.programs import Missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("integrations")]

PROGRAMS = ("samsungtv", "music_assistant")
FAULTS = (
    plays.restart,
    plays.unheard_restart,
    plays.another_port,
    plays.goodbye,
    plays.renewal_refused,
    plays.all_refused,
    plays.another_sid,
    plays.lost_event,
    plays.cut_event,
    plays.early_event,
    plays.silent,
    plays.cable,
    plays.frozen_device,
    plays.firewall,
    plays.our_address,
    plays.short_grant,
)
PATIENCE = 60.0
FIXED = (plays.our_address, "music_assistant")
"""The web server of Music Assistant has one address: it tells devices that one for ever."""

PLAYS = [(fault, each) for fault in FAULTS for each in PROGRAMS if (fault, each) != FIXED]


@pytest.fixture(scope="module")
def played(missing):
    def play(fault):
        installed = [(name, True) for name in PROGRAMS if (fault, name) in PLAYS]
        make = scripted(plays.DURATIONS.get(fault, plays.DURATION))
        return measure(fault, installed, make, patience=PATIENCE)

    with ThreadPoolExecutor(6) as together:
        jobs = {fault: together.submit(play, fault) for fault in FAULTS}
        try:
            return {
                fault: {each.program: each for each in job.result()} for fault, job in jobs.items()
            }
        except Missing as error:
            missing(error)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: f"{play[0].__name__}-{play[1]}")
def test_events_bring_the_state_back(play, played):
    fault, program = play
    assert played[fault][program].by_event is not None, played[fault][program]


def test_a_grant_of_30_seconds_is_not_renewed_without_a_pause(played):
    # The profile renews a minute before the end: here at once, again and again.
    for each in played[plays.short_grant].values():
        assert each.subscribes < 2, each
