"""The player class of async-upnp-client controls the simulated renderers of the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

RENDERER = Path(__file__).parents[2] / "examples" / "renderer.toml"


@pytest.fixture
def control(start, network, peers_folder):
    """``control(url)`` starts the player on the renderer at ``url``: the program."""
    pytest.importorskip("async_upnp_client")

    def control(url):
        program = peers_folder / "control_player.py"
        return start(*network.prefix, sys.executable, program, network.address, url)

    return control


def test_the_renderer_of_a_file_is_controlled_and_prints_each_call(
    start, network, propchange_command, control
):
    renderer = start(*network.prefix, propchange_command, "host", RENDERER)
    player = control(renderer.read("description_url")["description_url"])

    def read(name):
        told = player.read("step")
        assert told["step"] == name
        return told

    begun = read("begin")
    assert (begun["state"], begun["muted"]) == ("STOPPED", False)
    assert begun["volume"] == pytest.approx(10 / 31)
    assert read("volume")["volume"] == 1.0
    assert read("mute")["muted"] is True
    assert read("load")["uri"].endswith("/a.mp3")
    assert [read(name)["state"] for name in ("play", "pause")] == ["PLAYING", "PAUSED_PLAYBACK"]
    assert player.read("fault")["fault"] == 711
    assert read("stop")["state"] == "STOPPED"
    assert read("preset")["volume"] == pytest.approx(10 / 31)
    assert read("end")

    calls = []
    while "SelectPreset" not in [call["action"] for call in calls]:
        line = renderer.read("time")
        if line["kind"] == "called":
            calls.append(line)
    volume = next(call for call in calls if call["action"] == "SetVolume")
    wanted = {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 31}
    assert (volume["arguments"], volume["results"]) == (wanted, {})
    assert [call["code"] for call in calls if call["action"] == "Next"] == [711]


def test_the_renderer_of_the_demo_obeys(start, network, propchange_command, control):
    demo = start(*network.prefix, propchange_command, "demo", "--lan")
    while (hosted := demo.read("status"))["device"] != "Media renderer":
        pass
    player = control(hosted["reason"])
    steps = []
    while (told := player.read("step"))["step"] != "end":
        steps.append(told["step"])
    assert steps == ["begin", "volume", "mute", "load", "play", "pause", "stop", "preset"]
