"""Devices for the commands to watch; runs a command in the test's process or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from propchange import Device, HostedDevice, Service, StateVariable, host
from propchange.cli import main
from propchange.core.wire.messages import Request

PATIENCE = 15.0
"""Seconds before a test that waits for another thread or process fails. It takes milliseconds."""

HOSTILE = "\x85[bold]\u202eesc\u2028ä\ttab\nnl"
"""What a device may put into a value to trick a terminal or a reader of lines. XML 1.0 leaves no
way to send an ESC itself."""


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)


class Values(Service, type="urn:example-org:service:Values:1"):
    note = StateVariable("string", initial=HOSTILE)
    data = StateVariable("bin.hex", initial=b"\x00\xff")
    started = StateVariable("dateTime.tz", initial=None)
    key = StateVariable("uuid", initial=None)
    price = StateVariable("fixed.14.4", initial=None)


class Silent(Service, type="urn:example-org:service:Silent:1"):
    level = StateVariable("ui1", evented=False)


class Loop:
    """A loop in its own thread. Its devices run while a command runs in the thread of the test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return self.start(coroutine).result(PATIENCE)

    def start(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Requests:
    """The requests that a device has received; a test can wait for one."""

    def __init__(self) -> None:
        self.all: list[Request] = []
        self._condition = threading.Condition()

    def add(self, passing: object) -> None:
        if isinstance(passing, Request):
            with self._condition:
                self.all.append(passing)
                self._condition.notify_all()

    def of(self, method: str) -> list[Request]:
        return [request for request in self.all if request.method == method]

    def wait_for(self, method: str) -> Request:
        with self._condition:
            assert self._condition.wait_for(lambda: bool(self.of(method)), PATIENCE), (
                f"no {method} came"
            )
        return self.of(method)[0]


class Workbench(NamedTuple):
    """A hosted device with three services, one of them without eventing."""

    url: str
    hosted: HostedDevice
    thermometer: Thermometer
    values: Values
    requests: Requests
    run: Callable[[Any], Any]

    def set(self, service: Service, variable: str, value: object) -> None:
        """Assign in the device's thread; returns when it has."""

        async def assign() -> None:
            service[variable] = value

        self.run(assign())


@pytest.fixture
def workbench(loop: Loop) -> Iterator[Workbench]:
    thermometer, values, requests = Thermometer(), Values(), Requests()
    device = Device("Workbench", services=[thermometer, values, Silent()])
    hosted = host(device, interface="127.0.0.1", tap=requests.add)
    loop.run(hosted.__aenter__())
    yield Workbench(hosted.description_url, hosted, thermometer, values, requests, loop.run)
    loop.run(hosted.close())


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def propchange(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run the command in this process, to its end."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["propchange", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        if isinstance(code, str):  # what sys.exit writes is written when the process ends
            return Ran(1, out, err + code + "\n")
        return Ran(code or 0, out, err)

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command as a process of its own; what still runs at the end is killed."""
    with contextlib.ExitStack() as running:

        def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
            settings: dict[str, Any] = {
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "env": os.environ | {"TERM": "xterm-256color"},
            }
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("propchange")), *arguments],
                **(settings | options),
            )
            running.enter_context(process)
            running.callback(process.kill)
            return process

        yield start
