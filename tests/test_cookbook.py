"""Each program of examples/cookbook does what docs/cookbook.md says, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lab.fixtures import Start, missing, start_fixture  # noqa: F401 - a fixture
from lab.networks import Network
from lab.programs import Missing, free_port
from propchange import (
    ControlPoint,
    Device,
    HostedDevice,
    Service,
    StateVariable,
    action,
    host,
)
from propchange.upnp.standard import RenderingControl
from tests.development_mode import IN_DEVELOPMENT, complaints

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "cookbook"
NAMES = sorted(path.name for path in FOLDER.glob("*.py"))
PAGE = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
SECTIONS = {
    match[1]: section
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    if (match := re.search(r"(\w+\.py)", section))
}
HERE = "127.0.0.1"
PATIENCE = 20.0


def printed(name: str, number: int = 0) -> list[str]:
    """The lines of a text block of the page, of the program ``name``."""
    blocks: list[str] = re.findall(r"```text\n(.*?)```", SECTIONS[name], re.DOTALL)
    return blocks[number].splitlines()


def test_the_page_has_each_program_as_it_stands() -> None:
    assert sorted(SECTIONS) == NAMES
    assert len(NAMES) >= 10
    for name in NAMES:
        (program,) = re.findall(r"```python\n(.*?)```", SECTIONS[name], re.DOTALL)
        assert program == (FOLDER / name).read_text("utf-8"), name
        assert program.startswith('"""'), f"{name} does not say what it does"


WITH_ARGUMENTS = [name for name in NAMES if name not in {"shared_light.py", "test_thermostat.py"}]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_without_arguments_a_program_says_how_to_call_it(name: str) -> None:
    program = str(FOLDER / name)
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"usage: python {name} " in ran.stderr
    assert "Traceback" not in ran.stderr


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


class Running:
    """A program that runs, and the lines that it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            assert self.process.stderr is not None
            pytest.fail((await self.process.stderr.read()).decode())
        return line.decode().rstrip("\n")

    async def lines(self, count: int) -> list[str]:
        return [await self.line() for _ in range(count)]

    async def error(self) -> str:
        """The next line of the standard error output, but for those of a slow machine."""
        assert self.process.stderr is not None
        line = ""
        while not complaints(line):
            line = (await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)).decode()
            assert line, "the program has ended"
        return line.rstrip("\n")


@contextlib.asynccontextmanager
async def run(name: str, *arguments: str, logs: str = "") -> AsyncIterator[Running]:
    """Runs a program until Ctrl-C. It must end with the status 0 and write nothing to the standard
    error output but what fits ``logs``."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(*IN_DEVELOPMENT, "-W", "error", str(FOLDER / name), *arguments),
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield Running(process)
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        left = [line for line in complaints(errors.decode()).splitlines() if line]
        assert [line for line in left if not (logs and re.search(logs, line))] == []
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def hosted(*services: Service, name: str = "Workbench", **options: Any) -> HostedDevice:
    return host(Device(name, services=services), interface=HERE, announce=False, **options)


def where(line: str) -> str:
    """The line with another port and other times than those of this run."""
    return re.sub(r"[\d.]+ s ago", "N s ago", re.sub(rf"{HERE}:\d+", f"{HERE}:49152", line))


# --- the programs ---


@pytest.mark.slow
def test_each_change_of_each_device_on_the_network_is_in_the_database(
    tmp_path: Path, start: Start
) -> None:
    """In a network of its own: devices are found by their announcements."""
    device_file = tmp_path / "device.toml"
    device_file.write_text(
        'name = "Workbench"\n'
        '[[services]]\ntype = "urn:example-org:service:Thermometer:1"\n'
        '[[services.variables]]\nname = "Temperature"\ntype = "r4"\ninitial = 20.0\n'
    )
    database = tmp_path / "house.db"
    wanted = printed("log_to_sqlite.py", 1)
    query = "SELECT device, service, variable, value FROM changes ORDER BY at"

    def rows() -> list[str]:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reading:
            return ["|".join(row) for row in reading.execute(query)]

    try:
        with Network() as network:
            switch = network.switch()
            device_host, control = network.host("device"), network.host("control")
            network.plug(device_host, switch, "eth0", "10.77.0.2/24")
            network.plug(control, switch, "eth0", "10.77.0.3/24")
            command = str(Path(sys.executable).with_name("propchange"))
            device = start(*device_host.prefix, command, "host", device_file)
            device.read("description_url")
            program = subprocess.Popen(
                [*control.prefix, sys.executable, str(FOLDER / "log_to_sqlite.py"), str(database)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                assert program.stdout is not None
                assert program.stdout.readline().splitlines() == printed("log_to_sqlite.py")
                until(lambda: rows() == wanted[:1])
                device.tell("Temperature=21.5")
                until(lambda: rows() == wanted)
                program.send_signal(signal.SIGINT)
                assert program.communicate(timeout=PATIENCE) == ("", "")
                assert program.returncode == 0
            finally:
                program.kill()
                program.communicate()
    except Missing as error:
        missing(error)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(wait(), PATIENCE))


class Renderer(RenderingControl):
    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None: ...

    @action
    def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
        self.volume = desired_volume


class Amplifier(Renderer):
    volume = StateVariable("ui2", maximum=31)


@pytest.mark.slow
async def test_the_follower_has_the_volume_of_the_leader_in_its_own_range() -> None:
    leader, follower = Renderer(), Amplifier()
    async with hosted(leader) as first, hosted(follower, name="Amplifier") as second:
        urls = first.description_url, second.description_url
        async with run("mirror_volume.py", *urls) as program:
            assert [await program.line()] == printed("mirror_volume.py")[:1]
            leader.volume = 50
            assert [await program.line()] == printed("mirror_volume.py")[1:]
            assert follower.volume == 16


@pytest.mark.slow
async def test_a_follower_that_is_away_costs_one_line_and_not_the_program() -> None:
    leader = Renderer()
    async with hosted(leader) as first:
        async with hosted(Amplifier(), name="Amplifier") as second:
            urls = first.description_url, second.description_url
            context = run("mirror_volume.py", *urls, logs="the follower did not take 50")
            program = await context.__aenter__()
            await program.line()
        leader.volume = 50
        assert "the follower did not take 50: " in await program.error()
        await context.__aexit__(None, None, None)


@pytest.mark.slow
async def test_both_switches_show_what_the_light_says() -> None:
    async with run("shared_light.py") as program:
        wanted = printed("shared_light.py")
        assert await program.lines(len(wanted)) == wanted
        await program.process.wait()


class Connection(Service, type="urn:schemas-upnp-org:service:WANIPConnection:2"):
    external_ip_address = StateVariable("string", initial="192.0.2.7", name="ExternalIPAddress")

    @action(name="GetExternalIPAddress", returns={"NewExternalIPAddress": external_ip_address})
    def address(self) -> dict[str, str]:
        return {"NewExternalIPAddress": self.external_ip_address}


@pytest.mark.slow
async def test_the_command_gets_each_new_address_of_the_router(tmp_path: Path) -> None:
    connection = Connection()
    command = (sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' ')")
    file = tmp_path / "addresses"
    async with hosted(connection, name="Router") as router:
        url = router.description_url
        async with run("external_address.py", url, *command, str(file)) as program:
            first, second = printed("external_address.py")
            assert await program.line() == first
            connection.external_ip_address = second
            assert await program.line() == second
            given = f"{first} {second} "
            while not file.exists() or file.stat().st_size < len(given):  # the command has its time
                await asyncio.sleep(0.01)
    assert file.read_text() == given


@pytest.mark.slow
async def test_the_browser_gets_the_values_and_each_change() -> None:
    thermometer, port = Thermometer(), free_port()
    async with hosted(thermometer) as device:
        url = device.description_url
        async with run("live_page.py", url, str(port), logs=r"^INFO: ") as program:
            await asyncio.wait_for(device.subscribed(), PATIENCE)
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    reader, writer = await asyncio.open_connection(HERE, port)
                    break
                await asyncio.sleep(0.01)
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")

            async def data() -> str:
                while not (line := await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(
                    b"data:"
                ):
                    assert line
                return line.decode().rstrip()

            wanted = [line for line in printed("live_page.py") if line]
            assert await data() == wanted[0]
            thermometer.temperature = 21.5
            assert await data() == wanted[1]
            writer.close()
            await writer.wait_closed()
            assert program.process.returncode is None


@pytest.mark.slow
async def test_a_recorded_evening_is_played_again(tmp_path: Path) -> None:
    thermometer, file = Thermometer(), str(tmp_path / "evening.jsonl")
    wanted = printed("record_replay.py")
    async with hosted(thermometer) as device:
        arguments = ("record", device.description_url, "Thermometer", file)
        async with run("record_replay.py", *arguments) as program:
            assert await program.line() == wanted[0]
            thermometer.temperature = 21.5
            assert await program.line() == wanted[1]
    async with run("record_replay.py", "replay", file, HERE) as program:
        url = await program.line()
        assert [where(url)] == printed("record_replay.py", 1)
        async with ControlPoint(interface=HERE) as control_point:
            service = (await control_point.device(url))["Thermometer"]
            async with service.subscribe() as subscription:
                changes = [(await anext(subscription)).changes for _ in range(2)]
        assert changes == [{"Temperature": 20.0}, {"Temperature": 21.5}]
        await program.process.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe plays the serial port")
async def test_the_numbers_of_a_sensor_are_the_values_of_the_device(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    os.mkfifo(port)
    wanted = printed("sensor_device.py")
    async with run("sensor_device.py", str(port), HERE, logs="left out") as program:
        url = await program.line()
        assert where(url) == wanted[0]
        sensor = await asyncio.to_thread(port.open, "w", buffering=1)
        async with ControlPoint(interface=HERE) as control_point:
            service = (await control_point.device(url))["TemperatureSensor"]
            async with service.subscribe() as subscription:
                await anext(subscription)
                sensor.write("19.5\ngarbage\n20.5\n")
                seen = [(await anext(subscription)).changes["Temperature"]]
                while seen[-1] != 20.5:  # the values between may be merged
                    seen.append((await anext(subscription)).changes["Temperature"])
                sensor.close()
                assert (await anext(subscription)).changes == {"Connected": False}
        assert await program.line() == wanted[2]
        assert await program.error() == wanted[1]
        await program.process.wait()


@pytest.mark.slow
async def test_the_watchdog_says_why_events_stop_and_when_they_come_again() -> None:
    port, udn = free_port(), "uuid:00000000-0000-0000-0000-000000000001"
    options = {"port": port, "udn": udn, "minimum_duration": 1, "maximum_duration": 2}
    wanted = printed("watchdog.py")
    async with contextlib.AsyncExitStack() as stack:
        async with hosted(Thermometer(), **options) as device:
            program = await stack.enter_async_context(
                run("watchdog.py", device.description_url, logs="/Thermometer/event")
            )
            assert await program.line() == wanted[0]
            await asyncio.wait_for(device.subscribed(), PATIENCE)
        line = where(await program.line())
        assert line.startswith("Workbench, Thermometer: resubscribing: ")
        # A renewal may come in while the device ends: it is answered 412, not refused.
        assert line == where(wanted[1]) or "refuses connections" not in line
        async with hosted(Thermometer(), **options):
            assert await program.line() == wanted[2]


@pytest.mark.slow
async def test_the_watchdog_says_that_a_device_is_away_from_the_beginning() -> None:
    away = f"http://{HERE}:{free_port()}/description.xml"
    async with (
        hosted(Thermometer()) as device,
        run("watchdog.py", away, device.description_url) as program,
    ):
        lines = sorted(await program.lines(2))
        assert lines[0].startswith("guarding Workbench")
        assert lines[1].startswith(f"{away}: no connection to ")


@pytest.mark.slow
async def test_devices_are_followed_side_by_side_and_one_that_is_away_disturbs_no_other() -> None:
    workbench, garden, nobody = Thermometer(), Thermometer(), free_port()
    garden.temperature = 5.0
    wanted = printed("many_devices.py")
    async with hosted(workbench) as first, hosted(garden, name="Garden") as second:
        urls = [device.description_url for device in (first, second)]
        urls.append(f"http://{HERE}:{nobody}/description.xml")
        async with run("many_devices.py", *urls, logs="; again in [12] s") as program:
            assert sorted(await program.lines(2)) == sorted(wanted[:2])
            garden.temperature = 6.0
            assert await program.line() == wanted[2]


@pytest.mark.slow
async def test_the_page_for_prometheus_has_the_values_and_whether_events_arrive() -> None:
    port = free_port()
    async with hosted(Thermometer()) as device:
        page_of = run("prometheus_page.py", str(port), device.description_url)
        async with page_of:
            await asyncio.wait_for(device.subscribed(), PATIENCE)

            async def metrics() -> list[str]:
                reader, writer = await asyncio.open_connection(HERE, port)
                writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
                page = await reader.read()
                assert b"propchange_subscriptions{" in page
                writer.close()
                await writer.wait_closed()
                return [line for line in page.decode().splitlines() if line.startswith("upnp_")]

            async def both() -> list[str]:
                while len(found := await metrics()) < 2 or not found[1].endswith(" 1.0"):
                    await asyncio.sleep(0.01)
                return found

            assert await asyncio.wait_for(both(), PATIENCE) == printed("prometheus_page.py")


@pytest.mark.slow
def test_the_tests_of_ones_own_device_pass_on_their_own() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, str(FOLDER / "test_thermostat.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1].startswith(printed("test_thermostat.py")[0])
