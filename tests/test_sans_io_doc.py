"""The program in docs/sans-io.md runs against a device of ours, and the names on the page exist."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from propchange import ControlPoint, Device, Service, StateVariable, core, host
from propchange.driver.runtime import Runtime
from tests.development_mode import IN_DEVELOPMENT

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "sans-io.md").read_text("utf-8")
PROGRAM, DEVICE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


@pytest.mark.parametrize(
    ("program", "most"), [(PROGRAM, 75), (DEVICE, 90)], ids=["control point", "device"]
)
def test_the_program_is_short(program: str, most: int) -> None:
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) <= most


@contextlib.asynccontextmanager
async def device(tmp_path: Path) -> AsyncIterator[str]:
    """The device of the page; gives its event URL."""
    path = tmp_path / "device.py"
    path.write_text(DEVICE)
    program = await asyncio.create_subprocess_exec(
        *(*IN_DEVELOPMENT, "-W", "error", str(path), "127.0.0.1"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        yield (await program.stdout.readline()).decode().strip()
        assert program.returncode is None
    finally:
        program.kill()
        await program.communicate()


async def test_the_device_grants_sends_its_state_and_each_change(tmp_path: Path) -> None:
    async with (
        device(tmp_path) as url,
        ControlPoint(interface="127.0.0.1") as control_point,
        control_point.subscribe_url(url) as subscription,
    ):
        events = [await asyncio.wait_for(anext(subscription), 20) for _ in range(3)]
        assert [event.seq for event in events] == [0, 1, 2]
        assert len({event.changes["Time"] for event in events}) == 3


async def test_subscribers_that_do_not_answer_keep_no_event_from_another(tmp_path: Path) -> None:
    """As many as the device has senders, less one: each of their events waits for its limit."""
    accepted: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    callback = silent.sockets[0].getsockname()[1]
    async with silent, device(tmp_path) as url:
        place = urlsplit(url)
        for number in range(7):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(
                f"SUBSCRIBE {place.path} HTTP/1.1\r\nHOST: {place.netloc}\r\n"
                f"CALLBACK: <http://127.0.0.1:{callback}/{number}>\r\nNT: upnp:event\r\n"
                "TIMEOUT: Second-300\r\n\r\n".encode()
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()
        async with (
            ControlPoint(interface="127.0.0.1") as control_point,
            control_point.subscribe_url(url) as subscription,
        ):
            events = [await asyncio.wait_for(anext(subscription), 20) for _ in range(3)]
            assert [event.seq for event in events] == [0, 1, 2]
            assert not any(event.merged for event in events)
    for writer in accepted:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    assert accepted


async def test_the_program_prints_events_and_unsubscribes(tmp_path: Path) -> None:
    path = tmp_path / "watch.py"
    path.write_text(PROGRAM)
    thermometer = Thermometer()
    async with host(Device("Desk", services=[thermometer]), interface="127.0.0.1") as hosted:
        url = hosted.description_url.replace("/description.xml", "/Thermometer/event")
        arguments = ("-W", "error", str(path), url)
        program = await asyncio.create_subprocess_exec(
            *IN_DEVELOPMENT, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert program.stdout is not None
        lines = [await program.stdout.readline() for _ in range(2)]
        assert lines == [b"active events arrive\n", b"0 {'Temperature': '20.0'}\n"]
        thermometer.temperature = 20.5
        assert await program.stdout.readline() == b"1 {'Temperature': '20.5'}\n"
        program.send_signal(signal.SIGINT)
        assert await program.wait() == 0
        assert not hosted.subscriptions


def test_every_method_that_the_page_names_is_there() -> None:
    subscriber, publisher = re.split(r"### A device", PAGE.partition("## The loop")[2])
    for text, protocol in (
        (subscriber.partition("### A control point")[2], core.SubscriberProtocol),
        (publisher.partition("### Messages")[0], core.PublisherProtocol),
    ):
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
        named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
        assert len(named) > 8
        assert not [name for name in named if not hasattr(protocol, name)]


def test_every_member_of_a_runtime_is_named() -> None:
    members = {name for name in (*vars(Runtime), *Runtime.__annotations__) if name[0] != "_"}
    sentence = PAGE.partition("with the methods of `Runtime`")[2].partition("The class calls")[0]
    assert set(re.findall(r"`([a-z_]+)`", sentence)) == members
