"""Which action sets a variable, and with which other arguments."""

from __future__ import annotations

import pytest

from propchange.bridge.setters import find_setter
from tests.bridge import described_services as described


def setter_of(contents: described.ServiceContents, name: str) -> tuple[str, dict[str, object]]:
    found = find_setter(contents.variables[name], contents.actions.values())
    return ("", {}) if found is None else (found.action.name, found.inputs("VALUE"))


INSTANCE = "A_ARG_TYPE_InstanceID"


@pytest.mark.parametrize(
    ("service", "variable", "action", "inputs"),
    [
        ("SwitchPower", "Status", "SetTarget", {"newTargetValue": "VALUE"}),
        ("Dimming", "LoadLevelStatus", "SetLoadLevelTarget", {"newLoadlevelTarget": "VALUE"}),
        (
            "RenderingControl",
            "Volume",
            "SetVolume",
            {"InstanceID": 0, "Channel": "Master", "DesiredVolume": "VALUE"},
        ),
        (
            "AVTransport",
            "CurrentPlayMode",
            "SetPlayMode",
            {"InstanceID": 0, "NewPlayMode": "VALUE"},
        ),
        # Each has a second argument that only the user knows.
        ("AVTransport", "AVTransportURI", "", {}),
        ("AVTransport", "TransportState", "", {}),
        ("WANIPConnection", "PortMappingNumberOfEntries", "", {}),
        ("ContentDirectory", "SystemUpdateID", "", {}),
    ],
)
def test_the_setters_of_the_standard_services(
    service: str, variable: str, action: str, inputs: dict[str, object]
) -> None:
    assert setter_of(described.of_standard(service), variable) == (action, inputs)


@pytest.mark.parametrize(
    ("variables", "actions", "action"),
    [
        pytest.param("evented V string", "SetV New=V", "SetV", id="by its name"),
        pytest.param("evented V string", "setv New=V", "setv", id="in lower case"),
        pytest.param("evented V string", "X_SetIt New=V", "X_SetIt", id="by its one argument"),
        pytest.param("evented V string", "Forget Which=V", "", id="no setter by its name"),
        pytest.param("evented V string", "Reset Which=V", "", id="set inside of a word"),
        pytest.param("evented V string", "SetA N=V\nSetB N=V", "", id="two that could be"),
        pytest.param("evented V string", "SetV N=V\nSetB N=V", "SetV", id="the name decides"),
        pytest.param("evented V boolean\nW ui1", "SetV New=W", "", id="another kind of value"),
        pytest.param("evented V ui1\nW r4", "SetV New=W", "SetV", id="two kinds of numbers"),
        pytest.param("evented V string\nW string", "SetV N=V M=W", "", id="another argument"),
        pytest.param("evented V string\nW string a", "SetV N=V M=W", "SetV", id="with one value"),
        pytest.param("evented V string\nW string a|b", "SetV N=V M=W", "", id="with two values"),
        pytest.param("evented V string", "SetV", "", id="without an argument"),
        pytest.param("evented V string", "SetV N=V M=V", "", id="with it twice"),
        pytest.param(
            f"evented V ui1\n{INSTANCE} string",
            f"SetV InstanceID={INSTANCE} N=V",
            "",
            id="no number",
        ),
        pytest.param(
            "evented V ui1\nC string LF|RF", "SetV Channel=C N=V", "", id="no channel Master"
        ),
    ],
)
def test_an_action_is_a_setter_only_if_nothing_else_has_to_be_known(
    variables: str, actions: str, action: str
) -> None:
    assert setter_of(described.scpd(variables, actions), "V")[0] == action
