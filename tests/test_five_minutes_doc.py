"""The page that leads from devices to Home Assistant: its commands, its file and its tables."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from propchange.bridge.commands import (
    COMMANDS_OF_DEVICE,
    COMMANDS_WAITING,
    action_request,
    read_command,
)
from propchange.bridge.configuration import bridge_settings, broker_settings, read_configuration
from propchange.bridge.home_assistant import STATE_CHARACTERS, why_left_out
from propchange.cli.commands import command as whole_command
from tests.bridge import described_services as described

PAGE = (Path(__file__).parents[1] / "docs" / "five-minutes.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
LINES = [line for line in SHELL.splitlines() if line.startswith("propchange ")]


@pytest.mark.parametrize("line", LINES)
def test_each_command_line_is_one_of_the_command(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    whole = whole_command()
    group = click.Context(whole)
    command = whole.get_command(group, name)
    assert command is not None
    command.make_context(name, words, parent=group)


def test_the_file_is_read_as_the_page_says() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    tables = read_configuration(text, "bridge.toml")
    settings = bridge_settings(tables, default_id="other")
    assert (settings.bridge_id, settings.home_assistant_forget_after) == ("home", 0)
    assert settings.home_assistant
    assert settings.commands
    broker = broker_settings(tables["mqtt"]["url"], tables["mqtt"], {})
    assert (broker.username, broker.port) == ("bridge", 1883)


@pytest.mark.parametrize(
    ("contents", "topic", "payload", "action", "inputs"),
    [
        (
            described.of_standard("RenderingControl"),
            "RenderingControl/Volume/set",
            b"30",
            "SetVolume",
            {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 30},
        ),
        (
            described.WEMO,
            "basicevent/BinaryState/set",
            b"on",
            "SetBinaryState",
            {"BinaryState": True},
        ),
        (
            described.of_standard("AVTransport"),
            "AVTransport/call/Play",
            b'{"Speed": "1"}',
            "Play",
            {"InstanceID": 0, "Speed": "1"},
        ),
    ],
)
def test_each_command_on_a_topic_calls_what_the_table_says(
    contents: described.ServiceContents,
    topic: str,
    payload: bytes,
    action: str,
    inputs: dict[str, object],
) -> None:
    assert f"`propchange/UDN/{topic}`" in PAGE
    command = read_command(f"propchange/u/{topic}", payload, "propchange")
    assert command is not None
    request = action_request(command, contents)
    assert (request.action.name, request.inputs) == (action, inputs)


def test_what_is_not_offered_is_what_the_page_lists() -> None:
    services = (
        *map(described.of_standard, described.STANDARD),
        described.SONOS_TOPOLOGY,
    )
    for contents in services:
        for variable in contents.variables.values():
            reason = why_left_out(variable, contents.variables)
            if "changes" in reason:
                assert f"`{variable.name}`" in PAGE
    assert f"{STATE_CHARACTERS} characters" in PAGE
    assert f"At most {COMMANDS_OF_DEVICE} wait for one device, and {COMMANDS_WAITING} in" in PAGE
