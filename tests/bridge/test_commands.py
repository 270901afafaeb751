"""Commands from the broker: which call of an action each becomes, and which are refused."""

from __future__ import annotations

import contextlib
import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.bridge.commands import (
    COMMAND_BYTES,
    COMMANDS_OF_DEVICE,
    COMMANDS_RUNNING,
    COMMANDS_WAITING,
    Command,
    CommandRefused,
    WaitingCommands,
    action_request,
    answer_payload,
    command_filter,
    read_command,
    refusal_payload,
)
from propchange.bridge.topics import part
from propchange.upnp.scpd import ServiceContents
from tests.bridge import described_services as described

TYPES = described.scpd(
    """
    Flag boolean
    Small ui1 0..100/5
    Wide i8
    Ratio r8
    Price fixed.14.4
    Word string
    Mode string A|B
    Day date
    Raw bin.hex
    """,
    """
    SetFlag New=Flag
    SetSmall New=Small
    SetWide New=Wide
    SetRatio New=Ratio
    SetPrice New=Price
    SetWord New=Word
    SetMode New=Mode
    SetDay New=Day
    SetRaw New=Raw
    """,
)


def command(topic: str, payload: str | bytes = "") -> Command:
    body = payload.encode() if isinstance(payload, str) else payload
    read = read_command(f"propchange/u/S/{topic}", body, "propchange")
    assert read is not None
    return read


def inputs(topic: str, payload: str | bytes, contents: ServiceContents = TYPES) -> Any:
    return action_request(command(topic, payload), contents).inputs


def refusal(topic: str, payload: str | bytes, contents: ServiceContents = TYPES) -> str:
    with pytest.raises(CommandRefused) as refused:
        action_request(command(topic, payload), contents)
    sentence = str(refused.value)
    assert sentence.isprintable()
    assert len(sentence) < 1000
    return sentence


@pytest.mark.parametrize(
    ("topic", "name", "calls"),
    [
        ("propchange/u/S/Volume/set", "Volume", False),
        ("propchange/u/S/call/Play", "Play", True),
        ("propchange/u/S/call/set", "set", True),
        ("home/upnp/u/S/Volume/set", "Volume", False),
    ],
)
def test_a_command_is_read_from_its_topic(topic: str, name: str, calls: bool) -> None:
    base = topic.split("/u/", maxsplit=1)[0]
    read = read_command(topic, b"", base)
    assert read is not None
    assert (read.udn, read.service, read.name, read.calls) == ("u", "S", name, calls)


@pytest.mark.parametrize(
    "topic",
    [
        "propchange/u/S/Volume",
        "propchange/u/S/Volume/get",
        "propchange/u/S/call/Play/answer",
        "propchange/u/S/Volume/set/answer",
        "propchange/u//Volume/set",
        "other/u/S/Volume/set",
        f"propchange/u/S/{'x' * 65}/set",
        f"propchange/u/S/call/{'x' * 65}",
        "set",
        "",
    ],
)
def test_other_topics_are_no_commands(topic: str) -> None:
    assert read_command(topic, b"", "propchange") is None


def test_one_filter_has_all_commands_and_no_answer() -> None:
    assert command_filter("a/b") == "a/b/+/+/+/+"
    levels = len(command_filter("propchange").split("/"))
    assert len(command("Volume/set").topic.split("/")) == levels
    assert len(command("call/Play").topic.split("/")) == levels
    assert len(command("call/Play").answer_topic.split("/")) != levels


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        *(("Flag", text, True) for text in ("1", "true", "True", "yes", "ON", "on\n")),
        *(("Flag", text, False) for text in ("0", "false", "no", "OFF")),
        ("Small", "30", 30),
        ("Small", "30.0", 30),
        ("Wide", "-9223372036854775808", -(2**63)),
        ("Ratio", "1e-3", 0.001),
        ("Price", "12.5", Decimal("12.5")),
        ("Word", "Grüße ☃", "Grüße ☃"),
        ("Word", "", ""),
        ("Mode", "A", "A"),
        ("Day", "2027-03-28", datetime.date(2027, 3, 28)),
    ],
)
def test_the_text_of_a_value_is_read_as_from_a_device(
    variable: str, text: str, value: object
) -> None:
    assert inputs(f"{variable}/set", text) == {"New": value}


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("Flag", "maybe", "boolean"),
        ("Small", "", "ui1"),
        ("Small", "101", "0 to 100"),
        ("Small", "300", "ui1"),
        ("Small", "3", "0 to 100"),
        ("Small", "NaN", "ui1"),
        ("Ratio", "inf", "r8"),
        ("Mode", "C", "'A' or 'B'"),
        ("Word", "\x00", "string"),
        ("Nothing", "1", "Flag, Small"),
    ],
)
def test_a_value_that_the_device_does_not_take_is_refused_with_what_it_takes(
    variable: str, text: str, words: str
) -> None:
    assert words in refusal(f"{variable}/set", text)


def test_setting_a_variable_of_a_renderer_means_its_first_instance_and_all_channels() -> None:
    request = action_request(command("Volume/set", "30"), described.SONOS_RENDERING)
    assert request.action.name == "SetVolume"
    assert request.inputs == {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 30}


def test_a_variable_without_a_setter_names_the_actions_that_there_are() -> None:
    contents = described.of_standard("AVTransport")
    assert "Play" in refusal("TransportState/set", "PLAYING", contents)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("", None),
        ("  ", None),
        ("{}", None),
        ('{"Speed": "1"}', {"InstanceID": 0, "Speed": "1"}),
        ('{"Speed": "1", "InstanceID": 3}', {"InstanceID": 3, "Speed": "1"}),
        ('{"Speed": "1", "InstanceID": 3.0}', {"InstanceID": 3, "Speed": "1"}),
        ('{"Speed": "1", "InstanceID": "3"}', {"InstanceID": 3, "Speed": "1"}),
    ],
)
def test_a_call_has_its_arguments_as_json(payload: str, expected: dict[str, object] | None) -> None:
    contents = described.scpd(
        "S string 1|2\nA_ARG_TYPE_InstanceID ui4",
        "Play InstanceID=A_ARG_TYPE_InstanceID Speed=S",
    )
    if expected is None:
        assert "lacks the in argument Speed" in refusal("call/Play", payload, contents)
    else:
        assert inputs("call/Play", payload, contents) == expected


@pytest.mark.parametrize(
    "payload",
    [
        "[1]",
        "1",
        "null",
        "{",
        '{"New": NaN}',
        '{"New": 1e400}',
        '{"New": {"a": 1}}',
        '{"New": [1]}',
        '{"New": null}',
        '{"New": true}',
        '{"New": 1.5}',
        '{"New": 5, "New": 5}',
        '{"New": 5, "Other\\u001b": 5}',
        '{"New": ' + "9" * 5000 + "}",
        "[" * 60_000,
        '{"a":' * 10_000,
        b"\xff",
        "x" * (COMMAND_BYTES + 1),
    ],
)
def test_a_payload_that_fits_no_call_is_refused_with_a_sentence(payload: str | bytes) -> None:
    refusal("call/SetSmall", payload)


@given(
    st.binary(max_size=60), st.sampled_from(["call/SetSmall", "Small/set", "Day/set", "Raw/set"])
)
def test_any_payload_is_a_call_or_is_refused(payload: bytes, topic: str) -> None:
    with contextlib.suppress(CommandRefused):
        request = action_request(command(topic, payload), TYPES)
        assert list(request.inputs) == ["New"]


def test_a_name_that_cannot_be_in_a_topic_is_found_by_its_part() -> None:
    contents = described.scpd("call string\nset string", "Setcall New=call")
    assert inputs(f"{part('call')}/set", "x", contents) == {"New": "x"}
    assert "no variable call" in refusal("call~/set", "x", contents).replace("~", "")


def test_an_answer_has_the_out_arguments_as_json_has_them() -> None:
    contents = described.of_standard("RenderingControl")
    action = contents.actions["GetVolume"]
    call = action_request(command("call/GetVolume"), contents)
    assert json.loads(answer_payload(call, {"CurrentVolume": 20})) == {
        "action": "GetVolume",
        "outputs": {"CurrentVolume": 20},
    }
    assert action.outputs
    answer = {"CurrentVolume": None, "Unknown": "text"}
    assert json.loads(answer_payload(call, answer))["outputs"] == answer
    assert json.loads(refusal_payload("no\n", 718)) == {"error": "no\\n", "code": 718}
    assert json.loads(refusal_payload("no")) == {"error": "no"}


# --- what waits ---


def of_device(number: int, topic: str, payload: bytes = b"") -> Command:
    read = read_command(f"propchange/u{number}/S/{topic}", payload, "propchange")
    assert read is not None
    return read


def test_a_device_carries_out_one_command_at_a_time_in_order() -> None:
    waiting = WaitingCommands()
    first, second, other = (
        of_device(1, "call/A"),
        of_device(1, "call/B"),
        of_device(2, "call/C"),
    )
    for each in (first, second, other):
        waiting.add(each)
    assert (waiting.take(), waiting.take(), waiting.take()) == (first, other, None)
    waiting.done(first)
    assert waiting.take() is second


def test_of_a_slider_that_is_moved_the_last_position_counts() -> None:
    waiting = WaitingCommands()
    waiting.add(of_device(1, "Volume/set", b"0"))
    running = waiting.take()
    assert running is not None
    for position in range(1, 1000):
        waiting.add(of_device(1, "Volume/set", b"%d" % position))
    waiting.done(running)
    last = waiting.take()
    assert last is not None
    assert last.payload == b"999"
    waiting.done(last)
    assert waiting.take() is None


def test_an_action_between_two_commands_to_set_is_called_between_them() -> None:
    waiting = WaitingCommands()
    commands = [of_device(1, topic) for topic in ("Power/set", "call/A", "Power/set")]
    for each in commands:
        assert waiting.add(each) is None
    for each in commands:
        assert waiting.take() is each
        waiting.done(each)


def test_what_waits_and_what_runs_is_bounded() -> None:
    waiting = WaitingCommands()
    for _ in range(COMMANDS_OF_DEVICE):
        waiting.add(of_device(0, "call/A"))
    with pytest.raises(CommandRefused, match="of this device"):
        waiting.add(of_device(0, "call/A"))
    for number in range(1, COMMANDS_WAITING - COMMANDS_OF_DEVICE + 1):
        waiting.add(of_device(number, "call/A"))
    with pytest.raises(CommandRefused, match="are waiting"):
        waiting.add(of_device(9999, "call/A"))
    running = []
    while (taken := waiting.take()) is not None:
        running.append(taken)
    assert len(running) == COMMANDS_RUNNING
    # All are carried out in the end, and nothing is kept of them.
    count = 0
    while running:
        waiting.done(running.pop())
        count += 1
        while (taken := waiting.take()) is not None:
            running.append(taken)
    assert count == COMMANDS_WAITING
    assert not waiting._devices
