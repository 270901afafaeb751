"""The programs in docs/multicast.md run, and print what they say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from propchange import Device, host
from tests.asyncio.announcing import Announcer
from tests.multicast import own_port

__all__ = ["own_port"]

TEXT = (Path(__file__).parent.parent / "docs" / "multicast.md").read_text("utf-8")
DECLARATION, RECEIVING, BOTH_ENDS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(program: str) -> tuple[dict[str, object], str]:
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/multicast.md", "exec"), names)
    return names, printed.getvalue()


def test_the_declaration_is_one() -> None:
    names, _ = run(DECLARATION + "\nDOOR = Door()\n")
    scpd = eval("DOOR.scpd().decode()", names)
    assert scpd.count('multicast="yes"') == 2


def test_the_program_prints_what_its_comment_says() -> None:
    _, printed = run(BOTH_ENDS)
    assert printed.strip() == BOTH_ENDS.rstrip().rpartition("  # ")[2]


@pytest.mark.slow
@pytest.mark.usefixtures("own_port")
def test_a_program_prints_what_a_device_on_the_network_sends() -> None:
    """The device announces itself by SSDP as any other does, on loopback."""
    names, _ = run(DECLARATION)
    program = RECEIVING.replace("asyncio.run(main())\n", "")
    assert program != RECEIVING
    receiving, _ = run(program)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        asyncio.run(receive(names["Door"], receiving["main"]))
    assert printed.getvalue() == "Porch upnp:/info {'Bell': 1}\n"


async def receive(door_type: Any, main: Any) -> None:
    """Run ``main`` while a device rings."""
    door = door_type()
    device = Device("Porch", services=[door], udn=f"uuid:{uuid.uuid4()}")
    async with host(device, interface="127.0.0.1") as hosted:
        protocol = hosted._opened().publication.protocol
        boot_id = protocol._multicast._boot_id()
        announcer = Announcer(device, hosted.description_url, boot_id=boot_id)
        async with asyncio.timeout(20), announcer:
            program = asyncio.ensure_future(main())
            await asyncio.sleep(0.5)
            announcer.alive()
            door.bell = 1
            await program
