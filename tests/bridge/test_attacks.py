"""What devices, and whoever is on the broker, cannot make a bridge do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.bridge import home_assistant, service_state
from propchange.bridge.commands import Command, CommandRefused, action_request
from propchange.bridge.configuration import (
    BridgeSettings,
    BrokerSettings,
    ConfigurationError,
    broker_settings,
    read_configuration,
)
from propchange.bridge.discovery_messages import DiscoveryMessages
from propchange.bridge.home_assistant import OfferedService, discovery, read_owner
from propchange.bridge.mqtt import MqttOutput
from propchange.bridge.nats_settings import nats_settings
from propchange.bridge.payloads import availability_payload, read_availability
from propchange.bridge.retained import RetainedTopics, Wanted
from propchange.bridge.service_state import ServiceState
from propchange.bridge.service_watching import ServiceWatching
from propchange.bridge.topics import Topics
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Change, Changes, Event
from propchange.driver.sightings import SightingKind
from tests.bridge.described_services import scpd

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "number", ["1e9999999", "-1e9999999", "1e-9999999", "1e99999999999999999999999"]
)
@pytest.mark.parametrize("type", ["ui4", "number", "r8", "fixed.14.4", "string"])
def test_a_number_of_a_few_bytes_never_becomes_one_of_millions(number: str, type: str) -> None:
    contents = scpd(f"A {type}", "SetA X=A")
    command = Command("t", "u", "s", "SetA", True, f'{{"X": {number}}}'.encode())
    with pytest.raises(CommandRefused, match="too large or too small"):
        action_request(command, contents)


def test_setters_are_looked_for_only_for_the_entities_that_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(home_assistant, "find_setter", lambda each, _: looked.append(each.name))
    contents = scpd("\n".join(f"evented V{n} ui1" for n in range(1_000)), "SetV A=V1")
    device: Any = SimpleNamespace(
        friendly_name="Desk",
        udn="uuid:u",
        manufacturer="",
        model_name="",
        model_number="",
        serial_number="",
        presentation_url="",
        url="http://192.0.2.7/",
        host=None,
    )
    made = discovery(device, "u", [OfferedService("S", contents)], Topics("b"), commands=True)
    assert len(looked) <= len(made.payload["components"]) + 1 <= 257
    assert len(made.payload["components"]) + len(made.left_out) == 1_000


def event(*pairs: tuple[str, str]) -> Event:
    changes = tuple(Change(name, text, None, None, None, text) for name, text in pairs)
    return Event(None, "uuid:9", 3, Changes(), changes)


def test_the_characters_of_a_service_are_bounded_and_no_former_value_stays() -> None:
    state = ServiceState("1", "1", "Desk", "", "Lamp", "urn:x:serviceId:Lamp", "urn:x:1")
    for number in range(20):
        state.receive(event((f"V{number}", "x" * 100_000)), NOON)
    kept = sum(len(name) + len(text) for name, text in state.texts.items())
    assert kept <= service_state.CHARACTERS_KEPT
    assert state.values.keys() == state.texts.keys() == {"V0", "V1"}
    assert state.left_out == 18
    state.receive(event(("V0", "y" * 300_000)), NOON)
    assert (list(state.values), state.left_out) == (["V1"], 19)
    state.receive(event(("V0", "small")), NOON)
    assert (state.values["V0"], state.left_out) == ("small", 18)


def new_output(said: list[str]) -> MqttOutput:
    broker = BrokerSettings("127.0.0.1", 1883, tls=False)
    return MqttOutput(broker, BridgeSettings("attic"), say=said.append)


async def test_a_flood_of_commands_does_not_keep_states_back() -> None:
    output = new_output([])
    for number in range(5_000):
        output.answer(f"t/{number}/answer", b"{}")
    wanted = Wanted(b"1", False, b"1", {})
    for number in range(10):
        output.retained.want(f"s{number}", f"s{number}", lambda: wanted)
    output.retained.begin()
    output.retained.read()
    first = [output.next_message() for _ in range(30)]
    assert sum(each is not None and each[1] for each in first) >= 10
    waiting = 0
    while output.next_message() is not None:
        waiting += 1
    assert waiting < 1_024


async def test_answers_that_wait_have_bounded_bytes() -> None:
    output, sent = new_output([]), 0
    for number in range(100):
        output.answer(f"t/{number}/answer", b"x" * 1_000_000)
    while (message := output.next_message()) is not None:
        sent += len(message[0].payload)
    assert 10_000_000 < sent <= 17_000_000


async def test_invented_bridges_cause_few_lines_and_a_long_name_is_no_bridge() -> None:
    said: list[str] = []
    output = new_output(said)
    for number in range(1_000):
        output._say_other(f"bridge-{number}")
    assert 0 < len(said) <= DEFAULT_LIMITS.log_lines + 1
    assert read_availability(availability_payload("x" * 100_000)) is None
    component = {"availability": [{"topic": f"p/bridge/{'x' * 1_000}/availability"}]}
    assert read_owner(json.dumps({"components": {"a": component}}).encode()) is None
    assert read_owner(b" " * 2_000_000 + b"{}") is None


def test_what_invented_bridges_say_costs_no_look_at_all_services() -> None:
    topics = RetainedTopics(
        "attic", mark_of=read_availability, lost_mark=b"", other_found=lambda _: None
    )
    for number in range(1_000):
        mark = availability_payload("cellar" if number == 7 else "attic")
        topics.hear(f"p/{number}", f"p/{number}/m", f"p/{number}/m", mark)
    topics.read()
    while topics.take() is not None:
        pass
    topics._changed.clear()
    for online in (True, False) * 100:
        topics.hear_bridge("cellar", online)
        topics.hear_bridge("nobody", online)
    assert list(topics._changed) == ["p/7"]


async def test_home_assistant_is_answered_once_however_often_it_says_that_it_has_started() -> None:
    messages = DiscoveryMessages(new_output([]))
    for _ in range(1_000):
        messages.hear("homeassistant/status", b"online", retained=False)
    assert len(messages._tasks) == 1
    for task in messages._tasks:
        task.cancel()


def test_nothing_is_kept_of_unknown_devices_that_say_goodbye_and_few_lines_are_said() -> None:
    said: list[str] = []
    control_point: Any = SimpleNamespace()
    watching = ServiceWatching(control_point, SimpleNamespace(), say=said.append)  # type: ignore[arg-type] # no output is called
    for number in range(1_000):
        seen: Any = SimpleNamespace(udn=f"uuid:{number}", kind=SightingKind.GONE)
        watching.device(seen, None, None)
        seen.kind = SightingKind.APPEARED
        watching.device(seen, None, "it cannot be read")
        seen.kind = SightingKind.GONE
        watching.device(seen, None, None)
    assert watching._gone == set()
    assert 0 < len(said) <= DEFAULT_LIMITS.log_lines + 1


@pytest.mark.parametrize("url", ["x://u:secret@h:99999", "x://u:sec/ret@h", "x://u:secret@[::1"])
def test_no_password_of_a_url_is_in_an_error(url: str) -> None:
    errors = []
    with pytest.raises(ConfigurationError) as raised:
        broker_settings(url.replace("x:", "mqtt:"), {}, {})
    errors.append(str(raised.value))
    with pytest.raises(ConfigurationError) as raised:
        nats_settings(url.replace("x:", "nats:"), {}, {}, name="attic")
    errors.append(str(raised.value))
    with pytest.raises(ConfigurationError) as raised:
        read_configuration(f"[mqtt]\nurl = [{url!r}]", "f")
    assert not any("sec" in each for each in (*errors, str(raised.value)))
