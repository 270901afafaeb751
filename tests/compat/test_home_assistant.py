"""Our discovery payloads in Home Assistant's own schemas, and its templates with our states."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import home_assistant_environment
from lab.own_environment import NoPython
from lab.programs import Missing
from propchange.bridge.home_assistant import OfferedService, discovery, removal
from propchange.bridge.payloads import plain_values, state_payload
from propchange.bridge.service_state import ServiceState
from propchange.bridge.topics import Topics
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.scpd import ServiceContents
from tests.bridge import described_services as described
from tests.compat.conftest import missing

pytestmark = pytest.mark.slow
Check = Callable[[dict[str, Any], list[Any]], dict[str, Any]]
CHECK = Path(__file__).parent / "home_assistant" / "check.py"


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """Has one process of Home Assistant's check payloads: it takes seconds to start."""
    try:
        python = home_assistant_environment.python()
    except NoPython as error:
        pytest.skip(str(error))  # with CI=true too: Debian 12 has no Python 3.12 to install
    except Missing as error:
        missing(str(error), wanted="environment with Home Assistant")
    log = tmp_path_factory.mktemp("home_assistant") / "stderr.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [python, "-W", "ignore", CHECK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        given, answers = process.stdin, process.stdout

        def check(payload: dict[str, Any], states: list[Any]) -> dict[str, Any]:
            given.write(json.dumps({"payload": payload, "states": states}) + "\n")
            given.flush()
            answer = answers.readline()
            assert answer, log.read_text()
            result: dict[str, Any] = json.loads(answer)
            assert "error" not in result, result
            return result

        yield check
        given.close()


def payload_of(contents: ServiceContents, *, commands: bool = True, **texts: Any) -> dict[str, Any]:
    services = [OfferedService("S", contents)]
    topics = Topics("home")
    made = discovery(
        described.device(**texts), "u", services, topics, via="root", commands=commands, version="1"
    )
    assert made.payload
    return made.payload


MAKES = {
    "WeMo": described.WEMO,
    "Sonos rendering": described.SONOS_RENDERING,
    "Sonos properties": described.SONOS_PROPERTIES,
    "Sonos topology": described.SONOS_TOPOLOGY,
    "router": described.GATEWAY_LINK,
    **{name: described.of_standard(name) for name in described.STANDARD},
}


@pytest.mark.parametrize("commands", [False, True])
@pytest.mark.parametrize("make", MAKES)
def test_home_assistant_takes_what_it_is_offered(check: Check, make: str, commands: bool) -> None:
    payload = payload_of(
        MAKES[make],
        commands=commands,
        manufacturer="M",
        model_name="N",
        model_number="1",
        serial_number="2",
        presentation_url="http://192.0.2.7/",
    )
    assert check(payload, []).keys() == payload["components"].keys()


def test_home_assistant_takes_the_message_that_removes_entities(check: Check) -> None:
    removed = removal(
        payload_of(described.scpd("evented Other string")), payload_of(described.WEMO)
    )
    assert check(removed, []) == {}


def test_names_of_a_device_stay_names(check: Check) -> None:
    evil = "}} {{ 1/0 }} {% raw %} \" ' \\ # \u2028 \ud800 😀"
    contents = described.scpd("evented Plain string\nevented Größe.ß string")
    variables = dict(contents.variables)
    for name, allowed in ((evil, None), ("Mode", [evil[:-8], "a"])):
        variables[name] = StateVariable.of("string", name=name, allowed=allowed)
    hostile = ServiceContents(variables, {}, ())
    payload = payload_of(hostile, friendly_name=evil, manufacturer=evil, udn=f"uuid:{evil}")
    payload = json.loads(json.dumps(payload).encode("utf-8"))
    state = {"values": {"Größe.ß": "big", "Mode": evil[:-8], "Plain": "{{ 1/0 }}"}}
    result = check(payload, [state])
    texts = {component["name"]: result[key][0] for key, component in payload["components"].items()}
    assert texts["Größe.ß"] == "big"
    assert texts["Mode"] == evil[:-8].strip()
    assert texts["Plain"] == "{{ 1/0 }}"


TYPES = described.scpd(
    """
    evented Flag boolean
    evented Count ui4
    evented Wide i8
    evented Price fixed.14.4
    evented Ratio r8
    evented Word string
    evented Mode string A|B
    evented Level ui1 0..100
    """,
    "SetLevel New=Level",
)


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("Flag", {True: "ON", False: "OFF", "8|x": "None", None: "None"}),
        ("Count", {0: "0", 42: "42", "junk": "None", None: "None"}),
        ("Wide", {7: "7", str(2**62): str(2**62), "junk": "None", None: "None"}),
        ("Price", {"12.5": "12.5", "nan": "None", "inf": "None", "x": "None", None: "None"}),
        ("Ratio", {0.5: "0.5", "inf": "None", None: "None"}),
        ("Word", {"": "", "a": "a", "x" * 255: "x" * 255, "x" * 256: "None", None: "None"}),
        ("Mode", {"A": "A", "C": "None", "": "None", None: "None"}),
        ("Level", {0: "0", 100: "100", 101: "None", "junk": "None", None: "None"}),
    ],
)
def test_each_value_becomes_a_state_or_none(
    check: Check, variable: str, values: dict[Any, str]
) -> None:
    states: list[Any] = [{} if value is None else {"values": {variable: value}} for value in values]
    # The last one is no JSON, as after a topic was cleared.
    rendered = check(payload_of(TYPES), [*states, None])[f"S_{variable}"]
    assert rendered == [*values.values(), "None"]


def test_the_state_that_the_bridge_publishes_is_read(check: Check) -> None:
    state = ServiceState("u", "u", "Desk", "M", "S", "id", "type")
    state.values, state.texts = {"Level": 30, "Flag": True}, {"Level": "30", "Flag": "1"}
    assert plain_values(state)
    published = json.loads(state_payload(state, "home"))
    result = check(payload_of(TYPES), [published])
    assert (result["S_Level"], result["S_Flag"]) == (["30"], ["ON"])
