"""DmrDevice and IgdDevice of async-upnp-client, with propchange beneath, on devices as Debian ships
them, under faults. `python -m lab.integrations --devices` plays them beside the original."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.integrations import plays
from lab.integrations.devices import DEVICES
from lab.integrations.measuring import measure
from lab.programs import Missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("integrations")]

PROGRAMS = {"Rygel": "samsungtv", "GMediaRender": "samsungtv", "miniupnpd": "upnp"}
FAULTS = (plays.restart, plays.goodbye, plays.firewall)
PLAYS = [(fault, device) for device in DEVICES for fault in FAULTS]


@pytest.fixture(scope="module")
def played(missing):
    def play(fault, device):
        program = [(PROGRAMS[device], True)]
        (alone,) = measure(fault, program, DEVICES[device], patience=60.0)
        return alone

    with ThreadPoolExecutor(3) as together:
        jobs = {each: together.submit(play, *each) for each in PLAYS}
        try:
            return {each: job.result() for each, job in jobs.items()}
        except Missing as error:
            missing(error)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: f"{play[1]}-{play[0].__name__}")
def test_events_bring_the_state_back(play, played):
    assert played[play].by_event is not None, played[play]
