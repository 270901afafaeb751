"""The benchmarks measure whole rows, and refuse figures of runs that lost something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fan_out import Fan
from benchmarks.programs import compiler
from benchmarks.publishers import BarePublisher, PropchangePublisher
from benchmarks.results import COST, RATE, Incorrect
from benchmarks.sink import Sink

pytestmark = pytest.mark.skipif(compiler() is None, reason="the load is written in C")

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "0.05", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_short_run_measures_each_row_of_fan_out() -> None:
    done = run("--only", "fan-out", "--without-peers")
    assert "NO FIGURES" not in done.stdout, done.stdout
    assert "Traceback" not in done.stderr
    for title in ("fan-out to 1 (", "fan-out to 10,000", "10 events at once", "closing"):
        assert title in done.stdout


@pytest.mark.slow
def test_a_short_run_measures_the_loop_of_asyncio() -> None:
    done = run("--only", "fan-out", "--without-peers", "--row", "events at once", "--without-speed")
    assert "NO FIGURES" not in done.stdout, done.stdout
    assert "bare asyncio" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_short_run_measures_the_latency_beside_dead_subscribers() -> None:
    done = run("--only", "latency", "--without-peers", "--row", "dead")
    assert "NO FIGURES" not in done.stdout, done.stdout
    assert "p99" in done.stdout


def test_a_round_gives_rate_and_cost_of_deliveries() -> None:
    publisher = PropchangePublisher()
    try:
        publisher.start()
        with Sink(3, 3, 3) as sink:
            fan = Fan(publisher, sink)
            fan.subscribe(1)
            figures = fan.round(0.02, 1)
    finally:
        publisher.stop()
    assert figures[RATE] > 0
    assert figures[COST] > 0
    assert figures["connections"] == 3


def test_a_publisher_that_skips_a_subscriber_has_no_figures() -> None:
    publisher = BarePublisher()
    try:
        publisher.start()
        with Sink(3, 3, 3) as sink:
            publisher.connect(sink.targets[:2])
            sink.ask("begin", "unordered")
            value = publisher.publish(10, 1)
            told = sink.ask("report")
            with pytest.raises(Incorrect, match="1 subscribers do not have the last value"):
                sink.check(told, value)
    finally:
        publisher.stop()


def test_a_publisher_that_repeats_its_seq_has_no_figures() -> None:
    publisher = BarePublisher()
    try:
        publisher.start()
        with Sink(2, 2, 2) as sink:
            publisher.connect(sink.targets)
            sink.ask("begin", "ordered")
            value = publisher.publish(10, 1)
            with pytest.raises(Incorrect, match="not the next one by their SEQ"):
                sink.settle(20, value)
    finally:
        publisher.stop()
