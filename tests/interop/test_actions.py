"""Actions between propchange and other makes, both ways.

What is compared is what the other program has read, or what it has sent.
"""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from lab.peers import WEB
from lab.programs import PATIENCE
from tests.interop.calling import Caller, OurCaller
from tests.interop.conftest import daemon

ROOT = Path(__file__).parents[2]
ZONE = datetime.timezone(datetime.timedelta(hours=1))

UUID_TEXT = "6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a10"

# data type: a text, and the value as it is in Python at our end.
DATA = {
    "ui1": ("255", 255),
    "ui2": ("65535", 65_535),
    "ui4": ("4294967295", 4_294_967_295),
    "ui8": ("18446744073709551615", 18_446_744_073_709_551_615),
    "i1": ("-128", -128),
    "i2": ("-32768", -32_768),
    "i4": ("-2147483648", -2_147_483_648),
    "i8": ("-9223372036854775808", -9_223_372_036_854_775_808),
    "int": ("-7", -7),
    "r4": ("0.15625", 0.15625),
    "r8": ("1.5e-300", 1.5e-300),
    "number": ("2.25", 2.25),
    "float": ("-0.5", -0.5),
    "fixed.14.4": ("3.1416", Decimal("3.1416")),
    "char": ("ä", "ä"),
    "string": ('<"&ä> ]]>', '<"&ä> ]]>'),
    "date": ("2026-11-30", datetime.date(2026, 11, 30)),
    "dateTime": ("2026-11-30T13:45:00", datetime.datetime(2026, 11, 30, 13, 45)),  # noqa: DTZ001 - without
    "dateTime.tz": (
        "2026-11-30T13:45:00+01:00",
        datetime.datetime(2026, 11, 30, 13, 45, tzinfo=ZONE),
    ),
    "time": ("13:45:00", datetime.time(13, 45)),
    "time.tz": ("13:45:00+01:00", datetime.time(13, 45, tzinfo=ZONE)),
    "boolean": ("1", True),
    "bin.base64": ("AAEC/w==", b"\0\1\2\xff"),
    "bin.hex": ("000102FF", b"\0\1\2\xff"),
    "uri": ("http://h/a?b=1&c=2", "http://h/a?b=1&c=2"),
    "uuid": (UUID_TEXT, UUID(UUID_TEXT)),
}

SWITCH = "urn:schemas-upnp-org:service:SwitchPower:1"
DIMMING = "urn:schemas-upnp-org:service:Dimming:1"
REFUSALS = "urn:propchange-test:service:Refusals:1"
TYPES = "urn:propchange-test:service:Types:1"

RUNTIMES = {"asyncio": "act_propchange.py", "twisted": "act_twisted.py"}
OURS = {"asyncio": "call_propchange.py", "twisted": "call_twisted.py"}


@pytest.fixture(params=RUNTIMES)
def host(request, start, network, peers_folder):
    """``host(name)`` hosts a device of acting_device.py: the program."""

    def host(name):
        options = f'{{"interface": "{network.address}"}}'
        program = peers_folder / RUNTIMES[request.param]
        return start(*network.prefix, sys.executable, program, name, options)

    return host


@pytest.fixture
def light(host):
    """The program of a dimmable light, and its description."""
    program = host("light")
    return program, program.read("ready")["ready"]


@pytest.fixture
def mouse(missing, peers_folder):
    """The command that starts GUPnP's network light, and a mouse on its window."""
    for program in ("xdotool", "xvfb-run"):
        if shutil.which(program) is None:
            missing(f"no {program}")
    return ("xvfb-run", "-a", sys.executable, peers_folder / "light_and_mouse.py")


@pytest.fixture(params=OURS)
def control_point(request, start, network, peers_folder):
    """Our control point."""
    program = peers_folder / OURS[request.param]
    caller = OurCaller(start(*network.prefix, sys.executable, program, network.address))
    caller.program.read("ready")
    return caller


@pytest.fixture
def peer(stack, start, network, peers_folder):
    """A control point of another make."""
    programs = {
        "gupnp": (peers_folder / "bin" / "call_gupnp", network.address),
        "libupnp": (peers_folder / "bin" / "call_pupnp", "v0"),
        "async-upnp-client": (
            *(sys.executable, peers_folder / "call_async_upnp_client.py", network.address),
            "strict",
        ),
    }
    caller = Caller(start(*network.prefix, *programs[stack.name]))
    caller.program.read("ready")
    return caller


def python_peer(start, network, missing, peers_folder, module, *arguments):
    """A control point on ``module`` of PyPI."""
    pytest.importorskip(module, reason=f"no {module} in this environment")
    program = peers_folder / f"call_{module}.py"
    return start(*network.prefix, sys.executable, program, *arguments)


# --- control points of other makes, with a device of ours ---


def test_a_light_is_switched_and_seen(stack, peer, light, wire):
    program, description_url = light
    read = peer.device(description_url)
    assert read[SWITCH]["actions"]["SetTarget"] == {"newTargetValue": "in Target"}
    assert read[SWITCH]["actions"]["GetStatus"] == {"ResultStatus": "out Status"}
    peer.watch(SWITCH)
    peer.event("Status", "0")

    assert peer.call(SWITCH, "SetTarget", newTargetValue=1)["answer"] == {}
    assert program.read("called") == {"called": "SetTarget", "values": ["True"]}
    peer.event("Status", "1")
    assert peer.call(SWITCH, "GetStatus")["answer"] == {"ResultStatus": "1"}
    assert peer.call(DIMMING, "SetLoadLevelTarget", newLoadlevelTarget=30)["answer"] == {}
    answer = peer.call(DIMMING, "GetLoadLevelStatus")["answer"]
    assert answer == {"retLoadlevelStatus": "30"}

    # The answer has left before the event.
    call = wire.request("POST", soapaction=f'"{SWITCH}#SetTarget"')
    event = wire.request("NOTIFY", seq="1")
    assert b"<Status>1</Status>" in event.body
    assert wire.answer(call).number < event.number


def test_a_fault_is_read_with_its_code_and_words(stack, peer, light):
    _, description_url = light
    peer.device(description_url)
    words = '<"&ä'
    refused = peer.call(REFUSALS, "Refuse", Code=701, Words=words)
    assert refused["fault"] == 701
    if stack.name != "libupnp":  # which gives the code alone
        assert words in refused["why"]
    assert peer.call(REFUSALS, "Fail")["fault"] == 501
    if stack.name != "async-upnp-client":  # which raises before it sends
        assert peer.call(DIMMING, "SetLoadLevelTarget", newLoadlevelTarget=101)["fault"] == 601
        assert peer.call(SWITCH, "SetTarget")["fault"] == 402
        assert peer.call(SWITCH, "Explode")["fault"] == 401


def test_upnpclient_switches_the_light_and_reads_a_fault(
    start, network, missing, peers_folder, light
):
    program, description_url = light
    peer = Caller(python_peer(start, network, missing, peers_folder, "upnpclient"))
    peer.program.read("ready")
    read = peer.device(description_url)
    assert read[DIMMING]["actions"]["SetLoadLevelTarget"] == {
        "newLoadlevelTarget": "in LoadLevelTarget"
    }
    assert peer.call(SWITCH, "SetTarget", newTargetValue=1)["answer"] == {}
    assert program.read("called") == {"called": "SetTarget", "values": ["True"]}
    assert peer.call(SWITCH, "GetTarget")["values"] == {"RetTargetValue": "True"}
    refused = peer.call(REFUSALS, "Refuse", Code=701, Words="The door is blocked")
    assert (refused["fault"], refused["why"]) == (701, "The door is blocked")


def test_pywemo_takes_a_hosted_switch_for_a_wemo_and_switches_it(
    start, network, missing, peers_folder, host
):
    hosted = host("wemo")
    url = hosted.read("ready")["ready"]
    peer = python_peer(start, network, missing, peers_folder, "pywemo", url)
    ready = peer.read("ready")
    assert ready["ready"] == "Switch"
    assert ready["actions"]["basicevent"]["GetBinaryState"] == ["BinaryState"]
    assert peer.read("event") == {"event": "BinaryState", "value": "0"}
    peer.ask("switch 1", "switched")
    assert hosted.read("called")["values"] == ["True"]
    assert peer.read("event") == {"event": "BinaryState", "value": "1"}
    assert peer.ask("state", "state") == {"state": 1}


def test_the_universal_control_point_reads_a_generated_description_of_actions(
    network, light, tmp_path, wire
):
    assert light
    command = ("xvfb-run", "-a", "gupnp-universal-cp", "-i", "v0")
    with daemon(network, tmp_path, *command, package="gupnp-tools"):
        # It subscribes to a service when it has read its description.
        for service in ("SwitchPower", "Dimming"):
            wire.wait(
                lambda each, service=service: (
                    each.method == "SUBSCRIBE" and service.lower() in each.start.lower()
                ),
                f"SUBSCRIBE to {service}",
            )
    assert "CRITICAL" not in (tmp_path / "output.txt").read_text()


def test_the_network_light_of_gupnp_switches_and_dims_our_light(light, start, network, mouse, wire):
    program, description_url = light
    own_port = str(network.port())
    light_and_mouse = start(*network.prefix, *mouse, "-i", "v0", "-p", own_port, "-4", "--no-v6")

    def wait_for(start, port):
        """Wait until the network light has been answered."""
        request = wire.wait(
            lambda each: re.match(start, each.start) and each.destination.endswith(f":{port}"),
            f"{start} to port {port}",
        )
        assert wire.answer(request).status == 200

    # It switches all lights whose description it has read, itself too.
    wait_for("GET /description.xml ", urlsplit(description_url).port)
    wait_for("GET /[0-9a-f-]+.xml ", own_port)
    light_and_mouse.read("ready")
    light_and_mouse.ask("menu 1", "menu")
    assert program.read("called") == {"called": "SetTarget", "values": ["True"]}
    wait_for("POST", own_port)
    light_and_mouse.ask("menu 3", "menu")
    assert program.read("called") == {"called": "SetLoadLevelTarget", "values": ["80"]}
    assert program.ask("get LoadLevelStatus", "get") == {"get": 80}


def variable_name(data_type):
    return re.sub(r"\W(\w)", lambda found: found[1].upper(), data_type).capitalize()


def test_async_upnp_client_passes_a_value_of_each_data_type(
    async_upnp_client, start, network, peers_folder, light
):
    program, description_url = light
    script = peers_folder / "call_async_upnp_client.py"
    peer = Caller(start(*async_upnp_client.network, sys.executable, script, network.address))
    peer.program.read("ready")
    peer.device(description_url)
    for data_type, (text, value) in DATA.items():
        if data_type == "time.tz":
            continue  # it raises TypeError when it writes one
        told = peer.call(TYPES, f"Echo{variable_name(data_type)}", Value=text)
        assert told.get("answer") == {"Result": text}, (data_type, told)
        assert program.read("called") == {"called": data_type, "values": [repr(value)]}


def test_the_example_of_a_light_is_switched_and_dimmed(stack, peer, network, tmp_path):
    output = tmp_path / "output.txt"
    example = ROOT / "examples" / "dimmable_light.py"
    with output.open("wb") as file:
        process = subprocess.Popen([*network.prefix, sys.executable, example, "v0"], stdout=file)
    try:
        peer.device(line_of(output, r"http://[0-9.]+:[0-9]+/.*"))
        peer.watch(DIMMING)
        assert peer.call(SWITCH, "SetTarget", newTargetValue=1)["answer"] == {}
        assert peer.call(DIMMING, "SetLoadLevelTarget", newLoadlevelTarget=30)["answer"] == {}
        peer.event("LoadLevelStatus", "30")
        assert line_of(output, "on")
        assert line_of(output, "30 %")
    finally:
        process.terminate()
        process.wait()


def line_of(file, pattern):
    """The first line like that, once the program has printed it."""
    deadline = time.monotonic() + PATIENCE
    while (found := re.search(f"(?m)^{pattern}$", file.read_text())) is None:
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.02)  # between two looks at what another process prints
    return found[0]


# --- our control point, with devices of other makes ---


def test_a_value_of_each_data_type_passes_through_async_upnp_client(
    async_upnp_client, start, network, peers_folder, control_point
):
    script = peers_folder / "act_async_upnp_client.py"
    device = start(*network.prefix, sys.executable, script, network.address, str(network.port()))
    control_point.device(device.read("ready")["ready"])
    control_point.watch("Types")
    control_point.event(Seen="")
    for data_type, (text, value) in DATA.items():
        if data_type == "time.tz":
            continue  # it raises TypeError when it writes one
        told = control_point.call("Types", f"Echo{variable_name(data_type)}", Value=text)
        assert told.get("values") == {"Result": repr(value)}, (data_type, told)
        seen = control_point.program.read("event")["event"]["Seen"]
        assert seen
    refused = control_point.call("Types", "Refuse")
    assert (refused["fault"], refused["why"]) == (701, "Action Failed")


def test_the_volume_of_rygel_is_set_and_its_event_follows(rygel, control_point):
    control_point.device(rygel.description_url)
    assert control_point.actions("RenderingControl")["SetVolume"] == {
        "InstanceID": "in A_ARG_TYPE_InstanceID",
        "Channel": "in A_ARG_TYPE_Channel",
        "DesiredVolume": "in Volume",
    }
    control_point.watch("RenderingControl")
    for volume in (35, 45):
        told = control_point.call(
            "RenderingControl", "SetVolume", InstanceID=0, Channel="Master", DesiredVolume=volume
        )
        assert told["answer"] == {}
        control_point.event(Volume=volume)
    told = control_point.call("RenderingControl", "GetVolume", InstanceID=0, Channel="Master")
    assert told["answer"] == {"CurrentVolume": 45}
    told = control_point.call("AVTransport", "GetTransportInfo", InstanceID=0)
    assert told["answer"]["CurrentTransportStatus"] == "OK"
    assert control_point.call("AVTransport", "Play", InstanceID=99, Speed="1")["fault"] == 718


def test_gmediarender_is_set_up_and_its_event_follows(gmediarender, control_point):
    control_point.device(gmediarender.description_url)
    control_point.watch("RenderingControl")
    for volume in (51, 62):
        told = control_point.call(
            "RenderingControl", "SetVolume", InstanceID=0, Channel="Master", DesiredVolume=volume
        )
        assert told["answer"] == {}
        control_point.event(Volume=volume)
    told = control_point.call("AVTransport", "GetMediaInfo", InstanceID=0)
    assert told["answer"]["NrTracks"] == 0
    # There is nothing to play.
    assert control_point.call("AVTransport", "Play", InstanceID=0, Speed="1")["fault"] >= 500


def test_miniupnpd_maps_a_port_and_tells_its_address(miniupnpd, control_point, network):
    control_point.device(miniupnpd.description_url)
    service = "WANIPConnection"
    told = control_point.call(service, "GetExternalIPAddress")
    assert told["answer"] == {"NewExternalIPAddress": miniupnpd.external_address}
    control_point.watch(service)
    control_point.event(PortMappingNumberOfEntries=0)
    mapping = {"NewRemoteHost": "", "NewExternalPort": 8000, "NewProtocol": "TCP"}
    told = control_point.call(
        service,
        "AddPortMapping",
        **mapping,
        NewInternalPort=8000,
        NewInternalClient=network.address,
        NewEnabled=True,
        NewPortMappingDescription="<&> of a test",
        NewLeaseDuration=600,
    )
    assert told["answer"] == {}
    told = control_point.call(service, "GetSpecificPortMappingEntry", **mapping)
    assert told["answer"]["NewInternalPort"] == 8000
    assert told["answer"]["NewPortMappingDescription"] == "<&> of a test"
    assert control_point.call(service, "DeletePortMapping", **mapping)["answer"] == {}
    told = control_point.call(service, "GetSpecificPortMappingEntry", **mapping)
    assert told["fault"] == 714


def test_a_light_of_gupnp_is_switched_and_its_event_follows(network_light, control_point):
    control_point.device(network_light.description_url)
    control_point.call("SwitchPower", "SetTarget", newTargetValue=False)
    control_point.watch("SwitchPower")
    control_point.event(Status=False)
    told = control_point.call("SwitchPower", "SetTarget", newTargetValue=True)
    assert told["answer"] == {}
    control_point.event(Status=True)
    told = control_point.call("SwitchPower", "GetStatus")
    assert told == {"answer": {"ResultStatus": True}, "values": {"ResultStatus": "True"}}
    assert (
        control_point.call("Dimming", "SetLoadLevelTarget", newLoadlevelTarget=30)["answer"] == {}
    )
    told = control_point.call("Dimming", "GetLoadLevelStatus")
    assert told["answer"] == {"retLoadlevelStatus": 30}


def test_a_device_on_libupnp_is_called_and_refuses(start, network, libupnp, control_point):
    program = start(*network.prefix, *libupnp.device, str(network.port()), WEB)
    control_point.device(f"{program.read('ready')['ready']}desc.xml")
    control_point.watch("Bench")
    control_point.event(Value="0")
    text = '<"&ä'
    assert control_point.call("Bench", "SetValue", NewValue=text)["answer"] == {}
    control_point.event(Value=text)
    assert control_point.call("Bench", "GetValue")["answer"] == {"CurrentValue": text}
    refused = control_point.call("Bench", "SetValue", NewValue="")
    assert (refused["fault"], refused["why"]) == (701, "An empty value is refused")


def test_wrong_calls_are_refused_before_anything_is_sent(network_light, control_point, wire):
    control_point.device(network_light.description_url)
    seen = wire.mark()
    control_point.call("SwitchPower", "GetStatus")
    before = wire.answer(wire.request("POST", after=seen))
    for action, values, names in (
        ("SetTarget", {}, "newTargetValue"),
        ("SetTarget", {"NewTargetValue": True}, "newTargetValue"),
        ("SetTarget", {"newTargetValue": 7}, "newTargetValue"),
        ("Explode", {}, "SetTarget"),
    ):
        told = control_point.call("SwitchPower", action, **values)
        assert names in told["why"], told
        assert told["raised"] in ("TypeError", "ValueError", "LookupError", "KeyError")
    control_point.call("SwitchPower", "GetStatus")
    after = wire.answer(wire.request("POST", after=before.number))
    posts = [each for each in wire.messages[seen : after.number] if each.method == "POST"]
    assert len(posts) == 2
