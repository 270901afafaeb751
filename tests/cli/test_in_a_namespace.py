"""The command on a machine without a network, and on one with a link of its own. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="a network namespace needs root and unshare",
    ),
]

PATIENCE = 20.0
COMMAND = str(Path(sys.executable).with_name("propchange"))

LINK = (
    "ip link set lo up; ip link add d0 type veth peer name d1; ip link set d1 up; "
    "ip addr add 10.9.0.1/24 dev d0; ip link set d0 up; ip route add 224.0.0.0/4 dev d0; "
)

BELL = """
import asyncio
from propchange import Device, Service, StateVariable, host

class Bell(Service, type="urn:example-org:service:Bell:1"):
    rings = StateVariable("ui4", multicast=True, level="upnp:/info")

async def main():
    bell = Bell()
    async with host(Device("Door", services=[bell]), port=8123, interface="10.9.0.1", uda="2.0"):
        print("hosted", flush=True)
        while True:
            await asyncio.sleep(0.2)
            bell.rings += 1

asyncio.run(main())
"""


def without_network(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "-n", COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_without_a_network_discover_says_so_at_once() -> None:
    """Not after the seconds for which it would listen."""
    begun = time.monotonic()
    ran = without_network("discover", "--seconds", "60")
    assert time.monotonic() - begun < 15
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("propchange: no device can be found: no interface of this machine")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--all"], ["uuid:0b51d1b4-0000-4000-8000-00000000000f"]])
def test_without_a_network_watch_says_so_and_waits_for_one(words: list[str]) -> None:
    ran = without_network("watch", *words, "--seconds", "1")
    waiting = json.loads(ran.stdout.splitlines()[0])
    assert waiting["status"] == "waiting"
    assert waiting["reason"].startswith("no device can be found: no interface of this machine")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A device with a multicast variable, alone on a network with this shell."""
    (tmp_path / "bell.py").write_text(BELL)
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", f"{LINK} exec {sys.executable} {tmp_path / 'bell.py'}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hosted\n"
        yield process
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("words", [["--all"], ["http://10.9.0.1:8123/description.xml"]])
def test_multicast_events_are_printed_beside_the_others(
    door: subprocess.Popen[str], words: list[str]
) -> None:
    inside = ["nsenter", f"--net=/proc/{door.pid}/ns/net"]
    command = [*inside, COMMAND, "watch", "--multicast", *words]
    seen: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        for line in watch.stdout:
            told: dict[str, Any] = json.loads(line)
            seen.add(told["kind"])
            if told["kind"] == "multicast":
                assert (told["device"], told["service"]) == ("Door", "Bell")
                assert (told["level"], [*told["changes"]]) == ("upnp:/info", ["Rings"])
            if {"event", "multicast"} <= seen:
                break
        watch.send_signal(signal.SIGINT)
        watch.stdout.read()
        assert watch.wait(PATIENCE) == 0
