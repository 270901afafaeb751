"""What Home Assistant is offered of a device, by its descriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.bridge.home_assistant import (
    Discovery,
    OfferedService,
    discovery,
    discovery_topic,
    entity,
    offered_embedders,
    removal,
)
from propchange.bridge.topics import Topics
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.scpd import ServiceContents
from tests.bridge import described_services as described

TOPICS = Topics("home")


def offered(
    contents: ServiceContents, *, commands: bool = False, **texts: Any
) -> Mapping[str, dict[str, Any]]:
    """The components by the names of their variables."""
    made = of(contents, commands=commands, **texts).payload.get("components", {})
    return {key.removeprefix("S_"): component for key, component in made.items()}


def of(contents: ServiceContents, *, commands: bool = False, **texts: Any) -> Discovery:
    device = described.device(**texts)
    services = [OfferedService("S", contents)]
    return discovery(device, "rincon_1", services, TOPICS, commands=commands)


def platforms(contents: ServiceContents, *, commands: bool = False) -> dict[str, str]:
    return {
        name: " ".join(filter(None, (each["platform"], each.get("device_class"))))
        for name, each in offered(contents, commands=commands).items()
    }


@pytest.mark.parametrize(
    ("contents", "read", "set_too"),
    [
        pytest.param(
            described.WEMO,
            {"BinaryState": "binary_sensor", "CountdownEndTime": "sensor"},
            {"BinaryState": "switch"},
            id="WeMo",
        ),
        pytest.param(
            described.SONOS_RENDERING,
            {
                "Mute": "binary_sensor",
                "Volume": "sensor",
                "Bass": "sensor",
                "HeadphoneConnected": "binary_sensor",
                "OutputFixed": "binary_sensor",
                "PresetNameList": "sensor",
            },
            {"Mute": "switch", "Volume": "number", "Bass": "number", "OutputFixed": "switch"},
            id="Sonos RenderingControl",
        ),
        pytest.param(
            described.SONOS_PROPERTIES,
            {"ZoneName": "sensor", "MicEnabled": "sensor", "ButtonLockState": "sensor enum"},
            {"ButtonLockState": "select"},
            id="Sonos DeviceProperties",
        ),
        pytest.param(
            described.SONOS_TOPOLOGY,
            {"AvailableSoftwareUpdate": "sensor"},
            {},
            id="Sonos ZoneGroupTopology",
        ),
        pytest.param(
            described.GATEWAY_LINK,
            {"PhysicalLinkStatus": "sensor enum", "EnabledForInternet": "binary_sensor"},
            {"EnabledForInternet": "switch"},
            id="router",
        ),
        pytest.param(
            described.of_standard("SwitchPower"),
            {"Status": "binary_sensor"},
            {"Status": "switch"},
            id="SwitchPower",
        ),
        pytest.param(
            described.of_standard("Dimming"),
            {
                "LoadLevelStatus": "sensor",
                "StepDelta": "sensor",
                "RampRate": "sensor",
                "IsRamping": "binary_sensor",
                "RampPaused": "binary_sensor",
            },
            {"LoadLevelStatus": "number", "StepDelta": "number", "RampRate": "number"},
            id="Dimming",
        ),
        pytest.param(
            described.of_standard("ContentDirectory"),
            {"SystemUpdateID": "sensor"},
            {},
            id="ContentDirectory",
        ),
        pytest.param(
            described.of_standard("ConnectionManager"),
            {"CurrentConnectionIDs": "sensor"},
            {},
            id="ConnectionManager",
        ),
        pytest.param(
            described.of_standard("WANIPConnection"),
            {
                "PossibleConnectionTypes": "sensor",
                "ConnectionStatus": "sensor enum",
                "ExternalIPAddress": "sensor",
                "PortMappingNumberOfEntries": "sensor",
            },
            {},
            id="WANIPConnection",
        ),
    ],
)
def test_a_variable_becomes_what_its_type_and_its_actions_say(
    contents: ServiceContents, read: dict[str, str], set_too: dict[str, str]
) -> None:
    assert platforms(contents) == read
    assert platforms(contents, commands=True) == {**read, **set_too}


def test_a_renderer_is_offered_what_comes_by_its_lastchange_and_no_positions() -> None:
    transport = platforms(described.of_standard("AVTransport"), commands=True)
    assert transport["TransportState"] in ("sensor enum", "sensor")
    assert transport["CurrentPlayMode"] in ("select", "sensor enum")
    assert not [name for name in transport if "Position" in name or "MetaData" in name]
    assert "LastChange" not in transport
    rendering = platforms(described.of_standard("RenderingControl"), commands=True)
    assert (rendering["Volume"], rendering["Mute"]) == ("number", "switch")


def test_nothing_can_be_set_unless_commands_are_allowed() -> None:
    for name in described.STANDARD:
        for component in offered(described.of_standard(name)).values():
            assert component["platform"] in ("sensor", "binary_sensor")
            assert "command_topic" not in component


def test_each_variable_that_is_not_offered_has_a_reason() -> None:
    contents = described.scpd(
        """
        evented Picture bin.base64
        evented TransferIDs string
        evented SourceProtocolInfo string
        Quiet string
        A_ARG_TYPE_Any string
        """
    )
    left_out = of(contents).left_out
    assert {name for _, name in left_out} == set(contents.variables)
    assert left_out["S", "Picture"] == "it is binary"
    assert left_out["S", "Quiet"] == "the device sends no events of it"


@pytest.mark.parametrize(
    ("variable", "argument", "expected"),
    [
        ("evented Level ui1", "Level", (0, 255, 1)),
        ("evented Level ui2 10..90/5", "Level", (10, 90, 5)),
        ("evented Level ui2 10..90/5\nWanted ui2 20..200/10", "Wanted", (20, 90, 10)),
        ("evented Level r4 0..1/0.00001", "Level", (0.0, 1.0, 0.001)),
        ("evented Level fixed.14.4 -5..5", "Level", (-5.0, 5.0, 0.001)),
        ("evented Level r8", "Level", None),
        ("evented Level int", "Level", None),
        ("evented Level ui8", "Level", None),
        ("evented Level ui2 7..7", "Level", None),
    ],
)
def test_a_number_has_the_range_that_the_device_takes(
    variable: str, argument: str, expected: tuple[float, float, float] | None
) -> None:
    contents = described.scpd(variable, f"SetLevel Value={argument}")
    component = offered(contents, commands=True)["Level"]
    if expected is None:
        # Home Assistant would take 1 to 100 for a range that is not given.
        assert component["platform"] == "sensor"
    else:
        assert component["platform"] == "number"
        assert (component["min"], component["max"], component["step"]) == expected


def test_a_choice_has_only_values_that_can_be_shown_and_sent() -> None:
    contents = described.scpd(
        "evented Mode string A|None|B|C\nWanted string B|C|D", "SetMode NewMode=Wanted"
    )
    assert offered(contents)["Mode"]["options"] == ["A", "B", "C"]
    assert offered(contents, commands=True)["Mode"]["options"] == ["B", "C"]
    many = described.scpd(f"evented Mode string {'|'.join(map(str, range(1000)))}")
    assert "options" not in offered(many)["Mode"]


def test_an_entity_is_available_if_the_bridge_and_the_service_are() -> None:
    component = offered(described.WEMO)["BinaryState"]
    assert [each["topic"] for each in component["availability"]] == [
        "propchange/bridge/home/availability",
        "propchange/rincon_1/S/availability",
    ]
    assert component["availability_mode"] == "all"
    assert component["state_topic"] == "propchange/rincon_1/S"


def test_identities_stay_when_the_address_and_the_name_change() -> None:
    def identities(made: Discovery) -> list[str]:
        return [made.topic, *(each["unique_id"] for each in made.payload["components"].values())]

    before = of(described.WEMO)
    after = of(described.WEMO, url="http://192.0.2.99:1401/other.xml", friendly_name="Hall")
    assert identities(before) == identities(after)
    assert after.payload["device"]["name"] == "Hall"


def test_the_device_has_what_its_description_says() -> None:
    block = of(
        described.WEMO,
        manufacturer="Sonos,\nInc.",
        model_name="Play:1",
        serial_number="00-11",
        presentation_url="http://192.0.2.7/index.html",
    ).payload["device"]
    assert block == {
        "identifiers": ["propchange_rincon_1"],
        "connections": [["upnp", "uuid:RINCON_1"]],
        "name": "Kitchen",
        "manufacturer": "Sonos, Inc.",
        "model": "Play:1",
        "serial_number": "00-11",
        "configuration_url": "http://192.0.2.7/index.html",
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.8/",
        "http://attacker.example/",
        "ftp://192.0.2.7/",
        "http://192.0.2.7.attacker.example/",
        "http://[fe80::1%25eth0]/",
        f"http://192.0.2.7/{'x' * 300}",
        "http://[",
        "",
    ],
)
def test_the_link_of_a_device_leads_to_the_device_or_is_left_out(url: str) -> None:
    block = of(described.WEMO, presentation_url=url).payload["device"]
    assert "configuration_url" not in block


def test_an_embedded_device_names_the_nearest_device_that_is_offered() -> None:
    inner = described.device(udn="uuid:inner")
    middle = described.device(udn="uuid:middle", devices=(inner,))
    root = described.device(udn="uuid:root", devices=(middle,))
    assert offered_embedders(root, ["uuid:root", "uuid:inner"]) == {
        "uuid:root": "",
        "uuid:middle": "uuid:root",
        "uuid:inner": "uuid:root",
    }
    services = [OfferedService("S", described.WEMO)]
    block = discovery(inner, "inner", services, TOPICS, root=root, via="root").payload["device"]
    assert block["via_device"] == "propchange_root"


def test_entities_with_one_name_in_two_services_are_told_apart() -> None:
    services = [OfferedService(name, described.GATEWAY_LINK) for name in ("WAN1", "WAN2")]
    payload = discovery(described.device(), "u", services, TOPICS).payload
    names = [each["name"] for each in payload["components"].values()]
    assert sorted(names) == [
        "WAN1 Enabled For Internet",
        "WAN1 Physical Link Status",
        "WAN2 Enabled For Internet",
        "WAN2 Physical Link Status",
    ]


def test_what_is_not_offered_any_more_is_removed_by_name_and_by_its_platform() -> None:
    former = of(described.WEMO).payload
    with_commands = of(described.WEMO, commands=True).payload
    assert removal(with_commands, former)["components"] == {
        "S_BinaryState": {"platform": "binary_sensor"}
    }
    fewer = of(described.scpd("evented BinaryState Boolean")).payload
    removed = removal(fewer, former)
    assert removed["components"] == {"S_CountdownEndTime": {"platform": "sensor"}}
    # Nothing is removed twice, and nothing without need.
    assert removal(fewer, removed) == removal(fewer, fewer) == {}


@pytest.mark.parametrize("former", [{}, {"components": None}, {"components": {"a": None, "b": {}}}])
def test_a_former_payload_of_another_program_removes_nothing(former: dict[str, Any]) -> None:
    assert removal(of(described.WEMO).payload, former) == {}


def test_a_device_with_thousands_of_variables_has_a_bounded_payload() -> None:
    lines = "\n".join(f"evented {'V' * 60}{number} string" for number in range(2000))
    made = of(described.scpd(lines))
    assert len(made.payload["components"]) <= 256
    assert len(json.dumps(made.payload)) < 300_000
    assert len(made.left_out) + len(made.payload["components"]) == 2000


ANY = st.text(max_size=80)


@given(ANY, ANY)
def test_devices_with_different_names_have_different_topics(one: str, other: str) -> None:
    topics = discovery_topic(one), discovery_topic(other)
    assert (topics[0] == topics[1]) == (one == other)
    for topic in topics:
        assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)


@given(ANY, ANY, st.lists(ANY, max_size=5))
def test_no_text_of_a_device_leaves_the_literals_of_a_template(
    name: str, friendly: str, allowed: list[str]
) -> None:
    values = [each for each in allowed if each.isprintable()] or None
    variable = StateVariable.of("string", name=name or "N", allowed=values)
    template = entity(variable, None)["value_template"]
    outside = re.sub(
        r'"(?:[A-Za-z0-9_]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"', "", template
    )
    assert '"' not in outside
    assert outside.count("{{") == outside.count("{%") == 1
    json.dumps(of(described.WEMO, friendly_name=friendly).payload).encode()
