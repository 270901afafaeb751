from __future__ import annotations

import json
import random
import signal
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.cli.demo import Player, Sound, Thermometer
from propchange.driver.machine import Interfaces

pytestmark = pytest.mark.slow

PATIENCE = 15.0


def test_the_demo_shows_the_events_of_both_devices_in_order(start: Any) -> None:
    demo = start("demo")
    hosted: dict[str, str] = {}
    seqs: dict[str, list[int]] = {"Thermometer": [], "AVTransport": [], "RenderingControl": []}
    while any(len(seen) < 3 for seen in seqs.values()):
        told = json.loads(demo.stdout.readline())
        if told.get("status") == "hosted":
            hosted[told["device"]] = told["reason"]
        if "changes" in told and told["service"] in seqs:
            seqs[told["service"]].append(told["seq"])
    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=PATIENCE)

    assert (demo.returncode, err) == (0, "")
    assert all(seen == list(range(len(seen))) for seen in seqs.values())
    assert hosted.keys() == {"Thermometer", "Media renderer"}
    assert all(url.startswith("http://127.0.0.1:") for url in hosted.values())


def test_the_renderer_is_one_that_every_control_point_knows(start: Any, propchange: Any) -> None:
    """A MediaRenderer with the three services of the standard and their required actions."""
    demo = start("demo")
    hosted: dict[str, str] = {}
    while "Media renderer" not in hosted:
        told = json.loads(demo.stdout.readline())
        if told.get("status") == "hosted":
            hosted[told["device"]] = told["reason"]
    ran = propchange("call", hosted["Media renderer"])
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=PATIENCE)

    actions = {
        told["service_type"]: set(told["actions"]) for told in map(json.loads, ran.out.splitlines())
    }
    standard = "urn:schemas-upnp-org:service:{}:1".format
    required = {
        standard("AVTransport"): {"SetAVTransportURI", "GetTransportInfo", "Play", "Stop", "Seek"},
        standard("RenderingControl"): {"ListPresets", "SelectPreset", "GetVolume", "SetVolume"},
        standard("ConnectionManager"): {"GetProtocolInfo", "GetCurrentConnectionIDs"},
    }
    assert actions.keys() == required.keys()
    for service, needed in required.items():
        assert needed <= actions[service]


def test_the_demo_ends_after_the_seconds_that_it_was_given(propchange: Any) -> None:
    begun = time.monotonic()
    ran = propchange("demo", "--seconds", "0.5")

    assert (ran.status, ran.err) == (0, "")
    assert time.monotonic() - begun > 0.5
    assert '"initial": true' in ran.out


def test_with_lan_the_demo_is_hosted_at_the_address_that_others_reach(
    propchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interfaces, "default_address", lambda *_: "127.0.0.2")
    ran = propchange("demo", "--lan", "--seconds", "0.5")

    told = [json.loads(line) for line in ran.out.splitlines()]
    hosted = [line["reason"] for line in told if line.get("status") == "hosted"]
    assert (ran.status, ran.err) == (0, "")
    assert len(hosted) == 2
    assert all(url.startswith("http://127.0.0.2:") for url in hosted)
    assert any(line.get("initial") for line in told)


def test_lan_on_a_machine_without_a_network_is_told_in_words(
    propchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interfaces, "default_address", lambda _: "127.0.0.1")
    ran = propchange("demo", "--lan", "--seconds", "0.5")

    assert ran.status == 1
    assert "no address that other machines could reach" in ran.err


@pytest.mark.parametrize("seconds", ["-1", "x"])
def test_seconds_that_cannot_be_are_a_wrong_command_line(propchange: Any, seconds: str) -> None:
    assert propchange("demo", "--seconds", seconds).status == 2


@given(st.integers())
def test_everything_moves_and_stays_within_its_range(seed: int) -> None:
    seen: dict[str, set[object]] = {}
    randomness = random.Random(seed)
    for service in (Thermometer(), Player(), Sound()):
        for _ in range(200):
            service.step(randomness)
            for variable, value in service.values.items():
                seen.setdefault(variable, set()).add(value)

    moving = ("Temperature", "Alarm", "CurrentTrack", "CurrentTrackURI", "Volume", "Mute")
    assert all(len(seen[name]) > 1 for name in moving)
    assert all(-20 < value < 60 for value in seen["Temperature"])  # type: ignore[operator] # values are numbers here


def test_what_a_control_point_has_done_stays() -> None:
    player = Player()
    player._invoke_action("Pause", {"InstanceID": 0})
    before = dict(player.values)
    for _ in range(20):
        player.step(random.Random(1))
    assert player.values == before
    player._invoke_action(
        "SetAVTransportURI", {"InstanceID": 0, "CurrentURI": "http://a", "CurrentURIMetaData": "b"}
    )
    player._invoke_action("Play", {"InstanceID": 0, "Speed": "1"})
    for _ in range(20):
        player.step(random.Random(1))
    assert (player.current_track, player.current_track_uri) == (1, "http://a")


def test_the_alarm_tells_that_it_is_too_warm() -> None:
    randomness = random.Random(1)
    thermometer = Thermometer()
    for _ in range(500):
        thermometer.step(randomness)
        assert thermometer["Alarm"] == (thermometer["Temperature"] >= 23.0)
