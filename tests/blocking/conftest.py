"""A thermometer of ours, a device whose answers the test defines, and programs in processes of
their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from propchange.blocking import ControlPoint
from tests.blocking.devices import Hosted, RawDevice


@pytest.fixture
def device() -> Iterator[Hosted]:
    hosted = Hosted()
    with hosted.hosted:
        yield hosted


@pytest.fixture
def point() -> Iterator[ControlPoint]:
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        yield point


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    left = [each for each in threading.enumerate() if each.name == "propchange"]
    for each in left:
        each.join(5)
    assert not [each for each in left if each.is_alive()]


@pytest.fixture
def raw_device() -> Iterator[RawDevice]:
    with RawDevice() as device:
        serving = threading.Thread(target=device.serve_forever, daemon=True)
        serving.start()
        yield device
        device.over.set()
        device.shutdown()
        serving.join()


Start = Callable[..., subprocess.Popen[str]]

_BEGINNING = """
import os, signal, sys, threading, time
# A child of a job in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
from propchange import Limits
from propchange.blocking import ControlPoint, host
url = sys.argv[1] if len(sys.argv) > 1 else ""
own = dict(interface="127.0.0.1", discovery=False)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program, with arguments."""
    programs: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-W", "error", "-u", "-c", _BEGINNING + text, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()
