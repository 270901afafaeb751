from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.cli.demo import simulations


def test_the_demo_shows_both_devices_and_ends_by_itself(propchange: Any) -> None:
    begun = time.monotonic()
    ran = propchange("demo", "--seconds", "1.4")
    took = time.monotonic() - begun

    told = [json.loads(line) for line in ran.out.splitlines()]
    events = [line for line in told if "changes" in line]
    assert (ran.status, ran.err) == (0, "")
    assert took > 1.3
    for device in ("Thermometer", "Media renderer"):
        hosted, *_ = [line for line in told if line["device"] == device]
        assert hosted["status"] == "hosted"
        assert hosted["reason"].startswith("http://127.0.0.1:")
        seqs = [event["seq"] for event in events if event["device"] == device]
        assert seqs == list(range(len(seqs)))
        assert len(seqs) > 1


@pytest.mark.parametrize("seconds", ["-1", "x"])
def test_seconds_that_cannot_be_are_a_wrong_command_line(propchange: Any, seconds: str) -> None:
    assert propchange("demo", "--seconds", seconds).status == 2


@given(st.integers())
def test_everything_moves_and_stays_within_its_range(seed: int) -> None:
    seen: dict[str, set[object]] = {}
    for simulation in simulations(random.Random(seed)):
        for _ in range(200):
            simulation.step()
            for service in simulation.device.services:
                for variable, value in service.values.items():
                    seen.setdefault(variable, set()).add(value)

    assert all(len(values) > 1 for values in seen.values())
    assert all(-20 < value < 60 for value in seen["Temperature"])  # type: ignore[operator]


def test_the_alarm_tells_that_it_is_too_warm() -> None:
    simulation, _ = simulations(random.Random(1))
    (thermometer,) = simulation.device.services
    for _ in range(500):
        simulation.step()
        assert thermometer["Alarm"] == (thermometer["Temperature"] >= 23.0)
