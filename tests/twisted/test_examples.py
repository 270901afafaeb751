"""The two example programs over real sockets: against each other, against the asyncio front, and on
several reactors."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.development_mode import IN_DEVELOPMENT, complaints

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EVENTS = [
    "0 {'Temperature': 20.0, 'Alarm': False} 20.0",
    "1 {'Temperature': 20.5} 20.5",
    "2 {'Temperature': 31.0, 'Alarm': True} 31.0",
]

STATUSES = re.compile(
    r"active: events arrive\nclosed: (unsubscribed|the device did not answer UNSUBSCRIBE: .*)\n"
)
"""What twisted_watch.py says besides. The device ends after its last event, perhaps before it can
answer UNSUBSCRIBE."""

ASYNCIO_WATCH = """
import asyncio, sys
from propchange import ControlPoint

async def main(url):
    async with ControlPoint() as point:
        device = await point.device(url)
        async with device["Thermometer"].subscribe() as subscription:
            async for event in subscription:
                print(event.seq, dict(event.changes), event.changes["Temperature"], flush=True)
                if event.seq == 2:
                    return

asyncio.run(main(sys.argv[1]))
"""

ASYNCIO_THERMOMETER = """
import asyncio
from propchange import Device, Service, StateVariable, host

class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)

async def main():
    thermometer = Thermometer()
    async with host(Device("Workbench", services=[thermometer])) as hosted:
        print(f"http://127.0.0.1:{hosted.port}/description.xml", flush=True)
        await hosted.subscribed()
        thermometer.temperature = 20.5
        with thermometer.batch():
            thermometer.temperature = 31.0
            thermometer.alarm = True
        await hosted.drain(timeout=5)

asyncio.run(main())
"""

_IGNORED = (
    *("-W", "ignore::DeprecationWarning"),  # Twisted 21.7 uses what Python 3.11 deprecates
    *("-W", "ignore:unclosed file:ResourceWarning"),  # Twisted has one in reserve: /dev/null
)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program; what is left of it is ended after the test."""
    with ExitStack() as running:

        def start(*words: str) -> subprocess.Popen[str]:
            process = running.enter_context(
                subprocess.Popen(
                    [*IN_DEVELOPMENT, *_IGNORED, *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            running.callback(process.kill)
            return process

        yield start


def watched(start: Start, device: subprocess.Popen[str], *watcher: str) -> list[str]:
    """What the watcher prints of the device; both end by themselves, with nothing to complain."""
    assert device.stdout is not None
    url = device.stdout.readline().strip()
    watch = start(*watcher, url)
    out, errors = watch.communicate(timeout=30)
    assert watch.returncode == 0, errors
    said = complaints(errors)
    assert said == "" or STATUSES.fullmatch(said), said
    _, errors = device.communicate(timeout=30)
    assert (device.returncode, complaints(errors)) == (0, "")
    lines = out.splitlines()
    # The last word is the state, which may be that of a later event already.
    states = [line.rpartition(" ")[2] for line in EVENTS]
    for number, line in enumerate(lines):
        first, _, state = line.rpartition(" ")
        assert state in states[number:], lines
        lines[number] = f"{first} {states[number]}"
    return lines


def test_the_examples_work_against_each_other(start: Start) -> None:
    device = start(str(EXAMPLES / "twisted_thermometer.py"), "0")
    assert watched(start, device, str(EXAMPLES / "twisted_watch.py")) == EVENTS


def test_the_thermometer_works_against_the_asyncio_front(start: Start) -> None:
    device = start(str(EXAMPLES / "twisted_thermometer.py"), "0")
    assert watched(start, device, "-c", ASYNCIO_WATCH) == EVENTS


def test_the_watcher_works_against_the_asyncio_front(start: Start) -> None:
    device = start("-c", ASYNCIO_THERMOMETER)
    assert watched(start, device, str(EXAMPLES / "twisted_watch.py")) == EVENTS


@pytest.mark.parametrize("name", ["asyncioreactor", "selectreactor", "pollreactor"])
def test_they_work_on_any_reactor(start: Start, name: str) -> None:
    def on_reactor(program: str) -> tuple[str, str]:
        run = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
        install = f"from twisted.internet import {name}; {name}.install()"
        return "-c", f"{install}; {run}\n#{program}"

    thermometer, watch = (
        str(EXAMPLES / f"twisted_{program}.py") for program in ("thermometer", "watch")
    )
    device = start(*on_reactor(thermometer), thermometer, "0")
    assert watched(start, device, *on_reactor(watch), watch) == EVENTS
