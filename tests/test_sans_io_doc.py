"""The program in docs/sans-io.md runs against a device of ours, and the names on the page exist."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest

from propchange import Device, Service, StateVariable, core, host
from propchange.driver.runtime import Runtime
from tests.development_mode import IN_DEVELOPMENT

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "sans-io.md").read_text("utf-8")
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


def test_the_program_is_short() -> None:
    lines = [line for line in PROGRAM.splitlines() if line.strip()]
    assert len(lines) <= 70


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
