"""The standard services: which variables they event, and how."""

from __future__ import annotations

from typing import assert_type

import pytest

from propchange.core.values.lastchange import AVT, RCS, LastChangeEntry, parse_lastchange
from propchange.core.values.state_variables import StateVariable
from propchange.upnp import standard
from propchange.upnp.scpd import parse_scpd
from propchange.upnp.service import Service
from propchange.upnp.service_declaration import default_service_id
from propchange.upnp.standard import (
    AVTransport,
    ConnectionManager,
    ContentDirectory,
    Dimming,
    RenderingControl,
    SwitchPower,
    WANCommonInterfaceConfig,
    WANIPConnection,
)
from tests.upnp.sinks import Sink

SERVICES: list[type[Service]] = [getattr(standard, name) for name in standard.__all__]


@pytest.mark.parametrize("service", SERVICES)
def test_the_type_is_that_of_the_standard_in_version_1(service: type[Service]) -> None:
    made = service()
    assert made.service_type == f"urn:schemas-upnp-org:service:{service.__name__}:1"
    assert made.service_id == default_service_id(made.service_type)


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_description_says_what_is_declared(service: type[Service]) -> None:
    made = service()
    table = parse_scpd(made.scpd())
    assert table.problems == ()
    assert list(table.variables) == list(made.variables)
    assert [n for n, v in table.variables.items() if v.evented] == list(made.evented)
    for name, variable in table.variables.items():
        declared = made.variables[name]
        assert variable.data_type is declared.data_type
        assert variable.allowed == declared.allowed
        assert variable.initial == declared.initial


@pytest.mark.clause("SCPD-02")
@pytest.mark.clause("LC-01")
@pytest.mark.clause("LC-11")
@pytest.mark.clause("LC-13")
@pytest.mark.parametrize(
    ("service", "evented"),
    [
        (AVTransport, {"LastChange": 0.2}),
        (RenderingControl, {"LastChange": 0.2}),
        (
            ConnectionManager,
            {"SourceProtocolInfo": None, "SinkProtocolInfo": None, "CurrentConnectionIDs": None},
        ),
        (
            ContentDirectory,
            {"SystemUpdateID": 2.0, "ContainerUpdateIDs": 0.2, "TransferIDs": None},
        ),
        (SwitchPower, {"Status": None}),
        (
            Dimming,
            dict.fromkeys(["LoadLevelStatus", "StepDelta", "RampRate", "IsRamping", "RampPaused"]),
        ),
        (
            WANIPConnection,
            dict.fromkeys(
                [
                    "PossibleConnectionTypes",
                    "ConnectionStatus",
                    "ExternalIPAddress",
                    "PortMappingNumberOfEntries",
                ]
            ),
        ),
        (WANCommonInterfaceConfig, dict.fromkeys(["PhysicalLinkStatus", "EnabledForInternet"])),
    ],
)
def test_what_is_evented_is_evented_as_the_standard_says(
    service: type[Service], evented: dict[str, float | None]
) -> None:
    made = service()
    intervals = {name: made.variables[name].minimum_interval for name in made.evented}
    assert intervals == evented


@pytest.mark.clause("LC-02")
@pytest.mark.parametrize("service", [AVTransport, RenderingControl])
def test_all_but_positions_and_argument_types_is_told_by_last_change(
    service: type[Service],
) -> None:
    made = service()
    read = parse_lastchange(made._initial_texts()["LastChange"])
    assert read.namespace == {AVTransport: AVT, RenderingControl: RCS}[service]
    told = {entry.variable for entry in read.entries}
    assert set(made.variables) - told - {"LastChange"} == {
        name for name in made.variables if name.startswith("A_ARG_TYPE_") or "Position" in name
    }


@pytest.mark.clause("LC-04")
def test_the_audio_variables_have_channels() -> None:
    with_channels = {n for n, v in RenderingControl().variables.items() if v.channel == "Master"}
    assert with_channels == {"Mute", "Volume", "VolumeDB", "Loudness"}


def test_the_attributes_are_typed() -> None:
    rendering = RenderingControl()
    rendering.volume = 20
    rendering.volume_db = -256 * 12
    rendering.mute = True
    assert_type(rendering.volume, int)
    assert_type(rendering.mute, bool)
    transport = AVTransport()
    assert_type(transport.transport_state, str)
    with pytest.raises(ValueError, match="TransportState: 'PAUSED' is not allowed"):
        transport.transport_state = "PAUSED"
    dimming = Dimming()
    dimming.load_level_status = 55
    assert (rendering["VolumeDB"], dimming["LoadLevelStatus"]) == (-3072, 55)


def test_what_a_vendor_has_differently_is_declared_anew() -> None:
    class Amplifier(RenderingControl, without=["Brightness", "Contrast", "Sharpness"]):
        volume = StateVariable("ui2", maximum=31)
        bass = StateVariable("i2", evented="LastChange", name="X_Bass")

    amplifier = Amplifier()
    assert "Brightness" not in amplifier
    with pytest.raises(ValueError, match="to 31"):
        amplifier.volume = 32
    entries = parse_lastchange(amplifier._initial_texts()["LastChange"]).entries
    assert LastChangeEntry(0, "X_Bass", None, "0") in entries
    assert LastChangeEntry(0, "Volume", "Master", "0") in entries


@pytest.mark.clause("SCPD-02")
def test_a_standard_variable_that_is_declared_anew_stays_evented_as_in_its_standard() -> None:
    class Shelf(ContentDirectory):
        system_update_id = StateVariable("ui4", initial=7, name="SystemUpdateID")

    assert Shelf().variables["SystemUpdateID"].minimum_interval == 2.0

    class Amplifier(RenderingControl):
        mute = StateVariable("boolean", initial=True)

    class Louder(Amplifier):
        mute = StateVariable("boolean", evented=False)

    assert "Mute" not in Amplifier().evented
    assert Amplifier().variables["Mute"].channel == "Master"
    assert RenderingControl().variables["Mute"].initial is False
    assert Louder().variables["Mute"].evented is False


@pytest.mark.clause("LC-12")
def test_containers_are_told_each_with_its_update_id() -> None:
    directory, sink = ContentDirectory(), Sink()
    directory._attach_sink(sink)
    directory.container_updated("7", 1)
    with directory.batch():
        directory.system_update_id = 5
        directory.container_updated("7", 2)
        directory.container_updated("a,b", 3)
        directory.container_updated("7", 4)
    assert sink.published == [
        {"ContainerUpdateIDs": "7,1"},
        {"SystemUpdateID": "5", "ContainerUpdateIDs": r"a\,b,3,7,4"},
    ]
