"""The standard services have the actions of their standards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from propchange.errors import ActionError
from propchange.upnp import standard
from propchange.upnp.action_methods import ActionMethod, action
from propchange.upnp.scpd import parse_scpd
from propchange.upnp.service import Service
from propchange.upnp.standard import (
    AVTransport,
    ConnectionManager,
    Dimming,
    RenderingControl,
    SwitchPower,
    WANCommonInterfaceConfig,
)
from tests.upnp.standard_actions import STANDARD_ACTIONS

PAGE = Path(__file__).parent.parent.parent / "docs" / "services.md"

Facts = tuple[tuple[str, str, str], ...]


def service_class(name: str) -> type[Service]:
    found: type[Service] = getattr(standard, name)
    return found


def methods_of(service: type[Service]) -> dict[str, ActionMethod[..., Any]]:
    methods = (getattr(service, name) for name in dir(service))
    return {each.action.name: each for each in methods if isinstance(each, ActionMethod)}


def complete(service: type[Service]) -> Service:
    """A device's service with a method for each action of ``service``."""
    implemented = {
        method.attribute: action(method.function) for method in methods_of(service).values()
    }
    made: type[Service] = type("Complete", (service,), implemented)
    return made()


def test_every_standard_service_has_a_table() -> None:
    assert sorted(STANDARD_ACTIONS) == sorted(standard.__all__)


@pytest.mark.parametrize("name", STANDARD_ACTIONS)
def test_the_service_description_lists_the_actions_of_the_standard(name: str) -> None:
    listed = parse_scpd(complete(service_class(name)).scpd())

    found: dict[str, Facts] = {
        each.name: tuple((one.name, one.direction, one.variable.name) for one in each.arguments)
        for each in listed.actions.values()
    }
    assert found == {each.name: each.arguments for each in STANDARD_ACTIONS[name]}
    assert listed.problems == ()


@pytest.mark.parametrize("name", STANDARD_ACTIONS)
def test_the_required_actions_are_those_of_the_standard(name: str) -> None:
    methods = methods_of(service_class(name))
    # Two required or optional actions have an implementation already.
    declared = {each: method.declared for each, method in methods.items() if method.declared}

    own = {"GetVolumeDBRange", "GetCurrentConnectionInfo"}
    assert set(methods) - set(declared) <= own
    needs = {row.name: row.required for row in STANDARD_ACTIONS[name]}
    assert {each: kind == "required" for each, kind in declared.items()} == {
        each: required for each, required in needs.items() if each not in own
    }


@pytest.mark.parametrize("name", STANDARD_ACTIONS)
def test_the_page_says_which_actions_a_device_needs(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|(.*)\|(.*)\|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    implement, optional, answered = ([x for x in cell.strip().split(", ") if x] for cell in row)

    service = service_class(name)()
    order = [each.name for each in STANDARD_ACTIONS[name]]
    assert sorted(implement) == sorted(service.missing_actions())
    assert sorted(answered) == sorted(service.actions)
    assert sorted(optional) == sorted(set(order) - set(implement) - set(answered))


def test_a_device_without_a_required_action_is_told_which_and_how() -> None:
    with pytest.raises(
        ValueError, match="SetAVTransportURI, Stop, Play, Seek, Next, Previous"
    ) as told:
        AVTransport()._check_actions()

    assert "AVTransport" in str(told.value)
    assert "@action\n    def set_av_transport_uri(self, instance_id, current_uri" in str(told.value)


def test_a_standard_service_whose_values_answer_every_required_action_needs_no_method() -> None:
    WANCommonInterfaceConfig()._check_actions()
    ConnectionManager()._check_actions()


def test_the_getters_answer_from_the_values() -> None:
    transport = AVTransport()
    transport.transport_state = "PLAYING"
    transport.relative_time_position = "0:01:00"

    assert transport._invoke_action("GetTransportInfo", {"InstanceID": 0}) == {
        "CurrentTransportState": "PLAYING",
        "CurrentTransportStatus": "OK",
        "CurrentSpeed": "1",
    }
    assert transport._invoke_action("GetPositionInfo", {"InstanceID": 0})["RelTime"] == "0:01:00"


@pytest.mark.parametrize(
    ("service", "name", "inputs", "code"),
    [
        (AVTransport, "GetTransportInfo", {"InstanceID": 7}, 718),
        (RenderingControl, "ListPresets", {"InstanceID": 7}, 702),
        (RenderingControl, "GetVolume", {"InstanceID": 7, "Channel": "Master"}, 702),
        (RenderingControl, "GetVolume", {"InstanceID": 0, "Channel": "LF"}, 703),
        (RenderingControl, "GetVolumeDBRange", {"InstanceID": 7, "Channel": "Master"}, 702),
        (RenderingControl, "GetVolumeDBRange", {"InstanceID": 0, "Channel": "LF"}, 703),
        (ConnectionManager, "GetCurrentConnectionInfo", {"ConnectionID": 3}, 706),
    ],
)
def test_what_does_not_exist_has_the_error_of_the_standard(
    service: type[Service], name: str, inputs: dict[str, object], code: int
) -> None:
    with pytest.raises(ActionError) as refused:
        service()._invoke_action(name, inputs)
    assert refused.value.code == code


def test_a_method_checks_its_instance() -> None:
    rendering, transport = RenderingControl(), AVTransport()
    rendering.add_instance(3)
    rendering.check_instance(3)["Volume"] = 5
    assert rendering.instance(3)["Volume"] == 5
    for check, code in ((rendering.check_instance, 702), (transport.check_instance, 718)):
        with pytest.raises(ActionError) as refused:
            check(4)
        assert refused.value.code == code


def test_a_method_checks_its_channel() -> None:
    rendering = RenderingControl()
    assert rendering.check_instance(0, "Master")["Volume", "Master"] == 0
    with pytest.raises(ActionError, match="703"):
        rendering.check_instance(0, "LF")
    rendering.instance(0)["Mute", "LF"] = True
    rendering.check_instance(0, "LF")["Volume", "LF"] = 5
    assert rendering.instance(0)["Volume", "LF"] == 5


def test_the_range_of_the_volume_is_that_of_the_declaration() -> None:
    range_of = RenderingControl()._invoke_action(
        "GetVolumeDBRange", {"InstanceID": 0, "Channel": "Master"}
    )
    assert range_of == {"MinValue": -32_768, "MaxValue": 32_767}


def test_a_device_without_connections_says_so() -> None:
    manager = ConnectionManager()
    info = manager._invoke_action("GetCurrentConnectionInfo", {"ConnectionID": 0})
    assert (info["RcsID"], info["AVTransportID"], info["Direction"]) == (-1, -1, "Output")
    manager.sink_protocol_info = "http-get:*:audio/mpeg:*"
    info = manager._invoke_action("GetCurrentConnectionInfo", {"ConnectionID": 0})
    assert (info["RcsID"], info["AVTransportID"], info["Direction"]) == (0, 0, "Input")
    listed = manager.actions["GetCurrentConnectionInfo"]
    assert set(listed.write_outputs(info)) == {each.name for each in listed.outputs}


def test_without_takes_the_actions_of_a_variable_away() -> None:
    class Amplifier(RenderingControl, without=["VolumeDB", "Brightness"]):
        @action
        def select_preset(self, instance_id: int, preset_name: str) -> None: ...

    amplifier = Amplifier()
    amplifier._check_actions()
    assert "GetVolume" in amplifier.actions
    gone = ("GetVolumeDB", "SetVolumeDB", "GetVolumeDBRange", "GetBrightness", "SetBrightness")
    for name in gone:
        with pytest.raises(ActionError, match="602"):
            amplifier._find_action(name)


def test_the_names_of_a_method_and_its_parameters_are_enough() -> None:
    class Power(SwitchPower):
        @action
        def set_target(self, new_target_value: bool) -> None:
            self.target = self.status = new_target_value

    class Level(Dimming):
        @action
        def set_load_level_target(self, new_load_level_target: int) -> None:
            self.load_level_status = new_load_level_target

    power, level = Power(), Level()
    power._invoke_action("SetTarget", {"newTargetValue": True})
    level._invoke_action("SetLoadLevelTarget", {"newLoadlevelTarget": 40})
    assert (power.status, level.load_level_status) == (True, 40)
    assert power.missing_actions() == level.missing_actions() == ()
