"""``propchange host``: a device of a file, set by lines of standard input."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest

from propchange import ActionError, ControlPoint, Event, Subscription
from propchange.cli.host import _is_loopback, _warnings_on
from propchange.cli.output import Writer
from tests.cli.conftest import PATIENCE, Loop

ROOT = Path(__file__).parent.parent.parent
RENDERER = ROOT / "examples" / "renderer.toml"

LAMP = """
name = "Lamp"
[[services]]
type = "urn:example-org:service:Lamp:1"
[[services.variables]]
name = "Level"
type = "ui1"
maximum = 100
[[services.variables]]
name = "On"
type = "boolean"
[[services]]
standard = "RenderingControl:1"
"""


UNFIT = (
    "propchange: line 6: Level: the text '\\x1b[31m' does not fit ui1, "
    "which takes an int from 0 to 255"
)


class Hosting:
    """The process of ``propchange host``, with a pipe at each end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._patience = threading.Timer(3 * PATIENCE, process.kill)
        self._patience.start()
        self.first = self.line()

    def line(self) -> dict[str, Any]:
        """The next line of standard output."""
        line = self.process.stdout.readline()  # type: ignore[union-attr] # a pipe
        if not line:
            pytest.fail(f"it has ended: {self.process.stderr.read()!r}")  # type: ignore[union-attr] # a pipe
        found: dict[str, Any] = json.loads(line)
        return found

    def until(self, status: str) -> dict[str, Any]:
        while (line := self.line()).get("status") != status:
            pass
        return line

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)  # type: ignore[union-attr] # a pipe
        self.process.stdin.flush()  # type: ignore[union-attr] # a pipe

    def end_input(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr] # a pipe
        self.process.stdin = None

    def complaint(self) -> str:
        """The next line of standard error."""
        line: bytes = self.process.stderr.readline()  # type: ignore[union-attr] # a pipe
        return line.decode().rstrip("\n")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit status after a signal, and the rest of standard error."""
        self.process.send_signal(number)
        _, complaints = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, complaints.decode()

    def close(self) -> None:
        self._patience.cancel()
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()


Begin = Callable[..., Hosting]


@pytest.fixture
def begin(start: Any, tmp_path: Path) -> Iterator[Begin]:
    """Starts ``propchange host`` with a file of this text."""
    with contextlib.ExitStack() as running:

        def begin(document: str = LAMP, *options: str, **settings: Any) -> Hosting:
            file = tmp_path / "device.toml"
            file.write_text(document)
            settings = {"stdin": subprocess.PIPE, "text": False, "bufsize": 0} | settings
            process = start("host", str(file), "--interface", "127.0.0.1", *options, **settings)
            hosting = Hosting(process)
            running.callback(hosting.close)
            return hosting

        yield begin


class Watching:
    """A subscription in the thread of ``loop``."""

    def __init__(self, loop: Loop, url: str, service: str) -> None:
        self._loop = loop
        self.control_point = ControlPoint(interface="127.0.0.1")
        self.subscription: Subscription = loop.run(self._enter(url, service))

    async def _enter(self, url: str, service: str) -> Subscription:
        await self.control_point.__aenter__()
        device = await self.control_point.device(url)
        return await device[service].subscribe().__aenter__()

    def event(self) -> Event:
        event: Event = self._loop.run(anext(self.subscription))
        return event

    def values_until(self, name: str, value: object) -> dict[str, Any]:
        """The values of the subscription once ``name`` is ``value``."""
        while self.subscription.values.get(name) != value:
            self.event()
        return dict(self.subscription.values)

    def close(self) -> None:
        self._loop.run(self.control_point.close())


@pytest.fixture
def watch(loop: Loop) -> Iterator[Callable[[str, str], Watching]]:
    with contextlib.ExitStack() as open_ones:

        def watch(url: str, service: str) -> Watching:
            watching = Watching(loop, url, service)
            open_ones.callback(watching.close)
            return watching

        yield watch


@pytest.mark.slow
def test_the_first_line_has_the_urls(begin: Begin) -> None:
    first = begin().first

    url = first["description_url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/description\.xml", url)
    assert first["description_urls"] == [url]
    assert set(first["event_urls"]) == {"Lamp", "RenderingControl"}
    with urlopen(url, timeout=PATIENCE) as answer:
        description = answer.read().decode()
    assert first["udn"] in description
    for event_url in first["event_urls"].values():
        assert f"<eventSubURL>{event_url.partition('/127')[2].partition('/')[2]}" in (
            description.replace("<eventSubURL>/", "<eventSubURL>")
        )


def test_a_device_that_sends_no_events_is_hosted_with_a_warning(begin: Begin) -> None:
    hosting = begin('name = "Desk"\n[[services]]\ntype = "urn:example-org:service:Mute:1"')

    assert hosting.first["event_urls"] == {}
    assert "no service of the device sends events" in hosting.complaint()


@pytest.mark.parametrize(
    ("others", "alone"),
    [((), True), (("http://[::1]:80/",), True), (("http://[fe80::1]:80/",), False)],
)
def test_a_device_that_only_this_machine_can_reach_is_known_as_such(
    others: tuple[str, ...], alone: bool
) -> None:
    hosted: Any = SimpleNamespace(description_urls=("http://127.0.0.1:80/", *others))
    assert _is_loopback(hosted) is alone


@pytest.mark.slow
def test_each_line_of_standard_input_is_an_event(begin: Begin, watch: Any) -> None:
    lamp = begin()
    watching = watch(lamp.first["description_url"], "Lamp")
    assert watching.event().changes == {"Level": 0, "On": False}
    lamp.write(b"Lamp.Level=13\n")
    assert watching.event().changes == {"Level": 13}
    lamp.write(b'\n# nothing\r\n{"Lamp": {"Level": 14, "On": true}}\r\n')
    assert watching.event().changes == {"Level": 14, "On": True}
    assert lamp.end() == (0, "")


@pytest.mark.slow
def test_instances_and_channels_arrive(begin: Begin, watch: Any) -> None:
    lamp = begin()
    watching = watch(lamp.first["description_url"], "RenderingControl")
    watching.event()
    lamp.write(b'{"Volume": 5, "Volume[0,LF]": 6, "Mute[1]": true}\n')
    watching.event()
    state = watching.subscription.full_state
    assert (state["Volume", 0, "Master"], state["Volume", 0, "LF"]) == (5, 6)
    assert state["Mute", 1, "Master"] is True


@pytest.mark.slow
def test_a_wrong_line_is_answered_with_its_number_and_the_device_goes_on(
    begin: Begin, watch: Any
) -> None:
    lamp = begin()
    watching = watch(lamp.first["description_url"], "Lamp")
    lamp.write(b"Level=5\nLevel=101\n\nLevle=1\n\xff\xfe\nLevel=\x1b[31m\nLevel=6\n")

    assert [lamp.complaint() for _ in range(4)] == [
        "propchange: line 2: Level: 101 is not allowed, only values to 100",
        "propchange: line 4: no service has a variable 'Levle'; was Level meant?",
        "propchange: line 5: byte 0 is not UTF-8",
        UNFIT,
    ]
    watching.values_until("Level", 6)
    assert lamp.end() == (0, "")


@pytest.mark.slow
def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it(begin: Begin, watch: Any) -> None:
    lamp = begin()
    watching = watch(lamp.first["description_url"], "Lamp")
    lamp.write(b"\xef\xbb\xbfLevel=5\n")
    watching.values_until("Level", 5)


@pytest.mark.slow
def test_the_device_stays_at_the_end_of_standard_input(begin: Begin, watch: Any) -> None:
    lamp = begin()
    lamp.write(b"Level=5")
    lamp.end_input()
    watching = watch(lamp.first["description_url"], "Lamp")
    watching.values_until("Level", 5)
    assert lamp.end() == (0, "")


@pytest.mark.slow
def test_with_until_eof_the_last_event_is_delivered_first(begin: Begin, watch: Any) -> None:
    lamp = begin(LAMP, "--until-eof")
    watching = watch(lamp.first["description_url"], "Lamp")
    watching.event()
    lamp.write(b"Level=5\n")
    lamp.end_input()
    assert watching.event().changes == {"Level": 5}
    assert lamp.process.wait(PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_device_without_a_word(begin: Begin, number: signal.Signals) -> None:
    assert begin().end(number) == (0, "")


@pytest.mark.slow
def test_the_device_ends_when_nobody_reads_its_output(begin: Begin) -> None:
    lamp = begin()
    lamp.process.stdout.close()  # type: ignore[union-attr] # a pipe
    assert lamp.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_the_output_says_what_control_points_do(begin: Begin, watch: Any) -> None:
    lamp = begin()
    watching = watch(lamp.first["description_url"], "Lamp")
    watching.event()
    subscribed = lamp.until("subscribed")
    sid = subscribed["grant"]["sid"]
    assert (subscribed["device"], subscribed["service"]) == ("Lamp", "Lamp")
    assert subscribed["udn"] == lamp.first["udn"]
    assert subscribed["grant"]["duration"] == 1800
    assert "by 127.0.0.1, with events to http://127.0.0.1:" in subscribed["reason"]
    assert sid in lamp.until("delivered")["reason"]
    watching.close()
    assert sid in lamp.until("unsubscribed")["reason"]


@pytest.mark.slow
def test_the_renderer_of_the_examples_obeys_its_actions(
    begin: Begin, watch: Any, loop: Loop
) -> None:
    renderer = begin(RENDERER.read_text())
    url = renderer.first["description_url"]
    sound, player = watch(url, "RenderingControl"), watch(url, "AVTransport")
    assert sound.event().changes["Volume"] == 10
    assert player.event().changes["TransportState"] == "STOPPED"

    async def call(watching: Any, action: str, **arguments: Any) -> dict[str, Any]:
        service = watching.subscription.service
        return dict(await service.call(action, InstanceID=0, **arguments))

    loop.run(call(sound, "SetVolume", Channel="Master", DesiredVolume=13))
    assert sound.event().changes == {"Volume": 13}
    loop.run(call(sound, "SetMute", Channel="Master", DesiredMute=True))
    assert sound.event().changes == {"Mute": True}
    assert loop.run(call(sound, "GetVolume", Channel="Master")) == {"CurrentVolume": 13}

    uri = "http://192.0.2.1/a.flac"
    loop.run(call(player, "SetAVTransportURI", CurrentURI=uri, CurrentURIMetaData="<DIDL-Lite/>"))
    assert player.event().changes["AVTransportURI"] == uri
    for action, state in (
        ("Play", "PLAYING"),
        ("Pause", "PAUSED_PLAYBACK"),
        ("Stop", "STOPPED"),
    ):
        loop.run(call(player, action, **({"Speed": "1"} if action == "Play" else {})))
        assert player.event().changes == {"TransportState": state}
    loop.run(call(player, "Seek", Unit="REL_TIME", Target="0:01:00"))
    assert loop.run(call(player, "GetPositionInfo"))["RelTime"] == "0:01:00"
    assert renderer.end() == (0, "")


@pytest.mark.slow
def test_each_call_is_printed_with_its_answer(begin: Begin, watch: Any, loop: Loop) -> None:
    lamp = begin(LAMP.replace(':Lamp:1"', ':Lamp:1"\nactions = true'))
    service = watch(lamp.first["description_url"], "Lamp").subscription.service

    loop.run(service.call("SetLevel", Level=13))
    assert loop.run(service.call("GetLevel")) == {"Level": 13}
    sound = watch(lamp.first["description_url"], "RenderingControl").subscription.service
    with pytest.raises(ActionError, match="702"):
        loop.run(sound.call("ListPresets", InstanceID=7))

    calls = []
    while len(calls) < 3:
        line = lamp.line()
        if line["kind"] == "called":
            calls.append(line)
    level, got, presets = calls
    assert (level["device"], level["service"], level["peer"]) == ("Lamp", "Lamp", "127.0.0.1")
    assert (level["action"], level["arguments"]) == ("SetLevel", {"Level": 13})
    assert (level["results"], got["results"]) == ({}, {"Level": 13})
    assert (presets["service"], presets["code"]) == ("RenderingControl", 702)
    assert lamp.end() == (0, "")


@pytest.mark.slow
def test_a_refused_subscription_is_printed(begin: Begin) -> None:
    lamp = begin()
    url = lamp.first["event_urls"]["Lamp"]
    host, _, path = url.removeprefix("http://").partition("/")
    with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as connection:
        connection.sendall(f"SUBSCRIBE /{path} HTTP/1.1\r\nHOST: {host}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 412")
    refused = lamp.until("refused")
    assert refused["service"] == "Lamp"
    assert refused["reason"].startswith("127.0.0.1 was answered 412: ")


@pytest.mark.slow
def test_options_stand_above_the_file(begin: Begin) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lamp = begin(f'uda = "1.0"\n{LAMP}', "--udn", "lamp-1", "--port", str(port), "--uda", "2.0")

    assert lamp.first["description_url"] == f"http://127.0.0.1:{port}/description.xml"
    assert lamp.first["udn"] == "uuid:lamp-1"
    with urlopen(lamp.first["description_url"], timeout=PATIENCE) as answer:
        assert "UPnP/2.0" in answer.headers["SERVER"]


# --- files and options that cannot be used ---


def test_each_mistake_of_the_file_has_its_line(propchange: Any, tmp_path: Path) -> None:
    file = tmp_path / "lamp.toml"
    file.write_text(LAMP.replace("100", "300").replace("Lamp:1", "Lamp"))
    ran = propchange("host", str(file))

    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(f"propchange: {file}: services[0].type: 'urn:example-org:service:Lamp'")
    assert second == (
        f"propchange: {file}: services[0].variables[0].maximum: 300 does not fit ui1, "
        "which takes an int from 0 to 255"
    )


def test_thousands_of_mistakes_are_some_lines(propchange: Any, tmp_path: Path) -> None:
    file = tmp_path / "lamp.toml"
    file.write_text('name = "x"\n' + "".join(f"wrong{number} = 1\n" for number in range(1000)))
    lines = propchange("host", str(file)).err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"propchange: {file}: and 980 more"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff", "byte 0 is not UTF-8; save the file as UTF-8"),
        (b"name = ", "it is not TOML: Invalid value (at end of document)"),
        (
            b"#" * 2_000_000,
            "a device file has at most 1,048,576 bytes; give a TOML file that describes a device",
        ),
    ],
    ids=["not UTF-8", "not TOML", "too large"],
)
def test_a_file_that_is_no_device_file_is_refused(
    propchange: Any, tmp_path: Path, data: bytes, problem: str
) -> None:
    file = tmp_path / "lamp.toml"
    file.write_bytes(data)
    ran = propchange("host", str(file))
    assert (ran.status, ran.err) == (2, f"propchange: {file}: {problem}\n")


def test_a_byte_order_mark_begins_a_file(propchange: Any, tmp_path: Path) -> None:
    file = tmp_path / "lamp.toml"
    file.write_bytes(b'\xef\xbb\xbfname = "x"\nudn = 5\n')
    assert propchange("host", str(file)).err == f"propchange: {file}: udn: it is a string, not 5\n"


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_named(propchange: Any, path: str) -> None:
    ran = propchange("host", path)
    assert ran.status == 2
    assert ran.err.startswith(f"propchange: cannot read {path}: ")


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (["--udn", "a b"], 2, "'a b' is not a UDN"),
        (["--interface", "nosuch0"], 1, "there is no interface 'nosuch0'"),
        (["--exclude", "lo", "--interface", "lo"], 2, "lo"),
        (["--port", "70000"], 2, "70000 is not in the range"),
        (["--uda", "3.0"], 2, "'3.0' is not one of '1.0', '1.1', '2.0'"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(
    propchange: Any, options: list[str], status: int, problem: str
) -> None:
    ran = propchange("host", str(RENDERER), *options)
    assert ran.status == status
    assert problem in ran.err


def test_a_port_that_is_taken_is_named(propchange: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = propchange("host", str(RENDERER), "--interface", "127.0.0.1", "--port", str(port))
    assert ran.status == 1
    assert str(port) in ran.err


async def test_warnings_about_announcing_are_lines_on_standard_error() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("propchange.discovery")
    async with Writer(stream) as errors:
        async with _warnings_on(errors):
            logger.warning("not announced on %s", "eth7")
            logger.info("announced on eth0")
        logger.warning("after that")
    assert stream.getvalue() == "propchange: not announced on eth7\n"


# --- input that is hostile or an accident ---


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Kilobytes of the process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


@pytest.mark.slow
def test_a_line_of_ten_megabytes_and_junk_are_one_complaint_each(begin: Begin, watch: Any) -> None:
    lamp = begin()
    before = memory_of(lamp.process)
    lamp.write(b"x" * 10_000_000 + b"\n" + os.urandom(1000).replace(b"\n", b"\xff") + b"\n")
    assert lamp.complaint() == "propchange: line 1: it has more than 1,048,576 bytes"
    assert lamp.complaint().startswith("propchange: line 2: byte ")
    assert memory_of(lamp.process) - before < 8_000
    watching = watch(lamp.first["description_url"], "Lamp")
    lamp.write(b"Level=7\n")
    watching.values_until("Level", 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "number_of_lines"),
    [
        (b"Level=%d\n", 200_000),
        (b"Level=x%d\n", 200_000),
        (b'{"Volume": %d}\n', 20_000),
        (b"Volume[%d]=1\n", 20_000),
    ],
)
def test_a_flood_of_lines_takes_no_memory_and_delays_no_subscriber(
    begin: Begin, watch: Any, line: bytes, number_of_lines: int
) -> None:
    lamp = begin(LAMP, stderr=subprocess.DEVNULL)
    flood = b"".join(line % (number % 100) for number in range(number_of_lines))
    watching = watch(lamp.first["description_url"], "Lamp")
    watching.event()
    before = memory_of(lamp.process)
    writing = threading.Thread(target=lamp.write, args=(flood + b"Level=0\nOn=1\n",))
    writing.start()
    answers = 0
    while writing.is_alive():
        watch_more = watch(lamp.first["description_url"], "RenderingControl")
        watch_more.event()
        watch_more.close()
        answers += 1
    writing.join()
    assert answers > 1
    assert watching.values_until("On", True)["Level"] == 0
    assert memory_of(lamp.process) - before < 30_000


@pytest.mark.slow
def test_a_reader_of_complaints_that_stalls_stops_the_lines_and_not_the_device(
    begin: Begin, watch: Any
) -> None:
    lamp = begin()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            lamp.write(b"x\n" * 1_000_000)

    writing = threading.Thread(target=write)
    writing.start()
    writing.join(1.0)
    assert writing.is_alive()  # nobody reads standard error
    watch(lamp.first["description_url"], "Lamp").event()
    lamp.process.kill()
    writing.join()


# --- at a terminal ---


OWN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def read_terminal(descriptor: int, until: str) -> str:
    """What the terminal shows until ``until`` is in it."""
    shown = ""
    end = time.monotonic() + PATIENCE
    while until not in shown:
        assert time.monotonic() < end, shown
        if select.select([descriptor], [], [], 0.1)[0]:
            shown += os.read(descriptor, 65_536).decode()
    return shown


@pytest.fixture
def terminal(start: Any) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Starts a command at a terminal of its own, whose other end is the second result."""
    with contextlib.ExitStack() as opened:

        def on_terminal(*command: str) -> tuple[subprocess.Popen[bytes], int]:
            here, there = pty.openpty()
            opened.callback(os.close, here)
            process = subprocess.Popen(
                [sys.executable, "-c", OWN_TERMINAL, *command],
                stdin=there,
                stdout=there,
                stderr=there,
                env=os.environ | {"TERM": "dumb"},
            )
            os.close(there)
            opened.callback(process.wait, PATIENCE)
            opened.callback(process.kill)
            return process, here

        yield on_terminal


def command() -> str:
    return str(Path(sys.executable).with_name("propchange"))


@pytest.mark.slow
def test_at_a_terminal_the_lines_are_for_people(terminal: Any) -> None:
    process, here = terminal(command(), "host", str(RENDERER), "--interface", "127.0.0.1")
    shown = read_terminal(here, "status")
    assert "such as RenderingControl.PresetNameList=FactoryDefaults" in shown
    assert "Kitchen radio" in shown
    assert "/description.xml" in shown
    assert re.search(r"Amplifier +http://127\.0\.0\.1:\d+/Amplifier/event", shown)
    os.write(here, b"Volume=99\n")
    assert "line 1: Volume: 99 is not allowed" in read_terminal(here, "steps of 1")
    os.write(here, b"\x03")
    assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_device_in_the_background_of_a_terminal_is_not_stopped(
    terminal: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = (
        f"set -m; {command()} host {RENDERER} --interface 127.0.0.1 >{out} & "
        "echo pid $!.; read line; echo over"
    )
    process, here = terminal("/bin/bash", "-c", script)
    pid = int(re.findall(r"pid (\d+)\.", read_terminal(here, "."))[0])
    try:
        while not (out.exists() and out.read_text().endswith("\n")):
            time.sleep(0.05)
            assert process.poll() is None
        time.sleep(0.2)  # the read of the terminal has begun
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state != "T"
        first = json.loads(out.read_text())
        with urlopen(first["description_url"], timeout=PATIENCE) as answer:
            assert answer.status == 200
    finally:
        os.kill(pid, signal.SIGTERM)
