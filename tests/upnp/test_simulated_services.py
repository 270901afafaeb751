"""The simulated services: their actions change the state variables, in one event."""

from __future__ import annotations

from typing import Any

import pytest

from propchange.core.values.lastchange import parse_lastchange
from propchange.errors import ActionError
from propchange.upnp.device_file import read_device_file
from propchange.upnp.service import Service
from propchange.upnp.simulated_services import SIMULATED, setters
from propchange.upnp.standard import RenderingControl
from tests.upnp.sinks import Sink


def simulated(name: str, more: str = "") -> Service:
    """The service of a device file."""
    document = f'name = "Any"\n[[services]]\nstandard = "{name}"\n{more}'
    (service,) = read_device_file(document).device.services
    return service


def code_of(service: Service, name: str, **inputs: Any) -> int:
    with pytest.raises(ActionError) as refused:
        service._invoke_action(name, inputs)
    return refused.value.code


def loaded() -> Service:
    """A player with a medium."""
    player = simulated("AVTransport:1")
    uri = {"InstanceID": 0, "CurrentURI": "http://a/b", "CurrentURIMetaData": "<DIDL/>"}
    player._invoke_action("SetAVTransportURI", uri)
    return player


@pytest.mark.parametrize("name", SIMULATED)
def test_each_simulated_service_has_the_actions_that_its_standard_requires(name: str) -> None:
    simulated(name)._check_actions()


@pytest.mark.parametrize(
    ("name", "action", "inputs", "changed"),
    [
        ("SwitchPower:1", "SetTarget", {"newTargetValue": True}, {"Target": True, "Status": True}),
        (
            "Dimming:1",
            "SetLoadLevelTarget",
            {"newLoadlevelTarget": 40},
            {"LoadLevelTarget": 40, "LoadLevelStatus": 40},
        ),
        (
            "Dimming:1",
            "StartRampToLevel",
            {"newLoadLevelTarget": 7, "newRampTime": 100},
            {"LoadLevelTarget": 7, "LoadLevelStatus": 7},
        ),
        ("Dimming:1", "StepUp", {}, {"LoadLevelTarget": 1, "LoadLevelStatus": 1}),
        ("Dimming:1", "StepDown", {}, {"LoadLevelTarget": 0, "LoadLevelStatus": 0}),
        ("Dimming:1", "SetOnEffect", {"newOnEffect": "LastSetting"}, {"OnEffect": "LastSetting"}),
        (
            "RenderingControl:1",
            "SetVolume",
            {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 13},
            {"Volume": 13},
        ),
        (
            "RenderingControl:1",
            "SetVolumeDB",
            {"InstanceID": 0, "Channel": "Master", "DesiredVolume": -256},
            {"VolumeDB": -256},
        ),
        (
            "RenderingControl:1",
            "SetBrightness",
            {"InstanceID": 0, "DesiredBrightness": 3},
            {"Brightness": 3},
        ),
        (
            "AVTransport:1",
            "SetNextAVTransportURI",
            {"InstanceID": 0, "NextURI": "http://n", "NextURIMetaData": "x"},
            {"NextAVTransportURI": "http://n", "NextAVTransportURIMetaData": "x"},
        ),
        (
            "AVTransport:1",
            "SetPlayMode",
            {"InstanceID": 0, "NewPlayMode": "SHUFFLE"},
            {"CurrentPlayMode": "SHUFFLE"},
        ),
        (
            "WANIPConnection:1",
            "SetConnectionType",
            {"NewConnectionType": "IP_Routed"},
            {"ConnectionType": "IP_Routed"},
        ),
        ("WANIPConnection:1", "RequestConnection", {}, {"ConnectionStatus": "Connected"}),
        ("WANIPConnection:1", "RequestTermination", {}, {"ConnectionStatus": "Disconnected"}),
        ("WANIPConnection:1", "ForceTermination", {}, {"ConnectionStatus": "Disconnected"}),
        (
            "WANCommonInterfaceConfig:1",
            "SetEnabledForInternet",
            {"NewEnabledForInternet": True},
            {"EnabledForInternet": True},
        ),
    ],
)
def test_an_action_sets_its_variables(
    name: str, action: str, inputs: dict[str, object], changed: dict[str, object]
) -> None:
    service = simulated(name)
    assert service._invoke_action(action, inputs) is None
    assert {each: service[each] for each in changed} == changed
    listed = service.actions[action]
    assert {each.name for each in listed.inputs} == set(inputs)


def test_the_new_medium_and_the_stop_are_one_event() -> None:
    player, sink = simulated("AVTransport:1"), Sink()
    player._attach_sink(sink)
    uri = {"InstanceID": 0, "CurrentURI": "http://a/b", "CurrentURIMetaData": "<DIDL/>"}
    player._invoke_action("SetAVTransportURI", uri)

    (published,) = sink.published
    told = {each.variable: each.text for each in parse_lastchange(published["LastChange"]).entries}
    assert told == {
        "AVTransportURI": "http://a/b",
        "AVTransportURIMetaData": "<DIDL/>",
        "CurrentTrackURI": "http://a/b",
        "CurrentTrackMetaData": "<DIDL/>",
        "NumberOfTracks": "1",
        "CurrentTrack": "1",
        "TransportState": "STOPPED",
    }


def test_a_player_plays_pauses_and_stops_once_it_has_a_medium() -> None:
    empty = simulated("AVTransport:1")
    for name, more in (("Play", {"Speed": "1"}), ("Stop", {}), ("Pause", {})):
        assert code_of(empty, name, InstanceID=0, **more) == 701

    player = loaded()
    assert code_of(player, "Pause", InstanceID=0) == 701
    for name, more, state in (
        ("Play", {"Speed": "1"}, "PLAYING"),
        ("Pause", {}, "PAUSED_PLAYBACK"),
        ("Play", {"Speed": "1"}, "PLAYING"),
        ("Stop", {}, "STOPPED"),
    ):
        player._invoke_action(name, {"InstanceID": 0, **more})
        assert player["TransportState"] == state


def test_an_empty_uri_takes_the_medium_out() -> None:
    player = loaded()
    player._invoke_action(
        "SetAVTransportURI", {"InstanceID": 0, "CurrentURI": "", "CurrentURIMetaData": ""}
    )
    assert (player["TransportState"], player["NumberOfTracks"]) == ("NO_MEDIA_PRESENT", 0)


def test_a_player_seeks_to_times_and_tracks_that_exist() -> None:
    player = loaded()
    player["NumberOfTracks"] = 2

    def seek(unit: str, target: str) -> int:
        try:
            player._invoke_action("Seek", {"InstanceID": 0, "Unit": unit, "Target": target})
        except ActionError as error:
            return error.code
        return 0

    assert seek("REL_TIME", "0:01:30") == 0
    assert player["RelativeTimePosition"] == "0:01:30"
    assert seek("TRACK_NR", "2") == 0
    assert (player["CurrentTrack"], player["RelativeTimePosition"]) == (2, "0:00:00")
    assert [seek("TRACK_NR", target) for target in ("0", "3", "x", "²", "-1")] == [711] * 5
    assert [seek("REL_TIME", target) for target in ("90", "0:99:00", "")] == [711] * 3
    assert seek("FRAME", "1") == 710
    player._invoke_action("Previous", {"InstanceID": 0})
    assert code_of(player, "Previous", InstanceID=0) == 711
    player._invoke_action("Next", {"InstanceID": 0})
    assert code_of(player, "Next", InstanceID=0) == 711
    assert player["CurrentTrack"] == 2


@pytest.mark.parametrize(
    ("name", "action", "inputs", "code"),
    [
        ("AVTransport:1", "Stop", {"InstanceID": 7}, 718),
        ("AVTransport:1", "SetPlayMode", {"InstanceID": 7, "NewPlayMode": "NORMAL"}, 718),
        ("RenderingControl:1", "SetBrightness", {"InstanceID": 7, "DesiredBrightness": 1}, 702),
        ("RenderingControl:1", "SelectPreset", {"InstanceID": 7, "PresetName": "a"}, 702),
        (
            "RenderingControl:1",
            "SelectPreset",
            {"InstanceID": 0, "PresetName": "InstallationDefaults"},
            701,
        ),
        (
            "RenderingControl:1",
            "SetMute",
            {"InstanceID": 0, "Channel": "LF", "DesiredMute": True},
            703,
        ),
        ("ContentDirectory:1", "Browse", {}, 501),
        ("WANIPConnection:1", "GetGenericPortMappingEntry", {"NewPortMappingIndex": 0}, 713),
        ("WANIPConnection:1", "DeletePortMapping", {}, 714),
        ("WANIPConnection:1", "GetSpecificPortMappingEntry", {}, 714),
        ("WANIPConnection:1", "AddPortMapping", {}, 501),
        ("AVTransport:1", "Record", {"InstanceID": 0}, 602),
        ("Dimming:1", "StartRampUp", {}, 602),
    ],
)
def test_what_a_simulated_service_cannot_do_has_an_error(
    name: str, action: str, inputs: dict[str, object], code: int
) -> None:
    service = simulated(name)
    if code != 602:
        values = {each.name: each.variable.initial for each in service._find_action(action).inputs}
        inputs = {**values, **inputs}
    assert code_of(service, action, **inputs) == code


def test_a_channel_and_an_instance_that_were_added_are_set() -> None:
    rendering = simulated("RenderingControl:1")
    rendering.instance(0)["Volume", "LF"] = 1
    rendering.add_instance(3)
    for number, channel in ((0, "LF"), (3, "Master")):
        called = {"InstanceID": number, "Channel": channel, "DesiredVolume": 9}
        rendering._invoke_action("SetVolume", called)
        assert rendering.instance(number)["Volume", channel] == 9
    assert rendering["Volume"] == 0


def test_a_preset_sets_all_to_the_initial_values() -> None:
    rendering = simulated(
        "RenderingControl:1", '[[services.variables]]\nname = "Volume"\ninitial = 10'
    )
    rendering["Volume"], rendering["Mute"] = 50, True
    rendering._invoke_action("SelectPreset", {"InstanceID": 0, "PresetName": "FactoryDefaults"})
    assert (rendering["Volume"], rendering["Mute"]) == (10, False)


def test_steps_end_at_the_ends_of_the_range() -> None:
    dimming = simulated("Dimming:1", '[[services.variables]]\nname = "StepDelta"\ninitial = 60')
    for action, level in (("StepUp", 60), ("StepUp", 100), ("StepDown", 40), ("StepDown", 0)):
        dimming._invoke_action(action, {})
        assert dimming["LoadLevelStatus"] == level


def test_a_variable_that_is_left_out_has_no_setter() -> None:
    rendering = simulated("RenderingControl:1", 'without = ["Brightness"]')
    assert code_of(rendering, "SetBrightness", InstanceID=0, DesiredBrightness=1) == 602
    assert "set_brightness" not in setters(RenderingControl, ["Brightness"])
    dimming = simulated("Dimming:1", 'without = ["StepDelta"]')
    assert code_of(dimming, "StepUp") == 602


def test_a_state_that_the_device_does_not_have_is_an_error_and_changes_nothing() -> None:
    player = simulated(
        "AVTransport:1",
        """
        [[services.variables]]
        name = "TransportState"
        allowed = ["STOPPED", "PLAYING"]
        [[services.variables]]
        name = "TransportPlaySpeed"
        allowed = ["1", "2"]
        """,
    )
    player._invoke_action("Play", {"InstanceID": 0, "Speed": "2"})
    with pytest.raises(ActionError, match="501: Action Failed: TransportState: 'PAUSED_PLAYBACK'"):
        player._invoke_action("Pause", {"InstanceID": 0})
    taken_out = {"InstanceID": 0, "CurrentURI": "", "CurrentURIMetaData": ""}
    assert code_of(player, "SetAVTransportURI", **taken_out) == 501
    assert (player["TransportState"], player["TransportPlaySpeed"]) == ("PLAYING", "2")
    assert player["NumberOfTracks"] == 0
