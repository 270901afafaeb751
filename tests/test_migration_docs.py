"""The pages for programs that move over: the program before and the one after do the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab import cohen3_environment
from lab.fixtures import missing
from lab.networks import Host, Network
from lab.programs import Missing
from lab.sonos_like import SonosLike
from propchange import Device, Limits, action, host
from propchange.upnp.standard import Dimming
from tests.development_mode import IN_DEVELOPMENT, complaints

ROOT = Path(__file__).parent.parent
PAGES = ("from-async-upnp-client", "from-soco", "from-gupnp")
LIGHT = "urn:schemas-upnp-org:device:DimmableLight:1"
PLAYER = "127.14.0.1"
"""An address of loopback whose port 1400 no listener of SoCo takes."""


def programs(page: str) -> tuple[str, str]:
    """The program before and the one after."""
    return programs_of((ROOT / "docs" / f"{page}.md").read_text("utf-8"))


def programs_of(text: str) -> tuple[str, str]:
    before, after, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return before, after


class Level(Dimming, without=["StepDelta", "RampRate", "RampTime", "IsRamping", "RampPaused"]):
    @action
    def set_load_level_target(self, new_load_level_target: int) -> None:
        self.load_level_target = self.load_level_status = new_load_level_target


@contextlib.asynccontextmanager
async def started(program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(*IN_DEVELOPMENT, "-c", program, *arguments), stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def rest(process: asyncio.subprocess.Process) -> tuple[list[str], str]:
    """What a program prints until its end, and what it complains about."""
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()
    return output.decode().splitlines(), complaints(errors.decode())


@pytest.mark.parametrize("page", PAGES)
def test_the_program_after_is_shorter(page: str) -> None:
    before, after = programs(page)
    assert len(after.splitlines()) < len(before.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["async-upnp-client", "propchange"])
async def test_the_programs_follow_a_light_and_dim_it(number: int) -> None:
    pytest.importorskip("async_upnp_client")
    level = Level()
    lamp = Device("Lamp", type=LIGHT, services=[level])
    # async-upnp-client waits for an idle connection of the device before it ends.
    limits = Limits(delivery_idle_seconds=1.0)
    async with host(lamp, interface="127.0.0.1", announce=False, limits=limits) as hosted:
        program = programs("from-async-upnp-client")[number]
        async with started(program, hosted.description_url) as process:
            lines, errors = await rest(process)
        assert lines[-1] == "level 60"
        assert set(lines) <= {"level 0", "level 60"}
        assert errors == ""
        assert level.load_level_status == 60
        assert not hosted.subscriptions


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["SoCo", "propchange"])
@pytest.mark.xdist_group("a player at port 1400")
async def test_the_programs_follow_the_volume_of_a_player(number: int) -> None:
    pytest.importorskip("soco")
    async with SonosLike(PLAYER, 1400) as player:
        async with started(programs("from-soco")[number], PLAYER) as process:
            assert process.stdout is not None
            first = await asyncio.wait_for(process.stdout.readline(), 30)
            assert first == b"volume 20\n"
            player.set_volume(40)
            lines, _ = await rest(process)
        assert lines == ["volume 40"]
        assert not player.subscribers


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["GUPnP", "propchange"])
def test_the_programs_find_a_light_and_dim_it(number: int) -> None:
    """In a network of its own. Debian's Python has PyGObject."""
    python = sys.executable if number else "/usr/bin/python3"
    try:
        if not number:
            needed = "import gi; gi.require_version('GUPnP', '1.6')"
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                subprocess.run([python, "-c", needed], check=True, capture_output=True)
                needed = ""
            if needed:
                raise Missing("no python3-gi and gir1.2-gupnp-1.6 for /usr/bin/python3")
        with Network() as network, contextlib.ExitStack() as running:
            switch = network.switch()
            device, control = network.host("device"), network.host("control")
            network.plug(device, switch, "eth0", "10.77.0.2/24")
            network.plug(control, switch, "eth0", "10.77.0.3/24")
            light = subprocess.Popen(
                [*device.prefix, sys.executable, str(ROOT / "examples" / "dimmable_light.py")],
                stdout=subprocess.PIPE,
                text=True,
            )
            running.enter_context(light)
            running.callback(light.kill)
            assert light.stdout is not None
            light.stdout.readline()
            program = programs("from-gupnp")[number]
            ran = subprocess.run(
                [*control.prefix, python, "-c", program],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.splitlines()[-1] == "level 60"
            assert light.stdout.readline() == "60 %\n"
    except Missing as error:
        missing(error)


DEVICE = """
name = "Radio"
type = "urn:schemas-upnp-org:device:MediaRenderer:1"

[[services]]
standard = "RenderingControl:1"

[[services]]
standard = "ConnectionManager:1"
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["Cohen3", "propchange"])
def test_the_programs_find_a_renderer_and_follow_its_volume(number: int, tmp_path: Path) -> None:
    """In a network of its own, and Cohen3 in its environment."""
    text = (ROOT / "docs" / "cohen3.md").read_text("utf-8")
    program = programs_of(text.partition("## From Cohen3 to propchange")[2])[number]
    file = tmp_path / "device.toml"
    file.write_text(DEVICE)
    try:
        python = sys.executable if number else str(cohen3_environment.python())
        with Network() as network, contextlib.ExitStack() as running:
            switch = network.switch()
            device, control = network.host("device"), network.host("control")
            network.plug(device, switch, "eth0", "10.77.0.2/24")
            network.plug(control, switch, "eth0", "10.77.0.3/24")
            control.ip("route add default via 10.77.0.2")  # Cohen3 takes the address of this route

            def start(host: Host, *words: str) -> subprocess.Popen[str]:
                pipe, path = subprocess.PIPE, {"PYTHONPATH": str(ROOT / "src")}
                started = subprocess.Popen(
                    [*host.prefix, *words],
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                    env=os.environ | path,
                    bufsize=1,
                )
                running.enter_context(started)
                running.callback(started.kill)
                return started

            command = str(Path(sys.executable).with_name("propchange"))
            radio = start(device, command, "host", str(file))
            assert radio.stdin is not None
            assert radio.stdout is not None
            radio.stdout.readline()
            radio.stdin.write("RenderingControl.Volume=20\n")
            follower = start(control, python, "-W", "ignore", "-c", program)
            assert follower.stdout is not None
            line = follower.stdout.readline()
            while line == "volume 0\n":  # the volume before
                line = follower.stdout.readline()
            assert line == "volume 20\n"
            radio.stdin.write("RenderingControl.Volume=40\n")
            assert follower.stdout.readline() == "volume 40\n"
            assert follower.wait(30) == 0
    except Missing as error:
        missing(error)
