"""SoCo's listener on a propchange device that is described like a Sonos player."""

from __future__ import annotations

import importlib.util
import sys

import pytest


@pytest.fixture
def player(start, network, peers_folder):
    program = start(
        *network.prefix, sys.executable, peers_folder / "pub_zone_player.py", network.address, "2"
    )
    return program, program.read("ready")


@pytest.fixture
def soco(start, network, peers_folder, missing):
    if importlib.util.find_spec("soco") is None:
        missing("no SoCo in this environment")
    program = start(*network.prefix, sys.executable, peers_folder / "sub_soco.py", network.address)
    assert program.read("ready")["ready"]
    return program


def test_soco_hears_the_volume_and_renews(player, soco, wire):
    device, ready = player
    path = ready["RenderingControl"]
    subscribed = soco.ask(f"subscribe RenderingControl {path}", "subscribed")
    sid = subscribed["subscribed"]
    initial = soco.read("notify")
    assert initial["variables"]["volume"] == {"Master": "0"}
    assert initial["variables"]["mute"] == {"Master": "0"}

    device.ask('assign RenderingControl {"volume": 31, "mute": true}', "assigned")
    change = soco.read("notify")
    assert change["variables"] == {"volume": {"Master": "31"}, "mute": {"Master": "1"}}
    renewal = wire.request("SUBSCRIBE", sid=sid)
    assert wire.answer(renewal).status == 200

    for volume in range(32, 41):
        device.ask(f'assign RenderingControl {{"volume": {volume}}}', "assigned")
    volumes = []
    while not volumes or volumes[-1] != 40:  # moderated: the last one always comes
        volumes.append(int(soco.read("notify")["variables"]["volume"]["Master"]))
    assert volumes == sorted(volumes)

    soco.ask("unsubscribe RenderingControl", "unsubscribed")
    assert wire.answer(wire.request("UNSUBSCRIBE", sid=sid)).status == 200
    device.ask('assign RenderingControl {"volume": 99}', "assigned")
    # Another subscription, so that there is something to wait for.
    soco.ask(f"subscribe AVTransport {ready['AVTransport']}", "subscribed")
    soco.read("notify")
    heard = [
        message
        for message in wire.messages
        if message.method == "NOTIFY" and message.fields["SID"] == sid
    ]
    assert [int(message.fields["SEQ"]) for message in heard] == list(range(len(heard)))
    assert len(heard) == 2 + len(volumes)
    # SoCo answers in HTTP/1.0.
    assert {wire.answer(message).start for message in heard} == {"HTTP/1.0 200 OK"}


def test_soco_hears_what_is_played(player, soco):
    device, ready = player
    soco.ask(f"subscribe AVTransport {ready['AVTransport']}", "subscribed")
    initial = soco.read("notify")["variables"]
    assert initial["transport_state"] == "NO_MEDIA_PRESENT"
    assert "A & B" in initial["current_track_meta_data"]

    device.ask('assign AVTransport {"transport_state": "PLAYING"}', "assigned")
    assert soco.read("notify")["variables"] == {"transport_state": "PLAYING"}
