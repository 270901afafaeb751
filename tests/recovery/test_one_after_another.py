"""Several faults one after another, and a device that is replaced by another."""

from __future__ import annotations

import shutil

import pytest

from lab import peers
from lab.faults import plays
from lab.faults.bench import Bench
from lab.faults.measuring import GRACE
from lab.programs import Missing
from propchange.core.limits import DEFAULT_LIMITS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DURATION = 4
SOON = DURATION / 2 + GRACE
WITH_A_CHECK = SOON + DEFAULT_LIMITS.check_refill_seconds
"""Moves that follow each other faster than checks are allowed wait for the next check."""

MUCH = (
    plays.restart,
    plays.another_port,
    plays.another_port,
    plays.our_address,
    plays.another_port,
    plays.another_address,
)
"""More moves than the checks of claimed locations that may be made at once."""


@pytest.fixture
def bench(missing):
    try:
        with Bench("gupnp", ["propchange"], DURATION) as bench:
            yield bench
    except Missing as error:
        missing(error)


def test_fault_after_fault_the_state_is_back_soon_after_each(bench):
    follower = bench.followers["propchange"]
    for fault in MUCH:
        fault(bench)
        bench.change("Value")
        assert bench.all_know(bench.state, WITH_A_CHECK), (
            fault.__name__,
            follower.told(bench.began),
        )


def test_another_device_at_its_address_is_not_taken_for_it(bench, tmp_path):
    follower = bench.followers["propchange"]
    web = shutil.copytree(peers.device("gupnp", "", "", 0)[-1], tmp_path / "web")
    description = web / "desc.xml"
    description.write_text(description.read_text().replace("uuid:6a0c1d58", "uuid:00000000"))
    with bench.fault():
        bench.device.kill()
        stranger = bench.start_another(web)
        stranger.ask("set stranger", "set")
        told = follower.program.read("cause", timeout=SOON)
        while told["cause"] != "description":
            told = follower.program.read("cause", timeout=SOON)
        assert follower.state == bench.state
        stranger.kill()
        bench.start_device(port=bench.port + 1)
    bench.change("Value")
    assert bench.all_know(bench.state, SOON)
    assert "stranger" not in [changes.get("Value") for _, changes in follower.events()]
