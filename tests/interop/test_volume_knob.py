"""examples/volume_knob.py and `propchange call`, with renderers of other makes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lab.programs import PATIENCE

EXAMPLE = Path(__file__).parents[2] / "examples" / "volume_knob.py"
PROPCHANGE = Path(sys.executable).with_name("propchange")


@pytest.fixture(params=["gmediarender", "rygel"])
def renderer(request: pytest.FixtureRequest):
    return request.getfixturevalue(request.param)


def call(network, *words: str) -> tuple[dict[str, Any], int]:
    command = [*network.prefix, str(PROPCHANGE), "call", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return json.loads(ran.stdout), ran.returncode


VOLUME = ("RenderingControl", "GetVolume", "InstanceID=0", "Channel=Master")


def test_the_knob_finds_a_renderer_by_its_udn_and_sets_its_volume(network, renderer):
    url = renderer.description_url
    asked, status = call(network, url, *VOLUME)
    assert status == 0
    with subprocess.Popen(
        [*network.prefix, sys.executable, str(EXAMPLE), asked["udn"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as knob:
        patience = threading.Timer(PATIENCE, knob.kill)
        patience.start()
        try:
            assert knob.stdout.readline().startswith("volume ")
            for typed in (23, 31):
                print(typed, file=knob.stdin, flush=True)
                assert knob.stdout.readline() == f"volume {typed}\n"
                assert call(network, url, *VOLUME)[0]["arguments"] == {"CurrentVolume": typed}
            words = ("InstanceID=0", "Channel=Master", "DesiredVolume=40")
            answer, status = call(network, url, "RenderingControl", "SetVolume", *words)
            assert (answer["arguments"], status) == ({}, 0)
            assert knob.stdout.readline() == "volume 40\n"
        finally:
            patience.cancel()
            knob.terminate()  # SIGINT is ignored where the tests run in the background
    assert knob.returncode == -signal.SIGTERM
