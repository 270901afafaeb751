"""The configuration of the bridge: where a mistake is, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propchange.asyncio import device_watching
from propchange.bridge import mqtt
from propchange.bridge.configuration import (
    ConfigurationError,
    bridge_duration,
    bridge_settings,
    broker_settings,
    read_configuration,
)
from tests.bridge.conftest import RunningBridge

_PAGE = Path(__file__).parents[2] / "docs" / "mqtt.md"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mqtt", "f.toml is not TOML: "),
        ("[mqqt]\nurl = ''", "f.toml: there is no table 'mqqt'; there are [bridge], "),
        ("url = 'mqtt://a'", "f.toml: there is no table 'url'"),
        ("[bridge]\nident = 'a'", "f.toml: [bridge] ident is not known; there are id, "),
        ("[mqtt]\npassword = 'x'", "given by the environment variable PROPCHANGE_MQTT_PASSWORD"),
        ("[bridge]\ndistinct = 1", "f.toml: [bridge] distinct is true or false, not 1"),
        ("[bridge]\nforget_after = true", "[bridge] forget_after is a number, not True"),
        ("[bridge]\ndevices = [1]", "[bridge] devices is a list of strings, not [1]"),
        ("[mqtt]\nurl = 1", "[mqtt] url is a string, not 1"),
    ],
)
def test_a_mistake_in_the_file_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_configuration(text, "f.toml")


@pytest.mark.parametrize(
    ("url", "table", "environment", "said"),
    [
        ("mqtt://ann:secret@host", {}, {}, "can be read by everybody on this machine"),
        ("http://host", {}, {}, "give mqtt://host[:port]"),
        ("mqtt://", {}, {}, "give mqtt://host[:port]"),
        ("mqtt://host:x", {}, {}, "is no URL"),
        ("mqtt://host/topic", {}, {}, "nothing can follow host and port"),
        ("mqtt://host", {"ca_file": "x"}, {}, "ca_file is for TLS: give the URL as mqtts://"),
        ("mqtts://host", {"key": "x"}, {}, "key needs certificate"),
        ("mqtt://host", {}, {"PROPCHANGE_MQTT_PASSWORD": "x"}, "there is no user name"),
    ],
)
def test_a_broker_that_cannot_be_used_is_said_with_what_to_do(
    url: str, table: dict[str, Any], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as error:
        broker_settings(url, table, environment)
    assert "secret" not in str(error.value)


def test_ports_user_names_and_secrets_come_from_where_the_page_says() -> None:
    environment = {"PROPCHANGE_MQTT_PASSWORD": "x", "PROPCHANGE_MQTT_USERNAME": "eve"}
    broker = broker_settings("mqtt://ann%40home@[::1]", {"username": "bob"}, environment)
    assert (broker.name, broker.tls, broker.username) == ("[::1]:1883", False, "ann@home")
    assert "password='x'" not in repr(broker)
    assert broker.password == "x"
    assert broker_settings("mqtts://host", {}, {}).port == 8883
    assert broker_settings("mqtt://host", {"username": "bob"}, environment).username == "bob"
    assert broker_settings("mqtt://host", {}, environment).username == "eve"


@pytest.mark.parametrize("table", [{"id": "a/b"}, {"base": "#"}, {"id": "x" * 65}, {"base": ""}])
def test_an_id_or_base_that_is_no_part_of_a_topic_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="is one part of a topic"):
        bridge_settings({"bridge": table, "home_assistant": {}}, default_id="attic")


def test_the_configuration_of_the_page_is_read_and_has_each_key_of_its_tables() -> None:
    page = _PAGE.read_text("utf-8")
    tables = read_configuration(page.partition("```toml\n")[2].partition("```")[0], "page")
    assert set(tables["mqtt"]) == {"url", "username", "ca_file", "certificate", "key"}
    settings = bridge_settings(tables, default_id="machine")
    assert (settings.bridge_id, settings.forget_after) == ("attic", 3.0)
    assert settings.home_assistant_forget_after == 0.0
    with pytest.raises(ConfigurationError, match=r"\[home_assistant\] forget_after is a number of"):
        bridge_settings({"bridge": {}, "home_assistant": {"forget_after": -1}}, default_id="attic")


def test_the_duration_of_subscriptions_is_that_of_the_command_line_then_of_the_file() -> None:
    assert bridge_duration({}) == 300
    assert bridge_duration({"duration": 60}) == 60
    assert bridge_duration({"duration": 60}, 1800) == 1800
    for duration in (0, -1, 10**9):
        with pytest.raises(ConfigurationError, match="duration is a whole number of seconds, 1 to"):
            bridge_duration({}, duration)
    with pytest.raises(ConfigurationError, match=r"\[bridge\] duration is a whole number, not 1.5"):
        read_configuration("[bridge]\nduration = 1.5", "f.toml")


@pytest.mark.slow
def test_a_wrong_file_and_a_missing_broker_end_the_command_with_status_2(
    bridge: Callable[..., RunningBridge], tmp_path: Path
) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text("[bridge]\nidd = 'attic'\n")
    status, said = bridge("--config", str(config)).wait()
    assert status == 2
    assert f"{config}: [bridge] idd is not known" in said
    assert said.count("\n") == 1
    assert bridge().wait()[0] == 2
    status, said = bridge("--mqtt", "mqtt://127.0.0.1", "--duration", "0").wait()
    assert (status, said.count("\n")) == (2, 1)
    missing = bridge("--config", str(tmp_path / "no.toml"))
    assert missing.wait()[0] == 2
    assert os.environ.get("PROPCHANGE_MQTT_PASSWORD") is None


def test_the_waits_of_the_bridge_are_shorter_than_ten_seconds_together() -> None:
    settings = bridge_settings({"bridge": {}, "home_assistant": {}}, default_id="attic")
    forget = settings.forget_after + settings.home_assistant_forget_after
    reading, connecting = device_watching._REREAD_SECONDS, mqtt._LONGEST_WAIT
    # A device is back without one of its services while the broker starts; a bridge starts and the
    # broker is away when what it has left behind is due.
    assert connecting + reading + forget < 10
    assert mqtt._START_SECONDS + connecting < 10
