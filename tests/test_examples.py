"""The programs and the device of examples/, as they stand, one against the other."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.development_mode import IN_DEVELOPMENT, complaints

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("port 8123")]  # real programs

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PORT = 8123
"""What the thermometer listens on. It is written there, so only one may run at a time."""

WARNINGS = ("-W", "error")


@pytest.fixture
def start():
    """Starts an example with arguments."""
    programs: list[tuple[subprocess.Popen[str], threading.Timer]] = []

    def start(name: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [*IN_DEVELOPMENT, *WARNINGS, str(EXAMPLES / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUTF8": "1"},
            **options,
        )
        patience = threading.Timer(60, program.kill)  # or reading what it says would last for ever
        patience.start()
        programs.append((program, patience))
        return program

    yield start
    for program, patience in programs:
        patience.cancel()
        program.kill()
        program.communicate()


@pytest.mark.parametrize("name", ["watch.py", "blocking_watch.py", "volume_knob.py"])
def test_an_example_without_its_argument_says_what_to_give(start, name):
    program = start(name)
    out, said = program.communicate(timeout=60)
    assert (program.returncode, out) == (1, "")
    assert "URL" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("watch", ["watch.py", "blocking_watch.py"])
def test_the_watcher_prints_what_the_thermometer_does(start, watch):
    thermometer = start("thermometer.py")
    url = thermometer.stdout.readline().strip()
    if not url:
        pytest.fail(thermometer.communicate(timeout=20)[1])
    assert re.fullmatch(rf"http://[^/]+:{PORT}/description\.xml", url)

    watcher = start(watch, url)
    lines = [watcher.stdout.readline().strip() for _ in range(3)]
    # The values are those of now, which may be ahead of the event that is being printed.
    events, values = zip(*(line.rsplit(" ", 1) for line in lines), strict=True)
    assert events == (
        "0 {'Temperature': 20.0, 'Alarm': False}",
        "1 {'Temperature': 20.5}",
        "2 {'Temperature': 31.0, 'Alarm': True}",
    )
    assert values[-1] == "31.0"
    # Everything is told: the thermometer leaves by itself, and without a word.
    rest, errors = thermometer.communicate(timeout=20)
    assert (rest, complaints(errors), thermometer.returncode) == ("", "", 0)
    assert watcher.poll() is None


def test_the_device_of_the_file_is_set_by_lines_and_watched():
    command = str(Path(sys.executable).with_name("propchange"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    renderer, interface = str(EXAMPLES / "renderer.toml"), ("--interface", "127.0.0.1")
    with (
        subprocess.Popen([command, "host", renderer, *interface], **pipes) as host,
        contextlib.ExitStack() as running,
    ):
        running.callback(host.kill)
        url = json.loads(host.stdout.readline())["description_url"]
        watch = subprocess.Popen([command, "watch", "--count", "6", url], **pipes)
        running.enter_context(watch)
        running.callback(watch.kill)
        events = (line for line in map(json.loads, watch.stdout) if line["kind"] == "event")
        initial = {event["service"]: event["changes"] for event in itertools.islice(events, 4)}
        assert initial["RenderingControl"]["Volume"] == 10
        assert initial["AVTransport"]["TransportState"] == "STOPPED"
        assert initial["Amplifier"] == {"Temperature": 35.0, "Source": "radio"}

        host.stdin.write("RenderingControl.Volume=13\nSource=line-in\n")
        host.stdin.flush()
        changes = {event["service"]: event["changes"] for event in events}
        assert changes == {"RenderingControl": {"Volume": 13}, "Amplifier": {"Source": "line-in"}}


def command(*words):
    """The command with ``words``, to its end."""
    program = str(Path(sys.executable).with_name("propchange"))
    ran = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stderr, ran.returncode) == ("", 0)
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("name", ["dimmable_light.py", "twisted_dimmable_light.py"])
def test_the_light_is_switched_and_dimmed_and_says_so(start, name):
    light = start(name, "127.0.0.1")
    url = light.stdout.readline().strip()
    assert {each["service"] for each in command("call", url)} == {"SwitchPower", "Dimming"}
    command("call", url, "SwitchPower", "SetTarget", "newTargetValue=yes")
    assert light.stdout.readline() == "on\n"
    command("call", url, "Dimming", "SetLoadLevelTarget", "newLoadlevelTarget=60")
    assert light.stdout.readline() == "60 %\n"
    (status,) = command("call", url, "SwitchPower", "GetStatus")
    assert status["arguments"] == {"ResultStatus": True}
    events = command("watch", "--count", "2", url)
    changes = {each["service"]: each["changes"] for each in events if each["kind"] == "event"}
    assert changes["SwitchPower"] == {"Status": True}
    assert changes["Dimming"]["LoadLevelStatus"] == 60
    light.send_signal(signal.SIGINT)
    assert light.wait(20) in (0, -signal.SIGINT)
    assert complaints(light.stderr.read()) == ""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_device_on_twisted_leaves_the_network_when_its_program_is_ended(start, ending):
    light = start("twisted_dimmable_light.py", "127.0.0.1")
    assert command("call", light.stdout.readline().strip())  # the reactor runs
    light.send_signal(ending)
    light.wait(20)
    assert light.stderr.read() == ""


RENDERER = """
import asyncio
from propchange import Device, StateVariable, action, host
from propchange.upnp.standard import RenderingControl

class Amplifier(RenderingControl):
    volume = StateVariable("ui2", maximum=31)

    @action
    def select_preset(self, instance_id, preset_name):
        pass

    @action
    def set_volume(self, instance_id, channel, desired_volume):
        self.instance(instance_id)["Volume", channel] = desired_volume

async def main():
    async with host(Device("Amplifier", services=[Amplifier()]), interface="127.0.0.1") as hosted:
        print(hosted.description_url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_knob_shows_the_volume_and_sets_it_by_numbers(start, tmp_path):
    (tmp_path / "renderer.py").write_text(RENDERER)
    renderer = start(str(tmp_path / "renderer.py"))
    url = renderer.stdout.readline().strip()
    knob = start("volume_knob.py", url, stdin=subprocess.PIPE)
    assert knob.stdout.readline() == "volume 0\n"
    for typed, shown in (("20", "volume 20\n"), ("32", "32 is not"), ("loud", "'loud'")):
        print(typed, file=knob.stdin, flush=True)
        assert shown in knob.stdout.readline()
    words = ("InstanceID=0", "Channel=Master", "DesiredVolume=7")  # by another control point
    command("call", url, "RenderingControl", "SetVolume", *words)
    assert knob.stdout.readline() == "volume 7\n"
    knob.send_signal(signal.SIGINT)
    assert knob.wait(20) == 0
    assert complaints(knob.stderr.read()) == ""


def free_port(address):
    with socket.create_server((address, 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.mark.parametrize("name", ["starlette_events.py", "aiohttp_events.py"])
def test_another_web_server_receives_what_the_thermometer_does(start, name):
    thermometer = start("thermometer.py")
    url = thermometer.stdout.readline().strip()
    address = urlsplit(url).hostname
    watcher = start(name, url, address, free_port(address))
    events = (line for line in watcher.stdout if not line.startswith("INFO"))
    assert list(itertools.islice(events, 3)) == [
        "0 {'Temperature': 20.0, 'Alarm': False}\n",
        "1 {'Temperature': 20.5}\n",
        "2 {'Temperature': 31.0, 'Alarm': True}\n",
    ]
    assert thermometer.wait(20) == 0


@pytest.mark.parametrize("name", ["starlette_thermometer.py", "aiohttp_thermometer.py"])
def test_a_thermometer_on_another_web_server_is_watched(start, name):
    port = free_port("127.0.0.1")
    thermometer = start(name, "127.0.0.1", port)
    url = thermometer.stdout.readline().strip()
    assert url == f"http://127.0.0.1:{port}/upnp/description.xml"
    wait_for_port(int(port))  # the server listens when the device has begun
    watcher = start("watch.py", url)
    # The last word is the state, which may have the next value already.
    first, _, state = watcher.stdout.readline().strip().rpartition(" ")
    assert (first, state in {"20.0", "20.5"}) == ("0 {'Temperature': 20.0}", True)
    if name.startswith("starlette"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/measured/20.5", timeout=10) as answer:
            assert json.load(answer) == {"subscriptions": 1}
    assert watcher.stdout.readline() == "1 {'Temperature': 20.5} 20.5\n"
    if not name.startswith("starlette"):
        rest, errors = thermometer.communicate(timeout=20)
        assert (rest, complaints(errors), thermometer.returncode) == ("", "", 0)


def wait_for_port(port):
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on port {port}")


@pytest.mark.parametrize("watch", ["watch.py", "blocking_watch.py"])
def test_the_watcher_says_when_there_is_no_device(start, watch):
    watcher = start(watch, "http://127.0.0.1:1/description.xml")
    printed, errors = watcher.communicate(timeout=20)
    assert printed == ""
    assert watcher.returncode == 1
    assert complaints(errors).splitlines()[-1].startswith("propchange.errors.ConnectionFailed: ")


def test_each_example_that_the_readme_prints_is_the_file():
    """A program in the README that begins as an example does is that example, to the letter."""
    readme = (ROOT / "README.md").read_text()
    printed = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert printed
    for path in EXAMPLES.glob("*.py"):
        example = path.read_text()
        docstring = example.splitlines()[0]
        for program in printed:
            assert not program.startswith(docstring) or program == example, path.name
