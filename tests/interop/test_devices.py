"""propchange's control point on devices as Debian ships them."""

from __future__ import annotations

import http.server
import io
import re
import sys
import threading
import wave

import pytest

from tests.interop import soap


@pytest.fixture
def invoke(network):
    """``invoke(device, service, action, **arguments)`` is a plain SOAP POST by the standard
    library."""

    def invoke(device, *words, **arguments):
        soap.invoke(network.name, device.description_url, *words, **arguments)

    return invoke


@pytest.fixture
def watch(start, network, propchange_command):
    """``watch(device, service)`` starts ``propchange watch --json``."""

    def watch(device, *services):
        chosen = [word for service in services for word in ("--service", service)]
        command = (propchange_command, "watch", "--json", *chosen, device.description_url)
        return start(*network.prefix, *command)

    return watch


@pytest.fixture
def control_point(start, network, peers_folder):
    """Through the API; it renews after one second."""
    program = peers_folder / "sub_propchange.py"
    program = start(*network.prefix, sys.executable, program, network.address, "2")
    program.read("ready")
    return program


@pytest.fixture
def serve_sound(inside_network, network):
    """The URL of half a second of silence."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as samples:
        samples.setnchannels(1)
        samples.setsampwidth(2)
        samples.setframerate(8000)
        samples.writeframes(bytes(8000))

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "audio/x-wav")
            self.send_header("Content-Length", str(len(sound.getvalue())))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(sound.getvalue())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = inside_network(http.server.ThreadingHTTPServer, (network.address, 0), Answer)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield f"http://{network.address}:{server.server_port}/silence.wav"
    server.shutdown()
    server.server_close()
    serving.join()


def read_until(program, variable, value):
    """The values of ``variable`` that events bring, to the first that is ``value``."""
    seen = []
    while not seen or seen[-1] != value:
        changes = program.read("changes")["changes"]
        if variable in changes:
            seen.append(changes[variable])
    return seen


def exchanged(wire, sid):
    """What a device has done about a subscription, from its own bytes: answers and NOTIFYs."""
    first = next(
        message
        for message in wire.messages
        if message.method.startswith("HTTP/") and message.fields.get("SID") == sid
    )
    renewal = wire.answer(wire.request("SUBSCRIBE", sid=sid))
    ended = wire.answer(wire.request("UNSUBSCRIBE", sid=sid))
    notifies = [
        message
        for message in wire.messages
        if message.method == "NOTIFY" and message.fields.get("SID") == sid
    ]
    assert [wire.answer(notify).status for notify in notifies] == [200] * len(notifies)
    return first, renewal, ended, notifies


# --- Rygel: a media renderer ---


def test_the_volume_of_rygel_is_seen_while_it_moves(rygel, watch, invoke):
    invoke(rygel, "RenderingControl", "SetVolume", InstanceID=0, Channel="Master", DesiredVolume=20)
    watching = watch(rygel, "RenderingControl")
    initial = watching.read("changes")
    assert initial["initial"] is True
    assert initial["changes"]["Volume"] == 20
    assert initial["changes"]["Mute"] is False

    for volume in range(25, 65, 5):
        invoke(
            rygel,
            "RenderingControl",
            "SetVolume",
            InstanceID=0,
            Channel="Master",
            DesiredVolume=volume,
        )
    volumes = read_until(watching, "Volume", 60)
    assert volumes == sorted(volumes)


def test_what_rygel_plays_is_seen(rygel, watch, invoke, serve_sound):
    watching = watch(rygel, "AVTransport")
    initial = watching.read("changes")["changes"]
    assert initial["TransportState"] in ("NO_MEDIA_PRESENT", "STOPPED")
    assert initial["NumberOfTracks"] in (0, 1)  # ui4, and not its text

    invoke(
        rygel,
        "AVTransport",
        "SetAVTransportURI",
        InstanceID=0,
        CurrentURI=serve_sound,
        CurrentURIMetaData="",
    )
    read_until(watching, "AVTransportURI", serve_sound)


def test_rygel_renews_and_is_left(rygel, control_point, invoke, wire):
    ask = f"subscribe {rygel.description_url} RenderingControl"
    subscribed = control_point.ask(ask, "subscribed")
    assert subscribed["granted"] == 300.0
    sid = subscribed["subscribed"]
    details = control_point.read("notify")["details"]
    assert ["Mute", 0, "Master", False] in details
    control_point.read("renewed")
    invoke(rygel, "RenderingControl", "SetMute", InstanceID=0, Channel="Master", DesiredMute=1)
    assert ["Mute", 0, "Master", True] in control_point.read("notify")["details"]
    control_point.ask("unsubscribe RenderingControl", "unsubscribed")
    invoke(rygel, "RenderingControl", "SetMute", InstanceID=0, Channel="Master", DesiredMute=0)

    first, renewal, ended, notifies = exchanged(wire, sid)
    assert (first.status, renewal.status, ended.status) == (200, 200, 200)
    assert [notify.fields["SEQ"] for notify in notifies] == ["0", "1"]
    assert b"&lt;Event xmlns=" in notifies[0].body
    assert b"&lt;Mute val=&quot;1&quot; channel=&quot;Master&quot;/&gt;" in notifies[1].body


# --- GMediaRender, another renderer, on libupnp ---


def test_the_volume_of_gmediarender_is_seen_while_it_moves(gmediarender, watch, invoke):
    watching = watch(gmediarender, "RenderingControl")
    initial = watching.read("changes")
    assert initial["initial"] is True
    assert isinstance(initial["changes"]["Volume"], int)

    for volume in (11, 22, 33, 44):  # not moderated: each is an event
        invoke(
            gmediarender,
            "RenderingControl",
            "SetVolume",
            InstanceID=0,
            Channel="Master",
            DesiredVolume=volume,
        )
    assert read_until(watching, "Volume", 44) == [11, 22, 33, 44]


def test_gmediarender_events_a_lastchange_that_it_does_not_declare(gmediarender, watch, wire):
    changes = watch(gmediarender, "ConnectionManager").read("changes")["changes"]
    assert "LastChange" not in changes
    assert changes["CurrentConnectionIDs"] == "0"
    assert b"<LastChange>" in wire.request("NOTIFY").body


# --- Gerbera ---


def test_gerbera_puts_two_variables_into_one_property(gerbera, control_point, wire):
    ask = f"subscribe {gerbera.description_url} ContentDirectory"
    sid = control_point.ask(ask, "subscribed")["subscribed"]
    initial = control_point.read("notify")["changes"]
    assert initial == {"SystemUpdateID": 0, "ContainerUpdateIDs": "0,0"}
    control_point.read("renewed")
    control_point.ask("unsubscribe ContentDirectory", "unsubscribed")

    first, renewal, ended, notifies = exchanged(wire, sid)
    assert (first.status, renewal.status, ended.status) == (200, 200, 200)
    assert len(notifies) == 1
    assert notifies[0].body.count(b"<e:property>") == 1


# --- GUPnP's network light ---


def test_a_light_is_switched_and_dimmed(network_light, watch, invoke):
    # It sends no event if nothing changes, and other tests have the same light.
    invoke(network_light, "SwitchPower", "SetTarget", newTargetValue=0)
    invoke(network_light, "Dimming", "SetLoadLevelTarget", newLoadlevelTarget=60)
    watching = watch(network_light)
    initial = {}
    while len(initial) < 2:
        initial |= watching.read("changes")["changes"]
    assert initial["Status"] is False
    assert isinstance(initial["LoadLevelStatus"], int)

    invoke(network_light, "SwitchPower", "SetTarget", newTargetValue=1)
    assert watching.read("changes")["changes"] == {"Status": True}
    invoke(network_light, "Dimming", "SetLoadLevelTarget", newLoadlevelTarget=30)
    assert watching.read("changes")["changes"] == {"LoadLevelStatus": 30}


def test_a_light_renews_and_is_left(network_light, control_point, invoke, wire):
    invoke(network_light, "SwitchPower", "SetTarget", newTargetValue=0)
    ask = f"subscribe {network_light.description_url} SwitchPower"
    sid = control_point.ask(ask, "subscribed")["subscribed"]
    assert control_point.read("notify")["changes"] == {"Status": False}
    control_point.read("renewed")
    invoke(network_light, "SwitchPower", "SetTarget", newTargetValue=1)
    assert control_point.read("notify")["changes"] == {"Status": True}
    control_point.ask("unsubscribe SwitchPower", "unsubscribed")
    invoke(network_light, "SwitchPower", "SetTarget", newTargetValue=0)

    first, renewal, ended, notifies = exchanged(wire, sid)
    assert wire.request("SUBSCRIBE", sid=sid).start == "SUBSCRIBE /SwitchPower/Events HTTP/1.1"
    assert (first.status, renewal.status, ended.status) == (200, 200, 200)
    assert [notify.fields["SEQ"] for notify in notifies] == ["0", "1"]


# --- MiniDLNA ---


def test_minidlna_grants_and_is_deaf(minidlna, watch, control_point, wire):
    watching = watch(minidlna, "ContentDirectory")
    assert watching.read("status")["status"] == "granted"
    ask = f"subscribe {minidlna.description_url} ContentDirectory"
    sid = control_point.ask(ask, "subscribed")["subscribed"]
    control_point.read("renewed")
    deaf = watching.read("status")
    assert deaf["status"] == "deaf"
    assert "no whole request comes over its connections" in deaf["reason"]
    assert "the device never writes its events" in deaf["reason"]
    assert control_point.read("status")["status"] == "deaf"
    control_point.ask("unsubscribe ContentDirectory", "unsubscribed")

    first, renewal, ended, notifies = exchanged(wire, sid)
    assert (first.status, renewal.status, ended.status) == (200, 200, 200)
    assert notifies == []
    callback = re.search(r"http://([0-9.:]+)/", wire.request("SUBSCRIBE").fields["CALLBACK"])
    assert callback is not None
    assert callback[1] in {destination for _, destination in wire.opened}  # it did connect
