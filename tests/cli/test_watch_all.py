"""``propchange watch --all`` against devices that come, go, refuse, are deaf, or do not exist.

The devices announce themselves on loopback, where other tests announce theirs at the same time. So
each test searches for a type of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from propchange import Device, HostedDevice, Service, StateVariable, host
from propchange.core.wire.messages import Request
from tests.asyncio.announcing import Announcer
from tests.cli.conftest import PATIENCE, Thermometer
from tests.cli.test_command import read_terminal

WORDS = ("watch", "--all", "--interface", "127.0.0.1")


class Switch(Service, type="urn:example-org:service:Switch:1"):
    on = StateVariable("boolean", initial=False)


class Silent(Service, type="urn:example-org:service:Silent:1"):
    level = StateVariable("ui1", evented=False)


def new_type() -> str:
    return f"urn:example-org:device:Bench{uuid.uuid4().hex}:1"


def new_device(type: str, *services: Service, **more: Any) -> Device:
    return Device("Bench", services=list(services), type=type, udn=f"uuid:{uuid.uuid4()}", **more)


@asynccontextmanager
async def announced(
    device: Device, **options: Any
) -> AsyncIterator[tuple[HostedDevice, Announcer]]:
    """``device``, hosted and announced; in the end it says goodbye."""
    async with (
        host(device, interface="127.0.0.1", **options) as hosted,
        Announcer(device, hosted.description_url) as announcer,
    ):
        announcer.alive()
        try:
            yield hosted, announcer
        finally:
            announcer.byebye()


class Lines:
    """The JSON lines of a command in a process of its own, which a thread reads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.all: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.all.append(json.loads(line))
                self._more.notify_all()

    def wait_for(self, **members: Any) -> dict[str, Any]:
        """The first line that is left with these members. It is taken out."""

        def fitting() -> dict[str, Any] | None:
            return next((x for x in self.all if members.items() <= x.items()), None)

        with self._more:
            assert self._more.wait_for(fitting, PATIENCE), f"no {members} in {self.all}"
            found = fitting()
            assert found is not None
            self.all.remove(found)
            return found

    def end(self) -> tuple[int, str]:
        """End the command by Ctrl-C; its exit status, and what it wrote to standard error."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()


@pytest.fixture
def watching(start: Any) -> Iterator[Callable[..., Lines]]:
    running: list[Lines] = []

    def begin(*words: str) -> Lines:
        running.append(Lines(start(*WORDS, *words)))
        return running[-1]

    yield begin
    for each in running:
        each.process.kill()
        each._thread.join(PATIENCE)


@pytest.fixture
def run(loop: Any) -> Iterator[Callable[[Any], Any]]:
    """Enter a context in the thread of the devices; it is left at the end of the test."""
    stack = AsyncExitStack()
    yield lambda context: loop.run(stack.enter_async_context(context))
    loop.run(stack.aclose())


def of(out: str, **members: Any) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, out.splitlines()) if members.items() <= line.items()]


# --- devices that work ---


@pytest.mark.slow
def test_every_evented_service_of_every_device_is_watched_embedded_ones_too(
    run: Any, propchange: Any
) -> None:
    type = new_type()
    inner = new_device("urn:example-org:device:Inner:1", Switch())
    first = new_device(type, Thermometer(), Silent(), devices=[inner])
    second = new_device(type, Switch())
    for device in (first, second):
        run(announced(device))
    ran = propchange(*WORDS, "--type", type, "--count", "3")

    assert (ran.status, ran.err) == (0, "")
    events = {(line["udn"], line["service"]) for line in of(ran.out, kind="event")}
    assert events == {
        (first.udn, "Thermometer"),
        (inner.udn, "Switch"),
        (second.udn, "Switch"),
    }
    appeared = of(ran.out, kind="appeared")
    assert {line["udn"]: line["evented"] for line in appeared} == {
        first.udn: ["Thermometer", "Switch"],
        second.udn: ["Switch"],
    }


@pytest.mark.slow
def test_two_devices_of_one_name_are_told_apart(run: Any, propchange: Any) -> None:
    type = new_type()
    devices = [new_device(type, Switch()) for _ in range(2)]
    for device in devices:
        run(announced(device))
    ran = propchange(*WORDS, "--type", type, "--count", "2")

    events = of(ran.out, kind="event")
    assert {line["udn"] for line in events} == {device.udn for device in devices}
    assert len({line["device"] for line in events}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("short", [True, False])
def test_a_service_type_chooses_the_services_of_that_type_alone(
    run: Any, propchange: Any, short: bool
) -> None:
    name = f"Switch{uuid.uuid4().hex}"
    own = Service(
        type=f"urn:example-org:service:{name}:2",
        variables=[StateVariable("boolean", name="On", initial=False)],
    )
    run(announced(new_device(new_type(), Thermometer(), devices=[new_device(new_type(), own)])))
    wanted = f"{name}:1" if short else f"urn:example-org:service:{name}:1"
    ran = propchange(*WORDS, "--type", wanted, "--seconds", "1.5")

    assert (ran.status, ran.err) == (0, "")
    assert {line["service"] for line in of(ran.out, kind="event")} == {name}


@pytest.mark.slow
def test_services_are_chosen_by_name_in_all_devices(run: Any, propchange: Any) -> None:
    type = new_type()
    run(announced(new_device(type, Thermometer())))
    both = new_device(type, Thermometer(), Switch())
    run(announced(both))
    ran = propchange(*WORDS, "--type", type, "--service", "Switch", "--seconds", "1.5")

    (event,) = of(ran.out, kind="event")
    assert (event["udn"], event["service"]) == (both.udn, "Switch")


@pytest.mark.slow
def test_a_device_comes_goes_and_returns_elsewhere_while_the_others_are_watched(
    run: Any, loop: Any, watching: Any
) -> None:
    type = new_type()
    stays, switch = new_device(type, Thermometer()), Switch()
    run(announced(stays))
    lines = watching("--type", type)
    lines.wait_for(kind="event", udn=stays.udn)

    leaves = new_device(type, Switch())
    left = AsyncExitStack()
    loop.run(left.enter_async_context(announced(leaves)))
    lines.wait_for(kind="appeared", udn=leaves.udn)
    lines.wait_for(kind="event", udn=leaves.udn, initial=True)
    loop.run(left.aclose())
    gone = lines.wait_for(kind="gone", udn=leaves.udn)
    assert gone["friendly_name"] == "Bench"

    back = new_device(type, switch)
    back.udn = leaves.udn
    run(announced(back))
    lines.wait_for(kind="appeared", udn=leaves.udn)
    lines.wait_for(kind="status", status="resubscribed", udn=leaves.udn)
    event = lines.wait_for(kind="event", udn=leaves.udn)
    assert event["initial"]
    assert not [line for line in lines.all if line["udn"] == stays.udn and line["kind"] == "gone"]
    assert lines.end() == (0, "")


@pytest.mark.slow
def test_a_device_that_only_embeds_the_type_is_seen_to_go(loop: Any, watching: Any) -> None:
    type = new_type()
    root = new_device(new_type(), Thermometer(), devices=[new_device(type, Switch())])
    left = AsyncExitStack()
    loop.run(left.enter_async_context(announced(root)))
    lines = watching("--type", type)
    assert lines.wait_for(kind="appeared")["udn"] == root.udn
    lines.wait_for(kind="event", service="Switch")
    loop.run(left.aclose())

    assert lines.wait_for(kind="gone")["udn"] == root.udn
    assert lines.end() == (0, "")


@pytest.mark.slow
def test_a_service_that_a_device_has_after_its_restart_is_watched_too(
    run: Any, loop: Any, watching: Any
) -> None:
    type = new_type()
    before = new_device(type, Switch())
    old = AsyncExitStack()
    loop.run(old.enter_async_context(announced(before)))
    lines = watching("--type", type)
    lines.wait_for(kind="event", udn=before.udn)
    loop.run(old.aclose())
    lines.wait_for(kind="gone", udn=before.udn)

    after = new_device(type, Switch(), Thermometer())
    after.udn = before.udn
    run(announced(after))
    lines.wait_for(kind="event", udn=before.udn, service="Thermometer")
    lines.wait_for(kind="event", udn=before.udn, service="Switch")
    assert lines.end() == (0, "")


@pytest.mark.slow
def test_ctrl_c_unsubscribes_everything(run: Any, watching: Any) -> None:
    type, requests = new_type(), []

    def tap(passing: object) -> None:
        if isinstance(passing, Request):
            requests.append(passing.method)

    devices = [new_device(type, Switch(), Thermometer()) for _ in range(2)]
    for device in devices:
        run(announced(device, tap=tap))
    lines = watching("--type", type)
    for device in devices:
        for name in ("Switch", "Thermometer"):
            lines.wait_for(kind="event", udn=device.udn, service=name)

    assert lines.end() == (0, "")
    assert requests.count("SUBSCRIBE") == requests.count("UNSUBSCRIBE") == 4


@pytest.mark.slow
def test_the_end_comes_after_so_many_seconds_or_events_and_none_found_is_status_1(
    run: Any, propchange: Any
) -> None:
    type = new_type()
    ran = propchange(*WORDS, "--type", type, "--seconds", "0.3")
    assert (ran.status, ran.out) == (1, "")
    assert f"no device with the type {type} has answered within 0.3 s" in ran.err

    run(announced(new_device(type, Silent())))
    ran = propchange(*WORDS, "--type", type, "--seconds", "1")
    assert (ran.status, ran.err) == (0, "")
    (appeared,) = map(json.loads, ran.out.splitlines())
    assert (appeared["kind"], appeared["evented"]) == ("appeared", [])


# --- devices that do not ---


class RawDevice:
    """A device that answers by ``answers``: request line without the version -> the answer. Every
    other request is answered with 404. ``requests`` are the request lines."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def serving(
        self, udn: str = "", type: str = "", services: int = 1
    ) -> AsyncIterator[RawDevice]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/d"
        self.answers["GET /d"] = ok(description(udn, type, services))
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # a diagnosis only connects
            await self._answer((await reader.readuntil(b"\r\n\r\n")).decode(), writer)
        writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        line = head.partition(" HTTP/")[0]
        self.requests.append(line)
        missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        writer.write(self.answers.get(line, missing))
        await writer.drain()


def ok(body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def description(udn: str, type: str, services: int) -> str:
    listed = "".join(
        f"<service><serviceType>urn:x-org:service:S{n}:1</serviceType><serviceId>urn:x:serviceId:S{n}"
        f"</serviceId><eventSubURL>/e{n}</eventSubURL></service>"
        for n in range(services)
    )
    return (
        '<root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>Raw</friendlyName>'
        f"<deviceType>{type}</deviceType><UDN>{udn}</UDN><serviceList>{listed}</serviceList>"
        "</device></root>"
    )


@asynccontextmanager
async def raw(type: str, answer: str = "", **more: Any) -> AsyncIterator[RawDevice]:
    """A RawDevice that announces itself. ``answer`` is that to SUBSCRIBE."""
    device = new_device(type)
    raw = RawDevice()
    if answer:
        raw.answers["SUBSCRIBE /e0"] = f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw.serving(str(device.udn), type, **more), Announcer(device, raw.url) as announcer:
        announcer.alive()
        yield raw


@pytest.mark.slow
def test_devices_that_refuse_are_deaf_or_have_no_description_are_said_and_the_others_go_on(
    run: Any, watching: Any
) -> None:
    type = new_type()
    run(raw(type, "503 Busy"))
    run(raw(type, "200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-1800"))
    broken = run(raw(type))
    broken.answers["GET /d"] = ok("<html>")
    works = new_device(type, Switch())
    run(announced(works))
    lines = watching("--type", type)

    refused = lines.wait_for(kind="status", status="refused")
    assert "503" in refused["reason"]
    problem = lines.wait_for(kind="appeared", friendly_name=None)
    assert problem["description_url"] == broken.url
    assert problem["problem"]
    deaf = lines.wait_for(kind="status", status="deaf")
    assert "granted, but no event from 127.0.0.1" in deaf["reason"]
    lines.wait_for(kind="event", udn=works.udn)
    assert lines.end() == (0, "")


@pytest.mark.slow
def test_a_service_that_refuses_at_first_is_watched_in_the_end(run: Any, watching: Any) -> None:
    type = new_type()
    device = run(raw(type, "503 Busy"))
    lines = watching("--type", type)
    lines.wait_for(kind="status", status="refused")
    while device.requests.count("SUBSCRIBE /e0") < 3:
        time.sleep(0.01)
    assert [line for line in lines.all if line["kind"] == "status"] == []  # it is said once
    device.answers["SUBSCRIBE /e0"] = ok("", "SID: uuid:1\r\nTIMEOUT: Second-1800\r\n")

    lines.wait_for(kind="status", status="granted")
    assert lines.end() == (0, "")


@pytest.mark.slow
def test_a_device_that_announces_itself_before_it_answers_is_watched_in_the_end(
    run: Any, watching: Any
) -> None:
    type = new_type()
    device = run(raw(type, "200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-1800"))
    described = device.answers.pop("GET /d")
    lines = watching("--type", type)
    lines.wait_for(kind="appeared", friendly_name=None)
    device.answers["GET /d"] = described

    lines.wait_for(kind="appeared", friendly_name="Raw")
    lines.wait_for(kind="status", status="granted")


@pytest.mark.slow
def test_forged_announcements_cost_a_read_each_and_no_more_than_the_bound_of_a_host(
    run: Any, loop: Any, propchange: Any
) -> None:
    type, victim = new_type(), run(RawDevice().serving())
    forged = [new_device(type) for _ in range(100)]

    async def announce() -> None:
        async with AsyncExitStack() as stack:
            for device in forged:
                announcer = await stack.enter_async_context(Announcer(device, victim.url))
                announcer.silent = True
                for _ in range(3):
                    announcer.alive(times=2)
                    await asyncio.sleep(0.005)

    announcing = loop.start(announce())
    propchange(*WORDS, "--type", type, "--seconds", "2.5")
    announcing.result(PATIENCE)
    # The bucket: 64 at once, and one a second.
    assert 20 < len(victim.requests) <= 64 + 3
    assert set(victim.requests) == {"GET /d"}


@pytest.mark.slow
def test_a_device_with_thousands_of_services_has_a_part_of_the_subscriptions(
    run: Any, propchange: Any
) -> None:
    type = new_type()
    device = run(raw(type, services=1000))
    ran = propchange(*WORDS, "--type", type, "--seconds", "1.5")

    assert len(set(device.requests)) < 2 * 128 + 2
    (problem,) = of(ran.out, kind="problem")
    assert "872 of its services are not watched" in problem["problem"]


@pytest.mark.slow
def test_that_nothing_was_found_is_said_before_the_end(
    propchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propchange.cli.watch._NOTHING_SECONDS", 0.2)
    ran = propchange(*WORDS, "--type", new_type(), "--seconds", "0.6")

    (waiting,) = map(json.loads, ran.out.splitlines())
    assert (waiting["status"], waiting["device"]) == ("waiting", None)
    assert "has answered within 0.2 s (searched from 127.0.0.1)" in waiting["reason"]
    assert ran.status == 1


# --- the command line ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--all", "http://127.0.0.1/"], "give no URL"),
        (["--all", "--diagnose"], "--diagnose needs a URL"),
        (["--all", "--no-wait"], "--no-wait does not work"),
        (["--type", "X", "http://127.0.0.1/"], "--type works with --all only"),
        (["http://127.0.0.1/", "--diagnose", "--seconds", "3"], "--seconds does not work"),
        ([], "--all for all devices"),
        (["--all", "--seconds", "0"], "0"),
        (["--all", "--type", ""], "--type"),
    ],
)
def test_what_does_not_go_together_is_said(propchange: Any, words: list[str], said: str) -> None:
    ran = propchange("watch", *words)

    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


# --- on a terminal ---

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def rest_of(master: int) -> str:
    """What the terminal has got and nobody has read."""
    text = b""
    while select.select([master], [], [], 0.0)[0]:
        text += os.read(master, 65_536)
    return text.decode()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    master, slave = pty.openpty()
    resize(slave, 80, 24)
    yield master, slave
    os.close(master)
    os.close(slave)


@pytest.mark.slow
def test_a_terminal_has_a_table_and_its_last_state_stays(
    run: Any, loop: Any, start: Any, terminal: Any
) -> None:
    type, switch, requests = new_type(), Switch(), []
    master, slave = terminal
    device = new_device(type, switch)
    run(announced(device, tap=requests.append))
    watch = start(*WORDS, "--type", type, stdout=slave)
    read_terminal(master, "active")

    async def turn_on() -> None:
        switch.on = True

    loop.run(turn_on())
    read_terminal(master, "=true")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(PATIENCE) == 0
    before, _, last = rest_of(master).rpartition("\x1b[?1049l")
    lines = _CODES.sub("", last).split("\r\n")
    assert lines[0] == "1 device, 1 service, 2 events, 0.2/s"
    assert lines[1].split() == ["device", "service", "status", "events", "rate", "last", "change"]
    assert lines[2].split()[:5] == ["Bench", "Switch", "active", "2", "0.2"]
    assert "\x1b[?25h" in before  # the cursor is there again
    methods = [each.method for each in requests if isinstance(each, Request)]
    assert methods.count("UNSUBSCRIBE") == 1


def resize(slave: int, width: int, height: int) -> None:
    import fcntl
    import termios

    size = struct.pack("HHHH", height, width, 0, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)


@pytest.mark.slow
def test_the_table_fits_a_terminal_whose_size_changes(run: Any, start: Any, terminal: Any) -> None:
    type = new_type()
    master, slave = terminal
    run(announced(new_device(type, *(Switch(id=f"urn:x:serviceId:{n}") for n in range(20)))))
    start(*WORDS, "--type", type, stdout=slave)
    read_terminal(master, "active")
    for width, height in ((40, 6), (100, 12)):
        resize(slave, width, height)
        bottom = f"and {20 - (height - 3)} more: 20"[:-2]
        shown = read_terminal(master, bottom)
        shown += read_terminal(master, "\x1b[J") if "\x1b[J" not in shown else ""
        frame = _CODES.sub("", shown.rpartition("\x1b[H")[2]).split("\r\n")
        assert len(frame) == height
        assert max(map(len, frame)) <= width


@pytest.mark.slow
def test_ctrl_z_gives_the_terminal_back_to_the_shell(run: Any, start: Any, terminal: Any) -> None:
    type = new_type()
    master, slave = terminal
    run(announced(new_device(type, Switch())))
    watch = start(*WORDS, "--type", type, stdout=slave)
    read_terminal(master, "active")

    watch.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(watch.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert rest_of(master).endswith("\x1b[?25h\x1b[?1049l")
    watch.send_signal(signal.SIGCONT)
    read_terminal(master, "\x1b[?1049h")
    read_terminal(master, "active")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "term"), [((), "dumb"), (("--full",), "xterm"), (("--raw",), "xterm")]
)
def test_lines_instead_of_a_table(
    run: Any, start: Any, terminal: Any, words: tuple[str, ...], term: str
) -> None:
    type = new_type()
    master, slave = terminal
    run(announced(new_device(type, Switch())))
    watch = start(*WORDS, "--type", type, *words, stdout=slave, env=os.environ | {"TERM": term})

    shown = read_terminal(master, "initial")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(PATIENCE) == 0
    assert "\x1b[?1049h" not in shown
    assert "granted until" in _CODES.sub("", shown)


@pytest.mark.slow
def test_a_table_without_colours_where_none_are_wanted(run: Any, start: Any, terminal: Any) -> None:
    type = new_type()
    master, slave = terminal
    run(announced(new_device(type, Switch())))
    colourless = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
    watch = start(*WORDS, "--type", type, "--count", "1", stdout=slave, env=colourless)
    shown = read_terminal(master, "\x1b[?1049h")
    assert watch.wait(PATIENCE) == 0
    shown += rest_of(master)
    assert "=false" in shown
    assert not re.search(r"\x1b\[3[0-9]m", shown)
